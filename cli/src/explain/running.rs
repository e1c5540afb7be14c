//! What only the running edge knows, as its admin API tells it. Asks; changes nothing.

use super::Step;
use crate::admin_client::{self, AdminError};
use crate::columns::plain;
use serde_json::Value;

/// How the pool's endpoints and queue are now, and the room before them.
pub(crate) fn step(typed: &str, pool: Option<&str>, room: Option<&str>) -> Result<Step, AdminError> {
    let address = admin_client::address(typed)?;
    let json = admin_client::get(address, "/api/status")?;
    let status: Value = serde_json::from_str(&json).unwrap_or(Value::Null);
    let Some(pools) = status["pools"].as_array() else {
        return Err(AdminError::NotTheApi { address, what: "its answer is not a status" });
    };
    let found = pool.and_then(|pool| pools.iter().find(|known| known["name"] == pool));
    let endpoints =
        found.and_then(|pool| pool["endpoints"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let told = |endpoint: &Value| {
        let word = |field: &str| plain(&endpoint[field]);
        let why = endpoint["detail"]["because"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        format!(
            "{}: {}{why}; weight {}, {} in flight",
            word("authority"),
            word("health").replace('_', " "),
            word("weight"),
            word("in_flight")
        )
    };
    let mut more: Vec<String> = endpoints.iter().map(told).collect();
    if let Some(queued) = found.and_then(|pool| pool["queued"].as_u64()) {
        more.push(format!("queue: {queued} wait"));
    }
    if let Some(room) = room {
        let rooms: Value =
            serde_json::from_str(&admin_client::get(address, "/api/rooms")?).unwrap_or(Value::Null);
        let named =
            rooms["rooms"].as_array().and_then(|rooms| rooms.iter().find(|known| known["room"] == room));
        more.extend(named.map(|named| format!("room {}", crate::room::line(named))));
    }
    Ok(Step {
        step: "running",
        decision: match (pool, found) {
            (None, _) => "no pool is asked".to_owned(),
            (Some(pool), None) => {
                format!("there is no pool {pool} at {address}: another configuration is in force")
            }
            (Some(pool), Some(_)) => format!(
                "pool {pool} at {address}, configuration {}",
                plain(&status["configuration"]["version"])
            ),
        },
        because: String::new(),
        setting: None,
        at: None,
        more,
    })
}
