//! `GET /metrics`: what the edge counts, in its own words, and what control knows beside it. Answers also while the
//! edge is away, because that is when somebody wants to see it.

use crate::State;
use crate::ask::ask_text;
use crate::events::RELOADS;
use crate::progress;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use std::sync::Arc;
use tentpole_model::link::Question;
use tentpole_model::{InstancePhase, NamesStatus};
use tentpole_observe::exposition::{CONTENT_TYPE as METRICS_TYPE, Exposition};
use tentpole_observe::names::{Kind, Metric};

const EDGE_UP: Metric = gauge("tentpole_edge_up", "1 when the edge process answers, 0 when it is away.");
const RESTARTS: Metric = Metric {
    name: "tentpole_restarts_total",
    kind: Kind::Counter,
    help: "How often a part of Tentpole ended and was started again.",
};
const INSTANCES: Metric = gauge("tentpole_fleet_instances", "Instances of a fleet, by what they are doing.");
const WANTED: Metric = gauge("tentpole_fleet_wanted", "Instances that a fleet shall have now.");
const CPU_SHARE: Metric = gauge(
    "tentpole_fleet_cpu_share",
    "CPU used by a fleet's serving instances, as a share of what they have.",
);

const RELOADS_ENDED: Metric = Metric {
    name: "tentpole_reloads_total",
    kind: Kind::Counter,
    help: "How often the configuration was read again, by what came of it.",
};
const VERSION: Metric = gauge("tentpole_snapshot_version", "The version of the configuration in force.");
const READ_AT: Metric = gauge(
    "tentpole_snapshot_read_timestamp_seconds",
    "When the configuration in force was read, in seconds since 1970.",
);

const EJECTIONS: Metric = Metric {
    name: "tentpole_endpoint_ejections_total",
    kind: Kind::Counter,
    help: "Endpoints that were taken out of traffic, by pool and reason.",
};
const ZONE: Metric = gauge(
    "tentpole_endpoint_zone",
    "1 for each endpoint with a zone, which is a label: for joining with what is counted by endpoint.",
);

/// The metrics that control adds to the edge's ([`tentpole_observe::names::ALL`]).
pub const OWN: &[Metric] = &[
    EDGE_UP,
    RESTARTS,
    RELOADS_ENDED,
    progress::UPGRADES,
    progress::LEAVING,
    VERSION,
    READ_AT,
    EJECTIONS,
    ZONE,
    LOOK_UPS,
    QUESTIONS,
    NAME_ADDRESSES,
    NAME_AGE,
    NAME_TROUBLE,
    INSTANCES,
    WANTED,
    CPU_SHARE,
];

/// Look-ups of names.
const LOOK_UPS: Metric = Metric {
    name: "tentpole_names_lookups_total",
    kind: Kind::Counter,
    help: "Look-ups of endpoints' names, by how they ended; none of them by a request.",
};
const QUESTIONS: Metric = Metric {
    name: "tentpole_names_questions_total",
    kind: Kind::Counter,
    help: "Questions sent to name servers, repeated ones included.",
};
const NAME_ADDRESSES: Metric = gauge("tentpole_names_addresses", "Addresses that a name leads to.");
const NAME_AGE: Metric =
    gauge("tentpole_names_answer_age_seconds", "Age of the last good answer for a name.");
const NAME_TROUBLE: Metric =
    gauge("tentpole_names_trouble", "1 while looking a name up fails; the last good answer stays in use.");

/// All phases, in the order of an instance's life.
const PHASES: [(InstancePhase, &str); 5] = [
    (InstancePhase::Starting, "starting"),
    (InstancePhase::WarmingUp, "warming_up"),
    (InstancePhase::Serving, "serving"),
    (InstancePhase::Draining, "draining"),
    (InstancePhase::Stopping, "stopping"),
];

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

/// `GET /metrics`
pub(crate) async fn metrics(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    let edge = ask_text(&state, Question::Metrics).await;
    let mut page = Exposition::new();
    own(&mut page, &state, edge.is_ok());
    let mut text = edge.unwrap_or_default();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&page.finish());
    ([(CONTENT_TYPE, METRICS_TYPE)], text)
}

