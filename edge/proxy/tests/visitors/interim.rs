//! Interim responses (1xx) and trailers, wherever they turn up: they change no final response, frame nothing, carry
//! nothing past what a head may say, and reach nobody who did not ask the endpoint himself.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{self, edge, endpoint};
use std::sync::{Arc, Barrier};

const STORED: &str = "Cache-Control: max-age=60\r\n";
const OWN: &str = "Cache-Control: private\r\n";

fn ok(fields: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// A body in chunks, with these trailers.
fn chunked(fields: &str, body: &str, trailers: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\n{fields}Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n{trailers}\r\n"
    )
}

/// What would frame a body, change the connection or be somebody's, in a response that has no body.
const LYING_HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nContent-Length: 400\r\n\
    Transfer-Encoding: chunked\r\nConnection: close, Link\r\nUpgrade: h2c\r\nSet-Cookie: a=hint\r\n\r\n";

#[test]
fn a_hint_frames_nothing_and_is_for_who_asked() {
    let (address, _) = endpoint(|head| {
        let fields = if head.contains("/own") { OWN } else { STORED };
        format!("{LYING_HINT}{}", ok(fields, "page"))
    });
    let edge = edge(address, |_| {});
    let own = |version: &str| {
        edge.ask(&format!(
            "POST /own HTTP/{version}\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        ))
    };
    let answer = own("1.1");
    let (hint, page) = answer.split_once("\r\n\r\n").unwrap();
    assert!(hint.starts_with("HTTP/1.1 103 "), "{answer}");
    for word in ["Content-Length", "Transfer-Encoding", "Connection", "Upgrade"] {
        assert!(!hint.contains(word), "{word}: {answer}");
    }
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n") && page.ends_with("\r\n\r\npage"), "{answer}");
    let old = own("1.0");
    assert!(old.starts_with("HTTP/1.1 200 OK\r\n") && !old.contains("hint"), "HTTP/1.0 knows no 1xx: {old}");
    for _ in 0..2 {
        let shared = edge.get("/shared", "");
        assert!(shared.starts_with("HTTP/1.1 200 OK\r\n") && !shared.contains("hint"), "{shared}");
    }
    assert!(edge.get("/shared", "").contains("tentpole; hit"));
}

#[test]
fn who_waits_for_a_page_gets_it_and_no_hint() {
    let together = Arc::new(Barrier::new(2));
    let waits = together.clone();
    let (address, asked) = endpoint(move |_| {
        waits.wait();
        format!("{LYING_HINT}HTTP/1.1 102 Processing\r\n\r\n{}", ok(STORED, "page"))
    });
    let edge = edge(address, |_| {});
    let answers: Vec<String> = std::thread::scope(|scope| {
        let visitors: Vec<_> = (0..4).map(|_| scope.spawn(|| edge.get("/", ""))).collect();
        together.wait();
        visitors.into_iter().map(|visitor| visitor.join().unwrap()).collect()
    });
    for answer in &answers {
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\npage"), "{answer}");
        assert!(!answer.contains("hint"), "{answer}");
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn an_endpoint_that_never_comes_to_the_point_is_given_up() {
    let (address, _) = endpoint(|_| "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(10_000) + &ok(STORED, "page"));
    let edge = edge(address, |_| {});
    let shared = edge.get("/", "");
    assert!(shared.starts_with("HTTP/1.1 502 "), "{shared}");
    let own = edge.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert!(own.contains("HTTP/1.1 502 ") && own.matches("HTTP/1.1 103 ").count() <= 100, "{own}");
}

#[test]
fn nobody_is_told_that_his_connection_changed_who_did_not_ask() {
    let (address, asked) = endpoint(|head| {
        match head.contains("/again") {
        true => ok(STORED, "page"),
        false => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nsmug!"
            .into(),
    }
    });
    let edge = edge(address, |_| {});
    for request in ["GET / HTTP/1.1\r\nHost: a\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"] {
        let answer = edge.ask(&format!("{request}Connection: close\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 502 ") && !answer.contains("smug"), "{answer}");
    }
    assert!(edge.get("/again", "").ends_with("page"), "{:?}", asked.lock().unwrap());
}

#[test]
fn what_follows_a_response_without_a_body_answers_nobody() {
    for status in ["204 No Content", "304 Not Modified"] {
        let (address, _) = endpoint(move |head| match head.contains("/first") {
            true => {
                format!(
                    "HTTP/1.1 {status}\r\nContent-Length: 60\r\n\r\nHTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 4\r\n\r\nevil"
                )
            }
            false => ok(STORED, "page"),
        });
        let edge = edge(address, |_| {});
        for path in ["/first", "/second", "/first", "/third"] {
            let answer = edge.get(path, "If-None-Match: \"1\"\r\n");
            assert!(!answer.contains("evil"), "{status} {path}: {answer}");
        }
    }
}

const TRAILERS: &str = "X-Checked: yes\r\nSet-Cookie: session=trailer\r\nCache-Control: no-store\r\nContent-Length: 3\r\n\
    Location: https://evil.example/\r\nContent-Encoding: gzip\r\nVary: *\r\nETag: \"late\"\r\n";

#[test]
fn trailers_are_not_stored_and_say_nothing_about_storing() {
    let (address, asked) = endpoint(|_| chunked(STORED, "page", TRAILERS));
    let edge = edge(address, |_| {});
    for hit in [false, true] {
        let answer = edge.get("/", "");
        assert_eq!(answer.contains("tentpole; hit"), hit, "{answer}");
        for word in ["trailer", "evil", "X-Checked", "late"] {
            assert!(!answer.contains(word), "{word}: {answer}");
        }
    }
    assert_eq!(asked.lock().unwrap().len(), 1);
}

#[test]
fn trailers_for_one_visitor_hold_nothing_that_a_head_decides() {
    let (address, _) = endpoint(|_| chunked(OWN, "page", TRAILERS));
    let edge = edge(address, |_| {});
    let answer = edge.get("/", "TE: trailers\r\n");
    assert!(answer.ends_with("0\r\nX-Checked: yes\r\nETag: \"late\"\r\n\r\n"), "{answer}");
    // HTTP/1.0 knows no chunks: the end of the connection ends the body, and nothing comes after it.
    let old = edge.ask("GET / HTTP/1.0\r\nHost: a\r\n\r\n");
    assert!(old.ends_with("\r\n\r\npage") && !old.contains("Transfer-Encoding"), "{old}");
}

#[test]
fn fragments_bring_no_trailers_and_no_hints_into_a_page() {
    let (address, _) = endpoint(|head| match head.contains("/part") {
        true => format!("{LYING_HINT}{}", chunked(OWN, "fragment", TRAILERS)),
        false => chunked(
            "Cache-Control: max-age=60\r\nSurrogate-Control: content=\"ESI/1.0\"\r\n",
            "<p><esi:include src=\"/part\"/></p>",
            TRAILERS,
        ),
    });
    let edge = edge(address, |_| {});
    for _ in 0..2 {
        let answer = edge.get("/", "");
        assert!(answer.contains("fragment"), "{answer}");
        for word in ["trailer", "evil", "X-Checked", "hint", "late"] {
            assert!(!answer.contains(word), "{word}: {answer}");
        }
        let old = edge.ask("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n");
        assert!(old.ends_with("<p>fragment</p>"), "{old}");
    }
}

#[test]
fn what_a_visitor_may_not_claim_in_a_head_he_may_not_claim_in_a_trailer() {
    let (address, heard) = common::listener_of_whole_requests();
    let edge = edge(address, |_| {});
    let claims = "X-Forwarded-For: 10.0.0.1\r\nX-Real-IP: 10.0.0.1\r\nTrue-Client-IP: 10.0.0.1\r\nX_Forwarded_Host: evil\r\n\
        X-Original-URL: /admin\r\nAuthorization: Basic x\r\nCookie: a=b\r\nHost: evil\r\n";
    let request = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n4\r\nbody\r\n0\r\nX-Checked: yes\r\n{claims}\r\n"
    );
    let answer = edge.ask(&request);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let heard = heard.lock().unwrap().clone();
    let (_, late) = heard[0].split_once("\r\n0\r\n").unwrap();
    assert_eq!(late, "X-Checked: yes\r\n\r\n");
}
