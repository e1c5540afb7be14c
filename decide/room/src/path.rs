//! Which paths a room stands before. Applications read paths in many ways: they decode once more, take `\` for `/`, cut
//! off `;parameters`, look at no case. Whatever one of them could take for a path of the room's is one: a wrong yes costs
//! a visitor a ticket, a wrong no is a way around the room.

/// The paths of a room.
#[derive(Clone, Debug, Default)]
pub struct Paths(Vec<Pattern>);

#[derive(Clone, Debug)]
enum Pattern {
    Exact(Vec<u8>),
    /// Without its end: itself, and all below it.
    Below(Vec<u8>),
}

impl Paths {
    /// Of patterns as they are written: `/exact`, `/prefix/*`; none is everything.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let pattern = |typed: &str| match typed.strip_suffix("/*") {
            Some(prefix) => Pattern::Below(loose(prefix.as_bytes())),
            None => Pattern::Exact(loose(typed.as_bytes())),
        };
        Self(patterns.into_iter().map(pattern).collect())
    }

    /// Whether the room stands before this path.
    pub fn has(&self, path: &[u8]) -> bool {
        if self.0.is_empty() {
            return true;
        }
        if is_plain(path) {
            // Nearly all are. Each request is looked at, so nothing is copied.
            return self.matches(path.strip_suffix(b"/").unwrap_or(path));
        }
        self.matches(&loose(path))
    }

    /// Of a path that has nothing left that readers take differently, but capitals.
    fn matches(&self, path: &[u8]) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Exact(exact) => path.eq_ignore_ascii_case(exact),
            Pattern::Below(prefix) => path.split_at_checked(prefix.len()).is_some_and(|(begin, rest)| {
                begin.eq_ignore_ascii_case(prefix) && rest.first().is_none_or(|&byte| byte == b'/')
            }),
        })
    }
}

/// Whether all readers take it for the same path, but for capitals and a slash at its end.
fn is_plain(path: &[u8]) -> bool {
    let mut before = b' ';
    path.first() == Some(&b'/')
        && path.iter().all(|&byte| {
            let is = !matches!(byte, b'%' | b'\\' | b';') && (before != b'/' || !matches!(byte, b'/' | b'.'));
            before = byte;
            is
        })
}

/// The path as the most generous reader could take it: decoded, with `/` alone between segments, without parameters, dot
/// segments, empty segments and capitals. Without a slash at its end.
fn loose(path: &[u8]) -> Vec<u8> {
    // Twice: some decode what was decoded before them.
    let decoded = decode(&decode(path));
    let mut segments: Vec<&[u8]> = Vec::new();
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment.split(|&byte| byte == b';').next().unwrap_or_default();
        match name {
            b"" | b"." => {}
            b".." => {
                segments.pop();
            }
            name => segments.push(name),
        }
    }
    let mut loose = Vec::with_capacity(path.len());
    for segment in segments {
        loose.push(b'/');
        loose.extend(segment.iter().map(u8::to_ascii_lowercase));
    }
    loose
}

fn decode(path: &[u8]) -> Vec<u8> {
    let digit = |at: usize| path.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    let mut decoded = Vec::with_capacity(path.len());
    let mut at = 0;
    while at < path.len() {
        match (path[at], digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push((high << 4 | low) as u8);
                at += 3;
            }
            (byte, ..) => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_copied_is_decided_as_what_is() {
        let paths = Paths::new(["/checkout/*", "/cart", "/a/b/*", "/"]);
        let parts = ["/", "checkout", "CART", "cart", "a", "b", ".", "..", ";x", "%2f", "\\", "\u{e4}"];
        let (mut plain, mut seen) = (0, 0);
        for number in 0..parts.len().pow(5) {
            let part = |at: u32| parts[number / parts.len().pow(at) % parts.len()];
            let path = format!("/{}{}{}{}{}", part(0), part(1), part(2), part(3), part(4));
            for path in [path.as_bytes(), &path.as_bytes()[1..]] {
                assert_eq!(paths.has(path), paths.matches(&loose(path)), "{}", String::from_utf8_lossy(path));
                (plain, seen) = (plain + usize::from(is_plain(path)), seen + 1);
            }
        }
        assert!(plain > 1_000 && plain < seen, "{plain} of {seen}");
    }

    #[test]
    fn there_is_no_way_around_by_writing_a_path_differently() {
        let paths = Paths::new(["/checkout/*", "/cart"]);
        for path in [
            "/checkout",
            "/checkout/",
            "/checkout/pay",
            "//checkout//pay",
            "/CheckOut/pay",
            "/%63heckout/pay",
            "/checkout;id=1/pay",
            "/a/../checkout/pay",
            "/a/..%2fcheckout",
            "/checkout%2fpay",
            "/checkout\\pay",
            "/%2563heckout/pay",
            "/checkout%5cpay",
            "/./checkout",
            "/cart",
            "/cart/",
            "/CART;x=1",
            "/%63%61rt",
            "/a/..;/checkout",
            "/x/%2e%2e/cart",
        ] {
            assert!(paths.has(path.as_bytes()), "{path}");
        }
        for path in ["/", "/checkouts", "/cart/x", "/product/checkout", "/check-out", "", "/carts"] {
            assert!(!paths.has(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn no_pattern_is_every_path() {
        assert!(Paths::new([]).has(b"/anything"));
        assert!(Paths::new(["/*"]).has(b"/"));
    }
}
