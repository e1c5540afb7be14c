//! Purge requests on the visitors' port, as shops and plug-ins send them, and tags on the way to visitors.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Asked, Running, edge, endpoint};
use std::net::IpAddr;
use std::time::Duration;
use tentpole_model::{HostPattern, Network, Purging, Route, Secret, Site, Snapshot};

/// Loopback, where the test's own requests come from.
fn from_here() -> Purging {
    let address = IpAddr::from([127, 0, 0, 1]);
    Purging { from: vec![Network { address, bits: 32 }], ..Purging::default() }
}

/// An edge before an endpoint whose pages may be kept and carry these fields.
fn tagged(fields: &'static str, change: impl FnOnce(&mut Snapshot)) -> (Running, Asked) {
    let (address, asked) = endpoint(move |_| {
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n{fields}Content-Length: 4\r\n\r\npage")
    });
    let edge = edge(address, |snapshot| {
        snapshot.purging = from_here();
        change(snapshot);
    });
    (edge, asked)
}

fn two_sites(snapshot: &mut Snapshot) {
    let site = |name: &str, host: &str| Site {
        name: name.into(),
        hosts: vec![HostPattern::Exact(host.into())],
        routes: vec![Route::default()],
        ..Site::default()
    };
    snapshot.sites = vec![site("shop", "shop.example"), site("blog", "blog.example")];
}

fn ask(edge: &Running, line: &str, fields: &str) -> String {
    edge.ask(&format!("{line} HTTP/1.1\r\n{fields}Connection: close\r\n\r\n"))
}

fn is_hit(edge: &Running, host: &str, path: &str) -> bool {
    ask(edge, &format!("GET {path}"), &format!("Host: {host}\r\n")).contains("tentpole; hit")
}

/// Stores these, and makes sure that they are.
fn fill(edge: &Running, all: &[(&str, &str)]) {
    for (host, path) in all {
        is_hit(edge, host, path);
        assert!(is_hit(edge, host, path), "{host}{path} is stored");
    }
}

#[test]
fn a_purge_by_magentos_pattern_is_in_force_when_it_is_answered() {
    let (edge, asked) = tagged("X-Magento-Tags: cat_p,cat_p_1,store\r\n", |_| {});
    fill(&edge, &[("shop.example", "/a"), ("shop.example", "/b")]);
    let purge = |pattern: &str| {
        // Magento connects by address, and says no host of the shop.
        ask(&edge, "PURGE /", &format!("Host: 127.0.0.1\r\nX-Magento-Tags-Pattern: {pattern}\r\n"))
    };
    let other = purge("((^|,)cat_p_2(,|$))");
    assert!(other.starts_with("HTTP/1.1 200 OK\r\n") && other.contains("{\"objects\":0,"), "{other}");
    assert!(is_hit(&edge, "shop.example", "/a"));
    let answer = purge("((^|,)cat_p_2(,|$))|((^|,)cat_p_1(,|$))");
    assert!(answer.ends_with("{\"objects\":2,\"fills\":0,\"soft\":false}\n"), "{answer}");
    assert!(!is_hit(&edge, "shop.example", "/a") && !is_hit(&edge, "shop.example", "/b"));
    let all = purge(".*");
    assert!(all.contains("{\"objects\":2,"), "{all}");
    assert!(asked.lock().unwrap().iter().all(|head| head.starts_with("GET ")), "no purge is forwarded");
}

#[test]
fn a_heap_of_tags_is_read_and_reaches_no_visitor() {
    let many: String = (0..3_900).map(|number| format!(",cat_p_{number}")).collect();
    let fields: &'static str = format!(
        "X-Magento-Tags: cat_p{many}\r\nSurrogate-Key: a b\r\nCache-Tag: c\r\nxkey: d\r\nSurrogate-Control: max-age=600\r\n"
    )
    .leak();
    assert!(fields.len() > 32 << 10);
    let (edge, _) = tagged(fields, |_| {});
    let first = edge.get("/a", "");
    for name in ["X-Magento-Tags", "Surrogate", "Cache-Tag", "xkey"] {
        assert!(!first.contains(name), "{name}: {}", &first[..first.len().min(500)]);
    }
    let hit = edge.get("/a", "");
    assert!(hit.contains("tentpole; hit") && !hit.contains("cat_p"), "{hit}");
    let pattern = "X-Magento-Tags-Pattern: ((^|,)cat_p_3899(,|$))\r\n";
    assert!(ask(&edge, "PURGE /", &format!("Host: a\r\n{pattern}")).contains("{\"objects\":1,"));
    for tag in ["a", "b", "c", "d"] {
        fill(&edge, &[("shop.example", "/a")]);
        let purged = ask(&edge, "PURGE /", &format!("Host: a\r\nxkey-purge: {tag}\r\n"));
        assert!(purged.contains("{\"objects\":1,"), "{tag}: {purged}");
    }
}

