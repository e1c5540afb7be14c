//! What one visitor's request may do to what others get.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{edge, endpoint};
use tentpole_model::{PurgeOrder, PurgeWhat};

fn page(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{fields}Content-Length: 4\r\n\r\npage")
}

#[test]
fn a_304_keeps_what_describes_the_stored_content() {
    let (address, _) = endpoint(|head| match head.contains("If-None-Match") {
        false => page("Content-Encoding: gzip\r\nCache-Control: max-age=0\r\nETag: \"1\"\r\nX-Build: 1\r\n"),
        true => "HTTP/1.1 304 Not Modified\r\nContent-Type: text/plain\r\nContent-Encoding: br\r\n\
                 Cache-Control: max-age=60\r\nETag: \"1\"\r\nX-Build: 2\r\n\r\n"
            .into(),
    });
    let edge = edge(address, |_| {});
    edge.get("/a", "");
    let revalidated = edge.get("/a", "");
    assert!(revalidated.contains("fwd-status=304"), "{revalidated}");
    for answer in [revalidated, edge.get("/a", "")] {
        assert!(answer.contains("Content-Type: text/html\r\n"), "{answer}");
        assert!(answer.contains("Content-Encoding: gzip\r\n"), "{answer}");
        assert!(answer.contains("X-Build: 2\r\n") && !answer.contains("X-Build: 1"), "{answer}");
    }
}

#[test]
fn a_cookie_set_by_a_304_reaches_its_visitor_and_nobody_else() {
    let (address, _) = endpoint(|head| {
        match (head.contains("If-None-Match"), head.contains("user=a")) {
        (false, _) => page("Cache-Control: max-age=0\r\nETag: \"1\"\r\n"),
        (true, true) => {
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nSet-Cookie: session=of-a\r\nCache-Control: max-age=60\r\n\r\n"
                .into()
        }
        (true, false) => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n".into(),
    }
    });
    let edge = edge(address, |_| {});
    edge.get("/a", "");
    let own = edge.get("/a", "Cookie: user=a\r\n");
    assert!(own.contains("Set-Cookie: session=of-a\r\n") && own.contains("fwd-status=304"), "{own}");
    for _ in 0..2 {
        let others = edge.get("/a", "Cookie: user=b\r\n");
        assert!(!others.contains("of-a") && others.ends_with("page"), "{others}");
    }
}

#[test]
fn what_a_304_says_that_is_for_one_visitor_reaches_nobody_else() {
    for forbids in ["private, max-age=60", "no-store"] {
        let (address, _) =
            endpoint(move |head| match (head.contains("If-None-Match"), head.contains("user=a")) {
                (false, _) => page("Cache-Control: max-age=0\r\nETag: \"1\"\r\nX-Build: 1\r\n"),
                (true, true) => format!(
                    "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nX-User: of-a\r\nX-Build: of-a\r\n\
                 Cache-Control: {forbids}\r\n\r\n"
                ),
                (true, false) => "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\n\r\n".into(),
            });
        let edge = edge(address, |_| {});
        edge.get("/a", "");
        let own = edge.get("/a", "Cookie: user=a\r\n");
        assert!(own.contains("X-User: of-a\r\n") && own.contains("fwd-status=304"), "{own}");
        assert!(own.contains(&format!("Cache-Control: {forbids}\r\n")), "his browser learns of it: {own}");
        for _ in 0..2 {
            let others = edge.get("/a", "Cookie: user=b\r\n");
            assert!(!others.contains("of-a") && others.ends_with("page"), "{others}");
        }
    }
}

#[test]
fn what_varies_by_the_visitors_address_is_not_shared() {
    for names in ["X-Forwarded-For", "Accept, x-forwarded-FOR"] {
        let (address, asked) =
            endpoint(move |_| page(&format!("Cache-Control: max-age=60\r\nVary: {names}\r\n")));
        let edge = edge(address, |_| {});
        edge.get("/a", "");
        let another = edge.get("/a", "");
        assert!(!another.contains("; hit"), "{another}");
        assert_eq!(asked.lock().unwrap().len(), 2, "{names}");
    }
}

