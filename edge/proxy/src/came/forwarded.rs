//! `Forwarded` (RFC 7239), where a proxy that is believed writes that: who asked whom, and over what, one element a proxy.
//! Strict: a line with anything in it that the grammar does not know tells nothing, for a visitor may have begun it.

use super::{ADDRESSES_MAX, LINES_MAX, address, append};
use std::net::IpAddr;
use tentpole_message::{Fields, Name};
use tentpole_model::Front;

/// What one proxy says of the side it was asked from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Element {
    address: Option<IpAddr>,
    /// Whether it was https; `None` where nothing is said.
    https: Option<bool>,
}

/// The visitor's address, whether anybody speaks for him, and whether he asked by https: the last element whose address is
/// not itself believed is the visitor's, and what stands before it is what he claims. Where nobody says whether by https, it is as with the
/// peer. Appends the proxies to `via`.
pub fn read(
    front: &Front,
    peer_https: bool,
    fields: &Fields,
    via: &mut Vec<u8>,
) -> (Option<IpAddr>, bool, bool) {
    let lines = fields.all(Name::Forwarded).count();
    let (mut elements, mut count) = ([Element::default(); ADDRESSES_MAX], 0);
    for line in fields.all(Name::Forwarded).skip(lines.saturating_sub(LINES_MAX)) {
        let mut keep = |element| {
            elements[count % ADDRESSES_MAX] = element;
            count += 1;
        };
        if parse(line, &mut keep).is_none() {
            // What stood in it before the mistake does not count either.
            keep(Element { address: None, https: Some(false) });
        }
    }
    // From the edge outwards, as far as believed ones wrote.
    let mut hops = [None; ADDRESSES_MAX];
    let (mut hop, mut https) = (0, None);
    for back in 0..count.min(ADDRESSES_MAX) {
        let element = elements[(count - 1 - back) % ADDRESSES_MAX];
        // By https only where nobody says otherwise.
        https = element.https.map_or(https, |said| Some(said && https.unwrap_or(true)));
        let Some(address) = element.address else { break };
        hops[hop] = Some(address);
        hop += 1;
        if !front.trusts(address) {
            break;
        }
    }
    let mut outermost_first = hops[..hop].iter().rev().copied().flatten();
    let visitor = outermost_first.next();
    outermost_first.for_each(|hop| append(via, hop));
    (visitor, lines > 0, https.unwrap_or(peer_https))
}

/// The elements of a line, in order (RFC 7239 section 4); `None` at what the grammar does not know.
fn parse(line: &[u8], each: &mut impl FnMut(Element)) -> Option<()> {
    let mut rest = line.trim_ascii();
    let (mut element, mut named, mut twice) = (Element::default(), [false; 3], false);
    while !rest.is_empty() {
        // Empty pairs and elements are none.
        let (pair_is_next, separator) = match rest[0] {
            b',' | b';' => (false, rest[0]),
            _ => (true, 0),
        };
        if pair_is_next {
            let equals = rest.iter().position(|&byte| byte == b'=')?;
            let name = &rest[..equals];
            if name.is_empty() || !name.iter().all(|&byte| is_token(byte)) {
                return None;
            }
            let (value, after) = value(&rest[equals + 1..])?;
            if name.eq_ignore_ascii_case(b"for") {
                twice |= std::mem::replace(&mut named[0], true);
                element.address = address(value);
            } else if name.eq_ignore_ascii_case(b"proto") {
                twice |= std::mem::replace(&mut named[1], true);
                element.https = Some(value.eq_ignore_ascii_case(b"https"));
            }
            // Whoever says anything at all has written an element, though he names nobody.
            named[2] = true;
            rest = after.trim_ascii_start();
            if !rest.is_empty() && !matches!(rest[0], b',' | b';') {
                return None;
            }
            continue;
        }
        rest = rest[1..].trim_ascii_start();
        if separator == b',' {
            if twice {
                return None;
            }
            if named != [false; 3] {
                each(element);
            }
            (element, named) = (Element::default(), [false; 3]);
        }
    }
    if twice {
        return None;
    }
    if named != [false; 3] {
        each(element);
    }
    Some(())
}

