//! How many visitors each resolver has: a few have most of them. Pure.

use std::fmt;

/// Largest exponent: beyond it the first resolver has everybody.
const EXPONENT_MAX: f64 = 4.0;

/// The form of the sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizes {
    /// The share of the n-th is in proportion to 1 ÷ n^exponent (Zipf's law).
    Zipf(f64),
    /// All alike.
    Even,
}

impl Default for Sizes {
    fn default() -> Self {
        Self::Zipf(1.1)
    }
}

impl Sizes {
    /// Reads `zipf`, `zipf:1.1` or `even`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let exponent = |text: &str| text.parse().ok().filter(|number| (0.0..=EXPONENT_MAX).contains(number));
        let read = match text.split_once(':') {
            None if text == "even" => Some(Self::Even),
            None if text == "zipf" => Some(Self::default()),
            Some(("zipf", number)) => exponent(number).map(Self::Zipf),
            _ => None,
        };
        read.ok_or_else(|| {
            format!("\"{text}\" is no form of sizes; write zipf:1.1 (0 to {EXPONENT_MAX}) or even")
        })
    }

    /// The share of each of so many, largest first; together 1.
    pub fn shares(self, count: usize) -> Vec<f64> {
        let exponent = match self {
            Self::Zipf(exponent) => exponent,
            Self::Even => 0.0,
        };
        let weights: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-exponent)).collect();
        let all: f64 = weights.iter().sum();
        weights.into_iter().map(|weight| weight / all).collect()
    }
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Zipf(exponent) => write!(f, "zipf:{exponent}"),
            Self::Even => f.write_str("even"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_zipf_population_has_as_many_as_the_formula_says() {
        // H(4) = 25/12 with exponent 1.
        let shares = Sizes::Zipf(1.0).shares(4);
        let expected = [12.0 / 25.0, 6.0 / 25.0, 4.0 / 25.0, 3.0 / 25.0];
        assert!(shares.iter().zip(expected).all(|(one, other)| (one - other).abs() < 1e-12), "{shares:?}");
        assert_eq!(Sizes::Even.shares(4), [0.25; 4]);
    }

    #[test]
    fn sizes_are_read_as_they_are_written() {
        assert_eq!(Sizes::parse("zipf:0.9"), Ok(Sizes::Zipf(0.9)));
        assert_eq!(Sizes::parse("zipf"), Ok(Sizes::Zipf(1.1)));
        assert_eq!(Sizes::parse(&Sizes::Even.to_string()), Ok(Sizes::Even));
        for wrong in ["", "zipf:", "zipf:-1", "zipf:9", "zipf:nan", "pareto:1", "even:1"] {
            assert!(Sizes::parse(wrong).unwrap_err().contains("zipf:1.1"), "{wrong}");
        }
    }
}
