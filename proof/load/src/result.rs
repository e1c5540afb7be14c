//! What a run found: one value, from which the report's page and its JSON are made. Says nothing about how it is
//! shown. A failure never has a load time: every time in here is of successful responses only.
//!
//! Fields are only ever added. A reader of an older report gives the new ones their default.

use crate::found::Found;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
pub use tentpole_resolvers::{Edge, Spread, SpreadSecond};

/// Version of this form, in [`Run::format`]; raised when a field changes its meaning.
pub const FORMAT: u32 = 1;

/// One run of `tentpole load`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Version of this form: [`FORMAT`].
    pub format: u32,
    /// Version of Tentpole that made it.
    pub version: String,
    /// When it began, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// How long it took, in seconds, warming up and refining included.
    pub took_s: f64,
    /// What was loaded: scheme, host, port and path.
    pub url: String,
    /// The command as it was typed, for doing it again.
    pub command: String,
    /// How load is made.
    pub model: Model,
    /// What had to hold.
    pub objectives: Objectives,
    /// What a virtual user does.
    pub journey: JourneyOutline,
    /// What the generator ran on.
    pub machine: Machine,
    /// What virtual users draw their choices from; the same seed makes the same choices.
    pub seed: u64,
    /// Mean think time between two requests of a virtual user, in ms; 0 where there is none.
    pub think_ms: f64,
    /// The steps of load in the order in which they ran. Not always ascending: after a break the run may go back to
    /// find the place more closely ([`Phase::Refine`]).
    pub steps: Vec<StepResult>,
    /// Each second of the run, or each few seconds of a long one ([`Run::second_width`]).
    pub seconds: Vec<Second>,
    /// Seconds that one entry of [`Run::seconds`] stands for: 1, and more when a run is longer than the list may be.
    pub second_width: u32,
    /// The lowest load at which an objective did not hold; `None` when all held, and for a run that is not to be trusted
    /// ([`Run::distrust`]): its steps say what was seen.
    pub breaking_point: Option<BreakingPoint>,
    /// The highest load at which every objective held (visitors, or arrivals a second in the open model); `None`
    /// when none did.
    pub highest_held: Option<f64>,
    /// Whether the site still did not answer, or with errors of its own, a while after the load that broke it was taken
    /// away. The breaking point was not looked for more closely then.
    #[serde(default)]
    pub stays_down: bool,
    /// Whether the figures may be believed: see [`Run::distrust`].
    pub trusted: bool,
    /// Why they may not.
    pub distrust: Vec<Distrust>,
    /// What requests said of their run in the field `Tentpole-Load`: logs can be searched for it.
    #[serde(default)]
    pub mark: String,
    /// The test accounts as which journeys could order, pay, mail or reserve; requests said so in the same field.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// Addresses of this machine that visitors came from (`--from`); empty when that was left to the system.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Why Tentpole's own figures of real visitors ended the run (`--stop-when`); `None` when they did not.
    #[serde(default)]
    pub stopped_for: Option<String>,
    /// When that was, where it was asked for ([`Run::stopped_for`]).
    #[serde(default)]
    pub spared: Option<Spared>,
    /// Whether the certificates of the hosts were not looked at (`--insecure`).
    #[serde(default)]
    pub unverified: bool,
    /// How the load was spread over the addresses of the host, with a population of resolvers; `None` without one.
    #[serde(default)]
    pub spread: Option<Spread>,
    /// The agents that made the load, with `--agents`; empty without.
    #[serde(default)]
    pub agents: Vec<AgentResult>,
    /// What the search for the breaking point found, with `--find`; `None` without. [`Run::steps`] are its trials then.
    #[serde(default)]
    pub found: Option<Found>,
    /// What changed since the run of `--baseline`, a sentence each; empty without.
    #[serde(default)]
    pub since: Vec<String>,
    /// Whether someone ended the run before its time; everything measured until then is in here.
    pub interrupted: bool,
}

