//! Permits: the right to use an endpoint now. Taking one is a compare-and-swap on the endpoint's cell. At the
//! limit requests wait in one ordered queue for each pool; a permit given back calls the first. Bounded in
//! length and time. Does not choose the endpoint.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};
use tentpole_model::QueueSettings;
use tentpole_runtime::Cell;
use tentpole_runtime::deadline::Deadline;

/// The gates of all pools, by name: a gate outlives Snapshots.
#[derive(Debug, Default)]
pub struct Gates {
    by_pool: RwLock<HashMap<String, Arc<Gate>>>,
}

/// What stands before one pool.
#[derive(Debug, Default)]
pub struct Gate {
    /// Mirrors `waiting.len()`, so that giving a permit back takes no lock while nobody waits.
    length: AtomicU32,
    waiting: Mutex<VecDeque<Arc<Turn>>>,
}

/// The right to have one more request in flight at an endpoint; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    cell: Arc<Cell>,
    gate: Arc<Gate>,
}

/// Why nobody was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// As many wait as may.
    Full,
    /// Waited as long as may be.
    TimedOut,
}

/// One request's place in the queue.
#[derive(Debug, Default)]
struct Turn {
    state: Mutex<TurnState>,
}

#[derive(Debug, Default)]
struct TurnState {
    called: bool,
    waker: Option<Waker>,
}

/// Leaves the queue when dropped; a call that came too late is passed on.
struct Place<'a> {
    gate: &'a Gate,
    turn: Arc<Turn>,
    taken: bool,
}

impl Gates {
    /// The gate of a pool, made at the first call.
    pub fn of(&self, pool: &str) -> Arc<Gate> {
        let mut by_pool = self.by_pool.write().unwrap_or_else(PoisonError::into_inner);
        by_pool.entry(pool.to_owned()).or_default().clone()
    }

    /// Drops the gates of pools that are gone and before which nobody stands any more.
    pub fn forget_unused(&self) {
        let mut by_pool = self.by_pool.write().unwrap_or_else(PoisonError::into_inner);
        by_pool.retain(|_, gate| Arc::strong_count(gate) > 1);
    }
}

impl Gate {
    /// A permit for the endpoint of this cell, unless `requests_max` are in flight.
    pub fn try_permit(self: &Arc<Self>, cell: &Arc<Cell>, requests_max: Option<u32>) -> Option<Permit> {
        match requests_max {
            None => {
                cell.in_flight.fetch_add(1, SeqCst);
            }
            Some(max) => {
                let more = |now: u32| (now < max).then_some(now + 1);
                cell.in_flight.fetch_update(SeqCst, SeqCst, more).ok()?;
            }
        }
        Some(Permit { cell: cell.clone(), gate: self.clone() })
    }

    /// Requests waiting now.
    pub fn length(&self) -> u32 {
        self.length.load(SeqCst)
    }

    /// Waits for a turn: ready when a permit was given back and all who came before had their turn. The caller
    /// then tries again, with `take`; when that finds nothing the place is kept and the wait goes on.
    pub async fn wait<T>(
        &self,
        settings: QueueSettings,
        deadline: &Deadline,
        mut take: impl FnMut() -> Option<T>,
    ) -> Result<T, QueueError> {
        let mut place = self.enter(settings.length_max).ok_or(QueueError::Full)?;
        deadline.set_in(settings.wait_max);
        // Someone may have given back a permit just before we stood in the queue: the first in it looks at once.
        if self.is_first(&place.turn)
            && let Some(taken) = take()
        {
            place.taken = true;
            return Ok(taken);
        }
        loop {
            let called = poll_fn(|context| match place.turn.poll_called(context) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => deadline.poll_expired(context).map(|_| false),
            });
            if !called.await {
                return Err(QueueError::TimedOut);
            }
            if let Some(taken) = take() {
                place.taken = true;
                return Ok(taken);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Turn>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, length_max: u32) -> Option<Place<'_>> {
        let mut waiting = self.lock();
        if waiting.len() as u64 >= u64::from(length_max) {
            return None;
        }
        let turn = Arc::new(Turn::default());
        waiting.push_back(turn.clone());
        self.length.store(waiting.len() as u32, SeqCst);
        Some(Place { gate: self, turn, taken: false })
    }

