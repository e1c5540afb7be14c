//! The metrics as text, in Prometheus' exposition format 0.0.4. Sums the counters of all data threads; reads, never
//! writes them.

use crate::histogram::{Distribution, Histogram, SHOWN_BOUNDS};
use crate::metrics::{
    AnsweredBy, CACHE_OUTCOMES, CAUSES, EdgeMetrics, STATUS_SLOTS, STATUSES, cache_slot, failure_slot,
};
use crate::names::{self, Kind, Metric};
use crate::observed::Observed;
use crate::rungs::Rung;
use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tentpole_model::{
    AssemblyFault, Bypass, Detour, Dials, HandshakeFault, LimitWhy, Membership, NotAgain, Phase, Priority,
    Refused, Side, Snapshot, TlsVersion, Version,
};
use tentpole_runtime::ledger::Account;
use tentpole_runtime::{Cell, Cells, Ledger};

/// The media type of what [`Exposition::finish`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics under way.
#[derive(Debug, Default)]
pub struct Exposition {
    out: String,
}

/// The counters of all data threads, read as one.
pub(crate) struct Threads(pub(crate) Vec<Arc<EdgeMetrics>>);

impl Threads {
    pub(crate) fn sum(&self, pick: impl Fn(&EdgeMetrics) -> &AtomicU64) -> u64 {
        self.0.iter().map(|thread| pick(thread).load(Ordering::Relaxed)).sum()
    }

    pub(crate) fn merged(&self, pick: impl Fn(&EdgeMetrics) -> &Histogram) -> Distribution {
        let mut all = Distribution::default();
        self.0.iter().for_each(|thread| all.merge(pick(thread)));
        all
    }
}

/// An endpoint's figures, whether it takes traffic, and its weight.
type EndpointRow = (Arc<Cell>, bool, u32);

impl Exposition {
    /// An empty page.
    pub fn new() -> Self {
        Self { out: String::with_capacity(32 << 10) }
    }

    /// The page.
    pub fn finish(self) -> String {
        self.out
    }

    /// Version and age of the process.
    pub fn process(&mut self, version: &str, uptime_seconds: f64) {
        self.single(&names::BUILD, &[("version", version)], 1);
        self.single(&names::UPTIME, &[], uptime_seconds);
    }

    /// Everything that the data threads counted, and what observing itself lost.
    pub fn edge(&mut self, observed: &Observed) {
        let threads = Threads(observed.metrics());
        self.requests(&threads);
        self.connections(&threads);
        self.upstream(&threads);
        self.times(&threads);
        self.single(&names::LOAD_REQUESTS, &[], threads.sum(|thread| &thread.load[0]));
        self.single(&names::LOAD_FAILED, &[], threads.sum(|thread| &thread.load[1]));
        self.family(&names::LOAD_DURATION);
        self.histogram(&names::LOAD_DURATION, &[], &threads.merged(|thread| &thread.load_durations));
        self.single(&names::LEARNING_SERVED, &[], threads.sum(|thread| &thread.learned));
        self.single(&names::RECORDS_DROPPED, &[], observed.records_dropped());
        self.single(&names::LOG_DROPPED, &[], observed.log_counts.lines_dropped.load(Ordering::Relaxed));
        self.single(&names::LOG_ERRORS, &[], observed.log_counts.errors.load(Ordering::Relaxed));
        self.certificates(&observed.certificates());
        if let Some(figures) = observed.cache() {
            self.cache(&figures);
        }
    }

    /// What memory is held for.
    pub fn ledger(&mut self, ledger: &Ledger) {
        self.family(&names::LEDGER);
        for account in Account::ALL {
            self.sample(&names::LEDGER, &[("account", account.label())], ledger.held(account));
        }
        self.single(&names::LEDGER_MAX, &[], ledger.bytes_max());
    }

