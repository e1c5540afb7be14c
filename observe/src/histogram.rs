//! A histogram of microseconds with fixed, log-linear buckets: four to each power of two, so that a value is known
//! within a quarter. One thread writes, anyone reads. Never allocates, never rescales.

use std::sync::atomic::{AtomicU64, Ordering};

/// Linear buckets in each power of two, as a power of two.
const SUB_BITS: u32 = 2;
/// Values from 2^27 µs (134 s) on share the last bucket.
const VALUE_BITS: u32 = 27;
/// Buckets of one histogram: the values below 4 have one each.
pub const BUCKETS: usize = (((VALUE_BITS - SUB_BITS) << SUB_BITS) + (1 << SUB_BITS) + 1) as usize;

/// Bounds in µs that the exposition shows: each power of two from 64 µs to 67 s. All are bucket bounds.
pub const SHOWN_BOUNDS: std::ops::RangeInclusive<u32> = 6..=26;

/// A histogram written by one thread.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

/// What one or several histograms held when they were read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; BUCKETS],
    /// Sum of all values, in microseconds.
    pub sum_us: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), sum_us: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one value, in microseconds. Only the thread that owns the histogram may.
    #[inline]
    pub fn record(&self, us: u32) {
        crate::metrics::add(&self.buckets[bucket_of(us)], 1);
        crate::metrics::add(&self.sum_us, u64::from(us));
    }
}

impl Default for Distribution {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], sum_us: 0 }
    }
}

impl Distribution {
    /// Adds what `histogram` holds now.
    pub fn merge(&mut self, histogram: &Histogram) {
        for (sum, bucket) in self.buckets.iter_mut().zip(&histogram.buckets) {
            *sum += bucket.load(Ordering::Relaxed);
        }
        self.sum_us += histogram.sum_us.load(Ordering::Relaxed);
    }

    /// How many values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The buckets that hold any value, smallest first: the upper bound in microseconds, and how many.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let all = self.buckets.iter().enumerate();
        all.filter(|&(_, &count)| count > 0).map(|(bucket, &count)| (upper_bound_us(bucket), count))
    }

    /// How many values lie below `2^exponent` microseconds.
    pub fn below_power_of_two(&self, exponent: u32) -> u64 {
        let end = bucket_of(1u32 << exponent.min(VALUE_BITS));
        self.buckets[..end].iter().sum()
    }

    /// The upper bound, in microseconds, of the bucket in which the given part (0 to 1) of all values ends; `None`
    /// when there are none. At most a quarter above the true value; values of 134 s and more count as 134 s.
    pub fn quantile_us(&self, part: f64) -> Option<u64> {
        let count = self.count();
        let rank = ((part.clamp(0.0, 1.0) * count as f64).ceil() as u64).max(1);
        let mut seen = 0;
        let bucket = self.buckets.iter().position(|&bucket| {
            seen += bucket;
            seen >= rank
        });
        bucket.map(upper_bound_us)
    }
}

/// The bucket of a value.
#[inline]
fn bucket_of(us: u32) -> usize {
    if us < 1 << SUB_BITS {
        return us as usize;
    }
    let exponent = u32::BITS - 1 - us.leading_zeros();
    if exponent >= VALUE_BITS {
        return BUCKETS - 1;
    }
    let sub = us >> (exponent - SUB_BITS) & ((1 << SUB_BITS) - 1);
    (((exponent - SUB_BITS + 1) << SUB_BITS) + sub) as usize
}

/// The first value above the bucket.
fn upper_bound_us(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    if next <= 1 << SUB_BITS {
        return next;
    }
    let sub = next & ((1 << SUB_BITS) - 1);
    ((1 << SUB_BITS) + sub) << ((next >> SUB_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_below_its_buckets_bound_and_not_below_the_one_before() {
        let mut values: Vec<u32> = (0..5_000).collect();
        values
            .extend((12..27).flat_map(|bits| [(1 << bits) - 1, 1 << bits, (1 << bits) + 1, 3 << (bits - 1)]));
        for us in values {
            let bucket = bucket_of(us);
            assert!(u64::from(us) < upper_bound_us(bucket), "{us} in bucket {bucket}");
            assert!(bucket == 0 || u64::from(us) >= upper_bound_us(bucket - 1), "{us} in bucket {bucket}");
            assert!(
                upper_bound_us(bucket) <= u64::from(us).max(3) * 5 / 4 + 1,
                "{us} is known within a quarter"
            );
        }
        assert_eq!(bucket_of(u32::MAX), BUCKETS - 1);
        assert_eq!(bucket_of(1 << VALUE_BITS), BUCKETS - 1);
        assert_eq!(bucket_of((1 << VALUE_BITS) - 1), BUCKETS - 2);
    }

    #[test]
    fn quantiles_and_bounds_count_what_was_recorded() {
        let histogram = Histogram::default();
        for us in 1..=1_000 {
            histogram.record(us);
        }
        let mut read = Distribution::default();
        assert_eq!(read.quantile_us(0.5), None);
        assert_eq!(read.buckets().count(), 0);
        read.merge(&histogram);
        assert_eq!((read.count(), read.sum_us), (1_000, 500_500));
        assert_eq!(read.below_power_of_two(6), 63);
        assert_eq!(read.below_power_of_two(26), 1_000);
        let median = read.quantile_us(0.5).unwrap();
        assert!((500..=625).contains(&median), "{median}");
        assert_eq!(read.quantile_us(0.0), Some(2));
        assert_eq!(read.quantile_us(1.0), Some(1_024));
    }
}
