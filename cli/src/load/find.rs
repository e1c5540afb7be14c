//! `tentpole load --find`: performs the trials that the search asks for, each a run of its own with a schedule of its own, and
//! makes one run of them. Where to look next is the search's; a trial that the generator could not perform is made once more, and if
//! that goes on, the search ends without an answer.

use crate::load::agents::Circle;
use crate::load::args::Load;
use crate::load::{joined, out::Outs, searching::Known, view::View};
use clap::Args;
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_load::agents::Missing;
use tentpole_load::climb::{Shape, Stage};
use tentpole_load::found::{Ended, Found, FoundDrift, FoundObjective, Scaling};
use tentpole_load::result::{
    BreakingPoint, Broke, Distrust, Model, Objective, Objectives, Phase, StepResult,
};
use tentpole_load::samples::{self, Sample};
use tentpole_load::think::Think;
use tentpole_load::{Plan, Run, Stop, duration, probe};
use tentpole_report::words::{duration as tell, in_the_way};
use tentpole_search::usl::{self, Point};
use tentpole_search::{Answer, Goal, Next, Page, Search, Settings, Step, Trial, Why};

/// Less time than this finds nothing.
const TIME_MIN: Duration = Duration::from_secs(5);
/// Time that a site gets to answer again after a load that broke it.
const REST_MAX: Duration = Duration::from_secs(10);
/// How often a trial is made until the generator has done what it asks for.
const ATTEMPTS_MAX: u32 = 4;
/// Time that a machine gets before a trial is made once more, and twice and three times that before the next.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A trial is no shorter than this many times to think.
const ROUNDS_MIN: f64 = 2.0;
/// So many of the shortest trials have room in the time.
const TRIALS_MIN: f64 = 4.0;
/// Resamples of the throughput's curve.
const RESAMPLES: usize = 500;
/// Below this share of the variance, the law has not understood the curve, and nothing is said about it.
const R_SQUARED_MIN: f64 = 0.9;

/// Searching in place of climbing
#[derive(Args, Debug, Default)]
pub struct Finding {
    /// Search for the breaking point, and answer with an interval
    #[arg(long, conflicts_with_all = ["profile", "replay", "time", "burst", "out_jtl"])]
    pub find: bool,
    /// With --find: longest time for all trials [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    pub find_time: Option<Duration>,
}

/// What is searched, in which order goals are numbered.
pub struct Wanted {
    settings: Settings,
    objectives: Vec<Objective>,
    ramp: Duration,
}

/// Finds out what is searched. Errors say what to type instead.
pub fn wanted(typed: &Load, plan: &Plan) -> Result<Wanted, String> {
    let Shape::Climb { from, to, ramp, whole, .. } = plan.shape else {
        return Err("--find needs loads to choose from: --visitors FROM..TO or --rate FROM..TO.".to_owned());
    };
    let time = typed.finding.find_time.unwrap_or(Duration::from_secs(300));
    if time < TIME_MIN {
        return Err(format!("--find-time is at least {} s.", TIME_MIN.as_secs()));
    }
    let (objectives, goals): (Vec<_>, Vec<_>) = goals(&plan.objectives).into_iter().unzip();
    if goals.is_empty() {
        return Err("--find needs an objective that can break: --p50, --p99 or --errors.".to_owned());
    }
    let mut settings = Settings::within(goals, from, to, whole, time.as_secs_f64());
    if plan.model == Model::Closed {
        // What is shorter than a visitor's way round sees a part of the visitors, and not what they do to one another.
        settings.short_s = settings.short_s.max(ROUNDS_MIN * thinking(plan).as_secs_f64());
        settings.full_s = settings.full_s.max(settings.short_s);
        let wanted_s = TRIALS_MIN * settings.short_s;
        if time.as_secs_f64() < wanted_s {
            let (thinks, wanted) = (tell(thinking(plan).as_secs_f64()), tell(wanted_s));
            return Err(format!("--find-time is at least {wanted} where visitors think for {thinks}."));
        }
    }
    let ramp = ramp.min(Duration::from_secs_f64(settings.short_s));
    Ok(Wanted { settings, objectives, ramp })
}

/// The longest mean time to think that there is on a visitor's way.
fn thinking(plan: &Plan) -> Duration {
    let steps = plan.journeys.all.iter().flat_map(|journey| &journey.steps);
    steps.map(|step| step.think.map_or(plan.think, Think::mean)).max().unwrap_or(plan.think)
}