    /// All endpoints of all pools.
    pub fn endpoints(&mut self, snapshot: &Snapshot, membership: &Membership, dials: &Dials, cells: &Cells) {
        let mut rows = Vec::new();
        for (p, pool) in snapshot.pools.iter().enumerate() {
            for (e, endpoint) in pool.endpoints.iter().enumerate() {
                let member = membership.pools.get(p).and_then(|pool| pool.members.get(e));
                let up = member.is_some_and(|member| member.health.takes_traffic());
                // A place of a name where nobody is.
                let members = membership.pools.get(p).map_or(&[][..], |pool| &pool.members);
                if pool.is_empty_place(e, members) {
                    continue;
                }
                let weight = dials.weights.get(p).and_then(|pool| pool.get(e)).copied().unwrap_or_default();
                rows.push((cells.of(&pool.name, &endpoint.authority()), up, weight));
            }
        }
        let mut each = |metric: &Metric, value: &dyn Fn(&EndpointRow) -> u64| {
            self.family(metric);
            for row in &rows {
                let cell = &row.0;
                let labels = [("pool", cell.pool.as_str()), ("endpoint", cell.authority.as_str())];
                self.sample(metric, &labels, value(row));
            }
        };
        each(&names::ENDPOINT_UP, &|(_, up, _)| u64::from(*up));
        each(&names::ENDPOINT_WEIGHT, &|(_, _, weight)| u64::from(*weight));
        each(&names::ENDPOINT_IN_FLIGHT, &|(cell, ..)| u64::from(cell.in_flight.load(Ordering::Relaxed)));
        each(&names::ENDPOINT_OPEN, &|(cell, ..)| u64::from(cell.open.load(Ordering::Relaxed)));
        each(&names::ENDPOINT_REQUESTS, &|(cell, ..)| cell.requests.load(Ordering::Relaxed));
        each(&names::ENDPOINT_CONNECTS, &|(cell, ..)| cell.connects.load(Ordering::Relaxed));
        each(&names::ENDPOINT_FAILURES, &|(cell, ..)| cell.failures.load(Ordering::Relaxed));
        each(&names::ENDPOINT_ERRORS, &|(cell, ..)| cell.errors_5xx.load(Ordering::Relaxed));
        self.family(&names::ENDPOINT_OUT);
        for (p, pool) in snapshot.pools.iter().enumerate() {
            for (e, endpoint) in pool.endpoints.iter().enumerate() {
                let member = membership.pools.get(p).and_then(|pool| pool.members.get(e));
                if let Some(reason) = member.and_then(|member| member.health.reason()) {
                    let authority = endpoint.authority();
                    let of = [("pool", pool.name.as_str()), ("endpoint", authority.as_str())];
                    self.sample(&names::ENDPOINT_OUT, &[of[0], of[1], ("reason", reason.label())], 1);
                }
            }
        }
        self.family(&names::ENDPOINT_LIMIT);
        for (cell, ..) in &rows {
            if let Some((limit, why)) = cell.limit_found() {
                let of = [("pool", cell.pool.as_str()), ("endpoint", cell.authority.as_str())];
                let labels = [of[0], of[1], ("why", LimitWhy::at(why).label())];
                self.sample(&names::ENDPOINT_LIMIT, &labels, u64::from(limit));
            }
        }
        self.family(&names::ENDPOINT_LOCAL_PORTS);
        for (cell, ..) in &rows {
            for (source, ports) in cell.local_ports.in_use() {
                let of = [("pool", cell.pool.as_str()), ("endpoint", cell.authority.as_str())];
                let labels = [of[0], of[1], ("source", &source.to_string())];
                self.sample(&names::ENDPOINT_LOCAL_PORTS, &labels, u64::from(ports));
            }
        }
        self.family(&names::ENDPOINT_IDLE_LIMIT);
        for (cell, ..) in &rows {
            if let Some(limit) = cell.idle_limit_ms() {
                let labels = [("pool", cell.pool.as_str()), ("endpoint", cell.authority.as_str())];
                self.sample(&names::ENDPOINT_IDLE_LIMIT, &labels, f64::from(limit) / 1_000.0);
            }
        }
    }

