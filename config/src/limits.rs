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
        &STREAMS,
        &WITHOUT_TLS,
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
        streams_max: table.value(&STREAMS) as u32,
        http2_without_tls: table.value(&WITHOUT_TLS),
    }
}