#[test]
fn tags_stay_where_a_content_network_needs_them() {
    let (edge, _) =
        tagged("Surrogate-Key: a b\r\nCache-Tag: c\r\n", |snapshot| snapshot.purging.sends_tags = true);
    for _ in 0..2 {
        let answer = edge.get("/a", "");
        assert!(answer.contains("Surrogate-Key: a b\r\n") && answer.contains("Cache-Tag: c\r\n"), "{answer}");
    }
}

#[test]
fn a_response_that_is_not_stored_shows_its_tags_to_nobody_either() {
    let (address, _) = endpoint(|_| {
        "HTTP/1.1 200 OK\r\nCache-Control: private\r\nSurrogate-Key: a\r\nX-Magento-Tags: b\r\nContent-Length: 2\r\n\r\nme"
            .into()
    });
    let edge = edge(address, |_| {});
    let answer = edge.get("/a", "");
    assert!(
        answer.ends_with("me") && !answer.contains("Surrogate-Key") && !answer.contains("Magento"),
        "{answer}"
    );
}

#[test]
fn pages_and_what_lies_below_are_purged_as_plug_ins_ask() {
    let (edge, _) = tagged("", |_| {});
    let host = "Host: blog.example\r\n";
    let all = [("blog.example", "/post/"), ("blog.example", "/post/?page=2"), ("blog.example", "/post/feed")];
    fill(&edge, &all);
    assert!(ask(&edge, "PURGE /post/", host).contains("{\"objects\":1,"), "the page alone");
    fill(&edge, &all[..1]);
    let page = ask(&edge, "PURGE /post/", &format!("{host}X-Purge-Method: default\r\n"));
    assert!(page.contains("{\"objects\":2,"), "the page under any query: {page}");
    fill(&edge, &all);
    let below = ask(&edge, "PURGE /.*", &format!("{host}X-Purge-Method: regex\r\n"));
    assert!(below.contains("{\"objects\":3,"), "{below}");
}

#[test]
fn a_soft_purge_keeps_what_is_stored_and_asks_for_it_anew() {
    let (edge, asked) = tagged("Surrogate-Key: a\r\nETag: \"1\"\r\n", |_| {});
    fill(&edge, &[("shop.example", "/a")]);
    let answer = ask(&edge, "PURGE /", "Host: a\r\nSurrogate-Key: a\r\nFastly-Soft-Purge: 1\r\n");
    assert!(answer.ends_with("{\"objects\":1,\"fills\":0,\"soft\":true}\n"), "{answer}");
    let stale = edge.get("/a", "");
    assert!(stale.ends_with("page"), "{stale}");
    // It is fetched anew beside him.
    for _ in 0..2_000 {
        if asked.lock().unwrap().iter().any(|head| head.contains("If-None-Match: \"1\"")) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("nobody asked for it anew: {stale}\n{:?}", asked.lock().unwrap());
}

#[test]
fn a_purge_touches_no_other_site() {
    let (edge, _) = tagged("Surrogate-Key: a\r\n", two_sites);
    let all = [("shop.example", "/a"), ("blog.example", "/a")];
    let blog_stays = |purge: &str, fields: &str| {
        fill(&edge, &all);
        let answer = ask(&edge, purge, &format!("Host: shop.example\r\n{fields}"));
        assert!(answer.contains("{\"objects\":1,"), "{purge}: {answer}");
        assert!(is_hit(&edge, "blog.example", "/a"), "{purge}");
    };
    blog_stays("PURGE /", "Surrogate-Key: a\r\n");
    blog_stays("PURGE /", "X-Magento-Tags-Pattern: .*\r\n");
    blog_stays("PURGE /.*", "");
    blog_stays("PURGE /a", "");
    let unknown = ask(&edge, "PURGE /", "Host: 127.0.0.1\r\nX-Magento-Tags-Pattern: .*\r\n");
    assert!(unknown.starts_with("HTTP/1.1 421 "), "{unknown}");
    assert!(unknown.contains("no site has the host 127.0.0.1. Send the Host of the site"), "{unknown}");
    let beside = "Host: 127.0.0.1\r\nX-VC-Purge-Host: shop.example\r\nX-VC-Purge-Method: regex\r\n";
    fill(&edge, &all);
    assert!(ask(&edge, "PURGE /.*", beside).contains("{\"objects\":1,"));
    assert!(is_hit(&edge, "blog.example", "/a"));
}

#[test]
fn who_may_not_purge_is_told_how_to_allow_it_and_purges_nothing() {
    let purge =
        |edge: &Running, fields: &str| ask(edge, "PURGE /.*", &format!("Host: shop.example\r\n{fields}"));
    let (off, asked) = tagged("", |snapshot| snapshot.purging = Purging::default());
    let answer = purge(&off, "");
    assert!(answer.starts_with("HTTP/1.1 405 ") && answer.contains("\r\nAllow: GET, "), "{answer}");
    assert!(answer.contains("[purge] from = [\"ADDRESS\"]"), "{answer}");
    assert!(answer.contains("Cache-Status: tentpole; detail=purge_off"), "{answer}");
    assert!(asked.lock().unwrap().is_empty(), "never forwarded");

    let elsewhere = Network { address: IpAddr::from([10, 0, 0, 0]), bits: 8 };
    let (others, _) = tagged("", |snapshot| snapshot.purging.from = vec![elsewhere]);
    fill(&others, &[("shop.example", "/a")]);
    let answer = purge(&others, "");
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(
        answer.contains("127.0.0.1 may not purge here. To allow it: [purge] from = [\"127.0.0.1\"]"),
        "{answer}"
    );
    assert!(is_hit(&others, "shop.example", "/a"));

    let (proxied, _) = tagged("", |_| {});
    fill(&proxied, &[("shop.example", "/a")]);
    let answer = purge(&proxied, "X-Forwarded-For: 203.0.113.9\r\n");
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("came through a proxy"), "{answer}");
    assert!(is_hit(&proxied, "shop.example", "/a"));
}

