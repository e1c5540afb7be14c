//! Puts the control plane together: health, then the admin API, on a thread of its own with a tokio runtime of its
//! own. Ends without changing anything that the edge serves.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tentpole_admin::{Admin, AdminParts};
use tentpole_health::{Event, Watch};
use tentpole_model::{Dials, FleetAddresses, Membership, PurgePort, Snapshot};
use tentpole_observe::Observed;
use tentpole_runtime::{Cells, Ledger, Published};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Threads for what blocks: names and purges.
const BLOCKING_THREADS_MAX: usize = 8;
/// How long requests to the admin API may take to end when everything ends.
const ADMIN_END_MAX: Duration = Duration::from_secs(2);
/// How long what blocks may take to end after that.
const BLOCKING_END_MAX: Duration = Duration::from_millis(500);

/// What the control plane works on, shared with the edge.
#[derive(Clone)]
pub struct ControlParts {
    /// What is served.
    pub snapshot: Arc<Snapshot>,
    /// How the endpoints are; published by health.
    pub membership: Arc<Published<Membership>>,
    /// The weights in force; turned by the admin API.
    pub dials: Arc<Published<Dials>>,
    /// What the edge counts of each endpoint.
    pub cells: Arc<Cells>,
    /// What the edge counts and records of each request.
    pub observed: Arc<Observed>,
    /// What memory is held for.
    pub ledger: Arc<Ledger>,
    /// Empties the cache.
    pub purge: Arc<dyn PurgePort>,
}

/// The running control plane; ends when dropped.
#[derive(Debug)]
pub struct Control {
    admin_address: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Control {
    /// Starts it. When this returns, the admin address is bound and a first Membership is published: every endpoint
    /// up that has an address. Waits 5 s at most for names.
    ///
    /// # Errors
    /// When the admin address is not on loopback or cannot be bound, or no thread can be made.
    pub fn start(parts: ControlParts) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let (started, ready) = sync_channel(1);
        let thread = thread::Builder::new().name("control".into()).spawn(move || {
            runtime.block_on(run(parts, &started, stopped));
            // A resolver that hangs must not hold up the end.
            runtime.shutdown_timeout(BLOCKING_END_MAX);
        })?;
        let admin_address = match ready.recv() {
            Ok(started) => started?,
            Err(_) => return Err(io::Error::other("the control thread ended before it had started")),
        };
        Ok(Self { admin_address, stop: Some(stop), thread: Some(thread) })
    }

    /// Where the admin API listens, with the real port; `None` when it is switched off.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Ends it: requests under way get a moment, probes stop.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(stop) = self.stop.take() {
            // Nobody listens when the thread has ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts everything, tells `started` how that went, and goes on until `stopped`.
async fn run(
    parts: ControlParts,
    started: &SyncSender<io::Result<Option<SocketAddr>>>,
    stopped: oneshot::Receiver<()>,
) {
    // First, because it may fail: then nothing was touched.
    let admin = match parts.snapshot.admin {
        Some(address) => match Admin::bind(address).await {
            Ok(admin) => Some(admin),
            Err(error) => return tell(started, Err(error)),
        },
        None => None,
    };
    let watching = watch(&parts).start().await;
    tell(started, Ok(admin.as_ref().map(Admin::address)));
    match admin {
        Some(admin) => serve(admin, admin_parts(parts), stopped).await,
        None => _ = stopped.await,
    }
    drop(watching);
}

fn tell(started: &SyncSender<io::Result<Option<SocketAddr>>>, how: io::Result<Option<SocketAddr>>) {
    // Somebody always waits: the channel's other end is in `Control::start`.
    let _ = started.send(how);
}

/// Serves until `stopped`, and then no longer than it must.
async fn serve(admin: Admin, parts: AdminParts, mut stopped: oneshot::Receiver<()>) {
    let (end, ending) = oneshot::channel();
    let mut serving = tokio::spawn(admin.serve(parts, async { _ = ending.await }));
    tokio::select! {
        _ = &mut stopped => {
            let _ = end.send(());
            let _ = timeout(ADMIN_END_MAX, &mut serving).await;
            serving.abort();
        }
        ended = &mut serving => {
            eprintln!("tentpole: the admin API ended: {ended:?}; health goes on");
            let _ = stopped.await;
        }
    }
}

fn watch(parts: &ControlParts) -> Watch {
    Watch {
        snapshot: parts.snapshot.clone(),
        membership: parts.membership.clone(),
        dials: parts.dials.clone(),
        cells: parts.cells.clone(),
        fleets: Published::new(FleetAddresses::default()),
        initial: None,
        on_event: Box::new(|event: Event| eprintln!("tentpole: {event}")),
    }
}

fn admin_parts(parts: ControlParts) -> AdminParts {
    let ControlParts { snapshot, membership, dials, cells, observed, ledger, purge } = parts;
    AdminParts { snapshot, membership, dials, cells, observed, ledger, purge }
}
