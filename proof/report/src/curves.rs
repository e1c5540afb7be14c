//! The charts of a page as values for its script. Decides what is drawn: a step in which more than half of the requests
//! failed has no load time here, for the few that got through say nothing about the others.

use crate::words;
use serde::Serialize;
use std::collections::BTreeMap;
use tentpole_load::Run;
use tentpole_load::result::{FailureCause, Model, Second, StepResult, Times};

/// Charts by the name of the element that they are drawn into.
pub type Charts = BTreeMap<&'static str, Chart>;

/// Above this share of failures, what got through is no picture of the load time.
const FAILED_MAX: f64 = 0.5;
/// Room left of the axis in px, so that charts below one another line up.
const GUTTER: u32 = 52;
const TONES: [&str; 6] = ["1", "2", "3", "4", "5", "6"];

/// The options of `Charts.line`; formats by their name in `Charts`.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Chart {
    pub x: Vec<f64>,
    pub series: Vec<Series>,
    pub x_label: &'static str,
    pub y_label: &'static str,
    pub x_format: &'static str,
    pub y_format: &'static str,
    pub x_log: bool,
    pub x_time: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x_max: Option<f64>,
    pub marks: Vec<Mark>,
    pub bands: Vec<Band>,
    pub height: u32,
    pub area: bool,
    pub no_value: &'static str,
    pub label: String,
    pub gutter: u32,
    /// Whether a button switches to a logarithmic scale.
    pub log_button: bool,
}

#[derive(Serialize)]
pub struct Series {
    pub name: String,
    pub values: Vec<Value>,
    pub tone: &'static str,
    pub dashed: bool,
    pub points: bool,
}

#[derive(Serialize)]
pub struct Mark {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<f64>,
    pub label: String,
    pub tone: &'static str,
}

#[derive(Serialize)]
pub struct Band {
    pub from: f64,
    pub label: &'static str,
    pub tone: &'static str,
}

/// What stands at one x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// This was measured.
    At(f64),
    /// It failed: a gap.
    Gap,
    /// Nothing was tried here: the line goes on.
    Absent,
}

impl Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            // Three digits after the point are a microsecond; more only makes pages longer.
            Self::At(value) => to.serialize_f64((value * 1000.0).round() / 1000.0),
            Self::Gap => to.serialize_none(),
            Self::Absent => to.serialize_str("absent"),
        }
    }
}

impl From<Option<f64>> for Value {
    fn from(value: Option<f64>) -> Self {
        value.filter(|value| value.is_finite()).map_or(Self::Gap, Self::At)
    }
}

/// A load time of a step, if the step has one that may be drawn.
pub fn load_time(step: &StepResult, which: fn(&Times) -> f64) -> Value {
    let drawn =
        step.response_time.as_ref().filter(|_| failed_share(step).is_some_and(|share| share <= FAILED_MAX));
    drawn.map(which).into()
}

/// Failed ÷ all; `None` when nothing ended.
#[allow(clippy::cast_precision_loss, reason = "a share is shown with three digits")]
pub fn failed_share(step: &StepResult) -> Option<f64> {
    (step.requests > 0).then(|| step.failed as f64 / step.requests as f64)
}

/// Requests a second that succeeded.
pub fn served_per_s(step: &StepResult) -> f64 {
    step.requests_per_s * (1.0 - failed_share(step).unwrap_or(0.0))
}

/// The steps by load, for an axis of load.
pub fn by_load(run: &Run) -> Vec<&StepResult> {
    let mut steps: Vec<_> = run.steps.iter().collect();
    steps.sort_by(|a, b| a.load.total_cmp(&b.load).then(a.number.cmp(&b.number)));
    if run.found.is_some() {
        // A search tries some loads several times: the trial with the most requests speaks for them.
        steps.sort_by(|a, b| a.load.total_cmp(&b.load).then(b.requests.cmp(&a.requests)));
        steps.dedup_by(|later, kept| later.load.total_cmp(&kept.load).is_eq());
    }
    steps
}

