//! Addresses on loopback that no other test can have: for a program that must be told its port before it binds it, and for one
//! where nobody listens. Whoever takes a free port of the system's and lets go of it has it taken now and then.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

/// Where ports begin that are given here.
const FIRST_PORT: u16 = 18_200;

/// Another one each time, at an address of 127.0.0.0/8 that follows from this process's number.
pub fn own() -> SocketAddr {
    static GIVEN: AtomicU16 = AtomicU16::new(0);
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    let port = FIRST_PORT + GIVEN.fetch_add(1, Ordering::Relaxed) % 10_000;
    SocketAddr::from(([127, 128 | high, middle, low], port))
}

/// An address at which nobody listens, for as long as this lives: connecting there is refused.
#[derive(Debug)]
pub struct Nobody {
    address: SocketAddr,
    _bound: Socket,
}

impl Nobody {
    /// At a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When the system gives no port.
    pub fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        Self { address: address.expect("a bound socket has an address"), _bound: socket }
    }

    /// Where that is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Default for Nobody {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn an_own_address_can_be_bound_and_the_next_one_is_another() {
        let all = [own(), own()];
        assert_ne!(all[0], all[1]);
        for address in all {
            TcpListener::bind(address).unwrap();
        }
    }

    #[test]
    fn who_connects_where_nobody_is_is_refused() {
        let nobody = Nobody::new();
        let refused = TcpStream::connect(nobody.address()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    }
}
