//! Starts and ends the data plane: takes over the listening sockets, starts a thread for each set of them, waits for
//! the last request. Knows who does what, and does nothing itself.

use crate::beside::Beside;
use crate::company::{Company, Passing};
use crate::figures;
use crate::forms::Forms;
use crate::invalidate::{Changes, Told};
use crate::learn;
use crate::limits::Limits;
use crate::prepare::Prepared;
use crate::purge::Purger;
use crate::purge_log::PurgeLog;
use crate::purging::Purging;
use crate::reload::Reloader;
use crate::room::{self, Rooms};
use crate::search::Searches;
use crate::secure::Secure;
use crate::serve;
use crate::sticky::OwnKey;
use crate::thread::{Shared, Thread};
use crate::trust::Looking;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;
use std::{fmt, io};
use tentpole_cache::Cache;
use tentpole_disk::Disk;
use tentpole_listener::{Doors, Handover, Port, Visitor, accept, take_over};
use tentpole_model::{PurgeOrder, PurgePort, Refused, RoomOrder, TlsSettings};
use tentpole_observe::Observed;
use tentpole_observe::observed::THREADS_MAX;
use tentpole_route::CompileError;
use tentpole_runtime::{Cells, InForce, Ledger, Published, buffer, clock, deadline, notice};
use tentpole_tls::Source;
use tentpole_upstream::Gates;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, watch};

/// Bytes that traffic may hold beside the cache: buffers and fills.
const TRAFFIC_BYTES: u64 = 512 << 20;
/// Changes of addresses that a data thread may be behind with.
const LISTENING_MAX: usize = 16;
/// How often a leaving edge looks whether the last connection has ended.
const LEAVING_LOOK_EVERY: Duration = Duration::from_millis(50);
/// Read buffers that nobody needed for so long are given back.
const BUFFERS_NEEDED_FOR: Duration = Duration::from_secs(5);
/// How often the wall clock is read anew.
const RESYNC_EVERY: Duration = Duration::from_secs(1);

/// What an edge is made of.
pub struct EdgeParts {
    /// What is served to begin with, and where endpoints, their health and weights are published.
    pub in_force: InForce,
    /// Live figures of the endpoints.
    pub cells: Arc<Cells>,
    /// Where requests are counted and recorded.
    pub observed: Arc<Observed>,
    /// What is asked of evidence before a page is shared that says nothing about caching.
    pub learning: tentpole_learn::Limits,
    /// Where what outlives this process lies; `None` makes no certificate for this machine's own names.
    pub state: Option<PathBuf>,
}

/// A data plane that has its sockets and takes no connection yet: the control plane can be joined to it first.
pub struct Bound {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    ending: watch::Sender<Ending>,
    doors: Arc<Doors>,
    starts: Vec<Start>,
    cut: Arc<AtomicUsize>,
    cells: Arc<Cells>,
    gates: Arc<Gates>,
    listening: Addresses,
    purged: Option<mpsc::Receiver<PurgeOrder>>,
    passing: Option<mpsc::Receiver<Passing>>,
}

/// A running data plane.
pub struct Edge {
    disk: Option<Arc<Disk>>,
    secure: Option<(Arc<Secure>, JoinHandle<()>)>,
    looking: Looking,
    ending: watch::Sender<Ending>,
    doors: Arc<Doors>,
    threads: Vec<JoinHandle<()>>,
    running: Arc<AtomicUsize>,
    cut: Arc<AtomicUsize>,
    shared: Arc<Shared>,
}

/// Does what is wanted of a waiting room, if something is, and says how rooms are, as one JSON document; `None` when there is
/// none of that name.
pub type RoomsPort = dyn Fn(Option<&RoomOrder>) -> Option<String> + Send + Sync;

/// How an edge ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It does not.
    No,
    /// Another one serves: connections end when they come to their own end, or when their visitor has been told.
    Leaves,
    /// Requests in flight finish; idle connections are closed.
    Ends,
}

/// Tells the data threads where to listen, once they run.
#[derive(Clone)]
pub struct Addresses(Vec<mpsc::Sender<Listening>>);

/// Where a data thread listens from now on.
struct Listening {
    /// New sockets.
    new: Vec<TcpListener>,
    /// The addresses of all that stay, new ones included.
    addresses: Vec<SocketAddr>,
}

