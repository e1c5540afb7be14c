//! Each endpoint in turn, by weight, smoothly: the turns of a heavy endpoint are spread between those of the others
//! instead of following one another. Keeps nothing between calls: the turn's number alone decides.

use crate::{Candidate, eligible};

/// The endpoint whose turn it is.
///
/// In every row of `W` turns that starts at a multiple of `W`, where `W` is the sum of the eligible weights divided
/// by their greatest common divisor, each endpoint is chosen exactly as often as its reduced weight says. Endpoints
/// of equal weight simply alternate. Turns are spread by walking the summed weights in steps of about the golden
/// section of `W` (a Kronecker sequence, made a permutation by taking a step coprime with `W`).
///
/// `turn` is a counter that the caller raises by one for each request. `candidate` is called twice for each index
/// below `len`; what it reports may change meanwhile.
/// Allocates nothing.
pub fn round_robin(len: usize, candidate: impl Fn(usize) -> Candidate, turn: u64) -> Option<usize> {
    let eligible = || {
        let candidates = (0..len).map(|index| (index, candidate(index)));
        candidates.filter(|(_, one)| eligible(one)).map(|(i, one)| (i, u64::from(one.weight)))
    };
    let (total, divisor) =
        eligible().fold((0, 0), |(sum, gcd), (_, weight)| (sum + weight, common(gcd, weight)));
    let turns = total.checked_div(divisor)?;
    let mut point = place(turn % turns, turns) * divisor;
    let mut last = None;
    for (index, weight) in eligible() {
        last = Some(index);
        match point.checked_sub(weight) {
            Some(beyond) => point = beyond,
            None => break,
        }
    }
    last
}

/// Where on the summed weights the turn falls: a permutation of `0..turns`.
fn place(turn: u64, turns: u64) -> u64 {
    (u128::from(turn) * u128::from(step(turns)) % u128::from(turns)) as u64
}

/// The first number from the golden section of `turns` on that is coprime with it and spreads well.
fn step(turns: u64) -> u64 {
    // 2^64 divided by the golden ratio.
    const GOLDEN: u128 = 0x9E37_79B9_7F4A_7C15;
    // Enough for every row of up to 20,000 turns (counted); in longer ones the step only has to be coprime.
    const TRIES: u64 = 50;
    let golden = ((u128::from(turns) * GOLDEN) >> 64) as u64;
    let near = (golden..turns).take(TRIES as usize).find(|&step| spreads(step, turns));
    near.or_else(|| (golden..turns).find(|&step| common(step, turns) == 1)).unwrap_or(1)
}

/// Whether steps of this length are coprime with `turns` and come nowhere near repeating themselves early: the
/// continued fraction of their ratio has only small quotients (Niederreiter 1992, section 3.1).
fn spreads(step: u64, turns: u64) -> bool {
    const QUOTIENT_MAX: u64 = 8;
    let (mut long, mut short) = (turns, step);
    while short != 0 {
        if long / short > QUOTIENT_MAX {
            return false;
        }
        (long, short) = (short, long % short);
    }
    long == 1
}

/// The greatest common divisor (Euclid); of 0 and n it is n.
fn common(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weighted(weight: u32) -> Candidate {
        Candidate { usable: true, weight, in_flight: 0 }
    }

    fn order(weights: &[u32], turns: std::ops::Range<u64>) -> Vec<usize> {
        turns.map(|turn| round_robin(weights.len(), |i| weighted(weights[i]), turn).unwrap()).collect()
    }

    #[test]
    fn nobody_has_a_turn_where_nobody_is_usable() {
        let unusable = Candidate { usable: false, weight: 1, in_flight: 0 };
        assert_eq!(round_robin(0, |_| weighted(1), 7), None);
        assert_eq!(round_robin(3, |_| unusable, 7), None);
        assert_eq!(round_robin(3, |_| weighted(0), 7), None);
    }

    #[test]
    fn equal_weights_alternate() {
        assert_eq!(order(&[1, 1], 0..4), [0, 1, 0, 1]);
        assert_eq!(order(&[100, 100, 100], 0..6), [0, 1, 2, 0, 1, 2]);
        let many = order(&[7; 10], 0..20);
        assert_eq!(many[..10], many[10..], "the same order again");
        let mut first: Vec<usize> = many[..10].to_vec();
        first.sort_unstable();
        assert_eq!(first, (0..10).collect::<Vec<_>>(), "each once");
    }

    #[test]
    fn heavy_turns_are_spread_between_light_ones() {
        assert_eq!(order(&[5, 1, 1], 0..7), [0, 0, 0, 1, 0, 2, 0]);
        assert_eq!(order(&[2, 1], 0..6), [0, 0, 1, 0, 0, 1]);
        assert_eq!(order(&[3, 3, 2], 0..8).windows(2).filter(|two| two[0] == two[1]).count(), 0);
    }

    #[test]
    fn who_is_tried_already_has_no_turn() {
        for turn in 0..10 {
            let untried = |index| Candidate { usable: index == 1, ..weighted(1) };
            assert_eq!(round_robin(3, untried, turn), Some(1));
        }
    }

    #[test]
    fn endpoints_beyond_the_sixty_fourth_have_their_turns() {
        let picks = order(&[1; 100], 0..100);
        assert!(picks.contains(&99));
    }

    #[test]
    fn figures_that_change_between_two_looks_are_survived() {
        let calls = std::cell::Cell::new(0u32);
        let shrinking = |_| {
            calls.set(calls.get() + 1);
            weighted(1_000 / calls.get())
        };
        assert!(round_robin(5, shrinking, u64::MAX).is_some());
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let weight = |i| weighted(u32::MAX - i as u32);
        assert!(round_robin(1_000, weight, u64::MAX).is_some());
    }

    proptest! {
        #[test]
        fn what_is_unusable_has_no_turn(
            candidates in prop::collection::vec((any::<bool>(), 0u32..4), 0..80),
            turn: u64,
        ) {
            let candidates: Vec<Candidate> = candidates
                .into_iter()
                .map(|(usable, weight)| Candidate { usable, weight, in_flight: 0 })
                .collect();
            let left = candidates.iter().filter(|one| eligible(one)).count();
            match round_robin(candidates.len(), |i| candidates[i], turn) {
                None => prop_assert_eq!(left, 0),
                Some(index) => prop_assert!(eligible(&candidates[index])),
            }
        }

        #[test]
        fn a_whole_row_of_turns_gives_each_exactly_its_weight(
            weights in prop::collection::vec(1u32..30, 1..12),
            row in 0u64..1_000,
        ) {
            let total: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
            let picks = order(&weights, row * total..(row + 1) * total);
            for (index, &weight) in weights.iter().enumerate() {
                prop_assert_eq!(picks.iter().filter(|&&pick| pick == index).count(), weight as usize);
            }
        }

        #[test]
        fn any_stretch_of_turns_is_close_to_the_weights(
            weights in prop::collection::vec(1u32..=100, 1..12),
            start in 0u64..10_000,
            length in 1u64..700,
        ) {
            let total: f64 = weights.iter().map(|&weight| f64::from(weight)).sum();
            let picks = order(&weights, start..start + length);
            for (index, &weight) in weights.iter().enumerate() {
                let picked = picks.iter().filter(|&&pick| pick == index).count() as f64;
                let due = length as f64 * f64::from(weight) / total;
                prop_assert!((picked - due).abs() <= 4.0, "{index} of {weights:?}: {picked} instead of {due}");
            }
        }
    }
}
