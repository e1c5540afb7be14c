//! What moves a limit besides measurements, and what does not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;
use tentpole_limit::{Adaptive, Seen};
use tentpole_model::{AdaptiveLimit, LimitWhy};

const START: AdaptiveLimit = AdaptiveLimit { start: 40, min: 2, max: 100 };

/// Looks ten times a second for so long; `seen` says what, by the number of the look.
fn looks(limit: &mut Adaptive, from_s: u64, seconds: u64, seen: impl Fn(u64, u32) -> Seen) {
    for look in from_s * 10..(from_s + seconds) * 10 {
        let now = Duration::from_millis(100 * look);
        let seen = seen(look, limit.limit());
        limit.look(now, seen);
    }
}

#[test]
fn while_nobody_waits_it_stays() {
    let mut limit = Adaptive::new(START);
    looks(&mut limit, 0, 3_600, |look, _| Seen { in_flight: 12, good: look * 30, ..Seen::default() });
    assert_eq!((limit.limit(), limit.why()), (40, LimitWhy::Start));
}

#[test]
fn time_outs_take_it_down_and_not_below_the_least() {
    let mut limit = Adaptive::new(START);
    let failing = |look, in_flight| Seen { in_flight, waiting: 0, good: look, overloaded: look };
    looks(&mut limit, 0, 5, failing);
    assert!(limit.upper_level() <= 20 && limit.why() == LimitWhy::Overloaded, "{limit:?}");
    looks(&mut limit, 5, 60, failing);
    assert!((2..=3).contains(&limit.limit()), "{limit:?}");
}

#[test]
fn time_outs_of_an_endpoint_that_has_little_to_do_are_no_reason() {
    let mut limit = Adaptive::new(START);
    looks(&mut limit, 0, 60, |look, _| Seen { in_flight: 3, waiting: 0, good: look, overloaded: look });
    assert_eq!(limit.limit(), 40);
}

#[test]
fn it_grows_no_further_than_it_may() {
    let mut limit = Adaptive::new(START);
    // It answers whatever it gets in a tenth of a second.
    let mut good = 0;
    for look in 0..3_000 {
        let level = limit.limit();
        good += u64::from(level);
        let seen = Seen { in_flight: level, waiting: 50, good, overloaded: 0 };
        limit.look(Duration::from_millis(100 * look), seen);
        assert!((30..=100).contains(&limit.limit()), "{}", limit.limit());
    }
    assert_eq!((limit.upper_level(), limit.why()), (100, LimitWhy::CarriesMore));
}

#[test]
fn an_endpoint_that_answers_nothing_moves_nothing() {
    let mut limit = Adaptive::new(START);
    looks(&mut limit, 0, 600, |_, level| Seen { in_flight: level, waiting: 50, ..Seen::default() });
    assert_eq!(limit.upper_level(), 40);
}

#[test]
fn other_bounds_keep_what_was_found_where_they_can() {
    let mut limit = Adaptive::new(START);
    looks(&mut limit, 0, 5, |look, in_flight| Seen { in_flight, waiting: 0, good: look, overloaded: look });
    let found = limit.upper_level();
    limit.stay_within(AdaptiveLimit { start: 80, ..START });
    assert_eq!(limit.upper_level(), found, "another start is no news to what was found");
    limit.stay_within(AdaptiveLimit { start: 50, min: 50, max: 90 });
    assert!((50..=90).contains(&limit.limit()), "{}", limit.limit());
    let mut fixed = Adaptive::new(AdaptiveLimit { start: 7, min: 7, max: 7 });
    looks(&mut fixed, 0, 60, |look, level| Seen { in_flight: level, waiting: 9, good: look, overloaded: 0 });
    assert_eq!(fixed.limit(), 7);
}
