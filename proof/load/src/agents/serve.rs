//! An agent: makes the load that a coordinator orders, as long as it hears him, and tells what was counted. Performs one run
//! at a time, for who has the key, on hosts that are allowed. Decides nothing.

use crate::agents::division::Part;
use crate::agents::key::Key;
use crate::agents::message::{Ordered, ToAgent, ToCoordinator};
use crate::agents::rows::Fed;
use crate::agents::told::{ROWS_MAX, row};
use crate::agents::wire::{Hello, Listener, Teller, welcome};
use crate::climb::{RATE_MAX, Shape, VISITORS_MAX};
use crate::generator::{self, Orders, Shared};
use crate::mark::SigningKey;
use crate::means::{self, Lack, Share};
use crate::plan::Plan;
use crate::record::{Moment, Record, Tally, Window};
use crate::result::Model;
use crate::samples::{self, Sample};
use std::io;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::descriptors;
use tokio::sync::watch;

/// Connections at once that have not proved that they have the key, or wait for a run to end.
const CONNECTIONS_MAX: usize = 8;
/// Messages that wait.
const WAITING_MAX: usize = 64;
/// How often it is looked what is to be done.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How often it is said how it goes.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Patience with what outlasts its time-out; less than the coordinator's.
const PATIENCE: Duration = Duration::from_secs(1);

/// Messages of page loads one after another, before it is looked what else is to be done: enough for all that can wait.
const SAMPLES_AT_ONCE: usize = 40;

/// What an agent is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The secret.
    pub key: Key,
    /// Hosts that may be loaded beside this machine itself.
    pub allow: Vec<String>,
    /// Generator threads; at least 1.
    pub threads: u32,
    /// Cores of this machine.
    pub cores: u32,
    /// The version of Tentpole.
    pub version: String,
    /// What marks are signed with, when a coordinator wants that and has the same.
    pub sign: Option<SigningKey>,
    /// Which authorities are believed over TLS; `None` for the system's.
    pub authority: Option<PathBuf>,
    /// Addresses of this machine that visitors have; empty leaves it to the system.
    pub sources: Vec<IpAddr>,
    /// Cores for the threads, in turn; empty leaves them where the system puts them.
    pub cpus: Vec<u32>,
}

/// Serves coordinators, one after the other, for ever. `say` hears what a person may want to know.
pub fn serve(listener: &TcpListener, settings: &Settings, say: Arc<dyn Fn(&str) + Send + Sync>) {
    let (busy, open) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            // No descriptor, as a rule: it comes back.
            std::thread::sleep(TELL_EVERY);
            continue;
        };
        if open.fetch_add(1, Relaxed) >= CONNECTIONS_MAX {
            open.fetch_sub(1, Relaxed);
            continue;
        }
        let (settings, say, busy, opened) = (settings.clone(), say.clone(), busy.clone(), open.clone());
        let serving = std::thread::Builder::new().name("coordinator".to_owned()).spawn(move || {
            let who =
                stream.peer_addr().map_or_else(|_| "somebody".to_owned(), |address| address.to_string());
            if let Err(error) =
                converse(stream, &settings, &busy, &|says: &str| say(&format!("{who}: {says}")))
            {
                say(&format!("{who}: {error}"));
            }
            opened.fetch_sub(1, Relaxed);
        });
        if serving.is_err() {
            open.fetch_sub(1, Relaxed);
        }
    }
}

