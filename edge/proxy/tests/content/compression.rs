//! Compressed forms of what is stored: who gets which, what its head says, that each is made once, and that it goes
//! with its object. Everything is decoded by the codings' own decoders.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Asked, Running, edge, endpoint};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use tentpole_model::{Caching, PurgeOrder, PurgeWhat};

const HTML: &str = "Content-Type: text/html\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\n";
const BROWSER: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";

/// A page of about 50 KiB.
fn page() -> String {
    (0..700)
        .map(|n| format!("<li class=\"product\"><a href=\"/p/{n}\">Number {}</a></li>\n", n * 7919 % 1000))
        .collect()
}

fn response(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn edge_with(fields: &'static str) -> (Running, Asked) {
    let (address, asked) = endpoint(move |_| response(fields, &page()));
    (edge(address, |_| {}), asked)
}

/// A response, taken apart.
struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    }

    fn status(&self) -> &str {
        &self.head[9..12]
    }

    /// The body as the coding's own decoder reads it, if it is in that coding; the length is checked too.
    fn decoded(&self) -> String {
        assert_eq!(self.field("content-length").unwrap(), self.body.len().to_string());
        let (mut out, coded) = (Vec::new(), &self.body[..]);
        let read = match self.field("content-encoding") {
            None => { coded }.read_to_end(&mut out),
            Some("br") => brotli::Decompressor::new(coded, 4096).read_to_end(&mut out),
            Some("zstd") => zstd::stream::read::Decoder::new(coded).unwrap().read_to_end(&mut out),
            Some("gzip") => flate2::read::GzDecoder::new(coded).read_to_end(&mut out),
            Some(other) => panic!("{other}"),
        };
        read.unwrap();
        String::from_utf8(out).unwrap()
    }
}

fn ask(edge: &Running, method: &str, path: &str, fields: &str) -> Answer {
    let mut connection = TcpStream::connect(edge.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).unwrap();
    answer_on(&mut connection)
}

/// What comes until the edge closes.
fn answer_on(connection: &mut TcpStream) -> Answer {
    let mut all = Vec::new();
    connection.read_to_end(&mut all).unwrap();
    let end = all.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    Answer { head: String::from_utf8(all[..end].to_vec()).unwrap(), body: all[end..].to_vec() }
}

fn get(edge: &Running, fields: &str) -> Answer {
    ask(edge, "GET", "/", fields)
}

/// Asks until what these visitors get is in a coding: it is made apart from any request.
fn coded(edge: &Running, fields: &str) -> Answer {
    until(fields, || Some(get(edge, fields)).filter(|answer| answer.field("content-encoding").is_some()))
}

/// Asks until it is so. Whoever compresses gives way to everything else on the machine: that may take a while.
fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = tentpole_runtime::clock::now();
    while tentpole_runtime::clock::now().since(began) < Duration::from_secs(60) {
        if let Some(is) = ask() {
            return is;
        }
        std::thread::yield_now();
    }
    panic!("nobody got it in a minute: {what}");
}

/// Stores the page and has the forms made for these visitors.
fn warm(edge: &Running) {
    get(edge, "");
    for coding in ["br", "zstd", "gzip"] {
        coded(edge, &format!("Accept-Encoding: {coding}\r\n"));
    }
}

#[test]
fn each_coding_decodes_to_the_page_and_says_what_it_is() {
    let (edge, asked) = edge_with(HTML);
    let first = get(&edge, BROWSER);
    assert_eq!((first.field("content-encoding"), first.field("vary")), (None, Some("Accept-Encoding")));
    for coding in ["br", "zstd", "gzip"] {
        let answer = coded(&edge, &format!("Accept-Encoding: {coding}\r\n"));
        assert_eq!(answer.field("content-encoding"), Some(coding));
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
        assert_eq!(answer.field("etag"), Some("W/\"1\""));
        assert!(answer.field("cache-status").unwrap().starts_with("tentpole; hit"));
        assert!(answer.body.len() * 4 < page().len());
        assert_eq!(answer.decoded(), page());
    }
    let plain = get(&edge, "");
    assert_eq!((plain.field("etag"), plain.field("vary")), (Some("\"1\""), Some("Accept-Encoding")));
    assert_eq!(plain.decoded(), page());
    assert_eq!(asked.lock().unwrap().len(), 1, "all from one response");
}

