//! Power of two choices (Mitzenmacher 2001): draws two endpoints and takes the less loaded one. That spreads load
//! almost as well as asking all, and does not send everybody to the same idle endpoint when many choosers see the
//! same figures.

use crate::{Candidate, eligible};

/// Draws two different endpoints, each in proportion to its weight, and returns the better one.
///
/// The first drawn is kept unless the second, with this request added, would be no fuller than the first is
/// without it; fullness is requests in flight by weight. Among equal weights that is plain power of two choices.
/// With unequal ones it keeps small shares exact while little is in flight: an endpoint of weight 1 beside one of
/// weight 99 gets its hundredth, neither nothing nor half.
///
/// `candidate` is called once or twice for each index below `len`; what it reports may change meanwhile. Bit `i` of
/// `avoid` excludes index `i` (the first 64 only). All bits of `random` count. Allocates nothing.
pub fn least_requests(
    len: usize,
    candidate: impl Fn(usize) -> Candidate,
    avoid: u64,
    random: u64,
) -> Option<usize> {
    let candidates = || (0..len).map(|index| (index, candidate(index)));
    let eligible = || candidates().filter(|(index, one)| eligible(one, *index, avoid));
    let total: u64 = eligible().map(|(_, one)| u64::from(one.weight)).sum();
    let first = draw(eligible(), scaled(random, total))?;
    let rest = total.saturating_sub(u64::from(first.1.weight));
    let others = eligible().filter(|(index, _)| *index != first.0);
    let Some(second) = draw(others, scaled(mixed(random), rest)) else { return Some(first.0) };
    let prefer_second = fills_no_more(&second.1, &first.1);
    Some(if prefer_second { second.0 } else { first.0 })
}

/// `(to.in_flight + 1) / to.weight <= from.in_flight / from.weight`, in whole numbers.
fn fills_no_more(to: &Candidate, from: &Candidate) -> bool {
    let then = (u64::from(to.in_flight) + 1) * u64::from(from.weight);
    then <= u64::from(from.in_flight) * u64::from(to.weight)
}

/// The candidate on whose stretch of the summed weights `point` lies. When weights shrank since they were summed,
/// the last one.
fn draw(candidates: impl Iterator<Item = (usize, Candidate)>, mut point: u64) -> Option<(usize, Candidate)> {
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
fn mixed(random: u64) -> u64 {
    let mut z = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
