//! A run as OpenTelemetry metrics: the body of a POST to `/v1/metrics` (OTLP/HTTP with JSON,
//! `ExportMetricsServiceRequest`). Numbers of 64 bits are texts in it, as the JSON form of Protocol Buffers wants.

use crate::short::short;
use serde_json::{Value, json};
use tentpole_load::result::{StepResult, Times};
use tentpole_load::{Live, Run};

/// Points that come together in one metric.
struct Metric {
    name: &'static str,
    unit: &'static str,
    says: &'static str,
    points: Vec<Value>,
    /// A sum that only grows, from the run's start; otherwise a gauge.
    is_sum: bool,
}

/// What the last second saw. Times are in ns since 1970.
pub fn live(live: &Live<'_>, url: &str, version: &str, now_ns: u64) -> Value {
    let second = live.second;
    let point = |value: f64| vec![number(value, now_ns, &[])];
    let mut metrics = vec![
        gauge("tentpole.load.wanted", "1", "Load that is made.", point(live.load)),
        gauge(
            "tentpole.load.visitors",
            "1",
            "Visitors at once, or journeys under way.",
            point(f64::from(second.visitors)),
        ),
        gauge(
            "tentpole.load.second.requests",
            "1",
            "Page loads that ended in the last second.",
            point(second.requests as f64),
        ),
        gauge("tentpole.load.second.failed", "1", "Those of them that failed.", point(second.failed as f64)),
        gauge(
            "tentpole.load.lag.p99",
            "s",
            "How late the generator itself was.",
            point(live.lag_p99_us as f64 / 1e6),
        ),
    ];
    for (name, ms) in
        [("tentpole.load.second.p50", second.p50_ms), ("tentpole.load.second.p99", second.p99_ms)]
    {
        metrics.extend(ms.map(|ms| gauge(name, "s", "Load time in the last second.", point(ms / 1_000.0))));
    }
    request(url, version, &metrics, now_ns)
}

/// Everything, when it is over.
pub fn end(run: &Run, now_ns: u64) -> Value {
    let began_ns = run.started_unix_ms.saturating_mul(1_000_000);
    let steps = || run.steps.iter();
    let mut metrics = vec![
        Metric {
            name: "tentpole.load.requests",
            unit: "1",
            says: "Page loads by step of load.",
            points: steps().map(|step| count(step.requests, began_ns, now_ns, &of(step))).collect(),
            is_sum: true,
        },
        Metric {
            name: "tentpole.load.failures",
            unit: "1",
            says: "Failed page loads by step of load and cause.",
            points: steps()
                .flat_map(|step| step.failures.iter().map(move |(cause, failed)| (step, cause, failed)))
                .map(|(step, cause, failed)| {
                    let mut labels = of(step);
                    labels.push(("cause", cause.words().to_owned()));
                    count(*failed, began_ns, now_ns, &labels)
                })
                .collect(),
            is_sum: true,
        },
        gauge(
            "tentpole.load.trusted",
            "1",
            "Whether the figures may be believed.",
            vec![number(f64::from(u8::from(run.trusted)), now_ns, &[])],
        ),
    ];
    if let Some(held) = run.highest_held {
        metrics.push(gauge(
            "tentpole.load.highest_held",
            "1",
            "The highest load that held.",
            vec![number(held, now_ns, &[])],
        ));
    }
    if let Some(point) = &run.breaking_point {
        metrics.push(gauge(
            "tentpole.load.breaking_point",
            "1",
            "The lowest load that broke.",
            vec![number(point.load, now_ns, &[])],
        ));
    }
    let mut whole = request(&run.url, &run.version, &metrics, now_ns);
    let summaries: Vec<Value> = steps()
        .filter_map(|step| Some(summary(step, step.response_time.as_ref()?, began_ns, now_ns)))
        .collect();
    if let Some(all) =
        whole.pointer_mut("/resourceMetrics/0/scopeMetrics/0/metrics").and_then(Value::as_array_mut)
        && !summaries.is_empty()
    {
        all.push(json!({
            "name": "tentpole.load.response_time", "unit": "s", "description": "Load times of what succeeded.",
            "summary": { "dataPoints": summaries },
        }));
    }
    whole
}

fn request(url: &str, version: &str, metrics: &[Metric], _now_ns: u64) -> Value {
    let metrics: Vec<Value> = metrics
        .iter()
        .filter(|metric| !metric.points.is_empty())
        .map(|metric| {
            let mut whole = json!({ "name": metric.name, "unit": metric.unit, "description": metric.says });
            let (kind, data) = match metric.is_sum {
                // 2: cumulative.
                true => (
                    "sum",
                    json!({ "dataPoints": metric.points, "aggregationTemporality": 2, "isMonotonic": true }),
                ),
                false => ("gauge", json!({ "dataPoints": metric.points })),
            };
            whole[kind] = data;
            whole
        })
        .collect();
    json!({ "resourceMetrics": [{
        "resource": { "attributes": [
            text("service.name", "tentpole-load"),
            text("service.version", version),
            text("url.full", url),
        ] },
        "scopeMetrics": [{ "scope": { "name": "tentpole", "version": version }, "metrics": metrics }],
    }] })
}

fn gauge(name: &'static str, unit: &'static str, says: &'static str, points: Vec<Value>) -> Metric {
    Metric { name, unit, says, points, is_sum: false }
}

fn of(step: &StepResult) -> Vec<(&'static str, String)> {
    vec![("number", step.number.to_string()), ("load", short(step.load).to_string())]
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

fn attributes(labels: &[(&'static str, String)]) -> Vec<Value> {
    labels.iter().map(|(name, value)| text(name, value)).collect()
}

fn number(value: f64, now_ns: u64, labels: &[(&'static str, String)]) -> Value {
    json!({ "timeUnixNano": now_ns.to_string(), "asDouble": short(value), "attributes": attributes(labels) })
}

fn count(value: u64, began_ns: u64, now_ns: u64, labels: &[(&'static str, String)]) -> Value {
    json!({
        "startTimeUnixNano": began_ns.to_string(), "timeUnixNano": now_ns.to_string(),
        "asInt": value.to_string(), "attributes": attributes(labels),
    })
}

fn summary(step: &StepResult, times: &Times, began_ns: u64, now_ns: u64) -> Value {
    let quantiles = [
        (0.0, times.min),
        (0.5, times.p50),
        (0.9, times.p90),
        (0.95, times.p95),
        (0.99, times.p99),
        (0.999, times.p999),
        (1.0, times.max),
    ];
    let quantiles: Vec<Value> = quantiles
        .iter()
        .map(|(quantile, ms)| json!({ "quantile": quantile, "value": short(ms / 1_000.0) }))
        .collect();
    json!({
        "startTimeUnixNano": began_ns.to_string(), "timeUnixNano": now_ns.to_string(), "attributes": attributes(&of(step)),
        "count": times.count.to_string(), "sum": short(times.mean * times.count as f64 / 1_000.0), "quantileValues": quantiles,
    })
}
