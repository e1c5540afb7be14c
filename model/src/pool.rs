//! The pools of a Snapshot: endpoints, how one of them is chosen and reached, how long it may take, and their defaults. Already
//! checked, as all of a Snapshot is. Knows nothing of health (`Membership`) or of weights in force (`Dials`).

use crate::balancing::{Hashing, Sticky, Zones};
use crate::files::Files;
use crate::fleet::Fleet;
use crate::front::SecretField;
use crate::health::{HealthCheck, Outliers};
use crate::limits::AdaptiveLimit;
use crate::membership::Member;
use crate::names::{Asked, Lookup};
use crate::purging::Secret;
use crate::retrying::Retrying;
use crate::scripts::Scripts;
use crate::tls::EndpointTls;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

/// Enough of a tier's endpoints to carry its load, in hundredths: with 140, a tier of which 5 of 7 are there carries all of it.
/// Envoy's default.
pub const OVERPROVISIONING_PERCENT: u32 = 140;

/// Endpoints that serve the same thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The name in the configuration.
    pub name: String,
    /// At least one, but where there are only files; for a fleet, one for each slot.
    pub endpoints: Vec<Endpoint>,
    /// The instances behind the endpoints, when Tentpole starts them itself.
    pub fleet: Option<Fleet>,
    /// How one of them is chosen.
    pub balance: Balance,
    /// What makes requests alike, for [`Balance::ConsistentHash`].
    pub hashing: Hashing,
    /// Whether endpoints of the edge's own zone come first.
    pub zones: Zones,
    /// How much more than its usual load a tier can carry, in hundredths: from 100. What it has lost beyond that goes to
    /// the next tier.
    pub overprovisioning_percent: u32,
    /// Visitors come back to the endpoint that served them; `None` is off.
    pub sticky: Option<Sticky>,
    /// Active probes; `None` leaves health to counted failures.
    pub health: Option<HealthCheck>,
    /// Consecutive failures (connect, time-out, reset; not 5xx) that take an endpoint out.
    pub failures_max: u32,
    /// What else speaks against an endpoint, and how many may be out.
    pub outliers: Outliers,
    /// How long an endpoint that is new or came back takes to get its full share; zero gives it at once. Its weight grows
    /// meanwhile, so weights are hundredfold where this is not zero. A fleet has its own.
    pub slow_start: Duration,
    /// How long each phase of an exchange may take.
    pub timeouts: UpstreamTimeouts,
    /// Its endpoints' limits follow what each carries; `Endpoint::requests_max` is the most then. `None` leaves them as they are.
    pub adaptive: Option<AdaptiveLimit>,
    /// Endpoints without any limit get one when visitors leave or its answers fail, and only then. Never with `adaptive`, or where
    /// an endpoint has a limit of its own.
    pub guard: bool,
    /// What waits when all endpoints are at their limit.
    pub queue: QueueSettings,
    /// Its endpoints are asked by HTTP/2, behind TLS and in the clear.
    pub http2: bool,
    /// When its requests are sent again.
    pub retrying: Retrying,
    /// Addresses of this machine that connections to its endpoints come from, in turn; empty leaves it to the system.
    pub source_addresses: Vec<IpAddr>,
    /// How those of its endpoints that speak TLS are believed.
    pub tls: EndpointTls,
    /// Fields that each request to its endpoints brings, by which they know us.
    pub send: Vec<SecretField>,
    /// Its endpoints are an object store's.
    pub object_store: Option<ObjectStore>,
    /// What runs at its endpoints, where they speak FastCGI.
    pub scripts: Option<Scripts>,
    /// Files that are served before an endpoint is asked.
    pub files: Option<Files>,
}

/// An object store that speaks S3's protocol, in the place of an application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectStore {
    /// The bucket.
    pub bucket: String,
    /// Where it is.
    pub region: String,
    /// The access key's id.
    pub key_id: Secret,
    /// The access key.
    pub key: Secret,
    /// The session token that temporary keys have; one that is not there is no error.
    pub session: Option<Secret>,
    /// How it is named in a request.
    pub addressing: Addressing,
    /// The object behind a path that ends in a slash.
    pub index: String,
}

/// Where in a request a bucket is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addressing {
    /// `http://store/bucket/object`
    Path,
    /// `http://bucket.store/object`
    Host,
}

/// One address in a pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// How the endpoint is reached.
    pub scheme: Scheme,
    /// Name or address, without brackets; or the path of a Unix socket, which begins with a slash.
    pub host: String,
    /// TCP port; 0 for a slot of a fleet, whose address the Membership tells, for a service, whose targets have one each, and
    /// for a Unix socket.
    pub port: u16,
    /// How its addresses are found.
    pub lookup: Lookup,
    /// Which address of its name it is, from 0: each is an endpoint of its own. `None` where all are this one's.
    pub slot: Option<u16>,
    /// Share of traffic against its siblings, 1 to 100.
    pub weight: u32,
    /// Gets requests only while the lower tiers cannot carry all of them.
    pub tier: u32,
    /// The failure domain that it is in.
    pub zone: Option<String>,
    /// Requests in flight at most; `None` is unlimited.
    pub requests_max: Option<u32>,
    /// Open connections at most, idle ones included; `None` is unlimited.
    pub connections_max: Option<u32>,
}

