//! One cell for each endpoint in the process: what is in flight, what is open, how it fares. Outlives Snapshots,
//! so that a reload forgets nothing. The edge writes, the control plane reads.

use crate::latencies::Latencies;
use crate::local_ports::LocalPorts;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Cells of endpoints that nobody uses any more, which are kept for a while: what is recorded names them by number, and
/// an endpoint that comes back goes on counting.
const UNUSED_MAX: usize = 1_000;

/// The live figures of one endpoint.
#[derive(Debug)]
pub struct Cell {
    /// Its number in the process; never given to another endpoint.
    pub slot: u32,
    /// The pool's name.
    pub pool: String,
    /// `host:port`.
    pub authority: String,
    /// Requests in flight.
    pub in_flight: AtomicU32,
    /// Open connections, idle ones included.
    pub open: AtomicU32,
    /// Of these, the ports of this machine that they use.
    pub local_ports: LocalPorts,
    /// Requests sent, retries included.
    pub requests: AtomicU64,
    /// Connections made.
    pub connects: AtomicU64,
    /// Attempts that failed by the endpoint's fault.
    pub failures: AtomicU64,
    /// Failures since the last success.
    pub failures_in_a_row: AtomicU32,
    /// Responses with status 500 and above.
    pub errors_5xx: AtomicU64,
    /// Those of them since the last other response.
    pub errors_in_a_row: AtomicU32,
    /// Answers below 500.
    pub answers: AtomicU64,
    /// Time-outs and answers with 503: what an endpoint shows that has too much to do.
    pub overloaded: AtomicU64,
    /// Answers that came after a second or more, when their visitors had left.
    pub left: AtomicU64,
    /// Requests that it may have in flight, where the limit follows what it carries; 0 where it does not.
    pub limit: AtomicU32,
    /// The same for people: without the steps aside by which it is found.
    pub limit_shown: AtomicU32,
    /// Why that is so: the place of a `LimitWhy`.
    pub limit_why: AtomicU32,
    /// Where it began; 0 where it does not follow what the endpoint carries.
    pub limit_start: AtomicU32,
    /// Who said that: the place of a `LimitFrom`.
    pub limit_start_from: AtomicU32,
    /// When that was found, in seconds since 1970; 0 where nothing was.
    pub limit_found_unix_s: AtomicU64,
    /// How long it took to answer, by class; requests with a body are left out.
    pub latencies: Latencies,
    /// What is known of when it closes idle connections: `decide/idle` packs and reads it. 0: nothing yet.
    pub idle: AtomicU64,
    /// The earliest such closes of the last minute, packed by it too.
    pub idle_lately: AtomicU64,
    /// How long it takes to answer, in the form that balancing by latency gives it; 0 is not known.
    pub latency: AtomicU64,
}

/// All cells of the process.
#[derive(Debug, Default)]
pub struct Cells {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_name: HashMap<(String, String), Arc<Cell>>,
    by_slot: BTreeMap<u32, Arc<Cell>>,
    next: u32,
}

impl Cells {
    /// No cells yet.
    pub fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// The cell of an endpoint, made at the first call.
    pub fn of(&self, pool: &str, authority: &str) -> Arc<Cell> {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let key = (pool.to_owned(), authority.to_owned());
        if let Some(cell) = inner.by_name.get(&key) {
            return cell.clone();
        }
        let cell = Arc::new(Cell {
            slot: inner.next,
            pool: key.0.clone(),
            authority: key.1.clone(),
            in_flight: AtomicU32::new(0),
            open: AtomicU32::new(0),
            local_ports: LocalPorts::default(),
            requests: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            errors_5xx: AtomicU64::new(0),
            errors_in_a_row: AtomicU32::new(0),
            answers: AtomicU64::new(0),
            overloaded: AtomicU64::new(0),
            left: AtomicU64::new(0),
            limit: AtomicU32::new(0),
            limit_shown: AtomicU32::new(0),
            limit_why: AtomicU32::new(0),
            limit_start: AtomicU32::new(0),
            limit_start_from: AtomicU32::new(0),
            limit_found_unix_s: AtomicU64::new(0),
            latencies: Latencies::default(),
            idle: AtomicU64::new(0),
            idle_lately: AtomicU64::new(0),
            latency: AtomicU64::new(0),
        });
        inner.by_name.insert(key, cell.clone());
        inner.by_slot.insert(cell.slot, cell.clone());
        inner.next += 1;
        cell
    }

