//! The nouns and ports that every room shares. Does no input or output, reads no clock, depends on no other
//! room.

mod caching;
mod dials;
mod failure;
mod figures;
mod fleet;
mod front;
mod labels;
pub mod link;
mod membership;
mod port;
mod purging;
mod reload;
mod snapshot;
mod tls;
mod why;

pub use caching::{Assets, COOKIES_IGNORED, Caching, CachingId, DiskSettings, Esi, Learn, QueryRules};
pub use dials::Dials;
pub use failure::{Cause, Failure, Phase, Retry, Side};
pub use figures::{
    CacheFigures, CompressionFigures, DiskFigures, LearningFigures, MemoryFigures, PurgeRecord, PurgedBy,
};
pub use fleet::{
    Fleet, FleetAddresses, FleetDecision, FleetStatus, Instance, InstanceId, InstancePhase, InstanceStatus,
    Launch, Provider, ProviderError, STATE_VARIABLE,
};
pub use front::{Front, SecretField};
pub use link::{EdgeGone, EdgePort, EdgeReport, EndpointReport};
pub use membership::{DownReason, Health, Member, Membership, PoolMembers};
pub use port::{PurgeError, PurgeOrder, PurgePort, PurgeWhat, Purged};
pub use purging::{ContentNetwork, ContentService, Network, Purging, RelayPort, RelayStatus, Secret};
pub use reload::{LastPublished, PoolNames, Refusal, ReloadEnd, ReloadPort, Reloaded, SnapshotFile, Trigger};
pub use snapshot::{
    AccessLog, Addressing, Balance, CacheSettings, Canonical, Endpoint, HealthCheck, HostPattern,
    LogSettings, ObjectStore, Pool, PoolId, QueueSettings, Route, RouteCache, RouteId, Scheme, Site, SiteId,
    Snapshot, UpstreamTimeouts, VisitorLimits,
};
pub use tls::{CertificateFiles, HandshakeFault, Tls, TlsSettings, TlsVersion};
pub use why::{
    ATTEMPTS_MAX, Assembly, AssemblyFault, Attempt, Bypass, CacheOutcome, End, Method, Outcome, Refused,
    Version, Why,
};