/// How an endpoint is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scheme {
    /// HTTP/1.1 in the clear.
    Http,
    /// FastCGI: what runs is [`Pool::scripts`].
    FastCgi,
    /// HTTP behind TLS.
    Https,
}

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Balance {
    /// Power of two choices on requests in flight (Mitzenmacher 2001).
    LeastRequests,
    /// Each in turn, by weight.
    RoundRobin,
    /// Power of two choices on requests in flight times latency (Finagle's Peak EWMA).
    PeakEwma,
    /// The same endpoint for requests that are alike by [`Pool::hashing`], while it has room.
    ConsistentHash,
}

/// Time-outs towards an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTimeouts {
    /// Until the connection stands.
    pub connect: Duration,
    /// From the request's last byte to the response's first.
    pub first_byte: Duration,
    /// Between two pieces of a body, in either direction.
    pub stall: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
    /// How long a connection of HTTP/2 with requests under way may bring nothing, not even an answer to PING.
    pub silence: Duration,
}

/// What waits for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    /// Requests that may wait in one pool.
    pub length_max: u32,
    /// How long one may wait.
    pub wait_max: Duration,
}

/// Without an endpoint and without probes: a beginning for what is put together by hand.
impl Default for Pool {
    fn default() -> Self {
        Self {
            name: "app".to_owned(),
            endpoints: Vec::new(),
            fleet: None,
            balance: Balance::LeastRequests,
            hashing: Hashing::default(),
            zones: Zones::Cross,
            overprovisioning_percent: OVERPROVISIONING_PERCENT,
            sticky: None,
            health: None,
            failures_max: 3,
            outliers: Outliers::default(),
            slow_start: Duration::ZERO,
            timeouts: UpstreamTimeouts::default(),
            adaptive: None,
            guard: false,
            queue: QueueSettings::default(),
            http2: false,
            retrying: Retrying::default(),
            source_addresses: Vec::new(),
            tls: EndpointTls::default(),
            send: Vec::new(),
            object_store: None,
            scripts: None,
            files: None,
        }
    }
}

/// A slot of a fleet without a name and without limits: a beginning for what is put together by hand.
impl Default for Endpoint {
    fn default() -> Self {
        Self {
            scheme: Scheme::Http,
            host: String::new(),
            port: 0,
            lookup: Lookup::Addresses,
            slot: None,
            weight: 1,
            tier: 0,
            zone: None,
            requests_max: None,
            connections_max: None,
        }
    }
}

impl Default for UpstreamTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            first_byte: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            // Below the 60 s or 65 s after which common servers close, above the 5 s of others: those are retried.
            idle: Duration::from_secs(50),
            // Asked after a third of it. Longer than an event loop stands still that is well otherwise.
            silence: Duration::from_secs(15),
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { length_max: 1_000, wait_max: Duration::from_secs(10) }
    }
}

impl Pool {
    /// Whether an endpoint is a place of a name in which nobody is now. Where the name leads nowhere, its first place stands
    /// for it.
    pub fn is_empty_place(&self, endpoint: usize, members: &[Member]) -> bool {
        let has_address = |at: usize| members.get(at).is_some_and(|member| !member.addresses.is_empty());
        let Some(slot) = self.endpoints[endpoint].slot else { return false };
        if has_address(endpoint) {
            return false;
        }
        let name = self.endpoints[endpoint].name();
        let siblings =
            self.endpoints.iter().enumerate().filter(|(_, it)| it.slot.is_some() && it.name() == name);
        slot > 0 || siblings.into_iter().any(|(at, _)| has_address(at))
    }
}

impl Endpoint {
    /// The Unix socket that it listens at.
    pub fn unix_socket(&self) -> Option<&Path> {
        self.host.starts_with('/').then(|| Path::new(&self.host))
    }

    /// What metrics and logs show, the only one of its kind in a pool: its [`Endpoint::name`], with `~2` and so on
    /// behind it for the further addresses of a name.
    pub fn authority(&self) -> String {
        match self.slot {
            None | Some(0) => self.name(),
            Some(slot) => format!("{}~{}", self.name(), u32::from(slot) + 1),
        }
    }

    /// As it was written: `host:port`, with brackets around an IPv6 address; the name alone for a slot of a fleet; `srv://`
    /// and the name for a service; `unix:/path` for a Unix socket.
    pub fn name(&self) -> String {
        if self.unix_socket().is_some() {
            format!("unix:{}", self.host)
        } else if self.lookup == Lookup::Services {
            format!("srv://{}", self.host)
        } else if self.port == 0 {
            self.host.clone()
        } else if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// The name that is looked up for it; `None` where there is nothing to look up, which for a slot of a fleet
    /// only its pool knows.
    pub fn asked(&self) -> Option<Asked> {
        let literal = self.host.parse::<std::net::IpAddr>().is_ok() || self.unix_socket().is_some();
        (!literal).then(|| Asked { host: self.host.clone(), lookup: self.lookup })
    }

    /// Whether it is a further address of a name, of which most have none.
    pub fn is_further(&self) -> bool {
        self.slot.is_some_and(|slot| slot > 0)
    }
}
