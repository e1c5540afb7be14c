//! The status page: what is served and how the endpoints are.

use crate::State;
use serde::Serialize;
use std::sync::atomic::Ordering;
use tentpole_model::{DownReason, Endpoint, Health, HostPattern, Member, Pool, RouteCache, Site, Snapshot};
use tentpole_runtime::clock;

/// All of it.
#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    uptime_s: u64,
    sites: Vec<SiteStatus>,
    pools: Vec<PoolStatus>,
}

#[derive(Serialize)]
struct SiteStatus {
    name: String,
    hosts: Vec<String>,
    routes: Vec<RouteStatus>,
}

#[derive(Serialize)]
struct RouteStatus {
    path: String,
    pool: String,
    cache: &'static str,
}

#[derive(Serialize)]
struct PoolStatus {
    name: String,
    endpoints: Vec<EndpointStatus>,
}

#[derive(Serialize)]
struct EndpointStatus {
    authority: String,
    addresses: Vec<String>,
    health: &'static str,
    reason: Option<&'static str>,
    weight: u32,
    in_flight: u32,
    open: u32,
    requests: u64,
    connects: u64,
    failures: u64,
    errors_5xx: u64,
}

impl Status {
    pub(crate) fn of(state: &State) -> Self {
        let snapshot = &state.parts.snapshot;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: clock::now().since(state.started).as_secs(),
            sites: snapshot.sites.iter().map(|site| SiteStatus::of(site, snapshot)).collect(),
            pools: (0..snapshot.pools.len()).map(|pool| PoolStatus::of(state, pool)).collect(),
        }
    }
}

impl SiteStatus {
    fn of(site: &Site, snapshot: &Snapshot) -> Self {
        let host = |pattern: &HostPattern| match pattern {
            HostPattern::Exact(host) => host.clone(),
            HostPattern::Below(host) => format!("*.{host}"),
        };
        let routes = site.routes.iter().map(|route| RouteStatus {
            path: route.path.clone(),
            pool: snapshot
                .pools
                .get(route.pool.0 as usize)
                .map_or_else(|| "?".into(), |pool| pool.name.clone()),
            cache: match route.cache {
                RouteCache::Standard => "standard",
                RouteCache::Off => "off",
            },
        });
        Self {
            name: site.name.clone(),
            hosts: site.hosts.iter().map(host).collect(),
            routes: routes.collect(),
        }
    }
}

impl PoolStatus {
    fn of(state: &State, place: usize) -> Self {
        let pool = &state.parts.snapshot.pools[place];
        let (membership, dials) = (state.parts.membership.get(), state.parts.dials.get());
        let endpoints = pool.endpoints.iter().enumerate().map(|(at, endpoint)| {
            let member = membership.pools.get(place).and_then(|pool| pool.members.get(at));
            let weight = dials.weights.get(place).and_then(|pool| pool.get(at));
            EndpointStatus::of(state, pool, endpoint, member, weight.copied().unwrap_or(endpoint.weight))
        });
        Self { name: pool.name.clone(), endpoints: endpoints.collect() }
    }
}

impl EndpointStatus {
    fn of(state: &State, pool: &Pool, endpoint: &Endpoint, member: Option<&Member>, weight: u32) -> Self {
        let authority = endpoint.authority();
        let cell = state.parts.cells.of(&pool.name, &authority);
        let (health, reason) = match member.map(|member| member.health) {
            Some(Health::Up) => ("up", None),
            Some(Health::Down(reason)) => ("down", Some(reason)),
            Some(Health::LastOne(reason)) => ("last_one", Some(reason)),
            None => ("down", Some(DownReason::NoAddress)),
        };
        let reason = reason.map(|reason| match reason {
            DownReason::Probe => "probe",
            DownReason::Failures => "failures",
            DownReason::NoAddress => "no_address",
        });
        let addresses = member.map_or(&[][..], |member| &member.addresses);
        Self {
            authority,
            addresses: addresses.iter().map(ToString::to_string).collect(),
            health,
            reason,
            weight,
            in_flight: cell.in_flight.load(Ordering::Relaxed),
            open: cell.open.load(Ordering::Relaxed),
            requests: cell.requests.load(Ordering::Relaxed),
            connects: cell.connects.load(Ordering::Relaxed),
            failures: cell.failures.load(Ordering::Relaxed),
            errors_5xx: cell.errors_5xx.load(Ordering::Relaxed),
        }
    }
}
