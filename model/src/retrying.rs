//! When a request is sent once more, and when a second copy of it goes out before the first has answered.

use crate::Method;
use crate::labels::labels;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When and how often a pool's requests are sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retrying {
    /// After what.
    pub on: RetryOn,
    /// Which requests may be sent again although an endpoint may have seen them.
    pub methods: RetryMethods,
    /// Attempts of one request, the first included; 1 to [`crate::ATTEMPTS_MAX`].
    pub attempts_max: u32,
    /// Copies that endpoints may be sent, in percent of the pool's requests.
    pub budget_percent: u32,
    /// Copies a second that are allowed in any case.
    pub budget_min_per_s: u32,
    /// When a second copy of a slow request goes out.
    pub hedge: Hedge,
}

/// After what a request is sent again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryOn {
    /// No connection came about.
    pub connect: bool,
    /// The connection broke before the first byte of an answer.
    pub reset: bool,
    /// The endpoint did not begin to answer in time.
    pub timeout: bool,
    /// An answer with one of these statuses.
    pub statuses: Vec<u16>,
}

/// Which requests may be sent again although an endpoint may have seen them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RetryMethods {
    /// Those that change nothing (RFC 9110 section 9.2.1).
    Safe,
    /// PUT and DELETE too: twice is the same as once, where the application keeps to RFC 9110 section 9.2.2.
    Idempotent,
    /// All: the application itself takes care of those that come twice.
    All,
}

/// When a second copy of a safe request goes to another endpoint, although the first has not failed (Dean and Barroso,
/// "The Tail at Scale", 2013).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hedge {
    /// Never.
    Off,
    /// Once it has waited longer for its first byte than this many percent of the pool's requests did lately.
    Slowest(u32),
    /// After this time.
    After(Duration),
}

/// Why a request was not sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum NotAgain {
    /// As many copies as the pool's budget allows are out.
    BudgetSpent,
    /// It was tried as often as may be.
    AttemptsSpent,
    /// Nobody is left who was not asked.
    NowhereElse,
    /// The endpoint said after what time to come again.
    ToldToWait,
}

labels!(NotAgain {
    BudgetSpent = "budget_spent",
    AttemptsSpent = "attempts_spent",
    NowhereElse = "nowhere_else",
    ToldToWait = "told_to_wait",
});

impl RetryMethods {
    /// Whether a request with this method may be sent twice.
    pub fn allow(self, method: Method) -> bool {
        match self {
            Self::Safe => method.is_safe(),
            Self::Idempotent => method.is_safe() || matches!(method, Method::Put | Method::Delete),
            Self::All => true,
        }
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self { connect: true, reset: true, timeout: false, statuses: Vec::new() }
    }
}

impl Default for Retrying {
    fn default() -> Self {
        Self {
            on: RetryOn::default(),
            methods: RetryMethods::Safe,
            attempts_max: crate::ATTEMPTS_MAX as u32,
            budget_percent: 20,
            budget_min_per_s: 3,
            hedge: Hedge::Off,
        }
    }
}
