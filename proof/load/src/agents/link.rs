//! The coordinator's end of its agents. To who conducts a run, an agent looks like one more thread: what it is ordered is
//! passed on, what it has counted is put where a thread would have put it. An agent that is lost ends the run, and is named.

use crate::agents::clock::{Clock, Exchange};
use crate::agents::division::{Part, parts};
use crate::agents::key::Key;
use crate::agents::message::{Ordered, PlanText, ToAgent, ToCoordinator};
use crate::agents::rows::Feed;
use crate::agents::told;
use crate::agents::wire::{Listener, SILENCE_MAX, Teller, greet};
use crate::conductor::Stop;
use crate::generator::{Orders, Shared};
use crate::plan::Plan;
use crate::record::{Moment, Record, Tally, Window};
use crate::result::{AgentResult, Distrust, Second};
use crate::samples::Samples;
use std::fmt;
use std::io;
use std::net::{IpAddr, TcpStream, ToSocketAddrs};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_resolvers::Resolvers;
use tentpole_runtime::clock::{self, Instant};
use tokio::sync::watch;

/// Agents of one run at most.
pub const AGENTS_MAX: usize = 64;
/// Time for a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// Round trips by which a clock is found; the shortest counts.
const ROUND_TRIPS: u64 = 16;
/// How often it is looked whether there are other orders.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How often an agent hears that the coordinator is still there.
const PING_EVERY: Duration = Duration::from_secs(1);
/// Beyond the slowest round trip: time for orders to reach all agents before they begin.
const AHEAD: Duration = Duration::from_millis(150);
/// Entries of the timeline.
const ENTRIES_MAX: u32 = 8_000;

/// An agent that has shown that it has the key.
#[derive(Debug)]
pub struct Agent {
    name: String,
    teller: Teller,
    listener: Listener,
    threads: u32,
    cores: u32,
    clock: Clock,
    /// From where and on which cores it makes load, where that was said there.
    sources: Vec<IpAddr>,
    cpus: Vec<u32>,
    /// What its machine may have too little of for its part.
    lacks: Vec<String>,
    /// Its part of the plan that it has.
    part: Option<Part>,
}

/// An agent that is not to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which one.
    pub agent: String,
    /// Why, in words that go on after its name.
    pub says: String,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.says.ends_with(['.', '?', '!']) { "" } else { "." };
        write!(f, "agent {} {}{end}", self.agent, self.says)
    }
}

impl std::error::Error for Missing {}

/// What looks like threads to who conducts a run.
type Threads = Vec<(Arc<Shared>, JoinHandle<io::Result<()>>)>;

/// What agents have told, for the end of the run.
#[derive(Debug, Default)]
struct Report {
    /// What ended in each entry of the run's timeline, all agents together.
    timeline: Vec<Moment>,
    agents: Vec<AgentResult>,
}

/// Of all agents of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Links {
    report: Arc<Mutex<Report>>,
    /// When the run began, and how many seconds an entry of its timeline stands for.
    pub(crate) began: Arc<OnceLock<(Instant, u32)>>,
    pub(crate) ahead: Duration,
    /// Where page loads are told.
    samples: Option<Samples>,
    /// Where it is counted whither resolvers led.
    resolvers: Option<Arc<Resolvers>>,
}

impl Links {
    /// What agents told at their end: the timeline by their own seconds, which begin with the run's, and who was lost.
    pub(crate) fn merge(&self, seconds: &mut [Second]) -> (Vec<AgentResult>, Vec<Distrust>) {
        let report = self.report();
        for (second, moment) in seconds.iter_mut().zip(&report.timeline) {
            (second.requests, second.failed) = (moment.requests, moment.failed);
            (second.p50_ms, second.p99_ms) =
                (moment.response.quantile_ms(0.5), moment.response.quantile_ms(0.99));
        }
        let agents = report.agents.clone();
        let lost = agents.iter().filter_map(|agent| {
            let (agent, at_s, because) = (agent.name.clone(), agent.lost_at_s?, agent.lost_because.clone()?);
            Some(Distrust::AgentLost { agent, at_s, because })
        });
        let lost = lost.collect();
        (agents, lost)
    }

