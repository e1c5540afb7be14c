//! Whole days of a fleet: what holds whatever the load, the instances and the noise are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod simulator;

use proptest::prelude::*;
use simulator::{Change, Fleet, Noise, Shape};
use std::time::Duration;
use tentpole_model::InstancePhase;
use tentpole_scale::{REST_MAX, Rules, Scaler, Seen, TOLERANCE};

const WARM_UP: u64 = 10;
const WINDOW: u64 = 60;
const HOUR: u64 = 3_600;

fn rules(min: u32, max: u32) -> Rules {
    Rules {
        min,
        max,
        cpu_target: 0.7,
        requests_target: None,
        scale_in_window: Duration::from_secs(WINDOW),
        warm_up: Duration::from_secs(WARM_UP),
    }
}

fn shape() -> impl Strategy<Value = Shape> {
    (0..20u64, 0.0..4.0f64, 1.0..4.0f64, 0..40u64).prop_map(|(start, burn, cap, drain)| Shape {
        start,
        burn,
        cap,
        drain,
    })
}

/// The directions in which the number went, each once.
fn turns(changes: &[Change]) -> Vec<bool> {
    let mut turns: Vec<bool> = changes.iter().map(|change| change.to > change.from).collect();
    turns.dedup();
    turns
}

fn phase() -> impl Strategy<Value = InstancePhase> {
    use InstancePhase::*;
    prop_oneof![
        1 => Just(Starting),
        1 => Just(WarmingUp),
        4 => Just(Serving),
        1 => Just(Draining),
        1 => Just(Stopping),
    ]
}

fn anything_seen() -> impl Strategy<Value = Seen> {
    (phase(), 0..30u64, prop::option::of(any::<f64>()), any::<f64>(), prop::bool::weighted(0.1)).prop_map(
        |(phase, ready, cpu_share, in_flight, set_aside)| Seen {
            phase,
            ready_for: Duration::from_secs(ready),
            cpu_share,
            in_flight,
            set_aside,
        },
    )
}

