//! `retry` and `source_addresses` of a pool: when requests are sent again, and where connections come from.

use crate::forms::{Percent, Shaped, Text, Whole, Word};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use crate::words::{Hint, parse_duration};
use std::net::IpAddr;
use std::time::Duration;
use tentpole_model::{ATTEMPTS_MAX, Hedge, RetryMethods, RetryOn, Retrying};
use toml::de::DeValue;

pub(crate) static RETRY: Setting<Shaped> = Setting {
    name: "retry",
    form: Shaped { what: "a table", inside: Some(&SECTION) },
    default: Fallback::Absent("as below"),
    about: "When a request is sent once more.",
    example: "{ on = [\"connect\", \"reset\", 503] }",
};

pub(crate) static SOURCE_ADDRESSES: Setting<Shaped> = Setting {
    name: "source_addresses",
    form: Shaped { what: "a list of addresses of this machine", inside: None },
    default: Fallback::Absent("the system chooses"),
    about: "Where connections to the endpoints come from, in turn. Each has ports of its own towards each endpoint: some \
            28,000 by default.",
    example: "[\"10.0.0.5\", \"10.0.0.6\"]",
};

pub(crate) static SECTION: Section = Section {
    header: "[pool.NAME.retry]",
    also: None,
    about: "When a request is sent once more. What may have had an effect never is, unless `methods` says so; nor is a request whose \
            body was begun.",
    settings: &[&ON, &METHODS, &ATTEMPTS, &BUDGET, &BUDGET_MIN, &HEDGE],
};

static ON: Setting<Shaped> = Setting {
    name: "on",
    form: Shaped {
        what: "a list of \"connect\", \"reset\", \"timeout\" and statuses from 400 to 599",
        inside: None,
    },
    default: Fallback::Absent("[\"connect\", \"reset\"]"),
    about: "After what. `connect`: no connection came about. `reset`: it broke before the first byte of an answer. \
            `timeout`: none came within `first_byte`. A status: the endpoint answered with it, without a `Retry-After`.",
    example: "[\"connect\", \"reset\", 502, 503]",
};

static METHODS: Setting<Word<RetryMethods>> = Setting {
    name: "methods",
    form: Word {
        words: &[
            ("safe", RetryMethods::Safe, "GET, HEAD and OPTIONS."),
            ("idempotent", RetryMethods::Idempotent, "PUT and DELETE too."),
            ("all", RetryMethods::All, "All: the application itself takes care of orders that come twice."),
        ],
    },
    default: Fallback::Value(|| RetryMethods::Safe),
    about: "Which requests may be sent again although an endpoint may have seen them. One that no endpoint has seen may be, \
            whatever its method.",
    example: "\"idempotent\"",
};

static ATTEMPTS: Setting<Whole> = Setting {
    name: "attempts",
    form: Whole::new(1, ATTEMPTS_MAX as u64).below("To send nothing again, say 1."),
    default: Fallback::Value(|| Retrying::default().attempts_max.into()),
    about: "Attempts of one request at most, the first included.",
    example: "2",
};

static BUDGET: Setting<Percent> = Setting {
    name: "budget",
    form: Percent { min: 0, max: 100 },
    default: Fallback::Value(|| f64::from(Retrying::default().budget_percent) / 100.0),
    about: "Copies that endpoints may be sent, as a share of the pool's requests over the last ten seconds or so. Requests that \
            reached no endpoint are no copies.",
    example: "\"20%\"",
};

static BUDGET_MIN: Setting<Whole> = Setting {
    name: "budget_min",
    form: Whole::new(0, 10_000),
    default: Fallback::Value(|| Retrying::default().budget_min_per_s.into()),
    about: "Copies a second that are allowed besides, so that a small site has some.",
    example: "3",
};

static HEDGE: Setting<Text> = Setting {
    name: "hedge",
    form: Text { what: "\"off\", a percentile as \"p95\", or a duration" },
    default: Fallback::Absent("\"off\""),
    about: "When a second copy of a safe request goes to another endpoint although the first has not failed: once it has \
            waited longer for its first byte than 95 % of the pool's requests did lately, or after a time. The first answer is \
            used. Copies come out of `budget`.",
    example: "\"p95\"",
};

/// Addresses that one pool takes.
const SOURCES_MAX: usize = 64;
/// Things in `on`.
const ON_MAX: usize = 64;

/// Reads `retry`.
pub(crate) fn read(pool: &Table<'_>) -> Retrying {
    let Some(table) = pool.table(&RETRY) else { return Retrying::default() };
    Retrying {
        on: read_on(&table).unwrap_or_default(),
        methods: table.value(&METHODS),
        attempts_max: table.value(&ATTEMPTS) as u32,
        budget_percent: (table.value(&BUDGET) * 100.0).round() as u32,
        budget_min_per_s: table.value(&BUDGET_MIN) as u32,
        hedge: read_hedge(&table).unwrap_or(Hedge::Off),
    }
}

/// Reads `source_addresses`.
pub(crate) fn read_sources(pool: &Table<'_>) -> Vec<IpAddr> {
    let texts = pool.texts(&SOURCE_ADDRESSES, SOURCES_MAX, "addresses in `source_addresses`", None);
    let mut addresses = Vec::new();
    for text in texts.unwrap_or_default() {
        match text.value.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => {
                let words = "an address of this machine, like \"10.0.0.5\"";
                pool.tell(unknown("an item of source_addresses", text.value, words), &text.place);
            }
        }
    }
    addresses
}

