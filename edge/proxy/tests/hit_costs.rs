//! What a cached hit costs in memory: nothing is allocated, counted over the whole process while a client that
//! allocates nothing either asks again and again. (Its system calls are counted in `tests/costs.rs`.)

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]
#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait, and counting allocations needs one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tentpole_model::{
    Balance, Canonical, Dials, Endpoint, Health, Member, Membership, Pool, PoolId, PoolMembers, Route,
    RouteCache, Scheme, Site, Snapshot,
};
use tentpole_observe::Observed;
use tentpole_proxy::{Bound, EdgeParts};
use tentpole_runtime::{Cells, Published};

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

/// Answers each connection's first request with something cacheable.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).unwrap();
            let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nETag: \"1\"\r\nContent-Length: 1024\r\n\r\n";
            connection.write_all(&[head.as_bytes(), &[b'x'; 1024]].concat()).unwrap();
        }
    });
    address
}

fn snapshot(endpoint: SocketAddr) -> Snapshot {
    let route = Route {
        path: "/*".into(),
        pool: PoolId(0),
        swallow_segments: false,
        cache: RouteCache::Standard,
        body_bytes_max: 1 << 20,
    };
    let endpoint = Endpoint {
        scheme: Scheme::Http,
        host: endpoint.ip().to_string(),
        port: endpoint.port(),
        weight: 1,
        requests_max: None,
        connections_max: None,
    };
    let pool = Pool {
        name: "app".into(),
        endpoints: vec![endpoint],
        balance: Balance::LeastRequests,
        health: None,
        failures_max: 3,
        timeouts: Default::default(),
        queue: Default::default(),
    };
    let site = Site {
        name: "all".into(),
        hosts: vec![],
        canonical: Canonical::Redirect,
        merge_slashes: false,
        routes: vec![route],
    };
    Snapshot {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        admin: None,
        threads: Some(1),
        sites: vec![site],
        pools: vec![pool],
        visitors: Default::default(),
        cache: Default::default(),
        log: Default::default(),
    }
}

/// Asks once on a kept connection; reads the whole response without allocating.
fn ask(connection: &mut TcpStream, buffer: &mut [u8; 8192]) -> usize {
    connection
        .write_all(b"GET /page?x=1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
        .unwrap();
    let mut length = 0;
    loop {
        length += connection.read(&mut buffer[length..]).unwrap();
        let end = buffer[..length].windows(4).position(|four| four == b"\r\n\r\n");
        if end.is_some_and(|end| length == end + 4 + 1024) {
            return length;
        }
    }
}

#[test]
fn a_hit_allocates_nothing() {
    let endpoint = origin();
    let snapshot = Arc::new(snapshot(endpoint));
    let member = Member { addresses: vec![endpoint], health: Health::Up };
    let bound = Bound::new(EdgeParts {
        membership: Published::new(Membership { pools: vec![PoolMembers { members: vec![member] }] }),
        dials: Published::new(Dials::from_snapshot(&snapshot)),
        cells: Cells::new(),
        observed: Observed::new(&snapshot.log),
        snapshot,
    })
    .unwrap();
    let address = bound.addresses()[0];
    let edge = bound.open().unwrap();

    let mut connection = TcpStream::connect(address).unwrap();
    let mut buffer = [0; 8192];
    for _ in 0..100 {
        ask(&mut connection, &mut buffer);
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..1_000 {
        let length = ask(&mut connection, &mut buffer);
        assert!(buffer[..length].windows(5).any(|five| five == b"; hit"), "not a hit");
    }
    let allocations = ALLOCATIONS.load(Ordering::Relaxed) - before;
    assert_eq!(allocations, 0, "allocations in 1,000 hits");

    // The count can count: a miss allocates.
    connection.write_all(b"GET /other HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    let _ = connection.read(&mut buffer).unwrap();
    assert!(ALLOCATIONS.load(Ordering::Relaxed) > before);
    drop(connection);
    edge.end();
    edge.join();
}
