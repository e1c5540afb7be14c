//! `[pool.NAME]`: endpoints that serve the same thing, how one of them is chosen and what they may cost.

use crate::balancing::{BALANCE, HASH, LOAD_FACTOR, read_hashing};
use crate::forms::{Shaped, Span, Switch, Text, Whole};
use crate::health::{self, HEALTH};
use crate::outliers::{self, OUTLIERS};
use crate::problem::Problem;
use crate::report::Place;
use crate::retrying::{RETRY, SOURCE_ADDRESSES};
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use crate::{endpoint, endpoint_tls, files, fleet, limit, retrying, scripts, sticky, store, visitors, zones};
use std::time::Duration;
use tentpole_model::{
    Endpoint, EndpointTls, Hashing, OVERPROVISIONING_PERCENT, Outliers, Pool, QueueSettings, Retrying,
    UpstreamTimeouts,
};
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME]",
    also: None,
    about: "Endpoints that serve the same thing. The name is yours; routes, logs and metrics use it.",
    settings: &[
        &ENDPOINTS,
        &FLEET,
        &BALANCE,
        &HASH,
        &LOAD_FACTOR,
        &zones::ZONES,
        &zones::OVERPROVISIONING,
        &STICKY,
        &HEALTH,
        &FAILURES_MAX,
        &OUTLIERS,
        &SLOW_START,
        &TIMEOUTS,
        &limit::LIMIT,
        &QUEUE,
        &HTTP2,
        &RETRY,
        &SOURCE_ADDRESSES,
        &TLS,
        &SEND,
        &STORE,
        &SCRIPTS,
        &ROOT,
        &FILES,
    ],
};

pub(crate) static ENDPOINTS: Setting<Shaped> = Setting {
    name: "endpoints",
    form: Shaped { what: "a list of URLs or tables", inside: Some(&endpoint::SECTION) },
    default: Fallback::Absent("none; `endpoints`, `fleet` or `root` is needed"),
    about: "Who serves the pool.",
    example: "[\"http://127.0.0.1:3000\", \"http://127.0.0.1:3001\"]",
};

pub(crate) static FLEET: Setting<Shaped> = Setting {
    name: "fleet",
    form: Shaped { what: "a table with what to run", inside: Some(&fleet::SECTION) },
    default: Fallback::Absent("none; `endpoints`, `fleet` or `root` is needed"),
    about: "Who serves the pool when Tentpole starts the application itself: more instances under load, fewer after it.",
    example: "{ run = \"gunicorn app:wsgi -b 127.0.0.1:{port}\", min = 1, max = 4 }",
};

static FAILURES_MAX: Setting<Whole> = Setting {
    name: "failures_max",
    form: Whole::new(1, 1_000),
    default: Fallback::Value(|| 3),
    about: "Failed requests in a row (no connection, time-out, reset; not a 5xx) that take an endpoint out.",
    example: "3",
};

static SLOW_START: Setting<Span> = Setting {
    name: "slow_start",
    form: Span::new(Duration::ZERO, Duration::from_secs(3_600)),
    default: Fallback::Value(|| Duration::ZERO),
    about: "How long an endpoint that comes back, or is added while Tentpole runs, takes to get its full share: its weight \
            grows from a tenth. Weights are shown a hundredfold then. A fleet has its own.",
    example: "\"20s\"",
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
    about: "Where requests wait while all endpoints are at their limit.",
    example: "{ length = 1000, wait = \"10s\" }",
};

static HTTP2: Setting<Switch> = Setting {
    name: "http2",
    form: Switch,
    default: Fallback::Value(|| false),
    about: "Its endpoints are asked by HTTP/2: few connections with many requests on each, and gRPC. In the clear they must speak it \
            from the first byte on (prior knowledge), behind TLS they must choose it (ALPN). WebSockets go by HTTP/1.1 all \
            the same.",
    example: "true",
};

