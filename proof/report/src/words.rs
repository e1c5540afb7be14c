//! Figures and verdicts in words. One way to write each, so that terminal, headline, table and chart agree.

use tentpole_load::Run;
use tentpole_load::result::{Broke, Distrust, Model, Objective, Objectives, StepResult};
use tentpole_load::verdict::{lowest_broken, needed};

/// The whole verdict on a run that was ended too early.
const NOTHING_MEASURED: &str = "Interrupted before anything was measured.";
/// What follows where something was.
const UNTIL_THEN: &str = "It was interrupted; this is what was measured until then.";
/// From this share of its cores on, what the generator lacked was its own doing.
const ALL_CPU: f64 = 0.9;

/// The verdict in one or two sentences: `Breaks at 1,280 visitors: p99 2.4 s (wanted under 2 s). Holds 960.`
pub fn verdict(run: &Run) -> String {
    let (headline, rest) = verdict_parts(run);
    if rest.is_empty() { headline } else { format!("{headline} {rest}") }
}

/// The verdict's headline, and what follows it.
pub fn verdict_parts(run: &Run) -> (String, String) {
    let held = run.highest_held.map(|held| load(held, run.model));
    if let Some(Distrust::AgentLost { agent, at_s, because }) = lost(run) {
        let headline = format!("Lost agent {agent} after {}: {because}.", duration(*at_s));
        let held = held.map_or_else(String::new, |held| format!("Before that it held {held}. "));
        return (headline, format!("{held}What was measured is kept; where it breaks cannot be said."));
    }
    if let Some(found) = &run.found {
        return crate::found::verdict(run, found);
    }
    if let (Some(first), Some(seen)) = (run.distrust.first(), lowest_broken(&run.steps)) {
        let headline = format!("Where it breaks cannot be said: {}.", in_the_way(first));
        let held = run.highest_held.map(|held| format!("; {} held", number(held))).unwrap_or_default();
        return (headline, format!("Seen at {}: {}{held}.", load(seen.load, run.model), broke(&seen.broke)));
    }
    let Some(point) = &run.breaking_point else {
        return match held {
            None if run.interrupted => (NOTHING_MEASURED.to_owned(), String::new()),
            None => ("Nothing was measured: no request ended.".to_owned(), String::new()),
            Some(held) if run.interrupted => (format!("Holds {held}."), UNTIL_THEN.to_owned()),
            Some(held) if no_objective(&run.objectives) => (
                format!("Carries {held}, the most that was tried."),
                "No objective was set, so nothing was judged.".to_owned(),
            ),
            Some(held) => (
                format!("Holds {held}, the most that was tried."),
                format!("Every objective held: {}.", objectives(&run.objectives)),
            ),
        };
    };
    let headline = format!("Breaks at {}: {}.", load(point.load, run.model), broke(&point.broke));
    let mut rest = match run.highest_held {
        Some(held) => format!("Holds {}.", number(held)),
        None => "No load that was tried held.".to_owned(),
    };
    if run.stays_down {
        rest += " It stayed down when the load was gone, so the place was not looked for more closely.";
    }
    (headline, rest)
}

/// What is said of a run that ended before its time, where its verdict does not say it.
pub fn interrupted(run: &Run) -> Option<&'static str> {
    let (headline, rest) = verdict_parts(run);
    let is_said = rest == UNTIL_THEN || headline == NOTHING_MEASURED;
    (run.interrupted && !is_said).then_some("Ended before its time; this is what was measured until then.")
}

/// That a percentile that held rests on too few load times to mean much, and what to do about it: `None` where it does not, or
/// nothing is judged by it. Of the highest load that held, which is what a verdict says; a search judges its own certainty.
pub fn few(run: &Run) -> Option<String> {
    let held = run.highest_held.filter(|_| run.found.is_none())?;
    let step = run.steps.iter().rfind(|step| step.held && step.load.total_cmp(&held).is_eq())?;
    let count = step.response_time.as_ref().map_or(0, |times| times.count);
    let limits = [(Objective::P99, run.objectives.p99_ms), (Objective::P50, run.objectives.p50_ms)];
    let judged = limits.into_iter().filter(|(_, limit)| limit.is_some()).map(|(objective, _)| objective);
    let (objective, wanted) =
        judged.filter_map(|one| Some((one, needed(one)?))).find(|(_, wanted)| count < *wanted)?;
    Some(format!(
        "The {} at {} rests on {} only, and means little below {}: a longer run says more.",
        objective.words(),
        load(held, run.model),
        counted(count, "request"),
        self::count(wanted)
    ))
}

