//! Who is logged in at the site, and what proves it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tentpole_runtime::clock;
use tentpole_runtime::random::Random;

use crate::origin::Seen;

/// In `X-For`: made for a visitor who is not logged in.
pub const ANONYMOUS: &str = "anonymous";
/// In `X-For`: the same for everyone.
pub const ANYONE: &str = "anyone";

/// How many people can be known; later ones cannot log in.
const PEOPLE_MAX: usize = 10_000;
const NAME_BYTES_MAX: usize = 40;

/// Somebody who has logged in.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Account {
    /// The name, as given.
    pub name: String,
    /// What stands in everything personal: `marker-<name>-<random>`.
    pub marker: String,
    /// The session's identifier: the value of the cookie `session`, and of `Authorization: Bearer`.
    pub session: String,
}

#[derive(Debug)]
pub(super) struct People {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: Random,
    by_session: HashMap<String, Account>,
}

impl People {
    pub(super) fn new() -> Self {
        // Differs between runs, so that what an earlier run has left in a cache is recognised as foreign.
        let seed = clock::now().unix_us() ^ (u64::from(std::process::id()) << 40);
        Self { state: Mutex::new(State { random: Random::from_seed(seed), by_session: HashMap::new() }) }
    }

    /// Logs somebody in; `None` when the name is no name or there are too many people.
    pub(super) fn log_in(&self, name: &str) -> Option<Account> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(good) {
            return None;
        }
        let marker = format!("marker-{name}-{}", self.random());
        let account = Account { name: name.to_owned(), marker, session: format!("s{}", self.random()) };
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.by_session.len() >= PEOPLE_MAX {
            return None;
        }
        state.by_session.insert(account.session.clone(), account.clone());
        Some(account)
    }

    /// Who the cookie says it is.
    pub(super) fn by_cookie(&self, seen: &Seen) -> Option<Account> {
        self.by_session(seen.cookie("session")?)
    }

    /// Who `Authorization` says it is.
    pub(super) fn by_authorization(&self, seen: &Seen) -> Option<Account> {
        self.by_session(seen.header("authorization")?.strip_prefix("Bearer ")?)
    }

    /// Sixteen hexadecimal digits that were not given before.
    pub(super) fn random(&self) -> String {
        format!("{:016x}", self.state.lock().unwrap_or_else(PoisonError::into_inner).random.next_u64())
    }

    fn by_session(&self, session: &str) -> Option<Account> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).by_session.get(session).cloned()
    }
}
