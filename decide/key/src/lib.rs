//! What makes two requests the same: which query parameters and cookies count, and what of `Accept-Encoding`,
//! `Accept-Language` and `User-Agent` can change an answer. Pure functions over bytes; never panics on any input, and
//! allocates nothing but what the caller's buffers grow by. Knows neither messages nor storage.
//!
//! The principle that its callers keep: what the key does not hold, an endpoint is not told, whenever its answer may
//! be stored.

mod codings;
mod cookies;
mod device;
mod language;
mod names;
mod no_vary_search;
mod query;
mod structured;

pub use codings::{CodingWeights, Codings};
pub use cookies::{CookieRules, Cookies, KEYED_BYTES_MAX, Unclear};
pub use device::Device;
pub use language::lookup;
pub use no_vary_search::SearchVariance;
pub use query::{PARAMETERS_SORTED_MAX, Query};

use tentpole_model::Caching;

/// What a route says about keys, compiled once.
#[derive(Debug)]
pub struct KeyRules {
    /// Query parameters.
    pub query: Query,
    /// Cookies.
    pub cookies: CookieRules,
    /// Languages of the application, its default first; empty leaves `Accept-Language` as it came.
    pub languages: Vec<String>,
    /// `User-Agent` counts as its [`Device`] only.
    pub devices: bool,
}

impl KeyRules {
    /// Compiles what a route says.
    pub fn new(caching: &Caching) -> Self {
        Self {
            query: Query::new(&caching.query),
            cookies: CookieRules::new(&caching.cookies_ignored, &caching.cookies_keyed),
            languages: caching.languages.clone(),
            devices: caching.devices,
        }
    }
}
