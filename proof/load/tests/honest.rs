//! Is the recorder honest? A server that stands still now and then must show with every request that was due
//! meanwhile (no coordinated omission), and the percentiles must be those that follow from the schedule and the
//! stalls by arithmetic.

mod common;

use common::{constant, plan, run};
use std::time::Duration;
use tentpole_load::Run;
use tentpole_load::result::{Model, Times};
use tentpole_runtime::clock::{self, Instant};
use tentpole_testkit::{Origin, Response};

const RATE: f64 = 200.0;

/// Stalls and their exact moments.
async fn stall(
    origin: &Origin,
    first: Duration,
    every: Duration,
    length: Duration,
    count: u32,
) -> Vec<(Instant, Instant)> {
    let start = clock::now().after(first);
    let mut stalls = Vec::new();
    for number in 0..count {
        let begin = start.after(every * number);
        tokio::time::sleep(begin.since(clock::now())).await;
        let hold = origin.holds("/");
        let from = clock::now();
        tokio::time::sleep(from.after(length).since(clock::now())).await;
        stalls.push((from, clock::now()));
        hold.release();
    }
    stalls
}

/// What a perfect recorder would have seen, in ms: each request that was due in a stall waits for its end, the
/// others wait for nothing.
fn truth(run: &Run, stalls: &[(Instant, Instant)], quantile: f64) -> f64 {
    let step = &run.steps[0];
    let begin = run.started_unix_ms * 1_000 + (step.began_s * 1e6) as u64;
    let count = (step.took_s * RATE) as usize;
    let mut waits: Vec<f64> = (0..count)
        .map(|number| {
            let due = begin + ((number as f64 + 0.5) / RATE * 1e6) as u64;
            let stall = stalls.iter().find(|(from, to)| from.unix_us() <= due && due < to.unix_us());
            stall.map_or(0.0, |(_, to)| (to.unix_us() - due) as f64 / 1_000.0)
        })
        .collect();
    waits.sort_by(f64::total_cmp);
    waits[(quantile * count as f64).ceil() as usize - 1]
}

/// Runs at a constant rate while the origin stalls, and compares.
async fn check(seconds: u64, every: Duration, length: Duration, count: u32) {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    origin.forgets_requests();
    let mut plan = plan(&origin.url());
    plan.model = Model::Open;
    plan.shape = constant(RATE, seconds * 1_000);
    plan.in_flight_max = 5_000;
    let waited = waited_for_cpu_ms();
    let (run, stalls) =
        tokio::join!(run(plan), stall(&origin, Duration::from_millis(500), every, length, count));
    let waited = waited_for_cpu_ms() - waited;
    let step = &run.steps[0];
    assert_eq!((step.failed, step.requests), (0, seconds * RATE as u64), "every arrival is in it");
    let times = step.response_time.expect("all succeeded");
    let near = |name: &str, seen: fn(&Times) -> f64, quantile| {
        let (seen, true_one) = (seen(&times), truth(&run, &stalls, quantile));
        let off = (seen / true_one - 1.0).abs();
        println!(
            "{name}: seen {seen:.1} ms, true {true_one:.1} ms, off {:.2} %; lag p99 {} µs",
            off * 100.0,
            step.lag_p99_us
        );
        // A generator that says itself that it was late has added that, and the origin, which waits for the same processors,
        // what the scheduler says; neither ever leaves anything out.
        let own = step.lag_p99_us as f64 / 1_000.0;
        let right = true_one * 0.99..if run.trusted { true_one * 1.01 + waited } else { f64::INFINITY };
        assert!(right.contains(&seen), "{name}: seen {seen} ms, but it was {true_one} ms, lag {own} ms");
    };
    near("p99", |times| times.p99, 0.99);
    near("p99.9", |times| times.p999, 0.999);
    assert!(times.p50 < 50.0 + waited || !run.trusted, "most met no stall: {times:?}");
}

/// How long the threads of this process were ready to run and had no processor so far: the second figure of `schedstat`.
fn waited_for_cpu_ms() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let all = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    let of = |text: String| text.split(' ').nth(1).and_then(|ns| ns.parse::<f64>().ok());
    all.filter_map(of).sum::<f64>() / 1e6
}

#[tokio::test]
async fn two_seconds_in_ten_are_recovered_within_one_percent() {
    check(10, Duration::from_secs(10), Duration::from_secs(2), 1).await;
}

#[tokio::test]
async fn shorter_stalls_are_recovered_within_one_percent_too() {
    check(8, Duration::from_secs(4), Duration::from_millis(800), 2).await;
}

#[tokio::test]
async fn a_visitor_waits_in_the_closed_model_and_each_wait_is_whole() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    let mut plan = plan(&origin.url());
    plan.shape = constant(1.0, 1_000);
    let (run, stalls) = tokio::join!(
        run(plan),
        stall(&origin, Duration::from_millis(700), Duration::from_secs(1), Duration::from_secs(3), 1)
    );
    let step = &run.steps[0];
    let times = step.response_time.expect("all succeeded");
    let stalled = stalls[0].1.since(stalls[0].0).as_secs_f64() * 1_000.0;
    // The step was over before the stall was: its last request is waited for and counted.
    // Never less than it was; a busy machine may add of its own.
    assert!((0.95..1.5).contains(&(times.max / stalled)), "{} of {stalled}", times.max);
    assert!(step.took_s < 2.5 && run.took_s > 3.5, "{} {}", step.took_s, run.took_s);
}
