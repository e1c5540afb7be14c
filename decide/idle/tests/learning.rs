//! What is learned of endpoints of all kinds: those with one limit, those whose limit changes, and those that say it.

use proptest::prelude::*;
use std::time::Duration;
use tentpole_idle::{Lately, Limit, Need, WINDOW, announced};

fn ms(millis: u32) -> Duration {
    Duration::from_millis(millis.into())
}

/// An endpoint that closes at `limit`, looked at after `age`: what is seen of a connection that was open at the look
/// `before`.
fn look(known: Limit, limit: u32, age: u32, before: u32) -> Limit {
    if age < limit { known.survived(ms(age)) } else { known.closed_after(ms(before.min(limit - 1))) }
}

#[test]
fn nothing_is_known_at_first() {
    let known = Limit::default();
    assert_eq!((known.closed(), known.usable_below(Need::Usable)), (None, None));
    assert_eq!(known.usable_below(Need::Fresh), Some(ms(10)), "only on what was used just now");
    assert_eq!(known.bits(), 0);
}

#[test]
fn one_closed_connection_teaches_the_limit() {
    let known = Limit::default().survived(ms(900)).closed_after(ms(900));
    assert_eq!(known.usable_below(Need::Usable), Some(ms(810)));
    assert_eq!(known.usable_below(Need::Fresh), Some(ms(450)));
    assert_eq!(known.bits() >> 32, 900);
}

#[test]
fn a_restart_is_forgotten_by_one_connection_that_lives_on() {
    // A limit of a minute; then everything closes at once, some of it just used.
    let mut known = Limit::default().survived(ms(50_000)).closed_after(ms(59_000)).closed_after(ms(3));
    assert_eq!(known.usable_below(Need::Usable), Some(ms(18)));
    for age in [100, 200, 400, 800, 1_600, 3_200, 6_400, 12_800, 25_600, 51_200] {
        known = known.survived(ms(age));
    }
    assert!(known.closed() >= Some(ms(20_000)), "{known:?}");
}

#[test]
fn what_the_endpoint_says_lowers_and_never_raises() {
    assert_eq!(Limit::default().announced(ms(5_000)).usable_below(Need::Usable), Some(ms(4_500)));
    let seen = Limit::default().survived(ms(900)).closed_after(ms(900));
    assert_eq!(seen.announced(ms(5_000)), seen);
    assert_eq!(Limit::default().announced(ms(5_000)).usable_below(Need::Fresh), Some(ms(10)), "a hint");
}

#[test]
fn keep_alive_fields_are_read_as_servers_write_them() {
    let seconds = |value: &str| announced(value.as_bytes()).map(|time| time.as_secs());
    assert_eq!(seconds("timeout=5"), Some(5));
    assert_eq!(seconds("timeout=5, max=1000"), Some(5));
    assert_eq!(seconds("max=100, Timeout = \"15\""), Some(15));
    for nothing in
        ["", "max=100", "timeout", "timeout=", "timeout=0", "timeout=-1", "timeout=5s", "timeout=99999999999"]
    {
        assert_eq!(seconds(nothing), None, "{nothing}");
    }
}

proptest! {
    /// Whatever is seen of it in whatever order: what cannot be sent twice is never near the limit.
    #[test]
    fn a_constant_limit_is_never_met(
        limit in 40_u32..100_000,
        looks in prop::collection::vec((0_u32..200_000, 0_u32..200_000), 0..200),
    ) {
        let mut known = Limit::default();
        for (age, before) in looks {
            known = look(known, limit, age, before);
            let fresh = known.usable_below(Need::Fresh).unwrap();
            prop_assert!(fresh <= ms(limit / 2).max(ms(10)), "{known:?} of {limit}");
            if let Some(usable) = known.usable_below(Need::Usable) {
                prop_assert!(usable < ms(limit), "{known:?} of {limit}");
            }
        }
    }

    /// After a change from any limit to any other, a few connections teach the new one.
    #[test]
    fn a_changed_limit_is_learned_anew(
        before in 40_u32..100_000,
        after in 40_u32..100_000,
        sweep in 20_u32..100,
    ) {
        let mut known = Limit::default();
        for limit in [before, after] {
            for _ in 0..24 {
                // One connection, looked at every `sweep` ms until it is closed; it tells when its age doubled.
                let mut told = 0;
                let mut age = 0;
                while age + sweep < limit {
                    age += sweep;
                    if age >= 2 * told {
                        told = age;
                        known = known.survived(ms(age));
                    }
                }
                known = known.closed_after(ms(age));
            }
        }
        let known = known.closed().unwrap();
        prop_assert!(known <= ms(after.max(20)), "{known:?} of {after}");
        prop_assert!(known + ms(2 * sweep) >= ms(after).min(ms(20)).max(ms(after) / 2), "{known:?} of {after}");
    }

    #[test]
    fn bits_bring_everything_back(kept in 0_u32.., closed in 0_u32..) {
        let bits = u64::from(closed) << 32 | u64::from(kept);
        prop_assert_eq!(Limit::from_bits(bits).bits(), bits);
    }

    #[test]
    fn no_field_makes_it_fail(value in prop::collection::vec(any::<u8>(), 0..64)) {
        announced(&value);
    }
}

