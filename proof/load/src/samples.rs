//! Each page load as it ended, for who wants to write them all down. A bounded queue: what it cannot take is counted and
//! left out, so that writing never slows the load.

use crate::result::FailureCause;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Page loads that wait to be written at most.
const WAITING_MAX: usize = 65_536;

/// One page load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When it was due, in µs since 1970.
    pub due_unix_us: u64,
    /// Its load time: from then to its end.
    pub took: Duration,
    /// From when it was due to the first byte of the first response, connection included; none where none came.
    pub first_byte: Option<Duration>,
    /// Time for connections and their handshakes.
    pub connect: Duration,
    /// Number of the step, over all journeys.
    pub step: usize,
    /// Number of the visitor.
    pub visitor: u64,
    /// The last status; 0 where none came.
    pub status: u16,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Why it failed.
    pub failure: Option<FailureCause>,
    /// Requests under way on its generator thread when it ended, it included.
    pub under_way: u32,
}

/// Where samples go.
#[derive(Clone, Debug)]
pub struct Samples {
    to: SyncSender<Sample>,
    lost: Arc<AtomicU64>,
}

/// Makes the queue. The receiver ends when the run is over; the counter says how many had no place.
pub fn queue() -> (Samples, Receiver<Sample>, Arc<AtomicU64>) {
    let (to, from) = sync_channel(WAITING_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    (Samples { to, lost: lost.clone() }, from, lost)
}

impl Samples {
    /// Passes one on, without waiting.
    pub fn put(&self, sample: Sample) {
        if self.to.try_send(sample).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// Counts some that were left out elsewhere.
    pub(crate) fn lose(&self, count: u64) {
        self.lost.fetch_add(count, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_place_is_counted() {
        let (samples, received, lost) = queue();
        let sample = Sample {
            due_unix_us: 1,
            took: Duration::ZERO,
            first_byte: None,
            connect: Duration::ZERO,
            step: 0,
            visitor: 0,
            status: 200,
            bytes: 0,
            failure: None,
            under_way: 1,
        };
        for _ in 0..WAITING_MAX + 3 {
            samples.put(sample);
        }
        drop(samples);
        assert_eq!((received.iter().count(), lost.load(Relaxed)), (WAITING_MAX, 3));
    }
}
