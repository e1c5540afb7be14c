//! Which name servers are asked: those that were named, or those of this machine (`/etc/resolv.conf`, resolv.conf(5)).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The port of name servers.
pub const PORT: u16 = 53;
/// Servers that are asked (resolv.conf(5), MAXNS).
const SERVERS_MAX: usize = 3;

/// Reads `127.0.0.1`, `127.0.0.1:5353`, `::1` or `[::1]:5353`.
///
/// # Errors
/// What to write instead.
pub fn server(text: &str) -> Result<SocketAddr, String> {
    let plain = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    plain.or_else(|_| text.parse()).map_err(|_| {
        format!("\"{text}\" is not where a name server is; write its address: 127.0.0.1, 127.0.0.1:5353 or [::1]:5353")
    })
}

/// Those of this machine.
pub fn system_servers() -> Vec<SocketAddr> {
    servers_in(&std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default())
}

fn servers_in(text: &str) -> Vec<SocketAddr> {
    let named = text.lines().filter_map(|line| {
        let mut words = line.split(['#', ';']).next()?.split_whitespace();
        if words.next()? != "nameserver" {
            return None;
        }
        Some(SocketAddr::new(words.next()?.parse().ok()?, PORT))
    });
    let mut all: Vec<SocketAddr> = named.take(SERVERS_MAX).collect();
    if all.is_empty() {
        all.push((Ipv4Addr::LOCALHOST, PORT).into());
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_addresses_and_the_usual_port() {
        assert_eq!(server("::1"), Ok("[::1]:53".parse().expect("an address")));
        assert_eq!(server("127.0.0.1:5353").map(|at| at.port()), Ok(5353));
        assert!(server("ns.test").unwrap_err().contains("write its address"));
        let text = "# x\nsearch a.test\nnameserver 192.0.2.1 ; y\nnameserver fe80\nnameserver 2001:db8::1\n";
        assert_eq!(servers_in(text).len(), 2);
        assert_eq!(servers_in("").first().map(ToString::to_string).as_deref(), Some("127.0.0.1:53"));
    }
}