fn goals(objectives: &Objectives) -> Vec<(Objective, Goal)> {
    let quantile = |at: f64| move |under_ms: f64| Goal::Quantile { at, under_ms };
    let all = [
        (Objective::P50, objectives.p50_ms.map(quantile(0.5))),
        (Objective::P99, objectives.p99_ms.map(quantile(0.99))),
        (Objective::Errors, objectives.errors_share.map(|under| Goal::Failures { under })),
    ];
    all.into_iter().filter_map(|(objective, goal)| Some((objective, goal?))).collect()
}

/// Where a trial is made.
pub struct Place<'p> {
    pub stop: &'p Stop,
    /// Who makes it in place of this machine.
    pub circle: Option<&'p Circle>,
    pub view: &'p mut View,
    pub outs: &'p mut Outs,
}

/// Searches, and tells what came of it as one run: its steps are the trials.
///
/// # Errors
/// The system's, when threads cannot be started or pinned; an agent that is gone before the first trial.
pub fn run(plan: Plan, wanted: &Wanted, place: &mut Place<'_>) -> io::Result<Run> {
    let mut search = Search::new(wanted.settings.clone());
    let mut whole: Option<Run> = None;
    let (mut number, mut repeated) = (0, 0);
    place.view.search(wanted.settings.from, wanted.settings.to, wanted.settings.time_s);
    let ended = loop {
        let (load, time_s, step) = match search.next() {
            Next::Done(why) => break Ok(why),
            Next::Try { load, time_s, step } => (load, time_s, step),
        };
        number += 1;
        place.view.trial(number, load, time_s, step, known(&search, wanted));
        let asked = (number, load, time_s, step);
        let mut tried = attempt(&plan, wanted, asked, place);
        for again in 1..ATTEMPTS_MAX {
            let Ok((run, _)) = &tried else { break };
            if run.interrupted || run.stopped_for.is_some() || !is_in_the_way(run, step) {
                break;
            }
            repeated += 1;
            place.view.says(&once_more(run));
            // What holds a machine up is often over in a few seconds.
            place.stop.wait(AGAIN_AFTER * again);
            tried = attempt(&plan, wanted, asked, place);
        }
        let (run, pages) = match (tried, &mut whole) {
            (Ok(both), _) => both,
            (Err(error), Some(run)) => {
                lose(run, error)?;
                break Err(Ended::Distrusted);
            }
            (Err(error), None) => return Err(error),
        };
        // Who loses an agent is stopped, and has found nothing.
        if run.agents.iter().any(|agent| agent.lost_at_s.is_some()) {
            add(&mut whole, run);
            break Err(Ended::Distrusted);
        }
        let was_stopped = run.interrupted || run.stopped_for.is_some();
        let is_distrusted = is_in_the_way(&run, step);
        let held = run.steps.first().is_some_and(|step| step.held);
        let took_s = run.steps.first().map_or(time_s, |step| step.took_s);
        add(&mut whole, run);
        if is_distrusted && !was_stopped {
            break Err(Ended::Distrusted);
        }
        if was_stopped {
            break Ok(Why::Stopped);
        }
        search.tell(&Trial { load, time_s: took_s, pages });
        if !held {
            place.view.rests();
            let answers = probe::answers_within(&plan, REST_MAX, place.stop);
            if place.stop.is_now() {
                break Ok(Why::Stopped);
            }
            if !answers {
                break Err(Ended::StaysDown);
            }
        }
    };
    let why = ended.unwrap_or(Why::Stopped);
    let mut answer = search.answer(why);
    let mut run = whole.ok_or_else(|| io::Error::other("no trial was made"))?;
    let ended = match (ended, why) {
        (Err(ended), _) => ended,
        (_, Why::Clear | Why::NoNarrower) => Ended::Clear,
        (_, Why::Below) => Ended::Below,
        (_, Why::TimeIsUp) => Ended::TimeIsUp,
        (_, Why::Stopped) => Ended::Stopped,
    };
    if ended == Ended::Distrusted {
        // Nobody knows whose fault it was.
        (answer.breaks, answer.estimate, answer.first) = (None, None, None);
    } else {
        run.distrust.clear();
    }
    run.trusted = run.distrust.is_empty();
    // Also where it was in between two trials.
    run.interrupted |= ended == Ended::Stopped;
    run.stays_down = ended == Ended::StaysDown;
    let found = found(&answer, wanted, ended, repeated, &run);
    run.highest_held = found.holds;
    run.breaking_point = breaking_point(&found, &run);
    run.found = Some(found);
    Ok(run)
}