#[test]
fn who_gets_which_is_what_he_likes_and_accepts_12_5_3() {
    let (edge, _) = edge_with(HTML);
    warm(&edge);
    for (accepts, gets) in [
        ("gzip, deflate, br, zstd", Some("br")),
        ("gzip, zstd", Some("zstd")),
        ("gzip;q=1.0, br;q=0.5, *;q=0", Some("gzip")),
        ("*", Some("br")),
        ("br;q=0, *", Some("zstd")),
        ("x-gzip", Some("gzip")),
        ("gzip, identity;q=0", Some("gzip")),
        ("identity", None),
        ("identity, gzip;q=0.5", None),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("deflate", None),
        ("", None),
    ] {
        let answer = get(&edge, &format!("Accept-Encoding: {accepts}\r\n"));
        assert_eq!(answer.field("content-encoding"), gets, "{accepts}");
        assert_eq!(answer.decoded(), page(), "{accepts}");
    }
    let unchanged = get(&edge, &format!("{BROWSER}Cache-Control: no-transform\r\n"));
    assert_eq!(unchanged.field("content-encoding"), None);
}

#[test]
fn until_the_best_form_is_there_visitors_get_another_that_they_accept() {
    let (edge, _) = edge_with(HTML);
    get(&edge, "");
    coded(&edge, "Accept-Encoding: gzip\r\n");
    let now = get(&edge, BROWSER);
    assert!(now.field("content-encoding").is_some());
    until("the best form", || (get(&edge, BROWSER).field("content-encoding") == Some("br")).then_some(()));
}

#[test]
fn head_says_what_get_would_and_a_condition_holds_for_every_form() {
    let (edge, _) = edge_with(HTML);
    warm(&edge);
    let (head, got) = (ask(&edge, "HEAD", "/", BROWSER), get(&edge, BROWSER));
    assert!(head.body.is_empty());
    for name in ["content-encoding", "content-length", "etag", "vary"] {
        assert_eq!(head.field(name), got.field(name), "{name}");
    }
    for (accepts, tag) in [(BROWSER, "W/\"1\""), (BROWSER, "\"1\""), ("", "W/\"1\""), ("", "\"1\"")] {
        let answer = get(&edge, &format!("{accepts}If-None-Match: {tag}\r\n"));
        assert_eq!(answer.status(), "304", "{accepts}{tag}");
        let own = if accepts.is_empty() { "\"1\"" } else { "W/\"1\"" };
        assert_eq!((answer.field("etag"), answer.field("vary")), (Some(own), Some("Accept-Encoding")));
        assert_eq!((answer.field("content-encoding"), answer.body.len()), (None, 0));
    }
    assert_eq!(get(&edge, &format!("{BROWSER}If-None-Match: \"2\"\r\n")).status(), "200");
}

#[test]
fn a_part_is_a_part_of_the_page_as_it_came() {
    let (edge, _) = edge_with(HTML);
    warm(&edge);
    let part = get(&edge, &format!("{BROWSER}Range: bytes=3-9\r\n"));
    assert_eq!((part.status(), part.field("content-encoding")), ("206", None));
    assert_eq!(part.body, &page().as_bytes()[3..10]);
    let same = get(&edge, &format!("{BROWSER}Range: bytes=3-9\r\nIf-Range: \"1\"\r\n"));
    assert_eq!(same.status(), "206");
    // Whoever has a part of a compressed form gets all: what he has cannot be added to.
    let weak = get(&edge, &format!("{BROWSER}Range: bytes=3-9\r\nIf-Range: W/\"1\"\r\n"));
    assert_eq!((weak.status(), weak.decoded()), ("200", page()));
}

#[test]
fn a_form_is_made_once_for_1_000_visitors_at_once() {
    let (edge, asked) = edge_with(HTML);
    get(&edge, "");
    let connect = |_| TcpStream::connect(edge.address).unwrap();
    let mut visitors: Vec<_> = (0..1_000).map(connect).collect();
    let request = format!("GET / HTTP/1.1\r\nHost: shop.example\r\n{BROWSER}Connection: close\r\n\r\n");
    visitors.iter_mut().for_each(|visitor| visitor.write_all(request.as_bytes()).unwrap());
    for visitor in &mut visitors {
        assert_eq!(answer_on(visitor).decoded(), page());
    }
    coded(&edge, BROWSER);
    assert_eq!((edge.compressed().made, asked.lock().unwrap().len()), (1, 1));
}

