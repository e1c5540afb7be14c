//! How far an upgrade and rolling restarts are, for the status and the metrics.

use crate::State;
use serde::Serialize;
use tentpole_model::{FleetStatus, UpgradeUnderWay};
use tentpole_observe::exposition::Exposition;
use tentpole_observe::names::{Kind, Metric};

/// How upgrades ended.
pub(crate) const UPGRADES: Metric = Metric {
    name: "tentpole_program_upgrades_total",
    kind: Kind::Counter,
    help: "Upgrades of the program since Tentpole was started, by what came of them.",
};
/// Edges that leave.
pub(crate) const LEAVING: Metric = Metric {
    name: "tentpole_leaving_edge_connections",
    kind: Kind::Gauge,
    help: "Connections of visitors that are still open at an edge before an upgrade.",
};

/// An upgrade that is under way, and what is left of earlier ones.
#[derive(Serialize)]
pub(crate) struct UpgradeStatus {
    under_way: Option<UpgradeUnderWay>,
    leaving: Vec<LeavingStatus>,
    done: u64,
    refused: u64,
    given_back: u64,
}

/// An edge that another one has taken the place of.
#[derive(Serialize)]
struct LeavingStatus {
    pid: u32,
    since_unix_ms: u64,
    until_unix_ms: u64,
    /// `None` until it has said so.
    connections: Option<u64>,
}

/// A fleet whose instances are replaced, or that has stopped to.
#[derive(Serialize)]
pub(crate) struct RestartStatus {
    pool: String,
    new: u32,
    of: u32,
    since_unix_ms: u64,
    stopped: Option<String>,
}

impl UpgradeStatus {
    pub(crate) fn of(state: &State) -> Self {
        let progress = state.parts.events.upgrade();
        let open = state.parts.edge.connections_beside();
        let leaving = progress.leaving.iter().map(|edge| LeavingStatus {
            pid: edge.pid,
            since_unix_ms: edge.since_unix_ms,
            until_unix_ms: edge.until_unix_ms,
            connections: open.iter().find(|(pid, _)| *pid == edge.pid).map(|(_, open)| *open),
        });
        Self {
            leaving: leaving.collect(),
            under_way: progress.under_way,
            done: progress.done,
            refused: progress.refused,
            given_back: progress.given_back,
        }
    }
}

/// The fleets that are restarted.
pub(crate) fn restarts(fleets: &[FleetStatus]) -> Vec<RestartStatus> {
    let restart = |fleet: &FleetStatus| {
        let restart = fleet.restart.as_ref()?;
        Some(RestartStatus {
            pool: fleet.pool.clone(),
            new: restart.new,
            of: restart.of,
            since_unix_ms: restart.since_unix_ms,
            stopped: restart.stopped.clone(),
        })
    };
    fleets.iter().filter_map(restart).collect()
}

/// The metrics.
pub(crate) fn page(page: &mut Exposition, state: &State) {
    let UpgradeStatus { done, refused, given_back, leaving, .. } = UpgradeStatus::of(state);
    page.family(&UPGRADES);
    for (result, count) in [("done", done), ("refused", refused), ("given_back", given_back)] {
        page.sample(&UPGRADES, &[("result", result)], count);
    }
    page.family(&LEAVING);
    page.sample(&LEAVING, &[], leaving.iter().filter_map(|edge| edge.connections).sum::<u64>());
}
