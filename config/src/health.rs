//! `[pool.NAME.health]`: how endpoints are asked whether they are well.

use crate::forms::{Shaped, Span, Switch, Text, Whole, Word};
use crate::pool::FLEET;
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Described, Fallback, Section, Setting};
use crate::table::Table;
use crate::visitors::is_field_name;
use crate::words::show_duration;
use std::time::Duration;
use tentpole_model::{HealthCheck, ProbeMethod};
use toml::Spanned;
use toml::de::DeValue;

/// Fields that one probe brings.
const FIELDS_MAX: usize = 16;
/// Statuses and classes that one check lists.
const STATUSES_MAX: usize = 32;
/// Bytes of what the content must hold, of a field's value and of a host.
const TEXT_MAX: usize = 1_024;

pub(crate) static HEALTH: Setting<Shaped> = Setting {
    name: "health",
    form: Shaped { what: "a path, or a table with a path", inside: Some(&HEALTH_SECTION) },
    default: Fallback::Absent("no probes: only failed requests tell"),
    about: "Asks each endpoint regularly whether it is well. A path alone is enough: `health = \"/health\"`. The last \
            endpoint of a pool stays in it, however it is.",
    example: "{ path = \"/health\", interval = \"2s\" }",
};

pub(crate) static HEALTH_SECTION: Section = Section {
    header: "[pool.NAME.health]",
    also: None,
    about: "Probes: each endpoint is asked now and then, a little more or less often, so that not all are asked at once. \
            They bring the pool's `send` too.",
    settings: &[
        &PATH,
        &METHOD,
        &HOST,
        &PORT,
        &FIELDS,
        &STATUS,
        &BODY,
        &TCP,
        &INTERVAL,
        &TIMEOUT,
        &HEALTHY_AFTER,
        &UNHEALTHY_AFTER,
    ],
};

static PATH: Setting<Text> = Setting {
    name: "path",
    form: Text { what: "a path in quotes" },
    default: Fallback::Absent("none; needed unless `tcp` is true"),
    about: "The path that is asked for.",
    example: "\"/health\"",
};

static METHOD: Setting<Word<ProbeMethod>> = Setting {
    name: "method",
    form: Word {
        words: &[
            ("GET", ProbeMethod::Get, "the page itself"),
            ("HEAD", ProbeMethod::Head, "only its head"),
            ("OPTIONS", ProbeMethod::Options, "what may be asked"),
        ],
    },
    default: Fallback::Value(|| ProbeMethod::Get),
    about: "How it is asked for.",
    example: "\"HEAD\"",
};

static HOST: Setting<Text> = Setting {
    name: "host",
    form: Text { what: "a host in quotes" },
    default: Fallback::Absent("the endpoint's own"),
    about: "The `Host` of the question: for applications that answer by it.",
    example: "\"shop.example\"",
};

static PORT: Setting<Whole> = Setting {
    name: "port",
    form: Whole::new(1, 65_535),
    default: Fallback::Absent("the endpoint's own"),
    about: "The port that is asked, where the application answers for its health elsewhere.",
    example: "8081",
};

static FIELDS: Setting<Shaped> = Setting {
    name: "fields",
    form: Shaped { what: "a table of fields, each with its value", inside: None },
    default: Fallback::Absent("none"),
    about: "Fields that the question brings. Secrets belong in the pool's `send`, which probes bring too.",
    example: "{ X-Probe = \"deep\" }",
};

static STATUS: Setting<Shaped> = Setting {
    name: "status",
    form: Shaped { what: "a status, a class like \"2xx\", or a list of them", inside: None },
    default: Fallback::Absent("`[\"2xx\", \"3xx\"]`"),
    about: "Which answers pass.",
    example: "[200, \"3xx\"]",
};

static BODY: Setting<Text> = Setting {
    name: "body",
    form: Text { what: "a text in quotes" },
    default: Fallback::Absent("any content passes"),
    about: "What the content must hold, within its first 64 KiB.",
    example: "\"\\\"db\\\":\\\"ok\\\"\"",
};

