//! Which load comes next: the steps of a climb until it breaks, then between the last that held and the first that
//! did not; or the stages of a profile one after the other. Pure: performs and judges nothing.

use crate::result::Phase;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Virtual users at most, whatever is asked for.
pub const VISITORS_MAX: u32 = 1_000_000;
/// Arrivals a second at most.
pub const RATE_MAX: f64 = 1_000_000.0;
/// Steps or stages of one run at most.
pub const STEPS_MAX: usize = 100;
/// Steps between the last load that held and the first that broke.
const REFINES: usize = 2;
/// Refining ends when the two are as close as this, as a share of the lower one.
const CLOSE: f64 = 0.1;

/// The load of a run over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Shape {
    /// Step by step from `from`, doubling, until it breaks or `to` has held.
    Climb {
        /// The first step's load.
        from: f64,
        /// The last step's load.
        to: f64,
        /// How long each step is judged.
        step_time: Duration,
        /// How long load takes to get there; not judged.
        ramp: Duration,
        /// Whether loads are whole numbers (visitors are, rates are not).
        whole: bool,
    },
    /// Each as it is written, whether or not one before it broke.
    Stages(Vec<Stage>),
    /// One load by itself, among whose visitors nobody is new: each begins somewhere in the midst of thinking, so that what is seen right
    /// after the ramp is what is seen ever after.
    Trial(Stage),
    /// Requests at given moments, until the last has ended.
    Replay {
        /// Requests a second, on average.
        rate: f64,
        /// When the last has ended at the latest.
        time_max: Duration,
    },
    /// The journeys' own visitors, until all have left.
    Crews {
        /// All of them.
        visitors: u32,
        /// When the last has left at the latest.
        time_max: Duration,
    },
}

/// Part of a load profile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// Visitors, or arrivals a second.
    pub load: f64,
    /// How long it is judged.
    pub time: Duration,
    /// How long load takes to get there; not judged.
    pub ramp: Duration,
    /// In the open model: a crowd that comes on top of it when the ramp is over, and thins out. What is left of it at the stage's end
    /// comes no more.
    pub burst: Option<Burst>,
}

/// A crowd that thins out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Burst {
    /// Arrivals a second more at first.
    pub above: f64,
    /// The time in which half of them are gone.
    pub half_life: Duration,
}

/// What is run next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Next {
    /// How much, how long.
    pub stage: Stage,
    /// Why.
    pub phase: Phase,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Done {
    /// Its load.
    pub load: f64,
    /// Why it was run.
    pub phase: Phase,
    /// Whether every objective held.
    pub held: bool,
}

impl Shape {
    /// What comes after `done`; `None` when the run is over.
    pub fn next(&self, done: &[Done]) -> Option<Next> {
        if done.len() >= STEPS_MAX {
            return None;
        }
        match self {
            Self::Stages(stages) => stages.get(done.len()).map(|&stage| Next { stage, phase: Phase::Climb }),
            &Self::Trial(stage) => done.is_empty().then_some(Next { stage, phase: Phase::Climb }),
            &Self::Replay { rate, time_max } => done.is_empty().then(|| {
                let stage = Stage { load: rate, time: time_max, ..Stage::default() };
                Next { stage, phase: Phase::Climb }
            }),
            &Self::Crews { visitors, time_max } => done.is_empty().then(|| {
                let stage = Stage { load: f64::from(visitors), time: time_max, ..Stage::default() };
                Next { stage, phase: Phase::Climb }
            }),
            &Self::Climb { from, to, step_time, ramp, whole } => {
                let (load, phase) = climb(from, to, whole, done)?;
                Some(Next { stage: Stage { load, time: step_time, ramp, burst: None }, phase })
            }
        }
    }

    /// The highest load that can come.
    pub fn load_max(&self) -> f64 {
        match self {
            Self::Climb { to, .. } => *to,
            Self::Stages(stages) => stages.iter().map(|stage| stage.load).fold(0.0, f64::max),
            Self::Trial(stage) => stage.load,
            Self::Crews { visitors, .. } => f64::from(*visitors),
            Self::Replay { rate, .. } => *rate,
        }
    }

    /// How long it can take, without waiting for slow responses at the end of each step.
    pub fn time_max(&self) -> Duration {
        match self {
            Self::Stages(stages) => stages.iter().map(|stage| stage.time + stage.ramp).sum(),
            Self::Trial(stage) => stage.time + stage.ramp,
            Self::Crews { time_max, .. } | Self::Replay { time_max, .. } => *time_max,
            &Self::Climb { from, to, step_time, ramp, .. } => {
                let doublings = (to / from.max(f64::MIN_POSITIVE)).log2().ceil().clamp(0.0, STEPS_MAX as f64);
                (step_time + ramp) * (doublings as u32 + 1 + REFINES as u32)
            }
        }
    }
}

