//! Reads HTTP dates (RFC 9110 section 5.6.7) in all three forms. Never guesses: a date that does not exist, another
//! time zone or another layout is no date.

use crate::{digits, trim};

/// An HTTP date as unix seconds; `None` when it is not one.
///
/// Case does not matter (RFC 9111 section 4.2). The weekday must be one, but need not be the right one: a
/// well-known script sends a wrong one with every page. A date before 1970 is 0; a leap second counts as the
/// second before it, so that nothing expires late. `now` (unix seconds) settles the century of RFC 850's two-digit
/// years.
pub fn parse_date(value: &[u8], now: u64) -> Option<u64> {
    let value = trim(value);
    let comma = value.iter().position(|&byte| byte == b',');
    match comma {
        Some(3) => fixdate(value),
        Some(_) => rfc850(value, now),
        None => asctime(value),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn fixdate(value: &[u8]) -> Option<u64> {
    let value: &[u8; 29] = value.try_into().ok()?;
    index_of(&SHORT_DAYS, &value[..3])?;
    let separators = value[3..5] == *b", " && value[7] == b' ' && value[11] == b' ' && value[16] == b' ';
    if !separators || !value[25..].eq_ignore_ascii_case(b" GMT") {
        return None;
    }
    let date =
        Date { year: digits(&value[12..16])?, month: month(&value[8..11])?, day: digits(&value[5..7])? };
    date.unix(seconds_of_day(&value[17..25])?)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: u64) -> Option<u64> {
    let comma = value.iter().position(|&byte| byte == b',')?;
    index_of(&LONG_DAYS, &value[..comma])?;
    let rest: &[u8; 24] = value[comma..].try_into().ok()?;
    let separators = rest[..2] == *b", " && rest[4] == b'-' && rest[8] == b'-' && rest[11] == b' ';
    if !separators || !rest[20..].eq_ignore_ascii_case(b" GMT") {
        return None;
    }
    let (day, month) = (digits(&rest[2..4])?, month(&rest[5..8])?);
    let (short_year, time) = (digits(&rest[9..11])?, seconds_of_day(&rest[12..20])?);
    // "More than 50 years in the future" means the most recent past year with these digits: so it is the latest
    // year with them that is not further away.
    let century = year_of(now) / 100 * 100;
    [century + 100, century, century.saturating_sub(100)].into_iter().find_map(|century| {
        let unix = Date { year: century + short_year, month, day }.unix(time)?;
        (unix <= now.saturating_add(FIFTY_YEARS)).then_some(unix)
    })
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<u64> {
    let value: &[u8; 24] = value.try_into().ok()?;
    index_of(&SHORT_DAYS, &value[..3])?;
    if value[3] != b' ' || value[7] != b' ' || value[10] != b' ' || value[19] != b' ' {
        return None;
    }
    let day = if value[8] == b' ' { digits(&value[9..10])? } else { digits(&value[8..10])? };
    let date = Date { year: digits(&value[20..])?, month: month(&value[4..7])?, day };
    date.unix(seconds_of_day(&value[11..19])?)
}

const DAY: u64 = 86_400;
/// 50 mean Gregorian years of 365.2425 days.
const FIFTY_YEARS: u64 = 1_577_847_600;

const SHORT_DAYS: [&[u8]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
const LONG_DAYS: [&[u8]; 7] =
    [b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday"];
const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

fn index_of(names: &[&[u8]], name: &[u8]) -> Option<usize> {
    names.iter().position(|known| known.eq_ignore_ascii_case(name))
}

fn month(name: &[u8]) -> Option<u64> {
    Some(index_of(&MONTHS, name)? as u64 + 1)
}

/// `08:49:37`
fn seconds_of_day(value: &[u8]) -> Option<u64> {
    let [h1, h2, b':', m1, m2, b':', s1, s2] = *value else { return None };
    let (hour, minute, second) = (digits(&[h1, h2])?, digits(&[m1, m2])?, digits(&[s1, s2])?);
    (hour < 24 && minute < 60 && second <= 60).then(|| hour * 3600 + minute * 60 + second.min(59))
}

struct Date {
    year: u64,
    /// 1 to 12
    month: u64,
    /// 1 to 31
    day: u64,
}

impl Date {
    /// Unix seconds, 0 before 1970; `None` when the month has no such day. Counting years from March makes the
    /// leap day the last one of a year.
    fn unix(&self, seconds_of_day: u64) -> Option<u64> {
        let leap =
            self.year.is_multiple_of(4) && (!self.year.is_multiple_of(100) || self.year.is_multiple_of(400));
        let length = match self.month {
            2 => 28 + u64::from(leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        if self.day == 0 || self.day > length {
            return None;
        }
        let (year, month) = match self.month {
            3.. => (self.year, self.month - 3),
            _ => (self.year.saturating_sub(1), self.month + 9),
        };
        let day_of_year = (153 * month + 2) / 5 + self.day - 1;
        let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
        Some((days * DAY + seconds_of_day).saturating_sub(MARCH_0_TO_1970 * DAY))
    }
}

/// From 1 March of the year 0 to 1 January 1970, in days.
const MARCH_0_TO_1970: u64 = 719_468;

/// The year that a unix time lies in.
fn year_of(unix: u64) -> u64 {
    // A first guess that is never too large, then up: at most a step or two.
    let mut year = 1970 + unix / (366 * DAY);
    year = year.min(9_999);
    while year < 9_999
        && (Date { year: year + 1, month: 1, day: 1 }).unix(0).is_some_and(|start| start <= unix)
    {
        year += 1;
    }
    year
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_790_000_000; // September 2026

    fn parse(value: &str) -> Option<u64> {
        parse_date(value.as_bytes(), NOW)
    }

    #[test]
    fn the_three_forms_mean_the_same_instant() {
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse("Sunday, 06-Nov-94 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(parse("Sun Nov  6 08:49:37 1994"), Some(784_111_777));
        assert_eq!(parse("Wed Nov 16 08:49:37 1994"), Some(784_975_777));
    }

    #[test]
    fn the_calendar_is_the_gregorian_one() {
        assert_eq!(parse("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(parse("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        assert_eq!(parse("Tue, 29 Feb 2000 00:00:00 GMT"), Some(951_782_400));
        assert_eq!(parse("Fri, 31 Dec 9999 23:59:59 GMT"), Some(253_402_300_799));
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        for day in ["30 Feb 2024", "29 Feb 2023", "29 Feb 2100", "31 Apr 2024", "00 Jan 2024", "32 Jan 2024"]
        {
            assert_eq!(parse(&format!("Mon, {day} 00:00:00 GMT")), None, "{day}");
        }
    }

    #[test]
    fn times_that_do_not_exist_are_refused() {
        for time in ["24:00:00", "23:60:00", "23:59:61", "2:59:00 ", "23-59-00", "23:59:-1", "+1:59:00"] {
            assert_eq!(parse(&format!("Mon, 01 Jan 2024 {time} GMT")), None, "{time}");
        }
    }

    #[test]
    fn other_zones_layouts_and_names_are_refused_rfc_9111_4_2() {
        for value in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sunday, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Son, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Mai 1994 08:49:37 GMT",
            "1994-11-06T08:49:37Z",
            "Sun Nov 6 08:49:37 1994",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }

    #[test]
    fn case_does_not_matter_rfc_9111_4_2() {
        assert_eq!(parse("sun, 06 nov 1994 08:49:37 gmt"), Some(784_111_777));
        assert_eq!(parse(" SUN, 06 NOV 1994 08:49:37 GMT\t"), Some(784_111_777));
    }

    #[test]
    fn a_wrong_weekday_is_forgiven() {
        // Sent by countless PHP pages; that day was a Saturday.
        assert_eq!(parse("Mon, 26 Jul 1997 05:00:00 GMT"), Some(869_893_200));
    }

    #[test]
    fn a_leap_second_counts_as_the_one_before() {
        assert_eq!(parse("Sat, 31 Dec 2016 23:59:60 GMT"), parse("Sat, 31 Dec 2016 23:59:59 GMT"));
    }

    #[test]
    fn dates_before_1970_are_zero() {
        assert_eq!(parse("Wed, 31 Dec 1969 23:59:59 GMT"), Some(0));
        assert_eq!(parse("Sat, 01 Jan 0000 00:00:00 GMT"), Some(0));
    }

    #[test]
    fn two_digit_years_lie_at_most_fifty_years_ahead() {
        assert_eq!(parse("Friday, 01-Jan-76 00:00:00 GMT"), parse("Wed, 01 Jan 2076 00:00:00 GMT"));
        assert_eq!(parse("Friday, 01-Jan-77 00:00:00 GMT"), parse("Sat, 01 Jan 1977 00:00:00 GMT"));
        // Seen from 2099, the year 01 is 2101.
        assert_eq!(
            parse_date(b"Saturday, 01-Jan-01 00:00:00 GMT", 4_080_000_000),
            parse("Sat, 01 Jan 2101 00:00:00 GMT")
        );
        // 2100 is no leap year, 2000 was.
        assert_eq!(
            parse_date(b"Tuesday, 29-Feb-00 00:00:00 GMT", 4_080_000_000),
            parse("Tue, 29 Feb 2000 00:00:00 GMT")
        );
    }

    #[test]
    fn years_are_found_from_seconds() {
        assert_eq!(year_of(0), 1970);
        assert_eq!(year_of(31_535_999), 1970);
        assert_eq!(year_of(31_536_000), 1971);
        assert_eq!(year_of(NOW), 2026);
        assert_eq!(year_of(u64::MAX), 9_999);
    }
}
