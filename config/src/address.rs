//! Addresses as people write them: where Tentpole listens, and the URLs of endpoints. Pure parsing; resolves no
//! names.

use crate::problem::Problem;
use crate::words::Cure;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tentpole_model::{Endpoint, Lookup, Scheme};

/// Reads an address to listen at: `127.0.0.1:8080`, `[::1]:8080`, `localhost:8080`, or `:8080` for every IPv4
/// address. `name` is the setting or flag.
pub(crate) fn listen_address(name: &'static str, typed: &str) -> Result<SocketAddr, Problem> {
    let refuse =
        |cure: String| Problem::NotAnAddress { name, typed: format!("{typed:?}"), cure: Cure::new(cure) };
    if let Ok(address) = typed.parse() {
        return Ok(address);
    }
    if let Ok(ip) = typed.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Err(refuse(format!("The port is missing: \"{}\".", SocketAddr::new(ip, 8080))));
    }
    if let Ok(port) = typed.parse::<u16>() {
        return Err(refuse(format!("For port {port} on every IPv4 address: \":{port}\".")));
    }
    if let Some((_, rest)) = typed.split_once("://") {
        return Err(refuse(format!("Without the scheme: \"{}\".", rest.trim_end_matches('/'))));
    }
    let Some((host, port)) = typed.rsplit_once(':') else {
        return Err(refuse(String::new()));
    };
    let Ok(port) = port.parse::<u16>() else {
        return Err(refuse("The port is a number from 1 to 65535, or 0 for any free one.".to_owned()));
    };
    match host {
        "" => Ok(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port)),
        "localhost" => Ok(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
        "*" => Err(refuse(format!("For every IPv4 address: \":{port}\"."))),
        _ => Err(refuse(format!(
            "A name may have several addresses; for every IPv4 address write \":{port}\"."
        ))),
    }
}

/// Reads an address for the admin API: loopback only.
pub(crate) fn admin_address(typed: &str) -> Result<SocketAddr, Problem> {
    let address = listen_address("admin", typed)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    let instead = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), address.port()).to_string();
    Err(Problem::AdminNotLoopback { typed: typed.to_owned(), instead })
}

/// Whether two sockets cannot listen together: same port, same address or one of them every address.
pub(crate) fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let same_family = one.is_ipv4() == other.is_ipv4();
    let overlap = one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() != 0 && one.port() == other.port() && same_family && overlap
}

/// Reads an endpoint's URL: `http://host[:port]` or `https://host[:port]`, with the defaults of the model for the rest.
pub(crate) fn endpoint(typed: &str) -> Result<Endpoint, Problem> {
    let Some((scheme, rest)) = typed.split_once("://") else {
        return Err(Problem::EndpointWithoutScheme {
            typed: typed.to_owned(),
            meant: match typed {
                "" => "http://127.0.0.1:3000".to_owned(),
                port if port.bytes().all(|byte| byte.is_ascii_digit()) => format!("http://127.0.0.1:{port}"),
                _ => format!("http://{typed}"),
            },
        });
    };
    let spoken = match scheme.to_ascii_lowercase().as_str() {
        "http" => Some((Scheme::Http, "http", 80)),
        "https" => Some((Scheme::Https, "https", 443)),
        "fastcgi" => Some((Scheme::FastCgi, "fastcgi", 9000)),
        _ => None,
    };
    if let (Some((scheme, ..)), Some(path)) = (spoken, rest.strip_prefix("unix:")) {
        return at_socket(scheme, path, typed);
    }
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(authority_end);
    if scheme.eq_ignore_ascii_case("srv") {
        return service(authority, tail);
    }
    let Some((spoken, written, usual_port)) = spoken else {
        let meant = match scheme.to_ascii_lowercase().as_str() {
            "unix" => format!("http://unix:{}", rest.trim_end_matches('/')),
            _ => format!("http://{authority}"),
        };
        return Err(Problem::EndpointScheme { scheme: scheme.to_owned(), meant });
    };
    let meant = |authority: &str| format!("{written}://{authority}");
    if let Some((_, bare)) = authority.rsplit_once('@') {
        let cure = Cure::new("Credentials have no place in a URL that logs may show.");
        return Err(Problem::EndpointTooMuch { part: "a user name", meant: meant(bare), cure });
    }
    if !matches!(tail, "" | "/") {
        let part = if tail.starts_with('/') { "a path" } else { "a query" };
        let cure = Cure::new("Paths are forwarded as they come.");
        return Err(Problem::EndpointTooMuch { part, meant: meant(authority), cure });
    }
    let (host, port) = split_port(authority, usual_port)?;
    Ok(Endpoint { scheme: spoken, host: endpoint_host(host)?, port, ..Endpoint::default() })
}

