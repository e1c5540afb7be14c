//! `GET /api/rooms` and `POST /api/rooms/{room}`: how waiting rooms are, and what an operator wants of one. The edge knows
//! and does both.

use crate::State;
use crate::ask::ask_text;
use crate::error::ApiError;
use crate::events::EventKind;
use axum::body::Bytes;
use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use std::sync::Arc;
use tentpole_model::link::Question;
use tentpole_model::{RoomOrder, RoomWish};

const CURE: &str = "Send one of {\"doors\":\"open\"}, \"close\", \"off\" or \"auto\", {\"active\":300}, \
                    {\"entries_per_minute\":120} or both, and {\"let_in\":50}.";

/// What the caller sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    doors: Option<Doors>,
    active: Option<u32>,
    entries_per_minute: Option<u32>,
    let_in: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Doors {
    Open,
    Close,
    Off,
    Auto,
}

/// How they are.
pub(crate) async fn list(Shared(state): Shared<Arc<State>>) -> Result<Response, ApiError> {
    let json = ask_text(&state, Question::Rooms(None)).await?;
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

/// Does what is wanted, and answers how the room is then.
pub(crate) async fn order(
    Shared(state): Shared<Arc<State>>,
    Path(room): Path<String>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let wish: Wish = serde_json::from_slice(&body)
        .map_err(|error| ApiError::bad(format!("the body is not right: {error}"), CURE))?;
    let (wish, said) = wish
        .meant()
        .ok_or_else(|| ApiError::bad("the body wants nothing, or several things at once", CURE))?;
    let order = RoomOrder { room: room.clone(), wish };
    let json = ask_text(&state, Question::Rooms(Some(order))).await?;
    if json.is_empty() {
        let cure = "GET /api/rooms, or tentpole room, lists them.";
        return Err(ApiError::new(StatusCode::NOT_FOUND, format!("there is no waiting room {room}"), cure));
    }
    state.parts.events.add(EventKind::Admin, format!("waiting room {room}: {said}"));
    Ok(([(CONTENT_TYPE, "application/json")], json).into_response())
}

impl Wish {
    /// `None` when it wants nothing, or things that do not go together.
    fn meant(self) -> Option<(RoomWish, String)> {
        match self {
            Self { doors: Some(doors), active: None, entries_per_minute: None, let_in: None } => {
                Some(match doors {
                    Doors::Open => (RoomWish::Open, "opened".to_owned()),
                    Doors::Close => (RoomWish::Close, "closed".to_owned()),
                    Doors::Off => (RoomWish::Off, "switched off".to_owned()),
                    Doors::Auto => (RoomWish::Auto, "as configured again".to_owned()),
                })
            }
            Self { doors: None, active: None, entries_per_minute: None, let_in: Some(count) } => {
                Some((RoomWish::LetIn(count), format!("{count} let in beyond its limits")))
            }
            Self { doors: None, active, entries_per_minute, let_in: None }
                if active.is_some() || entries_per_minute.is_some() =>
            {
                let inside = active.map(|max| format!("{max} inside"));
                let entries = entries_per_minute.map(|max| format!("{max} entries a minute"));
                let said = [inside, entries].into_iter().flatten().collect::<Vec<_>>().join(", ");
                let wish = RoomWish::Limit { active_max: active, entries_per_minute };
                Some((wish, format!("at most {said}")))
            }
            Self { .. } => None,
        }
    }
}
