//! Limits that follow what endpoints carry: looks at their cells several times a second, beside the requests, and says in
//! them how many each may have. What a request does is one load (`requests_max`). What was found is written down (`kept.rs`), so that
//! the next edge begins with it. Decides nothing: `decide/limit` does.

mod findings;
mod kept;

use crate::prepare::{Prepared, PreparedPool};
use findings::Findings;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tentpole_limit::{Adaptive, Found, Guard, GuardSeen, Seen, begins};
use tentpole_model::{AdaptiveLimit, Endpoint, LimitFrom, LimitStart, Pool};
use tentpole_runtime::Cell;
use tentpole_runtime::clock::{self, Instant};

/// How exactly is remembered when something was found, in seconds: what stays as it is need not be written anew each second.
const FOUND_GRAIN_S: u64 = 60;

/// The limits of all endpoints that have such a one, by the slot of their cell: they outlive Snapshots.
#[derive(Debug)]
pub struct Limits {
    known: Mutex<Known>,
    keeping: kept::Keeping,
}

#[derive(Debug, Default)]
struct Known {
    by_slot: HashMap<u32, Its>,
    findings: Findings,
    /// How often it was looked.
    looks: u64,
}

#[derive(Debug)]
struct Its {
    limit: Limit,
    start: LimitStart,
    /// What it goes along with: so many changes of what was found, and these bounds.
    along: Option<(u64, AdaptiveLimit)>,
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

impl Limits {
    /// Limits that begin with what was found and is kept in this directory; without one they last as long as this process.
    pub(crate) fn new(state: Option<PathBuf>) -> Arc<Self> {
        let (keeping, findings) = kept::Keeping::new(state);
        Arc::new(Self { known: Mutex::new(Known { findings, ..Known::default() }), keeping })
    }

    /// A cell has a limit as soon as a Snapshot says so.
    pub(crate) fn begin(self: &Arc<Self>, pool: &Pool, endpoint: &Endpoint, cell: &Cell) {
        let Some(adaptive) = pool.adaptive else { return };
        kept::begin(self);
        let bounds = bounds(adaptive, endpoint);
        let start = self.known().findings.begins(pool, endpoint, bounds);
        let limit = beginning(bounds, start);
        if cell.limit.compare_exchange(0, limit.limit(), Relaxed, Relaxed).is_ok() {
            say(cell, &limit);
            say_start(cell, start);
        }
    }

    /// Another edge goes on with what is kept: it is written for the last time.
    pub(crate) fn leave(&self) {
        self.keeping.end(|| self.known().findings.to_text());
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at all of them; for one thread, several times a second. Allocates only for an endpoint that is new.
    pub(crate) fn look(&self, prepared: &Prepared, now: Instant) {
        let now = Duration::from_micros(now.as_micros());
        let mut known = self.known();
        let Known { by_slot, findings, looks } = &mut *known;
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
                let known = by_slot.entry(cell.slot).or_insert_with(|| Its::new(pool, endpoint, findings));
                if matches!(known.limit, Limit::Guard(_)) != pool.adaptive.is_none() {
                    *known = Its::new(pool, endpoint, findings);
                }
                known.look = *looks;
                match (&mut known.limit, pool.adaptive) {
                    (Limit::Adaptive(limit), Some(adaptive)) => {
                        let bounds = bounds(adaptive, endpoint);
                        limit.stay_within(bounds);
                        let as_of = Some((findings.changes(), bounds));
                        if known.along != as_of && limit.is_at_start() {
                            // Others of its pool have found something since.
                            let start = findings.begins(pool, endpoint, bounds);
                            limit.goes_along(start.limit);
                            (known.start, known.along) = (start, as_of);
                        }
                        limit.look(now, seen(cell, waiting));
                        if let Some(limit) = limit.found_anew() {
                            findings.set(&pool.name, &endpoint.authority(), found(limit, adaptive));
                        }
                        more |= limit.limit() > before;
                        say(cell, limit);
                        say_start(cell, known.start);
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
    fn new(pool: &Pool, endpoint: &Endpoint, findings: &Findings) -> Self {
        let Some(adaptive) = pool.adaptive else {
            let start = LimitStart { limit: 0, from: LimitFrom::Usual, found_unix_s: 0 };
            return Self { limit: Limit::Guard(Box::default()), start, along: None, look: 0 };
        };
        let bounds = bounds(adaptive, endpoint);
        let start = findings.begins(pool, endpoint, bounds);
        let along = Some((findings.changes(), bounds));
        Self { limit: Limit::Adaptive(Box::new(beginning(bounds, start))), start, along, look: 0 }
    }
}

impl Findings {
    fn begins(&self, pool: &Pool, endpoint: &Endpoint, bounds: AdaptiveLimit) -> LimitStart {
        let own = self.of(&pool.name, &endpoint.authority());
        begins(bounds, own, self.of_pool(&pool.name), unix_s())
    }
}

fn beginning(bounds: AdaptiveLimit, start: LimitStart) -> Adaptive {
    match start.from {
        LimitFrom::Found => Adaptive::found_before(bounds, start.limit),
        LimitFrom::FoundInPool => {
            let mut limit = Adaptive::new(bounds);
            limit.goes_along(start.limit);
            limit
        }
        LimitFrom::Usual | LimitFrom::Configured => Adaptive::new(bounds),
    }
}

/// What was found just now.
fn found(limit: u32, adaptive: AdaptiveLimit) -> Found {
    let start = adaptive.is_start_told.then_some(adaptive.start);
    Found { limit, at_unix_s: unix_s() / FOUND_GRAIN_S * FOUND_GRAIN_S, start }
}

fn unix_s() -> u64 {
    clock::now().unix_us() / 1_000_000
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

fn say_start(cell: &Cell, start: LimitStart) {
    cell.limit_start.store(start.limit, Relaxed);
    cell.limit_start_from.store(start.from as u32, Relaxed);
    cell.limit_found_unix_s.store(start.found_unix_s, Relaxed);
}

/// It has none any more.
fn forget(cell: &Cell) {
    cell.limit.store(0, Relaxed);
    cell.limit_shown.store(0, Relaxed);
    cell.limit_start.store(0, Relaxed);
}
