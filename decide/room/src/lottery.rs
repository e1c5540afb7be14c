//! The order among those who were early: a permutation that a secret chooses. A Feistel network over the smallest even
//! number of bits that holds all of them, walked until it ends within (Black and Rogaway 2002, "Ciphers with arbitrary
//! finite domains"): no list is kept, and whoever has the secret knows each one's place.

/// Rounds; four make a permutation that cannot be told from a random one by those who see its results (Luby and Rackoff
/// 1988), two more cost little.
const ROUNDS: u64 = 6;

/// The place of the one with this index among `count`, both from 0. `secret` must be a keyed function that nobody else can
/// compute.
///
/// # Panics
/// With an index that is none of `count`.
pub fn permuted(index: u64, count: u64, secret: &dyn Fn(u64) -> u64) -> u64 {
    walk(index, count, |value, half| {
        (0..ROUNDS).fold(value, |value, round| {
            let (left, right) = (value >> half, value & mask(half));
            (right << half) | ((left ^ mixed(secret, round, right)) & mask(half))
        })
    })
}

/// The index of the one at this place: the way back.
///
/// # Panics
/// With a place that is none of `count`.
pub fn unpermuted(place: u64, count: u64, secret: &dyn Fn(u64) -> u64) -> u64 {
    walk(place, count, |value, half| {
        (0..ROUNDS).rev().fold(value, |value, round| {
            let (left, right) = (value >> half, value & mask(half));
            ((right ^ mixed(secret, round, left)) & mask(half)) << half | left
        })
    })
}

fn walk(from: u64, count: u64, step: impl Fn(u64, u32) -> u64) -> u64 {
    assert!(from < count, "{from} is none of {count}");
    let bits = u64::BITS - (count - 1).leading_zeros();
    let half = bits.div_ceil(2).max(1);
    let mut value = step(from, half);
    // The domain is less than four times as large: few steps.
    while value >= count {
        value = step(value, half);
    }
    value
}

fn mixed(secret: &dyn Fn(u64) -> u64, round: u64, half: u64) -> u64 {
    secret(round << 56 | half)
}

fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for a keyed hash: splitmix64.
    fn secret(key: u64) -> impl Fn(u64) -> u64 {
        move |value| {
            let mut z = value.wrapping_add(key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }
    }

    #[test]
    fn each_has_one_place_and_the_way_back_is_known() {
        for count in [1, 2, 3, 4, 5, 16, 17, 1_000, 4_097] {
            let mut taken = vec![false; count as usize];
            for index in 0..count {
                let place = permuted(index, count, &secret(7));
                assert!(!std::mem::replace(&mut taken[place as usize], true), "{place} of {count} twice");
                assert_eq!(unpermuted(place, count, &secret(7)), index);
            }
        }
    }

    #[test]
    fn who_was_first_has_no_better_chances() {
        // The first thousand of ten thousand: their mean place over many draws is the middle.
        let mut sum = 0;
        for key in 0..20 {
            sum += (0..1_000).map(|index| permuted(index, 10_000, &secret(key))).sum::<u64>();
        }
        let mean = sum as f64 / 20_000.0;
        assert!((4_900.0..5_100.0).contains(&mean), "{mean}");
    }
}