/// What the axis of load is called.
pub fn load_label(model: Model) -> &'static str {
    match model {
        Model::Closed => "simultaneous visitors",
        Model::Open => "journeys begun per second",
    }
}

/// The charts of one run.
pub fn of_run(run: &Run) -> Charts {
    let mut charts = Charts::new();
    if !run.steps.is_empty() {
        charts.insert("load-time", load_times(run));
        charts.insert("failures", failures(run));
        charts.insert("throughput", throughput(run));
    }
    if !run.seconds.is_empty() {
        over_time(run, &mut charts);
    }
    crate::spread::charts(run, &mut charts);
    charts
}

fn load_times(run: &Run) -> Chart {
    let steps = by_load(run);
    let series = |name: &str, which: fn(&Times) -> f64, tone| Series {
        name: name.to_owned(),
        values: steps.iter().map(|step| load_time(step, which)).collect(),
        tone,
        dashed: false,
        points: true,
    };
    let objective = |what: &str, limit: Option<f64>, tone| {
        limit.map(|y| Mark {
            x: None,
            y: Some(y),
            label: format!("{what} wanted under {}", words::ms(y)),
            tone,
        })
    };
    let mut marks = ends(run);
    marks.extend(objective("p99", run.objectives.p99_ms, "2"));
    marks.extend(objective("median", run.objectives.p50_ms, "1"));
    Chart {
        series: vec![
            series("p99", |times| times.p99, "2"),
            series("p90", |times| times.p90, "3"),
            series("median", |times| times.p50, "1"),
        ],
        y_label: "load time",
        y_format: "ms",
        marks,
        height: 340,
        no_value: "failed",
        log_button: true,
        ..over_load(run, &steps)
    }
}

fn failures(run: &Run) -> Chart {
    let steps = by_load(run);
    let mut series = vec![Series {
        name: "all failures".to_owned(),
        values: steps.iter().map(|step| failed_share(step).into()).collect(),
        tone: "bad",
        dashed: false,
        points: true,
    }];
    let causes = most_frequent(run);
    if causes.len() > 1 {
        for (cause, tone) in causes.into_iter().zip(TONES) {
            #[allow(clippy::cast_precision_loss, reason = "a share is drawn to the pixel")]
            let share = |step: &&StepResult| {
                let failed = *step.failures.get(&cause).unwrap_or(&0) as f64;
                Value::from((step.requests > 0).then(|| failed / step.requests as f64))
            };
            let values = steps.iter().map(share).collect();
            series.push(Series { name: cause.words().to_owned(), values, tone, dashed: true, points: false });
        }
    }
    let objective = run.objectives.errors_share.map(|y| Mark {
        x: None,
        y: Some(y),
        label: format!("wanted under {}", words::percent(y)),
        tone: "muted",
    });
    Chart {
        series,
        bands: failing(run, ""),
        y_label: "share of requests that failed",
        y_format: "percent",
        marks: objective.into_iter().collect(),
        height: 170,
        area: true,
        no_value: "no request ended",
        ..over_load(run, &steps)
    }
}

/// The causes that occurred, the most frequent first.
pub fn most_frequent(run: &Run) -> Vec<FailureCause> {
    let mut counts: BTreeMap<FailureCause, u64> = BTreeMap::new();
    for (cause, count) in run.steps.iter().flat_map(|step| &step.failures) {
        *counts.entry(*cause).or_default() += count;
    }
    let mut causes: Vec<_> = counts.into_iter().filter(|(_, count)| *count > 0).collect();
    causes.sort_by_key(|(cause, count)| (std::cmp::Reverse(*count), *cause));
    causes.into_iter().map(|(cause, _)| cause).collect()
}

fn throughput(run: &Run) -> Chart {
    let steps = by_load(run);
    let series = |name: &str, value: fn(&StepResult) -> f64, tone| Series {
        name: name.to_owned(),
        values: steps.iter().map(|step| Some(value(step)).into()).collect(),
        tone,
        dashed: false,
        points: true,
    };
    let mut all = vec![series("answered", served_per_s, "1")];
    if run.steps.iter().any(|step| step.failed > 0) {
        all.push(series("failed", |step| step.requests_per_s - served_per_s(step), "bad"));
    }
    Chart {
        series: all,
        y_label: "requests per second",
        y_format: "number",
        marks: ends(run),
        height: 240,
        area: true,
        ..over_load(run, &steps)
    }
}

