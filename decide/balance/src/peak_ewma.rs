//! Power of two choices by expected latency: Peak EWMA times requests in flight (Finagle). An endpoint that became slow
//! is left alone at its first slow answer, not when its requests have piled up.

use crate::draw::{self, Drawn};
use crate::{Candidate, Latency};

/// Draws two different endpoints, each in proportion to its weight, and returns the better one by cost, which is
/// latency times the requests that would be in flight.
///
/// The first drawn is kept unless the second, with this request added, would cost no more for its weight than the first
/// does without it; or costs less than half, both as it is and for its weight. Smaller differences are noise: following
/// them would give nearly everything to whoever is fastest by a hair while little is in flight, and nothing to an
/// endpoint of small weight.
///
/// `now_ms` is on the clock that `latency` was made with. `candidate` is called up to three times for each index below
/// `len`, `latency` once for the two that were drawn.
/// Allocates nothing.
pub fn peak_ewma(
    len: usize,
    candidate: impl Fn(usize) -> Candidate,
    latency: impl Fn(usize) -> Latency,
    now_ms: u64,
    random: u64,
) -> Option<usize> {
    let (first, second) = draw::two(len, candidate, random)?;
    let Some(second) = second else { return Some(first.0) };
    let prefer_second = costs_less((second, latency(second.0)), (first, latency(first.0)), now_ms);
    Some(if prefer_second { second.0 } else { first.0 })
}

