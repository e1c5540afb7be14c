//! What a decision needs to know of a request and of a response, read once from their fields. The caller fills
//! it; nothing here looks at a message.

use crate::{CacheControl, digits, parse_date, trim};
use tentpole_model::Method;

/// What matters of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestFacts {
    /// Its method.
    pub method: Method,
    /// It carries `Authorization`.
    pub authorization: bool,
    /// It carries `Cookie`.
    pub cookie: bool,
    /// It carries `Range`.
    pub range: bool,
    /// Its `Cache-Control`; where there is none, `Pragma: no-cache` is `no_cache` (RFC 9111 section 5.4). A caller
    /// that does not want visitors to force revalidation leaves [`CacheControl::NONE`].
    pub cache_control: CacheControl,
}

impl RequestFacts {
    /// A GET that carries none of the fields that matter here: what most requests are.
    pub const PLAIN_GET: Self = Self {
        method: Method::Get,
        authorization: false,
        cookie: false,
        range: false,
        cache_control: CacheControl::NONE,
    };

    /// Whether it tells who the visitor is, so that the answer may be meant for nobody else.
    pub(crate) fn is_personal(&self) -> bool {
        self.cookie || self.authorization
    }
}

/// What matters of a response; after a revalidation, of the stored response with the 304's fields merged into it
/// (RFC 9111 section 3.2) and the stored status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseFacts {
    /// Its status.
    pub status: u16,
    /// What it says to us: by `Cache-Control` or by a field that goes before it ([`crate::Control`]).
    pub cache_control: CacheControl,
    /// It carries such a field, though that may say nothing that we know.
    pub has_cache_control: bool,
    /// That field is meant for caches like this one: `Expires` does not count beside it (RFC 9213 section 2.2).
    pub targeted: bool,
    /// They are those of `Surrogate-Control`: a 304 without it does not take them back.
    pub surrogate: bool,
    /// `Date` in unix seconds; missing or unreadable is `None` and counts as the time of the response.
    pub date: Option<u64>,
    /// `Expires`.
    pub expires: Option<Expires>,
    /// `Age`.
    pub age: Option<Age>,
    /// `Last-Modified` in unix seconds.
    pub last_modified: Option<u64>,
    /// It carries `ETag`.
    pub has_etag: bool,
    /// It carries `Set-Cookie`.
    pub set_cookie: bool,
    /// Its `Vary` contains `*`.
    pub vary_star: bool,
}

impl ResponseFacts {
    /// A response with this status that carries none of the fields that matter here.
    pub const fn plain(status: u16) -> Self {
        Self {
            status,
            cache_control: CacheControl::NONE,
            has_cache_control: false,
            targeted: false,
            surrogate: false,
            date: None,
            expires: None,
            age: None,
            last_modified: None,
            has_etag: false,
            set_cookie: false,
            vary_star: false,
        }
    }
}

/// What `Expires` says (RFC 9111 section 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expires {
    /// This time, in unix seconds.
    At(u64),
    /// No date (often `0`): the response is already stale.
    Invalid,
}

impl Expires {
    /// From the values of all `Expires` fields of a response; of several the earliest counts. `None` when there is
    /// none. `now` as in [`parse_date`].
    pub fn parse<'a>(values: impl Iterator<Item = &'a [u8]>, now: u64) -> Option<Self> {
        let each = values.map(|value| parse_date(value, now).map_or(Self::Invalid, Self::At));
        each.reduce(|one, other| match (one, other) {
            (Self::At(one), Self::At(other)) => Self::At(one.min(other)),
            _ => Self::Invalid,
        })
    }
}

/// What `Age` says (RFC 9111 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// This many seconds, saturating.
    Seconds(u64),
    /// Not one number: somebody on the way counted wrongly, and how old the response is nobody knows.
    Unreadable,
}

impl Age {
    /// From the values of all `Age` fields of a response; `None` when there is none.
    ///
    /// The RFC would have the first number of a list count and what is no number be ignored; both can make a response
    /// younger than it is. So anything but one number is unreadable, and the response is stale on arrival.
    pub fn parse<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let first = digits(trim(values.next()?));
        Some(first.filter(|_| values.next().is_none()).map_or(Self::Unreadable, Self::Seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expires_that_is_no_date_is_in_the_past_5_3() {
        assert_eq!(Expires::parse([&b"0"[..]].into_iter(), 0), Some(Expires::Invalid));
        assert_eq!(Expires::parse([&b""[..]].into_iter(), 0), Some(Expires::Invalid));
        assert_eq!(Expires::parse(std::iter::empty(), 0), None);
    }

    #[test]
    fn of_several_expires_the_earliest_counts_4_2_1() {
        let (early, late) = (&b"Sun, 06 Nov 1994 08:49:37 GMT"[..], &b"Mon, 07 Nov 1994 08:49:37 GMT"[..]);
        assert_eq!(Expires::parse([late, early].into_iter(), 0), Some(Expires::At(784_111_777)));
        assert_eq!(Expires::parse([late, b"never"].into_iter(), 0), Some(Expires::Invalid));
    }

    #[test]
    fn an_age_that_is_not_one_number_is_unreadable_5_1() {
        let parse = |values: &[&'static str]| Age::parse(values.iter().map(|value| value.as_bytes()));
        assert_eq!(parse(&[]), None);
        assert_eq!(parse(&["3600"]), Some(Age::Seconds(3600)));
        assert_eq!(parse(&[" 7\t"]), Some(Age::Seconds(7)));
        assert_eq!(parse(&["99999999999999999999999"]), Some(Age::Seconds(u64::MAX)));
        for values in
            [&[""][..], &["-1"], &["1.5"], &["x"], &["7, 9"], &["7,7"], &["7;a=b"], &["7", "7"], &["7", ""]]
        {
            assert_eq!(parse(values), Some(Age::Unreadable), "{values:?}");
        }
    }
}