#[test]
fn what_stays_open_while_an_endpoint_is_held_up_makes_nobody_forget_when_it_closes() {
    let at = |seconds: u64| Duration::from_secs(seconds);
    // A limit of a second; then it stands still for two, and whoever looks finds everything open.
    let mut known = Limit::default().survived(ms(950)).closed_after(ms(950));
    let lately = Lately::default().closed_after(ms(950), at(29));
    for idle in (1_000..2_900).step_by(100) {
        known = known.survived(ms(idle));
    }
    assert!(known.usable_below(Need::Fresh) > Some(ms(1_000)), "that alone would meet the limit: {known:?}");
    let fresh = |now| known.usable_below_lately(Need::Fresh, lately.earliest(now));
    assert_eq!(fresh(at(32)), Some(ms(475)));
    assert_eq!(fresh(at(59)), Some(ms(475)));
    assert!(fresh(at(60)) > Some(ms(1_000)), "it was long ago, and nothing was closed since");
    let usable = known.usable_below(Need::Usable);
    assert_eq!(
        known.usable_below_lately(Need::Usable, lately.earliest(at(32))),
        usable,
        "it can be sent again"
    );
}

#[test]
fn a_limit_that_has_grown_is_believed_when_nothing_is_closed_early_any_more() {
    let mut known = Limit::default().survived(ms(900)).closed_after(ms(900));
    let mut lately = Lately::default().closed_after(ms(900), Duration::from_secs(1));
    for second in 2..70 {
        known = known.survived(ms(4_900)).closed_after(ms(4_900));
        lately = lately.closed_after(ms(4_900), Duration::from_secs(second));
    }
    let earliest = lately.earliest(Duration::from_secs(70));
    assert_eq!(known.usable_below_lately(Need::Fresh, earliest), Some(ms(2_450)));
}

#[test]
fn a_close_right_after_an_answer_says_nothing_of_the_limit() {
    let now = Duration::from_secs(100);
    assert_eq!(Lately::default().closed_after(ms(19), now).earliest(now), None);
    assert_eq!(Lately::default().closed_after(ms(20), now).earliest(now), Some(ms(20)));
    let long = Lately::default().closed_after(Duration::from_secs(1_000_000), now).earliest(now);
    assert!(long > Some(Duration::from_secs(4 * 3_600)), "{long:?}");
}

proptest! {
    /// The earliest close is known for at least a window, and for less than two of them.
    #[test]
    fn a_close_is_remembered_for_a_window_or_two(
        begin in 0_u64..4_000_000,
        after in 0_u64..200,
        later in prop::collection::vec((0_u64..200, 1_000_u32..10_000), 0..8),
    ) {
        let at = |seconds| Duration::from_secs(begin + seconds);
        let mut lately = Lately::default().closed_after(ms(500), at(0));
        let mut later: Vec<_> = later.into_iter().filter(|(second, _)| *second <= after).collect();
        later.sort_unstable();
        for (second, idle) in later {
            lately = lately.closed_after(ms(idle), at(second));
        }
        let known = lately.earliest(at(after)) == Some(ms(500));
        prop_assert!(known || after >= WINDOW.as_secs());
        prop_assert!(!known || after < 2 * WINDOW.as_secs());
    }
}
