//! The hosts that a run may load, and where they are: found once, before anything is sent. All of them are at the
//! address of the URL's host; the others are only names for it, as the hosts of a site are names for its edge. So a
//! virtual user never asks anybody else, whatever a journey, a page or a redirect says.

use crate::url::Url;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// Hosts of one run at most.
pub const HOSTS_MAX: usize = 32;
/// Addresses of a host that are tried.
const ADDRESSES_MAX: usize = 8;

/// One host and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Its name, in small letters.
    pub name: String,
    /// What is sent in `Host`.
    pub authority: String,
    /// Where it is; never empty.
    pub addresses: Vec<SocketAddr>,
}

/// All hosts that a run may load, on one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hosts {
    /// The first is the URL's.
    pub all: Vec<Host>,
    /// Their port.
    pub port: u16,
    /// Whether they are asked over TLS.
    pub https: bool,
}

impl Hosts {
    /// The host of a URL, and further names for it.
    ///
    /// # Errors
    /// As of [`Hosts::find`].
    pub fn of<'a>(url: &'a Url, others: impl IntoIterator<Item = &'a String>) -> io::Result<Self> {
        let mut hosts = Self::find(&url.host, others, url.port)?;
        hosts.speak(url.https);
        Ok(hosts)
    }

    /// The same where a name server has said where the host is.
    pub fn at<'a>(url: &'a Url, others: impl IntoIterator<Item = &'a String>, addresses: &[IpAddr]) -> Self {
        let addresses =
            addresses.iter().take(ADDRESSES_MAX).map(|ip| SocketAddr::new(*ip, url.port)).collect();
        let mut hosts = Self::named(&url.host, others, url.port, addresses);
        hosts.speak(url.https);
        hosts
    }

    fn speak(&mut self, https: bool) {
        self.https = https;
        for host in &mut self.all {
            host.authority = crate::url::authority(https, &host.name, self.port);
        }
    }

    /// Finds the addresses of the first host; the others are further names for it. `localhost` and everything under
    /// it is this machine (RFC 6761 section 6.3), whatever the system's resolver says.
    ///
    /// # Errors
    /// The resolver's: the name has no address.
    pub fn find<'a>(
        first: &'a str,
        others: impl IntoIterator<Item = &'a String>,
        port: u16,
    ) -> io::Result<Self> {
        Ok(Self::named(first, others, port, addresses(first, port)?))
    }

    fn named<'a>(
        first: &'a str,
        others: impl IntoIterator<Item = &'a String>,
        port: u16,
        addresses: Vec<SocketAddr>,
    ) -> Self {
        let mut all: Vec<Host> = Vec::new();
        for name in std::iter::once(first).chain(others.into_iter().map(String::as_str)) {
            if all.iter().any(|host| host.name == name) || all.len() == HOSTS_MAX {
                continue;
            }
            let authority = crate::url::authority(false, name, port);
            all.push(Host { name: name.to_owned(), authority, addresses: addresses.clone() });
        }
        Self { all, port, https: false }
    }

    /// Dials this address first from now on: the one of several that answered.
    pub fn prefer(&mut self, address: SocketAddr) {
        for host in &mut self.all {
            host.addresses.sort_by_key(|other| *other != address);
        }
    }

    /// Which one this is, if it may be loaded.
    pub fn place(&self, name: &str, port: u16) -> Option<usize> {
        self.all.iter().position(|host| port == self.port && host.name == name)
    }

    /// Which one a URL leads to, if it may be loaded: the scheme must be that of the run too.
    pub fn place_of(&self, url: &Url) -> Option<usize> {
        if url.https == self.https { self.place(&url.host, url.port) } else { None }
    }

    /// Whether all are this machine: every address of every one.
    pub fn are_loopback(&self) -> bool {
        self.all.iter().all(Host::is_loopback)
    }
}

impl Host {
    /// Whether it is this machine: every one of its addresses.
    pub fn is_loopback(&self) -> bool {
        self.addresses.iter().all(|address| is_loopback(address.ip()))
    }
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
    }
}

fn addresses(name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if name == "localhost" || name.ends_with(".localhost") {
        let both = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        return Ok(both.map(|address| SocketAddr::new(address, port)).to_vec());
    }
    let found: Vec<SocketAddr> = (name, port).to_socket_addrs()?.take(ADDRESSES_MAX).collect();
    if found.is_empty() { Err(io::Error::new(io::ErrorKind::NotFound, "no address")) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(first: &str, others: &[&str]) -> Hosts {
        let others: Vec<String> = others.iter().map(|name| (*name).to_owned()).collect();
        Hosts::find(first, &others, 8080).expect("these need no resolver")
    }

    #[test]
    fn everything_under_localhost_is_this_machine() {
        let hosts = found("shop.localhost", &["laden.localhost", "shop.localhost"]);
        assert_eq!(hosts.all.len(), 2, "a host that is named twice is one");
        assert!(hosts.are_loopback());
        assert_eq!(hosts.all[1].addresses[0], SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert_eq!(hosts.all[1].authority, "laden.localhost:8080");
        assert_eq!(found("::1", &[]).all[0].authority, "[::1]:8080");
    }

    #[test]
    fn one_address_elsewhere_is_not_this_machine() {
        assert!(found("127.0.0.2", &[]).are_loopback());
        assert!(found("::ffff:127.0.0.1", &[]).are_loopback());
        assert!(!found("192.0.2.1", &[]).are_loopback());
        assert!(!found("::2", &[]).are_loopback());
        let mut both = found("localhost", &[]);
        both.all[0].addresses.push(SocketAddr::from(([192, 0, 2, 1], 8080)));
        assert!(!both.are_loopback(), "every answer counts");
    }

    #[test]
    fn further_hosts_are_names_for_the_same_place() {
        let hosts = found("192.0.2.1", &["shop.localhost"]);
        assert_eq!(hosts.all[0].addresses, hosts.all[1].addresses, "and lead nowhere else");
        assert!(!hosts.are_loopback());
    }

    #[test]
    fn the_address_that_answered_is_dialed_first_and_the_others_stay_in_their_order() {
        let mut hosts = found("localhost", &["shop.localhost"]);
        let (first, second) = (hosts.all[0].addresses[0], hosts.all[0].addresses[1]);
        hosts.prefer(second);
        assert_eq!(hosts.all[1].addresses, [second, first]);
        hosts.prefer(SocketAddr::from(([192, 0, 2, 1], 1)));
        assert_eq!(hosts.all[0].addresses, [second, first], "one that is not of the run is not dialed");
    }

    #[test]
    fn only_hosts_of_the_run_have_a_place() {
        let hosts = found("shop.localhost", &[]);
        assert_eq!(hosts.place("shop.localhost", 8080), Some(0));
        assert_eq!(hosts.place("shop.localhost", 80), None);
        assert_eq!(hosts.place("elsewhere.localhost", 8080), None);
    }
}
