//! What an endpoint is told, and what becomes of what it says.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{edge, endpoint};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;

const HELLO: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn what_proxies_say_of_a_visitor_is_not_for_the_visitor_to_say() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, |_| {});
    edge.get(
        "/a",
        "X-Forwarded-For: 192.0.2.1\r\nX_Forwarded_For: 192.0.2.2\r\nx-forwarded-port: 1\r\n\
         X-Forwarded-Prefix: /evil\r\nForwarded: for=192.0.2.3\r\nProxy: evil:1\r\nX-Forward: stays\r\n",
    );
    let heard = asked.lock().unwrap()[0].to_lowercase();
    assert!(heard.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{heard}");
    assert!(heard.contains("\r\nx-forward: stays\r\n"), "{heard}");
    for claim in ["192.0.2", "x-forwarded-port", "evil"] {
        assert!(!heard.contains(claim), "{heard}");
    }
}

#[test]
fn an_expectation_without_a_body_or_from_http_1_0_stays_here() {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, |_| {});
    assert!(edge.get("/a", "Expect: 100-continue\r\n").ends_with("hello"));
    let old = "POST /a HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n";
    assert!(edge.ask(old).ends_with("hello"));
    assert!(asked.lock().unwrap().iter().all(|head| !head.contains("Expect")));
}

#[test]
fn a_101_that_nobody_asked_for_is_a_failure() {
    let (address, _) =
        endpoint(|_| "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n".into());
    let edge = edge(address, |_| {});
    let answer = edge.get("/a", "");
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

#[test]
fn interim_responses_without_end_are_a_failure() {
    let (address, _) = endpoint(|_| "HTTP/1.1 102 Processing\r\n\r\n".repeat(200));
    let edge = edge(address, |_| {});
    let answer = edge.get("/a", "");
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}

#[test]
fn silence_on_a_kept_connection_counts_against_the_endpoint() {
    let silent = std::sync::atomic::AtomicBool::new(false);
    let (address, asked) = endpoint(move |_| match silent.swap(true, Ordering::Relaxed) {
        false => HELLO.into(),
        true => String::new(),
    });
    let edge = edge(address, |snapshot| {
        // Longer than the machine may hold up the endpoint before its first answer.
        snapshot.pools[0].timeouts.first_byte = Duration::from_secs(3);
    });
    edge.get("/a", "");
    let answer = edge.get("/a", "");
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    let cell = edge.cells.by_slot(0).unwrap();
    assert_eq!(cell.connects.load(Ordering::Relaxed), 1, "the same connection");
    assert_eq!(cell.failures.load(Ordering::Relaxed), 1);
    assert_eq!(asked.lock().unwrap().len(), 2, "and no second copy");
}

#[test]
fn an_early_answer_to_a_body_that_was_not_read_ends_the_connection() {
    let (address, _) = endpoint(|_| HELLO.into());
    let edge = edge(address, |_| {});
    let mut connection = TcpStream::connect(edge.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    connection.write_all(b"POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n").unwrap();
    let mut answer = [0; 4096];
    let length = connection.read(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer[..length]).into_owned();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("Connection: close"), "{text}");
    connection.write_all(b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut rest = Vec::new();
    let _ = connection.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"), "only one answer");
}
