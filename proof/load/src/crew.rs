//! Visitors who belong to one journey, walk it so many times and leave: a run that ends when all have left, with the
//! same number of requests each time. As JMeter's thread groups do.

use crate::generator::{Orders, Thread};
use crate::visitor::Visitor;
use serde::{Deserialize, Serialize};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_runtime::clock;
use tentpole_runtime::clock::Instant;

/// How long a run lasts at most whose crews have no time of their own.
pub const TIME_MAX: Duration = Duration::from_secs(3_600);

/// Those who walk one journey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crew {
    /// How many.
    pub visitors: u32,
    /// How often each walks it; `None` for as long as there is time.
    pub times: Option<u32>,
    /// After how long nobody asks any more, from the crew's beginning.
    pub time: Option<Duration>,
    /// They begin one after the other over this time.
    pub ramp: Duration,
    /// When the first begins.
    pub delay: Duration,
}

impl Crew {
    /// When it is over at the latest.
    pub fn time_max(&self) -> Duration {
        self.delay + self.time.unwrap_or(TIME_MAX)
    }

    /// When the visitor at this place of it begins.
    fn begins(&self, place: u32) -> Duration {
        self.delay + self.ramp.mul_f64(f64::from(place) / f64::from(self.visitors.max(1)))
    }
}

/// Brings this thread's part of all crews on their way.
pub(crate) fn begin(thread: &Rc<Thread>, orders: &Orders) {
    let mut number = 0;
    for (journey, crew) in
        thread.plan.journeys.all.iter().enumerate().filter_map(|(n, one)| Some((n, one.crew?)))
    {
        for place in 0..crew.visitors {
            if number % thread.plan.threads == thread.number {
                let begin = orders.begin.after(crew.begins(place));
                let end = orders.begin.after(crew.time_max());
                tokio::task::spawn_local(live(thread.clone(), journey, crew.times, number, (begin, end)));
            }
            number += 1;
        }
    }
}

async fn live(
    thread: Rc<Thread>,
    journey: usize,
    times: Option<u32>,
    number: u32,
    (begin, end): (Instant, Instant),
) {
    let mut visitor = Visitor::new(&thread, u64::from(number));
    let goes_on = || clock::now() < end;
    let mut due = begin;
    let mut walked = 0;
    while times.is_none_or(|times| walked < times) {
        thread.timer.until(due).await;
        if !goes_on() {
            break;
        }
        match visitor.walk_journey(journey, due, goes_on).await {
            Some(next) => due = next,
            None => break,
        }
        walked += 1;
        // Who neither thinks nor waits for anything would keep all others from their turn.
        tokio::task::yield_now().await;
    }
    thread.shared.gone.fetch_add(1, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crew_begins_one_after_the_other() {
        let second = Duration::from_secs(1);
        let crew = Crew { visitors: 4, times: Some(1), time: None, ramp: second * 8, delay: second };
        let begins: Vec<u64> = (0..4).map(|place| crew.begins(place).as_secs()).collect();
        assert_eq!(begins, [1, 3, 5, 7]);
        assert_eq!(crew.time_max(), TIME_MAX + second);
    }
}