#[test]
fn a_304_that_varies_otherwise_does_not_widen_what_is_shared() {
    let (address, asked) = endpoint(|head| match head.contains("If-None-Match") {
        false => page("Cache-Control: max-age=0\r\nETag: \"1\"\r\n"),
        true => {
            "HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nVary: Cookie\r\nCache-Control: max-age=60\r\n\r\n"
                .into()
        }
    });
    let edge = edge(address, |_| {});
    for _ in 0..4 {
        edge.get("/a", "");
    }
    assert_eq!(asked.lock().unwrap().len(), 4, "each visitor is asked for");
}

#[test]
fn a_stored_204_states_no_length() {
    let (address, _) = endpoint(|_| "HTTP/1.1 204 No Content\r\nCache-Control: max-age=60\r\n\r\n".into());
    let edge = edge(address, |_| {});
    for _ in 0..2 {
        let answer = edge.get("/a", "");
        assert!(answer.starts_with("HTTP/1.1 204") && !answer.contains("Content-Length"), "{answer}");
    }
}

#[test]
fn a_visitor_with_credentials_does_not_keep_a_page_out_of_the_cache() {
    let (address, asked) = endpoint(|_| page("Cache-Control: max-age=60\r\n"));
    let edge = edge(address, |_| {});
    let own = edge.get("/a", "Authorization: Basic x\r\n");
    assert!(own.contains("detail=authorization"), "{own}");
    let again = edge.get("/a", "Authorization: Basic x\r\n");
    assert!(again.contains("fwd=bypass"), "nobody waits for what is personal: {again}");
    edge.get("/a", "");
    let shared = edge.get("/a", "");
    assert!(shared.contains("; hit"), "{shared}");
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn a_purge_finds_what_is_stored_by_its_url_with_or_without_the_default_port() {
    let (address, _) = endpoint(|_| page("Cache-Control: max-age=60\r\n"));
    let edge = edge(address, |_| {});
    for url in ["http://Shop.example/a", "http://shop.example:80/a", "https://shop.example:443/./a#part"] {
        edge.get("/a", "");
        assert!(edge.get("/a", "").contains("; hit"));
        assert_eq!(
            edge.purger.purge(&PurgeOrder::hard(PurgeWhat::Url(url.into()))).unwrap().objects,
            1,
            "{url}"
        );
        assert!(edge.get("/a", "").contains("fwd=uri-miss"), "{url}");
    }
}

#[test]
fn a_change_drops_the_paths_that_its_route_names_on_its_host_and_no_others() {
    let (address, _) = endpoint(|head| match head.starts_with("POST /fails") {
        true => "HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n".into(),
        false => page("Cache-Control: max-age=60\r\n"),
    });
    let edge = edge(address, |snapshot| {
        snapshot.cachings[0].purges = vec!["/list/*".into(), "/front".into()];
    });
    let get = |host: &str, path: &str| {
        edge.ask(&format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"))
    };
    let post = |path: &str| {
        edge.ask(&format!(
            "POST {path} HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    let paths = ["/list/1", "/list/2?page=3", "/front", "/front?from=mail", "/list", "/fronts", "/other"];
    for path in paths {
        get("shop.example", path);
        get("blog.example", path);
    }
    post("/fails");
    assert!(paths.iter().all(|path| get("shop.example", path).contains("; hit")), "nothing was changed");
    post("/change");
    let kept: Vec<_> = paths.into_iter().filter(|path| get("shop.example", path).contains("; hit")).collect();
    assert_eq!(kept, ["/list", "/fronts", "/other"]);
    assert!(paths.iter().all(|path| get("blog.example", path).contains("; hit")), "another host's stay");
}

#[test]
fn a_cookie_on_a_page_that_a_route_shares_reaches_only_the_one_who_led() {
    let (address, asked) = endpoint(|_| page("Cache-Control: max-age=60\r\nSet-Cookie: csrf=of-one\r\n"));
    let edge = edge(address, |snapshot| snapshot.cachings[0].despite_set_cookie = true);
    let first = edge.get("/a", "");
    assert!(first.contains("Set-Cookie: csrf=of-one\r\n") && first.contains("; stored"), "{first}");
    let second = edge.get("/a", "");
    assert!(second.contains("; hit") && !second.contains("csrf"), "{second}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}
