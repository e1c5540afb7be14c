//! Filters: which requests are let through, limited or refused before anything is done for them. Already checked.

use crate::{HostPattern, Network};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Filters that one configuration takes: a record holds the number of one in a byte.
pub const FILTERS_MAX: usize = 200;

/// One filter. They are asked in written order, and the first that decides has the last word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// The name in the configuration.
    pub name: String,
    /// Only says what it would do: counts and logs, refuses nobody, and the next filter is asked.
    pub report: bool,
    /// Whom it is about.
    pub when: FilterWhen,
    /// What it does.
    pub action: FilterAction,
}

/// Whom a filter is about. Each condition that is given must hold; of a list, one entry. All empty is everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterWhen {
    /// The visitor's address is in one of these.
    pub from: Vec<Network>,
    /// The visitor's address is in none of these.
    pub not_from: Vec<Network>,
    /// The host that is asked for.
    pub hosts: Vec<HostPattern>,
    /// The path in canonical form: `/exact`, `/prefix/*` for a path and all below it, `*.ending`.
    pub paths: Vec<String>,
    /// The method as written.
    pub methods: Vec<String>,
    /// `User-Agent` holds one of these words, in whatever case; an empty one stands for none at all.
    pub user_agents: Vec<String>,
    /// None of these is in `User-Agent`.
    pub not_user_agents: Vec<String>,
    /// Each of these fields is there and holds one of its words, in whatever case; without a word it must only be there.
    pub fields: Vec<(String, Vec<String>)>,
}

/// What a filter does with those whom it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterAction {
    /// Lets them through; no filter behind it is asked.
    Allow,
    /// Refuses them (403).
    Deny,
    /// Refuses what is above a rate (429).
    Limit(RateLimit),
    /// Lets them through once their browser has solved a puzzle (403 until then).
    Challenge(Puzzle),
}

/// So many requests in a time, by the generic cell rate algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Requests in [`RateLimit::per`], at least 1.
    pub requests: u32,
    /// Not zero.
    pub per: Duration,
    /// Requests that may come at once, at least 1.
    pub burst: u32,
    /// What is counted together: all of these alike.
    pub by: Vec<LimitBy>,
    /// IPv6 addresses that share so many bits are one.
    pub ipv6_bits: u8,
}

/// What makes requests count together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LimitBy {
    /// The visitor's address.
    Address,
    /// A cookie's value; the address of who has none.
    Cookie(String),
    /// A field's value; the address of who has none.
    Field(String),
    /// The route.
    Route,
    /// The host.
    Host,
}

/// A puzzle that costs a browser a moment and a flood its computing time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Puzzle {
    /// Bits of a SHA-256 digest that must be zero: each more takes twice as long.
    pub bits: u8,
    /// How long a solution holds.
    pub lifetime: Duration,
}

/// What one filter did, as the edge tells it. Totals only grow while the edge runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilterFigures {
    /// The filter's name.
    pub name: String,
    /// Requests that it was about.
    pub matched: u64,
    /// Requests that it refused, challenges included.
    pub refused: u64,
    /// Requests that it would have refused, if it did not only report.
    pub reported: u64,
}

/// A client that was refused often lately.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedClient {
    /// Its address; of IPv6 the first of its /64.
    pub address: std::net::IpAddr,
    /// The filter that refused it last.
    pub filter: String,
    /// Refusals in the minute, at most.
    pub refused: u64,
    /// By how much that may be too many.
    pub error: u64,
}

/// What all filters did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenFigures {
    /// Each, in written order.
    pub filters: Vec<FilterFigures>,
    /// Who was refused most in the last whole minute, or in this one while there is none; most often first.
    pub top: Vec<RefusedClient>,
    /// Connections above the limit of their address: those that were served because it only reports.
    pub connections_reported: u64,
}
