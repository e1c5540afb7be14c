//! Who may purge over HTTP. Decides from the address, the secret and the fields alone.

use std::net::IpAddr;
use tentpole_message::{Fields, Name};
use tentpole_model::Purging;

/// Fields in which a caller sends the secret: ours, and the one of the plug-ins that have a field for it.
const SECRET_FIELDS: [&[u8]; 2] = [b"X-Purge-Key", b"X-VC-Purge-Key"];

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// Nobody may.
    Off,
    /// The secret is not the one.
    Secret,
    /// Not from this address.
    Address,
    /// The address is that of a proxy, and so it is for everybody who comes through it.
    Proxied,
}

/// Whether a request may purge. `peer` is the connection's, and `proxied` says that it is known to be a proxy's.
pub fn may_purge(
    purging: &Purging,
    secret: Option<&[u8]>,
    peer: IpAddr,
    proxied: bool,
    fields: &Fields,
) -> Result<(), Denied> {
    if !purging.is_on() {
        return Err(Denied::Off);
    }
    let mut sent = SECRET_FIELDS.into_iter().flat_map(|name| fields.find(name)).peekable();
    if sent.peek().is_some() && secret.is_some() {
        let is_right = sent.all(|sent| secret.is_some_and(|secret| same(sent, secret)));
        return if is_right { Ok(()) } else { Err(Denied::Secret) };
    }
    if !purging.from.iter().any(|network| network.contains(peer)) {
        return Err(Denied::Address);
    }
    let through_a_proxy =
        proxied || [Name::XForwardedFor, Name::Forwarded, Name::Via].into_iter().any(|name| fields.has(name));
    if through_a_proxy { Err(Denied::Proxied) } else { Ok(()) }
}

/// Takes as long wherever they differ.
pub fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |differ, (one, other)| differ | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{Network, Secret};

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        all.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        fields
    }

    fn purging(networks: &[(&str, u8)], secret: bool) -> Purging {
        let network =
            |(address, bits): &(&str, u8)| Network { address: address.parse().unwrap(), bits: *bits };
        Purging {
            from: networks.iter().map(network).collect(),
            secret: secret.then(|| Secret::Variable("KEY".into())),
            sends_tags: false,
        }
    }

    fn judged(
        purging: &Purging,
        secret: Option<&str>,
        peer: &str,
        all: &[(&str, &str)],
    ) -> Result<(), Denied> {
        may_purge(purging, secret.map(str::as_bytes), peer.parse().unwrap(), false, &fields(all))
    }

    #[test]
    fn nobody_may_until_somebody_is_named() {
        let nobody = Purging::default();
        assert_eq!(judged(&nobody, None, "127.0.0.1", &[]), Err(Denied::Off));
        assert_eq!(judged(&nobody, None, "127.0.0.1", &[("X-Purge-Key", "")]), Err(Denied::Off));
    }

    #[test]
    fn addresses_that_are_named_may_and_others_may_not() {
        let purging = purging(&[("10.0.0.0", 8), ("127.0.0.1", 32)], false);
        assert_eq!(judged(&purging, None, "10.3.4.5", &[]), Ok(()));
        assert_eq!(judged(&purging, None, "::ffff:10.3.4.5", &[]), Ok(()));
        assert_eq!(judged(&purging, None, "192.0.2.1", &[]), Err(Denied::Address));
        let claims = [("X-Real-IP", "10.3.4.5"), ("X-Forwarded-For", "10.3.4.5")];
        assert_eq!(
            judged(&purging, None, "192.0.2.1", &claims),
            Err(Denied::Address),
            "what he says himself"
        );
    }

    #[test]
    fn whoever_comes_through_a_proxy_has_its_address_and_not_its_right() {
        let purging = purging(&[("127.0.0.1", 32)], false);
        for field in ["X-Forwarded-For", "forwarded", "VIA"] {
            assert_eq!(judged(&purging, None, "127.0.0.1", &[(field, "203.0.113.9")]), Err(Denied::Proxied));
        }
    }

    #[test]
    fn whoever_speaks_for_another_has_no_right_of_his_own() {
        let purging = purging(&[("127.0.0.1", 32)], false);
        let peer = "127.0.0.1".parse().unwrap();
        assert_eq!(may_purge(&purging, None, peer, true, &fields(&[])), Err(Denied::Proxied));
        assert_eq!(may_purge(&purging, None, peer, false, &fields(&[])), Ok(()));
    }

    #[test]
    fn the_secret_lets_in_from_anywhere_and_a_wrong_one_from_nowhere() {
        let purging = purging(&[("10.0.0.1", 32)], true);
        let secret = Some("s3cret");
        for field in ["X-Purge-Key", "x-vc-purge-key"] {
            let through_a_proxy = [(field, "s3cret"), ("X-Forwarded-For", "10.9.9.9")];
            assert_eq!(judged(&purging, secret, "192.0.2.1", &through_a_proxy), Ok(()));
            assert_eq!(judged(&purging, secret, "10.0.0.1", &[(field, "s3creT")]), Err(Denied::Secret));
        }
        let both = [("X-Purge-Key", "s3cret"), ("X-Purge-Key", "other")];
        assert_eq!(judged(&purging, secret, "10.0.0.1", &both), Err(Denied::Secret));
        assert_eq!(judged(&purging, secret, "192.0.2.1", &[]), Err(Denied::Address));
        assert_eq!(
            judged(&purging, None, "192.0.2.1", &[("X-Purge-Key", "")]),
            Err(Denied::Address),
            "not found"
        );
    }
}
