//! Newer ways to get a second request past the edge, or to speak for somebody else: purges with bodies, includes with line
//! ends and odd schemes, headers of the PROXY protocol, upgrades.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{self, Running, edge, endpoint};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;
use tentpole_model::{Front, Network, Purging};

fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn loopback() -> Network {
    Network { address: IpAddr::from([127, 0, 0, 1]), bits: 32 }
}

/// Everything that comes of these bytes until the edge closes.
fn bytes(edge: &Running, request: &[u8]) -> String {
    let mut connection = TcpStream::connect(edge.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // The edge may have closed before all of it was sent.
    let _ = connection.write_all(request);
    let _ = connection.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = connection.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

const SECOND: &str = "GET /second HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

#[test]
fn the_body_of_a_purge_is_no_second_request() {
    let (address, asked) = endpoint(|_| ok("Cache-Control: max-age=60\r\n", "page"));
    for may in [true, false] {
        let edge = edge(address, |snapshot| {
            if may {
                snapshot.purging = Purging { from: vec![loopback()], ..Purging::default() };
            }
        });
        let length = SECOND.len();
        for framing in [
            format!("Content-Length: {length}\r\n\r\n{SECOND}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{SECOND}\r\n0\r\n\r\n"),
            format!("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}"),
            format!("Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{SECOND}"),
            format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECOND}"),
            format!("Expect: 100-continue\r\nContent-Length: {length}\r\n\r\n{SECOND}"),
        ] {
            for method in ["PURGE", "BAN", "purge"] {
                let answer = bytes(
                    &edge,
                    format!("{method} /x HTTP/1.1\r\nHost: shop.example\r\n{framing}").as_bytes(),
                );
                let answers = answer.matches("HTTP/1.1 ").count();
                assert_eq!(answers, 1, "{method} with {framing}: {answer}");
            }
        }
    }
    let asked = asked.lock().unwrap();
    assert!(asked.is_empty(), "{asked:?}");
}

#[test]
fn purges_of_strangers_purge_nothing_and_cost_little() {
    let (address, asked) = endpoint(|_| ok("Cache-Control: max-age=600\r\nxkey: a b\r\n", "page"));
    let elsewhere = Network { address: IpAddr::from([192, 0, 2, 1]), bits: 32 };
    let edge = edge(address, |snapshot| {
        snapshot.purging = Purging { from: vec![elsewhere], ..Purging::default() };
    });
    edge.get("/a", "");
    let catastrophic = format!("((^|,){}(,|$))", "(a+)+".repeat(500));
    for fields in [
        "xkey-purge: a\r\n".to_owned(),
        "X-Forwarded-For: 192.0.2.1\r\nxkey: a\r\n".to_owned(),
        "X-Real-IP: 192.0.2.1\r\nForwarded: for=192.0.2.1\r\n".to_owned(),
        "X-Purge-Key: \r\n".to_owned(),
        format!("X-Magento-Tags-Pattern: {catastrophic}\r\n"),
        "X-Magento-Tags-Pattern: .*\r\n".to_owned(),
    ] {
        let answer = edge
            .ask(&format!("PURGE /a HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 403 "), "{fields}: {answer}");
        assert!(edge.get("/a", "").contains("tentpole; hit"), "{fields}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_purge_that_is_allowed_runs_no_expression_and_takes_no_tag_for_two() {
    let (address, _) =
        endpoint(|_| ok("Cache-Control: max-age=600\r\nxkey: one two\r\nX-Pool: three\r\n", "page"));
    let edge = edge(address, |snapshot| {
        snapshot.purging = Purging { from: vec![loopback()], ..Purging::default() };
    });
    let purge = |fields: &str| {
        edge.get("/a", "");
        edge.ask(&format!("PURGE / HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n"))
    };
    // Each is of another form, or names a tag that nobody has.
    let nested = "(".repeat(2_000);
    for (fields, status) in [
        (format!("X-Magento-Tags-Pattern: ((^|,){nested}(,|$))\r\n"), 400),
        ("X-Magento-Tags-Pattern: (a|a)*$\r\n".to_owned(), 400),
        ("X-Magento-Tags-Pattern: ((^|,)one|two(,|$))\r\n".to_owned(), 400),
        ("X-Pool: .*\r\n".to_owned(), 400),
        ("X-Pool: x two\r\n".to_owned(), 400),
        ("xkey: X-Pool:\x0bthree\r\n".to_owned(), 400),
        ("Cache-Tag: one two\r\n".to_owned(), 200),
        ("Cache-Tag: X-Pool: three\r\n".to_owned(), 200),
        ("Surrogate-Key: one,two\r\n".to_owned(), 200),
        ("xkey: ONE \u{6f}ne%20\r\n".to_owned(), 200),
    ] {
        let answer = purge(&fields);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{fields}: {answer}");
        let is_there = edge.get("/a", "").contains("tentpole; hit");
        // A pool's own tag is the one exception: whoever may purge may write it out.
        let named = fields.starts_with("Cache-Tag: X-Pool: three");
        assert_eq!(is_there, !named, "{fields}: {answer}");
    }
}

#[test]
fn no_include_writes_lines_or_leaves_by_another_scheme() {
    let includes = [
        "/part&#13;&#10;X-Evil: 1",
        "/part\r\nX-Evil: 1",
        "/part HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET /evil",
        "/part%0d%0aX-Evil:1",
        "/part\tX-Evil",
        "gopher://shop.example/_GET%20/evil",
        "file:///etc/passwd",
        "javascript:x",
        "data:text/html,evil",
        "http:/evil",
        "http:evil",
        "http:///evil",
        "http://shop.example:x/evil",
        "http://shop.example\\@evil.example/evil",
        "http://user@shop.example/evil",
        "http://shop.example%0d%0aX-Evil:1/",
        "http://[::1/evil",
        "//",
        "\\\\evil.example/evil",
    ];
    let (address, asked) = endpoint(move |head| match head.starts_with("GET /page") {
        true => {
            let page: String = includes.iter().map(|src| format!("<esi:include src=\"{src}\"/>")).collect();
            ok("Cache-Control: max-age=60\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n", &page)
        }
        false => ok("Cache-Control: private\r\n", "[part]"),
    });
    let edge = edge(address, |_| {});
    for _ in 0..2 {
        let answer = edge.get("/page", "");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && !answer.contains("include"), "{answer}");
    }
    for head in asked.lock().unwrap().iter() {
        assert!(!head.to_lowercase().contains("\r\nx-evil"), "{head}");
        assert_eq!(head.matches("HTTP/1.1").count(), 1, "{head}");
        assert!(head.contains("\r\nHost: shop.example\r\n"), "{head}");
    }
}

/// A header of version 2 for this address, with these further bytes.
fn version_2(address: [u8; 4], fields: &[u8]) -> Vec<u8> {
    let mut out = b"\r\n\r\n\0\r\nQUIT\n\x21\x11".to_vec();
    out.extend_from_slice(&(12 + fields.len() as u16).to_be_bytes());
    out.extend_from_slice(&address);
    out.extend_from_slice(&[127, 0, 0, 1, 0x30, 0x39, 0, 80]);
    out.extend_from_slice(fields);
    out
}

fn behind_a_balancer(trusted: Network) -> (Running, common::Asked) {
    let (address, asked) = endpoint(|_| ok("Cache-Control: private\r\n", "page"));
    let edge = edge(address, |snapshot| {
        snapshot.front = Front { trusted: vec![trusted], proxy_protocol: true, ..Front::default() };
        snapshot.purging = Purging { from: vec![loopback()], ..Purging::default() };
    });
    (edge, asked)
}

#[test]
fn fields_of_a_proxy_header_say_nothing_more_than_they_are() {
    let (edge, asked) = behind_a_balancer(loopback());
    let request = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    let line_ends = b"\x02\x00\x13a\r\nX-Evil: 1\r\n\r\nGET";
    let answer = bytes(&edge, &[&version_2([203, 0, 113, 9], line_ends)[..], request].concat());
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    {
        let asked = asked.lock().unwrap();
        assert!(
            asked[0].contains("X-Forwarded-For: 203.0.113.9\r\n") && !asked[0].contains("X-Evil"),
            "{asked:?}"
        );
    }
    // A length that ends in the middle of a field, a field longer than the header, an empty one of TLS, a wrong checksum.
    for fields in [
        &b"\x02"[..],
        b"\x02\x00",
        b"\x02\xff\xffabc",
        b"\x20\x00\x00",
        b"\x03\x00\x04abcd",
        b"\x03\x00\x01a",
    ] {
        let answer = bytes(&edge, &[&version_2([203, 0, 113, 9], fields)[..], request].concat());
        assert!(!answer.contains("200 OK") && !answer.contains("page"), "{fields:?}: {answer}");
    }
    // A second header, inside of the first one's connection, is no request.
    let two = [&version_2([203, 0, 113, 9], b"")[..], &version_2([10, 0, 0, 1], b""), request].concat();
    assert!(!bytes(&edge, &two).contains("200 OK"));
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn a_balancers_right_to_purge_is_not_that_of_those_behind_it() {
    let (edge, _) = behind_a_balancer(loopback());
    let purge = b"PURGE / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    for header in
        [version_2([203, 0, 113, 9], b""), version_2([127, 0, 0, 1], b""), b"PROXY UNKNOWN\r\n".to_vec()]
    {
        let answer = bytes(&edge, &[&header[..], purge].concat());
        assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    }
}

#[test]
fn a_stranger_who_speaks_the_proxy_protocol_is_not_understood() {
    let (edge, asked) = behind_a_balancer(Network { address: IpAddr::from([192, 0, 2, 1]), bits: 32 });
    let request = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    for header in [version_2([10, 0, 0, 1], b""), b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n".to_vec()] {
        let answer = bytes(&edge, &[&header[..], request].concat());
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn what_comes_behind_an_upgrade_that_was_refused_is_a_request_of_its_own() {
    let (address, asked) = endpoint(|_| ok("Cache-Control: private\r\n", "page"));
    let edge = edge(address, |_| {});
    for upgrade in ["h2c", "websocket", "websocket, h2c", "TLS/1.0"] {
        let first = format!(
            "GET /first HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"
        );
        let answer = bytes(&edge, (first + SECOND).as_bytes());
        assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 2, "{upgrade}: {answer}");
    }
    for head in asked.lock().unwrap().iter() {
        assert!(!head.to_lowercase().contains("h2c") && !head.contains("TLS/"), "{head}");
    }
}
