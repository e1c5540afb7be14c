//! The status page: what is served and how the endpoints are.

use crate::State;
use crate::cache::CacheStatus;
use crate::ladder::{Ladder, LimitStart, in_flight, limit};
use crate::live::instance_of;
use crate::progress::{RestartStatus, UpgradeStatus, restarts};
use serde::Serialize;
use std::sync::PoisonError;
use std::time::Duration;
use tentpole_model::{
    CertificateEnd, DownReason, EdgeReport, Endpoint, EndpointReport, Files, FleetStatus, Health,
    HealthDetail, HostPattern, InstancePhase, InstanceStatus, Member, NamesStatus, Pool, RelayStatus,
    RouteCache, ScreenFigures, Site, Snapshot,
};
use tentpole_runtime::clock;
use tentpole_timeouts::Learned;

/// All of it.
#[derive(Serialize)]
pub(crate) struct Status {
    version: &'static str,
    uptime_s: u64,
    configuration: Configuration,
    sites: Vec<SiteStatus>,
    pools: Vec<PoolStatus>,
    content_networks: Vec<ContentNetworkStatus>,
    /// How looking up names goes; `None` where nobody does.
    names: Option<NamesStatus>,
    /// Time-outs in the wrong order, with what was learned of endpoints.
    timeouts: Vec<WrongOrder>,
    /// `None` until the edge's first report.
    cache: Option<CacheStatus>,
    /// How far down requests went in the last second.
    ladder: Option<Ladder>,
    /// What filters refused, and whom; `None` until the edge's first report.
    screen: Option<ScreenFigures>,
    upgrade: UpgradeStatus,
    /// Fleets whose instances are being replaced.
    restarts: Vec<RestartStatus>,
    /// Certificates that have ended or end soon.
    certificates: Vec<CertificateEnd>,
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
    files: Option<FilesStatus>,
    /// `None` until the edge's first report.
    in_flight: Option<u32>,
    /// Requests that its endpoints may have in flight, all together; `None` where one of them has no limit.
    limit: Option<u32>,
    queued: Option<u32>,
    queue_max: u32,
    endpoints: Vec<EndpointStatus>,
}

/// Files that are served before an endpoint is asked. What the edge counts is `None` until its first report.
#[derive(Serialize)]
struct FilesStatus {
    root: String,
    /// Answers given without an endpoint and without the cache.
    requests: Option<u64>,
    /// Requests that the file system failed.
    failures: Option<u64>,
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
    zone: Option<String>,
    addresses: Vec<String>,
    phase: Option<InstancePhase>,
    health: &'static str,
    reason: Option<&'static str>,
    detail: Option<Detail>,
    weight: u32,
    in_flight: Option<u32>,
    open: Option<u32>,
    requests: Option<u64>,
    connects: Option<u64>,
    failures: Option<u64>,
    errors_5xx: Option<u64>,
    idle_limit_ms: Option<u32>,
    local_ports: Vec<LocalPorts>,
    limit: Option<u32>,
    limit_why: Option<&'static str>,
    limit_start: Option<LimitStart>,
}

/// Ports in use towards an endpoint at one address of the machine.
#[derive(Serialize)]
struct LocalPorts {
    source: std::net::IpAddr,
    in_use: u32,
}

/// Why an endpoint is not up.
#[derive(Serialize)]
pub(crate) struct Detail {
    because: String,
    since_unix_ms: u64,
    /// When it may come back at the earliest, where that is known.
    back_unix_ms: Option<u64>,
}

impl Detail {
    pub(crate) fn of(known: &HealthDetail) -> Self {
        let HealthDetail { since_unix_ms, because, back_unix_ms } = known.clone();
        Self { because, since_unix_ms, back_unix_ms }
    }

    /// That of an endpoint; `None` while it is up. A slot without an address has no name to blame: what its instance does
    /// says why.
    pub(crate) fn at(
        state: &State,
        pool: usize,
        endpoint: usize,
        instance: Option<&InstanceStatus>,
    ) -> Option<Self> {
        let details = state.parts.health.get();
        let known = details.pools.get(pool)?.get(endpoint)?.as_ref().map(Self::of)?;
        let membership = state.parts.membership.get();
        let member = membership.pools.get(pool).and_then(|pool| pool.members.get(endpoint));
        let vacant = member.is_none_or(|member| member.addresses.is_empty());
        Some(match instance.filter(|_| vacant) {
            Some(instance) => Self { because: without_address(instance.phase).to_owned(), ..known },
            None => known,
        })
    }
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
            names: state.parts.names.as_ref().map(|names| names.status()),
            timeouts: wrong_order(snapshot, report),
            cache: report.map(CacheStatus::of),
            ladder: state.recorded.lock().unwrap_or_else(PoisonError::into_inner).ladder.clone(),
            screen: report.map(|report| report.figures.screen.clone()),
            upgrade: UpgradeStatus::of(state),
            restarts: restarts(&state.parts.fleets.get()),
            certificates: report.map_or_else(Vec::new, |report| report.certificates.clone()),
        }
    }
}