fn read_on(table: &Table<'_>) -> Option<RetryOn> {
    let value = table.raw(&ON)?;
    let DeValue::Array(items) = value.get_ref() else {
        table.wrong_type(&ON, value);
        return None;
    };
    let place = Place::Bytes(value.span());
    if items.len() > ON_MAX {
        table.tell(Problem::TooMany { what: "things in `on`", count: items.len(), most: ON_MAX }, &place);
    }
    let mut on = RetryOn { connect: false, reset: false, timeout: false, statuses: Vec::new() };
    for item in items.iter().take(ON_MAX) {
        let place = Place::Bytes(item.span());
        match item.get_ref() {
            DeValue::String(word) => match word.as_ref() {
                "connect" => on.connect = true,
                "reset" => on.reset = true,
                "timeout" => on.timeout = true,
                _ => {
                    let words = "\"connect\", \"reset\", \"timeout\" or a status";
                    table.tell(unknown("an item of on", word.to_string(), words), &place);
                }
            },
            DeValue::Integer(number) => {
                let status = i128::from_str_radix(number.as_str(), number.radix()).unwrap_or(i128::MAX);
                match Whole::new(400, 599).check("a status in on", status, number.to_string()) {
                    Ok(status) => on.statuses.push(status as u16),
                    Err(problem) => table.tell(problem, &place),
                }
            }
            _ => table.wrong_item(&ON, item),
        }
    }
    Some(on)
}

fn read_hedge(table: &Table<'_>) -> Option<Hedge> {
    let typed = table.optional(&HEDGE)?;
    let text = typed.value.as_str();
    let percentile = text.strip_prefix('p').and_then(|digits| digits.parse().ok());
    let hedge = match (text, percentile, parse_duration(text)) {
        ("off", ..) => Some(Hedge::Off),
        (_, Some(percent @ 50..=99), _) => Some(Hedge::Slowest(percent)),
        (_, None, Some(after)) if after >= Duration::from_millis(1) => Some(Hedge::After(after)),
        _ => None,
    };
    if hedge.is_none() {
        let words = "\"off\", a percentile from \"p50\" to \"p99\", or a duration like \"50ms\"";
        table.tell(unknown(HEDGE.name, typed.value.clone(), words), &typed.place);
    }
    hedge
}

fn unknown(name: &str, typed: String, words: &str) -> Problem {
    let hint =
        Hint::near(&typed, ["connect", "reset", "timeout"].into_iter().filter(|word| words.contains(word)));
    Problem::UnknownWord { name: name.to_owned(), typed, words: words.to_owned(), hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(lines: &str) -> Result<tentpole_model::Pool, String> {
        let text = format!("[pool.app]\nendpoints = [\"http://127.0.0.1:3000\"]\n{lines}\n");
        match crate::parse("tentpole.toml", &text) {
            Ok(mut loaded) => Ok(loaded.snapshot.pools.remove(0)),
            Err(report) => Err(report.to_string()),
        }
    }

    #[test]
    fn what_is_left_out_is_as_usual() {
        assert_eq!(pool("").unwrap().retrying, Retrying::default());
        let read = pool("retry = { attempts = 2 }").unwrap().retrying;
        assert_eq!(read, Retrying { attempts_max: 2, ..Retrying::default() });
    }

    #[test]
    fn all_of_it_is_read() {
        let lines = "retry = { on = [\"timeout\", 502, 503], methods = \"all\", budget = \"5%\", budget_min = 0, hedge = \"p99\" }\n\
                     source_addresses = [\"10.0.0.5\", \"fd00::1\"]";
        let read = pool(lines).unwrap();
        let on = RetryOn { connect: false, reset: false, timeout: true, statuses: vec![502, 503] };
        let wanted = Retrying {
            on,
            methods: RetryMethods::All,
            attempts_max: 3,
            budget_percent: 5,
            budget_min_per_s: 0,
            hedge: Hedge::Slowest(99),
        };
        assert_eq!(read.retrying, wanted);
        assert_eq!(
            read.source_addresses,
            [IpAddr::from([10, 0, 0, 5]), "fd00::1".parse::<IpAddr>().unwrap()]
        );
        let after = pool("retry = { hedge = \"20ms\" }").unwrap().retrying.hedge;
        assert_eq!(after, Hedge::After(Duration::from_millis(20)));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for (line, said) in [
            ("retry = { on = [\"conect\"] }", "an item of on cannot be \"conect\"; it can be \"connect\""),
            ("retry = { on = [200] }", "a status in on is 200; it must be 400 to 599"),
            ("retry = { on = 503 }", "a list of \"connect\""),
            ("retry = { hedge = \"p100\" }", "hedge cannot be \"p100\"; it can be \"off\", a percentile"),
            (
                "source_addresses = [\"eth0\"]",
                "source_addresses cannot be \"eth0\"; it can be an address of this machine",
            ),
        ] {
            let told = pool(line).unwrap_err();
            assert!(told.contains(said), "{line}\n{told}");
        }
    }
}
