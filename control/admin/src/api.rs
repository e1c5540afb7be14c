//! What there is, and the calls that show something or purge.

use crate::error::ApiError;
use crate::status::Status;
use crate::{State, endpoints};
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Query, Request, State as Shared};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use tentpole_model::PurgeError;
use tentpole_observe::exposition::{CONTENT_TYPE as METRICS_TYPE, Exposition};
use tentpole_observe::{log, observed};
use tentpole_runtime::clock;

/// Bytes of a request's body at most.
const BODY_BYTES_MAX: usize = 64 << 10;
/// Recent requests that are shown unless more or fewer are asked for.
const REQUESTS_SHOWN: usize = 50;

/// What there is: method, path, what it does.
const CALLS: [(&str, &str, &str); 8] = [
    ("GET", "/healthz", "says ok while the control plane runs"),
    ("GET", "/metrics", "all counters, in Prometheus' text format"),
    ("GET", "/api", "this list"),
    ("GET", "/api/status", "sites, routes, pools and how their endpoints are"),
    ("GET", "/api/requests?limit=50", "the last requests and why each went as it did, newest first"),
    ("POST", "/api/purge", "removes from the cache: {\"url\":\"http://host/path\"} or {\"all\":true}"),
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
pub(crate) fn router(state: Arc<State>) -> Router {
    let gate = {
        let state = state.clone();
        move |request: Request, next: Next| {
            let state = state.clone();
            async move { state.gate.pass(request, next).await }
        }
    };
    Router::new()
        .route("/healthz", get("ok\n"))
        .route("/metrics", get(metrics))
        .route("/api", get(list))
        .route("/api/status", get(status))
        .route("/api/requests", get(requests))
        .route("/api/purge", post(purge))
        .route("/api/pools/{pool}/endpoints/{authority}/drain", post(endpoints::drain))
        .route("/api/pools/{pool}/endpoints/{authority}/resume", post(endpoints::resume))
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
    Json(Status::of(&state))
}

async fn metrics(Shared(state): Shared<Arc<State>>) -> impl IntoResponse {
    let parts = &state.parts;
    let mut page = Exposition::new();
    page.process(env!("CARGO_PKG_VERSION"), clock::now().since(state.started).as_secs_f64());
    page.edge(&parts.observed);
    page.ledger(&parts.ledger);
    page.endpoints(&parts.snapshot, &parts.membership.get(), &parts.dials.get(), &parts.cells);
    ([(CONTENT_TYPE, METRICS_TYPE)], page.finish())
}

#[derive(Deserialize)]
struct HowMany {
    limit: Option<usize>,
}

async fn requests(
    Shared(state): Shared<Arc<State>>,
    how_many: Result<Query<HowMany>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Ok(Query(HowMany { limit })) = how_many else {
        let cure = format!("Write ?limit=50; there are {} at most.", observed::RECENT_MAX);
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "limit is not a number", cure));
    };
    let mut out = b"{\"requests\":[".to_vec();
    let empty = out.len();
    state.parts.observed.recent(limit.unwrap_or(REQUESTS_SHOWN), |record| {
        if out.len() > empty {
            out.push(b',');
        }
        log::write_json(&mut out, &record, &state.names);
    });
    out.extend_from_slice(b"]}");
    Ok(([(CONTENT_TYPE, "application/json")], out).into_response())
}

/// What is to be purged.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct What {
    url: Option<String>,
    #[serde(default)]
    all: bool,
}

/// What a purge did.
#[derive(Serialize)]
struct Purged {
    objects: u64,
    fills: u64,
}

const PURGE_CURE: &str = "Send {\"url\":\"http://host/path\"} for one URL or {\"all\":true} for everything.";

async fn purge(
    Shared(state): Shared<Arc<State>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Purged>, ApiError> {
    let body = body.map_err(|rejection| {
        let cure = format!("Send at most {BODY_BYTES_MAX} bytes.");
        ApiError::new(rejection.status(), "the body could not be read, or is too large", cure)
    })?;
    let bad = |error: String| ApiError::new(StatusCode::BAD_REQUEST, error, PURGE_CURE);
    let what: What =
        serde_json::from_slice(&body).map_err(|error| bad(format!("the body is not right: {error}")))?;
    let port = state.parts.purge.clone();
    // It waits until every thread has seen the purge: not on the runtime's thread.
    let purged = match what {
        What { url: Some(url), all: false } => tokio::task::spawn_blocking(move || port.purge_url(&url)),
        What { url: None, all: true } => tokio::task::spawn_blocking(move || Ok(port.purge_all())),
        What { .. } => return Err(bad("the body names neither a url nor all, or both".into())),
    };
    match purged.await {
        Ok(Ok(purged)) => Ok(Json(Purged { objects: purged.objects, fills: purged.fills })),
        Ok(Err(PurgeError::NotAnUrl)) => Err(bad("the url is not an absolute http URL".into())),
        Ok(Err(PurgeError::NoSuchSite)) => {
            let cure = "GET /api/status lists the sites with their hosts.";
            Err(ApiError::new(StatusCode::NOT_FOUND, "no site answers for the url's host", cure))
        }
        Err(_) => {
            let cure = "This is a fault of ours: standard error says more. Purging again is safe.";
            Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "the purge broke off", cure))
        }
    }
}
