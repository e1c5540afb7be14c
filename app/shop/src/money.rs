//! Money: an amount in a currency's smallest unit, and how each market writes it. Never a floating-point number.

use std::fmt;

/// What a price is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Currency {
    /// Pound sterling, written `£1,249.00`.
    Gbp,
    /// Euro, written the German way: `1.249,00 €`.
    Eur,
    /// Swiss franc, written `CHF 1’249.00`.
    Chf,
}

impl Currency {
    /// The ISO 4217 code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Gbp => "GBP",
            Self::Eur => "EUR",
            Self::Chf => "CHF",
        }
    }
}

/// An amount: pence, cents or rappen of one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    /// The amount in hundredths of the currency's unit.
    pub minor: i64,
    /// The currency.
    pub currency: Currency,
}

impl Money {
    /// `minor` hundredths of `currency`.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// This amount `quantity` times. Stops at the largest amount instead of wrapping.
    #[must_use]
    pub const fn times(self, quantity: u32) -> Self {
        Self { minor: self.minor.saturating_mul(quantity as i64), currency: self.currency }
    }

    /// The amount for machines: `1249.00`, as structured data wants it.
    #[must_use]
    pub fn plain(self) -> String {
        format!("{}.{:02}", self.minor / 100, self.minor % 100)
    }
}

impl fmt::Display for Money {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (units, rest) = (self.minor / 100, self.minor % 100);
        match self.currency {
            Currency::Gbp => write!(out, "£{}.{rest:02}", Grouped(units, ',')),
            Currency::Eur => write!(out, "{},{rest:02}\u{a0}€", Grouped(units, '.')),
            Currency::Chf => write!(out, "CHF\u{a0}{}.{rest:02}", Grouped(units, '’')),
        }
    }
}

/// A whole number in groups of three digits.
struct Grouped(i64, char);

impl fmt::Display for Grouped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                write!(out, "{}", self.1)?;
            }
            write!(out, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Currency, Money};

    #[test]
    fn each_market_writes_amounts_its_own_way() {
        assert_eq!(Money::new(124_900, Currency::Gbp).to_string(), "£1,249.00");
        assert_eq!(Money::new(124_905, Currency::Eur).to_string(), "1.249,05\u{a0}€");
        assert_eq!(Money::new(6_990, Currency::Chf).to_string(), "CHF\u{a0}69.90");
        assert_eq!(Money::new(123_456_789, Currency::Chf).to_string(), "CHF\u{a0}1’234’567.89");
        assert_eq!(Money::new(995, Currency::Gbp).times(3).plain(), "29.85");
    }
}
