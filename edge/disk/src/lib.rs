//! The part of the cache that outlives a restart: objects on disk, bounded in bytes. Never gives out a torn object,
//! and never one that was purged.
//!
//! Records are appended to segments; which of them are found, an index in memory says, built anew from the segments'
//! record heads after a restart. An object counts from the moment when its own record is written, after the parts of its
//! body. Purges touch no object: they are numbers that a read compares, and a journal. Knows no HTTP beyond the facts
//! that freshness needs, fetches nothing, and lets no data thread wait for a disk.

mod append;
mod counts;
mod directory;
mod disk;
mod files;
mod index;
mod journal;
mod meta;
mod purges;
mod queue;
mod reader;
mod record;
mod segment;
mod shared;
mod writer;
mod writing;

#[cfg(test)]
mod purges_tests;

pub use counts::Stats;
pub use directory::{BYTES_MIN, OpenError};
pub use disk::{Disk, Found, HeldBody, Purge, Purging, Reading, StoredBody};
pub use meta::{Meta, TAGS_MAX};
pub use purges::Standing;
pub use record::{FORMAT, PART_BYTES};
pub use writing::{NewObject, Writing};
