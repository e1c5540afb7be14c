//! Beside Gradient2 and Envoy's controller, on the two loads that their faults are known from: a load that rises slowly for
//! an hour and stays, and steady overload over several of Envoy's measurements.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "simulated/others.rs"]
mod others;
#[path = "simulated/ours.rs"]
mod ours;
mod simulated;

use others::{Envoy, Gradient2};
use ours::Ours;
use simulated::{Limiter, Run, Server, run};

/// 16 workers carry 320 a second.
const CARRIES: f64 = 320.0;
const HOUR: usize = 3_600;

fn rises_slowly(limiter: &mut dyn Limiter) -> Run {
    // From half of what it carries to twice as much in an hour, and one hour more.
    let rate = |now: f64| CARRIES * (0.5 + 1.5 * (now / HOUR as f64).min(1.0));
    run(Server::of(16, 0.05), limiter, 2 * HOUR, rate, 17)
}

#[test]
fn a_load_that_rises_for_an_hour_takes_gradient2_along_and_not_this_one() {
    let told = |name: &str, seen: &Run| {
        let (limit, _) = seen.limits(HOUR * 3 / 2);
        let p99 = seen.latency(HOUR * 3 / 2, 0.99) * 1_000.0;
        println!(
            "{name}: limit {limit} at a knee of 16, p99 inside {p99:.0} ms, {:.0}/s",
            seen.rate(HOUR * 3 / 2)
        );
        limit
    };
    let theirs = told("Gradient2", &rises_slowly(&mut Gradient2::new(20)));
    let seen = rises_slowly(&mut Ours::new(20));
    let ours = told("this one", &seen);
    assert!(theirs > 48, "Gradient2 did not drift: {theirs}; then this test shows nothing");
    assert!(ours <= 24 && seen.rate(HOUR * 3 / 2) >= 0.95 * CARRIES, "{ours}");
}

#[test]
fn envoys_measurement_starves_traffic_and_this_one_does_not() {
    let steady = |limiter: &mut dyn Limiter| run(Server::of(16, 0.05), limiter, 600, |_| 2.0 * CARRIES, 19);
    let (envoy, ours) = (steady(&mut Envoy::new()), steady(&mut Ours::new(20)));
    let told = |name: &str, seen: &Run| {
        let worst = seen.worst(120, 1) / CARRIES;
        println!(
            "{name}: worst second {:.0} %, over all {:.1} %, limit {:?}",
            100.0 * worst,
            100.0 * seen.rate(120) / CARRIES,
            seen.limits(120)
        );
        worst
    };
    let (theirs, ours) = (told("Envoy", &envoy), told("this one", &ours));
    assert!(theirs < 0.5, "Envoy's did not starve: {theirs}; then this test shows nothing");
    assert!(ours > 0.7, "{ours}");
}
