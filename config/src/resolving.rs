//! `[names]`: who is asked for the names of endpoints, and for how long an answer counts.

use crate::forms::{Shaped, Span, Word};
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use crate::words::{Cure, show_duration};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tentpole_model::{Family, NamesSettings};

pub(crate) static SECTION: Section = Section {
    header: "[names]",
    also: None,
    about: "Who is asked for the names of endpoints, and for how long an answer counts. `docs/names.md` says more.",
    settings: &[&SERVERS, &TTL_MIN, &TTL_MAX, &HOLD, &FAMILY],
};

/// Name servers that are taken.
const SERVERS_MAX: usize = 8;
/// The port of name servers.
const PORT: u16 = 53;

static SERVERS: Setting<Shaped> = Setting {
    name: "servers",
    form: Shaped { what: "an address in quotes or a list of them", inside: None },
    default: Fallback::Absent("those of `/etc/resolv.conf`"),
    about: "Name servers, each asked when the one before it gives no answer. The port is 53 when left out.",
    example: "[\"127.0.0.1:5353\"]",
};

static TTL_MIN: Setting<Span> = Setting {
    name: "ttl_min",
    form: Span::new(Duration::from_secs(1), Duration::from_secs(3_600)),
    default: Fallback::Value(|| NamesSettings::default().ttl_min),
    about: "An answer counts at least this long, whatever its own time (TTL) is.",
    example: "\"1s\"",
};

static TTL_MAX: Setting<Span> = Setting {
    name: "ttl_max",
    form: Span::new(Duration::from_secs(1), Duration::from_secs(86_400)),
    default: Fallback::Value(|| NamesSettings::default().ttl_max),
    about: "And at most this long.",
    example: "\"1h\"",
};

static HOLD: Setting<Span> = Setting {
    name: "absent_hold",
    form: Span::new(Duration::ZERO, Duration::from_secs(86_400)),
    default: Fallback::Value(|| NamesSettings::default().absent_hold),
    about: "When name servers say that a name is no more, its last addresses are kept this long, and longer where their \
            pool has no other endpoint. A name server that says nothing changes nothing, however long.",
    example: "\"30s\"",
};

static FAMILY: Setting<Word<Family>> = Setting {
    name: "family",
    form: Word {
        words: &[
            ("ipv4", Family::Ipv4, "the IPv4 addresses; those of IPv6 where there are no others"),
            ("ipv6", Family::Ipv6, "the IPv6 addresses; those of IPv4 where there are no others"),
        ],
    },
    default: Fallback::Value(|| NamesSettings::default().family),
    about: "Which addresses count where a name has both: one machine must not be two endpoints.",
    example: "\"ipv6\"",
};

/// Reads `[names]`.
pub(crate) fn read(table: &Table<'_>) -> NamesSettings {
    let cure = "name at least one, or leave it out to ask those of `/etc/resolv.conf`.";
    let mut servers = Vec::new();
    for typed in table.texts(&SERVERS, SERVERS_MAX, "name servers", Some(cure)).unwrap_or_default() {
        let ip = || Some(SocketAddr::new(typed.value.parse::<IpAddr>().ok()?, PORT));
        match typed.value.parse::<SocketAddr>().ok().filter(|address| address.port() != 0).or_else(ip) {
            Some(address) => servers.push(address),
            None => {
                let (typed_as, cure) = (
                    format!("{:?}", typed.value),
                    Cure::new("A name server has no name that could be looked up."),
                );
                table.tell(Problem::NotAnAddress { name: SERVERS.name, typed: typed_as, cure }, &typed.place);
            }
        }
    }
    let (ttl_min, ttl_max) = (table.value(&TTL_MIN), table.value(&TTL_MAX));
    if ttl_min > ttl_max {
        let problem = Problem::TtlMinAboveMax { min: show_duration(ttl_min), max: show_duration(ttl_max) };
        table.tell(problem, table.place());
    }
    NamesSettings { servers, ttl_min, ttl_max, absent_hold: table.value(&HOLD), family: table.value(&FAMILY) }
}