    /// The cell of an endpoint, if it has one.
    pub fn get(&self, pool: &str, authority: &str) -> Option<Arc<Cell>> {
        let key = (pool.to_owned(), authority.to_owned());
        self.inner.read().unwrap_or_else(PoisonError::into_inner).by_name.get(&key).cloned()
    }

    /// Drops the oldest cells that nobody holds any more, but for the last thousand: endpoints come and go with each
    /// reload.
    pub fn forget_unused(&self) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        // One count each: by name and by slot.
        let unused = |cell: &&Arc<Cell>| Arc::strong_count(cell) == 2;
        let mut slots: Vec<u32> = inner.by_slot.values().filter(unused).map(|cell| cell.slot).collect();
        slots.truncate(slots.len().saturating_sub(UNUSED_MAX));
        for slot in slots {
            if let Some(cell) = inner.by_slot.remove(&slot) {
                inner.by_name.remove(&(cell.pool.clone(), cell.authority.clone()));
            }
        }
    }

    /// The cell with this slot.
    pub fn by_slot(&self, slot: u32) -> Option<Arc<Cell>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).by_slot.get(&slot).cloned()
    }

    /// All cells, in the order they were made.
    pub fn all(&self) -> Vec<Arc<Cell>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).by_slot.values().cloned().collect()
    }
}

impl Cell {
    /// Counts a response that came.
    pub fn succeeded(&self, status: u16) {
        // A load first: a healthy endpoint's line stays shared between the threads.
        if self.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.failures_in_a_row.store(0, Ordering::Relaxed);
        }
        if status >= 500 {
            self.errors_5xx.fetch_add(1, Ordering::Relaxed);
            self.errors_in_a_row.fetch_add(1, Ordering::Relaxed);
            if status == 503 {
                self.overloaded.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        if self.errors_in_a_row.load(Ordering::Relaxed) != 0 {
            self.errors_in_a_row.store(0, Ordering::Relaxed);
        }
    }

    /// After how many milliseconds the endpoint closes an idle connection, as far as was learned; `None` while no
    /// connection was seen closed.
    pub fn idle_limit_ms(&self) -> Option<u32> {
        let limit = (self.idle.load(Ordering::Relaxed) >> 32) as u32;
        (limit > 0).then_some(limit)
    }

    /// The limit that follows what it carries, and the place of the `LimitWhy` of its last move; `None` where there is none.
    pub fn limit_found(&self) -> Option<(u32, u32)> {
        let limit = self.limit_shown.load(Ordering::Relaxed);
        (limit > 0).then(|| (limit, self.limit_why.load(Ordering::Relaxed)))
    }

    /// Where that limit began, the place of the `LimitFrom`, and when it was found, in seconds since 1970; `None` where there is none,
    /// and where a guard is in force.
    pub fn limit_start(&self) -> Option<(u32, u32, u64)> {
        let start = self.limit_start.load(Ordering::Relaxed);
        let from = self.limit_start_from.load(Ordering::Relaxed);
        (start > 0).then(|| (start, from, self.limit_found_unix_s.load(Ordering::Relaxed)))
    }

    /// Counts an attempt that failed by the endpoint's fault; returns how many in a row that makes.
    pub fn failed(&self) -> u32 {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.failures_in_a_row.fetch_add(1, Ordering::Relaxed) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_endpoints_that_are_gone_do_not_pile_up() {
        let cells = Cells::new();
        let used = cells.of("app", "used");
        for number in 0..UNUSED_MAX + 5 {
            cells.of("app", &format!("gone-{number}"));
        }
        cells.forget_unused();
        assert_eq!(cells.all().len(), UNUSED_MAX + 1);
        assert!(cells.get("app", "gone-4").is_none() && cells.get("app", "gone-5").is_some());
        assert!(Arc::ptr_eq(&used, &cells.of("app", "used")));
        assert_eq!(cells.of("app", "new").slot as usize, UNUSED_MAX + 6, "no number is given twice");
    }

    #[test]
    fn the_same_endpoint_has_one_cell_and_keeps_its_slot() {
        let cells = Cells::new();
        let first = cells.of("app", "127.0.0.1:1");
        let second = cells.of("app", "127.0.0.1:2");
        assert!(Arc::ptr_eq(&first, &cells.of("app", "127.0.0.1:1")));
        assert_eq!((first.slot, second.slot), (0, 1));
        assert_eq!(cells.by_slot(1).unwrap().authority, "127.0.0.1:2");
        assert!(cells.by_slot(2).is_none());
        assert_eq!((first.failed(), first.failed()), (1, 2));
        first.succeeded(200);
        assert_eq!(first.failed(), 1);
    }
}
