//! What the figures mean: does an objective hold, where does it break, may the figures be believed. Pure; measures
//! nothing.

use crate::result::{BreakingPoint, Broke, Distrust, FailureCause, Objective, Objectives, StepResult};

/// Lateness of the generator itself, 99th percentile, that is always allowed, in µs.
const LAG_US_MAX: u64 = 1_000;
/// What lateness may be as a part of the lowest objective for load times: so little decides nothing.
const LAG_PART: f64 = 0.01;
/// Requests below which a 99th percentile is little more than the slowest one.
const REQUESTS_MIN: u64 = 100;
/// Requests below which a median is no more than a single load time.
const REQUESTS_OF_A_MEDIAN_MIN: u64 = 2;

/// What was seen of one step, as far as objectives ask for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Requests, well or badly ended.
    pub requests: u64,
    /// The failed ones.
    pub failed: u64,
    /// Median load time of the others, in ms.
    pub p50_ms: Option<f64>,
    /// Their 99th percentile, in ms.
    pub p99_ms: Option<f64>,
}

impl Default for Objectives {
    /// Median under 500 ms, p99 under 2 s, errors under 1 %.
    fn default() -> Self {
        Self { p50_ms: Some(500.0), p99_ms: Some(2_000.0), errors_share: Some(0.01) }
    }
}

/// The first objective that does not hold. Errors come first: where requests fail, the times of the rest flatter.
/// Where nothing succeeded, there is no load time, and no objective about one can hold.
pub fn broke(objectives: &Objectives, seen: &Seen) -> Option<Broke> {
    if seen.requests == 0 {
        return None;
    }
    let errors = seen.failed as f64 / seen.requests as f64;
    let over = |objective, seen: Option<f64>, wanted: Option<f64>| {
        let wanted = wanted?;
        let holds = seen.is_some_and(|seen| seen < wanted);
        (!holds).then_some(Broke { objective, seen, wanted })
    };
    // An objective of 0 errors holds when there are none.
    let errors_hold = objectives.errors_share.is_none_or(|wanted| errors < wanted || seen.failed == 0);
    if !errors_hold {
        return over(Objective::Errors, Some(errors), objectives.errors_share);
    }
    over(Objective::P50, seen.p50_ms, objectives.p50_ms)
        .or_else(|| over(Objective::P99, seen.p99_ms, objectives.p99_ms))
}

/// Where it breaks: the lowest load at which an objective did not hold. `None` also for whatever reason the figures are not to
/// be believed: then nobody knows whether it was the site that broke or the generator.
pub fn breaking_point(steps: &[StepResult], distrust: &[Distrust]) -> Option<BreakingPoint> {
    lowest_broken(steps).filter(|_| distrust.is_empty())
}

/// The lowest load at which an objective did not hold, whoever's fault that was.
pub fn lowest_broken(steps: &[StepResult]) -> Option<BreakingPoint> {
    let broken = steps.iter().filter_map(|step| Some(BreakingPoint { load: step.load, broke: step.broke? }));
    broken.min_by(|a, b| a.load.total_cmp(&b.load))
}

/// The highest load at which all objectives held, below the lowest at which one did not.
pub fn highest_held(steps: &[StepResult]) -> Option<f64> {
    let limit = lowest_broken(steps).map_or(f64::INFINITY, |point| point.load);
    let held = steps.iter().filter(|step| step.held && step.load < limit).map(|step| step.load);
    held.max_by(f64::total_cmp)
}

/// Lateness of the generator itself, 99th percentile, from which on its figures are not to be believed, in µs. Lateness counts in load
/// times, so a site can only look worse by it, and by no more than a hundredth of what is asked of it. Where no time is judged,
/// it is a hundredth of the usual 500 ms.
pub fn lag_us_max(objectives: &Objectives) -> u64 {
    let lowest = |of: &Objectives| [of.p50_ms, of.p99_ms].into_iter().flatten().min_by(f64::total_cmp);
    let lowest_ms = lowest(objectives).or(lowest(&Objectives::default())).unwrap_or(0.0);
    LAG_US_MAX.max((lowest_ms * 1_000.0 * LAG_PART) as u64)
}

