//! Conditional requests answered from the cache (RFC 9110 section 13). Never answers 304 for a condition that it
//! cannot read.

use crate::{parse_date, trim};

/// Whether the visitor's copy still holds, so that a stored response is answered by 304 (RFC 9110 section 13.2.2).
///
/// `if_none_match`: the values of all `If-None-Match` fields, none when there is no such field; it wins over
/// `if_modified_since`. `etag` and `last_modified`: the stored response's fields as they came. A caller may give
/// the stored `Date` for a missing `Last-Modified` (RFC 9111 section 4.3.2). `now` as in [`parse_date`]. For GET
/// and HEAD only.
pub fn not_modified<'a>(
    if_none_match: impl Iterator<Item = &'a [u8]>,
    if_modified_since: Option<&[u8]>,
    etag: Option<&[u8]>,
    last_modified: Option<&[u8]>,
    now: u64,
) -> bool {
    let mut asked_by_tag = false;
    for value in if_none_match {
        asked_by_tag = true;
        if trim(value) == b"*"
            || etag.is_some_and(|etag| Tags { rest: value }.any(|tag| weakly_equal(tag, etag)))
        {
            return true;
        }
    }
    if asked_by_tag {
        return false;
    }
    let (Some(since), Some(modified)) = (if_modified_since, last_modified) else { return false };
    match (parse_date(since, now), parse_date(modified, now)) {
        (Some(since), Some(modified)) => modified <= since,
        _ => false,
    }
}

/// Whether a `Range` may be answered in part, given what the visitor's `If-Range` says (RFC 9110 section 13.1.5).
///
/// A tag is compared strongly. A date must equal `Last-Modified`, which must lie at least a second before `Date`:
/// otherwise the representation may have changed twice in that second.
pub fn range_applies(
    if_range: &[u8],
    etag: Option<&[u8]>,
    last_modified: Option<&[u8]>,
    date: Option<&[u8]>,
    now: u64,
) -> bool {
    let wanted = trim(if_range);
    if wanted.contains(&b'"') {
        return wanted.starts_with(b"\"") && etag.is_some_and(|etag| trim(etag) == wanted);
    }
    let read = |value: Option<&[u8]>| value.and_then(|value| parse_date(value, now));
    match (parse_date(wanted, now), read(last_modified), read(date)) {
        (Some(wanted), Some(modified), Some(date)) => wanted == modified && modified < date,
        _ => false,
    }
}

/// Opaque parts are equal, octet for octet (RFC 9110 section 8.8.3.2).
fn weakly_equal(one: &[u8], other: &[u8]) -> bool {
    opaque(one) == opaque(other)
}

fn opaque(tag: &[u8]) -> &[u8] {
    let tag = trim(tag);
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Members of a list of entity tags. A comma inside the quotes belongs to the tag; a tag without quotes, as some
/// applications write it, ends at the comma.
struct Tags<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tags<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let mut quoted = false;
            let end = self.rest.iter().position(|&byte| {
                quoted ^= byte == b'"';
                byte == b',' && !quoted
            });
            let (tag, rest) = match end {
                Some(comma) => (&self.rest[..comma], &self.rest[comma + 1..]),
                None => (self.rest, &self.rest[self.rest.len()..]),
            };
            self.rest = rest;
            if !trim(tag).is_empty() {
                return Some(tag);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EARLY: &[u8] = b"Sun, 06 Nov 1994 08:49:37 GMT";
    const LATE: &[u8] = b"Sun, 06 Nov 1994 08:49:38 GMT";

    fn by_tag(if_none_match: &[&str], etag: Option<&str>) -> bool {
        let values = if_none_match.iter().map(|value| value.as_bytes());
        not_modified(values, Some(LATE), etag.map(str::as_bytes), Some(EARLY), 0)
    }

    fn by_date(if_modified_since: Option<&[u8]>, last_modified: Option<&[u8]>) -> bool {
        not_modified(std::iter::empty(), if_modified_since, Some(b"\"a\""), last_modified, 0)
    }

    #[test]
    fn tags_are_compared_weakly_13_1_2() {
        assert!(by_tag(&["\"a\""], Some("\"a\"")));
        assert!(by_tag(&["W/\"a\""], Some("\"a\"")));
        assert!(by_tag(&["\"a\""], Some("W/\"a\"")));
        assert!(!by_tag(&["\"a\""], Some("\"A\"")));
        assert!(!by_tag(&["w/\"a\""], Some("\"a\"")), "the weak prefix is case-sensitive");
    }

    #[test]
    fn any_tag_of_a_list_suffices_13_1_2() {
        assert!(by_tag(&["\"x\", W/\"a\" ,\"y\""], Some("\"a\"")));
        assert!(by_tag(&["\"x\"", ",,\"a\","], Some("\"a\"")));
        assert!(by_tag(&["\"x\", \"a,b\""], Some("\"a,b\"")));
        assert!(!by_tag(&["\"a,b\""], Some("\"b\"")));
        assert!(!by_tag(&["\"x\", \"y\"", ""], Some("\"a\"")));
    }

    #[test]
    fn a_star_matches_whatever_is_stored_13_1_2() {
        assert!(by_tag(&["*"], Some("\"a\"")));
        assert!(by_tag(&[" * "], None));
    }

    #[test]
    fn a_tag_wins_over_a_date_13_2_2() {
        assert!(!by_tag(&["\"other\""], Some("\"a\"")), "the date alone would have said yes");
        assert!(!by_tag(&["\"a\""], None));
        assert!(!by_tag(&[""], Some("\"a\"")));
    }

    #[test]
    fn a_tag_without_quotes_is_taken_as_it_is() {
        assert!(by_tag(&["abc, def"], Some("def")));
        assert!(!by_tag(&["abc"], Some("\"abc\"")));
    }

    #[test]
    fn a_copy_as_young_as_the_stored_one_holds_13_1_3() {
        assert!(by_date(Some(EARLY), Some(EARLY)));
        assert!(by_date(Some(LATE), Some(EARLY)));
        assert!(!by_date(Some(EARLY), Some(LATE)));
    }

    #[test]
    fn dates_that_are_missing_or_unreadable_decide_nothing_13_1_3() {
        assert!(!by_date(Some(b"yesterday"), Some(EARLY)));
        assert!(!by_date(Some(LATE), Some(b"yesterday")));
        assert!(!by_date(Some(LATE), None));
        assert!(!by_date(None, Some(EARLY)));
    }

    #[test]
    fn if_range_compares_tags_strongly_13_1_5() {
        let applies = |wanted: &[u8], etag: &[u8]| range_applies(wanted, Some(etag), None, None, 0);
        assert!(applies(b"\"a\"", b"\"a\""));
        assert!(!applies(b"W/\"a\"", b"W/\"a\""));
        assert!(!applies(b"\"a\"", b"W/\"a\""));
        assert!(!applies(b"\"a\"", b"\"b\""));
        assert!(!range_applies(b"\"a\"", None, None, None, 0));
    }

    #[test]
    fn if_range_needs_the_very_date_and_one_that_is_strong_13_1_5() {
        let applies = |wanted: &[u8], date| range_applies(wanted, Some(b"\"a\""), Some(EARLY), date, 0);
        assert!(applies(EARLY, Some(LATE)));
        assert!(!applies(EARLY, Some(EARLY)));
        assert!(!applies(EARLY, None));
        assert!(!applies(LATE, Some(LATE)));
        assert!(!applies(b"", Some(LATE)));
    }
}
