//! Limits of endpoints that follow what they carry, and a pool's limit that several edges share. Says nothing about how
//! either is found.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A limit of requests in flight that follows what the endpoint carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdaptiveLimit {
    /// To begin with, until something was found: the number of workers, or what usually does.
    pub start: u32,
    /// Somebody has named that.
    #[serde(default)]
    pub is_start_told: bool,
    /// Never below; at least 1.
    pub min: u32,
    /// Never above.
    pub max: u32,
}

/// Why an adaptive limit is what it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitWhy {
    /// It is what it began with.
    #[default]
    Start,
    /// More at once brought more answers.
    CarriesMore,
    /// More at once brought hardly more answers, only longer waiting inside the endpoint.
    WaitsInside,
    /// Answers were late or 503.
    Overloaded,
    /// Of the guard: more is sent than is answered, and answers take several times as long as usual. Nobody is refused.
    PilesUp,
    /// Of the guard: visitors left, or answers were late or 503, while that was so.
    VisitorsLeft,
}

/// Where an adaptive limit began, and by whose word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitStart {
    /// Requests at once, as it was said: bounds that came later do not change it.
    pub limit: u32,
    /// Who said that.
    pub from: LimitFrom,
    /// When it was found, in seconds since 1970; 0 where nothing was.
    pub found_unix_s: u64,
}

/// Who said where an adaptive limit begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitFrom {
    /// Nobody: it is what usually does.
    #[default]
    Usual,
    /// The configuration.
    Configured,
    /// It was found at this endpoint.
    Found,
    /// It was found at others of its pool.
    FoundInPool,
}

/// From an edge to who shares a pool's limit out: what it could use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseWanted {
    /// Counts up with each message of this edge, from 1. The edge takes only the answer to its newest.
    pub number: u64,
    /// Requests in flight at the pool.
    pub in_flight: u32,
    /// Requests that wait, and that were refused since the last message.
    pub waiting: u32,
    /// What it uses at most from now on, until it is answered; not below `in_flight`.
    pub keeps: u32,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseGranted {
    /// The message that this answers.
    pub number: u64,
    /// Requests that the edge may have in flight.
    pub share: u32,
    /// For how long, from the moment when the edge *sent* what this answers.
    pub valid: Duration,
}

/// Where a pool's limit is shared between edges: this machine's control process, or a store that several machines reach.
pub trait Leases: Send + Sync {
    /// Asks for a share. `edge` is one running edge's own number: an edge that was started again is another one.
    /// Never blocks for longer than a lease is valid.
    ///
    /// # Errors
    /// When nobody answers. The edge goes on with what it holds until that ends.
    fn ask(&self, edge: u64, pool: &str, wanted: LeaseWanted) -> Result<LeaseGranted, NoLease>;
}

/// Nobody shares leases out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLease;

impl Default for AdaptiveLimit {
    fn default() -> Self {
        Self { start: 20, is_start_told: false, min: 1, max: 1_000 }
    }
}

impl LimitFrom {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 4] = [Self::Usual, Self::Configured, Self::Found, Self::FoundInPool];

    /// The word in the API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Usual => "usual",
            Self::Configured => "configured",
            Self::Found => "found",
            Self::FoundInPool => "found_in_pool",
        }
    }

    /// The one with this place in [`LimitFrom::ALL`]; the first for any other number.
    pub fn at(place: u32) -> Self {
        Self::ALL.get(place as usize).copied().unwrap_or_default()
    }
}

impl LimitWhy {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 6] = [
        Self::Start,
        Self::CarriesMore,
        Self::WaitsInside,
        Self::Overloaded,
        Self::PilesUp,
        Self::VisitorsLeft,
    ];

    /// The word in metrics and API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::CarriesMore => "carries_more",
            Self::WaitsInside => "waits_inside",
            Self::Overloaded => "overloaded",
            Self::PilesUp => "piles_up",
            Self::VisitorsLeft => "visitors_left",
        }
    }

    /// The one with this place in [`LimitWhy::ALL`]; the first for any other number.
    pub fn at(place: u32) -> Self {
        Self::ALL.get(place as usize).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for NoLease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nobody shares out the pool's limit now")
    }
}

impl std::error::Error for NoLease {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_place_of_its_declaration() {
        assert!(LimitWhy::ALL.iter().enumerate().all(|(at, &why)| why as usize == at));
        assert_eq!((LimitWhy::at(2), LimitWhy::at(9)), (LimitWhy::WaitsInside, LimitWhy::Start));
        assert!(LimitFrom::ALL.iter().enumerate().all(|(at, &from)| from as usize == at));
        assert_eq!((LimitFrom::at(3), LimitFrom::at(9)), (LimitFrom::FoundInPool, LimitFrom::Usual));
    }
}
