//! Tests of the decision: by example, and for any sequence of observations.

use super::*;
use proptest::prelude::*;

/// Without bounds on how many are out: those have tests of their own.
const UNBOUNDED: Outliers = Outliers {
    errors_max: None,
    errors_percent: Some(50),
    latency_factor: Some(5),
    interval: Duration::from_secs(10),
    requests_min: 50,
    eject_percent: 100,
    panic_percent: 0,
    out_min: Duration::from_secs(1),
    out_max: Duration::from_secs(30),
};
const PROBED: Rules =
    Rules { healthy_after: 2, unhealthy_after: Some(3), failures_max: 5, outliers: UNBOUNDED, slots: false };
const COUNTED: Rules = Rules { healthy_after: 1, unhealthy_after: None, ..PROBED };
const ERRORS: Option<Odd> = Some(Odd::Errors { percent: 80, others: 1 });
const SLOW: Option<Odd> =
    Some(Odd::Slow { p50: Duration::from_millis(840), others: Duration::from_millis(35) });

fn at(seconds: u64) -> Instant {
    Instant::from_micros(seconds * 1_000_000)
}

fn judge(rules: Rules, endpoints: usize) -> Judge {
    let mut judge = Judge::new(rules, endpoints);
    (0..endpoints).for_each(|endpoint| judge.resolved(endpoint, true));
    judge
}

/// One letter an endpoint: `U`p, `D`own, `L`ast one.
fn said(judge: &mut Judge, weights: &[u32]) -> String {
    let letter = |health: &Health| match health {
        Health::Up => 'U',
        Health::Down(_) => 'D',
        Health::LastOne(_) => 'L',
    };
    judge.verdict(weights).iter().map(letter).collect()
}

#[test]
fn bad_probes_in_a_row_take_an_endpoint_out_and_good_ones_bring_it_back() {
    let mut judge = judge(PROBED, 2);
    for good in [false, false, true, false, false] {
        judge.probed(0, at(1), good);
    }
    assert_eq!(said(&mut judge, &[1, 1]), "UU", "never three in a row");
    judge.probed(0, at(2), false);
    assert_eq!(judge.verdict(&[1, 1])[0], Health::Down(DownReason::Probe));
    judge.probed(0, at(3), true);
    judge.probed(0, at(4), false);
    judge.probed(0, at(5), true);
    assert_eq!(said(&mut judge, &[1, 1]), "DU", "never two in a row");
    judge.probed(0, at(6), true);
    assert_eq!(said(&mut judge, &[1, 1]), "UU");
}

#[test]
fn when_nobody_would_be_left_all_stay_until_one_is_back() {
    let mut judge = judge(PROBED, 3);
    for endpoint in 0..3 {
        for second in 0..3 {
            judge.probed(endpoint, at(second), false);
        }
    }
    assert_eq!(said(&mut judge, &[1, 1, 1]), "LLL");
    judge.probed(1, at(4), true);
    judge.probed(1, at(5), true);
    assert_eq!(said(&mut judge, &[1, 1, 1]), "DUD");
}

#[test]
fn a_drained_endpoint_does_not_count_as_one_that_is_left() {
    let mut judge = judge(COUNTED, 2);
    judge.failed(1, at(1), 5);
    assert_eq!(said(&mut judge, &[1, 1]), "UD");
    assert_eq!(said(&mut judge, &[0, 1]), "UL");
    judge.failed(0, at(1), 5);
    assert_eq!(said(&mut judge, &[0, 1]), "DL", "a drained one is not called back");
    assert_eq!(said(&mut judge, &[0, 0]), "LL", "nor does it matter when all are drained");
}

#[test]
fn an_endpoint_without_an_address_stays_only_when_no_other_can() {
    let mut judge = judge(COUNTED, 2);
    judge.resolved(0, false);
    assert_eq!(said(&mut judge, &[1, 1]), "DU");
    judge.failed(1, at(1), 5);
    assert_eq!(judge.verdict(&[1, 1])[0], Health::Down(DownReason::NoAddress));
    assert_eq!(said(&mut judge, &[1, 1]), "DL");
    judge.resolved(1, false);
    assert_eq!(said(&mut judge, &[1, 1]), "LL");
}