/// A token or a quoted string, and what follows it. Where something is escaped, what is meant is not an address.
fn value(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let Some(quoted) = text.strip_prefix(b"\"") else {
        let end = text.iter().position(|&byte| !is_token(byte)).unwrap_or(text.len());
        return (end > 0).then(|| text.split_at(end));
    };
    let mut at = 0;
    loop {
        match quoted.get(at)? {
            b'"' => return Some((&quoted[..at], &quoted[at + 1..])),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// RFC 9110 section 5.6.2; and `:`, which proxies write without the quotes that it needs.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::Network;

    fn front() -> Front {
        let network = |(address, bits): (&str, u8)| Network { address: address.parse().unwrap(), bits };
        let trusted = [("10.0.0.0", 8), ("2001:db8::", 32)].map(network).to_vec();
        Front { trusted, address_field: Some("Forwarded".into()), ..Front::default() }
    }

    /// The visitor and the proxies behind him, and whether by https.
    fn seen(lines: &[&str]) -> (String, bool) {
        let mut fields = Fields::new();
        lines.iter().for_each(|line| fields.push(b"Forwarded", line.as_bytes()));
        let mut via = Vec::new();
        let came =
            super::super::came(&front(), "10.0.0.1".parse().unwrap(), false, &fields, &mut via).unwrap();
        (format!("{}{}", came.address, String::from_utf8(via).unwrap()), came.https)
    }

    #[test]
    fn the_last_element_that_a_believed_proxy_wrote_is_the_visitors() {
        let visitor = |https| ("203.0.113.9, 10.0.0.1".to_owned(), https);
        assert_eq!(seen(&["for=203.0.113.9;proto=https"]), visitor(true));
        assert_eq!(seen(&["For=\"203.0.113.9:4711\"; Proto=HTTPS;by=10.0.0.1"]), visitor(true));
        assert_eq!(
            seen(&["for=1.1.1.1;proto=https, for=203.0.113.9;proto=http"]),
            visitor(false),
            "he claims it"
        );
        assert_eq!(
            seen(&["for=1.1.1.1;proto=http", "for=203.0.113.9;proto=https"]),
            visitor(true),
            "he claims it"
        );
        let inner = "203.0.113.9, 10.0.0.2, 10.0.0.1";
        assert_eq!(seen(&["for=203.0.113.9;proto=https, for=10.0.0.2;proto=http"]), (inner.into(), false));
        assert_eq!(seen(&["for=203.0.113.9;proto=https,for=10.0.0.2"]), (inner.into(), true));
        let v6 = "2001:db9::1, 10.0.0.1";
        assert_eq!(seen(&["for=\"[2001:db9::1]:443\";proto=https"]), (v6.into(), true));
        assert_eq!(seen(&[]), ("10.0.0.1".into(), false));
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain_that_is_believed() {
        for line in [
            "for=unknown;proto=https",
            "for=_hidden",
            "for=203.0.113.9, for=unknown",
            "for=203.0.113.9;proto=https, host=shop.example",
            "for=203.0.113.9;for=203.0.113.8",
            "for",
            "for=",
            "for=203.0.113.9 proto=https",
            "for=[2001:db9::1]",
            "for=\"203.0.113.9",
            // What a visitor began, and the proxy went on with.
            "for=\", for=203.0.113.9;proto=https",
            "x=\", for=\"[2001:db9::1]:443\";proto=https",
        ] {
            assert_eq!(seen(&[line]).0, "10.0.0.1", "{line}");
        }
        assert!(!seen(&["for=\", for=203.0.113.9;proto=https"]).1);
        let mistake_first = seen(&["for=\"", "for=203.0.113.9;proto=https"]);
        assert_eq!(mistake_first, ("203.0.113.9, 10.0.0.1".into(), true), "a line of its own is the proxy's");
    }

    #[test]
    fn where_no_proto_is_said_the_peer_counts_unless_somebody_meddled() {
        let https = |line: &str| {
            let mut fields = Fields::new();
            fields.push(b"Forwarded", line.as_bytes());
            super::super::came(&front(), "10.0.0.1".parse().unwrap(), true, &fields, &mut Vec::new())
                .unwrap()
                .https
        };
        assert!(https("for=203.0.113.9") && https("for=203.0.113.9;proto=https"));
        assert!(!https("for=203.0.113.9;proto=http") && !https("for=\""));
    }

    #[test]
    fn another_field_says_nothing_here() {
        let mut fields = Fields::new();
        fields.push(b"X-Forwarded-For", b"203.0.113.9");
        fields.push(b"X-Forwarded-Proto", b"https");
        let came = super::super::came(&front(), "10.0.0.1".parse().unwrap(), false, &fields, &mut Vec::new())
            .unwrap();
        assert_eq!((came.address.to_string(), came.https, came.proxied), ("10.0.0.1".into(), false, false));
    }

    #[test]
    fn a_chain_without_end_is_looked_at_from_its_end() {
        let ours = "for=203.0.113.9, ".to_owned() + &"for=10.0.0.7,".repeat(2_000);
        let (chain, _) = seen(&[&ours]);
        assert!(chain.starts_with("10.0.0.7, 10.0.0.7"), "{chain}");
        assert_eq!(chain.split(", ").count(), ADDRESSES_MAX + 1);
    }
}
