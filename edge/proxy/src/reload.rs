//! Another Snapshot while visitors are served. Compiles it, lets every data thread take it, and only then says that it is
//! in force. What was stored by rules of sharing that no longer hold is served to nobody: from before the first thread
//! takes the new Snapshot until it is purged, the routes concerned go past the cache. Decides nothing about endpoints.

use crate::prepare::Prepared;
use crate::purge::host_of;
use crate::thread::Shared;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tentpole_cache::{KeyTest, Selector};
use tentpole_disk::{Purge, Purging};
use tentpole_listener::Doors;
use tentpole_model::{CachingId, RouteCache, RouteId, Site, Snapshot};
use tentpole_runtime::{Cells, InForce};
use tentpole_upstream::Gates;

/// Replaces the Snapshot of a running edge.
pub struct Reloader {
    pub(crate) shared: Arc<Shared>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) gates: Arc<Gates>,
    pub(crate) doors: Arc<Doors>,
}

impl Reloader {
    /// Serves `next` from now on; returns once every data thread has it and nothing is left that was stored by other
    /// rules. Blocks, and needs a tokio runtime around it. One at a time.
    ///
    /// # Errors
    /// When its routes do not compile: then nothing has changed.
    pub fn reload(&self, next: &InForce) -> Result<(), String> {
        let shared = &self.shared;
        let before = shared.prepared.get();
        let (own_key, rooms, limits) = (&shared.own_key, &shared.rooms, &shared.limits);
        let next = Prepared::new(next, &self.cells, &self.gates, own_key, rooms, limits)
            .map_err(|error| error.to_string())?;
        if let Some(secure) = &shared.secure {
            secure.follow(&next.snapshot.tls);
        }
        let changes = Changes::between(&before, &next);
        if changes.any {
            before.close(&changes.before);
            next.close(&changes.next);
        }
        next.learned_from(&before);
        self.doors.follow(&next.snapshot);
        shared.purging.set_relays(!next.snapshot.content_networks.is_empty());
        let version = shared.prepared.publish(next);
        tokio::runtime::Handle::current().block_on(shared.prepared.taken_by_all(version));
        let next = shared.prepared.get();
        if changes.any {
            // Every thread has looked up by the old rules for the last time: what it began then is a fill by now, and
            // marked by the purge.
            self.purge(&before, &next).map(Purging::wait);
            next.open();
        }
        drop(before);
        self.cells.forget_unused();
        self.gates.forget_unused();
        Ok(())
    }

    /// Takes away what was stored by other rules.
    fn purge(&self, before: &Arc<Prepared>, next: &Arc<Prepared>) -> Option<Purging> {
        let test: KeyTest = {
            let (before, next) = (before.clone(), next.clone());
            Arc::new(move |key| !is_alike(&before, &next, key))
        };
        let disk = self.shared.disk.as_ref();
        let purging = disk.map(|disk| match sites_concerned(&before.snapshot, &next.snapshot) {
            // On disk an object knows its site, but no route.
            Some(sites) => {
                let whats: Vec<Purge<'_>> =
                    sites.iter().map(|site| Purge::Site(disk.name(site.as_bytes()))).collect();
                disk.purge(&whats, false)
            }
            None => disk.purge(&[Purge::All], false),
        });
        self.shared.cache.purge_selected(&Selector::Where(test), false);
        purging
    }
}

/// The routes whose rules of sharing are not in both Snapshots alike.
struct Changes {
    any: bool,
    before: Vec<RouteId>,
    next: Vec<RouteId>,
}

impl Changes {
    fn between(before: &Prepared, next: &Prepared) -> Self {
        let none = Self { any: false, before: Vec::new(), next: Vec::new() };
        if is_same_for_all(&before.snapshot, &next.snapshot) || routes_alike(before, next) {
            return none;
        }
        let all = |prepared: &Prepared| (0..prepared.routes_count()).map(|at| RouteId(at as u32)).collect();
        Self { any: true, before: all(before), next: all(next) }
    }
}

/// Whether all that is cached, before and after, is cached by the same rules: then nothing that is stored can be read by
/// other rules than those it was stored by, whatever became of hosts and paths.
fn is_same_for_all(before: &Snapshot, next: &Snapshot) -> bool {
    let rules = |snapshot: &Snapshot| {
        let routes = snapshot.sites.iter().flat_map(|site| &site.routes);
        let cached = routes.filter(|route| route.cache == RouteCache::Standard);
        cached.map(|route| sharing(snapshot, route.caching)).collect::<HashSet<_>>()
    };
    let mut all = rules(before);
    all.extend(rules(next));
    // How paths are written in keys.
    let written = |site: &Site| (format!("{:?}", site.canonical), site.merge_slashes);
    let forms: HashSet<_> = before.sites.iter().chain(&next.sites).map(written).collect();
    all.len() <= 1 && forms.len() <= 1
}

