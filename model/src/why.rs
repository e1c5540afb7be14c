//! Why a request went as it did: one fixed-size record of enums and numbers, filled on its way and never
//! formatted there. The same values reach the access log, the metrics, `Cache-Status` and the API. Long because all
//! reasons stand side by side.

use crate::labels::labels;
use crate::{Assembly, Detour, Failure, NotAgain, Priority, RouteId, SiteId, Tls};
use std::net::{IpAddr, Ipv4Addr};

/// Attempts at endpoints that one request may make, and that a record holds.
pub const ATTEMPTS_MAX: usize = 3;

/// The record of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Why {
    /// Arrival of the request's first byte, in microseconds since 1970.
    pub arrived_unix_us: u64,
    /// From arrival to the last byte handed to the kernel, in microseconds.
    pub took_us: u32,
    /// From arrival to the response's head handed to the kernel, in microseconds.
    pub head_us: u32,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes sent to the visitor, head included.
    pub bytes_out: u64,
    /// The visitor's address.
    pub peer: IpAddr,
    /// The visitor's port.
    pub peer_port: u16,
    /// Status sent; 0 when nothing was.
    pub status: u16,
    /// Method, as far as it matters.
    pub method: Method,
    /// The version that the visitor speaks.
    pub version: Version,
    /// Whether the connection served requests before.
    pub connection_reused: bool,
    /// Behind TLS: what the handshake came to.
    pub tls: Option<Tls>,
    /// The data thread that served it.
    pub thread: u8,
    /// Site, once known.
    pub site: Option<SiteId>,
    /// Route, once known.
    pub route: Option<RouteId>,
    /// The Snapshot that site and route are numbers in: its version, as far as a byte holds it.
    pub snapshot: u8,
    /// What it was worth where not all could be served; `None` when that did not matter.
    pub priority: Option<Priority>,
    /// What the cache did.
    pub cache: CacheOutcome,
    /// It got what was learned to be shared.
    pub learned: bool,
    /// It carried the signed mark of a load test.
    pub load: bool,
    /// How it ended.
    pub end: End,
    /// The page was put together (ESI): of what.
    pub assembly: Assembly,
    /// The filter that refused it, or that would have if it did not only report: its number in the Snapshot.
    pub filter: Option<u8>,
    /// What was tried, in order.
    pub attempts: [Option<Attempt>; ATTEMPTS_MAX],
}

/// One try at an endpoint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attempt {
    /// Slot of the endpoint's cell (`runtime::cells`): stays the same across Snapshots.
    pub endpoint: u32,
    /// Whether the connection had served before.
    pub connection_reused: bool,
    /// Time waited for a permit, in microseconds.
    pub queued_us: u32,
    /// Time to connect, in microseconds; 0 on a reused connection.
    pub connect_us: u32,
    /// From sending to the first byte, in microseconds.
    pub first_byte_us: u32,
    /// A second copy, sent while the one before was under way.
    pub hedged: bool,
    /// How it went.
    pub outcome: Outcome,
    /// It asked for another attempt, which there was not, and why.
    pub not_again: Option<NotAgain>,
    /// It went to another endpoint than it should have, and why.
    pub detour: Option<Detour>,
}

/// How an attempt went.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Outcome {
    /// A response with this status.
    Status(u16),
    /// None.
    Failed(Failure),
    /// Not known: another copy of the request was answered first, and this one was taken back.
    GivenUp,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    /// Not yet.
    Open,
    /// The whole response was handed to the kernel.
    Complete,
    /// We said no, and why.
    Refused(Refused),
    /// Something broke.
    Failed(Failure),
    /// The connection became a tunnel, which has closed.
    Tunnelled,
}

/// Methods, as far as they matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is its own name")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Trace,
    Connect,
    Other,
}

/// Versions of HTTP, as far as visitors speak them here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "each is its own name")]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

/// What the cache did for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// Was never asked: refused before, or answered by the edge itself.
    NotAsked,
    /// Served what was stored and fresh.
    Hit,
    /// Served what was stored on disk and fresh.
    HitDisk,
    /// Served a stored 304 or 206 out of what was fresh.
    HitPartial,
    /// Served what is stored and stale, while it is fetched anew (RFC 5861 section 3).
    Stale,
    /// Served what is stored and stale, because the endpoint failed, for this request or for another a moment ago
    /// (RFC 5861 section 4).
    StaleIfError,
    /// Stored but stale; the endpoint said it still holds.
    Revalidated,
    /// Not stored; fetched and stored.
    Stored,
    /// Joined a fill that another request had started.
    Joined,
    /// Not stored, nor may it be.
    Bypass(Bypass),
}

