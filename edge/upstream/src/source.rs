//! Where connections to endpoints come from: the addresses of this machine that a pool was told, in turn. Each has its
//! own ports towards an endpoint, some 28,000 by default, and a connection that was closed from here keeps its port
//! for a minute more. Chooses no endpoint.

use nix::sys::socket::sockopt::IpBindAddressNoPort;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use tentpole_model::Cause;
use tentpole_runtime::{clock, notice};
use tokio::net::{TcpSocket, TcpStream};

/// Between two notices about the same, in seconds.
const TOLD_EVERY_S: u64 = 10;

/// The addresses of one pool.
#[derive(Debug, Default)]
pub struct Sources {
    addresses: Vec<IpAddr>,
    next: AtomicUsize,
    /// When it was last told that something is missing.
    told_s: AtomicU64,
}

/// What an attempt to connect came to.
enum Tried {
    Connected(TcpStream),
    /// No port is left from there.
    NoPort,
    /// The address is none of this machine's.
    NotOurs(io::Error),
    Failed(io::Error),
}

impl Sources {
    /// These addresses; none leaves it to the system.
    pub fn new(addresses: &[IpAddr]) -> Self {
        Self { addresses: addresses.to_vec(), ..Self::default() }
    }

    /// Connects from the next address of the endpoint's family, from one after another where no port is left.
    ///
    /// # Errors
    /// [`Cause::NoLocalPort`] when there is none on any of them.
    pub(crate) async fn connect(&self, to: SocketAddr) -> Result<TcpStream, Cause> {
        let like = |from: &&IpAddr| from.is_ipv4() == to.is_ipv4();
        let count = self.addresses.iter().filter(like).count();
        if count == 0 {
            return match TcpStream::connect(to).await {
                Ok(stream) => Ok(stream),
                Err(error) if is_unavailable(&error) => Err(self.no_port(to, 1)),
                Err(error) => Err(Cause::from(&error)),
            };
        }
        let first = self.next.fetch_add(1, Relaxed);
        let mut without_port = 0;
        let mut last = Cause::NoLocalPort;
        for nth in 0..count {
            let from = self.addresses.iter().filter(like).nth((first.wrapping_add(nth)) % count);
            let Some(&from) = from else { continue };
            match connect_from(from, to).await {
                Tried::Connected(stream) => return Ok(stream),
                Tried::Failed(error) => return Err(Cause::from(&error)),
                Tried::NoPort => without_port += 1,
                Tried::NotOurs(error) => {
                    last = Cause::from(&error);
                    self.tell(|| {
                        format!(
                            "{from} of source_addresses is no address of this machine: add it, or take it out"
                        )
                    });
                }
            }
        }
        Err(if without_port > 0 { self.no_port(to, without_port) } else { last })
    }

    fn no_port(&self, to: SocketAddr, addresses: usize) -> Cause {
        self.tell(|| {
            format!(
                "no ephemeral port left towards {to}, from {addresses} address{}: give the pool more source_addresses, widen \
                 net.ipv4.ip_local_port_range, or limit connections_max (docs/connections.md)",
                if addresses == 1 { "" } else { "es" }
            )
        });
        Cause::NoLocalPort
    }

    fn tell(&self, words: impl FnOnce() -> String) {
        let (now, told) = (clock::coarse().as_micros() / 1_000_000 + TOLD_EVERY_S, self.told_s.load(Relaxed));
        let due = now >= told + TOLD_EVERY_S;
        if due && self.told_s.compare_exchange(told, now, Relaxed, Relaxed).is_ok() {
            notice(words());
        }
    }
}

async fn connect_from(from: IpAddr, to: SocketAddr) -> Tried {
    let bound = || -> io::Result<Socket> {
        let socket =
            Socket::new(Domain::for_address(to), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
        // The port is chosen when it connects: then it need only differ from those of connections to the same endpoint.
        nix::sys::socket::setsockopt(&socket, IpBindAddressNoPort, &true)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        Ok(socket)
    };
    match bound() {
        Ok(socket) => match TcpSocket::from_std_stream(socket.into()).connect(to).await {
            Ok(stream) => Tried::Connected(stream),
            Err(error) if is_unavailable(&error) => Tried::NoPort,
            Err(error) => Tried::Failed(error),
        },
        Err(error) if is_unavailable(&error) => Tried::NotOurs(error),
        Err(error) => Tried::Failed(error),
    }
}

fn is_unavailable(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test(flavor = "current_thread")]
    async fn connections_come_from_each_address_in_turn() {
        clock::renew();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let sources: Vec<IpAddr> = ["127.0.0.2", "::1", "127.0.0.3"].map(|text| text.parse().unwrap()).into();
        let sources = Sources::new(&sources);
        let mut from = Vec::new();
        for _ in 0..4 {
            let stream = sources.connect(to).await.unwrap();
            from.push(stream.local_addr().unwrap().ip().to_string());
        }
        assert_eq!(from, ["127.0.0.2", "127.0.0.3", "127.0.0.2", "127.0.0.3"]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_address_of_another_machine_is_passed_over() {
        clock::renew();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let foreign: IpAddr = "192.0.2.1".parse().unwrap();
        let sources = Sources::new(&[foreign, "127.0.0.2".parse().unwrap()]);
        for _ in 0..2 {
            assert_eq!(
                sources.connect(to).await.unwrap().local_addr().unwrap().ip().to_string(),
                "127.0.0.2"
            );
        }
        let none = Sources::new(&[foreign]).connect(to).await.map(drop);
        assert_eq!(none, Err(Cause::Io(io::ErrorKind::AddrNotAvailable)));
    }
}
