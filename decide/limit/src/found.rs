//! Where a limit begins: with what was found under load before, as long as that says anything, or with what somebody named. Keeps
//! nothing and reads no clock: who asks has both.

use std::time::Duration;
use tentpole_model::{AdaptiveLimit, LimitFrom, LimitStart};

/// For how long a finding counts: application and machines change.
pub const EXPIRES: Duration = Duration::from_secs(90 * 86_400);
/// More at once than this was found by nobody; it is what a configuration may name at most.
pub const LIMIT_MAX: u32 = 1_000_000;
/// Findings of a pool that are looked at, the newest first.
const NEWEST: usize = 32;

/// What was found of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Requests at once ([`crate::Adaptive::found`]).
    pub limit: u32,
    /// When, in seconds since 1970.
    pub at_unix_s: u64,
    /// The `start` that somebody had named by then.
    pub start: Option<u32>,
}

impl Found {
    /// Whether it says where a limit begins: it is not too old, and nobody has named another `start` since. Clocks may be off: what
    /// was found in the future was found just now.
    fn counts(&self, bounds: AdaptiveLimit, now_unix_s: u64) -> bool {
        let is_young = now_unix_s.saturating_sub(self.at_unix_s) <= EXPIRES.as_secs();
        let is_newer = !bounds.is_start_told || self.start == Some(bounds.start);
        is_young && is_newer && (1..=LIMIT_MAX).contains(&self.limit)
    }
}

/// Where a limit within these bounds begins: what was found at this endpoint, or else what was found at others of its pool, or else
/// what is named. It stays within the bounds whatever was found.
pub fn begins(
    bounds: AdaptiveLimit,
    own: Option<Found>,
    others: impl IntoIterator<Item = Found>,
    now_unix_s: u64,
) -> LimitStart {
    let min = bounds.min.max(1);
    let within = |limit: u32| limit.clamp(min, bounds.max.max(min));
    let of =
        |found: Found, from| LimitStart { limit: within(found.limit), from, found_unix_s: found.at_unix_s };
    let counts = |found: &Found| found.counts(bounds, now_unix_s);
    if let Some(own) = own.filter(counts) {
        return of(own, LimitFrom::Found);
    }
    if let Some(fair) = fair(others.into_iter().filter(counts)) {
        return of(fair, LimitFrom::FoundInPool);
    }
    let from = if bounds.is_start_told { LimitFrom::Configured } else { LimitFrom::Usual };
    LimitStart { limit: within(bounds.start), from, found_unix_s: 0 }
}

/// What an endpoint gets that has found nothing itself: the median of the newest of its pool, the lower one of two. It is as old
/// as the newest.
pub fn fair(of_pool: impl IntoIterator<Item = Found>) -> Option<Found> {
    let mut found: Vec<Found> = of_pool.into_iter().collect();
    found.sort_unstable_by_key(|found| std::cmp::Reverse(found.at_unix_s));
    found.truncate(NEWEST);
    let newest = *found.first()?;
    found.sort_unstable_by_key(|found| found.limit);
    Some(Found { limit: found[(found.len() - 1) / 2].limit, ..newest })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn found(limit: u32, days_ago: u64) -> Found {
        Found { limit, at_unix_s: NOW - days_ago * 86_400, start: None }
    }

    fn start(limit: u32, from: LimitFrom, found_unix_s: u64) -> LimitStart {
        LimitStart { limit, from, found_unix_s }
    }

    #[test]
    fn an_endpoint_begins_with_what_was_found_there_or_at_others_or_was_named() {
        let bounds = AdaptiveLimit::default();
        let others = [found(8, 2), found(10, 3), found(90, 4)];
        let at = NOW - 86_400;
        assert_eq!(begins(bounds, Some(found(12, 1)), others, NOW), start(12, LimitFrom::Found, at));
        let of_pool = start(10, LimitFrom::FoundInPool, NOW - 2 * 86_400);
        assert_eq!(begins(bounds, None, others, NOW), of_pool);
        assert_eq!(begins(bounds, None, [], NOW), start(20, LimitFrom::Usual, 0));
        let told = AdaptiveLimit { start: 32, is_start_told: true, ..bounds };
        assert_eq!(begins(told, None, [], NOW), start(32, LimitFrom::Configured, 0));
    }

    #[test]
    fn a_start_that_was_named_later_is_newer_than_what_was_found() {
        let told = AdaptiveLimit { start: 32, is_start_told: true, ..AdaptiveLimit::default() };
        let before = found(12, 1);
        assert_eq!(begins(told, Some(before), [before], NOW).limit, 32);
        let after = Found { start: Some(32), ..before };
        assert_eq!(begins(told, Some(after), [], NOW).limit, 12);
        // It was taken away again.
        assert_eq!(begins(AdaptiveLimit::default(), Some(after), [], NOW).limit, 12);
    }

    #[test]
    fn what_is_old_or_absurd_counts_for_nothing_and_the_rest_stays_within_the_bounds() {
        let bounds = AdaptiveLimit { min: 4, max: 200, ..AdaptiveLimit::default() };
        let limit = |own| begins(bounds, Some(own), [], NOW).limit;
        assert_eq!((limit(found(150, 90)), limit(found(150, 91))), (150, 20));
        assert_eq!(
            (limit(found(0, 1)), limit(found(10_000_000, 1)), limit(found(u32::MAX, 1))),
            (20, 20, 20)
        );
        assert_eq!((limit(found(1, 1)), limit(found(900_000, 1))), (4, 200));
        let later = Found { at_unix_s: u64::MAX, ..found(30, 0) };
        assert_eq!(limit(later), 30, "a clock was off");
    }

    #[test]
    fn the_newest_of_a_pool_say_what_is_fair() {
        assert_eq!(fair([]), None);
        assert_eq!(fair([found(9, 5), found(7, 1)]).unwrap(), found(7, 1));
        // Long gone ones are many, and say nothing any more.
        let gone = (0..500).map(|_| found(400, 60));
        let now = (0..NEWEST).map(|_| found(16, 1));
        assert_eq!(fair(gone.chain(now)).unwrap().limit, 16);
    }
}