/// Why a response was not shared (or not looked for).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Bypass {
    /// The cache or the route's caching is switched off.
    SwitchedOff,
    /// The method is not GET or HEAD.
    Method,
    /// What came is not the part that was asked for.
    Range,
    /// The request said `no-store`.
    RequestNoStore,
    /// The request carried Authorization and the response does not allow sharing (RFC 9111 section 3.5).
    Authorization,
    /// The response sets a cookie.
    SetCookie,
    /// The response is `private`.
    Private,
    /// The response is `no-store`.
    NoStore,
    /// The response says nothing about how long it may be kept.
    NoLifetime,
    /// The lifetime is only a guess and the request carried a cookie.
    CookieWithoutLifetime,
    /// The response is already stale and cannot be revalidated.
    AlreadyStale,
    /// `Vary: *`.
    VaryStar,
    /// The response says that more of its query matters than its path's responses did before.
    QueryMatters,
    /// The request's cookies do not say which group the visitor belongs to: those in the key are too long, or can be
    /// read in several ways.
    KeyedCookies,
    /// It carries more tags than a purge could find again.
    TooManyTags,
    /// The status is not cacheable.
    Status,
    /// The object is larger than one may be.
    TooLarge,
    /// The Ledger is nearly full.
    MemoryPressure,
    /// Too many already wait for this object.
    TooManyWaiters,
    /// Waited too long for another request's fill.
    WaitedTooLong,
    /// The same URL answered uncacheably a moment ago, so nobody waits for it.
    HitForMiss,
    /// The request upgrades the connection.
    Upgrade,
    /// A purge came in between.
    Purged,
    /// The head is larger than a stored one may be.
    HeadTooLarge,
    /// The response ended early or broke its framing.
    Incomplete,
    /// It was learned that the page may be shared, and the request says more about who asks than that.
    SaysWho,
    /// It was learned that the page may be shared, and this request found out whether that still holds.
    Probe,
    /// Another configuration is coming into force, and what is stored may be of other rules.
    Reload,
}

/// Why a request was refused by the edge itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refused {
    /// The bytes are not HTTP/1 as it must be: bare CR or LF, obs-fold, a space before the colon.
    Malformed,
    /// The request line is malformed.
    RequestLine,
    /// The path has an invalid escape or leads above the root.
    Target,
    /// `Host` is missing, repeated or invalid.
    Host,
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
    /// Conflicting or repeated Content-Length, or not a number.
    ContentLength,
    /// Transfer-Encoding with Content-Length, or not exactly `chunked`, or in HTTP/1.0.
    TransferEncoding,
    /// A chunk's size or end is wrong.
    Chunk,
    /// The request line is longer than allowed.
    TargetTooLong,
    /// The header is larger than allowed, or has too many fields.
    HeadTooLarge,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The head took too long.
    HeadTimeout,
    /// The body stood still too long.
    BodyTimeout,
    /// CONNECT, or TRACE.
    Method,
    /// Something other than GET and HEAD of a pool that has only files.
    ReadOnly,
    /// `Expect` with something other than `100-continue`.
    Expect,
    /// No site for this host.
    NoSite,
    /// No route for this path.
    NoRoute,
    /// No script answers this path, or it is one that must not run.
    NoScript,
    /// More content without a length than is held for a script, which must be told it.
    LengthRequired,
    /// As many connections as allowed are open.
    TooManyConnections,
    /// The Ledger is full.
    MemoryFull,
    /// All endpoints are at their limit and the queue is full.
    QueueFull,
    /// Waited in the queue as long as allowed.
    QueueTimeout,
    /// Would have waited longer than allowed, by what the pool finishes in a second.
    QueueTooLong,
    /// The queue is full, and somebody who comes before took the place.
    Outranked,
    /// `only-if-cached`, and nothing is.
    OnlyIfCached,
    /// A purge request, and nobody may purge over HTTP.
    PurgeOff,
    /// A purge request from somebody who may not.
    PurgeDenied,
    /// A purge request that is not understood.
    PurgeUnclear,
    /// A purge request that waited too long for those before it.
    PurgeBusy,
    /// A connection of a trusted peer without the PROXY protocol's header, or with one that is not right.
    ProxyHeader,
    /// Without the field that `[visitors] require` names, or in the clear where a client certificate is asked for: it came
    /// round the content network in front.
    NotThroughFront,
    /// It stands before a waiting room: its visitor has no seat inside yet.
    WaitingRoom,
    /// More requests with one ticket of a waiting room than one visitor sends.
    TicketBusy,
    /// More frames of HTTP/2 that bring nothing, or more requests taken back, than a connection may send.
    FrameFlood,
    /// HTTP in the clear on a port for https.
    ClearOnTls,
    /// A filter refuses it.
    Denied,
    /// More requests than a filter lets through.
    RateLimited,
    /// A filter asks for the solution of a puzzle first.
    Challenged,
    /// As many connections as one address may have are open.
    ConnectionsOfAddress,
    /// The body came slower than it may.
    BodyTooSlow,
}

