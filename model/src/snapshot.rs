//! The structure that an edge serves: sites, routes, limits, and pools (`pool.rs`). Already checked: whoever holds a Snapshot
//! need not check it again. Knows nothing of health (`Membership`) or of weights in force (`Dials`).

use crate::caching::{Caching, CachingId, DiskSettings};
use crate::filters::Filter;
use crate::front::Front;
use crate::names::NamesSettings;
use crate::pool::Pool;
use crate::priority::{Priority, Staff};
use crate::purging::{ContentNetwork, Purging};
use crate::room::Room;
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
    /// The failure domain that the edge itself is in; `None` where there is only one, or nobody knows.
    pub zone: Option<String>,
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
    /// Who works here.
    pub staff: Staff,
    /// Who may purge over HTTP.
    pub purging: Purging,
    /// Content networks in front that hear of purges.
    pub content_networks: Vec<ContentNetwork>,
    /// How names of endpoints are looked up.
    pub names: NamesSettings,
    /// Who is let through, limited or refused before anything is done for him; asked in this order.
    pub filters: Vec<Filter>,
    /// Waiting rooms, in configuration order.
    pub rooms: Vec<Room>,
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
    /// Largest header of a request here, in bytes of its fields' names and values; `None` is what
    /// [`VisitorLimits::head_bytes_max`] says for all.
    pub fields_bytes_max: Option<u64>,
    /// Longest path and query of a request here, in bytes; `None` is as long as fits into a head.
    pub url_bytes_max: Option<u64>,
    /// What its requests are worth where not all can be served; `None` leaves it to what they look like.
    pub priority: Option<Priority>,
}

/// Caching on a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RouteCache {
    /// By RFC 9111.
    Standard,
    /// Never looked up, never stored.
    Off,
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
    /// How long connections may go on at an edge that another one has taken the place of (`tentpole upgrade`).
    pub drain_time_upgrade: Duration,
    /// Requests under way at once on one connection of HTTP/2.
    pub streams_max: u32,
    /// A connection without TLS may begin with HTTP/2 (RFC 9113 section 3.3).
    pub http2_without_tls: bool,
    /// Open connections of one address, or of one /64 of IPv6; above it they are counted, and refused where
    /// [`VisitorLimits::per_address_refuses`] says so.
    pub per_address_max: u32,
    /// Connections above [`VisitorLimits::per_address_max`] get a 429.
    pub per_address_refuses: bool,
    /// Bytes a second that a visitor must send of a body, or take of a response, on the average of the time that we wait for
    /// him; 0 asks for nothing.
    pub pace_min: u64,
    /// Seconds of waiting that are free.
    pub pace_grace: Duration,
    /// Keys that are remembered for rates, over all filters.
    pub rate_keys_max: usize,
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
            zone: None,
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
            staff: Staff::default(),
            purging: Purging::default(),
            content_networks: Vec::new(),
            names: NamesSettings::default(),
            filters: Vec::new(),
            rooms: Vec::new(),
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
            fields_bytes_max: None,
            url_bytes_max: None,
            priority: None,
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
            drain_time_upgrade: Duration::from_secs(3_600),
            streams_max: 100,
            http2_without_tls: true,
            // More than any browser or house has; a carrier's NAT may have more.
            per_address_max: 1_000,
            per_address_refuses: false,
            // As Apache's mod_reqtimeout has it for bodies.
            pace_min: 500,
            pace_grace: Duration::from_secs(20),
            rate_keys_max: 1 << 20,
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

impl Default for LogSettings {
    fn default() -> Self {
        Self { access: AccessLog::Off, file: None }
    }
}
