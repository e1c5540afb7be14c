//! An edge's side of a lease: when it asks, and what it may use.

use std::time::Duration;
use tentpole_model::{LeaseGranted, LeaseWanted};

/// What is kept beyond what an edge has to do, as a share of that; as much as the broker grants ahead.
const AHEAD_PARTS: u32 = 4;

/// What one edge holds of one pool's limit.
#[derive(Clone, Debug)]
pub struct Holder {
    /// How often it asks when nothing presses; it asks again after as long when no answer comes.
    every: Duration,
    number: u64,
    asked_at: Duration,
    is_answered: bool,
    share: u32,
    ends: Duration,
}

impl Holder {
    /// Holds nothing yet.
    pub fn new(every: Duration) -> Self {
        Self { every, number: 0, asked_at: Duration::ZERO, is_answered: true, share: 0, ends: Duration::ZERO }
    }

    /// Requests that it may have in flight at `now`.
    pub fn share(&self, now: Duration) -> u32 {
        if now < self.ends { self.share } else { 0 }
    }

    /// When its lease is over.
    pub fn ends(&self) -> Duration {
        self.ends
    }

    /// What to send now, if anything. It asks each `every`, at once when requests wait that it has no share for or when it
    /// holds twice what it can use, and never before it is answered or has waited for that long enough.
    pub fn ask(&mut self, now: Duration, in_flight: u32, waiting: u32) -> Option<LeaseWanted> {
        let passed = now.saturating_sub(self.asked_at);
        let busy = in_flight.saturating_add(waiting);
        let wants = busy.saturating_add((busy / AHEAD_PARTS).max(1));
        let share = self.share(now);
        let is_short = waiting > 0 && in_flight >= share;
        let holds_much = share > wants.saturating_mul(2);
        let presses = self.is_answered && (is_short || holds_much) && passed >= self.every / 4;
        if self.number > 0 && passed < self.every && !presses {
            return None;
        }
        self.number += 1;
        self.asked_at = now;
        self.is_answered = false;
        // Given back from now on, whether the answer comes or not.
        self.share = share.min(wants);
        let keeps = self.share.max(in_flight);
        Some(LeaseWanted { number: self.number, in_flight, waiting, keeps })
    }

    /// Takes an answer. An older one than to its newest question means nothing any more.
    pub fn granted(&mut self, granted: LeaseGranted) {
        if granted.number != self.number || self.is_answered {
            return;
        }
        self.is_answered = true;
        self.share = granted.share;
        self.ends = self.asked_at + granted.valid;
    }
}
