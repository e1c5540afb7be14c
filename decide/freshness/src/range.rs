//! Which part of a stored representation a `Range` asks for (RFC 9110 section 14). One range of bytes only: several
//! are ignored, which the RFC allows, so that nobody multiplies a body by asking for it many times at once.

use crate::{digits, trim};

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranged {
    /// Everything, with 200: the field is to be ignored.
    Whole,
    /// These bytes, with 206; never empty, never beyond the end.
    Part {
        /// The first byte.
        start: u64,
        /// One beyond the last.
        end_exclusive: u64,
    },
    /// Nothing, with 416: the range starts beyond the end.
    Unsatisfiable,
}

/// Reads the value of a `Range` field for a representation of `length` bytes.
pub fn byte_range(range: &[u8], length: u64) -> Ranged {
    match read(range) {
        None => Ranged::Whole,
        Some(Wanted::Last(0)) => Ranged::Unsatisfiable,
        Some(Wanted::Last(_)) if length == 0 => Ranged::Whole,
        Some(Wanted::Last(bytes)) => {
            Ranged::Part { start: length.saturating_sub(bytes), end_exclusive: length }
        }
        Some(Wanted::From { first, .. }) if first >= length => Ranged::Unsatisfiable,
        Some(Wanted::From { first, last }) => {
            let end = last.map_or(length, |last| last.saturating_add(1).min(length));
            Ranged::Part { start: first, end_exclusive: end }
        }
    }
}

/// The one range that a 206 brings, as its `Content-Range` says (RFC 9110 section 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub first: u64,
    /// The last byte, which counts.
    pub last: u64,
    /// Bytes of the whole.
    pub total: u64,
}

/// Reads the value of a `Content-Range` field. `None` when it is not one range of bytes of a whole of known length, or
/// when it contradicts itself.
pub fn content_range(value: &[u8]) -> Option<ContentRange> {
    let (unit, spec) = split_at_byte(trim(value), b' ')?;
    let (range, total) = split_at_byte(spec, b'/')?;
    let (first, last) = split_at_byte(range, b'-')?;
    let (first, last, total) = (digits(first)?, digits(last)?, digits(total)?);
    let is_sound = unit.eq_ignore_ascii_case(b"bytes") && first <= last && last < total;
    is_sound.then_some(ContentRange { first, last, total })
}

enum Wanted {
    From { first: u64, last: Option<u64> },
    Last(u64),
}

/// `None` when it is not exactly one valid range of bytes.
fn read(range: &[u8]) -> Option<Wanted> {
    let (unit, spec) = split_at_byte(trim(range), b'=')?;
    if !unit.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let (first, last) = split_at_byte(trim(spec), b'-')?;
    match (first.is_empty(), last.is_empty()) {
        (true, _) => Some(Wanted::Last(digits(last)?)),
        (false, true) => Some(Wanted::From { first: digits(first)?, last: None }),
        (false, false) => {
            let (first, last) = (digits(first)?, digits(last)?);
            (first <= last).then_some(Wanted::From { first, last: Some(last) })
        }
    }
}

fn split_at_byte(value: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = value.iter().position(|&one| one == byte)?;
    Some((&value[..at], &value[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(start: u64, end_exclusive: u64) -> Ranged {
        Ranged::Part { start, end_exclusive }
    }

    #[test]
    fn a_range_counts_both_its_ends_14_1_2() {
        assert_eq!(byte_range(b"bytes=0-0", 100), part(0, 1));
        assert_eq!(byte_range(b"bytes=10-19", 100), part(10, 20));
        assert_eq!(byte_range(b" BYTES=10-19 ", 100), part(10, 20));
    }

    #[test]
    fn a_range_ends_at_the_latest_where_the_representation_does_14_1_2() {
        assert_eq!(byte_range(b"bytes=90-", 100), part(90, 100));
        assert_eq!(byte_range(b"bytes=90-200", 100), part(90, 100));
        assert_eq!(byte_range(b"bytes=0-99999999999999999999999", 100), part(0, 100));
    }

    #[test]
    fn a_suffix_counts_from_the_end_14_1_2() {
        assert_eq!(byte_range(b"bytes=-10", 100), part(90, 100));
        assert_eq!(byte_range(b"bytes=-200", 100), part(0, 100));
    }

    #[test]
    fn what_starts_beyond_the_end_is_unsatisfiable_14_1_2() {
        assert_eq!(byte_range(b"bytes=100-", 100), Ranged::Unsatisfiable);
        assert_eq!(byte_range(b"bytes=99999999999999999999999-", 100), Ranged::Unsatisfiable);
        assert_eq!(byte_range(b"bytes=-0", 100), Ranged::Unsatisfiable);
        assert_eq!(byte_range(b"bytes=0-", 0), Ranged::Unsatisfiable);
    }

    #[test]
    fn nothing_can_be_cut_from_an_empty_representation() {
        assert_eq!(byte_range(b"bytes=-5", 0), Ranged::Whole);
    }

    #[test]
    fn what_is_no_single_range_of_bytes_is_ignored_14_2() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-4",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1 - 2",
            "lines=0-1",
            "0-1",
        ] {
            assert_eq!(byte_range(range.as_bytes(), 100), Ranged::Whole, "{range}");
        }
    }

    #[test]
    fn a_content_range_names_one_part_of_a_known_whole_14_4() {
        let part = ContentRange { first: 2, last: 4, total: 10 };
        assert_eq!(content_range(b"bytes 2-4/10"), Some(part));
        assert_eq!(content_range(b" BYTES 2-4/10 "), Some(part));
        for value in [
            "",
            "bytes",
            "bytes */10",
            "bytes 2-4/*",
            "bytes 4-2/10",
            "bytes 2-10/10",
            "bytes 2-4",
            "bytes=2-4/10",
            "bytes 2-4/10, bytes 6-7/10",
            "bytes -4/10",
            "lines 2-4/10",
        ] {
            assert_eq!(content_range(value.as_bytes()), None, "{value}");
        }
        let beyond = content_range(b"bytes 0-99999999999999999999999/99999999999999999999999");
        assert_eq!(beyond, None, "a number that cannot be held ends nowhere");
    }

    #[test]
    fn several_ranges_are_ignored_14_2() {
        assert_eq!(byte_range(b"bytes=0-1,5-6", 100), Ranged::Whole);
        assert_eq!(byte_range(b"bytes=0-1, -5", 100), Ranged::Whole);
    }
}
