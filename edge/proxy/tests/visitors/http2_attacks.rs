//! Visitors of HTTP/2 who mean harm: what they send costs no more than is said, reaches no endpoint in another meaning,
//! and holds up nobody else.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Running, edge, endpoint};
use crate::frames::*;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_runtime::clock;
use tentpole_runtime::ledger::Account;

const PROTOCOL_ERROR: u32 = 1;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

fn page(fields: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 4\r\n\r\npage")
}

/// Waits until `holds`, and fails when it never does.
fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let latest = clock::now().after(PATIENCE);
    while !holds() {
        assert!(clock::now() < latest, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Another visitor is served as ever.
fn serves_others(edge: &Running) {
    assert!(edge.get("/others", "").ends_with("page"));
}

/// More frames than any budget, and what would not take long if all were read.
const FLOOD: u32 = 100_000;

/// Reads in a thread of its own until the edge ends the connection; its result is the error code, where the reset of the
/// connection has not overtaken it. Only what the edge says counts: how much of a flood could be sent before that is a
/// matter of the kernel's buffers and of who got a processor.
fn told(raw: &Raw) -> JoinHandle<Option<u32>> {
    let mut reader = raw.other();
    std::thread::spawn(move || {
        let code = reader.goodbye();
        assert!(reader.is_ended(), "it was never enough");
        code
    })
}

/// Sends frames that bring nothing; the edge says that it is enough, before their end.
fn floods(next: impl Fn(u32) -> Vec<u8>) {
    let (address, _) = endpoint(|_| page("Cache-Control: max-age=60\r\n"));
    let edge = edge(address, |_| {});
    let mut raw = Raw::connect(edge.address);
    let told = told(&raw);
    let _ = (0..FLOOD).all(|number| raw.send(&next(number)));
    assert!(matches!(told.join().unwrap(), None | Some(ENHANCE_YOUR_CALM)));
    serves_others(&edge);
}

#[test]
fn a_flood_of_pings_ends_the_connection() {
    floods(|_| frame(PING, 0, 0, &[7; 8]));
}

#[test]
fn a_flood_of_settings_ends_the_connection() {
    floods(|_| frame(SETTINGS, 0, 0, b""));
}

#[test]
fn a_flood_of_priorities_ends_the_connection() {
    floods(|number| frame(PRIORITY, 0, number * 2 + 1, &[0, 0, 0, 0, 1]));
}

#[test]
fn a_flood_of_window_updates_ends_the_connection() {
    floods(|_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]));
}

#[test]
fn a_flood_of_unknown_frames_ends_the_connection() {
    floods(|_| frame(99, 0, 0, b"?"));
}

#[test]
fn requests_taken_back_at_once_end_the_connection_before_they_wear_out_an_endpoint() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let (address, _) = endpoint(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        page("Cache-Control: no-store\r\n")
    });
    let edge = edge(address, |_| {});
    let mut raw = Raw::connect(edge.address);
    let told = told(&raw);
    for number in 0..FLOOD / 2 {
        let stream = number * 2 + 1;
        let mut both = request(stream, END_STREAM, "GET", &format!("/{number}"), &[]);
        both.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        if !raw.send(&both) {
            break;
        }
    }
    assert!(matches!(told.join().unwrap(), None | Some(ENHANCE_YOUR_CALM)));
    eventually("the end", || edge.held(Account::Buffers) < 200_000);
    // One connection, one thread: no more than may be under way, and those before them.
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 500, "{asked} requests reached the endpoint");
    serves_others(&edge);
}