/// Why an edge did not start.
#[derive(Debug)]
pub enum StartError {
    /// The routes do not compile.
    Routes(CompileError),
    /// Nobody could be let in by https.
    Certificates(String),
    /// The system refused a thread or a runtime.
    System(io::Error),
}

/// What one data thread starts with; everything in it may cross to that thread.
struct Start {
    number: usize,
    shared: Arc<Shared>,
    observed: Arc<Observed>,
    doors: Arc<Doors>,
    handover: Handover,
    listeners: Vec<(TcpListener, Port)>,
    listening: mpsc::Receiver<Listening>,
    ending: watch::Receiver<Ending>,
    /// Where connections are counted that did not end in time.
    cut: Arc<AtomicUsize>,
}

impl Bound {
    /// Compiles the Snapshot and takes over the listening sockets: for each data thread its own, in the order of
    /// [`tentpole_model::Snapshot::addresses`]. Connections wait in the kernel until [`Bound::open`].
    ///
    /// # Errors
    /// When the routes do not compile, or nobody could be let in by https.
    ///
    /// # Panics
    /// Without a thread, or with more than [`THREADS_MAX`].
    pub fn new(parts: EdgeParts, listeners: Vec<Vec<TcpListener>>) -> Result<Self, StartError> {
        let EdgeParts { in_force, cells, observed, learning, state } = parts;
        let snapshot = in_force.snapshot.clone();
        let count = listeners.len();
        assert!((1..=THREADS_MAX).contains(&count), "1 to {THREADS_MAX} data threads, not {count}");
        let of_disk = snapshot.disk.as_ref().map_or(0, Disk::memory_bytes_max);
        let ledger = Ledger::new(snapshot.cache.memory_bytes_max + TRAFFIC_BYTES + of_disk);
        let gates = Arc::new(Gates::default());
        let own_key = OwnKey::new(state.clone());
        let rooms = Rooms::new(state.clone());
        let limits = Limits::new(state.clone());
        let prepared = Prepared::new(&in_force, &cells, &gates, &own_key, &rooms, &limits)
            .map_err(StartError::Routes)?;
        let addresses = listeners[0].iter().filter_map(|listener| listener.local_addr().ok()).collect();
        let cache = Cache::new(snapshot.cache, ledger.clone());
        let purges = Arc::new(PurgeLog::default());
        let (learning, observations) =
            learn::start_learner(cache.clone(), learning, purges.clone()).map_err(StartError::System)?;
        let relays = !snapshot.content_networks.is_empty();
        let (purging, purged) = Purging::new(relays);
        let (company, passing) = Company::new();
        let secure = match &snapshot.tls {
            tls if tls.listen.is_empty() => None,
            tls => Some(Secure::start(&source(tls, state)).map_err(StartError::Certificates)?),
        };
        let shared = Arc::new(Shared {
            own_key,
            rooms,
            secure,
            // The other half is for those who are served already.
            limits,
            wanting: tokio::sync::Notify::new(),
            handshakes_max: (snapshot.visitors.connections_max / 2 / count).max(1),
            searches: Searches::new(),
            company,
            refilled: AtomicU64::new(0),
            doors: OnceLock::new(),
            files: Arc::default(),
            changes: Changes::default(),
            told: Told::default(),
            prepared: Published::new(prepared),
            forms: Arc::new(Forms::new(&cache, &ledger)),
            cache,
            learning,
            observations,
            disk: snapshot.disk.as_ref().map(|settings| Disk::start(settings, &ledger)),
            ledger: ledger.clone(),
            purging,
            purges,
        });
        figures::observe(&shared, &observed);
        let (doors, handovers) = Doors::new(snapshot.visitors.connections_max, count, ledger);
        doors.follow(&snapshot);
        // Only set here.
        let _ = shared.doors.set(doors.clone());
        let (ending, _) = watch::channel(Ending::No);
        let cut = Arc::new(AtomicUsize::new(0));
        let (listening, changes): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(LISTENING_MAX)).unzip();
        let listening = Addresses(listening);
        // Without addresses for https all are in the clear, also those that a Snapshot does not name.
        let clear = if shared.secure.is_some() { snapshot.listen.len() } else { usize::MAX };
        let port = |at| if at < clear { Port::Clear } else { Port::Tls };
        let with_port =
            |of: Vec<TcpListener>| of.into_iter().enumerate().map(|(at, one)| (one, port(at))).collect();
        let of_thread = listeners.into_iter().map(with_port).zip(handovers).zip(changes).enumerate();
        let starts = of_thread.map(|(number, ((listeners, handover), listening))| Start {
            number,
            shared: shared.clone(),
            observed: observed.clone(),
            doors: doors.clone(),
            handover,
            listeners,
            listening,
            ending: ending.subscribe(),
            cut: cut.clone(),
        });
        let starts = starts.collect();
        let (purged, passing) = (Some(purged), Some(passing));
        Ok(Self { shared, addresses, ending, doors, starts, cut, cells, gates, listening, purged, passing })
    }

    /// The addresses it listens on, with the ports that were found for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The certificates, when visitors can come by https.
    pub fn secure(&self) -> Option<Arc<Secure>> {
        self.shared.secure.clone()
    }

    /// For the control plane: empties the cache.
    pub fn purger(&self) -> Arc<dyn PurgePort> {
        Arc::new(Purger { shared: self.shared.clone() })
    }

    /// Asks what was learned about caching, as one JSON document.
    pub fn advice(&self) -> Arc<dyn Fn() -> String + Send + Sync> {
        let learning = self.shared.learning.clone();
        Arc::new(move || learning.advice())
    }

    /// For the control plane: looks at waiting rooms, and does what an operator wants of one.
    pub fn rooms(&self) -> Arc<RoomsPort> {
        let shared = self.shared.clone();
        Arc::new(move |order| room::rooms(&shared, order))
    }

    /// Changes where it listens.
    pub fn listening(&self) -> Addresses {
        self.listening.clone()
    }

    /// For the control plane: puts another Snapshot in force.
    pub fn reloader(&self) -> Reloader {
        Reloader {
            shared: self.shared.clone(),
            cells: self.cells.clone(),
            gates: self.gates.clone(),
            doors: self.doors.clone(),
        }
    }

    /// Purge requests that were carried out, while content networks are to hear of them; `None` when it was taken
    /// already.
    pub fn purged(&mut self) -> Option<mpsc::Receiver<PurgeOrder>> {
        self.purged.take()
    }

    /// Purges that the edges beside this one are to hear of; `None` when it was taken already.
    pub fn passing(&mut self) -> Option<mpsc::Receiver<Passing>> {
        self.passing.take()
    }

    /// For the control plane, and for who hands over.
    pub fn beside(&self) -> Beside {
        Beside::of(self.shared.clone())
    }

    /// Asks how many requests wait for a permit now, in each pool of the Snapshot.
    pub fn queued(&self) -> Arc<dyn Fn() -> Vec<u32> + Send + Sync> {
        let shared = self.shared.clone();
        Arc::new(move || shared.prepared.get().pools.iter().map(|pool| pool.gate.length()).collect())
    }

    /// Asks how many compressed forms were made, and what that saved.
    pub fn compressed(&self) -> Arc<dyn Fn() -> tentpole_compress::Stats + Send + Sync> {
        let forms = self.shared.forms.clone();
        Arc::new(move || forms.stats())
    }

    /// What the cache's part on disk holds and did, if there is one.
    pub fn disk(&self) -> Option<Arc<Disk>> {
        self.shared.disk.clone()
    }

    /// The account of bytes.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.shared.ledger
    }

    /// Starts the data threads. Membership should have been published: until then requests find no endpoint.
    pub fn open(mut self) -> Result<Edge, StartError> {
        let running = Arc::new(AtomicUsize::new(self.starts.len()));
        let mut threads = Vec::with_capacity(self.starts.len());
        for start in std::mem::take(&mut self.starts) {
            threads.push(spawn(start, running.clone()).map_err(StartError::System)?);
        }
        let Self { shared, ending, doors, cut, .. } = self;
        let watch = |secure: &Arc<Secure>| secure.watch().map(|thread| (secure.clone(), thread));
        let secure = shared.secure.as_ref().map(watch).transpose().map_err(StartError::System)?;
        let looking = Looking::start(shared.prepared.clone()).map_err(StartError::System)?;
        Ok(Edge { disk: shared.disk.clone(), secure, looking, ending, doors, threads, running, cut, shared })
    }
}

