//! The limit in front of simulated applications that have more to do than they can: it finds what they carry, stays
//! there, and starves nobody on the way. Each figure is printed; `--nocapture` shows them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "simulated/ours.rs"]
mod ours;
mod simulated;

use ours::Ours;
use simulated::{Fixed, Run, Server, Work, run};

/// At twice what it carries, for so many seconds; the second half is looked at.
const SECONDS: usize = 600;

fn overloaded(server: Server, start: u32, seed: u64) -> Run {
    let carries = f64::from(server.workers) / server.takes;
    run(server, &mut Ours::new(start), SECONDS, |_| 2.0 * carries, seed)
}

/// The best of fixed limits around the knee.
fn best(server: Server) -> Run {
    let carries = f64::from(server.workers) / server.takes;
    let tries = [1.0, 1.1, 1.25, 1.5, 2.0].map(|times| (f64::from(server.workers) * times).ceil() as u32);
    let tried = tries.iter().map(|&limit| run(server, &mut Fixed(limit), SECONDS / 2, |_| 2.0 * carries, 7));
    tried.max_by(|one, other| one.rate(60).total_cmp(&other.rate(60))).unwrap()
}

/// Prints what was seen, and holds it to what is promised.
fn holds(what: &str, server: Server, seen: &Run, knee: u32, least: f64) {
    let fixed = best(server);
    let (best, rate) = (fixed.rate(60), seen.rate(SECONDS / 2));
    // Work is drawn at random: a fixed limit has bad seconds too.
    let (worst, usual) = (seen.worst(SECONDS / 2, 2), fixed.worst(60, 2));
    let (limit, most) = seen.limits(SECONDS * 3 / 4);
    println!(
        "{what}: {:.1} % of the best fixed limit's {best:.0}/s, worst two seconds {:.0} % (fixed {:.0} %), limit {limit} \
         (most {most}) at a knee of {knee}, p99 inside {:.0} ms",
        100.0 * rate / best,
        100.0 * worst / best,
        100.0 * usual / best,
        seen.latency(SECONDS / 2, 0.99) * 1_000.0
    );
    assert!(rate >= least * best, "{what}: {rate:.1}/s of {best:.1}/s");
    assert!(worst >= 0.75 * usual, "{what}: {worst:.1}/s for two seconds, {usual:.1}/s with a fixed limit");
    // Between small numbers there is nothing.
    let limit_most = (f64::from(knee) * 1.5).ceil() as u32 + u32::from(knee <= 4);
    assert!(limit <= limit_most, "{what}: the limit stands at {limit}");
}

#[test]
fn workers_from_one_to_sixty_four() {
    // Beginning far below, far above and as it usually does.
    let cases = [(1, 0.02, 200), (2, 0.02, 20), (4, 0.05, 1), (8, 0.1, 200), (16, 0.05, 1), (64, 0.1, 20)];
    for (workers, takes, start) in cases {
        let server = Server::of(workers, takes);
        let seen = overloaded(server, start, 3);
        holds(&format!("{workers} workers from {start}"), server, &seen, workers, 0.95);
    }
}

#[test]
fn processor_sharing_constant_work_and_mixed_work() {
    let shared = Server { shared: true, ..Server::of(4, 0.02) };
    holds("4 shared CPUs", shared, &overloaded(shared, 20, 5), 4, 0.95);
    let constant = Server { work: Work::Constant, ..Server::of(16, 0.05) };
    holds("16 workers, constant work", constant, &overloaded(constant, 20, 5), 16, 0.95);
    let mixed = Server { work: Work::Mixed, ..Server::of(16, 0.05) };
    holds("16 workers, files beside searches", mixed, &overloaded(mixed, 20, 5), 16, 0.95);
}

#[test]
fn pauses_of_a_garbage_collector_do_not_move_it() {
    let server = Server { pause: Some((5.0, 0.4)), ..Server::of(16, 0.05) };
    holds("16 workers, 0.4 s of pause each 5 s", server, &overloaded(server, 20, 5), 16, 0.95);
}

#[test]
fn an_application_that_breaks_under_more_gets_less() {
    let server = Server { thrash: 0.02, ..Server::of(16, 0.05) };
    let seen = overloaded(server, 100, 5);
    // The upper level is above the knee, where each request more costs 2 % here.
    holds("16 workers that thrash", server, &seen, 16, 0.94);
}

#[test]
fn a_deploy_that_makes_it_twice_as_slow_or_fast_moves_nothing() {
    for factor in [2.0, 0.5] {
        let server = Server { change: Some((300.0, factor, 1.0)), ..Server::of(16, 0.05) };
        let carries = 16.0 / 0.05;
        let seen = run(server, &mut Ours::new(20), SECONDS, |_| 4.0 * carries, 11);
        let (before, after) = (seen.rate(100), seen.rate(310));
        let (limit, most) = seen.limits(310);
        println!(
            "16 workers, {factor} times as slow: {after:.0}/s, limit {limit} (most {most}), over all {before:.0}/s"
        );
        assert!(after >= 0.95 * carries / factor, "{after:.0}/s of {:.0}/s", carries / factor);
        assert!(limit <= 24, "{limit}");
    }
}

#[test]
fn half_of_the_workers_gone_and_back() {
    let server = Server { change: Some((300.0, 1.0, 0.5)), ..Server::of(32, 0.05) };
    let seen = run(server, &mut Ours::new(20), SECONDS, |_| 1_280.0, 13);
    let (limit, _) = seen.limits(450);
    println!("32 workers, then 16: limit {limit}, {:.0}/s", seen.rate(450));
    assert!(limit <= 24 && seen.rate(450) >= 0.95 * 320.0, "{limit}");
    let server = Server { change: Some((300.0, 1.0, 2.0)), ..Server::of(16, 0.05) };
    let seen = run(server, &mut Ours::new(20), SECONDS, |_| 1_280.0, 13);
    let (limit, _) = seen.limits(400);
    println!("16 workers, then 32: limit {limit}, {:.0}/s", seen.rate(400));
    assert!(limit <= 48 && seen.rate(400) >= 0.95 * 640.0, "{limit}, {:.0}/s", seen.rate(400));
}