    /// Whether an agent was lost: from then on the load is not the one that was asked for.
    pub(crate) fn has_lost(&self) -> bool {
        self.report().agents.iter().any(|agent| agent.lost_because.is_some())
    }

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to all of them and finds their clocks.
///
/// # Errors
/// Which one is not there, or not to be had, and what to do.
pub fn connect(addresses: &[String], key: &Key, version: &str) -> Result<Vec<Agent>, Missing> {
    let connect = |address: &String| {
        Agent::connect(address, key, version).map_err(|says| Missing { agent: address.clone(), says })
    };
    addresses.iter().map(connect).collect()
}

/// Gives each its part of the plan, and the plan the threads of all.
///
/// # Errors
/// Which one refuses, and why.
pub fn prepare(agents: &mut [Agent], plan: &mut Plan) -> Result<(), Missing> {
    let threads: Vec<u32> = agents.iter().map(|agent| agent.threads).collect();
    plan.threads = threads.iter().sum();
    for (agent, part) in agents.iter_mut().zip(parts(&threads)) {
        let text = PlanText::of(plan, part);
        agent.part = Some(part);
        let told = agent.teller.tell(&ToAgent::Plan(Box::new(text)));
        told.map_err(|error| agent.missing(format!("was lost: {error}")))?;
    }
    for agent in agents {
        loop {
            match agent.listener.hear() {
                Ok(ToCoordinator::Ready { sources, cpus, lacks }) => {
                    (agent.sources, agent.cpus, agent.lacks) = (sources, cpus, lacks);
                    break;
                }
                Ok(ToCoordinator::Refused(says)) => {
                    return Err(agent.missing(format!("refuses: {says}")));
                }
                Ok(_) => {}
                Err(error) => return Err(agent.missing(format!("was lost: {error}"))),
            }
        }
    }
    Ok(())
}

/// Lets them go without a run, and waits until each is free for another one.
pub fn leave(agents: Vec<Agent>) {
    for mut agent in agents {
        if agent.teller.tell(&ToAgent::End).is_ok() {
            // It ends the connection when it is free, and one that does not is found out by whoever comes next.
            while agent.listener.hear::<ToCoordinator>().is_ok() {}
        }
    }
}

impl Agent {
    /// What its machine may have too little of for its part of the plan, in sentences after its name.
    pub fn lacks(&self) -> impl Iterator<Item = String> {
        self.lacks.iter().map(|says| format!("agent {}: {says}", self.name))
    }

    fn connect(address: &str, key: &Key, version: &str) -> Result<Self, String> {
        let mut found = address.to_socket_addrs().map_err(|error| {
            format!("has no address: {error}. Write HOST:PORT as its own line says when it starts")
        })?;
        let to = found.next().ok_or("has no address")?;
        let stream = TcpStream::connect_timeout(&to, CONNECT_TIME).map_err(|error| {
            format!("does not answer: {error}. Start it there: tentpole load agent --listen {address}")
        })?;
        let (hello, teller, listener) = greet(stream, key, version)?;
        let mut agent = Self {
            name: address.to_owned(),
            teller,
            listener,
            threads: hello.threads.max(1),
            cores: hello.cores,
            clock: Clock::default(),
            sources: Vec::new(),
            cpus: Vec::new(),
            lacks: Vec::new(),
            part: None,
        };
        agent.find_clock().map_err(|error| format!("was lost: {error}"))?;
        Ok(agent)
    }

    fn missing(&self, says: String) -> Missing {
        Missing { agent: self.name.clone(), says }
    }

