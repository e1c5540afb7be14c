//! What there is, and the calls that show something.

use crate::ask::{ask_text, report_now};
use crate::error::ApiError;
use crate::pages::with_pages;
use crate::status::Status;
use crate::{Current, State, endpoints, events, live, metrics, purge, reload, restart, rooms, upgrade};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query, Request, State as Shared};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tentpole_model::link::Question;
use tentpole_observe::observed;

/// Bytes of a request's body at most.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;
/// Recent requests that are shown unless more or fewer are asked for.
const REQUESTS_SHOWN: usize = 50;

/// What there is: method, path, what it does.
const CALLS: [(&str, &str, &str); 18] = [
    ("GET", "/healthz", "says ok while the control plane runs"),
    ("GET", "/metrics", "all counters, in Prometheus' text format"),
    ("GET", "/api", "this list"),
    ("GET", "/api/status", "sites, routes, pools and how their endpoints are"),
    ("GET", "/api/live", "the newest second, with endpoints, fleets and events: what the console shows"),
    (
        "GET",
        "/api/history?since=0&step=1",
        "the last hour by the second; since in ms since 1970, step 1 to 60 s",
    ),
    ("GET", "/api/fleets", "instances, and what each fleet decided and why"),
    ("GET", "/api/events?limit=50", "what happened, newest first"),
    ("GET", "/api/requests?limit=50", "the last requests and why each went as it did, newest first"),
    ("GET", "/api/cache/advice", "what was learned about pages that say nothing about caching"),
    (
        "POST",
        "/api/purge",
        "empties the cache: {\"url\":…}, {\"prefix\":…}, {\"tags\":[…]}, {\"site\":…} or {\"all\":true}; \"soft\":true",
    ),
    ("GET", "/api/rooms", "waiting rooms: who is inside, who waits, limits and the last hour"),
    (
        "POST",
        "/api/rooms/{room}",
        "{\"doors\":\"open\"}, \"close\", \"off\" or \"auto\"; {\"active\":…,\"entries_per_minute\":…}; {\"let_in\":…}",
    ),
    (
        "POST",
        "/api/reload",
        "reads the configuration again; a file that is not right changes nothing and says why",
    ),
    (
        "POST",
        "/api/fleets/{pool}/restart",
        "new instances take the place of all that there are, one by one; GET /api/fleets says how far it is",
    ),
    (
        "POST",
        "/api/upgrade",
        "hands over to another program: {} to the one that lies where this one was started from, or {\"program\":…}",
    ),
    (
        "POST",
        "/api/pools/{pool}/endpoints/{authority}/drain",
        "no new requests to this endpoint; ?force=true for the last",
    ),
    (
        "POST",
        "/api/pools/{pool}/endpoints/{authority}/resume",
        "gives the endpoint its configured weight again",
    ),
];

/// All routes, behind the gate.
pub(crate) fn router(state: Current) -> Router {
    let gate = {
        let state = state.first.clone();
        move |request: Request, next: Next| {
            let state = state.clone();
            async move { state.gate.pass(request, next).await }
        }
    };
    let router = Router::new()
        .route("/healthz", get("ok\n"))
        .route("/metrics", get(metrics::metrics))
        .route("/api", get(list))
        .route("/api/status", get(status))
        .route("/api/live", get(live::live))
        .route("/api/history", get(live::history))
        .route("/api/fleets", get(live::fleets))
        .route("/api/events", get(events::list))
        .route("/api/requests", get(requests))
        .route("/api/cache/advice", get(advice))
        .route("/api/purge", post(purge::purge))
        .route("/api/rooms", get(rooms::list))
        .route("/api/rooms/{room}", post(rooms::order))
        .route("/api/reload", post(reload::reload))
        .route("/api/fleets/{pool}/restart", post(restart::restart))
        .route("/api/upgrade", post(upgrade::upgrade))
        .route("/api/pools/{pool}/endpoints/{authority}/drain", post(endpoints::drain))
        .route("/api/pools/{pool}/endpoints/{authority}/resume", post(endpoints::resume));
    with_pages(router, &state.first.parts.pages)
        .fallback(nothing_here)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // The last one added is the first one passed.
        .layer(from_fn(gate))
        .with_state(state)
}

async fn nothing_here() -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "there is nothing at this path", "GET /api lists what there is.")
}

async fn wrong_method() -> ApiError {
    let error = "this path does not know this method";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, error, "GET /api lists paths with their methods.")
}

async fn list() -> Json<Value> {
    let call =
        |(method, path, what): &(&str, &str, &str)| json!({"method": method, "path": path, "what": what});
    Json(json!({ "calls": CALLS.iter().map(call).collect::<Vec<_>>() }))
}

async fn status(Shared(state): Shared<Arc<State>>) -> Json<Status> {
    let report = report_now(&state).await;
    Json(Status::of(&state, report.as_deref()))
}

#[derive(Deserialize)]
struct HowMany {
    limit: Option<usize>,
}

/// What was learned, as the edge writes it: docs/learning.md.
async fn advice(Shared(state): Shared<Arc<State>>) -> Result<Response, ApiError> {
    let json = ask_text(&state, Question::CacheAdvice).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

async fn requests(
    Shared(state): Shared<Arc<State>>,
    how_many: Result<Query<HowMany>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Ok(Query(HowMany { limit })) = how_many else {
        let cure = format!("Write ?limit=50; there are {} at most.", observed::RECENT_MAX);
        return Err(ApiError::bad("limit is not a number", cure));
    };
    let limit = limit.unwrap_or(REQUESTS_SHOWN).min(observed::RECENT_MAX);
    let json = ask_text(&state, Question::Requests { limit }).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}
