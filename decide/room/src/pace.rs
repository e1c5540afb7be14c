//! How fast visitors come in. A window never lets more in within any 60 s than allowed. While nobody waits, they come as they
//! come, up to a sixth of a minute's entries at once. While some wait, they come in evenly: at the greatest steady rate
//! that the window will not have to interrupt, so that a burst in the past has no echo a minute later.

/// Length of one bucket of the window, in milliseconds.
const BUCKET_MS: u64 = 100;
/// Buckets of the window: 60 s, and the one under way.
const BUCKETS: usize = 601;
/// What may come in at once while nobody waits, as a part of a minute's entries.
const AT_ONCE: f64 = 1.0 / 6.0;
/// The same while some wait.
const AT_ONCE_FROM_LINE: f64 = 1.0 / 30.0;

/// Entries over time.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Entries a minute; `None` is no limit.
    per_minute: Option<f64>,
    tokens: f64,
    renewed_ms: u64,
    /// Entries in each bucket, in the measure of the rate in force: when that changes, they change with it.
    window: Box<[f64; BUCKETS]>,
    /// Those who really came in then.
    real: Box<[f64; BUCKETS]>,
    sum: f64,
    /// Number of the newest bucket.
    at: u64,
    /// Entries in a millisecond that are even, as of bucket `even_at`.
    even: f64,
    even_at: u64,
}

impl Pace {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            per_minute: None,
            tokens: 0.0,
            renewed_ms: now_ms,
            window: Box::new([0.0; BUCKETS]),
            real: Box::new([0.0; BUCKETS]),
            sum: 0.0,
            at: now_ms / BUCKET_MS,
            even: 0.0,
            even_at: 0,
        }
    }

    /// Another rate from now on. What came in before counts as the same part of a minute's entries: with half of the rate
    /// half as many come from this moment, and not none until the old ones are a minute ago.
    pub(crate) fn set(&mut self, per_minute: Option<u32>, now_ms: u64) {
        let next = per_minute.map(f64::from);
        if next == self.per_minute {
            return;
        }
        self.roll(now_ms, false);
        match (self.per_minute, next) {
            (Some(old), Some(new)) if old > 0.0 => {
                let factor = new / old;
                // With a greater rate never as more than they were: who raises it sees that at once.
                for (entries, real) in self.window.iter_mut().zip(&*self.real) {
                    *entries = (*entries * factor).min(*real);
                }
                self.sum = self.window.iter().sum();
                self.tokens *= factor;
            }
            (_, Some(new)) => self.tokens = cap(new),
            (_, None) => {}
        }
        self.per_minute = next;
        self.even_at = 0;
    }

    /// Who came in before this process began, by the second in which they did: they count in the window, a little longer than
    /// they would have. `unwritten` may have come in besides, of whom nobody knows any more.
    pub(crate) fn remember(&mut self, entries: &[(u64, u32)], unwritten: u32, now_ms: u64) {
        let Some(rate) = self.per_minute else { return };
        let mut count = |at_ms: u64, entered: u32| {
            let at = at_ms.min(now_ms) / BUCKET_MS;
            if at + BUCKETS as u64 > self.at && at <= self.at {
                self.window[(at % BUCKETS as u64) as usize] += f64::from(entered);
                self.real[(at % BUCKETS as u64) as usize] += f64::from(entered);
                self.sum += f64::from(entered);
            }
        };
        entries.iter().for_each(|(second, entered)| count(second * 1_000 + 999, *entered));
        count(now_ms, unwritten);
        // What the last seconds have left of what may come in at once.
        let lately = entries.iter().filter(|(second, _)| second * 1_000 + 11_000 > now_ms).map(|(_, n)| n);
        let lately = f64::from(lately.sum::<u32>() + unwritten);
        self.tokens = (cap(rate) - lately).max(0.0).min(self.tokens);
        self.even_at = 0;
    }

    /// Who came in within the last minute, by second since 1970.
    pub(crate) fn entries(&self) -> Vec<(u64, u32)> {
        let mut entries: Vec<(u64, u32)> = Vec::new();
        for at in (self.at + 1).saturating_sub(BUCKETS as u64)..=self.at {
            let (second, entered) =
                (at * BUCKET_MS / 1_000, self.real[(at % BUCKETS as u64) as usize] as u32);
            match entries.last_mut() {
                _ if entered == 0 => {}
                Some((last, sum)) if *last == second => *sum += entered,
                _ => entries.push((second, entered)),
            }
        }
        entries
    }

    /// How many can come in within this time at most; `None` is no limit.
    pub(crate) fn within(&self, time_ms: u64) -> Option<u32> {
        let rate = self.per_minute?;
        // Those of a minute ago make room for others.
        let old = |ahead: u64| self.window[((self.at + ahead) % BUCKETS as u64) as usize];
        let gone: f64 = (1..=time_ms.div_ceil(BUCKET_MS)).map(old).sum();
        let left = (rate - self.sum + gone).max(0.0);
        Some((self.tokens + rate / 60_000.0 * time_ms as f64).min(left).ceil() as u32)
    }

    /// Whole entries that are allowed now; `some_wait` says that there is a line.
    pub(crate) fn allowed(&mut self, now_ms: u64, some_wait: bool) -> u32 {
        self.roll(now_ms, some_wait);
        let Some(rate) = self.per_minute else { return u32::MAX };
        // A little is lost in adding up.
        let left = (rate - self.sum + 1e-6).max(0.0);
        (self.tokens + 1e-6).min(left).floor() as u32
    }

    /// Counts one who came in just after that was allowed.
    pub(crate) fn count(&mut self) {
        self.tokens = (self.tokens - 1.0).max(0.0);
        self.window[(self.at % BUCKETS as u64) as usize] += 1.0;
        self.real[(self.at % BUCKETS as u64) as usize] += 1.0;
        self.sum += 1.0;
    }

    /// Entries in a second, as allowed.
    pub(crate) fn per_second(&self) -> Option<f64> {
        self.per_minute.map(|rate| rate / 60.0)
    }

    fn roll(&mut self, now_ms: u64, some_wait: bool) {
        let now = now_ms / BUCKET_MS;
        let steps = now.saturating_sub(self.at);
        if steps >= BUCKETS as u64 {
            self.window.fill(0.0);
            self.real.fill(0.0);
            self.sum = 0.0;
        } else {
            for at in self.at + 1..=now {
                let old = &mut self.window[(at % BUCKETS as u64) as usize];
                self.sum = (self.sum - *old).max(0.0);
                *old = 0.0;
                self.real[(at % BUCKETS as u64) as usize] = 0.0;
            }
        }
        self.at = self.at.max(now);
        if let Some(rate) = self.per_minute {
            let passed = now_ms.saturating_sub(self.renewed_ms) as f64;
            self.tokens = if some_wait {
                let cap = (rate * AT_ONCE_FROM_LINE).max(1.0);
                (self.tokens.min(cap) + self.even(rate) * passed).min(cap)
            } else {
                (self.tokens + rate / 60_000.0 * passed).min(cap(rate))
            };
        }
        self.renewed_ms = self.renewed_ms.max(now_ms);
    }

    /// Entries in a millisecond that can go on for a minute without meeting the window's bound: the least of what is left
    /// at each later moment, divided by the time until then.
    fn even(&mut self, rate: f64) -> f64 {
        if self.even_at != self.at {
            self.even_at = self.at;
            let (mut still_counted, mut even) = (self.sum, rate / 60_000.0);
            for ahead in 1..BUCKETS as u64 {
                // Just before the oldest bucket that is left goes.
                even = even.min((rate - still_counted).max(0.0) / (ahead * BUCKET_MS) as f64);
                still_counted -= self.window[((self.at + ahead) % BUCKETS as u64) as usize];
            }
            self.even = even;
        }
        self.even
    }
}

