//! A run as Prometheus reads it (text exposition format 0.0.4): during the run what the last second saw, at its end
//! everything. For the node exporter's textfile collector, or a push gateway.

use crate::short::short;
use std::fmt::Write;
use tentpole_load::result::{Second, StepResult, Times};
use tentpole_load::{Live, Run};

/// While it runs.
pub fn live(live: &Live<'_>, url: &str) -> String {
    let mut out = String::new();
    let labels = label("url", url);
    gauge(
        &mut out,
        "tentpole_load_wanted",
        "Load that is made: visitors, or journeys begun a second.",
        &labels,
        live.load,
    );
    second(&mut out, live.second, &labels);
    gauge(
        &mut out,
        "tentpole_load_lag_p99_seconds",
        "How late the generator itself was.",
        &labels,
        live.lag_p99_us as f64 / 1e6,
    );
    out
}

/// When it is over. `second` is its last one.
pub fn end(run: &Run) -> String {
    let mut out = String::new();
    let labels = label("url", &run.url);
    if let Some(last) = run.seconds.last() {
        second(&mut out, last, &labels);
    }
    gauge(
        &mut out,
        "tentpole_load_trusted",
        "Whether the figures may be believed.",
        &labels,
        f64::from(u8::from(run.trusted)),
    );
    gauge(
        &mut out,
        "tentpole_load_interrupted",
        "Whether someone ended it before its time.",
        &labels,
        f64::from(u8::from(run.interrupted)),
    );
    if let Some(held) = run.highest_held {
        gauge(
            &mut out,
            "tentpole_load_highest_held",
            "The highest load at which every objective held.",
            &labels,
            held,
        );
    }
    if let Some(point) = &run.breaking_point {
        gauge(
            &mut out,
            "tentpole_load_breaking_point",
            "The lowest load at which an objective did not hold.",
            &labels,
            point.load,
        );
    }
    head(&mut out, "tentpole_load_requests_total", "counter", "Page loads by step of load.");
    for step in &run.steps {
        let _ = writeln!(out, "tentpole_load_requests_total{{{}}} {}", of(&labels, step), step.requests);
    }
    head(&mut out, "tentpole_load_failures_total", "counter", "Failed page loads by step of load and cause.");
    for step in &run.steps {
        for (cause, count) in &step.failures {
            let _ = writeln!(
                out,
                "tentpole_load_failures_total{{{},{}}} {count}",
                of(&labels, step),
                label("cause", cause.words())
            );
        }
    }
    head(
        &mut out,
        "tentpole_load_response_seconds",
        "summary",
        "Load times of what succeeded, by step of load.",
    );
    for (step, times) in run.steps.iter().filter_map(|step| Some((step, step.response_time.as_ref()?))) {
        summary(&mut out, &of(&labels, step), times);
    }
    head(
        &mut out,
        "tentpole_load_step_requests_total",
        "counter",
        "Page loads by step of load and step of the journey.",
    );
    for step in &run.steps {
        for one in &step.journey_steps {
            for (outcome, count) in [("good", one.count - one.failed), ("failed", one.failed)] {
                let labels = format!(
                    "{},{},{}",
                    of(&labels, step),
                    label("step", &one.name),
                    label("outcome", outcome)
                );
                let _ = writeln!(out, "tentpole_load_step_requests_total{{{labels}}} {count}");
            }
        }
    }
    out
}

fn second(out: &mut String, second: &Second, labels: &str) {
    gauge(
        out,
        "tentpole_load_visitors",
        "Visitors at once, or journeys under way.",
        labels,
        f64::from(second.visitors),
    );
    gauge(
        out,
        "tentpole_load_second_requests",
        "Page loads that ended in the last second.",
        labels,
        second.requests as f64,
    );
    gauge(out, "tentpole_load_second_failed", "Those of them that failed.", labels, second.failed as f64);
    for (name, ms) in [
        ("tentpole_load_second_p50_seconds", second.p50_ms),
        ("tentpole_load_second_p99_seconds", second.p99_ms),
    ] {
        if let Some(ms) = ms {
            gauge(out, name, "Load time in the last second.", labels, ms / 1_000.0);
        }
    }
}

fn of(labels: &str, step: &StepResult) -> String {
    format!("{labels},number=\"{}\",load=\"{}\"", step.number, short(step.load))
}

fn summary(out: &mut String, labels: &str, times: &Times) {
    let quantiles = [
        ("0.5", times.p50),
        ("0.9", times.p90),
        ("0.95", times.p95),
        ("0.99", times.p99),
        ("0.999", times.p999),
    ];
    for (quantile, ms) in quantiles {
        let _ = writeln!(
            out,
            "tentpole_load_response_seconds{{{labels},quantile=\"{quantile}\"}} {}",
            short(ms / 1_000.0)
        );
    }
    let sum = short(times.mean * times.count as f64 / 1_000.0);
    let _ = writeln!(out, "tentpole_load_response_seconds_sum{{{labels}}} {sum}");
    let _ = writeln!(out, "tentpole_load_response_seconds_count{{{labels}}} {}", times.count);
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn gauge(out: &mut String, name: &str, help: &str, labels: &str, value: f64) {
    head(out, name, "gauge", help);
    let _ = writeln!(out, "{name}{{{labels}}} {}", short(value));
}

fn label(name: &str, value: &str) -> String {
    let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("{name}=\"{value}\"")
}
