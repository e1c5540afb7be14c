//! The forms that values take: numbers, shares, durations, sizes, switches, words, texts, and tables of their own.
//! Each reads one value and refuses what lies outside its limits.

use crate::problem::Problem;
use crate::setting::{Form, Section, Wrong};
use crate::words::{Cure, Hint, any_of, parse_duration, parse_size, show_duration, show_size};
use std::time::Duration;
use toml::Spanned;
use toml::de::DeValue;

/// A whole number.
pub(crate) struct Whole {
    min: u64,
    max: u64,
    below: &'static str,
}

/// A number, whole or with a point.
pub(crate) struct Quantity {
    min: f64,
    max: f64,
}

/// A share, written in percent with its sign; becomes 0 to 1.
pub(crate) struct Percent {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

/// A duration with its unit.
pub(crate) struct Span {
    min: Duration,
    max: Duration,
}

/// A size with its unit, or a number of bytes.
pub(crate) struct Size {
    min: u64,
    max: u64,
}

/// `true` or `false`.
pub(crate) struct Switch;

/// One of several words.
pub(crate) struct Word<T: 'static> {
    /// The word, what it becomes, what it means.
    pub(crate) words: &'static [(&'static str, T, &'static str)],
}

/// Any text; the room that asks for it looks closer.
pub(crate) struct Text {
    /// In words.
    pub(crate) what: &'static str,
}

/// A value of several shapes or a table of its own, which its room reads by itself.
pub(crate) struct Shaped {
    /// In words.
    pub(crate) what: &'static str,
    /// The settings in it.
    pub(crate) inside: Option<&'static Section>,
}

impl Whole {
    /// From `min` to `max`, both included; `max` fits whatever type the snapshot has.
    pub(crate) const fn new(min: u64, max: u64) -> Self {
        Self { min, max, below: "" }
    }

    /// Says what to do instead when a smaller number is typed.
    pub(crate) const fn below(mut self, cure: &'static str) -> Self {
        self.below = cure;
        self
    }

    /// The number, when it lies within the limits.
    pub(crate) fn check(&self, name: &str, number: i128, typed: String) -> Result<u64, Problem> {
        match u64::try_from(number) {
            Ok(number) if (self.min..=self.max).contains(&number) => Ok(number),
            _ => Err(Problem::OutOfRange {
                name: name.to_owned(),
                typed,
                from: self.min.to_string(),
                to: self.max.to_string(),
                cure: if number < i128::from(self.min) { Cure::new(self.below) } else { Cure::none() },
            }),
        }
    }
}

impl Quantity {
    /// From `min` to `max`, both included.
    pub(crate) const fn new(min: f64, max: f64) -> Self {
        Self { min, max }
    }
}

impl Span {
    /// From `min` to `max`, both included.
    pub(crate) const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }
}

impl Size {
    /// From `min` to `max` bytes, both included.
    pub(crate) const fn new(min: u64, max: u64) -> Self {
        Self { min, max }
    }
}

impl Form for Whole {
    type Value = u64;

    fn words(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn read(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<u64, Wrong> {
        let DeValue::Integer(integer) = value.get_ref() else { return Err(Wrong::Type) };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX);
        self.check(name, number, integer.to_string()).map_err(Wrong::Value)
    }

    fn show(&self, value: &u64) -> String {
        value.to_string()
    }
}

impl Form for Quantity {
    type Value = f64;

    fn words(&self) -> String {
        format!("a number from {} to {}", self.min, self.max)
    }

    fn read(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<f64, Wrong> {
        let (typed, number) = match value.get_ref() {
            DeValue::Integer(integer) => {
                let number = i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX);
                (integer.to_string(), number as f64)
            }
            DeValue::Float(float) => {
                (float.to_string(), float.as_str().replace('_', "").parse().unwrap_or(f64::NAN))
            }
            _ => return Err(Wrong::Type),
        };
        // Neither does what is not a number lie within.
        if (self.min..=self.max).contains(&number) {
            return Ok(number);
        }
        Err(Wrong::Value(Problem::OutOfRange {
            name: name.to_owned(),
            typed,
            from: self.min.to_string(),
            to: self.max.to_string(),
            cure: Cure::none(),
        }))
    }

    fn show(&self, value: &f64) -> String {
        value.to_string()
    }
}

impl Form for Percent {
    type Value = f64;

    fn words(&self) -> String {
        format!("a share in quotes from {}% to {}%", self.min, self.max)
    }

    fn read(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<f64, Wrong> {
        let refuse = |typed| Err(Wrong::Value(Problem::NotAShare { name: name.to_owned(), typed }));
        let typed = match value.get_ref() {
            DeValue::String(text) => text,
            // 0.7 and 70 and 1: everybody reads them differently.
            DeValue::Integer(number) => return refuse(number.to_string()),
            DeValue::Float(number) => return refuse(number.to_string()),
            _ => return Err(Wrong::Type),
        };
        let digits = typed
            .trim()
            .strip_suffix('%')
            .map(str::trim_end)
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()));
        let Some(digits) = digits else { return refuse(format!("{typed:?}")) };
        match digits.parse() {
            Ok(percent) if (self.min..=self.max).contains(&percent) => Ok(f64::from(percent) / 100.0),
            _ => Err(Wrong::Value(Problem::OutOfRange {
                name: name.to_owned(),
                typed: typed.to_string(),
                from: format!("{}%", self.min),
                to: format!("{}%", self.max),
                cure: Cure::none(),
            })),
        }
    }