static TLS: Setting<Shaped> = Setting {
    name: "tls",
    form: Shaped { what: "a table", inside: Some(&endpoint_tls::SECTION) },
    default: Fallback::Absent("as below"),
    about: "How endpoints whose URL begins with `https://` are believed, and how they know Tentpole.",
    example: "{ authority = \"/etc/tentpole/internal-ca.pem\" }",
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

static SCRIPTS: Setting<Shaped> = Setting {
    name: "scripts",
    form: Shaped { what: "a table", inside: Some(&scripts::SECTION) },
    default: Fallback::Absent("as below"),
    about: "What runs at its endpoints, where they speak FastCGI.",
    example: "{ never_below = [\"/wp-content/uploads\"] }",
};

static STICKY: Setting<Shaped> = Setting {
    name: "sticky",
    form: Shaped { what: "a table with a cookie's name", inside: Some(&sticky::SECTION) },
    default: Fallback::Absent("off: each request goes where there is room"),
    about: "Visitors come back to the endpoint that served them.",
    example: "{ cookie = \"backend\" }",
};

pub(crate) static ROOT: Setting<Text> = Setting {
    name: "root",
    form: Text { what: "a directory's path in quotes" },
    default: Fallback::Absent("none: no files"),
    about: "Files beneath this directory are served by Tentpole itself. What is no file there goes to `endpoints` or `fleet`; \
            without either, it is a 404.",
    example: "\"/var/www/site\"",
};

static FILES: Setting<Shaped> = Setting {
    name: "files",
    form: Shaped { what: "a table", inside: Some(&files::SECTION) },
    default: Fallback::Absent("as below"),
    about: "What of `root` is shown, and what browsers are told of it.",
    example: "{ max_age = \"10m\" }",
};

pub(crate) static TIMEOUTS_SECTION: Section = Section {
    header: "[pool.NAME.timeouts]",
    also: None,
    about: "Time-outs towards an endpoint.",
    settings: &[&CONNECT, &FIRST_BYTE, &STALL, &IDLE, &SILENCE],
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

static SILENCE: Setting<Span> = Setting {
    name: "silence",
    form: Span::new(MS, HOUR),
    default: Fallback::Value(|| UpstreamTimeouts::default().silence),
    about: "How long a connection of HTTP/2 may bring nothing while requests wait on it. After a third of it the \
            endpoint is asked for a sign of life (PING); without one the connection is given up, and what is safe goes \
            elsewhere.",
    example: "\"15s\"",
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
        // Files need nobody else.
        None if table.raw(&ENDPOINTS).is_none() && table.raw(&ROOT).is_some() => Vec::new(),
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
    let balance = table.value(&BALANCE);
    let slow_start = table.value(&SLOW_START);
    if let (Some(written), true) = (table.raw(&SLOW_START), fleet.is_some()) {
        table.tell(Problem::SlowStartOfFleet {}, &Place::Bytes(written.span()));
    }
    let endpoints = if slow_start.is_zero() { endpoints } else { outliers::finer_weights(endpoints) };
    let limit::Limit { adaptive, guard, endpoints } = limit::read(table, endpoints);
    let mut files = files::read(table, &FILES);
    let pool = Pool {
        fleet: fleet.map(|typed| typed.fleet),
        balance,
        hashing: read_hashing(table, balance),
        zones: table.value(&zones::ZONES),
        overprovisioning_percent: zones::overprovisioning_percent(table),
        sticky: table.table(&STICKY).and_then(|table| sticky::read(&table)),
        health: health::read(table),
        failures_max: table.value(&FAILURES_MAX) as u32,
        outliers: outliers::read(table),
        slow_start,
        timeouts: read_timeouts(table),
        adaptive,
        guard: guard && table.raw(&STORE).is_none(),
        queue: read_queue(table, name, adaptive.is_some() || guard, &endpoints),
        http2: table.value(&HTTP2),
        retrying: retrying::read(table),
        source_addresses: retrying::read_sources(table),
        tls: table.table(&TLS).map(|tls| endpoint_tls::read(&tls, name, &endpoints)).unwrap_or_default(),
        send: visitors::secret_fields(table, &SEND),
        object_store: object_store.and_then(|table| store::read(&table)),
        scripts: scripts::read(table, &SCRIPTS, &endpoints, &mut files),
        files,
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
        hashing: Hashing::default(),
        zones: zones::ZONES.usual(),
        overprovisioning_percent: OVERPROVISIONING_PERCENT,
        sticky: None,
        health: None,
        failures_max: FAILURES_MAX.usual() as u32,
        outliers: Outliers::default(),
        slow_start: Duration::ZERO,
        timeouts: UpstreamTimeouts::default(),
        adaptive: None,
        guard: true,
        queue: QueueSettings::default(),
        http2: HTTP2.usual(),
        retrying: Retrying::default(),
        source_addresses: Vec::new(),
        tls: EndpointTls::default(),
        send: Vec::new(),
        object_store: None,
        scripts: None,
        files: None,
    }
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
        DeValue::String(_) | DeValue::Table(_) => {
            let one = endpoint::read(value, table);
            return one.map(|(one, addresses)| endpoint::with_slots(one, addresses)).unwrap_or_default();
        }
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
    for (endpoint, addresses) in
        items.iter().take(ENDPOINTS_MAX).filter_map(|item| endpoint::read(item, table))
    {
        let same = |earlier: &&At<Endpoint>| earlier.value.authority() == endpoint.value.authority();
        match endpoints.iter().find(same) {
            Some(earlier) => {
                let authority = endpoint.value.authority();
                let earlier = table.problems().whereabouts(&earlier.place);
                table.tell(Problem::EndpointTwice { authority, earlier }, &endpoint.place);
            }
            None => endpoints.extend(endpoint::with_slots(endpoint, addresses)),
        }
    }
    endpoints
}

fn read_timeouts(table: &Table<'_>) -> UpstreamTimeouts {
    let Some(timeouts) = table.table(&TIMEOUTS) else { return UpstreamTimeouts::default() };
    UpstreamTimeouts {
        connect: timeouts.value(&CONNECT),
        first_byte: timeouts.value(&FIRST_BYTE),
        stall: timeouts.value(&STALL),
        idle: timeouts.value(&IDLE),
        silence: timeouts.value(&SILENCE),
    }
}

fn read_queue(table: &Table<'_>, pool: &str, adaptive: bool, endpoints: &[Endpoint]) -> QueueSettings {
    let Some(queue) = table.table(&QUEUE) else { return QueueSettings::default() };
    let limited = |endpoint: &Endpoint| endpoint.requests_max.is_some() || endpoint.connections_max.is_some();
    if !adaptive && !endpoints.is_empty() && !endpoints.iter().any(limited) {
        table.tell(Problem::QueueUnused { pool: pool.to_owned() }, queue.place());
    }
    QueueSettings { length_max: queue.value(&LENGTH) as u32, wait_max: queue.value(&WAIT) }
}
