//! What is computed once when a Snapshot is published, so that no request has to: compiled routes, and for each
//! endpoint its cell and gate.

use crate::assets::Assets;
use crate::lock::Lock;
use crate::store::Store;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tentpole_key::KeyRules;
use tentpole_model::{
    Caching, CachingId, Dials, Esi, Membership, Pool, Route, RouteId, Site, SiteId, Snapshot,
};
use tentpole_route::{CompileError, Table};
use tentpole_runtime::{Cell, Cells, InForce, Published, notice, secret};
use tentpole_upstream::{Gate, Gates};

/// A Snapshot, ready to serve.
#[derive(Debug)]
pub struct Prepared {
    /// The version of its Snapshot.
    pub version: u64,
    /// What it was made of.
    pub snapshot: Arc<Snapshot>,
    /// Its endpoints and their health: parallel to its pools, and to those of no other Snapshot.
    pub membership: Arc<Published<Membership>>,
    /// Its weights in force.
    pub dials: Arc<Published<Dials>>,
    /// Hosts and paths, compiled.
    pub table: Table,
    /// Parallel to `snapshot.pools`.
    pub pools: Vec<PreparedPool>,
    /// What each request must bring.
    pub require: Lock,
    /// Whoever sends this may purge.
    pub purge_secret: Option<Vec<u8>>,
    /// The port that https is asked at.
    pub https_port: u16,
    /// What makes two requests the same; parallel to `snapshot.cachings`.
    keys: Vec<KeyRules>,
    /// Whose links are rewritten; parallel to `snapshot.cachings`.
    assets: Vec<Option<Assets>>,
    /// For each route of all sites: its site and its index there.
    routes: Vec<(SiteId, usize)>,
    /// Parallel to `snapshot.cachings`: an endpoint has sent a page to be put together that was compressed.
    compressed_pages: Box<[AtomicBool]>,
    /// For each route of all sites: whether it goes past the cache for now (`reload.rs`).
    pub(crate) closed: Box<[AtomicBool]>,
}

/// A pool's live parts.
#[derive(Debug)]
pub struct PreparedPool {
    /// What stands before it.
    pub gate: Arc<Gate>,
    /// Parallel to the pool's endpoints.
    pub cells: Vec<Arc<Cell>>,
    /// By what its endpoints know us.
    pub send: Lock,
    /// What its endpoints are, where they are no application.
    pub store: Option<Store>,
    /// Whose turn it is, for round robin.
    pub turn: AtomicU64,
}

impl Prepared {
    /// Compiles a Snapshot.
    pub fn new(in_force: &InForce, cells: &Cells, gates: &Gates) -> Result<Self, CompileError> {
        let InForce { version, snapshot, membership, dials, .. } = in_force.clone();
        let table = Table::compile(&snapshot)?;
        let prepare = |pool: &Pool| PreparedPool {
            gate: gates.of(&pool.name),
            cells: pool.endpoints.iter().map(|e| cells.of(&pool.name, &e.authority())).collect(),
            send: Lock::read(&pool.send, "it is not sent"),
            store: pool.object_store.as_ref().map(|store| Store::read(store, &pool.name)),
            turn: AtomicU64::new(0),
        };
        let pools = snapshot.pools.iter().map(prepare).collect();
        let indexed = |(site, of): (usize, &Site)| {
            (0..of.routes.len()).map(move |route| (SiteId(site as u16), route)).collect::<Vec<_>>()
        };
        let routes: Vec<_> = snapshot.sites.iter().enumerate().flat_map(indexed).collect();
        let closed = routes.iter().map(|_| AtomicBool::new(false)).collect();
        let keys = snapshot.cachings.iter().map(KeyRules::new).collect();
        let assets =
            snapshot.cachings.iter().map(|caching| caching.assets.as_ref().map(Assets::new)).collect();
        let compressed_pages = snapshot.cachings.iter().map(|_| AtomicBool::new(false)).collect();
        let require = Lock::read(&snapshot.front.require, "nobody is let in");
        let purge_secret = snapshot.purging.secret.as_ref().and_then(|secret| match secret::read(secret) {
            Ok(secret) => Some(secret.into_bytes()),
            Err(why) => {
                notice(format_args!("purges by secret are refused: {why}"));
                None
            }
        });
        // One that a proxy in front has is not known here: it is the usual one.
        let https_port = snapshot.tls.listen.first().map_or(443, |address| address.port());
        Ok(Self {
            version,
            snapshot,
            membership,
            dials,
            table,
            pools,
            require,
            purge_secret,
            https_port,
            keys,
            assets,
            routes,
            compressed_pages,
            closed,
        })
    }

    /// Takes over what an earlier one has found out of routes that are cached alike.
    pub(crate) fn learned_from(&self, before: &Self) {
        for (at, caching) in self.snapshot.cachings.iter().enumerate() {
            let same = before.snapshot.cachings.iter().position(|known| known == caching);
            let known = same.is_some_and(|same| before.compressed_pages[same].load(Ordering::Relaxed));
            self.compressed_pages[at].store(known, Ordering::Relaxed);
        }
    }

    /// Routes of all sites.
    pub(crate) fn routes_count(&self) -> usize {
        self.routes.len()
    }

    /// The site with this number.
    pub fn site(&self, site: SiteId) -> &Site {
        &self.snapshot.sites[usize::from(site.0)]
    }

    /// The route with this number.
    pub fn route(&self, route: RouteId) -> &Route {
        let (site, index) = self.routes[route.0 as usize];
        &self.site(site).routes[index]
    }

    /// Which links are rewritten, where some are.
    pub fn assets(&self, caching: CachingId) -> Option<&Assets> {
        self.assets[usize::from(caching.0)].as_ref()
    }

    /// Whether endpoints are asked for content that is not coded: pages are put together or their links rewritten, and
    /// have to be read.
    pub fn asks_for_identity(&self, caching: CachingId) -> bool {
        if self.assets(caching).is_some() {
            return true;
        }
        match self.caching(caching).esi {
            Esi::Off => false,
            Esi::Asked => self.compressed_pages[usize::from(caching.0)].load(Ordering::Relaxed),
            Esi::Always => true,
        }
    }

    /// From now on, [`Prepared::asks_for_identity`].
    pub fn ask_for_identity(&self, caching: CachingId) {
        self.compressed_pages[usize::from(caching.0)].store(true, Ordering::Relaxed);
    }

    /// What makes two requests the same, by the number of how they are cached.
    pub fn key_rules(&self, caching: CachingId) -> &KeyRules {
        &self.keys[usize::from(caching.0)]
    }

    /// Whether any route puts visitors into groups by their cookies, or somebody may say that they asked by https.
    pub fn groups(&self) -> bool {
        !self.snapshot.front.trusted.is_empty() || self.keys.iter().any(|rules| rules.cookies.key_some())
    }

    /// How responses are cached, by its number.
    pub fn caching(&self, caching: CachingId) -> &Caching {
        &self.snapshot.cachings[usize::from(caching.0)]
    }
}
