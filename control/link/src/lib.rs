//! Control's end of the link to the edge: what is published in this process is published there, what is counted there
//! is counted here. Whoever waits with `taken_by_all` waits for the edge's data threads; whoever reads `Cells` reads
//! what the edge last reported. Decides nothing, keeps no history, and knows no visitor.

mod asking;
mod mirror;
mod session;

use asking::Asking;
use mirror::Mirror;
use std::fmt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tentpole_model::link::{Answer, LastPublished, Question};
use tentpole_model::{Dials, EdgeGone, EdgePort, EdgeReport, Membership, PurgeOrder, Snapshot};
use tentpole_runtime::published::Reader;
use tentpole_runtime::{Cells, Published};
use tokio::sync::watch;

/// What the link carries, shared with the rest of the control plane.
#[derive(Clone)]
pub struct LinkParts {
    /// What is served.
    pub snapshot: Arc<Snapshot>,
    /// Endpoints and their health; sent to the edge once there is one for each endpoint.
    pub membership: Arc<Published<Membership>>,
    /// Weights in force.
    pub dials: Arc<Published<Dials>>,
    /// Where the edge's counts of the endpoints show.
    pub cells: Arc<Cells>,
    /// Who is told of purges that the edge carried out for an application; returns at once.
    pub on_purge: Arc<dyn Fn(&PurgeOrder) + Send + Sync>,
}

/// Control's end of the link, over however many links there are one after the other.
pub struct Link {
    parts: LinkParts,
    /// Stand for all data threads of the edge.
    readers: Mutex<Readers>,
    mirror: Mutex<Mirror>,
    asking: Asking,
    report: Mutex<Option<Arc<EdgeReport>>>,
    /// Hellos so far; the value of the first one.
    hello: watch::Sender<Option<Option<LastPublished>>>,
}

struct Readers {
    membership: Reader<Membership>,
    dials: Reader<Dials>,
}

impl Link {
    /// No link yet. Until there is one, nobody but this process has what is published.
    pub fn new(parts: LinkParts) -> Arc<Self> {
        let readers = Readers { membership: parts.membership.reader(), dials: parts.dials.reader() };
        let mirror = Mirror::new(&parts.snapshot, &parts.cells);
        Arc::new(Self {
            readers: Mutex::new(readers),
            mirror: Mutex::new(mirror),
            asking: Asking::default(),
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

    fn readers(&self) -> MutexGuard<'_, Readers> {
        lock(&self.readers)
    }

    fn mirror(&self) -> MutexGuard<'_, Mirror> {
        lock(&self.mirror)
    }

    /// Takes over what the edge has in force, where nobody has said anything else here: this process is new.
    fn adopt(&self, published: &Option<LastPublished>) {
        let Self { parts: LinkParts { snapshot, membership, dials, .. }, .. } = self;
        if let Some(LastPublished { membership: there, dials: weights }) = published {
            if membership.version() == 1 && membership_fits(snapshot, there) {
                membership.publish(there.clone());
            }
            if dials.version() == 1 && dials_fit(snapshot, weights) {
                dials.publish(weights.clone());
            }
        }
    }
}

impl EdgePort for Link {
    fn ask(&self, question: Question) -> Result<Answer, EdgeGone> {
        self.asking.ask(question)
    }

    fn report(&self) -> Option<Arc<EdgeReport>> {
        lock(&self.report).clone()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}

/// Whether there is a member for each endpoint of each pool: before health has spoken there is not.
fn membership_fits(snapshot: &Snapshot, membership: &Membership) -> bool {
    fits(snapshot, membership.pools.iter().map(|pool| pool.members.len()))
}

fn dials_fit(snapshot: &Snapshot, dials: &Dials) -> bool {
    fits(snapshot, dials.weights.iter().map(Vec::len))
}

fn fits(snapshot: &Snapshot, lengths: impl Iterator<Item = usize>) -> bool {
    snapshot.pools.iter().map(|pool| pool.endpoints.len()).eq(lengths)
}

fn lock<T>(value: &Mutex<T>) -> MutexGuard<'_, T> {
    value.lock().unwrap_or_else(PoisonError::into_inner)
}
