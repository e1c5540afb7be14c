//! A run in words: the table of its steps, the sentence about it, and why it may not be believed. Pure.

use tentpole_load::result::{Broke, Distrust, Model, Objective, Objectives, Run, StepResult};

/// A time in ms as people read it: `0.4 ms`, `48 ms`, `2.4 s`.
pub fn time(ms: f64) -> String {
    match ms {
        ms if ms < 0.995 => format!("{ms:.2} ms"),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 99_950.0 => format!("{:.1} s", ms / 1_000.0),
        ms => format!("{:.0} s", ms / 1_000.0),
    }
}

/// A share as people read it: `0 %`, `0.4 %`, `12 %`. What is not nothing is never shown as nothing.
pub fn share(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        percent if percent < 0.01 => "<0.01 %".to_owned(),
        percent if percent < 0.995 => format!("{percent:.2} %"),
        percent if percent < 9.95 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}

/// `12,345`; what is below 100 keeps one digit behind the point, if it has one.
pub fn number(value: f64) -> String {
    if value < 100.0 && value.fract().abs() > 0.05 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value);
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `p99 2.4 s (wanted under 2 s)`.
pub fn broke(broke: &Broke) -> String {
    let name = broke.objective.words();
    let value = |value: f64| match broke.objective {
        Objective::Errors => plain_share(value),
        _ => plain_time(value),
    };
    match broke.seen {
        Some(seen) if broke.objective == Objective::Errors => {
            format!("{name} {} (wanted under {})", share(seen), value(broke.wanted))
        }
        Some(seen) => format!("{name} {} (wanted under {})", time(seen), value(broke.wanted)),
        None => format!("nothing succeeded (wanted {name} under {})", value(broke.wanted)),
    }
}

/// A limit as it was written: `2 s`, `500 ms`.
fn plain_time(ms: f64) -> String {
    if ms >= 1_000.0 { format!("{} s", ms / 1_000.0) } else { format!("{ms} ms") }
}

/// Likewise: `1 %`, `0.5 %`.
fn plain_share(share: f64) -> String {
    format!("{} %", (share * 1e6).round() / 1e4)
}

/// The objectives: `median < 500 ms, p99 < 2 s, errors < 1 %`.
pub fn objectives(objectives: &Objectives) -> Vec<(Objective, String)> {
    let mut all = Vec::new();
    let mut add = |objective: Objective, limit: Option<String>| {
        all.extend(limit.map(|limit| (objective, format!("{} < {limit}", objective.words()))));
    };
    add(Objective::P50, objectives.p50_ms.map(plain_time));
    add(Objective::P99, objectives.p99_ms.map(plain_time));
    add(Objective::Errors, objectives.errors_share.map(plain_share));
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
        step.response_time.as_ref().map_or_else(|| "-".to_owned(), |times| time(pick(times)))
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
        share(errors),
        time(step.lag_p99_us as f64 / 1_000.0),
        verdict,
    ])
}

fn row(columns: &[String; 8]) -> String {
    let [load, rate, p50, p95, p99, errors, lag, verdict] = columns;
    format!("{load:>10} {rate:>9} {p50:>8} {p95:>8} {p99:>8} {errors:>8} {lag:>8}  {verdict}")
        .trim_end()
        .to_owned()
}

/// Everything about a run that is not in its table.
pub fn summary(run: &Run) -> String {
    let mut out = String::new();
    let mut line = |text: String| out.push_str(&wrapped(&text));
    line(sentence(run));
    for (cause, count) in failures(run) {
        line(format!("  {:>9} × {cause}", number(count as f64)));
    }
    for reason in &run.distrust {
        line(format!("Do not trust these figures: {}", distrust(reason, run.machine.same_machine)));
    }
    if run.interrupted {
        line("Ended before its time; this is what was measured until then.".to_owned());
    }
    out
}