/// An agent that is gone between two trials: what the others brought is kept.
fn lose(run: &mut Run, error: io::Error) -> io::Result<()> {
    let Some(missing) = error.get_ref().and_then(|error| error.downcast_ref::<Missing>()) else {
        return Err(error);
    };
    let (agent, because) = (missing.agent.clone(), format!("before another trial it {}", missing.says));
    let at_s = (run.took_s * 10.0).round() / 10.0;
    if let Some(lost) = run.agents.iter_mut().find(|one| one.name == agent) {
        (lost.lost_at_s, lost.lost_because) = (Some(at_s), Some(because.clone()));
    }
    run.distrust = vec![Distrust::AgentLost { agent, at_s, because }];
    run.interrupted = true;
    Ok(())
}

/// What is known before a trial.
fn known(search: &Search, wanted: &Wanted) -> Known {
    let answer = search.answer(Why::Stopped);
    let (holds, breaks) = answer.leaning;
    Known { holds, breaks, left_s: wanted.settings.time_s - answer.time_s }
}

/// Why a trial is made again.
fn once_more(run: &Run) -> String {
    let why = run.distrust.first().map_or("the generator was in the way", in_the_way);
    format!("           {why}; once more:")
}

/// One trial: a run with a schedule of its own.
fn attempt(
    plan: &Plan,
    wanted: &Wanted,
    (number, load, time_s, step): (u32, f64, f64, Step),
    place: &mut Place<'_>,
) -> io::Result<(Run, Vec<Page>)> {
    let mut plan = plan.clone();
    let time = Duration::from_secs_f64(time_s);
    plan.shape = Shape::Trial(Stage { load, time, ramp: wanted.ramp, burst: None });
    // Another schedule for each, and all of them again with the same seed.
    plan.seed = plan.seed.wrapping_add(u64::from(number) << 20);
    let model = plan.model;
    let (samples, received, lost) = samples::queue();
    plan.samples = Some(samples);
    let collecting = std::thread::Builder::new()
        .name("trial".to_owned())
        .spawn(move || received.into_iter().collect::<Vec<Sample>>())?;
    // Each trial finds the agents' clocks anew.
    let agents = place.circle.map(|circle| circle.join(&mut plan)).transpose().map_err(io::Error::other)?;
    let run = tentpole_load::run_with(plan, agents.unwrap_or_default(), place.stop, &mut |event| {
        place.outs.event(event);
        place.view.event(event);
    });
    let all = collecting.join().map_err(|_| io::Error::other("a thread of ours panicked"))?;
    let mut run = run?;
    if lost.load(Relaxed) > 0 {
        let count = lost.load(Relaxed);
        run.distrust.push(Distrust::GeneratorFull { step: 1, count });
        run.trusted = false;
    }
    for one in &mut run.steps {
        one.phase = if step == Step::Double { Phase::Climb } else { Phase::Refine };
    }
    let run = joined::numbered(run, number);
    let pages = run.steps.first().map(|step| judged(&run, step, model, all)).unwrap_or_default();
    Ok((run, pages))
}

/// The page loads that are judged, in the order in which they were due.
fn judged(run: &Run, step: &StepResult, model: Model, mut all: Vec<Sample>) -> Vec<Page> {
    let from = run.started_unix_ms * 1_000 + (step.began_s * 1e6) as u64;
    let to = from + (step.took_s * 1e6) as u64;
    let is_judged = |sample: &Sample| {
        let due = sample.due_unix_us;
        let is_in = due >= from && due < to;
        // Who waited all the time is judged too, as in every step.
        let is_stuck = model == Model::Closed && due < from && due + sample.took.as_micros() as u64 >= to;
        is_in || is_stuck
    };
    all.retain(is_judged);
    all.sort_by_key(|sample| sample.due_unix_us);
    let page = |sample: &Sample| Page {
        took_ms: sample.failure.is_none().then_some(sample.took.as_secs_f64() * 1_000.0),
    };
    all.iter().map(page).collect()
}

