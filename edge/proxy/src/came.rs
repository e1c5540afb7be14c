//! Where a request comes from when a proxy in front says so: whom to believe, and in what. Reads fields, allocates
//! nothing, forwards nothing.

mod forwarded;

use std::io::Write;
use std::net::{IpAddr, SocketAddr};
use tentpole_message::{Fields, Name};
use tentpole_model::Front;

/// Lines of `X-Forwarded-For` that are looked at, and addresses in all of them; from the end, where the nearest wrote.
const LINES_MAX: usize = 16;
const ADDRESSES_MAX: usize = 32;

/// Where a request comes from, in the words of a proxy that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// The visitor's address; the proxy's own when it named none that can be read.
    pub address: IpAddr,
    /// The visitor asked by https.
    pub https: bool,
    /// The proxy speaks for somebody else: its own rights are not the visitor's.
    pub proxied: bool,
}

/// Where a request comes from, after what a proxy in front says of it has been heard, if it is believed; `known` is what the
/// connection says.
pub fn heard(front: &Front, known: Came, fields: &Fields, via: &mut Vec<u8>) -> Came {
    match came(front, known.address, known.https, fields, via) {
        Some(came) => Came { proxied: came.proxied || known.proxied, ..came },
        None => known,
    }
}

/// Reads what `peer` says, who is spoken to by https himself, or not; `None` when it is not believed. Appends to `via` the
/// proxies between visitor and edge, each behind a comma: what follows the visitor's address in `X-Forwarded-For`.
pub fn came(
    front: &Front,
    peer: IpAddr,
    peer_https: bool,
    fields: &Fields,
    via: &mut Vec<u8>,
) -> Option<Came> {
    if !front.trusts(peer) {
        return None;
    }
    let peer = peer.to_canonical();
    let (address, proxied, https) = match &front.address_field {
        Some(name) if name.eq_ignore_ascii_case("forwarded") => {
            forwarded::read(front, peer_https, fields, via)
        }
        Some(name) => {
            let (address, proxied) = named(fields, name.as_bytes());
            (address, proxied, is_https(fields, peer_https))
        }
        None => {
            let (address, proxied) = forwarded_for(front, fields, via);
            (address, proxied, is_https(fields, peer_https))
        }
    };
    if address.is_some() {
        append(via, peer);
    }
    Some(Came { address: address.unwrap_or(peer), https, proxied })
}

/// The address in the one field for it, and whether that is there at all. Twice, it can be the visitor's own.
fn named(fields: &Fields, name: &[u8]) -> (Option<IpAddr>, bool) {
    let mut lines = fields.find(name);
    match (lines.next(), lines.next()) {
        (Some(line), None) => (address(line), true),
        (first, _) => (None, first.is_some()),
    }
}

/// The last address that is not believed itself, and whether any was named. Everything before it is what that visitor
/// claims. Where something else stands among the proxies, the one behind it is as near to the visitor as can be known.
fn forwarded_for(front: &Front, fields: &Fields, via: &mut Vec<u8>) -> (Option<IpAddr>, bool) {
    let lines = fields.all(Name::XForwardedFor).count();
    let from_the_end = (lines.saturating_sub(LINES_MAX)..lines).rev();
    let items = from_the_end
        .filter_map(|at| fields.all(Name::XForwardedFor).nth(at))
        .flat_map(|line| line.rsplit(|&byte| byte == b','))
        .take(ADDRESSES_MAX);
    // Those that are believed, from the edge outwards.
    let mut hops = [None; ADDRESSES_MAX];
    let mut count = 0;
    for item in items {
        if item.trim_ascii().is_empty() {
            continue;
        }
        let Some(address) = address(item) else { break };
        hops[count] = Some(address);
        count += 1;
        if !front.trusts(address) {
            break;
        }
    }
    let mut outermost_first = hops[..count].iter().rev().copied().flatten();
    let visitor = outermost_first.next();
    outermost_first.for_each(|hop| append(via, hop));
    (visitor, lines > 0)
}

