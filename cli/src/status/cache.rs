//! The cache in a few lines: what it answers and holds, what was learned, what was purged lately.

use super::span;
use crate::columns::plain;
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;
use tentpole_config::count;

/// Purges that are shown.
const PURGES_SHOWN: usize = 3;

/// The lines; empty for an answer that tells nothing of a cache. `now_unix_ms` is the present.
pub fn lines(cache: &Value, now_unix_ms: u64) -> String {
    if cache.is_null() {
        return String::new();
    }
    let mut out = String::from("\ncache\n");
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let requests = number(&cache["requests"]);
    if let Some(share) = cache["hit_share"].as_f64() {
        let _ =
            writeln!(out, "  answered    {:.1} % of {requests} requests without an endpoint", share * 100.0);
    }
    let memory = &cache["memory"];
    let _ = writeln!(
        out,
        "  memory      {}, {} of {}; {} gave way to others",
        several(number(&memory["objects"]), "object"),
        bytes(number(&memory["bytes"])),
        bytes(number(&memory["bytes_max"])),
        number(&memory["evictions"]),
    );
    if !cache["disk"].is_null() {
        let _ = writeln!(out, "  disk        {}", disk(&cache["disk"]));
    }
    let compression = &cache["compression"];
    let made = number(&compression["made"]);
    if made > 0 {
        let saved = number(&compression["bytes_in"]).saturating_sub(number(&compression["bytes_out"]));
        let _ = writeln!(out, "  compressed  {}, {} smaller now", several(made, "text"), bytes(saved));
    }
    let learning = &cache["learning"];
    let withdrawn: u64 =
        learning["withdrawn"].as_object().into_iter().flatten().map(|(_, one)| number(one)).sum();
    let (rules, observed) = (number(&learning["rules"]), number(&learning["observed"]));
    if rules + withdrawn + observed > 0 {
        let _ = writeln!(
            out,
            "  learned     {} in force, {withdrawn} withdrawn, {} compared (tentpole cache advise)",
            several(rules, "rule"),
            several(observed, "answer"),
        );
    }
    let purges = cache["purges"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (nth, purge) in purges.iter().take(PURGES_SHOWN).enumerate() {
        let title = if nth == 0 { "purged" } else { "" };
        let _ = writeln!(out, "  {title:<11} {}", purged(purge, now_unix_ms));
    }
    out
}

fn disk(disk: &Value) -> String {
    let number = |field: &str| disk[field].as_u64().unwrap_or(0);
    if disk["on"] == false {
        return "not in use: its directory cannot be used".to_owned();
    }
    let mut text = format!(
        "{}, {} of {}",
        several(number("objects"), "object"),
        bytes(number("bytes")),
        bytes(number("bytes_max"))
    );
    for (count, what) in [
        (number("errors"), "refused by the system"),
        (number("damaged"), "damaged"),
        (number("writes_dropped"), "not written in time"),
    ] {
        if count > 0 {
            let _ = write!(text, "; {count} {what}");
        }
    }
    text
}

/// `2m 5s ago: http://shop.example/a, 3 objects, by tentpole cache purge or the API`
fn purged(purge: &Value, now_unix_ms: u64) -> String {
    let at = purge["at_unix_ms"].as_u64().unwrap_or(now_unix_ms);
    let ago = span(Duration::from_secs(now_unix_ms.saturating_sub(at) / 1_000));
    let objects = purge["objects"].as_u64().unwrap_or(0);
    let soft = if purge["soft"] == true { " made stale" } else { "" };
    let by = match purge["by"].as_str() {
        Some("admin") => "by command or API".to_owned(),
        Some("request") => "by a PURGE request".to_owned(),
        Some("route") => "by a change, as its route's purges say".to_owned(),
        Some("learning") => format!("learned otherwise: {}", plain(&purge["why"])),
        _ => plain(&purge["by"]),
    };
    format!("{ago} ago: {}, {}{soft}, {by}", plain(&purge["what"]), several(objects, "object"))
}

/// `1 object`, `2 objects`
fn several(number: u64, noun: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), noun)
}

/// `12 B`, `1.5 KiB`, `80.0 MiB`
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_cache_is_told_in_a_few_lines() {
        let cache = json!({
            "requests": 12_345, "hit_share": 0.912,
            "memory": {"objects": 1_204, "bytes": 83_886_080_u64, "bytes_max": 268_435_456_u64, "evictions": 7},
            "disk": {"on": true, "objects": 300, "bytes": 1_288_490_188_u64, "bytes_max": 10_737_418_240_u64,
                "errors": 0, "damaged": 2, "writes_dropped": 0},
            "compression": {"made": 1, "bytes_in": 4_000_000, "bytes_out": 900_000},
            "learning": {"rules": 12, "observed": 410, "dropped": 0, "withdrawn": {"alternates": 2, "forgotten": 1}},
            "purges": [
                {"at_unix_ms": 999_000, "by": "admin", "what": "http://shop.example/a\u{1b}[2J", "soft": true, "objects": 1},
                {"at_unix_ms": 875_000, "by": "learning", "what": "shop.example/b", "why": "it sets a cookie",
                    "soft": false, "objects": 2},
                {"at_unix_ms": 860_000, "by": "route", "what": "shop.example/list/* shop.example/front", "why": null,
                    "soft": false, "objects": 1},
            ],
        });
        insta::assert_snapshot!(lines(&cache, 1_000_000));
    }

    #[test]
    fn an_older_answer_without_a_cache_says_nothing() {
        assert_eq!(lines(&Value::Null, 0), "");
    }
}
