//! How a search is told while it goes on: what is tried now and why, what is known so far, how long it may still go on. Pure words;
//! `view` writes them.

use tentpole_load::result::Model;
use tentpole_report::words::{duration, number};
use tentpole_search::Step;

/// What is known before a trial.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Known {
    /// The highest load that seems to hold.
    pub holds: Option<f64>,
    /// The lowest that seems to break.
    pub breaks: Option<f64>,
    /// Time that is left for trials, this one included, in s.
    pub left_s: f64,
}

/// Before the first trial.
pub fn begins(from: f64, to: f64, time_s: f64, model: Model) -> String {
    let (first, last, time) = (number(from), number(to), duration(time_s));
    let unit = model.unit_of(to);
    format!("Searching from {first} to {last} {unit}: at most {time} of trials; ramps and rests come on top.")
}

/// A trial begins.
pub fn trial(attempt: u32, load: f64, time_s: f64, step: Step, known: &Known, model: Model) -> String {
    let why = match (step, known.holds, known.breaks) {
        (Step::Double, _, None) => "until it breaks".to_owned(),
        (Step::Double, _, Some(_)) => "until it holds".to_owned(),
        (Step::Halve, Some(low), Some(high)) => {
            format!("between what held ({}) and what broke ({})", number(low), number(high))
        }
        (Step::Halve, ..) => "between what held and what broke".to_owned(),
        (Step::Confirm, _, None) => "to be sure that it holds".to_owned(),
        (Step::Confirm, ..) => "to be sure".to_owned(),
    };
    let unit = model.unit_of(load);
    let (load, time, left) = (number(load), duration(time_s), left(known));
    format!("trial {attempt}: {load} {unit} for {time}, {why}; {left}")
}

/// What is known, for a line of the live view.
pub fn so_far(known: &Known, model: Model) -> String {
    let what = match (known.holds, known.breaks) {
        (None, None) => "nothing is known yet".to_owned(),
        (Some(held), None) => format!("{} {} held", number(held), model.unit_of(held)),
        (None, Some(broke)) => format!("{} {} broke, and none held", number(broke), model.unit_of(broke)),
        (Some(held), Some(broke)) => {
            format!("seems to break between {} and {} {}", number(held), number(broke), model.unit())
        }
    };
    format!("{what}; {}", left(known))
}

fn left(known: &Known) -> String {
    format!("at most {} left", duration(known.left_s.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_says_why_it_is_made_and_how_long_all_of_them_may_still_take() {
        let known = |holds, breaks| Known { holds, breaks, left_s: 260.0 };
        let trial = |step, known| trial(7, 120.0, 5.0, step, &known, Model::Closed);
        let begin = "trial 7: 120 visitors for 5 s, ";
        for (step, known, why) in [
            (Step::Double, known(None, None), "until it breaks"),
            (Step::Double, known(Some(60.0), None), "until it breaks"),
            (Step::Double, known(None, Some(240.0)), "until it holds"),
            (Step::Halve, known(Some(80.0), Some(1_600.0)), "between what held (80) and what broke (1,600)"),
            (Step::Confirm, known(Some(80.0), Some(160.0)), "to be sure"),
            (Step::Confirm, known(Some(120.0), None), "to be sure that it holds"),
        ] {
            assert_eq!(trial(step, known), format!("{begin}{why}; at most 4 min 20 s left"));
        }
    }

    #[test]
    fn what_is_known_so_far_is_said() {
        let says = |holds, breaks| so_far(&Known { holds, breaks, left_s: 9.0 }, Model::Closed);
        assert_eq!(says(None, None), "nothing is known yet; at most 9 s left");
        assert_eq!(says(Some(80.0), None), "80 visitors held; at most 9 s left");
        assert_eq!(says(Some(1.0), None), "1 visitor held; at most 9 s left");
        assert_eq!(says(None, Some(10.0)), "10 visitors broke, and none held; at most 9 s left");
        assert_eq!(
            says(Some(80.0), Some(160.0)),
            "seems to break between 80 and 160 visitors; at most 9 s left"
        );
    }

    #[test]
    fn the_bounds_stand_at_the_beginning() {
        assert_eq!(
            begins(10.0, 10_000.0, 300.0, Model::Closed),
            "Searching from 10 to 10,000 visitors: at most 5 min of trials; ramps and rests come on top."
        );
    }
}
