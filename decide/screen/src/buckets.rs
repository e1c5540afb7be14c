//! How often each of millions of keys has asked lately, in memory that does not grow: the generic cell rate algorithm
//! (ITU-T I.371 annex A, "virtual scheduling"), which needs one number for each key, in a table of sets of four. Takes no
//! lock, never waits for another thread.
//!
//! The table forgets when it is full: of the four keys of a set, the one that owes least makes room. So whoever cycles
//! through addresses pushes out other addresses that asked little, never those that are being refused; and who is pushed
//! out begins anew with a full bucket. Nobody is refused because others asked. Who shares a set with whom hangs on a
//! secret in the key's hash.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Keys in one set: one line of a processor's cache.
const WAYS: usize = 4;
/// Tag of a slot that is free.
const FREE: u64 = 0;
/// Tag of a slot that is changing hands.
const CHANGING: u64 = 1;
/// How often a key is looked for again, when another thread changed its slot meanwhile. Who was not lucky passes.
const TRIES: usize = 8;

/// How much may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Time that one request uses up, in nanoseconds: T.
    pub each_ns: u64,
    /// How far ahead of its time a request may come, in nanoseconds: tau.
    pub ahead_ns: u64,
}

impl Rate {
    /// So many requests in a time, and so many at once. Fewer than one request counts as one.
    pub fn new(requests: u32, per: Duration, burst: u32) -> Self {
        let per_ns = u64::try_from(per.as_nanos()).unwrap_or(u64::MAX / 2);
        // Rounded up, so that it is never more than the rate.
        let each_ns = per_ns.div_ceil(requests.max(1).into()).max(1);
        Self { each_ns, ahead_ns: each_ns.saturating_mul(u64::from(burst.max(1)) - 1) }
    }
}

/// When the next request of a key is due: its theoretical arrival time.
#[derive(Debug)]
struct Slot {
    tag: AtomicU64,
    due_ns: AtomicU64,
}

#[derive(Debug)]
#[repr(align(64))]
struct Set([Slot; WAYS]);

/// What each key has used up.
#[derive(Debug)]
pub struct Buckets {
    sets: Box<[Set]>,
}

impl Buckets {
    /// Room for at least so many keys, 16 bytes each.
    pub fn new(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS).next_power_of_two();
        let slot = |_| Slot { tag: AtomicU64::new(FREE), due_ns: AtomicU64::new(0) };
        Self { sets: (0..sets).map(|_| Set([0, 1, 2, 3].map(slot))).collect() }
    }

    /// Keys that it has room for.
    pub fn room(&self) -> usize {
        self.sets.len() * WAYS
    }

    /// Takes one request out of the key's bucket at this time, or says how long it takes until there is one again.
    /// `key` is a hash that nobody outside can foresee; `now_ns` counts from any beginning. Threads that meet a new key in
    /// the same instant may let one more through each.
    ///
    /// # Errors
    /// Until then nothing is left in it; nothing was taken.
    pub fn take(&self, key: u64, rate: Rate, now_ns: u64) -> Result<(), Duration> {
        let tag = key.max(CHANGING + 1);
        let set = &self.sets[(key as usize) & (self.sets.len() - 1)].0;
        for _ in 0..TRIES {
            let found = match set.iter().find(|slot| slot.tag.load(Ordering::Acquire) == tag) {
                Some(slot) => slot.charge(tag, rate, now_ns),
                None => begin(set, tag, rate, now_ns),
            };
            if let Some(answer) = found {
                return answer;
            }
            std::hint::spin_loop();
        }
        Ok(())
    }

    /// How long it would take until the key may ask, without taking anything.
    pub fn peek(&self, key: u64, rate: Rate, now_ns: u64) -> Duration {
        let tag = key.max(CHANGING + 1);
        let set = &self.sets[(key as usize) & (self.sets.len() - 1)].0;
        let slot = set.iter().find(|slot| slot.tag.load(Ordering::Acquire) == tag);
        let due = slot.map_or(0, |slot| slot.due_ns.load(Ordering::Relaxed));
        Duration::from_nanos(due.saturating_sub(now_ns).saturating_sub(rate.ahead_ns))
    }
}

impl Slot {
    /// `None` when the slot changed hands.
    fn charge(&self, tag: u64, rate: Rate, now_ns: u64) -> Option<Result<(), Duration>> {
        let mut due = self.due_ns.load(Ordering::Acquire);
        loop {
            if self.tag.load(Ordering::Acquire) != tag {
                return None;
            }
            let from = due.max(now_ns);
            let early = (from - now_ns).saturating_sub(rate.ahead_ns);
            if early > 0 {
                return Some(Err(Duration::from_nanos(early)));
            }
            let next = from.saturating_add(rate.each_ns);
            match self.due_ns.compare_exchange_weak(due, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Some(Ok(())),
                Err(other) => due = other,
            }
        }
    }
}

