//! `[pool.NAME]`: endpoints that serve the same thing, how one of them is chosen and what they may cost.

use crate::forms::{Shaped, Span, Text, Whole, Word};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use crate::words::show_duration;
use crate::{endpoint, fleet, store, visitors};
use std::time::Duration;
use tentpole_model::{Balance, Endpoint, HealthCheck, Pool, QueueSettings, UpstreamTimeouts};
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME]",
    also: None,
    about: "Endpoints that serve the same thing. The name is yours; routes, logs and metrics use it.",
    settings: &[&ENDPOINTS, &FLEET, &BALANCE, &HEALTH, &FAILURES_MAX, &TIMEOUTS, &QUEUE, &SEND, &STORE],
};

pub(crate) static ENDPOINTS: Setting<Shaped> = Setting {
    name: "endpoints",
    form: Shaped { what: "a list of URLs or tables", inside: Some(&endpoint::SECTION) },
    default: Fallback::Absent("none; `endpoints` or `fleet` is needed"),
    about: "Who serves the pool.",
    example: "[\"http://127.0.0.1:3000\", \"http://127.0.0.1:3001\"]",
};

pub(crate) static FLEET: Setting<Shaped> = Setting {
    name: "fleet",
    form: Shaped { what: "a table with what to run", inside: Some(&fleet::SECTION) },
    default: Fallback::Absent("none; `endpoints` or `fleet` is needed"),
    about: "Who serves the pool when Tentpole starts the application itself: more instances under load, fewer after it.",
    example: "{ run = \"gunicorn app:wsgi -b 127.0.0.1:{port}\", min = 1, max = 4 }",
};

static BALANCE: Setting<Word<Balance>> = Setting {
    name: "balance",
    form: Word {
        words: &[
            (
                "least_requests",
                Balance::LeastRequests,
                "Of two endpoints drawn at random, the one with fewer requests in flight.",
            ),
            ("round_robin", Balance::RoundRobin, "Each in turn, by weight."),
            (
                "peak_ewma",
                Balance::PeakEwma,
                "Of two endpoints drawn at random, the one expected to answer sooner, by how long it took lately and its \
                 requests in flight. One that becomes slow is left alone at its first slow answers.",
            ),
        ],
    },
    default: Fallback::Value(|| Balance::LeastRequests),
    about: "How an endpoint is chosen.",
    example: "\"round_robin\"",
};

static HEALTH: Setting<Shaped> = Setting {
    name: "health",
    form: Shaped { what: "a path, or a table with a path", inside: Some(&HEALTH_SECTION) },
    default: Fallback::Absent("no probes: only failed requests tell"),
    about: "Asks each endpoint regularly whether it is well. A path alone is enough: `health = \"/health\"`. The last \
            endpoint of a pool stays in it, however it is.",
    example: "{ path = \"/health\", interval = \"2s\" }",
};

static FAILURES_MAX: Setting<Whole> = Setting {
    name: "failures_max",
    form: Whole::new(1, 1_000),
    default: Fallback::Value(|| 3),
    about: "Failed requests in a row (no connection, time-out, reset; not a 5xx) that take an endpoint out.",
    example: "3",
};

static TIMEOUTS: Setting<Shaped> = Setting {
    name: "timeouts",
    form: Shaped { what: "a table", inside: Some(&TIMEOUTS_SECTION) },
    default: Fallback::Absent("as below"),
    about: "How long each part of an exchange with an endpoint may take.",
    example: "{ connect = \"2s\", first_byte = \"60s\" }",
};

static QUEUE: Setting<Shaped> = Setting {
    name: "queue",
    form: Shaped { what: "a table", inside: Some(&QUEUE_SECTION) },
    default: Fallback::Absent("as below"),
    about: "Where requests wait while all endpoints are at `requests_max` or `connections_max`.",
    example: "{ length = 1000, wait = \"10s\" }",
};

static SEND: Setting<Shaped> = Setting {
    name: "send",
    form: Shaped { what: "a table of fields, each with where its value is", inside: None },
    default: Fallback::Absent("nothing"),
    about: "Fields that each request to its endpoints brings, probes too, so that they can turn away whoever comes round \
            Tentpole. What visitors send under these names is dropped. Values are read when Tentpole starts, from an \
            environment variable or a file.",
    example: "{ X-Origin-Key = \"env:ORIGIN_KEY\" }",
};

