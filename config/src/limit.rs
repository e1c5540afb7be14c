//! `limit` of a pool: how many requests each endpoint gets at once, as a number or as what is found.

use crate::forms::{Shaped, Whole};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Form, Section, Setting, Wrong};
use crate::table::{At, Table};
use tentpole_model::{AdaptiveLimit, Endpoint};
use toml::de::DeValue;

pub(crate) static LIMIT: Setting<Shaped> = Setting {
    name: "limit",
    form: Shaped { what: "a number, \"adaptive\", \"guard\", \"none\" or a table", inside: Some(&SECTION) },
    default: Fallback::Absent("`\"guard\"`"),
    about: "Requests in flight at each endpoint at most; more wait in the pool's queue. A number: that many, where an endpoint \
            has no `requests_max` of its own. `\"adaptive\"`: as many as it carries, which is found while requests wait; \
            `requests_max` is the most then. A table says where that begins and ends. `\"guard\"`: none, until visitors leave \
            unserved or the endpoint fails under what it got; never where an endpoint has `requests_max` or `connections_max`. \
            `\"none\"`: none but those.",
    example: "\"adaptive\"",
};

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.limit]",
    also: None,
    about: "A limit that follows what each endpoint carries: see [limits](limits.md).",
    settings: &[&START, &MIN, &MAX],
};

/// As far as a fixed one may go.
const NUMBER: Whole = Whole::new(1, 1_000_000);

static START: Setting<Whole> = Setting {
    name: "start",
    form: NUMBER,
    default: Fallback::Value(|| u64::from(AdaptiveLimit::default().start)),
    about: "What it begins with until something was found: the number of workers, say. What is found under load is kept in the state \
            directory and is where it begins from then on, until another `start` is written here. When it is left out, between `min` \
            and `max`.",
    example: "32",
};

static MIN: Setting<Whole> = Setting {
    name: "min",
    form: NUMBER,
    default: Fallback::Value(|| u64::from(AdaptiveLimit::default().min)),
    about: "Never below.",
    example: "4",
};

static MAX: Setting<Whole> = Setting {
    name: "max",
    form: NUMBER,
    default: Fallback::Value(|| u64::from(AdaptiveLimit::default().max)),
    about: "Never above.",
    example: "200",
};

/// What `limit` of a pool says.
pub(crate) struct Limit {
    /// It follows what each endpoint carries.
    pub(crate) adaptive: Option<AdaptiveLimit>,
    /// There is none until there is harm.
    pub(crate) guard: bool,
    /// The endpoints, with what is fixed.
    pub(crate) endpoints: Vec<Endpoint>,
}

/// Reads it.
pub(crate) fn read(pool: &Table<'_>, endpoints: Vec<Endpoint>) -> Limit {
    let (adaptive, endpoints) = read_value(pool, endpoints);
    let is_off = pool.raw(&LIMIT).is_some_and(|value| value.get_ref().as_str() == Some("none"));
    let limited = |one: &Endpoint| one.requests_max.is_some() || one.connections_max.is_some();
    let guard = adaptive.is_none() && !is_off && !endpoints.iter().any(limited);
    Limit { adaptive, guard, endpoints }
}

fn read_value(pool: &Table<'_>, endpoints: Vec<Endpoint>) -> (Option<AdaptiveLimit>, Vec<Endpoint>) {
    let Some(value) = pool.raw(&LIMIT) else { return (None, endpoints) };
    let place = Place::Bytes(value.span());
    match value.get_ref() {
        DeValue::Integer(_) => match NUMBER.read(LIMIT.name, value) {
            Ok(limit) => (None, with_limit(endpoints, limit as u32)),
            Err(Wrong::Value(problem)) => {
                pool.tell(problem, &place);
                (None, endpoints)
            }
            Err(Wrong::Type) => (None, endpoints),
        },
        DeValue::String(word) if word.as_ref() == "adaptive" => (Some(AdaptiveLimit::default()), endpoints),
        DeValue::String(word) if matches!(word.as_ref(), "guard" | "none") => (None, endpoints),
        DeValue::String(word) => {
            pool.tell(Problem::NoLimit { typed: word.to_string() }, &place);
            (None, endpoints)
        }
        DeValue::Table(_) => (pool.table(&LIMIT).map(|table| read_adaptive(&table)), endpoints),
        _ => {
            pool.wrong_type(&LIMIT, value);
            (None, endpoints)
        }
    }
}

fn with_limit(endpoints: Vec<Endpoint>, limit: u32) -> Vec<Endpoint> {
    let limited = |one: Endpoint| Endpoint { requests_max: one.requests_max.or(Some(limit)), ..one };
    endpoints.into_iter().map(limited).collect()
}

fn read_adaptive(table: &Table<'_>) -> AdaptiveLimit {
    let (start, min, max) = (table.optional(&START), table.optional(&MIN), table.optional(&MAX));
    let number = |typed: &Option<At<u64>>, usual: u64| typed.as_ref().map_or(usual, |typed| typed.value);
    let least = number(&min, MIN.usual());
    let most = number(&max, MAX.usual().max(least));
    if let (true, Some(max)) = (least > most, max.or(min)) {
        table.tell(Problem::MinAboveMax { min: least, max: most }, &max.place);
        return AdaptiveLimit::default();
    }
    let begin = number(&start, START.usual().clamp(least, most));
    if let (false, Some(start)) = ((least..=most).contains(&begin), &start) {
        table.tell(Problem::LimitStart { start: begin, min: least, max: most }, &start.place);
    }
    let is_start_told = start.is_some();
    AdaptiveLimit { start: begin as u32, is_start_told, min: least as u32, max: most as u32 }
}
