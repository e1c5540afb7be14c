//! The top of the file: where Tentpole listens, and the sections below. Reads the whole file as typed.

use crate::address::{admin_address, listen_address};
use crate::forms::{Shaped, Whole};
use crate::problem::Problem;
use crate::report::{Place, Problems};
use crate::setting::{Fallback, Section, Setting};
use crate::table::{At, Table};
use crate::words::Cure;
use crate::{
    assets, cache, caching, content_network, disk, endpoint, endpoint_tls, files, filter, fleet, health,
    limits, log, outliers, pool, purge, resolving, retrying, room, scripts, site, staff, sticky, store, tls,
    visitors, zones,
};
use std::net::{Ipv4Addr, SocketAddr};
use tentpole_model::{FILTERS_MAX, Filter, LogSettings, NamesSettings, Staff, VisitorLimits};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub(crate) static SECTION: Section = Section {
    header: "the top of the file",
    also: None,
    about: "Before the first `[section]`.",
    settings: &[
        &LISTEN,
        &TLS,
        &ADMIN,
        &zones::OWN,
        &THREADS,
        &LOG,
        &LIMITS,
        &VISITORS,
        &FILTER,
        &CACHE,
        &POOL,
        &SITE,
        &STAFF,
        &PURGE,
        &CONTENT_NETWORK,
        &ROOM,
        &NAMES,
    ],
};

static LISTEN: Setting<Shaped> = Setting {
    name: "listen",
    form: Shaped { what: "an address in quotes or a list of them", inside: None },
    default: Fallback::Absent("`\"127.0.0.1:8080\"`"),
    about: "Addresses that visitors connect to: an IP address and a port. `\":8080\"` is every IPv4 address of the \
            machine, `\"[::]:8080\"` every IPv6 address, port 0 any free port.",
    example: "[\":80\", \"[::]:80\"]",
};

static ADMIN: Setting<Shaped> = Setting {
    name: "admin",
    form: Shaped { what: "an address of this machine in quotes, or \"off\"", inside: None },
    default: Fallback::Absent("`\"127.0.0.1:9900\"`"),
    about: "Address of the admin API, which `tentpole status` and `tentpole cache purge` ask. It asks for no password, so \
            it takes a loopback address only. `\"off\"` switches it off.",
    example: "\"127.0.0.1:9900\"",
};

static THREADS: Setting<Whole> = Setting {
    name: "threads",
    form: Whole::new(1, 256),
    default: Fallback::Absent("one for each core"),
    about: "Threads that move the bytes.",
    example: "2",
};

static LOG: Setting<Shaped> =
    part("log", &log::SECTION, "The access log.", "as below", "{ access = \"json\" }");
static TLS: Setting<Shaped> = part(
    "tls",
    &tls::SECTION,
    "HTTPS for visitors.",
    "none",
    "{ listen = \":443\", directory = \"/etc/tentpole/tls\" }",
);
static LIMITS: Setting<Shaped> = part(
    "limits",
    &limits::SECTION,
    "What a visitor's connection may cost.",
    "as below",
    "{ connections = 20000 }",
);
static VISITORS: Setting<Shaped> = part(
    "visitors",
    &visitors::SECTION,
    "Who in front of Tentpole is believed in what he says of visitors.",
    "nobody",
    "{ trusted = [\"10.0.0.5\"] }",
);
static FILTER: Setting<Shaped> = part(
    "filter",
    &filter::SECTION,
    "Who is let through, limited or refused, each rule under its name.",
    "none",
    "{ office = { action = \"allow\", from = \"203.0.113.0/24\" } }",
);
static CACHE: Setting<Shaped> =
    part("cache", &cache::SECTION, "The shared cache.", "as below", "{ memory = \"1GiB\" }");
static POOL: Setting<Shaped> = part(
    "pool",
    &pool::SECTION,
    "The pools, each under its name.",
    "none; one is needed",
    "{ app = { endpoints = [\"http://127.0.0.1:3000\"] } }",
);
static SITE: Setting<Shaped> = part(
    "site",
    &site::SECTION,
    "The sites, each under its name.",
    "one for every host, when there is only one pool",
    "{ shop = { pool = \"app\" } }",
);

static STAFF: Setting<Shaped> =
    part("staff", &staff::SECTION, "Who works here.", "nobody", "{ from = [\"10.0.0.0/8\"] }");

static PURGE: Setting<Shaped> = part(
    "purge",
    &purge::SECTION,
    "Who may empty the cache over HTTP.",
    "nobody",
    "{ from = [\"10.0.0.5\"] }",
);
static CONTENT_NETWORK: Setting<Shaped> = part(
    "content_network",
    &content_network::SECTION,
    "Content networks in front that are told of purges, each under its name.",
    "none",
    "{ front = { kind = \"fastly\", service = \"SU1Z0isxPaozGVKXdv0eY\" } }",
);

static ROOM: Setting<Shaped> = part(
    "room",
    &room::SECTION,
    "Waiting rooms, each under its name.",
    "none",
    "{ sale = { active = 300 } }",
);

