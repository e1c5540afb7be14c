//! What one data thread has: its view of what is published, its idle connections, its scratch memory, its record.
//! Everything here is for that thread alone; what threads share is in `Shared`.

use crate::prepare::Prepared;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::Cache;
use tentpole_message::{RequestHead, ResponseHead};
use tentpole_model::{Dials, Membership};
use tentpole_observe::{EdgeMetrics, Recorder};
use tentpole_runtime::published::Reader;
use tentpole_runtime::{Ledger, Published, Random};
use tentpole_upstream::Idle;

/// Scratch memories that a thread keeps for reuse.
const SCRATCH_KEPT_MAX: usize = 4_096;
/// A scratch buffer that grew beyond this is not kept.
const SCRATCH_BYTES_MAX: usize = 64 * 1024;

/// What all data threads share.
pub struct Shared {
    /// The structure in force.
    pub prepared: Arc<Published<Prepared>>,
    /// Endpoints and their health.
    pub membership: Arc<Published<Membership>>,
    /// Weights in force.
    pub dials: Arc<Published<Dials>>,
    /// The memory cache.
    pub cache: Arc<Cache>,
    /// The account of bytes.
    pub ledger: Arc<Ledger>,
    /// How long a request waits for another's fill.
    pub wait_max: Duration,
}

/// What one data thread has.
pub struct Thread {
    /// Its number, from 0.
    pub number: usize,
    /// What it shares with the others.
    pub shared: Arc<Shared>,
    /// Its kept-alive connections to endpoints.
    pub idle: Idle,
    /// Its counters.
    pub metrics: Arc<EdgeMetrics>,
    /// Its record of requests.
    pub recorder: RefCell<Recorder>,
    /// For choices between endpoints.
    pub random: RefCell<Random>,
    /// Whether the edge is ending: answers say `Connection: close`.
    pub draining: Cell<bool>,
    /// Connections of visitors open on this thread.
    pub open: Cell<usize>,
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
    /// The target that is forwarded: canonical path and query.
    pub target: Vec<u8>,
    /// The path in canonical form, where it differs from the one that came.
    pub path: Vec<u8>,
    /// The cache key.
    pub key: Vec<u8>,
    /// The head that goes to the endpoint.
    pub forward: Vec<u8>,
    /// What is sent to the visitor before the body.
    pub out: Vec<u8>,
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
        Rc::new(Self {
            number,
            shared,
            idle: Idle::default(),
            metrics,
            recorder: RefCell::new(recorder),
            random: RefCell::new(Random::from_seed(seed)),
            draining: Cell::new(false),
            open: Cell::new(0),
            reading: RefCell::new(reading),
            scratches: RefCell::default(),
        })
    }

    /// What is published now. Costs three atomic loads while nothing changes.
    pub fn view(&self) -> Rc<View> {
        let mut reading = self.reading.borrow_mut();
        reading.renew();
        reading.view.clone()
    }

    /// Takes each new value as it is published, also while no request comes: whoever published waits for that.
    pub async fn follow(self: Rc<Self>) {
        loop {
            let (prepared, membership, dials) = {
                let reading = self.reading.borrow();
                (reading.prepared.seen(), reading.membership.seen(), reading.dials.seen())
            };
            tokio::select! {
                () = self.shared.prepared.changed_since(prepared) => {}
                () = self.shared.membership.changed_since(membership) => {}
                () = self.shared.dials.changed_since(dials) => {}
            }
            self.view();
        }
    }

    /// Closes an idle connection where requests wait and the endpoint's connections are used up: another thread
    /// may then open one.
    pub fn make_room(&self) {
        let view = self.view();
        for (pool, prepared) in view.prepared.snapshot.pools.iter().zip(&view.prepared.pools) {
            if prepared.gate.length() == 0 {
                continue;
            }
            for (endpoint, cell) in pool.endpoints.iter().zip(&prepared.cells) {
                let open = cell.open.load(std::sync::atomic::Ordering::Relaxed);
                let full = endpoint.connections_max.is_some_and(|max| open >= max);
                if full && self.idle.drop_one(cell.slot) {
                    prepared.gate.call_first();
                }
            }
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
        let (prepared, membership, dials) =
            (shared.prepared.reader(), shared.membership.reader(), shared.dials.reader());
        let view = Rc::new(View::of(&prepared, &membership, &dials));
        Self { prepared, membership, dials, view }
    }

    fn renew(&mut self) {
        // All three, without short cut: each must be seen.
        let changed = [self.prepared.renew(), self.membership.renew(), self.dials.renew()];
        if changed.contains(&true) {
            self.view = Rc::new(View::of(&self.prepared, &self.membership, &self.dials));
        }
    }
}

impl View {
    fn of(prepared: &Reader<Prepared>, membership: &Reader<Membership>, dials: &Reader<Dials>) -> Self {
        Self {
            prepared: prepared.value().clone(),
            membership: membership.value().clone(),
            dials: dials.value().clone(),
        }
    }
}

impl Scratch {
    fn bytes(&self) -> usize {
        self.target.capacity()
            + self.path.capacity()
            + self.key.capacity()
            + self.forward.capacity()
            + self.out.capacity()
    }
}