/// One coordinator, from his hello to his end.
fn converse(stream: TcpStream, settings: &Settings, busy: &AtomicBool, say: &dyn Fn(&str)) -> io::Result<()> {
    let own = Hello { version: settings.version.clone(), threads: settings.threads, cores: settings.cores };
    let Some((mut teller, listener)) = welcome(stream, &settings.key, &own)? else {
        say("is another version of Tentpole");
        return Ok(());
    };
    let heard = hear(listener)?;
    let plan = loop {
        match heard.recv().unwrap_or(Err(io::ErrorKind::UnexpectedEof.into()))? {
            ToAgent::Ping(number) => pong(&mut teller, number)?,
            ToAgent::Plan(plan) => break plan,
            _ => return Ok(()),
        }
    };
    let refuse = |teller: &mut Teller, says: String| {
        say(&format!("refused: {says}"));
        teller.tell(&ToCoordinator::Refused(says))
    };
    let tells_samples = plan.tells_samples();
    let (mut plan, part) = match plan.plan(settings) {
        Ok(both) => both,
        Err(says) => return refuse(&mut teller, says),
    };
    let share = Share { threads: part.threads, of: part.of };
    let mut lacks = Vec::new();
    for lack in [means::ports(&plan, share), means::files(&plan, share, descriptors::limit())] {
        match lack {
            Some(Lack::Certain(says)) => return refuse(&mut teller, says),
            Some(Lack::Possible(says)) => lacks.push(says),
            None => {}
        }
    }
    let ended = tells_samples.then(|| {
        let (samples, ended, lost) = samples::queue();
        plan.samples = Some(samples);
        (ended, lost)
    });
    if busy.swap(true, Relaxed) {
        return refuse(&mut teller, "it performs another run".to_owned());
    }
    let threads = if part.of == 1 { "thread" } else { "threads" };
    say(&format!("loads {} with {} of {} {threads}", plan.url, part.threads, part.of));
    let worked = Work::begin(plan, part, ended).and_then(|mut work| {
        let worked = work.perform(&mut teller, &heard, lacks);
        work.end();
        // What ended while the threads were told to.
        worked.and_then(|()| work.tell_samples(&mut teller))
    });
    busy.store(false, Relaxed);
    teller.close();
    say("is done");
    worked
}

fn pong(teller: &mut Teller, number: u64) -> io::Result<()> {
    teller.tell(&ToCoordinator::Pong { number, at_us: clock::now().as_micros() })
}

/// A thread that hears; ends with the connection.
fn hear(mut listener: Listener) -> io::Result<Receiver<io::Result<ToAgent>>> {
    let (to, heard) = sync_channel(WAITING_MAX);
    std::thread::Builder::new().name("coordinator-heard".to_owned()).spawn(move || {
        loop {
            let message = listener.hear();
            let is_last = message.is_err();
            if to.send(message).is_err() || is_last {
                return;
            }
        }
    })?;
    Ok(heard)
}

/// A run of which a part is made here.
struct Work {
    plan: Arc<Plan>,
    threads: Vec<(Arc<Shared>, JoinHandle<io::Result<()>>)>,
    orders: watch::Sender<Orders>,
    steps: usize,
    /// The step at hand: its number, its window, and whether it is waited for what is under way.
    step: Option<(u64, Window, bool)>,
    /// The run's timeline: its begin, the width of an entry in seconds, and the entry at hand.
    timeline: Option<(Instant, u32, u32)>,
    /// Page loads that have ended, and how many had no place, where they are told.
    ended: Option<(Receiver<Sample>, Arc<AtomicU64>)>,
    /// Where requests of a log are put, when one is played.
    fed: Option<Fed>,
}

impl Work {
    fn begin(
        mut plan: Plan,
        part: Part,
        ended: Option<(Receiver<Sample>, Arc<AtomicU64>)>,
    ) -> io::Result<Self> {
        let mut fed = None;
        if matches!(plan.shape, Shape::Replay { .. }) {
            let (queues, source) = Fed::new(part);
            (fed, plan.replay) = (Some(queues), Some(source));
        }
        let plan = Arc::new(plan);
        let steps = plan.journeys.step_names().len();
        let none = Orders::none(clock::renew());
        let (orders, received) = watch::channel(none);
        let mut threads = Vec::new();
        for number in part.first..part.first + part.threads {
            let shared = Arc::new(Shared::new(steps));
            threads.push((shared.clone(), generator::start(plan.clone(), shared, number, received.clone())?));
        }
        let is_there = |(shared, thread): &(Arc<Shared>, JoinHandle<_>)| {
            shared.cpu_us.load(Relaxed) > 0 || thread.is_finished()
        };
        while !threads.iter().all(is_there) {
            std::thread::sleep(LOOK_EVERY / 10);
        }
        Ok(Self { plan, threads, orders, steps, step: None, timeline: None, ended, fed })
    }

