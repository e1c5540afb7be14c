//! What a search found, in words and as a section of the page. The figures are the run's; nothing is judged here.

use crate::markup::Markup;
use crate::parts::{self, Cell, Row};
use crate::words::{broke, counted, duration, in_the_way, load, number, percent, unit};
use tentpole_load::Run;
use tentpole_load::found::{Ended, Found, FoundObjective, Scaling};
use tentpole_load::result::{Model, Objective};

/// The headline, and what follows it: `Breaks between 138 and 142 visitors; first to go is the median.`
pub fn verdict(run: &Run, found: &Found) -> (String, String) {
    let unit = unit(run.model);
    let first = found.first.map(|first| format!("; first to go is the {}", goes(first))).unwrap_or_default();
    let how = format!(
        "{} in {} of trials, {} sure.",
        counted(found.trials.into(), "trial"),
        duration(found.trial_time_s),
        percent(found.confidence)
    );
    if found.ended == Ended::Distrusted {
        let why = run.distrust.first().map_or("the generator was in the way", in_the_way);
        let held = found.holds.map(|held| format!("{} held.", load(held, run.model))).unwrap_or_default();
        return (format!("Where it breaks cannot be said: {why}."), held);
    }
    // Known before the interval has both ends.
    let most = found.estimate.map(|at| format!("Most probably at {}", number(at)));
    let how = most.as_ref().map(|most| format!("{most}; ")).unwrap_or_default() + &how;
    let most = most.map(|most| format!("{most}. ")).unwrap_or_default();
    match (found.holds, found.breaks) {
        (Some(holds), Some(breaks)) => {
            let headline = format!("Breaks between {} and {} {unit}{first}.", number(holds), number(breaks));
            (headline, how)
        }
        (Some(holds), None) if found.ended == Ended::Clear => {
            (format!("Holds {}, the most that was tried.", load(holds, run.model)), how)
        }
        (Some(holds), None) => (format!("Holds {}{}", load(holds, run.model), more(found)), how),
        (None, Some(1.0)) if found.ended == Ended::Below && run.model == Model::Closed => {
            (format!("Breaks at a single visitor{first}."), how)
        }
        (None, Some(breaks)) if found.ended == Ended::Below => {
            (format!("Breaks below {}{first}. No load that was tried held.", load(breaks, run.model)), how)
        }
        (None, Some(breaks)) => {
            let seems = found.seems_to_hold.map(|held| format!(" {} seemed to hold.", number(held)));
            (format!("Breaks below {}{first}.{}", load(breaks, run.model), seems.unwrap_or_default()), how)
        }
        (None, None) => match (found.seems_to_hold, found.seems_to_break) {
            (None, None) => ("Nothing was found: no trial ended.".to_owned(), String::new()),
            (Some(held), None) if found.ended != Ended::Stopped => (
                format!("Seems to hold {}, the most that was tried.", load(held, run.model)),
                "Nothing is sure yet: give it more time (--find-time).".to_owned(),
            ),
            (Some(held), None) => (
                format!("Ended early: {} seemed to hold.", load(held, run.model)),
                "Nothing is sure yet.".to_owned(),
            ),
            (None, Some(broke)) => (
                format!("Seems to break below {}{first}.", load(broke, run.model)),
                "Nothing is sure yet.".to_owned(),
            ),
            (Some(held), Some(broke)) => (
                format!("Seems to break between {} and {} {unit}{first}.", number(held), number(broke)),
                match found.ended {
                    // Time would not bring it back.
                    Ended::StaysDown => "Nothing is sure.".to_owned(),
                    _ => format!("{most}Its interval needs more time (--find-time)."),
                },
            ),
        },
    }
}

fn more(found: &Found) -> String {
    match found.seems_to_break {
        Some(broke) => format!("; {} seemed to break.", number(broke)),
        None => ". More was not tried.".to_owned(),
    }
}

fn goes(objective: Objective) -> &'static str {
    match objective {
        Objective::P50 => "median",
        Objective::P99 => "p99",
        Objective::Errors => "share of failures",
    }
}

/// What else there is to say, a sentence a line.
pub fn sentences(run: &Run) -> Vec<String> {
    let Some(found) = &run.found else { return Vec::new() };
    let mut all = Vec::new();
    if let Some(point) = &run.breaking_point {
        all.push(format!("Seen there: {}.", broke(&point.broke)));
    }
    let with_it: Vec<_> = found.with_it.iter().map(|objective| goes(*objective)).collect();
    if !with_it.is_empty() {
        all.push(format!("Nearly with it: {}.", with_it.join(", ")));
    }
    if let Some(drift) = &found.drift {
        let (held, broke) = (number(drift.held), number(drift.broke));
        let when = if drift.worse { "later" } else { "before" };
        all.push(format!(
            "The site was not the same all the time: {held} held, and {broke} broke {when}. The interval holds both; look \
             for what changed meanwhile."
        ));
    }
    match found.ended {
        Ended::TimeIsUp => {
            all.push("The time for trials was used up; more makes it narrower (--find-time).".to_owned())
        }
        Ended::StaysDown => {
            all.push("It stayed down when the load was gone, so the search ended there.".to_owned())
        }
        _ => {}
    }
    if found.repeated > 0 {
        all.push(format!(
            "{} made once more, because the generator could not do what was asked.",
            counted(found.repeated.into(), "trial")
        ));
    }
    all.extend(found.scaling.as_ref().and_then(|scaling| hint(run, scaling)));
    all
}

/// The law of scaling, where it says something.
fn hint(run: &Run, scaling: &Scaling) -> Option<String> {
    let (peak, (low, high)) = (scaling.peak?, scaling.peak_within?);
    Some(format!(
        "A hint, from the shape of the throughput (Universal Scalability Law, contention {:.3}, coherency {:.2e}): it peaks near {} \
         ({} to {}).",
        scaling.alpha,
        scaling.beta,
        load(peak.round(), run.model),
        number(low.round()),
        number(high.round())
    ))
}

/// The section of the page; nothing for a run that did not search.
pub fn section(into: &mut Markup, run: &Run) {
    let Some(found) = &run.found else { return };
    let note = format!(
        "The place lies inside the interval {} of the time. Below: what single loads say beyond doubt, and where each \
         objective's fitted curve crosses its limit.",
        percent(found.confidence)
    );
    parts::heading(into, "The search", &note);
    let head = [
        Cell::words("objective"),
        Cell::figure("surely holds"),
        Cell::figure("crosses at"),
        Cell::figure("surely breaks"),
    ];
    let figure = |value: Option<f64>| {
        value.map_or_else(|| Cell::of("\u{2013}", "quiet"), |value| Cell::figure(number(value)))
    };
    let says = |one: &&FoundObjective| one.holds.or(one.estimate).or(one.breaks).is_some();
    let rows: Vec<Row> = found
        .objectives
        .iter()
        .filter(says)
        .map(|one| Row {
            cells: vec![
                Cell::words(goes(one.objective)),
                figure(one.holds),
                figure(one.estimate),
                figure(one.breaks),
            ],
            broke: found.first == Some(one.objective),
        })
        .collect();
    parts::table(into, "what was searched", &[], &head, &rows);
    for text in sentences(run) {
        into.raw("<p class=\"note\">").text(text).raw("</p>\n");
    }
}
