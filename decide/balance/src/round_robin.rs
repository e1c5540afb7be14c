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
/// below `len`; what it reports may change meanwhile. Bit `i` of `avoid` excludes index `i` (the first 64 only).
/// Allocates nothing.
pub fn round_robin(
    len: usize,
    candidate: impl Fn(usize) -> Candidate,
    avoid: u64,
    turn: u64,
) -> Option<usize> {
    let eligible = || {
        let candidates = (0..len).map(|index| (index, candidate(index)));
        candidates
            .filter(|(index, one)| eligible(one, *index, avoid))
            .map(|(i, one)| (i, u64::from(one.weight)))
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
    // 2^64 divided by the golden ratio: `step` is that part of `turns`, then the next number coprime with it.
    const GOLDEN: u128 = 0x9E37_79B9_7F4A_7C15;
    let mut step = ((u128::from(turns) * GOLDEN) >> 64) as u64;
    while common(step, turns) != 1 {
        step += 1;
    }
    (u128::from(turn) * u128::from(step) % u128::from(turns)) as u64
}

/// The greatest common divisor (Euclid); of 0 and n it is n.
fn common(mut one: u64, mut other: u64) -> u64 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one
}
