//! A bounded queue between data threads and the threads that may wait for a disk. Who puts something in never waits: what
//! does not fit is handed back.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue. Each thing has a weight in bytes.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    came: Condvar,
    count_max: usize,
    bytes_max: u64,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<(T, u64)>,
    bytes: u64,
    /// Somebody wants attention, whatever else waits.
    called: bool,
    /// The last thing given out was a call: now it is a job's turn.
    answered: bool,
    closed: bool,
}

/// What a thread that waits for work gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next<T> {
    Job(T),
    /// Somebody called.
    Called,
    /// Nothing came in time.
    Nothing,
    /// There will be nothing more.
    Closed,
}

impl<T> Queue<T> {
    /// An empty one.
    pub(crate) fn new(count_max: usize, bytes_max: u64) -> Self {
        let state =
            State { waiting: VecDeque::new(), bytes: 0, called: false, answered: false, closed: false };
        Self { state: Mutex::new(state), came: Condvar::new(), count_max, bytes_max }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in; gives it back when there is no room.
    pub(crate) fn put(&self, job: T, bytes: u64) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed || state.waiting.len() >= self.count_max || state.bytes + bytes > self.bytes_max {
            return Err(job);
        }
        state.bytes += bytes;
        state.waiting.push_back((job, bytes));
        drop(state);
        self.came.notify_one();
        Ok(())
    }

    /// Calls a thread that waits for work.
    pub(crate) fn call(&self) {
        self.lock().called = true;
        self.came.notify_one();
    }

    /// Lets nothing more in; what waits is still given out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.came.notify_all();
    }

    /// The next job, waiting for at most `max`; without one, as long as it takes.
    pub(crate) fn next(&self, max: Option<Duration>) -> Next<T> {
        let mut state = self.lock();
        loop {
            if state.called && (!state.answered || state.waiting.is_empty()) {
                (state.called, state.answered) = (false, true);
                return Next::Called;
            }
            state.answered = false;
            if let Some((job, bytes)) = state.waiting.pop_front() {
                state.bytes -= bytes;
                return Next::Job(job);
            }
            if state.closed {
                return Next::Closed;
            }
            state = match max {
                None => self.came.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(max) => {
                    let waited = self.came.wait_timeout(state, max).unwrap_or_else(PoisonError::into_inner);
                    if waited.1.timed_out() && waited.0.waiting.is_empty() && !waited.0.called {
                        return if waited.0.closed { Next::Closed } else { Next::Nothing };
                    }
                    waited.0
                }
            };
        }
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_handed_back() {
        let queue = Queue::new(3, 100);
        assert_eq!(queue.put('a', 60), Ok(()));
        assert_eq!(queue.put('b', 60), Err('b'), "too many bytes");
        assert_eq!(queue.put('c', 1), Ok(()));
        assert_eq!(queue.put('d', 1), Ok(()));
        assert_eq!(queue.put('e', 1), Err('e'), "too many");
        assert_eq!(queue.next(None), Next::Job('a'));
        assert_eq!(queue.put('b', 60), Ok(()));
    }

    #[test]
    fn a_call_comes_before_what_waits_and_the_end_after_it() {
        let queue = Queue::new(3, 100);
        queue.put('a', 0).unwrap();
        queue.call();
        queue.close();
        assert_eq!(queue.put('b', 0), Err('b'));
        assert_eq!(queue.next(None), Next::Called);
        assert_eq!(queue.next(None), Next::Job('a'));
        assert_eq!(queue.next(Some(Duration::ZERO)), Next::Closed);
        assert_eq!(queue.next(None), Next::Closed);
    }

    #[test]
    fn calls_without_end_do_not_keep_jobs_from_their_turn() {
        let queue = Queue::new(3, 100);
        queue.put('a', 0).unwrap();
        queue.call();
        assert_eq!(queue.next(None), Next::Called);
        queue.call();
        assert_eq!(queue.next(None), Next::Job('a'));
        assert_eq!(queue.next(None), Next::Called);
    }

    #[test]
    fn without_work_it_returns_in_time() {
        assert_eq!(Queue::<()>::new(1, 1).next(Some(Duration::from_millis(1))), Next::Nothing);
    }
}
