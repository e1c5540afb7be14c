//! What was meant by `tentpole load …`: a plan. Resolves the host; asks it nothing.

use crate::load::args::{Arrivals, Limit, Load, Range};
use crate::load::{idle, import, replay};
use std::path::Path;
use std::time::Duration;
use tentpole_load::Plan;
use tentpole_load::arrivals::Spacing;
use tentpole_load::climb::{Burst, RATE_MAX, Shape, Stage, VISITORS_MAX};
use tentpole_load::hosts::Hosts;
use tentpole_load::journey::{Journeys, SHOP};
use tentpole_load::mark::{Mark, is_account};
use tentpole_load::plan::TIMEOUT_MAX;
use tentpole_load::read::{self, Profile};
use tentpole_load::result::{Model, Objectives};
use tentpole_load::transport::{Transport, Version};
use tentpole_load::url::Url;
use tentpole_model::EndpointTls;
use tentpole_runtime::{Random, clock, secret};
use tentpole_tls::Client;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const VISITORS_FROM: f64 = 10.0;
const VISITORS_TO: f64 = 10_000.0;
const TIME_USUAL: Duration = Duration::from_secs(30);
/// How long a step of a climb is judged, and in which time half of a burst is gone.
const STEP_TIME_USUAL: Duration = Duration::from_secs(10);
const HALF_LIFE_USUAL: Duration = Duration::from_secs(10);
/// Journeys under way at most.
const IN_FLIGHT_USUAL: u32 = 10_000;
/// A step that is judged for less says nothing.
const STEP_TIME_MIN: Duration = Duration::from_millis(100);

/// Why there is no plan.
pub enum Wrong {
    /// The call is wrong; what to type instead.
    Call(String),
    /// The host has no address.
    Unreachable(String),
}

impl From<String> for Wrong {
    fn from(says: String) -> Self {
        Self::Call(says)
    }
}

