//! Addresses of endpoints: literals at once, names from the system's resolver again and again. Keeps the last good
//! answer: a resolver that is down takes no endpoint down.

use std::io;
use std::net::{IpAddr, SocketAddr};

/// Addresses of one endpoint that are kept.
const ADDRESSES_MAX: usize = 8;

/// The address of an endpoint whose host is one.
pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port))
}

/// Asks the system. The first addresses of the answer, each once; an error rather than none.
pub(crate) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for address in tokio::net::lookup_host((host, port)).await? {
        if !addresses.contains(&address) && addresses.len() < ADDRESSES_MAX {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(addresses) }
}

/// What to keep of an answer: the old order when the addresses are the same. Resolvers turn the order around with
/// every answer, and that must not publish a new Membership each time.
pub(crate) fn settle(old: &[SocketAddr], new: Vec<SocketAddr>) -> Option<Vec<SocketAddr>> {
    let same = old.len() == new.len() && new.iter().all(|address| old.contains(address));
    (!same).then_some(new)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn an_answer_in_another_order_is_the_same_answer() {
        assert_eq!(settle(&[address(1), address(2)], vec![address(2), address(1)]), None);
        assert_eq!(settle(&[address(1)], vec![address(2)]), Some(vec![address(2)]));
        assert_eq!(settle(&[address(1)], vec![address(1), address(2)]), Some(vec![address(1), address(2)]));
    }

    #[test]
    fn addresses_need_no_resolver() {
        assert_eq!(literal("::1", 80), Some("[::1]:80".parse().unwrap()));
        assert_eq!(literal("127.0.0.1", 1), Some(address(1)));
        assert_eq!(literal("shop.example", 80), None);
    }

    #[tokio::test]
    async fn the_system_knows_localhost() {
        let addresses = look_up("localhost", 81).await.unwrap();
        assert!(addresses.iter().all(|address| address.ip().is_loopback() && address.port() == 81));
        assert!(look_up(&"x".repeat(300), 81).await.is_err(), "longer than any name");
    }
}
