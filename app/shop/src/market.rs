//! The markets: which host name is which language, currency and price level (S1.1). Three, fixed; an unknown host
//! gets the first.

use crate::money::{Currency, Money};
use crate::words::{self, Words};

/// Which of three texts a market shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// English.
    English = 0,
    /// German.
    German = 1,
    /// French.
    French = 2,
}

/// A market: one host name with its language, its currency, its assortment and its prices.
#[derive(Debug)]
pub struct Market {
    /// Its place in [`MARKETS`]; the number by which the database knows it.
    pub index: usize,
    /// Its short name, as cache tags use it: `uk`, `de`, `ch`.
    pub key: &'static str,
    /// Its host name.
    pub host: &'static str,
    /// Its language.
    pub language: Language,
    /// Language and region, as `lang` and `hreflang` want it.
    pub locale: &'static str,
    /// What it calls itself in the list of markets.
    pub label: &'static str,
    /// What it sells in.
    pub currency: Currency,
    /// Every text of the pages.
    pub words: &'static Words,
    /// What a delivery costs, in hundredths.
    pub delivery_minor: i64,
    /// From this sum on delivery is free, in hundredths.
    pub free_from_minor: i64,
}

/// All markets. The first answers for host names that nobody knows.
pub static MARKETS: [Market; 3] = [
    Market {
        index: 0,
        key: "uk",
        host: "shop.localhost",
        language: Language::English,
        locale: "en-GB",
        label: "United Kingdom (£)",
        currency: Currency::Gbp,
        words: &words::ENGLISH,
        delivery_minor: 395,
        free_from_minor: 7_500,
    },
    Market {
        index: 1,
        key: "de",
        host: "laden.localhost",
        language: Language::German,
        locale: "de-DE",
        label: "Deutschland (€)",
        currency: Currency::Eur,
        words: &words::GERMAN,
        delivery_minor: 495,
        free_from_minor: 8_000,
    },
    Market {
        index: 2,
        key: "ch",
        host: "boutique.localhost",
        language: Language::French,
        locale: "fr-CH",
        label: "Suisse (CHF)",
        currency: Currency::Chf,
        words: &words::FRENCH,
        delivery_minor: 790,
        free_from_minor: 9_000,
    },
];

impl Market {
    /// The market of a host name (without its port); the first for one that is unknown.
    #[must_use]
    pub fn of_host(host: &str) -> &'static Self {
        MARKETS.iter().find(|market| market.host.eq_ignore_ascii_case(host)).unwrap_or(&MARKETS[0])
    }

    /// `minor` hundredths of this market's currency.
    #[must_use]
    pub const fn money(&self, minor: i64) -> Money {
        Money::new(minor, self.currency)
    }

    /// What it costs to deliver goods worth `goods`.
    #[must_use]
    pub const fn delivery(&self, goods: Money) -> Money {
        self.money(if goods.minor >= self.free_from_minor { 0 } else { self.delivery_minor })
    }

    /// The nearest amount, in hundredths, that this market would print on a label: £48.00, 49,95 €, CHF 59.90.
    #[must_use]
    pub const fn price_point(&self, minor: i64) -> i64 {
        let units = minor / 100;
        match self.currency {
            Currency::Gbp if units < 20 => units * 100 + 50,
            Currency::Gbp => units * 100,
            Currency::Eur if units < 30 => units * 100 + 95,
            Currency::Eur => units / 5 * 500 + 495,
            Currency::Chf => units * 100 + 90,
        }
    }

    /// Whether a postcode is written as in this market.
    #[must_use]
    pub fn is_postcode(&self, code: &str) -> bool {
        let digits = |many| code.len() == many && code.bytes().all(|byte| byte.is_ascii_digit());
        match self.index {
            0 => {
                let letters: Vec<u8> = code.bytes().filter(|byte| *byte != b' ').collect();
                (5..=7).contains(&letters.len())
                    && letters.iter().all(u8::is_ascii_alphanumeric)
                    && letters[0].is_ascii_alphabetic()
                    && letters.iter().any(u8::is_ascii_digit)
            }
            1 => digits(5),
            _ => digits(4),
        }
    }
}