/// By https only where nobody says otherwise: between several proxies the one that speaks in the clear counts. Where nobody
/// says anything, as the peer does.
fn is_https(fields: &Fields, peer_https: bool) -> bool {
    let mut said = fields
        .all(Name::XForwardedProto)
        .flat_map(|line| line.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .peekable();
    if said.peek().is_none() {
        return peer_https;
    }
    said.all(|scheme| scheme.eq_ignore_ascii_case(b"https"))
}

/// An address as proxies write it: with a port or without, an IPv6 one in brackets or without.
fn address(written: &[u8]) -> Option<IpAddr> {
    let written = std::str::from_utf8(written.trim_ascii()).ok()?;
    let bracketed = written.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let alone = bracketed.unwrap_or(written).parse::<IpAddr>().ok();
    let alone = alone.filter(|address| bracketed.is_none() || address.is_ipv6());
    let address = alone.or_else(|| written.parse::<SocketAddr>().ok().map(|with_port| with_port.ip()));
    address.map(|address| address.to_canonical())
}

fn append(via: &mut Vec<u8>, address: IpAddr) {
    // Writing into a Vec cannot fail.
    let _ = write!(via, ", {address}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::Network;

    fn front(field: Option<&str>) -> Front {
        let network = |(address, bits): (&str, u8)| Network { address: address.parse().unwrap(), bits };
        let trusted = [("10.0.0.0", 8), ("2001:db8::", 32)].map(network).to_vec();
        Front { trusted, address_field: field.map(str::to_owned), ..Front::default() }
    }

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        all.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        fields
    }

    /// The visitor's address and what follows it.
    fn seen(field: Option<&str>, peer: &str, all: &[(&str, &str)]) -> Option<String> {
        let mut via = Vec::new();
        let came = came(&front(field), peer.parse().unwrap(), false, &fields(all), &mut via)?;
        Some(format!("{}{}", came.address, String::from_utf8(via).unwrap()))
    }

    fn chain(written: &str) -> String {
        seen(None, "10.0.0.1", &[("X-Forwarded-For", written)]).unwrap()
    }

    #[test]
    fn only_those_who_are_named_are_believed() {
        let says = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https")];
        assert_eq!(seen(None, "192.0.2.1", &says), None);
        assert_eq!(seen(None, "10.0.0.1", &says).unwrap(), "203.0.113.9, 10.0.0.1");
        assert_eq!(seen(None, "::ffff:10.0.0.1", &says).unwrap(), "203.0.113.9, 10.0.0.1");
        assert_eq!(
            came(&Front::default(), "10.0.0.1".parse().unwrap(), false, &fields(&says), &mut vec![]),
            None
        );
    }

    #[test]
    fn the_last_address_that_is_not_believed_is_the_visitors() {
        assert_eq!(chain("203.0.113.9"), "203.0.113.9, 10.0.0.1");
        assert_eq!(chain("1.1.1.1, 203.0.113.9"), "203.0.113.9, 10.0.0.1", "he made up the first");
        assert_eq!(chain("10.9.9.9, 203.0.113.9"), "203.0.113.9, 10.0.0.1", "and named one of ours");
        assert_eq!(chain("203.0.113.9,10.0.0.3 ,10.0.0.2"), "203.0.113.9, 10.0.0.3, 10.0.0.2, 10.0.0.1");
        assert_eq!(chain("10.0.0.3, 10.0.0.2"), "10.0.0.3, 10.0.0.2, 10.0.0.1", "one from within");
        let lines = [("X-Forwarded-For", "1.1.1.1"), ("x-forwarded-for", "203.0.113.9, 10.0.0.2")];
        assert_eq!(seen(None, "10.0.0.1", &lines).unwrap(), "203.0.113.9, 10.0.0.2, 10.0.0.1");
        assert_eq!(seen(None, "10.0.0.1", &[]).unwrap(), "10.0.0.1");
    }

    #[test]
    fn addresses_are_read_as_proxies_write_them() {
        for (written, read) in [
            ("203.0.113.9:51324", "203.0.113.9"),
            ("2001:db9::1", "2001:db9::1"),
            ("[2001:db9::1]", "2001:db9::1"),
            ("[2001:db9::1]:443", "2001:db9::1"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            (" \t203.0.113.9\t", "203.0.113.9"),
        ] {
            assert_eq!(address(written.as_bytes()).unwrap().to_string(), read, "{written}");
        }
        for written in [
            "",
            "unknown",
            "_hidden",
            "203.0.113",
            "[203.0.113.9]",
            "203.0.113.9:x",
            "fe80::1%eth0",
            "\u{e9}",
        ] {
            assert_eq!(address(written.as_bytes()), None, "{written}");
        }
    }

    #[test]
    fn what_cannot_be_read_ends_the_chain_that_is_believed() {
        assert_eq!(chain("203.0.113.9, unknown"), "10.0.0.1");
        assert_eq!(chain("203.0.113.9, unknown, 10.0.0.2"), "10.0.0.2, 10.0.0.1");
        assert_eq!(chain(",, ,203.0.113.9, ,"), "203.0.113.9, 10.0.0.1", "empty items are none");
    }

    #[test]
    fn a_chain_without_end_is_looked_at_from_its_end_and_not_for_long() {
        let many = "203.0.113.9, ".repeat(2_000) + "10.0.0.2";
        assert_eq!(chain(&many), "203.0.113.9, 10.0.0.2, 10.0.0.1");
        let ours = "203.0.113.9, ".to_owned() + &"10.0.0.7, ".repeat(2_000) + "10.0.0.2";
        let seen = chain(&ours);
        assert!(seen.starts_with("10.0.0.7, 10.0.0.7"), "{seen}");
        assert_eq!(seen.split(", ").count(), ADDRESSES_MAX + 1);
    }

    #[test]
    fn one_field_is_read_where_one_is_named() {
        let field = Some("CF-Connecting-IP");
        let both = [("cf-connecting-ip", "203.0.113.9"), ("X-Forwarded-For", "1.1.1.1")];
        assert_eq!(seen(field, "10.0.0.1", &both).unwrap(), "203.0.113.9, 10.0.0.1");
        assert_eq!(seen(field, "10.0.0.1", &both[1..]).unwrap(), "10.0.0.1");
        let twice = [("CF-Connecting-IP", "1.1.1.1"), ("CF-Connecting-IP", "203.0.113.9")];
        assert_eq!(seen(field, "10.0.0.1", &twice).unwrap(), "10.0.0.1");
        assert_eq!(seen(field, "10.0.0.1", &[("CF-Connecting-IP", "1.1.1.1, 2.2.2.2")]).unwrap(), "10.0.0.1");
    }

    #[test]
    fn who_speaks_for_another_is_told_from_who_speaks_for_himself() {
        let proxied = |field: Option<&str>, all: &[(&str, &str)]| {
            came(&front(field), "10.0.0.1".parse().unwrap(), false, &fields(all), &mut vec![])
                .unwrap()
                .proxied
        };
        assert!(!proxied(None, &[]));
        assert!(proxied(None, &[("X-Forwarded-For", "garbage")]));
        assert!(proxied(Some("X-Real-IP"), &[("X-Real-IP", "garbage")]));
        assert!(!proxied(Some("X-Real-IP"), &[]));
    }

    #[test]
    fn https_is_believed_where_nobody_says_otherwise() {
        let https = |all: &[(&str, &str)]| is_https(&fields(all), false);
        assert!(https(&[("X-Forwarded-Proto", "https")]) && https(&[("X-Forwarded-Proto", "HTTPS, https")]));
        assert!(!https(&[]) && !https(&[("X-Forwarded-Proto", "")]));
        assert!(is_https(&fields(&[]), true), "a proxy that says nothing speaks as it does itself");
        assert!(!is_https(&fields(&[("X-Forwarded-Proto", "http")]), true));
        assert!(!https(&[("X-Forwarded-Proto", "https, http")]));
        assert!(!https(&[("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "javascript")]));
    }
}
