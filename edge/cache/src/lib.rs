//! The shared cache in memory: objects, and the fills through which they arrive while others already read them.
//!
//! Looking up and joining a fill are one critical section, so of any number of requests for the same thing exactly
//! one fetches. What may be stored or used is decided elsewhere (`tentpole-freshness`); this room keeps, finds,
//! bounds and forgets. It fetches nothing, opens nothing, and its memory is on the Ledger to the byte that it knows
//! of.

mod body;
mod brought;
mod cache;
mod charge;
mod chunks;
mod derived;
mod doubts;
mod entry;
mod eviction;
mod fill;
mod index;
mod key;
mod large;
mod lead;
mod miss;
mod object;
mod places;
mod present;
mod purge;
mod refill;
mod seats;
mod selector;
mod settle;
mod shard;
mod span;
mod tag;
mod vary;
mod waiter;

pub use body::Elsewhere;
pub use brought::{Brought, Content};
pub use cache::{Cache, Judged, Looked, Missed, Stats};
pub use derived::{Claim, Coding, Derived, Made, NewHead};
pub use fill::{Room, WINDOW_BYTES};
pub use key::Key;
pub use large::{LARGE_MAX, Large};
pub use lead::{Confirmed, Filling, Finished, Lead, NewObject, no_new_head};
pub use object::{Object, SOFT_IF_ERROR, SOFT_WHILE_REVALIDATING};
pub use present::{DEVICE_FIELD, Presented};
pub use refill::{Hottest, Refilled};
pub use selector::{KeyTest, Selector};
pub use tag::{TAGS_MAX, Tag, TagSet};
pub use tentpole_freshness::StoredFacts;
pub use vary::{VARY_NAMES_MAX, Vary};
pub use waiter::{Arrival, FillReader, Release, Waiter};