static TCP: Setting<Switch> = Setting {
    name: "tcp",
    form: Switch,
    default: Fallback::Value(|| false),
    about: "Nothing is asked: whoever takes a connection is well.",
    example: "true",
};

static INTERVAL: Setting<Span> = Setting {
    name: "interval",
    form: Span::new(Duration::from_millis(10), Duration::from_secs(3_600)),
    default: Fallback::Value(|| HealthCheck::default().interval),
    about: "Time between two probes of one endpoint.",
    example: "\"2s\"",
};

static TIMEOUT: Setting<Span> = Setting {
    name: "timeout",
    form: Span::new(Duration::from_millis(1), Duration::from_secs(600)),
    default: Fallback::Value(|| HealthCheck::default().timeout),
    about: "How long one probe may take. When it is left out, never longer than `interval`.",
    example: "\"1s\"",
};

static HEALTHY_AFTER: Setting<Whole> = Setting {
    name: "healthy_after",
    form: Whole::new(1, 100),
    default: Fallback::Value(|| u64::from(HealthCheck::default().healthy_after)),
    about: "Good probes in a row until an endpoint comes back.",
    example: "2",
};

static UNHEALTHY_AFTER: Setting<Whole> = Setting {
    name: "unhealthy_after",
    form: Whole::new(1, 100),
    default: Fallback::Value(|| u64::from(HealthCheck::default().unhealthy_after)),
    about: "Bad probes in a row until an endpoint goes.",
    example: "3",
};

