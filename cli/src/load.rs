//! `tentpole load URL`: raises load step by step until an objective breaks, shows it, leaves a report. Refuses hosts
//! that nobody has confirmed.

mod agents;
pub mod args;
mod collector;
mod compare;
mod confirm;
mod find;
mod idle;
pub mod import;
mod joined;
mod keep;
mod meant;
mod out;
mod replay;
mod resolvers;
pub mod scrape;
mod searching;
mod view;
mod words;

use crate::say;
use args::Load;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use tentpole_load::found::{Ended, Found};
use tentpole_load::means::{self, Lack, Share};
use tentpole_load::probe::{Probed, by_other_scheme, probe};
use tentpole_load::result::FailureCause;
use tentpole_load::transport::Version;
use tentpole_load::verdict::lowest_broken;
use tentpole_load::{Plan, Run, Stop};
use tentpole_model::TlsFault;
use tentpole_runtime::descriptors;
use tokio::signal::unix::{SignalKind, signal};

/// An objective did not hold, as with k6.
const BROKEN: u8 = 99;
/// The generator failed, or a part of it.
const GENERATOR_FAILED: u8 = 1;
/// Nobody answers.
const UNREACHABLE: u8 = 3;
/// The call is wrong, or not allowed.
const WRONG: u8 = 2;
/// Ended by Ctrl-C before anything was judged, as shells have it.
const INTERRUPTED: u8 = 130;

/// Loads, and tells by the exit code what came of it.
pub fn run(typed: &Load) -> ExitCode {
    match &typed.command {
        Some(args::LoadCommand::Import(typed)) => return import::run(typed),
        Some(args::LoadCommand::Agent(typed)) => return agents::serve(typed),
        None => {}
    }
    match load(typed) {
        Ok(code) => code,
        Err((code, says)) => {
            if !says.is_empty() {
                say::error(&says);
            }
            ExitCode::from(code)
        }
    }
}

fn load(typed: &Load) -> Result<ExitCode, (u8, String)> {
    let plan = meant::plan(typed).map_err(|wrong| match wrong {
        meant::Wrong::Call(says) => (WRONG, says),
        meant::Wrong::Unreachable(says) => (UNREACHABLE, says),
    })?;
    let sides = compare::sides(typed, &plan).map_err(|says| (WRONG, says))?;
    if sides.len() > 1 {
        return compared(typed, sides);
    }
    // The report may lie where the new one will.
    let before = typed.baseline.as_deref().map(earlier).transpose().map_err(|says| (WRONG, says))?;
    let finding = typed.finding.find.then(|| find::wanted(typed, &plan)).transpose();
    let finding = finding.map_err(|says| (WRONG, says))?;
    let circle = typed.others.circle(typed).map_err(|says| (WRONG, says))?;
    // Before anything is sent, the first question included.
    if !confirm::confirmed(&plan, &typed.i_may_load) {
        return Err((WRONG, String::new()));
    }
    keep::ready(&typed.out).map_err(|says| (WRONG, says))?;
    let mut plan = plan;
    let mut outs = out::Outs::open(typed, &mut plan).map_err(|says| (WRONG, says))?;
    plan.hosts.prefer(reach(&plan)?);
    let mut agents = Vec::new();
    if let Some(circle) = &circle {
        // A search makes a run of each trial, and joins them anew for it.
        let joined = match finding {
            Some(_) => circle.rehearse(&mut plan),
            None => circle.join(&mut plan).map(|joined| {
                agents::warn_of_lacks(&joined);
                agents = joined;
            }),
        };
        joined.map_err(|missing| (UNREACHABLE, missing.to_string()))?;
    } else {
        ports_suffice(&plan).map_err(|says| (WRONG, says))?;
    }
    if let Some(url) = &plan.stop_when {
        tentpole_load::real::recognises(url, &plan).map_err(|says| (WRONG, says))?;
    }
    if circle.is_none() {
        warn_of_few_descriptors(&plan);
    }
    if plan.transport.is_unverified() {
        say::warning("--insecure: whoever answers is believed; the report says so.");
    }
    let stop = Stop::default();
    let mut view = view::View::new(&plan, typed.plain);
    stop_on_signal(stop.clone(), view.redraws()).map_err(|error| (1, error.to_string()))?;
    view.begin();
    let run = match &finding {
        Some(wanted) => {
            let (stop, circle) = (&stop, circle.as_ref());
            let mut place = find::Place { stop, circle, view: &mut view, outs: &mut outs };
            find::run(plan, wanted, &mut place)
        }
        None => tentpole_load::run_with(plan, agents, &stop, &mut |event| {
            outs.event(event);
            view.event(event);
        }),
    };
    view.end();
    let mut run = run.map_err(|error| generator_failed(&error, typed))?;
    if let Some(before) = &before {
        run.since = tentpole_report::baseline::since(before, &run);
    }
    say::out(&format!("\n{}", words::summary(&run, view::text_width())));
    outs.end(&run);
    let kept = keep::write(&run, &typed.out).map_err(|says| (1, says))?;
    if let Some(why) = &kept.elsewhere {
        say::warning(&format!("the report is not where it was wanted: {why}."));
    }
    if let Some(before) = &kept.before {
        say::out(&format!("The run before is kept: {}\n", before.display()));
    }
    say::out(&format!("Report: {}\n", kept.page.display()));
    Ok(ExitCode::from(verdict(&run)))
}

