//! `tentpole status`: the pools and endpoints of a running Tentpole as a table, or as the API's JSON.

mod cache;

use crate::admin_client::{self, AdminError};
use crate::columns::{plain, table};
use crate::{args, say};
use serde_json::Value;
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
        let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
        rows.extend(endpoints.iter().map(row));
        let _ = write!(out, "\n{}\n{}", plain(&pool["name"]), table(&rows));
    }
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
    COLUMNS.map(|(_, field)| if field == "health" { health(endpoint) } else { plain(&endpoint[field]) })
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
