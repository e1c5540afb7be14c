//! Runs made up for tests: a shop that gets slower until it breaks, one that collapses, one that holds, and what can go
//! wrong with a run. No randomness: the same run each time.

#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "figures made up"
)]

pub mod whole;

use std::collections::BTreeMap;
use tentpole_load::Run;
use tentpole_load::result::*;

const STEPS: [(&str, f64); 6] = [
    ("front page", 0.5),
    ("category", 0.9),
    ("product", 0.8),
    ("search", 1.6),
    ("put into the cart", 1.2),
    ("check out", 2.2),
];
const STEP_S: f64 = 12.0;
const JUDGED_S: f64 = 10.0;

/// What a load does to the site: median load time of what succeeds, and the share that fails with each cause.
pub struct Effect {
    pub p50: f64,
    pub failing: Vec<(FailureCause, f64)>,
}

/// A run with these loads; objectives: median 500 ms, p99 2 s, 1 % errors.
pub fn run(loads: &[f64], effect: &dyn Fn(f64) -> Effect) -> Run {
    let objectives = Objectives { p50_ms: Some(500.0), p99_ms: Some(2000.0), errors_share: Some(0.01) };
    let mut steps = Vec::new();
    let mut seconds = Vec::new();
    let mut before: f64 = 0.0;
    for (at, &load) in loads.iter().enumerate() {
        let began = at as f64 * STEP_S;
        let effect = effect(load);
        let phase = if load < before { Phase::Refine } else { Phase::Climb };
        before = before.max(load);
        let step = step(at as u32 + 1, load, began + STEP_S - JUDGED_S, &effect, &objectives, phase);
        for second in 0..STEP_S as u32 {
            let wave = 1.0 + 0.15 * f64::from(second * 7 % 5) - 0.3;
            let requests = (step.requests_per_s * wave) as u64;
            let failed = (requests as f64 * step.failed as f64 / step.requests.max(1) as f64).ceil() as u64;
            seconds.push(Second {
                at_s: began + f64::from(second) + 1.0,
                visitors: load as u32,
                requests,
                failed: failed.min(requests),
                p50_ms: step.response_time.map(|times| short(times.p50 * wave)),
                p99_ms: step.response_time.map(|times| short(times.p99 * wave)),
            });
        }
        steps.push(step);
    }
    let breaking_point = steps
        .iter()
        .filter_map(|step| Some(BreakingPoint { load: step.load, broke: step.broke? }))
        .min_by(|a, b| a.load.total_cmp(&b.load));
    let highest_held = steps.iter().filter(|step| step.held).map(|step| step.load).max_by(f64::total_cmp);
    Run {
        format: FORMAT,
        version: "0.1.0".to_owned(),
        started_unix_ms: 1_785_679_380_000,
        took_s: loads.len() as f64 * STEP_S,
        url: "http://shop.localhost:8080/".to_owned(),
        command: "tentpole load http://shop.localhost:8080 --journey shop --seed 7 --out report.html"
            .to_owned(),
        model: Model::Closed,
        objectives,
        journey: JourneyOutline {
            name: "shop".to_owned(),
            steps: STEPS.map(|(name, _)| name.to_owned()).into(),
        },
        machine: Machine { cores: 8, threads: 2, pinned: vec![6, 7], same_machine: true },
        seed: 7,
        think_ms: 1000.0,
        steps,
        seconds,
        second_width: 1,
        breaking_point,
        highest_held,
        stays_down: false,
        trusted: true,
        distrust: Vec::new(),
        mark: String::new(),
        accounts: Vec::new(),
        sources: Vec::new(),
        stopped_for: None,
        spared: None,
        unverified: false,
        spread: None,
        agents: Vec::new(),
        found: None,
        since: Vec::new(),
        interrupted: false,
    }
}

