//! Owns child processes: the edge, the control process and the instances. Starts the first two again when they die, hands
//! the listening sockets to each new edge and the instances to each new control process, and leaves no process behind
//! when it ends, however it ends. Carries no request, reads no configuration, decides nothing about instances.

mod backoff;
mod child;
pub mod instance;
mod instances;
mod keeper;
mod kill;
mod part;
mod program;
mod state;

pub use keeper::run;
pub use program::Program;

use std::net::TcpListener;
use std::path::PathBuf;
use tentpole_model::Snapshot;

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
    /// Is told what people want to know. Called on the keeper's thread; must not wait for long.
    pub tell: Box<dyn Fn(KeeperEvent)>,
}

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
