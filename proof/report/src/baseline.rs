//! What changed since an earlier run, with intervals, and what to look at next. Two figures differ where their intervals do not
//! meet; whatever else they look like may be chance.

use crate::markup::Markup;
use crate::parts;
use crate::words::{broke, load, moment, ms, number, percent, unit};
use tentpole_load::Run;
use tentpole_load::result::{JourneyStepResult, Objective, StepResult};
use tentpole_search::confidence::{Interval, wilson};

/// The chance at each end of an interval that the truth lies beyond it.
const ERROR: f64 = 0.025;
/// Page loads that follow one another are alike: so many are counted as one that is independent.
const ALIKE: f64 = 4.0;

/// Everything there is to say, a sentence a line: how it was made, what changed, and last what to look at next.
pub fn since(before: &Run, now: &Run) -> Vec<String> {
    let mut all = vec![format!("Since the run of {}:", moment(before.started_unix_ms))];
    let differs = differences(before, now);
    if !differs.is_empty() {
        all.push(format!(
            "The runs were made with another {}; what differs may come from that.",
            differs.join(", ")
        ));
    }
    for (run, which) in [(before, "earlier"), (now, "present")] {
        if !run.trusted {
            all.push(format!("The {which} run is not to be trusted, so nothing is compared."));
            return all;
        }
    }
    if before.model != now.model {
        all.push("One has visitors and the other a rate: their loads cannot be compared.".to_owned());
        return all;
    }
    all.push(place(before, now));
    all.extend(at_one_load(before, now));
    all.extend(next(before, now));
    all
}

fn differences(before: &Run, now: &Run) -> Vec<&'static str> {
    let pairs = [
        (before.url != now.url, "URL"),
        (before.journey != now.journey, "journey"),
        (before.objectives != now.objectives, "objectives"),
        ((before.think_ms - now.think_ms).abs() > 1e-9, "think time"),
        (before.machine != now.machine, "generator"),
    ];
    pairs.into_iter().filter(|(differs, _)| *differs).map(|(_, what)| what).collect()
}

/// From where it surely held to where it surely broke; open at an end that was not reached.
fn interval(run: &Run) -> (f64, f64) {
    let (holds, breaks) = match &run.found {
        Some(found) => (found.holds, found.breaks),
        None => (run.highest_held, run.breaking_point.map(|point| point.load)),
    };
    (holds.unwrap_or(0.0), breaks.unwrap_or(f64::INFINITY))
}

fn place(before: &Run, now: &Run) -> String {
    let unit = unit(now.model);
    let words = |(low, high): (f64, f64)| match (low, high) {
        (low, high) if high.is_infinite() => format!("above {}", number(low)),
        (low, high) if low <= 0.0 => format!("below {}", number(high)),
        (low, high) => format!("between {} and {}", number(low), number(high)),
    };
    let (was, is) = (interval(before), interval(now));
    let (was_words, is_words) = (words(was), words(is));
    if is.0 >= was.1 && was.1 > 0.0 {
        let least = is.0 / was.1 - 1.0;
        format!(
            "It carries more: it breaks {is_words} {unit}, before {was_words} (at least {} more).",
            percent(least)
        )
    } else if was.0 >= is.1 && was.0 > 0.0 {
        let least = 1.0 - is.1 / was.0;
        format!(
            "It carries less: it breaks {is_words} {unit}, before {was_words} (at least {} less).",
            percent(least)
        )
    } else {
        format!("Where it breaks cannot be told from before: {is_words} {unit} now, {was_words} then.")
    }
}

/// The step with the most requests at a load.
fn at(run: &Run, load: f64) -> Option<&StepResult> {
    let all = run.steps.iter().filter(|step| step.load.total_cmp(&load).is_eq() && step.requests > 0);
    all.max_by_key(|step| step.requests)
}

/// The highest load that both tried and held, or tried at all.
fn common<'a>(before: &'a Run, now: &'a Run) -> Option<(&'a StepResult, &'a StepResult)> {
    let both = now.steps.iter().filter_map(|step| Some((at(before, step.load)?, at(now, step.load)?)));
    both.max_by(|(a, b), (c, d)| {
        (a.held && b.held, a.load)
            .partial_cmp(&(c.held && d.held, c.load))
            .unwrap_or(std::cmp::Ordering::Equal)
    })
}