impl Why {
    /// A record that knows nothing yet.
    pub const fn new() -> Self {
        Self {
            arrived_unix_us: 0,
            took_us: 0,
            head_us: 0,
            bytes_in: 0,
            bytes_out: 0,
            peer: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            peer_port: 0,
            status: 0,
            method: Method::Other,
            version: Version::Http11,
            connection_reused: false,
            tls: None,
            thread: 0,
            site: None,
            route: None,
            snapshot: 0,
            priority: None,
            cache: CacheOutcome::NotAsked,
            learned: false,
            load: false,
            end: End::Open,
            assembly: Assembly { fragments: 0, failed: 0, fault: None },
            filter: None,
            attempts: [None; ATTEMPTS_MAX],
        }
    }

    /// Notes one attempt; those beyond [`ATTEMPTS_MAX`] overwrite the last.
    pub fn attempted(&mut self, attempt: Attempt) {
        let free = self.attempts.iter().position(Option::is_none).unwrap_or(ATTEMPTS_MAX - 1);
        self.attempts[free] = Some(attempt);
    }
}

impl Attempt {
    /// An attempt that is about to be made; its outcome is to be filled in.
    pub const fn new(endpoint: u32, queued_us: u32) -> Self {
        Self {
            endpoint,
            connection_reused: false,
            queued_us,
            connect_us: 0,
            first_byte_us: 0,
            hedged: false,
            outcome: Outcome::Status(0),
            not_again: None,
            detour: None,
        }
    }
}

impl Default for Why {
    fn default() -> Self {
        Self::new()
    }
}

impl Method {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Get,
        Self::Head,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Options,
        Self::Trace,
        Self::Connect,
        Self::Other,
    ];

    /// From its bytes; methods are case-sensitive (RFC 9110 section 9.1).
    pub fn from_bytes(bytes: &[u8]) -> Self {
        match bytes {
            b"GET" => Self::Get,
            b"HEAD" => Self::Head,
            b"POST" => Self::Post,
            b"PUT" => Self::Put,
            b"PATCH" => Self::Patch,
            b"DELETE" => Self::Delete,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"CONNECT" => Self::Connect,
            _ => Self::Other,
        }
    }

    /// Safe methods change nothing (RFC 9110 section 9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options | Self::Trace)
    }

    /// For logs; methods that we do not know are `OTHER`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Connect => "CONNECT",
            Self::Other => "OTHER",
        }
    }
}

labels!(Bypass {
    SwitchedOff = "switched_off",
    Method = "method",
    Range = "range",
    RequestNoStore = "request_no_store",
    Authorization = "authorization",
    SetCookie = "set_cookie",
    Private = "private",
    NoStore = "no_store",
    NoLifetime = "no_lifetime",
    CookieWithoutLifetime = "cookie_without_lifetime",
    AlreadyStale = "already_stale",
    VaryStar = "vary_star",
    QueryMatters = "query_matters",
    KeyedCookies = "keyed_cookies",
    TooManyTags = "too_many_tags",
    Status = "status",
    TooLarge = "too_large",
    MemoryPressure = "memory_pressure",
    TooManyWaiters = "too_many_waiters",
    WaitedTooLong = "waited_too_long",
    HitForMiss = "hit_for_miss",
    Upgrade = "upgrade",
    Purged = "purged",
    HeadTooLarge = "head_too_large",
    Incomplete = "incomplete",
    SaysWho = "says_who",
    Probe = "probe",
    Reload = "reload",
});

