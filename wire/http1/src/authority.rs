//! `host[:port]`, as `Host` and absolute targets carry it. Narrower than RFC 3986: only what a name in the DNS, an
//! IPv4 or an IPv6 address looks like. Does not resolve or normalise.

use std::net::Ipv6Addr;

/// Longest host name (RFC 1035 section 2.3.4), with its dots.
const HOST_BYTES_MAX: usize = 255;

/// Splits `host[:port]`; an IPv6 address keeps its brackets.
///
/// `None` when it is not valid: empty, user information, an empty or impossible port, or a byte that no host name
/// has (letters, digits, `-`, `_` and single dots remain; a dot may end it).
pub fn split_authority(authority: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (host, rest) = if authority.first() == Some(&b'[') {
        let end = memchr::memchr(b']', authority)?;
        let address = std::str::from_utf8(&authority[1..end]).ok()?;
        address.parse::<Ipv6Addr>().ok()?;
        authority.split_at(end + 1)
    } else {
        let end = memchr::memchr(b':', authority).unwrap_or(authority.len());
        let (host, rest) = authority.split_at(end);
        if !is_host_name(host) {
            return None;
        }
        (host, rest)
    };
    match rest {
        [] => Some((host, None)),
        [b':', digits @ ..] => Some((host, Some(port(digits)?))),
        _ => None,
    }
}

fn is_host_name(host: &[u8]) -> bool {
    if host.is_empty() || host.len() > HOST_BYTES_MAX {
        return false;
    }
    // An empty label is a dot at the start or after another one.
    let mut previous = b'.';
    for &byte in host {
        let fits = match byte {
            b'.' => previous != b'.',
            b'-' | b'_' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
        previous = byte;
    }
    true
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    u16::try_from(number).ok().filter(|&port| port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_addresses_are_split_from_their_port() {
        let cases: [(&str, &str, Option<u16>); 8] = [
            ("shop.example", "shop.example", None),
            ("Shop.Example.:80", "Shop.Example.", Some(80)),
            ("my_host-1:65535", "my_host-1", Some(65535)),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[2001:db8::1]:443", "[2001:db8::1]", Some(443)),
            ("[::ffff:127.0.0.1]:1", "[::ffff:127.0.0.1]", Some(1)),
            ("x:00080", "x", Some(80)),
        ];
        for (authority, host, port) in cases {
            assert_eq!(split_authority(authority.as_bytes()), Some((host.as_bytes(), port)), "{authority}");
        }
    }

    #[test]
    fn what_no_host_looks_like_is_refused() {
        let long = "a".repeat(256);
        let cases = [
            "",
            ".",
            "..",
            ".a",
            "a..b",
            "a b",
            "a,b",
            "a/b",
            "a@b",
            "user@a:80",
            "a%41",
            "a\"",
            "a:",
            ":80",
            "a:0",
            "a:65536",
            "a:8 0",
            "a:+80",
            "a:80:80",
            "a:999999",
            "::1",
            "[::1",
            "[::1]x",
            "[::1%25lo]",
            "[v1.x]",
            "[]",
            "[::1]:",
            "ä",
            "a\\b",
            "a?b",
            "a#b",
            "a\tb",
            &long,
        ];
        for authority in cases {
            assert_eq!(split_authority(authority.as_bytes()), None, "{authority}");
        }
    }
}
