//! What one trial says about each goal: how many of its page loads were over a limit, and how many independent observations those
//! are worth. A median under 500 ms means that fewer than half of the loads take 500 ms or more, a p99 that fewer than 1 % do: so
//! every goal is a share, and judged alike. Chooses no load.

use crate::confidence::{chance_of_fewer, chance_of_more};
use crate::special::{normal_quantile, student_quantile};
use crate::tail::Times;
use crate::warm_up::mser5;

/// One page load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Page {
    /// Its load time in ms; `None` when it failed.
    pub took_ms: Option<f64>,
}

/// A load that was tried for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// Visitors, or arrivals a second.
    pub load: f64,
    /// How long, in seconds.
    pub time_s: f64,
    /// Its page loads, in the order in which they were due.
    pub pages: Vec<Page>,
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// A quantile of the load times stays under a limit.
    Quantile {
        /// Which: 0.5 is the median.
        at: f64,
        /// The limit, in ms.
        under_ms: f64,
    },
    /// The share of failures stays under a limit.
    Failures {
        /// The limit: 0.01 is 1 %. 0 means that there are none.
        under: f64,
    },
}

/// What is known about one goal at one load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Evidence {
    /// Page loads that count.
    pub all: f64,
    /// Those of them that were over the limit.
    pub over: f64,
    /// How many of them are worth one that is independent; at least 1 where anything counts.
    pub inflation: f64,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The goal holds, with the confidence that was asked for.
    Passes,
    /// It does not, with the same confidence.
    Breaks,
    /// Neither is sure: a longer trial may tell.
    Undecided,
}

/// Batches whose means tell how much alike neighbours are: many, which see what is alike for a moment, and few, which see what is for
/// longer. The larger answer counts.
const BATCHES: [usize; 2] = [20, 10];
/// Page loads that a batch needs.
const BATCH_MIN: usize = 4;
/// A tail's events come in the same bursts as the median's, though fewer of them are seen: at least so much of the median's
/// inflation holds for them.
const MEDIANS_PART: f64 = 0.3;
/// The same for failures, which need have nothing to do with load times.
const FAILURES_PART: f64 = 0.05;
/// The part of a trial that is cut off at least.
const LEAST_CUT: f64 = 0.1;
/// Page loads without a failure from which "none" is believed.
const NONE_FROM: f64 = 100.0;

impl Goal {
    /// The share over the limit that is still held, or nearly so.
    pub fn share(self) -> f64 {
        match self {
            Self::Quantile { at, .. } => 1.0 - at,
            Self::Failures { under } => under,
        }
    }

    fn is_over(self, page: Page) -> Option<bool> {
        match (self, page.took_ms) {
            (Self::Quantile { under_ms, .. }, Some(took)) => Some(took >= under_ms),
            (Self::Quantile { .. }, None) => None,
            (Self::Failures { .. }, took) => Some(took.is_none()),
        }
    }

    /// The load times of a trial, its beginning cut off; `None` where the goal is not about them.
    pub fn times(self, trial: &Trial) -> Option<Times> {
        let Self::Quantile { under_ms, .. } = self else { return None };
        let took: Vec<f64> = trial.steady().iter().filter_map(|page| page.took_ms).collect();
        Some(Times::of(&took, self.share(), under_ms))
    }

    /// What a trial says about it, its beginning cut off.
    pub fn evidence(self, trial: &Trial) -> Evidence {
        let pages = trial.steady();
        let mut over: Vec<bool> = pages.iter().filter_map(|page| self.is_over(*page)).collect();
        if over.is_empty() {
            // Nothing succeeded: no load time is under any limit.
            over = vec![true; pages.len()];
        }
        let mut sorted: Vec<f64> = pages.iter().filter_map(|page| page.took_ms).collect();
        let middle = sorted.len() / 2;
        let general = if sorted.len() >= BATCHES[0] * BATCH_MIN {
            let (_, median, _) = sorted.select_nth_unstable_by(middle, f64::total_cmp);
            let median = *median;
            let above: Vec<bool> =
                pages.iter().filter_map(|page| page.took_ms.map(|took| took > median)).collect();
            inflation(&above)
        } else {
            1.0
        };
        let part = match self {
            Self::Quantile { .. } => MEDIANS_PART,
            Self::Failures { .. } => FAILURES_PART,
        };
        let inflation = inflation(&over).max(1.0 + (general - 1.0) * part);
        let hits = over.iter().filter(|over| **over).count() as f64;
        Evidence { all: over.len() as f64, over: hits, inflation }
    }

    /// What follows from the evidence, with `error` the chance of a wrong verdict where the truth lies at the limit.
    pub fn verdict(self, evidence: &Evidence, error: f64) -> Verdict {
        if evidence.all <= 0.0 {
            return Verdict::Undecided;
        }
        let share = self.share();
        let (all, over) = evidence.independent();
        if share <= 0.0 {
            return match evidence.over {
                over if over > 0.0 => Verdict::Breaks,
                _ if evidence.all >= NONE_FROM => Verdict::Passes,
                _ => Verdict::Undecided,
            };
        }
        if chance_of_fewer(over, all, share) < error {
            Verdict::Passes
        } else if chance_of_more(over, all, share) < error {
            Verdict::Breaks
        } else {
            Verdict::Undecided
        }
    }
}

impl Trial {
    /// Its page loads without its beginning, which does not belong to this load yet.
    pub fn steady(&self) -> &[Page] {
        let times = self.pages.iter().filter_map(|page| page.took_ms);
        // Where bursts hide the beginning, a tenth is cut off all the same.
        let least = (times.clone().count() as f64 * LEAST_CUT) as usize;
        let cut = mser5(times).max(least);
        // The cut counts successes; their place among all is found again.
        let mut seen = 0;
        let place = self.pages.iter().position(|page| {
            seen += usize::from(page.took_ms.is_some());
            seen > cut
        });
        &self.pages[place.unwrap_or(0)..]
    }
}