#[test]
fn a_slot_without_an_instance_never_stays_and_those_with_one_do_together() {
    let mut judge = judge(Rules { slots: true, ..COUNTED }, 3);
    judge.resolved(2, false);
    assert_eq!(said(&mut judge, &[1, 1, 1]), "UUD");
    judge.failed(0, at(1), 5);
    judge.failed(1, at(1), 5);
    assert_eq!(said(&mut judge, &[1, 1, 1]), "LLD");
    (0..3).for_each(|slot| judge.resolved(slot, false));
    assert_eq!(said(&mut judge, &[1, 1, 1]), "DDD", "nobody is there");
}

#[test]
fn whoever_stands_at_a_new_address_is_judged_anew() {
    let mut judge = judge(PROBED, 2);
    (0..3).for_each(|second| _ = judge.probed(0, at(second), false));
    judge.failed(0, at(3), 7);
    assert_eq!(said(&mut judge, &[1, 1]), "DU");
    judge.replaced(0, true);
    assert_eq!((said(&mut judge, &[1, 1]), judge.bad_probes(0)), ("UU".to_owned(), 0));
    judge.failed(0, at(4), 7);
    judge.failed(0, at(5), 11);
    assert_eq!(said(&mut judge, &[1, 1]), "UU", "7 of them were another's");
    judge.failed(0, at(6), 12);
    assert_eq!(said(&mut judge, &[1, 1]), "DU");
}

#[test]
fn failures_of_an_instance_that_is_gone_do_not_reach_the_next_one() {
    let mut judge = judge(COUNTED, 2);
    judge.replaced(0, false);
    judge.failed(0, at(1), 9);
    judge.replaced(0, true);
    judge.failed(0, at(2), 9);
    assert_eq!(said(&mut judge, &[1, 1]), "UU");
}

#[test]
fn failures_from_before_an_endpoint_came_back_do_not_take_it_out_again() {
    let mut judge = judge(COUNTED, 2);
    judge.failed(0, at(1), 5);
    assert!(judge.probed(0, at(2), true));
    judge.failed(0, at(3), 5);
    assert_eq!(said(&mut judge, &[1, 1]), "UU", "the edge still says 5, for nobody asked since");
    judge.failed(0, at(4), 0);
    judge.failed(0, at(5), 4);
    assert_eq!(said(&mut judge, &[1, 1]), "UU");
    judge.failed(0, at(6), 5);
    assert_eq!(said(&mut judge, &[1, 1]), "DU");
}

#[test]
fn a_judge_that_was_started_again_puts_nobody_back_unasked() {
    let mut judge = judge(PROBED, 3);
    judge.restored(0, at(100), Health::Down(DownReason::Probe));
    judge.restored(1, at(100), Health::Down(DownReason::Failures));
    judge.restored(2, at(100), Health::Up);
    assert_eq!(said(&mut judge, &[1, 1, 1]), "DDU");
    judge.failed(2, at(100), 50);
    judge.failed(2, at(102), 50);
    assert_eq!(said(&mut judge, &[1, 1, 1]), "DDU", "50 were there before it began");
    for endpoint in [0, 1] {
        judge.probed(endpoint, at(102), true);
        judge.probed(endpoint, at(103), true);
    }
    assert_eq!(said(&mut judge, &[1, 1, 1]), "UUU");
}

#[test]
fn failures_take_an_endpoint_out_for_longer_each_time_it_goes_again() {
    let mut judge = judge(COUNTED, 2);
    let mut now = 100;
    for out in [1, 2, 4, 8, 16, 30, 30] {
        judge.failed(0, at(now), 4);
        assert_eq!(said(&mut judge, &[1, 1]), "UU");
        judge.failed(0, at(now), 5);
        assert_eq!(said(&mut judge, &[1, 1]), "DU");
        assert!(judge.is_out_by_requests(0));
        assert!(!judge.probed(0, at(now + out - 1), true), "too early");
        assert_eq!(said(&mut judge, &[1, 1]), "DU");
        assert!(judge.probed(0, at(now + out), true));
        assert_eq!(said(&mut judge, &[1, 1]), "UU");
        now += out + 1;
    }
    now += FORGIVEN_AFTER.as_secs();
    judge.failed(0, at(now), 0);
    judge.failed(0, at(now), 5);
    assert!(judge.probed(0, at(now + 1), true), "forgiven");
}

