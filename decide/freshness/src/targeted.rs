//! Which field of a response speaks to this cache: `CDN-Cache-Control` (RFC 9213), then `Surrogate-Control` (Edge
//! Architecture Specification 1.0), then `Cache-Control`. The first that has something to say replaces the others, and
//! `Expires` with them.

use crate::structured::{Value, dictionary};
use crate::{CacheControl, digits, trim};

/// What we answer to in `Surrogate-Control` (`max-age=60;tentpole`), and tell endpoints in `Surrogate-Capability`.
pub const SURROGATE: &[u8] = b"tentpole";

/// What a response says to a shared cache that stands before its origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Control {
    /// The directives of the field that counts.
    pub cache_control: CacheControl,
    /// There is such a field, though it may say nothing that we know.
    pub present: bool,
    /// It is one meant for caches like this one: `Expires` does not count (RFC 9213 section 2.2).
    pub targeted: bool,
    /// It is `Surrogate-Control`, which goes no further than here.
    pub surrogate: bool,
}

impl Control {
    /// From the values of all fields of each name.
    pub fn parse<'a, L: Iterator<Item = &'a [u8]>>(
        cdn_cache_control: impl Iterator<Item = &'a [u8]> + Clone,
        surrogate_control: impl Iterator<Item = &'a [u8]> + Clone,
        cache_control: L,
    ) -> Self {
        let mut unreadable = CacheControl::NONE;
        match cdn(cdn_cache_control.clone()) {
            Targeted::Says(said) => {
                return Self { cache_control: said, present: true, targeted: true, surrogate: false };
            }
            Targeted::Silent => {}
            // It is to be ignored (RFC 9213 section 2.2), which must not open what it wanted to close.
            Targeted::Malformed => unreadable = CacheControl::parse(cdn_cache_control),
        }
        let mut control = match surrogate(surrogate_control) {
            Some(said) => Self { cache_control: said, present: true, targeted: true, surrogate: true },
            None => {
                let mut present = false;
                let seen = cache_control.inspect(|_| present = true);
                Self { cache_control: CacheControl::parse(seen), present, targeted: false, surrogate: false }
            }
        };
        let said = &mut control.cache_control;
        said.no_store |= unreadable.no_store;
        said.private |= unreadable.private;
        said.no_cache |= unreadable.no_cache;
        said.must_revalidate |= unreadable.must_revalidate;
        said.proxy_revalidate |= unreadable.proxy_revalidate;
        control
    }
}

enum Targeted {
    Says(CacheControl),
    Silent,
    Malformed,
}

/// A Structured Field dictionary of cache directives (RFC 9213 section 2.1).
fn cdn<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Targeted {
    let (mut said, mut members) = (CacheControl::NONE, 0usize);
    for line in lines {
        let read = dictionary(line, |name, value| {
            members += 1;
            directive(&mut said, name, value);
        });
        if read.is_err() {
            return Targeted::Malformed;
        }
    }
    if members > 0 { Targeted::Says(said) } else { Targeted::Silent }
}

/// Of a repeated directive the last counts (RFC 9651 section 4.2.2). A restriction holds whatever its value, unless that is
/// `?0`; a permission has to be true; a number that is none, or below zero, is the strictest.
fn directive(said: &mut CacheControl, name: &[u8], value: Value) {
    let restricts = value != Value::Boolean(false);
    let permits = value == Value::Boolean(true);
    let seconds = match value {
        Value::Integer(seconds) => u32::try_from(seconds.clamp(0, i64::from(u32::MAX))).unwrap_or(0),
        Value::Boolean(_) | Value::Other => 0,
    };
    match name {
        b"no-store" => said.no_store = restricts,
        b"no-cache" => said.no_cache = restricts,
        b"private" => said.private = restricts,
        b"must-revalidate" => said.must_revalidate = restricts,
        b"proxy-revalidate" => said.proxy_revalidate = restricts,
        b"no-transform" => said.no_transform = restricts,
        b"must-understand" => said.must_understand = restricts,
        b"public" => said.public = permits,
        b"immutable" => said.immutable = permits,
        b"max-age" => said.max_age = Some(seconds),
        b"s-maxage" => said.s_maxage = Some(seconds),
        b"stale-while-revalidate" => said.stale_while_revalidate = Some(seconds),
        b"stale-if-error" => said.stale_if_error = Some(seconds),
        _ => {}
    }
}