    fn requests(&mut self, threads: &Threads) {
        self.family(&names::REQUESTS);
        for outcome in CACHE_OUTCOMES {
            let value = threads.sum(|thread| &thread.cache[cache_slot(outcome)]);
            self.sample(&names::REQUESTS, &[("cache", outcome.label())], value);
        }
        self.family(&names::RESPONSES);
        for slot in 0..STATUS_SLOTS {
            let value = threads.sum(|thread| &thread.statuses[slot]);
            let (class, status) = status_labels(slot);
            // Statuses that never happened are left out; the classes always stand there, to compute rates from.
            if value > 0 || slot >= STATUSES.len() {
                self.sample(&names::RESPONSES, &[("class", class), ("status", &status)], value);
            }
        }
        self.family(&names::BYPASSES);
        for (slot, bypass) in Bypass::ALL.iter().enumerate() {
            let value = threads.sum(|thread| &thread.bypasses[slot]);
            self.sample(&names::BYPASSES, &[("reason", bypass.label())], value);
        }
        self.single(&names::FRAGMENTS, &[], threads.sum(|thread| &thread.fragments));
        self.single(&names::FRAGMENTS_FAILED, &[], threads.sum(|thread| &thread.fragments_failed));
        self.family(&names::ASSEMBLY_FAULTS);
        for (slot, fault) in AssemblyFault::ALL.iter().enumerate() {
            let value = threads.sum(|thread| &thread.assembly_faults[slot]);
            self.sample(&names::ASSEMBLY_FAULTS, &[("reason", fault.label())], value);
        }
        self.family(&names::REFUSED);
        for (slot, refused) in Refused::ALL.iter().enumerate() {
            self.sample(
                &names::REFUSED,
                &[("reason", refused.label())],
                threads.sum(|thread| &thread.refused[slot]),
            );
        }
        self.family(&names::LADDER);
        for rung in Rung::ALL {
            for &priority in Priority::ALL {
                let labels = [("step", rung.label()), ("priority", priority.label())];
                let value = threads.sum(|thread| thread.rungs.requests(rung, priority));
                self.sample(&names::LADDER, &labels, value);
            }
        }
        self.family(&names::LADDER_WAIT);
        for &priority in Priority::ALL {
            let waited_us = threads.sum(|thread| thread.rungs.waited_us(priority));
            self.sample(&names::LADDER_WAIT, &[("priority", priority.label())], waited_us as f64 / 1e6);
        }
        self.family(&names::FAILURES);
        for side in Side::ALL {
            for phase in Phase::ALL {
                let labels = [("side", side.label()), ("phase", phase.label())];
                let value = threads.sum(|thread| &thread.failures[failure_slot(side, phase)]);
                self.sample(&names::FAILURES, &labels, value);
            }
        }
    }

    fn connections(&mut self, threads: &Threads) {
        self.single(&names::RECEIVED, &[], threads.sum(|thread| &thread.bytes_in));
        self.single(&names::SENT, &[], threads.sum(|thread| &thread.bytes_out));
        // Closed ones first: a connection that opens and closes in between must not make the difference negative.
        let closed = threads.sum(|thread| &thread.connections_closed);
        let accepted = threads.sum(|thread| &thread.connections_accepted);
        self.single(&names::CONNECTIONS, &[], accepted);
        self.single(&names::CONNECTIONS_OPEN, &[], accepted.saturating_sub(closed));
        self.single(&names::CONNECTIONS_REFUSED, &[], threads.sum(|thread| &thread.connections_refused));
        self.family(&names::HANDSHAKES);
        for (slot, version) in TlsVersion::ALL.iter().enumerate() {
            for (resumed, label) in ["no", "yes"].iter().enumerate() {
                let value = threads.sum(|thread| &thread.handshakes[2 * slot + resumed]);
                self.sample(&names::HANDSHAKES, &[("version", version.label()), ("resumed", label)], value);
            }
        }
        self.family(&names::HANDSHAKE_FAULTS);
        for (slot, fault) in HandshakeFault::ALL.iter().enumerate() {
            let value = threads.sum(|thread| &thread.handshake_faults[slot]);
            self.sample(&names::HANDSHAKE_FAULTS, &[("reason", fault.label())], value);
        }
        self.family(&names::VERSIONS);
        for (slot, version) in Version::ALL.iter().enumerate() {
            let value = threads.sum(|thread| &thread.versions[slot]);
            self.sample(&names::VERSIONS, &[("version", version.label())], value);
        }
        self.single(&names::KEEPALIVE, &[], threads.sum(|thread| &thread.keepalive_reuses));
        self.single(&names::UPGRADES, &[], threads.sum(|thread| &thread.upgrades));
    }