#[test]
fn a_request_that_succeeds_at_the_last_one_brings_it_back() {
    let mut judge = judge(COUNTED, 1);
    judge.failed(0, at(1), 7);
    assert_eq!(said(&mut judge, &[1]), "L");
    judge.failed(0, at(1), 0);
    assert_eq!(said(&mut judge, &[1]), "U");
}

#[test]
fn a_success_that_was_under_way_does_not_bring_back_what_is_out() {
    let mut judge = judge(COUNTED, 2);
    judge.failed(0, at(1), 5);
    assert_eq!(said(&mut judge, &[1, 1]), "DU");
    judge.failed(0, at(2), 0);
    assert_eq!(said(&mut judge, &[1, 1]), "DU");
}

#[test]
fn errors_in_a_row_take_an_endpoint_out_only_where_that_is_wished() {
    let mut counted = judge(COUNTED, 2);
    counted.errored(0, at(1), 1_000);
    assert_eq!(said(&mut counted, &[1, 1]), "UU");
    let mut judge = judge(Rules { outliers: Outliers { errors_max: Some(10), ..UNBOUNDED }, ..COUNTED }, 2);
    judge.errored(0, at(1), 9);
    assert_eq!(said(&mut judge, &[1, 1]), "UU");
    judge.errored(0, at(1), 10);
    assert_eq!(judge.verdict(&[1, 1])[0], Health::Down(DownReason::Errors));
    judge.compared(0, at(2), None);
    assert_eq!(said(&mut judge, &[1, 1]), "DU", "a comparison says nothing of who is out");
    assert!(judge.probed(0, at(2), true));
    judge.errored(0, at(3), 10);
    assert_eq!(said(&mut judge, &[1, 1]), "UU", "those were from before it came back");
}

#[test]
fn who_differs_goes_out_and_comes_back_by_a_probe_after_its_time() {
    for (odd, reason) in [(ERRORS, DownReason::Errors), (SLOW, DownReason::Slow)] {
        let mut judge = judge(COUNTED, 2);
        judge.compared(0, at(1), odd);
        assert_eq!(judge.verdict(&[1, 1])[0], Health::Down(reason));
        assert_eq!(judge.out_until(0), Some(at(2)));
        judge.compared(0, at(1), None);
        assert!(!judge.probed(0, at(1), true), "too early");
        assert!(judge.probed(0, at(2), true));
        assert_eq!(said(&mut judge, &[1, 1]), "UU");
    }
}

#[test]
fn who_stays_although_it_differs_is_up_again_when_it_does_no_more() {
    let mut judge = judge(COUNTED, 1);
    judge.compared(0, at(1), SLOW);
    assert_eq!(said(&mut judge, &[1]), "L");
    judge.compared(0, at(1), SLOW);
    assert_eq!(said(&mut judge, &[1]), "L");
    judge.compared(0, at(1), None);
    assert_eq!(said(&mut judge, &[1]), "U");
}

#[test]
fn of_those_that_answer_a_bounded_share_is_out_and_who_came_first_stays_out() {
    let bounded = Outliers { eject_percent: 40, ..UNBOUNDED };
    let mut judge = judge(Rules { outliers: bounded, ..COUNTED }, 5);
    judge.compared(3, at(1), SLOW);
    judge.compared(1, at(2), ERRORS);
    judge.compared(0, at(3), ERRORS);
    assert_eq!(said(&mut judge, &[1; 5]), "LDUDU");
    assert!(judge.probed(3, at(9), true));
    assert_eq!(said(&mut judge, &[1; 5]), "DDUUU");
    let mut two = self::judge(Rules { outliers: Outliers { eject_percent: 1, ..UNBOUNDED }, ..COUNTED }, 3);
    two.compared(0, at(1), SLOW);
    assert_eq!(said(&mut two, &[1; 3]), "DUU", "one always may");
}

