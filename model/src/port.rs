//! What the control plane may ask of the edge. The edge implements it, `cli` hands it over; neither knows the
//! other.

use serde::{Deserialize, Serialize};

/// Empties the cache precisely.
pub trait PurgePort: Send + Sync {
    /// Removes every stored response for the URL (all its variants) and keeps fills under way from being
    /// stored. When it returns, no thread serves the old one.
    ///
    /// `url` is absolute: `http://host[:port]/path?query`.
    fn purge_url(&self, url: &str) -> Result<Purged, PurgeError>;

    /// Removes everything.
    fn purge_all(&self) -> Purged;
}

/// What a purge did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Stored responses removed.
    pub objects: u64,
    /// Fills under way that will not be stored.
    pub fills: u64,
}

/// Why a purge could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PurgeError {
    /// Not an absolute http URL.
    NotAnUrl,
    /// No site answers for its host.
    NoSuchSite,
}
