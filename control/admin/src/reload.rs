//! `POST /api/reload`: the configuration is read again, and what came of it is answered when it is in force.

use crate::State;
use crate::error::ApiError;
use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use tentpole_model::{Refusal, ReloadEnd, Reloaded};

/// What is in force now.
#[derive(Serialize)]
struct Done {
    message: String,
    version: u64,
    changed: bool,
    sites: usize,
    pools: usize,
    /// Warnings, and what takes effect later.
    notes: String,
}

/// Why nothing has changed.
#[derive(Serialize)]
struct Refused {
    error: String,
    cure: &'static str,
    /// What `tentpole check` prints.
    report: String,
}

/// Reloads.
pub(crate) async fn reload(Shared(state): Shared<Arc<State>>) -> Result<Response, ApiError> {
    let asked = match &state.parts.reload {
        Some(port) => port.reload().await,
        None => None,
    };
    let Some(end) = asked else {
        let cure = "Ask again in a second.";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "nobody can reload just now", cure));
    };
    let message = end.to_string();
    Ok(match end {
        ReloadEnd::InForce(Reloaded { version, changed, sites, pools, notes }) => {
            Json(Done { message, version, changed, sites, pools, notes }).into_response()
        }
        ReloadEnd::Refused(Refusal { report, .. }) => {
            let cure =
                "Mend it and reload again; tentpole check FILE says the same without a running Tentpole.";
            let refused = Refused { error: message, cure, report };
            (StatusCode::UNPROCESSABLE_ENTITY, Json(refused)).into_response()
        }
        ReloadEnd::Late { .. } => {
            let cure = "GET /api/status shows which version is in force.";
            let refused = Refused { error: message, cure, report: String::new() };
            (StatusCode::GATEWAY_TIMEOUT, Json(refused)).into_response()
        }
    })
}
