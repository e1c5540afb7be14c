//! Slow start of plain endpoints: who is new or comes back gets a share that grows, for its caches are cold and its code
//! is not compiled yet. A pure function of time and the weight in force. A fleet's instances are the fleet's.

use std::time::Duration;
use tentpole_runtime::Instant;

/// The smallest share of the full weight, in percent: enough to warm up by.
const FIRST_PERCENT: f64 = 10.0;

/// One endpoint's way to its full weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ramp {
    /// When it began; `None` when it is through.
    began: Option<Instant>,
}

impl Ramp {
    /// Begins now.
    pub fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Goes on where another process left it: a weight between nothing and full is one that grew.
    pub fn resume(&mut self, now: Instant, time: Duration, full: u32, weight: u32) {
        if weight > 0 && weight < full && !time.is_zero() {
            let share = f64::from(weight) / f64::from(full);
            let passed =
                time.mul_f64(((share * 100.0 - FIRST_PERCENT) / (100.0 - FIRST_PERCENT)).clamp(0.0, 1.0));
            self.began =
                Some(Instant::from_micros(now.as_micros().saturating_sub(passed.as_micros() as u64)));
        }
    }

    /// Whether it is on its way.
    #[cfg(test)]
    fn is_on(&self) -> bool {
        self.began.is_some()
    }

    /// The weight to write now; `None` leaves it. One that is drained (0) is the operator's.
    pub fn step(&mut self, now: Instant, time: Duration, full: u32, weight: u32) -> Option<u32> {
        let began = self.began?;
        let share = match time.is_zero() {
            true => 1.0,
            false => (now.since(began).as_secs_f64() / time.as_secs_f64()).min(1.0),
        };
        if share >= 1.0 {
            self.began = None;
        }
        let percent = FIRST_PERCENT + share * (100.0 - FIRST_PERCENT);
        let next = ((f64::from(full) * percent / 100.0).round() as u32).clamp(1, full.max(1));
        (weight != 0 && weight != next).then_some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TIME: Duration = Duration::from_secs(10);

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn a_weight_grows_from_a_tenth_to_all() {
        let mut ramp = Ramp::default();
        assert_eq!(ramp.step(at(1), TIME, 100, 100), None, "nothing has begun");
        ramp.begin(at(100));
        assert_eq!(ramp.step(at(100), TIME, 100, 100), Some(10));
        assert_eq!(ramp.step(at(105), TIME, 100, 10), Some(55));
        assert_eq!(ramp.step(at(110), TIME, 100, 55), Some(100));
        assert!(!ramp.is_on());
    }

    #[test]
    fn a_drained_endpoint_stays_drained_and_goes_on_where_time_has_come() {
        let mut ramp = Ramp::default();
        ramp.begin(at(0));
        assert_eq!(ramp.step(at(1), TIME, 100, 0), None);
        assert_eq!(ramp.step(at(5), TIME, 100, 100), Some(55), "resumed by the operator");
        assert_eq!(ramp.step(at(20), TIME, 100, 0), None);
        assert!(!ramp.is_on());
    }

    #[test]
    fn another_process_goes_on_where_the_first_one_was() {
        let mut ramp = Ramp::default();
        ramp.resume(at(1_000), TIME, 100, 55);
        assert_eq!(ramp.step(at(1_000), TIME, 100, 55), None);
        assert_eq!(ramp.step(at(1_005), TIME, 100, 55), Some(100));
        for weight in [0, 100] {
            let mut ramp = Ramp::default();
            ramp.resume(at(1_000), TIME, 100, weight);
            assert!(!ramp.is_on(), "{weight} is not on its way");
        }
    }

    proptest! {
        #[test]
        fn it_never_goes_back_nor_to_nothing(full in 1u32..10_000, mut times in prop::collection::vec(0u64..30, 1..20)) {
            times.sort_unstable();
            let mut ramp = Ramp::default();
            ramp.begin(at(0));
            let (mut weight, mut first) = (full, true);
            for time in times {
                if let Some(next) = ramp.step(at(time), TIME, full, weight) {
                    prop_assert!(next > 0 && next <= full);
                    prop_assert!(first || next >= weight, "{weight} became {next}");
                    weight = next;
                }
                first = false;
            }
        }
    }
}
