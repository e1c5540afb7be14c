//! Web cache poisoning and deception: no request of a stranger changes what others get. The endpoint believes and
//! repeats everything that it is told, as badly written applications do, and lets all of it be cached.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Running, edge, endpoint};
use tentpole_model::{HostPattern, Route, RouteCache};

const MARK: &str = "evil.example";

/// Repeats its whole request, in a field and in its body.
fn believer() -> Running {
    let (address, _) = endpoint(|head| {
        let heard = head.replace("\r\n", " | ");
        let length = heard.len();
        format!(
            "HTTP/1.1 302 Found\r\nLocation: /?{}\r\nCache-Control: max-age=60\r\nContent-Length: {length}\r\n\r\n{heard}",
            heard.replace(' ', "")
        )
    });
    edge(address, |_| {})
}

/// Fields that applications, frameworks and servers are known to believe, from published research on cache poisoning.
const BELIEVED: &[&str] = &[
    "X-Forwarded-Host",
    "X-Forwarded-Server",
    "X-Forwarded-Scheme",
    "X-Forwarded-Proto",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Ssl",
    "X-Forwarded-Path",
    "X-Forwarded-For",
    "X-Forwarded-By",
    "X_Forwarded_Host",
    "X.Forwarded.Host",
    "X-Forwarded-Host-Override",
    "Forwarded",
    "X-Host",
    "X-Original-Host",
    "X-HTTP-Host-Override",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X_Rewrite_Url",
    "X-Scheme",
    "X-Url-Scheme",
    "Front-End-Https",
    "X-HTTP-Method",
    "X-HTTP-Method-Override",
    "X-Method-Override",
    "X-Http-Path-Override",
    "X-HTTP-DestinationURL",
    "X-Forwarded",
    "X-Original-Forwarded-For",
    "X-Envoy-Original-Path",
    "Base-Url",
    "Destination",
    "Proxy-Authorization",
    "Via",
    "X-Real-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Remote-Addr",
    "X-Remote-IP",
    "X-Originating-IP",
    "X-ProxyUser-Ip",
    "Client-IP",
    "True-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-Middleware-Subrequest",
    "X-Middleware-Prefetch",
    "X-Invoke-Status",
    "X-Now-Route-Matches",
    "X-Nextjs-Data",
    "X-Sendfile-Type",
    "X-Accel-Mapping",
    "Surrogate-Capability",
    "Proxy",
    // What visitors' own browsers add does not reach others either.
    "If-None-Match",
    "If-Modified-Since",
    "Range",
    "If-Range",
];

#[test]
fn what_applications_believe_never_comes_from_a_stranger() {
    let edge = believer();
    for (number, name) in BELIEVED.iter().enumerate() {
        let path = format!("/{number}");
        edge.get(&path, &format!("{name}: {MARK}\r\n"));
        let others = edge.get(&path, "");
        assert!(!others.contains(MARK), "{name}:\n{others}");
        assert!(others.contains("; hit") || others.contains("; stored"), "{name}:\n{others}");
    }
    // The test can fail: this one is forwarded, and whoever believes it must say `Vary`.
    edge.get("/believed", &format!("X-Anything: {MARK}\r\n"));
    assert!(edge.get("/believed", "").contains(MARK));
}

#[test]
fn a_host_poisons_only_those_who_ask_for_it() {
    let edge = believer();
    let ask = |host: &str| edge.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"));
    for host in [MARK, "evil.example:80", "EVIL.example", "shop.example.evil.example", "shop.example:1337"] {
        ask(host);
    }
    let others = ask("shop.example");
    assert!(!others.contains(MARK) && !others.contains("1337"), "{others}");
    // An absolute target goes before Host (RFC 9112 section 3.2.2), for the key and for the endpoint alike.
    let absolute =
        format!("GET http://{MARK}/abs HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    edge.ask(&absolute);
    assert!(!edge.get("/abs", "").contains(MARK));
    let two = edge.ask(&format!("GET / HTTP/1.1\r\nHost: shop.example\r\nHost: {MARK}\r\n\r\n"));
    assert!(two.starts_with("HTTP/1.1 400"), "{two}");
}

#[test]
fn a_site_with_hosts_answers_no_others() {
    let (address, asked) = endpoint(|_| "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into());
    let edge = edge(address, |snapshot| {
        snapshot.sites[0].hosts = vec![HostPattern::Exact("shop.example".into())];
    });
    let answer = edge.ask(&format!("GET / HTTP/1.1\r\nHost: {MARK}\r\nConnection: close\r\n\r\n"));
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn a_request_with_a_body_is_never_answered_for_others() {
    let edge = believer();
    let fat = format!(
        "GET /fat HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{MARK}"
    );
    let answer = edge.ask(&fat);
    assert!(answer.contains("fwd=method") || answer.contains("detail=method"), "{answer}");
    assert!(edge.get("/fat", "").contains("stored"));
}

/// A page of an account, for whoever says who he is, with nothing about caching: what frameworks send.
fn account(fields: &'static str) -> impl Fn(&str) -> String + Send + Sync + 'static {
    move |head| {
        let whose = head.lines().find_map(|line| line.strip_prefix("Cookie: ")).unwrap_or("nobody");
        let length = whose.len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n{fields}Content-Length: {length}\r\n\r\n{whose}"
        )
    }
}

/// Paths by which strangers lure others to URLs that look like files but lead to a page (web cache deception).
const DECEPTIVE: &[&str] = &[
    "/account/x.css",
    "/account/x.js?y",
    "/account;x.css",
    "/account%3fx.css",
    "/account%23x.css",
    "/account%2f..%2fstatic/x.css",
    "/static/..%2faccount",
    "/account.css",
    "/account/%2e%2e/account/a.png",
    "/account%00.css",
    "/account%0a.css",
];

#[test]
fn a_page_of_an_account_is_never_stored_because_its_path_looks_like_a_file() {
    for fields in
        ["", "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n", "ETag: \"1\"\r\nVary: Accept-Encoding\r\n"]
    {
        let (address, _) = endpoint(account(fields));
        let edge = edge(address, |_| {});
        for path in DECEPTIVE {
            edge.get(path, "Cookie: session=victim; _ga=1\r\n");
            let stranger = edge.get(path, "");
            assert!(!stranger.contains("victim"), "{path} with {fields:?}:\n{stranger}");
            let another = edge.get(path, "Cookie: session=stranger\r\n");
            assert!(!another.contains("victim"), "{path} with {fields:?}:\n{another}");
        }
    }
}

#[test]
fn spellings_of_a_path_do_not_lead_around_a_route_that_is_off() {
    let (address, _) = endpoint(|head| {
        let who = account("Cache-Control: max-age=60\r\n");
        who(head)
    });
    let edge = edge(address, |snapshot| {
        let off = Route { path: "/account/*".into(), cache: RouteCache::Off, ..Route::default() };
        let exact = Route { path: "/account".into(), cache: RouteCache::Off, ..Route::default() };
        snapshot.sites[0].routes.extend([off, exact]);
        snapshot.sites[0].canonical = tentpole_model::Canonical::Forward;
    });
    for path in
        ["/account", "/account/x.css", "/%61ccount/x.css", "/a/../account/x", "/./account/x", "//account/x"]
    {
        edge.get(path, "Cookie: session=victim\r\n");
        assert!(!edge.get(path, "").contains("victim"), "{path}");
    }
}
