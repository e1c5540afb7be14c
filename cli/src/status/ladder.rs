//! How far down requests went in the last second, in a few lines. What the API does not tell is left out.

use crate::columns::plain;
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

/// The steps in words, best first.
const STEPS: [(&str, &str); 6] = [
    ("cache", "from the cache"),
    ("stale", "stale"),
    ("endpoint", "from endpoints"),
    ("queue", "after the queue"),
    ("room", "to the waiting room"),
    ("overload", "503"),
];
/// Reasons that are shown.
const REASONS_MAX: usize = 5;

/// The steps with their rates, and why some were refused; empty until the edge has told of a whole second.
pub(super) fn lines(ladder: &Value) -> String {
    let Some(steps) = ladder["steps"].as_array() else { return String::new() };
    let rate = |wanted: &str| {
        let found = steps.iter().find(|known| known["step"] == wanted)?;
        found["per_s"].as_f64()
    };
    // A step that nobody stands on is said where one expects it; of the room only those hear who have one.
    let told = STEPS.iter().filter_map(|(step, words)| {
        let per_s = rate(step).filter(|per_s| *step != "room" || *per_s > 0.0)?;
        Some(format!("{} {words}", number(per_s)))
    });
    let mut out = format!("\nlast second: {}\n", told.collect::<Vec<_>>().join(", "));
    let ranks: Vec<String> =
        ladder["priorities"].as_array().map(Vec::as_slice).unwrap_or_default().iter().map(rank).collect();
    if !ranks.is_empty() {
        let _ = writeln!(out, "  by rank: {}", ranks.join("; "));
    }
    let reasons = ladder["refused"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told: Vec<String> = reasons
        .iter()
        .take(REASONS_MAX)
        .map(|one| {
            let per_s = number(one["per_s"].as_f64().unwrap_or(0.0));
            format!("{} {per_s}/s ({} so far)", plain(&one["reason"]), plain(&one["total"]))
        })
        .collect();
    if !told.is_empty() {
        let _ = writeln!(out, "  refused: {}", told.join(", "));
    }
    out
}

/// `checkout 40 from endpoints, 3 after the queue`.
fn rank(of: &Value) -> String {
    let steps = of["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let told = steps.iter().map(|on| {
        let words = STEPS.iter().find(|(step, _)| on["step"] == *step).map_or("", |(_, words)| words);
        format!("{} {words}", number(on["per_s"].as_f64().unwrap_or(0.0)))
    });
    format!("{} {}", plain(&of["priority"]), told.collect::<Vec<_>>().join(", "))
}

/// `; 12 in flight of 40, 3 wait of 100 that may`, where a pool has a limit or somebody waits.
pub(super) fn of_pool(pool: &Value) -> String {
    let flight = pool["in_flight"].as_u64();
    let (limit, queued) = (pool["limit"].as_u64(), pool["queued"].as_u64().unwrap_or(0));
    match (flight, limit) {
        (Some(flight), Some(limit)) => {
            format!(
                "; {flight} in flight of {limit}, {queued} waiting of {} that may",
                plain(&pool["queue_max"])
            )
        }
        _ if queued > 0 => format!("; {queued} waiting"),
        _ => String::new(),
    }
}

/// `  10.0.0.1:3000: at most 79 at once (carries more); it began with 64, which was found here 2h 3m ago`; `None` where no limit follows what it carries.
pub(super) fn of_endpoint(endpoint: &Value, now_ms: u64) -> Option<String> {
    let limit = endpoint["limit"].as_u64()?;
    let start = &endpoint["limit_start"];
    let began = start["limit"].as_u64();
    let ago = || {
        let found_ms = start["found_unix_ms"].as_u64().unwrap_or(now_ms);
        super::span(Duration::from_millis(now_ms.saturating_sub(found_ms)))
    };
    let from = match start["from"].as_str().unwrap_or_default() {
        "found" => format!("which was found here {} ago", ago()),
        "found_in_pool" => format!("which was found at others of its pool, last {} ago", ago()),
        "configured" => "as configured".to_owned(),
        _ => "as usual".to_owned(),
    };
    let began = began.map(|began| format!("; it began with {began}, {from}")).unwrap_or_default();
    let why = plain(&endpoint["limit_why"]).replace('_', " ");
    Some(format!("  {}: at most {limit} at once ({why}){began}\n", plain(&endpoint["authority"])))
}

/// Whole from 10 on.
fn number(per_s: f64) -> String {
    if per_s >= 10.0 || per_s.fract() == 0.0 { format!("{per_s:.0}") } else { format!("{per_s:.1}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_steps_are_one_line_and_the_reasons_another() {
        let step = |step: &str, per_s: f64| json!({"step": step, "per_s": per_s});
        let ladder = json!({
            "steps": [step("cache", 812.0), step("stale", 3.0), step("endpoint", 40.4), step("queue", 5.25), step("room", 0.0), step("overload", 1.0)],
            "priorities": [
                {"priority": "checkout", "per_s": 42.0, "steps": [step("endpoint", 40.0), step("queue", 2.0)]},
                {"priority": "normal", "per_s": 4.5, "steps": [step("queue", 3.5), step("overload", 1.0)]},
            ],
            "refused": [{"reason": "queue_full", "overload": true, "per_s": 1, "total": 12}],
        });
        assert_eq!(
            lines(&ladder),
            "\nlast second: 812 from the cache, 3 stale, 40 from endpoints, 5.2 after the queue, 1 503\n  \
             by rank: checkout 40 from endpoints, 2 after the queue; normal 3.5 after the queue, 1 503\n  \
             refused: queue_full 1/s (12 so far)\n"
        );
        assert_eq!(lines(&Value::Null), "");
        let pool = json!({"in_flight": 12, "limit": 40, "queued": 3, "queue_max": 100});
        assert_eq!(of_pool(&pool), "; 12 in flight of 40, 3 waiting of 100 that may");
        assert_eq!(of_pool(&json!({"in_flight": 12, "limit": null, "queued": 0})), "");
    }

    #[test]
    fn a_limit_says_where_it_began_and_by_whose_word() {
        let told = |start: Value| {
            let one =
                json!({"authority": "a:1", "limit": 79, "limit_why": "carries_more", "limit_start": start});
            of_endpoint(&one, 7_400_000).unwrap()
        };
        let found = told(json!({"limit": 64, "from": "found", "found_unix_ms": 20_000}));
        let wanted =
            "  a:1: at most 79 at once (carries more); it began with 64, which was found here 2h 3m ago\n";
        assert_eq!(found, wanted);
        let in_pool = told(json!({"limit": 64, "from": "found_in_pool", "found_unix_ms": 7_399_000}));
        assert!(
            in_pool.ends_with("; it began with 64, which was found at others of its pool, last 1s ago\n")
        );
        assert!(
            told(json!({"limit": 8, "from": "configured"})).ends_with("; it began with 8, as configured\n")
        );
        assert!(told(json!({"limit": 20, "from": "usual"})).ends_with("; it began with 20, as usual\n"));
        assert!(told(Value::Null).ends_with("at once (carries more)\n"), "an edge of before");
        assert_eq!(of_endpoint(&json!({"authority": "a:1", "limit": null}), 0), None);
    }
}
