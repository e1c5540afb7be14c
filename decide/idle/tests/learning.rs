//! What is learned of endpoints of all kinds: those with one limit, those whose limit changes, and those that say it.

use proptest::prelude::*;
use std::time::Duration;
use tentpole_idle::{Limit, Need, announced};

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