/// What `Surrogate-Control` says about storing; `None` when it does not speak of it, as in `content="ESI/1.0"`. What is
/// addressed to us by name goes before what is said to all; what is addressed to others is not for us.
fn surrogate<'a>(lines: impl Iterator<Item = &'a [u8]> + Clone) -> Option<CacheControl> {
    let members = lines.flat_map(|line| Split { rest: line, separator: b',' });
    let to = |ours: bool| {
        let mut said = CacheControl::NONE;
        let addressed = members.clone().filter(move |member| addressee(member) == Some(ours));
        addressed.for_each(|member| surrogate_directive(&mut said, member));
        (said != CacheControl::NONE).then_some(said)
    };
    to(true).or_else(|| to(false))
}

/// Whether a directive is for us by name (true), for all (false), or for somebody else (none).
fn addressee(member: &[u8]) -> Option<bool> {
    let mut names = Split { rest: member, separator: b';' }.skip(1).map(trim).peekable();
    match names.peek() {
        None => Some(false),
        Some(_) => names.any(|name| name.eq_ignore_ascii_case(SURROGATE)).then_some(true),
    }
}

fn surrogate_directive(said: &mut CacheControl, member: &[u8]) {
    let directive = trim(Split { rest: member, separator: b';' }.next().unwrap_or_default());
    if directive.eq_ignore_ascii_case(b"no-store-remote") {
        // Whether we are "remote" nobody tells us.
        said.no_store = true;
        return;
    }
    // `max-age=600+60`: after its lifetime it may be used a while longer.
    let extended = directive
        .iter()
        .position(|&byte| byte == b'+')
        .filter(|_| directive.get(..8).is_some_and(|name| name.eq_ignore_ascii_case(b"max-age=")));
    let (directive, extension) = match extended {
        Some(plus) => (&directive[..plus], Some(&directive[plus + 1..])),
        None => (directive, None),
    };
    said.add(directive);
    if let Some(extension) = extension {
        let seconds = digits(extension).map_or(0, |seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
        said.stale_while_revalidate = Some(seconds);
        said.stale_if_error = Some(seconds);
    }
}

/// Pieces between separators that stand outside quotes. A quote that never ends hides no restriction: it is no quote.
#[derive(Clone)]
struct Split<'a> {
    rest: &'a [u8],
    separator: u8,
}

impl<'a> Iterator for Split<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let mut at = 0;
        while let Some(&byte) = self.rest.get(at) {
            match byte {
                b'"' => at += quoted_length(&self.rest[at..]),
                byte if byte == self.separator => break,
                _ => at += 1,
            }
        }
        let piece = self.rest.get(..at).unwrap_or(self.rest);
        self.rest = self.rest.get(at + 1..).unwrap_or_default();
        Some(piece)
    }
}

