//! What is decided, one observation at a time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::time::Duration;
use tentpole_model::InstancePhase;
use tentpole_scale::{AVERAGED, Decision, Rules, Scaler, Seen, Why};

const WINDOW: u64 = 60;

fn rules() -> Rules {
    Rules {
        min: 1,
        max: 4,
        cpu_target: 0.7,
        requests_target: None,
        scale_in_window: Duration::from_secs(WINDOW),
        warm_up: Duration::from_secs(10),
    }
}

fn serving(cpu_share: f64) -> Seen {
    Seen {
        phase: InstancePhase::Serving,
        ready_for: Duration::from_secs(3_600),
        cpu_share: Some(cpu_share),
        in_flight: 0.0,
        set_aside: false,
    }
}

fn in_phase(phase: InstancePhase, cpu_share: f64) -> Seen {
    Seen { phase, ready_for: Duration::ZERO, ..serving(cpu_share) }
}

/// Seconds pass, each with the same observation; the first decision that says something, and when.
fn within(scaler: &mut Scaler, seconds: u64, seen: &[Seen]) -> Option<(u64, Decision)> {
    (1..=seconds)
        .map(|second| (second, scaler.step(Duration::from_secs(second), seen)))
        .find(|(_, decision)| decision.why.is_some())
}

fn wanted_within(scaler: &mut Scaler, seconds: u64, seen: &[Seen]) -> Option<(u64, u32)> {
    within(scaler, seconds, seen).map(|(second, decision)| (second, decision.wanted))
}

#[test]
fn it_begins_with_min_and_says_why() {
    let mut scaler = Scaler::new(Rules { min: 2, ..rules() }, 0);
    let decision = scaler.step(Duration::ZERO, &[]);
    assert_eq!((decision.wanted, decision.why.unwrap().to_string().as_str()), (2, "the minimum is 2"));
    assert_eq!(scaler.step(Duration::ZERO, &[]), Decision { wanted: 2, why: None });
}

#[test]
fn more_than_max_leave_at_once() {
    let mut scaler = Scaler::new(rules(), 9);
    assert_eq!(scaler.step(Duration::ZERO, &[]).wanted, 4);
}

#[test]
fn above_the_target_it_grows_after_three_observations() {
    let mut scaler = Scaler::new(rules(), 2);
    let (second, decision) = within(&mut scaler, 10, &[serving(0.85), serving(0.81)]).unwrap();
    assert_eq!((second, decision.wanted), (3, 3));
    assert_eq!(decision.why.unwrap().to_string(), "CPU 83 % of what 2 instances are given, held at 70 %");
}

#[test]
fn far_above_it_grows_after_two() {
    let mut scaler = Scaler::new(rules(), 2);
    assert_eq!(wanted_within(&mut scaler, 10, &[serving(1.0), serving(1.0)]), Some((2, 3)));
}

#[test]
fn an_observation_in_between_that_is_not_above_begins_anew() {
    let mut scaler = Scaler::new(rules(), 1);
    for second in 0..100 {
        let share = if second % 3 == 2 { 0.7 } else { 0.9 };
        assert_eq!(scaler.step(Duration::from_secs(second), &[serving(share)]).why, None);
    }
}

#[test]
fn the_smallest_number_of_those_that_were_asked_for_is_taken() {
    let mut scaler = Scaler::new(Rules { max: 100, ..rules() }, 1);
    for (second, share) in [(1, 0.8), (2, 9.0)] {
        assert_eq!(scaler.step(Duration::from_secs(second), &[serving(share)]).why, None);
    }
    assert_eq!(scaler.step(Duration::from_secs(3), &[serving(1.8)]).wanted, 3, "far above twice: 13 and 3");
}

#[test]
fn a_tenth_above_the_target_is_near_enough() {
    let mut scaler = Scaler::new(rules(), 2);
    assert_eq!(within(&mut scaler, 1_000, &[serving(0.77), serving(0.77)]), None);
}

#[test]
fn the_load_of_instances_that_are_starting_is_not_started_for_twice() {
    let mut scaler = Scaler::new(rules(), 1);
    let before = [serving(1.2)];
    assert_eq!(wanted_within(&mut scaler, 10, &before), Some((2, 2)));
    for phase in [InstancePhase::Starting, InstancePhase::WarmingUp] {
        let seen = [serving(1.2), in_phase(phase, 1.0)];
        assert_eq!(within(&mut scaler, 1_000, &seen), None, "{phase}");
    }
}

#[test]
fn an_instance_that_died_leaves_its_load_to_the_others_and_that_is_no_growth() {
    let mut scaler = Scaler::new(rules(), 2);
    assert_eq!(within(&mut scaler, 1_000, &[serving(1.4)]), None);
}

#[test]
fn what_starting_costs_is_no_load() {
    let mut scaler = Scaler::new(rules(), 1);
    let young = Seen { ready_for: Duration::from_secs(9), ..serving(3.0) };
    for seen in [in_phase(InstancePhase::Starting, 9.0), in_phase(InstancePhase::WarmingUp, 9.0), young] {
        assert_eq!(within(&mut scaler, 1_000, &[seen]), None, "{seen:?}");
    }
}

