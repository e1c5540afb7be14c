//! How an endpoint of a pool is chosen: `balance`, and what belongs to it.

use crate::forms::{Quantity, Text, Word};
use crate::problem::Problem;
use crate::setting::{Fallback, Setting};
use crate::table::Table;
use tentpole_model::{Balance, HashBy, Hashing};

pub(crate) static BALANCE: Setting<Word<Balance>> = Setting {
    name: "balance",
    form: Word {
        words: &[
            (
                "least_requests",
                Balance::LeastRequests,
                "Of two endpoints drawn at random, the one with fewer requests in flight.",
            ),
            ("round_robin", Balance::RoundRobin, "Each in turn, by weight."),
            (
                "peak_ewma",
                Balance::PeakEwma,
                "Of two endpoints drawn at random, the one expected to answer sooner, by how long it took lately and its \
                 requests in flight. One that becomes slow is left alone at its first slow answers.",
            ),
            (
                "consistent_hash",
                Balance::ConsistentHash,
                "The same endpoint for requests that are alike by `hash`, while it has room.",
            ),
        ],
    },
    default: Fallback::Value(|| Balance::LeastRequests),
    about: "How an endpoint is chosen.",
    example: "\"round_robin\"",
};

pub(crate) static HASH: Setting<Text> = Setting {
    name: "hash",
    form: Text { what: "\"path\", \"address\", \"cookie:NAME\" or \"header:NAME\"" },
    default: Fallback::Absent("\"path\""),
    about: "What makes requests alike for `consistent_hash`: the path without its query, the visitor's address, a cookie, or \
            a header field. Where a request has none, or the endpoint is not told because the answer may be stored for \
            others, it is balanced by `least_requests`.",
    example: "\"cookie:cart\"",
};

pub(crate) static LOAD_FACTOR: Setting<Quantity> = Setting {
    name: "load_factor",
    form: Quantity::new(1.0, 100.0),
    default: Fallback::Value(|| 1.25),
    about: "How much more than its part of the requests in flight an endpoint takes with `consistent_hash`, before those \
            that would be too many go elsewhere. Smaller spreads better, larger keeps more together.",
    example: "1.25",
};

/// Reads `hash` and `load_factor`.
pub(crate) fn read_hashing(table: &Table<'_>, balance: Balance) -> Hashing {
    let (by, factor) = (table.optional(&HASH), table.optional(&LOAD_FACTOR));
    let places = [
        (HASH.name, by.as_ref().map(|typed| &typed.place)),
        (LOAD_FACTOR.name, factor.as_ref().map(|typed| &typed.place)),
    ];
    if balance != Balance::ConsistentHash {
        for (name, place) in places.into_iter().filter_map(|(name, place)| place.map(|place| (name, place))) {
            table.tell(Problem::HashUnused { name }, place);
        }
    }
    let usual = Hashing::default();
    let by = by.and_then(|typed| {
        let by = parse(&typed.value);
        if by.is_none() {
            table.tell(Problem::HashBy { typed: typed.value.clone() }, &typed.place);
        }
        by
    });
    let percent = factor.map_or(usual.load_percent, |factor| (factor.value * 100.0).round() as u32);
    Hashing { by: by.unwrap_or(usual.by), load_percent: percent }
}

fn parse(typed: &str) -> Option<HashBy> {
    // What a field's name, and in practice a cookie's, is made of (RFC 9110 section 5.6.2).
    let is_name = |name: &&str| {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        !name.is_empty() && name.bytes().all(is_token)
    };
    match typed.split_once(':').map_or((typed, None), |(kind, name)| (kind, Some(name))) {
        ("path", None) => Some(HashBy::Path),
        ("address", None) => Some(HashBy::Address),
        ("cookie", Some(name)) => Some(name).filter(is_name).map(|name| HashBy::Cookie(name.to_owned())),
        ("header", Some(name)) => Some(name).filter(is_name).map(|name| HashBy::Header(name.to_owned())),
        _ => None,
    }
}