static NAMES: Setting<Shaped> = part(
    "names",
    &resolving::SECTION,
    "Who is asked for the names of endpoints.",
    "as below",
    "{ servers = [\"10.0.0.2\"] }",
);

const fn part(
    name: &'static str,
    section: &'static Section,
    about: &'static str,
    default: &'static str,
    example: &'static str,
) -> Setting<Shaped> {
    let form = Shaped { what: "a section of its own", inside: Some(section) };
    Setting { name, form, default: Fallback::Absent(default), about, example }
}

/// Every section, in the order of the reference.
pub(crate) fn sections() -> [&'static Section; 34] {
    [
        &SECTION,
        &tls::SECTION,
        &tls::CERTIFICATE_SECTION,
        &log::SECTION,
        &limits::SECTION,
        &visitors::SECTION,
        &filter::SECTION,
        &cache::SECTION,
        &disk::SECTION,
        &pool::SECTION,
        &endpoint::SECTION,
        &fleet::SECTION,
        &health::HEALTH_SECTION,
        &outliers::SECTION,
        &sticky::SECTION,
        &files::SECTION,
        &store::SECTION,
        &scripts::SECTION,
        &pool::TIMEOUTS_SECTION,
        &crate::limit::SECTION,
        &pool::QUEUE_SECTION,
        &retrying::SECTION,
        &endpoint_tls::SECTION,
        &site::SECTION,
        &site::ROUTE_SECTION,
        &caching::SECTION,
        &caching::ROUTE_SECTION,
        &caching::QUERY_SECTION,
        &assets::SECTION,
        &staff::SECTION,
        &purge::SECTION,
        &content_network::SECTION,
        &room::SECTION,
        &resolving::SECTION,
    ]
}

/// Pools that one file takes.
const POOLS_MAX: usize = 1_000;
/// Sites that one file takes.
const SITES_MAX: usize = 10_000;
/// Content networks that one file takes.
const CONTENT_NETWORKS_MAX: usize = 16;
/// Listening addresses that one file takes.
const LISTEN_MAX: usize = 64;

/// The whole file as typed. `pools` and `sites` in the order of the file.
pub(crate) struct Typed {
    pub(crate) listen: Vec<At<SocketAddr>>,
    pub(crate) tls: tls::Typed,
    pub(crate) admin: At<Option<SocketAddr>>,
    pub(crate) zone: Option<At<String>>,
    pub(crate) threads: Option<usize>,
    pub(crate) log: LogSettings,
    pub(crate) visitors: VisitorLimits,
    pub(crate) front: visitors::Typed,
    pub(crate) cache: cache::TypedSection,
    /// `None` when they could not be told apart, which is told already; so with `sites`.
    pub(crate) pools: Option<Vec<pool::Typed>>,
    pub(crate) sites: Option<Vec<site::Typed>>,
    pub(crate) staff: Staff,
    pub(crate) purge: purge::Typed,
    pub(crate) content_networks: Vec<content_network::Typed>,
    pub(crate) rooms: Vec<room::Typed>,
    pub(crate) names: NamesSettings,
    pub(crate) filters: Vec<Filter>,
}

impl Default for Typed {
    /// What an empty file says.
    fn default() -> Self {
        let at = |port| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
        Self {
            listen: vec![At::new(at(8080), Place::Whole)],
            tls: tls::Typed::default(),
            admin: At::new(Some(at(9900)), Place::Whole),
            zone: None,
            threads: None,
            log: LogSettings::default(),
            visitors: VisitorLimits::default(),
            front: visitors::Typed::default(),
            cache: cache::TypedSection::default(),
            pools: Some(Vec::new()),
            sites: Some(Vec::new()),
            staff: Staff::default(),
            purge: purge::Typed::default(),
            content_networks: Vec::new(),
            rooms: Vec::new(),
            names: NamesSettings::default(),
            filters: Vec::new(),
        }
    }
}

/// Reads the whole file.
pub(crate) fn read<'t>(file: &'t Spanned<DeTable<'t>>, problems: &'t Problems<'t>) -> Typed {
    let table = Table::open(&SECTION, SECTION.header.to_owned(), Place::Whole, file.get_ref(), problems);
    let usual = Typed::default();
    Typed {
        listen: read_listen(&table).unwrap_or(usual.listen),
        tls: table.table(&TLS).map_or(usual.tls, |tls| tls::read(&tls)),
        admin: read_admin(&table).unwrap_or(usual.admin),
        zone: zones::own(&table),
        threads: table.optional(&THREADS).map(|threads| threads.value as usize),
        log: table.table(&LOG).map_or(usual.log, |log| log::read(&log)),
        visitors: table.table(&LIMITS).map_or(usual.visitors, |limits| limits::read(&limits)),
        front: table.table(&VISITORS).map_or(usual.front, |visitors| visitors::read(&visitors)),
        cache: table.table(&CACHE).map_or(usual.cache, |cache| cache::read(&cache)),
        pools: named(&table, &POOL, "pool", POOLS_MAX, pool::read),
        sites: named(&table, &SITE, "site", SITES_MAX, site::read),
        staff: table.table(&STAFF).map_or(usual.staff, |staff| staff::read(&staff)),
        purge: table.table(&PURGE).map_or(usual.purge, |purge| purge::read(&purge)),
        content_networks: named(
            &table,
            &CONTENT_NETWORK,
            "content_network",
            CONTENT_NETWORKS_MAX,
            content_network::read,
        )
        .unwrap_or_default(),
        rooms: named(&table, &ROOM, "room", room::ROOMS_MAX, room::read).unwrap_or_default(),
        names: table.table(&NAMES).map_or(usual.names, |names| resolving::read(&names)),
        filters: named(&table, &FILTER, "filter", FILTERS_MAX - 1, filter::read)
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .collect(),
    }
}

