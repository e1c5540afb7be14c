//! Keys that answered uncacheably a moment ago ("hit for miss"): nobody waits for another's fetch of them. Kept by
//! hash alone, for a bounded time and in a bounded number: a collision only costs a chance to share one fetch.

use crate::charge::Charge;
use hashbrown::HashTable;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tentpole_runtime::ledger::Account;
use tentpole_runtime::{Instant, Ledger, clock};

/// Markers in one shard; the oldest gives way.
const MARKERS_MAX: usize = 1_024;

/// Bytes that one costs: its place in the table and in the order.
const MARKER_BYTES: u64 = 48;

/// The markers of one shard.
#[derive(Debug)]
pub(crate) struct Markers {
    known: HashTable<Marker>,
    order: VecDeque<u64>,
    charge: Charge,
}

#[derive(Debug)]
struct Marker {
    hash: u64,
    until: Instant,
}

impl Markers {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        let charge = Charge::new(ledger, Account::Cache, 0);
        Self { known: HashTable::new(), order: VecDeque::new(), charge }
    }

    /// Remembers a key for a while.
    pub(crate) fn mark(&mut self, hash: u64, remember_for: Duration) {
        if remember_for.is_zero() {
            return;
        }
        self.clear(hash);
        if self.order.len() == MARKERS_MAX
            && let Some(&oldest) = self.order.front()
        {
            self.clear(oldest);
        }
        self.known.insert_unique(hash, Marker { hash, until: clock::now().after(remember_for) }, |m| m.hash);
        self.order.push_back(hash);
        self.recharge();
    }

    /// Whether a key is remembered; forgets it when its time is over.
    pub(crate) fn holds(&mut self, hash: u64) -> bool {
        let Some(marker) = self.known.find(hash, |marker| marker.hash == hash) else { return false };
        let holds = clock::now() < marker.until;
        if !holds {
            self.clear(hash);
        }
        holds
    }

    /// Forgets a key.
    pub(crate) fn clear(&mut self, hash: u64) {
        if let Ok(found) = self.known.find_entry(hash, |marker| marker.hash == hash) {
            found.remove();
            // Rare, short, and nearly always at the front: the oldest expire first.
            if let Some(at) = self.order.iter().position(|&other| other == hash) {
                self.order.remove(at);
            }
            self.recharge();
        }
    }

    fn recharge(&mut self) {
        self.charge.set(self.order.len() as u64 * MARKER_BYTES);
    }
}
