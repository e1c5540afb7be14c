//! The endpoints of a pool: a URL, or a table with a URL and its limits.

use crate::address;
use crate::forms::{Text, Whole};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use tentpole_model::Endpoint;
use toml::Spanned;
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "endpoints = [{ … }]",
    also: None,
    about: "One address in a pool. A URL alone is enough; with limits or a weight it is a table: \
            `endpoints = [\"http://127.0.0.1:3000\", { url = \"http://127.0.0.1:3001\", weight = 2 }]`.",
    settings: &[&URL, &WEIGHT, &TIER, &REQUESTS_MAX, &CONNECTIONS_MAX],
};

static URL: Setting<Text> = Setting {
    name: "url",
    form: Text { what: "a URL in quotes: scheme, host and port" },
    default: Fallback::Required,
    about: "Scheme, host and port. A name is looked up again every 30 seconds. The port is 80 when left out.",
    example: "\"http://127.0.0.1:3000\"",
};

static WEIGHT: Setting<Whole> = Setting {
    name: "weight",
    form: Whole::new(1, 100).below("To stop traffic to an endpoint, drain it."),
    default: Fallback::Value(|| 1),
    about: "Its share of the requests against its siblings: 2 gets twice as many as 1.",
    example: "2",
};

static TIER: Setting<Whole> = Setting {
    name: "tier",
    form: Whole::new(0, 9),
    default: Fallback::Value(|| 0),
    about: "An endpoint of tier 1 gets requests only while no endpoint of tier 0 takes any: all are down or drained. And so \
            on for higher tiers.",
    example: "1",
};

static REQUESTS_MAX: Setting<Whole> = Setting {
    name: "requests_max",
    form: Whole::new(1, 1_000_000),
    default: Fallback::Absent("no limit"),
    about: "Requests in flight at most; more wait in the pool's queue. For an application server with a fixed \
            number of workers, that number.",
    example: "50",
};

static CONNECTIONS_MAX: Setting<Whole> = Setting {
    name: "connections_max",
    form: Whole::new(1, 1_000_000),
    default: Fallback::Absent("no limit"),
    about: "Open connections at most, idle ones included.",
    example: "100",
};

/// Reads one item of `endpoints`.
pub(crate) fn read(item: &Spanned<DeValue<'_>>, pool: &Table<'_>) -> Option<At<Endpoint>> {
    let place = Place::Bytes(item.span());
    match item.get_ref() {
        DeValue::String(url) => from_url(url, &place, pool).map(|endpoint| At::new(endpoint, place)),
        DeValue::Table(entries) => {
            let table = Table::open(&SECTION, "the endpoint".to_owned(), place, entries, pool.problems());
            let url = table.required(&URL);
            let requests_max = table.optional(&REQUESTS_MAX);
            let connections_max = table.optional(&CONNECTIONS_MAX);
            if let (Some(requests), Some(connections)) = (&requests_max, &connections_max)
                && requests.value > connections.value
            {
                let problem = Problem::RequestsAboveConnections {
                    requests: requests.value,
                    connections: connections.value,
                };
                table.tell(problem, &requests.place);
            }
            let weight = table.value(&WEIGHT) as u32;
            let tier = table.value(&TIER) as u32;
            let limit = |limit: Option<At<u64>>| limit.map(|limit| limit.value as u32);
            let url = url?;
            let endpoint = from_url(&url.value, &url.place, pool)?;
            let (requests_max, connections_max) = (limit(requests_max), limit(connections_max));
            Some(At::new(Endpoint { weight, tier, requests_max, connections_max, ..endpoint }, url.place))
        }
        _ => {
            pool.wrong_item(&super::pool::ENDPOINTS, item);
            None
        }
    }
}

fn from_url(url: &str, place: &Place, pool: &Table<'_>) -> Option<Endpoint> {
    match address::endpoint(url) {
        Ok(endpoint) => Some(endpoint),
        Err(problem) => {
            pool.tell(problem, place);
            None
        }
    }
}
