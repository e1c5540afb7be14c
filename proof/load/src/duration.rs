//! Times as people write them: `500ms`, `10s`, `1.5s`, `2m`, `1h`. Takes no number without a unit, except 0.

use std::time::Duration;

/// Longest time that is taken: a day.
const MAX: Duration = Duration::from_secs(86_400);

/// Reads one.
///
/// # Errors
/// What to write instead.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time; write 500ms, 10s, 1.5s, 2m or 1h.");
    let trimmed = text.trim();
    if trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    let unit_at = trimmed.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?;
    let (number, unit) = trimmed.split_at(unit_at);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 =
        Some(number).filter(|number| digits(number)).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    let seconds = match unit {
        "ms" => number / 1_000.0,
        "s" => number,
        "m" | "min" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(wrong()),
    };
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| wrong())?;
    if time > MAX { Err(format!("{text} is more than a day.")) } else { Ok(time) }
}

/// Writes one as [`parse`] reads it: `10s`, `1m 30s` is `90s`.
pub fn show(time: Duration) -> String {
    if time.subsec_millis() != 0 && time < Duration::from_secs(10) {
        return format!("{}ms", time.as_millis());
    }
    format!("{}s", time.as_secs_f64().round())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, ms) in
            [("500ms", 500), ("10s", 10_000), ("1.5s", 1_500), ("2m", 120_000), ("1h", 3_600_000), ("0", 0)]
        {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "10", "s", "-1s", "1e3s", "10 parsecs", "25h", "1..2s", "nans"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
