//! What moves a limit besides measurements, and what does not.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;
use tentpole_limit::{Adaptive, Seen};
use tentpole_model::{AdaptiveLimit, LimitWhy};

const START: AdaptiveLimit = AdaptiveLimit { start: 40, is_start_told: false, min: 2, max: 100 };

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
    limit.stay_within(AdaptiveLimit { start: 50, min: 50, max: 90, ..START });
    assert!((50..=90).contains(&limit.limit()), "{}", limit.limit());
    let mut fixed = Adaptive::new(AdaptiveLimit { start: 7, min: 7, max: 7, ..START });
    looks(&mut fixed, 0, 60, |look, level| Seen { in_flight: level, waiting: 9, good: look, overloaded: 0 });
    assert_eq!(fixed.limit(), 7);
}

/// What an endpoint answers that carries as many at once as `knee`, each in a tenth of a second.
fn carries(limit: &mut Adaptive, from_s: u64, seconds: u64, knee: u32, overloaded: u64) {
    let mut good = from_s * 1_000_000;
    for look in from_s * 10..(from_s + seconds) * 10 {
        let level = limit.limit();
        good += u64::from(level.min(knee));
        limit.look(
            Duration::from_millis(100 * look),
            Seen { in_flight: level, waiting: 50, good, overloaded },
        );
    }
}

#[test]
fn what_was_not_reached_under_load_is_no_finding() {
    let mut limit = Adaptive::new(START);
    looks(&mut limit, 0, 600, |look, _| Seen { in_flight: 12, good: look * 30, ..Seen::default() });
    assert_eq!(limit.found(), None, "nobody waited");
    let failing = |look, in_flight| Seen { in_flight, waiting: 9, good: 0, overloaded: look };
    looks(&mut limit, 600, 60, failing);
    assert_eq!((limit.found(), limit.why()), (None, LimitWhy::Overloaded), "it was broken");
    assert!(limit.limit() <= 3, "{limit:?}");
    carries(&mut limit, 700, 300, 30, 600);
    let found = limit.found().expect("it was measured");
    assert!((20..=45).contains(&found) && found == limit.upper_level(), "{limit:?}");
}

#[test]
fn an_endpoint_that_breaks_leaves_half_of_what_was_found_and_no_less() {
    let mut limit = Adaptive::found_before(START, 60);
    assert_eq!((limit.found(), limit.upper_level(), limit.why()), (Some(60), 60, LimitWhy::Start));
    looks(&mut limit, 0, 60, |look, in_flight| Seen { in_flight, waiting: 9, good: 0, overloaded: look });
    assert!(limit.limit() <= 3, "it gets nearly nothing now: {limit:?}");
    assert_eq!(limit.found(), Some(30));
    // Whoever goes on and is measured there says it anew.
    carries(&mut limit, 100, 300, 10, 600);
    assert!(limit.found().is_some_and(|found| (5..=15).contains(&found)), "{limit:?}");
}

#[test]
fn it_goes_along_with_its_pool_until_it_has_something_to_do() {
    let mut limit = Adaptive::new(START);
    limit.goes_along(8);
    assert_eq!((limit.upper_level(), limit.found()), (8, None));
    limit.goes_along(9_000);
    assert_eq!(limit.upper_level(), 100, "no further than it may");
    limit.goes_along(10);
    looks(&mut limit, 0, 1, |_, in_flight| Seen { in_flight, waiting: 9, ..Seen::default() });
    limit.goes_along(50);
    assert!(limit.upper_level() <= 10, "it is measured: {limit:?}");
    let mut found = Adaptive::found_before(START, 60);
    found.goes_along(8);
    assert_eq!(found.upper_level(), 60);
}

#[test]
fn it_begins_with_what_was_found_exactly_and_within_its_bounds() {
    for limit in 2..=100 {
        let begun = Adaptive::found_before(START, limit);
        // Between some upper levels there is none: 4 and 5 have 3 and 4 below them, and 6 has 4.
        assert!((limit.max(3) - begun.upper_level()) <= 1, "{limit}: {}", begun.upper_level());
    }
    assert_eq!(Adaptive::found_before(START, 10_000_000).upper_level(), 100);
    let mut kept = Adaptive::found_before(START, 60);
    kept.stay_within(AdaptiveLimit { max: 90, ..START });
    assert_eq!(kept.upper_level(), 60, "other bounds are no reason to forget it");
}
