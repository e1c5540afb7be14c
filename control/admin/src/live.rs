//! What the console shows: the newest second with endpoints, fleets and events, and the history behind it. Reads what
//! was recorded and published; asks nobody, so it answers at once also while the edge is away.

use crate::State;
use crate::cache::CacheStatus;
use crate::error::ApiError;
use crate::events::Event;
use crate::history::{STEP_MAX, Series};
use crate::ladder::{Ladder, LimitStart, in_flight, limit};
use crate::progress::{RestartStatus, UpgradeStatus, restarts};
use crate::sample::{Number, Rates, Sample};
use crate::status::{Detail, WrongOrder, health_words, is_vacant, wrong_order};
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Shared};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError};
use tentpole_model::{
    CertificateEnd, EdgeReport, EndpointReport, Files, FleetStatus, InstancePhase, InstanceStatus, Lookup,
    NamesStatus,
};
use tentpole_runtime::clock;

/// Events and decisions of each fleet that come with it; all are behind `/api/events` and `/api/fleets`.
const RECENT: usize = 30;
/// An edge whose last report is older is away.
const REPORT_AGE_MAX_MS: u64 = 2_000;

/// The answer of `GET /api/live`.
#[derive(Serialize)]
pub(crate) struct Live {
    now_unix_ms: u64,
    version: &'static str,
    uptime_s: u64,
    /// The second that ended last; `None` in the first one.
    sample: Option<Second>,
    edges: Vec<EdgeLive>,
    cache: Option<CacheStatus>,
    /// How far down requests went in the last second.
    ladder: Option<Ladder>,
    /// There are waiting rooms: `/api/rooms` tells of them.
    rooms: bool,
    pools: Vec<PoolLive>,
    /// `None` where nobody looks up names.
    names: Option<NamesLive>,
    timeouts: Vec<WrongOrder>,
    upgrade: UpgradeStatus,
    restarts: Vec<RestartStatus>,
    certificates: Vec<CertificateEnd>,
    fleets: Vec<FleetStatus>,
    events: Vec<Event>,
}

#[derive(Serialize)]
struct Second {
    at_unix_ms: u64,
    #[serde(flatten)]
    sample: Sample,
}

#[derive(Serialize)]
struct EdgeLive {
    name: &'static str,
    up: bool,
    started_unix_ms: Option<u64>,
    uptime_s: Option<u64>,
    connections_open: Option<u64>,
    memory_held_bytes: Option<u64>,
    memory_max_bytes: Option<u64>,
}

#[derive(Serialize)]
struct PoolLive {
    name: String,
    fleet: bool,
    queued: Option<u32>,
    queue_max: u32,
    in_flight: Option<u32>,
    /// Requests that its endpoints may have in flight, all together; `None` where one of them has no limit.
    limit: Option<u32>,
    /// Where files are served before an endpoint is asked: how often they are read.
    files: Option<FilesLive>,
    endpoints: Vec<EndpointLive>,
}

/// How looking up names goes, shorter than in the status.
#[derive(Serialize)]
struct NamesLive {
    last_minute: u64,
    /// Names that are looked up.
    names: usize,
    /// Those of them whose last look-up failed, the first few.
    in_trouble: Vec<String>,
}

#[derive(Serialize)]
struct FilesLive {
    requests_per_s: Option<Number>,
}

#[derive(Serialize)]
struct EndpointLive {
    name: String,
    zone: Option<String>,
    address: Option<String>,
    phase: Option<InstancePhase>,
    health: &'static str,
    reason: Option<&'static str>,
    detail: Option<Detail>,
    weight: u32,
    weight_share: Number,
    cpu_share: Option<Number>,
    in_flight: Option<u32>,
    requests_per_s: Option<Number>,
    errors_per_s: Option<Number>,
    reused_share: Option<Number>,
    idle_limit_ms: Option<u32>,
    limit: Option<u32>,
    limit_why: Option<&'static str>,
    limit_start: Option<LimitStart>,
    started_unix_ms: Option<u64>,
    uptime_s: Option<u64>,
}

