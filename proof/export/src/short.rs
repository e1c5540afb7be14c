//! Figures without the dust of arithmetic: 0.1 + 0.2 is 0.3 here. Whatever was measured keeps every digit that means something.

/// Digits that count: load times are known to a microsecond, and a run has fewer than a billion requests.
const DIGITS: usize = 12;

/// The shortest figure that is the same to [`DIGITS`] digits. What is no number stays what it is.
pub fn short(value: f64) -> f64 {
    format!("{value:.*e}", DIGITS - 1).parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dust_is_gone_and_figures_stay() {
        for (value, written) in [
            (0.1 + 0.2, "0.3"),
            (300.000_000_000_000_06 / 1_000.0, "0.3"),
            (0.000_123, "0.000123"),
            (0.0, "0"),
            (1_234_567_890.0, "1234567890"),
            (1.0 / 3.0, "0.333333333333"),
            (-0.1 - 0.2, "-0.3"),
        ] {
            assert_eq!(short(value).to_string(), written);
        }
        assert!(short(f64::NAN).is_nan() && short(f64::INFINITY).is_infinite());
    }

    #[test]
    fn nothing_that_means_something_is_lost() {
        for power in -9..12 {
            let value = 1.234_567_890_123 * 10_f64.powi(power);
            assert!((short(value) - value).abs() <= value * 1e-11, "{value}");
        }
    }
}
