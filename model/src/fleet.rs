//! Instances started and stopped together: what a fleet is asked to be, what its instances are doing, and the port
//! through which they are made. Decides nothing (`decide/scale` does) and starts nothing (`control/provider` does).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

/// How a pool's instances are started and how many there shall be. A pool that has one has `max` endpoints, one for
/// each slot, named `POOL-1` to `POOL-max` with port 0: where a slot's instance listens is told by the Membership.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    /// What is started.
    pub launch: Launch,
    /// Instances at least; from 1.
    pub min: u32,
    /// Instances at most.
    pub max: u32,
    /// CPUs that each instance is given: its CPU share is what it uses, divided by this.
    pub cpus: f64,
    /// The CPU share, 0 to 1, that the fleet is held at: more instances above it.
    pub cpu_target: f64,
    /// Requests in flight for each instance that the fleet is held at; `None` looks at the CPU alone.
    pub requests_target: Option<f64>,
    /// How long the rest must be able to carry the load before one instance is taken away.
    pub scale_in_window: Duration,
    /// What an instance is asked with GET until it answers with a status below 500.
    pub ready_path: String,
    /// How long it may take until then.
    pub start_time: Duration,
    /// Time over which a new instance's share of the traffic grows to its full weight.
    pub slow_start: Duration,
    /// How long requests in flight may take before an instance that leaves is ended all the same.
    pub drain_time: Duration,
    /// How long an instance may take to end by itself (SIGTERM) before it is killed.
    pub stop_time: Duration,
}

/// The environment variable in which instances find the keeper's state directory: what they keep there lies as long as
/// Tentpole runs, or longer when the directory was named.
pub const STATE_VARIABLE: &str = "TENTPOLE_STATE";

/// What is started: a program and its arguments. `{port}` in an argument or value becomes the instance's port, which
/// the environment variable `PORT` says as well; [`STATE_VARIABLE`] names the state directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// The program and its arguments; at least one.
    pub run: Vec<String>,
    /// Where it runs; `None` is where Tentpole was started.
    pub directory: Option<PathBuf>,
    /// Environment variables on top of those that Tentpole was started with.
    pub env: Vec<(String, String)>,
}

impl Launch {
    /// Tells one from another: the same for the same program, arguments, directory and environment, in every process and
    /// version (FNV-1a, 64 bits).
    pub fn mark(&self) -> u64 {
        let directory = self.directory.iter().map(|path| path.as_os_str().as_encoded_bytes());
        let env = self.env.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
        let words = self
            .run
            .iter()
            .map(String::as_bytes)
            .chain([[].as_slice()])
            .chain(directory)
            .chain([[].as_slice()]);
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for word in words.chain(env) {
            // No byte of a word is the end of it.
            for byte in word.iter().map(|&byte| u64::from(byte)).chain([0x100]) {
                hash = (hash ^ byte).wrapping_mul(0x0000_0100_0000_01b3);
            }
        }
        hash
    }
}

/// Number of an instance; never given twice while the provider lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct InstanceId(pub u64);

/// An instance as its provider knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its number.
    pub id: InstanceId,
    /// The pool whose fleet it belongs to.
    pub pool: String,
    /// Its endpoint in that pool, from 0.
    pub slot: u32,
    /// Where it listens (or will).
    pub address: SocketAddr,
    /// Its process, for those that are one on this machine.
    pub pid: Option<u32>,
    /// When it was started, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// What it was started with, as [`Launch::mark`] says it; `None` when nobody knows.
    pub launch: Option<u64>,
    /// A word that the fleet leaves with it, so that a new control process knows what the old one was about.
    pub mark: String,
    /// How it ended, in words; `None` while it runs.
    pub ended: Option<String>,
}

/// What an instance is doing, as its fleet sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstancePhase {
    /// Started; does not answer yet.
    Starting,
    /// Answers; its share of the traffic still grows.
    WarmingUp,
    /// Takes its full share.
    Serving,
    /// Gets no new requests; those in flight finish.
    Draining,
    /// Told to end.
    Stopping,
}

/// Where instances are made: processes of this machine, later a cluster or a cloud. Calls return at once; what came of
/// them shows in [`Provider::instances`].
pub trait Provider: Send + Sync {
    /// Begins to start an instance.
    ///
    /// # Errors
    /// When it is known at once that this cannot be.
    fn start(&self, pool: &str, slot: u32, launch: &Launch) -> Result<Instance, ProviderError>;