fn climb(from: f64, to: f64, whole: bool, done: &[Done]) -> Option<(f64, Phase)> {
    let Some(last) = done.last() else {
        return Some((from.min(to), Phase::Climb));
    };
    let broken = done.iter().filter(|step| !step.held).map(|step| step.load).min_by(f64::total_cmp);
    let Some(broken) = broken else {
        let next = readable(last.load * 2.0, whole).min(to);
        return (next > last.load).then_some((next, Phase::Climb));
    };
    let held = done.iter().filter(|step| step.held && step.load < broken).map(|step| step.load);
    let held = held.max_by(f64::total_cmp)?;
    let refined = done.iter().filter(|step| step.phase == Phase::Refine).count();
    if refined >= REFINES || broken - held <= held * CLOSE {
        return None;
    }
    let between = readable(f64::midpoint(held, broken), whole);
    (between > held && between < broken).then_some((between, Phase::Refine))
}

/// Three significant digits; whole where it must be.
fn readable(load: f64, whole: bool) -> f64 {
    let unit = 10_f64.powf(load.log10().floor() - 2.0);
    let unit = if whole { unit.max(1.0) } else { unit };
    // Divided by the inverse where the unit is a fraction: 0.01 has no exact form, 100 has.
    if unit < 1.0 {
        (load * (1.0 / unit).round()).round() / (1.0 / unit).round()
    } else {
        (load / unit).round() * unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shape(from: f64, to: f64) -> Shape {
        let (step_time, ramp) = (Duration::from_secs(10), Duration::from_secs(2));
        Shape::Climb { from, to, step_time, ramp, whole: true }
    }

    /// Runs a shape against something that holds up to `limit`.
    fn run(shape: &Shape, limit: f64) -> Vec<Done> {
        let mut done = Vec::new();
        while let Some(next) = shape.next(&done) {
            let load = next.stage.load;
            done.push(Done { load, phase: next.phase, held: load <= limit });
        }
        done
    }

    fn loads(done: &[Done]) -> Vec<f64> {
        done.iter().map(|step| step.load).collect()
    }

    #[test]
    fn load_doubles_until_it_breaks_and_then_the_place_is_found_more_closely() {
        let done = run(&shape(10.0, 10_000.0), 1_000.0);
        assert_eq!(loads(&done), [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 1_280.0, 960.0, 1_120.0]);
        assert_eq!(done[8].phase, Phase::Refine);
    }

    #[test]
    fn a_climb_that_holds_ends_at_its_highest_load() {
        assert_eq!(loads(&run(&shape(10.0, 100.0), 1e9)), [10.0, 20.0, 40.0, 80.0, 100.0]);
        assert_eq!(loads(&run(&shape(7.0, 7.0), 1e9)), [7.0]);
    }

    #[test]
    fn a_climb_that_breaks_at_once_ends_there() {
        assert_eq!(loads(&run(&shape(10.0, 10_000.0), 3.0)), [10.0]);
    }

    #[test]
    fn stages_run_to_their_end_whatever_breaks() {
        let stage = |load| Stage { load, time: Duration::from_secs(1), ..Stage::default() };
        let stages = Shape::Stages(vec![stage(5.0), stage(50.0), stage(5.0)]);
        assert_eq!(loads(&run(&stages, 10.0)), [5.0, 50.0, 5.0]);
        assert_eq!((stages.load_max(), stages.time_max()), (50.0, Duration::from_secs(3)));
    }

    #[test]
    fn rates_keep_their_fractions() {
        assert_eq!(
            (readable(0.3, false), readable(12.34567, false), readable(1_284.0, true)),
            (0.3, 12.3, 1_280.0)
        );
    }

    proptest! {
        #[test]
        fn a_climb_ends_and_brackets_the_limit(from in 1_u32..1_000, over in 0_u32..99_000, limit in 0_u32..120_000) {
            let (from, to, limit) = (f64::from(from), f64::from(from + over), f64::from(limit));
            let done = run(&shape(from, to), limit);
            prop_assert!(!done.is_empty() && done.len() < STEPS_MAX);
            prop_assert!(done.iter().all(|step| step.load >= from && step.load <= to && step.load.fract() == 0.0));
            prop_assert_eq!(done.iter().all(|step| step.held), limit >= to);
            // No load twice: a step that says nothing new is lost time.
            let mut sorted = loads(&done);
            sorted.sort_by(f64::total_cmp);
            sorted.dedup();
            prop_assert_eq!(sorted.len(), done.len());
            let time = shape(from, to).time_max();
            prop_assert!(Duration::from_secs(12) * done.len() as u32 <= time);
        }
    }
}
