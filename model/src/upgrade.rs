//! A change of the program itself while visitors are served: how it ended, and the port that asks for it.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;

/// What processes of different versions must agree on: the messages between them (`link`), the Snapshot on disk, and what
/// a keeper hands to the next. Counts up when one of them changes so that an older program could not read it.
pub const PROTOCOL: u32 = 3;

/// How an upgrade ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpgradeEnd {
    /// The new program serves; earlier edges finish what they began.
    Done {
        /// The new program's version.
        version: String,
        /// The version before.
        before: String,
    },
    /// Nothing has changed.
    Refused(String),
}

impl UpgradeEnd {
    /// The word for it in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Done { .. } => "done",
            Self::Refused(_) => "refused",
        }
    }
}

impl fmt::Display for UpgradeEnd {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done { version, before } => write!(
                f,
                "upgraded from {before} to {version}: new connections are its own, those that were open finish at the edge \
                 before"
            ),
            Self::Refused(why) => write!(f, "not upgraded, nothing has changed: {why}"),
        }
    }
}

/// How far an upgrade is, what earlier ones have left, and how many there were.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeProgress {
    /// The one under way.
    pub under_way: Option<UpgradeUnderWay>,
    /// Edges that another one has taken the place of, and that still have connections.
    pub leaving: Vec<EdgeLeaving>,
    /// Upgrades that were done since Tentpole was started.
    pub done: u64,
    /// Those that were refused before anything had changed.
    pub refused: u64,
    /// Those whose program gave everything back.
    pub given_back: u64,
}

/// An upgrade that has not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeUnderWay {
    /// What it does now.
    pub step: UpgradeStep,
    /// The program.
    pub program: PathBuf,
    /// When it was wished for, in milliseconds since 1970.
    pub since_unix_ms: u64,
}

/// What an upgrade does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpgradeStep {
    /// It waits for a reload to end.
    Waiting,
    /// The new program is asked whether it can take over.
    Checking,
    /// Its edge starts, and takes the hottest objects from the one that serves.
    Opening,
    /// The new program becomes the keeper.
    TakingOver,
}

/// An edge that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeLeaving {
    /// Its process.
    pub pid: u32,
    /// Since when, in milliseconds since 1970.
    pub since_unix_ms: u64,
    /// When what is still open is closed.
    pub until_unix_ms: u64,
}

/// A port of the control process: asks for an upgrade.
pub trait UpgradePort: Send + Sync {
    /// Asks for this program, or for the one that lies where the present one was started from; ready once it ended.
    /// `None` when too many wait already, or nobody answers any more.
    fn upgrade(&self, program: Option<PathBuf>) -> Pin<Box<dyn Future<Output = Option<UpgradeEnd>> + Send>>;
}
