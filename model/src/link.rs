//! What the processes tell one another. Keeper, edge and control process speak in these messages over Unix sockets
//! (`runtime::channel`): the keeper to each of its two children, and control to edge over a link that the keeper hands
//! to both. Never carries a visitor's request.
//!
//! ```text
//! keeper ──ToEdge/FromEdge──▶ edge           one channel each, the child's standard input
//! keeper ──ToControl/FromControl──▶ control
//! control ──LinkDown/LinkUp──▶ edge          a socket pair made by the keeper, new whenever one of the two is new
//! ```

use crate::fleet::Instance;
use crate::reload::{ReloadEnd, Trigger};
use crate::{Dials, InstanceId, LastPublished, Launch, Membership, SnapshotFile};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;

/// The file in the state directory that holds the Snapshot in force.
pub const SNAPSHOT_FILE: &str = "snapshot.json";
/// The file in the state directory that holds the last Membership and Dials ([`LastPublished`]).
pub const PUBLISHED_FILE: &str = "published.json";

/// From the keeper to the edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToEdge {
    /// One listening socket for one data thread; carries 1 descriptor. All come before [`ToEdge::Start`].
    Listener {
        /// Data thread, from 0.
        thread: usize,
    },
    /// Everything it needs is on disk. It opens its doors once a link has brought a Membership, or at once when one is
    /// on disk already.
    Start {
        /// Where the Snapshot lies.
        state: PathBuf,
    },
    /// A new link to a control process; carries 1 descriptor. Replaces an older one.
    Link,
    /// Listen at these addresses and no others. Sockets for the new ones came before, each as a [`ToEdge::Listener`].
    Listen(Vec<SocketAddr>),
    /// Takes no new connections, lets requests in flight finish within the drain time, and ends.
    End,
}

/// From the edge to the keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromEdge {
    /// Its data threads accept connections.
    Open,
    /// It cannot start; it ends after this.
    Failed(String),
    /// An answer to [`ToEdge::End`]: connections open at that moment.
    Ending {
        /// How many.
        connections: usize,
    },
    /// The last word: how many connections had to be cut.
    Ended {
        /// How many.
        cut: usize,
    },
}

/// From the keeper to the control process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToControl {
    /// Begin. Carries 1 descriptor, the admin API's listening socket, when `admin`.
    Start {
        /// Where the Snapshot lies.
        state: PathBuf,
        /// Whether a socket comes with this.
        admin: bool,
        /// The instances there are already: a control process before this one started them.
        instances: Vec<Instance>,
    },
    /// A new link to an edge; carries 1 descriptor. Replaces an older one.
    Link,
    /// An instance's process runs.
    Started {
        /// Which.
        id: InstanceId,
        /// Its process.
        pid: u32,
    },
    /// An instance ended, with all its processes.
    Exited {
        /// Which.
        id: InstanceId,
        /// How, in words: `exit status 1`, `signal 9 (SIGKILL)`, `cannot start gunicorn: ...`.
        how: String,
    },
    /// A part that the keeper owns ended and was started again, for people to see.
    Restarted {
        /// `edge` or `control`.
        part: String,
        /// How it ended.
        how: String,
    },
    /// Make everything ready for this Snapshot, and change nothing yet. Answered with [`FromControl::Prepared`]; a newer
    /// one takes its place.
    Prepare(Box<SnapshotFile>),
    /// What was prepared lies in the state directory: put it in force everywhere. Answered with [`FromControl::InForce`].
    Commit(u64),
    /// A reload has ended, whoever wished for it.
    Reloaded {
        /// Who did.
        by: Trigger,
        /// What came of it.
        end: ReloadEnd,
    },
    /// End: the keeper ends the instances itself.
    End,
}

/// From the control process to the keeper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromControl {
    /// It has published a first Membership and its API answers.
    Ready,
    /// It cannot start; it ends after this.
    Failed(String),
    /// Start an instance's process. `instance.pid` and `instance.ended` are `None`.
    StartInstance {
        /// Its record, kept by the keeper and handed to the next control process.
        instance: Instance,
        /// What to run; `{port}` is already replaced.
        launch: Launch,
    },
    /// Leave a word with an instance.
    Mark {
        /// Which.
        id: InstanceId,
        /// The word.
        mark: String,
    },
    /// SIGTERM to the instance's own process.
    Terminate(InstanceId),
    /// End it with all its processes.
    Kill(InstanceId),
    /// Drop the record of an instance that ended.
    Forget(InstanceId),
    /// Somebody at the admin API wants the configuration read again; answered with [`ToControl::Reloaded`].
    Reload(u64),
    /// All is ready for the Snapshot of this version.
    Prepared(u64),
    /// It cannot be made ready; nothing has changed.
    NotPrepared {
        /// The version.
        version: u64,
        /// Why, for people.
        why: String,
    },
    /// This version is in force: every data thread has it.
    InForce(u64),
}

/// From control to edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LinkDown {
    /// Serve this from now on. Everything after it on this link is about it.
    Snapshot {
        /// The structure.
        file: Box<SnapshotFile>,
        /// Its endpoints and their health, to begin with.
        membership: Membership,
        /// Its weights, to begin with.
        dials: Dials,
    },
    /// Publish these endpoints.
    Membership {
        /// The version of the Snapshot that they belong to.
        of: u64,
        /// Counts up on this link.
        version: u64,
        /// The value.
        value: Membership,
    },
    /// Publish these weights.
    Dials {
        /// The version of the Snapshot that they belong to.
        of: u64,
        /// Counts up on this link.
        version: u64,
        /// The value.
        value: Dials,
    },
    /// An endpoint came back: its failures in a row count from 0 again.
    Forgive {
        /// Counts up on this link; answered with [`LinkUp::Forgiven`].
        number: u64,
        /// Its pool.
        pool: String,
        /// `host:port`, or the slot's name in a fleet.
        authority: String,
    },
    /// A question; answered with the same number.
    Ask {
        /// Its number.
        id: u64,
        /// The question.
        question: Question,
    },
}

