//! The Universal Scalability Law: why more load brings less than it should. Throughput X at a concurrency of N is
//!
//! `X(N) = γ N / (1 + α (N - 1) + β N (N - 1))`
//!
//! where α is what must be done one after another (contention) and β what all have to agree about (coherency); it peaks at
//! N* = √((1 - α) / β) (Gunther, Guerrilla Capacity Planning, 2007, chapters 4 and 5). A hint about the shape of a curve, never a
//! verdict: what is not of this shape is fitted all the same.

use crate::confidence::Interval;
use crate::draw::Draw;

/// Points below which three parameters say nothing.
pub const POINTS_MIN: usize = 5;
/// Steps of the fit.
const STEPS_MAX: usize = 500;

/// Throughput at a concurrency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Concurrency: visitors, processors.
    pub n: f64,
    /// Throughput.
    pub x: f64,
}

/// A fitted law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usl {
    /// Throughput of one alone.
    pub gamma: f64,
    /// Contention; not below 0.
    pub alpha: f64,
    /// Coherency; not below 0.
    pub beta: f64,
}

/// A fit, and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The law.
    pub law: Usl,
    /// Where it peaks; `None` when it only flattens.
    pub peak: Option<f64>,
    /// Within which 95 % of the fits of resampled residuals peak; `None` when fewer than that many peak at all.
    pub peak_within: Option<Interval>,
    /// The same for α.
    pub alpha_within: Interval,
    /// The same for β.
    pub beta_within: Interval,
    /// The share of the throughput's variance that the law accounts for.
    pub r_squared: f64,
}

impl Usl {
    /// Throughput at a concurrency.
    pub fn at(&self, n: f64) -> f64 {
        self.gamma * n / (1.0 + self.alpha * (n - 1.0) + self.beta * n * (n - 1.0))
    }

    /// Where throughput peaks; `None` when it does not.
    pub fn peak(&self) -> Option<f64> {
        (self.beta > 1e-12 && self.alpha < 1.0).then(|| ((1.0 - self.alpha) / self.beta).sqrt())
    }
}

/// Fits the law by least squares, and again for `times` resamples of its residuals (the bootstrap of regression: Efron and Tibshirani, An
/// Introduction to the Bootstrap, section 9.4). `None` with fewer than [`POINTS_MIN`] points, or when they are no throughput.
pub fn fit(points: &[Point], times: usize, seed: u64) -> Option<Fit> {
    let law = least_squares(points)?;
    let residuals: Vec<f64> = points.iter().map(|point| point.x - law.at(point.n)).collect();
    // Three parameters have taken their part of the spread.
    let wider = (points.len() as f64 / (points.len() as f64 - 3.0)).sqrt();
    let mut draw = Draw::new(seed);
    let mut again: Vec<Usl> = Vec::with_capacity(times);
    for _ in 0..times {
        let other: Vec<Point> = points
            .iter()
            .map(|point| Point {
                n: point.n,
                x: (law.at(point.n) + residuals[draw.below(residuals.len())] * wider).max(0.0),
            })
            .collect();
        again.extend(least_squares(&other));
    }
    let middle = |mut all: Vec<f64>| -> Option<Interval> {
        all.sort_by(f64::total_cmp);
        let at = |share: f64| all.get(((all.len() as f64 - 1.0) * share).round() as usize).copied();
        Some(Interval { low: at(0.025)?, high: at(0.975)? })
    };
    let peaks: Vec<f64> = again.iter().filter_map(Usl::peak).collect();
    let most = peaks.len() as f64 >= 0.95 * again.len() as f64;
    let mean = points.iter().map(|point| point.x).sum::<f64>() / points.len() as f64;
    let spread = points.iter().map(|point| (point.x - mean).powi(2)).sum::<f64>();
    let left = residuals.iter().map(|residual| residual * residual).sum::<f64>();
    Some(Fit {
        law,
        peak: law.peak(),
        peak_within: if most { middle(peaks) } else { None },
        alpha_within: middle(again.iter().map(|law| law.alpha).collect())?,
        beta_within: middle(again.iter().map(|law| law.beta).collect())?,
        r_squared: if spread > 0.0 { 1.0 - left / spread } else { 0.0 },
    })
}

/// The law that is nearest to the points, by the method of Levenberg and Marquardt (Marquardt, An algorithm for least-squares estimation of
/// nonlinear parameters, 1963), with neither coefficient below 0.
pub fn least_squares(points: &[Point]) -> Option<Usl> {
    let is_good =
        |point: &Point| point.n > 0.0 && point.x >= 0.0 && point.n.is_finite() && point.x.is_finite();
    if points.len() < POINTS_MIN || !points.iter().all(is_good) || points.iter().all(|point| point.x <= 0.0) {
        return None;
    }
    let gamma = points.iter().map(|point| point.x / point.n).fold(0.0, f64::max);
    let mut law = Usl { gamma, alpha: 0.01, beta: 1e-4 };
    let error = |law: &Usl| points.iter().map(|point| (point.x - law.at(point.n)).powi(2)).sum::<f64>();
    let (mut now, mut damping) = (error(&law), 1e-2);
    for _ in 0..STEPS_MAX {
        // Normal equations of the linearised problem.
        let (mut matrix, mut right) = ([[0.0_f64; 3]; 3], [0.0_f64; 3]);
        for point in points {
            let n = point.n;
            let under = 1.0 + law.alpha * (n - 1.0) + law.beta * n * (n - 1.0);
            let slope = -law.gamma * n / (under * under);
            let by = [n / under, slope * (n - 1.0), slope * n * (n - 1.0)];
            let left = point.x - law.at(n);
            for (row, one) in by.iter().enumerate() {
                right[row] += one * left;
                for (column, other) in by.iter().enumerate() {
                    matrix[row][column] += one * other;
                }
            }
        }
        for (row, line) in matrix.iter_mut().enumerate() {
            line[row] *= 1.0 + damping;
            line[row] = line[row].max(1e-300);
        }
        let Some(step) = solve(matrix, right) else { break };
        let next = Usl {
            gamma: (law.gamma + step[0]).max(1e-9),
            alpha: (law.alpha + step[1]).max(0.0),
            beta: (law.beta + step[2]).max(0.0),
        };
        let then = error(&next);
        if then < now {
            let is_done = now - then <= now * 1e-12;
            (law, now, damping) = (next, then, (damping / 3.0).max(1e-12));
            if is_done {
                break;
            }
        } else {
            damping *= 4.0;
            if damping > 1e12 {
                break;
            }
        }
    }
    Some(law)
}

