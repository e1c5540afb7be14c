//! What a run is told while it goes, and what it tells: that it is to end, and how it goes. Conducts nothing.

use crate::climb::Next;
use crate::result::{Second, StepResult};
use crate::verdict::Seen;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Ends a run before its time; what was measured is kept.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<(Mutex<bool>, Condvar)>);

impl Stop {
    /// Ends it.
    pub fn now(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Whether it is ended.
    pub fn is_now(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for so long, or until it is ended; says whether it is.
    pub fn wait(&self, time: Duration) -> bool {
        let ended = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(ended, time, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

/// What a run tells while it goes.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step begins: its number and load.
    Began {
        /// 1 for the first.
        number: u32,
        /// What is run.
        next: Next,
    },
    /// It broke: the load is taken away until the site answers again.
    Rests,
    /// A second is over.
    Second(Live<'a>),
    /// A step is over.
    Ended(&'a StepResult),
}

/// How it goes just now.
#[derive(Debug)]
pub struct Live<'a> {
    /// The step's number.
    pub number: u32,
    /// Its load.
    pub load: f64,
    /// Seconds that are left of it; negative while the last requests are waited for.
    pub left_s: f64,
    /// Whether load still rises, or falls.
    pub is_ramp: bool,
    /// The second that is over.
    pub second: &'a Second,
    /// What was seen of the step so far.
    pub seen: Seen,
    /// How late the generator was in it, 99th percentile, in µs.
    pub lag_p99_us: u64,
}