impl Addresses {
    /// Listens at these addresses and no others from now on. `new` are sockets for those that are new, without TLS: for
    /// each data thread its own. What the kernel has accepted at an address that goes is still served.
    pub async fn change(&self, new: Vec<Vec<TcpListener>>, addresses: &[SocketAddr]) {
        let mut new = new.into_iter();
        for thread in &self.0 {
            let new = new.next().unwrap_or_default();
            // A thread that is gone listens nowhere.
            let _ = thread.send(Listening { new, addresses: addresses.to_vec() }).await;
        }
    }
}

impl Edge {
    /// Connections open now.
    pub fn connections(&self) -> usize {
        self.doors.open()
    }

    /// Data threads that have not ended.
    pub fn threads_running(&self) -> usize {
        self.running.load(Ordering::Acquire)
    }

    /// Begins to end: takes no new connection, closes idle ones, lets requests in flight finish within the drain
    /// time. Returns at once; see [`Edge::join`].
    pub fn end(&self) {
        self.ending.send_replace(Ending::Ends);
    }

    /// Begins to leave, because another edge has the same listening sockets: takes no new connection, and lets those that
    /// are open go on until their visitor has been told (`Connection: close`, GOAWAY) or left, within
    /// `drain_time_upgrade`. None is closed while a request may be on its way. What lies on disk is let go, for the other
    /// edge. Returns at once; see [`Edge::join`].
    pub fn leave(&self) {
        self.disk.iter().for_each(|disk| disk.hand_over());
        self.shared.rooms.leave();
        self.shared.limits.leave();
        self.ending.send_if_modified(|ending| {
            let begins = *ending == Ending::No;
            if begins {
                *ending = Ending::Leaves;
            }
            begins
        });
    }

