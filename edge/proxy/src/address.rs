//! Where an include leads: its address, resolved against the page that it stands in (RFC 3986 section 5.2, as far as
//! pages use it). Asks nobody, and does not know which hosts are served.

use tentpole_http1::split_authority;

/// A host, with its port if there is one, and a target that begins with `/`.
#[derive(Debug, PartialEq, Eq)]
pub struct Address {
    /// As `Host` says it.
    pub host: Vec<u8>,
    /// Path and query.
    pub target: Vec<u8>,
}

/// Resolves `src` against a page of this host and target. `None` for what is no address of the web, for user
/// information, and for what cannot be a host.
pub fn resolve(src: &str, host: &[u8], target: &[u8]) -> Option<Address> {
    let src = src.split('#').next().unwrap_or_default();
    let (path, query) = target.split_at(query_at(target));
    let (host, reference) = match after_scheme(src)? {
        Some(rest) => {
            let (authority, reference) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            split_authority(authority.as_bytes())?;
            (authority.as_bytes(), reference.as_bytes())
        }
        None => (host, src.as_bytes()),
    };
    let elsewhere = after_scheme(src)?.is_some();
    let mut to = Vec::with_capacity(path.len() + reference.len() + 1);
    match reference {
        [] if elsewhere => to.push(b'/'),
        // The page itself.
        [] => to.extend_from_slice(&[path, query].concat()),
        [b'/', ..] => to.extend_from_slice(reference),
        [b'?', ..] if elsewhere => to.extend_from_slice(&[b"/", reference].concat()),
        [b'?', ..] => to.extend_from_slice(&[path, reference].concat()),
        // Beside the page; `..` in it is for the router, as it is in a visitor's request.
        _ => {
            let folder = path.iter().rposition(|&byte| byte == b'/').map_or(0, |at| at + 1);
            to.extend_from_slice(&path[..folder]);
            to.extend_from_slice(reference);
        }
    }
    (to.first() == Some(&b'/')).then(|| Address { host: host.to_vec(), target: escaped(&to) })
}

/// What follows `http://`, `https://` or `//`; `Some(None)` when there is none of them; `None` for another scheme.
fn after_scheme(src: &str) -> Option<Option<&str>> {
    if let Some(rest) = src.strip_prefix("//") {
        return Some(Some(rest));
    }
    let end = src.find([':', '/', '?']).unwrap_or(src.len());
    let Some(rest) = src[end..].strip_prefix(':') else { return Some(None) };
    let scheme = &src[..end];
    let is_ours = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    is_ours.then(|| rest.strip_prefix("//")).flatten().map(Some)
}

fn query_at(target: &[u8]) -> usize {
    target.iter().position(|&byte| byte == b'?').unwrap_or(target.len())
}

/// Bytes beyond ASCII as browsers send them.
fn escaped(target: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(target.len());
    for &byte in target {
        if byte.is_ascii() {
            out.push(byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(src: &str) -> Option<String> {
        let address = resolve(src, b"shop.example", b"/de/page?a=1")?;
        Some(String::from_utf8([address.host, address.target].concat()).unwrap())
    }

    #[track_caller]
    fn check(src: &str, expect: &str) {
        assert_eq!(resolved(src).as_deref(), Some(expect), "{src}");
    }

    #[test]
    fn an_address_is_resolved_against_its_page() {
        check("/part/basket", "shop.example/part/basket");
        check("/part?b=2#top", "shop.example/part?b=2");
        check("basket", "shop.example/de/basket");
        check("../basket", "shop.example/de/../basket");
        check("?b=2", "shop.example/de/page?b=2");
        check("#top", "shop.example/de/page?a=1");
        check("/käse", "shop.example/k%C3%A4se");
        check("/a:b", "shop.example/a:b");
        check("?next=http://x/", "shop.example/de/page?next=http://x/");
    }

    #[test]
    fn an_absolute_address_keeps_its_host() {
        check("http://other.example/a?b", "other.example/a?b");
        check("HTTPS://other.example:8443/a", "other.example:8443/a");
        check("//other.example/a", "other.example/a");
        check("http://other.example", "other.example/");
        check("http://other.example?b", "other.example/?b");
        check("http://[::1]:80/a", "[::1]:80/a");
    }

    #[test]
    fn what_is_no_address_of_the_web_leads_nowhere() {
        for src in [
            "javascript:alert(1)",
            "file:///etc/passwd",
            "data:text/html,x",
            "http:/a",
            "http://",
            "http:///a",
            "http://user@shop.example/",
            "http://shop.example:99999/",
            "http://sh%6fp.example/",
            "//a b/",
        ] {
            assert_eq!(resolved(src), None, "{src}");
        }
    }
}
