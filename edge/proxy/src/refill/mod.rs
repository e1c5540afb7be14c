//! What was learned, and the hottest objects with their compressed forms, go from the edge that leaves into the one that takes its place, so that an upgrade costs the
//! application nothing. Over a private channel (a socket pair that the keeper makes), in the order of eviction, at a
//! bounded rate, on threads that give way to visitors. Either end may stop or die at any moment: that costs the rest.
//!
//! What was purged never comes back by this: the new edge remembers every purge since it began to run, compares each
//! object with all of them (`tentpole_cache::Cache::refill`), and asks for the first one only when purges at either edge
//! reach the other (`company.rs`).

mod give;
mod pace;
mod take;
mod wire;

pub use give::{Giving, give};
pub use take::{Refill, take};
