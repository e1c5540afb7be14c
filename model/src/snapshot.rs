//! The structure that an edge serves: sites, routes, pools, limits. Already checked: whoever holds a Snapshot
//! need not check it again. Knows nothing of health (`Membership`) or of weights in force (`Dials`).

use crate::caching::{Caching, CachingId, DiskSettings};
use crate::fleet::Fleet;
use crate::front::{Front, SecretField};
use crate::purging::{ContentNetwork, Purging, Secret};
use crate::tls::TlsSettings;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Index of a site in [`Snapshot::sites`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SiteId(pub u16);

/// Index of a route among all routes of all sites, in the order of the Snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteId(pub u32);

/// Index of a pool in [`Snapshot::pools`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PoolId(pub u16);

/// Everything an edge needs to know before its first request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Addresses that visitors connect to.
    pub listen: Vec<SocketAddr>,
    /// The same by https.
    pub tls: TlsSettings,
    /// Address of the admin API; `None` switches it off.
    pub admin: Option<SocketAddr>,
    /// Data threads; `None` means one for each core.
    pub threads: Option<usize>,
    /// In configuration order; at least one.
    pub sites: Vec<Site>,
    /// Referred to by [`Route::pool`].
    pub pools: Vec<Pool>,
    /// What a visitor's connection may cost.
    pub visitors: VisitorLimits,
    /// Which proxies in front are believed.
    pub front: Front,
    /// The shared cache.
    pub cache: CacheSettings,
    /// Its part on disk; `None` is memory only.
    pub disk: Option<DiskSettings>,
    /// Referred to by [`Route::caching`]; at least one.
    pub cachings: Vec<Caching>,
    /// The access log.
    pub log: LogSettings,
    /// Who may purge over HTTP.
    pub purging: Purging,
    /// Content networks in front that hear of purges.
    pub content_networks: Vec<ContentNetwork>,
}

/// Host names that are served alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    /// The name in the configuration.
    pub name: String,
    /// Which `Host` values belong to it; empty means every host that no other site claims.
    pub hosts: Vec<HostPattern>,
    /// What happens to a path that is not in canonical form.
    pub canonical: Canonical,
    /// `//` means the same as `/`. Off for applications that carry URLs inside their paths.
    pub merge_slashes: bool,
    /// Requests in the clear are sent to the same address by https (308).
    pub to_https: bool,
    /// How long browsers shall ask by https only, in seconds (HSTS, RFC 6797); 0 says nothing of it.
    pub hsts_s: u32,
    /// In configuration order; the most specific match wins, not the first.
    pub routes: Vec<Route>,
}

/// One host pattern, lower case, without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HostPattern {
    /// `shop.example`
    Exact(String),
    /// `*.shop.example`, stored as `shop.example`; matches any depth below it, not itself.
    Below(String),
}

/// What happens to a path that is equivalent to a canonical one, but not written like it (RFC 3986 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Canonical {
    /// GET and HEAD are redirected (308) to the canonical path; other methods are served under it.
    Redirect,
    /// Served under the canonical path without a redirect.
    Rewrite,
    /// The path is forwarded as it came; routes and cache still see the canonical one.
    Forward,
}

/// A path pattern and what is done with it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Route {
    /// The pattern as written: `/exact`, `/prefix/*`, `/p/{slug}`.
    pub path: String,
    /// Who answers.
    pub pool: PoolId,
    /// Additional segments after the pattern lead to the canonical path without them (S2.3).
    pub swallow_segments: bool,
    /// Whether responses are cached.
    pub cache: RouteCache,
    /// How.
    pub caching: CachingId,
    /// Largest request body, in bytes.
    pub body_bytes_max: u64,
}

/// Caching on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteCache {
    /// By RFC 9111.
    Standard,
    /// Never looked up, never stored.
    Off,
}

/// Endpoints that serve the same thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// The name in the configuration.
    pub name: String,
    /// At least one; for a fleet, one for each slot.
    pub endpoints: Vec<Endpoint>,
    /// The instances behind the endpoints, when Tentpole starts them itself.
    pub fleet: Option<Fleet>,
    /// How one of them is chosen.
    pub balance: Balance,
    /// Active probes; `None` leaves health to counted failures.
    pub health: Option<HealthCheck>,
    /// Consecutive failures (connect, time-out, reset; not 5xx) that take an endpoint out.
    pub failures_max: u32,
    /// How long each phase of an exchange may take.
    pub timeouts: UpstreamTimeouts,
    /// What waits when all endpoints are at their limit.
    pub queue: QueueSettings,
    /// Fields that each request to its endpoints brings, by which they know us.
    pub send: Vec<SecretField>,
    /// Its endpoints are an object store's.
    pub object_store: Option<ObjectStore>,
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
    /// Name or address, without brackets.
    pub host: String,
    /// TCP port; 0 for a slot of a fleet, whose address the Membership tells.
    pub port: u16,
    /// Share of traffic against its siblings, 1 to 100.
    pub weight: u32,
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
}

