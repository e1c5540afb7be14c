//! What a sample says of what it was drawn from: bounds for a share, and an interval for a quantile by order statistics. Both
//! take an *effective* number of observations, because load times that follow one another are alike.

use crate::special::{beta, beta_quantile, normal_quantile};

/// An interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// The exact interval of a share of `hits` among `all` (Clopper and Pearson, The use of confidence or fiducial limits, Biometrika 26,
/// 1934), `error` the chance at each end that the truth lies beyond it. Parts of observations are allowed.
pub fn exact(hits: f64, all: f64, error: f64) -> Interval {
    if all <= 0.0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let hits = hits.clamp(0.0, all);
    let low = if hits <= 0.0 { 0.0 } else { beta_quantile(error, hits, all - hits + 1.0) };
    let high = if hits >= all { 1.0 } else { beta_quantile(1.0 - error, hits + 1.0, all - hits) };
    Interval { low, high }
}

/// The chance of so few hits or fewer, were the share `share`: what [`exact`] compares with its error at the upper end.
pub fn chance_of_fewer(hits: f64, all: f64, share: f64) -> f64 {
    if hits >= all { 1.0 } else { 1.0 - beta(share, hits + 1.0, all - hits) }
}

/// The chance of so many hits or more, were the share `share`.
pub fn chance_of_more(hits: f64, all: f64, share: f64) -> f64 {
    if hits <= 0.0 { 1.0 } else { beta(share, hits, all - hits + 1.0) }
}

/// The interval of a share by Wilson's score (Probable inference, the law of succession, and statistical inference, JASA 22, 1927): narrower
/// than the exact one, and right on average.
pub fn wilson(hits: f64, all: f64, error: f64) -> Interval {
    if all <= 0.0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let z = normal_quantile(1.0 - error);
    let (share, squared) = (hits / all, z * z);
    let middle = (share + squared / (2.0 * all)) / (1.0 + squared / all);
    let half = z * (share * (1.0 - share) / all + squared / (4.0 * all * all)).sqrt() / (1.0 + squared / all);
    Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
}

/// The interval of a quantile from the order statistics of `sorted` (David and Nagaraja, Order Statistics, section 7.1): between the
/// observations whose ranks a binomial count leaves with `error` at each end, whatever the distribution. `inflation`: how many
/// observations are worth one that is independent. `None` when there are too few for both ends.
pub fn quantile(sorted: &[f64], at: f64, error: f64, inflation: f64) -> Option<Interval> {
    let count = sorted.len() as f64;
    let all = count / inflation.max(1.0);
    // The binomial's own quantiles, as shares: those of the beta distribution at the expected count.
    let z = normal_quantile(1.0 - error);
    let spread = z * (all * at * (1.0 - at)).sqrt();
    let low = ((all * at - spread).floor() / all * count).floor();
    let high = ((all * at + spread).ceil() / all * count).ceil();
    if low < 1.0 || high > count {
        return None;
    }
    Some(Interval { low: sorted[low as usize - 1], high: sorted[high as usize - 1] })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_interval_is_the_one_of_the_tables() {
        // 0 of 100: up to 1 - 0.025^(1/100). 5 of 100, 95 %: 1.64 % to 11.28 %.
        let none = exact(0.0, 100.0, 0.025);
        assert!(none.low == 0.0 && (none.high - 0.036_217).abs() < 1e-5, "{none:?}");
        let five = exact(5.0, 100.0, 0.025);
        assert!((five.low - 0.016_432).abs() < 1e-5 && (five.high - 0.112_835).abs() < 1e-5, "{five:?}");
        assert_eq!(exact(0.0, 0.0, 0.025), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn chances_and_bounds_say_the_same() {
        let bounds = exact(7.0, 200.0, 0.01);
        assert!((chance_of_fewer(7.0, 200.0, bounds.high) - 0.01).abs() < 1e-6);
        assert!((chance_of_more(7.0, 200.0, bounds.low) - 0.01).abs() < 1e-6);
    }

    #[test]
    fn wilsons_interval_is_the_one_of_the_tables() {
        // 5 of 100, 95 %: 2.15 % to 11.18 %.
        let five = wilson(5.0, 100.0, 0.025);
        assert!((five.low - 0.021_544).abs() < 1e-4 && (five.high - 0.111_75).abs() < 1e-4, "{five:?}");
    }

    #[test]
    fn a_median_of_a_hundred_lies_between_two_ranks() {
        let sorted: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&sorted, 0.5, 0.025, 1.0), Some(Interval { low: 40.0, high: 60.0 }));
        let wide = quantile(&sorted, 0.5, 0.025, 4.0).expect("25 are enough");
        assert!(wide.low < 33.0 && wide.high > 67.0, "{wide:?}");
        assert_eq!(quantile(&sorted, 0.99, 0.025, 1.0), None, "nobody knows a p99 from 100");
    }
}
