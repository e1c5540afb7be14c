//! What a visitor may cost by frames that bring nothing: a bucket for each kind, filled by time and by work that was
//! worth it. Pure: sees neither frames nor a clock.
//!
//! Answering a PING or a SETTINGS frame, and taking back a request that was just begun (CVE-2023-44487), costs us more
//! than it costs who sends it. The `h2` crate bounds what such frames leave in memory; this bounds how many there are.

use crate::http2::frames::Kind;
use tentpole_runtime::Instant;

/// Frames that bring nothing, at once. A browser sends some ten at the start, and two for each window that it opens.
const IDLE_FRAMES_MAX: u32 = 2_000;
/// And for each second.
const IDLE_FRAMES_PER_SECOND: u32 = 200;
/// A frame of content, in either direction, is answered by two that open the window again.
const IDLE_FRAMES_PER_CONTENT: u32 = 3;
/// A request comes with some: its place among others, and its windows.
const IDLE_FRAMES_PER_REQUEST: u32 = 5;
/// Requests taken back at once: leaving a page with all its pictures under way takes back a hundred.
const RESETS_MAX: u32 = 200;
/// And for each second.
const RESETS_PER_SECOND: u32 = 20;

/// What one connection may still cost.
#[derive(Debug)]
pub(crate) struct Budget {
    idle_frames: Bucket,
    resets: Bucket,
}

#[derive(Debug)]
struct Bucket {
    left: u32,
    max: u32,
    per_second: u32,
    filled_at: Instant,
}

impl Budget {
    /// A full one.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            idle_frames: Bucket::new(IDLE_FRAMES_MAX, IDLE_FRAMES_PER_SECOND, now),
            resets: Bucket::new(RESETS_MAX, RESETS_PER_SECOND, now),
        }
    }

    /// Takes a frame off; false when it is one too many.
    #[must_use]
    pub(crate) fn takes(&mut self, kind: Kind, now: Instant) -> bool {
        match kind {
            Kind::Request => self.idle_frames.give(IDLE_FRAMES_PER_REQUEST),
            Kind::Content => self.idle_frames.give(IDLE_FRAMES_PER_CONTENT),
            Kind::Idle => return self.idle_frames.take(now),
            Kind::Reset => return self.resets.take(now),
        }
        true
    }

    /// A frame of content was sent.
    pub(crate) fn sent(&mut self) {
        self.idle_frames.give(IDLE_FRAMES_PER_CONTENT);
    }

    /// A response was sent to its end: whoever takes as many as that may take one back, for a proxy does so on behalf of
    /// many visitors.
    pub(crate) fn answered(&mut self) {
        self.resets.give(1);
    }
}

impl Bucket {
    fn new(max: u32, per_second: u32, now: Instant) -> Self {
        Self { left: max, max, per_second, filled_at: now }
    }

    fn give(&mut self, count: u32) {
        self.left = self.left.saturating_add(count).min(self.max);
    }

    fn take(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            let seconds = now.since(self.filled_at).as_secs_f64().min(3_600.0);
            let more = (seconds * f64::from(self.per_second)) as u32;
            if more == 0 {
                return false;
            }
            self.give(more);
            self.filled_at = now;
        }
        self.left -= 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> Instant {
        Instant::from_micros(1_000_000 + milliseconds * 1_000)
    }

    #[test]
    fn requests_taken_back_are_bounded_at_once_and_by_the_second() {
        let mut budget = Budget::new(at(0));
        assert!((0..RESETS_MAX).all(|_| budget.takes(Kind::Reset, at(0))));
        assert!(!budget.takes(Kind::Reset, at(0)));
        assert_eq!((0..100).filter(|_| budget.takes(Kind::Reset, at(1_000))).count(), 20);
    }

    #[test]
    fn who_takes_what_he_asks_for_may_take_as_much_back() {
        let mut budget = Budget::new(at(0));
        for _ in 0..10_000 {
            assert!(budget.takes(Kind::Request, at(0)));
            budget.answered();
            assert!(budget.takes(Kind::Request, at(0)));
            assert!(budget.takes(Kind::Reset, at(0)));
        }
    }

    #[test]
    fn windows_that_are_opened_for_content_cost_nothing() {
        let mut budget = Budget::new(at(0));
        for _ in 0..10_000 {
            budget.sent();
            assert!(budget.takes(Kind::Idle, at(0)) && budget.takes(Kind::Idle, at(0)));
        }
        budget.sent();
        assert!((0..IDLE_FRAMES_MAX).all(|_| budget.takes(Kind::Idle, at(0))));
        assert!(!budget.takes(Kind::Idle, at(0)));
    }
}