    /// All instances that run, and those that ended and were not forgotten.
    fn instances(&self) -> Vec<Instance>;

    /// CPU time used so far by the instance with all its processes; `None` when it cannot be known now.
    fn cpu_time(&self, id: InstanceId) -> Option<Duration>;

    /// Leaves a word with an instance.
    fn mark(&self, id: InstanceId, mark: &str);

    /// Asks an instance to end by itself (SIGTERM).
    fn terminate(&self, id: InstanceId);

    /// Ends it with all its processes.
    fn kill(&self, id: InstanceId);

    /// Drops the memory of an instance that ended.
    fn forget(&self, id: InstanceId);
}

/// Why an instance could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// No free port was found.
    NoPort,
    /// Whoever owns the processes is not there.
    Gone,
}

/// Where the instances of fleets listen; parallel to `Snapshot::pools` and the pool's endpoints, empty for a pool
/// without a fleet. Published by the fleet, taken by health into the Membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetAddresses {
    /// For each pool, for each slot: where its instance takes traffic; `None` while there is none that does.
    pub pools: Vec<Vec<Option<SocketAddr>>>,
}

/// What a fleet does and why, for the admin API and the console.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FleetStatus {
    /// Its pool.
    pub pool: String,
    /// Instances at least.
    pub min: u32,
    /// Instances at most.
    pub max: u32,
    /// How many there shall be now.
    pub wanted: u32,
    /// The CPU share, 0 to 1 and above, over its serving instances; `None` while unknown.
    pub cpu_share: Option<f64>,
    /// The CPU share it is held at.
    pub cpu_target: f64,
    /// The requests in flight for each instance it is held at.
    pub requests_target: Option<f64>,
    /// Its instances, by slot.
    pub instances: Vec<InstanceStatus>,
    /// New instances taking the place of old ones, while they do, or after that stopped.
    pub restart: Option<FleetRestart>,
    /// What it decided, newest last; bounded.
    pub decisions: Vec<FleetDecision>,
}

/// How far a rolling restart is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FleetRestart {
    /// Old instances that still have to go.
    pub old: u32,
    /// New ones that serve in the place of an old one; one that serves beside it until it leaves is not counted yet.
    #[serde(default)]
    pub new: u32,
    /// As many are to be new.
    #[serde(default)]
    pub of: u32,
    /// Since when, in milliseconds since 1970; after a restart of the control process, since that.
    #[serde(default)]
    pub since_unix_ms: u64,
    /// Why it has stopped; the old instances stay then.
    pub stopped: Option<String>,
}

/// Restarts fleets' instances one by one.
pub trait RestartPort: Send + Sync {
    /// Begins with this pool's; ready once it has begun and the fleet's status says so.
    ///
    /// # Errors
    /// When the pool has no fleet, or nobody cares for it just now.
    fn restart(&self, pool: &str) -> Pin<Box<dyn Future<Output = Result<(), RestartError>> + Send>>;
}

/// Why no restart begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartError {
    /// There is no such pool, or it has no fleet.
    NoFleet,
    /// Its fleet is being taken over.
    Busy,
}

/// One instance of a [`FleetStatus`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InstanceStatus {
    /// Its number.
    pub id: InstanceId,
    /// The endpoint's name: `POOL-1`.
    pub name: String,
    /// What it is doing.
    pub phase: InstancePhase,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its process.
    pub pid: Option<u32>,
    /// When it was started, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// Its CPU share of the last seconds; `None` while unknown.
    pub cpu_share: Option<f64>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Share of its full weight that it gets, 0 to 1.
    pub weight_share: f64,
}

/// A change of a fleet, or something that happened to it, with its reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FleetDecision {
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Instances wanted before.
    pub from: u32,
    /// Instances wanted after.
    pub to: u32,
    /// Why, in one short sentence for people.
    pub why: String,
}

impl fmt::Display for InstancePhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::WarmingUp => "warming up",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
        })
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoPort => "no free port was found",
            Self::Gone => "the process that owns the instances is not there",
        })
    }
}

impl std::error::Error for ProviderError {}
