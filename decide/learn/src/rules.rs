//! What the edge is told to do, and undo. Read by data threads when they must fetch, never on a hit.

use crate::answers::group_of;
use crate::observation::{Dims, Traits};
use crate::page::Withdrawn;
use std::collections::HashMap;
use std::sync::Arc;

/// How answers for one URL may be shared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Another one after each change: what was begun under an older one is not stored.
    pub generation: u32,
    /// Seconds that a stored answer lives.
    pub lifetime_s: u16,
    /// Fields that the endpoint is told, and the stored answer is selected by. It is told nothing else.
    pub vary: Dims,
    /// For each group of requests that are alike in them ([`Rule::group`]), the hash of what visitors got last. What the edge
    /// fetches is stored if it is this; otherwise it asks once more, with the visitor's own request, and stores what
    /// both were answered.
    pub agreed: Arc<[(u64, u64)]>,
    /// Only one visitor has been seen there: to store, another one must ask, and get the same.
    pub seen_by: Option<u64>,
}

impl Rule {
    /// The group of a request with these traits, whose answer has this coding.
    pub fn group(&self, coding: u8, traits: &Traits) -> u64 {
        group_of(coding, traits, self.vary)
    }

    /// What visitors last got, who are alike in what matters.
    pub fn agreed(&self, group: u64) -> Option<u64> {
        self.agreed.iter().find(|(of, _)| *of == group).map(|&(_, hash)| hash)
    }
}

/// What is to be done after an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// This rule holds for the URL from now on.
    Set {
        /// Hash of the key.
        url: u64,
        /// The cache's key.
        key: Box<[u8]>,
        /// The rule.
        rule: Rule,
    },
    /// No rule holds for the URL any more; what is stored for it goes.
    Withdraw {
        /// Hash of the key.
        url: u64,
        /// The cache's key.
        key: Box<[u8]>,
        /// What contradicted it.
        why: Withdrawn,
    },
    /// What is stored for the URL is not what visitors get now: it goes, the rule stays.
    Outdated {
        /// The cache's key.
        key: Box<[u8]>,
    },
}

/// All rules in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    by_url: HashMap<u64, Rule>,
}

impl Rules {
    /// The rule for a URL.
    pub fn of(&self, url: u64) -> Option<&Rule> {
        self.by_url.get(&url)
    }

    /// Takes a change over.
    pub fn take(&mut self, change: &Change) {
        match change {
            Change::Set { url, rule, .. } => drop(self.by_url.insert(*url, rule.clone())),
            Change::Withdraw { url, .. } => drop(self.by_url.remove(url)),
            Change::Outdated { .. } => {}
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_url.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_url.is_empty()
    }
}
