//! Draws two different endpoints, each in proportion to its weight: the two of power of two choices.

use crate::{Candidate, eligible};

/// An endpoint's index, and what was known of it when it was drawn.
pub(crate) type Drawn = (usize, Candidate);

/// The first, and the second where more than one is eligible. `candidate` is called up to three times for each index.
pub(crate) fn two(
    len: usize,
    candidate: impl Fn(usize) -> Candidate,
    random: u64,
) -> Option<(Drawn, Option<Drawn>)> {
    let candidates = || (0..len).map(|index| (index, candidate(index)));
    let eligible = || candidates().filter(|(_, one)| eligible(one));
    let total: u64 = eligible().map(|(_, one)| u64::from(one.weight)).sum();
    let first = draw(eligible(), scaled(random, total))?;
    let rest = total.saturating_sub(u64::from(first.1.weight));
    let others = eligible().filter(|(index, _)| *index != first.0);
    Some((first, draw(others, scaled(mixed(random), rest))))
}

/// The candidate on whose stretch of the summed weights `point` lies. When weights shrank since they were summed,
/// the last one.
fn draw(candidates: impl Iterator<Item = Drawn>, mut point: u64) -> Option<Drawn> {
    let mut last = None;
    for (index, one) in candidates {
        last = Some((index, one));
        match point.checked_sub(u64::from(one.weight)) {
            Some(beyond) => point = beyond,
            None => break,
        }
    }
    last
}

/// A number below `bound` (0 when that is 0), each as likely as the others (Lemire 2019, without the rejection:
/// the bias is below bound / 2^64).
fn scaled(random: u64, bound: u64) -> u64 {
    ((u128::from(random) * u128::from(bound)) >> 64) as u64
}

/// A second number out of the first, independent of it for our purpose (SplitMix64's finaliser).
pub(crate) fn mixed(random: u64) -> u64 {
    let mut z = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