/// What may come in at once while nobody waits.
fn cap(per_minute: f64) -> f64 {
    if per_minute < 1.0 { per_minute } else { (per_minute * AT_ONCE).max(1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        /// Whatever the pattern in which they come: in no 60 s more than the limit.
        #[test]
        fn no_minute_has_more_entries_than_allowed(
            rate in 1_u32..3_000,
            gaps in prop::collection::vec((0_u64..20_000, 0_u32..200), 1..200),
        ) {
            let mut pace = Pace::new(1_000_000);
            pace.set(Some(rate), 1_000_000);
            let (mut now, mut entered) = (1_000_000, Vec::new());
            for (gap, wanted) in gaps {
                now += gap;
                for _ in 0..wanted {
                    if pace.allowed(now, wanted % 2 == 0) > 0 {
                        pace.count();
                        entered.push(now);
                    }
                }
            }
            for (first, &start) in entered.iter().enumerate() {
                let within = entered[first..].iter().take_while(|&&at| at < start + 60_000).count();
                prop_assert!(within <= rate as usize, "{within} of {rate}");
            }
        }
    }

    fn entered(pace: &mut Pace, from: u64, seconds: u64) -> u32 {
        let mut count = 0;
        for at in (from..from + seconds * 1_000).step_by(20) {
            while pace.allowed(at, true) > 0 {
                pace.count();
                count += 1;
            }
        }
        count
    }

    #[test]
    fn those_who_wait_come_in_evenly_and_none_is_lost() {
        let mut pace = Pace::new(0);
        pace.set(Some(600), 0);
        entered(&mut pace, 0, 120);
        for second in 0..60 {
            let count = entered(&mut pace, 120_000 + second * 1_000, 1);
            assert!((9..=11).contains(&count), "{count} in second {second}");
        }
        let hour = entered(&mut pace, 180_000, 3_600);
        assert!((35_900..=36_010).contains(&hour), "{hour}");
    }

    #[test]
    fn a_greater_rate_holds_at_once_and_a_rate_that_comes_back_lets_nobody_in_twice() {
        let mut pace = Pace::new(0);
        pace.set(Some(6), 0);
        assert_eq!(entered(&mut pace, 0, 60), 6);
        pace.set(Some(600), 60_000);
        let count = entered(&mut pace, 60_000, 10);
        assert!((80..=110).contains(&count), "{count}");
        let mut pace = Pace::new(0);
        pace.set(Some(600), 0);
        let before = entered(&mut pace, 0, 59);
        pace.set(Some(300), 59_000);
        pace.set(Some(600), 59_000);
        assert!(before + entered(&mut pace, 59_000, 1) <= 600);
    }

    #[test]
    fn half_of_the_rate_is_half_from_the_next_second_on() {
        let mut pace = Pace::new(0);
        pace.set(Some(600), 0);
        entered(&mut pace, 0, 180);
        pace.set(Some(300), 180_000);
        for second in 0..10 {
            let count = entered(&mut pace, 180_000 + second * 1_000, 1);
            assert!((4..=6).contains(&count), "{count} in second {second}");
        }
        let minute = entered(&mut pace, 190_000, 60);
        assert!((297..=301).contains(&minute), "{minute}");
    }
}