    fn is_first(&self, turn: &Arc<Turn>) -> bool {
        self.lock().front().is_some_and(|first| Arc::ptr_eq(first, turn))
    }

    /// Calls the first in the queue. Stays cheap while nobody waits.
    pub fn call_first(&self) {
        if self.length() == 0 {
            return;
        }
        let first = self.lock().front().cloned();
        if let Some(turn) = first {
            turn.call();
        }
    }
}

impl Turn {
    fn call(&self) {
        let waker = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.called = true;
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll_called(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut state.called) {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.gate.lock();
        if let Some(at) = waiting.iter().position(|turn| Arc::ptr_eq(turn, &self.turn)) {
            waiting.remove(at);
        }
        self.gate.length.store(waiting.len() as u32, SeqCst);
        drop(waiting);
        // There may be room for the next one too; and a call that we got and did not use must not be lost.
        self.gate.call_first();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.cell.in_flight.fetch_sub(1, SeqCst);
        self.gate.call_first();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tentpole_runtime::{Cells, clock, deadline};

    fn settings(length_max: u32) -> QueueSettings {
        QueueSettings { length_max, wait_max: Duration::from_secs(5) }
    }

    #[test]
    fn a_permit_counts_while_it_lives() {
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let first = gate.try_permit(&cell, Some(1)).unwrap();
        assert!(gate.try_permit(&cell, Some(1)).is_none());
        drop(first);
        assert!(gate.try_permit(&cell, Some(1)).is_some());
        assert_eq!(cell.in_flight.load(SeqCst), 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn those_who_wait_are_served_in_order() {
        clock::renew();
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let held = gate.try_permit(&cell, Some(1)).unwrap();
        let order = std::cell::RefCell::new(Vec::new());
        let waiter = |number: u32| {
            let (cell, gate, order) = (&cell, &gate, &order);
            async move {
                let deadline = Deadline::new();
                let take = || gate.try_permit(cell, Some(1));
                let permit = gate.wait(settings(10), &deadline, take).await.unwrap();
                order.borrow_mut().push(number);
                tokio::task::yield_now().await;
                drop(permit);
            }
        };
        tokio::join!(waiter(1), waiter(2), waiter(3), async { drop(held) });
        assert_eq!(*order.borrow(), [1, 2, 3]);
        assert_eq!((cell.in_flight.load(SeqCst), gate.length()), (0, 0));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_full_queue_refuses_and_a_long_wait_ends() {
        clock::renew();
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let _held = gate.try_permit(&cell, Some(1)).unwrap();
        let take = || gate.try_permit(&cell, Some(1));
        let (first, second) = (Deadline::new(), Deadline::new());
        let (waited, refused, ()) = tokio::join!(
            gate.wait(settings(1), &first, take),
            gate.wait(settings(1), &second, take),
            async { deadline::sweep(clock::now().after(Duration::from_secs(6))) }
        );
        assert_eq!(waited.unwrap_err(), QueueError::TimedOut);
        assert_eq!(refused.unwrap_err(), QueueError::Full);
        assert_eq!(gate.length(), 0);
    }

    #[test]
    fn many_threads_never_exceed_the_limit_and_nobody_is_forgotten() {
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let served = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async {
                        clock::renew();
                        let deadline = Deadline::new();
                        for _ in 0..2_000 {
                            let take = || gate.try_permit(&cell, Some(2));
                            let permit = match gate.length() {
                                0 => take(),
                                _ => None,
                            };
                            let permit = match permit {
                                Some(permit) => permit,
                                None => gate.wait(settings(10), &deadline, take).await.unwrap(),
                            };
                            assert!(cell.in_flight.load(SeqCst) <= 2);
                            drop(permit);
                            served.fetch_add(1, SeqCst);
                        }
                    });
                });
            }
        });
        assert_eq!(served.load(SeqCst), 8_000);
        assert_eq!((cell.in_flight.load(SeqCst), gate.length()), (0, 0));
    }
}