/// The name of a service, without a port: its targets have their own (RFC 2782).
fn service(name: &str, tail: &str) -> Result<Endpoint, Problem> {
    let is_address = name.parse::<Ipv4Addr>().is_ok();
    if !is_name(name) || is_address || !matches!(tail, "" | "/") {
        return Err(Problem::EndpointService { typed: format!("srv://{name}{tail}") });
    }
    Ok(Endpoint { host: name.to_ascii_lowercase(), lookup: Lookup::Services, ..Endpoint::default() })
}

/// An endpoint at the Unix socket with this path.
fn at_socket(scheme: Scheme, path: &str, typed: &str) -> Result<Endpoint, Problem> {
    let names = path.trim_start_matches('/').split('/');
    let is_plain = path.starts_with('/') && names.clone().all(|name| !matches!(name, "" | "." | ".."));
    if !is_plain || path.len() > SOCKET_PATH_BYTES_MAX || path.bytes().any(|byte| byte < b' ' || byte == 0x7f)
    {
        return Err(Problem::EndpointSocket { typed: typed.to_owned() });
    }
    Ok(Endpoint { scheme, host: path.to_owned(), ..Endpoint::default() })
}

/// Most bytes of a Unix socket's path (`sun_path` without the zero at its end, unix(7)).
const SOCKET_PATH_BYTES_MAX: usize = 107;

/// `host`, `host:port`, `[v6]`, `[v6]:port`; the port is `usual` when left out.
fn split_port(authority: &str, usual: u16) -> Result<(&str, u16), Problem> {
    let name_from = authority.rfind(']').unwrap_or(0);
    let Some(colon) = authority[name_from..].find(':').map(|at| name_from + at) else {
        return Ok((authority, usual));
    };
    let (host, port) = (&authority[..colon], &authority[colon + 1..]);
    // `parse` alone would take `+80`.
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if digits && number > 0 => Ok((host, number)),
        _ if host.is_empty() => Err(Problem::EndpointHost { host: authority.to_owned() }),
        _ if authority.matches(':').count() > 1 => Err(Problem::EndpointHost { host: authority.to_owned() }),
        _ => Err(Problem::EndpointPort { port: port.to_owned() }),
    }
}

/// A DNS name (RFC 1123 section 2.1, and `_`, which container networks use), IPv4, or `[IPv6]`; lower case, without
/// brackets.
fn endpoint_host(host: &str) -> Result<String, Problem> {
    let refuse = || Problem::EndpointHost { host: host.to_owned() };
    if let Some(inner) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return inner.parse::<Ipv6Addr>().map(|ip| ip.to_string()).map_err(|_| refuse());
    }
    if is_name(host) { Ok(host.to_ascii_lowercase()) } else { Err(refuse()) }
}

