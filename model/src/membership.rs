//! Which endpoints stand at which addresses, and how they are. Changes often and recompiles nothing.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The state of all pools; parallel to `Snapshot::pools`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// One for each pool.
    pub pools: Vec<PoolMembers>,
}

/// The state of one pool; parallel to `Pool::endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolMembers {
    /// One for each endpoint.
    pub members: Vec<Member>,
}

/// The state of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Addresses to dial, best first; empty while the name has no answer.
    pub addresses: Vec<SocketAddr>,
    /// Whether it gets traffic.
    pub health: Health,
}

/// Whether an endpoint gets traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It does.
    Up,
    /// It does not, and why.
    Down(DownReason),
    /// It would be down, but it is the last one of its pool and stays (S1.4).
    LastOne(DownReason),
}

/// Why an endpoint is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownReason {
    /// Active probes failed.
    Probe,
    /// Requests failed one after the other.
    Failures,
    /// Its name has no address.
    NoAddress,
}

impl Health {
    /// Whether the endpoint may be chosen.
    pub fn takes_traffic(self) -> bool {
        !matches!(self, Self::Down(_))
    }
}
