//! The threads that wait for disks, so that no data thread does. Bounded by seats: whoever has one has at most one thing
//! waiting here, and so the queue is never longer than there are seats.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use tentpole_runtime::notice;
use tokio::sync::oneshot;

/// Threads: as many reads of a slow disk may be under way at once.
const THREADS: usize = 4;
/// Files that may be open, or looked for, at once.
const SEATS_MAX: usize = 4_096;

/// What comes of something that was given to [`Readers`]. An error when nobody does it any more.
pub type Asked<T> = oneshot::Receiver<T>;

type Job = Box<dyn FnOnce() + Send>;

/// The threads and what waits for them. They start with the first thing to do, and end when this is dropped.
#[derive(Debug)]
pub struct Readers {
    queue: Arc<Queue>,
    started: Once,
    seats: Arc<AtomicUsize>,
    refused: AtomicBool,
}

/// The right to have one thing waiting.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Job>,
    closed: bool,
}

impl Default for Readers {
    fn default() -> Self {
        let (queue, seats) = (Arc::default(), Arc::default());
        Self { queue, started: Once::new(), seats, refused: AtomicBool::new(false) }
    }
}

impl Readers {
    /// A seat, if one is free.
    pub fn seat(&self) -> Option<Seat> {
        let took = self
            .seats
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < SEATS_MAX).then_some(n + 1));
        if took.is_err() && !self.refused.swap(true, Ordering::Relaxed) {
            notice(format_args!(
                "{SEATS_MAX} files are being read at once: more are refused with 503. Is the disk slow, or a file system not \
                 there?"
            ));
        }
        took.ok().map(|_| Seat(self.seats.clone()))
    }

    /// Seats that are taken.
    pub fn taken(&self) -> usize {
        self.seats.load(Ordering::Relaxed)
    }

    /// Has something done that may wait for a disk. What nobody waits for any more is not begun. Who asks has a seat.
    pub fn ask<T: Send + 'static>(
        &self,
        _seat: &Seat,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Asked<T> {
        self.started.call_once(|| self.start());
        let (answer, asked) = oneshot::channel();
        let job = move || {
            if !answer.is_closed() {
                // Whoever asked may go meanwhile.
                let _ = answer.send(work());
            }
        };
        self.queue.lock().waiting.push_back(Box::new(job));
        self.queue.came.notify_one();
        asked
    }

    fn start(&self) {
        for number in 0..THREADS {
            let queue = self.queue.clone();
            let started = thread::Builder::new().name(format!("files-{number}")).spawn(move || queue.serve());
            if let Err(error) = started {
                notice(format_args!("a thread that reads files does not start: {error}"));
            }
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        state.waiting.clear();
        drop(state);
        self.queue.came.notify_all();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.waiting.pop_front() {
                drop(state);
                job();
                state = self.lock();
            } else if state.closed {
                return;
            } else {
                state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().waiting.len()).finish()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_and_come_back() {
        let readers = Readers::default();
        let seats: Vec<_> = (0..SEATS_MAX).map(|_| readers.seat().unwrap()).collect();
        assert!(readers.seat().is_none());
        drop(seats);
        assert_eq!(readers.taken(), 0);
        assert!(readers.seat().is_some());
    }

    #[test]
    fn what_nobody_waits_for_is_not_done() {
        let readers = Readers::default();
        let seat = readers.seat().unwrap();
        let (go, gate) = std::sync::mpsc::sync_channel::<()>(THREADS);
        let gate = Arc::new(Mutex::new(gate));
        let held: Vec<_> = (0..THREADS)
            .map(|_| {
                let gate = gate.clone();
                readers.ask(&seat, move || gate.lock().unwrap().recv().unwrap())
            })
            .collect();
        let (done, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (first, second) = (done.clone(), seen.clone());
        drop(readers.ask(&seat, move || first.store(true, Ordering::SeqCst)));
        let last = readers.ask(&seat, move || second.store(true, Ordering::SeqCst));
        (0..THREADS).for_each(|_| go.send(()).unwrap());
        held.into_iter().for_each(|held| held.blocking_recv().unwrap());
        last.blocking_recv().unwrap();
        assert!(seen.load(Ordering::SeqCst) && !done.load(Ordering::SeqCst));
    }
}
