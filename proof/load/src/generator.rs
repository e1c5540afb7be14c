//! One generator thread: a single-threaded runtime whose tasks are virtual users. Makes the load that it is ordered
//! to make, at the moments at which it is due, and records what came of it. Judges nothing.

use crate::arrivals::{Arrivals, seed_of};
use crate::climb::{Burst, Shape};
use crate::crew;
use crate::plan::Plan;
use crate::record::{Ended, Record, Wire};
use crate::replay;
use crate::result::{FailureCause, Model};
use crate::samples::Sample;
use crate::timer::Timer;
use crate::visitor::Visitor;
use rustix::thread::{CpuSet, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_message::ResponseHead;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::{Random, deadline};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;

/// Scratch memories that a thread keeps for reuse.
const SCRATCH_KEPT_MAX: usize = 512;
/// A body's memory that grew beyond this is not kept.
const SCRATCH_BYTES_MAX: usize = 256 * 1024;
/// How often a thread looks whether it is late itself.
const HEARTBEAT: Duration = Duration::from_millis(10);
/// Arrivals after which others get a turn, when the generator has to catch up.
const ARRIVALS_AT_ONCE: u32 = 64;

/// What the threads are to do, from a moment on until other orders come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orders {
    /// When load begins to change.
    pub begin: Instant,
    /// How long it takes to.
    pub ramp: Duration,
    /// Load before: visitors, or arrivals a second, of all threads together.
    pub from: f64,
    /// Load after it.
    pub to: f64,
    /// In the open model: who comes on top of it after the ramp.
    pub burst: Option<Burst>,
    /// Whether it is over.
    pub is_end: bool,
}

/// What a thread and the conductor share.
#[derive(Debug)]
pub struct Shared {
    /// What was counted.
    pub record: Mutex<Record>,
    /// CPU time of the thread so far, in µs.
    pub cpu_us: AtomicU64,
    /// Journeys under way (open model).
    pub under_way: AtomicU32,
    /// Visitors of crews who have left.
    pub gone: AtomicU32,
}

impl Shared {
    /// Nothing counted yet, for so many steps of journeys.
    pub fn new(steps: usize) -> Self {
        Self {
            record: Mutex::new(Record::new(steps)),
            cpu_us: AtomicU64::new(0),
            under_way: AtomicU32::new(0),
            gone: AtomicU32::new(0),
        }
    }
}

/// One thread's parts, for its virtual users.
pub struct Thread {
    /// What the run was told.
    pub plan: Arc<Plan>,
    /// Exact moments.
    pub timer: Timer,
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: u32,
    #[allow(
        clippy::vec_box,
        reason = "a scratch moves between pool and visitor; its box moves as a pointer"
    )]
    scratches: RefCell<Vec<Box<Scratch>>>,
    /// The marks of this second, as lines: of each journey, as far as somebody walks it.
    marks: RefCell<(u64, Vec<Vec<u8>>)>,
    /// Virtual users of this thread that are wanted, and which of them there are (closed model).
    wanted: Cell<usize>,
    alive: RefCell<Vec<bool>>,
    /// Virtual users that wait for an arrival, and how many there are (open model).
    free: RefCell<Vec<Visitor>>,
    made: Cell<u32>,
    /// When the next arrival is due: all before it have been sent on their way.
    next_arrival: Cell<Option<Instant>>,
}

/// Memory for one page load under way.
#[derive(Debug, Default)]
pub struct Scratch {
    /// The request as it is sent.
    pub request: Vec<u8>,
    /// Path and query of it.
    pub target: String,
    /// For what is filled in.
    pub text: String,
    /// The response's head.
    pub head: ResponseHead,
    /// Its body, as far as it is looked into.
    pub body: Vec<u8>,
}