impl Evidence {
    /// Both trials together.
    pub fn with(self, other: Self) -> Self {
        let all = self.all + other.all;
        if all <= 0.0 {
            return self;
        }
        let inflation = (self.inflation * self.all + other.inflation * other.all) / all;
        Self { all, over: self.over + other.over, inflation }
    }

    /// How many independent observations it is worth, and how many of those were over the limit.
    pub fn independent(&self) -> (f64, f64) {
        let by = self.inflation.max(1.0);
        (self.all / by, self.over / by)
    }

    /// The share over the limit; a little away from 0 and 1, so that its odds have a logarithm.
    pub fn share(&self) -> f64 {
        (self.over + 0.5) / (self.all + 1.0)
    }
}

/// How many of these are worth one that is independent: the variance of the means of batches, beside what it would be for
/// independent ones (batch means; Law, Simulation Modeling and Analysis, section 9.5.3). As few batches tell it only roughly, it is
/// made larger by what Student's quantile is over the normal one.
fn inflation(over: &[bool]) -> f64 {
    BATCHES.into_iter().map(|batches| inflation_of(over, batches)).fold(1.0, f64::max)
}

fn inflation_of(over: &[bool], batches: usize) -> f64 {
    let length = over.len() / batches;
    if length < BATCH_MIN {
        return 1.0;
    }
    // The end is whole, the beginning is not.
    let whole = &over[over.len() - length * batches..];
    let share = whole.iter().filter(|over| **over).count() as f64 / whole.len() as f64;
    let each = share * (1.0 - share);
    if each <= 0.0 {
        return 1.0;
    }
    let means = whole
        .chunks_exact(length)
        .map(|batch| batch.iter().filter(|over| **over).count() as f64 / length as f64);
    let degrees = (batches - 1) as f64;
    let variance = means.map(|mean| (mean - share).powi(2)).sum::<f64>() / degrees;
    let rough = (student_quantile(0.99, degrees) / normal_quantile(0.99)).powi(2);
    variance * length as f64 / each * rough
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEDIAN: Goal = Goal::Quantile { at: 0.5, under_ms: 100.0 };
    const TAIL: Goal = Goal::Quantile { at: 0.99, under_ms: 100.0 };
    const ERRORS: Goal = Goal::Failures { under: 0.01 };

    fn trial(pages: impl Iterator<Item = Option<f64>>) -> Trial {
        Trial { load: 10.0, time_s: 10.0, pages: pages.map(|took_ms| Page { took_ms }).collect() }
    }

    fn verdict(goal: Goal, trial: &Trial) -> Verdict {
        goal.verdict(&goal.evidence(trial), 0.01)
    }

    #[test]
    fn what_is_clear_is_clear_and_what_is_not_is_undecided() {
        let quick = trial((0..1_000).map(|n| Some(50.0 + f64::from(n % 7))));
        assert_eq!(verdict(MEDIAN, &quick), Verdict::Passes);
        assert_eq!(verdict(TAIL, &quick), Verdict::Passes);
        assert_eq!(verdict(ERRORS, &quick), Verdict::Passes);
        let slow = trial((0..1_000).map(|n| Some(150.0 + f64::from(n % 7))));
        assert_eq!(verdict(MEDIAN, &slow), Verdict::Breaks);
        let near = trial((0..1_000).map(|n| Some(90.0 + f64::from(n * 13 % 20))));
        assert_eq!(verdict(MEDIAN, &near), Verdict::Undecided);
        let few = trial((0..100).map(|_| Some(50.0)));
        assert_eq!(verdict(TAIL, &few), Verdict::Undecided, "100 loads say nothing of 1 %");
    }

    #[test]
    fn where_nothing_succeeds_no_goal_holds() {
        let dead = trial((0..200).map(|_| None));
        for goal in [MEDIAN, TAIL, ERRORS] {
            assert_eq!(verdict(goal, &dead), Verdict::Breaks);
        }
    }

    #[test]
    fn failures_flatter_no_load_time() {
        let half = trial((0..1_000).map(|n| (n % 2 == 0).then_some(150.0)));
        let evidence = MEDIAN.evidence(&half);
        assert_eq!((verdict(MEDIAN, &half), verdict(ERRORS, &half)), (Verdict::Breaks, Verdict::Breaks));
        assert!(evidence.over == evidence.all, "only what succeeded has a load time");
    }

    #[test]
    fn no_failures_at_all_can_be_wanted() {
        let none = Goal::Failures { under: 0.0 };
        assert_eq!(verdict(none, &trial((0..500).map(|_| Some(1.0)))), Verdict::Passes);
        assert_eq!(verdict(none, &trial((0..50).map(|_| Some(1.0)))), Verdict::Undecided);
        assert_eq!(verdict(none, &trial((0..500).map(|n| (n != 400).then_some(1.0)))), Verdict::Breaks);
    }

    #[test]
    fn a_burst_is_worth_less_than_as_many_that_are_spread() {
        let spread = trial((0..2_000).map(|n| Some(if n % 4 == 0 { 150.0 } else { 50.0 })));
        let burst = trial((0..2_000).map(|n| Some(if n / 100 % 4 == 0 { 150.0 } else { 50.0 })));
        let (spread, burst) = (MEDIAN.evidence(&spread), MEDIAN.evidence(&burst));
        assert!(spread.inflation < 1.5 && burst.inflation > 20.0, "{spread:?} {burst:?}");
    }
}