    /// Before the run; while it goes on, it is looked at again ([`Heard::look`]).
    fn find_clock(&mut self) -> io::Result<()> {
        for wanted in 0..ROUND_TRIPS {
            let sent = clock::now();
            self.teller.tell(&ToAgent::Ping(wanted))?;
            let ToCoordinator::Pong { number, at_us } = self.listener.hear()? else { continue };
            let back = clock::now();
            if number == wanted {
                self.clock.find(Exchange { sent: sent.as_micros(), back: back.as_micros(), there: at_us });
            }
        }
        Ok(())
    }
}

/// Lets an agent take part: `shared` is filled as a thread would fill it.
pub(crate) fn start(
    agents: Vec<Agent>,
    plan: &Plan,
    orders: &watch::Receiver<Orders>,
    stop: &Stop,
) -> io::Result<(Links, Threads)> {
    let slowest = agents.iter().map(|agent| agent.clock.round_trip()).max().unwrap_or_default();
    let links = Links {
        ahead: AHEAD + slowest,
        samples: plan.samples.clone(),
        resolvers: plan.resolvers.clone(),
        ..Links::default()
    };
    let steps = plan.journeys.step_names().len();
    links.report().agents = agents.iter().map(Agent::result).collect();
    let mut threads = Vec::new();
    for (place, agent) in agents.into_iter().enumerate() {
        let shared = Arc::new(Shared::new(steps));
        let heard = Heard {
            place,
            shared: shared.clone(),
            links: links.clone(),
            stop: stop.clone(),
            state: Arc::default(),
            offset_us: Arc::new(AtomicI64::new(agent.clock.offset_us())),
            clock: Mutex::new(agent.clock.clone()),
            taken: Arc::default(),
        };
        let mut feed = None;
        if let (Some(source), Some(part)) = (&plan.replay, agent.part) {
            feed = Some(Feed::begin(source, part, heard.taken.clone())?);
        }
        let orders = orders.clone();
        let link = std::thread::Builder::new().name(format!("agent-{place}"));
        threads.push((shared, link.spawn(move || agent.perform(heard, orders, feed))?));
    }
    Ok((links, threads))
}

/// What both ends of a link know of the step at hand.
#[derive(Default)]
struct State {
    /// Its number; 0 before the first.
    step: u64,
    is_open: bool,
    is_over: bool,
    is_lost: bool,
    /// What was counted of it when that was last told.
    so_far: Option<Tally>,
    /// What time it is there was asked for under this number, at this moment.
    asked: Option<(u64, Instant)>,
}

struct Heard {
    place: usize,
    shared: Arc<Shared>,
    links: Links,
    stop: Stop,
    state: Arc<Mutex<State>>,
    /// The agent's clock less ours, as far as is known now.
    offset_us: Arc<AtomicI64>,
    clock: Mutex<Clock>,
    /// Requests of a log that it has taken.
    taken: Arc<AtomicU64>,
}

impl Agent {
    fn result(&self) -> AgentResult {
        AgentResult {
            name: self.name.clone(),
            threads: self.threads,
            cores: self.cores,
            offset_us: self.clock.offset_us(),
            round_trip_us: self.clock.round_trip().as_micros() as u64,
            moved_us: 0,
            lost_at_s: None,
            lost_because: None,
            sources: self.sources.iter().map(ToString::to_string).collect(),
            pinned: self.cpus.clone(),
        }
    }

