//! Responses that are too large for memory, of which parts are kept: each part is an object under a key of its own,
//! made of the key of the whole, a number, and the range. The number is given here, anew whenever something says that
//! what was kept no longer holds: no request can name the old parts from then on, and they give way to others.

use crate::charge::Charge;
use crate::{Cache, Key};
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

/// So many are remembered; the oldest gives way.
pub const LARGE_MAX: usize = 1024;

/// Longest entity tag that is remembered.
const ETAG_BYTES_MAX: usize = 256;

/// A response that is too large, as it was last seen. All its parts agree in these.
#[derive(Debug)]
pub struct Large {
    /// Its entity tag, a strong one.
    pub etag: Box<[u8]>,
    /// Bytes of the whole.
    pub total: u64,
    number: AtomicU64,
    _charge: Charge,
}

impl Large {
    /// What its parts are kept under now: never used before in this cache, and another one after each purge that may be
    /// about it.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }
}

#[derive(Debug, Default)]
pub(crate) struct LargeOnes {
    /// How many there are: most caches have none, and ask no further.
    count: AtomicUsize,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_hash: HashMap<u64, Arc<Large>>,
    /// In the order in which they came.
    order: VecDeque<u64>,
    last_number: u64,
}

impl Known {
    fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }
}

impl LargeOnes {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.lock();
        change(&mut known);
        self.count.store(known.by_hash.len(), Ordering::Release);
    }

    fn get(&self, hash: u64) -> Option<Arc<Large>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.lock().by_hash.get(&hash).cloned()
    }

    fn note(&self, ledger: &Arc<Ledger>, hash: u64, etag: &[u8], total: u64) {
        let bytes = (size_of::<Large>() + etag.len() + 64) as u64;
        self.change(|known| {
            let number = AtomicU64::new(known.next_number());
            let charge = Charge::new(ledger, Account::Cache, bytes);
            let large = Large { etag: etag.into(), total, number, _charge: charge };
            if known.by_hash.insert(hash, Arc::new(large)).is_some() {
                known.order.retain(|&other| other != hash);
            }
            known.order.push_back(hash);
            if known.order.len() > LARGE_MAX
                && let Some(oldest) = known.order.pop_front()
            {
                known.by_hash.remove(&oldest);
            }
        });
    }

    pub(crate) fn forget(&self, hash: u64) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        self.change(|known| {
            if known.by_hash.remove(&hash).is_some() {
                known.order.retain(|&other| other != hash);
            }
        });
    }

    /// Makes all parts unknown, not what they are parts of.
    pub(crate) fn renumber(&self) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut known = self.lock();
        let number = known.next_number();
        // One number does for all: the keys of the parts differ besides.
        known.by_hash.values().for_each(|large| large.number.store(number, Ordering::Release));
    }

    pub(crate) fn forget_all(&self) {
        self.change(|known| {
            known.by_hash.clear();
            known.order.clear();
        });
    }
}

impl Cache {
    /// The response under this key is too large for memory: parts of it may be kept from now on. Parts that were kept
    /// before are not found any more. Ignored where the tag is unreasonably long.
    pub fn note_large(&self, key: &Key<'_>, etag: &[u8], total: u64) {
        if etag.len() <= ETAG_BYTES_MAX {
            self.large.note(&self.ledger, key.hash, etag, total);
        }
    }

    /// What is known of a response that is too large for memory.
    pub fn large(&self, key: &Key<'_>) -> Option<Arc<Large>> {
        self.large.get(key.hash)
    }

    /// What was noted no longer holds: parts of it are not found any more.
    pub fn forget_large(&self, key: &Key<'_>) {
        self.large.forget(key.hash);
    }
}
