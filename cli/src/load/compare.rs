//! `tentpole load URL --compare NAME=URL`: the same schedule at several places, a step at one and then the same step at the next,
//! so that whatever changes meanwhile changes for all. Each place has a climb of its own and gets a report of its own; what they
//! come to together is the comparison's page. Judges nothing.

use crate::load::args::Load;
use crate::load::{joined, view::View};
use clap::Args;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_load::climb::{Done, Next, Shape};
use tentpole_load::hosts::Hosts;
use tentpole_load::url::Url;
use tentpole_load::{Plan, Run, Stop, probe};

/// Places beside the first one: more curves cannot be told apart.
const PLACES_MAX: usize = 5;
/// Time that a place gets to answer again after a load that broke it.
const REST_MAX: Duration = Duration::from_secs(10);
const NAME_MAX: usize = 32;

/// Other places beside the first
#[derive(Args, Debug, Default)]
pub struct Comparing {
    /// Load this too, in turns, with the same requests: direct=http://127.0.0.1:3000
    #[arg(long, value_name = "NAME=URL", value_parser = place, conflicts_with_all = [
        "find", "replay", "agents", "resolvers", "resolver_sizes", "resolver_policy", "client_policy", "name_server",
        "baseline", "out_jtl", "out_junit", "out_prometheus", "otlp", "metrics",
    ])]
    pub compare: Vec<Place>,
}

impl Comparing {
    /// Whether one of them is reached over TLS.
    pub fn has_https(&self) -> bool {
        self.compare.iter().any(|place| place.url.https)
    }
}

/// A place and what it is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    name: String,
    url: Url,
}

fn place(text: &str) -> Result<Place, String> {
    let Some((name, url)) = text.split_once('=') else {
        return Err("write a name and where it is: direct=http://127.0.0.1:3000".to_owned());
    };
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_plain) {
        return Err(format!("the name is up to {NAME_MAX} letters, digits, - and _"));
    }
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    if url.target != "/" {
        return Err(format!("leave out {}: the same pages are asked for everywhere", url.target));
    }
    Ok(Place { name: name.to_owned(), url })
}

/// One of the places that are compared.
pub struct Side {
    /// What it is called.
    pub name: String,
    /// What is done there.
    pub plan: Plan,
    done: Vec<Done>,
    run: Option<Run>,
    /// It did not answer any more after a load that broke it.
    is_down: bool,
}

/// The first place and the others. Errors say what to type instead.
pub fn sides(typed: &Load, plan: &Plan) -> Result<Vec<Side>, String> {
    let places = &typed.comparing.compare;
    if places.len() > PLACES_MAX {
        return Err(format!("--compare: {PLACES_MAX} at most; {} are named.", places.len()));
    }
    let side = |name: String, plan: Plan| Side { name, plan, done: Vec::new(), run: None, is_down: false };
    let mut all = vec![side(plain_name(&plan.url.host), plan.clone())];
    for place in places {
        if all.iter().any(|side| side.name == place.name) {
            return Err(format!("--compare {}=…: another one has that name already.", place.name));
        }
        all.push(side(place.name.clone(), there(typed, plan, &place.url)?));
    }
    Ok(all)
}

/// A host as the name of a folder.
fn plain_name(host: &str) -> String {
    let name = host.trim_matches(['[', ']']).replace(':', "-");
    if name.is_empty() { "first".to_owned() } else { name }
}

/// The same requests, the name of the first host among them, at another address.
fn there(typed: &Load, plan: &Plan, url: &Url) -> Result<Plan, String> {
    let found = Hosts::of(url, []).map_err(|error| format!("{} has no address: {error}.", url.host))?;
    let addresses: Vec<SocketAddr> = found.all[0].addresses.clone();
    let mut plan = plan.clone();
    for host in &mut plan.hosts.all {
        host.addresses.clone_from(&addresses);
    }
    plan.url = Url { target: plan.url.target.clone(), ..url.clone() };
    plan.transport = crate::load::meant::transport(typed, url.https)?;
    Ok(plan)
}