/// How fast a run ended when real visitors suffered; seconds of the run's time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spared {
    /// When their figures were looked at the last time and were good.
    pub held_s: f64,
    /// When they were seen to be bad.
    pub seen_s: f64,
    /// When the last request was begun.
    pub last_request_s: f64,
    /// How long threads of this process were ready to run and had no core, in all of the run: on a busy machine, everything is
    /// later by a part of it.
    pub waited_for_cpu_s: f64,
}

/// A generator on another machine, or in another process, that made a part of the load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AgentResult {
    /// Where it was asked.
    pub name: String,
    /// Its generator threads.
    pub threads: u32,
    /// Cores of its machine.
    pub cores: u32,
    /// Its clock less the coordinator's at the beginning, in µs (both count from a start of their own).
    pub offset_us: i64,
    /// The shortest round trip to it, in µs: the offset is known to half of it.
    pub round_trip_us: u64,
    /// By how much its clock certainly moved against the coordinator's during the run, in µs; it was followed. 0 when it did not.
    #[serde(default)]
    pub moved_us: i64,
    /// When it was lost, in seconds since the run's start; `None` when it was there to the end.
    pub lost_at_s: Option<f64>,
    /// Why.
    pub lost_because: Option<String>,
    /// Addresses of its machine that visitors had, where that was said there.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Cores of its threads, in turn, where that was said there.
    #[serde(default)]
    pub pinned: Vec<u32>,
}

/// How load is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Model {
    /// A number of visitors, each of whom waits for his answer before he goes on.
    Closed,
    /// Journeys that begin at a rate, whether or not earlier ones have ended.
    Open,
}

/// What must hold at every step. A limit that is not there is not judged.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objectives {
    /// The median of the load times must stay under this, in ms.
    pub p50_ms: Option<f64>,
    /// The 99th percentile of the load times must stay under this, in ms.
    pub p99_ms: Option<f64>,
    /// Failed ÷ all requests must stay under this: 0.01 is 1 %.
    pub errors_share: Option<f64>,
}

/// An objective by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// The median load time.
    P50,
    /// The 99th percentile of the load times.
    P99,
    /// The share of failed requests.
    Errors,
}

/// The journeys that were walked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JourneyOutline {
    /// `shop`, the name of a file, or `one page`.
    pub name: String,
    /// The names of all steps, in the order of the file. [`JourneyStepResult::name`] uses the same.
    pub steps: Vec<String>,
}

/// What the generator ran on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that the process may use.
    pub cores: u32,
    /// Generator threads.
    pub threads: u32,
    /// The cores that the generator's threads were pinned to with `--cpu`; empty when they were not.
    pub pinned: Vec<u32>,
    /// Whether the loaded host is this machine, so that both share its cores.
    pub same_machine: bool,
}

/// Why a step was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The climb (or a fixed load, or a stage of a profile).
    Climb,
    /// Between the last load that held and the first that did not, to find the place more closely.
    Refine,
}