proptest! {
    #[test]
    fn whatever_is_seen_the_number_stays_within_its_bounds(
        min in 0..5u32,
        more in 0..8u32,
        there_are in 0..20u32,
        requests_target in prop::option::of(0.1..100.0f64),
        seconds in prop::collection::vec(prop::collection::vec(anything_seen(), 0..10), 1..200),
    ) {
        let rules = Rules { requests_target, ..rules(min, min + more) };
        let mut scaler = Scaler::new(rules, there_are);
        for (second, seen) in seconds.iter().enumerate() {
            let before = scaler.wanted();
            let decision = scaler.step(Duration::from_secs(second as u64), seen);
            prop_assert!((min.max(1)..=(min + more).max(1)).contains(&decision.wanted));
            prop_assert!(before == decision.wanted || decision.why.is_some(), "a change says why");
        }
    }

    #[test]
    fn a_steady_load_with_noise_of_20_percent_does_not_make_it_flap(
        load in 0.05..8.0f64, seed in any::<u64>(), noise in 0.0..0.2f64, shape in shape(), from in 1..12u32,
    ) {
        // It begins with any number of instances: what was there before the load became steady.
        let mut fleet = Fleet::new(rules(from, 12), shape);
        fleet.passes(0.0, Some);
        fleet.may_shrink_to(1);
        let mut random = Noise(seed);
        for _ in 0..3 * HOUR {
            fleet.passes(load * (1.0 + noise * random.next()), Some);
        }
        let turns = turns(&fleet.changes[1..]);
        prop_assert!(turns.len() <= 1, "{:?}", fleet.changes);
        let late = fleet.changes.iter().filter(|change| change.at > HOUR).count();
        prop_assert!(late <= 1, "{:?}", fleet.changes);
    }

    #[test]
    fn a_load_that_swings_slowly_by_10_percent_does_not_make_it_flap(
        load in 0.05..8.0f64, period in 10..3_600u64, shape in shape(),
    ) {
        let mut fleet = Fleet::new(rules(1, 12), shape);
        for second in 0..3 * HOUR {
            let wave = (second as f64 * std::f64::consts::TAU / period as f64).sin();
            fleet.passes(load * (1.0 + 0.1 * wave), Some);
        }
        let turns = turns(&fleet.changes);
        prop_assert!(turns.len() <= 1, "{:?}", fleet.changes);
    }

    #[test]
    fn what_starting_costs_and_instances_that_die_change_nothing(
        load in 0.0..1.2f64, shape in shape(), every in 31..400u64,
    ) {
        // Two carry it below the target, one alone would not carry it with room to spare.
        let load = load.max(0.57);
        let mut fleet = Fleet::new(rules(2, 12), Shape { cap: 9.0, ..shape });
        for second in 0..HOUR {
            fleet.passes(load, Some);
            if second % every == every - 1 {
                fleet.one_dies();
            }
        }
        prop_assert_eq!(fleet.changes.len(), 1, "only the beginning: {:?}", &fleet.changes);
    }

    #[test]
    fn missing_data_changes_nothing(load in 0.0..20.0f64, shape in shape(), min in 1..5u32) {
        let mut fleet = Fleet::new(rules(min, 12), shape);
        (0..HOUR).for_each(|_| fleet.passes(load, |_| None));
        prop_assert_eq!(fleet.changes.len(), 1, "only the beginning: {:?}", &fleet.changes);
    }

    #[test]
    fn data_that_is_missing_now_and_then_never_takes_an_instance_away(
        load in 0.0..8.0f64, seed in any::<u64>(), shape in shape(),
    ) {
        let mut fleet = Fleet::new(rules(6, 12), shape);
        fleet.passes(0.0, Some);
        fleet.may_shrink_to(1);
        let mut random = Noise(seed);
        // Of six instances, about one has no answer each second.
        for _ in 0..HOUR {
            fleet.passes(load, |share| (random.next() > -0.66).then_some(share));
        }
        prop_assert!(fleet.changes.iter().all(|change| change.to > change.from), "{:?}", fleet.changes);
    }

    #[test]
    fn a_load_that_rises_at_once_is_carried_within_a_bounded_time(
        load in 0.1..14.0f64, shape in shape(),
    ) {
        let mut fleet = Fleet::new(rules(1, 20), shape);
        (0..60).for_each(|_| fleet.passes(0.05, Some));
        let from = fleet.wanted();
        let exactly = load / 0.7;
        // Who is at his limit shows no more than that, so the number grows by 1 ÷ 0.7 a round at worst.
        let rounds = ((exactly / f64::from(from)).ln() / (1.0f64 / 0.7).ln()).ceil().max(1.0) as u64 + 1;
        let round = shape.start + WARM_UP + 5;
        (0..rounds * round).for_each(|_| fleet.passes(load, Some));
        let (least, most) = ((exactly / TOLERANCE - 1e-9).ceil(), (exactly - 1e-9).ceil());
        let wanted = f64::from(fleet.wanted());
        prop_assert!((least..=most).contains(&wanted), "{wanted} for {exactly}: {:?}", fleet.changes);
    }

    #[test]
    fn a_load_that_falls_lets_one_after_the_other_go_and_the_rest_always_carries_it(
        low in 0.05..3.0f64, seed in any::<u64>(), noise in 0.0..0.2f64, shape in shape(),
    ) {
        let mut fleet = Fleet::new(rules(8, 12), shape);
        fleet.passes(0.0, Some);
        fleet.may_shrink_to(1);
        let mut random = Noise(seed);
        // An instance that leaves is gone, and the window begins anew, before the next one.
        let each = WINDOW + shape.start + WARM_UP + shape.drain + 10;
        for _ in 0..12 * each {
            fleet.passes(low * (1.0 + noise * random.next()), Some);
        }
        for change in fleet.changes.iter().skip(1) {
            prop_assert_eq!(change.to + 1, change.from, "one at a time");
            prop_assert!(change.load / f64::from(change.to) <= 0.7, "the rest carries it: {change:?}");
        }
        let times: Vec<u64> = fleet.changes.iter().skip(1).map(|change| change.at).collect();
        prop_assert!(times.windows(2).all(|two| two[1] - two[0] >= WINDOW));
        // As few as the rule allows without noise; noise may keep some more.
        if noise < 0.01 {
            let fewest = (low * 1.01 / (0.7 * REST_MAX)).ceil().max(1.0) as u32;
            prop_assert!(fleet.wanted() <= fewest, "{} > {fewest}", fleet.wanted());
        }
    }
}

#[test]
fn a_day_with_two_peaks_costs_as_many_changes_as_the_load_has_steps() {
    let shape = Shape { start: 5, burn: 1.0, cap: 1.0, drain: 5 };
    let mut fleet = Fleet::new(rules(1, 8), shape);
    let mut random = Noise(1);
    for second in 0..24 * HOUR {
        let hour = second as f64 / HOUR as f64;
        let peak = |at: f64| 3.0 * (-(hour - at).powi(2) / 2.0).exp();
        fleet.passes((0.2 + peak(12.0) + peak(20.0)) * (1.0 + 0.1 * random.next()), Some);
    }
    let turns = turns(&fleet.changes);
    assert_eq!(turns, [true, false, true, false], "{:?}", fleet.changes);
    assert!(fleet.changes.len() <= 1 + 2 * 2 * 5, "{}", fleet.changes.len());
}