/// From edge to control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LinkUp {
    /// First of all: what is in force, so that a new control process changes nothing that it need not.
    Hello {
        /// The edge's process.
        pid: u32,
        /// The version of the Snapshot in force.
        snapshot: u64,
        /// What is published; `None` when this edge has not been told anything yet and found nothing on disk.
        published: Option<LastPublished>,
    },
    /// Every data thread has the Snapshot of this version, and nothing that was stored by other rules is served.
    SnapshotTaken(u64),
    /// It cannot serve this one, and goes on with what it has.
    SnapshotRefused {
        /// Its version.
        version: u64,
        /// Why.
        why: String,
    },
    /// Every data thread has this version of the Membership.
    MembershipTaken {
        /// The version of the Snapshot that it belongs to.
        of: u64,
        /// The number that it had on this link.
        version: u64,
    },
    /// Every data thread has this version of the Dials.
    DialsTaken {
        /// The version of the Snapshot that they belong to.
        of: u64,
        /// The number that they had on this link.
        version: u64,
    },
    /// Reports from now on know of every [`LinkDown::Forgive`] up to this number.
    Forgiven(u64),
    /// What was counted so far; several times a second.
    Report(Box<EdgeReport>),
    /// The answer to the question with this number.
    Answer {
        /// Its number.
        id: u64,
        /// The answer.
        answer: Answer,
    },
    /// A purge request of an application was carried out: content networks in front are to hear of it.
    Purged(crate::PurgeOrder),
}

/// What control may ask the edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Question {
    /// A report of this very moment.
    Report,
    /// The metrics in Prometheus' text format.
    Metrics,
    /// The last requests, newest first, as one JSON document.
    Requests {
        /// How many at most.
        limit: usize,
    },
    /// Purge.
    Purge(crate::PurgeOrder),
    /// What was learned about caching, as one JSON document.
    CacheAdvice,
}

/// What the edge answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The report came just before this.
    Reported,
    /// A text.
    Text(String),
    /// What a purge did.
    Purged(Result<crate::Purged, crate::PurgeError>),
}

/// What an edge has counted since it started. All totals only grow while `started_unix_ms` stays the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// When the edge started: another number is another edge, whose totals began at 0.
    pub started_unix_ms: u64,
    /// When this was counted, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Finished requests.
    pub requests: u64,
    /// Finished requests by class of status: none sent, 1xx, 2xx, 3xx, 4xx, 5xx.
    pub classes: [u64; 6],
    /// Finished requests by what the cache did, each with its word: `hit`, `stored`, `bypass`...
    pub cache: Vec<(String, u64)>,
    /// Requests and connections that the edge refused, by reason; reasons that never occurred are left out.
    pub refused: Vec<(String, u64)>,
    /// Requests that broke.
    pub failures: u64,
    /// Attempts after the first of a request.
    pub retries: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes sent to visitors.
    pub bytes_out: u64,
    /// Connections of visitors open now.
    pub connections_open: u64,
    /// Connections accepted.
    pub connections_accepted: u64,
    /// CPU time of the edge's process, in microseconds.
    pub cpu_us: u64,
    /// Durations of requests (arrival to last byte): for each bucket that holds any, its upper bound in microseconds and
    /// its count.
    pub durations: Vec<(u64, u64)>,
    /// Bytes held, by account.
    pub memory: Vec<(String, u64)>,
    /// Bytes that may be held.
    pub memory_max: u64,
    /// Requests waiting for a permit now, in each pool, parallel to `Snapshot::pools`.
    pub queued: Vec<u32>,
    /// The endpoints.
    pub endpoints: Vec<EndpointReport>,
    /// How the cache is doing.
    pub figures: crate::CacheFigures,
}

/// What an edge has counted of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointReport {
    /// Its pool.
    pub pool: String,
    /// `host:port`, or the slot's name in a fleet.
    pub authority: String,
    /// Requests in flight now.
    pub in_flight: u32,
    /// Open connections now.
    pub open: u32,
    /// Requests sent.
    pub requests: u64,
    /// Connections made.
    pub connects: u64,
    /// Attempts that failed by its fault.
    pub failures: u64,
    /// Failures since the last success.
    pub failures_in_a_row: u32,
    /// Responses with 500 and above.
    pub errors_5xx: u64,
}

/// Asks the edge from within the control process.
pub trait EdgePort: Send + Sync {
    /// Asks and waits for the answer; blocks its thread, a few seconds at most.
    ///
    /// # Errors
    /// When no edge is there to answer, or it does not in time.
    fn ask(&self, question: Question) -> Result<Answer, EdgeGone>;

    /// The last report; `None` before the first.
    fn report(&self) -> Option<std::sync::Arc<EdgeReport>>;

    /// A report of this moment where that can be had, otherwise the last one: for those who have just done something
    /// and look what came of it. Blocks its thread like [`EdgePort::ask`].
    fn report_now(&self) -> Option<std::sync::Arc<EdgeReport>> {
        // The report itself comes on its own way; without an edge the last one is all there is.
        let _ = self.ask(Question::Report);
        self.report()
    }
}

/// No edge answered: it is being started again, or hangs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeGone;

impl std::fmt::Display for EdgeGone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the edge does not answer: it is being started again, or hangs")
    }
}

impl std::error::Error for EdgeGone {}
