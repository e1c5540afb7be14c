//! What a search has found: an interval, what goes first, and what spoke against it. Words are the caller's.

use crate::trial::Verdict;

/// Where it breaks.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The highest load that surely holds every goal; `None` when none that was tried does.
    pub holds: Option<f64>,
    /// The lowest load that surely does not; `None` when none that was tried does not.
    pub breaks: Option<f64>,
    /// Where it breaks most probably, between the two; `None` where one of them is missing.
    pub estimate: Option<f64>,
    /// Which goal goes first: its number. `None` where nothing broke.
    pub first: Option<usize>,
    /// Goals that cannot be told from the first one: they go nearly with it.
    pub with_it: Vec<usize>,
    /// Each goal by itself.
    pub goals: Vec<GoalAnswer>,
    /// The highest load that seems to hold and the lowest that seems to break, sure or not: all that a search knows that was ended
    /// early.
    pub leaning: (Option<f64>, Option<f64>),
    /// Trials whose results do not go together: the site changed meanwhile.
    pub drift: Option<Drift>,
    /// Time that was spent in trials, in seconds.
    pub time_s: f64,
    /// Why it ended.
    pub why: Why,
}

/// One goal by itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GoalAnswer {
    /// The highest load that surely holds it.
    pub holds: Option<f64>,
    /// The lowest one that surely does not.
    pub breaks: Option<f64>,
    /// Where its curve crosses the limit, fitted through all trials near it.
    pub estimate: Option<f64>,
}

/// A site that was not the same all the time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drift {
    /// A load that surely held, or that was tried first.
    pub held: f64,
    /// A load that surely broke although it is no higher, or the same one later.
    pub broke: f64,
    /// Whether it became worse with time, rather than better.
    pub worse: bool,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The interval is as narrow as was asked for, or the highest load held.
    Clear,
    /// Not even the lowest load held.
    Below,
    /// The time for trials is used up.
    TimeIsUp,
    /// No trial that is left would make it narrower.
    NoNarrower,
    /// Somebody ended it.
    Stopped,
}

/// A load and what all of its trials say.
#[derive(Clone, Debug, PartialEq)]
pub struct Level {
    /// The load.
    pub load: f64,
    /// Time spent on it, in seconds.
    pub time_s: f64,
    /// For each goal.
    pub verdicts: Vec<Verdict>,
}

impl Level {
    /// All goals together: it breaks when one does, and passes when all do.
    pub fn verdict(&self) -> Verdict {
        if self.verdicts.contains(&Verdict::Breaks) {
            Verdict::Breaks
        } else if self.verdicts.iter().all(|verdict| *verdict == Verdict::Passes) {
            Verdict::Passes
        } else {
            Verdict::Undecided
        }
    }
}

/// The highest load that passes below all that break, and the lowest that breaks above all that pass: where they contradict each
/// other, the interval holds all of it.
pub fn between(all: impl Iterator<Item = (f64, Verdict)> + Clone) -> (Option<f64>, Option<f64>) {
    let of =
        |wanted: Verdict| all.clone().filter(move |(_, verdict)| *verdict == wanted).map(|(load, _)| load);
    let lowest_break = of(Verdict::Breaks).fold(f64::INFINITY, f64::min);
    let highest_pass = of(Verdict::Passes).fold(0.0, f64::max);
    let holds = of(Verdict::Passes).filter(|load| *load < lowest_break).max_by(f64::total_cmp);
    let breaks = of(Verdict::Breaks).filter(|load| *load > highest_pass).min_by(f64::total_cmp);
    (holds, breaks)
}