/// Bytes of the quoted string at the beginning, its quotes included; 1 when it never ends.
fn quoted_length(value: &[u8]) -> usize {
    let mut at = 1;
    while let Some(&byte) = value.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(cdn: &[&str], surrogate: &[&str], general: &[&str]) -> Control {
        let bytes = |values: &[&'static str]| values.iter().map(|value| value.as_bytes()).collect::<Vec<_>>();
        let own = |values: &[&str]| {
            bytes(&values.iter().map(|value| &*value.to_string().leak()).collect::<Vec<_>>())
        };
        let said = Control::parse(own(cdn).into_iter(), own(surrogate).into_iter(), own(general).into_iter());
        assert!(said.targeted || !said.surrogate);
        Control { surrogate: false, ..said }
    }

    #[test]
    fn what_surrogate_control_says_is_told_from_what_others_say() {
        let none = || std::iter::empty::<&[u8]>();
        let one = || std::iter::once(&b"max-age=5"[..]);
        assert!(Control::parse(none(), one(), one()).surrogate);
        assert!(!Control::parse(one(), one(), one()).surrogate);
        assert!(!Control::parse(none(), none(), one()).surrogate);
    }

    fn said(value: &str) -> CacheControl {
        CacheControl::parse([value.as_bytes()].into_iter())
    }

    fn targeted(value: &str) -> Control {
        Control { cache_control: said(value), present: true, targeted: true, surrogate: false }
    }

    #[test]
    fn without_targeted_fields_cache_control_counts() {
        let expected =
            Control { cache_control: said("max-age=60"), present: true, targeted: false, surrogate: false };
        assert_eq!(control(&[], &[], &["max-age=60"]), expected);
        assert_eq!(control(&[], &[], &[]), Control::default());
        assert!(control(&[], &[], &["x"]).present);
    }

    #[test]
    fn the_first_field_that_speaks_replaces_the_others_rfc_9213_2_2() {
        assert_eq!(control(&["max-age=5"], &["max-age=6"], &["max-age=7, private"]), targeted("max-age=5"));
        assert_eq!(control(&[], &["max-age=6"], &["no-store"]), targeted("max-age=6"));
        assert_eq!(control(&["no-store"], &["max-age=6"], &["max-age=7"]), targeted("no-store"));
        assert_eq!(control(&["something"], &[], &["max-age=7"]), targeted(""), "it is valid, and not empty");
    }

    #[test]
    fn an_empty_or_malformed_targeted_field_is_ignored_rfc_9213_2_2() {
        for cdn in ["", "max-age = 60", "max-age=60;", "Max-Age=60", "max-age=60,"] {
            assert_eq!(control(&[cdn], &[], &["max-age=7"]).cache_control, said("max-age=7"), "{cdn}");
            assert_eq!(control(&[cdn], &["max-age=6"], &[]), targeted("max-age=6"), "{cdn}");
        }
    }

    #[test]
    fn a_restriction_in_a_malformed_field_is_not_opened() {
        assert!(control(&["private, max-age = 60"], &[], &["max-age=7"]).cache_control.private);
        assert!(control(&["No-Store"], &["max-age=6"], &[]).cache_control.no_store);
    }

    #[test]
    fn a_dictionary_means_what_its_types_say_rfc_9213_2_1() {
        let value = |line: &str| control(&[line], &[], &[]).cache_control;
        assert_eq!(value("max-age=60, max-age=600"), said("max-age=600"));
        assert_eq!(value("private, private=?0, max-age=1"), said("max-age=1"));
        assert_eq!(value("private=\"x\", no-cache=5"), said("private, no-cache"));
        assert_eq!(value("public=1, immutable=token"), CacheControl::NONE);
        assert_eq!(value("max-age=\"60\""), said("max-age=0"));
        assert_eq!(value("max-age=-1, s-maxage=1.5"), said("max-age=0, s-maxage=0"));
        assert_eq!(value("max-age=999999999999999"), said("max-age=4294967295"));
        assert_eq!(
            control(&["max-age=60", "must-revalidate"], &[], &[]).cache_control,
            said("max-age=60, must-revalidate")
        );
    }

    #[test]
    fn surrogate_control_that_speaks_of_content_only_leaves_cache_control() {
        assert_eq!(control(&[], &["content=\"ESI/1.0\""], &["max-age=7"]).cache_control, said("max-age=7"));
        assert_eq!(control(&[], &["content=\"ESI/1.0 max-age=5, no-store\""], &[]), Control::default());
        assert_eq!(control(&[], &["max-age=60, content=\"ESI/1.0\""], &["no-store"]), targeted("max-age=60"));
    }

    #[test]
    fn surrogate_directives_may_be_addressed() {
        assert_eq!(control(&[], &["max-age=60;other"], &[]), Control::default());
        assert_eq!(control(&[], &["max-age=60;other;Tentpole"], &[]), targeted("max-age=60"));
        assert_eq!(control(&[], &["no-store, max-age=60; tentpole"], &[]), targeted("max-age=60"));
        assert_eq!(control(&[], &["no-store;tentpole, max-age=60"], &[]), targeted("no-store"));
        assert_eq!(control(&[], &["max-age=5;other", "MAX-AGE=60"], &[]), targeted("max-age=60"));
    }

    #[test]
    fn surrogate_max_age_may_be_extended() {
        let expected = targeted("max-age=600, stale-while-revalidate=60, stale-if-error=60");
        assert_eq!(control(&[], &["max-age=600+60"], &[]), expected);
        assert_eq!(
            control(&[], &["max-age=600+x"], &[]),
            targeted("max-age=600, stale-while-revalidate=0, stale-if-error=0")
        );
    }

    #[test]
    fn no_store_remote_is_no_store() {
        assert_eq!(control(&[], &["max-age=600, no-store-remote"], &[]), targeted("max-age=600, no-store"));
    }

    #[test]
    fn a_quote_that_never_ends_hides_no_restriction() {
        assert!(control(&[], &["content=\"ESI/1.0, no-store"], &[]).cache_control.no_store);
    }
}