#[test]
fn what_is_not_to_be_compressed_is_sent_as_it_came() {
    let types = [
        ("image", "Content-Type: image/jpeg\r\n"),
        ("untyped", ""),
        ("coded", "Content-Type: text/html\r\nContent-Encoding: gzip\r\n"),
        ("coded-varies", "Content-Type: text/html\r\nContent-Encoding: gzip\r\nVary: Accept-Encoding\r\n"),
        ("kept", "Content-Type: text/html\r\nCache-Control: no-transform\r\n"),
        ("page", "Content-Type: text/html\r\nSurrogate-Control: max-age=60, content=\"ESI/1.0\"\r\n"),
        ("short", "Content-Type: text/html\r\n"),
    ];
    let (address, _) = endpoint(move |head| {
        let (_, fields) = types.iter().find(|(path, _)| head.contains(&format!(" /{path} "))).unwrap();
        let page = if head.contains(" /short ") { "x".repeat(859) } else { page() };
        response(&format!("{fields}Cache-Control: max-age=60\r\n"), &page)
    });
    let edge = edge(address, |_| {});
    for (path, fields) in types {
        for _ in 0..3 {
            let answer = ask(&edge, "GET", &format!("/{path}"), BROWSER);
            let varies = fields.contains("Vary").then_some("Accept-Encoding");
            assert_eq!(answer.field("vary"), varies, "{path}");
            let coded = fields.contains("Content-Encoding").then_some("gzip");
            assert_eq!(answer.field("content-encoding"), coded, "{path}");
        }
    }
    // The one thread works in order: had it got any of these, it would have made them before this.
    assert_eq!(edge.compressed(), Default::default());
}

#[test]
fn a_route_without_compression_compresses_nothing() {
    let (address, _) = endpoint(|_| response(&format!("{HTML}Vary: Accept-Encoding\r\n"), &page()));
    let edge = edge(address, |snapshot| {
        snapshot.cachings = vec![Caching { compress: false, ..Caching::default() }];
    });
    for _ in 0..5 {
        assert_eq!(get(&edge, BROWSER).field("content-encoding"), None);
    }
    assert_eq!(edge.compressed(), Default::default());
}

#[test]
fn what_does_not_become_smaller_is_tried_once_for_each_coding() {
    let address = noisy_endpoint();
    let edge = edge(address, |_| {});
    let plain = get(&edge, "").body;
    for coding in ["gzip", "br", "zstd", "gzip"] {
        for _ in 0..100 {
            let answer = get(&edge, &format!("Accept-Encoding: {coding}\r\n"));
            assert_eq!((answer.field("content-encoding"), &answer.body), (None, &plain));
        }
    }
    // The one thread works in order: with this page it has done what came before.
    let asks = || ask(&edge, "GET", "/page", BROWSER).field("content-encoding").map(str::to_owned);
    until("a compressed page", asks);
    let stats = edge.compressed();
    assert_eq!((stats.made, stats.not_smaller), (1, 3));
}

/// Calls noise text, but for `/page`.
fn noisy_endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    let noise: Vec<u8> = (0..20_000).map(|_| next()).collect();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            let body = if head.starts_with(b"GET /page") { page().into_bytes() } else { noise.clone() };
            let fields = format!("{HTML}Connection: close\r\nContent-Length: {}", body.len());
            connection.write_all(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").as_bytes()).unwrap();
            connection.write_all(&body).unwrap();
        }
    });
    address
}

fn purge(edge: &Running) -> u64 {
    let what = PurgeWhat::Url("http://shop.example/".into());
    edge.purger.purge(&PurgeOrder::hard(what)).unwrap().objects
}