/// Active probing of an endpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Path that is asked with GET.
    pub path: String,
    /// Time between probes.
    pub interval: Duration,
    /// Time for one probe.
    pub timeout: Duration,
    /// Good probes in a row until an endpoint comes back.
    pub healthy_after: u32,
    /// Bad probes in a row until an endpoint goes.
    pub unhealthy_after: u32,
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
}

/// What waits for a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueSettings {
    /// Requests that may wait in one pool.
    pub length_max: u32,
    /// How long one may wait.
    pub wait_max: Duration,
}

/// What visitors' connections may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VisitorLimits {
    /// Open connections over all threads; one more gets a 503.
    pub connections_max: usize,
    /// From a request's first byte (or from connecting) to the end of its head.
    pub head_time: Duration,
    /// How long a connection may wait for its next request.
    pub idle_time: Duration,
    /// How long a body may stand still, either way.
    pub stall_time: Duration,
    /// Bytes of request line and header together.
    pub head_bytes_max: usize,
    /// Header fields in one head.
    pub fields_max: usize,
    /// How long requests in flight may take to finish when the edge ends.
    pub drain_time: Duration,
    /// Requests under way at once on one connection of HTTP/2.
    pub streams_max: u32,
    /// A connection without TLS may begin with HTTP/2 (RFC 9113 section 3.3).
    pub http2_without_tls: bool,
}

/// The shared cache in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSettings {
    /// Bytes of stored objects with their overhead; 0 switches the cache off.
    pub memory_bytes_max: u64,
    /// Bytes of one object; larger ones stream through.
    pub object_bytes_max: u64,
    /// Waiters on one fill.
    pub waiters_max: u32,
    /// How long a waiter waits for a fill's head before it goes to an endpoint itself.
    pub wait_max: Duration,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSettings {
    /// The form of a line.
    pub access: AccessLog,
    /// File to append to; `None` is standard output.
    pub file: Option<PathBuf>,
}

/// Form of the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessLog {
    /// None.
    Off,
    /// One JSON object a line.
    Json,
    /// Apache's combined format, with cache and reason appended.
    Combined,
}

impl Snapshot {
    /// Everywhere that visitors connect to: in the clear first, then by https.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listen.iter().chain(&self.tls.listen).copied().collect()
    }
}

/// Serves nothing: a beginning for what is put together by hand.
impl Default for Snapshot {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            tls: TlsSettings::default(),
            admin: None,
            threads: None,
            sites: Vec::new(),
            pools: Vec::new(),
            visitors: VisitorLimits::default(),
            front: Front::default(),
            cache: CacheSettings::default(),
            disk: None,
            cachings: vec![Caching::default()],
            log: LogSettings::default(),
            purging: Purging::default(),
            content_networks: Vec::new(),
        }
    }
}

/// Takes every host and has no route: a beginning for what is put together by hand.
impl Default for Site {
    fn default() -> Self {
        Self {
            name: "all".to_owned(),
            hosts: Vec::new(),
            canonical: Canonical::Rewrite,
            merge_slashes: false,
            to_https: false,
            hsts_s: 0,
            routes: Vec::new(),
        }
    }
}

/// Every path to the first pool.
impl Default for Route {
    fn default() -> Self {
        Self {
            path: "/*".to_owned(),
            pool: PoolId(0),
            swallow_segments: false,
            cache: RouteCache::Standard,
            caching: CachingId(0),
            body_bytes_max: 16 << 20,
        }
    }
}

/// Without an endpoint and without probes: a beginning for what is put together by hand.
impl Default for Pool {
    fn default() -> Self {
        Self {
            name: "app".to_owned(),
            endpoints: Vec::new(),
            fleet: None,
            balance: Balance::LeastRequests,
            health: None,
            failures_max: 3,
            timeouts: UpstreamTimeouts::default(),
            queue: QueueSettings::default(),
            send: Vec::new(),
            object_store: None,
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
            weight: 1,
            requests_max: None,
            connections_max: None,
        }
    }
}

impl Default for VisitorLimits {
    fn default() -> Self {
        Self {
            // Two descriptors each fit into the limit of 20,000 open files that many systems set.
            connections_max: 8_192,
            head_time: Duration::from_secs(10),
            idle_time: Duration::from_secs(75),
            stall_time: Duration::from_secs(30),
            head_bytes_max: 32 * 1024,
            fields_max: 100,
            drain_time: Duration::from_secs(30),
            streams_max: 100,
            http2_without_tls: true,
        }
    }
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            memory_bytes_max: 256 << 20,
            object_bytes_max: 16 << 20,
            waiters_max: 10_000,
            wait_max: Duration::from_secs(10),
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
        }
    }
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { length_max: 1_000, wait_max: Duration::from_secs(10) }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { access: AccessLog::Off, file: None }
    }
}

impl Endpoint {
    /// `host:port`, with brackets around an IPv6 address, or the name alone for a slot of a fleet (port 0): what metrics
    /// and logs show.
    pub fn authority(&self) -> String {
        if self.port == 0 {
            self.host.clone()
        } else if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}
