//! Draining an endpoint and resuming it: a weight of 0, and the configured weight again. Refuses to leave a pool with
//! nobody, unless forced.

use crate::State;
use crate::error::ApiError;
use crate::events::EventKind;
use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State as Shared};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tentpole_model::{Dials, Health, Member, Membership, Snapshot};
use tokio::time::timeout;

/// How long the answer waits for all threads to have the new weight.
const TAKEN_MAX: Duration = Duration::from_secs(2);

/// What may stand behind the `?`.
#[derive(Deserialize)]
pub(crate) struct Wish {
    #[serde(default)]
    force: bool,
}

/// What became of the endpoint.
#[derive(Serialize)]
pub(crate) struct Turned {
    pool: String,
    endpoint: String,
    weight: u32,
    /// Whether every data thread has the weight already.
    in_force: bool,
}

/// Which endpoint: its pool's place and its own.
#[derive(Clone, Copy)]
struct Place {
    pool: usize,
    endpoint: usize,
}

/// `POST /api/pools/{pool}/endpoints/{authority}/drain`
pub(crate) async fn drain(
    Shared(state): Shared<Arc<State>>,
    names: Result<Path<(String, String)>, PathRejection>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Json<Turned>, ApiError> {
    let Ok(Query(wish)) = wish else {
        return Err(ApiError::bad("force is neither true nor false", "Write ?force=true, or leave it out."));
    };
    turn(&state, readable(names)?, 0, wish.force).await
}

/// `POST /api/pools/{pool}/endpoints/{authority}/resume`
pub(crate) async fn resume(
    Shared(state): Shared<Arc<State>>,
    names: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<Turned>, ApiError> {
    let names = readable(names)?;
    let place = find(&state.parts.snapshot, &names)?;
    let weight = state.parts.snapshot.pools[place.pool].endpoints[place.endpoint].weight;
    turn(&state, names, weight, false).await
}

fn readable(names: Result<Path<(String, String)>, PathRejection>) -> Result<(String, String), ApiError> {
    let unreadable = |_| {
        let cure = "Write the names as GET /api/status shows them.";
        ApiError::bad("the path is not valid UTF-8", cure)
    };
    names.map(|Path(names)| names).map_err(unreadable)
}

async fn turn(
    state: &State,
    names: (String, String),
    weight: u32,
    force: bool,
) -> Result<Json<Turned>, ApiError> {
    let snapshot = &state.parts.snapshot;
    let place = find(snapshot, &names)?;
    let membership = state.parts.membership.get();
    let mut leaves_nobody = false;
    let dials = &state.parts.dials;
    let version = dials.update(|now| {
        let mut next = parallel_to(snapshot, now);
        next.weights[place.pool][place.endpoint] = weight;
        let changes = next != *now;
        leaves_nobody = changes && weight == 0 && !force && !somebody_serves(&next, &membership, place.pool);
        (changes && !leaves_nobody).then_some(next)
    });
    let (pool, endpoint) = names;
    if leaves_nobody {
        let error = format!("without {endpoint} no healthy endpoint would take requests in pool {pool}");
        let cure = "Bring another endpoint up or resume one first; ?force=true drains it all the same.";
        return Err(ApiError::new(StatusCode::CONFLICT, error, cure));
    }
    if version.is_some() {
        let what = if weight == 0 { "drained" } else { "resumed" };
        state
            .parts
            .events
            .add(EventKind::Admin, format!("{endpoint} of pool {pool} {what} (weight {weight})"));
    }
    let in_force = match version {
        Some(version) => timeout(TAKEN_MAX, dials.taken_by_all(version)).await.is_ok(),
        None => true,
    };
    Ok(Json(Turned { pool, endpoint, weight, in_force }))
}

fn find(snapshot: &Snapshot, (pool, authority): &(String, String)) -> Result<Place, ApiError> {
    let known = |names: Vec<String>| format!("GET /api/status lists them: {}.", names.join(", "));
    let Some(place) = snapshot.pools.iter().position(|known| known.name == *pool) else {
        let cure = known(snapshot.pools.iter().map(|pool| pool.name.clone()).collect());
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("there is no pool {pool}"), cure));
    };
    let authorities: Vec<_> =
        snapshot.pools[place].endpoints.iter().map(|endpoint| endpoint.authority()).collect();
    match authorities.iter().position(|known| known == authority) {
        Some(endpoint) => Ok(Place { pool: place, endpoint }),
        None => {
            let error = format!("pool {pool} has no endpoint {authority}");
            Err(ApiError::new(StatusCode::NOT_FOUND, error, known(authorities)))
        }
    }
}

/// The dials with a weight for every endpoint: missing ones are as configured.
fn parallel_to(snapshot: &Snapshot, dials: &Dials) -> Dials {
    let mut all = Dials::from_snapshot(snapshot);
    for (pool, now) in all.weights.iter_mut().zip(&dials.weights) {
        pool.iter_mut().zip(now).for_each(|(weight, now)| *weight = *now);
    }
    all
}

/// Whether an endpoint of the pool has weight and takes traffic. One that stays only because it is the last does not
/// count: nobody should be sent there on purpose.
fn somebody_serves(dials: &Dials, membership: &Membership, pool: usize) -> bool {
    let Some(members) = membership.pools.get(pool) else { return false };
    let is_well = |member: &Member| member.health == Health::Up;
    dials.weights[pool].iter().zip(&members.members).any(|(&weight, member)| weight > 0 && is_well(member))
}
