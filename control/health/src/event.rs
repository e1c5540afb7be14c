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
    /// How many of its pool are up, others than this one.
    pub others_up: usize,
    /// What was seen, such as `3 probes in a row failed: connection refused`.
    pub because: String,
}

impl fmt::Display for Event {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pool, authority, health, others_up, because } = self;
        match health {
            Health::Up => write!(out, "pool {pool}: {authority} takes traffic: {because}"),
            Health::Down(_) => write!(out, "pool {pool}: {authority} is out of traffic: {because}"),
            Health::LastOne(_) if *others_up == 0 => write!(
                out,
                "pool {pool}: {authority} is down ({because}); it stays in traffic, for no other endpoint is up"
            ),
            Health::LastOne(_) => write!(
                out,
                "pool {pool}: {authority} is down ({because}); it stays in traffic, for too many would be out \
                 (others up: {others_up})"
            ),
        }
    }
}

/// What took an endpoint out, for when nothing more is known.
pub(crate) fn reason(down: DownReason) -> &'static str {
    match down {
        DownReason::Probe => "probes failed",
        DownReason::Failures => "requests failed one after the other",
        DownReason::Errors => "it answers with errors",
        DownReason::Slow => "it is far slower than the others",
        DownReason::NoAddress => "its name has no address",
    }
}
