//! What beside load says which endpoint a request goes to: what it asks for, where the endpoint is, and who served its
//! visitor before.

use crate::purging::Secret;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How [`crate::Balance::ConsistentHash`] tells requests apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashing {
    /// What is hashed.
    pub by: HashBy,
    /// How much of its part by weight of what is in flight an endpoint takes, in hundredths: from 100.
    pub load_percent: u32,
}

/// What is hashed: each as the endpoint is told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashBy {
    /// The path, without the query.
    Path,
    /// The cookie of this name.
    Cookie(String),
    /// The field of this name; its case does not count.
    Header(String),
    /// The visitor's address.
    Address,
}

/// What zones have to do with the choice of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Zones {
    /// Nothing: load is spread over all of them.
    Cross,
    /// Endpoints of the edge's own zone come first, as long as they have no more to do than the others.
    Near,
}

/// Visitors come back to the endpoint that served them, by a signed cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sticky {
    /// The cookie's name.
    pub cookie: String,
    /// What it is signed with; `None` is a key of the edge's own, which lies in its state directory.
    pub key: Option<Secret>,
    /// How long a visitor may stay away and still come back to the same endpoint.
    pub lifetime: Duration,
}

impl Default for Hashing {
    fn default() -> Self {
        Self { by: HashBy::Path, load_percent: 125 }
    }
}
