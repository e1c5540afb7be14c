//! Path patterns of routes: `/exact`, `/prefix/*`, `/p/{slug}`. Brings them into the canonical form that requests
//! are compared in (RFC 3986 section 6.2.2), so that `/käse` and `/k%c3%a4se` are one route. Pure parsing.

use crate::problem::Problem;
use crate::words::Cure;
use std::fmt::Write;

/// The longest pattern, in bytes as typed.
const BYTES_MAX: usize = 2_000;
/// Segments of a pattern before `/*`; as many as the router looks at.
const SEGMENTS_MAX: usize = 32;

/// Reads a pattern of a site in which `//` may mean `/`. The result is percent-encoded where it must be, nowhere else, with upper-case hexadecimals.
pub(crate) fn pattern(typed: &str, merge_slashes: bool) -> Result<String, Problem> {
    let refuse = |why: &'static str, cure: String| {
        Err(Problem::RoutePath { typed: typed.to_owned(), why, cure: Cure::new(cure) })
    };
    if typed.len() > BYTES_MAX {
        return Err(Problem::RoutePath {
            typed: typed.chars().take(40).chain("…".chars()).collect(),
            why: "it is longer than 2,000 bytes",
            cure: Cure::none(),
        });
    }
    let Some(path) = typed.strip_prefix('/') else {
        let cure = match typed.split_once("://").and_then(|(_, rest)| rest.split_once('/')) {
            Some((_, path)) => format!("Write \"/{path}\"; hosts go into the site's `hosts`."),
            None => format!("Write \"/{typed}\"."),
        };
        return refuse("it does not begin with `/`", cure);
    };
    if path.contains(['?', '#']) {
        return refuse("routes do not look at the query", "Leave away what follows the path.".to_owned());
    }
    let segments: Vec<&str> = path.split('/').collect();
    if segments.iter().filter(|segment| **segment != "*").count() > SEGMENTS_MAX {
        return refuse("it has more than 32 segments", "End it with `/*` earlier.".to_owned());
    }
    let mut canonical = String::with_capacity(typed.len());
    for (at, segment) in segments.iter().enumerate() {
        canonical.push('/');
        if *segment == "*" {
            if at + 1 < segments.len() {
                let cure = "For any one segment, write a name in braces: `{slug}`.".to_owned();
                return refuse("`*` can only be the last segment", cure);
            }
            canonical.push('*');
        } else if segment.contains(['{', '}']) {
            canonical.push_str(match placeholder(segment) {
                Some(whole) => whole,
                None => {
                    let cure = "A name in braces takes a whole segment: \"/p/{slug}\".".to_owned();
                    return refuse("the braces do not hold a name, or not a whole segment", cure);
                }
            });
        } else if segment.contains('*') {
            let cure = "For everything below a path: \"/prefix/*\".".to_owned();
            return refuse("`*` takes a whole segment", cure);
        } else if let Err(why) = encode(segment, &mut canonical) {
            return refuse(why, String::new());
        }
    }
    let names = || segments.iter().filter_map(|segment| placeholder(segment));
    if names().enumerate().any(|(at, name)| names().take(at).any(|earlier| earlier == name)) {
        return refuse("two of its segments have the same name", "Give each its own.".to_owned());
    }
    if let Some((why, cure)) = unreachable(&segments, merge_slashes) {
        return Err(Problem::RouteUnreachable { typed: typed.to_owned(), why, cure });
    }
    Ok(canonical)
}

/// What two patterns have in common when they match the same requests: the names in braces do not matter.
pub(crate) fn shape(canonical: &str) -> String {
    let nameless = |segment| if placeholder(segment).is_some() { "{}" } else { segment };
    canonical.split('/').map(nameless).collect::<Vec<_>>().join("/")
}

/// `{slug}`, whole.
fn placeholder(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    good.then_some(segment)
}