fn step(
    number: u32,
    load: f64,
    began_s: f64,
    effect: &Effect,
    wanted: &Objectives,
    phase: Phase,
) -> StepResult {
    let share: f64 = effect.failing.iter().map(|(_, share)| share).sum();
    let per_s = short(load / (1.0 + effect.p50 * (1.0 - share) / 1000.0));
    let requests = (per_s * JUDGED_S) as u64;
    let failures: BTreeMap<_, _> = effect
        .failing
        .iter()
        .map(|(cause, share)| (*cause, (requests as f64 * share).round() as u64))
        .collect();
    let failed: u64 = failures.values().sum();
    let good = requests - failed;
    let response_time = (good > 0).then(|| times(good, effect.p50));
    let seen = |objective, seen: Option<f64>, limit: Option<f64>| {
        let (limit, held) = (limit?, seen.zip(limit).is_some_and(|(seen, limit)| seen < limit));
        (!held).then_some(Broke { objective, seen, wanted: limit })
    };
    let errors = (requests > 0).then_some(failed as f64 / requests as f64);
    let broke = (requests > 0)
        .then(|| {
            seen(Objective::P50, response_time.map(|t| t.p50), wanted.p50_ms)
                .or_else(|| seen(Objective::P99, response_time.map(|t| t.p99), wanted.p99_ms))
                .or_else(|| seen(Objective::Errors, errors, wanted.errors_share))
        })
        .flatten();
    let mut statuses = BTreeMap::from([(200, good)]);
    if let Some(bad) = failures.get(&FailureCause::Status5xx) {
        statuses.insert(502, *bad);
    }
    StepResult {
        number,
        phase,
        load,
        began_s,
        took_s: JUDGED_S,
        requests,
        failed,
        failures: failures.into_iter().filter(|(_, count)| *count > 0).collect(),
        statuses,
        requests_per_s: per_s,
        bytes: good * 24_000,
        response_time,
        service_time: (good > 0).then(|| times(good, effect.p50 * 0.93)),
        reconnects: failed / 3,
        connects: load as u64 + failed,
        connect_time: None,
        handshake_time: None,
        http2: 0,
        message_time: None,
        tags: Vec::new(),
        lag_p99_us: 180 + u64::from(number) * 20,
        generator_cpu_share: f64::from(number) / 32.0,
        journey_steps: STEPS
            .iter()
            .map(|(name, slow)| {
                let count = requests / STEPS.len() as u64;
                let failed = (count as f64 * share).round() as u64;
                let time = (count > failed).then(|| times(count - failed, effect.p50 * slow));
                JourneyStepResult {
                    name: (*name).to_owned(),
                    count,
                    failed,
                    p50_ms: time.map(|time| time.p50),
                    p95_ms: time.map(|time| time.p95),
                    p99_ms: time.map(|time| time.p99),
                }
            })
            .collect(),
        broke,
        held: broke.is_none() && requests > 0,
    }
}

/// In steps that JSON's short decimals hold exactly.
fn short(value: f64) -> f64 {
    (value * 8.0).round() / 8.0
}

fn times(count: u64, p50: f64) -> Times {
    let [min, p90, p95, p99, p999, max, mean] =
        [0.4, 2.1, 2.8, 5.0, 9.0, 12.5, 1.2].map(|factor| short(p50 * factor));
    Times { count, min, p50: short(p50), p90, p95, p99, p999, max, mean }
}

/// Slower and slower, and over the objective at 1,280; then once more between 960 and 1,280.
pub fn breaks() -> Run {
    let loads = [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0, 960.0, 1280.0, 1120.0, 1200.0];
    run(&loads, &|load| Effect {
        p50: 22.0 + 0.02 * load + 24.0 / (1.0 - (load / 1400.0).min(0.999)),
        failing: if load >= 1280.0 {
            vec![(FailureCause::Status5xx, 0.004), (FailureCause::TimedOut, 0.002)]
        } else {
            vec![]
        },
    })
    .with(|run| {
        // The first that did not hold is the verdict, as the generator would write it.
        let step = run.steps.iter_mut().find(|step| step.load.total_cmp(&1280.0).is_eq()).unwrap();
        let times = step.response_time.as_mut().unwrap();
        (times.p50, times.p99) = (412.0, 2400.0);
        let broke = Broke { objective: Objective::P99, seen: Some(2400.0), wanted: 2000.0 };
        (step.broke, step.held) = (Some(broke), false);
        run.breaking_point = Some(BreakingPoint { load: 1280.0, broke });
        run.highest_held = Some(1200.0);
    })
}

