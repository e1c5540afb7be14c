//! The first seconds of a crowd: with what was found before, and without. And what becomes of a finding that is wrong by now.
//! Each figure is printed; `--nocapture` shows them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "simulated/ours.rs"]
mod ours;
mod simulated;

use ours::Ours;
use simulated::{Run, Server, run};
use tentpole_limit::Adaptive;
use tentpole_model::AdaptiveLimit;

/// The first seconds, which are looked at.
const FIRST: usize = 10;

/// Twice what it carries from the first moment on.
fn crowd(server: Server, mut ours: Ours, seconds: usize) -> (Run, u32) {
    let carries = f64::from(server.workers) / server.takes;
    let seen = run(server, &mut ours, seconds, |_| 2.0 * carries, 23);
    (seen, ours.0.found().unwrap_or(0))
}

fn without() -> Ours {
    Ours::new(AdaptiveLimit::default().start)
}

fn with(found: u32) -> Ours {
    Ours(Adaptive::found_before(AdaptiveLimit::default(), found))
}

/// Answers in the first seconds, and the longest that one request of a hundred was inside.
fn first(seen: &Run) -> (u32, f64) {
    let answers = seen.answers[..FIRST].iter().sum();
    let mut inside: Vec<f64> =
        seen.latencies.iter().filter(|(end, _)| *end < FIRST as f64).map(|(_, took)| *took).collect();
    inside.sort_unstable_by(f64::total_cmp);
    (answers, inside[inside.len() * 99 / 100])
}

#[test]
fn a_large_endpoint_serves_from_the_first_second_what_a_rehearsal_found() {
    let server = Server::of(200, 0.5);
    let (_, found) = crowd(server, without(), 900);
    assert!((150..=300).contains(&found), "the rehearsal found {found}");
    let ((before, _), (after, _)) =
        (first(&crowd(server, without(), FIRST).0), first(&crowd(server, with(found), FIRST).0));
    println!(
        "200 workers, 400/s: {before} answers in the first {FIRST} s from 20, {after} from the {found} that were found"
    );
    // It carries 4,000 in that time, but for the half second of the first answers.
    assert!(after >= 3_400 && after >= 4 * before, "{after} against {before}");
}

#[test]
fn a_small_endpoint_is_not_overrun_in_the_first_seconds() {
    let server = Server::of(2, 0.1);
    let (_, found) = crowd(server, without(), 900);
    assert!((2..=5).contains(&found), "the rehearsal found {found}");
    let ((all, before), (as_many, after)) =
        (first(&crowd(server, without(), FIRST).0), first(&crowd(server, with(found), FIRST).0));
    println!(
        "2 workers, 20/s: one of a hundred took {before:.2} s inside in the first {FIRST} s from 20, {after:.2} s from \
         the {found} that were found; {all} and {as_many} answers"
    );
    assert!(after <= 0.6 * before && f64::from(as_many) >= 0.9 * f64::from(all), "{after} after {before}");
}

#[test]
fn a_finding_that_is_far_too_high_by_now_is_corrected() {
    for (found, workers) in [(80, 8), (1_000, 8), (200, 2)] {
        let server = Server::of(workers, 0.05);
        let (seen, now) = crowd(server, with(found), 600);
        let knee = f64::from(workers) * 1.5 + 1.0;
        let at = seen.limits.iter().position(|&limit| f64::from(limit) <= knee).unwrap_or(usize::MAX);
        println!(
            "{found} found, {workers} workers now: at {knee:.0} after {:.0} s, found {now}; {:.1}/s in the first ten of {:.0}/s",
            at as f64 / 10.0,
            f64::from(first(&seen).0) / FIRST as f64,
            f64::from(workers) / 0.05
        );
        assert!(at < 3_000 && f64::from(now) <= knee, "{found}, {workers} workers: {now} after {at} looks");
    }
}

#[test]
fn a_finding_that_is_too_low_by_now_is_corrected() {
    let server = Server::of(64, 0.1);
    let (seen, now) = crowd(server, with(4), 600);
    println!("4 found, 64 workers now: {now} found, {:.0}/s of 640 in the last minute", seen.rate(540));
    assert!(now >= 56 && seen.rate(540) >= 0.95 * 640.0, "{now}");
}