/// Whether the second is clearly better than the first, which was drawn before it.
fn costs_less(second: (Drawn, Latency), first: (Drawn, Latency), now_ms: u64) -> bool {
    let in_flight = |(drawn, _): &(Drawn, Latency)| drawn.1.in_flight;
    let weight = |(drawn, _): &(Drawn, Latency)| u128::from(drawn.1.weight);
    let cost = |one: &(Drawn, Latency)| u128::from(one.1.cost(in_flight(one), now_ms));
    let (second_then, first_then) = (cost(&second), cost(&first));
    // Latency times requests without this one.
    let first_now = first_then * u128::from(in_flight(&first)) / (u128::from(in_flight(&first)) + 1);
    let fills_no_more = second_then * weight(&first) <= first_now * weight(&second);
    let much_faster =
        second_then * 2 < first_then && second_then * 2 * weight(&first) < first_then * weight(&second);
    fills_no_more || much_faster
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::mixed;
    use crate::eligible;
    use proptest::prelude::*;
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    /// Endpoints that answer each request after their own time, seen as the edge sees them.
    struct Pool {
        candidates: Vec<Candidate>,
        latencies: Vec<Latency>,
        /// How long each takes, in microseconds.
        takes_us: Vec<u64>,
        /// When which of them answers, and how long that took.
        answers: BinaryHeap<Reverse<(u64, usize, u64)>>,
        now_us: u64,
        random: u64,
    }

    impl Pool {
        fn new(endpoints: &[(u32, u64)]) -> Self {
            let candidate = |&(weight, _): &(u32, u64)| Candidate { usable: true, weight, in_flight: 0 };
            Self {
                candidates: endpoints.iter().map(candidate).collect(),
                latencies: vec![Latency::default(); endpoints.len()],
                takes_us: endpoints.iter().map(|(_, us)| *us).collect(),
                answers: BinaryHeap::new(),
                now_us: 0,
                random: 1,
            }
        }

        /// Requests for some seconds at a rate, at uneven moments; says what part of them each endpoint got.
        fn serve(&mut self, seconds: u64, per_second: u64) -> Vec<f64> {
            let mut got = vec![0u32; self.candidates.len()];
            let end = self.now_us + seconds * 1_000_000;
            while self.now_us < end {
                self.random = mixed(self.random);
                self.now_us += self.random % (2_000_000 / per_second);
                self.take_answers();
                self.random = mixed(self.random);
                let chosen = peak_ewma(
                    self.candidates.len(),
                    |i| self.candidates[i],
                    |i| self.latencies[i],
                    self.now_us / 1_000,
                    self.random,
                );
                let chosen = chosen.unwrap();
                got[chosen] += 1;
                self.candidates[chosen].in_flight += 1;
                // Ten per cent up or down.
                let takes = self.takes_us[chosen];
                let took = takes * 9 / 10 + mixed(self.random) % (takes / 5 + 1);
                self.answers.push(Reverse((self.now_us + took, chosen, took)));
            }
            let all: u32 = got.iter().sum();
            got.iter().map(|&one| f64::from(one) / f64::from(all)).collect()
        }

        fn take_answers(&mut self) {
            while let Some(&Reverse((at, of, took))) = self.answers.peek()
                && at <= self.now_us
            {
                self.answers.pop();
                self.candidates[of].in_flight -= 1;
                self.latencies[of] = self.latencies[of].answered(took as u32, at / 1_000);
            }
        }
    }

    #[test]
    fn alike_endpoints_share_evenly_however_much_there_is_to_do() {
        for per_second in [5, 200, 5_000] {
            let shares = Pool::new(&[(1, 10_000); 4]).serve(60, per_second);
            assert!(shares.iter().all(|share| (0.2..0.3).contains(share)), "{per_second}/s: {shares:?}");
        }
    }

    #[test]
    fn one_that_is_ten_times_slower_gets_clearly_less() {
        for per_second in [20, 200, 5_000] {
            let mut pool = Pool::new(&[(1, 10_000), (1, 10_000), (1, 100_000), (1, 10_000)]);
            let shares = pool.serve(60, per_second);
            assert!(shares[2] < 0.05, "{per_second}/s: {shares:?}");
            assert!([0, 1, 3].iter().all(|&fast| shares[fast] > 0.27), "{per_second}/s: {shares:?}");
        }
    }

    #[test]
    fn one_that_becomes_slow_is_left_alone_after_its_first_slow_answers() {
        let mut pool = Pool::new(&[(1, 10_000); 4]);
        pool.serve(30, 200);
        pool.takes_us[1] = 1_000_000;
        // Until the first slow answer only what is in flight says anything.
        pool.serve(2, 200);
        let shares = pool.serve(10, 200);
        assert!(shares[1] < 0.01, "{shares:?}");
    }

    #[test]
    fn one_that_is_fast_again_has_its_share_again_within_a_minute() {
        let mut pool = Pool::new(&[(1, 10_000), (1, 10_000), (1, 100_000), (1, 10_000)]);
        pool.serve(60, 200);
        pool.takes_us[2] = 10_000;
        pool.serve(60, 200);
        let shares = pool.serve(30, 200);
        assert!(shares[2] > 0.2, "{shares:?}");
    }

    #[test]
    fn equally_fast_ones_get_their_weights_to_within_a_fifth() {
        for per_second in [20, 200, 5_000] {
            let shares = Pool::new(&[(1, 10_000), (2, 10_000), (5, 10_000)]).serve(120, per_second);
            for (share, due) in shares.iter().zip([0.125, 0.25, 0.625]) {
                assert!((share - due).abs() < due * 0.2, "{per_second}/s: {shares:?}");
            }
        }
    }

    #[test]
    fn a_small_weight_keeps_its_small_share_while_little_is_in_flight() {
        let shares = Pool::new(&[(1, 10_000), (99, 10_000)]).serve(2_000, 20);
        assert!((0.005..0.02).contains(&shares[0]), "{shares:?}");
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let largest = |_| Candidate { usable: true, weight: u32::MAX, in_flight: u32::MAX };
        let slowest = |_| Latency::default().answered(u32::MAX, u64::MAX);
        assert!(peak_ewma(100, largest, slowest, u64::MAX, u64::MAX).is_some());
    }

    proptest! {
        #[test]
        fn what_is_unusable_is_never_chosen(
            candidates in prop::collection::vec((any::<bool>(), 0u32..4, 0u32..10, any::<u64>()), 0..80),
            random: u64,
            now_ms: u64,
        ) {
            let latencies: Vec<Latency> =
                candidates.iter().map(|(_, _, _, bits)| Latency::from_bits(*bits)).collect();
            let candidates: Vec<Candidate> = candidates
                .into_iter()
                .map(|(usable, weight, in_flight, _)| Candidate { usable, weight, in_flight })
                .collect();
            let left = candidates.iter().filter(|one| eligible(one)).count();
            match peak_ewma(candidates.len(), |i| candidates[i], |i| latencies[i], now_ms, random) {
                None => prop_assert_eq!(left, 0),
                Some(index) => prop_assert!(eligible(&candidates[index])),
            }
        }
    }
}