/// Load times below which an objective's percentile says little; `None` for one about no percentile.
pub fn needed(objective: Objective) -> Option<u64> {
    match objective {
        Objective::P99 => Some(REQUESTS_MIN),
        Objective::P50 => Some(REQUESTS_OF_A_MEDIAN_MIN),
        Objective::Errors => None,
    }
}

/// Every reason for which the figures are not to be believed.
pub fn distrust(steps: &[StepResult], objectives: &Objectives) -> Vec<Distrust> {
    let wanted_us = lag_us_max(objectives);
    let mut reasons = Vec::new();
    let of = |cause: FailureCause| {
        let mut with = steps.iter().filter_map(|step| Some((step.number, *step.failures.get(&cause)?)));
        with.find(|(_, count)| *count > 0)
    };
    if let Some((step, count)) = of(FailureCause::GeneratorFull) {
        reasons.push(Distrust::GeneratorFull { step, count });
    }
    if let Some((step, count)) = of(FailureCause::NoPort) {
        reasons.push(Distrust::NoPort { step, count });
    }
    // Who has no port is late as well.
    let late = steps.iter().filter(|step| step.lag_p99_us > wanted_us).max_by_key(|step| step.lag_p99_us);
    if let Some(step) = late {
        let (step, lag_p99_us) = (step.number, step.lag_p99_us);
        reasons.push(Distrust::Lag { step, lag_p99_us, wanted_us });
    }
    // Only where it decided something.
    let by_tail = |step: &&StepResult| step.broke.is_some_and(|broke| broke.objective == Objective::P99);
    if let Some(step) = steps.iter().filter(by_tail).find(|step| step.requests < REQUESTS_MIN) {
        reasons.push(Distrust::FewRequests { step: step.number, requests: step.requests });
    }
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::Phase;
    use proptest::prelude::*;

    fn seen(requests: u64, failed: u64, p50: f64, p99: f64) -> Seen {
        Seen { requests, failed, p50_ms: Some(p50), p99_ms: Some(p99) }
    }

    fn step(number: u32, load: f64, broke: Option<Broke>) -> StepResult {
        StepResult {
            number,
            phase: Phase::Climb,
            load,
            began_s: 0.0,
            took_s: 10.0,
            requests: 1_000,
            failed: 0,
            failures: Default::default(),
            statuses: Default::default(),
            requests_per_s: 100.0,
            bytes: 0,
            response_time: None,
            service_time: None,
            reconnects: 0,
            connects: 0,
            connect_time: None,
            handshake_time: None,
            http2: 0,
            message_time: None,
            tags: Vec::new(),
            lag_p99_us: 100,
            generator_cpu_share: 0.1,
            journey_steps: Vec::new(),
            broke,
            held: broke.is_none(),
        }
    }

    const SLOW: Broke = Broke { objective: Objective::P99, seen: Some(2_400.0), wanted: 2_000.0 };

    #[test]
    fn each_objective_breaks_at_its_limit_and_errors_are_told_first() {
        let usual = Objectives::default();
        let told = |seen| broke(&usual, &seen).map(|broke| broke.objective);
        assert_eq!(told(seen(1_000, 9, 499.9, 1_999.0)), None);
        assert_eq!(told(seen(1_000, 0, 500.0, 1_000.0)), Some(Objective::P50));
        assert_eq!(told(seen(1_000, 0, 100.0, 2_000.0)), Some(Objective::P99));
        assert_eq!(told(seen(1_000, 10, 900.0, 9_000.0)), Some(Objective::Errors));
    }

    #[test]
    fn fast_failures_never_pass_for_good_load_times() {
        let all_failed = Seen { requests: 50, failed: 50, p50_ms: None, p99_ms: None };
        let broken = broke(&Objectives::default(), &all_failed).expect("nothing succeeded");
        assert_eq!((broken.objective, broken.seen), (Objective::Errors, Some(1.0)));
        let no_errors_objective = Objectives { errors_share: None, ..Objectives::default() };
        let broken = broke(&no_errors_objective, &all_failed).expect("there is no load time");
        assert_eq!((broken.objective, broken.seen), (Objective::P50, None));
    }

    #[test]
    fn an_objective_of_no_errors_holds_without_any() {
        let none = Objectives { errors_share: Some(0.0), ..Objectives::default() };
        assert_eq!(broke(&none, &seen(10, 0, 1.0, 1.0)), None);
        assert!(broke(&none, &seen(10, 1, 1.0, 1.0)).is_some());
    }

    #[test]
    fn it_breaks_at_the_lowest_load_that_broke_and_holds_below_it() {
        let steps = [
            step(1, 640.0, None),
            step(2, 1_280.0, Some(SLOW)),
            step(3, 960.0, Some(SLOW)),
            step(4, 1_120.0, None),
        ];
        assert_eq!(breaking_point(&steps, &[]).map(|point| point.load), Some(960.0));
        assert_eq!(highest_held(&steps), Some(640.0), "what held above the breaking point was luck");
        assert_eq!(highest_held(&steps[1..2]), None);
        assert_eq!(breaking_point(&steps[..1], &[]), None);
    }

    #[test]
    fn figures_that_are_not_believed_have_no_breaking_point() {
        let steps = [step(1, 640.0, None), step(2, 1_280.0, Some(SLOW))];
        let all = [
            Distrust::Lag { step: 1, lag_p99_us: 1_001, wanted_us: LAG_US_MAX },
            Distrust::GeneratorFull { step: 2, count: 1 },
            Distrust::NoPort { step: 2, count: 1 },
            Distrust::AgentLost { agent: "host1:9950".to_owned(), at_s: 3.0, because: "reset".to_owned() },
            Distrust::FewRequests { step: 2, requests: 99 },
        ];
        for why in all {
            assert_eq!(breaking_point(&steps, std::slice::from_ref(&why)), None, "{why:?}");
        }
        assert_eq!(breaking_point(&steps, &[]).map(|point| point.load), Some(1_280.0));
        assert_eq!(lowest_broken(&steps).map(|point| point.load), Some(1_280.0));
    }

    #[test]
    fn a_late_or_full_generator_and_a_tail_of_few_requests_are_not_believed() {
        let mut steps = vec![step(1, 10.0, None), step(2, 20.0, Some(SLOW))];
        let usual = Objectives::default();
        steps[0].lag_p99_us = 5_000;
        assert_eq!(distrust(&steps, &usual), [], "a hundredth of 500 ms");
        steps[0].lag_p99_us = 5_001;
        steps[1].failures.insert(FailureCause::GeneratorFull, 7);
        steps[1].failures.insert(FailureCause::NoPort, 3);
        steps[1].requests = 99;
        assert_eq!(
            distrust(&steps, &usual),
            [
                Distrust::GeneratorFull { step: 2, count: 7 },
                Distrust::NoPort { step: 2, count: 3 },
                Distrust::Lag { step: 1, lag_p99_us: 5_001, wanted_us: 5_000 },
                Distrust::FewRequests { step: 2, requests: 99 },
            ]
        );
    }

    #[test]
    fn a_generator_may_be_late_by_a_hundredth_of_what_is_asked() {
        let of = |p50_ms, p99_ms| lag_us_max(&Objectives { p50_ms, p99_ms, errors_share: None });
        assert_eq!(of(None, None), 5_000);
        assert_eq!((of(Some(20.0), Some(2_000.0)), of(None, Some(2_000.0))), (1_000, 20_000));
    }

    proptest! {
        #[test]
        fn worse_never_holds_where_better_broke(
            requests in 1_u64..10_000, failed in 0_u64..100, p50 in 0.0..1_000.0, p99 in 0.0..4_000.0, more in 1.0..100.0
        ) {
            let objectives = Objectives::default();
            let failed = failed.min(requests);
            let better = seen(requests, failed, p50, p99);
            let worse = seen(requests, (failed + 1).min(requests), p50 + more, p99 + more);
            if broke(&objectives, &better).is_some() {
                prop_assert!(broke(&objectives, &worse).is_some());
            }
        }
    }
}
