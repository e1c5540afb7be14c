//! How fast a visitor takes what he is sent, or sends what he announced: on the average of the time that is spent waiting for
//! him. Who stands still is somebody else's matter; here is who sends a byte now and then so as not to. Reads no clock.

use std::time::Duration;
use tentpole_model::VisitorLimits;
use tentpole_runtime::clock::Instant;

/// The pace of one body, either way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// He is waited for since then.
    since: Option<Instant>,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    /// He is waited for.
    #[inline]
    pub(crate) fn waits(&mut self, now: Instant) {
        self.since.get_or_insert(now);
    }

    /// So many bytes moved. False when he is too slow: each second that he was waited for, beyond those that are free, must
    /// have brought [`VisitorLimits::pace_min`].
    #[inline]
    pub(crate) fn moved(&mut self, bytes: u64, now: Instant, limits: &VisitorLimits) -> bool {
        self.bytes += bytes;
        let Some(since) = self.since.take() else { return true };
        self.waited += now.since(since);
        let Some(beyond) = self.waited.checked_sub(limits.pace_grace) else { return true };
        let needed = beyond.as_micros().saturating_mul(limits.pace_min.into()) / 1_000_000;
        u128::from(self.bytes) >= needed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// Whether somebody gets through who moves `bytes` every `ms`, for an hour.
    fn holds_out(bytes: u64, ms: u64) -> bool {
        let (mut pace, limits) = (Pace::default(), VisitorLimits::default());
        (0..3_600_000 / ms).all(|step| {
            pace.waits(at(step * ms));
            pace.moved(bytes, at((step + 1) * ms), &limits)
        })
    }

    #[test]
    fn a_trickle_does_not_hold_a_connection() {
        assert!(!holds_out(1, 5_000) && !holds_out(68, 10_000) && !holds_out(400, 1_000));
        assert!(holds_out(500, 1_000) && holds_out(16_384, 25_000), "slow, and honest");
    }

    #[test]
    fn only_time_that_was_waited_counts() {
        let (mut pace, limits) = (Pace::default(), VisitorLimits::default());
        for minute in 0..600 {
            // A byte a minute is all there is to send, and he takes it at once.
            pace.waits(at(minute * 60_000));
            assert!(pace.moved(1, at(minute * 60_000 + 1), &limits));
        }
        let none = VisitorLimits { pace_min: 0, ..VisitorLimits::default() };
        pace.waits(at(100_000_000));
        assert!(pace.moved(0, at(200_000_000), &none), "0 asks for nothing");
    }
}