/// `GET /api/live`
pub(crate) async fn live(Shared(state): Shared<Arc<State>>) -> Json<Live> {
    let now_unix_ms = clock::now().unix_us() / 1_000;
    let fresh = |report: &Arc<EdgeReport>| now_unix_ms.saturating_sub(report.at_unix_ms) <= REPORT_AGE_MAX_MS;
    let report = state.parts.edge.report().filter(fresh);
    let mut fleets: Vec<FleetStatus> = state.parts.fleets.get().to_vec();
    let (sample, rates, ladder) = {
        let recorded = state.recorded.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = recorded.history.newest();
        let second =
            newest.map(|(second, sample)| Second { at_unix_ms: second * 1_000, sample: sample.clone() });
        (second, recorded.rates.clone(), recorded.ladder.clone())
    };
    let view = View { state: &state, report: report.as_deref(), rates: &rates, fleets: &fleets, now_unix_ms };
    let pools = (0..state.parts.snapshot.pools.len()).map(|place| view.pool(place)).collect();
    for fleet in &mut fleets {
        let old = fleet.decisions.len().saturating_sub(RECENT);
        fleet.decisions.drain(..old);
    }
    Json(Live {
        now_unix_ms,
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: clock::now().since(state.started).as_secs(),
        sample,
        cache: report.as_deref().map(CacheStatus::of),
        edges: vec![EdgeLive::of(report.as_deref(), now_unix_ms)],
        ladder: ladder.filter(|_| report.is_some()),
        rooms: !state.parts.snapshot.rooms.is_empty(),
        pools,
        names: state.parts.names.as_ref().map(|names| NamesLive::of(names.status())),
        timeouts: wrong_order(&state.parts.snapshot, report.as_deref()),
        upgrade: UpgradeStatus::of(&state),
        restarts: restarts(&fleets),
        certificates: report.as_ref().map_or_else(Vec::new, |report| report.certificates.clone()),
        fleets,
        events: state.parts.events.newest(RECENT),
    })
}

impl NamesLive {
    fn of(status: NamesStatus) -> Self {
        let in_trouble = status.names.iter().filter(|name| name.trouble.is_some()).take(RECENT);
        Self {
            last_minute: status.last_minute,
            names: status.names.len(),
            in_trouble: in_trouble.map(|name| name.name.clone()).collect(),
        }
    }
}

impl EdgeLive {
    fn of(report: Option<&EdgeReport>, now_unix_ms: u64) -> Self {
        Self {
            name: "edge",
            up: report.is_some(),
            started_unix_ms: report.map(|report| report.started_unix_ms),
            uptime_s: report.map(|report| now_unix_ms.saturating_sub(report.started_unix_ms) / 1_000),
            connections_open: report.map(|report| report.connections_open),
            memory_held_bytes: report.map(|report| report.memory.iter().map(|(_, bytes)| bytes).sum()),
            memory_max_bytes: report.map(|report| report.memory_max),
        }
    }
}

/// What the pools are shown from.
struct View<'a> {
    state: &'a State,
    report: Option<&'a EdgeReport>,
    rates: &'a Rates,
    fleets: &'a [FleetStatus],
    now_unix_ms: u64,
}

