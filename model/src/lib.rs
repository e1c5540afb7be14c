//! The nouns and ports that every room shares. Does no input or output, reads no clock, depends on no other
//! room.

mod assembly;
mod balancing;
mod caching;
mod detour;
mod dials;
mod failure;
mod figures;
mod files;
mod filters;
mod fleet;
mod front;
mod health;
mod labels;
mod limits;
pub mod link;
mod membership;
mod names;
mod pool;
mod port;
mod priority;
mod purging;
mod reload;
mod retrying;
mod room;
mod scripts;
mod snapshot;
mod tls;
mod upgrade;
mod why;

pub use assembly::{Assembly, AssemblyFault};
pub use balancing::{HashBy, Hashing, Sticky, Zones};
pub use caching::{Assets, COOKIES_IGNORED, Caching, CachingId, DiskSettings, Esi, Learn, QueryRules};
pub use detour::Detour;
pub use dials::Dials;
pub use failure::{Cause, Failure, Phase, Retry, Side};
pub use figures::{
    CacheFigures, CompressionFigures, DiskFigures, LearningFigures, MemoryFigures, PurgeRecord, PurgedBy,
};
pub use files::{DENIED, Files};
pub use filters::{
    FILTERS_MAX, Filter, FilterAction, FilterFigures, FilterWhen, LimitBy, Puzzle, RateLimit, RefusedClient,
    ScreenFigures,
};
pub use fleet::{
    Fleet, FleetAddresses, FleetDecision, FleetRestart, FleetStatus, Instance, InstanceId, InstancePhase,
    InstanceStatus, Launch, Provider, ProviderError, RestartError, RestartPort, STATE_VARIABLE,
};
pub use front::{Front, SecretField};
pub use health::{HealthCheck, HealthDetail, HealthDetails, Outliers, PROBE_BODY_MAX, ProbeMethod};
pub use limits::{
    AdaptiveLimit, LeaseGranted, LeaseWanted, Leases, LimitFrom, LimitStart, LimitWhy, NoLease,
};
pub use link::{CertificateEnd, EdgeGone, EdgePort, EdgeReport, EndpointReport};
pub use membership::{AT_UNIX_SOCKET, DownReason, Health, Member, Membership, PoolMembers};
pub use names::{
    Asked, Family, Lookup, NameAnswer, NameAnswers, NameStatus, NamesPort, NamesSettings, NamesStatus, Target,
};
pub use pool::{
    Addressing, Balance, Endpoint, OVERPROVISIONING_PERCENT, ObjectStore, Pool, QueueSettings, Scheme,
    UpstreamTimeouts,
};
pub use port::{PurgeError, PurgeOrder, PurgePort, PurgeWhat, Purged};
pub use priority::{Priority, Staff};
pub use purging::{ContentNetwork, ContentService, Network, Purging, RelayPort, RelayStatus, Secret};
pub use reload::{LastPublished, PoolNames, Refusal, ReloadEnd, ReloadPort, Reloaded, SnapshotFile, Trigger};
pub use retrying::{Hedge, NotAgain, RetryMethods, RetryOn, Retrying};
pub use room::{Room, RoomOrder, RoomWish};
pub use scripts::Scripts;
pub use snapshot::{
    AccessLog, CacheSettings, Canonical, HostPattern, LogSettings, PoolId, Route, RouteCache, RouteId, Site,
    SiteId, Snapshot, VisitorLimits,
};
pub use tls::{CertificateFiles, EndpointTls, HandshakeFault, Tls, TlsFault, TlsSettings, TlsVersion};
pub use upgrade::{
    EdgeLeaving, PROTOCOL, UpgradeEnd, UpgradePort, UpgradeProgress, UpgradeStep, UpgradeUnderWay,
};
pub use why::{ATTEMPTS_MAX, Attempt, Bypass, CacheOutcome, End, Method, Outcome, Refused, Version, Why};
