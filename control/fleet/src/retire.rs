//! Instances that no fleet cares for any more: their pool is gone from the configuration, or has fewer slots now. What is
//! in flight there finishes; then they are ended. Starts nothing.

use crate::fleets::FleetParts;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tentpole_model::{Instance, InstanceId, Snapshot};
use tokio::time::{Instant, sleep};

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// They stay at least so long: counts of the edge are up to a fifth of a second old, and a new control process has none.
const STAY_MIN: Duration = Duration::from_secs(2);
/// How long requests in flight may take: there is no setting any more that says it.
const DRAIN_TIME: Duration = Duration::from_secs(30);
/// How long an instance may take to end.
const STOP_TIME: Duration = Duration::from_secs(10);
/// Time between two attempts to kill what does not go.
const KILL_EVERY: Duration = Duration::from_secs(5);
/// What a new control process finds with one that is ending.
const STOPPING: &str = "stopping";

/// How far one is.
#[derive(Clone, Copy)]
enum Phase {
    Draining { until: Instant, not_before: Instant },
    Stopping { kill: Instant },
}

/// Ends them, for ever.
pub(crate) async fn go_on(parts: Arc<FleetParts>) {
    // Every data thread must know by then that they are gone.
    parts.dials.taken_by_all(parts.dials.version()).await;
    let mut leaving: HashMap<InstanceId, Phase> = HashMap::new();
    loop {
        let instances = parts.provider.instances();
        let strangers: Vec<&Instance> =
            instances.iter().filter(|instance| !has_slot(&parts.snapshot, instance)).collect();
        leaving.retain(|id, _| strangers.iter().any(|instance| instance.id == *id));
        for instance in strangers {
            look(&parts, instance, &mut leaving);
        }
        sleep(LOOK_EVERY).await;
    }
}

fn look(parts: &FleetParts, instance: &Instance, leaving: &mut HashMap<InstanceId, Phase>) {
    let (id, now) = (instance.id, Instant::now());
    if instance.ended.is_some() {
        return parts.provider.forget(id);
    }
    let name = format!("{}-{}", instance.pool, instance.slot + 1);
    let tell = |text: String| (parts.on_event)(format!("fleet {}: {name} {text}", instance.pool));
    let phase = *leaving.entry(id).or_insert_with(|| {
        if instance.mark == STOPPING {
            return Phase::Stopping { kill: now + STOP_TIME };
        }
        tell("is in no slot of the configuration any more; it ends when nothing is in flight".to_owned());
        Phase::Draining { until: now + DRAIN_TIME, not_before: now + STAY_MIN }
    });
    match phase {
        Phase::Draining { until, not_before } => {
            let cell = parts.cells.get(&instance.pool, &name);
            let in_flight = cell.map_or(0, |cell| cell.in_flight.load(Ordering::Relaxed));
            if now < not_before || (in_flight > 0 && now < until) {
                return;
            }
            tell(format!("is ended; requests in flight: {in_flight}"));
            parts.provider.mark(id, STOPPING);
            parts.provider.terminate(id);
            leaving.insert(id, Phase::Stopping { kill: now + STOP_TIME });
        }
        Phase::Stopping { kill } if now >= kill => {
            parts.provider.kill(id);
            leaving.insert(id, Phase::Stopping { kill: now + KILL_EVERY });
        }
        Phase::Stopping { .. } => {}
    }
}

/// Whether a fleet cares for it.
fn has_slot(snapshot: &Snapshot, instance: &Instance) -> bool {
    let pool = snapshot.pools.iter().find(|pool| pool.name == instance.pool);
    pool.is_some_and(|pool| pool.fleet.is_some() && (instance.slot as usize) < pool.endpoints.len())
}