/// Time-outs that contradict each other.
#[derive(Serialize)]
pub(crate) struct WrongOrder {
    of: String,
    text: String,
}

/// What of the time-outs is in the wrong order, by what is known now.
pub(crate) fn wrong_order(snapshot: &Snapshot, report: Option<&EdgeReport>) -> Vec<WrongOrder> {
    let learned = |known: &EndpointReport| {
        let idle = Duration::from_millis(u64::from(known.idle_limit_ms?));
        Some(Learned { pool: known.pool.clone(), authority: known.authority.clone(), idle })
    };
    let learned: Vec<Learned> =
        report.map(|report| report.endpoints.iter().filter_map(learned).collect()).unwrap_or_default();
    let warnings = tentpole_timeouts::order(snapshot, &learned).warnings;
    warnings.into_iter().map(|wrong| WrongOrder { of: wrong.of, text: wrong.text }).collect()
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
            let members = membership.pools.get(place).map_or(&[][..], |pool| &pool.members);
            let member = members.get(at);
            let weight = dials.weights.get(place).and_then(|pool| pool.get(at));
            let instance = instance_of(&fleets, &pool.name, &authority);
            let weight = weight.copied().unwrap_or(endpoint.weight);
            (!is_vacant(pool, at, members, instance))
                .then(|| EndpointStatus::of(pool, endpoint, member, instance, weight, report))
                .map(|status| EndpointStatus { detail: Detail::at(state, place, at, instance), ..status })
        });
        let fleet = fleets.iter().find(|fleet| fleet.pool == pool.name).map(FleetSize::of);
        let files = pool.files.as_ref().map(|files| {
            let counted =
                |known: &&EndpointReport| known.pool == pool.name && known.authority == Files::CALLED;
            let counted = report.and_then(|report| report.endpoints.iter().find(counted));
            FilesStatus {
                root: files.root.display().to_string(),
                requests: counted.map(|counted| counted.requests),
                failures: counted.map(|counted| counted.failures),
            }
        });
        Self {
            name: pool.name.clone(),
            fleet,
            files,
            in_flight: report.map(|report| in_flight(report, &pool.name)),
            limit: limit(pool, report, state, place),
            queued: report.and_then(|report| report.queued.get(place).copied()),
            queue_max: pool.queue.length_max,
            endpoints: endpoints.collect(),
        }
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
        endpoint: &Endpoint,
        member: Option<&Member>,
        instance: Option<&InstanceStatus>,
        weight: u32,
        report: Option<&EdgeReport>,
    ) -> Self {
        let authority = endpoint.authority();
        let (health, reason) = health_words(member);
        let counted = report.and_then(|report| {
            report.endpoints.iter().find(|known| known.pool == pool.name && known.authority == authority)
        });
        let addresses = member.map_or(&[][..], |member| &member.addresses);
        Self {
            zone: endpoint.zone.clone(),
            addresses: addresses.iter().map(ToString::to_string).collect(),
            phase: instance.map(|instance| instance.phase),
            health,
            reason,
            detail: None,
            weight,
            in_flight: counted.map(|counted| counted.in_flight),
            open: counted.map(|counted| counted.open),
            requests: counted.map(|counted| counted.requests),
            connects: counted.map(|counted| counted.connects),
            failures: counted.map(|counted| counted.failures),
            errors_5xx: counted.map(|counted| counted.errors_5xx),
            idle_limit_ms: counted.and_then(|counted| counted.idle_limit_ms),
            local_ports: counted
                .into_iter()
                .flat_map(|counted| &counted.local_ports)
                .map(|&(source, in_use)| LocalPorts { source, in_use })
                .collect(),
            limit: counted.and_then(|counted| counted.limit).map(|(limit, _)| limit),
            limit_why: counted.and_then(|counted| counted.limit).map(|(_, why)| why.label()),
            limit_start: LimitStart::of(counted),
            authority,
        }
    }
}

/// Why a slot of a fleet takes no requests.
fn without_address(phase: InstancePhase) -> &'static str {
    match phase {
        InstancePhase::Starting => "its instance starts and does not answer yet",
        InstancePhase::Draining | InstancePhase::Stopping => "its instance leaves",
        InstancePhase::WarmingUp | InstancePhase::Serving => "its instance is about to take requests",
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
    (health, Some(reason.label()))
}

/// Whether this is a slot of a fleet, or of a name, with nobody in it: most of the time most are, and nobody wants to read
/// of them.
pub(crate) fn is_vacant(
    pool: &Pool,
    endpoint: usize,
    members: &[Member],
    instance: Option<&InstanceStatus>,
) -> bool {
    let nobody = members.get(endpoint).is_none_or(|member| member.addresses.is_empty());
    pool.fleet.is_some() && instance.is_none() && nobody || pool.is_empty_place(endpoint, members)
}
