//! The small words of diagnostics: durations and sizes as people write them, lists, "did you mean". Pure text.

use std::fmt;
use std::time::Duration;

/// A sentence that may follow a diagnostic; empty when there is nothing to add.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cure(String);

/// `Did you mean …?`, when something is near enough.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hint(Option<String>);

impl Cure {
    /// Says this.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// Says nothing.
    pub(crate) fn none() -> Self {
        Self::default()
    }
}

impl Hint {
    /// The word among `known` that resembles `typed` most, if one resembles it at all.
    pub(crate) fn near<'k>(typed: &str, known: impl IntoIterator<Item = &'k str>) -> Self {
        let typed = typed.to_lowercase();
        let likeness = |word: &str| strsim::jaro_winkler(&typed, &word.to_lowercase());
        // 0.8 takes `wieght`, `endpoint` and `least-request`, and leaves `zebra`.
        let best = known
            .into_iter()
            .map(|word| (likeness(word), word))
            .filter(|(score, _)| *score >= 0.8)
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        Self(best.map(|(_, word)| word.to_owned()))
    }

    /// As a sentence that may be followed by others.
    pub(crate) fn or_else(self, otherwise: impl FnOnce() -> String) -> Cure {
        match &self.0 {
            Some(_) => Cure(self.to_string().trim_start().to_owned()),
            None => Cure(otherwise()),
        }
    }
}

impl fmt::Display for Cure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " {}", self.0) }
    }
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(word) => write!(f, " Did you mean `{word}`?"),
            None => Ok(()),
        }
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn any_of<S: AsRef<str>>(words: &[S]) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{}`", word.as_ref())).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// `1 pool`, `2 pools`.
pub fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Reads `250ms`, `2s`, `5m`, `1h`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = number_and_unit(text)?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        _ => None,
    }
}

/// Writes a duration in the largest unit that holds it exactly.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// Units of a size; those in steps of 1,024 first, by which sizes are written.
const SIZES: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Reads `512B`, `16KiB`, `16MiB`, `1GiB`, `1GB`; `0` needs no unit.
pub(crate) fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    if number == 0 && unit.is_empty() {
        return Some(0);
    }
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// Writes a size in the largest unit that holds it exactly.
pub fn show_size(bytes: u64) -> String {
    let exact = SIZES.iter().find(|(_, factor)| bytes >= *factor && bytes.is_multiple_of(*factor));
    match exact {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => "0".to_owned(),
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_written() {
        for text in ["0s", "250ms", "2s", "5m", "1h", "90s"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        assert_eq!(show_duration(parse_duration("120 s").unwrap()), "2m");
    }

    #[test]
    fn a_duration_without_unit_or_too_large_is_none() {
        for text in ["", "2", "s", "2 sec", "1.5s", "-1s", "99999999999999999999s", "9999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_read_as_they_are_written() {
        for text in ["0", "512B", "16KiB", "16MiB", "3GiB", "2TiB", "1GB", "5MB"] {
            assert_eq!(show_size(parse_size(text).unwrap()), text);
        }
        assert_eq!(parse_size("16 mib"), Some(16 << 20));
    }

    #[test]
    fn a_size_without_unit_or_too_large_is_none() {
        for text in ["", "16", "16M", "1.5MiB", "-1KiB", "99999999999GiB"] {
            assert_eq!(parse_size(text), None, "{text}");
        }
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        assert_eq!(Hint::near("wieght", ["url", "weight"]).to_string(), " Did you mean `weight`?");
        assert_eq!(Hint::near("sites", ["pool", "site", "listen"]).to_string(), " Did you mean `site`?");
        assert_eq!(Hint::near("zebra", ["url", "weight"]).to_string(), "");
    }
}
