//! Parts, conditions and HEAD as weapons: an endpoint that answers with parts nobody asked for, visitors who ask for parts
//! of what they do not have, and answers to HEAD that say something else than those to GET.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Asked, Running, edge, endpoint};
use std::time::Duration;
use tentpole_runtime::clock;

fn ok(fields: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n{fields}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn before(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (Running, Asked) {
    let (address, asked) = endpoint(answer);
    (edge(address, |_| {}), asked)
}

fn is_hit(answer: &str) -> bool {
    answer.contains("tentpole; hit")
}

#[test]
fn a_part_that_nobody_asked_for_is_nobodys_whole() {
    for range in ["bytes 0-3/8", "bytes 0-3/4", "bytes 4-7/8", "bytes */8", "lines 0-3/4", ""] {
        let (edge, _) = before(move |head| match head.contains("/part") {
            true => format!(
                "HTTP/1.1 206 Partial Content\r\nCache-Control: public, max-age=60\r\nETag: \"1\"\r\nContent-Range: {range}\r\nContent-Length: 4\r\n\r\npart"
            ),
            false => ok("", "whole"),
        });
        for fields in ["", "Range: bytes=0-3\r\n", ""] {
            let answer = edge.get("/part", fields);
            assert!(!is_hit(&answer) && !answer.contains("stored"), "{range:?}: {answer}");
            assert!(!answer.starts_with("HTTP/1.1 200"), "{range:?}: {answer}");
        }
    }
}

#[test]
fn several_parts_in_one_answer_are_not_stored() {
    let (edge, _) = before(|_| {
        let body = "--b\r\nContent-Range: bytes 0-0/9\r\n\r\na\r\n--b--\r\n";
        format!(
            "HTTP/1.1 206 Partial Content\r\nCache-Control: public, max-age=60\r\nContent-Type: multipart/byteranges; boundary=b\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    });
    for _ in 0..2 {
        let answer = edge.get("/", "Range: bytes=0-0,4-4\r\n");
        assert!(!is_hit(&answer) && !answer.contains("stored"), "{answer}");
    }
}

#[test]
fn who_asks_for_many_parts_of_what_is_stored_gets_it_once() {
    let (edge, _) = before(|_| ok("ETag: \"1\"\r\n", "0123456789"));
    edge.get("/", "");
    let many = vec!["0-"; 1_000].join(",");
    for range in [many.as_str(), "0-1,3-4", "0-1, 0-1", "-1,-1"] {
        let answer = edge.get("/", &format!("Range: bytes={range}\r\n"));
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("0123456789"), "{answer}");
        assert_eq!(answer.matches("0123456789").count(), 1);
    }
}

#[test]
fn a_304_that_nobody_asked_for_is_not_stored_and_stores_nothing() {
    let (edge, asked) = before(|head| match head.contains("/304") {
        true => "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=60\r\nETag: \"1\"\r\n\r\n".into(),
        false => ok("", "page"),
    });
    for _ in 0..3 {
        let answer = edge.get("/304", "");
        assert!(!is_hit(&answer) && !answer.contains("stored"), "{answer}");
    }
    assert_eq!(asked.lock().unwrap().len(), 3);
}

#[test]
fn parts_come_from_the_variant_that_the_visitor_asks_for() {
    let (edge, _) = before(|head| {
        let german = head.contains("anguage: de");
        // The same entity tag for both, as careless applications send it.
        ok("ETag: \"1\"\r\nVary: Accept-Language\r\n", if german { "deutsch!" } else { "francais" })
    });
    for language in ["de", "fr"] {
        edge.get("/", &format!("Accept-Language: {language}\r\n"));
    }
    for (language, part) in [("de", "sch!"), ("fr", "cais")] {
        let fields = format!("Accept-Language: {language}\r\nRange: bytes=4-\r\nIf-Range: \"1\"\r\n");
        let answer = edge.get("/", &fields);
        assert!(answer.starts_with("HTTP/1.1 206 ") && answer.ends_with(part), "{answer}");
        assert!(is_hit(&answer), "{answer}");
    }
}

#[test]
fn a_part_of_a_compressed_form_is_never_mixed_with_one_of_the_plain_page() {
    let page: String = (0..2_000).map(|number| format!("<li>{number}</li>")).collect();
    let whole = page.clone();
    let (edge, _) = before(move |_| ok("Content-Type: text/html\r\nETag: \"1\"\r\n", &page));
    edge.get("/", "");
    let form_etag = {
        let until = clock::now().after(Duration::from_secs(10));
        loop {
            // Only the head is text.
            let head = edge.ask(
                "HEAD / HTTP/1.1\r\nHost: shop.example\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n",
            );
            if head.contains("Content-Encoding: gzip") {
                break head.lines().find_map(|line| line.strip_prefix("ETag: ")).unwrap().to_owned();
            }
            assert!(clock::now() < until, "{head}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert!(form_etag.starts_with("W/"), "{form_etag}");
    // He has a part of the compressed form and wants the rest of it: he gets all of something, or nothing of another.
    let rest = format!("Accept-Encoding: gzip\r\nRange: bytes=4-9\r\nIf-Range: {form_etag}\r\n");
    let answer = edge.get("/", &rest);
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(&whole), "{}", &answer[..300]);
    let plain = edge.get("/", "Accept-Encoding: gzip\r\nRange: bytes=4-9\r\nIf-Range: \"1\"\r\n");
    assert!(plain.starts_with("HTTP/1.1 206 ") && plain.ends_with(&whole[4..10]), "{plain}");
    assert!(!plain.contains("Content-Encoding"), "{plain}");
}

#[test]
fn what_a_head_is_answered_fouls_no_page() {
    let (address, asked) = endpoint(|head| match head.starts_with("HEAD ") {
        false => ok("Content-Type: text/html\r\nETag: \"1\"\r\n", "page"),
        true => {
            let fields = "Cache-Control: max-age=60\r\nETag: \"1\"\r\nContent-Type: text/plain\r\nContent-Encoding: gzip\r\n\
                Content-Range: bytes 0-1/2\r\nTransfer-Encoding: chunked\r\nSet-Cookie: session=head\r\n";
            format!("HTTP/1.1 200 OK\r\n{fields}\r\n")
        }
    });
    // So that visitors can have the endpoint asked for what is stored and fresh.
    let edge = edge(address, |snapshot| snapshot.cachings[0].visitors_revalidate = true);
    edge.get("/", "");
    for fields in ["Cache-Control: no-cache\r\n", "Cache-Control: no-cache\r\nRange: bytes=0-1\r\n"] {
        edge.ask(&format!("HEAD / HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n"));
        let page = edge.get("/", "");
        assert!(page.starts_with("HTTP/1.1 200 ") && page.ends_with("\r\n\r\npage"), "{page}");
        for word in ["gzip", "Content-Range", "session", "chunked"] {
            assert!(!page.contains(word), "{word} after {fields}: {page}");
        }
    }
    assert!(asked.lock().unwrap().iter().filter(|head| head.starts_with("HEAD ")).count() == 2);
}

#[test]
fn a_head_before_anybody_asked_stores_nothing() {
    let (edge, _) = before(|head| match head.starts_with("HEAD ") {
        true => "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n\r\n".into(),
        false => ok("", "page"),
    });
    let head = edge.ask("HEAD / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    assert!(!head.contains("stored"), "{head}");
    let page = edge.get("/", "");
    assert!(!is_hit(&page) && page.ends_with("page"), "{page}");
}