#[test]
fn nobody_knows_is_neither_much_nor_little() {
    let mut scaler = Scaler::new(rules(), 2);
    let unknown = Seen { cpu_share: None, ..serving(0.0) };
    let nonsense = [f64::NAN, f64::INFINITY, -1.0].map(serving);
    assert_eq!(within(&mut scaler, 1_000, &[unknown, unknown]), None);
    assert_eq!(within(&mut scaler, 1_000, &[serving(0.0), unknown]), None);
    assert_eq!(within(&mut scaler, 1_000, &nonsense), None);
}

#[test]
fn s3_2_of_two_at_60_percent_none_is_taken_away() {
    let mut scaler = Scaler::new(rules(), 2);
    assert_eq!(within(&mut scaler, 3_600, &[serving(0.6), serving(0.6)]), None);
    assert_eq!(
        within(&mut scaler, 3_600, &[serving(0.29), serving(0.29)]),
        None,
        "58 % for the rest is too near"
    );
}

#[test]
fn one_is_taken_away_when_the_rest_could_carry_it_for_the_whole_window() {
    let mut scaler = Scaler::new(rules(), 3);
    let (second, decision) = within(&mut scaler, 3_600, &[serving(0.2), serving(0.2), serving(0.2)]).unwrap();
    assert_eq!((second, decision.wanted), (AVERAGED as u64 + WINDOW, 2), "one at a time");
    assert_eq!(
        decision.why.unwrap().to_string(),
        "for 60 s one less would have meant CPU 30 % at most, held at 70 %"
    );
}

#[test]
fn a_burst_within_the_window_begins_it_anew() {
    let mut scaler = Scaler::new(rules(), 2);
    for second in 0..3_600 {
        let share = if second % 50 < 6 { 0.5 } else { 0.05 };
        let decision = scaler.step(Duration::from_secs(second), &[serving(share), serving(share)]);
        assert_eq!(decision.why, None, "at {second} s");
    }
}

#[test]
fn nobody_leaves_while_another_starts_or_leaves() {
    for phase in
        [InstancePhase::Starting, InstancePhase::WarmingUp, InstancePhase::Draining, InstancePhase::Stopping]
    {
        let mut scaler = Scaler::new(rules(), 3);
        let seen = [serving(0.0), serving(0.0), in_phase(phase, 0.0)];
        assert_eq!(within(&mut scaler, 3_600, &seen), None, "{phase}");
        let and_all_there = [serving(0.0), serving(0.0), serving(0.0), in_phase(phase, 0.0)];
        assert_eq!(within(&mut scaler, 3_600, &and_all_there), None, "{phase}");
    }
}

#[test]
fn it_never_shrinks_below_min() {
    let mut scaler = Scaler::new(Rules { min: 2, ..rules() }, 2);
    assert_eq!(within(&mut scaler, 3_600, &[serving(0.0), serving(0.0)]), None);
}

#[test]
fn requests_in_flight_count_where_the_cpu_shows_nothing() {
    let mut scaler = Scaler::new(Rules { requests_target: Some(10.0), ..rules() }, 2);
    let busy = Seen { in_flight: 16.0, ..serving(0.05) };
    let (second, decision) = within(&mut scaler, 10, &[busy, busy]).unwrap();
    assert_eq!((second, decision.wanted), (2, 4));
    assert_eq!(
        decision.why.unwrap().to_string(),
        "16.0 requests in flight for each of 2 instances, held at 10"
    );
    let mut scaler = Scaler::new(Rules { requests_target: Some(10.0), ..rules() }, 2);
    let waiting = Seen { in_flight: 4.5, ..serving(0.01) };
    assert_eq!(within(&mut scaler, 3_600, &[waiting, waiting]), None, "9 for the rest is too near");
    let mut scaler = Scaler::new(Rules { requests_target: Some(10.0), ..rules() }, 2);
    let idle = Seen { in_flight: 3.5, ..serving(0.01) };
    let (_, decision) = within(&mut scaler, 3_600, &[idle, idle]).unwrap();
    assert!(decision.why.unwrap().to_string().ends_with("and 7.0 requests in flight for each, held at 10"));
}

#[test]
fn at_max_it_says_once_that_more_are_needed_and_again_after_it_was_enough() {
    let mut scaler = Scaler::new(Rules { max: 2, ..rules() }, 2);
    let much = [serving(1.0), serving(1.0)];
    let (_, decision) = within(&mut scaler, 10, &much).unwrap();
    assert_eq!(decision.wanted, 2);
    assert_eq!(
        decision.why.unwrap().to_string(),
        "CPU 100 % of what 2 instances are given, held at 70 %; more than 2 are not allowed"
    );
    assert_eq!(within(&mut scaler, 1_000, &much), None);
    assert_eq!(within(&mut scaler, 10, &[serving(0.5), serving(0.5)]), None);
    assert!(matches!(within(&mut scaler, 10, &much).unwrap().1.why, Some(Why::AtMax { max: 2, .. })));
}

#[test]
fn an_instance_that_a_person_set_aside_is_made_up_for() {
    let mut scaler = Scaler::new(rules(), 2);
    let aside = Seen { set_aside: true, ..serving(0.0) };
    assert_eq!(wanted_within(&mut scaler, 10, &[serving(0.9), aside]), Some((3, 3)));
    let mut scaler = Scaler::new(rules(), 2);
    assert_eq!(within(&mut scaler, 3_600, &[serving(0.1), aside]), None, "nor does anybody leave meanwhile");
}
