//! What is said of two runs: a difference only where their intervals do not meet, and where to look next.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod made;

use made::With;
use tentpole_load::Run;
use tentpole_load::result::{BreakingPoint, Broke, Distrust, FailureCause, Objective};
use tentpole_report::baseline::since;
use tentpole_report::html;

fn said(before: &Run, now: &Run) -> String {
    since(before, now).join("\n")
}

/// As `run`, with the load times of every step multiplied.
fn slower(run: Run, by: f64) -> Run {
    run.with(|run| {
        for times in run.steps.iter_mut().filter_map(|step| step.response_time.as_mut()) {
            for time in [
                &mut times.min,
                &mut times.p50,
                &mut times.p90,
                &mut times.p95,
                &mut times.p99,
                &mut times.p999,
                &mut times.max,
            ] {
                *time *= by;
            }
        }
    })
}

#[test]
fn what_carries_more_is_told_with_both_intervals() {
    let (before, now) = (made::without_cache(), made::breaks());
    let text = said(&before, &now);
    assert!(text.starts_with("Since the run of 2026-08-02 14:03 UTC:"), "{text}");
    assert!(
        text.contains(
            "It carries more: it breaks between 1,200 and 1,280 visitors, before between 120 and 140"
        ),
        "{text}"
    );
    assert!(said(&now, &before).contains("It carries less"), "{text}");
}

#[test]
fn what_may_be_chance_is_not_called_a_change() {
    let run = made::breaks();
    let text = said(&run, &run.clone());
    assert!(text.contains("Where it breaks cannot be told from before"), "{text}");
    assert!(
        text.contains("may be the same") && !text.contains("better") && !text.contains("worse"),
        "{text}"
    );
    let text = said(&run, &slower(made::breaks(), 3.0));
    assert!(text.contains(": worse"), "three times as slow: {text}");
    let text = said(&slower(made::breaks(), 3.0), &run);
    assert!(text.contains(": better"), "{text}");
}

#[test]
fn the_next_thing_to_look_at_is_named() {
    let text = said(&made::breaks(), &made::breaks());
    assert!(text.contains("Look next at \u{201c}") && text.contains("its p99 is"), "{text}");
    let failing = made::run(&[10.0, 20.0], &|load| made::Effect {
        p50: 20.0,
        failing: if load > 15.0 {
            vec![(FailureCause::TimedOut, 0.2), (FailureCause::Reset, 0.1)]
        } else {
            vec![]
        },
    });
    let text = said(&failing, &failing.clone());
    assert!(
        text.contains("Look next at why requests fail") && text.contains("no response in time"),
        "{text}"
    );
    assert!(!said(&made::holds(), &made::holds()).contains("Look next"), "nothing broke");
}

#[test]
fn runs_that_cannot_be_compared_are_not() {
    let text = said(&made::untrusted(), &made::breaks());
    assert!(
        text.contains("The earlier run is not to be trusted") && !text.contains("breaks between"),
        "{text}"
    );
    let late = made::breaks().with(|run| {
        (run.trusted, run.breaking_point) = (false, None);
        run.distrust = vec![Distrust::NoPort { step: 1, count: 1 }];
    });
    assert!(said(&made::breaks(), &late).contains("The present run is not to be trusted"));
    assert!(said(&made::open(), &made::breaks()).contains("their loads cannot be compared"));
    let other = made::breaks().with(|run| run.journey.name = "buy".to_owned());
    assert!(said(&made::breaks(), &other).contains("made with another journey"));
    let empty = said(&made::empty(), &made::breaks());
    assert!(empty.contains("No load was tried in both"), "{empty}");
}

#[test]
fn the_page_says_what_changed() {
    let before = made::without_cache();
    let now = made::breaks().with(|run| {
        run.since = since(&before, run);
        let broke = Broke { objective: Objective::P99, seen: Some(2_400.0), wanted: 2_000.0 };
        run.breaking_point = Some(BreakingPoint { load: 1_280.0, broke });
    });
    let page = html(&now);
    assert!(page.contains("What changed") && page.contains("It carries more"), "it is there");
    assert!(!html(&before).contains("What changed"), "and only there");
}