#[test]
fn when_too_few_are_well_all_that_can_be_reached_are_called_back() {
    let anxious = Outliers { panic_percent: 50, ..UNBOUNDED };
    let mut judge = judge(Rules { outliers: anxious, ..PROBED }, 5);
    let fails =
        |judge: &mut Judge, endpoint| (0..3).for_each(|at_s| _ = judge.probed(endpoint, at(at_s), false));
    fails(&mut judge, 0);
    fails(&mut judge, 1);
    assert_eq!(said(&mut judge, &[1; 5]), "DDUUU");
    judge.reached(1, false);
    judge.failed(2, at(5), 5);
    assert_eq!(said(&mut judge, &[1; 5]), "LDLUU", "nobody takes a connection at the second");
    assert_eq!(said(&mut judge, &[1, 1, 1, 0, 1]), "LDLUU", "a drained one is not counted");
    assert_eq!(said(&mut judge, &[0, 0, 0, 1, 1]), "DDDUU", "and not called back");
    judge.reached(1, true);
    assert_eq!(said(&mut judge, &[1; 5]), "LLLUU");
    assert!(judge.probed(2, at(9), true) || judge.probed(2, at(9), true));
    assert_eq!(said(&mut judge, &[1; 5]), "DDUUU");
}

#[test]
fn of_three_by_default_two_may_be_out() {
    let mut judge = judge(Rules { outliers: Outliers::default(), ..COUNTED }, 3);
    judge.failed(0, at(1), 5);
    judge.failed(1, at(1), 5);
    assert_eq!(said(&mut judge, &[1; 3]), "DDU");
}

/// One thing that was observed, some time after the one before.
#[derive(Clone, Debug)]
enum Seen {
    Probe(usize, bool),
    Failures(usize, u32),
    Errors(usize, u32),
    Differs(usize, Option<Odd>),
    Reached(usize, bool),
    Resolved(usize, bool),
    Weight(usize, u32),
}

fn seen(endpoints: usize) -> impl Strategy<Value = (u64, Seen)> {
    let what = prop_oneof![
        4 => (0..endpoints, any::<bool>()).prop_map(|(endpoint, good)| Seen::Probe(endpoint, good)),
        4 => (0..endpoints, 0..8u32).prop_map(|(endpoint, count)| Seen::Failures(endpoint, count)),
        1 => (0..endpoints, 0..8u32).prop_map(|(endpoint, count)| Seen::Errors(endpoint, count)),
        2 => (0..endpoints, prop::sample::select(vec![None, ERRORS, SLOW]))
            .prop_map(|(endpoint, odd)| Seen::Differs(endpoint, odd)),
        1 => (0..endpoints, any::<bool>()).prop_map(|(endpoint, reached)| Seen::Reached(endpoint, reached)),
        1 => (0..endpoints, any::<bool>()).prop_map(|(endpoint, has)| Seen::Resolved(endpoint, has)),
        1 => (0..endpoints, 0..3u32).prop_map(|(endpoint, weight)| Seen::Weight(endpoint, weight)),
    ];
    (0..2_000_000u64, what)
}

fn rules() -> impl Strategy<Value = Rules> {
    let outliers = (prop::option::of(1..6u32), 0..=100u32, 0..=100u32).prop_map(
        |(errors_max, eject_percent, panic_percent)| Outliers {
            errors_max,
            eject_percent,
            panic_percent,
            ..UNBOUNDED
        },
    );
    (1..4u32, prop::option::of(1..4u32), 1..6u32, outliers).prop_map(
        |(healthy_after, unhealthy_after, failures_max, outliers)| Rules {
            healthy_after,
            unhealthy_after,
            failures_max,
            outliers,
            slots: false,
        },
    )
}

/// Lets a judge see it, and whoever turns weights turn them.
fn observe(judge: &mut Judge, weights: &mut [u32], now: Instant, what: Seen) {
    match what {
        Seen::Probe(endpoint, good) => _ = judge.probed(endpoint, now, good),
        Seen::Failures(endpoint, count) => judge.failed(endpoint, now, count),
        Seen::Errors(endpoint, count) => judge.errored(endpoint, now, count),
        Seen::Differs(endpoint, odd) => judge.compared(endpoint, now, odd),
        Seen::Reached(endpoint, reached) => judge.reached(endpoint, reached),
        Seen::Resolved(endpoint, has) => judge.resolved(endpoint, has),
        Seen::Weight(endpoint, weight) => weights[endpoint] = weight,
    }
}

