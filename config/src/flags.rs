//! What was typed after `tentpole up`: it replaces what the file says, and is checked by the same rules.

use crate::address::{endpoint, listen_address};
use crate::problem::Problem;
use crate::report::{Place, Problems};
use crate::table::At;
use crate::top::{Typed, admin, threads};
use crate::{fleet, health, pool};
use tentpole_model::{AccessLog, CacheSettings, Fleet, Learn, Pool};

/// Settings given as flags; each that is there replaces the file's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--listen`: addresses for visitors.
    pub listen: Vec<String>,
    /// `--admin`: an address of this machine, or `off`.
    pub admin: Option<String>,
    /// `--log`: the access log's form.
    pub log: Option<AccessLog>,
    /// `--threads`: data threads.
    pub threads: Option<u64>,
    /// `--cache`: `Some(false)` is no cache at all; `Some(true)` gives memory to one that the file gives none. Routes
    /// that are not cached stay so.
    pub cache: Option<bool>,
    /// `--learn`: what `[cache]` says of it. Sites and routes that speak for themselves stay as they are.
    pub learn: Option<Learn>,
}

/// Puts the flags over what was typed in the file.
pub(crate) fn apply(flags: &Flags, typed: &mut Typed, problems: &Problems<'_>) {
    let mut listen = Vec::new();
    for address in &flags.listen {
        let place = Place::Flag(format!("--listen {address}"));
        match listen_address("listen", address) {
            Ok(address) => listen.push(At::new(address, place)),
            Err(problem) => problems.add(problem, &place),
        }
    }
    if !flags.listen.is_empty() {
        typed.listen = listen;
    }
    if let Some(address) = &flags.admin {
        let place = Place::Flag(format!("--admin {address}"));
        match admin(address) {
            Ok(address) => typed.admin = At::new(address, place),
            Err(problem) => problems.add(problem, &place),
        }
    }
    if let Some(access) = flags.log {
        typed.log.access = access;
    }
    match flags.cache {
        // The edge then asks no cache at all: nobody waits for another's response either.
        Some(false) => typed.cache.settings.memory_bytes_max = 0,
        Some(true) if typed.cache.settings.memory_bytes_max == 0 => {
            typed.cache.settings.memory_bytes_max = CacheSettings::default().memory_bytes_max;
        }
        Some(true) | None => {}
    }
    if let Some(learn) = flags.learn {
        typed.cache.caching.learn(learn);
    }
    if let Some(number) = flags.threads {
        match threads(number) {
            Ok(number) => typed.threads = Some(number),
            Err(problem) => problems.add(problem, &Place::Flag(format!("--threads {number}"))),
        }
    }
}

/// What a file with one pool of these endpoints would say.
pub(crate) fn typed_from_endpoints(urls: &[String], health: Option<&str>, problems: &Problems<'_>) -> Typed {
    let mut endpoints: Vec<At<_>> = Vec::new();
    for url in urls {
        let place = Place::Flag(format!("--to {url}"));
        let read = match endpoint(url) {
            Ok(endpoint) => endpoint,
            Err(problem) => {
                problems.add(problem, &place);
                continue;
            }
        };
        let authority = read.authority();
        match endpoints
            .iter()
            .find(|earlier: &&At<tentpole_model::Endpoint>| earlier.value.authority() == authority)
        {
            Some(earlier) => {
                let earlier = problems.whereabouts(&earlier.place);
                problems.add(Problem::EndpointTwice { authority, earlier }, &place);
            }
            None => {
                let addresses = crate::endpoint::usual_addresses();
                endpoints.extend(crate::endpoint::with_slots(At::new(read, place), addresses));
            }
        }
    }
    if urls.is_empty() {
        let cure = "name at least one, like --to http://127.0.0.1:3000";
        problems.add(Problem::Empty { name: "--to", cure }, &Place::Flag("--to".to_owned()));
    }
    let (endpoints, endpoint_places) = endpoints.into_iter().map(|at| (at.value, at.place)).unzip();
    one_pool(pool::usual("app", endpoints), endpoint_places, health, problems)
}

/// What a file with one pool of instances that run this would say.
pub(crate) fn typed_from_run(
    run: &str,
    min: Option<u64>,
    max: Option<u64>,
    health: Option<&str>,
    problems: &Problems<'_>,
) -> Typed {
    match fleet::from_flags(run, min, max, problems) {
        Some(fleet) => typed_from_fleet("app", fleet, health, problems),
        // What is wrong was told already.
        None => Typed { pools: None, ..Typed::default() },
    }
}

/// What a file with one pool of these instances would say.
pub(crate) fn typed_from_fleet(
    name: &str,
    fleet: Fleet,
    health: Option<&str>,
    problems: &Problems<'_>,
) -> Typed {
    let slots = fleet::slots(name, fleet.max, None);
    let places = vec![Place::Whole; slots.len()];
    let pool = Pool { fleet: Some(fleet), ..pool::usual(name, slots) };
    one_pool(pool, places, health, problems)
}

fn one_pool(
    mut pool: Pool,
    endpoint_places: Vec<Place>,
    health: Option<&str>,
    problems: &Problems<'_>,
) -> Typed {
    if let Some(path) = health {
        match health::usual_health(path) {
            Ok(check) => pool.health = Some(check),
            Err(problem) => problems.add(problem, &Place::Flag(format!("--health {path}"))),
        }
    }
    let pools = Some(vec![pool::Typed { pool, place: Place::Whole, endpoint_places }]);
    Typed { pools, ..Typed::default() }
}
