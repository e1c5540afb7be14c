//! Reads `Cache-Control` (RFC 9111 section 5.2, RFC 5861). What is written badly is read in the way that caches
//! less: a restriction is found wherever it can be found, a lifetime that cannot be read is zero. Never fails.

use crate::{digits, is_token};

/// What one message's `Cache-Control` fields say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheControl {
    /// `no-store`
    pub no_store: bool,
    /// `no-cache`, qualified or not.
    pub no_cache: bool,
    /// `private`, qualified or not.
    pub private: bool,
    /// `public`
    pub public: bool,
    /// `must-revalidate`
    pub must_revalidate: bool,
    /// `proxy-revalidate`
    pub proxy_revalidate: bool,
    /// `no-transform`
    pub no_transform: bool,
    /// `must-understand`
    pub must_understand: bool,
    /// `immutable` (RFC 8246)
    pub immutable: bool,
    /// `only-if-cached`
    pub only_if_cached: bool,
    /// `max-age`, seconds; unreadable is 0.
    pub max_age: Option<u32>,
    /// `s-maxage`, seconds; unreadable is 0.
    pub s_maxage: Option<u32>,
    /// `min-fresh`, seconds; unreadable is `u32::MAX`, the strictest.
    pub min_fresh: Option<u32>,
    /// `max-stale`, seconds; without an argument `u32::MAX`, unreadable 0.
    pub max_stale: Option<u32>,
    /// `stale-while-revalidate` (RFC 5861), seconds; unreadable is 0.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error` (RFC 5861), seconds; unreadable is 0.
    pub stale_if_error: Option<u32>,
}

impl CacheControl {
    /// Says nothing: what a message without the field has.
    pub const NONE: Self = Self {
        no_store: false,
        no_cache: false,
        private: false,
        public: false,
        must_revalidate: false,
        proxy_revalidate: false,
        no_transform: false,
        must_understand: false,
        immutable: false,
        only_if_cached: false,
        max_age: None,
        s_maxage: None,
        min_fresh: None,
        max_stale: None,
        stale_while_revalidate: None,
        stale_if_error: None,
    };

    /// From the values of all `Cache-Control` fields of one message. Directives that nobody knows are ignored; of
    /// a repeated one the strictest counts; numbers saturate.
    pub fn parse<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut said = Self::NONE;
        values.for_each(|value| said.add(value));
        said
    }

    /// Adds what one more list of directives says.
    pub(crate) fn add(&mut self, value: &[u8]) {
        for directive in (Directives { rest: value }) {
            self.take(&directive);
        }
    }

    fn take(&mut self, directive: &Directive) {
        let mut lower = [0u8; NAME_MAX];
        let Some(name) = lower.get_mut(..directive.name.len()) else { return };
        name.copy_from_slice(directive.name);
        name.make_ascii_lowercase();
        match &*name {
            b"no-store" => self.no_store = true,
            b"no-cache" => self.no_cache = true,
            b"private" => self.private = true,
            b"public" => self.public = true,
            b"must-revalidate" => self.must_revalidate = true,
            b"proxy-revalidate" => self.proxy_revalidate = true,
            b"no-transform" => self.no_transform = true,
            b"must-understand" => self.must_understand = true,
            b"immutable" => self.immutable = true,
            b"only-if-cached" => self.only_if_cached = true,
            b"max-age" => smallest(&mut self.max_age, directive.seconds_or(0)),
            b"s-maxage" => smallest(&mut self.s_maxage, directive.seconds_or(0)),
            b"stale-while-revalidate" => {
                smallest(&mut self.stale_while_revalidate, directive.seconds_or(0));
            }
            b"stale-if-error" => smallest(&mut self.stale_if_error, directive.seconds_or(0)),
            b"max-stale" if directive.argument == Argument::Absent => {
                smallest(&mut self.max_stale, u32::MAX);
            }
            b"max-stale" => smallest(&mut self.max_stale, directive.seconds_or(0)),
            b"min-fresh" => {
                let seconds = directive.seconds_or(u32::MAX);
                self.min_fresh = Some(self.min_fresh.map_or(seconds, |known| known.max(seconds)));
            }
            _ => {}
        }
    }
}

/// The longest name known: `stale-while-revalidate`.
const NAME_MAX: usize = 22;

fn smallest(slot: &mut Option<u32>, seconds: u32) {
    *slot = Some(slot.map_or(seconds, |known| known.min(seconds)));
}

#[derive(Debug)]
struct Directive<'a> {
    name: &'a [u8],
    argument: Argument<'a>,
}

#[derive(Debug, PartialEq, Eq)]
enum Argument<'a> {
    Absent,
    /// Without its quotes.
    Given(&'a [u8]),
    Unreadable,
}

impl Directive<'_> {
    fn seconds_or(&self, unreadable: u32) -> u32 {
        let Argument::Given(argument) = self.argument else { return unreadable };
        digits(argument).map_or(unreadable, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX))
    }
}

/// Splits one field value.
struct Directives<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Directives<'a> {
    type Item = Directive<'a>;

    fn next(&mut self) -> Option<Directive<'a>> {
        loop {
            self.skip_while(|byte| is_separator(byte) || is_space(byte));
            if self.rest.is_empty() {
                return None;
            }
            let name = self.skip_while(is_token);
            let argument = self.argument();
            if !name.is_empty() {
                return Some(Directive { name, argument });
            }
        }
    }
}

