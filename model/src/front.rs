//! What stands in front of the edge: which proxies are believed in what they say of visitors. Already checked.

use crate::purging::{Network, Secret};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Content networks and balancers in front. Nobody is believed by default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Front {
    /// Peers that are believed.
    pub trusted: Vec<Network>,
    /// The one field in which they name the visitor's address; `None` is `X-Forwarded-For`.
    pub address_field: Option<String>,
    /// They begin each connection with the PROXY protocol.
    pub proxy_protocol: bool,
    /// What each request must bring; who does not is refused.
    pub require: Vec<SecretField>,
    /// Networks of which each address is many visitors' (those behind a carrier's NAT): nothing is counted by it.
    pub shared: Vec<Network>,
    /// Paths that may be asked for without it, with GET and HEAD: exactly these, as they are sent.
    pub require_except: Vec<String>,
}

/// A field whose value is a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretField {
    /// Its name.
    pub name: String,
    /// Where its value is.
    pub value: Secret,
}

impl Default for Front {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            address_field: None,
            proxy_protocol: false,
            require: Vec::new(),
            shared: vec![Self::CARRIERS],
            require_except: Vec::new(),
        }
    }
}

impl Front {
    /// The addresses that carriers' NATs have among themselves (RFC 6598, section 7): each is many customers.
    pub const CARRIERS: Network =
        Network { address: IpAddr::V4(std::net::Ipv4Addr::new(100, 64, 0, 0)), bits: 10 };

    /// Whether a GET or HEAD of this path needs nothing of [`Front::require`].
    pub fn is_open(&self, path: &[u8]) -> bool {
        self.require_except.iter().any(|open| open.as_bytes() == path)
    }

    /// Whether what this peer says of a visitor is believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(peer))
    }
}
