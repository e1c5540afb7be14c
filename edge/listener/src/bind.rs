//! Binds the listening sockets: for each address one socket a data thread, so that the kernel spreads
//! connections (SO_REUSEPORT). Refuses an address that another program already listens on.

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::fmt;
use std::io;
use std::net::{SocketAddr, TcpListener};

/// Connections that the kernel holds for one socket until they are accepted.
const BACKLOG: i32 = 4096;

/// An address could not be listened on.
#[derive(Debug)]
pub struct BindError {
    /// Which.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

/// Binds each address `threads` times; the first index of the result is the thread. Port 0 becomes a free port,
/// the same one for all threads.
pub fn bind(addresses: &[SocketAddr], threads: usize) -> Result<Vec<Vec<TcpListener>>, BindError> {
    let mut of_thread: Vec<Vec<TcpListener>> = (0..threads).map(|_| Vec::new()).collect();
    for &address in addresses {
        let failed = |source| BindError { address, source };
        if address.port() != 0 {
            // With SO_REUSEPORT a second Tentpole would silently take half of the visitors: look first.
            socket(address, false).map_err(failed)?;
        }
        let mut address = address;
        for listeners in &mut of_thread {
            let listener = socket(address, true).map_err(failed)?;
            address = listener.local_addr().map_err(failed)?;
            listeners.push(listener);
        }
    }
    Ok(of_thread)
}

fn socket(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::from(address))?;
    if shared {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, source } = self;
        match source.kind() {
            io::ErrorKind::AddrInUse => write!(
                f,
                "cannot listen on {address}: another program already does. End it, or choose another address with \
                 --listen."
            ),
            io::ErrorKind::PermissionDenied => write!(
                f,
                "cannot listen on {address}: not allowed. Ports below 1024 need root or CAP_NET_BIND_SERVICE."
            ),
            io::ErrorKind::AddrNotAvailable => {
                write!(f, "cannot listen on {address}: this machine does not have that address.")
            }
            _ => write!(f, "cannot listen on {address}: {source}"),
        }
    }
}

impl std::error::Error for BindError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_thread_gets_a_socket_on_the_same_free_port() {
        let bound = bind(&["127.0.0.1:0".parse().unwrap()], 3).unwrap();
        let ports: Vec<u16> = bound.iter().map(|of| of[0].local_addr().unwrap().port()).collect();
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|&port| port == ports[0] && port != 0));
    }

    #[test]
    fn an_address_in_use_is_refused_even_by_another_of_us() {
        let first = bind(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
        let taken = first[0][0].local_addr().unwrap();
        let error = bind(&[taken], 1).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().contains("another program already does"), "{error}");
    }
}
