//! What of a status is about an upgrade and about rolling restarts: lines only while there is something to tell.

use super::span;
use crate::columns::plain;
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

/// The lines.
pub fn lines(status: &Value, now_unix_ms: u64) -> String {
    let ago = |since: &Value| {
        span(Duration::from_secs(now_unix_ms.saturating_sub(since.as_u64().unwrap_or(now_unix_ms)) / 1_000))
    };
    let left = |until: &Value| {
        span(Duration::from_secs(until.as_u64().unwrap_or(0).saturating_sub(now_unix_ms) / 1_000))
    };
    let mut out = String::new();
    let upgrade = &status["upgrade"];
    let under_way = &upgrade["under_way"];
    if !under_way.is_null() {
        let does = match under_way["step"].as_str().unwrap_or_default() {
            "waiting" => "waits for a reload to end",
            "checking" => "the new program is asked whether it can",
            "opening" => "its edge starts and takes the hottest objects",
            _ => "it takes over",
        };
        let (program, since) = (plain(&under_way["program"]), ago(&under_way["since_unix_ms"]));
        let _ = writeln!(out, "\nupgrade to {program}, for {since}: {does}");
    }
    for edge in upgrade["leaving"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (since, left) = (ago(&edge["since_unix_ms"]), left(&edge["until_unix_ms"]));
        let open = match edge["connections"].as_u64() {
            Some(1) => "1 connection open".to_owned(),
            Some(open) => format!("{open} connections open"),
            None => "connections not yet told".to_owned(),
        };
        let _ = writeln!(out, "\nan edge before an upgrade leaves for {since}: {open}, {left} left at most");
    }
    for restart in status["restarts"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let (pool, new, of) = (plain(&restart["pool"]), plain(&restart["new"]), plain(&restart["of"]));
        let _ = match restart["stopped"].as_str() {
            Some(why) => writeln!(
                out,
                "\nrestart of {pool} stopped, {new} of {of} instances are new: {}",
                plain(&Value::from(why))
            ),
            None => {
                let since = ago(&restart["since_unix_ms"]);
                writeln!(out, "\nrestart of {pool} for {since}: {new} of {of} instances are new")
            }
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_is_under_way_is_told() {
        let quiet = json!({ "upgrade": { "under_way": null, "leaving": [], "done": 3 }, "restarts": [] });
        assert_eq!(lines(&quiet, 100_000), "");
        let busy = json!({
            "upgrade": {
                "under_way": { "step": "opening", "program": "/opt/tentpole", "since_unix_ms": 98_000 },
                "leaving": [{ "pid": 7, "since_unix_ms": 40_000, "until_unix_ms": 160_000, "connections": 3 }],
            },
            "restarts": [
                { "pool": "shop", "new": 1, "of": 4, "since_unix_ms": 95_000, "stopped": null },
                { "pool": "api", "new": 1, "of": 2, "since_unix_ms": 95_000, "stopped": "it does not start" },
            ],
        });
        let said = lines(&busy, 100_000);
        for line in [
            "upgrade to /opt/tentpole, for 2s: its edge starts and takes the hottest objects",
            "an edge before an upgrade leaves for 1m 0s: 3 connections open, 1m 0s left at most",
            "restart of shop for 5s: 1 of 4 instances are new",
            "restart of api stopped, 1 of 2 instances are new: it does not start",
        ] {
            assert!(said.contains(line), "{line}\n{said}");
        }
    }
}
