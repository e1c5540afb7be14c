//! Ranges of pages that are put together: nobody gets a part of what they are made of, though the endpoint would send one.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common::{edge, endpoint};
use std::net::SocketAddr;
use tentpole_model::{Caching, CachingId, Esi, Snapshot};

const PART: &str = "Content-Range: bytes 0-3/28\r\nContent-Length: 4\r\n\r\na<es";
const ASKS: &str = "Surrogate-Control: content=\"ESI/1.0\"\r\n";

/// An endpoint that answers ranges of what its page is made of, and lets nobody keep it.
fn with_ranges(fields: &'static str) -> SocketAddr {
    let (endpoint, _) = endpoint(move |head| {
        let (page, fragment) =
            ("a<esi:include src='/f'/>b", "Cache-Control: private\r\nContent-Length: 1\r\n\r\nf");
        match head.starts_with("GET /f ") {
            true => format!("HTTP/1.1 200 OK\r\n{fragment}"),
            false if head.contains("\r\nRange: ") => {
                format!("HTTP/1.1 206 Partial Content\r\n{fields}Cache-Control: private\r\n{PART}")
            }
            false => format!(
                "HTTP/1.1 200 OK\r\n{fields}Cache-Control: private\r\nContent-Length: {}\r\n\r\n{page}",
                page.len()
            ),
        }
    });
    endpoint
}

fn always(snapshot: &mut Snapshot) {
    snapshot.cachings = vec![Caching { esi: Esi::Always, ..Caching::default() }];
    snapshot.sites[0].routes[0].caching = CachingId(0);
}

/// The content of a chunked response whose chunks hold no line end.
fn without_frames(response: &str) -> String {
    let (_, body) = response.split_once("\r\n\r\n").unwrap();
    body.split("\r\n").skip(1).step_by(2).collect()
}

#[test]
fn a_range_of_a_page_that_nobody_keeps_is_the_whole_page() {
    let asked = edge(with_ranges(ASKS), |_| {});
    let told = edge(with_ranges("Content-Type: text/html\r\n"), always);
    // From the second time on it is known that nothing can be stored, and nobody waits for a fill.
    for _ in 0..3 {
        for edge in [&asked, &told] {
            let got = edge.get("/", "Range: bytes=0-3\r\n");
            assert!(got.starts_with("HTTP/1.1 200 "), "{got}");
            assert_eq!(without_frames(&got), "afb");
        }
    }
}

#[test]
fn what_is_no_page_goes_in_parts_as_ever() {
    let edge = edge(with_ranges("Content-Type: video/mp4\r\n"), |_| {});
    for _ in 0..2 {
        let got = edge.get("/", "Range: bytes=0-3\r\n");
        assert!(got.starts_with("HTTP/1.1 206 ") && got.ends_with("a<es"), "{got}");
    }
}

#[test]
fn an_endpoint_that_sends_a_part_to_who_asked_for_the_whole_is_not_believed() {
    let (endpoint, _) = endpoint(|_| format!("HTTP/1.1 206 Partial Content\r\n{ASKS}{PART}"));
    let edge = edge(endpoint, |_| {});
    let got = edge.get("/", "");
    assert!(got.starts_with("HTTP/1.1 502 ") && !got.contains("<es"), "{got}");
}
