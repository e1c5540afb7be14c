//! Chooses one endpoint for a request. Never dials, never waits, holds no state: what is in flight, what is usable
//! and the randomness come from the caller, so that a simulation chooses as the edge does.
//!
//! All ways to choose answer with an index below `len`, or `None` when no endpoint is left: all are unusable, or
//! those that are not have been tried.
//!
//! Which of them come into question is asked before: the tier ([`tiers`]), then the zone ([`stays_near`]).

mod consistent_hash;
mod draw;
mod latency;
mod least_requests;
mod peak_ewma;
mod round_robin;
pub mod tiers;
mod zones;

pub use consistent_hash::{consistent_hash, hash};
pub use latency::Latency;
pub use least_requests::least_requests;
pub use peak_ewma::peak_ewma;
pub use round_robin::round_robin;
pub use zones::{ZoneLoad, stays_near};

/// What has to be known of an endpoint to choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Healthy, not drained, with room, not tried yet: the caller decides.
    pub usable: bool,
    /// Its share of traffic against its siblings; 0 is never chosen.
    pub weight: u32,
    /// Requests sent to it that have not ended.
    pub in_flight: u32,
}

/// Whether an endpoint can be chosen.
fn eligible(candidate: &Candidate) -> bool {
    candidate.usable && candidate.weight > 0
}
