//! An operator looks at rooms and says what becomes of them; the answer is JSON for the admin API and the console.

use crate::room::PreparedRoom;
use crate::room::live::{Keeping, phase_word};
use crate::thread::{Shared, open_addresses};
use serde_json::{Value, json};
use tentpole_model::{RoomOrder, Snapshot};

/// Does what is wanted, if something is, and says how rooms are; `None` when there is no room of that name.
pub(crate) fn rooms(shared: &Shared, order: Option<&RoomOrder>) -> Option<String> {
    let prepared = shared.prepared.get();
    let wanted = |room: &&PreparedRoom| order.is_none_or(|order| order.room == room.settings.name);
    let found: Vec<&PreparedRoom> = prepared.rooms.iter().filter(wanted).collect();
    if found.is_empty() && order.is_some() {
        return None;
    }
    let (membership, dials) = (prepared.membership.get(), prepared.dials.get());
    let healthy = |room: &PreparedRoom| {
        let pool = usize::from(room.settings.pool.0);
        let members = membership.pools.get(pool).map_or(&[][..], |of| &of.members);
        let weights = dials.weights.get(pool).map_or(&[][..], |of| of);
        let open = |index: &usize| !open_addresses(members, weights, *index).is_empty();
        (0..prepared.pools[pool].cells.len()).filter(open).count() as u32
    };
    let all: Vec<Value> = found
        .into_iter()
        .map(|room| {
            if let Some(order) = order {
                room.live.obey(&room.settings, healthy(room), &order.wish);
            }
            told(room, healthy(room), &prepared.snapshot)
        })
        .collect();
    Some(json!({ "rooms": all }).to_string())
}

fn told(room: &PreparedRoom, healthy: u32, snapshot: &Snapshot) -> Value {
    let (kept, kept_error) = match room.live.keeping() {
        Keeping::InMemory => ("in_memory", None),
        Keeping::Written => ("written", None),
        Keeping::Late => ("late", None),
        Keeping::Fails(why) => ("fails", Some(why)),
    };
    let (settings, status) = (&room.settings, room.live.status(&room.settings, healthy));
    let history: Vec<Value> = status
        .history
        .iter()
        .map(|sample| {
            json!({
                "at_unix_ms": sample.at_ms,
                "active": sample.active,
                "waiting": sample.waiting,
                "entered": sample.entered,
            })
        })
        .collect();
    json!({
        "room": settings.name,
        "site": snapshot.sites[usize::from(settings.site.0)].name,
        "paths": settings.paths,
        "pool": snapshot.pools[usize::from(settings.pool.0)].name,
        "healthy_endpoints": healthy,
        "doors": phase_word(status.phase),
        "active": status.active,
        "active_max": status.limits.active_max,
        "entries_per_minute": status.limits.entries_per_minute,
        "entries_last_minute": status.entries_last_minute,
        "waiting": status.waiting,
        "estimate_seconds": status.estimate_s,
        "entered": status.entered,
        "copied_tickets": status.copied,
        "numbers_given": status.issued,
        "numbers_called": status.called,
        "kept": kept,
        "kept_error": kept_error,
        "opens": settings.opens_unix_s,
        "closes": settings.closes_unix_s,
        "history_step_seconds": 10,
        "history": history,
    })
}
