//! The shared cache in memory: objects, and the fills through which they arrive while others already read them.
//!
//! Looking up and joining a fill are one critical section, so of any number of requests for the same thing exactly
//! one fetches. What may be stored or used is decided elsewhere (`tentpole-freshness`); this room keeps, finds,
//! bounds and forgets. It fetches nothing, opens nothing, and its memory is on the Ledger to the byte that it knows
//! of.

mod cache;
mod charge;
mod chunks;
mod eviction;
mod fill;
mod key;
mod lead;
mod miss;
mod object;
mod seats;
mod settle;
mod shard;
mod vary;
mod waiter;

pub use cache::{Cache, Judged, Looked, Missed, Stats};
pub use fill::{Room, WINDOW_BYTES};
pub use key::Key;
pub use lead::{Filling, Finished, Lead, NewObject};
pub use object::Object;
pub use tentpole_freshness::StoredFacts;
pub use vary::{VARY_NAMES_MAX, Vary};
pub use waiter::{Arrival, FillReader, Release, Waiter};
