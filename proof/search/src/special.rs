//! The functions that confidence is computed with: quantiles of the normal and of Student's distribution, the incomplete beta
//! function. Approximations with their sources and their errors; knows nothing of trials.

/// The quantile of the standard normal distribution, for 0 < `p` < 1; off by less than 4.5e-4 (Abramowitz and Stegun, Handbook
/// of Mathematical Functions, 26.2.23).
pub fn normal_quantile(p: f64) -> f64 {
    let tail = p.min(1.0 - p).max(1e-300);
    let t = (-2.0 * tail.ln()).sqrt();
    let up = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let down = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let z = t - up / down;
    if p < 0.5 { -z } else { z }
}

/// The quantile of Student's distribution with `degrees` of freedom, by the expansion of Cornish and Fisher (Abramowitz and Stegun,
/// 26.7.5); within 1 % from 4 degrees on for the confidences used here.
pub fn student_quantile(p: f64, degrees: f64) -> f64 {
    let (z, n) = (normal_quantile(p), degrees.max(1.0));
    let (z3, z5, z7) = (z.powi(3), z.powi(5), z.powi(7));
    z + (z3 + z) / (4.0 * n)
        + (5.0 * z5 + 16.0 * z3 + 3.0 * z) / (96.0 * n * n)
        + (3.0 * z7 + 19.0 * z5 + 17.0 * z3 - 15.0 * z) / (384.0 * n * n * n)
}

/// The logarithm of the gamma function, for `x` > 0, by Stirling's series after a shift (Abramowitz and Stegun, 6.1.41 and 6.1.15); off
/// by less than 1e-10.
pub fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 9.0 {
        shift -= x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / x;
    let squared = inverse * inverse;
    let series = inverse
        * (1.0 / 12.0 - squared * (1.0 / 360.0 - squared * (1.0 / 1_260.0 - squared * (1.0 / 1_680.0))));
    shift + (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

/// The regularised incomplete beta function I_x(a, b), by its continued fraction (Abramowitz and Stegun, 26.5.8).
pub fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    // The fraction converges quickly below the mean; above it, the other tail is computed.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta_below(1.0 - x, b, a);
    }
    beta_below(x, a, b)
}

fn beta_below(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let whole = |value: f64| if value.abs() < TINY { TINY } else { value };
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    // Lentz's way of evaluating a continued fraction from the front.
    let mut c = 1.0;
    let mut d = 1.0 / whole(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..500 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / whole(1.0 + even * d);
        c = whole(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / whole(1.0 + odd * d);
        c = whole(1.0 + odd / c);
        let change = d * c;
        fraction *= change;
        if (change - 1.0).abs() < 1e-12 {
            break;
        }
    }
    front * fraction
}

/// Where [`beta`] reaches `p`, by halving.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..50 {
        let middle = f64::midpoint(low, high);
        if beta(middle, a, b) < p { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(a: f64, b: f64, by: f64) {
        assert!((a - b).abs() <= by, "{a} is not {b}");
    }

    #[test]
    fn they_agree_with_the_printed_tables() {
        close(normal_quantile(0.975), 1.959_96, 5e-4);
        close(normal_quantile(0.005), -2.575_83, 5e-4);
        close(student_quantile(0.975, 10.0), 2.228, 0.01);
        close(student_quantile(0.99, 19.0), 2.539, 0.01);
        close(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln(), 1e-9);
        close(ln_gamma(11.0), 3_628_800_f64.ln(), 1e-9);
        // I_x(1, b) = 1 - (1 - x)^b, I_x(a, 1) = x^a.
        close(beta(0.3, 1.0, 4.0), 1.0 - 0.7_f64.powi(4), 1e-10);
        close(beta(0.9, 5.0, 1.0), 0.9_f64.powi(5), 1e-10);
        close(beta(beta_quantile(0.2, 3.5, 90.0), 3.5, 90.0), 0.2, 1e-9);
    }
}
