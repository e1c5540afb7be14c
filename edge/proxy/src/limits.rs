//! Limits that follow what endpoints carry: looks at their cells several times a second, beside the requests, and says in
//! them how many each may have. What a request does is one load (`requests_max`). Decides nothing: `decide/limit` does.

use crate::prepare::{Prepared, PreparedPool};
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tentpole_limit::{Adaptive, Seen};
use tentpole_model::{AdaptiveLimit, Endpoint, Pool};
use tentpole_runtime::Cell;
use tentpole_runtime::clock::Instant;

/// The limits of all endpoints that have such a one, by the slot of their cell: they outlive Snapshots.
#[derive(Debug, Default)]
pub(crate) struct Limits(Mutex<HashMap<u32, Adaptive>>);

/// Requests that this endpoint may have in flight; `None` is no limit.
pub(crate) fn requests_max(pool: &Pool, prepared: &PreparedPool, endpoint: usize) -> Option<u32> {
    match pool.adaptive {
        // It begins before the first request: see `begin`.
        Some(_) => Some(prepared.cells[endpoint].limit.load(Relaxed).max(1)),
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
    /// Looks at all of them; for one thread, several times a second.
    pub(crate) fn look(&self, prepared: &Prepared, now: Instant) {
        let now = Duration::from_micros(now.as_micros());
        let mut limits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut used, mut is_any) = (Vec::new(), false);
        for (pool, live) in prepared.snapshot.pools.iter().zip(&prepared.pools) {
            let Some(adaptive) = pool.adaptive else {
                live.cells.iter().filter(|cell| cell.limit.load(Relaxed) > 0).for_each(|cell| forget(cell));
                continue;
            };
            is_any = true;
            let waiting = live.gate.length();
            let mut more = false;
            for (endpoint, cell) in pool.endpoints.iter().zip(&live.cells) {
                let bounds = bounds(adaptive, endpoint);
                let limit = limits.entry(cell.slot).or_insert_with(|| Adaptive::new(bounds));
                limit.stay_within(bounds);
                limit.look(now, seen(cell, waiting));
                more |= limit.limit() > cell.limit.load(Relaxed);
                say(cell, limit);
                used.push(cell.slot);
            }
            if more {
                // Nobody gives a permit back for these places. Who is called calls the next.
                live.gate.call_first();
            }
        }
        if limits.len() > used.len() || !is_any {
            limits.retain(|slot, _| used.contains(slot));
        }
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