    /// How long an edge may stay after [`Edge::leave`].
    pub fn leave_time(&self) -> Duration {
        self.shared.prepared.get().snapshot.visitors.drain_time_upgrade
    }

    /// How long requests in flight may take after [`Edge::end`].
    pub fn drain_time(&self) -> Duration {
        self.shared.prepared.get().snapshot.visitors.drain_time
    }

    /// Waits for the data threads after [`Edge::end`]; returns the connections that had to be cut.
    pub fn join(self) -> usize {
        for thread in self.threads {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
        if let Some((secure, thread)) = self.secure {
            secure.end();
            let _ = thread.join();
        }
        self.looking.end();
        self.shared.rooms.close();
        self.shared.limits.leave();
        // What was handed over is written before the process ends.
        self.disk.iter().for_each(|disk| disk.close());
        self.cut.load(Ordering::Acquire)
    }
}

/// What visitors behind TLS are met with.
fn source(settings: &TlsSettings, local: Option<PathBuf>) -> Source {
    Source { settings: settings.clone(), protocols: vec![b"h2".to_vec(), b"http/1.1".to_vec()], local }
}

fn spawn(start: Start, running: Arc<AtomicUsize>) -> io::Result<JoinHandle<()>> {
    let runtime = move || {
        Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .on_thread_unpark(clock::wake)
            .build_local(LocalOptions::default())
    };
    std::thread::Builder::new().name(format!("edge-{}", start.number)).spawn(move || {
        let _gone = Gone(running);
        match runtime() {
            Ok(runtime) => runtime.block_on(run(start)),
            Err(error) => notice(format_args!("a data thread could not start: {error}")),
        }
    })
}

/// Counts a data thread out, however it ends.
struct Gone(Arc<AtomicUsize>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Release);
    }
}

