//! What a search for the breaking point found (`--find`), as a part of the run's report. Data only: how it was found is the
//! search's, how it is said the report's. Fields are only ever added.

use crate::result::Objective;
use serde::{Deserialize, Serialize};

/// Where it breaks, with how sure that is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The lower end of the interval: every objective holds up to there. `None` when no load surely held.
    pub holds: Option<f64>,
    /// Its upper end: from there on one does not. `None` when no load surely broke.
    pub breaks: Option<f64>,
    /// The most probable place between the two.
    pub estimate: Option<f64>,
    /// How often such an interval holds the truth: 0.95.
    pub confidence: f64,
    /// Which objective goes first.
    pub first: Option<Objective>,
    /// Objectives that cannot be told from it.
    pub with_it: Vec<Objective>,
    /// Each objective by itself.
    pub objectives: Vec<FoundObjective>,
    /// The highest load that seemed to hold, sure or not.
    pub seems_to_hold: Option<f64>,
    /// The lowest load that seemed to break, sure or not.
    pub seems_to_break: Option<f64>,
    /// Trials that contradict each other: the site was not the same all the time.
    pub drift: Option<FoundDrift>,
    /// Trials that the answer rests on.
    pub trials: u32,
    /// Trials that were made once more, because the generator could not do what they asked for.
    pub repeated: u32,
    /// Time spent in the others, in seconds, ramps and rests not included.
    pub trial_time_s: f64,
    /// Why it ended.
    pub ended: Ended,
    /// The shape of the throughput's curve: a hint.
    pub scaling: Option<Scaling>,
}

/// One objective by itself: what trials at single loads say with certainty, and where its fitted curve crosses the limit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundObjective {
    /// Which.
    pub objective: Objective,
    /// The highest load that surely held it.
    pub holds: Option<f64>,
    /// The lowest load that surely did not.
    pub breaks: Option<f64>,
    /// Where the curve crosses the limit.
    pub estimate: Option<f64>,
}

/// Two trials that contradict each other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FoundDrift {
    /// A load that surely held.
    pub held: f64,
    /// A load that is no higher and surely broke.
    pub broke: f64,
    /// Whether the one that broke was tried later.
    pub worse: bool,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The interval is as narrow as it was to be, or the highest load held.
    Clear,
    /// Not even the lowest load held.
    Below,
    /// The time for trials was used up.
    TimeIsUp,
    /// Somebody ended it, or it was ended to spare real visitors.
    Stopped,
    /// The site did not come back after a load that broke it.
    StaysDown,
    /// The generator could not make the load, not even in a few attempts: nothing is said about the site.
    Distrusted,
}

/// The Universal Scalability Law through the throughput, with 95 % intervals of a bootstrap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// Contention: the share of the work that is done one after another.
    pub alpha: f64,
    /// Its interval.
    pub alpha_within: (f64, f64),
    /// Coherency: what all have to agree about.
    pub beta: f64,
    /// Its interval.
    pub beta_within: (f64, f64),
    /// Where throughput would peak; `None` when it only flattens.
    pub peak: Option<f64>,
    /// Its interval.
    pub peak_within: Option<(f64, f64)>,
    /// The share of the throughput's variance that the law accounts for.
    pub r_squared: f64,
}
