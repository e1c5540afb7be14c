//! The coordinator's end of its agents. To who conducts a run, an agent looks like one more thread: what it is ordered is
//! passed on, what it has counted is put where a thread would have put it. An agent that is lost ends the run, and is named.

use crate::agents::division::parts;
use crate::agents::key::Key;
use crate::agents::message::{Ordered, PlanText, ToAgent, ToCoordinator};
use crate::agents::wire::{Listener, SILENCE_MAX, Teller, greet};
use crate::conductor::Stop;
use crate::generator::{Orders, Shared};
use crate::plan::Plan;
use crate::record::{Moment, Record, Tally, Window};
use crate::result::{AgentResult, Distrust, Second};
use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
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
    /// Its clock less ours, in µs, and the shortest round trip.
    offset_us: i64,
    round_trip: Duration,
}

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

    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects to all of them and finds their clocks.
///
/// # Errors
/// Which one is not there, or not to be had, and what to do.
pub fn connect(addresses: &[String], key: &Key, version: &str) -> Result<Vec<Agent>, String> {
    if addresses.len() > AGENTS_MAX {
        return Err(format!("--agents: {AGENTS_MAX} at most."));
    }
    addresses
        .iter()
        .map(|address| {
            Agent::connect(address, key, version).map_err(|says| format!("agent {address} {says}."))
        })
        .collect()
}

/// Gives each its part of the plan, and the plan the threads of all.
///
/// # Errors
/// Which one refuses, and why.
pub fn prepare(agents: &mut [Agent], plan: &mut Plan) -> Result<(), String> {
    let threads: Vec<u32> = agents.iter().map(|agent| agent.threads).collect();
    plan.threads = threads.iter().sum();
    for (agent, part) in agents.iter_mut().zip(parts(&threads)) {
        let text = PlanText::of(plan, part);
        let failed = |error: io::Error| format!("agent {}: {error}.", agent.name);
        agent.teller.tell(&ToAgent::Plan(Box::new(text))).map_err(failed)?;
    }
    for agent in agents {
        loop {
            match agent.listener.hear() {
                Ok(ToCoordinator::Ready) => break,
                Ok(ToCoordinator::Refused(says)) => {
                    return Err(format!("agent {} refuses: {says}.", agent.name));
                }
                Ok(_) => {}
                Err(error) => return Err(format!("agent {} was lost: {error}.", agent.name)),
            }
        }
    }
    Ok(())
}

impl Agent {
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
            offset_us: 0,
            round_trip: Duration::MAX,
        };
        agent.find_clock().map_err(|error| format!("was lost: {error}"))?;
        Ok(agent)
    }

    /// As NTP does (RFC 5905 section 8), and of several samples the one with the shortest way (its section 10): its error is
    /// half of its round trip at most.
    fn find_clock(&mut self) -> io::Result<()> {
        for wanted in 0..ROUND_TRIPS {
            let sent = clock::now();
            self.teller.tell(&ToAgent::Ping(wanted))?;
            let ToCoordinator::Pong { number, at_us } = self.listener.hear()? else { continue };
            let back = clock::now();
            if number == wanted && back.since(sent) < self.round_trip {
                self.round_trip = back.since(sent);
                let middle = sent.as_micros() as i64 / 2 + back.as_micros() as i64 / 2;
                self.offset_us = at_us as i64 - middle;
            }
        }
        Ok(())
    }
}

/// Lets an agent take part: `shared` is filled as a thread would fill it.
pub(crate) fn start(
    agents: Vec<Agent>,
    steps: usize,
    orders: &watch::Receiver<Orders>,
    stop: &Stop,
) -> io::Result<(Links, Threads)> {
    let slowest = agents.iter().map(|agent| agent.round_trip).max().unwrap_or_default();
    let links = Links { ahead: AHEAD + slowest, ..Links::default() };
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
        };
        let orders = orders.clone();
        let link = std::thread::Builder::new().name(format!("agent-{place}"));
        threads.push((shared, link.spawn(move || agent.perform(heard, orders))?));
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
}

struct Heard {
    place: usize,
    shared: Arc<Shared>,
    links: Links,
    stop: Stop,
    state: Arc<Mutex<State>>,
}

impl Agent {
    fn result(&self) -> AgentResult {
        AgentResult {
            name: self.name.clone(),
            threads: self.threads,
            cores: self.cores,
            offset_us: self.offset_us,
            round_trip_us: self.round_trip.as_micros() as u64,
            lost_at_s: None,
            lost_because: None,
        }
    }

    /// Passes orders on until the end.
    fn perform(mut self, heard: Heard, mut orders: watch::Receiver<Orders>) -> io::Result<()> {
        let (shared, state, links, stop) =
            (heard.shared.clone(), heard.state.clone(), heard.links.clone(), heard.stop.clone());
        let listener = self.listener;
        let hearing = std::thread::Builder::new().name(format!("agent-{}-heard", heard.place));
        let hearing = hearing.spawn(move || heard.hear(listener))?;
        shared.cpu_us.fetch_max(1, Relaxed);
        let there = |at: Instant| (at.as_micros() as i64 + self.offset_us).max(0) as u64;
        let (mut window, mut pinged) = (None::<Window>, clock::now());
        let mut told = Ok(());
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
            if clock::now().since(pinged) >= PING_EVERY {
                pinged = clock::now();
                told = told.and_then(|()| self.teller.tell(&ToAgent::Ping(u64::MAX)));
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
            ToCoordinator::Progress { under_way, gone, cpu_us, lag_p99_us } => {
                self.shared.under_way.store(under_way, Relaxed);
                self.shared.gone.store(gone, Relaxed);
                self.shared.cpu_us.store(cpu_us.max(1), Relaxed);
                let _ = lag_p99_us;
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
            _ => {}
        }
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
