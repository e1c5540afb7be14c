//! How often the truth lies inside the interval, and how near the answer is: against servers whose truth is known.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod simulated;

use simulated::curves::{Full, Noisy, Stalls};
use simulated::queues::{Arrivals, Queue, Visitors};
use simulated::{Case, search};
use tentpole_search::draw::Draw;
use tentpole_search::{Goal, Next, Search, Settings, Trial, Why};

const ERRORS: Goal = Goal::Failures { under: 0.01 };

fn median(under_ms: f64) -> Goal {
    Goal::Quantile { at: 0.5, under_ms }
}

fn p99(under_ms: f64) -> Goal {
    Goal::Quantile { at: 0.99, under_ms }
}

/// Five minutes of trials.
const TIME_S: f64 = 300.0;

fn visitors(name: &'static str, queue: Queue, goals: &[Goal], first: Option<usize>) -> Case {
    let settings = Settings::within(goals.to_vec(), 10.0, 10_000.0, true, TIME_S);
    let server = Box::new(Visitors { queue, think_s: 1.0, goals: goals.to_vec() });
    Case { name, server, settings, first }
}

fn arrivals(name: &'static str, queue: Queue, goals: &[Goal]) -> Case {
    let settings = Settings::within(goals.to_vec(), 10.0, 10_000.0, false, TIME_S);
    Case { name, server: Box::new(Arrivals { queue, goals: goals.to_vec() }), settings, first: Some(0) }
}

fn noisy(name: &'static str, goal: Goal, z: f64, memory: f64) -> Case {
    let server = Noisy { base_ms: 60.0, doubled: 180.0, power: 2.0, spread: 0.5, memory, each: 1.0, goal, z };
    let settings = Settings::within(vec![goal], 10.0, 10_000.0, true, TIME_S);
    Case { name, server: Box::new(server), settings, first: Some(0) }
}

/// Every server.
fn cases() -> Vec<Case> {
    let limited = |workers, work_s, inside_max| Queue { inside_max, ..Queue::of(workers, work_s) };
    let usual = [median(500.0), p99(2_000.0), ERRORS];
    let of = |goal: Goal, server: Box<dyn simulated::Server>, name| Case {
        name,
        server,
        settings: Settings::within(vec![goal], 10.0, 10_000.0, true, TIME_S),
        first: Some(0),
    };
    vec![
        visitors("1 worker, median", Queue::of(1, 0.008), &[median(500.0)], Some(0)),
        visitors("8 workers, median", Queue::of(8, 0.04), &[median(500.0)], Some(0)),
        visitors("4 workers, p99", Queue::of(4, 0.03), &[p99(400.0)], Some(0)),
        visitors("16 workers, p99", Queue::of(16, 0.1), &[p99(1_000.0)], Some(0)),
        visitors("refuses, errors", limited(8, 0.05, 16), &[ERRORS], Some(0)),
        visitors("cache, p99", Queue { cached: 0.8, ..Queue::of(2, 0.03) }, &[p99(500.0)], Some(0)),
        visitors("three goals", Queue::of(4, 0.025), &usual, Some(0)),
        visitors("three goals, a limit", limited(4, 0.025, 40), &usual, Some(2)),
        arrivals("arrivals, 8 workers, p99", Queue::of(8, 0.05), &[p99(300.0)]),
        arrivals("arrivals, 1 worker, median", Queue::of(1, 0.004), &[median(15.0)]),
        arrivals("arrivals, lost calls", limited(20, 0.1, 20), &[ERRORS]),
        noisy("noise, median", median(200.0), 0.0, 0.9),
        noisy("noise, p99", p99(600.0), 2.326_35, 0.5),
        of(
            p99(200.0),
            Box::new(Stalls { every_s: 2.0, each_ms: 1.0, base_ms: 5.0, under_ms: 200.0 }),
            "stalls, p99",
        ),
        of(ERRORS, Box::new(Full { room: 140.0, under: 0.01 }), "full, errors"),
        visitors(
            "slower all the time",
            Queue { slower: 0.15 / 300.0, ..Queue::of(4, 0.025) },
            &[median(500.0)],
            Some(0),
        ),
    ]
}

/// What came of many searches of one server.
#[derive(Debug, Default)]
struct Seen {
    truth: f64,
    searches: usize,
    inside: usize,
    /// Answers with both ends.
    whole: usize,
    /// Answers within 5 % of the truth.
    near: usize,
    /// Intervals whose ends are both within 5 % of their middle.
    narrow: usize,
    /// The right goal first.
    first: usize,
    drift: usize,
    widths: Vec<f64>,
    times: Vec<f64>,
    trials: usize,
}

fn measure(case: &Case, seeds: std::ops::Range<u64>) -> Seen {
    let (low, high) = case.server.truth();
    let mut seen = Seen { truth: high, ..Seen::default() };
    for seed in seeds {
        let (answer, trials) = search(case, seed);
        seen.searches += 1;
        seen.trials += trials;
        let (holds, breaks) = (answer.holds.unwrap_or(0.0), answer.breaks.unwrap_or(f64::INFINITY));
        let is_inside = holds <= high && low <= breaks;
        if !is_inside && std::env::var_os("SEARCH_MISSES").is_some() {
            println!("    seed {seed}: {holds} to {breaks}, truth {low:.1}");
        }
        seen.inside += usize::from(is_inside);
        seen.first += usize::from(answer.first == case.first);
        seen.drift += usize::from(answer.drift.is_some());
        if let Some(estimate) = answer.estimate {
            seen.near += usize::from(estimate >= low * 0.95 && estimate <= high * 1.05);
        }
        if answer.holds.is_some() && answer.breaks.is_some() {
            seen.whole += 1;
            let width = breaks / holds - 1.0;
            seen.narrow += usize::from(width <= 0.1);
            seen.widths.push(width);
        }
        seen.times.push(answer.time_s);
        assert!(answer.time_s <= case.settings.time_s + 1e-6, "{}: {answer:?}", case.name);
    }
    seen.widths.sort_by(f64::total_cmp);
    seen.times.sort_by(f64::total_cmp);
    seen
}