labels!(Version {
    Http10 = "1.0",
    Http11 = "1.1",
    Http2 = "2.0",
});

impl Refused {
    /// Whether there was more than could be carried: at another time the same request would be served.
    pub fn is_overload(self) -> bool {
        use Refused::{MemoryFull, Outranked, QueueFull, QueueTimeout, QueueTooLong, TooManyConnections};
        matches!(self, TooManyConnections | MemoryFull | QueueFull | QueueTimeout | QueueTooLong | Outranked)
    }
}

labels!(Refused {
    Malformed = "malformed",
    RequestLine = "request_line",
    Target = "target",
    Host = "host",
    Version = "version",
    ContentLength = "content_length",
    TransferEncoding = "transfer_encoding",
    Chunk = "chunk",
    TargetTooLong = "target_too_long",
    HeadTooLarge = "head_too_large",
    BodyTooLarge = "body_too_large",
    HeadTimeout = "head_timeout",
    BodyTimeout = "body_timeout",
    Method = "method",
    ReadOnly = "read_only",
    Expect = "expect",
    NoSite = "no_site",
    NoRoute = "no_route",
    NoScript = "no_script",
    LengthRequired = "length_required",
    TooManyConnections = "too_many_connections",
    MemoryFull = "memory_full",
    QueueFull = "queue_full",
    QueueTimeout = "queue_timeout",
    QueueTooLong = "queue_too_long",
    Outranked = "outranked",
    OnlyIfCached = "only_if_cached",
    PurgeOff = "purge_off",
    PurgeDenied = "purge_denied",
    PurgeUnclear = "purge_unclear",
    PurgeBusy = "purge_busy",
    ProxyHeader = "proxy_header",
    NotThroughFront = "not_through_front",
    WaitingRoom = "waiting_room",
    TicketBusy = "ticket_busy",
    FrameFlood = "frame_flood",
    ClearOnTls = "clear_on_tls",
    Denied = "denied",
    RateLimited = "rate_limited",
    Challenged = "challenged",
    ConnectionsOfAddress = "connections_of_address",
    BodyTooSlow = "body_too_slow",
});

impl Refused {
    /// The status that tells the visitor.
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::RequestLine | Self::Target | Self::Host => 400,
            Self::ContentLength | Self::TransferEncoding | Self::Chunk => 400,
            Self::Version => 505,
            Self::TargetTooLong => 414,
            Self::HeadTooLarge => 431,
            Self::BodyTooLarge => 413,
            Self::HeadTimeout | Self::BodyTimeout => 408,
            Self::Method | Self::ReadOnly => 405,
            Self::Expect => 417,
            Self::NoSite => 421,
            Self::NoRoute | Self::NoScript => 404,
            Self::LengthRequired => 411,
            Self::TooManyConnections | Self::MemoryFull => 503,
            Self::QueueFull | Self::QueueTimeout | Self::QueueTooLong | Self::Outranked => 503,
            Self::OnlyIfCached => 504,
            Self::PurgeOff => 405,
            Self::PurgeDenied => 403,
            Self::PurgeUnclear => 400,
            Self::PurgeBusy => 503,
            Self::ProxyHeader => 400,
            Self::NotThroughFront => 403,
            Self::WaitingRoom => 503,
            Self::TicketBusy => 429,
            // Never sent: the connection closes with ENHANCE_YOUR_CALM.
            Self::FrameFlood => 429,
            Self::ClearOnTls => 400,
            Self::Denied | Self::Challenged => 403,
            Self::RateLimited | Self::ConnectionsOfAddress => 429,
            Self::BodyTooSlow => 408,
        }
    }
}

impl CacheOutcome {
    /// The word that log and metric use.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotAsked => "none",
            Self::Hit => "hit",
            Self::HitDisk => "hit_disk",
            Self::HitPartial => "hit_partial",
            Self::Stale => "stale",
            Self::StaleIfError => "stale_if_error",
            Self::Revalidated => "revalidated",
            Self::Stored => "stored",
            Self::Joined => "joined",
            Self::Bypass(_) => "bypass",
        }
    }
}

impl From<Refused> for End {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}
