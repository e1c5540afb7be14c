//! `POST /api/fleets/{pool}/restart`: new instances take the place of those that there are, one by one.

use crate::error::ApiError;
use crate::{EventKind, State};
use axum::Json;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use tentpole_model::RestartError;

/// What has begun.
#[derive(Serialize)]
pub(crate) struct Begun {
    message: String,
    /// Instances that go.
    old: usize,
}

/// Begins with a restart; says so at once.
pub(crate) async fn restart(
    Shared(state): Shared<Arc<State>>,
    Path(pool): Path<String>,
) -> Result<(StatusCode, Json<Begun>), ApiError> {
    let fleets = state.parts.fleets.get();
    let old = fleets.iter().find(|fleet| fleet.pool == pool).map_or(0, |fleet| fleet.instances.len());
    let began = match &state.parts.restarts {
        Some(port) => port.restart(&pool).await,
        None => Err(RestartError::Busy),
    };
    match began {
        Ok(()) => {
            let message = format!("restarting {pool}: new instances take the place of {old}, one by one");
            state.parts.events.add(EventKind::Admin, message.clone());
            Ok((StatusCode::ACCEPTED, Json(Begun { message, old })))
        }
        Err(RestartError::NoFleet) => Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("there is no fleet {pool}"),
            "GET /api/fleets lists them.",
        )),
        Err(RestartError::Busy) => Err(ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "nobody can restart it just now",
            "Ask again in a second.",
        )),
    }
}
