//! What of a request says which endpoint it goes to, where requests that are alike go to the same one.

use serde::{Deserialize, Serialize};

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

impl Default for Hashing {
    fn default() -> Self {
        Self { by: HashBy::Path, load_percent: 125 }
    }
}