fn show(case: &Case, seen: &Seen) {
    let part = |count: usize| 100.0 * count as f64 / seen.searches as f64;
    let middle = |all: &[f64]| all.get(all.len() / 2).copied().unwrap_or(f64::NAN);
    println!(
        "{:<28} truth {:>7.1}  inside {:>5.1} %  within 5 % {:>5.1} %  ±5 % wide {:>5.1} %  width {:>5.1} %  time {:>4.0} s  trials {:>4.1}  first {:>5.1} %  drift {:>4.1} %  open {}",
        case.name,
        seen.truth,
        part(seen.inside),
        part(seen.near),
        part(seen.narrow),
        100.0 * middle(&seen.widths),
        middle(&seen.times),
        seen.trials as f64 / seen.searches as f64,
        part(seen.first),
        part(seen.drift),
        seen.searches - seen.whole,
    );
}

/// 95 of 100, less what chance takes from so few.
fn least(searches: usize) -> f64 {
    let all = searches as f64;
    0.95 * all - 2.0 * (0.95 * 0.05 * all).sqrt()
}

/// A few of each in every run of the tests. `SEARCHES` and `SEEDS_FROM` make it thousands, and others:
/// `SEARCHES=1000 SEEDS_FROM=5000 cargo test --release -p tentpole-search --test coverage -- --nocapture`.
#[test]
fn the_truth_lies_inside_the_interval_and_the_right_goal_goes_first() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let searches = number("SEARCHES").unwrap_or(5);
    let from = number("SEEDS_FROM").unwrap_or(1);
    let (mut all, mut inside, mut near, mut first) = (0, 0, 0, 0);
    for case in cases() {
        if std::env::var("SEARCH_CASE").is_ok_and(|wanted| !case.name.contains(&wanted)) {
            continue;
        }
        let seen = measure(&case, from..from + searches);
        show(&case, &seen);
        (all, inside) = (all + seen.searches, inside + seen.inside);
        (near, first) = (near + seen.near, first + seen.first);
        // Enough of them tell of each server by itself.
        if seen.searches >= 100 {
            assert!(seen.inside as f64 >= least(seen.searches), "{}: {seen:?}", case.name);
            assert!(seen.near as f64 >= least(seen.searches), "{}: {seen:?}", case.name);
        }
    }
    assert!(inside as f64 >= least(all), "inside {inside} of {all}");
    assert!(near as f64 >= least(all), "within 5 % of the truth {near} of {all}");
    assert!(first * 10 >= all * 9, "the right goal first in {first} of {all}");
}

#[test]
fn what_holds_to_the_end_and_what_never_holds_are_said() {
    let full = |room: f64, from: f64, to: f64| {
        let settings = Settings::within(vec![ERRORS], from, to, true, TIME_S);
        Case { name: "full", server: Box::new(Full { room, under: 0.01 }), settings, first: Some(0) }
    };
    let (holds, _) = search(&full(1e6, 10.0, 500.0), 1);
    assert_eq!((holds.holds, holds.breaks, holds.why, holds.first), (Some(500.0), None, Why::Clear, None));
    let (never, _) = search(&full(0.1, 10.0, 500.0), 1);
    assert_eq!((never.holds, never.why, never.first), (None, Why::Below, Some(0)));
    let (one, _) = search(&full(3.5, 10.0, 500.0), 1);
    assert!(
        one.holds.is_some_and(|load| load <= 3.6) && one.breaks.is_some_and(|load| load >= 3.0),
        "{one:?}"
    );
}

#[test]
fn a_search_that_was_ended_early_says_what_it_knows() {
    let case = &cases()[0];
    let mut search = Search::new(case.settings.clone());
    assert_eq!(search.answer(Why::Stopped).leaning, (None, None));
    let mut draw = Draw::new(1);
    for _ in 0..6 {
        let Next::Try { load, time_s, .. } = search.next() else { panic!("it goes on") };
        let pages = case.server.pages(load, time_s, 0.0, &mut draw);
        search.tell(&Trial { load, time_s, pages });
    }
    let answer = search.answer(Why::Stopped);
    let (Some(low), Some(high)) = answer.leaning else { panic!("doubling has passed it: {answer:?}") };
    let (truth, _) = case.server.truth();
    assert!(low < truth && truth < high && high <= 2.0 * low, "{answer:?}");
}

#[test]
fn the_same_seed_finds_the_same() {
    let case = &cases()[6];
    assert_eq!(search(case, 3), search(case, 3));
}

#[test]
fn a_trial_of_nothing_ends_and_says_nothing() {
    let mut search = Search::new(Settings::within(vec![median(500.0), ERRORS], 10.0, 1_000.0, true, 10.0));
    let mut trials = 0;
    while let Next::Try { load, time_s, .. } = search.next() {
        search.tell(&Trial { load, time_s, pages: Vec::new() });
        trials += 1;
    }
    let answer = search.answer(Why::TimeIsUp);
    assert_eq!((answer.holds, answer.breaks, answer.first), (None, None, None));
    assert!(trials < 60, "{trials}");
}
