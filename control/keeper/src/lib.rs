//! Owns child processes: the edge, the control process and the instances. Starts the first two again when they die, hands
//! the listening sockets to each new edge and the instances to each new control process, and leaves no process behind
//! when it ends, however it ends. Carries no request, reads no configuration, decides nothing about instances.

mod backoff;
mod child;
mod ends;
mod fixed;
mod hand_over;
pub mod instance;
mod instances;
mod keeper;
mod kill;
mod part;
mod program;
mod reload;
mod signals;
mod state;
mod succession;
mod upgrade;

pub use hand_over::{TakenOver, check, take_over};
pub use keeper::run;
pub use program::Program;
pub use signals::hold as hold_signals;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use tentpole_model::{Refusal, ReloadEnd, Snapshot, Trigger, UpgradeEnd};

/// What a keeper keeps, and how it speaks to people.
pub struct KeeperParts {
    /// What is served; written to the state directory.
    pub snapshot: Snapshot,
    /// The state directory; `None` makes a temporary one.
    pub state: Option<PathBuf>,
    /// The listening sockets: for each data thread, in its order, one for each address.
    pub listeners: Vec<Vec<TcpListener>>,
    /// The admin API's listening socket.
    pub admin: Option<TcpListener>,
    /// What parts are started with.
    pub program: Program,
    /// The limit on open files that instances get: the one that this process was started with, because many programs take
    /// a high one for advice. `None` is unlimited.
    pub open_files: Option<u64>,
    /// How the configuration is read again; `None` when there is nothing to read.
    pub reload: Option<ReloadParts>,
    /// What an earlier program left (`take_over`); then listeners and admin API are those, and so is what is served.
    pub taken_over: Option<TakenOver>,
    /// Is told what people want to know. Called on the keeper's thread; must not wait for long.
    pub tell: Box<dyn Fn(KeeperEvent)>,
}

/// How another configuration is had while everything runs.
pub struct ReloadParts {
    /// Reads it whole. Called on a thread of its own.
    pub read: Arc<dyn Fn() -> Result<Read, Refusal> + Send + Sync>,
    /// Binds addresses for so many data threads: for each, its sockets in the order of the addresses.
    pub bind: Bind,
    /// The file itself, for who takes over.
    pub file: Option<PathBuf>,
    /// Tells that the file changed, where somebody looks.
    pub changed: Option<tokio::sync::mpsc::Receiver<()>>,
}

/// Binds addresses, or says why not.
pub type Bind = Box<dyn Fn(&[SocketAddr], usize) -> Result<Vec<Vec<TcpListener>>, String>>;

/// A configuration that may be put in force.
#[derive(Clone, Debug)]
pub struct Read {
    /// It.
    pub snapshot: Snapshot,
    /// What one should know of it, as `tentpole check` prints it.
    pub notes: String,
    /// Where settings that cannot change while it runs stand ([`FIXED`]), as `tentpole.toml:12`.
    pub places: Vec<(&'static str, String)>,
}

pub use fixed::FIXED;

/// What people want to know while it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperEvent {
    /// The first edge accepts connections.
    Open,
    /// A part died and was started again.
    PartRestarted {
        /// `edge` or `control`.
        part: &'static str,
        /// How it ended.
        how: String,
        /// How often that has happened to this part.
        times: u64,
    },
    /// An instance ended that nobody had asked to.
    InstanceEnded {
        /// Its endpoint's name: `shop-1`.
        name: String,
        /// How it ended.
        how: String,
        /// The control process was told, and says it too.
        told: bool,
    },
    /// The edge lets requests in flight finish.
    Ending {
        /// Open connections; `None` when the edge did not say.
        connections: Option<usize>,
    },
    /// A reload has ended.
    Reloaded {
        /// Who wished for it.
        by: Trigger,
        /// What came of it.
        end: ReloadEnd,
    },
    /// An upgrade has ended.
    Upgraded {
        /// Who wished for it.
        by: Trigger,
        /// What came of it.
        end: UpgradeEnd,
    },
    /// An edge of the program before has ended.
    EdgeLeft {
        /// Connections that did not end in time.
        cut: usize,
    },
    /// Something is wrong that the keeper lives with.
    Trouble(String),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeeperEnd {
    /// By a signal, in order.
    Ended {
        /// Connections that did not finish in time and were cut; `None` when the edge had no last word.
        cut: Option<usize>,
    },
    /// By a second signal, without waiting.
    AtOnce {
        /// Connections that were still open; `None` when the edge did not say.
        connections: Option<usize>,
    },
    /// It could not start, with the reason for the person who tried.
    Failed(String),
}