/// Lines of at most 80 characters; what goes on is indented.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 80;
    let mut out = String::new();
    let mut used = 0;
    for (number, word) in text.split(' ').enumerate() {
        let length = word.chars().count();
        if number > 0 && used + 1 + length > WIDTH {
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

/// `Breaks at 1,280 visitors: p99 2.4 s (wanted under 2 s). Holds 960.`
pub fn sentence(run: &Run) -> String {
    let unit = run.model.unit();
    match (&run.breaking_point, run.highest_held) {
        (Some(point), held) => {
            let held = match held {
                Some(held) => format!("Holds {}.", number(held)),
                None => "No load held.".to_owned(),
            };
            format!("Breaks at {} {unit}: {}. {held}", number(point.load), broke(&point.broke))
        }
        (None, Some(held)) => format!("Holds {} {unit}: every objective held.", number(held)),
        (None, None) => "Nothing was judged.".to_owned(),
    }
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

/// Why, and what to do.
pub fn distrust(reason: &Distrust, same_machine: bool) -> String {
    match reason {
        Distrust::Lag { step, lag_p99_us, wanted_us } => {
            let cure = if same_machine {
                "Generator and server share this machine: give each cores of its own, the generator with --cpu, the \
                 server with taskset."
            } else {
                "Give the generator more cores, or cores of its own with --cpu."
            };
            format!(
                "the generator itself was {} late in step {step} (p99; it must stay under {}), for want of CPU. {cure}",
                time(*lag_p99_us as f64 / 1_000.0),
                plain_time(*wanted_us as f64 / 1_000.0),
            )
        }
        Distrust::GeneratorFull { step, count } => format!(
            "{} arrivals of step {step} found no virtual user free. Raise --in-flight, or ask for a lower rate.",
            number(*count as f64)
        ),
        Distrust::NoPort { step, count } => format!(
            "{} requests of step {step} found no local port or file descriptor. Raise `ulimit -n`, or \
             net.ipv4.ip_local_port_range.",
            number(*count as f64)
        ),
        Distrust::FewRequests { step, requests } => format!(
            "step {step} broke by its p99, but had {requests} requests only, so that is the slowest one. Raise \
             --step-time."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_never_hide_a_failure() {
        let times = [0.04, 9.9, 48.3, 999.0, 2_400.0, 120_000.0].map(time);
        assert_eq!(times, ["0.04 ms", "9.9 ms", "48 ms", "999 ms", "2.4 s", "120 s"]);
        assert_eq!(
            [0.0, 0.00001, 0.004, 0.01, 0.5].map(share),
            ["0 %", "<0.01 %", "0.40 %", "1.0 %", "50 %"]
        );
        assert_eq!([10.0, 12.34, 1_280.0, 1_234_567.8].map(number), ["10", "12.3", "1,280", "1,234,568"]);
    }

    #[test]
    fn long_sentences_are_wrapped_and_short_ones_are_not() {
        assert_eq!(wrapped("  12 × status 5xx"), "  12 × status 5xx\n");
        let long = wrapped(&"word ".repeat(40));
        assert!(long.lines().count() > 2 && long.lines().all(|line| line.chars().count() <= 80), "{long}");
        assert!(long.lines().skip(1).all(|line| line.starts_with("  ")), "{long}");
    }

    #[test]
    fn what_broke_is_said_with_what_was_wanted() {
        let seen = Broke { objective: Objective::P99, seen: Some(2_412.0), wanted: 2_000.0 };
        assert_eq!(broke(&seen), "p99 2.4 s (wanted under 2 s)");
        let errors = Broke { objective: Objective::Errors, seen: Some(0.25), wanted: 0.01 };
        assert_eq!(broke(&errors), "errors 25 % (wanted under 1 %)");
        let none = Broke { objective: Objective::P50, seen: None, wanted: 500.0 };
        assert_eq!(broke(&none), "nothing succeeded (wanted median under 500 ms)");
    }
}
