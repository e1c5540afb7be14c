//! One run from its beginning to its result: orders the threads, closes each step when all that was due in it has
//! ended, asks the pure rooms what it means and what comes next. What was counted becomes results in `counted`. Sends no request itself.

mod counted;
mod told;

pub use told::{Event, Live, Stop};

use crate::agents::{self, Agent, Links};
use crate::climb::{Done, Next, Shape};
use crate::generator::{self, Orders, Shared};
use crate::plan::Plan;
use crate::probe::answers_until;
use crate::real::{self, Onlooker, Suffering};
use crate::record::{Moment, Record, Tally, Window};
use crate::result::{Model, Phase, Run, Second, StepResult};
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_runtime::clock::{self, Instant};
use tokio::sync::watch;

/// Entries of [`Run::seconds`] for what is planned; longer runs have wider ones. Waiting for slow responses may
/// double them, and no more.
const SECONDS_MAX: u32 = 3_600;
/// Time for orders to reach the threads before they begin.
const AHEAD: Duration = Duration::from_millis(5);
/// How often the end of a step's last request is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Time for agents to tell what they have counted, when a run is ended before its time.
const TOLD_MAX: Duration = Duration::from_secs(2);

/// Time that a site gets to answer again once the load that broke it is gone.
const REST_MAX: Duration = Duration::from_secs(10);