/// One step of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepResult {
    /// 1 for the first.
    pub number: u32,
    /// Why it was run.
    pub phase: Phase,
    /// Simultaneous visitors, or journeys begun a second in the open model.
    pub load: f64,
    /// When what is judged began, in seconds since the run's start: after the ramp, which is not judged.
    pub began_s: f64,
    /// How long what is judged took, in seconds.
    pub took_s: f64,
    /// Requests that were due in this time, well or badly ended, and those that were due before it and outlasted it.
    /// The step lasts until the last of them has ended, so that a slow response is not lost at the border of a step.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// The failed ones by cause: a name of [`FailureCause`] and how many. Causes that did not occur are not listed.
    pub failures: BTreeMap<FailureCause, u64>,
    /// Responses by status code, those of redirects on the way included.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests a second.
    pub requests_per_s: f64,
    /// Bytes of response bodies received.
    pub bytes: u64,
    /// Load times as a visitor sees them: from the moment at which he wanted to ask. `None` when nothing succeeded.
    pub response_time: Option<Times>,
    /// From the moment the generator really began (dialing included, where there was no connection). `None` when
    /// nothing succeeded.
    pub service_time: Option<Times>,
    /// Kept connections that the other side had closed, and that were made anew.
    pub reconnects: u64,
    /// Connections opened.
    pub connects: u64,
    /// How long page loads waited for connections of TCP that they opened; `None` when none did.
    #[serde(default)]
    pub connect_time: Option<Times>,
    /// How long they waited for handshakes of TLS on those; `None` in the clear. Both are part of the load time too.
    #[serde(default)]
    pub handshake_time: Option<Times>,
    /// Page loads over HTTP/2.
    #[serde(default)]
    pub http2: u64,
    /// From a message over a WebSocket to its answer; `None` where there was none.
    #[serde(default)]
    pub message_time: Option<Times>,
    /// Steps of journeys by their tags: those with the same tag together. A step may be in several.
    #[serde(default)]
    pub tags: Vec<JourneyStepResult>,
    /// How late the generator itself was, 99th percentile, in microseconds: from the moment a request was due to the
    /// moment it was begun.
    pub lag_p99_us: u64,
    /// CPU time of the generator's threads ÷ what its threads could have had: 1.0 is all of it.
    pub generator_cpu_share: f64,
    /// The journey's steps one by one, in the order of [`JourneyOutline::steps`].
    pub journey_steps: Vec<JourneyStepResult>,
    /// The first objective that did not hold; `None` when all held.
    pub broke: Option<Broke>,
    /// Whether every objective held. False for a step without any judged request.
    pub held: bool,
}

/// A distribution of times, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// How many.
    pub count: u64,
    /// The shortest.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 90 % were not longer.
    pub p90: f64,
    /// 95 % were not longer.
    pub p95: f64,
    /// 99 % were not longer.
    pub p99: f64,
    /// 99.9 % were not longer.
    pub p999: f64,
    /// The longest.
    pub max: f64,
    /// The mean.
    pub mean: f64,
}

/// One step of a journey during one step of load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyStepResult {
    /// Its name.
    pub name: String,
    /// Requests.
    pub count: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Median load time of those that did not, in ms.
    pub p50_ms: Option<f64>,
    /// 95th percentile, in ms.
    pub p95_ms: Option<f64>,
    /// 99th percentile, in ms.
    pub p99_ms: Option<f64>,
}

/// An objective that did not hold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Broke {
    /// Which.
    pub objective: Objective,
    /// What was seen: ms, or a share. `None` when nothing succeeded, so that there was no load time to see.
    pub seen: Option<f64>,
    /// What it had to stay under: ms, or a share.
    pub wanted: f64,
}

/// Where it breaks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BreakingPoint {
    /// Simultaneous visitors, or journeys begun a second in the open model.
    pub load: f64,
    /// What did not hold there.
    pub broke: Broke,
}

/// What happened in one second (or [`Run::second_width`] of them), ramps included. The last one ends with the run and
/// may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// When it ended, in seconds since the run's start.
    pub at_s: f64,
    /// Simultaneous visitors; in the open model journeys under way.
    pub visitors: u32,
    /// Requests that ended.
    pub requests: u64,
    /// How many of them failed.
    pub failed: u64,
    /// Median load time, in ms; `None` when nothing succeeded.
    pub p50_ms: Option<f64>,
    /// 99th percentile, in ms.
    pub p99_ms: Option<f64>,
}