/// Whether sites with their hosts, and routes with their rules, are the same ones.
fn routes_alike(before: &Prepared, next: &Prepared) -> bool {
    sites_concerned(&before.snapshot, &next.snapshot).is_some_and(|sites| sites.is_empty())
}

/// The sites of which something may have been stored by other rules; `None` when hosts moved, so that it may be any.
fn sites_concerned(before: &Snapshot, next: &Snapshot) -> Option<Vec<String>> {
    let hosts = |snapshot: &Snapshot| {
        let sites = snapshot.sites.iter();
        sites.map(|site| (site.name.clone(), site.hosts.clone())).collect::<HashSet<_>>()
    };
    if hosts(before) != hosts(next) {
        return None;
    }
    let rules = |snapshot: &Snapshot, name: &str| {
        let site = snapshot.sites.iter().find(|site| site.name == name);
        site.map(|site| {
            let route = |route: &tentpole_model::Route| {
                let cached = route.cache == RouteCache::Standard;
                (route.path.clone(), route.swallow_segments, cached.then(|| sharing(snapshot, route.caching)))
            };
            (site.canonical, site.merge_slashes, site.routes.iter().map(route).collect::<HashSet<_>>())
        })
    };
    let names = before.sites.iter().map(|site| &site.name);
    Some(names.filter(|name| rules(before, name) != rules(next, name)).cloned().collect())
}

/// Whether what is stored under this key was stored by the rules that hold for it now.
fn is_alike(before: &Prepared, next: &Prepared, key: &[u8]) -> bool {
    let rules = |prepared: &Prepared| {
        let host = host_of(key);
        let site = prepared.table.site(host)?;
        let rest = key.get(host.len() + 1..)?;
        let end = rest.iter().position(|byte| matches!(byte, b'?' | 0)).unwrap_or(rest.len());
        let of_site = prepared.site(site);
        let mut canonical = Vec::new();
        let changed =
            tentpole_route::canonical_path(&rest[..end], of_site.merge_slashes, &mut canonical).ok()?;
        let path = if changed { &canonical[..] } else { &rest[..end] };
        let route = prepared.route(prepared.table.route(site, path)?.route);
        let cached = route.cache == RouteCache::Standard;
        cached.then(|| (of_site.canonical, of_site.merge_slashes, sharing(&prepared.snapshot, route.caching)))
    };
    // What no route leads to now may be led to again by the next Snapshot: it goes too.
    matches!((rules(before), rules(next)), (Some(before), Some(next)) if before == next)
}

/// What of the rules decides who shares a response: the part that must be the same for who stores and who is served.
fn sharing(snapshot: &Snapshot, caching: CachingId) -> tentpole_model::Caching {
    let all = snapshot.cachings.get(usize::from(caching.0)).cloned().unwrap_or_default();
    let usual = tentpole_model::Caching::default();
    tentpole_model::Caching {
        // How long and for whom it is fresh is found out anew each time.
        visitors_revalidate: usual.visitors_revalidate,
        visitors_keep: usual.visitors_keep,
        negative: usual.negative,
        stale_while_revalidate: usual.stale_while_revalidate,
        stale_if_error: usual.stale_if_error,
        compress: usual.compress,
        purges: Vec::new(),
        ..all
    }
}

impl Prepared {
    /// These routes go past the cache from now on.
    fn close(&self, routes: &[RouteId]) {
        for route in routes {
            if let Some(closed) = self.closed.get(route.0 as usize) {
                closed.store(true, Ordering::Release);
            }
        }
    }

    /// No route goes past the cache any more.
    fn open(&self) {
        self.closed.iter().for_each(|closed| closed.store(false, Ordering::Release));
    }

    /// Whether what is stored may be of other rules than this route's, so that it is neither looked for nor added to.
    pub fn is_closed(&self, route: RouteId) -> bool {
        self.closed.get(route.0 as usize).is_some_and(|closed| closed.load(Ordering::Acquire))
    }
}

#[cfg(test)]
#[path = "reload_tests.rs"]
mod tests;