/// Probes of `path` with the defaults for everything else.
pub(crate) fn usual_health(path: &str) -> Result<HealthCheck, Problem> {
    if !is_path(path) {
        return Err(Problem::HealthPath { typed: path.to_owned(), meant: meant_path(path) });
    }
    Ok(HealthCheck { path: path.to_owned(), ..HealthCheck::default() })
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

pub(crate) fn read(table: &Table<'_>) -> Option<HealthCheck> {
    let value = table.raw(&HEALTH)?;
    let place = Place::Bytes(value.span());
    let checked =
        |path: &str, place: &Place| usual_health(path).map_err(|problem| table.tell(problem, place)).ok();
    match value.get_ref() {
        DeValue::String(path) => checked(path, &place),
        DeValue::Table(_) => {
            let health = table.table(&HEALTH)?;
            let connect_only = health.value(&TCP);
            let path = if connect_only { health.optional(&PATH) } else { health.required(&PATH) };
            let interval = health.value(&INTERVAL);
            let asked = HealthCheck {
                connect_only,
                method: health.value(&METHOD),
                host: read_host(&health),
                port: read_port(&health, table.raw(&FLEET).is_some()),
                fields: read_fields(&health),
                statuses: read_statuses(&health),
                body: read_body(&health),
                interval,
                timeout: read_probe_timeout(&health, interval),
                healthy_after: health.value(&HEALTHY_AFTER) as u32,
                unhealthy_after: health.value(&UNHEALTHY_AFTER) as u32,
                ..HealthCheck::default()
            };
            if connect_only {
                tell_unasked(&health);
                return Some(asked);
            }
            let path = path?;
            let check = checked(&path.value, &path.place)?;
            Some(HealthCheck { path: check.path, ..asked })
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

fn read_host(health: &Table<'_>) -> Option<String> {
    let host = health.optional(&HOST)?;
    let is_host = |typed: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        !typed.is_empty() && typed.len() <= TEXT_MAX && typed.bytes().all(plain)
    };
    if !is_host(&host.value) {
        health.tell(Problem::ProbeHost { typed: host.value.clone() }, &host.place);
    }
    Some(host.value)
}

fn read_port(health: &Table<'_>, of_fleet: bool) -> Option<u16> {
    let port = health.optional(&PORT)?;
    if of_fleet {
        health.tell(Problem::ProbePortOfFleet {}, &port.place);
    }
    u16::try_from(port.value).ok()
}

fn read_body(health: &Table<'_>) -> Option<String> {
    let body = health.optional(&BODY)?;
    if body.value.is_empty() || body.value.len() > TEXT_MAX {
        let cure = "write a few words of the answer, or leave it out.";
        health.tell(Problem::Empty { name: BODY.name, cure }, &body.place);
    }
    if health.value(&METHOD) == ProbeMethod::Head {
        health.tell(Problem::BodyOfHead {}, &body.place);
    }
    Some(body.value)
}

fn read_fields(health: &Table<'_>) -> Vec<(String, String)> {
    let Some(value) = health.raw(&FIELDS) else { return Vec::new() };
    let place = Place::Bytes(value.span());
    let DeValue::Table(entries) = value.get_ref() else {
        health.wrong_type(&FIELDS, value);
        return Vec::new();
    };
    if entries.len() > FIELDS_MAX {
        health.tell(Problem::TooMany { what: "fields", count: entries.len(), most: FIELDS_MAX }, &place);
    }
    let mut fields = Vec::new();
    for (key, value) in entries.iter().take(FIELDS_MAX) {
        let name: &str = key.get_ref();
        let DeValue::String(text) = value.get_ref() else {
            health.no_text(&FIELDS, format!("{name:?} in `{}`", FIELDS.name), value);
            continue;
        };
        let frames = ["host", "connection", "content-length", "transfer-encoding", "user-agent", "accept"];
        let is_ours = frames.iter().any(|ours| name.eq_ignore_ascii_case(ours));
        let is_value = text.len() <= TEXT_MAX && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
        if is_ours || !is_field_name(name) || !is_value {
            health.tell(Problem::ProbeField { typed: name.to_owned() }, &Place::Bytes(key.span()));
        }
        fields.push((name.to_owned(), text.to_string()));
    }
    fields
}

fn read_statuses(health: &Table<'_>) -> Vec<(u16, u16)> {
    let Some(value) = health.raw(&STATUS) else { return HealthCheck::default().statuses };
    let place = Place::Bytes(value.span());
    let items = match value.get_ref() {
        DeValue::Array(items) => &items[..],
        _ => std::slice::from_ref(value),
    };
    if items.is_empty() {
        let cure = "name at least one, like [200, \"3xx\"].";
        health.tell(Problem::Empty { name: STATUS.name, cure }, &place);
    }
    if items.len() > STATUSES_MAX {
        let (count, most) = (items.len(), STATUSES_MAX);
        health.tell(Problem::TooMany { what: "statuses", count, most }, &place);
    }
    let mut statuses = Vec::new();
    for item in items.iter().take(STATUSES_MAX) {
        match status(item) {
            Some(range) => statuses.push(range),
            None => {
                let typed = match item.get_ref() {
                    DeValue::String(text) => format!("{text:?}"),
                    DeValue::Integer(number) => number.to_string(),
                    _ => {
                        health.wrong_item(&STATUS, item);
                        continue;
                    }
                };
                health.tell(Problem::ProbeStatus { typed }, &Place::Bytes(item.span()));
            }
        }
    }
    statuses
}

/// `200`, `"200"` or `"2xx"`: from and to.
fn status(item: &Spanned<DeValue<'_>>) -> Option<(u16, u16)> {
    let text = match item.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        _ => return None,
    };
    if let Some(class) = text.strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok()) {
        return (2..=5).contains(&class).then_some((class * 100, class * 100 + 99));
    }
    let one = text.parse().ok().filter(|status| (200..=599).contains(status))?;
    Some((one, one))
}

/// Nothing is asked, so nothing can be said of the question or the answer.
fn tell_unasked(health: &Table<'_>) {
    let of_a_question: [&dyn Described; 6] = [&PATH, &METHOD, &HOST, &FIELDS, &STATUS, &BODY];
    let written = [
        health.raw(&PATH),
        health.raw(&METHOD),
        health.raw(&HOST),
        health.raw(&FIELDS),
        health.raw(&STATUS),
        health.raw(&BODY),
    ];
    for (setting, value) in of_a_question.into_iter().zip(written) {
        if let Some(value) = value {
            health.tell(Problem::ProbeAsksNothing { name: setting.name() }, &Place::Bytes(value.span()));
        }
    }
}