    /// Passes orders on until the end.
    fn perform(
        mut self,
        heard: Heard,
        mut orders: watch::Receiver<Orders>,
        mut feed: Option<Feed>,
    ) -> io::Result<()> {
        let (shared, state, links, stop) =
            (heard.shared.clone(), heard.state.clone(), heard.links.clone(), heard.stop.clone());
        let (listener, offset_us) = (self.listener, heard.offset_us.clone());
        let mut followed = offset_us.load(Relaxed);
        let mut number = ROUND_TRIPS;
        let hearing = std::thread::Builder::new().name(format!("agent-{}-heard", heard.place));
        let hearing = hearing.spawn(move || heard.hear(listener))?;
        let mut told = Ok(());
        // The first requests of a log are there before time begins.
        while let Some(rows) = feed.as_mut().and_then(Feed::first).filter(|_| told.is_ok()) {
            told = self.teller.tell(&ToAgent::Rows(rows));
        }
        shared.cpu_us.fetch_max(1, Relaxed);
        let there = |at: Instant| (at.as_micros() as i64 + offset_us.load(Relaxed)).max(0) as u64;
        let (mut window, mut pinged) = (None::<Window>, clock::now());
        while told.is_ok() && !lock_state(&state).is_lost {
            // The first orders are those to wait.
            if orders.has_changed().unwrap_or(false) {
                let ordered = *orders.borrow_and_update();
                if ordered.is_end {
                    break;
                }
                let opened = lock(&shared).window;
                let is_new = window.is_none_or(|window| window.from != opened.from);
                if is_new {
                    window = Some(opened);
                    lock(&shared).pending = 1;
                }
                let (began, width) = links.began.get().copied().unwrap_or((ordered.begin, 1));
                let mut state = lock_state(&state);
                state.step += 1;
                if is_new {
                    (state.is_open, state.so_far) = (true, None);
                }
                let number = state.step;
                drop(state);
                told = self.teller.tell(&ToAgent::Step(Ordered {
                    number,
                    run_began_us: there(began),
                    width,
                    begin_us: there(ordered.begin),
                    ramp: ordered.ramp,
                    from: ordered.from,
                    to: ordered.to,
                    burst: ordered.burst,
                    window_us: is_new.then(|| (there(opened.from), there(opened.to))),
                }));
            }
            if let Some(window) = window.as_mut().filter(|_| lock_state(&state).is_open) {
                let to = lock(&shared).window.to;
                if to != window.to {
                    window.to = to;
                    let at_once = stop.is_now();
                    told = told.and_then(|()| self.teller.tell(&ToAgent::Cut { to_us: there(to), at_once }));
                }
            }
            while let Some(rows) = feed.as_mut().and_then(Feed::next).filter(|_| told.is_ok()) {
                told = self.teller.tell(&ToAgent::Rows(rows));
            }
            if clock::now().since(pinged) >= PING_EVERY {
                pinged = clock::now();
                number += 1;
                lock_state(&state).asked = Some((number, pinged));
                told = told.and_then(|()| self.teller.tell(&ToAgent::Ping(number)));
            }
            if let Some((began, _)) = links.began.get().filter(|_| offset_us.load(Relaxed) != followed) {
                followed = offset_us.load(Relaxed);
                let to = window.filter(|_| lock_state(&state).is_open).map(|window| there(window.to));
                let moved = ToAgent::Clock { run_began_us: there(*began), to_us: to };
                told = told.and_then(|()| self.teller.tell(&moved));
            }
            std::thread::sleep(LOOK_EVERY);
        }
        // What could not be told the other end hears as an end.
        lock_state(&state).is_over |= told.is_ok();
        let told = told.and_then(|()| self.teller.tell(&ToAgent::End));
        if told.is_err() {
            self.teller.close();
        }
        // It ends with the connection, or when nothing was heard for long.
        let _ = hearing.join();
        // Whoever conducts would take the end of this thread for a failure of his own, and keep nothing of the step.
        while !orders.borrow().is_end && orders.has_changed().is_ok() {
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }
}

impl Heard {
    fn hear(self, mut listener: Listener) {
        loop {
            match listener.hear() {
                Ok(message) => self.take(message),
                Err(error) => {
                    let mut state = lock_state(&self.state);
                    if !state.is_over {
                        state.is_lost = true;
                        let so_far = state.so_far.take().filter(|_| state.is_open);
                        state.is_open = false;
                        drop(state);
                        self.lose(&error, so_far);
                    }
                    return;
                }
            }
        }
    }

