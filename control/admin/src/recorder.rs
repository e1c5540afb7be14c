//! Takes a sample at the end of each second, for as long as the API serves. Asks nobody: it reads the last report that
//! the edge sent by itself.

use crate::history::History;
use crate::ladder::Ladder;
use crate::sample::{Rates, Sample, endpoint_rates};
use crate::{Current, State};
use axum::extract::FromRef;
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tentpole_model::EdgeReport;
use tentpole_runtime::clock;
use tokio::time::sleep;

const SECOND_US: u64 = 1_000_000;

/// What was recorded so far.
#[derive(Debug, Default)]
pub(crate) struct Recorded {
    pub(crate) history: History,
    /// Of the endpoints, in the last second; empty while the edge is away.
    pub(crate) rates: Rates,
    /// How far down requests went in the last second; `None` while the edge is away.
    pub(crate) ladder: Option<Ladder>,
}

/// Records until it is dropped.
pub(crate) async fn record(current: Current) {
    let mut before = None;
    loop {
        let second = next_second().await;
        let state = Arc::<State>::from_ref(&current);
        take(&state, second, &mut before);
    }
}

/// Sleeps until the next second of the wall clock begins; says which one ended. After a long sleep (the machine, the
/// process stopped) seconds are missing, which the history shows as gaps.
async fn next_second() -> u64 {
    // Nobody else follows the system's clock in this process.
    clock::resync();
    let into_second = clock::now().unix_us() % SECOND_US;
    sleep(Duration::from_micros(SECOND_US - into_second)).await;
    clock::now().unix_seconds()
}

/// Takes the sample of a second. `before` is the report that the one before was made from.
fn take(state: &State, second: u64, before: &mut Option<Arc<EdgeReport>>) {
    let now = state.parts.edge.report();
    let sample = Sample::between(before.as_deref(), now.as_deref(), &state.parts.fleets.get());
    let rates = match (before.as_deref(), now.as_deref()) {
        (Some(before), Some(now)) => endpoint_rates(before, now),
        _ => Rates::new(),
    };
    let ladder = before.as_deref().zip(now.as_deref()).and_then(|(before, now)| Ladder::between(before, now));
    let told = !sample.is_gap();
    let mut recorded = state.recorded.lock().unwrap_or_else(PoisonError::into_inner);
    recorded.history.push(second, sample);
    recorded.rates = rates;
    recorded.ladder = ladder;
    drop(recorded);
    let back = |before: &EdgeReport, now: &EdgeReport| {
        before.started_unix_ms == now.started_unix_ms && now.at_unix_ms < before.at_unix_ms
    };
    // A report that told nothing new yet is measured against the older one again, unless the edge's clock went back.
    let begins = before.as_deref().zip(now.as_deref()).is_none_or(|(before, now)| back(before, now));
    if now.is_some() && (told || begins) {
        *before = now;
    }
}
