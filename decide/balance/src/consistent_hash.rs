//! The same endpoint for the same key, while that endpoint has no more than its part of the load: rendezvous hashing
//! (Thaler, Ravishankar 1998) by weight (Schindelhauer, Schomaker 2005) with bounded loads (Mirrokni, Thorup,
//! Zadimoghaddam 2018).
//!
//! Each key has its own order of the endpoints, and goes to the first in it that has room. A ring would give the same
//! promise; but weights change while a Snapshot stays (drains, slow starts), and a ring would have to be built for each
//! of them, while an order is found in one pass over endpoints that are looked at anyway. It also spreads what an endpoint
//! has no room for over all others, not on the next one of the ring.

use crate::{Candidate, eligible};

/// The first endpoint in the key's order that has room: whose requests in flight, with this one, are no more than
/// `load_percent` hundredths of its part by weight, rounded up (100 is taken for less).
///
/// `name` is a number for each endpoint, by [`hash`] of what it is called; it says where keys go, so that they stay where
/// they are when others come or go. `candidate` is called twice for each index below `len`; when what it reports changes
/// meanwhile so that nobody has room, the first in the key's order is taken. Allocates nothing.
pub fn consistent_hash(
    len: usize,
    candidate: impl Fn(usize) -> Candidate,
    name: impl Fn(usize) -> u64,
    key: u64,
    load_percent: u32,
) -> Option<usize> {
    let eligible = || {
        let candidates = (0..len).map(|index| (index, candidate(index)));
        candidates.filter(|(_, one)| eligible(one))
    };
    let (in_flight, weights) = eligible().fold((0u64, 0u64), |(in_flight, weights), (_, one)| {
        (in_flight + u64::from(one.in_flight), weights + u64::from(one.weight))
    });
    // What there is to carry, this request with it, in hundredths of a request.
    let load = (u128::from(in_flight) + 1) * u128::from(load_percent.max(100));
    let has_room = |one: &Candidate| {
        // in_flight < ceil(load × weight / weights), in whole numbers.
        u128::from(one.in_flight) * 100 * u128::from(weights) < load * u128::from(one.weight)
    };
    let (mut best, mut best_with_room) = (None, None);
    for (index, one) in eligible() {
        let score = score(name(index), key, one.weight);
        keep_better(&mut best, index, score);
        if has_room(&one) {
            keep_better(&mut best_with_room, index, score);
        }
    }
    best_with_room.or(best).map(|(index, _)| index)
}

/// A number for what an endpoint is called, or for a key: FNV-1a, stirred. Not for secrets: who may choose his key may
/// choose his endpoint; the bound on the load is what keeps him from crowding it.
pub fn hash(bytes: &[u8]) -> u64 {
    const OFFSET: u64 = 0xCBF2_9CE4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01B3;
    stirred(bytes.iter().fold(OFFSET, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME)))
}