#[test]
fn requests_taken_back_once_they_have_begun_are_counted_too() {
    let (address, _) = endpoint(|head| match head.contains("/slow") {
        true => String::new(),
        false => page("Cache-Control: no-store\r\n"),
    });
    let edge = edge(address, |_| {});
    let mut raw = Raw::connect(edge.address);
    let (mut number, began) = (0, clock::now());
    let ended = 'until_ended: loop {
        assert!(number < 5_000, "it was never enough");
        let begun: Vec<u32> = (number..number + 50).map(|number| number * 2 + 1).collect();
        for &stream in &begun {
            raw.send(&request(stream, END_STREAM, "GET", &format!("/slow{stream}"), &[]));
        }
        // Its echo says that they were seen.
        raw.send(&frame(PING, 0, 0, &[7; 8]));
        loop {
            match raw.next() {
                Some(frame) if frame.kind == PING => break,
                Some(frame) if frame.kind == GOAWAY => break 'until_ended Some(frame),
                Some(_) => {}
                None => break 'until_ended None,
            }
        }
        for &stream in &begun {
            raw.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
        }
        number += 50;
    };
    // 200 at once and 20 for each second, which are many on a busy machine; and the batch that was on its way.
    let allowed = 200 + 20 * (clock::now().since(began).as_secs() as u32 + 1);
    assert!((200..=allowed + 100).contains(&number), "it ended after {number}");
    assert!(ended.is_none_or(|frame| frame.payload[4..8] == ENHANCE_YOUR_CALM.to_be_bytes()));
    serves_others(&edge);
}

#[test]
fn streams_that_the_edge_is_made_to_reset_end_the_connection_too() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let (address, _) = endpoint(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        page("Cache-Control: no-store\r\n")
    });
    let edge = edge(address, |_| {});
    let mut raw = Raw::connect(edge.address);
    let told = told(&raw);
    for number in 0..FLOOD / 2 {
        let stream = number * 2 + 1;
        let mut both = request(stream, END_STREAM, "GET", &format!("/{number}"), &[]);
        // A window of more than 2^31 - 1 is an error of the stream (RFC 9113 section 6.9.1): the edge takes it back, and the
        // endpoint works for nobody (CVE-2025-8671).
        both.extend(frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]));
        if !raw.send(&both) {
            break;
        }
    }
    assert!(matches!(told.join().unwrap(), None | Some(ENHANCE_YOUR_CALM)));
    eventually("the end", || edge.held(Account::Buffers) < 200_000);
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 2_000, "{asked} requests reached the endpoint");
    serves_others(&edge);
}

#[test]
fn a_flood_of_empty_content_ends_the_connection() {
    let begin = || request(1, 0, "POST", "/first", &[]);
    floods(|number| if number == 0 { begin() } else { frame(DATA, 0, 1, b"") });
}

#[test]
fn a_flood_of_empty_continuations_ends_the_connection() {
    let begin = || frame(HEADERS, END_STREAM, 1, &block(&[(b":method", b"GET")]));
    floods(|number| if number == 0 { begin() } else { frame(CONTINUATION, 0, 1, b"") });
}

#[test]
fn requests_that_were_taken_back_count_until_they_have_ended() {
    let (go, gone_ahead) = std::sync::mpsc::sync_channel::<()>(4);
    let gone_ahead = Mutex::new(gone_ahead);
    let (address, asked) = endpoint(move |head| {
        if head.starts_with("POST") {
            let _ = gone_ahead.lock().unwrap().recv_timeout(PATIENCE);
        }
        page("Cache-Control: no-store\r\n")
    });
    let edge = edge(address, |snapshot| snapshot.visitors.streams_max = 4);
    let mut raw = Raw::connect(edge.address);
    for number in 0..4 {
        let stream = number * 2 + 1;
        assert!(raw.send(&request(stream, END_STREAM, "POST", "/slow", &[])));
        eventually("the request", || asked.lock().unwrap().len() > number as usize);
        assert!(raw.send(&frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])));
    }
    assert!(raw.send(&request(9, END_STREAM, "POST", "/slow", &[])));
    assert_eq!(raw.reset(9), Some(REFUSED_STREAM));
    assert_eq!(asked.lock().unwrap().len(), 4);
    for _ in 0..4 {
        go.send(()).unwrap();
    }
    serves_others(&edge);
}