fn read_listen(table: &Table<'_>) -> Option<Vec<At<SocketAddr>>> {
    let value = table.raw(&LISTEN)?;
    let place = Place::Bytes(value.span());
    let items = match value.get_ref() {
        DeValue::Array(items) => &items[..],
        _ => std::slice::from_ref(value),
    };
    if items.is_empty() {
        let cure = "name at least one address, like \"127.0.0.1:8080\".";
        table.tell(Problem::Empty { name: LISTEN.name, cure }, &place);
    }
    if items.len() > LISTEN_MAX {
        table.tell(Problem::TooMany { what: "addresses", count: items.len(), most: LISTEN_MAX }, &place);
    }
    let mut addresses = Vec::new();
    for item in items.iter().take(LISTEN_MAX) {
        match (item.get_ref(), Place::Bytes(item.span())) {
            (DeValue::String(typed), place) => match listen_address(LISTEN.name, typed) {
                Ok(address) => addresses.push(At::new(address, place)),
                Err(problem) => table.tell(problem, &place),
            },
            (DeValue::Integer(port), place) => {
                let cure = Cure::new(format!("For port {port} on every IPv4 address: \":{port}\"."));
                table
                    .tell(Problem::NotAnAddress { name: LISTEN.name, typed: port.to_string(), cure }, &place);
            }
            _ => table.wrong_item(&LISTEN, item),
        }
    }
    Some(addresses)
}

fn read_admin(table: &Table<'_>) -> Option<At<Option<SocketAddr>>> {
    let value = table.raw(&ADMIN)?;
    let place = Place::Bytes(value.span());
    let DeValue::String(typed) = value.get_ref() else {
        table.wrong_type(&ADMIN, value);
        return None;
    };
    match admin(typed) {
        Ok(address) => Some(At::new(address, place)),
        Err(problem) => {
            table.tell(problem, &place);
            None
        }
    }
}

/// `off`, or a loopback address.
pub(crate) fn admin(typed: &str) -> Result<Option<SocketAddr>, Problem> {
    if typed == "off" { Ok(None) } else { admin_address(typed).map(Some) }
}

/// Reads the tables under `[what.NAME]`, in the order of the file; `None` when they have no names.
fn named<'t, T>(
    table: &Table<'t>,
    setting: &Setting<Shaped>,
    what: &'static str,
    most: usize,
    read: fn(&str, &Table<'_>) -> T,
) -> Option<Vec<T>> {
    let (Some(value), Some(section)) = (table.raw(setting), setting.form.inside) else {
        return Some(Vec::new());
    };
    let place = Place::Bytes(value.span());
    let DeValue::Table(entries) = value.get_ref() else {
        table.tell(Problem::Nameless { what }, &place);
        return None;
    };
    // `[pool]` with the settings of a pool right below it.
    if entries.values().any(|value| !value.get_ref().is_table()) {
        table.tell(Problem::Nameless { what }, &place);
        return None;
    }
    if entries.len() > most {
        let plural = match what {
            "pool" => "pools",
            "site" => "sites",
            "filter" => "filters",
            "room" => "rooms",
            _ => "content networks",
        };
        table.tell(Problem::TooMany { what: plural, count: entries.len(), most }, &place);
    }
    let mut inside: Vec<_> = entries.iter().take(most).collect();
    inside.sort_by_key(|(key, _)| key.span().start);
    let mut found = Vec::new();
    for (key, value) in inside {
        let DeValue::Table(entries) = value.get_ref() else { continue };
        let name: &str = key.get_ref();
        if !is_name(name) {
            table.tell(Problem::BadName { what, name: name.to_owned() }, &Place::Bytes(key.span()));
        }
        let place = Place::Bytes(value.span());
        let inner = Table::open(section, format!("[{what}.{name}]"), place, entries, table.problems());
        found.push(read(name, &inner));
    }
    Some(found)
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// Checks a number of threads that was not read from the file.
pub(crate) fn threads(number: u64) -> Result<usize, Problem> {
    THREADS.form.check(THREADS.name, number.into(), number.to_string()).map(|number| number as usize)
}
