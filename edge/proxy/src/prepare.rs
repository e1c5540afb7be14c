//! What is computed once when a Snapshot is published, so that no request has to: compiled routes, and for each
//! endpoint its cell and gate.

use crate::assets::Assets;
use crate::files::PoolFiles;
use crate::limits::Limits;
use crate::lock::Lock;
use crate::marked::Marked;
use crate::rank::{self, Ranks};
use crate::room::{PreparedRoom, Rooms, cookie_name};
use crate::screen::{self, Screen};
use crate::script::Scripts;
use crate::sticky::{OwnKey, Sticky};
use crate::store::Store;
use crate::trust::Trust;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tentpole_balance::hash;
use tentpole_key::KeyRules;
use tentpole_model::{
    Caching, CachingId, Dials, Endpoint, Esi, Hedge, Membership, Pool, Route, RouteId, Site, SiteId,
    Snapshot, Zones,
};
use tentpole_retry::Slowest;
use tentpole_route::{CompileError, Table};
use tentpole_runtime::{Cell, Cells, InForce, Published, notice, secret};
use tentpole_upstream::{Gate, Gates, Sources};

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
    /// What ranks are told by.
    pub(crate) ranks: Ranks,
    /// What marks of load tests are recognised by; `None` where nothing is agreed.
    pub(crate) marked: Option<Marked>,
    /// Waiting rooms, parallel to `snapshot.rooms`.
    pub(crate) rooms: Vec<PreparedRoom>,
    /// What each request must bring.
    pub require: Lock,
    /// Whoever sends this may purge.
    pub purge_secret: Option<Vec<u8>>,
    /// Who is let through, limited or refused.
    pub(crate) screen: Screen,
    /// The port that https is asked at.
    pub https_port: u16,
    /// Cookies that are ours: endpoints are not told them.
    pub(crate) own_cookies: Vec<String>,
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
    /// Parallel to the pool's endpoints: what they are called, as a number, for balancing by hash.
    pub names: Vec<u64>,
    /// Where connections to its endpoints come from.
    pub sources: Arc<Sources>,
    /// How long they take, where that says when a second copy of a request goes out.
    pub slowest: Option<Slowest>,
    /// The pool's endpoints by tier, lowest first.
    pub(crate) by_tier: Vec<u16>,
    /// Parallel to the pool's endpoints: those of the edge's own zone, where these come first.
    pub(crate) near: Option<Vec<bool>>,
    /// How visitors come back to the endpoint that served them, where they do.
    pub(crate) sticky: Option<Sticky>,
    /// Whom of its endpoints we believe, where some speak TLS.
    pub trust: Option<Trust>,
    /// By what its endpoints know us.
    pub send: Lock,
    /// What its endpoints are, where they are no application.
    pub store: Option<Store>,
    /// What runs at them, where they speak FastCGI.
    pub scripts: Option<Scripts>,
    /// The files that are served before an endpoint is asked.
    pub files: Option<PoolFiles>,
    /// Whose turn it is, for round robin.
    pub turn: AtomicU64,
}

