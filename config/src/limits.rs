//! `[limits]`: what a visitor's connection may cost.

use crate::forms::{Size, Span, Switch, Whole};
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use std::time::Duration;
use tentpole_model::VisitorLimits;

pub(crate) static SECTION: Section = Section {
    header: "[limits]",
    also: None,
    about: "What a visitor's connection may cost. Each limit that is reached is answered, counted and logged.",
    settings: &[
        &CONNECTIONS,
        &HEAD_TIME,
        &IDLE_TIME,
        &STALL_TIME,
        &HEAD_BYTES,
        &FIELDS,
        &DRAIN_TIME,
        &DRAIN_TIME_UPGRADE,
        &STREAMS,
        &WITHOUT_TLS,
        &PER_ADDRESS,
        &REFUSE_PER_ADDRESS,
        &PACE,
        &PACE_GRACE,
        &RATE_KEYS,
    ],
};

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);

static CONNECTIONS: Setting<Whole> = Setting {
    name: "connections",
    form: Whole::new(1, 1_000_000),
    default: Fallback::Value(|| VisitorLimits::default().connections_max as u64),
    about: "Open connections of visitors over all threads. One more gets a 503.",
    example: "16384",
};

static HEAD_TIME: Setting<Span> = Setting {
    name: "head_time",
    form: Span::new(MS, HOUR),
    default: Fallback::Value(|| VisitorLimits::default().head_time),
    about: "How long a request's head may take, from its first byte (or from connecting) to its last. Ends \
            connections that send a byte now and then to keep a place.",
    example: "\"10s\"",
};

static IDLE_TIME: Setting<Span> = Setting {
    name: "idle_time",
    form: Span::new(MS, HOUR),
    default: Fallback::Value(|| VisitorLimits::default().idle_time),
    about: "How long a connection may wait for its next request. Behind another proxy or content network, keep it \
            above that one's own idle time, or requests meet a closing connection.",
    example: "\"75s\"",
};

static STALL_TIME: Setting<Span> = Setting {
    name: "stall_time",
    form: Span::new(MS, HOUR),
    default: Fallback::Value(|| VisitorLimits::default().stall_time),
    about: "How long a body may stand still, in either direction.",
    example: "\"30s\"",
};

static HEAD_BYTES: Setting<Size> = Setting {
    name: "head_bytes",
    form: Size::new(1 << 10, 1 << 20),
    default: Fallback::Value(|| VisitorLimits::default().head_bytes_max as u64),
    about: "Request line and header together. A larger head gets a 431.",
    example: "\"32KiB\"",
};

static FIELDS: Setting<Whole> = Setting {
    name: "fields",
    // What the codec has room for (`http1::FIELDS_MAX`).
    form: Whole::new(8, 128),
    default: Fallback::Value(|| VisitorLimits::default().fields_max as u64),
    about: "Header fields in one head. More get a 431.",
    example: "100",
};

static DRAIN_TIME: Setting<Span> = Setting {
    name: "drain_time",
    form: Span::new(Duration::ZERO, HOUR),
    default: Fallback::Value(|| VisitorLimits::default().drain_time),
    about: "How long requests in flight may take to finish after Tentpole was asked to end.",
    example: "\"30s\"",
};

static DRAIN_TIME_UPGRADE: Setting<Span> = Setting {
    name: "drain_time_upgrade",
    form: Span::new(Duration::ZERO, Duration::from_secs(7 * 24 * 3_600)),
    default: Fallback::Value(|| VisitorLimits::default().drain_time_upgrade),
    about: "How long connections that were open before `tentpole upgrade` may go on at the edge of the old program: long \
            downloads, event streams, WebSockets. Visitors come to the new one at once.",
    example: "\"8h\"",
};

static STREAMS: Setting<Whole> = Setting {
    name: "http2_streams",
    form: Whole::new(1, 1_000),
    default: Fallback::Value(|| u64::from(VisitorLimits::default().streams_max)),
    about: "Requests that one connection of HTTP/2 may have under way at once. Browsers wait with more; whoever does not \
            is told to try again.",
    example: "100",
};

static WITHOUT_TLS: Setting<Switch> = Setting {
    name: "http2_without_tls",
    form: Switch,
    default: Fallback::Value(|| VisitorLimits::default().http2_without_tls),
    about: "A connection without TLS may begin with HTTP/2. No browser does that; balancers, and clients of gRPC, do.",
    example: "false",
};

static PER_ADDRESS: Setting<Whole> = Setting {
    name: "connections_per_address",
    form: Whole::new(1, 1_000_000),
    default: Fallback::Value(|| u64::from(VisitorLimits::default().per_address_max)),
    about: "Connections that one address, or one /64 of IPv6, may have open. More are counted, and refused only with \
            `refuse_per_address`. Those who are `trusted` in `[visitors]`, and networks that it calls `shared`, are not counted.",
    example: "100",
};

static REFUSE_PER_ADDRESS: Setting<Switch> = Setting {
    name: "refuse_per_address",
    form: Switch,
    default: Fallback::Value(|| VisitorLimits::default().per_address_refuses),
    about: "Connections above `connections_per_address` get a 429. Off by default: thousands may come by one address of a \
            mobile network. Look first what it would do (`tentpole_connections_reported_total`).",
    example: "true",
};

static PACE: Setting<Size> = Setting {
    name: "pace",
    form: Size::new(0, 1 << 20),
    default: Fallback::Value(|| VisitorLimits::default().pace_min),
    about: "Bytes a second that a visitor must send of a body, or take of a response, on the average of the time that is spent \
            waiting for him. Who is slower behind `pace_grace` is cut off. 0 asks for nothing.",
    example: "\"500B\"",
};

static PACE_GRACE: Setting<Span> = Setting {
    name: "pace_grace",
    form: Span::new(Duration::from_secs(1), Duration::from_secs(600)),
    default: Fallback::Value(|| VisitorLimits::default().pace_grace),
    about: "How long a visitor may be waited for before `pace` is asked of him.",
    example: "\"20s\"",
};

static RATE_KEYS: Setting<Whole> = Setting {
    name: "rate_keys",
    form: Whole::new(1_024, 100_000_000),
    default: Fallback::Value(|| VisitorLimits::default().rate_keys_max as u64),
    about: "Addresses, cookies and so on that are remembered for the rates of filters, 16 bytes each; none where no filter \
            has one. With more, those that asked least are forgotten, and nobody is refused for that.",
    example: "4000000",
};

/// Reads `[limits]`.
pub(crate) fn read(table: &Table<'_>) -> VisitorLimits {
    VisitorLimits {
        connections_max: table.value(&CONNECTIONS) as usize,
        head_time: table.value(&HEAD_TIME),
        idle_time: table.value(&IDLE_TIME),
        stall_time: table.value(&STALL_TIME),
        head_bytes_max: table.value(&HEAD_BYTES) as usize,
        fields_max: table.value(&FIELDS) as usize,
        drain_time: table.value(&DRAIN_TIME),
        drain_time_upgrade: table.value(&DRAIN_TIME_UPGRADE),
        streams_max: table.value(&STREAMS) as u32,
        http2_without_tls: table.value(&WITHOUT_TLS),
        per_address_max: table.value(&PER_ADDRESS) as u32,
        per_address_refuses: table.value(&REFUSE_PER_ADDRESS),
        pace_min: table.value(&PACE),
        pace_grace: table.value(&PACE_GRACE),
        rate_keys_max: table.value(&RATE_KEYS) as usize,
    }
}