/// Appends one segment: unreserved characters bare, sub-delims, `:` and `@` as they are, `%XX` in upper case
/// (RFC 3986 section 2.2, 2.3 and 3.3), everything else percent-encoded.
fn encode(segment: &str, out: &mut String) -> Result<(), &'static str> {
    let bytes = segment.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let (byte, escaped) = if byte == b'%' {
            let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
            // `from_str_radix` alone would take `%+1`.
            let hex = hex.filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
            let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
                return Err("`%` is not followed by two hexadecimal digits; a percent sign itself is `%25`");
            };
            at += 3;
            (byte, true)
        } else {
            at += 1;
            (byte, false)
        };
        if byte == 0 || (byte.is_ascii_control() && !escaped) {
            return Err("it has a control character");
        }
        let unreserved = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        // An escaped sub-delim is not equivalent to a bare one: each stays as it was typed.
        let bare = unreserved || (!escaped && b"!$&'()+,;=:@".contains(&byte));
        if bare {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    Ok(())
}

/// Why no canonical request path looks like this.
fn unreachable(segments: &[&str], merge_slashes: bool) -> Option<(&'static str, Cure)> {
    let dots =
        |segment: &&str| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..");
    if segments.iter().any(dots) {
        let why = "`.` and `..` are resolved before routes are compared";
        return Some((why, Cure::new("Write the path that they lead to.")));
    }
    if segments.len() > 1 && segments[0].is_empty() {
        return Some(("slashes at the start of a path always become one", Cure::new("Write one `/`.")));
    }
    if merge_slashes && segments.iter().rev().skip(1).any(|segment| segment.is_empty()) {
        return Some(("this site has merge_slashes, so `//` becomes `/` first", Cure::new("Write one `/`.")));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_take_their_canonical_form() {
        for (typed, canonical) in [
            ("/", "/"),
            ("/*", "/*"),
            ("/p/{slug}", "/p/{slug}"),
            ("/p/{slug}/*", "/p/{slug}/*"),
            ("/käse", "/k%C3%A4se"),
            ("/k%c3%a4se", "/k%C3%A4se"),
            ("/%7euser", "/~user"),
            ("/a%2fb", "/a%2Fb"),
            ("/a b", "/a%20b"),
            ("/a;b=1,2:3@x!$&'()+", "/a;b=1,2:3@x!$&'()+"),
            ("/%28x%29", "/%28x%29"),
            ("/shop/", "/shop/"),
            ("/%0a", "/%0A"),
            ("/a//b", "/a//b"),
        ] {
            assert_eq!(pattern(typed, false).as_deref(), Ok(canonical), "{typed}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for typed in [
            "",
            "shop",
            "https://shop.example/x",
            "/a?b",
            "/a#b",
            "/*/a",
            "/a*",
            "/{}",
            "/{a b}",
            "/x{a}",
            "/{a",
            "/%",
            "/%zz",
            "/%+1",
            "/a\nb",
            "/%00",
            "/{a}/{a}",
        ] {
            assert!(matches!(pattern(typed, false), Err(Problem::RoutePath { .. })), "{typed}");
        }
        assert!(matches!(pattern("/a/../b", false), Err(Problem::RouteUnreachable { .. })));
        assert!(matches!(pattern("/a/%2E/b", false), Err(Problem::RouteUnreachable { .. })));
        assert!(matches!(pattern("//a", false), Err(Problem::RouteUnreachable { .. })));
        assert!(matches!(pattern(&"/x".repeat(33), false), Err(Problem::RoutePath { .. })));
        assert!(matches!(pattern("/a//b", true), Err(Problem::RouteUnreachable { .. })));
        assert!(pattern("/a/", true).is_ok());
        assert!(pattern(&"/x".repeat(2_000), false).is_err());
    }

    #[test]
    fn names_in_braces_do_not_tell_routes_apart() {
        assert_eq!(shape("/p/{slug}/*"), shape("/p/{id}/*"));
        assert_ne!(shape("/p/{slug}"), shape("/p/slug"));
    }
}