    fn show(&self, value: &f64) -> String {
        format!("\"{}%\"", (value * 100.0).round())
    }
}

impl Form for Span {
    type Value = Duration;

    fn words(&self) -> String {
        format!("a duration from {} to {}", show_duration(self.min), show_duration(self.max))
    }

    fn read(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<Duration, Wrong> {
        let refuse = |typed| Err(Wrong::Value(Problem::NotADuration { name: name.to_owned(), typed }));
        let typed = match value.get_ref() {
            DeValue::String(text) => text,
            // Seconds or milliseconds? Everybody guesses differently.
            DeValue::Integer(number) => return refuse(number.to_string()),
            _ => return Err(Wrong::Type),
        };
        let Some(duration) = parse_duration(typed) else { return refuse(format!("{typed:?}")) };
        if (self.min..=self.max).contains(&duration) {
            return Ok(duration);
        }
        Err(Wrong::Value(Problem::OutOfRange {
            name: name.to_owned(),
            typed: typed.to_string(),
            from: show_duration(self.min),
            to: show_duration(self.max),
            cure: Cure::none(),
        }))
    }

    fn show(&self, value: &Duration) -> String {
        format!("\"{}\"", show_duration(*value))
    }
}

impl Form for Size {
    type Value = u64;

    fn words(&self) -> String {
        format!("a size from {} to {}", show_size(self.min), show_size(self.max))
    }

    fn read(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<u64, Wrong> {
        let (typed, bytes) = match value.get_ref() {
            DeValue::String(text) => (text.to_string(), parse_size(text)),
            DeValue::Integer(number) => {
                (number.to_string(), u64::from_str_radix(number.as_str(), number.radix()).ok())
            }
            _ => return Err(Wrong::Type),
        };
        let Some(bytes) = bytes else {
            let typed = if value.get_ref().is_str() { format!("{typed:?}") } else { typed };
            return Err(Wrong::Value(Problem::NotASize { name: name.to_owned(), typed }));
        };
        if (self.min..=self.max).contains(&bytes) {
            return Ok(bytes);
        }
        Err(Wrong::Value(Problem::OutOfRange {
            name: name.to_owned(),
            typed,
            from: show_size(self.min),
            to: show_size(self.max),
            cure: Cure::none(),
        }))
    }

    fn show(&self, value: &u64) -> String {
        format!("\"{}\"", show_size(*value))
    }
}

impl Form for Switch {
    type Value = bool;

    fn words(&self) -> String {
        "`true` or `false`".to_owned()
    }

    fn read(&self, _name: &str, value: &Spanned<DeValue<'_>>) -> Result<bool, Wrong> {
        value.get_ref().as_bool().ok_or(Wrong::Type)
    }

    fn show(&self, value: &bool) -> String {
        value.to_string()
    }
}

impl<T: Copy + PartialEq + Sync + 'static> Form for Word<T> {
    type Value = T;

    fn words(&self) -> String {
        any_of(&self.words.iter().map(|(word, ..)| *word).collect::<Vec<_>>()).replace('`', "\"")
    }

    fn read(&self, name: &str, value: &Spanned<DeValue<'_>>) -> Result<T, Wrong> {
        let typed = value.get_ref().as_str().ok_or(Wrong::Type)?;
        if let Some((_, meant, _)) = self.words.iter().find(|(word, ..)| *word == typed) {
            return Ok(*meant);
        }
        Err(Wrong::Value(Problem::UnknownWord {
            name: name.to_owned(),
            typed: typed.to_owned(),
            words: self.words(),
            hint: Hint::near(typed, self.words.iter().map(|(word, ..)| *word)),
        }))
    }

    fn show(&self, value: &T) -> String {
        let word = self.words.iter().find(|(_, meant, _)| meant == value).map_or("", |(word, ..)| word);
        format!("\"{word}\"")
    }

    fn choices(&self) -> Vec<(&'static str, &'static str)> {
        self.words.iter().map(|(word, _, meaning)| (*word, *meaning)).collect()
    }
}

impl Form for Text {
    type Value = String;

    fn words(&self) -> String {
        self.what.to_owned()
    }

    fn read(&self, _name: &str, value: &Spanned<DeValue<'_>>) -> Result<String, Wrong> {
        value.get_ref().as_str().map(str::to_owned).ok_or(Wrong::Type)
    }

    fn show(&self, value: &String) -> String {
        format!("{value:?}")
    }
}

impl Form for Shaped {
    type Value = ();

    fn words(&self) -> String {
        self.what.to_owned()
    }

    fn read(&self, _name: &str, _value: &Spanned<DeValue<'_>>) -> Result<(), Wrong> {
        Ok(())
    }

    fn show(&self, (): &()) -> String {
        String::new()
    }

    fn inside(&self) -> Option<&'static Section> {
        self.inside
    }
}
