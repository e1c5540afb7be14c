//! What changed about an endpoint, as one line for a person.

use std::fmt;
use tentpole_model::{DownReason, Health};

/// An endpoint's health changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The pool's name.
    pub pool: String,
    /// The endpoint, `host:port`.
    pub authority: String,
    /// What it is now.
    pub health: Health,
    /// What was seen, such as `3 probes in a row failed: connection refused`.
    pub because: String,
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, authority, health, because } = self;
        match health {
            Health::Up => write!(out, "pool {pool}: {authority} takes traffic: {because}"),
            Health::Down(_) => write!(out, "pool {pool}: {authority} is out of traffic: {because}"),
            Health::LastOne(_) => write!(
                out,
                "pool {pool}: {authority} is down ({because}); it stays in traffic, for no other endpoint is up"
            ),
        }
    }
}

/// What took an endpoint out, for when nothing more is known.
pub(crate) fn reason(down: DownReason) -> &'static str {
    match down {
        DownReason::Probe => "probes failed",
        DownReason::Failures => "requests failed one after the other",
        DownReason::NoAddress => "its name has no address",
    }
}
