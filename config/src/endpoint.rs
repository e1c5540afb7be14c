//! The endpoints of a pool: a URL, or a table with a URL and its limits.

use crate::address;
use crate::forms::{Text, Whole};
use crate::problem::Problem;
use crate::report::Place;
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use crate::zones;
use tentpole_model::Endpoint;
use toml::Spanned;
use toml::de::DeValue;

pub(crate) static SECTION: Section = Section {
    header: "endpoints = [{ … }]",
    also: None,
    about: "One address in a pool. A URL alone is enough; with limits or a weight it is a table: \
            `endpoints = [\"http://127.0.0.1:3000\", { url = \"http://127.0.0.1:3001\", weight = 2 }]`.",
    settings: &[&URL, &WEIGHT, &TIER, &zones::OF_ENDPOINT, &REQUESTS_MAX, &CONNECTIONS_MAX, &ADDRESSES_MAX],
};

static URL: Setting<Text> = Setting {
    name: "url",
    form: Text { what: "a URL in quotes: scheme, host and port" },
    default: Fallback::Required,
    about: "Scheme, host and port. The port is 80 when left out, and 443 with `https://`, which speaks TLS: see `tls`. Each \
            address of a name is an endpoint of its own, with its own health and limits; it is looked up again when its time \
            (TTL) is over. `srv://` and a name is a service (SRV): targets with ports, priorities as tiers, and weights. An \
            application that listens at a Unix socket: `http://unix:/run/app.sock`. One that speaks FastCGI, such as php-fpm: \
            `fastcgi://unix:/run/php/php-fpm.sock`, or `fastcgi://127.0.0.1:9000`, with the port 9000 when left out.",
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
    about: "An endpoint of tier 1 gets requests only while those of tier 0 cannot carry all of them: too many are down or \
            drained (`overprovisioning`). And so on for higher tiers.",
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
    about: "Open connections at most, idle ones included. To php-fpm, connections are kept only where this is set: each \
            occupies one of its workers as long as it is open. Set it to `pm.max_children`, or leave it out.",
    example: "100",
};

static ADDRESSES_MAX: Setting<Whole> = Setting {
    name: "addresses_max",
    form: Whole::new(1, 64),
    default: Fallback::Value(|| 8),
    about: "Addresses of its name that are used; further ones are not. With 1 all of them are one endpoint, which is dialed \
            at the first one that answers, as it is for `localhost`.",
    example: "16",
};

/// Reads one item of `endpoints`.
pub(crate) fn read(item: &Spanned<DeValue<'_>>, pool: &Table<'_>) -> Option<(At<Endpoint>, u16)> {
    let place = Place::Bytes(item.span());
    match item.get_ref() {
        DeValue::String(url) => {
            from_url(url, &place, pool).map(|endpoint| (At::new(endpoint, place), usual_addresses()))
        }
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
            let addresses_max = table.value(&ADDRESSES_MAX) as u16;
            let zone = zones::of_endpoint(&table);
            let limit = |limit: Option<At<u64>>| limit.map(|limit| limit.value as u32);
            let url = url?;
            let endpoint = from_url(&url.value, &url.place, pool)?;
            let (requests_max, connections_max) = (limit(requests_max), limit(connections_max));
            let endpoint = Endpoint { weight, tier, zone, requests_max, connections_max, ..endpoint };
            Some((At::new(endpoint, url.place), addresses_max))
        }
        _ => {
            pool.wrong_item(&super::pool::ENDPOINTS, item);
            None
        }
    }
}

/// Addresses of a name that are used when nothing is said.
pub(crate) fn usual_addresses() -> u16 {
    ADDRESSES_MAX.usual() as u16
}

/// An endpoint for each address that its name may have; it alone where it has no name, or one of this machine
/// (RFC 6761 section 6.3), whose addresses are one machine's.
pub(crate) fn with_slots(endpoint: At<Endpoint>, addresses_max: u16) -> Vec<At<Endpoint>> {
    let At { value, place } = endpoint;
    let is_local = value.host == "localhost" || value.host.ends_with(".localhost");
    if addresses_max == 1 || is_local || value.asked().is_none() {
        return vec![At::new(value, place)];
    }
    let slot = |slot| At::new(Endpoint { slot: Some(slot), ..value.clone() }, place.clone());
    (0..addresses_max).map(slot).collect()
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