/// What all charts over load have in common: the axis, and where it fails.
fn over_load(run: &Run, steps: &[&StepResult]) -> Chart {
    let x: Vec<f64> = steps.iter().map(|step| step.load).collect();
    let x_log = crowds_left(&x);
    let last = x.last().copied().unwrap_or(0.0);
    let x_max = run.breaking_point.map(|_| if x_log { last * 1.25 } else { last * 1.05 });
    Chart {
        bands: failing(run, "failing"),
        x,
        x_log,
        x_max,
        x_label: load_label(run.model),
        x_format: "number",
        gutter: GUTTER,
        label: String::new(),
        ..Chart::default()
    }
}

/// From the breaking point on nothing is promised.
fn failing(run: &Run, label: &'static str) -> Vec<Band> {
    run.breaking_point.iter().map(|point| Band { from: point.load, label, tone: "bad" }).collect()
}

/// Where it held and where it broke, upright.
fn ends(run: &Run) -> Vec<Mark> {
    let mark = |x: f64, what: &str, tone| Mark {
        x: Some(x),
        y: None,
        label: format!("{what} {}", words::number(x)),
        tone,
    };
    let breaks = run.breaking_point.map(|point| mark(point.load, "breaks at", "bad"));
    let held = run.highest_held.filter(|_| breaks.is_some()).map(|load| mark(load, "holds", "muted"));
    breaks.into_iter().chain(held).collect()
}

/// Whether most loads would stand in the left quarter of an even axis, as doubled ones do.
pub fn crowds_left(loads: &[f64]) -> bool {
    let (Some(first), Some(last)) = (loads.first(), loads.last()) else { return false };
    *first > 0.0 && loads[loads.len() / 2] < first + (last - first) / 4.0
}

fn over_time(run: &Run, charts: &mut Charts) {
    let seconds = &run.seconds;
    let wide = f64::from(run.second_width.max(1));
    let x: Vec<f64> = seconds.iter().map(|second| second.at_s).collect();
    let broke = run.steps.iter().find(|step| {
        step.broke.is_some()
            && run.breaking_point.is_some_and(|point| point.load.total_cmp(&step.load).is_eq())
    });
    let breaks = || -> Vec<Mark> {
        let mark = |step: &StepResult| Mark {
            x: Some(step.began_s),
            y: None,
            label: format!("breaks: {}", words::load(step.load, run.model)),
            tone: "bad",
        };
        broke.map(mark).into_iter().collect()
    };
    let line = |name: &str, values: Vec<Value>, tone| Series {
        name: name.to_owned(),
        values,
        tone,
        dashed: false,
        points: false,
    };
    let base = || Chart {
        x: x.clone(),
        x_format: "clock",
        x_time: true,
        gutter: GUTTER,
        area: true,
        ..Chart::default()
    };
    #[allow(clippy::cast_precision_loss, reason = "drawn to the pixel")]
    let per_s = |count: u64, wide: f64| Value::At(count as f64 / wide);
    // The run may end in the middle of the last one.
    let widths: Vec<f64> = std::iter::once(0.0)
        .chain(x.iter().copied())
        .zip(&x)
        .map(|(before, at)| if before > 0.0 { (at - before).clamp(0.001, wide) } else { wide })
        .collect();
    let each_second = |count: &dyn Fn(&Second) -> u64| -> Vec<Value> {
        seconds.iter().zip(&widths).map(|(second, wide)| per_s(count(second), *wide)).collect()
    };
    charts.insert(
        "time-load-time",
        Chart {
            series: vec![
                line("p99", seconds.iter().map(|second| second.p99_ms.into()).collect(), "2"),
                line("median", seconds.iter().map(|second| second.p50_ms.into()).collect(), "1"),
            ],
            y_label: "load time",
            y_format: "ms",
            marks: breaks(),
            height: 200,
            area: false,
            no_value: "none succeeded",
            log_button: true,
            ..base()
        },
    );
    let mut requests = vec![line("answered", each_second(&|s| s.requests.saturating_sub(s.failed)), "1")];
    if seconds.iter().any(|second| second.failed > 0) {
        requests.push(line("failed", each_second(&|s| s.failed), "bad"));
    }
    charts.insert(
        "time-requests",
        Chart { series: requests, y_label: "requests per second", y_format: "number", height: 150, ..base() },
    );
    let visitors = seconds.iter().map(|second| Value::At(second.visitors.into())).collect();
    let what = match run.model {
        Model::Closed => "visitors",
        Model::Open => "journeys under way",
    };
    charts.insert(
        "time-visitors",
        Chart {
            series: vec![line(what, visitors, "muted")],
            y_label: what,
            y_format: "number",
            x_label: "since the start",
            height: 130,
            ..base()
        },
    );
}

