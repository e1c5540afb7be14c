//! The threads that compress, and what waits for them.

use crate::{Coding, NotSmaller};
use bytes::Bytes;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tentpole_runtime::ledger::{Account, Pressure};
use tentpole_runtime::{Ledger, notice};

/// Largest content that is compressed, in bytes: that takes a tenth of a second to a second.
pub const BYTES_MAX: u64 = 8 << 20;

/// Jobs that wait at most.
const WAITING_MAX: usize = 256;
/// Bytes of content that wait at most. They may have left the cache meanwhile and are held only by this.
const WAITING_BYTES_MAX: u64 = 64 << 20;
/// What an encoder holds beside what comes out, in bytes: window and tables of brotli, the largest.
const WORKSPACE_BYTES: u64 = 16 << 20;
/// A thread with this niceness gets about a tenth of what a data thread gets that wants the same core: little enough to
/// be harmless, and enough for a form to be made also while the machine is full (Linux `sched(7)`: a factor of 1.25 a
/// step).
const NICENESS: i32 = 10;

/// Content to be compressed.
pub struct Job {
    /// Into what.
    pub coding: Coding,
    /// The content, in order.
    pub chunks: Vec<Bytes>,
    /// Gets what came of it, on a thread of the pool. Dropped without that when the pool ends.
    pub then: Box<dyn FnOnce(Result<Vec<u8>, NotSmaller>) + Send>,
}

impl Job {
    fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.len() as u64).sum()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("coding", &self.coding)
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// What was done since the pool began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Jobs that wait.
    pub waiting: u64,
    /// Bytes of their content.
    pub waiting_bytes: u64,
    /// Times that there was no room for a job.
    pub dropped: u64,
    /// Forms made.
    pub made: u64,
    /// Content that did not become smaller.
    pub not_smaller: u64,
    /// Bytes of content that went into the forms made.
    pub bytes_in: u64,
    /// Bytes that came out.
    pub bytes_out: u64,
}

/// A few threads that compress. They end some time after the pool has been dropped.
#[derive(Debug)]
pub struct Pool {
    jobs: SyncSender<Job>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ledger: Arc<Ledger>,
    waiting: AtomicU64,
    waiting_bytes: AtomicU64,
    dropped: AtomicU64,
    ended: AtomicBool,
    made: AtomicU64,
    not_smaller: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

impl Pool {
    /// With so many threads. What they hold is on the ledger. Where the system refuses a thread, it is said and there is
    /// one less; without any, nothing is compressed.
    pub fn new(threads: usize, ledger: &Arc<Ledger>) -> Self {
        let (jobs, taken) = sync_channel(WAITING_MAX);
        let shared = Arc::new(Shared {
            ledger: ledger.clone(),
            waiting: AtomicU64::new(0),
            waiting_bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            made: AtomicU64::new(0),
            not_smaller: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
        });
        let taken = Arc::new(Mutex::new(taken));
        for number in 0..threads {
            let (shared, taken) = (shared.clone(), taken.clone());
            let thread = std::thread::Builder::new().name(format!("compress-{number}"));
            if let Err(error) = thread.spawn(move || shared.work(&taken)) {
                notice(format_args!("a thread that compresses could not start: {error}"));
            }
        }
        Self { jobs, shared }
    }

    /// Whether there is no room for more work now. Costs three loads.
    pub fn is_full(&self) -> bool {
        let shared = &self.shared;
        shared.waiting.load(Ordering::Relaxed) >= WAITING_MAX as u64
            || shared.waiting_bytes.load(Ordering::Relaxed) >= WAITING_BYTES_MAX
            || shared.ledger.pressure() >= Pressure::PassFills
    }

    /// Takes a job, unless there is no room for it or it is too large: then it is dropped, and the answer is false. Never
    /// waits.
    pub fn offer(&self, job: Job) -> bool {
        let bytes = job.bytes();
        if bytes > BYTES_MAX || self.is_full() {
            self.turned_away();
            return false;
        }
        self.shared.waits(bytes);
        let sent = self.jobs.try_send(job).is_ok();
        if !sent {
            self.shared.waits_no_more(bytes);
            self.turned_away();
        }
        sent
    }