impl<'a> Directives<'a> {
    /// What stands between a name and the next separator.
    fn argument(&mut self) -> Argument<'a> {
        let mut argument = Argument::Absent;
        if let [b'=', rest @ ..] = self.rest {
            self.rest = rest;
            argument = match self.quoted() {
                Some(quoted) => Argument::Given(quoted),
                None => Argument::Given(self.skip_while(is_token)),
            };
        }
        self.skip_while(is_space);
        if self.skip_while(|byte| !is_separator(byte)).is_empty() { argument } else { Argument::Unreadable }
    }

    /// A quoted string, if one starts here and ends. One that never ends is not skipped as a whole: a `private`
    /// inside it must not be missed.
    fn quoted(&mut self) -> Option<&'a [u8]> {
        let [b'"', rest @ ..] = self.rest else { return None };
        let mut at = 0;
        while let Some(&byte) = rest.get(at) {
            match byte {
                b'"' => {
                    self.rest = &rest[at + 1..];
                    return Some(&rest[..at]);
                }
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        None
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !wanted(byte)).unwrap_or(self.rest.len());
        let (skipped, rest) = self.rest.split_at(end);
        self.rest = rest;
        skipped
    }
}

/// A semicolon is no separator by the grammar, but many write one, and what follows may be `private`.
fn is_separator(byte: u8) -> bool {
    byte == b',' || byte == b';'
}

fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> CacheControl {
        CacheControl::parse([value.as_bytes()].into_iter())
    }

    #[test]
    fn directives_are_read_in_any_case_and_with_any_white_space() {
        let said = parse("  Public ,\tMAX-AGE=60 ,, s-maxage=5,Must-Revalidate");
        let expected = CacheControl {
            public: true,
            must_revalidate: true,
            max_age: Some(60),
            s_maxage: Some(5),
            ..CacheControl::NONE
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn several_fields_count_as_one_list() {
        let said = CacheControl::parse([&b"max-age=60"[..], b"no-cache", b""].into_iter());
        assert_eq!(said, CacheControl { max_age: Some(60), no_cache: true, ..CacheControl::NONE });
    }

    #[test]
    fn every_directive_has_its_place() {
        let said = parse(
            "no-store, no-cache, private, public, must-revalidate, proxy-revalidate, no-transform, must-understand, \
             immutable, only-if-cached, max-age=1, s-maxage=2, min-fresh=3, max-stale=4, stale-while-revalidate=5, \
             stale-if-error=6",
        );
        let expected = CacheControl {
            no_store: true,
            no_cache: true,
            private: true,
            public: true,
            must_revalidate: true,
            proxy_revalidate: true,
            no_transform: true,
            must_understand: true,
            immutable: true,
            only_if_cached: true,
            max_age: Some(1),
            s_maxage: Some(2),
            min_fresh: Some(3),
            max_stale: Some(4),
            stale_while_revalidate: Some(5),
            stale_if_error: Some(6),
        };
        assert_eq!(said, expected);
    }

    #[test]
    fn a_qualified_private_or_no_cache_counts_as_unqualified_5_2_2() {
        assert!(parse("private=\"set-cookie, x-user\"").private);
        assert!(parse("no-cache=\"set-cookie\"").no_cache);
    }

    #[test]
    fn what_stands_in_a_quoted_string_is_no_directive() {
        let said = parse("extension=\"max-age=3600, public\", max-age=1");
        assert_eq!(said, CacheControl { max_age: Some(1), ..CacheControl::NONE });
        let said = parse("extension=\"a\\\", public\", max-age=2");
        assert_eq!(said, CacheControl { max_age: Some(2), ..CacheControl::NONE });
    }

    #[test]
    fn a_quoted_string_that_never_ends_hides_no_restriction() {
        let said = parse("max-age=\"600, private");
        assert_eq!(said, CacheControl { max_age: Some(0), private: true, ..CacheControl::NONE });
    }

    #[test]
    fn a_restriction_after_a_semicolon_or_rubbish_is_found() {
        assert!(parse("max-age=600; private").private);
        assert!(parse("=?, \u{fffd}\u{fffd}, no-store foo").no_store);
    }

    #[test]
    fn a_quoted_number_is_a_number_5_2() {
        assert_eq!(parse("max-age=\"60\"").max_age, Some(60));
    }

    #[test]
    fn an_unreadable_lifetime_is_zero_4_2_1() {
        for value in [
            "max-age",
            "max-age=",
            "max-age=-1",
            "max-age=1.5",
            "max-age=60x",
            "max-age='60'",
            "max-age = 60",
        ] {
            assert_eq!(parse(value).max_age, Some(0), "{value}");
        }
        assert_eq!(parse("min-fresh=soon").min_fresh, Some(u32::MAX));
        assert_eq!(parse("max-stale=long").max_stale, Some(0));
    }

    #[test]
    fn of_repeated_lifetimes_the_smallest_wins_4_2_1() {
        assert_eq!(parse("max-age=60, max-age=5, max-age=600").max_age, Some(5));
        assert_eq!(parse("max-age=60, max-age=oops").max_age, Some(0));
        assert_eq!(parse("min-fresh=5, min-fresh=60").min_fresh, Some(60));
    }

    #[test]
    fn a_max_stale_without_argument_accepts_any_staleness_5_2_1_2() {
        assert_eq!(parse("max-stale").max_stale, Some(u32::MAX));
        assert_eq!(parse("max-stale, max-stale=10").max_stale, Some(10));
    }

    #[test]
    fn numbers_saturate_1_2_2() {
        assert_eq!(parse("max-age=4294967296").max_age, Some(u32::MAX));
        assert_eq!(parse("max-age=99999999999999999999999999").max_age, Some(u32::MAX));
    }

    #[test]
    fn unknown_directives_are_ignored_5_2_3() {
        assert_eq!(
            parse("community=\"UCI\", a-directive-that-is-longer-than-any-we-know, x"),
            CacheControl::NONE
        );
    }
}