static STORE: Setting<Shaped> = Setting {
    name: "object_store",
    form: Shaped { what: "a table with a bucket and its region", inside: Some(&store::SECTION) },
    default: Fallback::Absent("none: they are applications"),
    about: "Its endpoints are an object store's.",
    example: "{ bucket = \"shop\", region = \"eu-central-1\" }",
};

pub(crate) static HEALTH_SECTION: Section = Section {
    header: "[pool.NAME.health]",
    also: None,
    about: "Probes: a GET now and then, which any status from 200 to 399 passes.",
    settings: &[&PATH, &INTERVAL, &TIMEOUT, &HEALTHY_AFTER, &UNHEALTHY_AFTER],
};

static PATH: Setting<Text> = Setting {
    name: "path",
    form: Text { what: "a path in quotes" },
    default: Fallback::Required,
    about: "The path that is asked for.",
    example: "\"/health\"",
};

static INTERVAL: Setting<Span> = Setting {
    name: "interval",
    form: Span::new(Duration::from_millis(10), Duration::from_secs(3_600)),
    default: Fallback::Value(|| Duration::from_secs(2)),
    about: "Time between two probes of one endpoint.",
    example: "\"2s\"",
};

static TIMEOUT: Setting<Span> = Setting {
    name: "timeout",
    form: Span::new(Duration::from_millis(1), Duration::from_secs(600)),
    default: Fallback::Value(|| Duration::from_secs(1)),
    about: "How long one probe may take. When it is left out, never longer than `interval`.",
    example: "\"1s\"",
};

static HEALTHY_AFTER: Setting<Whole> = Setting {
    name: "healthy_after",
    form: Whole::new(1, 100),
    default: Fallback::Value(|| 2),
    about: "Good probes in a row until an endpoint comes back.",
    example: "2",
};

static UNHEALTHY_AFTER: Setting<Whole> = Setting {
    name: "unhealthy_after",
    form: Whole::new(1, 100),
    default: Fallback::Value(|| 3),
    about: "Bad probes in a row until an endpoint goes.",
    example: "3",
};

