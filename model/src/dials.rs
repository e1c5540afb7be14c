//! What is turned while the edge runs: weights in force. Changes most often and recompiles nothing.

use serde::{Deserialize, Serialize};

/// The dials of all pools; parallel to `Snapshot::pools`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dials {
    /// For each pool, for each endpoint: its weight now. 0 drains: no new requests, those in flight finish.
    pub weights: Vec<Vec<u32>>,
}

impl Dials {
    /// The weights as configured.
    pub fn from_snapshot(snapshot: &crate::Snapshot) -> Self {
        let weights =
            snapshot.pools.iter().map(|pool| pool.endpoints.iter().map(|e| e.weight).collect()).collect();
        Self { weights }
    }
}
