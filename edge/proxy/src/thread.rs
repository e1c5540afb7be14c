//! What one data thread has: its view of what is published, its idle connections, its scratch memory, its record.
//! Everything here is for that thread alone; what threads share is in `Shared`.

use crate::choose::Listed;
use crate::company::Company;
use crate::forms::Forms;
use crate::invalidate::{Changes, Told};
use crate::learn::{self, Learning};
use crate::limits::Limits;
use crate::prepare::Prepared;
use crate::purge_log::PurgeLog;
use crate::purging::Purging;
use crate::room::Rooms;
use crate::roster::Roster;
use crate::search::Searches;
use crate::secure::Secure;
use crate::sticky::OwnKey;
use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, OnceLock};
use tentpole_cache::Cache;
use tentpole_disk::Disk;
use tentpole_files::Readers;
use tentpole_listener::{Doors, Handshakes};
use tentpole_message::{RequestHead, ResponseHead};
use tentpole_model::{Dials, Member, Membership, PoolId};
use tentpole_observe::{EdgeMetrics, Recorder};
use tentpole_runtime::published::Reader;
use tentpole_runtime::{Ledger, Published, Random};
use tentpole_upstream::{Carriers, Connection, Idle};
use tokio::sync::Notify;

/// Scratch memories that a thread keeps for reuse.
const SCRATCH_KEPT_MAX: usize = 4_096;
/// A scratch buffer that grew beyond this is not kept.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// What all data threads share.
pub struct Shared {
    /// The structure in force.
    pub prepared: Arc<Published<Prepared>>,
    /// The memory cache.
    pub cache: Arc<Cache>,
    /// The compressed forms of what it holds.
    pub forms: Arc<Forms>,
    /// Its part on disk.
    pub disk: Option<Arc<Disk>>,
    /// Other edges that serve beside this one.
    pub company: Company,
    /// Objects that came from the edge before.
    pub refilled: AtomicU64,
    /// Reads files beneath the roots of pools.
    pub files: Arc<Readers>,
    /// The account of bytes.
    pub ledger: Arc<Ledger>,
    /// What responses have said of the queries of their paths.
    pub searches: Searches,
    /// What is learned of what passes.
    pub learning: Arc<Learning>,
    /// Where it is told.
    pub observations: SyncSender<learn::Heard>,
    /// Purge requests.
    pub purging: Purging,
    /// Changes by route that wait for a look at what is stored.
    pub changes: Changes,
    /// Of which of them content networks were told lately.
    pub told: Told,
    /// What was purged lately.
    pub purges: Arc<PurgeLog>,
    /// What visitors behind TLS are met with.
    pub secure: Option<Arc<Secure>>,
    /// What sticky cookies are signed with where nothing else is said.
    pub own_key: OwnKey,
    /// Waiting rooms, and who is in them.
    pub(crate) rooms: Arc<Rooms>,
    /// TLS handshakes that one thread carries at once.
    pub handshakes_max: usize,
    /// Limits that follow what endpoints carry.
    pub(crate) limits: Arc<Limits>,
    /// Who counts the connections.
    pub doors: OnceLock<Arc<Doors>>,
    /// Rung when requests wait for connections that other threads may have.
    pub wanting: Notify,
}

/// What one data thread has.
pub struct Thread {
    /// Its number, from 0.
    pub number: usize,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Its kept-alive connections to endpoints.
    pub idle: Idle,
    /// Its connections to endpoints that carry many requests each.
    pub carriers: Carriers,
    /// Its counters.
    pub metrics: Arc<EdgeMetrics>,
    /// Its record of requests.
    pub recorder: RefCell<Recorder>,
    /// For choices between endpoints.
    pub random: RefCell<Random>,
    /// Those of the choice at hand; its memory is used again.
    pub(crate) choices: RefCell<Vec<Listed>>,
    /// Whether the edge is ending: answers say `Connection: close`.
    pub draining: Cell<bool>,
    /// What it tells the learner, and does with the rules.
    pub learn: learn::OfThread,
    /// Connections of visitors open on this thread.
    pub open: Cell<usize>,
    /// Those of them that are about to speak TLS.
    pub handshakes: Handshakes,
    reading: RefCell<Reading>,
    #[allow(
        clippy::vec_box,
        reason = "a scratch moves between pool and connection; its box moves as a pointer"
    )]
    scratches: RefCell<Vec<Box<Scratch>>>,
}

/// Everything published, as of one moment. A request pins one until its endpoint is chosen.
pub struct View {
    /// The structure.
    pub prepared: Arc<Prepared>,
    /// Endpoints and their health.
    pub membership: Arc<Membership>,
    /// Weights in force.
    pub dials: Arc<Dials>,
    /// Who of each pool gets traffic, by the three.
    pub(crate) rosters: Vec<Roster>,
}

struct Reading {
    prepared: Reader<Prepared>,
    membership: Reader<Membership>,
    dials: Reader<Dials>,
    view: Rc<View>,
}

