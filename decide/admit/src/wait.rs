//! How long somebody who comes to a queue now will wait, and when one who is sent away does well to come again.

use crate::pace::Pace;
use crate::turns::SHARE;
use std::time::Duration;
use tentpole_model::Priority;

/// Nobody is told to stay away for longer: the estimate is of the last seconds.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// How long one of this rank would wait behind all who wait now and come before him: their number by the pool's pace, less the
/// part of it that better ones take who come meanwhile. `None` while the pace is not known.
pub fn expected_wait(
    priority: Priority,
    waiting: &[usize; Priority::COUNT],
    pace: &Pace,
    now: Duration,
) -> Option<Duration> {
    let per_second = pace.per_second(now)?;
    let ahead: usize = waiting[..=priority as usize].iter().sum();
    let least = if priority == Priority::Crawler { 0.0 } else { per_second * SHARE };
    let left = (per_second - pace.better_per_second(priority, now)).max(least);
    let seconds = (ahead + 1) as f64 / left;
    // As good as never.
    let most = 1e6;
    Some(Duration::from_secs_f64(if seconds.is_finite() { seconds.min(most) } else { most }))
}

/// How long somebody of this rank may expect to wait and still be let in, where the pool lets nobody wait for longer than
/// `longest`: all of it in a checkout and above; a fifth below, where people leave after seconds. Were they let in for longer,
/// those whose turn comes would be those who are about to leave, and the pool would work for nobody (`tests/patience.rs` shows by
/// how much, and that serving the newest first, the other way out, lets as many wait in vain as it serves).
pub fn wait_max(priority: Priority, longest: Duration) -> Duration {
    if priority <= Priority::Checkout { longest } else { longest / 5 }
}

/// After how long somebody who is sent away may come again, from what he would have waited: then there is room. Who was sent
/// away with him is told other times, spread over twice as long as it takes to serve all of them, so that they come back at half
/// the pool's pace and not at once: the other half is for those who come for the first time. `random` is any number.
pub fn retry_after(expected: Option<Duration>, pace: &Pace, now: Duration, random: u64) -> Duration {
    let spread = match pace.per_second(now) {
        Some(per_second) if per_second > 0.0 => 2.0 * pace.refused_lately() / per_second,
        // As few or as many: nobody knows.
        _ => 4.0,
    };
    // The upper 32 bits as a part of one.
    let part = (random >> 32) as f64 / f64::from(u32::MAX);
    let base = expected.unwrap_or(Duration::from_secs(2)).min(RETRY_AFTER_MAX / 2);
    let spread = Duration::from_secs_f64((spread * part).clamp(0.0, RETRY_AFTER_MAX.as_secs_f64() / 2.0));
    (base + spread).clamp(Duration::from_secs(1), RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Ten seconds at 100 a second, of which `checkouts` a second are let in before others.
    fn pace(checkouts: u64) -> Pace {
        let mut pace = Pace::default();
        pace.begins(ms(0));
        for at in 0..1_000 {
            pace.finished(ms(at * 10));
            if checkouts > 0 && at % (100 / checkouts) == 0 {
                pace.came(Priority::Checkout, ms(at * 10));
            }
        }
        pace
    }

    #[test]
    fn who_comes_waits_for_all_who_come_before_him_and_no_other() {
        let waiting = [0, 0, 100, 0, 300, 0];
        let wait = |priority| expected_wait(priority, &waiting, &pace(0), ms(10_000)).unwrap().as_secs_f64();
        assert!((0.9..1.1).contains(&wait(Priority::Checkout)), "{}", wait(Priority::Checkout));
        assert!((3.8..4.2).contains(&wait(Priority::Normal)), "{}", wait(Priority::Normal));
        assert!(wait(Priority::Staff) < 0.02);
    }

    #[test]
    fn what_better_ones_will_take_is_not_there_for_the_others() {
        let waiting = [0, 0, 0, 0, 100, 0];
        let wait = expected_wait(Priority::Normal, &waiting, &pace(50), ms(10_000)).unwrap();
        assert!((1.8..2.3).contains(&wait.as_secs_f64()), "half of the pace is left: {wait:?}");
        // They take all: the share is left.
        let wait = expected_wait(Priority::Normal, &waiting, &pace(100), ms(10_000)).unwrap();
        assert!((15.0..17.0).contains(&wait.as_secs_f64()), "{wait:?}");
        let wait = expected_wait(Priority::Crawler, &waiting, &pace(100), ms(10_000)).unwrap();
        assert!(wait > Duration::from_secs(60), "{wait:?}");
    }

    #[test]
    fn without_a_pace_nobody_is_told_that_it_takes_too_long() {
        assert_eq!(expected_wait(Priority::Normal, &[0, 0, 0, 0, 900, 0], &Pace::default(), ms(0)), None);
    }

    #[test]
    fn those_who_are_sent_away_come_back_at_half_the_pace_of_the_pool() {
        let mut pace = pace(0);
        // 900 in a second that could take 100.
        for at in 0..900 {
            pace.refused(ms(10_000 + at * 10 / 9));
        }
        let now = ms(11_000);
        let told = |number: u64| {
            let random = (number * (u64::from(u32::MAX) / 900)) << 32;
            retry_after(Some(ms(2_000)), &pace, now, random).as_secs_f64()
        };
        let mut times: Vec<f64> = (0..900).map(told).collect();
        times.sort_by(f64::total_cmp);
        assert!(times[0] >= 1.9, "{}", times[0]);
        let busiest = (0..60).map(|second| times.iter().filter(|&&time| time as usize == second).count());
        assert!(busiest.max().unwrap() <= 75, "they come at once: {times:?}");
    }

    proptest! {
        #[test]
        fn nobody_is_told_less_than_a_second_or_more_than_the_most(
            expected in proptest::option::of(0u64..10_000_000), refused in 0u32..5_000, random: u64
        ) {
            let mut pace = pace(10);
            (0..refused).for_each(|_| pace.refused(ms(10_000)));
            let told = retry_after(expected.map(ms), &pace, ms(10_000), random);
            prop_assert!((Duration::from_secs(1)..=RETRY_AFTER_MAX).contains(&told));
        }
    }
}
