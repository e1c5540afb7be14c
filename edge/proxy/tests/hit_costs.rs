//! What a cached hit costs in memory: nothing is allocated, counted over the whole process while a client that
//! allocates nothing either asks again and again. (Its system calls are counted in `tests/costs.rs`.)

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]
#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait, and counting allocations needs one")]

use common::{edge, endpoint};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use tentpole_model::{Caching, QueryRules};

mod common;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// What a script sends.
const PLAIN: &str = "GET /page?x=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n";

/// What a browser sends, where much of it is reduced.
const LADEN: &str = "GET /laden?utm_source=mail&b=2&a=1 HTTP/1.1\r\nHost: shop.example\r\n\
    User-Agent: Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/137.0.0.0 Mobile Safari/537.36\r\n\
    Accept-Language: de-AT,de;q=0.9,en;q=0.8\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n\
    Cookie: _ga=GA1.2.3; group=vip; _gid=4; theme=dark\r\n\r\n";

/// What is compressed, for whom it is not until its form is there.
const NEGOTIATED: &str =
    "GET /text HTTP/1.1\r\nHost: shop.example\r\nAccept-Encoding: deflate, gzip;q=0.8\r\n\r\n";

/// Asks once on a kept connection; reads the whole response without allocating.
fn ask(connection: &mut TcpStream, request: &str, buffer: &mut [u8; 8192]) -> usize {
    connection.write_all(request.as_bytes()).unwrap();
    let mut length = 0;
    loop {
        length += connection.read(&mut buffer[length..]).unwrap();
        let end = buffer[..length].windows(4).position(|four| four == b"\r\n\r\n");
        if end.is_some_and(|end| length == end + 4 + content_length(&buffer[..end])) {
            return length;
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let name = b"Content-Length: ";
    let at = head.windows(name.len()).position(|window| window == name).unwrap() + name.len();
    head[at..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .fold(0, |sum, digit| 10 * sum + usize::from(digit - b'0'))
}

#[test]
fn a_hit_allocates_nothing() {
    let (endpoint, _asked) = endpoint(|head| {
        let more = match head.contains("/laden") {
            true => {
                "Vary: Accept-Encoding, Accept-Language, Cookie, User-Agent\r\nNo-Vary-Search: key-order\r\n"
            }
            false if head.contains("/text") => "Content-Type: text/html\r\n",
            false => "",
        };
        let head =
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nETag: \"1\"\r\nContent-Length: 1024\r\n";
        format!("{head}{more}\r\n{}", "x".repeat(1024))
    });
    let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let edge = edge(endpoint, |snapshot| {
        snapshot.cachings = vec![Caching {
            query: QueryRules { keep: None, drop: own(&["utm_*"]), sort: true },
            cookies_keyed: own(&["group"]),
            languages: own(&["en", "de"]),
            devices: true,
            ..Caching::default()
        }];
    });

    let mut connection = TcpStream::connect(edge.address).unwrap();
    let mut buffer = [0; 8192];
    let is_coded = |buffer: &[u8]| buffer.windows(22).any(|window| window == b"Content-Encoding: gzip");
    for request in [PLAIN, LADEN, NEGOTIATED] {
        for round in 0.. {
            let length = ask(&mut connection, request, &mut buffer);
            if round >= 100 && (request != NEGOTIATED || is_coded(&buffer[..length])) {
                break;
            }
            assert!(round < 10_000, "nothing was compressed");
        }
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..1_000 {
            let length = ask(&mut connection, request, &mut buffer);
            assert!(buffer[..length].windows(5).any(|five| five == b"; hit"), "not a hit");
        }
        let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
        assert_eq!(allocations, 0, "allocations in 1,000 hits: {request}");
    }

    // The count can count: a miss allocates.
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    connection.write_all(b"GET /other HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    let _ = connection.read(&mut buffer).unwrap();
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > before);
}