/// Of all endpoints, the one with the highest score comes first; each does so in proportion to its weight.
fn score(name: u64, key: u64, weight: u32) -> f64 {
    // 53 bits, the middle of each step: never 0 or 1, whose logarithms are of no use.
    let uniform = ((stirred(name ^ key) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -f64::from(weight) / uniform.ln()
}

fn keep_better(best: &mut Option<(usize, f64)>, index: usize, score: f64) {
    if best.is_none_or(|(_, best)| score > best) {
        *best = Some((index, score));
    }
}

/// SplitMix64's finaliser.
fn stirred(number: u64) -> u64 {
    let mut z = number;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEYS: u64 = 20_000;
    const LOAD_FACTOR_PERCENT: u32 = 125;

    fn idle(weight: u32) -> Candidate {
        Candidate { usable: true, weight, in_flight: 0 }
    }

    fn name(index: usize) -> u64 {
        hash(format!("10.0.0.{index}:80").as_bytes())
    }

    fn choose(candidates: &[Candidate], key: u64) -> Option<usize> {
        consistent_hash(candidates.len(), |i| candidates[i], name, stirred(key), LOAD_FACTOR_PERCENT)
    }

    /// Where each key goes while nothing is in flight.
    fn homes(candidates: &[Candidate]) -> Vec<usize> {
        (0..KEYS).map(|key| choose(candidates, key).unwrap()).collect()
    }

    fn shares(homes: &[usize], endpoints: usize) -> Vec<f64> {
        let share = |of| homes.iter().filter(|&&home| home == of).count() as f64 / homes.len() as f64;
        (0..endpoints).map(share).collect()
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let shares = shares(&homes(&[idle(1), idle(2), idle(5), idle(2)]), 4);
        for (share, due) in shares.iter().zip([0.1, 0.2, 0.5, 0.2]) {
            assert!((share - due).abs() < 0.015, "{shares:?}");
        }
    }

    #[test]
    fn when_an_endpoint_leaves_only_its_keys_move_and_to_all_others() {
        let mut candidates = vec![idle(1); 8];
        let before = homes(&candidates);
        candidates[3].usable = false;
        let after = homes(&candidates);
        let moved: Vec<usize> =
            before.iter().zip(&after).filter(|(from, to)| from != to).map(|(_, &to)| to).collect();
        assert!(before.iter().zip(&after).all(|(from, to)| from == to || *from == 3));
        assert!((0.11..0.14).contains(&(moved.len() as f64 / KEYS as f64)), "{}", moved.len());
        let shares = shares(&moved, 8);
        assert!([0, 1, 2, 4, 5, 6, 7].iter().all(|&to| (0.1..0.19).contains(&shares[to])), "{shares:?}");
    }

    #[test]
    fn when_a_weight_grows_keys_move_to_that_endpoint_only() {
        let mut candidates = vec![idle(10); 5];
        let before = homes(&candidates);
        candidates[2].weight = 20;
        let after = homes(&candidates);
        assert!(before.iter().zip(&after).all(|(from, to)| from == to || *to == 2));
        let moved = before.iter().zip(&after).filter(|(from, to)| from != to).count() as f64 / KEYS as f64;
        // From a fifth to a third.
        assert!((moved - (1.0 / 3.0 - 0.2)).abs() < 0.015, "{moved}");
    }

    #[test]
    fn an_index_that_shifts_moves_no_key() {
        let candidates = vec![idle(1); 5];
        // The same endpoints without the first one, as a reload gives them.
        let shifted = |key| {
            consistent_hash(4, |i| candidates[i + 1], |i| name(i + 1), stirred(key), LOAD_FACTOR_PERCENT)
        };
        for key in (0..KEYS).filter(|&key| choose(&candidates, key) != Some(0)) {
            assert_eq!(shifted(key).map(|index| index + 1), choose(&candidates, key));
        }
    }

    #[test]
    fn one_key_that_all_ask_for_is_carried_by_all() {
        let mut candidates = vec![idle(1); 4];
        for _ in 0..4_000 {
            let chosen = choose(&candidates, 7).unwrap();
            candidates[chosen].in_flight += 1;
        }
        let most = candidates.iter().map(|one| one.in_flight).max();
        assert_eq!(most, Some(1_250), "{candidates:?}");
    }

    #[test]
    fn nobody_is_chosen_where_nobody_is_usable() {
        let unusable = Candidate { usable: false, weight: 1, in_flight: 0 };
        assert_eq!(choose(&[], 7), None);
        assert_eq!(choose(&[unusable, unusable], 7), None);
        assert_eq!(choose(&[idle(0)], 7), None);
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let largest = |_| Candidate { usable: true, weight: u32::MAX, in_flight: u32::MAX };
        assert!(consistent_hash(1_000, largest, name, u64::MAX, u32::MAX).is_some());
    }

    #[test]
    fn figures_that_change_between_two_looks_are_survived() {
        let calls = std::cell::Cell::new(0u32);
        let filling = |_| {
            calls.set(calls.get() + 1);
            Candidate { usable: true, weight: 1, in_flight: calls.get() * 1_000 }
        };
        assert!(consistent_hash(5, filling, name, 7, 125).is_some());
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_his_part_of_the_load(
            candidates in prop::collection::vec((any::<bool>(), 0u32..20, 0u32..50), 1..20),
            keys in prop::collection::vec(0u64..3, 1..300),
            load_percent in 100u32..300,
        ) {
            let mut candidates: Vec<Candidate> = candidates
                .into_iter()
                .map(|(usable, weight, in_flight)| Candidate { usable, weight, in_flight })
                .collect();
            for key in keys {
                let chosen =
                    consistent_hash(candidates.len(), |i| candidates[i], name, key, load_percent);
                let usable = || candidates.iter().filter(|one| one.usable && one.weight > 0);
                let Some(chosen) = chosen else {
                    prop_assert_eq!(usable().count(), 0);
                    break;
                };
                let one = candidates[chosen];
                prop_assert!(one.usable && one.weight > 0);
                let all: u32 = usable().map(|one| one.in_flight).sum::<u32>() + 1;
                let weights: u32 = usable().map(|one| one.weight).sum();
                let part = f64::from(all) * f64::from(one.weight) / f64::from(weights);
                let bound = (part * f64::from(load_percent) / 100.0 - 1e-9).ceil();
                prop_assert!(f64::from(one.in_flight + 1) <= bound.max(1.0));
                candidates[chosen].in_flight += 1;
            }
        }

        #[test]
        fn who_is_away_moves_no_other_key(
            weights in prop::collection::vec(1u32..10, 2..30),
            away: prop::sample::Index,
            key: u64,
        ) {
            let candidates: Vec<Candidate> = weights.iter().map(|&weight| idle(weight)).collect();
            let away = away.index(candidates.len());
            let home = choose(&candidates, key).unwrap();
            let there = |i: usize| Candidate { usable: i != away, ..candidates[i] };
            let avoiding =
                consistent_hash(candidates.len(), there, name, stirred(key), LOAD_FACTOR_PERCENT);
            if home == away {
                prop_assert_ne!(avoiding, Some(home));
            } else {
                prop_assert_eq!(avoiding, Some(home));
            }
        }
    }
}
