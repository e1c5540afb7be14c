//! An agent's clock, as far as the coordinator knows it: found by exchanges before the run, looked at again every second, and
//! followed once it has certainly moved. Pure.
//!
//! As NTP does (RFC 5905 section 8): half way between question and answer the agent's clock said what it said, and that is wrong by
//! half of the round trip at most. Of the last exchanges the one counts whose bound is the closest (its section 10), where the bound grows
//! with its age.

use std::collections::VecDeque;
use std::time::Duration;

/// Exchanges of which the best counts.
const KEPT_MAX: usize = 8;
/// How much a clock may have moved since it was looked at, in millionths: more than crystals do, which are wrong by 100 at most.
const DRIFT_PPM: u64 = 200;

/// One exchange, in µs: when it was asked and answered by our clock, and what the other one said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) sent: u64,
    pub(crate) back: u64,
    pub(crate) there: u64,
}

impl Exchange {
    fn round_trip(self) -> u64 {
        self.back.saturating_sub(self.sent)
    }

    /// Its clock less ours.
    fn offset(self) -> i64 {
        self.there as i64 - (self.sent / 2 + self.back / 2) as i64
    }

    /// How far that may be off at this moment.
    fn error(self, now: u64) -> u64 {
        self.round_trip() / 2 + 1 + now.saturating_sub(self.back) * DRIFT_PPM / 1_000_000
    }
}

/// What is known of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    kept: VecDeque<Exchange>,
    /// By what its moments are told, and by what they were at first.
    used: Option<Exchange>,
    first: Option<Exchange>,
}

impl Clock {
    /// Before anything is told by it: the shortest of all exchanges counts.
    pub(crate) fn find(&mut self, exchange: Exchange) {
        if self.used.is_none_or(|used| exchange.round_trip() < used.round_trip()) {
            (self.used, self.first) = (Some(exchange), Some(exchange));
        }
    }

    /// Another look. Whether it has moved for certain: then its moments are told otherwise from now on.
    pub(crate) fn look(&mut self, exchange: Exchange) -> bool {
        self.kept.push_back(exchange);
        if self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
        let now = exchange.back;
        let (Some(best), Some(used)) =
            (self.kept.iter().min_by_key(|one| one.error(now)).copied(), self.used)
        else {
            return false;
        };
        // Two clocks that run alike would agree within what either may be off.
        let apart = best.offset().abs_diff(used.offset());
        let has_moved = apart > best.round_trip() / 2 + used.round_trip() / 2 + 2;
        if has_moved {
            self.used = Some(best);
            // Those before say what it was.
            self.kept.retain(|one| one.back >= best.back);
        }
        has_moved
    }

    /// Its clock less ours, in µs.
    pub(crate) fn offset_us(&self) -> i64 {
        self.used.map_or(0, Exchange::offset)
    }

    /// By how much that has moved since the beginning, in µs.
    pub(crate) fn moved_us(&self) -> i64 {
        self.offset_us() - self.first.map_or(0, Exchange::offset)
    }

    /// The round trip by which it was found.
    pub(crate) fn round_trip(&self) -> Duration {
        self.used.map_or(Duration::MAX, |used| Duration::from_micros(used.round_trip().max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_runtime::Random;

    /// Exchanges of a way that takes 100 to 20,100 µs in each direction, each its own, with a clock that is so far ahead.
    struct Way(Random);

    impl Way {
        fn exchange(&mut self, sent: u64, ahead: impl Fn(u64) -> i64) -> Exchange {
            let there = sent + 100 + self.0.next_u64() % 20_000;
            let back = there + 100 + self.0.next_u64() % 20_000;
            Exchange { sent, back, there: (there as i64 + ahead(there)) as u64 }
        }
    }

    fn found(way: &mut Way, ahead: impl Fn(u64) -> i64 + Copy) -> Clock {
        let mut clock = Clock::default();
        (0..16).for_each(|n| clock.find(way.exchange(1_000_000 + n * 50_000, ahead)));
        clock
    }

    #[test]
    fn a_clock_that_runs_right_is_never_said_to_have_moved_however_slow_the_way() {
        let mut way = Way(Random::from_seed(1));
        let mut clock = found(&mut way, |_| 77_000_000);
        for second in 3..20_000 {
            assert!(!clock.look(way.exchange(second * 1_000_000, |_| 77_000_000)), "{second}");
        }
        assert_eq!(clock.moved_us(), 0);
    }

    #[test]
    fn a_clock_that_runs_wrong_is_followed_over_hours_within_what_the_way_allows() {
        for ppm in [-100, 30, 100, 5_000] {
            let mut way = Way(Random::from_seed(2));
            let ahead = |at: u64| 5_000_000_000 + at as i64 * ppm / 1_000_000;
            let mut clock = found(&mut way, ahead);
            for second in 3..4 * 3_600 {
                let sent = second * 1_000_000;
                clock.look(way.exchange(sent, ahead));
                // What both exchanges may be off, and eight seconds of its drift.
                let bound = 61_000 + 8 * ppm.unsigned_abs();
                let off = clock.offset_us().abs_diff(ahead(sent));
                assert!(off <= bound, "{ppm} ppm, {second} s: off by {off} us");
            }
            let moved = 4 * 3_600 * ppm;
            assert!(
                clock.moved_us().abs_diff(moved) < 61_000 + 8 * ppm.unsigned_abs(),
                "{}",
                clock.moved_us()
            );
        }
    }

    #[test]
    fn a_machine_that_was_held_for_a_second_is_followed_at_once() {
        let mut way = Way(Random::from_seed(3));
        let ahead = |at: u64| if at < 60_000_000 { 1_000_000 } else { 0 };
        let mut clock = found(&mut way, ahead);
        let moved: Vec<u64> =
            (3..80).filter(|second| clock.look(way.exchange(second * 1_000_000, ahead))).collect();
        assert!(moved.first().is_some_and(|second| (60..68).contains(second)), "{moved:?}");
        assert!(clock.offset_us().unsigned_abs() < 25_000, "{}", clock.offset_us());
    }
}
