//! What coordinator and agent say to each other, and a plan as it is sent. Times are µs of the agent's clock: whoever sends
//! one has converted it.

use crate::agents::division::Part;
use crate::agents::names::Names;
use crate::agents::rows::Rows;
use crate::agents::serve::Settings;
use crate::agents::told::Row;
use crate::arrivals::{Pause, Spacing};
use crate::climb::{Burst, Shape};
use crate::effects;
use crate::hosts::Hosts;
use crate::journey::Journeys;
use crate::mark::{Mark, SigningKey};
use crate::plan::{Plan, TIMEOUT_MAX};
use crate::record::{Moment, Tally};
use crate::result::{Model, Objectives};
use crate::transport::{Transport, Version};
use crate::url::Url;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;
use tentpole_model::EndpointTls;
use tentpole_resolvers::Counted;
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
    /// The agent's clock has moved: by what it shows now, when the run began, and when what is judged ends.
    Clock { run_began_us: u64, to_us: Option<u64> },
    /// What is judged ends there; `at_once` without waiting for what is under way.
    Cut { to_us: u64, at_once: bool },
    /// Requests of a log; the last of them with `true`.
    Rows(Rows),
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
    /// All threads are there; and from which addresses and on which cores they make load, where that was said. `lacks`: what
    /// the machine may have too little of.
    Ready {
        sources: Vec<IpAddr>,
        cpus: Vec<u32>,
        lacks: Vec<String>,
    },
    /// This plan is not performed, and why.
    Refused(String),
    /// How it goes.
    Progress {
        under_way: u32,
        gone: u32,
        cpu_us: u64,
        lag_p99_us: u64,
        /// When the last request began.
        last_begun_us: Option<u64>,
        /// Requests of a log that were taken.
        rows_taken: u64,
    },
    /// An entry of the timeline is over; with it what was counted of the step so far.
    Second {
        entry: u32,
        moment: Moment,
        step: u64,
        so_far: Tally,
    },
    /// Page loads that have ended since the last were told, and how many more had no place.
    Samples {
        rows: Vec<Row>,
        lost: u64,
    },
    /// Where resolvers have led since that was last told.
    Led(Box<Counted>),
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
    /// Where marks are signed, a proof of the key.
    signed: Option<String>,
    seed: u64,
    timeout: Duration,
    connect_timeout: Duration,
    insecure: bool,
    /// Whether the coordinator believes an authority of its own choice.
    has_authority: bool,
    version: Version,
    /// Whether each page load is told.
    samples: bool,
    /// Whom visitors ask where hosts are.
    names: Option<Names>,
    part: Part,
    command: String,
    tentpole: String,
}

impl PlanText {
    /// One agent's part of a plan.
    pub(crate) fn of(plan: &Plan, part: Part) -> Self {
        let tls = plan.transport.tls.as_ref();
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
            signed: plan.mark.proof(),
            seed: plan.seed,
            timeout: plan.timeout,
            connect_timeout: plan.connect_timeout,
            insecure: plan.transport.is_unverified(),
            has_authority: tls.is_some_and(|tls| tls.settings().authority.is_some()),
            version: plan.transport.version,
            samples: plan.samples.is_some(),
            names: plan.resolvers.as_deref().map(Names::of),
            part,
            command: plan.command.clone(),
            tentpole: plan.version.clone(),
        }
    }

    /// Whether each page load is told.
    pub(crate) fn tells_samples(&self) -> bool {
        self.samples
    }

    /// The plan, if it may be performed here: on this machine itself, and on hosts that are allowed by name. Where they are
    /// is found here, whatever the coordinator believes.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn plan(self, own: &Settings) -> Result<(Plan, Part), String> {
        let url = Url::parse(&self.url).map_err(|error| error.to_string())?;
        let part = self.part;
        if part.threads != own.threads
            || part.of < own.threads
            || part.first > part.of - own.threads
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
        let led = self.names.map(|names| names.find(&url, part, own)).transpose()?;
        let hosts = match &led {
            Some((_, addresses)) => Hosts::at(&url, journeys.hosts(), addresses),
            None => Hosts::of(&url, journeys.hosts())
                .map_err(|error| format!("{} has no address there: {error}", url.host))?,
        };
        if !hosts.are_loopback() && !own.allow.iter().any(|name| name.eq_ignore_ascii_case(&url.host)) {
            return Err(format!(
                "it may not load {}. Who runs it may allow that there: tentpole load agent --allow {}",
                url.host, url.host
            ));
        }
        let key = signing(self.signed.as_deref(), &self.mark, own)?;
        if self.has_authority && own.authority.is_none() {
            let says = "the coordinator believes an authority of its own (--ca), and this agent has none. Set it on the \
                        agents: tentpole load agent --ca FILE";
            return Err(says.to_owned());
        }
        let authority = own.authority.clone();
        let settings = EndpointTls { authority, verify: !self.insecure, ..EndpointTls::default() };
        let load = || Client::load(&settings).map(|(client, _)| client.without_tickets());
        let tls = url.https.then(load).transpose().map_err(|trouble| trouble.to_string())?;
        let plan = Plan {
            hosts,
            transport: Transport {
                tls,
                version: self.version,
                sources: own.sources.clone(),
                ..Transport::default()
            },
            url,
            journeys,
            model: self.model,
            shape: self.shape,
            spacing: self.spacing,
            in_flight_max: self.in_flight_max,
            objectives: self.objectives,
            think: self.think,
            pause: self.pause,
            mark: Mark::of_run(self.mark, key),
            stop_when: None,
            seed: self.seed,
            timeout: self.timeout.clamp(Duration::from_millis(1), TIMEOUT_MAX),
            connect_timeout: self.connect_timeout.min(TIMEOUT_MAX),
            threads: part.of,
            cpus: own.cpus.clone(),
            replay: None,
            resolvers: led.map(|(resolvers, _)| resolvers),
            samples: None,
            command: self.command,
            version: self.tentpole,
        };
        Ok((plan, part))
    }
}

/// What marks are signed with, when they are to be: the agent's own key, which must be the coordinator's too.
fn signing(proof: Option<&str>, run: &str, own: &Settings) -> Result<Option<SigningKey>, String> {
    match (proof, &own.sign) {
        (None, _) => Ok(None),
        (Some(proof), Some(key)) if key.is_proved(run, proof) => Ok(Some(key.clone())),
        (Some(_), Some(_)) => {
            Err("its --load-key is another than the coordinator's --key: both must be the edge's \
                                   load_key"
                .to_owned())
        }
        (Some(_), None) => {
            Err("requests are to be signed (--key), and this agent has nothing to sign them with. Set it \
                                on the agents: tentpole load agent --load-key PLACE"
                .to_owned())
        }
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