/// Loads all of them and tells what came of each; the first is the first.
///
/// # Errors
/// The system's, when threads cannot be started or pinned.
pub fn run(mut sides: Vec<Side>, stop: &Stop, view: &mut View) -> io::Result<Vec<(String, Run)>> {
    let mut round = 0;
    loop {
        let mut goes_on = false;
        for at in turns(sides.len(), round) {
            let Some(next) = sides[at].next() else { continue };
            view.at(&sides[at].name);
            let was_stopped = sides[at].step(round, next, stop, view)?;
            if was_stopped {
                return Ok(ended(sides));
            }
            goes_on = true;
            if sides[at].done.last().is_some_and(|done| !done.held) {
                rest(&mut sides, stop);
            }
        }
        round += 1;
        if !goes_on {
            return Ok(ended(sides));
        }
    }
}

/// Waits until all answer again: what is behind the place that broke may be behind another. Of one that does not, more loads would say
/// that they are too much for it.
fn rest(sides: &mut [Side], stop: &Stop) {
    for side in sides {
        side.is_down |= !side.is_down && !probe::answers_within(&side.plan, REST_MAX, stop);
    }
}

/// Who comes when: whoever was last in one round is the first of the next, so that nobody always comes after another.
fn turns(sides: usize, round: u32) -> Vec<usize> {
    let forward = 0..sides;
    if round.is_multiple_of(2) { forward.collect() } else { forward.rev().collect() }
}

/// What was measured; a place that was never reached has nothing.
fn ended(sides: Vec<Side>) -> Vec<(String, Run)> {
    let named = |side: Side| {
        let mut run = joined::judged(side.run?);
        run.stays_down = side.is_down;
        Some((side.name, run))
    };
    sides.into_iter().filter_map(named).collect()
}

impl Side {
    /// What comes next here.
    fn next(&self) -> Option<Next> {
        if self.is_down { None } else { self.plan.shape.next(&self.done) }
    }

    /// One step, a run by itself; true when it was stopped.
    fn step(&mut self, round: u32, next: Next, stop: &Stop, view: &mut View) -> io::Result<bool> {
        let mut plan = self.plan.clone();
        if matches!(plan.shape, Shape::Climb { .. } | Shape::Stages(_)) {
            plan.shape = Shape::Stages(vec![next.stage]);
        }
        // Another schedule for each round, and the same one everywhere.
        plan.seed = plan.seed.wrapping_add(u64::from(round) << 20);
        let mut run = tentpole_load::run_with(plan, Vec::new(), stop, &mut |event| view.event(event))?;
        let was_stopped = run.interrupted || run.stopped_for.is_some();
        let number = self.done.len() as u32 + 1;
        for step in &mut run.steps {
            step.phase = next.phase;
            self.done.push(Done { load: step.load, phase: step.phase, held: step.held });
        }
        // A step of which nothing came would be tried for ever.
        let is_empty = run.steps.is_empty();
        joined::add(&mut self.run, joined::numbered(run, number));
        Ok(was_stopped || is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_name_and_an_address_and_no_pages_of_its_own() {
        let direct = place("direct=http://127.0.0.1:3000").unwrap();
        assert_eq!((direct.name.as_str(), direct.url.port), ("direct", 3000));
        for wrong in ["http://127.0.0.1:3000", "=http://x", "a/b=http://x", "x=http://x/page", "x=ftp://x"] {
            assert!(place(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn nobody_always_comes_after_another() {
        assert_eq!(turns(3, 0), [0, 1, 2]);
        assert_eq!(turns(3, 1), [2, 1, 0]);
    }

    #[test]
    fn hosts_become_names_of_folders() {
        assert_eq!(plain_name("shop.localhost"), "shop.localhost");
        assert_eq!(plain_name("[::1]"), "--1");
    }
}
