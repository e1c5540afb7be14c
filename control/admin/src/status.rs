//! The status page: what is served and how the endpoints are.

use crate::State;
use crate::cache::CacheStatus;
use crate::live::instance_of;
use serde::Serialize;
use tentpole_model::{
    DownReason, EdgeReport, FleetStatus, Health, HostPattern, InstancePhase, InstanceStatus, Member, Pool,
    RelayStatus, RouteCache, Site, Snapshot,
};
use tentpole_runtime::clock;

/// All of it.
#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    uptime_s: u64,
    configuration: Configuration,
    sites: Vec<SiteStatus>,
    pools: Vec<PoolStatus>,
    content_networks: Vec<ContentNetworkStatus>,
    /// `None` until the edge's first report.
    cache: Option<CacheStatus>,
}

/// Which configuration is in force.
#[derive(Serialize)]
struct Configuration {
    version: u64,
    read_unix_ms: u64,
}

/// How telling a content network of purges goes.
#[derive(Serialize)]
struct ContentNetworkStatus {
    name: String,
    kind: String,
    waiting: u64,
    passed_on: u64,
    failed: u64,
    trouble: Option<Trouble>,
}

#[derive(Serialize)]
struct Trouble {
    at_unix_ms: u64,
    text: String,
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
    fleet: Option<FleetSize>,
    endpoints: Vec<EndpointStatus>,
}

/// How many instances a fleet has and shall have.
#[derive(Serialize)]
struct FleetSize {
    min: u32,
    max: u32,
    wanted: u32,
    cpu_share: Option<f64>,
}

/// An endpoint. What the edge counts is `None` until its first report.
#[derive(Serialize)]
struct EndpointStatus {
    authority: String,
    addresses: Vec<String>,
    phase: Option<InstancePhase>,
    health: &'static str,
    reason: Option<&'static str>,
    weight: u32,
    in_flight: Option<u32>,
    open: Option<u32>,
    requests: Option<u64>,
    connects: Option<u64>,
    failures: Option<u64>,
    errors_5xx: Option<u64>,
}

impl Status {
    pub(crate) fn of(state: &State, report: Option<&EdgeReport>) -> Self {
        let snapshot = &state.parts.snapshot;
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_s: clock::now().since(state.started).as_secs(),
            configuration: Configuration {
                version: state.parts.version.0,
                read_unix_ms: state.parts.version.1,
            },
            sites: snapshot.sites.iter().map(|site| SiteStatus::of(site, snapshot)).collect(),
            pools: (0..snapshot.pools.len()).map(|pool| PoolStatus::of(state, pool, report)).collect(),
            content_networks: content_networks(state),
            cache: report.map(CacheStatus::of),
        }
    }
}

fn content_networks(state: &State) -> Vec<ContentNetworkStatus> {
    let all = state.parts.relay.as_ref().map(|relay| relay.status()).unwrap_or_default();
    let shown = |status: RelayStatus| ContentNetworkStatus {
        name: status.name,
        kind: status.service,
        waiting: status.waiting,
        passed_on: status.passed_on,
        failed: status.failed,
        trouble: status.trouble.map(|(at_unix_ms, text)| Trouble { at_unix_ms, text }),
    };
    all.into_iter().map(shown).collect()
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
    fn of(state: &State, place: usize, report: Option<&EdgeReport>) -> Self {
        let parts = &state.parts;
        let pool = &parts.snapshot.pools[place];
        let (membership, dials) = (parts.membership.get(), parts.dials.get());
        let fleets = parts.fleets.get();
        let endpoints = pool.endpoints.iter().enumerate().filter_map(|(at, endpoint)| {
            let authority = endpoint.authority();
            let member = membership.pools.get(place).and_then(|pool| pool.members.get(at));
            let weight = dials.weights.get(place).and_then(|pool| pool.get(at));
            let instance = instance_of(&fleets, &pool.name, &authority);
            let weight = weight.copied().unwrap_or(endpoint.weight);
            (!is_vacant(pool, member, instance))
                .then(|| EndpointStatus::of(pool, authority, member, instance, weight, report))
        });
        let fleet = fleets.iter().find(|fleet| fleet.pool == pool.name).map(FleetSize::of);
        Self { name: pool.name.clone(), fleet, endpoints: endpoints.collect() }
    }
}

impl FleetSize {
    fn of(fleet: &FleetStatus) -> Self {
        Self { min: fleet.min, max: fleet.max, wanted: fleet.wanted, cpu_share: fleet.cpu_share }
    }
}

impl EndpointStatus {
    fn of(
        pool: &Pool,
        authority: String,
        member: Option<&Member>,
        instance: Option<&InstanceStatus>,
        weight: u32,
        report: Option<&EdgeReport>,
    ) -> Self {
        let (health, reason) = health_words(member);
        let counted = report.and_then(|report| {
            report.endpoints.iter().find(|known| known.pool == pool.name && known.authority == authority)
        });
        let addresses = member.map_or(&[][..], |member| &member.addresses);
        Self {
            addresses: addresses.iter().map(ToString::to_string).collect(),
            phase: instance.map(|instance| instance.phase),
            health,
            reason,
            weight,
            in_flight: counted.map(|counted| counted.in_flight),
            open: counted.map(|counted| counted.open),
            requests: counted.map(|counted| counted.requests),
            connects: counted.map(|counted| counted.connects),
            failures: counted.map(|counted| counted.failures),
            errors_5xx: counted.map(|counted| counted.errors_5xx),
            authority,
        }
    }
}

/// An endpoint's health and the reason for it, in the words of the API.
pub(crate) fn health_words(member: Option<&Member>) -> (&'static str, Option<&'static str>) {
    let (health, reason) = match member.map(|member| member.health) {
        Some(Health::Up) => return ("up", None),
        Some(Health::Down(reason)) => ("down", reason),
        Some(Health::LastOne(reason)) => ("last_one", reason),
        None => ("down", DownReason::NoAddress),
    };
    let reason = match reason {
        DownReason::Probe => "probe",
        DownReason::Failures => "failures",
        DownReason::NoAddress => "no_address",
    };
    (health, Some(reason))
}

/// Whether this is a slot of a fleet with nobody in it: most of the time most are, and nobody wants to read of them.
pub(crate) fn is_vacant(pool: &Pool, member: Option<&Member>, instance: Option<&InstanceStatus>) -> bool {
    pool.fleet.is_some() && instance.is_none() && member.is_none_or(|member| member.addresses.is_empty())
}