/// Whether the generator was in the way. That a tail had few requests is the search's to judge. A load that held although the generator
/// was late would have held without that too: on the way up that is enough, and near the place nothing is.
fn is_in_the_way(run: &Run, step: Step) -> bool {
    let held = step == Step::Double && run.steps.iter().all(|step| step.held);
    run.distrust.iter().any(|why| match why {
        Distrust::FewRequests { .. } => false,
        Distrust::Lag { .. } => !held,
        Distrust::GeneratorFull { .. } | Distrust::NoPort { .. } | Distrust::AgentLost { .. } => true,
    })
}

/// Appends a trial's run to those before it. Of the generator, what it was like in the last one counts; that a tail had few requests
/// is the search's to judge.
fn add(whole: &mut Option<Run>, mut run: Run) {
    run.distrust.retain(|why| !matches!(why, Distrust::FewRequests { .. }));
    if let Some(all) = whole {
        all.distrust.clear();
    }
    joined::add(whole, run);
}

fn found(answer: &Answer, wanted: &Wanted, ended: Ended, repeated: u32, run: &Run) -> Found {
    let of = |goal: &usize| wanted.objectives[*goal];
    let objectives = answer.goals.iter().enumerate().map(|(goal, one)| FoundObjective {
        objective: of(&goal),
        holds: one.holds,
        breaks: one.breaks,
        estimate: one.estimate.map(short),
    });
    Found {
        holds: answer.holds.map(short),
        breaks: answer.breaks.map(short),
        estimate: answer.estimate.map(short),
        confidence: 0.95,
        first: answer.first.as_ref().map(of),
        with_it: answer.with_it.iter().map(of).collect(),
        objectives: objectives.collect(),
        seems_to_hold: answer.leaning.0,
        seems_to_break: answer.leaning.1,
        drift: answer.drift.map(|drift| FoundDrift {
            held: drift.held,
            broke: drift.broke,
            worse: drift.worse,
        }),
        trials: run.steps.len() as u32,
        repeated,
        trial_time_s: short(answer.time_s),
        ended,
        scaling: (ended != Ended::Distrusted).then(|| scaling(run)).flatten(),
    }
}

/// Four digits: more would only pretend.
fn short(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}

/// The place as other reports have it: the most probable load, and what was seen at the nearest trial in which it broke.
fn breaking_point(found: &Found, run: &Run) -> Option<BreakingPoint> {
    let load = found.estimate.or(found.breaks)?;
    let first = found.first?;
    let all = run.steps.iter().filter_map(|step| Some((step.load, step.broke?)));
    let near = all
        .filter(|(_, broke)| broke.objective == first)
        .min_by(|(a, _), (b, _)| (a - load).abs().total_cmp(&(b - load).abs()));
    let wanted = match first {
        Objective::P50 => run.objectives.p50_ms,
        Objective::P99 => run.objectives.p99_ms,
        Objective::Errors => run.objectives.errors_share,
    };
    let unseen = Broke { objective: first, seen: None, wanted: wanted? };
    Some(BreakingPoint { load, broke: near.map_or(unseen, |(_, broke)| broke) })
}

/// The law of scaling through what was answered a second, where it fits.
fn scaling(run: &Run) -> Option<Scaling> {
    let loads: BTreeSet<u64> = run.steps.iter().map(|step| step.load.to_bits()).collect();
    let point = |load: &u64| {
        let load = f64::from_bits(*load);
        let all = run.steps.iter().filter(|step| step.load.to_bits() == load.to_bits());
        let (answered, time) = all.fold((0.0, 0.0), |(answered, time), step| {
            (answered + (step.requests - step.failed.min(step.requests)) as f64, time + step.took_s)
        });
        Point { n: load, x: answered / time.max(1e-9) }
    };
    let points: Vec<Point> = loads.iter().map(point).collect();
    let fit = usl::fit(&points, RESAMPLES, run.seed)?;
    let pair = |within: tentpole_search::confidence::Interval| (within.low, within.high);
    (run.model == Model::Closed && fit.r_squared >= R_SQUARED_MIN).then(|| Scaling {
        alpha: fit.law.alpha,
        alpha_within: pair(fit.alpha_within),
        beta: fit.law.beta,
        beta_within: pair(fit.beta_within),
        peak: fit.peak,
        peak_within: fit.peak_within.map(pair),
        r_squared: fit.r_squared,
    })
}
