//! A run in lines of a terminal: the table of its steps, and what is said below it. How figures and verdicts are worded
//! is the report's, so that page and terminal say the same. Pure.

use tentpole_load::result::{Model, Objective, Objectives, Run, StepResult};
use tentpole_report::words::{counted, distrust, few, interrupted, ms, number, percent};

/// Steps of journeys that are told where several failed.
const FAILED_AT_MAX: usize = 5;

/// The objectives: `median < 500 ms, p99 < 2 s, errors < 1 %`.
pub fn objectives(objectives: &Objectives) -> Vec<(Objective, String)> {
    let mut all = Vec::new();
    let mut add = |objective: Objective, limit: Option<String>| {
        all.extend(limit.map(|limit| (objective, format!("{} < {limit}", objective.words()))));
    };
    add(Objective::P50, objectives.p50_ms.map(ms));
    add(Objective::P99, objectives.p99_ms.map(ms));
    add(Objective::Errors, objectives.errors_share.map(percent));
    all
}

/// The head of the table.
pub fn head(model: Model) -> String {
    let columns = [model.unit(), "req/s", "median", "p95", "p99", "errors", "lag p99", ""];
    row(&columns.map(str::to_owned))
}

/// One step as a row of the table.
pub fn step(step: &StepResult) -> String {
    let of = |pick: fn(&tentpole_load::result::Times) -> f64| {
        step.response_time.as_ref().map_or_else(|| "-".to_owned(), |times| ms(pick(times)))
    };
    let errors = step.failed as f64 / step.requests.max(1) as f64;
    let verdict = match (&step.broke, step.held) {
        (Some(broke), _) => format!("✗ {}", broke.objective.words()),
        (None, true) => "✓".to_owned(),
        (None, false) if step.requests > 0 => "not judged".to_owned(),
        (None, false) => "no request".to_owned(),
    };
    row(&[
        number(step.load),
        number(step.requests_per_s),
        of(|times| times.p50),
        of(|times| times.p95),
        of(|times| times.p99),
        percent(errors),
        ms(step.lag_p99_us as f64 / 1_000.0),
        verdict,
    ])
}

fn row(columns: &[String; 8]) -> String {
    let [load, rate, p50, p95, p99, errors, lag, verdict] = columns;
    format!("{load:>10} {rate:>9} {p50:>8} {p95:>8} {p99:>8} {errors:>8} {lag:>8}  {verdict}")
        .trim_end()
        .to_owned()
}

/// Everything about a run that is not in its table, in lines of at most `width` characters.
pub fn summary(run: &Run, width: usize) -> String {
    let mut out = String::new();
    let mut line = |text: String| out.push_str(&wrapped(&text, width));
    // First: whoever reads no further must not take the rest for measured.
    for reason in &run.distrust {
        let (why, cure) = distrust(run, reason);
        line(format!("Do not trust these figures. {why} {cure}"));
    }
    line(tentpole_report::verdict(run));
    few(run).into_iter().for_each(&mut line);
    tentpole_report::found::sentences(run).into_iter().for_each(&mut line);
    for (cause, count) in failures(run) {
        line(format!("  {:>9} × {cause}", number(count as f64)));
    }
    failed_at(run).into_iter().for_each(&mut line);
    line_of_agents(run).into_iter().for_each(&mut line);
    for text in spread(run) {
        line(text);
    }
    if let Some(times) = handshakes(run) {
        line(times);
    }
    if let Some(why) = &run.stopped_for {
        line(format!("Ended to spare real visitors: {why}."));
    }
    if !run.accounts.is_empty() {
        line(format!("Journeys could order, pay, mail or reserve as {}.", run.accounts.join(", ")));
    }
    if run.unverified {
        line("Certificates were not verified (--insecure).".to_owned());
    }
    run.since.iter().cloned().for_each(&mut line);
    interrupted(run).into_iter().for_each(|text| line(text.to_owned()));
    out
}

/// What several runs come to together, in lines of at most `width` characters.
pub fn comparison(runs: &[(&str, &Run)], width: usize) -> String {
    let mut out = String::new();
    let mut line = |text: String| out.push_str(&wrapped(&text, width));
    for (name, run) in runs {
        for reason in &run.distrust {
            let (why, cure) = distrust(run, reason);
            line(format!("Do not trust the figures of {name}. {why} {cure}"));
        }
    }
    tentpole_report::compared::sentences(runs).into_iter().for_each(&mut line);
    for (name, run) in runs {
        for (cause, count) in failures(run) {
            line(format!("  {:>9} × {cause}, {name}", number(count as f64)));
        }
        if let Some(few) = few(run) {
            line(format!("{name}: {few}"));
        }
        if run.stays_down {
            line(format!("{name} did not answer any more at the end."));
        }
        if let Some(why) = &run.stopped_for {
            line(format!("Ended to spare real visitors: {why}."));
        }
    }
    let is_measured = |run: &Run| run.steps.iter().any(|step| step.requests > 0);
    if runs.iter().any(|(_, run)| run.interrupted) && runs.iter().any(|(_, run)| is_measured(run)) {
        line("Ended before its time; this is what was measured until then.".to_owned());
    }
    out
}