/// Memory for one request under way. Taken when its first byte is there, given back when it ends.
#[derive(Default)]
pub struct Scratch {
    /// The visitor's request.
    pub request: RequestHead,
    /// The endpoint's response.
    pub response: ResponseHead,
    /// Canonical path and query as it came: what an endpoint is asked on behalf of one visitor.
    pub target: Vec<u8>,
    /// The same with what counts of the query: what an endpoint is asked when its answer may be stored.
    pub shared_target: Vec<u8>,
    /// What counts of the cookies, where that is not what came: what an endpoint is told then.
    pub cookies: Vec<u8>,
    /// The path in canonical form, where it differs from the one that came.
    pub path: Vec<u8>,
    /// The cache key.
    pub key: Vec<u8>,
    /// The head that goes to the endpoint.
    pub forward: Vec<u8>,
    /// The proxies that are believed between the visitor and the edge, each behind a comma.
    pub via: Vec<u8>,
    /// What is sent to the visitor before the body.
    pub out: Vec<u8>,
    /// The cookie that a waiting room gives him with his response; empty without one.
    pub ticket: Vec<u8>,
}

impl Thread {
    /// A data thread's parts; reads what is published from now on.
    pub fn new(
        number: usize,
        shared: Arc<Shared>,
        metrics: Arc<EdgeMetrics>,
        recorder: Recorder,
        seed: u64,
    ) -> Rc<Self> {
        let reading = Reading::new(&shared);
        let learn = learn::OfThread::new(shared.learning.clone(), shared.observations.clone(), !seed);
        let handshakes = Handshakes::new(shared.handshakes_max);
        let carriers = Carriers::new(shared.ledger.clone());
        Rc::new(Self {
            number,
            handshakes,
            shared,
            idle: Idle::default(),
            carriers,
            metrics,
            recorder: RefCell::new(recorder),
            random: RefCell::new(Random::from_seed(seed)),
            choices: RefCell::default(),
            draining: Cell::new(false),
            learn,
            open: Cell::new(0),
            reading: RefCell::new(reading),
            scratches: RefCell::default(),
        })
    }

    /// What is published now. Costs three atomic loads while nothing changes.
    pub fn view(&self) -> Rc<View> {
        let (view, changed) = {
            let mut reading = self.reading.borrow_mut();
            let changed = reading.renew();
            (reading.view.clone(), changed)
        };
        if changed {
            self.settle(&view);
        }
        view
    }

    /// A newer view for a request that pinned one and has no endpoint yet: what it waits for may be new. The structure
    /// stays the one that it began with.
    pub fn newer(&self, pinned: &Rc<View>) -> Rc<View> {
        let now = self.view();
        match Arc::ptr_eq(&now.prepared, &pinned.prepared) {
            true => now,
            false => Rc::new(pinned.with_news_of(&now)),
        }
    }

    /// Whether tags stay in responses, because a content network in front reads them.
    pub fn sends_tags(&self) -> bool {
        self.reading.borrow().view.prepared.snapshot.purging.sends_tags
    }

    /// Whether a connection to this endpoint of the pool may serve again: the endpoint takes traffic, and stands where
    /// the connection leads. As of the view last taken: touches nothing that another thread writes.
    pub fn keeps(&self, pool: PoolId, endpoint: usize, connection: &Connection) -> bool {
        let reading = self.reading.borrow();
        let (view, at) = (&reading.view, usize::from(pool.0));
        let cell = view.prepared.pools.get(at).and_then(|pool| pool.cells.get(endpoint));
        cell.is_some_and(|cell| Arc::ptr_eq(cell, connection.cell()))
            && connection
                .address()
                .is_some_and(|address| view.open_addresses(at, endpoint).contains(&address))
    }

    /// After a change: closes idle connections to where nobody is sent any more, and calls who waits for an endpoint
    /// that may be there now.
    fn settle(&self, view: &View) {
        let known =
            |slot| view.prepared.pools.iter().flat_map(|pool| &pool.cells).any(|cell| cell.slot == slot);
        self.idle.keep_those(known);
        self.carriers.keep_those(known);
        for (at, prepared) in view.prepared.pools.iter().enumerate() {
            for (endpoint, cell) in prepared.cells.iter().enumerate() {
                self.idle.keep_only(cell.slot, view.open_addresses(at, endpoint));
                self.carriers.keep_only(cell.slot, view.open_addresses(at, endpoint));
            }
            prepared.gate.call_first();
        }
    }

    /// Takes each new value as it is published, also while no request comes: whoever published waits for that.
    pub async fn follow(self: Rc<Self>) {
        loop {
            let (of, prepared, membership, dials) = {
                let reading = self.reading.borrow();
                let of = reading.view.prepared.clone();
                (of, reading.prepared.seen(), reading.membership.seen(), reading.dials.seen())
            };
            tokio::select! {
                () = self.shared.prepared.changed_since(prepared) => {}
                () = of.membership.changed_since(membership) => {}
                () = of.dials.changed_since(dials) => {}
            }
            self.view();
        }
    }