/// Which endpoint is in which zone, where some are.
fn zones(page: &mut Exposition, state: &State) {
    let pools = &state.parts.snapshot.pools;
    if pools.iter().flat_map(|pool| &pool.endpoints).all(|endpoint| endpoint.zone.is_none()) {
        return;
    }
    page.family(&ZONE);
    for pool in pools {
        for (endpoint, zone) in pool.endpoints.iter().filter_map(|one| Some((one, one.zone.as_deref()?))) {
            let labels = [("pool", &*pool.name), ("endpoint", &endpoint.authority()), ("zone", zone)];
            page.sample(&ZONE, &labels, 1);
        }
    }
}

/// What control knows.
fn own(page: &mut Exposition, state: &State, edge_up: bool) {
    page.family(&EDGE_UP);
    page.sample(&EDGE_UP, &[], u8::from(edge_up));
    page.family(&RESTARTS);
    for (part, count) in state.parts.events.restarts() {
        page.sample(&RESTARTS, &[("part", part)], count);
    }
    page.family(&RELOADS_ENDED);
    for (result, count) in RELOADS.into_iter().zip(state.parts.events.reloads()) {
        page.sample(&RELOADS_ENDED, &[("result", result)], count);
    }
    progress::page(page, state);
    let (version, read_unix_ms) = state.parts.version;
    page.family(&VERSION);
    page.sample(&VERSION, &[], version);
    page.family(&READ_AT);
    page.sample(&READ_AT, &[], read_unix_ms as f64 / 1_000.0);
    if let Some(names) = &state.parts.names {
        page_of_names(page, &names.status());
    }
    page.family(&EJECTIONS);
    for ((pool, reason), count) in state.parts.events.ejections() {
        page.sample(&EJECTIONS, &[("pool", &pool), ("reason", reason)], count);
    }
    zones(page, state);
    let fleets = state.parts.fleets.get();
    if fleets.is_empty() {
        return;
    }
    page.family(&INSTANCES);
    for fleet in fleets.iter() {
        for (phase, word) in PHASES {
            let count = fleet.instances.iter().filter(|instance| instance.phase == phase).count();
            page.sample(&INSTANCES, &[("pool", fleet.pool.as_str()), ("phase", word)], count);
        }
    }
    page.family(&WANTED);
    for fleet in fleets.iter() {
        page.sample(&WANTED, &[("pool", fleet.pool.as_str())], fleet.wanted);
    }
    page.family(&CPU_SHARE);
    for (pool, share) in fleets.iter().filter_map(|fleet| Some((fleet.pool.as_str(), fleet.cpu_share?))) {
        page.sample(&CPU_SHARE, &[("pool", pool)], share);
    }
}

/// How looking up names goes.
fn page_of_names(page: &mut Exposition, status: &NamesStatus) {
    page.family(&LOOK_UPS);
    for (result, count) in [("found", status.found), ("absent", status.absent), ("failed", status.failed)] {
        page.sample(&LOOK_UPS, &[("result", result)], count);
    }
    page.family(&QUESTIONS);
    page.sample(&QUESTIONS, &[], status.questions);
    if status.names.is_empty() {
        return;
    }
    page.family(&NAME_ADDRESSES);
    for name in &status.names {
        page.sample(&NAME_ADDRESSES, &[("name", name.name.as_str())], name.addresses.len() as u64);
    }
    page.family(&NAME_AGE);
    for (name, age_ms) in status.names.iter().filter_map(|name| Some((name, name.age_ms?))) {
        page.sample(&NAME_AGE, &[("name", name.name.as_str())], age_ms as f64 / 1_000.0);
    }
    page.family(&NAME_TROUBLE);
    for name in &status.names {
        page.sample(&NAME_TROUBLE, &[("name", name.name.as_str())], u8::from(name.trouble.is_some()));
    }
}