impl Thread {
    /// The thread's parts, to be made in its runtime. Errors are the system's.
    pub fn new(plan: Arc<Plan>, shared: Arc<Shared>, number: u32) -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            plan,
            timer: Timer::new()?,
            shared,
            number,
            scratches: RefCell::default(),
            marks: RefCell::default(),
            wanted: Cell::new(0),
            alive: RefCell::default(),
            free: RefCell::default(),
            made: Cell::new(0),
            next_arrival: Cell::new(None),
        }))
    }

    /// The record, locked for as long as a count takes.
    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.shared.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a page load that has ended, and tells of it where somebody writes them down.
    pub fn ended(&self, ended: &Ended, visitor: u64) {
        let mut record = self.record();
        let under_way = record.under_way_now();
        record.end(ended);
        drop(record);
        if let Some(samples) = &self.plan.samples {
            let status = ended.wire.statuses.iter().rev().find(|status| **status != 0).copied().unwrap_or(0);
            samples.put(Sample {
                due_unix_us: ended.due.unix_us(),
                took: ended.ended.since(ended.due),
                first_byte: ended.wire.first_byte.map(|first| first.since(ended.due)),
                connect: ended.wire.connect + ended.wire.handshake,
                step: ended.step,
                visitor,
                status,
                bytes: ended.wire.bytes,
                failure: ended.failure,
                under_way,
            });
        }
    }

    /// Memory for a page load.
    pub fn scratch(&self) -> Box<Scratch> {
        self.scratches.borrow_mut().pop().unwrap_or_default()
    }

    /// Appends the mark to a request of the journey at this place; signed once a second.
    pub fn write_mark(&self, request: &mut Vec<u8>, journey: usize) {
        let now = clock::coarse().unix_seconds();
        let mut marks = self.marks.borrow_mut();
        let journeys = &self.plan.journeys.all;
        if marks.0 != now {
            *marks = (now, vec![Vec::new(); journeys.len()]);
        }
        let Some(line) = marks.1.get_mut(journey) else { return };
        if line.is_empty() {
            *line = self.plan.mark.line(now, journeys[journey].account.as_deref());
        }
        request.extend_from_slice(line);
    }

    /// Takes it back.
    pub fn put_back(&self, scratch: Box<Scratch>) {
        let mut kept = self.scratches.borrow_mut();
        if kept.len() < SCRATCH_KEPT_MAX && scratch.body.capacity() <= SCRATCH_BYTES_MAX {
            kept.push(scratch);
        }
    }

    /// This thread's part of a number of visitors: those whose number leaves its own when divided by the threads.
    fn part_of(&self, visitors: f64) -> usize {
        let (all, threads) = (visitors as usize, self.plan.threads as usize);
        (all + threads - 1 - self.number as usize) / threads
    }

    /// The number of the visitor at this place of the thread, among all.
    fn number_of(&self, place: usize) -> usize {
        place * self.plan.threads as usize + self.number as usize
    }
}

/// Starts a thread.
pub fn start(
    plan: Arc<Plan>,
    shared: Arc<Shared>,
    number: u32,
    orders: watch::Receiver<Orders>,
) -> io::Result<JoinHandle<io::Result<()>>> {
    std::thread::Builder::new().name(format!("load-{number}")).spawn(move || {
        if !plan.cpus.is_empty() {
            pin_to(&[plan.cpus[number as usize % plan.cpus.len()]])?;
        }
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .on_thread_unpark(|| {
                clock::renew();
            })
            .build_local(LocalOptions::default())?;
        runtime.block_on(async move {
            let thread = Thread::new(plan, shared, number)?;
            let performed = perform(thread.clone(), orders).await;
            // They hold the thread, and it them: whoever waits until no page load can be told any more would wait for ever.
            drop(thread.free.take());
            performed
        })
    })
}

/// Binds the calling thread, and those it starts, to these cores. Errors are the system's: no such core, or not ours.
pub fn pin_to(cpus: &[u32]) -> io::Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        let cpu = *cpu as usize;
        if cpu >= CpuSet::MAX_CPU {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        set.set(cpu);
    }
    Ok(sched_setaffinity(None, &set)?)
}