    /// Counts a job that was not even offered, because there is no room.
    #[cold]
    pub fn turned_away(&self) {
        self.shared.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// What was done.
    pub fn stats(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let Shared { waiting, waiting_bytes, dropped, made, not_smaller, bytes_in, bytes_out, .. } =
            &*self.shared;
        Stats {
            waiting: read(waiting),
            waiting_bytes: read(waiting_bytes),
            dropped: read(dropped),
            made: read(made),
            not_smaller: read(not_smaller),
            bytes_in: read(bytes_in),
            bytes_out: read(bytes_out),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn waits(&self, bytes: u64) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn waits_no_more(&self, bytes: u64) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// What a thread does, until the pool is gone.
    fn work(&self, jobs: &Mutex<Receiver<Job>>) {
        give_way();
        loop {
            let taken = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(job) = taken else { return };
            self.waits_no_more(job.bytes());
            if !self.ended.load(Ordering::Relaxed) {
                self.perform(job);
            }
        }
    }

    fn perform(&self, job: Job) {
        let bytes = job.bytes();
        let held = Held::new(&self.ledger, bytes + WORKSPACE_BYTES);
        let coded = job.coding.compress(&job.chunks);
        match &coded {
            Ok(coded) => {
                self.made.fetch_add(1, Ordering::Relaxed);
                self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
                self.bytes_out.fetch_add(coded.len() as u64, Ordering::Relaxed);
            }
            Err(NotSmaller) => {
                self.not_smaller.fetch_add(1, Ordering::Relaxed);
            }
        }
        drop(held);
        (job.then)(coded);
    }
}

/// On Linux this is about the thread that calls. Never makes one less nice; where it is refused, it works as it is.
pub fn give_way() {
    if rustix::process::getpriority_process(None).is_ok_and(|niceness| niceness < NICENESS) {
        let _ = rustix::process::setpriority_process(None, NICENESS);
    }
}

/// Bytes on the Ledger while work goes on.
struct Held<'a> {
    ledger: &'a Ledger,
    bytes: u64,
}

impl<'a> Held<'a> {
    fn new(ledger: &'a Ledger, bytes: u64) -> Self {
        ledger.charge(Account::Fills, bytes);
        Self { ledger, bytes }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.ledger.release(Account::Fills, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    fn ledger() -> Arc<Ledger> {
        Ledger::new(1 << 30)
    }

    fn job(bytes: usize, then: impl FnOnce(Result<Vec<u8>, NotSmaller>) + Send + 'static) -> Job {
        Job { coding: Coding::Gzip, chunks: vec![Bytes::from(vec![b'a'; bytes])], then: Box::new(then) }
    }

    #[test]
    fn what_comes_of_a_job_is_said_on_a_thread_that_gives_way() {
        let pool = Pool::new(1, &ledger());
        let (says, said) = mpsc::sync_channel(1);
        assert!(pool.offer(job(10_000, move |coded| {
            says.send((coded, rustix::process::getpriority_process(None).unwrap())).unwrap();
        })));
        let (coded, niceness) = said.recv().unwrap();
        assert!(coded.unwrap().len() < 100);
        let own = rustix::process::getpriority_process(None).unwrap();
        assert_eq!(niceness, NICENESS.max(own));
        assert!(own < NICENESS || niceness == own, "only that thread");
        let Stats { made, not_smaller, bytes_in, bytes_out, .. } = pool.stats();
        assert_eq!((made, not_smaller, bytes_in), (1, 0, 10_000));
        assert!(bytes_out < 100);
    }

    /// A pool whose only thread is held up until the sender is dropped.
    fn held_up(ledger: &Arc<Ledger>) -> (Pool, mpsc::SyncSender<()>) {
        let pool = Pool::new(1, ledger);
        let (go_on, goes_on) = mpsc::sync_channel::<()>(0);
        let (begins, begun) = mpsc::sync_channel(1);
        assert!(pool.offer(job(1_000, move |_| {
            begins.send(()).unwrap();
            let _ = goes_on.recv();
        })));
        begun.recv().unwrap();
        (pool, go_on)
    }

    #[test]
    fn no_more_waits_than_may_and_there_is_room_again_afterwards() {
        let (pool, go_on) = held_up(&ledger());
        let (says, said) = mpsc::sync_channel(WAITING_MAX);
        let offer = || {
            let says = says.clone();
            pool.offer(job(1_000, move |_| says.send(()).unwrap()))
        };
        let taken = (0..2 * WAITING_MAX).filter(|_| offer()).count();
        assert_eq!(taken, WAITING_MAX);
        assert!(pool.is_full());
        let Stats { waiting, waiting_bytes, dropped, .. } = pool.stats();
        assert_eq!((waiting, dropped), (WAITING_MAX as u64, WAITING_MAX as u64));
        assert_eq!(waiting_bytes, 1_000 * waiting);
        drop(go_on);
        (0..WAITING_MAX).for_each(|_| said.recv().unwrap());
        assert!(!pool.is_full());
        assert!(offer());
    }

    #[test]
    fn no_more_bytes_wait_than_may() {
        let (pool, go_on) = held_up(&ledger());
        let taken = (0..100).filter(|_| pool.offer(job(BYTES_MAX as usize, |_| {}))).count() as u64;
        assert_eq!(taken, WAITING_BYTES_MAX / BYTES_MAX);
        drop(go_on);
    }

    #[test]
    fn what_is_too_large_is_not_taken_nor_anything_while_memory_is_short() {
        let ledger = ledger();
        let pool = Pool::new(1, &ledger);
        assert!(!pool.offer(job(BYTES_MAX as usize + 1, |_| {})));
        ledger.charge(Account::Buffers, 950 << 20);
        assert!(!pool.offer(job(1_000, |_| {})));
        ledger.release(Account::Buffers, 950 << 20);
        assert!(pool.offer(job(1_000, |_| {})));
    }

    #[test]
    fn what_is_held_is_on_the_ledger_for_as_long_as_it_is() {
        let ledger = ledger();
        let pool = Pool::new(2, &ledger);
        let (says, said) = mpsc::sync_channel(8);
        for _ in 0..8 {
            let says = says.clone();
            assert!(pool.offer(job(100_000, move |_| says.send(()).unwrap())));
        }
        (0..8).for_each(|_| said.recv().unwrap());
        assert_eq!(ledger.held(Account::Fills), 0);
    }

    #[test]
    fn a_pool_that_is_gone_drops_what_waits() {
        let (pool, go_on) = held_up(&ledger());
        let (says, said) = mpsc::sync_channel(1);
        assert!(pool.offer(job(1_000, move |_| says.send(()).unwrap())));
        drop((pool, go_on));
        // Its sender is dropped with it.
        assert!(said.recv().is_err());
    }
}