    fn perform(
        &mut self,
        teller: &mut Teller,
        heard: &Receiver<io::Result<ToAgent>>,
        lacks: Vec<String>,
    ) -> io::Result<()> {
        let (sources, cpus) = (self.plan.transport.sources.clone(), self.plan.cpus.clone());
        teller.tell(&ToCoordinator::Ready { sources, cpus, lacks })?;
        let mut told = clock::now();
        loop {
            match heard.recv_timeout(LOOK_EVERY) {
                Ok(Ok(ToAgent::End)) => return self.last_words(teller),
                Ok(Ok(message)) => self.obey(message, teller)?,
                Ok(Err(error)) => return Err(error),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
            let now = clock::renew();
            if self.threads.iter().any(|(_, thread)| thread.is_finished()) {
                return Err(io::Error::other("a generator thread failed"));
            }
            self.close_seconds(now, teller)?;
            self.tell_samples(teller)?;
            self.close_step(now, teller)?;
            if now.since(told) >= TELL_EVERY {
                told = now;
                teller.tell(&self.progress())?;
            }
        }
    }

    fn obey(&mut self, message: ToAgent, teller: &mut Teller) -> io::Result<()> {
        match message {
            ToAgent::Ping(number) => pong(teller, number)?,
            ToAgent::Step(ordered) => self.order(&ordered),
            ToAgent::Cut { to_us, at_once } => {
                if let Some((_, window, waits)) = &mut self.step {
                    window.to = Instant::from_micros(to_us).min(window.to).max(window.from);
                    *waits = !at_once;
                    let to = window.to;
                    self.threads.iter().for_each(|(shared, _)| lock(shared).window.to = to);
                    if at_once {
                        // Nobody asks any more: the end may be on its way because real visitors suffer.
                        self.orders.send_replace(Orders::none(clock::renew()));
                    }
                }
            }
            ToAgent::Clock { run_began_us, to_us } => {
                if let Some((began, ..)) = &mut self.timeline {
                    *began = Instant::from_micros(run_began_us);
                }
                if let (Some(to_us), Some((_, window, true))) = (to_us, &mut self.step) {
                    let to = Instant::from_micros(to_us).max(window.from);
                    // What is over is over.
                    if clock::renew() < window.to {
                        window.to = to;
                        self.threads.iter().for_each(|(shared, _)| lock(shared).window.to = to);
                    }
                }
            }
            ToAgent::Rows(rows) => {
                if let Some(fed) = &mut self.fed {
                    fed.take(rows)?;
                }
            }
            ToAgent::Plan(_) | ToAgent::End => {}
        }
        Ok(())
    }

    fn order(&mut self, ordered: &Ordered) {
        if self.timeline.is_none() {
            let (began, width) = (Instant::from_micros(ordered.run_began_us), ordered.width.max(1));
            self.timeline = Some((began, width, 0));
            if let Some(resolvers) = &self.plan.resolvers {
                resolvers.begin(began, width);
            }
        }
        if let Some((from, to)) = ordered.window_us {
            let window = Window { from: Instant::from_micros(from), to: Instant::from_micros(to) };
            for (shared, _) in &self.threads {
                lock(shared).open(window, Tally::new(self.steps), self.plan.model == Model::Closed);
            }
            self.step = Some((ordered.number, window, true));
        }
        let most = if self.plan.model == Model::Closed { f64::from(VISITORS_MAX) } else { RATE_MAX };
        let bounded = |load: f64| if load.is_finite() { load.clamp(0.0, most) } else { 0.0 };
        self.orders.send_replace(Orders {
            begin: Instant::from_micros(ordered.begin_us),
            ramp: ordered.ramp,
            from: bounded(ordered.from),
            to: bounded(ordered.to),
            burst: ordered.burst,
            is_end: false,
        });
    }

    /// Entries of the timeline that are over, each with all that ended in it.
    fn close_seconds(&mut self, now: Instant, teller: &mut Teller) -> io::Result<()> {
        while let Some((began, width, entry)) = self.timeline {
            let ends = began.after(Duration::from_secs(u64::from(width) * (u64::from(entry) + 1)));
            if now < ends {
                break;
            }
            self.tell_second(entry, teller)?;
            self.timeline = Some((began, width, entry + 1));
        }
        Ok(())
    }

    fn tell_second(&self, entry: u32, teller: &mut Teller) -> io::Result<()> {
        let (mut moment, mut so_far) = (Moment::default(), Tally::new(self.steps));
        for (shared, _) in &self.threads {
            // Made before the lock is taken, so that it is held only to exchange and to copy.
            let fresh = Moment::default();
            let mut record = lock(shared);
            let taken = std::mem::replace(&mut record.moment, fresh);
            let counted = record.step.clone();
            drop(record);
            moment.add(&taken);
            so_far.add(&counted);
        }
        let step = self.step.map_or(0, |(number, ..)| number);
        if let Some(resolvers) = &self.plan.resolvers {
            teller.tell(&ToCoordinator::Led(Box::new(resolvers.take())))?;
        }
        teller.tell(&ToCoordinator::Second { entry, moment, step, so_far })
    }

    fn close_step(&mut self, now: Instant, teller: &mut Teller) -> io::Result<()> {
        let Some((step, window, waits)) = self.step else { return Ok(()) };
        if now < window.to && waits {
            return Ok(());
        }
        let latest = window.to.after(self.plan.timeout + PATIENCE);
        let awaited: u32 = self.threads.iter().map(|(shared, _)| lock(shared).awaited()).sum();
        if waits && awaited > 0 && now < latest {
            return Ok(());
        }
        let mut tally = Tally::new(self.steps);
        for (shared, _) in &self.threads {
            let fresh = Tally::new(self.steps);
            let taken = std::mem::replace(&mut lock(shared).step, fresh);
            tally.add(&taken);
        }
        self.step = None;
        teller.tell(&ToCoordinator::Done { step, tally })
    }

    /// All that have ended until now, in so many messages at most.
    fn tell_samples(&self, teller: &mut Teller) -> io::Result<()> {
        let Some((ended, lost)) = &self.ended else { return Ok(()) };
        let base = Instant::from_micros(0).unix_us();
        for _ in 0..SAMPLES_AT_ONCE {
            let rows: Vec<_> = ended.try_iter().take(ROWS_MAX).map(|sample| row(&sample, base)).collect();
            let (is_last, lost) = (rows.len() < ROWS_MAX, lost.swap(0, Relaxed));
            if !rows.is_empty() || lost > 0 {
                teller.tell(&ToCoordinator::Samples { rows, lost })?;
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    fn progress(&self) -> ToCoordinator {
        let sum = |of: fn(&Shared) -> u32| self.threads.iter().map(|(shared, _)| of(shared)).sum();
        ToCoordinator::Progress {
            under_way: sum(|shared| shared.under_way.load(Relaxed)),
            gone: sum(|shared| shared.gone.load(Relaxed)),
            cpu_us: self.threads.iter().map(|(shared, _)| shared.cpu_us.load(Relaxed)).sum(),
            lag_p99_us: self
                .threads
                .iter()
                .map(|(shared, _)| lock(shared).step.lag().p99_us())
                .max()
                .unwrap_or(0),
            rows_taken: self.fed.as_ref().map_or(0, Fed::taken),
            last_begun_us: self
                .threads
                .iter()
                .filter_map(|(shared, _)| lock(shared).last_begun)
                .max()
                .map(Instant::as_micros),
        }
    }

    /// The part of a second in which the run ended.
    fn last_words(&mut self, teller: &mut Teller) -> io::Result<()> {
        self.close_seconds(clock::renew(), teller)?;
        teller.tell(&self.progress())?;
        match self.timeline {
            Some((_, _, entry)) => self.tell_second(entry, teller),
            None => Ok(()),
        }
    }

    fn end(&mut self) {
        self.orders.send_modify(|orders| orders.is_end = true);
        for (_, thread) in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn lock(shared: &Shared) -> MutexGuard<'_, Record> {
    shared.record.lock().unwrap_or_else(PoisonError::into_inner)
}