impl View<'_> {
    fn pool(&self, place: usize) -> PoolLive {
        let pool = &self.state.parts.snapshot.pools[place];
        let endpoints = (0..pool.endpoints.len()).filter_map(|at| self.endpoint(place, at));
        PoolLive {
            name: pool.name.clone(),
            fleet: pool.fleet.is_some(),
            queued: self.report.and_then(|report| report.queued.get(place).copied()),
            queue_max: pool.queue.length_max,
            in_flight: self.report.map(|report| in_flight(report, &pool.name)),
            limit: limit(pool, self.report, self.state, place),
            files: pool.files.as_ref().map(|_| {
                let rates = self.rates.get(&(pool.name.clone(), Files::CALLED.to_owned()));
                FilesLive { requests_per_s: rates.map(|rates| Number(rates.requests_per_s)) }
            }),
            endpoints: endpoints.collect(),
        }
    }

    /// An endpoint; `None` for a slot of a fleet in which there is no instance.
    fn endpoint(&self, place: usize, at: usize) -> Option<EndpointLive> {
        let parts = &self.state.parts;
        let pool = &parts.snapshot.pools[place];
        let endpoint = &pool.endpoints[at];
        let name = endpoint.authority();
        let (membership, dials) = (parts.membership.get(), parts.dials.get());
        let members = membership.pools.get(place).map_or(&[][..], |pool| &pool.members);
        let member = members.get(at);
        let instance = instance_of(self.fleets, &pool.name, &name);
        if is_vacant(pool, at, members, instance) {
            return None;
        }
        let weight =
            dials.weights.get(place).and_then(|pool| pool.get(at)).copied().unwrap_or(endpoint.weight);
        let counted = |known: &&EndpointReport| known.pool == pool.name && known.authority == name;
        let counted = self.report.and_then(|report| report.endpoints.iter().find(counted));
        let rates = self.rates.get(&(pool.name.clone(), name.clone()));
        // What a service's name says is a full weight, whatever the file says.
        let full = if endpoint.lookup == Lookup::Services { weight } else { endpoint.weight };
        let configured_share = f64::from(weight) / f64::from(full.max(1));
        let address = member.and_then(|member| member.addresses.first()).copied();
        let (health, reason) = health_words(member);
        let started_unix_ms = instance.map(|instance| instance.started_unix_ms);
        Some(EndpointLive {
            zone: endpoint.zone.clone(),
            address: address.or(instance.map(|instance| instance.address)).map(|address| address.to_string()),
            phase: instance.map(|instance| instance.phase),
            health,
            reason,
            detail: Detail::at(self.state, place, at, instance),
            weight,
            weight_share: Number(instance.map_or(configured_share, |instance| instance.weight_share)),
            cpu_share: instance.and_then(|instance| instance.cpu_share).map(Number),
            in_flight: counted.map(|counted| counted.in_flight),
            requests_per_s: rates.map(|rates| Number(rates.requests_per_s)),
            errors_per_s: rates.map(|rates| Number(rates.errors_per_s)),
            reused_share: rates.and_then(|rates| rates.reused_share).map(Number),
            idle_limit_ms: counted.and_then(|counted| counted.idle_limit_ms),
            limit: counted.and_then(|counted| counted.limit).map(|(limit, _)| limit),
            limit_why: counted.and_then(|counted| counted.limit).map(|(_, why)| why.label()),
            limit_start: LimitStart::of(counted),
            started_unix_ms,
            uptime_s: started_unix_ms.map(|started| self.now_unix_ms.saturating_sub(started) / 1_000),
            name,
        })
    }
}

/// The instance behind an endpoint, if it has one.
pub(crate) fn instance_of<'a>(
    fleets: &'a [FleetStatus],
    pool: &str,
    name: &str,
) -> Option<&'a InstanceStatus> {
    let fleet = fleets.iter().find(|fleet| fleet.pool == pool)?;
    fleet.instances.iter().find(|instance| instance.name == name)
}

/// What may stand behind the `?`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    since: Option<u64>,
    step: Option<u64>,
}

/// `GET /api/history?since=&step=`
pub(crate) async fn history(
    Shared(state): Shared<Arc<State>>,
    range: Result<Query<Range>, QueryRejection>,
) -> Result<Json<Series>, ApiError> {
    let cure = format!(
        "Write ?since=UNIX_MS&step=SECONDS: since in milliseconds since 1970 (left out: all there is), step from 1 to \
         {STEP_MAX} (left out: 1)."
    );
    let Ok(Query(Range { since, step })) = range else {
        return Err(ApiError::bad("what stands behind the ? is not since=NUMBER and step=NUMBER", cure));
    };
    let step = step.unwrap_or(1);
    if !(1..=STEP_MAX).contains(&step) {
        return Err(ApiError::bad(format!("step is {step}"), cure));
    }
    let recorded = state.recorded.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Json(recorded.history.series(since.unwrap_or(0) / 1_000, step)))
}

/// The answer of `GET /api/fleets`.
#[derive(Serialize)]
pub(crate) struct Fleets {
    fleets: Vec<FleetStatus>,
}

/// `GET /api/fleets`
pub(crate) async fn fleets(Shared(state): Shared<Arc<State>>) -> Json<Fleets> {
    Json(Fleets { fleets: state.parts.fleets.get().to_vec() })
}
