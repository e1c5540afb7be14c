//! How long something took, counted by classes that grow by the square root of two: from below a millisecond to half a
//! minute. One add for each answer, no lock; what is read of it is good to a few percent of a class.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many classes there are.
pub const CLASSES: usize = 32;
/// Everything faster is in the first class.
const FASTEST_US: u64 = 1_000;

/// Counts by class; they only grow.
#[derive(Debug, Default)]
pub struct Latencies([AtomicU64; CLASSES]);

impl Latencies {
    /// Counts one answer.
    pub fn took(&self, us: u32) {
        self.0[class(us)].fetch_add(1, Relaxed);
    }

    /// The counts.
    pub fn counts(&self) -> [u64; CLASSES] {
        std::array::from_fn(|class| self.0[class].load(Relaxed))
    }

    /// Takes over what another counted; missing classes hold nothing.
    pub fn store(&self, counts: &[u64]) {
        for (class, count) in self.0.iter().enumerate() {
            count.store(counts.get(class).copied().unwrap_or(0), Relaxed);
        }
    }

    /// The counts up to the last class that holds any.
    pub fn trimmed(&self) -> Vec<u64> {
        let counts = self.counts();
        let used = counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        counts[..used].to_vec()
    }
}

/// The median of what these classes hold, as if each were filled evenly; `None` when they hold nothing.
pub fn median(counts: &[u64]) -> Option<Duration> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let mut left = all as f64 / 2.0;
    for (class, &count) in counts.iter().enumerate() {
        if count > 0 && left <= count as f64 {
            let (from, to) = (lower_us(class), lower_us(class + 1));
            return Some(Duration::from_micros((from + (to - from) * left / count as f64) as u64));
        }
        left -= count as f64;
    }
    None
}

/// The class of a time.
fn class(us: u32) -> usize {
    let times = u64::from(us) / FASTEST_US;
    if times == 0 {
        return 0;
    }
    let octave = times.ilog2();
    let upper_half = u64::from(us) * 1_000 >= (FASTEST_US << octave) * 1_414;
    (1 + 2 * octave as usize + usize::from(upper_half)).min(CLASSES - 1)
}

/// Where a class begins, in microseconds.
fn lower_us(class: usize) -> f64 {
    match class {
        0 => 0.0,
        _ => FASTEST_US as f64 * 2f64.powf((class - 1) as f64 / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_grow_and_every_time_has_one() {
        let classes: Vec<usize> =
            [0, 999, 1_000, 1_413, 1_414, 1_999, 2_000, 40_000_000, u32::MAX].map(class).to_vec();
        assert_eq!(classes, [0, 0, 1, 1, 2, 2, 3, CLASSES - 1, CLASSES - 1]);
        for us in (1_000..10_000_000).step_by(997) {
            let class = class(us);
            assert!(lower_us(class) <= f64::from(us) * 1.001 && f64::from(us) < lower_us(class + 1) * 1.001);
        }
    }

    #[test]
    fn the_median_lies_within_the_class_that_holds_it() {
        let latencies = Latencies::default();
        assert_eq!(median(&latencies.counts()), None);
        (0..60).for_each(|_| latencies.took(35_000));
        (0..40).for_each(|_| latencies.took(900_000));
        let ms = median(&latencies.counts()).unwrap().as_millis();
        assert!((25..=46).contains(&ms), "{ms} ms");
        let other = Latencies::default();
        other.store(&latencies.trimmed());
        assert_eq!(other.counts(), latencies.counts());
    }
}