/// S1.2: slower until 140 visitors; from 160 on the balancer answers 502 at once, and from 180 on nobody is let in.
pub fn collapses() -> Run {
    let loads: Vec<f64> = (1..=12).map(|step| f64::from(step) * 20.0).collect();
    run(&loads, &|load| match load {
        load if load < 150.0 => Effect {
            p50: 120.0 + load * load * 0.018,
            failing: if load > 130.0 { vec![(FailureCause::TimedOut, 0.034)] } else { vec![] },
        },
        load if load < 170.0 => Effect {
            p50: 40.0,
            failing: vec![(FailureCause::Status5xx, 0.81), (FailureCause::TimedOut, 0.14)],
        },
        load if load < 210.0 => Effect { p50: 0.0, failing: vec![(FailureCause::Status5xx, 1.0)] },
        _ => Effect { p50: 0.0, failing: vec![(FailureCause::Refused, 0.7), (FailureCause::Reset, 0.3)] },
    })
}

/// Everything held.
pub fn holds() -> Run {
    run(&[50.0, 100.0, 200.0, 300.0, 400.0], &|load| Effect { p50: 20.0 + load * 0.01, failing: vec![] })
}

/// Without a cache: 140 visitors.
pub fn without_cache() -> Run {
    run(&[10.0, 20.0, 40.0, 80.0, 120.0, 140.0, 160.0], &|load| Effect {
        p50: 80.0 + load * load * 0.018,
        failing: match load {
            load if load > 150.0 => vec![(FailureCause::Status5xx, 0.92)],
            load if load > 130.0 => vec![(FailureCause::TimedOut, 0.2)],
            _ => vec![],
        },
    })
}

/// Journeys that begin at a rate.
pub fn open() -> Run {
    run(&[5.0, 10.0, 20.0, 40.0], &|load| Effect { p50: 20.0 + load * load * 0.4, failing: vec![] })
        .with(|run| run.model = Model::Open)
}

/// Ended before the first step was over.
pub fn empty() -> Run {
    run(&[], &|_| Effect { p50: 0.0, failing: vec![] }).with(|run| {
        run.interrupted = true;
        run.took_s = 1.2;
    })
}

/// One step in which nobody got an answer or a failure.
pub fn silent() -> Run {
    run(&[10.0], &|_| Effect { p50: 1.0, failing: vec![] }).with(|run| {
        let step = &mut run.steps[0];
        (step.requests, step.requests_per_s, step.held) = (0, 0.0, false);
        (step.response_time, step.service_time) = (None, None);
        for one in &mut step.journey_steps {
            (one.count, one.p50_ms, one.p95_ms, one.p99_ms) = (0, None, None, None);
        }
        for second in &mut run.seconds {
            (second.requests, second.p50_ms, second.p99_ms) = (0, None, None);
        }
        run.highest_held = None;
    })
}

/// One step, one page.
pub fn single() -> Run {
    run(&[25.0], &|_| Effect { p50: 31.0, failing: vec![] }).with(|run| {
        run.journey = JourneyOutline { name: "one page".to_owned(), steps: vec!["/".to_owned()] };
        run.steps[0].journey_steps.truncate(1);
    })
}

/// Nothing in it is to be believed, for every reason there is, and somebody pressed Ctrl-C.
pub fn untrusted() -> Run {
    breaks().with(|run| {
        (run.trusted, run.breaking_point) = (false, None);
        run.interrupted = true;
        run.distrust = vec![
            Distrust::Lag { step: 9, lag_p99_us: 48_200, wanted_us: 10_000 },
            Distrust::GeneratorFull { step: 8, count: 1204 },
            Distrust::NoPort { step: 9, count: 1 },
            Distrust::FewRequests { step: 1, requests: 40 },
        ];
    })
}

/// Names that try to leave their place, in every field of text.
pub fn hostile() -> Run {
    breaks().with(|run| {
        let name = "</script><script>window.broken=1</script><!--<img src=http://x.example/ onerror=window.broken=1>\u{2028}\"'&\u{202e}";
        run.url = format!("http://shop.example/?q={name}");
        run.command = format!("tentpole load '{name}'");
        run.version = name.to_owned();
        run.journey.name = name.to_owned();
        run.journey.steps[2] = name.to_owned();
        for step in &mut run.steps {
            step.journey_steps[2].name = name.to_owned();
        }
    })
}

/// Changes a run.
pub trait With {
    fn with(self, change: impl FnOnce(&mut Run)) -> Run;
}

impl With for Run {
    fn with(mut self, change: impl FnOnce(&mut Run)) -> Run {
        change(&mut self);
        self
    }
}
