//! `[pool.NAME.outliers]`: what of an endpoint's answers to visitors takes it out, and how many may be out.

use crate::forms::{Percent, Shaped, Span, Whole};
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use std::time::Duration;
use tentpole_model::{Endpoint, Outliers};

pub(crate) static OUTLIERS: Setting<Shaped> = Setting {
    name: "outliers",
    form: Shaped { what: "a table", inside: Some(&SECTION) },
    default: Fallback::Absent("as below"),
    about: "What of its answers to visitors speaks against an endpoint, and how many may be out.",
    example: "{ latency_factor = 10, eject_max = \"30%\" }",
};

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.outliers]",
    also: None,
    about: "Who does worse than the others of its pool is left out for a while. What all have in common is nobody's fault: an \
            application that is slow everywhere stays in traffic.",
    settings: &[
        &ERRORS_MAX,
        &ERRORS_SHARE,
        &LATENCY_FACTOR,
        &INTERVAL,
        &REQUESTS_MIN,
        &EJECT_MAX,
        &PANIC_BELOW,
        &OUT_MIN,
        &OUT_MAX,
    ],
};

static ERRORS_MAX: Setting<Whole> = Setting {
    name: "errors_max",
    form: Whole::new(0, 10_000),
    default: Fallback::Value(|| 0),
    about: "Responses in a row with a 5xx that take an endpoint out, however the others do; 0 counts none. An application \
            that fails at one page can so lose endpoints that are well.",
    example: "20",
};

static ERRORS_SHARE: Setting<Percent> = Setting {
    name: "errors_share",
    form: Percent { min: 0, max: 100 },
    default: Fallback::Value(|| 0.5),
    about: "The share of its requests that fail or end with a 5xx which takes an endpoint out, when the others' share is at \
            most a fifth of it. `\"0%\"` does not compare.",
    example: "\"50%\"",
};

static LATENCY_FACTOR: Setting<Whole> = Setting {
    name: "latency_factor",
    form: Whole::new(0, 1_000),
    default: Fallback::Value(|| 5),
    about: "How many times as long as the others an endpoint takes to answer, in the median, until it goes; a quarter of a \
            second more at least. 0 does not compare, for endpoints that serve different things.",
    example: "10",
};

static INTERVAL: Setting<Span> = Setting {
    name: "interval",
    form: Span::new(Duration::from_millis(500), Duration::from_secs(600)),
    default: Fallback::Value(|| Outliers::default().interval),
    about: "How far back endpoints are compared.",
    example: "\"10s\"",
};

static REQUESTS_MIN: Setting<Whole> = Setting {
    name: "requests_min",
    form: Whole::new(1, 1_000_000),
    default: Fallback::Value(|| u64::from(Outliers::default().requests_min)),
    about: "Requests that an endpoint must have had in that time to be compared: fewer prove nothing.",
    example: "50",
};

static EJECT_MAX: Setting<Percent> = Setting {
    name: "eject_max",
    form: Percent { min: 0, max: 100 },
    default: Fallback::Value(|| 0.5),
    about: "Share of the pool that may be out although it answers, badly or slowly. One always may, and one always stays.",
    example: "\"50%\"",
};

static PANIC_BELOW: Setting<Percent> = Setting {
    name: "panic_below",
    form: Percent { min: 0, max: 100 },
    default: Fallback::Value(|| 0.3),
    about: "When a smaller share of the pool is well, all endpoints that can be reached get traffic again, whatever took \
            them out: the rest alone would not carry it. `\"0%\"` never does that while one is well.",
    example: "\"30%\"",
};

static OUT_MIN: Setting<Span> = Setting {
    name: "out_min",
    form: Span::new(Duration::from_millis(100), Duration::from_secs(3_600)),
    default: Fallback::Value(|| Outliers::default().out_min),
    about: "How long an endpoint that requests took out stays out at least; twice as long each time it goes again within a \
            minute of its return.",
    example: "\"1s\"",
};

static OUT_MAX: Setting<Span> = Setting {
    name: "out_max",
    form: Span::new(Duration::from_millis(100), Duration::from_secs(24 * 3_600)),
    default: Fallback::Value(|| Outliers::default().out_max),
    about: "How long at most.",
    example: "\"30s\"",
};

/// Reads `[pool.NAME.outliers]`.
pub(crate) fn read(pool: &Table<'_>) -> Outliers {
    let Some(table) = pool.table(&OUTLIERS) else { return Outliers::default() };
    let some = |number: u64| u32::try_from(number).ok().filter(|number| *number > 0);
    let percent = |share: f64| (share * 100.0).round() as u32;
    Outliers {
        errors_max: some(table.value(&ERRORS_MAX)),
        errors_percent: some(u64::from(percent(table.value(&ERRORS_SHARE)))),
        latency_factor: some(table.value(&LATENCY_FACTOR)),
        interval: table.value(&INTERVAL),
        requests_min: table.value(&REQUESTS_MIN) as u32,
        eject_percent: percent(table.value(&EJECT_MAX)),
        panic_percent: percent(table.value(&PANIC_BELOW)),
        out_min: table.value(&OUT_MIN),
        out_max: table.value(&OUT_MAX),
    }
}

/// Weights that can grow in steps: a hundredfold.
pub(crate) fn finer_weights(endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    let finer = |one: Endpoint| Endpoint { weight: one.weight.saturating_mul(100), ..one };
    endpoints.into_iter().map(finer).collect()
}
