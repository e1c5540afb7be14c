//! A quantile out of buckets: what lies between two of a bucket's bounds is taken as spread evenly. Knows how wide
//! the buckets of `tentpole_observe::histogram` are, and nothing of where they come from.

/// How many values fell into some buckets; by upper bound, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Buckets(Vec<(u32, u32)>);

impl Buckets {
    /// What came into each bucket between two readings of counts that only grow. Bounds ascend in both.
    pub(crate) fn between(before: &[(u64, u64)], now: &[(u64, u64)]) -> Self {
        let mut earlier = before.iter().peekable();
        let mut came = Vec::with_capacity(now.len());
        for &(upper, count) in now {
            while earlier.next_if(|(bound, _)| *bound < upper).is_some() {}
            let had = earlier.next_if(|(bound, _)| *bound == upper).map_or(0, |(_, count)| *count);
            let more = count.saturating_sub(had);
            if more > 0 {
                came.push((bounded(upper), bounded(more)));
            }
        }
        Self(came)
    }

    /// Adds another's values.
    pub(crate) fn merge(&mut self, other: &Self) {
        for &(upper, count) in &other.0 {
            match self.0.binary_search_by_key(&upper, |(upper, _)| *upper) {
                Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(count),
                Err(at) => self.0.insert(at, (upper, count)),
            }
        }
    }

    /// The value, in microseconds, below which the given part (0 to 1) of all values lies; `None` when there are none.
    /// Lies in the same bucket as the true value of that rank, so it is known within a quarter.
    pub(crate) fn quantile_us(&self, part: f64) -> Option<f64> {
        let count: u64 = self.0.iter().map(|(_, count)| u64::from(*count)).sum();
        let rank = (part.clamp(0.0, 1.0) * count as f64).ceil().max(1.0);
        let mut below = 0.0;
        for &(upper, count) in &self.0 {
            let (lower, count) = (lower_bound_us(upper), f64::from(count));
            if below + count >= rank {
                return Some(f64::from(lower) + f64::from(upper - lower) * (rank - below) / count);
            }
            below += count;
        }
        None
    }
}

/// The lowest value of the bucket that ends below `upper`: there are four buckets to each power of two, and one for
/// each value below 4.
fn lower_bound_us(upper: u32) -> u32 {
    let Some(last) = upper.checked_sub(1) else { return 0 };
    let exponent = last.checked_ilog2().unwrap_or(0);
    let width = 1u32 << exponent.saturating_sub(2);
    upper.saturating_sub(width)
}

fn bounded(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use tentpole_observe::histogram::{Distribution, Histogram};

    /// The upper bound of the bucket that the edge's own histogram puts a value into.
    fn upper_bound(us: u32) -> u64 {
        let histogram = Histogram::default();
        histogram.record(us);
        let mut read = Distribution::default();
        read.merge(&histogram);
        read.quantile_us(1.0).unwrap()
    }

    fn counted(values: &[u32]) -> Vec<(u64, u64)> {
        let mut counts = BTreeMap::new();
        values.iter().for_each(|&us| *counts.entry(upper_bound(us)).or_insert(0) += 1);
        counts.into_iter().collect()
    }

    #[test]
    fn every_value_lies_in_the_bucket_that_the_lower_bound_opens() {
        let near_powers = (3..27).flat_map(|bits| [(1u32 << bits) - 1, 1 << bits, (1 << bits) + 1]);
        for us in (0..3_000).chain(near_powers) {
            let upper = u32::try_from(upper_bound(us)).unwrap();
            let lower = lower_bound_us(upper);
            assert!(lower <= us && us < upper, "{lower} <= {us} < {upper}");
            assert!(lower == 0 || upper_bound(lower - 1) == u64::from(lower), "no gap below {lower}");
        }
    }

    #[test]
    fn a_second_in_which_nothing_finished_has_no_quantile() {
        let totals = counted(&[5, 900, 70_000]);
        assert_eq!(Buckets::between(&totals, &totals).quantile_us(0.5), None);
        assert_eq!(Buckets::default().quantile_us(0.99), None);
    }

    #[test]
    fn values_of_one_bucket_are_taken_as_spread_evenly() {
        // 1,024 to 1,280 µs.
        let four = Buckets::between(&[], &[(1_280, 4)]);
        assert_eq!(four.quantile_us(0.5), Some(1_152.0));
        assert_eq!(four.quantile_us(1.0), Some(1_280.0));
    }

    proptest! {
        #[test]
        fn a_quantile_lies_in_the_bucket_of_the_true_one(
            before in prop::collection::vec(0u32..200_000, 0..50),
            came in prop::collection::vec(prop_oneof![0u32..64, 0u32..5_000, 0u32..100_000_000], 1..300),
            part in 0.0f64..=1.0,
        ) {
            let all = [before.clone(), came.clone()].concat();
            let found = Buckets::between(&counted(&before), &counted(&all)).quantile_us(part).unwrap();
            let mut sorted = came;
            sorted.sort_unstable();
            let rank = ((part * sorted.len() as f64).ceil() as usize).max(1);
            let exact = sorted[rank - 1];
            let upper = upper_bound(exact) as f64;
            let lower = f64::from(lower_bound_us(upper as u32));
            prop_assert!(lower <= found && found <= upper, "{exact} in {lower}..{upper}, found {found}");
        }

        #[test]
        fn merged_seconds_are_as_one_long_second(
            first in prop::collection::vec(0u32..2_000_000, 0..200),
            second in prop::collection::vec(0u32..2_000_000, 0..200),
        ) {
            let (early, late) = (counted(&first), counted(&[first.clone(), second].concat()));
            let mut merged = Buckets::between(&[], &early);
            merged.merge(&Buckets::between(&early, &late));
            prop_assert_eq!(merged, Buckets::between(&[], &late));
        }
    }
}