/// The same at several places. What the exit code says is of the first.
fn compared(typed: &Load, mut sides: Vec<compare::Side>) -> Result<ExitCode, (u8, String)> {
    if !sides.iter().all(|side| confirm::confirmed(&side.plan, &typed.i_may_load)) {
        return Err((WRONG, String::new()));
    }
    for side in &mut sides {
        side.plan.hosts.prefer(reach(&side.plan)?);
        ports_suffice(&side.plan).map_err(|says| (WRONG, says))?;
    }
    // Last: where nobody answers, no folder is left.
    for side in &sides {
        keep::ready(&typed.out.join(&side.name)).map_err(|says| (WRONG, says))?;
    }
    let plan = &sides[0].plan;
    if let Some(url) = &plan.stop_when {
        tentpole_load::real::recognises(url, plan).map_err(|says| (WRONG, says))?;
    }
    warn_of_few_descriptors(plan);
    if sides.iter().any(|side| side.plan.transport.is_unverified()) {
        say::warning("--insecure: whoever answers is believed; the reports say so.");
    }
    let stop = Stop::default();
    let mut view = view::View::new(plan, typed.plain);
    stop_on_signal(stop.clone(), view.redraws()).map_err(|error| (1, error.to_string()))?;
    view.begin();
    let runs = compare::run(sides, &stop, &mut view);
    view.end();
    let runs = runs.map_err(|error| generator_failed(&error, typed))?;
    let Some((_, first)) = runs.first() else { return Ok(ExitCode::from(INTERRUPTED)) };
    let named: Vec<(&str, &Run)> = runs.iter().map(|(name, run)| (name.as_str(), run)).collect();
    say::out(&format!("\n{}", words::comparison(&named, view::text_width())));
    for (name, run) in &named {
        let kept = keep::write(run, &typed.out.join(name)).map_err(|says| (1, says))?;
        if let Some(why) = &kept.elsewhere {
            say::warning(&format!("the report of {name} is not where it was wanted: {why}."));
        }
        say::out(&format!("Report of {name}: {}\n", kept.page.display()));
    }
    let page = keep::page(&typed.out.join("compared.html"), &tentpole_report::compare(&named));
    let page = page.map_err(|says| (1, says))?;
    say::out(&format!("Compared: {}\n", page.display()));
    Ok(ExitCode::from(verdict(first)))
}

/// The report of an earlier run. Errors say what is wrong with it.
fn earlier(path: &Path) -> Result<Run, String> {
    let named = |why: String| format!("--baseline {}: {why}", path.display());
    let text = std::fs::read_to_string(path)
        .map_err(|error| named(format!("this file cannot be read: {error}.")))?;
    tentpole_report::read(&text).map_err(|error| named(error.to_string()))
}

/// What the exit code says. An interrupted run says what was seen until then.
fn verdict(run: &Run) -> u8 {
    if run.agents.iter().any(|agent| agent.lost_at_s.is_some()) {
        return GENERATOR_FAILED;
    }
    if let Some(found) = &run.found {
        return found_verdict(found);
    }
    // Also where it cannot be said whose fault it was: nobody may take it for a run that held.
    match (lowest_broken(&run.steps), run.highest_held) {
        (Some(_), _) => BROKEN,
        (None, Some(_)) => 0,
        (None, None) if run.interrupted => INTERRUPTED,
        // No request was due in any step: nothing held.
        (None, None) => BROKEN,
    }
}

/// The same for a search: a generator that could not do it has failed, and found nothing.
fn found_verdict(found: &Found) -> u8 {
    match found {
        found if found.ended == Ended::Distrusted => GENERATOR_FAILED,
        Found { breaks: Some(_), .. } | Found { seems_to_break: Some(_), .. } => BROKEN,
        Found { holds: Some(_), .. } | Found { seems_to_hold: Some(_), .. } => 0,
        found if found.ended == Ended::Stopped => INTERRUPTED,
        _ => BROKEN,
    }
}

/// Why the certificate is not believed, and what to type.
fn disbelieved(plan: &Plan) -> String {
    let host = &plan.url.host;
    match plan.transport.disbelief.why() {
        Some(TlsFault::Untrusted) => {
            "is signed by nobody whom this machine knows. --ca FILE names an authority, or the \
             certificate itself where it signed itself; --insecure believes anybody."
                .to_owned()
        }
        Some(TlsFault::WrongName) => format!(
            "is for another name than {host}. Is that the name by which visitors come? --insecure believes anybody."
        ),
        Some(TlsFault::Expired) => {
            "has expired; browsers do not take it either. --insecure believes anybody.".to_owned()
        }
        Some(TlsFault::NotYetValid) => {
            "holds only later. Is this machine's clock right? --insecure believes anybody.".to_owned()
        }
        _ => "is not to be believed. --ca FILE names an authority; --insecure believes anybody.".to_owned(),
    }
}

