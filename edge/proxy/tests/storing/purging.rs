//! Purge orders, as the control plane gives them: what they remove, and what they leave.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Running, edge, endpoint};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tentpole_model::{HostPattern, PurgeError, PurgeOrder, PurgeWhat, Purged, Site};

fn shared() -> Running {
    let (address, _) =
        endpoint(|_| "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\npage".into());
    edge(address, |snapshot| {
        let mut second = Site { name: "blog".into(), ..snapshot.sites[0].clone() };
        second.hosts =
            vec![HostPattern::Exact("blog.example".into()), HostPattern::Below("blogs.example".into())];
        snapshot.sites.push(second);
    })
}

/// What `Cache-Status` says about a URL without its scheme.
fn status(edge: &Running, url: &str) -> String {
    let (host, path) = url.split_at(url.find('/').unwrap());
    let answer = edge.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    let line = answer.lines().find(|line| line.starts_with("Cache-Status")).unwrap_or(&answer);
    line.to_owned()
}

fn stored(edge: &Running, urls: &[&str]) {
    for url in urls {
        status(edge, url);
        assert!(status(edge, url).contains("; hit"), "{url} should be stored");
    }
}

/// Those of the URLs that are still served from the cache. Those that are not are stored again.
fn kept<'a>(edge: &Running, urls: &[&'a str]) -> Vec<&'a str> {
    urls.iter().copied().filter(|url| status(edge, url).contains("; hit")).collect()
}

fn purge(edge: &Running, what: PurgeWhat) -> Result<Purged, PurgeError> {
    edge.purger.purge(&PurgeOrder::hard(what))
}

#[test]
fn a_prefix_is_as_canonical_as_the_paths_below_it() {
    let edge = shared();
    let urls = [
        "shop.example/p/a",
        "shop.example/p/b?x=1",
        "shop.example/q",
        "shop.example:81/p/a",
        "shop.example2/p/a",
    ];
    for (prefix, left) in [
        ("http://Shop.example/p/", vec!["shop.example/q", "shop.example:81/p/a", "shop.example2/p/a"]),
        (
            "https://shop.example:443/%71/../p/",
            vec!["shop.example/q", "shop.example:81/p/a", "shop.example2/p/a"],
        ),
        (
            "http://shop.example/p/b?x",
            vec!["shop.example/p/a", "shop.example/q", "shop.example:81/p/a", "shop.example2/p/a"],
        ),
        ("http://shop.example", vec!["shop.example:81/p/a", "shop.example2/p/a"]),
    ] {
        stored(&edge, &urls);
        let purged = purge(&edge, PurgeWhat::Prefix(prefix.into())).unwrap();
        assert_eq!(purged.objects as usize, urls.len() - left.len(), "{prefix}");
        assert_eq!(kept(&edge, &urls), left, "{prefix}");
    }
}

#[test]
fn a_site_is_whatever_the_routes_say_its_hosts_are() {
    let edge = shared();
    let urls =
        ["blog.example/", "BLOG.example:8080/a", "a.b.blogs.example/", "blogs.example/", "shop.example/"];
    stored(&edge, &urls);
    assert_eq!(purge(&edge, PurgeWhat::Site("blog".into())).unwrap().objects, 3);
    assert_eq!(kept(&edge, &urls), ["blogs.example/", "shop.example/"]);
    assert_eq!(purge(&edge, PurgeWhat::Site("all".into())).unwrap().objects, 2);
    assert_eq!(kept(&edge, &urls), ["blog.example/", "BLOG.example:8080/a", "a.b.blogs.example/"]);
}

#[test]
fn a_soft_purge_serves_the_old_while_the_new_is_fetched_and_a_hard_one_does_not() {
    let version = Arc::new(AtomicUsize::new(1));
    let said = version.clone();
    let (address, asked) = endpoint(move |_| {
        let version = said.load(Ordering::SeqCst);
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 1\r\n\r\n{version}")
    });
    let edge = edge(address, |_| {});
    let url = || PurgeWhat::Url("http://shop.example/a".into());
    assert!(edge.get("/a", "").ends_with('1'));
    version.store(2, Ordering::SeqCst);
    assert_eq!(edge.purger.purge(&PurgeOrder { what: url(), soft: true }).unwrap().objects, 1);
    assert!(edge.get("/a", "").ends_with('1'), "good enough for one more");
    while edge.get("/a", "").ends_with('1') {
        std::thread::yield_now();
    }
    assert_eq!(asked.lock().unwrap().len(), 2, "fetched once, however many asked meanwhile");
    version.store(3, Ordering::SeqCst);
    assert_eq!(purge(&edge, url()).unwrap().objects, 1);
    assert!(edge.get("/a", "").ends_with('3'));
}

#[test]
fn an_order_that_cannot_be_understood_purges_nothing() {
    let edge = shared();
    stored(&edge, &["shop.example/a"]);
    let tags = |site: Option<&str>, count: usize| {
        let tags = (0..count).map(|number| number.to_string()).collect();
        PurgeWhat::Tags { site: site.map(Into::into), tags }
    };
    for (what, error) in [
        (PurgeWhat::Url("/a".into()), PurgeError::NotAnUrl),
        (PurgeWhat::Url("ftp://shop.example/a".into()), PurgeError::NotAnUrl),
        (PurgeWhat::Url("http://".into()), PurgeError::NotAnUrl),
        (PurgeWhat::Prefix("http://user@shop.example/".into()), PurgeError::NotAnUrl),
        (PurgeWhat::Prefix("http://shop.example/%2".into()), PurgeError::NotAnUrl),
        (PurgeWhat::Prefix("http://shop.example/../..".into()), PurgeError::NotAnUrl),
        (PurgeWhat::Site("nobody's".into()), PurgeError::NoSuchSite),
        (tags(Some("nobody's"), 1), PurgeError::NoSuchSite),
        (tags(None, 0), PurgeError::Tags),
        (tags(None, 4_097), PurgeError::Tags),
    ] {
        assert_eq!(purge(&edge, what.clone()), Err(error), "{what:?}");
    }
    assert_eq!(purge(&edge, tags(Some("all"), 4_096)), Ok(Purged::default()));
    assert_eq!(kept(&edge, &["shop.example/a"]), ["shop.example/a"]);
}