/// Who made the load: `Made by 2 agents with 8 threads, whose clocks are known to 0.05 ms: host1:9950, host2:9950.`
fn line_of_agents(run: &Run) -> Option<String> {
    let names: Vec<&str> = run.agents.iter().map(|agent| agent.name.as_str()).collect();
    let known = run.agents.iter().map(|agent| agent.round_trip_us).max()? as f64 / 2_000.0;
    let moved = run.agents.iter().max_by_key(|agent| agent.moved_us.unsigned_abs());
    let moved = moved.filter(|agent| agent.moved_us != 0).map(|agent| {
        let by = ms(agent.moved_us.unsigned_abs() as f64 / 1_000.0);
        let way = if agent.moved_us > 0 { "ahead" } else { "behind" };
        format!(" The clock of {} went {by} {way} meanwhile; the run followed it.", agent.name)
    });
    Some(
        format!(
            "Made by {} with {}, whose {} known to {}: {}.",
            counted(names.len() as u64, "agent"),
            counted(run.machine.threads.into(), "thread"),
            if names.len() == 1 { "clock is" } else { "clocks are" },
            ms(known),
            names.join(", ")
        ) + &moved.unwrap_or_default(),
    )
}

/// Where resolvers led: a sentence, and a line for each address.
fn spread(run: &Run) -> Vec<String> {
    const LINES_MAX: usize = 8;
    let Some(spread) = &run.spread else { return Vec::new() };
    let mut lines = tentpole_report::spread::sentences(spread);
    let edges = spread.edges.iter().zip(spread.shares());
    lines.extend(edges.take(LINES_MAX).map(|(edge, share)| {
        let (sessions, requests) = (number(edge.sessions as f64), counted(edge.requests, "request"));
        format!("  {:<15} {:>7} of the sessions ({sessions}; {requests})", edge.address, percent(share))
    }));
    if spread.edges.len() > LINES_MAX {
        lines.push(match spread.edges.len() - LINES_MAX {
            1 => "  and 1 more address".to_owned(),
            more => format!("  and {more} more addresses"),
        });
    }
    lines
}

/// What handshakes of TLS took in the step with the most of them: `TLS handshakes: median 2 ms, p99 9 ms (40 of them).`
fn handshakes(run: &Run) -> Option<String> {
    let all = run.steps.iter().filter_map(|step| step.handshake_time);
    let times = all.max_by_key(|times| times.count)?;
    let (p50, p99) = (ms(times.p50), ms(times.p99));
    Some(format!("TLS handshakes: median {p50}, p99 {p99} ({} of them).", number(times.count as f64)))
}

/// Lines of at most so many characters, where words allow it; what goes on is indented.
/// A text in lines of at most `width` characters, all but the first indented.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    for (number, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if number > 0 && used + 1 + length > width {
            out.push_str("\n  ");
            used = 2;
        } else if number > 0 {
            out.push(' ');
            used += 1;
        }
        out.push_str(word);
        used += length;
    }
    out.push('\n');
    out
}

fn failures(run: &Run) -> Vec<(&'static str, u64)> {
    let mut all = std::collections::BTreeMap::new();
    for (cause, count) in run.steps.iter().flat_map(|step| &step.failures) {
        *all.entry(*cause).or_insert(0) += count;
    }
    let mut all: Vec<_> = all.into_iter().map(|(cause, count)| (cause.words(), count)).collect();
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all
}

/// Which steps of journeys failed, where there are several to choose from.
fn failed_at(run: &Run) -> Option<String> {
    let mut all: std::collections::BTreeMap<&str, (u64, u64)> = Default::default();
    for step in run.steps.iter().flat_map(|step| &step.journey_steps) {
        let (failed, of) = all.entry(&step.name).or_default();
        (*failed, *of) = (*failed + step.failed, *of + step.count);
    }
    let is_choice = all.len() > 1;
    let mut failed: Vec<_> = all.into_iter().filter(|(_, (failed, _))| *failed > 0).collect();
    failed.sort_by_key(|(_, (failed, _))| std::cmp::Reverse(*failed));
    let more = failed.len().saturating_sub(FAILED_AT_MAX);
    failed.truncate(FAILED_AT_MAX);
    let told = failed
        .iter()
        .map(|(name, (failed, of))| format!("{name} ({} of {})", number(*failed as f64), number(*of as f64)));
    let mut told: Vec<String> = told.collect();
    if more > 0 {
        told.push(format!("{more} more"));
    }
    (is_choice && !told.is_empty()).then(|| format!("Failed at {}.", told.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_are_wrapped_and_short_ones_are_not() {
        assert_eq!(wrapped("  12 × status 5xx", 80), "  12 × status 5xx\n");
        let long = wrapped(&"word ".repeat(40), 40);
        assert!(long.lines().count() > 2 && long.lines().all(|line| line.chars().count() <= 40), "{long}");
        assert!(long.lines().skip(1).all(|line| line.starts_with("  ")), "{long}");
    }
}