async fn perform(thread: Rc<Thread>, mut orders: watch::Receiver<Orders>) -> io::Result<()> {
    clock::renew();
    let driving = thread.clone();
    tokio::task::spawn_local(async move { driving.timer.drive().await });
    tokio::task::spawn_local(sweep(thread.clone()));
    tokio::task::spawn_local(heartbeat(thread.clone()));
    loop {
        let now = *orders.borrow_and_update();
        if now.is_end {
            return Ok(());
        }
        let performing = async {
            match thread.plan.model {
                // Before the first orders, nobody is wanted.
                Model::Closed if matches!(thread.plan.shape, Shape::Crews { .. }) => {
                    if now.to > 0.0 {
                        crew::begin(&thread, &now);
                    }
                }
                Model::Closed => visitors(&thread, &now).await,
                Model::Open => match &thread.plan.replay {
                    Some(source) if now.to > 0.0 => replay::perform(&thread, source, &now).await,
                    Some(_) => {}
                    None => arrivals(&thread, &now).await,
                },
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = performing => {}
            changed = orders.changed() => if changed.is_err() { return Ok(()); },
        }
    }
}

/// Wakes those whose time-out passed, and says what CPU time the thread had.
async fn sweep(thread: Rc<Thread>) {
    loop {
        deadline::sweep(clock::renew());
        let spent = clock_gettime(ClockId::ThreadCPUTime);
        let micros = spent.tv_sec.max(0) as u64 * 1_000_000 + spent.tv_nsec.max(0) as u64 / 1_000;
        // Never 0: that is a thread which has not begun.
        thread.shared.cpu_us.store(micros.max(1), Relaxed);
        tokio::time::sleep(deadline::SWEEP_EVERY).await;
    }
}

/// Is late when the thread is: also measures where few requests have a moment at which they are due. Says until when all that was due
/// has begun.
async fn heartbeat(thread: Rc<Thread>) {
    let mut due = clock::now();
    loop {
        // One beat behind: whoever is due between two beats may be woken with the second one.
        let begun_until = thread.next_arrival.get().map_or(due, |next| next.min(due));
        // Those who have been woken or sent on their way by now are before us.
        tokio::task::yield_now().await;
        thread.record().begun_until = begun_until;
        due = due.after(HEARTBEAT);
        thread.timer.until(due).await;
        let late = clock::now().since(due);
        let mut record = thread.record();
        if record.window.has(due) {
            record.step.count_lag(late);
        }
    }
}

/// Closed model: brings the number of this thread's visitors to what is ordered, spread over the ramp. Those who are
/// too many leave when they would ask again.
async fn visitors(thread: &Rc<Thread>, orders: &Orders) {
    let wanted = thread.part_of(orders.to);
    thread.wanted.set(wanted);
    let places = thread.alive.borrow().len().max(wanted);
    thread.alive.borrow_mut().resize(places, false);
    for place in 0..wanted {
        if thread.alive.borrow()[place] {
            continue;
        }
        let number = thread.number_of(place);
        let part = ((number as f64 + 0.5 - orders.from) / (orders.to - orders.from).max(1.0)).clamp(0.0, 1.0);
        let begin = orders.begin.after(orders.ramp.mul_f64(part));
        thread.timer.until(begin).await;
        thread.alive.borrow_mut()[place] = true;
        tokio::task::spawn_local(live(thread.clone(), place, begin));
    }
}

async fn live(thread: Rc<Thread>, place: usize, begin: Instant) {
    let mut visitor = Visitor::new(&thread, thread.number_of(place) as u64);
    let goes_on = || place < thread.wanted.get();
    let is_amid = matches!(thread.plan.shape, Shape::Trial(_));
    let mut due = Some(if is_amid { visitor.amid(begin) } else { begin });
    while let Some(next) = due {
        thread.timer.until(next).await;
        if !goes_on() {
            break;
        }
        due = visitor.walk(next, goes_on).await;
    }
    thread.alive.borrow_mut()[place] = false;
}

/// Open model: begins a journey at each arrival, whether or not earlier ones have ended.
async fn arrivals(thread: &Rc<Thread>, orders: &Orders) {
    let plan = &thread.plan;
    let threads = f64::from(plan.threads);
    let rate = (orders.from / threads, orders.to / threads);
    let place = (f64::from(thread.number) + 0.5) / threads;
    let random =
        Random::from_seed(seed_of(plan.seed ^ orders.to.to_bits(), u64::MAX - u64::from(thread.number)));
    let mut arrivals = Arrivals::new(rate, orders.ramp, plan.spacing, place, random);
    if let Some(burst) = orders.burst {
        arrivals = arrivals.with_burst(burst.above / threads, burst.half_life);
    }
    let free_max = plan.in_flight_max.div_ceil(plan.threads);
    let mut at_once = 0;
    for after in arrivals {
        let due = orders.begin.after(after);
        thread.next_arrival.set(Some(due));
        if clock::now() < due {
            at_once = 0;
            thread.timer.until(due).await;
        } else {
            at_once += 1;
            if at_once % ARRIVALS_AT_ONCE == 0 {
                tokio::task::yield_now().await;
            }
        }
        let visitor = thread.free.borrow_mut().pop();
        let visitor = visitor.or_else(|| {
            let made = thread.made.get();
            (made < free_max).then(|| {
                thread.made.set(made + 1);
                Visitor::new(thread, thread.number_of(made as usize) as u64)
            })
        });
        match visitor {
            Some(visitor) => drop(tokio::task::spawn_local(arrive(thread.clone(), visitor, due))),
            None => refuse(thread, due),
        }
    }
    thread.next_arrival.set(None);
}

async fn arrive(thread: Rc<Thread>, mut visitor: Visitor, due: Instant) {
    thread.shared.under_way.fetch_add(1, Relaxed);
    visitor.walk(due, || true).await;
    thread.shared.under_way.fetch_sub(1, Relaxed);
    thread.free.borrow_mut().push(visitor);
}

/// An arrival for whom there is no virtual user: a failure of the generator's, never silently left out.
pub(crate) fn refuse(thread: &Thread, due: Instant) {
    let now = clock::now();
    let failure = Some(FailureCause::GeneratorFull);
    thread.record().begin(due, now);
    let wire = Wire::default();
    thread.ended(&Ended { step: 0, due, begun: now, ended: now, failure, wire }, u64::MAX);
}
