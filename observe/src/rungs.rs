//! How far down the ladder requests went, by rank: six ranks, five steps, so it stays small whatever visitors do. Only
//! requests whose rank was asked for are here: what is stored and fresh is served to all alike.

use crate::metrics::add;
use std::sync::atomic::AtomicU64;
use tentpole_model::{CacheOutcome, End, Priority, Refused, Why};

/// A step of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// Got something older, because others waited or the endpoint failed.
    Stale,
    /// An endpoint answered, and nobody waited.
    Endpoint,
    /// An endpoint answered after a wait in a pool's queue.
    Queue,
    /// Was told to wait before the doors.
    Room,
    /// Was refused, because there was more than can be carried.
    Overload,
}

impl Rung {
    /// All of them, best first.
    pub const ALL: [Self; 5] = [Self::Stale, Self::Endpoint, Self::Queue, Self::Room, Self::Overload];

    /// The word in metrics and API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Endpoint => "endpoint",
            Self::Queue => "queue",
            Self::Room => "room",
            Self::Overload => "overload",
        }
    }

    /// Where this request ended; `None` when it stands on no step.
    pub fn of(why: &Why) -> Option<Self> {
        match why.end {
            End::Refused(Refused::WaitingRoom) => return Some(Self::Room),
            End::Refused(refused) if refused.is_overload() => return Some(Self::Overload),
            End::Refused(_) => return None,
            _ => {}
        }
        let mut attempts = why.attempts.iter().flatten().peekable();
        match why.cache {
            CacheOutcome::Stale | CacheOutcome::StaleIfError => Some(Self::Stale),
            _ => {
                attempts.peek()?;
                let waited = attempts.any(|attempt| attempt.queued_us > 0);
                Some(if waited { Self::Queue } else { Self::Endpoint })
            }
        }
    }
}

/// Requests by step and rank, and how long each rank waited.
#[derive(Debug)]
pub struct Rungs {
    requests: [[AtomicU64; Priority::COUNT]; Rung::ALL.len()],
    waited_us: [AtomicU64; Priority::COUNT],
}

impl Default for Rungs {
    fn default() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self { requests: std::array::from_fn(|_| zeros()), waited_us: zeros() }
    }
}

impl Rungs {
    #[inline]
    pub(crate) fn record(&self, why: &Why) {
        // A hit is nobody's in particular.
        let Some(priority) = why.priority else { return };
        let waited_us = why.attempts.iter().flatten().map(|attempt| u64::from(attempt.queued_us)).sum();
        add(&self.waited_us[priority as usize], waited_us);
        if let Some(rung) = Rung::of(why) {
            add(&self.requests[rung as usize][priority as usize], 1);
        }
    }

    pub(crate) fn requests(&self, rung: Rung, priority: Priority) -> &AtomicU64 {
        &self.requests[rung as usize][priority as usize]
    }

    pub(crate) fn waited_us(&self, priority: Priority) -> &AtomicU64 {
        &self.waited_us[priority as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::why_that_was_retried;
    use std::sync::atomic::Ordering;

    #[test]
    fn each_request_stands_on_one_step_of_its_rank() {
        let rungs = Rungs::default();
        let asked = Why { priority: Some(Priority::Checkout), end: End::Complete, ..why_that_was_retried() };
        // One of its attempts waited 30 µs.
        rungs.record(&asked);
        let mut at_once = asked;
        at_once.attempts.iter_mut().flatten().for_each(|attempt| attempt.queued_us = 0);
        let end = |refused: Refused, why: Why| Why { end: End::Refused(refused), ..why };
        for why in [
            at_once,
            Why { cache: CacheOutcome::StaleIfError, ..at_once },
            end(Refused::QueueFull, at_once),
            end(Refused::WaitingRoom, at_once),
            // These stand on none.
            end(Refused::NoRoute, at_once),
            Why { attempts: [None; 3], cache: CacheOutcome::Joined, ..at_once },
            Why { priority: None, ..at_once },
        ] {
            rungs.record(&why);
        }
        for &priority in Priority::ALL {
            let wanted = u64::from(priority == Priority::Checkout);
            for rung in Rung::ALL {
                let counted = rungs.requests(rung, priority).load(Ordering::Relaxed);
                assert_eq!(counted, wanted, "{} {}", rung.label(), priority.label());
            }
            assert_eq!(rungs.waited_us(priority).load(Ordering::Relaxed), wanted * 30);
        }
        assert!(Rung::ALL.iter().enumerate().all(|(at, &rung)| rung as usize == at));
    }
}