/// What the generator could not do, in half a sentence.
pub fn in_the_way(why: &Distrust) -> &'static str {
    match why {
        Distrust::Lag { .. } => "the generator was late itself",
        Distrust::GeneratorFull { .. } => "the generator was full",
        Distrust::NoPort { .. } => "the generator had no port or descriptor left",
        Distrust::AgentLost { .. } => "an agent was lost",
        Distrust::FewRequests { .. } => "too few requests ended",
    }
}

/// The first agent that was lost.
fn lost(run: &Run) -> Option<&Distrust> {
    run.distrust.iter().find(|why| matches!(why, Distrust::AgentLost { .. }))
}

/// What did not hold: `p99 2.4 s (wanted under 2 s)`.
pub fn broke(broke: &Broke) -> String {
    let Some(seen) = broke.seen else {
        return "no request succeeded".to_owned();
    };
    if broke.objective == Objective::Errors {
        let (seen, wanted) = apart(seen, broke.wanted, percent, |share, digits| {
            format!("{} %", grouped(share * 100.0, digits))
        });
        return format!("{seen} of the requests failed (wanted under {wanted})");
    }
    let (seen, wanted) = times_apart(seen, broke.wanted);
    format!("{} {seen} (wanted under {wanted})", broke.objective.words())
}

/// Two figures that differ look different: with as many more digits as it takes, where the usual ones do not show it.
fn apart(a: f64, b: f64, usual: fn(f64) -> String, finer: fn(f64, usize) -> String) -> (String, String) {
    const DIGITS_MAX: usize = 9;
    let (one, two) = (usual(a), usual(b));
    if one != two || a.total_cmp(&b).is_eq() {
        return (one, two);
    }
    let differs = |digits: &usize| finer(a, *digits) != finer(b, *digits);
    ((2..=DIGITS_MAX).find(differs).map_or(one, |digits| finer(a, digits)), two)
}

/// The same of two times in ms.
fn times_apart(a: f64, b: f64) -> (String, String) {
    apart(a, b, ms, |ms, digits| format!("{} ms", grouped(ms, digits)))
}

/// The verdict on one step, for a table.
pub fn step_verdict(step: &StepResult) -> String {
    match &step.broke {
        Some(what) => broke(what),
        None if step.requests == 0 => "no request ended".to_owned(),
        None if step.held => "held".to_owned(),
        None => "not judged".to_owned(),
    }
}

/// `median under 500 ms, p99 under 2 s, errors under 1 %`.
pub fn objectives(objectives: &Objectives) -> String {
    let times = [(Objective::P50, objectives.p50_ms), (Objective::P99, objectives.p99_ms)];
    let times = times.into_iter().filter_map(|(what, limit)| Some((what, ms(limit?))));
    let errors = objectives.errors_share.map(|share| (Objective::Errors, percent(share)));
    let all: Vec<_> =
        times.chain(errors).map(|(what, limit)| format!("{} under {limit}", what.words())).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// Whether nothing had to hold.
pub fn no_objective(objectives: &Objectives) -> bool {
    objectives.p50_ms.is_none() && objectives.p99_ms.is_none() && objectives.errors_share.is_none()
}

/// What load is counted in, inside a sentence.
pub fn unit(model: Model) -> &'static str {
    match model {
        Model::Closed => "visitors",
        Model::Open => "journeys per second",
    }
}

/// A load with what it is counted in: `1 visitor`, `1,280 visitors`, `0.5 journeys per second`.
pub fn load(value: f64, model: Model) -> String {
    let number = number(value);
    let unit = match model {
        Model::Closed if number == "1" => "visitor",
        Model::Open if number == "1" => "journey per second",
        _ => unit(model),
    };
    format!("{number} {unit}")
}

/// What the generator used of its cores in a step in which it was late: all there is, or it did not get them when it needed them.
fn too_little_cpu(run: &Run, number: u32) -> String {
    let Some(step) = run.steps.iter().find(|step| step.number == number).filter(|_| run.agents.is_empty())
    else {
        return "The generator had too little CPU.".to_owned();
    };
    let share = percent(step.generator_cpu_share);
    let threads = counted(run.machine.threads.into(), "thread");
    if step.generator_cpu_share >= ALL_CPU {
        format!(
            "The generator had too little CPU: its {threads} used {share} of a core each, which is all there is."
        )
    } else {
        format!(
            "The generator had too little CPU: its {threads} used {share} of a core each, and had to wait for the rest."
        )
    }
}