    fn take(&self, message: ToCoordinator) {
        match message {
            ToCoordinator::Progress { under_way, gone, cpu_us, lag_p99_us, last_begun_us, rows_taken } => {
                self.taken.store(rows_taken, Relaxed);
                self.shared.under_way.store(under_way, Relaxed);
                self.shared.gone.store(gone, Relaxed);
                self.shared.cpu_us.store(cpu_us.max(1), Relaxed);
                let _ = lag_p99_us;
                if let Some(at_us) = last_begun_us {
                    let begun = Some(self.here(at_us));
                    let mut record = lock(&self.shared);
                    record.last_begun = record.last_begun.max(begun);
                }
            }
            ToCoordinator::Second { entry, moment, step, so_far } if entry < ENTRIES_MAX => {
                lock(&self.shared).moment.add(&moment);
                let mut report = self.links.report();
                if report.timeline.len() <= entry as usize {
                    report.timeline.resize_with(entry as usize + 1, Moment::default);
                }
                report.timeline[entry as usize].add(&moment);
                drop(report);
                let mut state = lock_state(&self.state);
                if state.is_open && state.step == step {
                    state.so_far = Some(so_far);
                }
            }
            ToCoordinator::Done { step, tally } => {
                let mut state = lock_state(&self.state);
                if state.is_open && state.step == step {
                    state.is_open = false;
                    drop(state);
                    let mut record = lock(&self.shared);
                    record.step.add(&tally);
                    record.pending = 0;
                }
            }
            ToCoordinator::Pong { number, at_us } => self.look(number, at_us),
            ToCoordinator::Led(counted) => {
                if let Some(resolvers) = &self.links.resolvers {
                    resolvers.add(&counted);
                }
            }
            ToCoordinator::Samples { rows, lost } => {
                let Some(samples) = &self.links.samples else { return };
                let unix_us = |at_us| self.here(at_us).unix_us();
                rows.iter().for_each(|row| samples.put(told::sample(row, unix_us)));
                samples.lose(lost);
            }
            _ => {}
        }
    }

    /// What time it is there now. A clock that has certainly moved is followed, and the report says by how much.
    fn look(&self, number: u64, at_us: u64) {
        let back = clock::now();
        let asked = lock_state(&self.state).asked.filter(|(asked, _)| *asked == number);
        let Some((_, sent)) = asked else { return };
        let mut clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        if clock.look(Exchange { sent: sent.as_micros(), back: back.as_micros(), there: at_us }) {
            self.offset_us.store(clock.offset_us(), Relaxed);
            if let Some(agent) = self.links.report().agents.get_mut(self.place) {
                agent.moved_us = clock.moved_us();
            }
        }
    }

    /// A moment of the agent's clock by ours.
    fn here(&self, at_us: u64) -> Instant {
        let offset = self.offset_us.load(Relaxed);
        Instant::from_micros((at_us as i64).saturating_sub(offset).max(0) as u64)
    }

    /// The agent is gone: what it told is kept, and the run ends, for from here on its load is not the one that was asked for.
    fn lose(&self, error: &io::Error, so_far: Option<Tally>) {
        let because = match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                format!("nothing was heard of it for {} s", SILENCE_MAX.as_secs())
            }
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
                "its connection ended".to_owned()
            }
            _ => error.to_string(),
        };
        let at_s = self.links.began.get().map_or(0.0, |(began, _)| clock::now().since(*began).as_secs_f64());
        let mut report = self.links.report();
        if let Some(agent) = report.agents.get_mut(self.place) {
            (agent.lost_at_s, agent.lost_because) = (Some((at_s * 10.0).round() / 10.0), Some(because));
        }
        drop(report);
        let mut record = lock(&self.shared);
        if let Some(so_far) = so_far {
            record.step.add(&so_far);
        }
        record.pending = 0;
        drop(record);
        self.shared.under_way.store(0, Relaxed);
        self.stop.now();
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Record> {
    shared.record.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lock_state(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