async fn run(start: Start) {
    let Start { number, shared, observed, doors, handover, listeners, mut listening, mut ending, cut } =
        start;
    buffer::charge_to(shared.ledger.clone());
    let now = clock::renew();
    let (metrics, recorder) = observed.register();
    let seed = now.unix_us() ^ ((number as u64) << 48);
    let thread = Thread::new(number, shared, metrics, recorder, seed);
    tokio::task::spawn_local(thread.clone().follow());
    tokio::task::spawn_local(sweep(thread.clone()));
    tokio::task::spawn_local(thread.clone().gives());

    let serve = {
        let thread = thread.clone();
        move |socket, port, open| {
            let served = Served::new(&thread);
            let visitor = Visitor::new(socket, port, open, thread.view().prepared.snapshot.visitors);
            tokio::task::spawn_local(serve::serve(served, visitor));
        }
    };
    let refused = {
        let thread = thread.clone();
        move |why: Refused| thread.metrics.connection_refused(why)
    };
    let mut accepting = Vec::new();
    let listen = {
        let (doors, serve, refused) = (doors.clone(), serve.clone(), refused.clone());
        move |(listener, port): (TcpListener, Port)| {
            let address = listener.local_addr().ok()?;
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => {
                    notice(format_args!("a listener could not be taken over: {error}"));
                    return None;
                }
            };
            let (end, ending) = watch::channel(false);
            let task =
                accept((listener, port), doors.clone(), number, ending, serve.clone(), refused.clone());
            Some(Accepting { address, end, task: tokio::task::spawn_local(task) })
        }
    };
    accepting.extend(listeners.into_iter().filter_map(&listen));
    let (end_taking, taking_ends) = watch::channel(false);
    let taking = take_over(handover, doors, number, taking_ends, serve, refused);
    let taking = tokio::task::spawn_local(taking);

    loop {
        let Listening { new, addresses } = tokio::select! {
            _ = ending.wait_for(|&ending| ending != Ending::No) => break,
            Some(listening) = listening.recv() => listening,
        };
        let new = new.into_iter().map(|listener| (listener, Port::Clear));
        accepting.extend(new.filter_map(&listen));
        // What the kernel holds for the others is still accepted.
        accepting.retain(|one| addresses.contains(&one.address) || one.end.send(true).is_err());
    }
    thread.draining.set(true);
    for Accepting { end, task, .. } in accepting {
        end.send_replace(true);
        let _ = task.await;
    }
    // What other threads have handed over is served here, and from now on they keep what they accept.
    end_taking.send_replace(true);
    let _ = taking.await;
    drain(&thread, &mut ending).await;
    cut.fetch_add(thread.open.get(), Ordering::Release);
}

/// Waits until the last connection has ended, or there is no more time.
async fn drain(thread: &Thread, ending: &mut watch::Receiver<Ending>) {
    let limits = || thread.view().prepared.snapshot.visitors;
    let latest = clock::now().after(limits().drain_time_upgrade);
    // Again and again: a connection may have become idle just now, or been handed over.
    while *ending.borrow() == Ending::Leaves {
        if thread.open.get() == 0 || clock::now() >= latest {
            return;
        }
        deadline::expire_told();
        let _ = tokio::time::timeout(LEAVING_LOOK_EVERY, ending.changed()).await;
    }
    let latest = clock::now().after(limits().drain_time);
    while thread.open.get() > 0 && clock::now() < latest {
        deadline::expire_idle();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One listener of a data thread.
struct Accepting {
    address: SocketAddr,
    end: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

/// Counts a connection while it is served, however that ends.
pub struct Served(pub Rc<Thread>);

impl Served {
    fn new(thread: &Rc<Thread>) -> Self {
        thread.metrics.connection_opened();
        thread.open.set(thread.open.get() + 1);
        Self(thread.clone())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.metrics.connection_closed();
    }
}

/// The thread's one sweeper: deadlines and idle connections.
async fn sweep(thread: Rc<Thread>) {
    let mut resynced = clock::now();
    let mut looked = resynced;
    loop {
        tokio::time::sleep(deadline::SWEEP_EVERY).await;
        let now = clock::renew();
        deadline::sweep(now);
        thread.make_room();
        // As often: how exactly it is known when an endpoint closes hangs on it. Costs a load for each idle connection.
        thread.idle.sweep(now);
        thread.carriers.sweep(now);
        if thread.number == 0 {
            // One for all of them.
            thread.shared.limits.look(&thread.shared.prepared.get(), now);
        }
        if now.since(looked) >= BUFFERS_NEEDED_FOR {
            looked = now;
            buffer::give_back_unneeded();
        }
        if now.since(resynced) >= RESYNC_EVERY {
            resynced = now;
            clock::resync();
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Routes(error) => error.fmt(f),
            Self::Certificates(why) => write!(f, "https cannot be served: {why}"),
            Self::System(error) => write!(f, "the system refused a thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}