#[test]
fn a_head_that_never_ends_is_cut_off() {
    let (address, asked) = endpoint(|_| page(""));
    let edge = edge(address, |_| {});
    let mut raw = Raw::connect(edge.address);
    let head = block(&[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"h")]);
    assert!(raw.send(&frame(HEADERS, END_STREAM, 1, &head)));
    let more = frame(CONTINUATION, 0, 1, &block(&[(b"x-more", &[b'a'; 1_000])]));
    let told = told(&raw);
    let _ = (0..FLOOD).all(|_| raw.send(&more));
    told.join().unwrap();
    serves_others(&edge);
    assert!(asked.lock().unwrap().iter().all(|head| head.contains("/others")));
}

#[test]
fn a_head_that_grows_when_it_is_unpacked_is_refused() {
    let (address, asked) = endpoint(|_| page(""));
    let edge = edge(address, |_| {});
    let mut raw = Raw::connect(edge.address);
    // One entry of 4,000 bytes in the table, then as many references to it as fit (RFC 7541 section 6.1).
    let mut bomb =
        block(&[(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"h")]);
    bomb.push(0x40);
    bomb.extend(&block(&[(b"x-bomb", &[b'a'; 3_900])])[1..]);
    bomb.extend([0x80 | 62; 10_000]);
    raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &bomb));
    let answer = std::iter::from_fn(|| raw.next()).find(|frame| frame.stream == 1 || frame.kind == GOAWAY);
    assert!(answer.is_none_or(|frame| frame.kind != DATA), "it was answered");
    assert!(edge.held(Account::Buffers) < 1 << 20);
    serves_others(&edge);
    assert!(asked.lock().unwrap().iter().all(|head| head.contains("/others")));
}

#[test]
fn content_in_the_smallest_frames_ends_the_connection_before_it_fills_memory() {
    let (address, asked) =
        endpoint(
            |head| {
                if head.starts_with("POST") { String::new() } else { page("Cache-Control: no-store\r\n") }
            },
        );
    // The one place at the endpoint is taken: nobody reads the body.
    let edge = edge(address, |snapshot| snapshot.pools[0].endpoints[0].requests_max = Some(1));
    let mut raw = Raw::connect(edge.address);
    raw.send(&request(1, END_STREAM, "POST", "/first", &[]));
    eventually("the first request", || asked.lock().unwrap().len() == 1);
    raw.send(&request(3, 0, "POST", "/second", &[]));
    eventually("the second in the queue", || edge.queued() == [1]);
    let mut reader = raw.other();
    let told = std::thread::spawn(move || reader.goodbye());
    let small = frame(DATA, 0, 3, b"x").repeat(1_000);
    let mut sent = 0;
    // As much as the window lets through.
    while sent < 256 && raw.send(&small) {
        sent += 1;
    }
    eventually("the end", || !raw.send(&frame(PING, 0, 0, &[7; 8])));
    assert!(matches!(told.join().unwrap(), None | Some(ENHANCE_YOUR_CALM)));
}

#[test]
fn who_opens_no_window_gets_nothing_and_costs_little() {
    let large = "x".repeat(1 << 20);
    let (address, _) = endpoint(move |_| {
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n{large}",
            large.len()
        )
    });
    let edge = edge(address, |snapshot| snapshot.visitors.stall_time = Duration::from_millis(500));
    let mut raw = Raw::connect(edge.address);
    // No content at all on any stream (RFC 9113 section 6.5.2).
    raw.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for number in 0..100 {
        raw.send(&request(number * 2 + 1, END_STREAM, "GET", "/large", &[]));
    }
    let mut resets = 0;
    while resets < 100 {
        let frame = raw.next().expect("the connection to go on");
        assert!(frame.kind != DATA || frame.payload.is_empty(), "nobody had opened a window");
        resets += usize::from(frame.kind == RST_STREAM);
    }
    eventually("the end of all", || edge.held(Account::Buffers) < 200_000);
}

