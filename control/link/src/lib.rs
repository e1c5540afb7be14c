//! Control's end of the link to the edge: what is published in this process is published there, what is counted there
//! is counted here. Whoever waits with `taken_by_all` waits for the edge's data threads; whoever reads `Cells` reads
//! what the edge last reported. Decides nothing, keeps no history, and knows no visitor.

mod asking;
mod beside;
mod mirror;
mod passes;
mod session;

use asking::Asking;
use beside::Beside;
use mirror::Mirror;
use std::fmt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tentpole_model::link::{Answer, Question};
use tentpole_model::{Dials, EdgeGone, EdgePort, EdgeReport, LastPublished, Membership, PurgeOrder};
use tentpole_runtime::published::Reader;
use tentpole_runtime::{Cells, InForce};
use tokio::sync::watch;

/// What the link carries, shared with the rest of the control plane.
#[derive(Clone)]
pub struct LinkParts {
    /// What is served to begin with. Its Membership is sent to the edge once there is a member for each endpoint.
    pub in_force: InForce,
    /// Where the edge's counts of the endpoints show.
    pub cells: Arc<Cells>,
    /// Who is told of purges that the edge carried out for an application; returns at once.
    pub on_purge: Arc<dyn Fn(&PurgeOrder) + Send + Sync>,
}

/// Control's end of the link, over however many links there are one after the other.
pub struct Link {
    parts: LinkParts,
    /// What is served, and who stands for all data threads of the edge.
    now: Mutex<Now>,
    /// Counts the Snapshots.
    replaced: watch::Sender<u64>,
    /// What the edge said of the last Snapshot.
    taken: watch::Sender<Option<(u64, Result<(), String>)>>,
    mirror: Mutex<Mirror>,
    /// What edges beside the other last counted of the endpoints.
    beside: Mutex<Beside>,
    asking: Arc<Asking>,
    report: Mutex<Option<Arc<EdgeReport>>>,
    /// Hellos so far; the value of the first one.
    hello: watch::Sender<Option<Option<LastPublished>>>,
}

struct Now {
    in_force: InForce,
    membership: Reader<Membership>,
    dials: Reader<Dials>,
}

impl Now {
    fn new(in_force: InForce) -> Self {
        Self { membership: in_force.membership.reader(), dials: in_force.dials.reader(), in_force }
    }
}

impl Link {
    /// No link yet. Until there is one, nobody but this process has what is published.
    pub fn new(parts: LinkParts) -> Arc<Self> {
        let mirror = Mirror::new(&parts.in_force.snapshot, &parts.cells);
        Arc::new(Self {
            now: Mutex::new(Now::new(parts.in_force.clone())),
            replaced: watch::Sender::new(0),
            taken: watch::Sender::new(None),
            mirror: Mutex::new(mirror),
            beside: Mutex::default(),
            asking: Arc::default(),
            report: Mutex::new(None),
            hello: watch::Sender::new(None),
            parts,
        })
    }

    /// Serves one link until it ends. Drop the future to replace it by another one. Needs a tokio runtime with its
    /// network driver.
    pub async fn serve(&self, link: UnixStream) {
        session::serve(self, link).await;
    }

    /// Serves a link to an edge that serves beside the other, until it ends: it gets all that is published, and who waits
    /// until that is in force waits for this edge too. What it has under way counts as under way.
    pub async fn serve_beside(&self, link: UnixStream) {
        session::serve_beside(self, link).await;
    }

    /// What the first edge that said hello had in force, once it has: nothing, if it is a new one. When this returns,
    /// that is what is published here too, unless somebody published before.
    pub async fn hello(&self) -> Option<LastPublished> {
        let mut hello = self.hello.subscribe();
        match hello.wait_for(Option::is_some).await {
            Ok(said) => said.clone().flatten(),
            // The sender is in this very value.
            Err(_) => None,
        }
    }

    /// Begins with what an edge left behind on disk, because none is there to say hello. Does nothing once somebody
    /// published.
    pub fn begin_with(&self, last: Option<LastPublished>) {
        self.adopt(&last);
    }

    /// Lets the edge serve this from now on; [`Link::taken`] says when it does.
    pub fn replace(&self, next: InForce) {
        {
            // Whoever waits for the old lists waits for nothing any more: its readers go.
            let mut now = lock(&self.now);
            *now = Now::new(next);
            // The edge has nothing of it yet.
            now.membership.took(0);
            now.dials.took(0);
            self.mirror().follow(&now.in_force.snapshot, &self.parts.cells);
        }
        self.parts.cells.forget_unused();
        self.replaced.send_modify(|count| *count += 1);
    }

    /// Returns when every data thread of the edge has the Snapshot of this version, over however many links that takes.
    ///
    /// # Errors
    /// When the edge cannot serve it.
    pub async fn taken(&self, version: u64) -> Result<(), String> {
        let mut taken = self.taken.subscribe();
        let of_this = |said: &Option<(u64, _)>| said.as_ref().is_some_and(|(of, _)| *of == version);
        match taken.wait_for(of_this).await {
            Ok(said) => said.clone().map_or(Ok(()), |(_, end)| end),
            // The sender is in this very value.
            Err(_) => Ok(()),
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        lock(&self.now)
    }

    fn in_force(&self) -> InForce {
        self.now().in_force.clone()
    }

    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        lock(&self.mirror)
    }

    /// Takes over what the edge has in force, where nobody has said anything else here: this process is new.
    fn adopt(&self, published: &Option<LastPublished>) {
        let InForce { snapshot, membership, dials, .. } = self.in_force();
        // Without endpoints it only says how they were configured.
        if let Some(last) = published.as_ref().filter(|last| !last.membership.pools.is_empty()) {
            let (there, weights) = last.fitted(&snapshot);
            if membership.version() == 1 {
                membership.publish(there);
            }
            if dials.version() == 1 {
                dials.publish(weights);
            }
        }
    }
}

impl EdgePort for Link {
    fn ask(&self, question: Question) -> Result<Answer, EdgeGone> {
        match question {
            // In force where visitors are served, wherever that is.
            Question::Purge(_) | Question::PurgeBeside { .. } => {
                self.asking.ask_all(&question, None)?.ok_or(EdgeGone)
            }
            Question::Report
            | Question::Metrics
            | Question::Requests { .. }
            | Question::CacheAdvice
            | Question::Rooms(_) => self.asking.ask(question),
        }
    }

    fn report(&self) -> Option<Arc<EdgeReport>> {
        lock(&self.report).clone()
    }

    fn connections_beside(&self) -> Vec<(u32, u64)> {
        lock(&self.beside).connections()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
