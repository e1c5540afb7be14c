//! Fields that speak to a cache like this one, and what a change makes stale, seen from both sides of the edge.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{edge, endpoint};

fn page(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\npage")
}

#[test]
fn a_field_for_caches_goes_before_cache_control_rfc_9213() {
    let (address, asked) = endpoint(|head| match head.starts_with("GET /cdn") {
        true => page("Cache-Control: no-store\r\nCDN-Cache-Control: max-age=60\r\n"),
        false => page("Cache-Control: max-age=60\r\nSurrogate-Control: no-store\r\n"),
    });
    let edge = edge(address, |_| {});
    edge.get("/cdn", "");
    let stored = edge.get("/cdn", "");
    assert!(stored.contains("; hit") && stored.contains("CDN-Cache-Control: max-age=60\r\n"), "{stored}");
    for _ in 0..2 {
        let own = edge.get("/surrogate", "");
        assert!(own.contains("detail=") && !own.contains("Surrogate-Control"), "{own}");
    }
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn what_surrogate_control_says_is_for_us_alone() {
    let (address, asked) = endpoint(|_| page("Surrogate-Control: max-age=60;tentpole\r\n"));
    let edge = edge(address, |_| {});
    for _ in 0..2 {
        let answer = edge.get("/a", "Surrogate-Capability: evil=\"ESI/1.0\"\r\n");
        assert!(!answer.contains("Surrogate-Control"), "{answer}");
    }
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].contains("Surrogate-Capability: tentpole=") && !asked[0].contains("evil"),
        "{}",
        asked[0]
    );
}

#[test]
fn a_change_makes_stale_what_its_answer_points_to_on_the_same_origin() {
    let (address, _) = endpoint(|head| match head.starts_with("POST") {
        true => "HTTP/1.1 201 Created\r\nLocation: http://shop.example/list\r\n\
                 Content-Location: item?id=1\r\nContent-Length: 0\r\n\r\n"
            .into(),
        false => page("Cache-Control: max-age=60\r\n"),
    });
    let edge = edge(address, |_| {});
    let paths = ["/list", "/items/item?id=1", "/items/new", "/items/other"];
    for path in paths {
        edge.get(path, "");
    }
    let change =
        "POST /items/new HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(edge.ask(change).starts_with("HTTP/1.1 201"));
    for (path, stays) in paths.into_iter().zip([false, false, false, true]) {
        let answer = edge.get(path, "");
        assert_eq!(answer.contains("; hit"), stays, "{path}: {answer}");
    }
}

#[test]
fn an_answer_that_points_elsewhere_empties_nothing_there() {
    let (address, _) = endpoint(|head| match head.starts_with("POST") {
        true => "HTTP/1.1 201 Created\r\nLocation: http://shop.example/a\r\nContent-Length: 0\r\n\r\n".into(),
        false => page("Cache-Control: max-age=60\r\n"),
    });
    let edge = edge(address, |_| {});
    edge.get("/a", "");
    let change = "POST /b HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    assert!(edge.ask(change).starts_with("HTTP/1.1 201"));
    assert!(edge.get("/a", "").contains("; hit"));
}

#[test]
fn a_304_leaves_tag_and_digests_and_changes_only_the_parameters_of_the_type() {
    let (address, asked) = endpoint(|head| match head.contains("If-None-Match: \"1\"") {
        false => {
            page("Content-Type: text/plain\r\nETag: \"1\"\r\nContent-MD5: a\r\nCache-Control: max-age=0\r\n")
        }
        true => "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain; charset=utf-8\r\nETag: \"2\"\r\n\
                 Content-MD5: b\r\nCache-Control: max-age=60\r\n\r\n"
            .into(),
    });
    let edge = edge(address, |_| {});
    edge.get("/a", "");
    for _ in 0..2 {
        let answer = edge.get("/a", "");
        for line in ["ETag: \"1\"", "Content-MD5: a", "Content-Type: text/plain; charset=utf-8"] {
            assert!(answer.contains(&format!("\r\n{line}\r\n")), "{line}: {answer}");
        }
    }
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn an_outage_lasts_no_longer_in_the_cache_than_a_moment() {
    let (address, asked) = endpoint(|_| {
        "HTTP/1.1 503 Service Unavailable\r\nCache-Control: max-age=3600\r\nETag: \"1\"\r\nContent-Length: 4\r\n\r\nbusy"
            .into()
    });
    let edge = edge(address, |_| {});
    edge.get("/a", "");
    let stored = edge.get("/a", "");
    let ttl: u32 = stored.split("ttl=").nth(1).unwrap().split("\r\n").next().unwrap().parse().unwrap();
    assert!(stored.contains("; hit") && ttl <= 10, "{stored}");
    let known = edge.get("/b", "Cookie: session=1\r\n");
    assert!(known.contains("detail=status"), "{known}");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn what_says_nothing_of_its_changes_is_as_old_as_its_date_rfc_9111_4_3_2() {
    let (address, _) =
        endpoint(|_| page("Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nCache-Control: max-age=4000000000\r\n"));
    let edge = edge(address, |_| {});
    edge.get("/a", "");
    let same = edge.get("/a", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    assert!(same.starts_with("HTTP/1.1 304 "), "{same}");
    let newer = edge.get("/a", "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\r\n");
    assert!(newer.starts_with("HTTP/1.1 200 "), "{newer}");
}
