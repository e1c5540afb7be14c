//! How fast objects go over: a bounded number of bytes and of objects a second. Pure.

use std::time::Duration;
use tentpole_runtime::Instant;

/// The most that goes over in a second.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Bytes of heads, contents and keys.
    pub bytes: u64,
    /// Objects.
    pub objects: u64,
}

/// What has gone over, and since when.
#[derive(Debug)]
pub struct Pace {
    rate: Rate,
    /// When what has gone over so far is paid for.
    paid_until: Instant,
}

impl Pace {
    /// Nothing has.
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self { rate, paid_until: now }
    }

    /// Some more is about to go over. Returns how long it has to wait: pauses before it earn nothing.
    pub fn wait(&mut self, now: Instant, objects: u64, bytes: u64) -> Duration {
        let wait = self.paid_until.since(now);
        let share =
            |part: u64, whole: u64| Duration::from_secs(part) / u32::try_from(whole).unwrap_or(u32::MAX);
        let costs = share(bytes, self.rate.bytes).max(share(objects, self.rate.objects));
        let begins = if wait.is_zero() { now } else { self.paid_until };
        self.paid_until = begins.after(costs);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends so many objects of a size; returns the seconds that it took.
    fn seconds(rate: Rate, objects: u64, bytes: u64) -> f64 {
        let begin = Instant::from_micros(1_000_000);
        let (mut pace, mut now) = (Pace::new(rate, begin), begin);
        for _ in 0..objects {
            now = now.after(pace.wait(now, 1, bytes));
        }
        now.since(begin).as_secs_f64()
    }

    #[test]
    fn neither_bytes_nor_objects_go_over_faster_than_they_may() {
        let rate = Rate { bytes: 1_000_000, objects: 1_000 };
        let by_bytes = seconds(rate, 500, 10_000);
        assert!((4.95..5.1).contains(&by_bytes), "5,000,000 bytes: {by_bytes}");
        let by_objects = seconds(rate, 5_000, 10);
        assert!((4.95..5.1).contains(&by_objects), "5,000 objects: {by_objects}");
    }

    #[test]
    fn a_pause_earns_nothing() {
        let begin = Instant::from_micros(1_000_000);
        let mut pace = Pace::new(Rate { bytes: 1_000, objects: 1_000 }, begin);
        assert_eq!(pace.wait(begin, 1, 1_000), Duration::ZERO);
        let late = begin.after(Duration::from_secs(10));
        assert_eq!(pace.wait(late, 1, 1_000), Duration::ZERO);
        assert_eq!(pace.wait(late, 1, 1_000), Duration::from_secs(1), "not ten at once");
    }
}
