//! What happened lately, for people: health, fleets, processes, and what was done through this API. A bounded list; the
//! oldest entry makes room for the newest. Decides nothing and is nobody's log.

use crate::State;
use crate::error::ApiError;
use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State as Shared};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use tentpole_model::{DownReason, ReloadEnd, Trigger, UpgradeEnd, UpgradeProgress};
use tentpole_runtime::clock;

/// Events that are kept.
pub(crate) const EVENTS_MAX: usize = 512;
/// Bytes of one event's text; what is longer is cut.
const TEXT_BYTES_MAX: usize = 400;
/// Events that are shown unless more or fewer are asked for.
const SHOWN: usize = 50;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// An endpoint went down or came back.
    Health,
    /// A fleet changed its size, or one of its instances failed.
    Fleet,
    /// One of Tentpole's own processes ended and was started again.
    Process,
    /// Somebody drained, resumed or purged.
    Admin,
    /// A content network could not be told of a purge, or can again.
    ContentNetwork,
    /// The configuration was read again.
    Reload,
    /// Another program took over, or could not.
    Upgrade,
}

/// How reloads end, as [`ReloadEnd::label`] says it.
pub(crate) const RELOADS: [&str; 3] = ["in_force", "refused", "late"];

/// The processes of Tentpole whose restarts are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Edge,
    Control,
}

/// The last 512 events.
#[derive(Debug, Default)]
pub struct Events {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Event>,
    last_id: u64,
    restarts: [u64; Part::ALL.len()],
    reloads: [u64; RELOADS.len()],
    /// Endpoints that were taken out, by pool and reason: of both there are few.
    ejections: BTreeMap<(String, &'static str), u64>,
    upgrade: UpgradeProgress,
}

/// One event.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Event {
    /// Counts up; tells two events of the same moment apart.
    id: u64,
    at_unix_ms: u64,
    kind: EventKind,
    text: String,
}

impl Part {
    const ALL: [Self; 2] = [Self::Edge, Self::Control];

    fn name(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::Control => "control",
        }
    }
}

impl Events {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts an endpoint that was taken out of traffic.
    pub fn ejected(&self, pool: &str, reason: DownReason) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept.ejections.entry((pool.to_owned(), reason.label())).or_default() += 1;
    }

    /// How many were, by pool and reason.
    pub(crate) fn ejections(&self) -> Vec<((String, &'static str), u64)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.ejections.iter().map(|(of, count)| (of.clone(), *count)).collect()
    }

    /// Adds what happened just now, in one short sentence; what is longer than 400 bytes is cut.
    pub fn add(&self, kind: EventKind, text: impl Into<String>) {
        let mut text = text.into();
        if text.len() > TEXT_BYTES_MAX {
            let cut = (0..=TEXT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
            text.truncate(cut);
            text.push('…');
        }
        let at_unix_ms = clock::now().unix_us() / 1_000;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.events.len() == EVENTS_MAX {
            kept.events.pop_front();
        }
        kept.last_id += 1;
        let id = kept.last_id;
        kept.events.push_back(Event { id, at_unix_ms, kind, text });
    }

    /// Adds and counts that a part of Tentpole (`edge` or `control`) ended and was started again.
    pub fn restarted(&self, part: &str, how: &str) {
        if let Some(known) = Part::ALL.iter().position(|known| known.name() == part) {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).restarts[known] += 1;
        }
        self.add(EventKind::Process, format!("the {part} process ended ({how}) and was started again"));
    }

    /// Adds and counts how a reload ended.
    pub fn reloaded(&self, by: Trigger, end: &ReloadEnd) {
        if let Some(known) = RELOADS.iter().position(|&label| label == end.label()) {
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).reloads[known] += 1;
        }
        self.add(EventKind::Reload, format!("{end} (by {})", who(by)));
    }

    /// Adds how an upgrade ended.
    pub fn upgraded(&self, by: Trigger, end: &UpgradeEnd) {
        self.add(EventKind::Upgrade, format!("{end} (by {})", who(by)));
    }

    /// Notes how far an upgrade is.
    pub fn upgrading(&self, progress: UpgradeProgress) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).upgrade = progress;
    }

    /// How far an upgrade is, and how those before ended.
    pub(crate) fn upgrade(&self) -> UpgradeProgress {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).upgrade.clone()
    }

    /// How often reloads ended in each way of [`RELOADS`].
    pub(crate) fn reloads(&self) -> [u64; RELOADS.len()] {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).reloads
    }

    /// The newest ones first.
    pub(crate) fn newest(&self, limit: usize) -> Vec<Event> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.events.iter().rev().take(limit).cloned().collect()
    }

    /// How often each part was started again.
    pub(crate) fn restarts(&self) -> [(&'static str, u64); 2] {
        let counts = self.kept.lock().unwrap_or_else(PoisonError::into_inner).restarts;
        [(Part::ALL[0].name(), counts[0]), (Part::ALL[1].name(), counts[1])]
    }
}

fn who(by: Trigger) -> &'static str {
    match by {
        Trigger::Signal => "signal",
        Trigger::Watch => "change of the file",
        Trigger::Asked(_) => "request",
    }
}

/// What may stand behind the `?`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HowMany {
    limit: Option<usize>,
}

#[derive(Serialize)]
pub(crate) struct List {
    events: Vec<Event>,
}

/// `GET /api/events?limit=`
pub(crate) async fn list(
    Shared(state): Shared<Arc<State>>,
    how_many: Result<Query<HowMany>, QueryRejection>,
) -> Result<Json<List>, ApiError> {
    let Ok(Query(HowMany { limit })) = how_many else {
        let error = "what stands behind the ? is not limit=NUMBER";
        return Err(ApiError::bad(error, format!("Write ?limit=50; {EVENTS_MAX} are kept.")));
    };
    Ok(Json(List { events: state.parts.events.newest(limit.unwrap_or(SHOWN)) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_event_makes_room_and_a_long_text_is_cut_between_characters() {
        let events = Events::new();
        for n in 0..EVENTS_MAX + 3 {
            events.add(EventKind::Health, format!("event {n}"));
        }
        let newest = events.newest(usize::MAX);
        assert_eq!(newest.len(), EVENTS_MAX);
        assert_eq!((newest[0].id, newest[0].text.as_str()), (515, "event 514"));
        assert_eq!(newest[EVENTS_MAX - 1].text, "event 3");
        events.add(EventKind::Admin, format!("x{}", "é".repeat(1_000)));
        let text = &events.newest(1)[0].text;
        assert!(text.len() <= TEXT_BYTES_MAX + '…'.len_utf8() && text.ends_with("é…"), "{text}");
    }

    #[test]
    fn restarts_are_counted_for_the_parts_there_are() {
        let events = Events::new();
        events.restarted("edge", "signal 9 (SIGKILL)");
        events.restarted("edge", "exit status 1");
        events.restarted("something", "exit status 1");
        assert_eq!(events.restarts(), [("edge", 2), ("control", 0)]);
        assert_eq!(events.newest(9).len(), 3);
        assert!(events.newest(3)[2].text.contains("SIGKILL"));
    }
}
