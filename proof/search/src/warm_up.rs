//! Where a trial's beginning ends: what was measured before does not belong to the load that is judged. Removes, never invents.

/// Observations in a batch: the 5 of MSER-5.
const BATCH: usize = 5;

/// How many observations of the beginning are cut off: MSER-5 (White, An effective truncation heuristic for bias reduction in simulation
/// output, Simulation 69, 1997; in batches of five as in White, Cobb and Spratt, Winter Simulation Conference 2000). Of all cuts in the
/// first half it takes the one after which the mean is known best: where the squared error of the rest, divided by its square
/// count, is smallest.
pub fn mser5(values: impl Iterator<Item = f64>) -> usize {
    let mut batches = Vec::new();
    let (mut sum, mut count) = (0.0, 0);
    for value in values {
        sum += value;
        count += 1;
        if count == BATCH {
            batches.push(sum / BATCH as f64);
            (sum, count) = (0.0, 0);
        }
    }
    let all = batches.len();
    let (mut total, mut squares) = (0.0, 0.0);
    let mut best = (f64::INFINITY, 0);
    // From the end, so that each cut adds one batch.
    for cut in (0..all).rev() {
        let value = batches[cut];
        total += value;
        squares += value * value;
        let rest = (all - cut) as f64;
        if cut <= all / 2 && rest >= 2.0 {
            let error = (squares - total * total / rest).max(0.0) / (rest * rest);
            // Of two as good, the one that keeps more.
            if error <= best.0 {
                best = (error, cut);
            }
        }
    }
    best.1 * BATCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_beginning_that_is_unlike_the_rest_is_cut_off() {
        let values = (0..1_000).map(|n| if n < 100 { 500.0 } else { f64::from(n * 7 % 11) });
        let cut = mser5(values);
        assert!((100..=105).contains(&cut), "{cut}");
    }

    #[test]
    fn what_is_alike_is_kept_and_never_more_than_half_is_cut() {
        assert!(mser5((0..1_000).map(|n| f64::from(n * 7 % 11))) < 100);
        assert!(mser5((0..1_000).map(f64::from)) <= 500);
        assert_eq!(mser5([1.0, 2.0].into_iter()), 0);
    }
}