    fn upstream(&mut self, threads: &Threads) {
        self.family(&names::ATTEMPTS);
        self.sample(&names::ATTEMPTS, &[("connection", "new")], threads.sum(|thread| &thread.attempts_fresh));
        self.sample(
            &names::ATTEMPTS,
            &[("connection", "kept")],
            threads.sum(|thread| &thread.attempts_reused),
        );
        self.family(&names::ATTEMPTS_FAILED);
        for (slot, phase) in Phase::ALL.iter().enumerate() {
            let value = threads.sum(|thread| &thread.attempts_failed[slot]);
            self.sample(&names::ATTEMPTS_FAILED, &[("phase", phase.label())], value);
        }
        self.family(&names::ATTEMPT_CAUSES);
        for (slot, cause) in CAUSES.iter().enumerate() {
            let value = threads.sum(|thread| &thread.attempts_failed_by_cause[slot]);
            self.sample(&names::ATTEMPT_CAUSES, &[("cause", cause)], value);
        }
        self.single(&names::RETRIES, &[], threads.sum(|thread| &thread.retries));
        self.family(&names::NOT_AGAIN);
        for (slot, reason) in NotAgain::ALL.iter().enumerate() {
            let value = threads.sum(|thread| &thread.not_again[slot]);
            self.sample(&names::NOT_AGAIN, &[("reason", reason.label())], value);
        }
        self.family(&names::DETOURS);
        for (slot, reason) in Detour::ALL.iter().enumerate() {
            let value = threads.sum(|thread| &thread.detours[slot]);
            self.sample(&names::DETOURS, &[("reason", reason.label())], value);
        }
        self.single(&names::HEDGES, &[], threads.sum(|thread| &thread.hedges));
        self.single(&names::HEDGES_WON, &[], threads.sum(|thread| &thread.hedges_won));
    }

    fn times(&mut self, threads: &Threads) {
        self.family(&names::DURATION);
        for (slot, answered) in AnsweredBy::ALL.iter().enumerate() {
            let times = threads.merged(|thread| &thread.durations[slot]);
            self.histogram(&names::DURATION, &[("answered_by", answered.label())], &times);
        }
        self.family(&names::HEAD_DURATION);
        for (slot, answered) in AnsweredBy::ALL.iter().enumerate() {
            let times = threads.merged(|thread| &thread.head_durations[slot]);
            self.histogram(&names::HEAD_DURATION, &[("answered_by", answered.label())], &times);
        }
        self.family(&names::QUEUE_WAIT);
        self.histogram(&names::QUEUE_WAIT, &[], &threads.merged(|thread| &thread.queue_waits));
    }

    /// Begins a family: HELP and TYPE. Its samples follow it.
    pub fn family(&mut self, metric: &Metric) {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let (name, help) = (metric.name, metric.help);
        self.add(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A family of one sample.
    pub(crate) fn single(&mut self, metric: &Metric, labels: &[(&str, &str)], value: impl Display) {
        self.family(metric);
        self.sample(metric, labels, value);
    }

    /// A sample of the family that was begun last: its labels, whose values are escaped, and its value.
    pub fn sample(&mut self, metric: &Metric, labels: &[(&str, &str)], value: impl Display) {
        self.line(metric.name, "", labels, value);
    }

    fn histogram(&mut self, metric: &Metric, labels: &[(&str, &str)], times: &Distribution) {
        for exponent in SHOWN_BOUNDS {
            let bound = ((1u64 << exponent) as f64 / 1e6).to_string();
            let bounded = [labels, &[("le", bound.as_str())]].concat();
            self.line(metric.name, "_bucket", &bounded, times.below_power_of_two(exponent));
        }
        let unbounded = [labels, &[("le", "+Inf")]].concat();
        self.line(metric.name, "_bucket", &unbounded, times.count());
        self.line(metric.name, "_sum", labels, times.sum_us as f64 / 1e6);
        self.line(metric.name, "_count", labels, times.count());
    }

    fn line(&mut self, name: &str, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        self.add(format_args!("{name}{suffix}"));
        for (nth, (label, text)) in labels.iter().enumerate() {
            self.add(format_args!("{}{label}=\"", if nth == 0 { '{' } else { ',' }));
            for c in text.chars() {
                match c {
                    '\\' => self.out.push_str("\\\\"),
                    '"' => self.out.push_str("\\\""),
                    '\n' => self.out.push_str("\\n"),
                    other => self.out.push(other),
                }
            }
            self.out.push('"');
        }
        let end = if labels.is_empty() { "" } else { "}" };
        self.add(format_args!("{end} {value}\n"));
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to memory does not fail.
        let _ = self.out.write_fmt(text);
    }
}

/// Class and status of a slot of [`EdgeMetrics::statuses`].
fn status_labels(slot: usize) -> (&'static str, String) {
    const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
    match STATUSES.get(slot) {
        Some(&status) => (CLASSES[status as usize / 100 - 1], status.to_string()),
        None => (CLASSES[slot - STATUSES.len()], "other".to_owned()),
    }
}

#[cfg(test)]
#[path = "exposition_tests.rs"]
mod tests;
