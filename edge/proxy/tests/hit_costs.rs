//! What a request costs in memory, counted over the whole process while a client that allocates nothing asks again and
//! again: a cached hit allocates nothing, and what passes to an endpoint that allocates nothing either, next to nothing.
//! (System calls are counted in `tests/costs.rs`.)

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]
#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait, and counting allocations needs one")]

use common::{edge, endpoint};
use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tentpole_model::{Caching, Filter, FilterAction, FilterWhen, LimitBy, Network, QueryRules, RateLimit};

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

/// Filters of each kind that let these requests through.
fn filters() -> Vec<Filter> {
    let filter = |name: &str, when, action| Filter { name: name.to_owned(), report: false, when, action };
    let network = Network { address: "203.0.113.0".parse().unwrap(), bits: 24 };
    let rate = RateLimit {
        requests: 10_000_000,
        per: Duration::from_secs(1),
        burst: 10_000_000,
        by: vec![LimitBy::Address, LimitBy::Cookie("group".to_owned()), LimitBy::Route],
        ipv6_bits: 64,
    };
    let of = FilterWhen::default;
    vec![
        filter("denied", FilterWhen { from: vec![network], ..of() }, FilterAction::Deny),
        filter("words", FilterWhen { user_agents: vec!["curl/".to_owned()], ..of() }, FilterAction::Deny),
        filter("paths", FilterWhen { paths: vec!["/admin/*".to_owned()], ..of() }, FilterAction::Deny),
        filter("rate", of(), FilterAction::Limit(rate)),
    ]
}

/// The count is the whole process's: where tests are threads, one counts at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An endpoint that answers each request with the same page, for one visitor each, and allocates nothing for it.
fn frugal_endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            std::thread::spawn(move || {
                let (mut connection, mut head, mut length) = (connection.unwrap(), [0; 4096], 0);
                while let Ok(count @ 1..) = connection.read(&mut head[length..]) {
                    length += count;
                    if head[..length].ends_with(b"\r\n\r\n") {
                        length = 0;
                        connection
                            .write_all(b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 4\r\n\r\npage")
                            .unwrap();
                    }
                }
            });
        }
    });
    address
}

/// What goes past the cache, with what a browser sends.
const PASSED: &str = "GET /own?a=1 HTTP/1.1\r\nHost: shop.example\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: text/html\r\nAccept-Language: de-AT,de;q=0.9\r\nCookie: session=1\r\n\r\n";

#[test]
fn a_request_that_goes_past_the_cache_allocates_what_it_is_held_in_and_no_more() {
    let _alone = alone();
    let edge = edge(frugal_endpoint(), |snapshot| {
        snapshot.sites[0].routes[0].cache = tentpole_model::RouteCache::Off;
    });
    let mut connection = TcpStream::connect(edge.address).unwrap();
    let mut buffer = [0; 8192];
    for _ in 0..100 {
        ask(&mut connection, PASSED, &mut buffer);
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..1_000 {
        let length = ask(&mut connection, PASSED, &mut buffer);
        assert!(buffer[..length].ends_with(b"page"));
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    // Its way, and the exchange with the endpoint. What goes with the time (the sweep, the clock's text) is far below.
    assert!((2_000..2_100).contains(&allocations), "{allocations} allocations in 1,000 requests");
}

#[test]
fn a_hit_allocates_nothing() {
    let _alone = alone();
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
        snapshot.filters = filters();
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
