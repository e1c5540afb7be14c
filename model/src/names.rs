//! Names of endpoints and where they lead: what is asked for, what came of it, and how looking up goes. What asks is
//! `control/names`; what makes endpoints of the answers is `control/health`.

use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesSettings {
    /// Name servers, in the order in which they are asked; empty means those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// An answer counts at least this long, whatever its TTL says.
    pub ttl_min: Duration,
    /// And at most this long.
    pub ttl_max: Duration,
    /// How long the last good answer is kept while name servers say that there is no such name.
    pub absent_hold: Duration,
    /// Which addresses count where a name has both.
    pub family: Family,
}

/// Which addresses of a name count where it has IPv4 and IPv6 addresses: one machine must not be two endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Family {
    /// The IPv4 ones; those of IPv6 where there are no others.
    Ipv4,
    /// The IPv6 ones; those of IPv4 where there are no others.
    Ipv6,
}

/// How an endpoint's addresses are found from its host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Lookup {
    /// The host's addresses (A, AAAA), or itself where it is one.
    #[default]
    Addresses,
    /// The host is a service (SRV, RFC 2782): targets with ports, priorities and weights.
    Services,
}

/// What is asked for: a name, lower case, and how it is looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The name.
    pub host: String,
    /// How.
    pub lookup: Lookup,
}

/// Where names lead now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NameAnswers {
    /// Names that were asked for at least once.
    pub names: HashMap<Asked, NameAnswer>,
}

/// Where a name leads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NameAnswer {
    /// The last good answer; empty when there never was one.
    pub targets: Vec<Target>,
    /// They are addresses of one machine: one endpoint, that is dialed at whichever answers first (RFC 8305).
    pub one_machine: bool,
    /// Name servers have said for longer than [`NamesSettings::absent_hold`] that there is no such name.
    pub gone: bool,
    /// Why the answer is not of now; `None` when all is well.
    pub trouble: Option<String>,
}

/// One address of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The address.
    pub ip: IpAddr,
    /// The port, where the answer says it (SRV).
    pub port: Option<u16>,
    /// SRV: those with the lowest number come first; 0 otherwise.
    pub priority: u16,
    /// SRV: its share among those of its priority, in thousandths of a weight; 0 otherwise.
    pub weight: u32,
}

/// How looking up goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamesStatus {
    /// Look-ups since the control process began, by how they ended: with addresses.
    pub found: u64,
    /// The name servers said that there are none.
    pub absent: u64,
    /// No name server gave an answer that can be used.
    pub failed: u64,
    /// Questions sent to name servers for them, repeated ones included.
    pub questions: u64,
    /// Look-ups in the last minute.
    pub last_minute: u64,
    /// Each name, sorted.
    pub names: Vec<NameStatus>,
}

/// How one name is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameStatus {
    /// The name; `srv://` before that of a service.
    pub name: String,
    /// Where it leads.
    pub addresses: Vec<String>,
    /// Who said it: a name server's address, or a file.
    pub from: Option<String>,
    /// How long the answer counts, in milliseconds.
    pub ttl_ms: u64,
    /// How long ago it came, in milliseconds; `None` when there never was one.
    pub age_ms: Option<u64>,
    /// Look-ups of this name.
    pub lookups: u64,
    /// What is wrong with it now.
    pub trouble: Option<String>,
}

/// Says how looking up goes.
pub trait NamesPort: Send + Sync {
    /// How it goes now.
    fn status(&self) -> NamesStatus;
}

impl Default for NamesSettings {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            ttl_min: Duration::from_secs(1),
            ttl_max: Duration::from_secs(3_600),
            absent_hold: Duration::from_secs(30),
            family: Family::Ipv4,
        }
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.lookup {
            Lookup::Addresses => write!(f, "{}", self.host),
            Lookup::Services => write!(f, "srv://{}", self.host),
        }
    }
}