#[test]
fn a_purge_takes_the_forms_too() {
    let (edge, asked) = edge_with(HTML);
    warm(&edge);
    assert_eq!(purge(&edge), 1);
    let after = get(&edge, BROWSER);
    assert!(after.field("cache-status").unwrap().contains("fwd=uri-miss"));
    assert_eq!((after.field("content-encoding"), after.decoded()), (None, page()));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_page_that_still_holds_keeps_its_forms_under_its_new_head() {
    let (address, asked) = endpoint(|head| match head.contains("If-None-Match: \"1\"\r\n") {
        true => "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nX-Version: 2\r\n\r\n".into(),
        false => response(&format!("{HTML}X-Version: 1\r\n"), &page()),
    });
    let edge = edge(address, |_| {});
    warm(&edge);
    let made = edge.compressed().made;
    let refreshed = get(&edge, &format!("{BROWSER}Cache-Control: no-cache\r\n"));
    assert!(refreshed.field("cache-status").unwrap().contains("fwd-status=304"));
    for (accepts, gets) in [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd")] {
        let answer = get(&edge, &format!("Accept-Encoding: {accepts}\r\n"));
        assert_eq!((answer.field("content-encoding"), answer.field("x-version")), (Some(gets), Some("2")));
        assert_eq!((answer.field("etag"), answer.decoded()), (Some("W/\"1\""), page()));
        assert_eq!(answer.field("vary"), Some("Accept-Encoding"));
    }
    assert_eq!((edge.compressed().made, asked.lock().unwrap().len()), (made, 2));
}

#[test]
fn a_304_that_repeats_what_the_application_varies_by_makes_the_page_fresh() {
    let (address, asked) = endpoint(|head| match head.contains("If-None-Match: \"1\"\r\n") {
        true => "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nVary: Accept\r\n\r\n".into(),
        false => response(&format!("{HTML}Vary: Accept\r\n"), &page()),
    });
    let edge = edge(address, |_| {});
    get(&edge, BROWSER);
    let refreshed = get(&edge, &format!("{BROWSER}Cache-Control: no-cache\r\n"));
    assert!(refreshed.field("cache-status").unwrap().contains("fwd-status=304"));
    let next = get(&edge, BROWSER);
    assert!(next.field("cache-status").unwrap().contains("hit"), "{:?}", next.field("cache-status"));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn what_comes_without_a_length_is_compressed_once_it_is_whole() {
    let (address, _) = endpoint(|_| {
        let page = page();
        format!(
            "HTTP/1.1 200 OK\r\n{HTML}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{page}\r\n0\r\n\r\n",
            page.len()
        )
    });
    let edge = edge(address, |_| {});
    assert_eq!(get(&edge, BROWSER).field("vary"), Some("Accept-Encoding"));
    assert_eq!(coded(&edge, BROWSER).decoded(), page());
}

#[test]
fn what_an_endpoint_compresses_itself_stays_as_it_is() {
    let (address, asked) = endpoint(|head| match head.contains("Accept-Encoding: gzip\r\n") {
        true => response(
            &format!("{HTML}Vary: Accept-Encoding\r\nContent-Encoding: gzip\r\n"),
            &"z".repeat(2_000),
        ),
        false => response(&format!("{HTML}Vary: Accept-Encoding\r\n"), &page()),
    });
    let edge = edge(address, |_| {});
    for _ in 0..3 {
        let answer = get(&edge, "Accept-Encoding: gzip\r\n");
        assert_eq!(answer.field("content-encoding"), Some("gzip"));
        assert_eq!(answer.body, "z".repeat(2_000).as_bytes());
    }
    let answer = coded(&edge, "Accept-Encoding: br\r\n");
    assert_eq!((answer.field("content-encoding"), answer.decoded()), (Some("br"), page()));
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn forms_count_for_what_the_cache_may_hold() {
    let (address, _) = endpoint(|_| response(HTML, &page()));
    let edge = edge(address, |snapshot| snapshot.cache.memory_bytes_max = 64 * 1024);
    // The page fits, one form with it, and not much more.
    get(&edge, "");
    assert_eq!(coded(&edge, "Accept-Encoding: br\r\n").decoded(), page());
    for n in 0..50 {
        let answer = ask(&edge, "GET", &format!("/{n}"), BROWSER);
        assert_eq!(answer.decoded(), page());
        assert_eq!(get(&edge, BROWSER).decoded(), page());
        assert!(edge.held(tentpole_runtime::ledger::Account::Cache) <= 2 * 64 * 1024);
    }
}
