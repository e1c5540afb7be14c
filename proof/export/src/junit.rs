//! A run as JUnit XML: a suite for each step of load, a test case for each objective and each step of the journeys, and of the run
//! one for whether it went to its end and one for whether the figures may be believed. What has no limit is not judged and is no case.

use crate::short::short;
use std::fmt::Write;
use tentpole_load::Run;
use tentpole_load::result::{JourneyStepResult, Objective, StepResult};

/// One case.
struct Case {
    name: String,
    class: String,
    /// What a reader sees first, and the figures.
    failure: Option<(String, String)>,
}

/// The whole file. `reasons`: why the figures may not be believed, in sentences.
pub fn write(run: &Run, reasons: &[String]) -> String {
    let mut suites = vec![("the run".to_owned(), 0.0, vec![went_to_its_end(run), trust(run, reasons)])];
    for step in &run.steps {
        let name = format!("{} {}", short(step.load), run.model.unit());
        let mut cases = objectives(run, step);
        cases.extend(step.journey_steps.iter().filter_map(|one| journey_step(run, one)));
        suites.push((name, step.took_s, cases));
    }
    let all = || suites.iter().flat_map(|(_, _, cases)| cases);
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let failures = all().filter(|case| case.failure.is_some()).count();
    let _ = writeln!(
        out,
        "<testsuites name=\"{}\" tests=\"{}\" failures=\"{failures}\" time=\"{:.3}\">",
        escaped(&format!("tentpole load {}", run.url)),
        all().count(),
        run.took_s
    );
    for (name, took_s, cases) in &suites {
        let failed = cases.iter().filter(|case| case.failure.is_some()).count();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\" time=\"{took_s:.3}\">",
            escaped(name),
            cases.len()
        );
        for case in cases {
            let (name, class) = (escaped(&case.name), escaped(&case.class));
            let _ = write!(out, "    <testcase name=\"{name}\" classname=\"{class}\" time=\"{took_s:.3}\"");
            match &case.failure {
                None => out.push_str("/>\n"),
                Some((message, text)) => {
                    let (message, text) = (escaped(message), escaped(text));
                    let _ = writeln!(
                        out,
                        ">\n      <failure message=\"{message}\" type=\"objective\">{text}</failure>\n    </testcase>"
                    );
                }
            }
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

/// Whoever reads nothing else must not take a part of a rehearsal for all of it.
fn went_to_its_end(run: &Run) -> Case {
    let failure = run.interrupted.then(|| {
        let measured = run.steps.iter().filter(|step| step.requests > 0).count();
        let says = match measured {
            0 => format!("interrupted after {:.0} s, before anything was measured", run.took_s),
            _ => format!("interrupted after {:.0} s", run.took_s),
        };
        (says.clone(), says)
    });
    Case { name: "the run went to its end".to_owned(), class: "run".to_owned(), failure }
}

fn trust(run: &Run, reasons: &[String]) -> Case {
    let failure = (!run.trusted).then(|| {
        let first = reasons.first().map_or("do not trust these figures", String::as_str);
        (first.to_owned(), reasons.join("\n"))
    });
    Case { name: "the figures may be believed".to_owned(), class: "generator".to_owned(), failure }
}

fn objectives(run: &Run, step: &StepResult) -> Vec<Case> {
    // Of what was not made as a whole there is no verdict.
    if step.requests > 0 && step.broke.is_none() && !step.held {
        return Vec::new();
    }
    let limits = run.objectives;
    let times = step.response_time.as_ref();
    let share = (step.requests > 0).then(|| step.failed as f64 / step.requests as f64);
    let all = [
        (Objective::P50, limits.p50_ms, times.map(|times| times.p50), "ms"),
        (Objective::P99, limits.p99_ms, times.map(|times| times.p99), "ms"),
        (Objective::Errors, limits.errors_share, share, ""),
    ];
    let case = |(objective, limit, seen, unit): (Objective, Option<f64>, Option<f64>, &str)| {
        let limit = limit?;
        let shown = |value: f64| match unit {
            "ms" => format!("{value:.1} ms"),
            _ => format!("{:.2} %", value * 100.0),
        };
        // The verdict is the run's: the first objective that broke stands in it, the others are compared here.
        let is_first = step.broke.is_some_and(|broke| broke.objective == objective);
        let holds = !is_first && seen.is_some_and(|seen| seen < limit || (limit == 0.0 && seen == 0.0));
        let name = format!("{} under {}", objective.words(), shown(limit));
        let seen = seen
            .map_or("nothing succeeded".to_owned(), |seen| format!("{} {}", objective.words(), shown(seen)));
        let failure = (!holds).then(|| (format!("{seen}, wanted under {}", shown(limit)), figures(step)));
        Some(Case { name, class: "objectives".to_owned(), failure })
    };
    all.into_iter().filter_map(case).collect()
}

fn journey_step(run: &Run, one: &JourneyStepResult) -> Option<Case> {
    let limit = run.objectives.errors_share?;
    if one.count == 0 {
        return None;
    }
    let share = one.failed as f64 / one.count as f64;
    let holds = share < limit || one.failed == 0;
    let failure = (!holds).then(|| {
        let says = format!("{} of {} failed ({:.2} %)", one.failed, one.count, share * 100.0);
        (says.clone(), says)
    });
    Some(Case { name: one.name.clone(), class: "steps".to_owned(), failure })
}

fn figures(step: &StepResult) -> String {
    let causes: Vec<String> =
        step.failures.iter().map(|(cause, count)| format!("{count} x {}", cause.words())).collect();
    let requests = if step.requests == 1 { "request" } else { "requests" };
    format!("{} {requests}, {} failed {}", step.requests, step.failed, causes.join(", "))
}

/// For text and attributes; what XML cannot hold becomes a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}
