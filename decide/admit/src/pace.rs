//! How many requests a pool finishes in a second, and how many come to its queue, by rank: measured only while somebody
//! waits, when its endpoints do all that they can. Whoever finishes at leisure says nothing about that.

use std::time::Duration;
use tentpole_model::Priority;

/// What lies further back than this counts less than a third: long enough to see some requests of most pools, short enough to
/// follow one that becomes slow or is given another endpoint.
const MEMORY: Duration = Duration::from_secs(3);
/// The same for those who were sent away: they come again later.
const REFUSED_MEMORY: Duration = Duration::from_secs(30);
/// A queue that was empty for so long says nothing about the next one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Requests that finished before the pace is believed.
const SEEN_MIN: u32 = 5;

/// The pace of one pool. Times are those of any one clock, since its beginning.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// The last moment that is in `seconds`.
    at: Duration,
    /// Time while somebody waited, older time counting less.
    seconds: f64,
    /// Requests that finished in it, older ones counting less.
    finished: f64,
    /// Requests that came to the queue and were let in, by rank.
    came: [f64; Priority::COUNT],
    /// Requests that were sent away.
    refused: f64,
    seen: u32,
}

impl Pace {
    /// Somebody waits, and nobody did before.
    pub fn begins(&mut self, now: Duration) {
        if now.saturating_sub(self.at) > FORGOTTEN_AFTER {
            *self = Self::default();
        }
        self.at = now;
    }

    /// A request finished while somebody waits.
    pub fn finished(&mut self, now: Duration) {
        self.pass(now);
        self.finished += 1.0;
        self.seen = self.seen.saturating_add(1);
    }

    /// A request of this rank was let into the queue.
    pub fn came(&mut self, priority: Priority, now: Duration) {
        self.pass(now);
        self.came[priority as usize] += 1.0;
    }

    /// A request was sent away.
    pub fn refused(&mut self, now: Duration) {
        self.pass(now);
        self.refused += 1.0;
    }

    /// Requests that the pool finishes in a second; `None` while too little was seen.
    pub fn per_second(&self, now: Duration) -> Option<f64> {
        // A pool that has stood still since counts that too.
        let seconds = self.seconds + now.saturating_sub(self.at).as_secs_f64();
        (self.seen >= SEEN_MIN && seconds > 0.0).then(|| self.finished / seconds)
    }

    /// Requests of better ranks than this that come to the queue in a second.
    pub fn better_per_second(&self, than: Priority, now: Duration) -> f64 {
        let seconds = self.seconds + now.saturating_sub(self.at).as_secs_f64();
        // One second at least: two who come at once are no stream.
        self.came[..than as usize].iter().sum::<f64>() / seconds.max(1.0)
    }

    /// Requests that were sent away lately, as far as they may come again soon.
    pub fn refused_lately(&self) -> f64 {
        self.refused
    }

    fn pass(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        if passed <= 0.0 {
            return;
        }
        self.at = now;
        let left = (-passed / MEMORY.as_secs_f64()).exp();
        self.seconds = self.seconds * left + passed;
        self.finished *= left;
        self.refused *= (-passed / REFUSED_MEMORY.as_secs_f64()).exp();
        self.came.iter_mut().for_each(|came| *came *= left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_steady_pool_is_measured_and_one_that_slows_down_is_followed() {
        let mut pace = Pace::default();
        pace.begins(ms(10_000));
        for at in (10_000..20_000).step_by(20) {
            pace.finished(ms(at));
        }
        let per_second = pace.per_second(ms(20_000)).unwrap();
        assert!((48.0..52.0).contains(&per_second), "{per_second}");
        for at in (20_000..30_000).step_by(100) {
            pace.finished(ms(at));
        }
        let per_second = pace.per_second(ms(30_000)).unwrap();
        assert!((9.0..13.0).contains(&per_second), "{per_second}");
        let stuck = pace.per_second(ms(60_000)).unwrap();
        assert!(stuck < 2.0, "{stuck}");
    }

    #[test]
    fn what_finishes_before_anybody_waits_says_nothing() {
        let mut pace = Pace::default();
        pace.begins(ms(0));
        for at in 0..4 {
            pace.finished(ms(at * 20));
        }
        assert_eq!(pace.per_second(ms(80)), None, "too few");
        pace.finished(ms(80));
        assert!(pace.per_second(ms(80)).is_some());
        // An hour without a queue: what was measured is of another day.
        pace.begins(ms(3_600_000));
        assert_eq!(pace.per_second(ms(3_600_100)), None);
    }

    #[test]
    fn only_the_better_ones_are_counted_as_better() {
        let mut pace = Pace::default();
        pace.begins(ms(0));
        for at in 0..100 {
            pace.came(Priority::Checkout, ms(at * 50));
            pace.came(Priority::Normal, ms(at * 50));
        }
        let better = pace.better_per_second(Priority::Normal, ms(5_000));
        assert!((18.0..23.0).contains(&better), "{better}");
        assert_eq!(pace.better_per_second(Priority::Checkout, ms(5_000)), 0.0);
    }
}
