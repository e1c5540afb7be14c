//! `POST /api/upgrade`: another program takes over, and what came of it is answered when it serves.

use crate::State;
use crate::error::ApiError;
use axum::Json;
use axum::extract::State as Shared;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use tentpole_model::UpgradeEnd;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// The program's file, whole; without it, what lies where this one was started from.
    program: Option<PathBuf>,
}

/// What serves now.
#[derive(Serialize)]
struct Done {
    message: String,
    version: String,
    before: String,
}

/// Why nothing has changed.
#[derive(Serialize)]
struct Refused {
    error: String,
    cure: &'static str,
}

/// Upgrades.
pub(crate) async fn upgrade(
    Shared(state): Shared<Arc<State>>,
    wish: Result<Json<Wish>, JsonRejection>,
) -> Result<Response, ApiError> {
    let relative = |wish: &Wish| wish.program.as_ref().is_some_and(|program| !program.is_absolute());
    let Some(Json(wish)) = wish.ok().filter(|wish| !relative(wish)) else {
        let cure = "Send {} or {\"program\":\"/path/to/tentpole\"}, with Content-Type: application/json.";
        return Err(ApiError::bad("this does not say which program", cure));
    };
    let asked = match &state.parts.upgrade {
        Some(port) => port.upgrade(wish.program).await,
        None => None,
    };
    let Some(end) = asked else {
        let cure = "Ask again in a second.";
        return Err(ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "nobody can upgrade just now", cure));
    };
    let message = end.to_string();
    Ok(match end {
        UpgradeEnd::Done { version, before } => Json(Done { message, version, before }).into_response(),
        UpgradeEnd::Refused(_) => {
            let cure = "The program that was running goes on; mend what is wrong and upgrade again.";
            (StatusCode::UNPROCESSABLE_ENTITY, Json(Refused { error: message, cure })).into_response()
        }
    })
}
