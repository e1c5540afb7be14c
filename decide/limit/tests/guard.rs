//! The guard before simulated crowds: what it does in a peak that nobody announced, and that it does nothing, or nothing that
//! anybody feels, where nobody is harmed. Each figure is printed; `--nocapture` shows them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod simulated;

use simulated::crowds::{Came, Kind, PATIENT, PERSON, World, run};
use tentpole_limit::Guard;

/// A shop that answers 40 a second, and knows a usual day before.
fn shop<'a>(comes: &'a dyn Fn(f64) -> Vec<(f64, Kind)>, seconds: f64) -> World<'a> {
    World { workers: 8, slower: &|_| 1.0, comes, there: Vec::new(), seconds, seed: 5 }
}

fn guarded(what: &str, world: &World<'_>) -> Came {
    let mut guard = Guard::default();
    let came = run(world, Some(&mut guard));
    let first = came.held.iter().position(|held| *held).map(|at| at as f64 / 10.0);
    let guards = came.limits.iter().zip(&came.held).position(|(limit, held)| limit.is_some() && !held);
    println!(
        "{what}: held from {first:?} for {:.1} s, guards from {:?} at {:?}, first ranks {:?}, others {:?}, waited outside at most {:.1} s, last limit {:?}",
        came.held_for(),
        guards.map(|at| at as f64 / 10.0),
        guards.and_then(|at| came.limits[at]),
        came.people[0],
        came.people[1],
        came.waited_most,
        came.limits.last().unwrap()
    );
    came
}

/// Nobody is refused, and nothing is in force in the end.
fn is_harmless(what: &str, world: &World<'_>) {
    let came = guarded(what, world);
    let free = run(world, None);
    let (all, without): (u32, u32) = (came.read.iter().sum(), free.read.iter().sum());
    println!("    {all} answers, {without} without a guard");
    assert!(!came.engaged() && came.refused() == 0, "{what}");
    assert!(f64::from(all) >= 0.97 * f64::from(without), "{what}: {all} of {without}");
}

const CHECKOUT: Kind = Kind { first: true, ..PERSON };

#[test]
fn in_a_peak_of_ten_times_what_it_carries_checkouts_go_through() {
    for usual in [5.0, 20.0] {
        let comes = |now: f64| match now {
            10.0..70.0 => vec![(16.0, CHECKOUT), (384.0, PERSON)],
            _ => vec![(usual * 0.4, CHECKOUT), (usual * 0.6, PERSON)],
        };
        let world = shop(&comes, 130.0);
        let came = guarded(&format!("ten times, usually {usual}"), &world);
        let free = run(&world, None);
        let (during, after) = (came.rate(20, 70), came.in_hand[700]);
        println!(
            "    checkouts {:.2} %, {during:.1} read a second, {after} in hand at the end; without {:.2} %, {:.1}, {}",
            100.0 * came.first_served(),
            100.0 * free.first_served(),
            free.rate(20, 70),
            free.in_hand[700]
        );
        assert!(came.first_served() >= 0.985, "{}", came.first_served());
        assert!(during >= 0.95 * 40.0, "{during}");
        assert!(after <= 80, "{after}");
        assert_eq!(came.limits.last().unwrap(), &None, "it is over");
    }
}

#[test]
fn who_waits_patiently_is_never_refused() {
    let crowd = |from: f64, rate: f64| {
        move |now: f64| match now {
            _ if now < from => vec![(10.0, PATIENT)],
            _ if now < from + 2.0 => vec![(10.0, PATIENT), (rate, Kind { again: true, ..PATIENT })],
            _ => vec![(10.0, PATIENT)],
        }
    };
    for rate in [20.0, 100.0, 400.0] {
        is_harmless(&format!("{rate} a second begin to ask without end"), &shop(&crowd(10.0, rate), 90.0));
        let mut wide = shop(&|_| Vec::new(), 60.0);
        wide.there = vec![(rate as usize, Kind { again: true, ..PATIENT })];
        is_harmless(&format!("{rate} ask without end from the first moment"), &wide);
    }
}

#[test]
fn a_burst_that_is_waited_for_is_served_whole() {
    let burst = |now: f64| match now {
        10.0..10.3 => vec![(1_000.0, PATIENT)],
        _ => vec![(10.0, PATIENT)],
    };
    is_harmless("a burst of 300 who wait", &shop(&burst, 60.0));
}

#[test]
fn long_polls_and_streams_are_never_throttled() {
    let poll = Kind { takes: 25.0, again: true, ..PATIENT };
    let comes = |now: f64| match now {
        10.0..11.0 | 40.0..40.2 => vec![(50.0, PERSON), (1_000.0, poll)],
        _ => vec![(50.0, PERSON)],
    };
    let wide = World { workers: 100_000, ..shop(&comes, 90.0) };
    let came = guarded("1,000 long polls in a second", &wide);
    assert!(came.limits.iter().all(Option::is_none) && came.refused() == 0);
    let stream = Kind { streams: 30.0, again: true, ..PATIENT };
    let comes = |now: f64| match now {
        10.0..11.0 | 40.0..40.2 => vec![(50.0, PERSON), (1_000.0, stream)],
        _ => vec![(50.0, PERSON)],
    };
    let wide = World { workers: 100_000, ..shop(&comes, 90.0) };
    let came = guarded("1,000 streams in a second", &wide);
    assert!(came.limits.iter().all(Option::is_none) && came.refused() == 0);
}

#[test]
fn what_becomes_slow_without_a_limit_of_its_own_is_left_alone() {
    let steady = |_: f64| vec![(200.0, PATIENT)];
    for factor in [5.0, 40.0] {
        let slower = move |now: f64| if (20.0..50.0).contains(&now) { factor } else { 1.0 };
        let world = World { workers: 100_000, slower: &slower, ..shop(&steady, 80.0) };
        is_harmless(&format!("{factor} times as slow, as many at once as come"), &world);
    }
    let reports = Kind { takes: 5.0, ..PATIENT };
    let mix =
        |now: f64| if now < 20.0 { vec![(50.0, PATIENT)] } else { vec![(50.0, PATIENT), (150.0, reports)] };
    let world = World { workers: 100_000, ..shop(&mix, 80.0) };
    is_harmless("slow reports among pages", &world);
    let peak = |now: f64| if now < 20.0 { vec![(50.0, PATIENT)] } else { vec![(1_000.0, PATIENT)] };
    let slower = |now: f64| if now < 20.0 { 1.0 } else { 10.0 };
    let world = World { workers: 100_000, slower: &slower, ..shop(&peak, 80.0) };
    is_harmless("twenty times as many, ten times as slow, as many at once as come", &world);
}

#[test]
fn a_pause_of_everything_is_no_reason() {
    // Stands still for two seconds of each twenty.
    let slower = |now: f64| if now % 20.0 < 2.0 { 10.0 } else { 1.0 };
    let steady = |_: f64| vec![(30.0, PATIENT)];
    is_harmless("pauses", &World { slower: &slower, ..shop(&steady, 120.0) });
}

#[test]
fn who_leaves_early_by_habit_is_no_reason() {
    // More than half of what is asked while somebody types is not waited for.
    let typing = Kind { patience: 0.15, ..PERSON };
    let comes = |_: f64| vec![(15.0, PATIENT), (6.0, typing)];
    is_harmless("half leave at once", &shop(&comes, 120.0));
}