fn at_one_load(before: &Run, now: &Run) -> Vec<String> {
    let Some((was, is)) = common(before, now) else {
        return vec!["No load was tried in both, so load times are not compared.".to_owned()];
    };
    let mut all = Vec::new();
    let quantiles = [("median", 0.5), ("p99", 0.99)];
    for (name, quantile) in quantiles {
        let (Some(then), Some(here)) = (within(was, quantile), within(is, quantile)) else { continue };
        all.push(told(name, then, here, ms));
    }
    let share = |step: &StepResult| wilson(step.failed as f64 / ALIKE, step.requests as f64 / ALIKE, ERROR);
    if was.failed + is.failed > 0 {
        all.push(told("failures", share(was), share(is), percent));
    }
    vec![format!("At {}: {}.", load(is.load, now.model), all.join("; "))]
}

/// `p99 1.2 to 1.4 s, before 2 to 2.2 s: better`.
fn told(name: &str, was: Interval, is: Interval, words: fn(f64) -> String) -> String {
    let span = |within: Interval| format!("{} to {}", words(within.low), words(within.high));
    let verdict = match () {
        () if is.high < was.low => "better",
        () if is.low > was.high => "worse",
        () => "may be the same",
    };
    format!("{name} {}, before {}: {verdict}", span(is), span(was))
}

/// Within which a step's quantile lies, by order statistics: the quantiles of the sample whose ranks chance leaves around it. A
/// report has some quantiles only; between two of them the curve is taken for straight.
pub(crate) fn within(step: &StepResult, quantile: f64) -> Option<Interval> {
    let times = step.response_time.as_ref()?;
    let count = times.count as f64 / ALIKE;
    let known = [
        (0.0, times.min),
        (0.5, times.p50),
        (0.9, times.p90),
        (0.95, times.p95),
        (0.99, times.p99),
        (0.999, times.p999),
        (1.0, times.max),
    ];
    let away = 1.96 * (quantile * (1.0 - quantile) / count.max(1.0)).sqrt();
    let value = |share: f64| {
        let share = share.clamp(0.0, 1.0);
        let after = known.iter().position(|(known, _)| *known >= share).unwrap_or(known.len() - 1).max(1);
        let ((a, low), (b, high)) = (known[after - 1], known[after]);
        low + (high - low) * (share - a) / (b - a)
    };
    Some(Interval { low: value(quantile - away), high: value(quantile + away) })
}

/// What to look at next: what goes first now, and where in the journey its time goes.
fn next(before: &Run, now: &Run) -> Option<String> {
    let point = now.breaking_point?;
    let step =
        now.steps.iter().filter(|step| step.broke.is_some_and(|one| one.objective == point.broke.objective));
    let step = step.min_by(|a, b| (a.load - point.load).abs().total_cmp(&(b.load - point.load).abs()))?;
    if point.broke.objective == Objective::Errors {
        let (cause, count) = step.failures.iter().max_by_key(|(_, count)| **count)?;
        return Some(format!(
            "Look next at why requests fail: {} of {} by \u{201c}{}\u{201d} at {}.",
            number(*count as f64),
            number(step.failed as f64),
            cause.words(),
            load(step.load, now.model)
        ));
    }
    let time = |one: &JourneyStepResult| match point.broke.objective {
        Objective::P50 => one.p50_ms,
        _ => one.p99_ms,
    };
    let slowest = step.journey_steps.iter().filter_map(|one| Some((one, time(one)?)));
    let (slowest, takes) = slowest.max_by(|(_, a), (_, b)| a.total_cmp(b))?;
    let was = at(before, step.load)
        .and_then(|step| step.journey_steps.iter().find(|one| one.name == slowest.name))
        .and_then(time)
        .map_or_else(String::new, |was| format!(", before {}", ms(was)));
    Some(format!(
        "Look next at \u{201c}{}\u{201d}: its {} is {}{was} at {}, the longest of the journey; {}.",
        slowest.name,
        point.broke.objective.words(),
        ms(takes),
        load(step.load, now.model),
        broke(&point.broke)
    ))
}

/// The section of the page; nothing without an earlier run.
pub fn section(into: &mut Markup, run: &Run) {
    let Some((first, rest)) = run.since.split_first() else { return };
    parts::heading(into, "What changed", first);
    into.raw("<ul class=\"method\">\n");
    for text in rest {
        into.raw("<li>").text(text).raw("</li>\n");
    }
    into.raw("</ul>\n");
}
