//! How the hosts of a run are reached: from which addresses of this machine, in the clear or over TLS, by which version of
//! HTTP. Connects; sends nothing itself.

use crate::ports::{self, Ports};
use crate::result::FailureCause;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Protocol, Socket, Type};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use tentpole_model::TlsFault;
use tentpole_runtime::secure::Session;
use tentpole_tls::{Client, Offer};
use tokio::net::{TcpSocket, TcpStream};

/// Source addresses of a run at most.
pub const SOURCES_MAX: usize = 4_096;
/// Which version of HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Version {
    /// Over TLS what the host likes better, HTTP/2 or HTTP/1.1, as with browsers; HTTP/1.1 in the clear.
    #[default]
    Usual,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2; in the clear as if both sides knew (RFC 9113 section 3.3).
    Http2,
}

/// How hosts are reached.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    /// What sessions are begun with; `None` in the clear.
    pub tls: Option<Client>,
    /// Which version of HTTP is spoken.
    pub version: Version,
    /// Addresses of this machine that connections come from: each visitor has one of them. Empty leaves it to the system.
    pub sources: Vec<IpAddr>,
    /// Why a certificate was not believed, of all who connect in this way.
    pub disbelief: Disbelief,
    /// Which ports connections come from.
    pub ports: Ports,
}

/// Why the first certificate that was not believed was not. Copies share it.
#[derive(Clone, Debug, Default)]
pub struct Disbelief(Arc<OnceLock<TlsFault>>);

impl Disbelief {
    /// The first reason; `None` while all were believed.
    pub fn why(&self) -> Option<TlsFault> {
        self.0.get().copied()
    }

    pub(crate) fn is(&self, fault: TlsFault) {
        let _ = self.0.set(fault); // Another one was the first.
    }
}

impl Transport {
    /// Whether whoever answers is believed.
    pub fn is_unverified(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| !tls.settings().verify)
    }

    /// The beginning of a session with this host; `None` in the clear.
    pub(crate) fn session(
        &self,
        host: &str,
        version: Version,
    ) -> Result<Option<Box<dyn Session>>, FailureCause> {
        let Some(tls) = &self.tls else { return Ok(None) };
        let offer = match version {
            Version::Usual => Offer::Either,
            Version::Http1 => Offer::Http1,
            Version::Http2 => Offer::Http2,
        };
        // Fails for a host that no certificate can name.
        tls.session(host, offer).map(Some).map_err(|_| FailureCause::Certificate)
    }

    /// Connects as the visitor of this number.
    ///
    /// # Errors
    /// The system's.
    pub(crate) async fn connect(&self, to: SocketAddr, number: u64) -> io::Result<TcpStream> {
        let from = self.source(to, number);
        match socket(from, to, Some(&self.ports))?.connect(to).await {
            // No port is free in that window: anywhere.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                socket(from, to, None)?.connect(to).await
            }
            done => done,
        }
    }

    fn source(&self, to: SocketAddr, number: u64) -> Option<IpAddr> {
        let like = |from: &&IpAddr| from.is_ipv4() == to.is_ipv4();
        let count = self.sources.iter().filter(like).count();
        let nth = (number % count.max(1) as u64) as usize;
        self.sources.iter().filter(like).nth(nth).copied()
    }

    /// How many connections at once this machine can have to one address and port of the run, by its ports; what other
    /// programs hold, and what was closed in the last minute, is less.
    pub fn connections_max(&self, to: SocketAddr) -> u64 {
        let like = self.sources.iter().filter(|from| from.is_ipv4() == to.is_ipv4()).count();
        u64::from(ports::count()) * like.max(1) as u64
    }
}

