//! The limit of this room as the simulation asks it.

use super::simulated::Limiter;
use std::time::Duration;
use tentpole_limit::{Adaptive, Seen};
use tentpole_model::AdaptiveLimit;

pub struct Ours(pub Adaptive);

impl Ours {
    pub fn new(start: u32) -> Self {
        Self(Adaptive::new(AdaptiveLimit { start, ..AdaptiveLimit::default() }))
    }
}

impl Limiter for Ours {
    fn limit(&self) -> u32 {
        self.0.limit()
    }

    fn look(&mut self, now: Duration, in_flight: u32, waiting: u32, good: u64, _: &[f64]) {
        self.0.look(now, Seen { in_flight, waiting, good, overloaded: 0 });
    }
}