pub(crate) static TIMEOUTS_SECTION: Section = Section {
    header: "[pool.NAME.timeouts]",
    also: None,
    about: "Time-outs towards an endpoint.",
    settings: &[&CONNECT, &FIRST_BYTE, &STALL, &IDLE],
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

static CONNECT: Setting<Span> = Setting {
    name: "connect",
    form: Span::new(MS, Duration::from_secs(60)),
    default: Fallback::Value(|| UpstreamTimeouts::default().connect),
    about: "Until the connection stands.",
    example: "\"2s\"",
};

static FIRST_BYTE: Setting<Span> = Setting {
    name: "first_byte",
    form: Span::new(MS, HOUR),
    default: Fallback::Value(|| UpstreamTimeouts::default().first_byte),
    about: "From the request's last byte to the response's first. Shorter than the slowest page takes, and each of \
            its visitors gets a 504.",
    example: "\"60s\"",
};

static STALL: Setting<Span> = Setting {
    name: "stall",
    form: Span::new(MS, HOUR),
    default: Fallback::Value(|| UpstreamTimeouts::default().stall),
    about: "Between two pieces of a body, in either direction.",
    example: "\"30s\"",
};

static IDLE: Setting<Span> = Setting {
    name: "idle",
    form: Span::new(MS, HOUR),
    default: Fallback::Value(|| UpstreamTimeouts::default().idle),
    about: "How long an unused connection is kept. Below the endpoint's own keep-alive time, or requests meet a \
            closing connection.",
    example: "\"50s\"",
};

pub(crate) static QUEUE_SECTION: Section = Section {
    header: "[pool.NAME.queue]",
    also: None,
    about: "What waits for an endpoint.",
    settings: &[&LENGTH, &WAIT],
};

static LENGTH: Setting<Whole> = Setting {
    name: "length",
    form: Whole::new(0, 1_000_000),
    default: Fallback::Value(|| u64::from(QueueSettings::default().length_max)),
    about: "Requests that may wait in this pool. One more gets a 503.",
    example: "1000",
};

static WAIT: Setting<Span> = Setting {
    name: "wait",
    form: Span::new(Duration::ZERO, Duration::from_secs(600)),
    default: Fallback::Value(|| QueueSettings::default().wait_max),
    about: "How long a request may wait before it gets a 503.",
    example: "\"10s\"",
};

/// Endpoints that one pool takes.
const ENDPOINTS_MAX: usize = 1_000;

/// A pool as it was typed.
pub(crate) struct Typed {
    pub(crate) pool: Pool,
    pub(crate) place: Place,
    /// Where each endpoint of `pool` was written.
    pub(crate) endpoint_places: Vec<Place>,
}

/// Reads `[pool.NAME]`.
pub(crate) fn read(name: &str, table: &Table<'_>) -> Typed {
    let fleet = fleet::read(table);
    let endpoints = match &fleet {
        Some(typed) => fleet::slots(name, typed.fleet.max, typed.requests_max)
            .into_iter()
            .map(|slot| At::new(slot, typed.place.clone()))
            .collect(),
        // What is wrong with it was told already.
        None if table.raw(&FLEET).is_some() => Vec::new(),
        None => read_endpoints(table),
    };
    if let (Some(fleet), Some(endpoints)) = (table.raw(&FLEET), table.raw(&ENDPOINTS)) {
        let endpoints = table.problems().whereabouts(&Place::Bytes(endpoints.span()));
        table.tell(Problem::EndpointsAndFleet { endpoints }, &Place::Bytes(fleet.span()));
    }
    let (endpoints, endpoint_places): (Vec<Endpoint>, Vec<Place>) =
        endpoints.into_iter().map(|at| (at.value, at.place)).unzip();
    let object_store = table.table(&STORE);
    if let (Some(store), true) = (&object_store, table.raw(&FLEET).is_some()) {
        table.tell(Problem::StoreAndFleet { pool: name.to_owned() }, store.place());
    }
    let pool = Pool {
        fleet: fleet.map(|typed| typed.fleet),
        balance: table.value(&BALANCE),
        health: read_health(table),
        failures_max: table.value(&FAILURES_MAX) as u32,
        timeouts: read_timeouts(table),
        queue: read_queue(table, name, &endpoints),
        send: visitors::secret_fields(table, &SEND),
        object_store: object_store.and_then(|table| store::read(&table)),
        ..usual(name, endpoints)
    };
    Typed { pool, place: table.place().clone(), endpoint_places }
}

/// A pool with the defaults for everything but its endpoints.
pub(crate) fn usual(name: &str, endpoints: Vec<Endpoint>) -> Pool {
    Pool {
        name: name.to_owned(),
        endpoints,
        fleet: None,
        balance: BALANCE.usual(),
        health: None,
        failures_max: FAILURES_MAX.usual() as u32,
        timeouts: UpstreamTimeouts::default(),
        queue: QueueSettings::default(),
        send: Vec::new(),
        object_store: None,
    }
}

/// Probes of `path` with the defaults for everything else.
pub(crate) fn usual_health(path: &str) -> Result<HealthCheck, Problem> {
    if !is_path(path) {
        return Err(Problem::HealthPath { typed: path.to_owned(), meant: meant_path(path) });
    }
    Ok(HealthCheck {
        path: path.to_owned(),
        interval: INTERVAL.usual(),
        timeout: TIMEOUT.usual(),
        healthy_after: HEALTHY_AFTER.usual() as u32,
        unhealthy_after: UNHEALTHY_AFTER.usual() as u32,
    })
}

/// Whether this can be asked for.
pub(crate) fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// The path that was probably meant by something that is none.
pub(crate) fn meant_path(typed: &str) -> String {
    let bare = typed.split_once("://").map_or(typed, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    let kept: String = bare.trim_start_matches('/').chars().filter(char::is_ascii_graphic).collect();
    let kept = kept.split('#').next().unwrap_or_default();
    format!("/{}", if kept.is_empty() { "health" } else { kept })
}

fn read_endpoints(table: &Table<'_>) -> Vec<At<Endpoint>> {
    let Some(value) = table.raw(&ENDPOINTS) else {
        table.tell(Problem::NobodyAnswers { section: table.title().to_owned() }, table.place());
        return Vec::new();
    };
    let place = Place::Bytes(value.span());
    // One endpoint without brackets is clear enough.
    let items = match value.get_ref() {
        DeValue::Array(items) => items,
        DeValue::String(_) | DeValue::Table(_) => return endpoint::read(value, table).into_iter().collect(),
        _ => {
            table.wrong_type(&ENDPOINTS, value);
            return Vec::new();
        }
    };
    if items.is_empty() {
        let cure = "name at least one, like [\"http://127.0.0.1:3000\"].";
        table.tell(Problem::Empty { name: ENDPOINTS.name, cure }, &place);
    }
    if items.len() > ENDPOINTS_MAX {
        table.tell(
            Problem::TooMany { what: "endpoints in a pool", count: items.len(), most: ENDPOINTS_MAX },
            &place,
        );
    }
    let mut endpoints: Vec<At<Endpoint>> = Vec::new();
    for endpoint in items.iter().take(ENDPOINTS_MAX).filter_map(|item| endpoint::read(item, table)) {
        let same = |earlier: &&At<Endpoint>| earlier.value.authority() == endpoint.value.authority();
        match endpoints.iter().find(same) {
            Some(earlier) => {
                let authority = endpoint.value.authority();
                let earlier = table.problems().whereabouts(&earlier.place);
                table.tell(Problem::EndpointTwice { authority, earlier }, &endpoint.place);
            }
            None => endpoints.push(endpoint),
        }
    }
    endpoints
}

fn read_health(table: &Table<'_>) -> Option<HealthCheck> {
    let value = table.raw(&HEALTH)?;
    let place = Place::Bytes(value.span());
    let checked =
        |path: &str, place: &Place| usual_health(path).map_err(|problem| table.tell(problem, place)).ok();
    match value.get_ref() {
        DeValue::String(path) => checked(path, &place),
        DeValue::Table(_) => {
            let health = table.table(&HEALTH)?;
            let path = health.required(&PATH);
            let interval = health.value(&INTERVAL);
            let timeout = read_probe_timeout(&health, interval);
            let healthy_after = health.value(&HEALTHY_AFTER) as u32;
            let unhealthy_after = health.value(&UNHEALTHY_AFTER) as u32;
            let path = path?;
            let check = checked(&path.value, &path.place)?;
            Some(HealthCheck { interval, timeout, healthy_after, unhealthy_after, ..check })
        }
        _ => {
            table.wrong_type(&HEALTH, value);
            None
        }
    }
}

fn read_probe_timeout(health: &Table<'_>, interval: Duration) -> Duration {
    // A short interval alone must not complain of a time-out that nobody wrote.
    let Some(timeout) = health.optional(&TIMEOUT) else { return TIMEOUT.usual().min(interval) };
    if timeout.value > interval {
        let (took, every) = (show_duration(timeout.value), show_duration(interval));
        health.tell(Problem::ProbesOverlap { timeout: took, interval: every }, &timeout.place);
    }
    timeout.value
}

fn read_timeouts(table: &Table<'_>) -> UpstreamTimeouts {
    let Some(timeouts) = table.table(&TIMEOUTS) else { return UpstreamTimeouts::default() };
    UpstreamTimeouts {
        connect: timeouts.value(&CONNECT),
        first_byte: timeouts.value(&FIRST_BYTE),
        stall: timeouts.value(&STALL),
        idle: timeouts.value(&IDLE),
    }
}

fn read_queue(table: &Table<'_>, pool: &str, endpoints: &[Endpoint]) -> QueueSettings {
    let Some(queue) = table.table(&QUEUE) else { return QueueSettings::default() };
    let limited = |endpoint: &Endpoint| endpoint.requests_max.is_some() || endpoint.connections_max.is_some();
    if !endpoints.is_empty() && !endpoints.iter().any(limited) {
        table.tell(Problem::QueueUnused { pool: pool.to_owned() }, queue.place());
    }
    QueueSettings { length_max: queue.value(&LENGTH) as u32, wait_max: queue.value(&WAIT) }
}
