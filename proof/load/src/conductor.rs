//! One run from its beginning to its result: orders the threads, closes each step when all that was due in it has
//! ended, asks the pure rooms what it means and what comes next. Sends no request itself.

use crate::agents::{self, Agent, Links};
use crate::climb::{Done, Next, Shape};
use crate::generator::{self, Orders, Shared};
use crate::plan::Plan;
use crate::probe::answers_until;
use crate::real::{self, Onlooker, Suffering};
use crate::record::{Moment, Record, Tally, Window};
use crate::result::{Distrust, FORMAT, JourneyOutline, Machine, Model, Phase, Run, Second, StepResult};
use crate::verdict::{self, Seen};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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

/// Ends a run before its time; what was measured is kept.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Ends it.
    pub fn now(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it is ended.
    pub(crate) fn is_now(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, or until it is ended; says whether it is.
    fn wait(&self, time: Duration) -> bool {
        let ended = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What a run tells while it goes.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step begins: its number and load.
    Began {
        /// 1 for the first.
        number: u32,
        /// What is run.
        next: Next,
    },
    /// It broke: the load is taken away until the site answers again.
    Rests,
    /// A second is over.
    Second(Live<'a>),
    /// A step is over.
    Ended(&'a StepResult),
}

/// How it goes just now.
#[derive(Debug)]
pub struct Live<'a> {
    /// The step's number.
    pub number: u32,
    /// Its load.
    pub load: f64,
    /// Seconds that are left of it; negative while the last requests are waited for.
    pub left_s: f64,
    /// Whether load still rises, or falls.
    pub is_ramp: bool,
    /// The second that is over.
    pub second: &'a Second,
    /// What was seen of the step so far.
    pub seen: Seen,
    /// How late the generator was in it, 99th percentile, in µs.
    pub lag_p99_us: u64,
}

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
        let none = Orders { begin: clock::renew(), ramp: Duration::ZERO, from: 0.0, to: 0.0, is_end: false };
        let (orders, received) = watch::channel(none);
        let (mut threads, mut links) = (Vec::new(), None);
        let own = if agents.is_empty() { plan.threads } else { 0 };
        if !agents.is_empty() {
            let (all, linked) = agents::start(agents, &plan, &received, stop)?;
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
        let orders =
            Orders { begin, ramp: next.stage.ramp, from: self.load, to: next.stage.load, is_end: false };
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
        let orders = Orders { begin, ramp: Duration::ZERO, from: self.load, to: 0.0, is_end: false };
        self.orders.send_replace(orders);
        self.load = 0.0;
        let window = Window { from: until, to: until };
        let mut step = Step { number, next, orders, window, so_far: Moment::default() };
        let plan = self.plan.clone();
        let asking = std::thread::spawn(move || answers_until(&plan, until));
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

    fn close_second(&mut self, ends: Instant, step: &mut Step, watch: &mut dyn FnMut(&Event<'_>)) {
        let (second, moment) = self.second(ends, step.orders);
        if ends > step.window.from {
            step.so_far.add(&moment);
        }
        let left = step.window.to.as_micros() as f64 - ends.as_micros() as f64;
        let lag_p99_us = self.threads.iter().map(|(shared, _)| lock(shared).step.lag().p99_us()).max();
        let seen = Seen {
            requests: step.so_far.requests,
            failed: step.so_far.failed,
            p50_ms: step.so_far.response.quantile_ms(0.5),
            p99_ms: step.so_far.response.quantile_ms(0.99),
        };
        watch(&Event::Second(Live {
            number: step.number,
            load: step.next.stage.load,
            left_s: left / 1e6,
            is_ramp: ends <= step.window.from,
            second: &second,
            seen,
            lag_p99_us: lag_p99_us.unwrap_or(0),
        }));
    }

    /// What ended since the last second did, as the next one.
    fn second(&mut self, ends: Instant, orders: Orders) -> (Second, Moment) {
        self.second_began = ends;
        let mut moment = Moment::default();
        for (shared, _) in &self.threads {
            // Made before the lock is taken, so that it is held only to exchange.
            let fresh = Moment::default();
            let taken = std::mem::replace(&mut lock(shared).moment, fresh);
            moment.add(&taken);
        }
        let second = Second {
            at_s: self.since_start(ends),
            visitors: match self.plan.model {
                Model::Closed => orders.load_at(ends).round() as u32,
                Model::Open => self.threads.iter().map(|(shared, _)| shared.under_way.load(Relaxed)).sum(),
            },
            requests: moment.requests,
            failed: moment.failed,
            p50_ms: moment.response.quantile_ms(0.5),
            p99_ms: moment.response.quantile_ms(0.99),
        };
        if self.seconds.len() < SECONDS_MAX as usize * 2 {
            self.seconds.push(second);
        }
        (second, moment)
    }

    /// The part of a second in which the run ended: that is when the last time-outs come.
    fn close_last_second(&mut self, now: Instant) {
        if now > self.second_began {
            let orders = *self.orders.borrow();
            self.second(now, orders);
        }
    }

    fn result(&self, step: &Step, cpu_us: u64) -> StepResult {
        let (mut tally, mut lag) = (Tally::new(self.names.len()), 0);
        for (shared, _) in &self.threads {
            let fresh = Tally::new(self.names.len());
            let counted = std::mem::replace(&mut lock(shared).step, fresh);
            lag = lag.max(counted.lag().p99_us());
            tally.add(&counted);
        }
        let took_s = step.window.to.since(step.window.from).as_secs_f64();
        let response = tally.response();
        let (requests, failed) = (tally.requests(), tally.failed());
        let seen =
            Seen { requests, failed, p50_ms: response.quantile_ms(0.5), p99_ms: response.quantile_ms(0.99) };
        let broke = verdict::broke(&self.plan.objectives, &seen);
        StepResult {
            number: step.number,
            phase: step.next.phase,
            load: step.next.stage.load,
            began_s: self.since_start(step.window.from),
            took_s,
            requests,
            failed,
            requests_per_s: rounded(requests as f64 / took_s),
            bytes: tally.bytes,
            response_time: response.times(),
            service_time: tally.service().times(),
            reconnects: tally.reconnects,
            connects: tally.connects,
            connect_time: tally.connect().times(),
            handshake_time: tally.handshake().times(),
            http2: tally.http2,
            message_time: tally.messages().times(),
            tags: tally.tags(&self.tags.0, &self.tags.1),
            // One late agent among many is late enough.
            lag_p99_us: if self.links.is_some() { lag } else { tally.lag().p99_us() },
            generator_cpu_share: rounded(cpu_us as f64 / 1e6 / took_s / f64::from(self.plan.threads.max(1)))
                .min(1.0),
            journey_steps: tally.journey_steps(&self.names),
            failures: tally.failures,
            statuses: tally.statuses,
            held: requests > 0 && broke.is_none(),
            broke,
        }
    }

    fn end(
        mut self,
        steps: Vec<StepResult>,
        interrupted: bool,
        stays_down: bool,
        cores: u32,
        suffering: Option<Suffering>,
    ) -> io::Result<Run> {
        let now = clock::now();
        let took_s = self.since_start(now);
        self.close_last_second(now);
        self.orders.send_modify(|orders| orders.is_end = true);
        let waited_for_cpu = real::waited_for_cpu();
        let (began, shared) =
            (self.began, self.threads.iter().map(|(shared, _)| shared.clone()).collect::<Vec<_>>());
        for (_, thread) in std::mem::take(&mut self.threads) {
            // What a thread that panicked has to say, it has said on standard error.
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a generator thread panicked")))?;
        }
        let last = shared.iter().filter_map(|shared| lock(shared).last_begun).max();
        let spared = suffering.as_ref().map(|suffering| suffering.spared(began, last, waited_for_cpu));
        let (agents, lost) =
            self.links.as_ref().map(|links| links.merge(&mut self.seconds)).unwrap_or_default();
        let plan = &self.plan;
        let distrust: Vec<Distrust> = lost.into_iter().chain(verdict::distrust(&steps)).collect();
        let accounts: BTreeSet<_> = plan.journeys.all.iter().filter_map(|one| one.account.clone()).collect();
        Ok(Run {
            format: FORMAT,
            version: plan.version.clone(),
            started_unix_ms: self.began.unix_us() / 1_000,
            took_s,
            url: plan.url.to_string(),
            command: plan.command.clone(),
            model: plan.model,
            objectives: plan.objectives,
            journey: JourneyOutline { name: plan.journeys.name.clone(), steps: self.names },
            machine: Machine {
                cores,
                threads: plan.threads,
                pinned: plan.cpus.clone(),
                same_machine: plan.hosts.are_loopback(),
            },
            seed: plan.seed,
            think_ms: plan.think.as_secs_f64() * 1_000.0,
            breaking_point: verdict::breaking_point(&steps, &distrust),
            highest_held: verdict::highest_held(&steps),
            steps,
            seconds: self.seconds,
            second_width: self.width,
            stays_down,
            trusted: distrust.is_empty(),
            distrust,
            mark: self.plan.mark.run.clone(),
            accounts: accounts.into_iter().collect(),
            sources: plan.transport.sources.iter().map(ToString::to_string).collect(),
            stopped_for: suffering.map(|suffering| suffering.why),
            spared,
            unverified: self.plan.transport.is_unverified(),
            spread: self.plan.resolvers.as_ref().map(|resolvers| resolvers.spread(&plan.url.host)),
            agents,
            found: None,
            since: Vec::new(),
            interrupted,
        })
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
    /// The load at a moment.
    pub fn load_at(&self, at: Instant) -> f64 {
        let part =
            if self.ramp.is_zero() { 1.0 } else { at.since(self.begin).div_duration_f64(self.ramp).min(1.0) };
        self.from + (self.to - self.from) * part
    }
}

/// Four digits behind the point: more would only pretend.
fn rounded(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}

fn lock(shared: &Shared) -> MutexGuard<'_, Record> {
    shared.record.lock().unwrap_or_else(PoisonError::into_inner)
}
