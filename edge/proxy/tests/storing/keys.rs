//! What counts as the same thing: the key, what an endpoint is told when its answer may be stored, and what `Vary`
//! compares, by the rules of the route.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{self, Asked, Running, edge, endpoint};
use tentpole_model::{Caching, PurgeOrder, PurgeWhat, QueryRules, RouteCache};

/// A page that says what it was asked; `fields` come from the path's last segment.
fn page(fields: &str, head: &str) -> String {
    let body = format!("<{}>", head.lines().next().unwrap());
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

const FRESH: &str = "Cache-Control: max-age=60\r\n";

/// An edge that caches so, before an endpoint that answers with these fields.
fn edge_that(caching: Caching, fields: &'static str) -> (Running, Asked) {
    let (address, asked) = endpoint(move |head| page(fields, head));
    (edge(address, |snapshot| snapshot.cachings = vec![caching]), asked)
}

fn asked_for(asked: &Asked) -> Vec<String> {
    let first_line = |head: &String| head.lines().next().unwrap().to_owned();
    asked.lock().unwrap().iter().map(first_line).collect()
}

/// The value of a field of the last request that the endpoint got.
fn told(asked: &Asked, name: &str) -> Option<String> {
    let heads = asked.lock().unwrap();
    heads.last()?.lines().find_map(|line| {
        let (field, value) = line.split_once(": ")?;
        field.eq_ignore_ascii_case(name).then(|| value.to_owned())
    })
}

fn is_hit(answer: &str) -> bool {
    answer.contains("Cache-Status: tentpole; hit")
}

fn texts(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn purge(edge: &Running, path: &str) -> u64 {
    let what = PurgeWhat::Url(format!("http://shop.example{path}"));
    edge.purger.purge(&PurgeOrder::hard(what)).unwrap().objects
}

fn marketing() -> Caching {
    let query = QueryRules { keep: None, drop: texts(&["utm_*"]), sort: true };
    Caching { query, ..Caching::default() }
}

#[test]
fn queries_that_differ_in_what_does_not_count_are_one_and_the_endpoint_sees_only_what_counts() {
    let (edge, asked) = edge_that(marketing(), FRESH);
    edge.get("/p?b=2&utm_source=mail&a=1", "");
    for same in ["/p?a=1&b=2", "/p?a=1&utm%5Fid=7&b=2&utm_source=x", "/p?&b=2&a=1"] {
        assert!(is_hit(&edge.get(same, "")), "{same}");
    }
    assert!(!is_hit(&edge.get("/p?a=1&b=3", "")));
    assert_eq!(asked_for(&asked), ["GET /p?a=1&b=2 HTTP/1.1", "GET /p?a=1&b=3 HTTP/1.1"]);
    assert_eq!(purge(&edge, "/p?utm_source=another&b=2&a=1"), 1);
    assert!(!is_hit(&edge.get("/p?a=1&b=2", "")));
}

#[test]
fn what_goes_past_the_cache_is_forwarded_as_it_came() {
    let query = "/p?b=2&utm_source=mail&a=1";
    let fields = "Cookie: _ga=1; sid=2\r\nAccept-Encoding: gzip, deflate\r\n";
    let (edge, asked) = edge_that(marketing(), FRESH);
    edge.get(query, &format!("{fields}Cache-Control: no-store\r\n"));
    edge.ask(&format!("POST {query} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n"));
    let (address, asked_off) = endpoint(|head| page(FRESH, head));
    let off = common::edge(address, |snapshot| {
        snapshot.cachings = vec![marketing()];
        snapshot.sites[0].routes[0].cache = RouteCache::Off;
    });
    off.get(query, fields);
    for (asked, count) in [(asked, 2), (asked_off, 1)] {
        assert_eq!(asked.lock().unwrap().len(), count);
        for head in asked.lock().unwrap().iter() {
            assert!(head.contains(" /p?b=2&utm_source=mail&a=1 "), "{head}");
            assert!(head.contains("Cookie: _ga=1; sid=2\r\n"), "{head}");
            assert!(head.contains("Accept-Encoding: gzip, deflate\r\n"), "{head}");
        }
    }
}

#[test]
fn a_change_empties_the_url_whatever_does_not_count_of_its_query() {
    let (edge, _) = edge_that(marketing(), FRESH);
    edge.get("/p?a=1", "");
    edge.ask("POST /p?utm_source=x&a=1 HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(!is_hit(&edge.get("/p?a=1", "")));
}

#[test]
fn a_head_that_may_update_what_is_stored_is_asked_like_it() {
    let (edge, asked) = edge_that(marketing(), FRESH);
    let head = "HEAD /p?utm_source=x&a=1 HTTP/1.1\r\nHost: shop.example\r\nCookie: _ga=1\r\n\
                X-HTTP-Method-Override: DELETE\r\nConnection: close\r\n\r\n";
    edge.ask(head);
    assert_eq!(asked_for(&asked), ["HEAD /p?a=1 HTTP/1.1"]);
    assert_eq!((told(&asked, "cookie"), told(&asked, "x-http-method-override")), (None, None));
}

#[test]
fn visitors_whose_cookies_say_nothing_share_even_what_varies_by_cookie() {
    let (edge, asked) = edge_that(Caching::default(), "Cache-Control: max-age=60\r\nVary: Cookie\r\n");
    edge.get("/", "Cookie: _ga=GA1.1; _gid=2; OptanonConsent=yes\r\n");
    assert_eq!(told(&asked, "cookie"), None, "what is compared is what was told");
    assert!(is_hit(&edge.get("/", "Cookie: _ga=another\r\n")));
    assert!(is_hit(&edge.get("/", "")));
    assert!(!is_hit(&edge.get("/", "Cookie: _ga=1; sid=7\r\n")));
    assert_eq!(told(&asked, "cookie").as_deref(), Some("sid=7"));
    assert!(is_hit(&edge.get("/", "Cookie: sid=7; _fbp=3\r\n")));
    assert!(!is_hit(&edge.get("/", "Cookie: sid=8\r\n")));
}

#[test]
fn a_guess_is_for_visitors_with_analytics_cookies_and_not_for_one_who_may_be_known() {
    let guess = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n";
    let (edge, _) = edge_that(Caching::default(), guess);
    edge.get("/", "Cookie: _ga=1\r\n");
    assert!(is_hit(&edge.get("/", "Cookie: _ga=2; _pk_id.1=3\r\n")));
    let known = edge.get("/", "Cookie: _ga=2; sid=3\r\n");
    assert!(known.contains("detail=cookie_without_lifetime"), "{known}");
    // Where quotes do not close, nobody knows where a cookie ends.
    let unclear = edge.get("/", "Cookie: _ga=\"2; sid=3\"\r\n");
    assert!(unclear.contains("detail=cookie_without_lifetime"), "{unclear}");
}

#[test]
fn a_group_has_responses_of_its_own_and_a_purge_empties_all_of_them() {
    let groups = Caching { cookies_keyed: texts(&["group", "currency"]), ..Caching::default() };
    let (edge, asked) = edge_that(groups, FRESH);
    let visit = |cookies: &str| edge.get("/p?x", &format!("Cookie: {cookies}\r\n"));
    for cookies in ["group=a", "group=b", "currency=EUR; group=a"] {
        assert!(!is_hit(&visit(cookies)), "{cookies}");
    }
    assert_eq!(told(&asked, "cookie").as_deref(), Some("group=a; currency=EUR"));
    assert!(!is_hit(&edge.get("/p?x", "")));
    let all = ["group=a; _ga=1", "sid=7; group=b", "group=a; currency=EUR", "_ga=1"];
    assert!(all.iter().all(|cookies| is_hit(&visit(cookies))));
    edge.get("/p?y", "Cookie: group=a\r\n");
    assert_eq!(purge(&edge, "/p?x"), 4);
    assert!(all.iter().all(|cookies| !is_hit(&visit(cookies))));
    assert!(is_hit(&edge.get("/p?y", "Cookie: group=a\r\n")));
    // A change by a visitor of one group is a change for all.
    edge.ask("POST /p?x HTTP/1.1\r\nHost: shop.example\r\nCookie: group=a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(all.iter().all(|cookies| !is_hit(&visit(cookies))));
}

#[test]
fn whose_group_nobody_can_say_goes_past_the_cache_as_he_came() {
    let groups = Caching { cookies_keyed: texts(&["my_group"]), ..Caching::default() };
    let (edge, asked) = edge_that(groups, FRESH);
    edge.get("/", "");
    let long = format!("my_group={}", "x".repeat(2_000));
    for cookies in ["my.group=vip", "my_group[]=vip", "a=\"b; my_group=vip", long.as_str()] {
        let answer = edge.get("/", &format!("Cookie: {cookies}\r\n"));
        assert!(answer.contains("detail=keyed_cookies"), "{cookies}: {answer}");
        assert_eq!(told(&asked, "cookie").as_deref(), Some(cookies));
    }
    assert!(is_hit(&edge.get("/", "")));
    assert_eq!(asked.lock().unwrap().len(), 5, "nothing of it was stored");
}

#[test]
fn languages_are_reduced_to_those_that_the_application_has() {
    let languages = Caching { languages: texts(&["en", "de"]), ..Caching::default() };
    let (edge, asked) = edge_that(languages, "Cache-Control: max-age=60\r\nVary: Accept-Language\r\n");
    edge.get("/", "Accept-Language: de-AT, de;q=0.9, en;q=0.8\r\n");
    assert_eq!(told(&asked, "accept-language").as_deref(), Some("de"));
    assert!(is_hit(&edge.get("/", "Accept-Language: nl;q=0.1, de\r\n")));
    assert!(!is_hit(&edge.get("/", "")));
    assert_eq!(told(&asked, "accept-language").as_deref(), Some("en"));
    assert!(is_hit(&edge.get("/", "Accept-Language: es, fr;q=0.5\r\n")));
}

#[test]
fn devices_are_reduced_to_their_class_and_the_endpoint_is_told_which() {
    let devices = Caching { devices: true, ..Caching::default() };
    let (edge, asked) = edge_that(devices, "Cache-Control: max-age=60\r\nVary: User-Agent, X-Device\r\n");
    let phone = "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_5)\r\n";
    edge.get("/", &format!("{phone}X-Device: desktop\r\nX_Device: desktop\r\n"));
    assert_eq!(told(&asked, "x-device").as_deref(), Some("phone"));
    assert!(told(&asked, "user-agent").unwrap().contains("iPhone"), "as it came");
    assert!(!asked.lock().unwrap()[0].contains("desktop"));
    assert!(is_hit(&edge.get("/", "User-Agent: Mozilla/5.0 (Linux; Android 10; K) Mobile\r\n")));
    assert!(!is_hit(&edge.get("/", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n")));
    // Also where nothing is stored: the application sees one and the same thing.
    edge.get("/", &format!("{phone}Cache-Control: no-store\r\nX-Device: robot\r\n"));
    assert_eq!(told(&asked, "x-device").as_deref(), Some("phone"));
}

#[test]
fn codings_are_reduced_to_those_that_count() {
    let (edge, asked) =
        edge_that(Caching::default(), "Cache-Control: max-age=60\r\nVary: Accept-Encoding\r\n");
    edge.get("/", "Accept-Encoding: gzip, deflate, br;q=0.9\r\n");
    assert_eq!(told(&asked, "accept-encoding").as_deref(), Some("br, gzip"));
    assert!(is_hit(&edge.get("/", "Accept-Encoding: br\r\nAccept-Encoding: x-gzip, compress\r\n")));
    assert!(!is_hit(&edge.get("/", "Accept-Encoding: br, gzip;q=0\r\n")));
    assert!(!is_hit(&edge.get("/", "")));
    assert_eq!(told(&asked, "accept-encoding").as_deref(), Some("identity"));
    assert!(is_hit(&edge.get("/", "Accept-Encoding: deflate\r\n")));
}

#[test]
fn visitors_cannot_have_the_endpoint_asked_where_that_is_switched_off() {
    let calm = Caching { visitors_revalidate: false, ..Caching::default() };
    let (edge, asked) = edge_that(calm, FRESH);
    edge.get("/", "");
    for reload in ["Cache-Control: no-cache\r\n", "Cache-Control: max-age=0\r\n", "Pragma: no-cache\r\n"] {
        assert!(is_hit(&edge.get("/", reload)), "{reload}");
    }
    assert!(edge.get("/", "Cache-Control: no-store\r\n").contains("detail=request_no_store"));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_field_that_a_visitor_keeps_to_his_connection_selects_nothing() {
    let (edge, asked) = edge_that(Caching::default(), "Cache-Control: max-age=60\r\nVary: X-Market\r\n");
    // The endpoint never sees the market, so what it answers is not that market's page.
    edge.ask("GET / HTTP/1.1\r\nHost: shop.example\r\nX-Market: de\r\nConnection: close, X-Market\r\n\r\n");
    assert_eq!(told(&asked, "x-market"), None);
    assert!(!is_hit(&edge.get("/", "X-Market: de\r\n")));
    assert_eq!(told(&asked, "x-market").as_deref(), Some("de"));
    assert!(is_hit(&edge.get("/", "")));
}
