//! Which endpoints stand at which addresses, and how they are. Changes often and recompiles nothing.

use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};

/// What stands in [`Member::addresses`] for an endpoint at a Unix socket, whose place the Snapshot says and no name server:
/// it is the address of nothing.
pub const AT_UNIX_SOCKET: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

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
    /// Added to the endpoint's own tier: what the name of a service says (SRV) of who comes first.
    #[serde(default)]
    pub tier: u32,
}

/// Whether an endpoint gets traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It does.
    Up,
    /// It does not, and why.
    Down(DownReason),
    /// It would be down, but it stays: it is the last one of its pool (S1.4), or too few others are well.
    LastOne(DownReason),
}

/// Why an endpoint is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DownReason {
    /// Active probes failed.
    Probe,
    /// Requests failed one after the other.
    Failures,
    /// It answers with errors, and the others do not.
    Errors,
    /// It is far slower than the others.
    Slow,
    /// Its name has no address.
    NoAddress,
}

impl DownReason {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 5] = [Self::Probe, Self::Failures, Self::Errors, Self::Slow, Self::NoAddress];

    /// The word in metrics and API.
    pub fn label(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Failures => "failures",
            Self::Errors => "errors",
            Self::Slow => "slow",
            Self::NoAddress => "no_address",
        }
    }
}

impl Health {
    /// Why it is judged down, whether it stays or not.
    pub fn reason(self) -> Option<DownReason> {
        match self {
            Self::Up => None,
            Self::Down(reason) | Self::LastOne(reason) => Some(reason),
        }
    }

    /// Whether the endpoint may be chosen.
    pub fn takes_traffic(self) -> bool {
        !matches!(self, Self::Down(_))
    }
}
