//! The nouns and ports that every room shares. Does no input or output, reads no clock, depends on no other
//! room.

mod dials;
mod failure;
mod membership;
mod port;
mod snapshot;
mod why;

pub use dials::Dials;
pub use failure::{Cause, Failure, Phase, Retry, Side};
pub use membership::{DownReason, Health, Member, Membership, PoolMembers};
pub use port::{PurgeError, PurgePort, Purged};
pub use snapshot::{
    AccessLog, Balance, CacheSettings, Canonical, Endpoint, HealthCheck, HostPattern, LogSettings, Pool,
    PoolId, QueueSettings, Route, RouteCache, RouteId, Scheme, Site, SiteId, Snapshot, UpstreamTimeouts,
    VisitorLimits,
};
pub use why::{ATTEMPTS_MAX, Attempt, Bypass, CacheOutcome, End, Method, Outcome, Refused, Why};