/// Finds out what was meant.
pub fn plan(typed: &Load) -> Result<Plan, Wrong> {
    let url = Url::parse(typed.url.as_deref().unwrap_or_default()).map_err(|error| error.to_string())?;
    if (typed.ca.is_some() || typed.insecure) && !url.https && !typed.comparing.has_https() {
        return Err("--ca and --insecure are for https:// only.".to_owned().into());
    }
    idle::refused(typed)?;
    let profile = typed.profile.as_deref().map(file).transpose()?.unwrap_or_default();
    let replay = typed.replay.as_deref().map(|path| replay::look(path, typed)).transpose()?;
    let (mut journeys, model, shape, source) = match replay {
        Some(log) => (log.journeys(), Model::Open, log.shape(typed.timeout), Some(log.source())),
        None => {
            let journeys = journeys(typed, &profile, &url)?;
            let (model, shape) = shape(typed, &profile, &journeys)?;
            (journeys, model, shape, None)
        }
    };
    if typed.account.as_deref().is_some_and(|account| !is_account(account)) {
        return Err("--account is up to 64 visible characters of ASCII without a semicolon."
            .to_owned()
            .into());
    }
    for journey in &mut journeys.all {
        journey.account = journey.account.take().or_else(|| typed.account.clone());
    }
    let refused = tentpole_load::effects::refused(&journeys);
    if !refused.is_empty() {
        return Err(format!(
            "{}. That cannot be taken back. Name the test account as which it may: account = \"…\" in [[journey]], or \
             --account NAME. A step that does nothing of the kind says effect = \"none\".",
            refused.join("; ")
        )
        .into());
    }
    let mark = mark(typed)?;
    let stop_when =
        typed.stop_when.as_deref().map(Url::parse).transpose().map_err(|error| error.to_string())?;
    if typed.timeout > TIMEOUT_MAX || typed.timeout.is_zero() {
        return Err(format!("--timeout is up to {} s, and more than 0.", TIMEOUT_MAX.as_secs()).into());
    }
    if [typed.step_time, typed.time].into_iter().flatten().any(|time| time < STEP_TIME_MIN) {
        return Err("--step-time and --time are at least 100ms.".to_owned().into());
    }
    let asked = typed.asked.find(&url, typed.seed)?;
    let hosts = match &asked {
        Some(found) => Hosts::at(&url, journeys.hosts(), &found.addresses),
        None => Hosts::of(&url, journeys.hosts())
            .map_err(|error| Wrong::Unreachable(format!("{} has no address: {error}.", url.host)))?,
    };
    let cpus = typed.cpu.as_ref().map(|cpus| cpus.0.clone()).unwrap_or_default();
    let cores = if cpus.is_empty() {
        std::thread::available_parallelism().map_or(1, usize::from)
    } else {
        cpus.len()
    };
    let transport = transport(typed, url.https)?;
    Ok(Plan {
        url,
        hosts,
        transport,
        journeys,
        model,
        shape,
        spacing: match typed.arrivals {
            None | Some(Arrivals::Poisson) => Spacing::Poisson,
            Some(Arrivals::Constant) => Spacing::Constant,
        },
        in_flight_max: typed.in_flight.unwrap_or(IN_FLIGHT_USUAL),
        objectives: objectives(typed, &profile),
        think: typed.think,
        pause: typed.pause,
        mark,
        stop_when,
        seed: typed.seed,
        timeout: typed.timeout,
        connect_timeout: CONNECT_TIMEOUT,
        threads: typed.threads.unwrap_or(cores.min(256) as u32),
        cpus,
        replay: source,
        resolvers: asked.map(|found| found.resolvers),
        samples: None,
        command: command(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Another run has another name.
fn mark(typed: &Load) -> Result<Mark, String> {
    let key = typed.key.as_ref().map(secret::read).transpose().map_err(|why| format!("--key: {why}."))?;
    let now = clock::now();
    let seed = now.unix_seconds() << 20 ^ now.as_micros() ^ u64::from(std::process::id()) << 40;
    Ok(Mark::new(&mut Random::from_seed(seed), key.as_deref()))
}

/// How a place is reached over TLS, or without.
pub fn transport(typed: &Load, https: bool) -> Result<Transport, String> {
    let settings =
        EndpointTls { authority: typed.ca.clone(), verify: !typed.insecure, ..EndpointTls::default() };
    // Each visitor is another browser, which has not been here before: no handshake is shortened by another's ticket.
    let load = || Client::load(&settings).map(|(client, _)| client.without_tickets());
    Ok(Transport {
        tls: https.then(load).transpose().map_err(|trouble| format!("{trouble}."))?,
        version: match (typed.http1, typed.http2) {
            (true, _) => Version::Http1,
            (_, true) => Version::Http2,
            _ => Version::Usual,
        },
        sources: typed.from.as_ref().map(|sources| sources.0.clone()).unwrap_or_default(),
        ..Transport::default()
    })
}

fn file(path: &Path) -> Result<Profile, String> {
    let text = if import::is_foreign(path) {
        import::journey(path)?
    } else {
        std::fs::read_to_string(path)
            .map_err(|error| format!("{}: this file cannot be read: {error}.", path.display()))?
    };
    read::read(&path.display().to_string(), &text)
        .map_err(|problems| problems.to_string().trim_end().to_owned())
}

fn journeys(typed: &Load, profile: &Profile, url: &Url) -> Result<Journeys, String> {
    let read = match typed.journey.as_deref() {
        None => return Ok(profile.journeys.clone().unwrap_or_else(|| Journeys::one_page(&url.target))),
        Some("shop") => read::read("shop.toml", SHOP).map_err(|problems| problems.to_string())?,
        Some(name) if !Path::new(name).exists() => {
            return Err(format!("there is no journey \"{name}\": write shop, or the name of a file."));
        }
        Some(name) => file(Path::new(name))?,
    };
    read.journeys.ok_or_else(|| {
        let name = typed.journey.as_deref().unwrap_or_default();
        format!("{name}: there is no journey in this file; write [[journey]] and [[journey.step]].")
    })
}

fn shape(typed: &Load, profile: &Profile, journeys: &Journeys) -> Result<(Model, Shape), String> {
    let constant_only = |stages: bool| match typed.time {
        Some(_) if !stages => {
            Err("--time is for a constant load: --visitors N or --rate N. A climb has --step-time.")
        }
        _ => Ok(()),
    };
    if let Some((model, stages)) = &profile.stages {
        constant_only(false)?;
        return Ok((*model, Shape::Stages(stages.clone())));
    }
    if let (Some((visitors, time_max)), None, None) = (journeys.crews(), typed.visitors, typed.rate) {
        constant_only(false)?;
        return Ok((Model::Closed, Shape::Crews { visitors, time_max }));
    }
    let (model, range, highest) = match (typed.visitors, typed.rate) {
        (_, Some(rate)) => (Model::Open, rate, RATE_MAX),
        (Some(visitors), None) => (Model::Closed, visitors, f64::from(VISITORS_MAX)),
        (None, None) => (Model::Closed, Range::Climb(VISITORS_FROM, None), f64::from(VISITORS_MAX)),
    };
    let whole = model == Model::Closed;
    let check = |load: f64| match load {
        load if load > highest => {
            Err(format!("{load} is more than this generator makes: {highest} at most."))
        }
        load if whole && load.fract() != 0.0 => {
            Err(format!("{load} visitors: there are no parts of visitors."))
        }
        load => Ok(load),
    };
    match range {
        Range::Constant(load) => {
            let time = typed.time.unwrap_or(TIME_USUAL);
            let half_life = typed.half_life.unwrap_or(HALF_LIFE_USUAL);
            let burst = typed.burst.map(|above| Burst { above, half_life });
            Ok((model, Shape::Stages(vec![Stage { load: check(load)?, time, ramp: typed.ramp, burst }])))
        }
        Range::Climb(from, to) => {
            constant_only(false)?;
            if typed.burst.is_some() {
                return Err("--burst is for a constant load: --rate N.".to_owned());
            }
            let to = check(to.or(typed.visitors_max).unwrap_or(VISITORS_TO))?;
            // `--visitors-max 5` also means: do not begin with 10.
            let from = check(from)?.min(to);
            let step_time = typed.step_time.unwrap_or(STEP_TIME_USUAL);
            Ok((model, Shape::Climb { from, to, step_time, ramp: typed.ramp, whole }))
        }
    }
}

/// Flags before the file, the file before what is usual.
fn objectives(typed: &Load, profile: &Profile) -> Objectives {
    let usual = Objectives::default();
    let limit = |typed: Option<Limit>, file: Option<f64>, usual: Option<f64>| match typed {
        Some(Limit::Off) => None,
        Some(Limit::Under(limit)) => Some(limit),
        None => file.or(usual),
    };
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    Objectives {
        p50_ms: limit(typed.p50, profile.p50.map(ms), usual.p50_ms),
        p99_ms: limit(typed.p99, profile.p99.map(ms), usual.p99_ms),
        errors_share: limit(typed.errors, profile.errors, usual.errors_share),
    }
}

/// The command as it can be typed again.
fn command() -> String {
    let plain = |word: &String| {
        word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte))
    };
    let quoted = |word: String| match plain(&word) && !word.is_empty() {
        true => word,
        false => format!("'{}'", word.replace('\'', "'\\''")),
    };
    let words = std::env::args_os().skip(1).map(|word| quoted(word.to_string_lossy().into_owned()));
    std::iter::once("tentpole".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}
