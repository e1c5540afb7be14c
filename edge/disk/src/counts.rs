//! What the disk did since the process began.

use std::sync::atomic::{AtomicU64, Ordering};

/// How full the disk cache is and what it did since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Whether it is in use; not while its directory cannot be used.
    pub on: bool,
    /// Objects that can be found, as far as they have been looked through since the start.
    pub objects: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that they may have.
    pub bytes_max: u64,
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
    /// Look-ups that were given up: too many at once, or too slow.
    pub overloaded: u64,
    /// Objects written.
    pub writes: u64,
    /// Objects not written: too many at once, or the disk could not take them.
    pub writes_dropped: u64,
    /// Objects that gave way to others.
    pub evictions: u64,
    /// Purges kept because something on disk may be older.
    pub purges: u64,
    /// Reads and writes that the system refused.
    pub errors: u64,
    /// Records whose bytes were not those that were written.
    pub damaged: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub bytes: AtomicU64,
    pub hits: AtomicU64,
    pub misses: AtomicU64,
    pub overloaded: AtomicU64,
    pub writes: AtomicU64,
    pub writes_dropped: AtomicU64,
    pub evictions: AtomicU64,
    pub errors: AtomicU64,
    pub damaged: AtomicU64,
}

/// One more.
pub(crate) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How many.
pub(crate) fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