/// Three equations by Gauss' elimination with pivots.
fn solve(mut matrix: [[f64; 3]; 3], mut right: [f64; 3]) -> Option<[f64; 3]> {
    for column in 0..3 {
        let pivot =
            (column..3).max_by(|a, b| matrix[*a][column].abs().total_cmp(&matrix[*b][column].abs()))?;
        matrix.swap(column, pivot);
        right.swap(column, pivot);
        if matrix[column][column].abs() < 1e-300 {
            return None;
        }
        for row in column + 1..3 {
            let factor = matrix[row][column] / matrix[column][column];
            let from = matrix[column];
            for (to, from) in matrix[row].iter_mut().zip(from) {
                *to -= factor * from;
            }
            right[row] -= factor * right[column];
        }
    }
    let mut found = [0.0; 3];
    for row in (0..3).rev() {
        let known: f64 = (row + 1..3).map(|column| matrix[row][column] * found[column]).sum();
        found[row] = (right[row] - known) / matrix[row][row];
    }
    found.iter().all(|one| one.is_finite()).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC SDM91 on a Sun SPARCcenter 2000: simulated users and scripts an hour, as published by Gunther (Guerrilla Capacity
    /// Planning, table 5.1).
    const SPECSDM91: [(f64, f64); 7] = [
        (1.0, 64.9),
        (18.0, 995.9),
        (36.0, 1_652.4),
        (72.0, 1_853.2),
        (108.0, 1_828.9),
        (144.0, 1_775.0),
        (216.0, 1_702.2),
    ];

    fn points(of: &[(f64, f64)]) -> Vec<Point> {
        of.iter().map(|&(n, x)| Point { n, x }).collect()
    }

    #[test]
    fn the_published_fit_is_found() {
        let fit = fit(&points(&SPECSDM91), 500, 1).expect("seven points");
        // Published: alpha 0.0277, beta 0.000104, N* 96.5.
        assert!((fit.law.alpha - 0.0277).abs() < 0.000_1, "{fit:?}");
        assert!((fit.law.beta - 0.000_104).abs() < 0.000_001, "{fit:?}");
        let peak = fit.peak.expect("it peaks");
        assert!((peak - 96.5).abs() < 0.2, "{fit:?}");
        let within = fit.peak_within.expect("all of them peak");
        assert!(
            within.low < peak && peak < within.high && within.low > 60.0 && within.high < 160.0,
            "{fit:?}"
        );
        assert!(fit.r_squared > 0.98, "{fit:?}");
    }

    #[test]
    fn what_follows_the_law_is_found_to_the_last_digit() {
        let law = Usl { gamma: 40.0, alpha: 0.05, beta: 0.002 };
        let all: Vec<Point> = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0].map(|n| Point { n, x: law.at(n) }).into();
        let found = least_squares(&all).expect("a fit");
        assert!((found.alpha - 0.05).abs() < 1e-6 && (found.beta - 0.002).abs() < 1e-7, "{found:?}");
    }

    #[test]
    fn what_grows_evenly_has_no_peak_and_few_points_no_fit() {
        let even: Vec<Point> = (1..=8).map(|n| Point { n: f64::from(n), x: 10.0 * f64::from(n) }).collect();
        let fit = fit(&even, 50, 1).expect("eight points");
        assert!(fit.law.alpha < 1e-6 && fit.peak.is_none_or(|peak| peak > 1e3), "{fit:?}");
        assert_eq!(least_squares(&even[..4]), None);
        assert_eq!(least_squares(&points(&[(1.0, 0.0); 6])), None);
        assert_eq!(least_squares(&points(&[(1.0, f64::NAN); 6])), None);
    }

    #[test]
    fn the_interval_holds_the_peak_it_was_made_with() {
        let law = Usl { gamma: 100.0, alpha: 0.03, beta: 0.000_5 };
        let truth = law.peak().expect("it peaks");
        let mut draw = Draw::new(7);
        let mut inside = 0;
        for round in 0..100 {
            let noisy = [1.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0, 80.0, 100.0].map(|n| {
                let noise: f64 = (0..12).map(|_| draw.unit()).sum::<f64>() - 6.0;
                Point { n, x: law.at(n) + 15.0 * noise }
            });
            let within = fit(&noisy, 100, round).and_then(|fit| fit.peak_within);
            inside += usize::from(within.is_some_and(|within| within.low <= truth && truth <= within.high));
        }
        assert!(inside >= 85, "{inside} of 100: nine points and three parameters");
    }
}