#[test]
fn who_reads_nothing_has_no_more_in_memory_than_is_said_and_is_cut_off() {
    let large = "x".repeat(4 << 20);
    let (address, _) = endpoint(move |_| {
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {}\r\n\r\n{large}",
            large.len()
        )
    });
    // So long that it is seen what is held meanwhile.
    let edge = edge(address, |snapshot| snapshot.visitors.stall_time = Duration::from_secs(3));
    edge.get("/large", "");
    let before = edge.held(Account::Buffers);
    let mut raw = Raw::connect(edge.address);
    // All the window that there is, on every stream and for all of them.
    raw.send(&frame(SETTINGS, 0, 0, &[0, 4, 0x7f, 0xff, 0xff, 0xff]));
    raw.send(&frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0, 0]));
    for number in 0..100 {
        raw.send(&request(number * 2 + 1, END_STREAM, "GET", "/large", &[]));
    }
    let mut most = 0;
    eventually("the end", || {
        let held = edge.held(Account::Buffers).saturating_sub(before);
        most = most.max(held);
        // The thread keeps a buffer to gather in.
        most > 300_000 && held <= 16 * 1024
    });
    // What may wait to be written, a hundred requests, the connection, and a buffer or two.
    assert!(most < 256 * 1024 + 100 * 8 * 1024 + 32 * 1024 + 64 * 1024, "{most} bytes");
    serves_from_cache(&edge);
}

fn serves_from_cache(edge: &Running) {
    assert!(edge.get("/large", "").contains("; hit"));
}

#[test]
fn requests_that_never_end_have_their_time() {
    let (address, _) = endpoint(|head| match head.starts_with("POST") {
        true => String::new(),
        false => page("Cache-Control: no-store\r\n"),
    });
    let edge = edge(address, |snapshot| {
        snapshot.visitors.stall_time = Duration::from_millis(300);
        snapshot.pools[0].timeouts.stall = Duration::from_millis(300);
    });
    let mut raw = Raw::connect(edge.address);
    for number in 0..100 {
        raw.send(&request(number * 2 + 1, 0, "POST", "/a", &[]));
    }
    let mut answered = 0;
    while answered < 100 {
        let frame = raw.next().expect("the connection to go on");
        answered += usize::from(frame.kind == HEADERS || frame.kind == RST_STREAM);
    }
    serves_others(&edge);
}

#[test]
fn a_connection_that_asks_nothing_ends_whatever_else_it_sends() {
    let (address, _) = endpoint(|_| page(""));
    let edge = edge(address, |snapshot| snapshot.visitors.head_time = Duration::from_millis(300));
    let mut raw = Raw::connect(edge.address);
    let began = clock::now();
    let mut reader = raw.other();
    let ended = std::thread::spawn(move || while reader.next().is_some() {});
    // Less than the budget, so that it is the time which ends it.
    while clock::now().since(began) < PATIENCE && raw.send(&frame(PING, 0, 0, &[7; 8])) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = clock::now().since(began);
    assert!(took < PATIENCE, "{took:?}");
    ended.join().unwrap();
}