/// The charts of several runs over one another.
pub fn of_runs(runs: &[(&str, &Run)]) -> Charts {
    let mut x: Vec<f64> = runs.iter().flat_map(|(_, run)| run.steps.iter().map(|step| step.load)).collect();
    x.sort_by(f64::total_cmp);
    x.dedup();
    if x.is_empty() {
        return Charts::new();
    }
    let at = |value: &dyn Fn(&StepResult) -> Value, run: &Run| -> Vec<Value> {
        let steps = by_load(run);
        let of =
            |load: &f64| steps.iter().rfind(|step| step.load.total_cmp(load).is_eq()).map(|step| value(step));
        x.iter().map(|load| of(load).unwrap_or(Value::Absent)).collect()
    };
    let each = |value: &dyn Fn(&StepResult) -> Value, suffix: &str, dashed: bool| -> Vec<Series> {
        let one = |((label, run), tone): (&(&str, &Run), _)| Series {
            name: format!("{label}{suffix}"),
            values: at(value, run),
            tone,
            dashed,
            points: !dashed,
        };
        runs.iter().zip(TONES.into_iter().cycle()).map(one).collect()
    };
    let breaks: Vec<_> = runs.iter().zip(TONES.into_iter().cycle()).collect();
    let marks = || -> Vec<Mark> {
        let mark = |((label, run), tone): &(&(&str, &Run), &'static str)| {
            let x = run.breaking_point?.load;
            Some(Mark { x: Some(x), y: None, label: format!("{label} breaks at {}", words::number(x)), tone })
        };
        breaks.iter().filter_map(mark).collect()
    };
    let x_log = crowds_left(&x);
    let last = x.last().copied().unwrap_or(0.0);
    let base = || Chart {
        x: x.clone(),
        x_label: runs.first().map_or("load", |(_, run)| load_label(run.model)),
        x_format: "number",
        x_log,
        x_max: Some(if x_log { last * 1.1 } else { last * 1.02 }),
        gutter: GUTTER,
        ..Chart::default()
    };
    let mut times = each(&|step| load_time(step, |times| times.p99), ", p99", false);
    times.extend(each(&|step| load_time(step, |times| times.p50), ", median", true));
    let mut charts = Charts::new();
    charts.insert(
        "load-time",
        Chart {
            series: times,
            y_label: "load time",
            y_format: "ms",
            marks: marks(),
            height: 360,
            no_value: "failed",
            log_button: true,
            ..base()
        },
    );
    charts.insert(
        "throughput",
        Chart {
            series: each(&|step| Value::At(served_per_s(step)), "", false),
            y_label: "answered requests per second",
            y_format: "number",
            height: 240,
            ..base()
        },
    );
    charts.insert(
        "failures",
        Chart {
            series: each(&|step| failed_share(step).into(), "", false),
            y_label: "share of requests that failed",
            y_format: "percent",
            height: 170,
            no_value: "no request ended",
            ..base()
        },
    );
    charts
}
