//! Host patterns of a site: `shop.example`, `*.shop.example`. Pure parsing.

use crate::address::is_name;
use crate::problem::Problem;
use crate::words::Cure;
use std::net::Ipv6Addr;
use tentpole_model::HostPattern;

/// Reads one pattern; lower case, without port. IPv6 addresses keep their brackets, as in a `Host` field.
pub(crate) fn pattern(typed: &str) -> Result<HostPattern, Problem> {
    let refuse = |why: &'static str, cure: String| {
        Err(Problem::HostPattern { typed: typed.to_owned(), why, cure: Cure::new(cure) })
    };
    if typed == "*" {
        let cure = "Leave `hosts` out: the site then takes every host that no other site claims.";
        return refuse("`*` stands for labels before a domain", cure.to_owned());
    }
    if let Some((_, rest)) = typed.split_once("://") {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        return refuse("it has a scheme", format!("Write \"{host}\"."));
    }
    if let Some(host) = typed.split_once('/').map(|(host, _)| host) {
        return refuse("it has a path", format!("Write \"{host}\"; paths go into routes."));
    }
    if let Some(inner) = typed.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return match inner.parse::<Ipv6Addr>() {
            Ok(ip) => Ok(HostPattern::Exact(format!("[{ip}]"))),
            Err(_) => refuse("what is in the brackets is not an IPv6 address", String::new()),
        };
    }
    if let Ok(ip) = typed.parse::<Ipv6Addr>() {
        return refuse("an IPv6 address stands in brackets", format!("Write \"[{ip}]\"."));
    }
    if let Some((host, _)) = typed.rsplit_once(':') {
        return refuse("it has a port", format!("Write \"{host}\"; it holds for every port."));
    }
    if let Some(host) = typed.strip_suffix('.') {
        return refuse("it ends with a dot", format!("Write \"{host}\"."));
    }
    if !typed.is_ascii() {
        let cure = "Write the form that browsers send, which begins with `xn--`.";
        return refuse("it has letters beyond ASCII", cure.to_owned());
    }
    let (below, name) = match typed.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, typed),
    };
    if name.contains('*') {
        let cure = "For all names below a domain: \"*.shop.example\".";
        return refuse("`*` can only be the whole first label", cure.to_owned());
    }
    if !is_name(name) {
        let cure = "A name has letters, digits and `-`, with dots between: \"shop.example\".";
        return refuse("no host has such a name", cure.to_owned());
    }
    let name = name.to_ascii_lowercase();
    Ok(if below { HostPattern::Below(name) } else { HostPattern::Exact(name) })
}

/// A pattern as it would be typed.
pub(crate) fn show(pattern: &HostPattern) -> String {
    match pattern {
        HostPattern::Exact(name) => name.clone(),
        HostPattern::Below(name) => format!("*.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_lower_case_and_without_port() {
        assert_eq!(pattern("Shop.Example"), Ok(HostPattern::Exact("shop.example".to_owned())));
        assert_eq!(pattern("*.shop.example"), Ok(HostPattern::Below("shop.example".to_owned())));
        assert_eq!(pattern("127.0.0.1"), Ok(HostPattern::Exact("127.0.0.1".to_owned())));
        assert_eq!(pattern("[0::1]"), Ok(HostPattern::Exact("[::1]".to_owned())));
        assert_eq!(show(&pattern("*.shop.example").unwrap()), "*.shop.example");
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for typed in [
            "",
            "*",
            "*.",
            "*.*.example",
            "www.*",
            "a*.example",
            "http://shop.example",
            "shop.example:80",
            "shop.example/",
            "shop.example.",
            "::1",
            "[x]",
            "käse.example",
            "a b",
            "256.1.1.1",
            ".example",
        ] {
            assert!(matches!(pattern(typed), Err(Problem::HostPattern { .. })), "{typed}");
        }
    }
}