/// Gives a new key the slot that is free or owes least. `None` when another thread was faster.
fn begin(set: &[Slot; WAYS], tag: u64, rate: Rate, now_ns: u64) -> Option<Result<(), Duration>> {
    let owes = |slot: &Slot| match slot.tag.load(Ordering::Relaxed) {
        FREE => 0,
        CHANGING => u64::MAX,
        _ => slot.due_ns.load(Ordering::Relaxed),
    };
    let slot = set.iter().min_by_key(|slot| owes(slot))?;
    let before = slot.tag.load(Ordering::Acquire);
    if before == CHANGING || before == tag {
        return None;
    }
    slot.tag.compare_exchange(before, CHANGING, Ordering::AcqRel, Ordering::Relaxed).ok()?;
    // A full bucket, of which one is taken: what the key before it owed is not the new one's.
    slot.due_ns.store(now_ns.saturating_add(rate.each_ns), Ordering::Release);
    slot.tag.store(tag, Ordering::Release);
    Some(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_passes_and_what_comes_behind_it_hears_exactly_when_to_come_again() {
        let (buckets, rate) = (Buckets::new(16), Rate::new(10, Duration::from_secs(1), 3));
        let take = |now| buckets.take(77, rate, now);
        assert_eq!([take(SECOND), take(SECOND), take(SECOND)], [Ok(()); 3]);
        let wait = take(SECOND).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        assert_eq!(buckets.peek(77, rate, SECOND), wait);
        let due = SECOND + 100_000_000;
        assert_eq!(take(due - 1), Err(Duration::from_nanos(1)));
        assert_eq!(take(due), Ok(()));
        assert_eq!(take(due), Err(Duration::from_millis(100)));
        assert_eq!(take(60 * SECOND), Ok(()));
    }

    #[test]
    fn who_is_refused_stays_refused_while_strangers_cycle_through_the_table() {
        let (buckets, rate) = (Buckets::new(64), Rate::new(1, Duration::from_secs(60), 5));
        let loud = 0x1234_5678_9abc_def0;
        while buckets.take(loud, rate, SECOND).is_ok() {}
        for stranger in 0..10_000u64 {
            let key = stranger.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert_eq!(buckets.take(key, rate, SECOND), Ok(()), "a full table refuses nobody");
        }
        assert!(buckets.take(loud, rate, SECOND).is_err());
    }

    #[test]
    fn threads_share_a_bucket() {
        let (buckets, rate) = (Buckets::new(1 << 10), Rate::new(1, Duration::from_secs(3_600), 100));
        let (keys, threads) = (50, 4);
        let passed: Vec<AtomicU64> = (0..keys).map(|_| AtomicU64::new(0)).collect();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for round in 0..200 * keys {
                        let at = (round % keys) as usize;
                        let key = (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                        if buckets.take(key, rate, SECOND).is_ok() {
                            passed[at].fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        for passed in &passed {
            let passed = passed.load(Ordering::Relaxed);
            assert!((100..=100 + threads).contains(&passed), "{passed} of a burst of 100");
        }
    }

    proptest! {
        /// In whatever window, no more than a burst and what the rate gives in it.
        #[test]
        fn never_more_than_the_rate_and_a_burst(
            requests in 1..50u32, per_ms in 1..5_000u64, burst in 1..20u32,
            steps in proptest::collection::vec(0..200_000_000u64, 1..300),
        ) {
            let (buckets, rate) = (Buckets::new(4), Rate::new(requests, Duration::from_millis(per_ms), burst));
            let (mut now, mut passed) = (SECOND, Vec::new());
            for step in steps {
                now += step;
                if buckets.take(9, rate, now).is_ok() {
                    passed.push(now);
                }
            }
            for (from, &first) in passed.iter().enumerate() {
                for (to, &last) in passed.iter().enumerate().skip(from) {
                    let most = u64::from(burst) + (last - first) / rate.each_ns;
                    let count = (to - from + 1) as u64;
                    prop_assert!(count <= most, "{count} in {} ns", last - first);
                }
            }
        }

        /// What was told to come again then, may.
        #[test]
        fn who_waits_as_he_was_told_passes(
            requests in 1..50u32, per_ms in 1..5_000u64, burst in 1..20u32, gaps in proptest::collection::vec(0..10_000_000u64, 1..60),
        ) {
            let (buckets, rate) = (Buckets::new(4), Rate::new(requests, Duration::from_millis(per_ms), burst));
            let mut now = SECOND;
            for gap in gaps {
                now += gap;
                if let Err(wait) = buckets.take(9, rate, now) {
                    now += wait.as_nanos() as u64;
                    prop_assert_eq!(buckets.take(9, rate, now), Ok(()));
                }
            }
        }

        /// Keys do not feel one another, while they have room.
        #[test]
        fn two_keys_do_not_share(first in 2..u64::MAX, second in 2..u64::MAX) {
            prop_assume!(first != second);
            let (buckets, rate) = (Buckets::new(4), Rate::new(1, Duration::from_secs(60), 2));
            while buckets.take(first, rate, SECOND).is_ok() {}
            prop_assert_eq!(buckets.take(second, rate, SECOND), Ok(()));
            prop_assert_eq!(buckets.take(second, rate, SECOND), Ok(()));
            prop_assert!(buckets.take(second, rate, SECOND).is_err());
        }
    }
}
