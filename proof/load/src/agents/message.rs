//! What coordinator and agent say to each other, and a plan as it is sent. Times are µs of the agent's clock: whoever sends
//! one has converted it.

use crate::agents::division::Part;
use crate::arrivals::{Pause, Spacing};
use crate::climb::{Burst, Shape};
use crate::effects;
use crate::hosts::Hosts;
use crate::journey::Journeys;
use crate::mark::Mark;
use crate::plan::{Plan, TIMEOUT_MAX};
use crate::record::{Moment, Tally};
use crate::result::{Model, Objectives};
use crate::transport::{Transport, Version};
use crate::url::Url;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;
use tentpole_model::EndpointTls;
use tentpole_tls::Client;

/// From the coordinator.
#[derive(Serialize, Deserialize)]
pub(crate) enum ToAgent {
    /// What time is it there? Also says that the coordinator is still there.
    Ping(u64),
    /// What the run is.
    Plan(Box<PlanText>),
    /// Orders; with a window, a step that is judged begins.
    Step(Ordered),
    /// What is judged ends there; `at_once` without waiting for what is under way.
    Cut { to_us: u64, at_once: bool },
    /// It is over.
    End,
}

/// One change of the load.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ordered {
    /// Counts up.
    pub(crate) number: u64,
    /// When the run began, and how many seconds an entry of its timeline stands for.
    pub(crate) run_began_us: u64,
    pub(crate) width: u32,
    pub(crate) begin_us: u64,
    pub(crate) ramp: Duration,
    pub(crate) from: f64,
    pub(crate) to: f64,
    pub(crate) burst: Option<Burst>,
    pub(crate) window_us: Option<(u64, u64)>,
}

/// From an agent.
#[derive(Serialize, Deserialize)]
pub(crate) enum ToCoordinator {
    Pong {
        number: u64,
        at_us: u64,
    },
    /// All threads are there.
    Ready,
    /// This plan is not performed, and why.
    Refused(String),
    /// How it goes.
    Progress {
        under_way: u32,
        gone: u32,
        cpu_us: u64,
        lag_p99_us: u64,
    },
    /// An entry of the timeline is over; with it what was counted of the step so far.
    Second {
        entry: u32,
        moment: Moment,
        step: u64,
        so_far: Tally,
    },
    /// All that was due in a step has ended.
    Done {
        step: u64,
        tally: Tally,
    },
}

/// A plan.
#[derive(Serialize, Deserialize)]
pub(crate) struct PlanText {
    url: String,
    journeys: Journeys,
    model: Model,
    shape: Shape,
    spacing: Spacing,
    in_flight_max: u32,
    objectives: Objectives,
    think: Duration,
    pause: Pause,
    mark: String,
    seed: u64,
    timeout: Duration,
    connect_timeout: Duration,
    insecure: bool,
    version: Version,
    part: Part,
    command: String,
    tentpole: String,
}

impl PlanText {
    /// One agent's part of a plan.
    pub(crate) fn of(plan: &Plan, part: Part) -> Self {
        Self {
            url: plan.url.to_string(),
            journeys: plan.journeys.clone(),
            model: plan.model,
            shape: plan.shape.clone(),
            spacing: plan.spacing,
            in_flight_max: plan.in_flight_max,
            objectives: plan.objectives,
            think: plan.think,
            pause: plan.pause,
            mark: plan.mark.run.clone(),
            seed: plan.seed,
            timeout: plan.timeout,
            connect_timeout: plan.connect_timeout,
            insecure: plan.transport.is_unverified(),
            version: plan.transport.version,
            part,
            command: plan.command.clone(),
            tentpole: plan.version.clone(),
        }
    }

    /// The plan, if it may be performed here: on this machine itself, and on hosts that are allowed by name. Where they are
    /// is found here, whatever the coordinator believes.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn plan(self, allowed: &[String], threads: u32) -> Result<(Plan, Part), String> {
        let url = Url::parse(&self.url).map_err(|error| error.to_string())?;
        let part = self.part;
        if part.threads != threads
            || part.of < threads
            || part.first + threads > part.of
            || part.place.0 >= part.place.1
        {
            return Err("the plan is for another number of threads".to_owned());
        }
        let mut journeys = self.journeys;
        if journeys.all.is_empty() || journeys.all.iter().any(|journey| journey.steps.is_empty()) {
            return Err("the plan has no journey".to_owned());
        }
        share_rows(&mut journeys, part);
        let refused = effects::refused(&journeys);
        if !refused.is_empty() {
            return Err(format!("{}; no test account is named", refused.join("; ")));
        }
        let hosts = Hosts::of(&url, journeys.hosts())
            .map_err(|error| format!("{} has no address there: {error}", url.host))?;
        if !hosts.are_loopback() && !allowed.iter().any(|name| name.eq_ignore_ascii_case(&url.host)) {
            return Err(format!(
                "it may not load {}. Who runs it may allow that there: tentpole load agent --allow {}",
                url.host, url.host
            ));
        }
        let settings = EndpointTls { verify: !self.insecure, ..EndpointTls::default() };
        let load = || Client::load(&settings).map(|(client, _)| client.without_tickets());
        let tls = url.https.then(load).transpose().map_err(|trouble| trouble.to_string())?;
        let plan = Plan {
            hosts,
            transport: Transport { tls, version: self.version, sources: Vec::new() },
            url,
            journeys,
            model: self.model,
            shape: self.shape,
            spacing: self.spacing,
            in_flight_max: self.in_flight_max,
            objectives: self.objectives,
            think: self.think,
            pause: self.pause,
            mark: Mark::unsigned(self.mark),
            stop_when: None,
            seed: self.seed,
            timeout: self.timeout.clamp(Duration::from_millis(1), TIMEOUT_MAX),
            connect_timeout: self.connect_timeout.min(TIMEOUT_MAX),
            threads: part.of,
            cpus: Vec::new(),
            replay: None,
            resolvers: None,
            samples: None,
            command: self.command,
            version: self.tentpole,
        };
        Ok((plan, part))
    }
}

/// Journeys that use the same file take their rows from one place again, and of the rows those that are this agent's.
fn share_rows(journeys: &mut Journeys, part: Part) {
    let mut places = HashMap::new();
    for data in journeys.all.iter_mut().flat_map(|journey| &mut journey.data) {
        data.share = part.place;
        data.taken = places.entry(data.number).or_insert_with(|| data.taken.clone()).clone();
    }
}