/// Why a request failed: one cause each. A request with a cause is in no distribution of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCause {
    /// Nobody listens there.
    Refused,
    /// No connection within the connect time-out.
    ConnectTimedOut,
    /// The connection was reset, or the way to the host broke.
    Reset,
    /// No complete response in time.
    TimedOut,
    /// The connection was closed before the response was complete.
    ClosedEarly,
    /// The response was not HTTP as it was agreed on, or larger than is read.
    Malformed,
    /// Status 400 to 499 where none was expected.
    #[serde(rename = "status_4xx")]
    Status4xx,
    /// Status 500 to 599 where none was expected.
    #[serde(rename = "status_5xx")]
    Status5xx,
    /// A check of the journey did not hold.
    Check,
    /// What the journey's next step needs was not in the response.
    Extract,
    /// Too many redirects, or one to a host that may not be loaded.
    Redirect,
    /// The generator had no virtual user free for an arrival (`--in-flight`): the load was not made.
    GeneratorFull,
    /// This machine has no local port or file descriptor left.
    NoPort,
    /// The certificate that the host showed is not one to believe.
    Certificate,
    /// The handshake of TLS failed for another reason, or broke.
    Tls,
    /// The connection of HTTP/2 was ended (GOAWAY) and this request not looked at.
    GoAway,
    /// The request was taken back by the other side (RST_STREAM of HTTP/2).
    StreamReset,
    /// No WebSocket: the handshake was answered with something else.
    NoWebsocket,
    /// The visitor's resolver had no address for the host.
    Unresolved,
}

/// Why the figures may not be believed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Distrust {
    /// The generator was late itself: it had too little CPU.
    Lag {
        /// The step of load in which it was worst.
        step: u32,
        /// 99th percentile of its lateness there, in microseconds.
        lag_p99_us: u64,
        /// What it must stay under.
        wanted_us: u64,
    },
    /// Arrivals found no virtual user free.
    GeneratorFull {
        /// The step of load in which it happened first.
        step: u32,
        /// How many.
        count: u64,
    },
    /// This machine had no local port or file descriptor left.
    NoPort {
        /// The step of load in which it happened first.
        step: u32,
        /// How many requests.
        count: u64,
    },
    /// An agent was lost: from then on its part of the load was not made.
    AgentLost {
        /// Which.
        agent: String,
        /// When, in seconds since the run's start.
        at_s: f64,
        /// How that was seen.
        because: String,
    },
    /// Too few requests ended in a step for its 99th percentile to mean much.
    FewRequests {
        /// The step of load.
        step: u32,
        /// How many ended.
        requests: u64,
    },
}

impl FailureCause {
    /// Every cause, in the order in which they are shown.
    pub const ALL: [Self; 19] = [
        Self::Refused,
        Self::ConnectTimedOut,
        Self::Reset,
        Self::TimedOut,
        Self::ClosedEarly,
        Self::Malformed,
        Self::Status4xx,
        Self::Status5xx,
        Self::Check,
        Self::Extract,
        Self::Redirect,
        Self::GeneratorFull,
        Self::NoPort,
        Self::Certificate,
        Self::Tls,
        Self::GoAway,
        Self::StreamReset,
        Self::NoWebsocket,
        Self::Unresolved,
    ];

    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Refused => "connection refused",
            Self::ConnectTimedOut => "no connection in time",
            Self::Reset => "connection reset",
            Self::TimedOut => "no response in time",
            Self::ClosedEarly => "closed before the response was complete",
            Self::Malformed => "response not understood",
            Self::Status4xx => "status 4xx",
            Self::Status5xx => "status 5xx",
            Self::Check => "check did not hold",
            Self::Extract => "nothing found to go on with",
            Self::Redirect => "redirect not followed",
            Self::GeneratorFull => "generator full",
            Self::NoPort => "no local port or descriptor left",
            Self::Certificate => "certificate not believed",
            Self::Tls => "TLS handshake failed",
            Self::GoAway => "connection ended by the host (GOAWAY)",
            Self::StreamReset => "request reset by the host",
            Self::NoWebsocket => "no WebSocket there",
            Self::Unresolved => "name not resolved",
        }
    }
}

impl Model {
    /// What [`StepResult::load`] counts, for people.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Closed => "visitors",
            Self::Open => "journeys/s",
        }
    }

    /// The same behind so many: `1 visitor`, `2 visitors`.
    pub fn unit_of(self, load: f64) -> &'static str {
        match self {
            Self::Closed if load == 1.0 => "visitor",
            Self::Open if load == 1.0 => "journey/s",
            _ => self.unit(),
        }
    }
}

impl Objective {
    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::P50 => "median",
            Self::P99 => "p99",
            Self::Errors => "errors",
        }
    }
}