#[test]
fn the_secret_lets_in_and_is_read_from_its_file() {
    let file = std::env::temp_dir().join(format!("tentpole-purge-key-{}", std::process::id()));
    std::fs::write(&file, "s3cret\n").unwrap();
    let (edge, _) = tagged("", |snapshot| {
        snapshot.purging = Purging { secret: Some(Secret::File(file.clone())), ..Purging::default() };
    });
    std::fs::remove_file(&file).unwrap();
    let purge = |fields: &str| ask(&edge, "PURGE /.*", &format!("Host: shop.example\r\n{fields}"));
    assert!(purge("X-Purge-Key: s3cret\r\n").starts_with("HTTP/1.1 200 "));
    assert!(purge("X-VC-Purge-Key: s3cret\r\nX-Forwarded-For: 203.0.113.9\r\n").starts_with("HTTP/1.1 200 "));
    assert!(purge("X-Purge-Key: wrong\r\n").contains("this is not the secret"));
    assert!(purge("").starts_with("HTTP/1.1 403 "));
}

#[test]
fn what_is_not_understood_is_answered_with_400_and_why() {
    let (edge, _) = tagged("", |_| {});
    fill(&edge, &[("shop.example", "/a")]);
    let host = "Host: shop.example\r\n";
    let pattern = ask(&edge, "PURGE /", &format!("{host}X-Magento-Tags-Pattern: (a+)+$\r\n"));
    assert!(pattern.starts_with("HTTP/1.1 400 ") && pattern.contains("not of Magento's form"), "{pattern}");
    let ban = ask(&edge, "BAN /", &format!("{host}X-Ban-Url: .*\r\n"));
    assert!(ban.starts_with("HTTP/1.1 400 ") && ban.contains("X-Ban-Url"), "{ban}");
    assert!(is_hit(&edge, "shop.example", "/a"), "and nothing is purged");
}

#[test]
fn a_connection_goes_on_after_a_purge_without_a_body() {
    let (edge, _) = tagged("", |_| {});
    let two = "PURGE /a HTTP/1.1\r\nHost: shop.example\r\n\r\nPURGE /b HTTP/1.1\r\nHost: shop.example\r\n\
               Content-Length: 3\r\n\r\nabcPURGE /c HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    let answers = edge.ask(two);
    assert_eq!(answers.matches("HTTP/1.1 200 ").count(), 2, "a body is not read, and ends it: {answers}");
}

#[test]
fn other_unknown_methods_are_forwarded_as_ever() {
    let (edge, asked) = tagged("", |_| {});
    ask(&edge, "PROPFIND /a", "Host: shop.example\r\n");
    assert!(asked.lock().unwrap()[0].starts_with("PROPFIND /a "));
}

#[test]
fn browsers_are_told_to_ask_each_time_where_a_route_says_so() {
    let (edge, asked) = tagged("Expires: Sat, 01 Jan 2050 00:00:00 GMT\r\nPragma: cache\r\n", |snapshot| {
        snapshot.cachings[0].visitors_keep = false;
    });
    for _ in 0..3 {
        let answer = edge.get("/a", "");
        assert!(answer.contains("Cache-Control: max-age=0, must-revalidate, no-cache\r\n"), "{answer}");
        assert!(
            !answer.contains("max-age=600") && !answer.contains("Expires") && !answer.contains("Pragma"),
            "{answer}"
        );
    }
    assert_eq!(asked.lock().unwrap().len(), 1, "it is kept here as the response says");
}