proptest! {
    #[test]
    fn somebody_always_takes_traffic(
        rules in rules(),
        (endpoints, history) in
            (1..5usize).prop_flat_map(|n| (Just(n), prop::collection::vec(seen(n), 0..300))),
    ) {
        let mut judge = Judge::new(rules, endpoints);
        let mut weights = vec![1; endpoints];
        let mut now = 0;
        for (later, what) in history {
            now += later;
            observe(&mut judge, &mut weights, Instant::from_micros(now), what);
            let verdict = judge.verdict(&weights);
            let all_drained = weights.iter().all(|&weight| weight == 0);
            let serves = |endpoint: usize| all_drained || weights[endpoint] > 0;
            prop_assert!((0..endpoints).any(|e| serves(e) && verdict[e].takes_traffic()), "{verdict:?} {weights:?}");
            let up = (0..endpoints).any(|e| serves(e) && verdict[e] == Health::Up);
            let last = verdict.iter().any(|health| matches!(health, Health::LastOne(_)));
            let bounded = rules.outliers.eject_percent < 100 || rules.outliers.panic_percent > 0;
            prop_assert!(bounded || !(up && last), "fails open only when nobody is left: {verdict:?}");
        }
    }

    #[test]
    fn no_more_than_the_share_is_out_of_those_that_answer(
        rules in rules(),
        (endpoints, history) in
            (1..9usize).prop_flat_map(|n| (Just(n), prop::collection::vec(seen(n), 0..300))),
    ) {
        let mut judge = judge(rules, endpoints);
        let mut weights = vec![1; endpoints];
        let mut unreachable = vec![false; endpoints];
        let mut now = 0;
        for (later, what) in history {
            now += later;
            match what {
                Seen::Reached(endpoint, reached) => unreachable[endpoint] = !reached,
                Seen::Resolved(..) | Seen::Weight(..) => continue,
                _ => {}
            }
            observe(&mut judge, &mut weights, Instant::from_micros(now), what);
            let verdict = judge.verdict(&weights);
            let out_although = |because: &[DownReason]| {
                let out = |e: &usize| matches!(verdict[*e], Health::Down(it) if because.contains(&it));
                (0..endpoints).filter(|e| !unreachable[*e]).filter(out).count()
            };
            let answering = out_although(&[DownReason::Errors, DownReason::Slow]);
            let most = (endpoints * rules.outliers.eject_percent as usize / 100).max(1);
            prop_assert!(answering <= most, "{answering} of {endpoints} out: {verdict:?}");
            let well = verdict.iter().filter(|health| **health == Health::Up).count();
            let panics = well * 100 < rules.outliers.panic_percent as usize * endpoints;
            prop_assert!(!panics || out_although(&DownReason::ALL) == 0, "{well} of {endpoints} are well: {verdict:?}");
        }
    }

    #[test]
    fn requests_make_an_endpoint_flap_a_bounded_number_of_times(
        history in prop::collection::vec(seen(1), 100..600),
    ) {
        let mut judge = judge(COUNTED, 2);
        let (mut now, mut outs, mut was_out) = (0, 0, false);
        for (later, what) in history {
            now += later;
            let instant = Instant::from_micros(now);
            if !matches!(what, Seen::Resolved(..) | Seen::Weight(..)) {
                observe(&mut judge, &mut [1], instant, what);
            }
            let out = !judge.verdict(&[1, 1])[0].takes_traffic();
            outs += u64::from(out && !was_out);
            was_out = out;
        }
        // The worst: 1 + 2 + 4 + 8 + 16 s out, then half a minute each time; a minute in traffic begins anew.
        prop_assert!(outs <= 6 + now / 1_000_000 / 15, "{outs} times in {} s", now / 1_000_000);
    }

    #[test]
    fn probes_make_an_endpoint_flap_no_faster_than_rise_and_fall_allow(
        rules in rules(),
        probes in prop::collection::vec(any::<bool>(), 0..500),
    ) {
        let mut judge = judge(rules, 2);
        let (mut changes, mut was) = (0, true);
        for (n, &good) in probes.iter().enumerate() {
            judge.probed(0, at(n as u64), good);
            let is = judge.verdict(&[1, 1])[0].takes_traffic();
            changes += usize::from(is != was);
            was = is;
        }
        let cycle = (rules.healthy_after + rules.unhealthy_after.unwrap_or(u32::MAX / 2)) as usize;
        prop_assert!(changes <= 2 * (probes.len() / cycle) + 1);
    }
}
