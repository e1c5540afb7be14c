//! `tentpole status`: the pools and endpoints of a running Tentpole as a table, or as the API's JSON.

mod cache;
mod certificates;
mod ladder;
mod names;
mod progress;

use crate::admin_client::{self, AdminError};
use crate::columns::{plain, table};
use crate::{args, say};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::time::Duration;
use tentpole_runtime::clock;

/// Asks and shows.
pub fn run(typed: &args::Status) -> ExitCode {
    let address = match admin_client::address(&typed.admin.address) {
        Ok(address) => address,
        Err(error) => {
            say::error(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let shown = admin_client::get(address, "/api/status").and_then(|json| {
        let not_api = AdminError::NotTheApi { address, what: "its answer is not a status" };
        let status: Value = serde_json::from_str(&json).unwrap_or(Value::Null);
        match status["pools"].as_array() {
            Some(_) if typed.json => Ok(format!("{}\n", json.trim_end())),
            Some(pools) => Ok(show(&status, pools)),
            None => Err(not_api),
        }
    });
    match shown {
        Ok(text) => {
            say::out(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The columns: title, and the field of an endpoint.
const COLUMNS: [(&str, &str); 8] = [
    ("ENDPOINT", "authority"),
    ("HEALTH", "health"),
    ("WEIGHT", "weight"),
    ("IN FLIGHT", "in_flight"),
    ("OPEN", "open"),
    ("REQUESTS", "requests"),
    ("FAILURES", "failures"),
    ("5XX", "errors_5xx"),
];

fn show(status: &Value, pools: &[Value]) -> String {
    let uptime = Duration::from_secs(status["uptime_s"].as_f64().unwrap_or(0.0) as u64);
    let mut out = format!("tentpole {}, up for {}\n", plain(&status["version"]), span(uptime));
    let configuration = &status["configuration"];
    if let Some(read_ms) = configuration["read_unix_ms"].as_u64() {
        let ago = Duration::from_secs((clock::now().unix_us() / 1_000).saturating_sub(read_ms) / 1_000);
        let _ = writeln!(out, "configuration {}, read {} ago", plain(&configuration["version"]), span(ago));
    }
    for pool in pools {
        let endpoints = pool["endpoints"].as_array().map(Vec::as_slice).unwrap_or_default();
        let _ = writeln!(out, "\n{}{}", plain(&pool["name"]), ladder::of_pool(pool));
        let files = &pool["files"];
        if !files.is_null() {
            let number = |field: &str| plain(&files[field]);
            let (root, answers, failures) = (plain(&files["root"]), number("requests"), number("failures"));
            let _ = writeln!(out, "  files beneath {root}: {answers} answers, {failures} failures");
        }
        if files.is_null() || !endpoints.is_empty() {
            let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
            rows.extend(endpoints.iter().map(row));
            out.push_str(&table(&rows));
            out.push_str(&zones(endpoints));
            let now_ms = clock::now().unix_us() / 1_000;
            out.extend(endpoints.iter().filter_map(|endpoint| why(endpoint, now_ms)));
            out.extend(endpoints.iter().filter_map(|endpoint| ladder::of_endpoint(endpoint, now_ms)));
        }
    }
    out.push_str(&ladder::lines(&status["ladder"]));
    for wrong in status["timeouts"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let _ = writeln!(out, "\ntime-outs of {}: {}", plain(&wrong["of"]), plain(&wrong["text"]));
    }
    out.push_str(&progress::lines(status, clock::now().unix_us() / 1_000));
    out.push_str(&certificates::lines(&status["certificates"], clock::now().unix_us() / 1_000));
    out.push_str(&names::lines(&status["names"]));
    out.push_str(&cache::lines(&status["cache"], tentpole_runtime::clock::now().unix_us() / 1_000));
    let networks = status["content_networks"].as_array().map(Vec::as_slice).unwrap_or_default();
    for network in networks {
        let number = |field: &str| plain(&network[field]);
        let _ = write!(
            out,
            "\n{} ({}): {} purges passed on, {} waiting, {} failed\n",
            plain(&network["name"]),
            plain(&network["kind"]),
            number("passed_on"),
            number("waiting"),
            number("failed"),
        );
        if let Some(text) = network["trouble"]["text"].as_str() {
            let _ = writeln!(out, "  last trouble: {}", plain(&Value::from(text)));
        }
    }
    out
}

fn row(endpoint: &Value) -> [String; 8] {
    COLUMNS.map(|(_, field)| match (field, endpoint["zone"].as_str()) {
        ("health", _) => health(endpoint),
        ("authority", Some(_)) => format!("{} ({})", plain(&endpoint[field]), plain(&endpoint["zone"])),
        _ => plain(&endpoint[field]),
    })
}

/// A line for each zone: who takes traffic there, and its part of the pool's requests.
fn zones(endpoints: &[Value]) -> String {
    let mut zones: BTreeMap<String, (usize, usize, u64)> = BTreeMap::new();
    for endpoint in endpoints.iter().filter(|endpoint| endpoint["zone"].is_string()) {
        let (all, up, requests) = zones.entry(plain(&endpoint["zone"])).or_default();
        *all += 1;
        *up += usize::from(endpoint["weight"] != 0 && endpoint["health"] != "down");
        *requests += endpoint["requests"].as_u64().unwrap_or(0);
    }
    let requests: u64 = endpoints.iter().filter_map(|endpoint| endpoint["requests"].as_u64()).sum();
    let mut out = String::new();
    for (zone, (all, up, of)) in zones {
        let share = if requests == 0 { 0.0 } else { of as f64 * 100.0 / requests as f64 };
        let _ = writeln!(out, "  zone {zone}: {up} of {all} up, {share:.0}% of the requests");
    }
    out
}

/// `up`, `drained`, `down: probe`, `last one: failures`.
fn health(endpoint: &Value) -> String {
    if endpoint["weight"] == 0 {
        return "drained".to_owned();
    }
    let health = plain(&endpoint["health"]).replace('_', " ");
    match &endpoint["reason"] {
        Value::Null => health,
        reason => format!("{health}: {}", plain(reason).replace('_', " ")),
    }
}

/// `  [::1]:3001 is out since 12 s: 5 requests failed in a row, may be back in 8 s`; `None` for one that is up.
fn why(endpoint: &Value, now_ms: u64) -> Option<String> {
    let detail = &endpoint["detail"];
    let because = detail["because"].as_str()?;
    let since = Duration::from_millis(now_ms.saturating_sub(detail["since_unix_ms"].as_u64()?));
    let stays = endpoint["health"] == "last_one";
    let is = if stays { "would be out, but stays," } else { "is out" };
    let back = detail["back_unix_ms"].as_u64().and_then(|at| at.checked_sub(now_ms)).filter(|left| *left > 0);
    let back = back.map(|ms| format!(", back in {} at the earliest", span(Duration::from_millis(ms + 999))));
    Some(format!(
        "  {} {is} for {}: {}{}\n",
        plain(&endpoint["authority"]),
        span(since),
        plain(&Value::from(because)),
        back.unwrap_or_default()
    ))
}

/// `3d 4h`, `4h 5m`, `5m 6s`, `6s`: the two largest units.
fn span(time: Duration) -> String {
    let s = time.as_secs();
    let (days, hours, minutes, seconds) = (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {seconds}s"),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}
