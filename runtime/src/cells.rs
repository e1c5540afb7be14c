//! One cell for each endpoint in the process: what is in flight, what is open, how it fares. Outlives Snapshots,
//! so that a reload forgets nothing. The edge writes, the control plane reads.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

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
    by_slot: Vec<Arc<Cell>>,
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
            slot: inner.by_slot.len() as u32,
            pool: key.0.clone(),
            authority: key.1.clone(),
            in_flight: AtomicU32::new(0),
            open: AtomicU32::new(0),
            requests: AtomicU64::new(0),
            connects: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            failures_in_a_row: AtomicU32::new(0),
            errors_5xx: AtomicU64::new(0),
            latency: AtomicU64::new(0),
        });
        inner.by_name.insert(key, cell.clone());
        inner.by_slot.push(cell.clone());
        cell
    }

    /// The cell with this slot.
    pub fn by_slot(&self, slot: u32) -> Option<Arc<Cell>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).by_slot.get(slot as usize).cloned()
    }

    /// All cells, in the order they were made.
    pub fn all(&self) -> Vec<Arc<Cell>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).by_slot.clone()
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
        }
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
