//! What data threads and the disk's own threads share: the index, the segments, the purges and the queues between them.
//! Nothing here touches a file.

use crate::counts::{Counts, count, read};
use crate::directory::Seed;
use crate::index::Index;
use crate::purges::{Named, Order, Purges, Standing, What};
use crate::queue::Queue;
use crate::reader;
use crate::segment::Segment;
use crate::writing::Job;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tentpole_model::DiskSettings;
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;
use tokio::sync::oneshot;

/// Reads that fail one after the other before the directory is given up.
const READ_ERRORS_MAX: u32 = 16;
/// Orders that wait to be written down; with more, everything is purged in one.
pub(crate) const PENDING_MAX: usize = 100_000;

#[derive(Debug)]
pub(crate) struct Shared {
    pub settings: DiskSettings,
    /// Largest object that is kept.
    pub object_bytes_max: u64,
    pub seed: Seed,
    pub index: Index,
    pub segments: RwLock<BTreeMap<u32, Arc<Segment>>>,
    pub reads: Queue<reader::Job>,
    pub writes: Queue<Job>,
    /// Whether the directory is in use.
    pub on: AtomicBool,
    /// Whether all segments from before the start have been looked through.
    pub scanned: AtomicBool,
    /// Too many reads failed.
    pub failing: AtomicBool,
    pub read_errors: AtomicU32,
    /// Another process gets the directory.
    pub leaving: AtomicBool,
    pub counts: Counts,
    pub ledger: Arc<Ledger>,
    ordered: RwLock<Ordered>,
}

/// Purges, and those of them that are not written down yet.
#[derive(Debug)]
pub(crate) struct Ordered {
    pub purges: Purges,
    pub pending: Vec<Order>,
    /// Who waits until they are.
    pub waiting: Vec<oneshot::Sender<bool>>,
}

impl Shared {
    pub(crate) fn new(
        settings: DiskSettings,
        object_bytes_max: u64,
        seed: Seed,
        purges: Purges,
        index: Index,
        queues: (Queue<reader::Job>, Queue<Job>),
        ledger: Arc<Ledger>,
    ) -> Self {
        let (reads, writes) = queues;
        Self {
            settings,
            object_bytes_max,
            seed,
            index,
            segments: RwLock::default(),
            reads,
            writes,
            on: AtomicBool::new(false),
            scanned: AtomicBool::new(false),
            failing: AtomicBool::new(false),
            read_errors: AtomicU32::new(0),
            leaving: AtomicBool::new(false),
            counts: Counts::default(),
            ledger,
            ordered: RwLock::new(Ordered { purges, pending: Vec::new(), waiting: Vec::new() }),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// A segment, if it has not been given up.
    pub(crate) fn segment(&self, number: u32) -> Option<Arc<Segment>> {
        self.segments().get(&number).cloned()
    }

    pub(crate) fn segments(&self) -> RwLockReadGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.segments.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn segments_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.segments.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ordered(&self) -> RwLockReadGuard<'_, Ordered> {
        self.ordered.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn ordered_mut(&self) -> RwLockWriteGuard<'_, Ordered> {
        self.ordered.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn standing(&self, named: &Named<'_>) -> Standing {
        self.ordered().purges.standing(named)
    }

    /// Hands something over to be written; counts what does not fit.
    pub(crate) fn put(&self, job: Job, bytes: u64) -> bool {
        // Before: the writer gives back as soon as it has it.
        self.ledger.charge(Account::Disk, bytes);
        let put = self.is_on() && self.writes.put(job, bytes).is_ok();
        if !put {
            self.ledger.release(Account::Disk, bytes);
            count(&self.counts.writes_dropped);
        }
        put
    }

    /// Purges: from now on nothing of it is given out. Written down by the writer, who is called for it.
    pub(crate) fn order(&self, whats: Vec<What>, soft: bool, waits: Option<oneshot::Sender<bool>>) {
        let mut ordered = self.ordered_mut();
        let Ordered { purges, pending, waiting } = &mut *ordered;
        for what in whats {
            if let (What::Key(hash), false) = (&what, soft) {
                self.index.remove_key(*hash);
            }
            pending.push(purges.purge(what, soft));
        }
        if pending.len() > PENDING_MAX {
            pending.clear();
            pending.push(purges.purge(What::All, false));
        }
        waiting.extend(waits);
        drop(ordered);
        self.writes.call();
    }

    /// A key's object on disk is no longer the newest.
    pub(crate) fn forget(&self, key_hash: u64) {
        // What has not been looked through may hold it.
        if self.index.holds(key_hash) || !self.scanned.load(Ordering::Acquire) {
            self.order(vec![What::Key(key_hash)], false, None);
        }
    }

    /// A read failed. After too many in a row the directory is given up.
    pub(crate) fn read_failed(&self) {
        count(&self.counts.errors);
        if self.read_errors.fetch_add(1, Ordering::AcqRel) + 1 >= READ_ERRORS_MAX {
            self.failing.store(true, Ordering::Release);
            self.writes.call();
        }
    }

    pub(crate) fn stats(&self) -> crate::Stats {
        let counts = &self.counts;
        crate::Stats {
            on: self.is_on(),
            objects: self.index.len(),
            bytes: read(&counts.bytes),
            bytes_max: self.settings.bytes_max,
            hits: read(&counts.hits),
            misses: read(&counts.misses),
            overloaded: read(&counts.overloaded),
            writes: read(&counts.writes),
            writes_dropped: read(&counts.writes_dropped),
            evictions: read(&counts.evictions),
            purges: self.ordered().purges.len() as u64,
            errors: read(&counts.errors),
            damaged: read(&counts.damaged),
        }
    }
}
