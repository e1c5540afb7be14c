//! From when to when a certificate holds (RFC 5280 section 4.1.2.5). Reads DER only as far as that; who needs more asks
//! webpki.

use std::ops::Range;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Seconds since 1970; `None` for what is no certificate.
pub(crate) fn validity(certificate: &[u8]) -> Option<Range<u64>> {
    let mut outer = Der(certificate);
    let mut signed = Der(Der(outer.value(SEQUENCE)?).value(SEQUENCE)?);
    if signed.0.first() == Some(&VERSION) {
        signed.value(VERSION)?;
    }
    // Serial number, algorithm, issuer.
    for _ in 0..3 {
        signed.any()?;
    }
    let mut times = Der(signed.value(SEQUENCE)?);
    let (begin, end) = (time(times.any()?)?, time(times.any()?)?);
    Some(begin..end)
}

/// Values one behind the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    fn value(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, value) = self.any()?;
        (found == tag).then_some(value)
    }

    /// The next tag and its value. Lengths of up to three bytes: 16 MiB.
    fn any(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (bytes.iter().fold(0, |length, &byte| length << 8 | usize::from(byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }
}

/// `YYMMDDhhmmssZ` or `YYYYMMDDhhmmssZ`.
fn time((tag, value): (u8, &[u8])) -> Option<u64> {
    let digits = value.strip_suffix(b"Z")?;
    let number = |range: Range<usize>| {
        let text = std::str::from_utf8(digits.get(range)?).ok()?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok())?
    };
    let (year, at) = match tag {
        // RFC 5280 section 4.1.2.5.1: 50 to 99 are of the twentieth century.
        UTC_TIME => (number(0..2).map(|year| year + if year < 50 { 2000 } else { 1900 })?, 2),
        GENERALIZED_TIME => (number(0..4)?, 4),
        _ => return None,
    };
    if digits.len() != at + 10 {
        return None;
    }
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|of| number(at + of..at + of + 2));
    let days = days_since_1970(year, month?, day?)?;
    Some(((days * 24 + hour?) * 60 + minute?) * 60 + second?)
}

/// Days of the Gregorian calendar, by counting years from March: leap days come last then.
fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    days.checked_sub(719_468)
}

/// Year, month and day.
pub(crate) fn date(unix_s: u64) -> (u64, u64, u64) {
    let days = unix_s / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_both_forms() {
        assert_eq!(time((UTC_TIME, b"700101000000Z")), Some(0));
        assert_eq!(time((UTC_TIME, b"261121103159Z")), Some(1_795_257_119));
        assert_eq!(
            time((GENERALIZED_TIME, b"20500229000000Z")),
            time((GENERALIZED_TIME, b"20500301000000Z"))
        );
        assert_eq!(time((UTC_TIME, b"491231235959Z")), Some(2_524_607_999));
        assert_eq!(time((GENERALIZED_TIME, b"20000229120000Z")), Some(951_825_600));
        for wrong in [&b"700101000000"[..], b"70010100000Z", b"701301000000Z", b"7001x1000000Z", b"Z", b""] {
            assert_eq!(time((UTC_TIME, wrong)), None, "{wrong:?}");
        }
        assert_eq!(time((GENERALIZED_TIME, b"19600101000000Z")), None, "before 1970");
    }

    #[test]
    fn dates_come_back_as_they_were() {
        for (unix_s, expected) in
            [(0, (1970, 1, 1)), (951_825_600, (2000, 2, 29)), (1_795_257_119, (2026, 11, 21))]
        {
            assert_eq!(date(unix_s), expected);
        }
        for day in (0..50_000).step_by(17) {
            let (year, month, of_month) = date(day * 86_400);
            assert_eq!(days_since_1970(year, month, of_month), Some(day));
        }
    }

    #[test]
    fn a_certificate_is_read_as_far_as_its_dates_and_garbage_is_none() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec!["shop.example".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 2, 29);
        params.not_after = rcgen::date_time_ymd(2055, 12, 31);
        let certificate = params.self_signed(&key).unwrap();
        let range = validity(certificate.der()).unwrap();
        assert_eq!((date(range.start), date(range.end)), ((2020, 2, 29), (2055, 12, 31)));
        for end in 0..60 {
            assert_eq!(validity(&certificate.der()[..end]), None);
        }
        assert_eq!(validity(&[SEQUENCE, 0x84, 1, 1, 1, 1]), None);
    }
}
