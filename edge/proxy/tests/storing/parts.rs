//! Ranges and HEAD: what is stored for GET serves them, and what they bring serves GET.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{edge, endpoint};

const BODY: &str = "0123456789";

fn page(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 10\r\n\r\n{BODY}")
}

fn head(path: &str, fields: &str) -> String {
    format!("HEAD {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n")
}

#[test]
fn a_part_of_what_is_not_stored_makes_the_whole_be_fetched_once() {
    let (address, asked) = endpoint(|_| page("Cache-Control: max-age=60\r\nETag: \"1\"\r\n"));
    let edge = edge(address, |_| {});
    let part = edge.get("/", "Range: bytes=2-4\r\n");
    assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\n234"), "{part}");
    assert!(part.contains("\r\nContent-Range: bytes 2-4/10\r\nContent-Length: 3\r\n"), "{part}");
    assert!(part.contains("Cache-Status: tentpole; fwd=uri-miss; stored\r\n"), "{part}");
    let last = edge.get("/", "Range: bytes=-3\r\n");
    assert!(last.contains("; hit") && last.ends_with("\r\n\r\n789"), "{last}");
    let beyond = edge.get("/other", "Range: bytes=10-\r\n");
    assert!(
        beyond.starts_with("HTTP/1.1 416 ") && beyond.contains("\r\nContent-Range: bytes */10\r\n"),
        "{beyond}"
    );
    let whole = edge.get("/other", "");
    assert!(whole.contains("; hit") && whole.ends_with(BODY), "{whole}");
    let asked = asked.lock().unwrap();
    assert!(asked.len() == 2 && asked.iter().all(|head| !head.contains("Range")), "{asked:?}");
}

#[test]
fn a_part_that_is_asked_for_on_a_condition_is_one_only_if_that_holds() {
    let (address, _) = endpoint(|_| page("Cache-Control: max-age=60\r\nETag: \"1\"\r\n"));
    let edge = edge(address, |_| {});
    let other = edge.get("/", "Range: bytes=2-4\r\nIf-Range: \"0\"\r\n");
    assert!(other.starts_with("HTTP/1.1 200 ") && other.ends_with(BODY), "{other}");
    let part = edge.get("/same", "Range: bytes=2-4\r\nIf-Range: \"1\"\r\n");
    assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\n234"), "{part}");
}

#[test]
fn a_part_of_what_has_no_length_yet_is_the_whole() {
    let (address, _) = endpoint(|_| {
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\na\r\n{BODY}\r\n0\r\n\r\n"
        )
    });
    let edge = edge(address, |_| {});
    let whole = edge.get("/", "Range: bytes=2-4\r\n");
    assert!(
        whole.starts_with("HTTP/1.1 200 ")
            && whole.ends_with("a\r\n0123456789\r\n0\r\n\r\n".to_uppercase().as_str()),
        "{whole}"
    );
    assert!(edge.get("/", "Range: bytes=2-4\r\n").ends_with("\r\n\r\n234"));
}

#[test]
fn a_part_of_what_is_not_shared_or_too_large_is_asked_for_as_the_visitor_did() {
    for fields in ["Cache-Control: private\r\n", "Cache-Control: max-age=60\r\n"] {
        let (address, asked) = endpoint(move |head| match head.contains("Range: bytes=2-4") {
            true => format!(
                "HTTP/1.1 206 Partial Content\r\n{fields}Content-Range: bytes 2-4/10\r\nContent-Length: 3\r\n\r\n234"
            ),
            false => page(fields),
        });
        let edge = edge(address, |snapshot| snapshot.cache.object_bytes_max = 9);
        for _ in 0..2 {
            let part = edge.get("/", "Range: bytes=2-4\r\n");
            assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\n234"), "{part}");
        }
        assert_eq!(asked.lock().unwrap().len(), 3, "the second goes with its range at once");
    }
}

#[test]
fn a_head_brings_stored_fields_up_to_date() {
    let (address, asked) = endpoint(|head| {
        match head.starts_with("HEAD") {
        true => "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\nX-Build: 2\r\nContent-Length: 10\r\n\r\n".into(),
        false => page("Cache-Control: max-age=60\r\nAge: 100\r\nETag: \"1\"\r\nX-Build: 1\r\n"),
    }
    });
    let edge = edge(address, |_| {});
    edge.get("/", "");
    let answer = edge.ask(&head("/", ""));
    assert!(answer.contains("X-Build: 2") && answer.contains("fwd=method"), "{answer}");
    let updated = edge.get("/", "");
    assert!(updated.contains("; hit; ttl=60") && updated.contains("X-Build: 2\r\n"), "{updated}");
    assert!(updated.ends_with(BODY), "{updated}");
    assert_eq!(asked.lock().unwrap().len(), 2);
}

#[test]
fn a_head_that_differs_makes_what_is_stored_stale() {
    for differs in ["ETag: \"2\"\r\nContent-Length: 10\r\n", "ETag: \"1\"\r\nContent-Length: 11\r\n"] {
        let (address, asked) = endpoint(move |head| match head.starts_with("HEAD") {
            true => format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{differs}\r\n"),
            false => page("Cache-Control: max-age=60\r\nETag: \"1\"\r\n"),
        });
        let edge = edge(address, |_| {});
        edge.get("/", "");
        // A visitor who says who he is learns of his own page only.
        edge.ask(&head("/", "Cookie: a=b\r\nCache-Control: no-cache\r\n"));
        assert!(edge.get("/", "").contains("; hit"));
        edge.ask(&head("/", "Cache-Control: no-cache\r\n"));
        assert!(edge.get("/", "").contains("fwd=stale"));
        assert_eq!(asked.lock().unwrap().len(), 4);
    }
}

#[test]
fn a_head_of_what_is_stored_asks_nobody_and_carries_no_body() {
    let (address, asked) = endpoint(|_| page("Cache-Control: max-age=60\r\n"));
    let edge = edge(address, |_| {});
    edge.get("/", "");
    let answer = edge.ask(&head("/", ""));
    assert!(answer.contains("; hit") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(answer.contains("\r\nContent-Length: 10\r\n"), "{answer}");
    assert_eq!(asked.lock().unwrap().len(), 1);
}
