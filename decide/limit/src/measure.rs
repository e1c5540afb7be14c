//! One measurement after another, each at one of two levels: waits until the level is reached, counts what is answered while it
//! is held, and gives up when nobody waits any more.

use crate::adaptive::Seen;
use crate::gain::Measured;
use std::time::Duration;

/// The shortest measurement at the lower level; at the upper one it is twice as long.
const SHORTEST: Duration = Duration::from_millis(300);
/// Answers that one should bring.
const ANSWERS_WANTED: u64 = 25;
/// It ends without them after this, or after a few latencies.
const LONGEST: Duration = Duration::from_secs(4);
/// How long reaching a level may take, beside two latencies: longer, and what is in flight does not end.
const REACHING_MAX: Duration = Duration::from_secs(10);
/// Of ten looks, so many must see the level held.
const HELD_OF_TEN: u32 = 8;

/// Where it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Measuring {
    /// The level was set at this moment; what was asked before is still answered.
    Reaching { since: Duration, shortest: Duration },
    /// Counts.
    Counting { since: Duration, shortest: Duration, good_before: u64, looks: u32, held: u32 },
}

/// What a look brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Next {
    /// It goes on.
    Goes,
    /// It is done.
    Done(Measured),
    /// The level is not held: nobody waits, or what is in flight does not end.
    Off,
}

impl Measuring {
    /// From now on, at a level that was set just now.
    /// The one with this number is longer than [`SHORTEST`] by a part of it that follows no rhythm (multiples of the golden
    /// ratio): what comes back every few seconds, such as a pause, must not always meet the same level.
    pub(crate) fn at(now: Duration, number: u32) -> Self {
        let part = (f64::from(number) * 0.618_034).fract();
        Self::Reaching { since: now, shortest: SHORTEST.mul_f64(1.0 + 0.5 * part) }
    }

    /// Takes what is seen. `latency` is what an answer takes there, as far as is known; `times` how many times as long as the
    /// shortest this is to be.
    pub(crate) fn look(
        &mut self,
        now: Duration,
        level: u32,
        latency: Duration,
        times: u32,
        seen: &Seen,
    ) -> Next {
        match self {
            Self::Reaching { since, shortest } => {
                let passed = now.saturating_sub(*since);
                // Whose answers come now was asked before the level was set.
                if passed >= latency && seen.in_flight <= level {
                    let (since, shortest) = (now, *shortest);
                    *self = Self::Counting { since, shortest, good_before: seen.good, looks: 0, held: 0 };
                    return Next::Goes;
                }
                if passed > REACHING_MAX + 2 * latency { Next::Off } else { Next::Goes }
            }
            Self::Counting { since, shortest, good_before, looks, held } => {
                *looks += 1;
                *held += u32::from(seen.is_full(level));
                // Whether anybody waits at all is seen soon.
                if *looks >= 5 && *held * 10 < *looks * HELD_OF_TEN {
                    return Next::Off;
                }
                let (passed, answers) = (now.saturating_sub(*since), seen.good.saturating_sub(*good_before));
                let enough = answers >= ANSWERS_WANTED * u64::from(times)
                    && passed >= (*shortest * times).max(latency * 2);
                if !enough && passed < LONGEST * times + latency * 2 {
                    return Next::Goes;
                }
                if *held * 10 < *looks * HELD_OF_TEN {
                    return Next::Off;
                }
                Next::Done(Measured { answers: answers as f64, seconds: passed.as_secs_f64() })
            }
        }
    }
}
