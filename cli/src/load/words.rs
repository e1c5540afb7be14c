//! A run in lines of a terminal: the table of its steps, and what is said below it. How figures and verdicts are worded
//! is the report's, so that page and terminal say the same. Pure.

use tentpole_load::result::{Model, Objective, Objectives, Run, StepResult};
use tentpole_report::words::{distrust, ms, number, percent};

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
    line(tentpole_report::verdict(run));
    for (cause, count) in failures(run) {
        line(format!("  {:>9} × {cause}", number(count as f64)));
    }
    for reason in &run.distrust {
        let (why, cure) = distrust(run, reason);
        line(format!("Do not trust these figures. {why} {cure}"));
    }
    if run.interrupted {
        line("Ended before its time; this is what was measured until then.".to_owned());
    }
    out
}

/// Lines of at most so many characters, where words allow it; what goes on is indented.
fn wrapped(text: &str, width: usize) -> String {
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
