//! Deadlines of one thread, swept together: setting one is a store, no timer is made and no clock is read.
//! A deadline is late by one sweep at most ([`SWEEP_EVERY`]); it is for time-outs of a second and more.

use crate::clock::{self, Instant};
use std::cell::RefCell;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Time between two sweeps.
pub const SWEEP_EVERY: Duration = Duration::from_millis(100);

const NEVER: u64 = u64::MAX;
const PASSED: u64 = 0;

/// One deadline of a task. Unregistered when dropped. Stays on its thread.
#[derive(Debug)]
pub struct Deadline {
    slot: usize,
    /// Not Send: the slot belongs to this thread's table.
    _thread: std::marker::PhantomData<*const ()>,
}

/// The deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

#[derive(Default)]
struct Table {
    /// Microseconds on the process's clock; scanned as a whole at each sweep.
    at: Vec<u64>,
    /// Whether what waits may as well be ended when the thread drains.
    idle: Vec<Idle>,
    wakers: Vec<Option<Waker>>,
    free: Vec<usize>,
}

/// What a wait may be cut short for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Idle {
    /// Nothing.
    No,
    /// [`expire_idle`].
    Yes,
    /// [`expire_told`] as well: who is at the other end is told before anything ends.
    Told,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

impl Deadline {
    /// One that is not set.
    pub fn new() -> Self {
        let slot = TABLE.with_borrow_mut(|table| {
            if let Some(slot) = table.free.pop() {
                table.at[slot] = NEVER;
                return slot;
            }
            table.at.push(NEVER);
            table.idle.push(Idle::No);
            table.wakers.push(None);
            table.at.len() - 1
        });
        Self { slot, _thread: std::marker::PhantomData }
    }

    /// Sets it to a duration from the thread's coarse time.
    #[inline]
    pub fn set_in(&self, duration: Duration) {
        self.set_at(clock::coarse().after(duration));
    }

    /// Sets it.
    #[inline]
    pub fn set_at(&self, at: Instant) {
        TABLE.with_borrow_mut(|table| {
            table.at[self.slot] = at.as_micros().max(PASSED + 1);
            table.idle[self.slot] = Idle::No;
        });
    }

    /// Sets it for a wait that [`expire_idle`] may cut short: between two requests, say.
    #[inline]
    pub fn set_idle_in(&self, duration: Duration) {
        self.set_in(duration);
        TABLE.with_borrow_mut(|table| table.idle[self.slot] = Idle::Yes);
    }

    /// The same where cutting it short harms nobody: the other end can be told first (GOAWAY in HTTP/2).
    #[inline]
    pub fn set_told_in(&self, duration: Duration) {
        self.set_in(duration);
        TABLE.with_borrow_mut(|table| table.idle[self.slot] = Idle::Told);
    }

    /// Unsets it.
    #[inline]
    pub fn clear(&self) {
        TABLE.with_borrow_mut(|table| table.at[self.slot] = NEVER);
    }

    /// Ready once a sweep found it passed. Wakes the task of the last call.
    pub fn poll_expired(&self, context: &mut Context<'_>) -> Poll<Expired> {
        TABLE.with_borrow_mut(|table| {
            if table.at[self.slot] == PASSED {
                return Poll::Ready(Expired);
            }
            let waker = &mut table.wakers[self.slot];
            if !waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
                *waker = Some(context.waker().clone());
            }
            Poll::Pending
        })
    }

    /// Runs `step` until it is ready or the deadline passes.
    pub async fn guard<T>(&self, mut step: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Result<T, Expired> {
        poll_fn(|context| match step(context) {
            Poll::Ready(value) => Poll::Ready(Ok(value)),
            Poll::Pending => self.poll_expired(context).map(Err),
        })
        .await
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        let _ = TABLE.try_with(|table| {
            if let Ok(mut table) = table.try_borrow_mut() {
                table.at[self.slot] = NEVER;
                table.wakers[self.slot] = None;
                table.free.push(self.slot);
            }
        });
    }
}

/// Wakes every task of this thread whose deadline passed. The loop that calls it is one a thread.
pub fn sweep(now: Instant) {
    expire(|at, _| at <= now.as_micros());
}

/// Wakes every task of this thread whose wait is an idle one, as if its deadline had passed.
pub fn expire_idle() {
    expire(|at, idle| idle != Idle::No && at != NEVER);
}

/// Wakes those of them whose other end is told before anything ends: nobody's request can cross the end on its way.
pub fn expire_told() {
    expire(|at, idle| idle == Idle::Told && at != NEVER);
}

fn expire(is_due: impl Fn(u64, Idle) -> bool) {
    // Woken outside the borrow: a waker may run anything.
    let due: Vec<Waker> = TABLE.with_borrow_mut(|table| {
        let mut due = Vec::new();
        for (slot, at) in table.at.iter_mut().enumerate() {
            if *at != PASSED && is_due(*at, table.idle[slot]) {
                *at = PASSED;
                due.extend(table.wakers[slot].clone());
            }
        }
        due
    });
    due.into_iter().for_each(Waker::wake);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_task_learns_that_its_deadline_passed() {
        let deadline = Deadline::new();
        deadline.set_at(Instant::from_micros(1_000));
        let waiting = deadline.guard(|_| Poll::<()>::Pending);
        let sweeping = async {
            sweep(Instant::from_micros(999));
            tokio::task::yield_now().await;
            sweep(Instant::from_micros(1_000));
        };
        let (outcome, ()) = tokio::join!(waiting, sweeping);
        assert_eq!(outcome, Err(Expired));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn only_idle_waits_are_cut_short() {
        let idle = Deadline::new();
        let busy = Deadline::new();
        idle.set_idle_in(Duration::from_secs(60));
        busy.set_in(Duration::from_secs(60));
        expire_idle();
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(idle.poll_expired(&mut context), Poll::Ready(Expired));
        assert_eq!(busy.poll_expired(&mut context), Poll::Pending);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_cleared_deadline_never_passes_and_its_slot_is_used_again() {
        let first = Deadline::new();
        first.set_at(Instant::from_micros(5));
        first.clear();
        sweep(Instant::from_micros(10));
        assert_eq!(first.guard(|_| Poll::Ready(7)).await, Ok(7));
        let slot = first.slot;
        drop(first);
        assert_eq!(Deadline::new().slot, slot);
    }
}
