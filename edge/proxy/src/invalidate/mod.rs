//! What a change makes stale: the URL that was changed, and those of the same origin that the response points to
//! (RFC 9111 section 4.4). Nothing that another origin serves can be emptied from here.

mod changes;
mod told;

pub use changes::Changes;
pub use told::Told;

use crate::key::KeysOfUrl;
use crate::on_disk;
use crate::purge::{Purger, host_of};
use crate::thread::{Shared, Thread};
use std::rc::Rc;
use std::sync::Arc;
use tentpole_message::{Name, ResponseHead};
use tentpole_model::{PurgeOrder, PurgeWhat, PurgedBy};

/// What is stored and no longer holds after a change is gone, here and elsewhere, before its visitor hears of it. `paths` are
/// those that its route empties besides.
pub async fn all(thread: &Rc<Thread>, key: &[u8], target: &[u8], response: &ResponseHead, paths: &[String]) {
    let others = after_change(&thread.shared, key, target, response);
    pass_on(&thread.shared, others).await;
    if !paths.is_empty() {
        by_route(thread, key, paths).await;
    }
}

/// Empties the cache of what an unsafe request has changed. `key` is the request's, and `target` what an endpoint is asked
/// for when its answer may be stored. Returns the same as orders, if other edges serve too.
#[must_use = "other edges are to hear of it"]
pub fn after_change(
    shared: &Arc<Shared>,
    key: &[u8],
    target: &[u8],
    response: &ResponseHead,
) -> Vec<PurgeOrder> {
    let keys = KeysOfUrl::of_request(&shared.searches, key, target);
    // Nobody waits until it is safe from a crash: the change itself may be lost in the same one.
    drop(on_disk::purge_both(shared, &keys.selector(shared.prepared.get().groups()), None, false));
    let mut others = Vec::new();
    if shared.company.is_there() {
        let host_and_target = (std::str::from_utf8(host_of(key)), std::str::from_utf8(target));
        if let (Ok(host), Ok(target)) = host_and_target {
            others.push(PurgeOrder::hard(PurgeWhat::Url(format!("http://{host}{target}"))));
        }
    }
    let pointed_to = [Name::Location, Name::ContentLocation].map(|name| response.fields.get(name));
    for reference in pointed_to.into_iter().flatten() {
        let Some(url) = same_origin(host_of(key), target, reference) else { continue };
        let order = PurgeOrder::hard(PurgeWhat::Url(url));
        // What is no URL of a site here is stored nowhere.
        drop(Purger { shared: shared.clone() }.in_force(&order));
        others.push(order);
    }
    if shared.company.is_there() { others } else { Vec::new() }
}

/// Has the other edges do it too. Who does not answer in time is told later: a change is not refused for that.
pub async fn pass_on(shared: &Shared, orders: Vec<PurgeOrder>) {
    if !orders.is_empty() {
        let _ = shared.company.pass(PurgedBy::Route, orders).await;
    }
}

/// Empties the cache of the paths that a route names, on the host of the request's key, and tells content networks of
/// them. Of the URL itself they need not be told: the request went through them. When it returns, it is in force here.
pub async fn by_route(thread: &Rc<Thread>, key: &[u8], paths: &[String]) {
    let host = host_of(key);
    changes::purge(&thread.shared, host, paths).await;
    let Ok(host) = std::str::from_utf8(host) else { return };
    paths.iter().flat_map(|path| told::whats(host, path)).for_each(|what| told::tell(thread, what));
}

/// The URL that a reference in a response means (RFC 3986 section 5.2), if it lies on the host that was asked. Which of
/// http and https it names does not matter: who decrypts in front of us asks for both by http.
pub fn same_origin(host: &[u8], target: &[u8], reference: &[u8]) -> Option<String> {
    let (host, target) = (std::str::from_utf8(host).ok()?, std::str::from_utf8(target).ok()?);
    let reference = std::str::from_utf8(reference).ok()?.split('#').next()?;
    let path = &target[..target.find('?').unwrap_or(target.len())];
    let url = match scheme_and_rest(reference) {
        Some((scheme, rest))
            if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") =>
        {
            return on_host(host, rest.strip_prefix("//")?);
        }
        Some(_) => return None,
        None if reference.starts_with("//") => return on_host(host, &reference[2..]),
        None if reference.starts_with('/') => format!("http://{host}{reference}"),
        None if reference.is_empty() => format!("http://{host}{target}"),
        None if reference.starts_with('?') => format!("http://{host}{path}{reference}"),
        None => {
            let folder = &path[..path.rfind('/')? + 1];
            format!("http://{host}{folder}{reference}")
        }
    };
    Some(url)
}

/// `authority/path` when the authority is the host.
fn on_host(host: &str, rest: &str) -> Option<String> {
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let without_port = |name: &str| -> String {
        let name = name.strip_suffix(":80").or_else(|| name.strip_suffix(":443")).unwrap_or(name);
        name.to_ascii_lowercase()
    };
    (without_port(authority) == without_port(host)).then(|| format!("http://{host}{path}"))
}

/// What stands before the first colon, if that is a scheme (RFC 3986 section 3.1).
fn scheme_and_rest(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    is_scheme.then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(reference: &str) -> Option<String> {
        same_origin(b"shop.example", b"/a/b?page=2", reference.as_bytes())
    }

    #[test]
    fn references_are_resolved_against_what_was_asked() {
        for (reference, url) in [
            ("", "http://shop.example/a/b?page=2"),
            ("/c", "http://shop.example/c"),
            ("/c?d#e", "http://shop.example/c?d"),
            ("c", "http://shop.example/a/c"),
            ("../c", "http://shop.example/a/../c"),
            ("?page=3", "http://shop.example/a/b?page=3"),
            ("#part", "http://shop.example/a/b?page=2"),
            ("//Shop.example/c", "http://shop.example/c"),
            ("http://shop.example", "http://shop.example"),
            ("HTTPS://shop.example:443/c?d", "http://shop.example/c?d"),
            ("http://shop.example:80/c", "http://shop.example/c"),
            ("c/d:e", "http://shop.example/a/c/d:e"),
        ] {
            assert_eq!(meant(reference).as_deref(), Some(url), "{reference}");
        }
    }

    #[test]
    fn another_origin_cannot_be_reached_4_4() {
        for reference in [
            "http://evil.example/a/b",
            "//evil.example/a/b",
            "http://shop.example:8080/a",
            "http://shop.example@evil.example/",
            "http://shop.example.evil.example/",
            "http:/a",
            "mailto:shop.example",
            "javascript:x",
        ] {
            assert_eq!(meant(reference), None, "{reference}");
        }
    }
}
