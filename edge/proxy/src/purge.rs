//! Cache keys, and emptying the cache by URL. A key is made of the target that an endpoint is asked for, so that
//! two requests share an object exactly when they would ask for the same thing.

use crate::thread::Shared;
use std::sync::Arc;
use tentpole_model::{Canonical, PurgeError, PurgeOrder, PurgePort, PurgeWhat, Purged};

/// Writes the key of a request: host in lower case without the default port, and the forwarded target.
pub fn write_key(key: &mut Vec<u8>, host: &[u8], target: &[u8]) {
    key.clear();
    key.extend_from_slice(host.strip_suffix(b":80").unwrap_or(host));
    key.make_ascii_lowercase();
    // No host holds a NUL, so no two requests can be mistaken for one another.
    key.push(0);
    key.extend_from_slice(target);
}

/// The host in a key: an endpoint is asked for the host that its answer is stored under.
pub fn host_of(key: &[u8]) -> &[u8] {
    key.split(|&byte| byte == 0).next().unwrap_or_default()
}

/// Purges what the edge shares.
pub struct Purger {
    /// Cache and routes.
    pub shared: Arc<Shared>,
}

impl PurgePort for Purger {
    fn purge(&self, order: &PurgeOrder) -> Result<Purged, PurgeError> {
        let cache = &self.shared.cache;
        match &order.what {
            PurgeWhat::Url(url) => Ok(cache.purge(&cache.key(&self.key_of(url)?))),
            PurgeWhat::All => Ok(cache.purge_all()),
            PurgeWhat::Prefix(_) | PurgeWhat::Site(_) => Err(PurgeError::NoSuchSite),
            PurgeWhat::Tags { .. } => Err(PurgeError::Tags),
        }
    }
}

impl Purger {
    fn key_of(&self, url: &str) -> Result<Vec<u8>, PurgeError> {
        let (scheme, rest) = url.split_once("://").ok_or(PurgeError::NotAnUrl)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(PurgeError::NotAnUrl);
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(path_at);
        // Visitors leave the default port out of Host; that of http is `write_key`'s.
        let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        if host.is_empty() || host.contains('@') {
            return Err(PurgeError::NotAnUrl);
        }
        let (path, query) = target.split_at(target.find('?').unwrap_or(target.len()));
        let path = if path.is_empty() { "/" } else { path };

        let prepared = self.shared.prepared.get();
        let site = prepared.table.site(host.as_bytes()).ok_or(PurgeError::NoSuchSite)?;
        let rules = prepared.site(site);
        let mut canonical = Vec::new();
        let changed = tentpole_route::canonical_path(path.as_bytes(), rules.merge_slashes, &mut canonical)
            .map_err(|_| PurgeError::NotAnUrl)?;
        let mut target = match rules.canonical {
            Canonical::Redirect | Canonical::Rewrite if changed => canonical,
            _ => path.as_bytes().to_vec(),
        };
        target.extend_from_slice(query.as_bytes());
        let mut key = Vec::new();
        write_key(&mut key, host.as_bytes(), &target);
        Ok(key)
    }
}
