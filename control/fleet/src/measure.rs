//! From CPU time that grows to the share of the last second, and from many looks at the requests in flight to their
//! mean. Knows no clock: times come in as numbers.

use std::collections::VecDeque;
use std::time::Duration;

/// Shares that are averaged for people to look at.
const SHOWN: usize = 3;

/// What is measured of one instance.
#[derive(Debug, Default)]
pub(crate) struct Measure {
    /// CPU time at the last sample, and when that was.
    last: Option<(Duration, Duration)>,
    shares: VecDeque<f64>,
    in_flight: u64,
    looks: u32,
}

impl Measure {
    /// Takes a sample of the CPU time used so far; the share of what the instance is given since the sample before,
    /// `None` when either is unknown.
    pub(crate) fn cpu(&mut self, now: Duration, used: Option<Duration>, cpus: f64) -> Option<f64> {
        let before = self.last.take();
        let used = used?;
        self.last = Some((used, now));
        let (used_before, at) = before?;
        let elapsed = now.checked_sub(at)?.as_secs_f64();
        // Less than before: not the same processes. Too soon: the system counts in hundredths of a second.
        let more = used.checked_sub(used_before)?.as_secs_f64();
        if elapsed < 0.1 || cpus <= 0.0 {
            return None;
        }
        let share = more / elapsed / cpus;
        if self.shares.len() == SHOWN {
            self.shares.pop_front();
        }
        self.shares.push_back(share);
        Some(share)
    }

    /// The share of the last seconds.
    pub(crate) fn shown(&self) -> Option<f64> {
        self.last?;
        (!self.shares.is_empty()).then(|| self.shares.iter().sum::<f64>() / self.shares.len() as f64)
    }

    /// Takes note of the requests in flight now.
    pub(crate) fn looked(&mut self, in_flight: u32) {
        self.in_flight += u64::from(in_flight);
        self.looks += 1;
    }

    /// The mean since it was asked for last.
    pub(crate) fn in_flight(&mut self) -> f64 {
        let (sum, looks) = (std::mem::take(&mut self.in_flight), std::mem::take(&mut self.looks));
        if looks == 0 { 0.0 } else { sum as f64 / f64::from(looks) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_share_is_cpu_time_per_time_and_cpu() {
        let mut measure = Measure::default();
        assert_eq!(measure.cpu(ms(1_000), Some(ms(500)), 0.5), None, "nothing to compare with");
        assert_eq!(measure.cpu(ms(3_000), Some(ms(1_000)), 0.5), Some(0.5));
        assert_eq!(measure.cpu(ms(4_000), Some(ms(1_500)), 0.5), Some(1.0));
        assert_eq!(measure.shown(), Some(0.75));
    }

    #[test]
    fn what_is_not_known_is_said_and_not_guessed() {
        let mut measure = Measure::default();
        measure.cpu(ms(1_000), Some(ms(500)), 1.0);
        assert_eq!(measure.cpu(ms(2_000), None, 1.0), None);
        assert_eq!(measure.shown(), None);
        assert_eq!(measure.cpu(ms(3_000), Some(ms(900)), 1.0), None, "over a gap");
        assert_eq!(measure.cpu(ms(4_000), Some(ms(10)), 1.0), None, "time that went back");
        assert_eq!(measure.cpu(ms(4_050), Some(ms(60)), 1.0), None, "too soon");
    }

    #[test]
    fn requests_in_flight_are_averaged_between_two_questions() {
        let mut measure = Measure::default();
        [4, 0, 8, 0].into_iter().for_each(|in_flight| measure.looked(in_flight));
        assert_eq!((measure.in_flight(), measure.in_flight()), (3.0, 0.0));
    }
}
