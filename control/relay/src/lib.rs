//! Tells content networks in front of Tentpole what was purged here: Fastly, CloudFront, Cloudflare. One thread and one
//! bounded queue for each; what cannot be told is counted and said. Knows no edge: whoever purges hands the order over
//! once it is in force here, so that a content network that asks anew gets the new.

mod calls;
mod http;
mod terms;
mod worker;

pub use calls::{Call, NotToldOf};

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tentpole_model::{PurgeOrder, RelayPort, RelayStatus, Snapshot};
use worker::Worker;

/// What the relay works with.
pub struct RelayParts {
    /// Its content networks and sites.
    pub snapshot: Arc<Snapshot>,
    /// Hears what people should know: what could not be told, and that it goes again.
    pub on_event: Arc<dyn Fn(String) + Send + Sync>,
    /// Time before the second attempt; each further one waits twice as long.
    pub patience: Duration,
}

/// The time before the second attempt that suits the real networks.
pub const PATIENCE: Duration = Duration::from_secs(1);

/// Tells all content networks. Its threads end when it is dropped, with what they are about to send.
pub struct Relay {
    workers: Vec<Worker>,
}

impl Relay {
    /// Starts a thread for each content network of the Snapshot.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(parts: RelayParts) -> io::Result<Self> {
        let parts = Arc::new(parts);
        let start = |at| Worker::start(&parts, at);
        let workers = (0..parts.snapshot.content_networks.len()).map(start).collect::<io::Result<_>>()?;
        Ok(Self { workers })
    }
}

impl RelayPort for Relay {
    fn pass_on(&self, order: &PurgeOrder) {
        self.workers.iter().for_each(|worker| worker.pass_on(order));
    }

    fn status(&self) -> Vec<RelayStatus> {
        self.workers.iter().map(Worker::status).collect()
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("networks", &self.workers.len()).finish()
    }
}

/// Why a Snapshot's content networks cannot be told by this build; `None` when they can.
pub fn cannot_tell(snapshot: &Snapshot) -> Option<String> {
    let secure = snapshot.content_networks.iter().find(|network| network.api.starts_with("https://"))?;
    (!cfg!(feature = "tls")).then(|| {
        format!(
            "[content_network.{}] needs HTTPS, which this build does not speak; build it with --features \
             content-networks",
            secure.name
        )
    })
}
