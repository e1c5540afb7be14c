//! Plans for tests, and how they are run while an origin answers.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::time::Duration;
use tentpole_load::arrivals::{Pause, Spacing};
use tentpole_load::climb::{Shape, Stage};
use tentpole_load::hosts::Hosts;
use tentpole_load::journey::Journeys;
use tentpole_load::mark::Mark;
use tentpole_load::result::{Model, Objectives, StepResult};
use tentpole_load::transport::Transport;
use tentpole_load::url::Url;
use tentpole_load::{Plan, Run, Stop, read};

/// One visitor who does not think, for a second, on one thread.
pub fn plan(url: &str) -> Plan {
    let url = Url::parse(url).expect("a URL");
    Plan {
        hosts: Hosts::of(&url, &[]).expect("a host"),
        transport: Transport::default(),
        journeys: Journeys::one_page(&url.target),
        url,
        model: Model::Closed,
        shape: constant(1.0, 1_000),
        spacing: Spacing::Constant,
        in_flight_max: 1_000,
        objectives: Objectives::default(),
        think: Duration::ZERO,
        pause: Pause::Around,
        mark: Mark::default(),
        stop_when: None,
        seed: 1,
        timeout: Duration::from_secs(5),
        connect_timeout: Duration::from_secs(2),
        threads: 1,
        cpus: Vec::new(),
        replay: None,
        resolvers: None,
        samples: None,
        command: String::new(),
        version: "test".to_owned(),
    }
}

/// The same load for so many ms.
pub fn constant(load: f64, ms: u64) -> Shape {
    Shape::Stages(vec![Stage { load, time: Duration::from_millis(ms), ..Stage::default() }])
}

/// With these journeys.
pub fn walking(url: &str, journeys: &str) -> Plan {
    let journeys = read::read("journeys.toml", journeys).unwrap_or_else(|problems| panic!("{problems}"));
    let mut plan = plan(url);
    plan.journeys = journeys.journeys.expect("journeys");
    plan.hosts = Hosts::of(&plan.url, plan.journeys.hosts()).expect("a host");
    plan
}

/// Runs a plan beside the test's own runtime.
pub async fn run(plan: Plan) -> Run {
    let running = move || tentpole_load::run(plan, &Stop::default(), &mut |_| {}).expect("a run");
    tokio::task::spawn_blocking(running).await.expect("it does not panic")
}

/// Runs a plan of one stage.
pub async fn step(plan: Plan) -> StepResult {
    let mut run = run(plan).await;
    assert_eq!(run.steps.len(), 1, "{run:#?}");
    run.steps.remove(0)
}
