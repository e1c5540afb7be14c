//! `Host` values → sites. Reads what visitors send (a port, any case, a trailing dot, brackets) without allocating;
//! a name that no site claims goes to the site that claims none.

use crate::error::CompileError;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use std::io::Write;
use std::net::Ipv6Addr;
use tentpole_model::{HostPattern, Site, SiteId};

/// Bytes of a host name at most: 253 by RFC 1035, plus the dot at its end, rounded to what a length byte holds.
const NAME_MAX: usize = 255;

/// Which site each host belongs to.
#[derive(Debug)]
pub struct Hosts {
    exact: HashMap<Box<[u8]>, SiteId, FixedState>,
    /// By the name below which everything matches.
    below: HashMap<Box<[u8]>, SiteId, FixedState>,
    /// Labels of the longest name in `below`: longer ones need not be looked up.
    below_labels_max: usize,
    default: Option<SiteId>,
}

impl Hosts {
    /// From all sites.
    pub fn compile(sites: &[Site]) -> Result<Self, CompileError> {
        let mut hosts =
            Self { exact: HashMap::default(), below: HashMap::default(), below_labels_max: 0, default: None };
        for (index, site) in sites.iter().enumerate() {
            let id = SiteId(u16::try_from(index).map_err(|_| CompileError::TooMany)?);
            if site.hosts.is_empty() {
                hosts.set_default(sites, id)?;
            }
            for pattern in &site.hosts {
                hosts.claim(sites, id, pattern)?;
            }
        }
        Ok(hosts)
    }

    /// The site for a `Host` value as received.
    #[inline]
    pub fn find(&self, host: &[u8]) -> Option<SiteId> {
        let mut buffer = [0; NAME_MAX];
        let name = normal(host, &mut buffer);
        name.and_then(|name| self.claimed(name)).or(self.default)
    }

    fn claimed(&self, name: &[u8]) -> Option<SiteId> {
        if let Some(&site) = self.exact.get(name) {
            return Some(site);
        }
        if self.below.is_empty() {
            return None;
        }
        let cuts = || name.iter().enumerate().filter(|(_, byte)| **byte == b'.');
        // The first cut leaves the longest rest, so the longest pattern is found first; rests with more labels than
        // any pattern are skipped, so that a name of many dots costs no more than others.
        let too_long = cuts().count().saturating_sub(self.below_labels_max);
        cuts().skip(too_long).find_map(|(dot, _)| self.below.get(&name[dot + 1..]).copied())
    }

    fn set_default(&mut self, sites: &[Site], id: SiteId) -> Result<(), CompileError> {
        match self.default.replace(id) {
            None => Ok(()),
            Some(first) => Err(CompileError::TwoDefaultSites {
                first: sites[usize::from(first.0)].name.clone(),
                second: sites[usize::from(id.0)].name.clone(),
            }),
        }
    }

    fn claim(&mut self, sites: &[Site], id: SiteId, pattern: &HostPattern) -> Result<(), CompileError> {
        let site = &sites[usize::from(id.0)];
        let (text, is_wildcard) = match pattern {
            HostPattern::Exact(name) => (name, false),
            HostPattern::Below(name) => (name, true),
        };
        let shown = || if is_wildcard { format!("*.{text}") } else { text.clone() };
        let name = written(text, is_wildcard)
            .ok_or_else(|| CompileError::BadHost { site: site.name.clone(), host: shown() })?;
        if is_wildcard {
            let labels = name.split(|&byte| byte == b'.').count();
            self.below_labels_max = self.below_labels_max.max(labels);
        }
        let map = if is_wildcard { &mut self.below } else { &mut self.exact };
        match map.entry(name) {
            Entry::Vacant(free) => {
                free.insert(id);
                Ok(())
            }
            Entry::Occupied(taken) => Err(CompileError::HostClaimedTwice {
                host: shown(),
                first: sites[usize::from(taken.get().0)].name.clone(),
                second: site.name.clone(),
            }),
        }
    }
}

/// The name in a `Host` value: without port, brackets and trailing dot, in lower case; an IPv6 address in its one
/// canonical form (RFC 5952). `None` when it is no name that a site could have claimed.
#[inline]
fn normal<'a>(host: &[u8], buffer: &'a mut [u8; NAME_MAX]) -> Option<&'a [u8]> {
    if let [b'[', rest @ ..] = host {
        let end = rest.iter().position(|&byte| byte == b']')?;
        return address(&rest[..end], buffer);
    }
    let end = host.iter().position(|&byte| byte == b':').unwrap_or(host.len());
    let name = host[..end].strip_suffix(b".").unwrap_or(&host[..end]);
    let lower = buffer.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(lower)
}

fn address<'a>(text: &[u8], buffer: &'a mut [u8; NAME_MAX]) -> Option<&'a [u8]> {
    let address: Ipv6Addr = std::str::from_utf8(text).ok()?.parse().ok()?;
    let mut free = &mut buffer[..];
    write!(free, "{address}").ok()?;
    let length = NAME_MAX - free.len();
    Some(&buffer[..length])
}

/// A host as a configuration writes it, in the form that [`normal`] gives; `None` when no visitor could send it.
fn written(text: &str, is_wildcard: bool) -> Option<Box<[u8]>> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.contains(':') {
        let mut buffer = [0; NAME_MAX];
        return if is_wildcard { None } else { address(bare.as_bytes(), &mut buffer).map(Box::from) };
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase().into_bytes();
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let mut labels = name.split(|&byte| byte == b'.');
    let valid = name.len() < NAME_MAX && labels.all(|label| !label.is_empty() && label.iter().all(allowed));
    valid.then(|| name.into())
}
