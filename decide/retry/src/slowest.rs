//! How long a pool's endpoints took lately until they began to answer, and above what time the slowest few lie. Counts in
//! buckets, so that threads share it without a lock; what is old fades.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Four buckets to each doubling of the time: a bound is wrong by a fifth at most.
const PER_DOUBLING: u32 = 4;
/// Up to 2^26 µs, about a minute.
const BUCKETS: usize = 26 * PER_DOUBLING as usize;
/// Before so many answers came, nothing is known.
const KNOWN_FROM: u32 = 100;
/// The bound is found anew after so many answers.
const ANEW_EVERY: u32 = 64;
/// After so many, all counts are halved.
const HALVED_AT: u32 = 2_048;

/// The times of one pool, and the bound.
#[derive(Debug)]
pub struct Slowest {
    percent: u32,
    counts: [AtomicU32; BUCKETS],
    seen: AtomicU32,
    /// In microseconds; 0 is not known.
    bound_us: AtomicU32,
}

impl Slowest {
    /// Nothing seen yet; the bound will be what `percent` of the answers stay below.
    pub fn new(percent: u32) -> Self {
        Self {
            percent,
            counts: std::array::from_fn(|_| AtomicU32::new(0)),
            seen: AtomicU32::new(0),
            bound_us: AtomicU32::new(0),
        }
    }

    /// The time that this share of the answers took at most, in microseconds; `None` while too few came.
    pub fn bound_us(&self) -> Option<u32> {
        Some(self.bound_us.load(Relaxed)).filter(|&bound| bound > 0)
    }

    /// Takes an answer's time in. Costs two additions, and a look at all buckets now and then.
    pub fn took(&self, micros: u32) {
        self.counts[bucket(micros)].fetch_add(1, Relaxed);
        let seen = self.seen.fetch_add(1, Relaxed) + 1;
        if seen >= KNOWN_FROM && seen.is_multiple_of(ANEW_EVERY) {
            self.bound_us.store(self.found(), Relaxed);
        }
        if seen == HALVED_AT {
            // What other threads count meanwhile may be lost: a few of thousands.
            self.counts.iter().for_each(|count| count.store(count.load(Relaxed) / 2, Relaxed));
            self.seen.store(HALVED_AT / 2, Relaxed);
        }
    }

    fn found(&self) -> u32 {
        let counts: Vec<u64> = self.counts.iter().map(|count| count.load(Relaxed).into()).collect();
        let wanted = (counts.iter().sum::<u64>() * u64::from(self.percent)).div_ceil(100);
        let mut below = 0;
        let at = counts.iter().position(|count| {
            below += count;
            below >= wanted
        });
        upper(at.unwrap_or(BUCKETS - 1))
    }
}

/// Times of one bucket lie between powers of the fourth root of two, as near as their first bits tell.
fn bucket(micros: u32) -> usize {
    let micros = micros.max(1);
    let doubling = micros.ilog2();
    let within = if doubling >= 2 { (micros >> (doubling - 2)) & 3 } else { 0 };
    ((doubling * PER_DOUBLING + within) as usize).min(BUCKETS - 1)
}

/// The end of a bucket, in microseconds.
fn upper(bucket: usize) -> u32 {
    let (doubling, within) = (bucket as u32 / PER_DOUBLING, bucket as u32 % PER_DOUBLING);
    let whole = 1u32 << doubling;
    whole + whole * (within + 1) / PER_DOUBLING
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nothing_is_known_of_a_few_answers() {
        let slowest = Slowest::new(95);
        for _ in 0..KNOWN_FROM - 1 {
            slowest.took(1_000);
        }
        assert_eq!(slowest.bound_us(), None);
    }

    #[test]
    fn one_in_twenty_lies_above_the_bound() {
        let slowest = Slowest::new(95);
        for nth in 0..2_000 {
            slowest.took(if nth % 100 < 3 { 900_000 } else { 10_000 });
        }
        let bound = slowest.bound_us().unwrap();
        assert!((10_000..=12_500).contains(&bound), "{bound}");
    }

    #[test]
    fn a_pool_that_becomes_slower_has_a_higher_bound_soon() {
        let slowest = Slowest::new(95);
        (0..10_000).for_each(|_| slowest.took(1_000));
        assert!(slowest.bound_us().unwrap() <= 1_250);
        (0..3_000).for_each(|_| slowest.took(40_000));
        assert!(slowest.bound_us().unwrap() >= 40_000);
    }

    proptest! {
        #[test]
        fn a_time_lies_in_its_bucket(micros in 1u32..1 << 25) {
            let at = bucket(micros);
            prop_assert!(micros <= upper(at));
            prop_assert!(at == 0 || u64::from(micros) + 1 >= u64::from(upper(at - 1)));
        }

        #[test]
        fn no_time_is_too_long(micros: u32) {
            Slowest::new(99).took(micros);
        }
    }
}