impl Prepared {
    /// Compiles a Snapshot.
    pub fn new(
        in_force: &InForce,
        cells: &Cells,
        gates: &Gates,
        own_key: &OwnKey,
        rooms: &Arc<Rooms>,
        limits: &Arc<Limits>,
    ) -> Result<Self, CompileError> {
        let InForce { version, snapshot, membership, dials, .. } = in_force.clone();
        let table = Table::compile(&snapshot)?;
        let cell = |pool: &Pool, endpoint: &Endpoint| {
            let cell = cells.of(&pool.name, &endpoint.authority());
            limits.begin(pool, endpoint, &cell);
            cell
        };
        let prepare = |pool: &Pool| PreparedPool {
            gate: gates.of(&pool.name),
            cells: pool.endpoints.iter().map(|endpoint| cell(pool, endpoint)).collect(),
            names: pool.endpoints.iter().map(|e| hash(e.authority().as_bytes())).collect(),
            sources: Arc::new(Sources::new(&pool.source_addresses)),
            slowest: match pool.retrying.hedge {
                Hedge::Slowest(percent) => Some(Slowest::new(percent)),
                Hedge::Off | Hedge::After(_) => None,
            },
            by_tier: by_tier(pool),
            near: near(pool, snapshot.zone.as_deref()),
            sticky: Sticky::read(pool, own_key),
            trust: Trust::read(pool),
            send: Lock::read(&pool.send, "it is not sent"),
            store: pool.object_store.as_ref().map(|store| Store::read(store, &pool.name)),
            scripts: pool.scripts.as_ref().map(|scripts| Scripts::new(scripts, &snapshot)),
            files: pool.files.as_ref().map(|files| PoolFiles::new(files, cells, &pool.name)),
            turn: AtomicU64::new(0),
        };
        let pools = snapshot.pools.iter().map(prepare).collect();
        let rooms = snapshot.rooms.iter().map(|room| PreparedRoom::new(room, rooms, own_key)).collect();
        let indexed = |(site, of): (usize, &Site)| {
            (0..of.routes.len()).map(move |route| (SiteId(site as u16), route)).collect::<Vec<_>>()
        };
        let routes: Vec<_> = snapshot.sites.iter().enumerate().flat_map(indexed).collect();
        let closed = routes.iter().map(|_| AtomicBool::new(false)).collect();
        let keys = snapshot.cachings.iter().map(|caching| key_rules(caching, &snapshot)).collect();
        let screen = Screen::new(&snapshot, own_key);
        let assets =
            snapshot.cachings.iter().map(|caching| caching.assets.as_ref().map(Assets::new)).collect();
        let compressed_pages = snapshot.cachings.iter().map(|_| AtomicBool::new(false)).collect();
        let ranks = Ranks::new(&snapshot, own_key);
        let marked = Marked::read(snapshot.staff.load_key.as_ref());
        let require = Lock::read(&snapshot.front.require, "nobody is let in");
        let purge_secret = snapshot.purging.secret.as_ref().and_then(|secret| match secret::read(secret) {
            Ok(secret) => Some(secret.into_bytes()),
            Err(why) => {
                notice(format_args!("purges by secret are refused: {why}"));
                None
            }
        });
        // One that a proxy in front has is not known here: it is the usual one.
        let own_cookies = own_cookies(&snapshot).collect();
        let https_port = snapshot.tls.listen.first().map_or(443, |address| address.port());
        Ok(Self {
            version,
            snapshot,
            membership,
            dials,
            table,
            pools,
            ranks,
            marked,
            rooms,
            require,
            purge_secret,
            screen,
            https_port,
            own_cookies,
            keys,
            assets,
            routes,
            compressed_pages,
            closed,
        })
    }

    /// Takes over what an earlier one has found out of routes that are cached alike, and of endpoints behind TLS.
    pub(crate) fn learned_from(&self, before: &Self) {
        self.screen.go_on_from(&before.screen);
        for pool in self.pools.iter().filter_map(|pool| pool.trust.as_ref()) {
            before.pools.iter().filter_map(|pool| pool.trust.as_ref()).for_each(|old| pool.go_on_from(old));
        }
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

/// The endpoints by tier, lowest first, and within a tier in their order.
fn by_tier(pool: &Pool) -> Vec<u16> {
    let mut order: Vec<u16> = (0..).take(pool.endpoints.len()).collect();
    order.sort_by_key(|&index| pool.endpoints[usize::from(index)].tier);
    order
}

/// Which endpoints are near, where these come first.
fn near(pool: &Pool, own: Option<&str>) -> Option<Vec<bool>> {
    let own = own.filter(|_| pool.zones == Zones::Near)?;
    Some(pool.endpoints.iter().map(|endpoint| endpoint.zone.as_deref() == Some(own)).collect())
}

/// The cookies that are ours: those by which visitors come back to their endpoint, those of solved puzzles, those of rank, and tickets
/// of waiting rooms.
fn own_cookies(snapshot: &Snapshot) -> impl Iterator<Item = String> {
    let sticky = snapshot.pools.iter().filter_map(|pool| pool.sticky.as_ref());
    let ours = sticky.map(|sticky| sticky.cookie.clone()).chain(screen::cookie(snapshot).map(str::to_owned));
    let tickets = snapshot.rooms.iter().map(|room| cookie_name(&room.name));
    ours.chain([rank::COOKIE.to_owned()]).chain(tickets)
}

/// Our own cookies say nothing about a visitor: they are in no key, and endpoints are not told them.
fn key_rules(caching: &Caching, snapshot: &Snapshot) -> KeyRules {
    let cookies_ignored = caching.cookies_ignored.iter().cloned().chain(own_cookies(snapshot)).collect();
    KeyRules::new(&Caching { cookies_ignored, ..caching.clone() })
}
