//! Power of two choices (Mitzenmacher 2001): draws two endpoints and takes the less loaded one. That spreads load
//! almost as well as asking all, and does not send everybody to the same idle endpoint when many choosers see the
//! same figures.

use crate::{Candidate, draw};

/// Draws two different endpoints, each in proportion to its weight, and returns the better one.
///
/// The first drawn is kept unless the second, with this request added, would be no fuller than the first is
/// without it; fullness is requests in flight by weight. Among equal weights that is plain power of two choices.
/// With unequal ones it keeps small shares exact while little is in flight: an endpoint of weight 1 beside one of
/// weight 99 gets its hundredth, neither nothing nor half.
///
/// `candidate` is called up to three times for each index below `len`; what it reports may change meanwhile.  All bits of `random` count. Allocates nothing.
pub fn least_requests(len: usize, candidate: impl Fn(usize) -> Candidate, random: u64) -> Option<usize> {
    let (first, second) = draw::two(len, candidate, random)?;
    let Some(second) = second else { return Some(first.0) };
    let prefer_second = fills_no_more(&second.1, &first.1);
    Some(if prefer_second { second.0 } else { first.0 })
}

/// `(to.in_flight + 1) / to.weight <= from.in_flight / from.weight`, in whole numbers.
fn fills_no_more(to: &Candidate, from: &Candidate) -> bool {
    let then = (u64::from(to.in_flight) + 1) * u64::from(from.weight);
    then <= u64::from(from.in_flight) * u64::from(to.weight)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::mixed;
    use crate::eligible;
    use proptest::prelude::*;

    fn idle(weight: u32) -> Candidate {
        Candidate { usable: true, weight, in_flight: 0 }
    }

    fn busy(weight: u32, in_flight: u32) -> Candidate {
        Candidate { usable: true, weight, in_flight }
    }

    /// How often each is chosen in `draws` draws, nothing ever ending.
    fn picks(candidates: &[Candidate], draws: u64) -> Vec<u32> {
        let mut picks = vec![0; candidates.len()];
        for draw in 0..draws {
            let index = least_requests(candidates.len(), |i| candidates[i], mixed(draw)).unwrap();
            picks[index] += 1;
        }
        picks
    }

    #[test]
    fn nobody_is_chosen_where_nobody_is_usable() {
        let unusable = Candidate { usable: false, weight: 1, in_flight: 0 };
        assert_eq!(least_requests(0, |_| idle(1), 7), None);
        assert_eq!(least_requests(3, |_| unusable, 7), None);
        assert_eq!(least_requests(3, |_| idle(0), 7), None);
    }

    #[test]
    fn the_only_one_left_is_chosen_whatever_the_number() {
        for random in [0, 1, u64::MAX / 2, u64::MAX] {
            assert_eq!(least_requests(1, |_| busy(1, 1_000), random), Some(0));
            let only = |index| Candidate { usable: index == 90, ..idle(1) };
            assert_eq!(least_requests(100, only, random), Some(90));
        }
    }

    #[test]
    fn of_two_the_less_loaded_one_is_always_chosen() {
        let candidates = [busy(1, 5), busy(1, 4)];
        assert_eq!(picks(&candidates, 1_000), [0, 1_000]);
        let candidates = [busy(10, 30), busy(1, 4)];
        assert_eq!(picks(&candidates, 1_000), [1_000, 0], "three by weight are less than four");
    }

    #[test]
    fn the_most_loaded_of_many_is_never_chosen() {
        let candidates = [busy(1, 3), busy(1, 9), busy(1, 3), busy(1, 0)];
        let picks = picks(&candidates, 10_000);
        assert_eq!(picks[1], 0);
        assert!(picks[3] > 4_500, "the idle one wins each pair it is in: half of them");
    }

    #[test]
    fn idle_endpoints_get_their_shares_exactly() {
        let candidates = [idle(1), idle(99), idle(100)];
        let picks = picks(&candidates, 200_000);
        assert!((800..1_200).contains(&picks[0]), "{picks:?}");
        assert!((98_000..100_000).contains(&picks[1]), "{picks:?}");
    }

    #[test]
    fn few_usable_ones_among_many_share_evenly() {
        let mut candidates = [Candidate { usable: false, weight: 1, in_flight: 0 }; 1_000];
        for index in [0, 1, 500, 999] {
            candidates[index].usable = true;
        }
        let picks = picks(&candidates, 20_000);
        for index in [0, 1, 500, 999] {
            assert!((4_750..5_250).contains(&picks[index]), "{index}: {}", picks[index]);
        }
    }

    #[test]
    fn load_settles_in_proportion_to_weight() {
        // Requests arrive and never end: what is in flight is what was chosen.
        let mut candidates = [idle(1), idle(2), idle(5), idle(2)];
        for draw in 0..10_000 {
            let index = least_requests(4, |i| candidates[i], mixed(draw)).unwrap();
            candidates[index].in_flight += 1;
        }
        for (one, expected) in candidates.iter().zip([1_000u32, 2_000, 5_000, 2_000]) {
            assert!(one.in_flight.abs_diff(expected) < 30, "{candidates:?}");
        }
    }

    #[test]
    fn figures_that_change_between_two_looks_are_survived() {
        // Weights that shrink while they are read: the sum is never reached.
        let calls = std::cell::Cell::new(0u32);
        let shrinking = |_| {
            calls.set(calls.get() + 1);
            idle(1_000 / calls.get())
        };
        assert!(least_requests(5, shrinking, u64::MAX).is_some());
        // All become unusable after the first look.
        let calls = std::cell::Cell::new(0u32);
        let dying = |_| {
            calls.set(calls.get() + 1);
            Candidate { usable: calls.get() <= 5, weight: 1, in_flight: 0 }
        };
        assert_eq!(least_requests(5, dying, u64::MAX), None);
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let largest = busy(u32::MAX, u32::MAX);
        assert!(least_requests(100, |_| largest, u64::MAX).is_some());
    }

    proptest! {
        #[test]
        fn what_is_unusable_is_never_chosen(
            candidates in prop::collection::vec((any::<bool>(), 0u32..4, 0u32..10), 0..80),
            random: u64,
        ) {
            let candidates: Vec<Candidate> = candidates
                .into_iter()
                .map(|(usable, weight, in_flight)| Candidate { usable, weight, in_flight })
                .collect();
            let left = candidates.iter().filter(|one| eligible(one)).count();
            match least_requests(candidates.len(), |i| candidates[i], random) {
                None => prop_assert_eq!(left, 0),
                Some(index) => {
                    prop_assert!(candidates[index].usable && candidates[index].weight > 0);
                }
            }
        }

        #[test]
        fn the_fullest_is_chosen_only_when_all_are_as_full(
            in_flight in prop::collection::vec(0u32..5, 2..20),
            random: u64,
        ) {
            let index = least_requests(in_flight.len(), |i| busy(1, in_flight[i]), random).unwrap();
            let fullest = *in_flight.iter().max().unwrap();
            let alone = in_flight.iter().filter(|&&one| one == fullest).count() == 1;
            prop_assert!(!alone || in_flight[index] != fullest);
        }
    }
}
