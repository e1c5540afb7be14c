//! `POST /api/purge`: what the caller wants gone becomes an order, the edge carries it out.

use crate::State;
use crate::api::BODY_BYTES_MAX;
use crate::ask::{ask, broke_off};
use crate::error::ApiError;
use crate::events::EventKind;
use axum::Json;
use axum::body::Bytes;
use axum::extract::State as Shared;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tentpole_model::link::{Answer, Question};
use tentpole_model::{PurgeError, PurgeOrder, PurgeWhat, Purged};

const CURE: &str = "Send one of {\"url\":\"http://host/path\"}, {\"prefix\":\"http://host/path\"}, \
                    {\"tags\":[\"a\",\"b\"]}, {\"site\":\"name\"} and {\"all\":true}; \"tags\" and \"site\" may go \
                    together, \"soft\":true with each.";

/// What the caller sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    url: Option<String>,
    prefix: Option<String>,
    tags: Option<Vec<String>>,
    site: Option<String>,
    #[serde(default)]
    all: bool,
    #[serde(default)]
    soft: bool,
}

/// What a purge did.
#[derive(Serialize)]
pub(crate) struct Done {
    objects: u64,
    fills: u64,
}

/// Purges, and answers when no thread serves the old any more.
pub(crate) async fn purge(
    Shared(state): Shared<Arc<State>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Done>, ApiError> {
    let body = body.map_err(|rejection| {
        let cure = format!("Send at most {BODY_BYTES_MAX} bytes.");
        ApiError::new(rejection.status(), "the body could not be read, or is too large", cure)
    })?;
    let wish: Wish = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad(format!("the body is not right: {error}"), CURE))?;
    let soft = wish.soft;
    let what = wish.meant().ok_or_else(|| {
        ApiError::bad("the body names nothing that is to be purged, or several things at once", CURE)
    })?;
    let said = what.said();
    let order = PurgeOrder { what, soft };
    match ask(&state, Question::Purge(order.clone())).await? {
        Answer::Purged(Ok(Purged { objects, fills })) => {
            // Only now: a content network that asks anew must get the new.
            if let Some(relay) = &state.parts.relay {
                relay.pass_on(&order);
            }
            let done = if soft { "made stale" } else { "purged" };
            state.parts.events.add(EventKind::Admin, format!("{done} {objects} stored responses: {said}"));
            Ok(Json(Done { objects, fills }))
        }
        Answer::Purged(Err(error)) => Err(refused(error)),
        Answer::Text(_) | Answer::Reported => Err(broke_off()),
    }
}

impl Wish {
    /// `None` when it names nothing, or things that do not go together.
    fn meant(self) -> Option<PurgeWhat> {
        match self {
            Self { url: Some(url), prefix: None, tags: None, site: None, all: false, .. } => {
                Some(PurgeWhat::Url(url))
            }
            Self { url: None, prefix: Some(prefix), tags: None, site: None, all: false, .. } => {
                Some(PurgeWhat::Prefix(prefix))
            }
            Self { url: None, prefix: None, tags: Some(tags), site, all: false, .. } => {
                Some(PurgeWhat::Tags { site, tags })
            }
            Self { url: None, prefix: None, tags: None, site: Some(site), all: false, .. } => {
                Some(PurgeWhat::Site(site))
            }
            Self { url: None, prefix: None, tags: None, site: None, all: true, .. } => Some(PurgeWhat::All),
            Self { .. } => None,
        }
    }
}

fn refused(error: PurgeError) -> ApiError {
    match error {
        PurgeError::NotAnUrl => ApiError::bad("the url is not an absolute http URL", CURE),
        PurgeError::Tags => {
            ApiError::bad("there is no tag, or more than one purge takes", "Send the tags in several purges.")
        }
        PurgeError::NoSuchSite => {
            let cure = "GET /api/status lists the sites with their names and hosts.";
            ApiError::new(StatusCode::NOT_FOUND, "no site has this host or name", cure)
        }
    }
}
