//! Which certificate answers for a host. Wildcards stand for one label, as browsers read them (RFC 9525 section 6.3).

use crate::pair::Pair;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

/// Certificates by what they are for; several for one name where their keys are of different kinds.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// `*.shop.example` under `shop.example`.
    wildcards: HashMap<String, Vec<Arc<CertifiedKey>>>,
    /// For those who name no host, or one that nobody answers for.
    others: Vec<Arc<CertifiedKey>>,
}

impl Names {
    /// The first pair that is in force answers for unknown hosts. An expired certificate comes last for its names.
    pub fn new(pairs: &[Arc<Pair>], now_s: u64) -> Self {
        let mut names = Self::default();
        let (fresh, expired): (Vec<_>, Vec<_>) = pairs.iter().partition(|pair| pair.valid.end > now_s);
        for pair in fresh.into_iter().chain(expired) {
            for name in &pair.names {
                let name = name.to_ascii_lowercase();
                let of_name = match name.strip_prefix("*.") {
                    Some(parent) => names.wildcards.entry(parent.to_owned()),
                    None => names.exact.entry(name),
                };
                of_name.or_default().push(pair.key.clone());
            }
        }
        names.others.extend(pairs.first().map(|pair| pair.key.clone()));
        names
    }

    /// The certificates for a host.
    fn of(&self, host: Option<&str>) -> &[Arc<CertifiedKey>] {
        let Some(host) = host else { return &self.others };
        let lower = host.to_ascii_lowercase();
        let wildcard = || self.wildcards.get(lower.split_once('.')?.1);
        self.exact.get(&lower).or_else(wildcard).unwrap_or(&self.others)
    }

    /// Whether a host has a certificate of its own.
    pub fn covers(&self, host: &str) -> bool {
        !std::ptr::eq(self.of(Some(host)), self.others.as_slice())
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let of_host = self.of(hello.server_name());
        let schemes = hello.signature_schemes();
        let usable = of_host.iter().find(|key| key.key.choose_scheme(schemes).is_some());
        usable.or(of_host.first()).cloned()
    }
}