    /// Memory for one request.
    pub fn scratch(&self) -> Box<Scratch> {
        self.scratches.borrow_mut().pop().unwrap_or_default()
    }

    /// Gives the memory back.
    pub fn put_back(&self, scratch: Box<Scratch>) {
        let mut scratches = self.scratches.borrow_mut();
        if scratches.len() < SCRATCH_KEPT_MAX && scratch.bytes() <= SCRATCH_BYTES_MAX {
            scratches.push(scratch);
        }
    }
}

impl Reading {
    fn new(shared: &Shared) -> Self {
        let prepared = shared.prepared.reader();
        let (membership, dials) = (prepared.value().membership.reader(), prepared.value().dials.reader());
        let view = Rc::new(View::of(&prepared, &membership, &dials));
        Self { prepared, membership, dials, view }
    }

    fn renew(&mut self) -> bool {
        let structure = self.prepared.renew();
        if structure {
            // Its own lists: those of the old one mean nothing to it.
            self.membership = self.prepared.value().membership.reader();
            self.dials = self.prepared.value().dials.reader();
        }
        // Without short cut: each must be seen.
        let changed = [structure, self.membership.renew(), self.dials.renew()].contains(&true);
        if changed {
            self.view = Rc::new(View::of(&self.prepared, &self.membership, &self.dials));
        }
        changed
    }
}

impl View {
    fn of(prepared: &Reader<Prepared>, membership: &Reader<Membership>, dials: &Reader<Dials>) -> Self {
        Self::new(prepared.value().clone(), membership.value().clone(), dials.value().clone())
    }

    /// Of these values.
    pub(crate) fn new(prepared: Arc<Prepared>, membership: Arc<Membership>, dials: Arc<Dials>) -> Self {
        let mut view = Self { prepared, membership, dials, rosters: Vec::new() };
        let pools = view.prepared.snapshot.pools.iter().zip(&view.prepared.pools).enumerate();
        let rosters = pools
            .map(|(at, (pool, prepared))| Roster::new(pool, prepared, view.members(at), view.weights(at)));
        view.rosters = rosters.collect();
        view
    }

    /// The same structure, with what a newer one knows of its endpoints. Endpoints that are gone get nothing more, unless
    /// nobody else is left in their pool.
    fn with_news_of(&self, now: &Self) -> Self {
        let (mut membership, mut dials) = (Membership::clone(&self.membership), Dials::clone(&self.dials));
        let pools = membership.pools.iter_mut().zip(&mut dials.weights);
        for ((members, weights), prepared) in pools.zip(&self.prepared.pools) {
            let news: Vec<_> = prepared.cells.iter().map(|cell| now.of_cell(cell)).collect();
            if news.iter().all(Option::is_none) {
                continue;
            }
            for (place, news) in news.into_iter().enumerate() {
                let (Some(member), Some(weight)) = (members.members.get_mut(place), weights.get_mut(place))
                else {
                    continue;
                };
                match news {
                    Some((health, turned)) => (*member, *weight) = (health, turned),
                    None => *weight = 0,
                }
            }
        }
        Self::new(self.prepared.clone(), Arc::new(membership), Arc::new(dials))
    }

    /// How the endpoint of a cell is, and its weight.
    fn of_cell(&self, cell: &Arc<tentpole_runtime::Cell>) -> Option<(Member, u32)> {
        let pools = self.prepared.pools.iter().enumerate();
        let (pool, place) = pools
            .filter_map(|(at, pool)| {
                Some((at, pool.cells.iter().position(|known| Arc::ptr_eq(known, cell))?))
            })
            .next()?;
        Some((self.members(pool).get(place)?.clone(), *self.weights(pool).get(place)?))
    }

    /// How the endpoints of a pool are.
    pub fn members(&self, pool: usize) -> &[Member] {
        self.membership.pools.get(pool).map_or(&[], |pool| &pool.members)
    }

    /// The weights of a pool's endpoints.
    pub fn weights(&self, pool: usize) -> &[u32] {
        self.dials.weights.get(pool).map_or(&[], Vec::as_slice)
    }

    fn open_addresses(&self, pool: usize, endpoint: usize) -> &[SocketAddr] {
        open_addresses(self.members(pool), self.weights(pool), endpoint)
    }
}

/// Where requests to an endpoint go; nowhere when it is down or drained.
pub fn open_addresses<'a>(members: &'a [Member], weights: &[u32], endpoint: usize) -> &'a [SocketAddr] {
    match members.get(endpoint) {
        Some(member) if member.health.takes_traffic() && weights.get(endpoint).is_some_and(|&w| w > 0) => {
            &member.addresses
        }
        _ => &[],
    }
}

impl Scratch {
    fn bytes(&self) -> usize {
        self.target.capacity()
            + self.shared_target.capacity()
            + self.cookies.capacity()
            + self.path.capacity()
            + self.key.capacity()
            + self.forward.capacity()
            + self.via.capacity()
            + self.out.capacity()
    }
}
