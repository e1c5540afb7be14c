//! Who waits before a pool: in order within a rank, ranks by `decide/admit`; bounded, and refusing at once what could not be
//! served in time. Wakes nobody but by the turns that it hands out.

use crate::permit::{Gate, QueueError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::Duration;
use tentpole_admit::{Pace, Turns, expected_wait, outranked, retry_after, wait_max};
use tentpole_model::{Priority, QueueSettings};

/// Those who wait, by rank, and how fast it goes on.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    ranks: [VecDeque<Arc<Turn>>; Priority::COUNT],
    turns: Turns,
    pub(crate) pace: Pace,
}

/// One request that waits.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) thread: ThreadId,
    priority: Priority,
    /// Not everything that is free does for him.
    is_particular: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    told: Option<Told>,
    waker: Option<Waker>,
}

/// What somebody who waits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It may be his turn.
    Called,
    /// Somebody else has his place.
    Outranked,
}

/// A place in a queue; leaves it when dropped.
pub(crate) struct Place<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) turn: Arc<Turn>,
    /// He had his turn.
    pub(crate) taken: bool,
}

impl Lines {
    /// How many wait, by rank.
    pub(crate) fn waiting(&self) -> [usize; Priority::COUNT] {
        std::array::from_fn(|rank| self.ranks[rank].len())
    }

    /// How many wait.
    pub(crate) fn length(&self) -> u32 {
        self.ranks.iter().map(VecDeque::len).sum::<usize>() as u32
    }

    /// Puts somebody behind those of his rank; returns whom he took the place of. Times are those of the process's clock.
    pub(crate) fn enter(
        &mut self,
        turn: Arc<Turn>,
        settings: QueueSettings,
        now: Duration,
    ) -> Result<Option<Arc<Turn>>, QueueError> {
        let (waiting, priority) = (self.waiting(), turn.priority);
        if self.length() == 0 {
            self.pace.begins(now);
        }
        // Somebody of each rank always waits: without him nobody would see that it goes faster again.
        let is_behind = waiting[..=priority as usize].iter().sum::<usize>() > 0;
        let expected = expected_wait(priority, &waiting, &self.pace, now).filter(|_| is_behind);
        if expected.is_some_and(|expected| expected > wait_max(priority, settings.wait_max)) {
            self.pace.refused(now);
            return Err(QueueError::TooLong);
        }
        let mut left = None;
        if self.length() >= settings.length_max {
            let rank = outranked(priority, &waiting);
            left = rank.and_then(|rank| self.ranks[rank as usize].pop_back());
            self.pace.refused(now);
            if left.is_none() {
                return Err(QueueError::Full);
            }
        }
        self.pace.came(priority, now);
        self.ranks[priority as usize].push_back(turn);
        Ok(left)
    }

    /// Takes somebody out, who has had his turn or not.
    pub(crate) fn leave(&mut self, turn: &Arc<Turn>, taken: bool) {
        let rank = &mut self.ranks[turn.priority as usize];
        if let Some(at) = rank.iter().position(|other| Arc::ptr_eq(other, turn)) {
            rank.remove(at);
        }
        if taken {
            self.turns.taken();
        }
    }

    /// Who is next.
    pub(crate) fn next(&mut self) -> Option<Arc<Turn>> {
        self.in_order().next().cloned()
    }

    /// Whether that is he, or all before him have not taken what is free because it does not do for them.
    pub(crate) fn is_next(&self, turn: &Arc<Turn>) -> bool {
        self.in_order()
            .find(|other| !other.is_particular || Arc::ptr_eq(other, turn))
            .is_some_and(|first| Arc::ptr_eq(first, turn))
    }

    /// Who is next after this one.
    pub(crate) fn behind(&mut self, turn: &Arc<Turn>) -> Option<Arc<Turn>> {
        let mut all = self.in_order();
        all.find(|other| Arc::ptr_eq(other, turn))?;
        all.next().cloned()
    }

    /// After how long somebody who is sent away may come again.
    pub(crate) fn retry_after(&self, priority: Priority, now: Duration, random: u64) -> Duration {
        let expected = expected_wait(priority, &self.waiting(), &self.pace, now);
        retry_after(expected, &self.pace, now, random)
    }

    /// All who wait, as their turns come.
    fn in_order(&self) -> impl Iterator<Item = &Arc<Turn>> {
        let chosen = self.turns.next(&self.waiting()).map(|rank| rank as usize);
        let others = (0..self.ranks.len()).filter(move |&rank| Some(rank) != chosen);
        chosen.into_iter().chain(others).flat_map(|rank| &self.ranks[rank])
    }
}

impl Turn {
    /// Of somebody on this thread.
    pub(crate) fn new(priority: Priority, is_particular: bool) -> Self {
        Self { thread: thread::current().id(), priority, is_particular, state: Mutex::default() }
    }

    /// Tells him; that his place is gone is not taken back.
    pub(crate) fn tell(&self, told: Told) {
        let waker = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.told != Some(Told::Outranked) {
                state.told = Some(told);
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ready with what he was told.
    pub(crate) fn poll_told(&self, context: &mut Context<'_>) -> Poll<Told> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.told.take() {
            Some(told) => Poll::Ready(told),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.leave(&self.turn, self.taken);
    }
}
