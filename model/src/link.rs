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
use crate::upgrade::{UpgradeEnd, UpgradeProgress};
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
    /// It takes the place of another edge, which gives it what it has stored in memory; carries 1 descriptor. Comes before
    /// [`ToEdge::Start`].
    Take,
    /// The other end of that: gives what is stored to who asks for it; carries 1 descriptor.
    Give,
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
    /// Another edge serves: takes no new connections, tells those that are open at their next response, and ends when the
    /// last one has, after `VisitorLimits::drain_time_upgrade` at the latest.
    Leave,
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
    /// A link to one more edge, which serves beside the other for a while; carries 1 descriptor. It gets all that is
    /// published, and every purge.
    LinkBeside,
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
    /// An upgrade has ended, whoever wished for it.
    Upgraded {
        /// Who did.
        by: Trigger,
        /// What came of it.
        end: UpgradeEnd,
    },
    /// How far an upgrade is: first of all, and whenever it changes.
    Upgrading(UpgradeProgress),
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
    /// Somebody at the admin API wants another program in the place of this one; answered with [`ToControl::Upgraded`].
    Upgrade {
        /// The number of the request.
        number: u64,
        /// Its file; `None` is where the present one was started from.
        program: Option<PathBuf>,
    },
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
    /// So many other edges serve beside this one: what is purged here has to be passed on. First of all, and whenever it
    /// changes.
    Beside {
        /// How many.
        others: usize,
    },
    /// A purge was passed on ([`LinkUp::Pass`]).
    Passed {
        /// The number that it had.
        id: u64,
        /// Whether all other edges have carried it out.
        everywhere: bool,
    },
    /// Every [`LinkUp::Purged`] up to this number is taken care of.
    Heard {
        /// The number of the last.
        id: u64,
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
    /// This was purged here, and the other edges are to purge it too; answered with [`LinkDown::Passed`].
    Pass {
        /// Counts up in this edge; the same once more is the same purge.
        id: u64,
        /// Who wanted it.
        by: crate::PurgedBy,
        /// What.
        orders: Vec<crate::PurgeOrder>,
    },
    /// A purge request of an application was carried out: content networks in front are to hear of it. Answered with
    /// [`LinkDown::Heard`].
    Purged {
        /// Counts up in this edge; the same once more is the same purge.
        id: u64,
        /// What.
        order: crate::PurgeOrder,
    },
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
    /// Purge what was purged at an edge beside this one.
    PurgeBeside {
        /// Who wanted it.
        by: crate::PurgedBy,
        /// What.
        orders: Vec<crate::PurgeOrder>,
    },
    /// What was learned about caching, as one JSON document.
    CacheAdvice,
    /// How waiting rooms are, after one of them did what is wanted: a JSON document, empty where there is no such room.
    Rooms(Option<crate::RoomOrder>),
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
    /// Attempts that waited for a permit before they went to an endpoint.
    #[serde(default)]
    pub waited: u64,
    /// Requests by step of the ladder and rank, those that were not shared.
    #[serde(default)]
    pub ladder: Vec<(String, String, u64)>,
    /// The endpoints.
    pub endpoints: Vec<EndpointReport>,
    /// How the cache is doing.
    pub figures: crate::CacheFigures,
    /// Certificates in use that have ended or end soon, the first to end first.
    #[serde(default)]
    pub certificates: Vec<CertificateEnd>,
}

/// When a certificate in use ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateEnd {
    /// The first host that it names; empty when it names none.
    pub host: String,
    /// Where it was read.
    pub file: String,
    /// When, in seconds since 1970.
    pub ends_unix_s: u64,
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
    /// Those of them since the last other response.
    pub errors_in_a_row: u32,
    /// How long it took to answer: responses in each of `runtime::latencies`' classes, from the fastest; those behind
    /// the last that holds any are left out.
    pub latencies: Vec<u64>,
    /// After how many milliseconds it closes an idle connection; `None` while that is not known.
    pub idle_limit_ms: Option<u32>,
    /// Ports of the edge's machine in use towards it, by the address that they belong to.
    #[serde(default)]
    pub local_ports: Vec<(std::net::IpAddr, u32)>,
    /// Requests that it may have in flight, where that follows what it carries, and why it is so.
    #[serde(default)]
    pub limit: Option<(u32, crate::LimitWhy)>,
    /// Where that began.
    #[serde(default)]
    pub limit_start: Option<crate::LimitStart>,
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

    /// Connections of visitors that edges beside the one that takes new ones still have, each with its process.
    fn connections_beside(&self) -> Vec<(u32, u64)> {
        Vec::new()
    }

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
