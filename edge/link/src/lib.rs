//! The edge's end of the link to the control process: publishes what comes down, tells when every data thread has it,
//! answers questions, reports what was counted, and keeps the last published values on disk. On a thread of its own:
//! a data thread never waits for it, and a control process that stands still costs reports and nothing else. Decides
//! nothing, and knows no visitor.

mod answer;
mod disk;
mod passing;
mod session;
mod untold;

use passing::Passes;
use untold::Untold;

pub use disk::last_published;

use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_model::{LastPublished, PurgeOrder, PurgePort, PurgedBy, RoomOrder};
use tentpole_observe::{Names, Observed};
use tentpole_runtime::{Cells, InForce, Instant, Ledger, clock};
use tokio::sync::{mpsc, oneshot, watch};

/// Links that wait to be taken over; only the last one counts.
const LINKS_MAX: usize = 4;
/// Questions under way, each on a thread of its own.
pub(crate) const QUESTIONS_MAX: usize = 8;
/// How long what blocks may take to end when the link ends.
const BLOCKING_END_MAX: Duration = Duration::from_millis(500);

/// A purge that other edges are to carry out too, by whom it was wanted, and whom to tell whether all of them did.
pub type Passing = (PurgedBy, Vec<PurgeOrder>, oneshot::Sender<bool>);

/// Puts another Snapshot in force.
pub type Reload = dyn Fn(&InForce) -> Result<(), String> + Send + Sync;

/// Does what is wanted of a waiting room, if something is, and says how rooms are; `None` where there is none of that name.
pub type AskRooms = dyn Fn(Option<&RoomOrder>) -> Option<String> + Send + Sync;

/// What the link works on, shared with the data threads.
#[derive(Clone)]
pub struct LinkParts {
    /// What is served to begin with.
    pub in_force: InForce,
    /// Whether what is published there is what control once said (found on disk), and not just what it was made with.
    pub known: bool,
    /// Serves another Snapshot from now on: returns when every data thread has it. Blocks. Changes nothing when it fails.
    pub reload: Arc<Reload>,
    /// What numbers in records are called.
    pub names: Names,
    /// What is counted of each endpoint.
    pub cells: Arc<Cells>,
    /// What is counted and recorded of each request.
    pub observed: Arc<Observed>,
    /// What memory is held for.
    pub ledger: Arc<Ledger>,
    /// Empties the cache.
    pub purge: Arc<dyn PurgePort>,
    /// What was learned about caching, as one JSON document.
    pub advice: Arc<dyn Fn() -> String + Send + Sync>,
    /// Looks at waiting rooms, and does what an operator wants of one.
    pub rooms: Arc<AskRooms>,
    /// How many requests wait in each pool.
    pub queued: Arc<dyn Fn() -> Vec<u32> + Send + Sync>,
    /// Purge requests that were carried out, for content networks to hear of; `None` when there are none.
    pub purged: Option<Arc<tokio::sync::Mutex<mpsc::Receiver<PurgeOrder>>>>,
    /// Purges that the edges beside this one are to hear of; `None` when nobody passes any on.
    pub passing: Option<Arc<tokio::sync::Mutex<mpsc::Receiver<Passing>>>>,
    /// Is told how many other edges serve beside this one.
    pub beside: Arc<dyn Fn(usize) + Send + Sync>,
    /// The directory that holds the last published values.
    pub state: PathBuf,
    /// When the edge started.
    pub started: Instant,
    /// The version that the metrics show.
    pub version: &'static str,
}

/// The link's thread. Ends when dropped; what is being written then is either whole or not there.
pub struct Link {
    shared: Arc<Shared>,
    links: Option<mpsc::Sender<UnixStream>>,
    thread: Option<JoinHandle<()>>,
}

/// What outlives a link.
pub(crate) struct Shared {
    pub(crate) parts: LinkParts,
    in_force: Mutex<InForce>,
    reloading: Mutex<()>,
    known: AtomicBool,
    /// Whether the last published values are kept on disk.
    keeps: AtomicBool,
    /// Counts changes of what is published: the disk follows.
    changes: watch::Sender<u64>,
    /// Purges on their way to other edges.
    pub(crate) passes: Mutex<Passes>,
    /// Purges that content networks are to hear of.
    pub(crate) untold: Mutex<Untold>,
    /// Whether control has said who else serves.
    pub(crate) is_known: watch::Sender<bool>,
    /// Whether what was published first is on disk, or was found there, or cannot be written.
    pub(crate) is_kept: watch::Sender<bool>,
}

