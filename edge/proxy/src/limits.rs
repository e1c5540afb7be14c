//! Limits that follow what endpoints carry: looks at their cells several times a second, beside the requests, and says in
//! them how many each may have. What a request does is one load (`requests_max`). Decides nothing: `decide/limit` does.

use crate::prepare::{Prepared, PreparedPool};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tentpole_limit::{Adaptive, Guard, GuardSeen, Seen};
use tentpole_model::{AdaptiveLimit, Endpoint, Pool};
use tentpole_runtime::Cell;
use tentpole_runtime::clock::Instant;

/// The limits of all endpoints that have such a one, by the slot of their cell: they outlive Snapshots.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_slot: HashMap<u32, Its>,
    /// How often it was looked.
    looks: u64,
}

#[derive(Debug)]
struct Its {
    limit: Limit,
    /// The last look that found its endpoint.
    look: u64,
}

#[derive(Debug)]
enum Limit {
    /// It follows what the endpoint carries.
    Adaptive(Box<Adaptive>),
    /// There is none until there is harm.
    Guard(Box<Guard>),
}

/// Requests that this endpoint may have in flight; `None` is no limit.
pub(crate) fn requests_max(pool: &Pool, prepared: &PreparedPool, endpoint: usize) -> Option<u32> {
    match pool.adaptive {
        // It begins before the first request: see `begin`.
        Some(_) => Some(prepared.cells[endpoint].limit.load(Relaxed).max(1)),
        None if pool.guard => Some(prepared.cells[endpoint].limit.load(Relaxed)).filter(|&limit| limit > 0),
        None => pool.endpoints[endpoint].requests_max,
    }
}

/// A cell has a limit as soon as a Snapshot says so.
pub(crate) fn begin(pool: &Pool, endpoint: &Endpoint, cell: &Cell) {
    let Some(adaptive) = pool.adaptive else { return };
    let start = Adaptive::new(bounds(adaptive, endpoint));
    if cell.limit.compare_exchange(0, start.limit(), Relaxed, Relaxed).is_ok() {
        say(cell, &start);
    }
}

impl Limits {
    /// Looks at all of them; for one thread, several times a second. Allocates only for an endpoint that is new.
    pub(crate) fn look(&self, prepared: &Prepared, now: Instant) {
        let now = Duration::from_micros(now.as_micros());
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Known { by_slot, looks } = &mut *known;
        *looks += 1;
        for (pool, live) in prepared.snapshot.pools.iter().zip(&prepared.pools) {
            let gate = &live.gate;
            let waiting = gate.length();
            let (mut more, mut refuses_nobody) = (false, false);
            for (endpoint, cell) in pool.endpoints.iter().zip(&live.cells) {
                let before = cell.limit.load(Relaxed);
                if pool.adaptive.is_none() && !pool.guard {
                    if before > 0 {
                        forget(cell);
                    }
                    continue;
                }
                let known = by_slot.entry(cell.slot).or_insert_with(|| Its::new(pool, endpoint));
                if matches!(known.limit, Limit::Guard(_)) != pool.adaptive.is_none() {
                    *known = Its::new(pool, endpoint);
                }
                known.look = *looks;
                match (&mut known.limit, pool.adaptive) {
                    (Limit::Adaptive(limit), Some(adaptive)) => {
                        limit.stay_within(bounds(adaptive, endpoint));
                        limit.look(now, seen(cell, waiting));
                        more |= limit.limit() > before;
                        say(cell, limit);
                    }
                    (Limit::Guard(guard), _) => {
                        guard.look(now, &seen_by_guard(cell, waiting, gate.left()));
                        more |= before > 0 && guard.limit().is_none_or(|limit| limit > before);
                        refuses_nobody |= guard.refuses_nobody();
                        say_guard(cell, guard);
                    }
                    (Limit::Adaptive(_), None) => {}
                }
            }
            gate.refuse_nobody(refuses_nobody);
            if more {
                // Nobody gives a permit back for these places. Who is called calls the next.
                gate.call_first();
            }
        }
        let look = *looks;
        by_slot.retain(|_, known| known.look == look);
    }
}

impl Its {
    fn new(pool: &Pool, endpoint: &Endpoint) -> Self {
        let limit = match pool.adaptive {
            Some(adaptive) => Limit::Adaptive(Box::new(Adaptive::new(bounds(adaptive, endpoint)))),
            None => Limit::Guard(Box::default()),
        };
        Self { limit, look: 0 }
    }
}

/// What was said of the endpoint itself is the most.
fn bounds(adaptive: AdaptiveLimit, endpoint: &Endpoint) -> AdaptiveLimit {
    AdaptiveLimit {
        max: endpoint.requests_max.map_or(adaptive.max, |most| most.min(adaptive.max)),
        ..adaptive
    }
}

fn seen(cell: &Cell, waiting: u32) -> Seen {
    Seen {
        in_flight: cell.in_flight.load(Relaxed),
        waiting,
        good: cell.answers.load(Relaxed),
        overloaded: cell.overloaded.load(Relaxed),
    }
}

fn seen_by_guard(cell: &Cell, waiting: u32, left_queue: u64) -> GuardSeen {
    let good = cell.answers.load(Relaxed);
    GuardSeen {
        in_flight: cell.in_flight.load(Relaxed),
        waiting,
        sent: cell.requests.load(Relaxed),
        ended: good + cell.errors_5xx.load(Relaxed) + cell.failures.load(Relaxed),
        good,
        overloaded: cell.overloaded.load(Relaxed),
        left: cell.left.load(Relaxed),
        left_queue,
        took: cell.latencies.counts(),
    }
}

/// Where it has none, nothing is written: the line of a cell stays shared between the threads.
fn say_guard(cell: &Cell, guard: &Guard) {
    let Some((limit, shown)) = guard.limit().zip(guard.shown()) else {
        if cell.limit.load(Relaxed) > 0 {
            forget(cell);
        }
        return;
    };
    cell.limit_why.store(guard.why() as u32, Relaxed);
    cell.limit_shown.store(shown, Relaxed);
    cell.limit.store(limit, Relaxed);
}

fn say(cell: &Cell, limit: &Adaptive) {
    cell.limit.store(limit.limit(), Relaxed);
    cell.limit_shown.store(limit.upper_level(), Relaxed);
    cell.limit_why.store(limit.why() as u32, Relaxed);
}

/// It has none any more.
fn forget(cell: &Cell) {
    cell.limit.store(0, Relaxed);
    cell.limit_shown.store(0, Relaxed);
}