/// A socket that comes from this address, or from whichever the system chooses. Its port is chosen when it connects: then it need
/// only differ from those of connections to the same place (`IP_BIND_ADDRESS_NO_PORT`, ip(7)).
fn socket(from: Option<IpAddr>, to: SocketAddr, ports: Option<&Ports>) -> io::Result<TcpSocket> {
    let kind = Type::STREAM.nonblocking().cloexec();
    let socket = Socket::new(Domain::for_address(to), kind, Some(Protocol::TCP))?;
    if let Some(ports) = ports {
        ports.narrow(&socket);
    }
    if let Some(from) = from {
        nix::sys::socket::setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    Ok(TcpSocket::from_std_stream(socket.into()))
}

/// Addresses as they were typed: `127.0.0.2,127.0.0.3` or `10.0.0.0/28`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sources(pub Vec<IpAddr>);

/// Reads a list of addresses and ranges; each is tried by binding to it.
///
/// # Errors
/// What to write instead, or which address is not one of this machine's.
pub fn sources(text: &str) -> Result<Sources, String> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim) {
        match part.split_once('/') {
            None => all.push(part.parse().map_err(|_| Wrong::NotOne(part))?),
            Some((base, bits)) => all.extend(range(part, base, bits)?),
        }
        if all.len() > SOURCES_MAX {
            return Err(Wrong::TooMany.to_string());
        }
    }
    all.dedup();
    match all.iter().find(|address| !is_ours(**address)) {
        Some(foreign) => Err(Wrong::Foreign(*foreign).to_string()),
        None => Ok(Sources(all)),
    }
}

/// The addresses of a range of IPv4; of one that is a network of its own, without those that name the network and
/// everybody in it.
fn range<'t>(part: &'t str, base: &str, bits: &str) -> Result<Vec<IpAddr>, Wrong<'t>> {
    let base: Ipv4Addr = base.parse().map_err(|_| Wrong::NotOne(part))?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32).ok_or(Wrong::NotOne(part))?;
    let count = 1_u64 << (32 - bits);
    if count > SOURCES_MAX as u64 {
        return Err(Wrong::TooMany);
    }
    let first = u32::from(base)
        & u32::try_from(u64::from(u32::MAX) << (32 - bits) & u64::from(u32::MAX)).unwrap_or(0);
    let all = (0..count as u32).map(|nth| IpAddr::from(Ipv4Addr::from(first + nth)));
    Ok(if count > 2 { all.skip(1).take(count as usize - 2).collect() } else { all.collect() })
}

fn is_ours(address: IpAddr) -> bool {
    std::net::UdpSocket::bind(SocketAddr::new(address, 0)).is_ok()
}

enum Wrong<'t> {
    NotOne(&'t str),
    TooMany,
    Foreign(IpAddr),
}

impl fmt::Display for Wrong<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOne(part) => {
                write!(f, "\"{part}\" is not an address; write 127.0.0.2,127.0.0.3 or 10.0.0.0/28")
            }
            Self::TooMany => write!(f, "these are more than {SOURCES_MAX} addresses"),
            Self::Foreign(address) => {
                write!(
                    f,
                    "{address} is no address of this machine; add it (`ip address add`), or leave it out"
                )
            }
        }
    }
}

impl From<Wrong<'_>> for String {
    fn from(wrong: Wrong<'_>) -> Self {
        wrong.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let Sources(all) = sources(text).unwrap_or_else(|says| panic!("{says}"));
        all.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_are_listed_or_a_range() {
        assert_eq!(read("127.0.0.2, 127.0.0.3"), ["127.0.0.2", "127.0.0.3"]);
        assert_eq!(read("127.0.1.9/30"), ["127.0.1.9", "127.0.1.10"]);
        assert_eq!(read("127.0.1.9/31"), ["127.0.1.8", "127.0.1.9"]);
        assert_eq!(read("127.0.1.9/32"), ["127.0.1.9"]);
        assert_eq!(read("127.0.16.0/20").len(), 4_094);
        for wrong in ["", "a", "127.0.0.1/33", "127.0.0.0/8", "10.0.0.1/x", "::1/64", "127.0.0.2,,"] {
            assert!(sources(wrong).is_err(), "{wrong}");
        }
        assert!(sources("192.0.2.1").unwrap_err().contains("no address of this machine"));
    }

    #[test]
    fn each_source_has_its_own_ports() {
        let to = SocketAddr::from(([127, 0, 0, 1], 80));
        let one = Transport::default().connections_max(to);
        assert!(one > 0);
        let sources =
            ["127.0.0.2", "::1", "127.0.0.3"].map(|text| text.parse().expect("an address")).to_vec();
        let many = Transport { sources, ..Transport::default() };
        assert_eq!(many.connections_max(to), one * 2, "an address of IPv6 is none for IPv4");
        let from = |number| many.source(to, number).map(|from| from.to_string());
        assert_eq!([from(0), from(1), from(2)].map(Option::unwrap), ["127.0.0.2", "127.0.0.3", "127.0.0.2"]);
    }
}
