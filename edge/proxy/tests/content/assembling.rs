//! Pages put together at the edge: what is asked of the endpoint, what visitors get, and what becomes of what fails.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common::{self, Running, edge, endpoint};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tentpole_model::{Caching, CachingId, Esi, HostPattern, Snapshot};
use tentpole_runtime::clock;

/// A response with this body, and its length.
fn answer(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A page to be put together, kept for a minute.
fn page(body: &str) -> String {
    let fields = "Cache-Control: max-age=60\r\nContent-Type: text/html\r\nETag: \"t\"\r\nAccept-Ranges: bytes\r\n\
        Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n";
    answer(fields, body)
}

fn shared(body: &str) -> String {
    answer("Cache-Control: max-age=30\r\n", body)
}

fn personal(body: &str) -> String {
    answer("Cache-Control: private\r\n", body)
}

fn not_found() -> String {
    "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope".into()
}

fn path(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// The value of a request's or response's field.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let head = head.split("\r\n\r\n").next().unwrap();
    head.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        found.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// The content of a response, without its chunks' frames.
fn body(response: &str) -> String {
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    if field(head, "Transfer-Encoding").is_none() {
        if let Some(length) = field(head, "Content-Length") {
            assert_eq!(length, body.len().to_string(), "{head}");
        }
        return body.into();
    }
    let (mut rest, mut content) = (body, String::new());
    loop {
        let (size, behind) = rest.split_once("\r\n").unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            assert_eq!(behind, "\r\n");
            return content;
        }
        content.push_str(&behind[..size]);
        rest = behind[size..].strip_prefix("\r\n").unwrap();
    }
}

fn count(asked: &common::Asked, wanted: &str) -> usize {
    asked.lock().unwrap().iter().filter(|head| path(head) == wanted).count()
}

fn with_esi(esi: Esi) -> impl FnOnce(&mut Snapshot) {
    move |snapshot| {
        snapshot.cachings = vec![Caching { esi, ..Caching::default() }];
        snapshot.sites[0].routes[0].caching = CachingId(0);
    }
}

/// What visitors get of a page that includes what `fragments` answers.
#[track_caller]
fn check(
    template: &str,
    fragments: impl Fn(&str) -> String + Send + Sync + 'static,
    expect: &str,
) -> Running {
    let template = page(template);
    let (endpoint, _) = endpoint(move |head| match path(head) {
        "/dir/page?q=1" => template.clone(),
        path => fragments(path),
    });
    let edge = edge(endpoint, |_| {});
    for _ in 0..3 {
        assert_eq!(body(&edge.get("/dir/page?q=1", "")), expect);
    }
    edge
}

#[test]
fn a_page_is_kept_while_its_basket_is_asked_for_each_visitor() {
    let (endpoint, asked) = endpoint(|head| match path(head) {
        "/" => page("<p>hello</p><esi:include src=\"/basket\"/><p>bye</p>"),
        _ => personal(&format!("basket of {}", field(head, "Cookie").unwrap())),
    });
    let edge = edge(endpoint, |_| {});
    for visitor in ["ann", "ben", "ann", "cleo"] {
        let got = edge.get("/", &format!("Cookie: session={visitor}\r\nReferer: x\r\n"));
        assert_eq!(body(&got), format!("<p>hello</p>basket of session={visitor}<p>bye</p>"));
        assert_eq!(field(&got, "Cache-Control"), Some("private, no-cache"));
    }
    assert_eq!((count(&asked, "/"), count(&asked, "/basket")), (1, 4));
    let again = edge.get("/", "Cookie: session=ann\r\n");
    assert!(field(&again, "Cache-Status").unwrap().starts_with("tentpole; hit; ttl="), "{again}");
    let basket = asked.lock().unwrap().iter().rfind(|head| path(head) == "/basket").unwrap().clone();
    assert_eq!(field(&basket, "Host"), Some("shop.example"));
    assert_eq!(field(&basket, "X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(field(&basket, "Accept-Encoding"), None);
}

#[test]
fn endpoints_are_told_and_visitors_are_not() {
    let (endpoint, asked) = endpoint(|_| page("a<esi:comment text='b'/>c"));
    let edge = edge(endpoint, |_| {});
    let got = edge.get("/", "Surrogate-Capability: evil=\"ESI/1.0\"\r\n");
    assert_eq!(body(&got), "ac");
    for name in ["Surrogate-Control", "ETag", "Last-Modified", "Accept-Ranges", "Age"] {
        assert_eq!(field(&got, name), None, "{name}");
    }
    assert_eq!(field(&got, "Content-Type"), Some("text/html"));
    let head = asked.lock().unwrap()[0].clone();
    assert_eq!(head.to_lowercase().matches("surrogate-capability").count(), 1, "{head}");
    assert!(field(&head, "Surrogate-Capability").unwrap().contains("ESI/1.0"), "{head}");
}

#[test]
fn fragments_are_fetched_at_the_same_time() {
    // Each is answered when all are asked for.
    let all = Arc::new(Barrier::new(5));
    let template: String = (0..5).map(|number| format!("<esi:include src='/{number}'/>")).collect();
    let (endpoint, _) = endpoint(move |head| match path(head) {
        "/" => page(&template),
        path => {
            all.wait();
            personal(&path[1..])
        }
    });
    let edge = edge(endpoint, |_| {});
    assert_eq!(body(&edge.get("/", "")), "01234");
}

#[test]
fn fragments_that_each_take_200_ms_arrive_together() {
    let template: String = (0..8).map(|number| format!("<esi:include src='/{number}'/>")).collect();
    let (endpoint, _) = endpoint(move |head| match path(head) {
        "/" => page(&template),
        path => {
            std::thread::sleep(Duration::from_millis(200));
            personal(&path[1..])
        }
    });
    let edge = edge(endpoint, |_| {});
    let began = clock::renew();
    assert_eq!(body(&edge.get("/", "")), "01234567");
    // One after the other they take 1.6 s.
    let took = clock::renew().since(began);
    assert!(took < Duration::from_millis(1_200), "{took:?}");
}

#[test]
fn what_comes_before_a_fragment_does_not_wait_for_it() {
    let gate = Arc::new(Barrier::new(2));
    let held = gate.clone();
    let (endpoint, _) = endpoint(move |head| match path(head) {
        "/" => page("<p>first</p><esi:include src='/slow'/><p>last</p>"),
        _ => {
            held.wait();
            personal("slow")
        }
    });
    let edge = edge(endpoint, |_| {});
    let mut connection = TcpStream::connect(edge.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (mut got, mut byte) = (Vec::new(), [0]);
    while !got.ends_with(b"<p>first</p>") {
        assert_eq!(connection.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&got));
        got.push(byte[0]);
    }
    gate.wait();
    connection.read_to_end(&mut got).unwrap();
    assert_eq!(body(&String::from_utf8(got).unwrap()), "<p>first</p>slow<p>last</p>");
}

#[test]
fn a_fragment_that_fails_is_left_out_or_replaced() {
    let fragments = |path: &str| match path {
        "/good" => personal("good"),
        "/silent" => "garbage\r\n\r\n".into(),
        "/created" => "HTTP/1.1 201 Created\r\nContent-Length: 1\r\n\r\nx".into(),
        "/nothing" => "HTTP/1.1 204 No Content\r\n\r\n".into(),
        _ => not_found(),
    };
    check("a<esi:include src='/gone'/>b", fragments, "ab");
    check("a<esi:include src='/gone' onerror='continue'/>b", fragments, "ab");
    check("a<esi:include src='/gone' alt='/good'/>b", fragments, "agoodb");
    check("a<esi:include src='/gone' alt='/gone2'/>b", fragments, "ab");
    check("a<esi:include src='/silent'/>b", fragments, "ab");
    check("a<esi:include src='/created'/>b", fragments, "ab");
    check("a<esi:include src='/nothing'/>b", fragments, "ab");
    check("a<esi:include src=''/>b<esi:include src='ftp://x/'/>c", fragments, "abc");
}

#[test]
fn a_try_shows_what_was_tried_or_what_takes_its_place() {
    let fragments = |path: &str| match path {
        "/good" => personal("good"),
        "/stored" => shared("stored"),
        _ => not_found(),
    };
    let tried = |attempt: &str, except: &str| {
        format!(
            "<<esi:try> <esi:attempt>1{attempt}2</esi:attempt> <esi:except>3{except}4</esi:except> </esi:try>>"
        )
    };
    check(&tried("<esi:include src='/good'/>", ""), fragments, "<1good2>");
    check(&tried("<esi:include src='/stored'/>", ""), fragments, "<1stored2>");
    check(&tried("<esi:include src='/gone'/>", "<esi:include src='/good'/>"), fragments, "<3good4>");
    check(&tried("<esi:include src='/gone' onerror='continue'/>", ""), fragments, "<12>");
    check(&tried("<esi:include src='/good'/><esi:include src='/gone'/>", ""), fragments, "<34>");
    let inner = tried("<esi:include src='/gone'/>", "i");
    check(&tried(&inner, ""), fragments, "<1<3i4>2>");
}

#[test]
fn fragments_may_have_fragments_but_not_themselves() {
    let fragments = |path: &str| match path {
        "/outer" => page("(<esi:include src='/inner'/>)"),
        "/inner" => page("[<esi:include src='leaf'/>]"),
        "/leaf" => personal("leaf"),
        "/loop" => page("l<esi:include src='/loop'/>"),
        "/ping" => page("p<esi:include src='/pong'/>"),
        "/pong" => page("q<esi:include src='/ping'/>"),
        "/self" => page("s<esi:include src='/dir/page?q=1'/>"),
        "/plain" => page("plain"),
        deeper => {
            let level: usize = deeper[1..].parse().unwrap();
            page(&format!("{level}<esi:include src='/{}'/>", level + 1))
        }
    };
    check("<esi:include src='/outer'/>!", fragments, "([leaf])!");
    check("<esi:include src='/plain'/>!", fragments, "plain!");
    check("<esi:include src='/loop'/>!", fragments, "l!");
    check("<esi:include src='/ping'/>!", fragments, "pq!");
    check("<esi:include src='/self'/>!", fragments, "s!");
    check("<esi:include src='?q=1'/>!", fragments, "!");
    check("<esi:include src='/1'/>!", fragments, "1234!");
}

#[test]
fn the_number_of_fragments_of_a_page_is_bounded_over_all_levels() {
    let (endpoint, asked) = endpoint(|head| match path(head) {
        "/" => page(&"<esi:include src='/many'/>".repeat(3)),
        "/many" => page(&(0..150).map(|at| format!("<esi:include src='/{at}'/>")).collect::<String>()),
        _ => personal("."),
    });
    let edge = edge(endpoint, |_| {});
    let got = body(&edge.get("/", ""));
    assert_eq!(got.len(), 256 - 3);
    assert_eq!(asked.lock().unwrap().len(), 256 - 3 + 2);
}

#[test]
fn addresses_are_resolved_against_the_page() {
    let fragments = |path: &str| personal(&format!("<{path}>"));
    check("<esi:include src='leaf?a=1&amp;b=2'/>", fragments, "</dir/leaf?a=1&b=2>");
    check("<esi:include src='../leaf'/>", fragments, "</leaf>");
    check("<esi:include src='/a/../b/./c'/>", fragments, "</b/c>");
    check("<esi:include src='http://shop.example/x'/>", fragments, "</x>");
    check("<esi:include src='//shop.example:80/x#y'/>", fragments, "</x>");
}

#[test]
fn only_hosts_that_are_served_here_are_asked_and_cookies_stay_with_theirs() {
    let (endpoint, asked) = endpoint(|head| match path(head) {
        "/" => page(
            "<esi:include src='http://127.0.0.1:1/x'/><esi:include src='https://evil.example/x'/>\
             <esi:include src='//other.example/o'/><esi:include src='http://SHOP.example/s'/>",
        ),
        _ => personal(&format!("{:?}", field(head, "Cookie"))),
    });
    let served = |snapshot: &mut Snapshot| {
        let names = ["shop.example", "other.example"];
        snapshot.sites[0].hosts = names.map(|name| HostPattern::Exact(name.into())).to_vec();
    };
    let edge = edge(endpoint, served);
    assert_eq!(body(&edge.get("/", "Cookie: a=b\r\n")), "NoneSome(\"a=b\")");
    assert_eq!(asked.lock().unwrap().len(), 3, "the page, and two fragments");
}

#[test]
fn a_page_of_stored_pieces_lasts_as_long_as_the_first_of_them() {
    let (endpoint, asked) = endpoint(|head| match path(head) {
        "/short" => answer("Cache-Control: max-age=20, s-maxage=600\r\nVary: Accept-Language\r\n", "short"),
        "/edge" => answer("Cache-Control: s-maxage=600\r\n", "edge"),
        "/with-edge" => page("<esi:include src='/edge'/>"),
        "/missing" => page("<esi:include src='/short'/><esi:include src='/gone'/>"),
        "/gone" => not_found(),
        _ => page("a<esi:include src='/short'/><esi:try><esi:attempt>b</esi:attempt></esi:try>"),
    });
    let edge = edge(endpoint, |_| {});
    let first = edge.get("/", "");
    assert_eq!(field(&first, "Cache-Control"), Some("private, no-cache"), "not known when the head goes out");
    let second = edge.get("/", "");
    assert_eq!(body(&second), "ashortb");
    assert_eq!(field(&second, "Content-Length"), Some("7"));
    assert!(["max-age=20", "max-age=19"].contains(&field(&second, "Cache-Control").unwrap()), "{second}");
    assert_eq!(field(&second, "Vary"), Some("Accept-Language"));
    assert_eq!(asked.lock().unwrap().len(), 2);
    for path in ["/with-edge", "/with-edge", "/missing", "/missing"] {
        assert_eq!(field(&edge.get(path, ""), "Cache-Control"), Some("private, no-cache"), "{path}");
    }
}

#[test]
fn a_page_that_may_not_be_kept_is_put_together_too() {
    let (endpoint, asked) = endpoint(|head| match path(head) {
        "/" => answer(
            "Cache-Control: no-store\r\nSurrogate-Control: content=\"ESI/1.0\"\r\nSet-Cookie: c=d\r\n",
            "a<esi:include src='/f'/>b",
        ),
        _ => shared("f"),
    });
    let edge = edge(endpoint, |_| {});
    for _ in 0..2 {
        let got = edge.get("/", "");
        assert_eq!(body(&got), "afb");
        assert_eq!(
            (field(&got, "Cache-Control"), field(&got, "Set-Cookie")),
            (Some("no-store"), Some("c=d"))
        );
        assert_eq!(field(&got, "Surrogate-Control"), None);
    }
    assert_eq!((count(&asked, "/"), count(&asked, "/f")), (2, 1));
}

#[test]
fn neither_conditions_nor_ranges_nor_head_see_the_template() {
    let (endpoint, asked) = endpoint(|head| match path(head) {
        "/" if head.starts_with("HEAD") => page(""),
        "/" => page("a<esi:include src='/f'/>b"),
        _ => personal("f"),
    });
    let edge = edge(endpoint, |_| {});
    let head = edge.ask("HEAD / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    assert_eq!((field(&head, "ETag"), field(&head, "Content-Length")), (None, None), "{head}");
    assert_eq!(body(&edge.get("/", "")), "afb");
    for fields in [
        "If-None-Match: \"t\"\r\n",
        "If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT\r\n",
        "Range: bytes=0-3\r\n",
        "Range: bytes=-2\r\nIf-Range: \"t\"\r\n",
    ] {
        let got = edge.get("/", fields);
        assert!(got.starts_with("HTTP/1.1 200 "), "{fields}{got}");
        assert_eq!(body(&got), "afb");
        let fragment = asked.lock().unwrap().last().unwrap().clone();
        assert!(!fragment.contains("If-") && !fragment.contains("Range"), "{fragment}");
    }
    let before = asked.lock().unwrap().len();
    let head = edge.ask("HEAD / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!((field(&head, "ETag"), field(&head, "Content-Length")), (None, None), "{head}");
    assert_eq!(asked.lock().unwrap().len(), before, "no fragment is fetched for it");
}

#[test]
fn visitors_of_http_1_0_get_the_page_until_the_connection_closes() {
    let (endpoint, _) = endpoint(|head| match path(head) {
        "/" => page("a<esi:include src='/f'/>b"),
        _ => personal("f"),
    });
    let edge = edge(endpoint, |_| {});
    let got = edge.ask("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(field(&got, "Transfer-Encoding"), None);
    assert!(got.ends_with("\r\n\r\nafb"), "{got}");
}

#[test]
fn a_compressed_page_is_asked_for_once_more_as_it_is() {
    let (endpoint, asked) = endpoint(|head| match path(head) {
        "/f" => personal("f"),
        _ if field(head, "Accept-Encoding").is_some_and(|accepted| accepted.contains("gzip")) => answer(
            "Cache-Control: max-age=60\r\nContent-Encoding: gzip\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n",
            "not for us to read",
        ),
        _ => page("a<esi:include src='/f'/>b"),
    });
    let edge = edge(endpoint, |_| {});
    let gzip = "Accept-Encoding: gzip\r\n";
    assert_eq!(body(&edge.get("/one", gzip)), "afb");
    assert_eq!(count(&asked, "/one"), 2);
    // From then on it is asked for so at once.
    assert_eq!(body(&edge.get("/two", gzip)), "afb");
    assert_eq!(count(&asked, "/two"), 1);
}

#[test]
fn told_to_always_every_page_of_text_is_put_together_and_asked_for_as_it_is() {
    let html =
        |body: &str| answer("Cache-Control: max-age=60\r\nContent-Type: text/html\r\nETag: \"1\"\r\n", body);
    let (endpoint, asked) = endpoint(move |head| match path(head) {
        "/" => html("a<esi:include src='/f'/>b"),
        "/plain" => html("nothing in it"),
        "/css" => {
            answer("Cache-Control: max-age=60\r\nContent-Type: text/css\r\n", "<esi:include src='/f'/>")
        }
        _ => personal("f"),
    });
    let edge = edge(endpoint, with_esi(Esi::Always));
    assert_eq!(body(&edge.get("/", "Accept-Encoding: gzip\r\n")), "afb");
    assert_eq!(field(&asked.lock().unwrap()[0], "Accept-Encoding"), Some("identity"));
    assert_eq!(body(&edge.get("/css", "")), "<esi:include src='/f'/>");
    for _ in 0..2 {
        let plain = edge.get("/plain", "");
        assert_eq!((field(&plain, "ETag"), body(&plain).as_str()), (Some("\"1\""), "nothing in it"));
    }
    assert!(edge.get("/plain", "If-None-Match: \"1\"\r\n").starts_with("HTTP/1.1 304 "));
}

#[test]
fn switched_off_pages_go_out_as_they_came() {
    let (endpoint, asked) = endpoint(|_| page("a<esi:include src='/f'/>b"));
    let edge = edge(endpoint, with_esi(Esi::Off));
    assert_eq!(body(&edge.get("/", "")), "a<esi:include src='/f'/>b");
    assert!(!asked.lock().unwrap()[0].contains("ESI/1.0"));
}

#[test]
fn a_page_that_is_not_understood_goes_out_as_it_came() {
    let fragments = |_: &str| personal("f");
    let unclosed = "a<esi:include src='/f'/><esi:remove>b";
    check(unclosed, fragments, unclosed);
    let too_many = "<esi:include src='/f'/>".repeat(257);
    check(&too_many, fragments, &too_many);
}

#[test]
fn large_pages_and_fragments_arrive_whole() {
    let text = |byte: &str, length: usize| byte.repeat(length);
    let (endpoint, _) = endpoint(move |head| match path(head) {
        "/stored" => shared(&text("s", 1_500_000)),
        "/personal" => personal(&text("p", 1_500_000)),
        "/huge" => page(&format!("{}<esi:include src='/stored'/>", text("h", 5_000_000))),
        "/huge-own" => answer(
            "Cache-Control: private\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n",
            &format!("{}<esi:include src='/stored'/>", text("h", 5_000_000)),
        ),
        _ => page(&format!(
            "{0}<esi:include src='/personal'/>{0}<esi:include src='/stored'/>{0}<esi:include src='/personal'/>",
            text("t", 1_000_000)
        )),
    });
    let edge = edge(endpoint, |_| {});
    let t = text("t", 1_000_000);
    let (p, s) = (text("p", 1_500_000), text("s", 1_500_000));
    let whole = [&t, &p, &t, &s, &t, &p].map(String::as_str).concat();
    for _ in 0..3 {
        assert!(body(&edge.get("/", "")) == whole);
    }
    // Beyond what is put together.
    let huge = format!("{}<esi:include src='/stored'/>", text("h", 5_000_000));
    for path in ["/huge-own", "/huge", "/huge"] {
        assert!(body(&edge.get(path, "")) == huge, "{path}");
    }
}

#[test]
fn a_fragment_that_breaks_off_after_it_began_ends_the_page() {
    let (endpoint, _) = endpoint(|head| match path(head) {
        "/" => page("a<esi:include src='/f'/>b"),
        "/short" => page("a<esi:include src='/s'/>b"),
        "/s" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nxx\r\nzz".into(),
        _ => {
            let long = "f".repeat(400_000);
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{long}\r\nzz", long.len())
        }
    });
    let edge = edge(endpoint, |_| {});
    let got = edge.get("/", "");
    assert!(!got.ends_with("0\r\n\r\n"), "the visitor must see that it is not whole");
    // Where nothing of it was sent, it is left out.
    assert_eq!(body(&edge.get("/short", "")), "ab");
}

#[test]
fn nobody_gets_a_piece_of_somebody_else() {
    // Fresh for longer than the test takes on the busiest machine.
    let fields = "Cache-Control: max-age=3600\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n";
    let (endpoint, asked) = endpoint(move |head| match path(head) {
        "/" => answer(
            fields,
            "<esi:include src='/basket'/>|<esi:include src='/name'/>|<esi:include src='/news'/>",
        ),
        "/news" => answer("Cache-Control: max-age=3600\r\n", "news"),
        "/name" => answer("Cache-Control: no-store\r\n", field(head, "Cookie").unwrap()),
        _ => personal(field(head, "Cookie").unwrap()),
    });
    let edge = edge(endpoint, |_| {});
    let (visitors, each) = (8, 500);
    std::thread::scope(|scope| {
        for visitor in 0..visitors {
            let edge = &edge;
            scope.spawn(move || {
                for _ in 0..each {
                    let got = edge.get("/", &format!("Cookie: marker={visitor}\r\n"));
                    assert_eq!(body(&got), format!("marker={visitor}|marker={visitor}|news"));
                }
            });
        }
    });
    assert_eq!((count(&asked, "/"), count(&asked, "/news")), (1, 1));
    assert_eq!(count(&asked, "/basket"), visitors * each);
}

#[test]
fn when_the_visitor_leaves_what_is_for_him_ends_and_what_is_stored_arrives() {
    use std::net::TcpListener;
    use std::sync::mpsc::sync_channel;
    // An endpoint whose personal fragment never ends, and tells when its connection was closed.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (closing, closed) = sync_channel(10);
    let (go, gone_ahead) = sync_channel::<()>(1);
    let gone_ahead = Arc::new(std::sync::Mutex::new(gone_ahead));
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (closing, gone_ahead) = (closing.clone(), gone_ahead.clone());
            std::thread::spawn(move || {
                let mut connection = connection.unwrap();
                while let Some(head) = common::read_head(&mut connection) {
                    let answer = match path(&head) {
                        "/" => page("<esi:include src='/endless'/><esi:include src='/stored'/>"),
                        "/stored" => {
                            gone_ahead.lock().unwrap().recv().unwrap();
                            shared("stored")
                        }
                        _ => {
                            let begin = "HTTP/1.1 200 OK\r\nCache-Control: private\r\n\r\n";
                            connection.write_all(begin.as_bytes()).unwrap();
                            while connection.write_all(&[b'x'; 10_000]).is_ok() {}
                            closing.send(()).unwrap();
                            return;
                        }
                    };
                    connection.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    let edge = edge(address, |_| {});
    let mut visitor = TcpStream::connect(edge.address).unwrap();
    visitor.write_all(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    visitor.read_exact(&mut [0; 300_000]).unwrap();
    drop(visitor);
    closed.recv_timeout(Duration::from_secs(20)).expect("the personal fetch ends with its visitor");
    go.send(()).unwrap();
    let got = edge.get("/stored", "");
    assert_eq!(body(&got), "stored");
    let status = field(&got, "Cache-Status").unwrap();
    assert!(status.contains("hit") || status.contains("collapsed"), "{status}");
}
