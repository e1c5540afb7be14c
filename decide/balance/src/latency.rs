//! How long an endpoint takes to answer, in 64 bits: an average that jumps to each slower answer at once and comes
//! down slowly (Peak EWMA, as the documentation of Finagle's load balancers describes it). Asks no clock.

/// Time in which what was seen loses its weight by 1/e. Ten seconds as in Finagle.
const WINDOW_MS: f64 = 10_000.0;

/// Slower than this is all the same: 16.8 s.
const SLOWEST_US: u64 = (1 << 24) - 1;

/// Faster than this is all the same: differences are the scheduler's, not the endpoint's.
const FASTEST_US: u64 = 1_000;

/// The latest moment that can be told: 34 years.
const LATEST_MS: u64 = (1 << 40) - 1;

/// An endpoint's latency as of its last answer. Its default knows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latency {
    /// Microseconds; 0 is not known.
    average_us: u64,
    /// When it was last brought up to date, in milliseconds on the caller's clock.
    at_ms: u64,
}

impl Latency {
    /// From what [`Latency::bits`] gave; 0 knows nothing.
    pub fn from_bits(bits: u64) -> Self {
        Self { average_us: bits & SLOWEST_US, at_ms: bits >> 24 }
    }

    /// All of it in one word, so that it fits an atomic.
    pub fn bits(self) -> u64 {
        self.at_ms << 24 | self.average_us
    }

    /// After an answer that took `took_us`. A slower one than the average counts wholly and at once; a faster one by the
    /// time since the last, so that many answers in a short time change no more than a few.
    #[must_use]
    pub fn answered(self, took_us: u32, now_ms: u64) -> Self {
        let took_us = u64::from(took_us).clamp(1, SLOWEST_US);
        let at_ms = now_ms.min(LATEST_MS);
        if took_us >= self.average_us {
            return Self { average_us: took_us, at_ms };
        }
        let gap = (self.average_us - took_us) as f64;
        let step = (gap * (1.0 - self.kept(now_ms))).round() as u64;
        if step == 0 {
            // Too little for whole microseconds: the time goes on and counts for the next answer.
            return self;
        }
        Self { average_us: self.average_us - step, at_ms }
    }

    /// After a failure or an error. They come fast from an endpoint that is broken, which must not draw traffic to it:
    /// only slow ones count, and say nothing where nothing is known.
    #[must_use]
    pub fn failed(self, took_us: u32, now_ms: u64) -> Self {
        let slower = u64::from(took_us) >= self.average_us;
        if self.average_us > 0 && slower { self.answered(took_us, now_ms) } else { self }
    }

    /// What one more request is expected to cost: latency times the requests that are then in flight.
    ///
    /// One that is not known gets a request to be known by, and no second before the first is answered. One that was
    /// slow and has been left alone since becomes cheaper with time, so that it is tried again; while it is being
    /// tried it costs what it did, so that it is tried with one request and not with many.
    pub(crate) fn cost(self, in_flight: u32, now_ms: u64) -> u64 {
        let latency_us = match (self.average_us, in_flight) {
            (0, 0) => 0,
            (0, _) => SLOWEST_US,
            (average, 0) => ((average as f64 * self.kept(now_ms)) as u64).max(FASTEST_US),
            (average, _) => average.max(FASTEST_US),
        };
        latency_us * (u64::from(in_flight) + 1)
    }

    /// The part of the average that time has left.
    fn kept(self, now_ms: u64) -> f64 {
        (-(now_ms.saturating_sub(self.at_ms) as f64) / WINDOW_MS).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn after(answers: &[(u32, u64)]) -> Latency {
        answers.iter().fold(Latency::default(), |latency, (us, at)| latency.answered(*us, *at))
    }

    #[test]
    fn a_slower_answer_counts_at_once() {
        assert_eq!(after(&[(1_000, 5), (80_000, 6)]).cost(0, 6), 80_000);
    }

    #[test]
    fn a_faster_answer_counts_by_the_time_that_has_passed() {
        let at_once = after(&[(80_000, 0), (1_000, 0)]);
        assert_eq!(at_once.cost(0, 0), 80_000);
        let later = after(&[(80_000, 0), (1_000, 10_000)]).cost(0, 10_000);
        assert_eq!(later, 1_000 + (79_000.0f64 / std::f64::consts::E).round() as u64);
    }

    #[test]
    fn many_fast_answers_bring_it_down_no_faster_than_few() {
        let few = (1..=20).fold(after(&[(50_000, 0)]), |l, at| l.answered(1_000, at * 1_000));
        let many = (1..=200_000).fold(after(&[(50_000, 0)]), |l, at| l.answered(1_000, at / 10));
        let (few, many) = (few.cost(0, 20_000), many.cost(0, 20_000));
        assert!(few.abs_diff(many) < few / 50, "{few} and {many}");
    }

    #[test]
    fn below_a_millisecond_all_are_alike() {
        assert_eq!(after(&[(900, 0)]).cost(2, 0), after(&[(5, 0)]).cost(2, 0));
    }

    #[test]
    fn what_is_not_known_is_asked_once() {
        let unknown = Latency::default();
        assert_eq!(unknown.cost(0, 7), 0);
        assert!(unknown.cost(1, 7) > after(&[(1_000_000, 0)]).cost(10, 7));
    }

    #[test]
    fn who_was_slow_is_tried_again_with_one_request() {
        let slow = after(&[(1_000_000, 0)]);
        assert!(slow.cost(0, 60_000) < 5_000);
        assert_eq!(slow.cost(1, 60_000), 2_000_000);
    }

    #[test]
    fn a_fast_error_makes_nobody_attractive() {
        let latency = after(&[(50_000, 0)]);
        assert_eq!(latency.failed(100, 5_000), latency);
        assert_eq!(latency.failed(90_000, 5_000), latency.answered(90_000, 5_000));
        assert_eq!(Latency::default().failed(100, 5_000), Latency::default());
    }

    proptest! {
        #[test]
        fn one_word_holds_all_of_it(answers in prop::collection::vec((any::<u32>(), any::<u64>()), 0..5)) {
            let latency = after(&answers);
            prop_assert_eq!(Latency::from_bits(latency.bits()), latency);
        }

        #[test]
        fn it_stays_between_the_fastest_and_the_slowest(
            mut answers in prop::collection::vec((1u32..10_000_000, 0u64..100_000), 1..50),
        ) {
            answers.sort_by_key(|(_, at)| *at);
            let average = after(&answers).average_us;
            let all = || answers.iter().map(|(us, _)| u64::from(*us));
            prop_assert!(all().min().is_some_and(|least| least <= average));
            prop_assert!(all().max().is_some_and(|most| average <= most));
        }
    }
}