/// One request first: is anybody there, and at which address?
fn reach(plan: &Plan) -> Result<SocketAddr, (u8, String)> {
    let probed = probe(plan).map_err(|error| (1, error.to_string()))?;
    let address = plan.hosts.all[0].addresses.first().map(ToString::to_string).unwrap_or_default();
    if let Some(other) = may_be_the_other(&probed, plan).then(|| by_other_scheme(plan)).flatten() {
        let speaks = if other.https { "speaks TLS" } else { "does not speak TLS" };
        let says = format!("{} ({address}) {speaks}, and answers as {other}. Load that instead.", plan.url);
        return Err((UNREACHABLE, says));
    }
    match probed {
        Probed::Answered { status, from } => {
            // A journey asks for pages of its own, and says which statuses are good.
            if status >= 400 && plan.journeys.is_one_page() {
                say::warning(&format!("{} answers with {status}; that counts as a failure.", plan.url));
            }
            Ok(from)
        }
        Probed::LeadsAway(there) => Err((
            UNREACHABLE,
            format!("{} redirects to {there}, which is another host or port. Load that instead.", plan.url),
        )),
        Probed::Unreachable(FailureCause::Certificate) => Err((
            UNREACHABLE,
            format!("{} ({address}) shows a certificate that {}", plan.url, disbelieved(plan)),
        )),
        Probed::Unreachable(FailureCause::Tls) => Err((
            UNREACHABLE,
            format!(
                "{} ({address}) does not speak TLS as it is wanted: is this its port for https{}?",
                plan.url,
                if plan.transport.version == Version::Http2 {
                    ", and does it speak HTTP/2 there"
                } else {
                    ""
                }
            ),
        )),
        Probed::Unreachable(cause @ (FailureCause::Malformed | FailureCause::ClosedEarly)) => Err((
            UNREACHABLE,
            format!(
                "{} ({address}) does not answer as a web server does: {}. Is this its port?",
                plan.url,
                cause.words()
            ),
        )),
        Probed::Unreachable(FailureCause::ConnectTimedOut) if plan.url.https => Err((
            UNREACHABLE,
            format!(
                "{} ({address}) does not answer: no connection with TLS in time. Is it running, and is this its port for \
                 https?",
                plan.url
            ),
        )),
        Probed::Unreachable(cause) => Err((
            UNREACHABLE,
            format!(
                "{} ({address}) does not answer: {}. Is it running, and is this its port?",
                plan.url,
                cause.words()
            ),
        )),
    }
}

/// Whether this is how a place answers that speaks TLS and is asked without it, or the other way round.
fn may_be_the_other(probed: &Probed, plan: &Plan) -> bool {
    use FailureCause::{ClosedEarly, ConnectTimedOut, Malformed, Reset, TimedOut, Tls};
    match probed {
        Probed::Answered { status, .. } => *status == 400 && !plan.url.https,
        Probed::LeadsAway(_) => false,
        Probed::Unreachable(ClosedEarly | Malformed | Reset | TimedOut) => true,
        Probed::Unreachable(ConnectTimedOut | Tls) => plan.url.https,
        Probed::Unreachable(_) => false,
    }
}

/// Whether this machine has ports for what is planned. What surely has none is a mistake.
fn ports_suffice(plan: &Plan) -> Result<(), String> {
    let sources = plan.transport.sources.len();
    if let Some(to) = plan.hosts.all[0].addresses.first().filter(|_| sources > 0) {
        let most = plan.transport.connections_max(*to);
        let from = if sources == 1 { "1 address".to_owned() } else { format!("{sources} addresses") };
        say::out(&format!("{most} connections to {to} are possible, from {from}.\n"));
    }
    match means::ports(plan, Share::WHOLE) {
        None => Ok(()),
        Some(Lack::Certain(says)) => Err(says),
        Some(Lack::Possible(says)) => {
            say::warning(&says);
            Ok(())
        }
    }
}

fn warn_of_few_descriptors(plan: &Plan) {
    if let Some(Lack::Certain(says) | Lack::Possible(says)) =
        means::files(plan, Share::WHOLE, descriptors::raise_limit())
    {
        say::warning(&says);
    }
}

fn generator_failed(error: &std::io::Error, typed: &Load) -> (u8, String) {
    match &typed.cpu {
        Some(_) if error.kind() == std::io::ErrorKind::InvalidInput => {
            let says =
                "--cpu: this machine has no such core, or it is not ours. `taskset -pc $$` tells which are.";
            (WRONG, says.to_owned())
        }
        _ => (1, format!("the generator failed: {error}.")),
    }
}

/// The first Ctrl-C (or SIGTERM) ends the run and keeps what was measured; the second ends the process at once.
fn stop_on_signal(stop: Stop, has_cursor: bool) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut interrupt, mut terminate) = runtime.block_on(async {
        Ok::<_, std::io::Error>((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    })?;
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            for number in 0.. {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                if number > 0 {
                    if has_cursor {
                        say::out(view::SHOW_CURSOR);
                    }
                    std::process::exit(i32::from(INTERRUPTED));
                }
                stop.now();
            }
        });
    })?;
    Ok(())
}
