//! The figures of the cache's part on disk, as metrics show them. Asks for them when a page is made; knows no disk.

use crate::exposition::Exposition;
use crate::names;
use std::fmt;

/// How full it is and what it did since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskFigures {
    /// Whether its directory is in use.
    pub on: bool,
    /// Objects that can be found.
    pub objects: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that they may have.
    pub bytes_max: u64,
    /// Look-ups that found something.
    pub hits: u64,
    /// Look-ups that found nothing.
    pub misses: u64,
    /// Look-ups given up: too many at once, or too slow.
    pub overloaded: u64,
    /// Objects written.
    pub writes: u64,
    /// Objects that were to be written and were not.
    pub writes_dropped: u64,
    /// Objects that gave way to others.
    pub evictions: u64,
    /// Purges that are remembered.
    pub purges: u64,
    /// Reads and writes that the system refused.
    pub errors: u64,
    /// Records whose bytes were not those that were written.
    pub damaged: u64,
}

/// Asks for the figures.
pub(crate) struct Ask(pub Box<dyn Fn() -> DiskFigures + Send + Sync>);

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

impl Exposition {
    pub(crate) fn disk(&mut self, figures: &DiskFigures) {
        self.single(&names::DISK_IN_USE, &[], u8::from(figures.on));
        self.single(&names::DISK_OBJECTS, &[], figures.objects);
        self.single(&names::DISK_BYTES, &[], figures.bytes);
        self.single(&names::DISK_BYTES_MAX, &[], figures.bytes_max);
        self.family(&names::DISK_LOOKUPS);
        for (result, count) in
            [("hit", figures.hits), ("miss", figures.misses), ("overloaded", figures.overloaded)]
        {
            self.sample(&names::DISK_LOOKUPS, &[("result", result)], count);
        }
        self.family(&names::DISK_WRITES);
        for (result, count) in [("written", figures.writes), ("dropped", figures.writes_dropped)] {
            self.sample(&names::DISK_WRITES, &[("result", result)], count);
        }
        self.single(&names::DISK_EVICTIONS, &[], figures.evictions);
        self.single(&names::DISK_PURGES, &[], figures.purges);
        self.family(&names::DISK_ERRORS);
        for (kind, count) in [("io", figures.errors), ("damaged", figures.damaged)] {
            self.sample(&names::DISK_ERRORS, &[("kind", kind)], count);
        }
    }
}
