//! What is stored, for whom, how long, and when it is dropped: nobody gets what was made for somebody else.

mod common;

#[path = "storing/disk.rs"]
mod disk;
#[path = "storing/keys.rs"]
mod keys;
#[path = "storing/large_parts.rs"]
mod large_parts;
#[path = "storing/learned.rs"]
mod learned;
#[path = "storing/lies.rs"]
mod lies;
#[path = "storing/page_ranges.rs"]
mod page_ranges;
#[path = "storing/part_lies.rs"]
mod part_lies;
#[path = "storing/parts.rs"]
mod parts;
#[path = "storing/poisoning.rs"]
mod poisoning;
#[path = "storing/purge_requests.rs"]
mod purge_requests;
#[path = "storing/purging.rs"]
mod purging;
#[path = "storing/search.rs"]
mod search;
#[path = "storing/sharing.rs"]
mod sharing;
#[path = "storing/stale.rs"]
mod stale;