/// Performs a run. Blocks until it is over or stopped.
///
/// # Errors
/// The system's, when threads cannot be started or pinned.
pub fn run(plan: Plan, stop: &Stop, watch: &mut dyn FnMut(&Event<'_>)) -> io::Result<Run> {
    run_with(plan, Vec::new(), stop, watch)
}

/// The same where agents make the load, which have been prepared for this plan ([`agents::prepare`]); without any, threads of
/// this process do.
///
/// # Errors
/// The system's, when threads cannot be started or pinned.
pub fn run_with(
    plan: Plan,
    agents: Vec<Agent>,
    stop: &Stop,
    watch: &mut dyn FnMut(&Event<'_>),
) -> io::Result<Run> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if !plan.cpus.is_empty() {
        // Each must be there: of a list, the system takes what it has and says nothing of the rest.
        for cpu in &plan.cpus {
            generator::pin_to(&[*cpu])?;
        }
        // The threads inherit it; each then takes its own one.
        generator::pin_to(&plan.cpus)?;
    }
    let onlooker = plan.stop_when.as_ref().map(|url| Onlooker::new(url, plan.objectives));
    let mut conductor = Conductor::start(Arc::new(plan), agents, stop)?;
    let onlooker = onlooker.map(|onlooker| look_on(onlooker, stop.clone()));
    let mut done = Vec::new();
    let mut steps = Vec::new();
    let (mut interrupted, mut stays_down) = (false, false);
    while !interrupted {
        let Some(next) = conductor.plan.shape.next(&done) else { break };
        let number = steps.len() as u32 + 1;
        // Of a site that is down, lower loads would say that they are too much for it.
        if next.phase == Phase::Refine && done.last().is_some_and(|last| !last.held) {
            watch(&Event::Rests);
            match conductor.rest(number, next, stop, watch) {
                Rested::Answers => {}
                Rested::Down => {
                    stays_down = true;
                    break;
                }
                Rested::Stopped => {
                    interrupted = true;
                    break;
                }
            }
        }
        watch(&Event::Began { number, next });
        let (result, was_stopped) = conductor.step(number, next, stop, watch);
        interrupted = was_stopped;
        if conductor.threads.iter().any(|(_, thread)| thread.is_finished()) {
            // Only a part of the load was made: there is nothing to say about the rest.
            break;
        }
        if let Some(result) = result {
            done.push(Done { load: result.load, phase: result.phase, held: result.held });
            watch(&Event::Ended(&result));
            steps.push(result);
        }
    }
    let suffering = onlooker.and_then(|(is_over, looking)| {
        is_over.now();
        looking.join().ok().flatten()
    });
    conductor.end(steps, interrupted, stays_down, cores as u32, suffering)
}

/// Looks at real visitors until the run is over, and ends it when they suffer; says why.
fn look_on(mut onlooker: Onlooker, stop: Stop) -> (Stop, JoinHandle<Option<Suffering>>) {
    let is_over = Stop::default();
    let over = is_over.clone();
    let looking = std::thread::spawn(move || {
        while !over.wait(real::ASK_EVERY) {
            if let Some(suffering) = onlooker.look() {
                stop.now();
                return Some(suffering);
            }
        }
        None
    });
    (is_over, looking)
}

struct Conductor {
    plan: Arc<Plan>,
    threads: Vec<(Arc<Shared>, JoinHandle<io::Result<()>>)>,
    /// Of agents, where they make the load.
    links: Option<Links>,
    orders: watch::Sender<Orders>,
    began: Instant,
    names: Vec<String>,
    /// Of the journeys: their names, and those of each step.
    tags: (Vec<String>, Vec<Vec<usize>>),
    load: f64,
    seconds: Vec<Second>,
    width: u32,
    /// When the second at hand began.
    second_began: Instant,
}

/// What came of taking the load away.
enum Rested {
    /// The site answers.
    Answers,
    /// It did not in the time it had.
    Down,
    /// The run was stopped meanwhile.
    Stopped,
}

/// The times of one step.
struct Step {
    number: u32,
    next: Next,
    orders: Orders,
    window: Window,
    /// Everything since the window began.
    so_far: Moment,
}

impl Conductor {
    fn start(plan: Arc<Plan>, agents: Vec<Agent>, stop: &Stop) -> io::Result<Self> {
        let names = plan.journeys.step_names();
        let tags = plan.journeys.tags();
        let none = Orders::none(clock::renew());
        let (orders, received) = watch::channel(none);
        let (mut threads, mut links) = (Vec::new(), None);
        let own = if agents.is_empty() { plan.threads } else { 0 };
        if !agents.is_empty() {
            let (all, linked) = agents::start(agents, names.len(), &received, stop)?;
            (links, threads) = (Some(all), linked);
        }
        for number in 0..own {
            let shared = Arc::new(Shared::new(names.len()));
            let thread = generator::start(plan.clone(), shared.clone(), number, received.clone())?;
            threads.push((shared, thread));
        }
        // Time begins when all are there: on a busy machine a step could be over before one has begun.
        let is_there = |(shared, thread): &(Arc<Shared>, JoinHandle<_>)| {
            shared.cpu_us.load(Relaxed) > 0 || thread.is_finished()
        };
        while !threads.iter().all(is_there) {
            std::thread::sleep(LOOK_EVERY / 10);
        }
        let began = clock::renew();
        let width = (plan.shape.time_max().as_secs() as u32).div_ceil(SECONDS_MAX).max(1);
        let seconds = Vec::new();
        if let Some(resolvers) = &plan.resolvers {
            resolvers.begin(began, width);
        }
        if let Some(links) = &links {
            let _ = links.began.set((began, width));
        }
        Ok(Self {
            plan,
            threads,
            links,
            orders,
            began,
            names,
            tags,
            load: 0.0,
            seconds,
            width,
            second_began: began,
        })
    }

    /// Runs one step. No result when it was stopped before it was judged at all.
    fn step(
        &mut self,
        number: u32,
        next: Next,
        stop: &Stop,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> (Option<StepResult>, bool) {
        let begin = clock::now().after(self.links.as_ref().map_or(AHEAD, |links| links.ahead));
        let orders = Orders {
            begin,
            ramp: next.stage.ramp,
            from: self.load,
            to: next.stage.load,
            burst: next.stage.burst,
            is_end: false,
        };
        let from = begin.after(next.stage.ramp);
        let window = Window { from, to: from.after(next.stage.time) };
        for (shared, _) in &self.threads {
            let fresh = Tally::new(self.names.len());
            lock(shared).open(window, fresh, self.plan.model == Model::Closed);
        }
        self.orders.send_replace(orders);
        let mut step = Step { number, next, orders, window, so_far: Moment::default() };

        let mut interrupted = self.pass_until(from, &mut step, stop, watch);
        let cpu = self.cpu_us();
        if !interrupted {
            interrupted = match self.plan.shape {
                Shape::Crews { visitors, .. } => self.pass_until_gone(visitors, &mut step, stop, watch),
                Shape::Replay { .. } => self.pass_until_gone(self.plan.threads, &mut step, stop, watch),
                _ => self.pass_until(window.to, &mut step, stop, watch),
            };
        }
        let cpu = self.cpu_us() - cpu;
        let now = clock::now();
        if interrupted {
            step.window.to = now.min(step.window.to).max(step.window.from);
            for (shared, _) in &self.threads {
                lock(shared).window.to = step.window.to;
            }
            self.wait_for_agents();
        } else {
            // Every request ends by its time-out; the rest is the sweep's, and some patience with a slow machine.
            let latest = now.after(self.plan.timeout + Duration::from_secs(2));
            while self.pending() > 0 && clock::now() < latest && !interrupted {
                interrupted = self.pass_until(clock::now().after(LOOK_EVERY), &mut step, stop, watch);
            }
        }
        self.load = next.stage.load;
        if step.window.to <= step.window.from {
            return (None, interrupted);
        }
        let result = self.result(&step, cpu);
        // Of a step that was cut off before anything ended there is nothing to say.
        ((!interrupted || result.requests > 0).then_some(result), interrupted)
    }

    /// What agents have counted until they are told to end is on its way.
    fn wait_for_agents(&self) {
        let latest = clock::now().after(TOLD_MAX);
        while self.links.is_some() && self.pending() > 0 && clock::now() < latest {
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Lets time pass until so many have left (visitors of crews, threads of a replay), at the latest until the step's end; what is judged ends
    /// then. True when the run was stopped.
    fn pass_until_gone(
        &mut self,
        wanted: u32,
        step: &mut Step,
        stop: &Stop,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> bool {
        let latest = step.window.to;
        let gone =
            |this: &Self| -> u32 { this.threads.iter().map(|(shared, _)| shared.gone.load(Relaxed)).sum() };
        let mut interrupted = false;
        while !interrupted && gone(self) < wanted && clock::now() < latest {
            interrupted = self.pass_until(clock::now().after(LOOK_EVERY).min(latest), step, stop, watch);
        }
        step.window.to = clock::now().min(latest).max(step.window.from.after(LOOK_EVERY));
        for (shared, _) in &self.threads {
            lock(shared).window.to = step.window.to;
        }
        interrupted
    }

    /// Takes the load away and asks now and then, until the site answers without an error of its own: for
    /// [`REST_MAX`], or as long as a step where that is shorter.
    fn rest(&mut self, number: u32, next: Next, stop: &Stop, watch: &mut dyn FnMut(&Event<'_>)) -> Rested {
        let begin = clock::now();
        let until = begin.after(next.stage.time.min(REST_MAX));
        let orders = Orders { from: self.load, ..Orders::none(begin) };
        self.orders.send_replace(orders);
        self.load = 0.0;
        let window = Window { from: until, to: until };
        let mut step = Step { number, next, orders, window, so_far: Moment::default() };
        let (plan, ends) = (self.plan.clone(), stop.clone());
        let asking = std::thread::spawn(move || answers_until(&plan, until, &ends));
        // It ends by itself: it asks for no longer than that, and each question has a time-out.
        while !asking.is_finished() {
            if self.pass_until(clock::now().after(LOOK_EVERY), &mut step, stop, watch) {
                return Rested::Stopped;
            }
        }
        if asking.join().unwrap_or(false) { Rested::Answers } else { Rested::Down }
    }

    /// Lets time pass, closing seconds as they end; true when the run was stopped.
    fn pass_until(
        &mut self,
        until: Instant,
        step: &mut Step,
        stop: &Stop,
        watch: &mut dyn FnMut(&Event<'_>),
    ) -> bool {
        loop {
            let now = clock::now();
            let second_ends = self.second_began.after(Duration::from_secs(u64::from(self.width)));
            if now >= second_ends {
                self.close_second(second_ends, step, watch);
                continue;
            }
            if now >= until {
                return stop.wait(Duration::ZERO);
            }
            if stop.wait(until.min(second_ends).since(now)) {
                return true;
            }
        }
    }

    /// Requests that are still to be judged.
    fn pending(&self) -> u32 {
        self.threads.iter().map(|(shared, _)| lock(shared).awaited()).sum()
    }

    fn cpu_us(&self) -> u64 {
        self.threads.iter().map(|(shared, _)| shared.cpu_us.load(Relaxed)).sum()
    }

    fn since_start(&self, at: Instant) -> f64 {
        at.since(self.began).as_secs_f64()
    }
}

impl Orders {
    /// Nobody is wanted from now on.
    pub(crate) fn none(begin: Instant) -> Self {
        Self { begin, ramp: Duration::ZERO, from: 0.0, to: 0.0, burst: None, is_end: false }
    }

    /// The load at a moment.
    pub fn load_at(&self, at: Instant) -> f64 {
        let part =
            if self.ramp.is_zero() { 1.0 } else { at.since(self.begin).div_duration_f64(self.ramp).min(1.0) };
        self.from + (self.to - self.from) * part
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Record> {
    shared.record.lock().unwrap_or_else(PoisonError::into_inner)
}
