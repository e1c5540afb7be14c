//! Cache keys, and emptying the cache by URL, prefix, tag or site. A key is made of the target that an endpoint is asked
//! for, so that two requests share an object exactly when they would ask for the same thing. Whose host a key has is
//! asked of the route table, here as for requests.

use crate::key::KeysOfUrl;
use crate::on_disk;
use crate::prepare::Prepared;
use crate::search::Searches;
use crate::thread::Shared;
use std::sync::Arc;
use tentpole_cache::{KeyTest, Selector, Tag, TagSet};
use tentpole_disk::Purging;
use tentpole_model::{Canonical, PurgeError, PurgeOrder, PurgePort, PurgeWhat, Purged, PurgedBy, SiteId};

/// Tags that one order may name. Magento names some hundred in one pattern.
const TAGS_MAX: usize = 4_096;

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
        self.purge_by(PurgedBy::Admin, order)
    }

    fn purge_beside(&self, by: PurgedBy, order: &PurgeOrder) -> Result<Purged, PurgeError> {
        self.purge_by(by, order)
    }
}

impl Purger {
    /// [`PurgePort::purge`], told of as wanted by somebody else.
    pub fn purge_by(&self, by: PurgedBy, order: &PurgeOrder) -> Result<Purged, PurgeError> {
        let (purged, purging) = self.in_force(order)?;
        self.shared.purges.add(by, order.what.said(), None, order.soft, purged.objects);
        // What cannot be made safe has been told at the terminal: it is in force all the same.
        purging.map(Purging::wait);
        Ok(purged)
    }

    /// [`PurgePort::purge`] for those who must not stand still: in force when it returns, and safe from a crash when
    /// what it returns is done. An order is answered then.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn in_force(&self, order: &PurgeOrder) -> Result<(Purged, Option<Purging>), PurgeError> {
        let selector = self.selector(&order.what)?;
        let site = match &order.what {
            PurgeWhat::Site(site) | PurgeWhat::Tags { site: Some(site), .. } => Some(site.as_str()),
            _ => None,
        };
        Ok(on_disk::purge_both(&self.shared, &selector, site, order.soft))
    }

    /// What an order names, in the words of those who store.
    ///
    /// # Errors
    /// When it cannot be understood.
    pub fn selector(&self, what: &PurgeWhat) -> Result<Selector, PurgeError> {
        let prepared = self.shared.prepared.get();
        Ok(match what {
            PurgeWhat::Url(url) => {
                let url = Url::parse(url)?;
                let path = if url.path.is_empty() { "/" } else { url.path };
                Url { path, ..url }.keys(&prepared, &self.shared.searches)?.selector(prepared.groups())
            }
            PurgeWhat::Prefix(url) => Selector::Prefix(Url::parse(url)?.key(&prepared)?),
            PurgeWhat::Tags { site, tags } => {
                if tags.is_empty() || tags.len() > TAGS_MAX {
                    return Err(PurgeError::Tags);
                }
                let tags: Vec<Tag> = tags.iter().map(|tag| Tag::of(tag.as_bytes())).collect();
                let within = site.as_ref().map(|name| keys_of(name, &prepared)).transpose()?;
                Selector::Tags { tags: TagSet::new(&tags), within }
            }
            PurgeWhat::Site(name) => Selector::Where(keys_of(name, &prepared)?),
            PurgeWhat::All => Selector::All,
        })
    }
}

/// Whether a key is one of the site with this name.
fn keys_of(name: &str, prepared: &Arc<Prepared>) -> Result<KeyTest, PurgeError> {
    let named = prepared.snapshot.sites.iter().position(|site| site.name == name);
    let wanted = named.map(|at| SiteId(at as u16)).ok_or(PurgeError::NoSuchSite)?;
    let prepared = prepared.clone();
    Ok(Arc::new(move |key| prepared.table.site(host_of(key)) == Some(wanted)))
}

/// The parts of an absolute URL that a key is made of.
#[derive(Clone, Copy)]
struct Url<'a> {
    host: &'a str,
    path: &'a str,
    /// With its question mark.
    query: &'a str,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, PurgeError> {
        let (scheme, rest) = url.split_once("://").ok_or(PurgeError::NotAnUrl)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(PurgeError::NotAnUrl);
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let path_at = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, rest) = rest.split_at(path_at);
        // Visitors leave the default port out of Host; that of http is `write_key`'s.
        let default_port = if scheme.eq_ignore_ascii_case("https") { ":443" } else { ":80" };
        let host = host.strip_suffix(default_port).unwrap_or(host);
        if host.is_empty() || host.contains('@') {
            return Err(PurgeError::NotAnUrl);
        }
        let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
        Ok(Self { host, path, query })
    }

    /// The keys of what answers it.
    fn keys(self, prepared: &Prepared, searches: &Searches) -> Result<KeysOfUrl, PurgeError> {
        let site = prepared.table.site(self.host.as_bytes()).ok_or(PurgeError::NoSuchSite)?;
        let rules = prepared.site(site);
        let mut canonical = Vec::new();
        let changed =
            tentpole_route::canonical_path(self.path.as_bytes(), rules.merge_slashes, &mut canonical)
                .map_err(|_| PurgeError::NotAnUrl)?;
        let path = if changed { &canonical[..] } else { self.path.as_bytes() };
        let forwarded = if rules.canonical == Canonical::Forward { self.path.as_bytes() } else { path };
        let mut query = Vec::new();
        match prepared.table.route(site, path) {
            Some(matched) => {
                let caching = prepared.route(matched.route).caching;
                prepared.key_rules(caching).query.write(self.query.as_bytes(), &mut query);
            }
            // Nothing is stored there: any key will do.
            None => query.extend_from_slice(self.query.as_bytes()),
        }
        Ok(KeysOfUrl::new(searches, self.host.as_bytes(), forwarded, &query))
    }

    /// With half a URL, the beginning of keys.
    fn key(self, prepared: &Prepared) -> Result<Box<[u8]>, PurgeError> {
        let site = prepared.table.site(self.host.as_bytes()).ok_or(PurgeError::NoSuchSite)?;
        let rules = prepared.site(site);
        // A host alone is a beginning, and so is a query behind it.
        let path = if self.path.is_empty() && !self.query.is_empty() { "/" } else { self.path };
        let mut target = path.as_bytes().to_vec();
        if !path.is_empty() {
            let mut canonical = Vec::new();
            let changed =
                tentpole_route::canonical_path(path.as_bytes(), rules.merge_slashes, &mut canonical)
                    .map_err(|_| PurgeError::NotAnUrl)?;
            if changed && matches!(rules.canonical, Canonical::Redirect | Canonical::Rewrite) {
                target = canonical;
            }
        }
        target.extend_from_slice(self.query.as_bytes());
        let mut key = Vec::new();
        write_key(&mut key, self.host.as_bytes(), &target);
        Ok(key.into())
    }
}