/// Whether it is a name of labels as DNS has them, or an IPv4 address.
pub(crate) fn is_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let looks_like_ipv4 = host.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    host.len() <= 253 && host.split('.').all(label) && (!looks_like_ipv4 || host.parse::<Ipv4Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_listens_on_every_ipv4_address() {
        assert_eq!(listen_address("listen", ":8080"), Ok("0.0.0.0:8080".parse().unwrap()));
        assert_eq!(listen_address("listen", "localhost:80"), Ok("127.0.0.1:80".parse().unwrap()));
        assert_eq!(listen_address("listen", "[::]:80"), Ok("[::]:80".parse().unwrap()));
    }

    #[test]
    fn an_address_that_needs_guessing_is_refused() {
        for typed in [
            "",
            "8080",
            "127.0.0.1",
            "::1",
            "[::1]",
            "shop.example:80",
            "*:80",
            "http://127.0.0.1:80/",
            "127.0.0.1:x",
        ] {
            assert!(matches!(listen_address("listen", typed), Err(Problem::NotAnAddress { .. })), "{typed}");
        }
    }

    #[test]
    fn the_admin_api_is_for_this_machine_alone() {
        assert!(admin_address("127.0.0.1:9900").is_ok());
        assert!(admin_address("[::1]:9900").is_ok());
        for typed in [":9900", "10.0.0.1:9900", "[::]:9900"] {
            assert!(matches!(admin_address(typed), Err(Problem::AdminNotLoopback { .. })), "{typed}");
        }
    }

    #[test]
    fn sockets_collide_on_one_port_of_one_family() {
        let at = |text: &str| text.parse().unwrap();
        assert!(collide(at("127.0.0.1:80"), at("127.0.0.1:80")));
        assert!(collide(at("0.0.0.0:80"), at("127.0.0.1:80")));
        assert!(!collide(at("127.0.0.1:80"), at("127.0.0.1:81")));
        assert!(!collide(at("127.0.0.1:80"), at("127.0.0.2:80")));
        assert!(!collide(at("0.0.0.0:80"), at("[::]:80")));
        assert!(!collide(at("127.0.0.1:0"), at("127.0.0.1:0")));
    }

    #[test]
    fn endpoints_are_a_host_and_a_port() {
        let authority = |url: &str| endpoint(url).unwrap().authority();
        assert_eq!(authority("http://127.0.0.1:3000"), "127.0.0.1:3000");
        assert_eq!(authority("http://App.Internal/"), "app.internal:80");
        assert_eq!(authority("HTTP://app_1:3000"), "app_1:3000");
        assert_eq!(authority("http://[::1]:3000"), "[::1]:3000");
        assert_eq!(authority("http://[0:0::1]"), "[::1]:80");
        assert_eq!(authority("fastcgi://php"), "php:9000");
        assert_eq!(authority("http://unix:/run/app.sock"), "unix:/run/app.sock");
        let php = endpoint("fastcgi://unix:/run/php/php-fpm.sock").unwrap();
        assert_eq!((php.scheme, php.port), (Scheme::FastCgi, 0));
        assert_eq!(php.unix_socket(), Some(std::path::Path::new("/run/php/php-fpm.sock")));
        assert_eq!(authority("https://App.Internal"), "app.internal:443");
        assert_eq!(endpoint("https://app:8443").unwrap().scheme, Scheme::Https);
    }

    #[test]
    fn a_service_has_a_name_and_no_port() {
        let service = endpoint("srv://_http._tcp.Shop.internal").unwrap();
        assert_eq!((service.authority().as_str(), service.port), ("srv://_http._tcp.shop.internal", 0));
        for typed in ["srv://shop.internal:80", "srv://10.0.0.1", "srv://", "srv://shop.internal/a"] {
            assert!(matches!(endpoint(typed), Err(Problem::EndpointService { .. })), "{typed}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_by_name() {
        let name = |url: &str| endpoint(url).unwrap_err().name();
        assert_eq!(name("127.0.0.1:3000"), "EndpointWithoutScheme");
        assert_eq!(name("htp://x"), "EndpointScheme");
        assert_eq!(name("unix:///run/app.sock"), "EndpointScheme");
        for socket in
            ["app.sock", "", "/", "/run/", "/run//x", "/run/../x", "/a\0", &format!("/{}", "x".repeat(107))]
        {
            assert_eq!(name(&format!("http://unix:{socket}")), "EndpointSocket", "{socket}");
        }
        assert_eq!(name("http://x/app"), "EndpointTooMuch");
        assert_eq!(name("http://x?q"), "EndpointTooMuch");
        assert_eq!(name("http://me:secret@x"), "EndpointTooMuch");
        for port in ["http://x:0", "http://x:65536", "http://x:+80", "http://x:", "http://[::1]:x"] {
            assert!(
                matches!(endpoint(port), Err(Problem::EndpointPort { .. } | Problem::EndpointHost { .. })),
                "{port}"
            );
        }
        for host in [
            "http://",
            "http://:80",
            "http://::1",
            "http://[::1",
            "http://ä",
            "http://1.2.3",
            "http://-x",
            "http://a..b",
        ] {
            assert_eq!(name(host), "EndpointHost", "{host}");
        }
    }
}
