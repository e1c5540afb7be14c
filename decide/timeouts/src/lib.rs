//! Lays the time-outs of a request's way side by side, from the visitor to the endpoint and the probes beside it, and says
//! where their order is wrong and why: time-outs that are each reasonable take a site down together (S1.4), or answer a
//! trickle of requests with errors after milliseconds (S2.4). Changes none of them; asks no clock.

mod rules;
mod words;

use std::time::Duration;
use tentpole_model::{Pool, Snapshot};

pub use words::said;

/// All time-outs, in the order in which a request meets them, and what is wrong with their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// One for each time-out.
    pub rows: Vec<Row>,
    /// One for each pair in the wrong order.
    pub warnings: Vec<Warning>,
}

/// A time-out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose: `visitors`, `pool app`, `pool app, 10.0.0.5:80`.
    pub of: String,
    /// As it is written in the configuration, or `closes idle` for what was learned.
    pub name: &'static str,
    /// How long.
    pub time: Duration,
    /// What it bounds.
    pub bounds: &'static str,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Whose.
    pub of: String,
    /// What is wrong, why that hurts and what to set.
    pub text: String,
}

/// After how long an endpoint closes idle connections, as the edge has learned it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learned {
    /// Its pool.
    pub pool: String,
    /// `host:port`.
    pub authority: String,
    /// How long.
    pub idle: Duration,
}

/// The time-outs of a configuration, and of its endpoints as far as something was learned of them.
pub fn order(snapshot: &Snapshot, learned: &[Learned]) -> Order {
    let mut rows = visitors(snapshot);
    for pool in &snapshot.pools {
        rows.extend(of_pool(pool));
        rows.extend(learned.iter().filter(|it| it.pool == pool.name).map(|it| Row {
            of: format!("pool {}, {}", pool.name, it.authority),
            name: "closes idle",
            time: it.idle,
            bounds: "learned: after that it closes an unused connection",
        }));
    }
    Order { rows, warnings: rules::warnings(snapshot, learned) }
}

impl Order {
    /// The table, for a terminal.
    pub fn table(&self) -> String {
        let width = |of: fn(&Row) -> usize| self.rows.iter().map(of).max().unwrap_or(0);
        let (of, name) = (width(|row| row.of.chars().count()), width(|row| row.name.len()));
        let time = width(|row| said(row.time).chars().count());
        let line = |row: &Row| {
            format!("{:of$}  {:name$}  {:>time$}  {}\n", row.of, row.name, said(row.time), row.bounds)
        };
        self.rows.iter().map(line).collect()
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "time-outs of {}: {}", self.of, self.text)
    }
}

fn visitors(snapshot: &Snapshot) -> Vec<Row> {
    let limits = &snapshot.visitors;
    let row = |name, time, bounds| Row { of: "visitors".to_owned(), name, time, bounds };
    let mut rows = vec![
        row("head_time", limits.head_time, "from a request's first byte to the end of its head"),
        row("idle_time", limits.idle_time, "a connection without a request"),
        row("stall_time", limits.stall_time, "a body that stands still"),
        row("drain_time", limits.drain_time, "requests in flight when Tentpole ends"),
    ];
    if snapshot.cache.memory_bytes_max > 0 {
        let bounds = "waiting for the same page that another is being fetched";
        rows.push(Row { of: "cache".to_owned(), name: "wait", time: snapshot.cache.wait_max, bounds });
    }
    rows
}

fn of_pool(pool: &Pool) -> Vec<Row> {
    let row = |name, time, bounds| Row { of: format!("pool {}", pool.name), name, time, bounds };
    let times = &pool.timeouts;
    let mut rows = Vec::new();
    if rules::has_queue(pool) {
        rows.push(row("queue.wait", pool.queue.wait_max, "in the queue for an endpoint"));
    }
    rows.extend([
        row("connect", times.connect, "until a connection to an endpoint stands"),
        row("first_byte", times.first_byte, "from the request's last byte to the answer's first"),
        row("stall", times.stall, "between two pieces of a body"),
        row("idle", times.idle, "an unused connection to an endpoint"),
    ]);
    if let Some(check) = &pool.health {
        rows.extend([
            row("health.interval", check.interval, "between two probes of an endpoint"),
            row("health.timeout", check.timeout, "one probe"),
        ]);
    }
    if let Some(fleet) = &pool.fleet {
        rows.extend([
            row("fleet.start_time", fleet.start_time, "until a new instance answers"),
            row("fleet.drain_time", fleet.drain_time, "requests in flight at an instance that leaves"),
            row("fleet.stop_time", fleet.stop_time, "from SIGTERM to the instance's end"),
        ]);
    }
    rows
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