impl Link {
    /// Starts the thread; there is no link yet.
    ///
    /// # Errors
    /// When the system gives no thread or no reactor.
    pub fn start(parts: LinkParts) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // One more: the disk must not wait for questions.
            .max_blocking_threads(QUESTIONS_MAX + 1)
            .on_thread_unpark(clock::wake)
            .build()?;
        let (links, coming) = mpsc::channel(LINKS_MAX);
        let shared = Arc::new(Shared::new(parts));
        let of_thread = shared.clone();
        let thread = std::thread::Builder::new().name("edge-link".into()).spawn(move || {
            runtime.block_on(run(of_thread, coming));
            // Somebody may hold a disk or a shard that hangs: that must not hold up the edge's end.
            runtime.shutdown_timeout(BLOCKING_END_MAX);
        })?;
        Ok(Self { shared, links: Some(links), thread: Some(thread) })
    }

    /// Serves this link from now on; an older one is dropped at once.
    pub async fn replace(&self, link: UnixStream) {
        if let Some(links) = &self.links {
            // The thread lives as long as this; if it panicked, it has said so.
            let _ = links.send(link).await;
        }
    }
}

impl Link {
    /// Returns once control knows this edge, and has said who else serves: from then on purges come from everywhere.
    pub async fn is_known(&self) {
        // The sender is in this very value.
        let _ = self.shared.is_known.subscribe().wait_for(|&known| known).await;
    }

    /// Returns once an edge that starts in the place of this one could do so without control, as far as the disk takes part.
    pub async fn is_kept(&self) {
        let _ = self.shared.is_kept.subscribe().wait_for(|&kept| kept).await;
    }

    /// Writes nothing to disk any more: another edge does.
    pub fn keeps_no_file(&self) {
        self.shared.keeps.store(false, Ordering::Relaxed);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.links = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn new(parts: LinkParts) -> Self {
        let (known, is_kept) = (AtomicBool::new(parts.known), watch::Sender::new(parts.known));
        let in_force = Mutex::new(parts.in_force.clone());
        Self {
            parts,
            in_force,
            reloading: Mutex::new(()),
            known,
            keeps: AtomicBool::new(true),
            changes: watch::Sender::new(0),
            passes: Mutex::default(),
            untold: Mutex::default(),
            is_known: watch::Sender::new(false),
            is_kept,
        }
    }

    /// What is served now.
    pub(crate) fn in_force(&self) -> InForce {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Serves another Snapshot, unless it does already. Blocks until every data thread has it.
    pub(crate) fn reload(&self, next: InForce) -> Result<(), String> {
        // A link that broke off may have begun the same.
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        if next.version == self.in_force().version {
            return Ok(());
        }
        // First: what is recorded may name it at once.
        self.parts.names.add(next.version, next.snapshot.clone());
        (self.parts.reload)(&next)?;
        *self.in_force.lock().unwrap_or_else(PoisonError::into_inner) = next;
        self.changed(true);
        Ok(())
    }

    /// Whether what is published is written to disk.
    pub(crate) fn keeps_file(&self) -> bool {
        self.keeps.load(Ordering::Relaxed)
    }

    /// What is in force, once control has said anything.
    pub(crate) fn published(&self) -> Option<LastPublished> {
        self.known.load(Ordering::Relaxed).then(|| self.in_force().published())
    }

    /// Notes that something was published.
    pub(crate) fn changed(&self, membership: bool) {
        if membership {
            self.known.store(true, Ordering::Relaxed);
        }
        self.changes.send_modify(|changes| *changes += 1);
    }
}

async fn run(shared: Arc<Shared>, mut coming: mpsc::Receiver<UnixStream>) {
    let keeping = tokio::spawn(disk::keep(shared.clone(), shared.changes.subscribe()));
    let mut next = coming.recv().await;
    while let Some(link) = next {
        next = tokio::select! {
            newer = coming.recv() => newer,
            () = session::serve(&shared, link) => coming.recv().await,
        };
    }
    keeping.abort();
}
