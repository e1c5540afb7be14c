//! Who may purge over HTTP, and which content networks hear of purges. Already checked; holds no secret, only where
//! one is.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// Purge requests on the visitors' port. Nobody may by default: behind another proxy every visitor has its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purging {
    /// Addresses that may.
    pub from: Vec<Network>,
    /// Whoever sends this may, from wherever.
    pub secret: Option<Secret>,
    /// Responses keep their tags on the way out: a content network in front needs them.
    pub sends_tags: bool,
}

/// Addresses that begin alike (RFC 4632): `10.0.0.0/8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// One of them; bits beyond `bits` do not matter.
    pub address: IpAddr,
    /// How many bits they share: 32 or 128 is one address.
    pub bits: u8,
}

/// Where a secret is. The configuration names the place, never the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Secret {
    /// An environment variable.
    Variable(String),
    /// A file, without the white space around its text.
    File(PathBuf),
}

/// A content network in front that is told of each purge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentNetwork {
    /// The name in the configuration.
    pub name: String,
    /// Which, and how it is told.
    pub service: ContentService,
    /// The sites in front of which it stands, by name; `None` is all.
    pub sites: Option<Vec<String>>,
    /// Where its API is: scheme, host and port, without a slash at the end.
    pub api: String,
}

/// A content network's own terms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentService {
    /// Fastly.
    Fastly {
        /// The service's id.
        service: String,
        /// An API token.
        token: Secret,
    },
    /// Amazon CloudFront.
    CloudFront {
        /// The distribution's id.
        distribution: String,
        /// The access key's id.
        key_id: Secret,
        /// The access key.
        key: Secret,
        /// The session token that temporary keys have; one that is not there is no error.
        session: Option<Secret>,
        /// The distribution reads tags (its `CacheTagConfig`), so that they can be invalidated.
        tags: bool,
    },
    /// Cloudflare.
    Cloudflare {
        /// The zone's id.
        zone: String,
        /// An API token.
        token: Secret,
    },
}

/// How telling a content network goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayStatus {
    /// Its name in the configuration.
    pub name: String,
    /// `fastly`, `cloudfront` or `cloudflare`.
    pub service: String,
    /// Purges that wait to be told.
    pub waiting: u64,
    /// Purges that it has been told of.
    pub passed_on: u64,
    /// Purges that it was not told of: it refused, could not be reached, has no such purge, or too many waited.
    pub failed: u64,
    /// What went wrong last, and when, in milliseconds since 1970; `None` when nothing has since the last success.
    pub trouble: Option<(u64, String)>,
}

/// Tells content networks of purges.
pub trait RelayPort: Send + Sync {
    /// Takes note of a purge that is done here; returns at once.
    fn pass_on(&self, order: &crate::PurgeOrder);

    /// How it goes, in the order of the configuration.
    fn status(&self) -> Vec<RelayStatus>;
}

impl Purging {
    /// Whether anybody may purge.
    pub fn is_on(&self) -> bool {
        !self.from.is_empty() || self.secret.is_some()
    }
}

impl Network {
    /// Whether an address is one of them. An IPv4 address in IPv6 form is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let differ = match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                u128::from(ours.to_bits() ^ theirs.to_bits()) << (u128::BITS - u32::BITS)
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => ours.to_bits() ^ theirs.to_bits(),
            _ => return false,
        };
        differ.leading_zeros() >= u32::from(self.bits)
    }
}

impl ContentService {
    /// The word for it.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Fastly { .. } => "fastly",
            Self::CloudFront { .. } => "cloudfront",
            Self::Cloudflare { .. } => "cloudflare",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str, bits: u8) -> Network {
        Network { address: address.parse().unwrap(), bits }
    }

    #[test]
    fn a_network_holds_what_begins_alike_and_nothing_else() {
        for (address, bits, inside, outside) in [
            ("10.0.0.0", 8, "10.255.3.4", "11.0.0.0"),
            ("10.1.2.3", 32, "10.1.2.3", "10.1.2.2"),
            ("192.168.0.0", 17, "192.168.127.255", "192.168.128.0"),
            ("2001:db8::", 32, "2001:db8:ffff::1", "2001:db9::"),
            ("::1", 128, "::1", "::2"),
            ("10.0.0.0", 8, "::ffff:10.0.0.1", "::ffff:11.0.0.1"),
        ] {
            let network = network(address, bits);
            assert!(network.contains(inside.parse().unwrap()), "{address}/{bits} {inside}");
            assert!(!network.contains(outside.parse().unwrap()), "{address}/{bits} {outside}");
        }
        assert!(network("0.0.0.0", 0).contains("203.0.113.9".parse().unwrap()));
        assert!(!network("0.0.0.0", 0).contains("2001:db8::1".parse().unwrap()), "another family");
    }
}
