//! What the control plane may ask of the edge. The edge implements it, `cli` hands it over; neither knows the
//! other.

use serde::{Deserialize, Serialize};

/// Empties the cache precisely.
pub trait PurgePort: Send + Sync {
    /// Removes what the order names, or makes it stale, and keeps fills of it that are under way from being stored. When
    /// it returns, no thread serves the old as though it were fresh.
    ///
    /// # Errors
    /// When the order cannot be understood; nothing was purged then.
    fn purge(&self, order: &PurgeOrder) -> Result<Purged, PurgeError>;

    /// The same of what somebody had purged at an edge beside this one.
    ///
    /// # Errors
    /// As [`PurgePort::purge`].
    fn purge_beside(&self, by: crate::PurgedBy, order: &PurgeOrder) -> Result<Purged, PurgeError>;
}

/// What is to be purged, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PurgeOrder {
    /// What.
    pub what: PurgeWhat,
    /// Soft: it stays stored, is stale from now on, and may be served once more while it is fetched anew.
    pub soft: bool,
}

/// What is to be purged. URLs are absolute: `http://host[:port]/path?query`, the scheme may be `https`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PurgeWhat {
    /// All variants of one URL.
    Url(String),
    /// Every URL that begins with this one.
    Prefix(String),
    /// Everything that carries one of these tags (`Cache-Tag`, `Surrogate-Key`, `xkey`, `X-Magento-Tags`).
    Tags {
        /// Of this site only, by its name in the configuration; `None` is every site.
        site: Option<String>,
        /// The tags, as the application writes them; upper and lower case differ.
        tags: Vec<String>,
    },
    /// Everything of one site, by its name in the configuration.
    Site(String),
    /// Everything.
    All,
}

/// What a purge did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Stored responses in memory that were removed, or made stale. What lies on disk is not counted: it is no longer
    /// found.
    pub objects: u64,
    /// Fills under way that will not be stored.
    pub fills: u64,
}

/// Why a purge could not be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PurgeError {
    /// Not an absolute http URL.
    NotAnUrl,
    /// No site answers for its host, or has this name.
    NoSuchSite,
    /// No tag, or more of them than one order may name.
    Tags,
}

impl PurgeOrder {
    /// Removes.
    pub const fn hard(what: PurgeWhat) -> Self {
        Self { what, soft: false }
    }
}
