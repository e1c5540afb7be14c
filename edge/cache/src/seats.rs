//! Who waits for a fill or reads from it: one seat each, bounded by the caller. Hands wakers out instead of waking:
//! waking and dropping a waker may run foreign code, which must not happen under a lock.

use std::task::{Context, Waker};

#[derive(Debug, Default)]
pub(crate) struct Seats {
    all: Vec<Option<Seat>>,
    free: Vec<u32>,
    /// Seats whose waker is set: an append that nobody waits for looks at none.
    asleep: usize,
}

#[derive(Debug)]
struct Seat {
    /// Offset of the next byte that its holder wants.
    offset: u64,
    waker: Option<Waker>,
}

/// The offset of a holder who was too slow.
const LOST: u64 = u64::MAX;

/// What one seat costs.
const SEAT_BYTES: u64 = (size_of::<Option<Seat>>() + size_of::<u32>()) as u64;

impl Seats {
    pub(crate) fn take(&mut self) -> u32 {
        let seat = Some(Seat { offset: 0, waker: None });
        if let Some(index) = self.free.pop() {
            self.all[index as usize] = seat;
            return index;
        }
        self.all.push(seat);
        self.all.len() as u32 - 1
    }

    /// Gives up on all who want something before `offset`, unless nobody else reads; returns whether it did. They are to
    /// be woken.
    pub(crate) fn lose_before(&mut self, offset: u64, wakers: &mut Vec<Waker>) -> bool {
        let mut reading = self.all.iter().flatten().filter(|seat| seat.offset != LOST);
        if !reading.any(|seat| seat.offset >= offset) {
            return false;
        }
        for seat in self.all.iter_mut().flatten().filter(|seat| seat.offset < offset) {
            seat.offset = LOST;
            if let Some(waker) = seat.waker.take() {
                self.asleep -= 1;
                wakers.push(waker);
            }
        }
        true
    }

    /// Whether its holder was given up.
    pub(crate) fn is_lost(&self, index: u32) -> bool {
        self.all.get(index as usize).and_then(Option::as_ref).is_some_and(|seat| seat.offset == LOST)
    }

    /// Frees a seat; returns where its holder was, and a waker to drop outside the lock.
    pub(crate) fn leave(&mut self, index: u32) -> Option<(u64, Option<Waker>)> {
        let seat = self.all.get_mut(index as usize)?.take()?;
        self.asleep -= usize::from(seat.waker.is_some());
        self.free.push(index);
        Some((seat.offset, seat.waker))
    }

    /// Wakes the holder at the next change; returns a waker to drop outside the lock.
    pub(crate) fn sleep(&mut self, index: u32, context: &Context<'_>) -> Option<Waker> {
        let seat = self.all.get_mut(index as usize)?.as_mut()?;
        if seat.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            return None;
        }
        let replaced = seat.waker.replace(context.waker().clone());
        self.asleep += usize::from(replaced.is_none());
        replaced
    }

    pub(crate) fn move_to(&mut self, index: u32, offset: u64) {
        if let Some(seat) = self.all.get_mut(index as usize).and_then(Option::as_mut) {
            seat.offset = offset;
        }
    }

    /// Moves the wakers of all who sleep to `wakers`.
    pub(crate) fn rouse(&mut self, wakers: &mut Vec<Waker>) {
        if self.asleep > 0 {
            wakers.extend(self.all.iter_mut().flatten().filter_map(|seat| seat.waker.take()));
            self.asleep = 0;
        }
    }

    /// Seats taken.
    pub(crate) fn count(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// The least offset that anybody still wants.
    pub(crate) fn slowest(&self) -> Option<u64> {
        self.all.iter().flatten().map(|seat| seat.offset).filter(|&offset| offset != LOST).min()
    }

    /// How many want something before `offset`.
    pub(crate) fn before(&self, offset: u64) -> usize {
        self.all.iter().flatten().filter(|seat| seat.offset < offset).count()
    }

    pub(crate) fn cost(&self) -> u64 {
        self.all.len() as u64 * SEAT_BYTES
    }
}
