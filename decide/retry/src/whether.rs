//! Whether a request may be sent once more after what came of its last attempt, and whether that is a copy which the
//! budget counts.

use std::time::Duration;
use tentpole_model::{Cause, Failure, Method, NotAgain, Phase, Retry, RetryMethods, Retrying};

/// What is known of a request after an attempt.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Its method.
    pub method: Method,
    /// Nothing of its body was read: it could be sent again as a whole.
    pub whole: bool,
    /// The attempt was made on a kept connection, which died under it.
    pub kept_died: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The visitor gets what came of it.
    Nothing,
    /// It would have been sent again, but for this.
    Not(NotAgain),
    /// It is sent again. No endpoint works on it twice, so it costs nothing.
    Moved,
    /// It is sent again, when the budget has a copy left: an endpoint may be at work on it.
    Copied,
}

/// After an attempt that failed.
///
/// A request that did not reach an endpoint is no copy, wherever it goes then. Neither is one whose kept connection died: it had
/// served before, and each that dies so costs a connection that served, so there are never more of these than good
/// answers. Without that exception a restart, which ends all connections at once, would spend the budget of a small site.
pub fn after_failure(retrying: &Retrying, failure: &Failure, asked: Asked) -> After {
    let Asked { method, whole, kept_died } = asked;
    if !whole {
        return After::Nothing;
    }
    match failure.retry {
        Retry::Never => After::Nothing,
        Retry::Unsent if failure.phase == Phase::Connect && !retrying.on.connect => After::Nothing,
        Retry::Unsent => After::Moved,
        Retry::IfSafe if kept_died && method.is_safe() => After::Moved,
        Retry::IfSafe if !retrying.methods.allow(method) => After::Nothing,
        // Only when told: the endpoint is slow, and a second copy would make it slower.
        Retry::IfSafe if failure.source == Cause::TimedOut && !retrying.on.timeout => After::Nothing,
        Retry::IfSafe if failure.source != Cause::TimedOut && !retrying.on.reset => After::Nothing,
        Retry::IfSafe => After::Copied,
    }
}

/// After an answer with this status. `retry_after` is its field of that name (RFC 9110 section 10.2.3).
pub fn after_status(retrying: &Retrying, status: u16, retry_after: Option<&[u8]>, asked: Asked) -> After {
    let told = retrying.on.statuses.contains(&status);
    if !told || !asked.whole || !retrying.methods.allow(asked.method) {
        return After::Nothing;
    }
    match retry_after {
        None | Some(b"0") => After::Copied,
        Some(_) => After::Not(NotAgain::ToldToWait),
    }
}

/// How long to wait before the same endpoint is asked again, `nth` attempts after the first: doubled each time, and any
/// part of it at random, so that those who failed together do not come back together (Brooker, "Exponential Backoff And
/// Jitter", 2015).
pub fn pause(nth: u32, random: u64) -> Duration {
    let longest_us = 25_000u64 << nth.min(6);
    Duration::from_micros(random % longest_us + 1)
}

/// Whether a request can have a second copy under way: it is safe, or was told to be.
pub fn may_hedge(methods: RetryMethods, method: Method) -> bool {
    method.is_safe() && methods.allow(method)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::RetryOn;

    const GET: Asked = Asked { method: Method::Get, whole: true, kept_died: false };
    const POST: Asked = Asked { method: Method::Post, ..GET };

    fn refused() -> Failure {
        Failure::upstream(Phase::Connect, Retry::Unsent, Cause::Closed)
    }

    fn reset() -> Failure {
        Failure::upstream(Phase::FirstByte, Retry::IfSafe, Cause::Closed)
    }

    fn late() -> Failure {
        Failure::upstream(Phase::FirstByte, Retry::IfSafe, Cause::TimedOut)
    }

    #[test]
    fn by_default_what_reached_nobody_moves_and_what_is_safe_is_copied() {
        let usual = Retrying::default();
        assert_eq!(after_failure(&usual, &refused(), POST), After::Moved);
        assert_eq!(after_failure(&usual, &refused(), Asked { whole: false, ..POST }), After::Nothing);
        assert_eq!(after_failure(&usual, &reset(), GET), After::Copied);
        assert_eq!(after_failure(&usual, &reset(), POST), After::Nothing);
        assert_eq!(after_failure(&usual, &late(), GET), After::Nothing);
        assert_eq!(after_status(&usual, 503, None, GET), After::Nothing);
    }

    #[test]
    fn a_kept_connection_that_died_costs_nothing_where_the_request_is_safe() {
        let (usual, died) = (Retrying::default(), |asked: Asked| Asked { kept_died: true, ..asked });
        assert_eq!(after_failure(&usual, &reset(), died(GET)), After::Moved);
        assert_eq!(after_failure(&usual, &reset(), died(POST)), After::Nothing);
    }

    #[test]
    fn what_is_told_widens_it() {
        let on = RetryOn { timeout: true, statuses: vec![502, 503], ..RetryOn::default() };
        let told = Retrying { on, methods: RetryMethods::Idempotent, ..Retrying::default() };
        let (put, delete) = (Asked { method: Method::Put, ..GET }, Asked { method: Method::Delete, ..GET });
        assert_eq!(after_failure(&told, &late(), GET), After::Copied);
        assert_eq!(after_failure(&told, &reset(), put), After::Copied);
        assert_eq!(after_failure(&told, &reset(), Asked { whole: false, ..put }), After::Nothing);
        assert_eq!(after_failure(&told, &reset(), POST), After::Nothing);
        assert_eq!(after_status(&told, 503, None, delete), After::Copied);
        assert_eq!(after_status(&told, 500, None, delete), After::Nothing);
        let all = Retrying { methods: RetryMethods::All, ..told };
        assert_eq!(after_status(&all, 502, None, POST), After::Copied);
    }

    #[test]
    fn what_is_told_narrows_it() {
        let on = RetryOn { connect: false, reset: false, ..RetryOn::default() };
        let told = Retrying { on, ..Retrying::default() };
        assert_eq!(after_failure(&told, &refused(), GET), After::Nothing);
        assert_eq!(after_failure(&told, &reset(), GET), After::Nothing);
    }

    #[test]
    fn who_is_told_to_wait_does_not_come_back_at_once() {
        let on = RetryOn { statuses: vec![503], ..RetryOn::default() };
        let told = Retrying { on, ..Retrying::default() };
        assert_eq!(after_status(&told, 503, Some(b"5"), GET), After::Not(NotAgain::ToldToWait));
        assert_eq!(after_status(&told, 503, Some(b"0"), GET), After::Copied);
        assert_eq!(after_status(&told, 200, Some(b"5"), GET), After::Nothing);
    }

    #[test]
    fn pauses_grow_and_end() {
        assert!(pause(0, u64::MAX) <= Duration::from_millis(25));
        assert!(pause(1, 49_999) == Duration::from_millis(50));
        assert!(pause(u32::MAX, u64::MAX) < Duration::from_secs(2));
        assert!(pause(0, 0) > Duration::ZERO);
    }
}