#[test]
fn what_two_parties_could_read_in_two_ways_reaches_no_endpoint() {
    let (address, asked) = endpoint(|_| page("Cache-Control: no-store\r\n"));
    let edge = edge(address, |_| {});
    let evil = b"1\r\n\r\nGET /evil HTTP/1.1\r\nHost: shop.example\r\n\r\n".as_slice();
    let usual: [(&[u8], &[u8]); 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/a"), (b":authority", b"shop.example")];
    let with = |more: &[(&[u8], &[u8])]| block(&[&usual[..], more].concat());
    let instead = |name: &[u8], value: &'static [u8]| {
        block(&usual.map(|(other, usual)| (other, if other == name { value } else { usual })))
    };
    let heads = [
        ("a line end in a value", with(&[(b"x-one", evil)])),
        ("a line feed in a value", with(&[(b"x-one", b"1\nx-two: 2")])),
        ("a zero byte in a value", with(&[(b"x-one", b"1\0")])),
        ("a space before a value", with(&[(b"x-one", b" 1")])),
        ("a line end in a name", with(&[(b"x-one: 1\r\nx-two", b"2")])),
        ("a space in a name", with(&[(b"x one", b"1")])),
        ("a capital in a name", with(&[(b"X-One", b"1")])),
        ("a colon in a name", with(&[(b"x-one:", b"1")])),
        ("an empty name", with(&[(b"", b"1")])),
        ("transfer-encoding", with(&[(b"transfer-encoding", b"chunked")])),
        ("connection", with(&[(b"connection", b"close")])),
        ("upgrade", with(&[(b"upgrade", b"websocket")])),
        ("te", with(&[(b"te", b"gzip")])),
        ("another host", with(&[(b"host", b"evil.example")])),
        ("a host twice", with(&[(b"host", b"shop.example"), (b"host", b"shop.example")])),
        ("a length that is none", with(&[(b"content-length", b"+5")])),
        ("two lengths", with(&[(b"content-length", b"0"), (b"content-length", b"1")])),
        ("a length without content", with(&[(b"content-length", b"5")])),
        ("a pseudo-field late", with(&[(b"x-one", b"1"), (b":path", b"/evil")])),
        ("a path twice", with(&[(b":path", b"/evil")])),
        ("an unknown pseudo-field", with(&[(b":evil", b"1")])),
        ("a status", with(&[(b":status", b"200")])),
        ("a line end in the path", instead(b":path", b"/a HTTP/1.1\r\nHost: evil\r\n\r\nGET /evil")),
        ("a space in the path", instead(b":path", b"/a b")),
        ("an absolute path", instead(b":path", b"http://evil.example/")),
        ("an empty path", instead(b":path", b"")),
        ("a star", instead(b":path", b"*")),
        ("a line end in the method", instead(b":method", b"GET / HTTP/1.1\r\n\r\nGET")),
        ("a space in the method", instead(b":method", b"GET /evil")),
        ("an empty method", instead(b":method", b"")),
        ("connect", instead(b":method", b"CONNECT")),
        ("a line end in the host", instead(b":authority", b"a\r\nx-evil: 1")),
        ("a user in the host", instead(b":authority", b"evil@shop.example")),
        ("another scheme", instead(b":scheme", b"ftp")),
        ("no path", block(&usual[..2])),
    ];
    for (what, head) in heads {
        let mut raw = Raw::connect(edge.address);
        assert!(raw.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &head)), "{what}");
        let answer = std::iter::from_fn(|| raw.next())
            .find(|frame| frame.stream == 1 || frame.kind == GOAWAY)
            .unwrap_or_else(|| panic!("{what}: no answer"));
        match answer.kind {
            RST_STREAM => assert_eq!(answer.payload, PROTOCOL_ERROR.to_be_bytes(), "{what}"),
            GOAWAY => {}
            // 400 and 405 have no index in the static table but 400: the log says which.
            HEADERS => assert_ne!(answer.payload.first(), Some(&0x88), "{what}: it was answered 200"),
            kind => panic!("{what}: a frame of kind {kind}"),
        }
    }
    assert_eq!(*asked.lock().unwrap(), Vec::<String>::new());
    serves_others(&edge);
}

#[test]
fn a_body_of_another_length_than_announced_never_becomes_two_requests() {
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let seen = bodies.clone();
    let (address, asked) = endpoint(move |head| {
        seen.lock().unwrap().push(head.to_string());
        // For a POST the rest of the body would be read as the next head.
        page("Cache-Control: no-store\r\n")
    });
    let edge = edge(address, |_| {});
    let evil = b"GET /evil HTTP/1.1\r\nHost: shop.example\r\n\r\n";
    for (length, content) in [("5", &evil[..]), ("0", &evil[..]), ("100", &evil[..])] {
        let mut raw = Raw::connect(edge.address);
        raw.send(&request(1, 0, "POST", "/a", &[(b"content-length", length.as_bytes())]));
        raw.send(&frame(DATA, END_STREAM, 1, content));
        let end = std::iter::from_fn(|| raw.next())
            .find(|frame| frame.stream == 1 && (frame.kind == RST_STREAM || frame.flags & END_STREAM != 0));
        assert!(end.is_some(), "a length of {length} was left unanswered");
    }
    serves_others(&edge);
    let asked = asked.lock().unwrap();
    assert!(asked.iter().all(|head| !head.starts_with("GET /evil")), "{asked:?}");
}