/// Why the figures may not be believed, and what to do about it.
pub fn distrust(run: &Run, why: &Distrust) -> (String, String) {
    let at = |number: u32| {
        let step = run.steps.iter().find(|step| step.number == number);
        match step {
            Some(step) => format!("step {number} ({})", load(step.load, run.model)),
            None => format!("step {number}"),
        }
    };
    match *why {
        Distrust::Lag { step, lag_p99_us, wanted_us } => {
            let same = if run.machine.same_machine {
                " It shares this machine with what it loads: give each its own, or its own cores with --cpu."
            } else {
                " Give it a machine with more cores."
            };
            let (late, wanted) = times_apart(micros(lag_p99_us), micros(wanted_us));
            (
                format!(
                    "The generator was late itself: in {} it began 1 % of the requests more than {late} after they \
                     were due, wanted under {wanted}. Part of the load times is the generator's.",
                    at(step)
                ),
                format!("{}{same}", too_little_cpu(run, step)),
            )
        }
        Distrust::GeneratorFull { step, count } => (
            format!(
                "{} found no virtual user free, first in {}: that load was not made.",
                counted(count, "arrival"),
                at(step)
            ),
            "Let more be under way at once with --in-flight, or ask for fewer journeys per second."
                .to_owned(),
        ),
        Distrust::NoPort { step, count } => (
            format!(
                "This machine had no local port or file descriptor left for {}, first in {}.",
                counted(count, "request"),
                at(step)
            ),
            "Raise the limit of open files (ulimit -n) and widen net.ipv4.ip_local_port_range, or load from \
             several machines."
                .to_owned(),
        ),
        Distrust::AgentLost { ref agent, at_s, ref because } => (
            format!(
                "Agent {agent} was lost after {}: {because}. Its part of the load was not made from then on.",
                duration(at_s)
            ),
            "Look at its machine and at what it says there, and run it again.".to_owned(),
        ),
        Distrust::FewRequests { step, requests } => (
            format!(
                "Only {} ended in {}: too few for a 99th percentile to mean much.",
                counted(requests, "request"),
                at(step)
            ),
            "Let each step take longer.".to_owned(),
        ),
    }
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of a delay are far below 2^53")]
fn micros(us: u64) -> f64 {
    us as f64 / 1000.0
}

/// A load or another plain number: `1,280`, `12.5`.
pub fn number(value: f64) -> String {
    grouped(value, digits(value))
}

/// `12 ms`, `2.4 s`.
pub fn ms(value: f64) -> String {
    if value == 0.0 {
        "0 ms".to_owned()
    } else if value < 10.0 {
        format!("{} ms", grouped(value, if value < 1.0 { 2 } else { 1 }))
    } else if value < 999.5 {
        format!("{} ms", grouped(value, 0))
    } else {
        format!("{} s", grouped(value / 1000.0, if value < 1e5 { 2 } else { 0 }))
    }
}

/// A share: 0.015 is `1.5 %`. What is not nought does not look like it.
pub fn percent(share: f64) -> String {
    let value = share * 100.0;
    if value > 0.0 && value < 0.005 {
        "<0.01 %".to_owned()
    } else {
        format!("{} %", grouped(value, digits(value)))
    }
}

/// `1,204`.
pub fn count(value: u64) -> String {
    commas(&value.to_string())
}

/// `1,204 requests`.
pub fn counted(value: u64, what: &str) -> String {
    format!("{} {what}{}", count(value), if value == 1 { "" } else { "s" })
}

/// `1 request is`, `1,204 requests are`.
pub fn are(value: u64, what: &str) -> String {
    format!("{} {}", counted(value, what), if value == 1 { "is" } else { "are" })
}

/// The same of what need not be whole: `1 request`, `0.5 requests`.
pub fn of_these(value: f64, what: &str) -> String {
    let number = number(value);
    let end = if number == "1" { "" } else { "s" };
    format!("{number} {what}{end}")
}

/// `1.5 MiB`.
#[allow(clippy::cast_precision_loss, reason = "shown with three digits")]
pub fn bytes(value: u64) -> String {
    let mut value = value as f64;
    let mut unit = "B";
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{} {unit}", grouped(value, if unit == "B" { 0 } else { digits(value) }))
}

/// `43 s`, `12 min 5 s`, `1 h 2 min`.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
pub fn duration(seconds: f64) -> String {
    if seconds < 10.0 {
        return format!("{} s", grouped(seconds.max(0.0), 1));
    }
    let whole = seconds.round().clamp(0.0, 1e15) as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, seconds) => format!("{seconds} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// `8 times`, `1.3 times`.
pub fn times(factor: f64) -> String {
    format!("{} times", grouped(factor, usize::from(factor < 9.95)))
}

/// When a run began: `2026-08-02 14:03 UTC`.
pub fn moment(unix_ms: u64) -> String {
    let moment = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    moment.map_or_else(|| "unknown".to_owned(), |moment| moment.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn digits(value: f64) -> usize {
    match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    }
}

/// With at most that many digits after the point, and no noughts at the end.
fn grouped(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    commas(text)
}

fn commas(number: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let mut out = String::with_capacity(number.len() + number.len() / 3);
    let digits: Vec<char> = whole.chars().collect();
    for (at, digit) in digits.iter().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) && digits[at - 1].is_ascii_digit() {
            out.push(',');
        }
        out.push(*digit);
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_keep_what_matters() {
        let written = [
            (number(1280.0), "1,280"),
            (number(12.5), "12.5"),
            (number(1_234_567.0), "1,234,567"),
            (number(-1234.0), "-1,234"),
            (number(-100.0), "-100"),
            (ms(0.0), "0 ms"),
            (ms(0.25), "0.25 ms"),
            (ms(9.96), "10 ms"),
            (ms(999.7), "1 s"),
            (ms(2400.0), "2.4 s"),
            (ms(120_000.0), "120 s"),
            (percent(0.0), "0 %"),
            (percent(0.000_01), "<0.01 %"),
            (percent(0.015), "1.5 %"),
            (percent(1.0), "100 %"),
            (bytes(1536), "1.5 KiB"),
            (bytes(17), "17 B"),
            (duration(9.96), "10 s"),
            (duration(725.0), "12 min 5 s"),
            (duration(3720.0), "1 h 2 min"),
            (times(8.0), "8 times"),
            (times(9.14), "9.1 times"),
            (counted(1, "request"), "1 request"),
            (moment(1_785_679_380_000), "2026-08-02 14:03 UTC"),
            (moment(u64::MAX), "unknown"),
        ];
        for (written, expected) in written {
            assert_eq!(written, expected);
        }
    }

    #[test]
    fn what_broke_by_a_hair_still_looks_broken() {
        let broke = |objective, seen, wanted| super::broke(&Broke { objective, seen, wanted });
        assert_eq!(broke(Objective::P99, Some(2000.4), 2000.0), "p99 2,000.4 ms (wanted under 2 s)");
        assert_eq!(
            broke(Objective::Errors, Some(0.010_001), 0.01),
            "1.0001 % of the requests failed (wanted under 1 %)"
        );
        assert_eq!(
            broke(Objective::Errors, Some(0.010_000_4), 0.01),
            "1.00004 % of the requests failed (wanted under 1 %)"
        );
        assert_eq!(broke(Objective::P99, Some(500.001), 500.0), "p99 500.001 ms (wanted under 500 ms)");
        assert_eq!(broke(Objective::P99, Some(1_000.0), 1_000.0), "p99 1 s (wanted under 1 s)");
        assert_eq!(broke(Objective::P50, None, 500.0), "no request succeeded");
    }

    #[test]
    fn how_late_it_was_and_how_late_it_may_be_differ() {
        for (late, said) in [(1.04, "1.04 ms"), (1.001, "1.001 ms"), (1.2, "1.2 ms"), (12.0, "12 ms")] {
            assert_eq!(times_apart(late, 1.0), (said.to_owned(), "1 ms".to_owned()));
        }
        assert_eq!(times_apart(1_004.0, 1_000.0), ("1,004 ms".to_owned(), "1 s".to_owned()));
    }

    #[test]
    fn one_visitor_is_no_visitors() {
        let said = [(1.0, Model::Closed), (2.0, Model::Closed), (1.0, Model::Open), (0.5, Model::Open)];
        assert_eq!(
            said.map(|(value, model)| load(value, model)),
            ["1 visitor", "2 visitors", "1 journey per second", "0.5 journeys per second"]
        );
    }
}
