//! Endpoints that leave or move: what becomes of the connections to them. The endpoint of the test says on which of
//! its connections it was asked, and hears when one closes.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;
use tentpole_model::{Dials, DownReason, Health, Member, Membership, PoolMembers};

const PATIENCE: Duration = Duration::from_secs(20);

/// An endpoint that answers when the test says so.
struct Endpoint {
    address: SocketAddr,
    heads: Receiver<String>,
    go: SyncSender<()>,
    closed: Receiver<()>,
}

/// Answers each request with the number of the connection it came on, from 1, after a word on `go`.
fn endpoint() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, heads) = sync_channel(100);
    let (go, gone_ahead) = sync_channel(100);
    let (closing, closed) = sync_channel(100);
    std::thread::spawn(move || {
        let gone_ahead = std::sync::Arc::new(std::sync::Mutex::new(gone_ahead));
        for (number, connection) in listener.incoming().enumerate() {
            let (heard, closing, gone_ahead) = (heard.clone(), closing.clone(), gone_ahead.clone());
            std::thread::spawn(move || {
                let mut connection = connection.unwrap();
                while let Some(head) = read_head(&mut connection) {
                    let _ = heard.send(head);
                    gone_ahead.lock().unwrap().recv().unwrap();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\n{}",
                        number + 1
                    );
                    connection.write_all(answer.as_bytes()).unwrap();
                }
                let _ = closing.send(());
            });
        }
    });
    Endpoint { address, heads, go, closed }
}

fn read_head(connection: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if connection.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

fn at(address: SocketAddr, health: Health) -> Membership {
    let member = Member { addresses: vec![address], health, tier: 0 };
    Membership { pools: vec![PoolMembers { members: vec![member] }] }
}

fn weight(weight: u32) -> Dials {
    Dials { weights: vec![vec![weight]] }
}

/// The connection that answered, from 1.
fn served_by(answer: &str) -> &str {
    answer.split("\r\n\r\n").nth(1).unwrap()
}

#[test]
fn idle_connections_close_at_once_when_their_endpoint_leaves() {
    type Leave = fn(&common::Running, SocketAddr);
    let leaves: [(&str, Leave); 3] = [
        ("drained", |edge, _| _ = edge.dials.publish(weight(0))),
        ("down", |edge, there| _ = edge.membership.publish(at(there, Health::Down(DownReason::Probe)))),
        ("moved", |edge, _| _ = edge.membership.publish(at(([127, 0, 0, 1], 1).into(), Health::Up))),
    ];
    for (what, leave) in leaves {
        let endpoint = endpoint();
        let edge = common::edge(endpoint.address, |_| {});
        for _ in 0..2 {
            endpoint.go.send(()).unwrap();
            assert_eq!(served_by(&edge.get("/", "")), "1", "kept between requests");
        }
        leave(&edge, endpoint.address);
        endpoint.closed.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what}, and still open"));
    }
}

#[test]
fn a_connection_in_use_is_not_kept_when_its_endpoint_left_meanwhile() {
    let endpoint = endpoint();
    let edge = common::edge(endpoint.address, |_| {});
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| edge.get("/", ""));
        endpoint.heads.recv_timeout(PATIENCE).unwrap();
        let version = edge.dials.publish(weight(0));
        taken(&edge.dials, version);
        endpoint.go.send(()).unwrap();
        assert_eq!(served_by(&asking.join().unwrap()), "1", "what is in flight finishes");
    });
    endpoint.closed.recv_timeout(PATIENCE).expect("it is closed after its response");

    edge.dials.publish(weight(1));
    endpoint.go.send(()).unwrap();
    assert_eq!(served_by(&edge.get("/", "")), "2");
}

#[test]
fn another_instance_in_the_same_place_never_gets_the_old_ones_connection() {
    let (old, new) = (endpoint(), endpoint());
    let edge = common::edge(old.address, |_| {});
    old.go.send(()).unwrap();
    assert_eq!(served_by(&edge.get("/before", "")), "1");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| edge.get("/during", ""));
        old.heads.recv_timeout(PATIENCE).unwrap();
        let during = old.heads.recv_timeout(PATIENCE).unwrap();
        assert!(during.starts_with("GET /during"), "{during}");
        let version = edge.membership.publish(at(new.address, Health::Up));
        taken(&edge.membership, version);
        old.go.send(()).unwrap();
        assert_eq!(served_by(&asking.join().unwrap()), "1");
    });
    old.closed.recv_timeout(PATIENCE).expect("the old one's connection is closed");
    new.go.send(()).unwrap();
    edge.get("/after", "");
    assert!(new.heads.recv_timeout(PATIENCE).unwrap().starts_with("GET /after"));
    assert!(old.heads.try_recv().is_err());
}

#[test]
fn a_request_that_waits_is_sent_to_the_instance_that_came_meanwhile() {
    let (old, new) = (endpoint(), endpoint());
    let edge = common::edge(old.address, |snapshot| snapshot.pools[0].endpoints[0].requests_max = Some(1));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| edge.get("/first", ""));
        old.heads.recv_timeout(PATIENCE).unwrap();
        let second = scope.spawn(|| edge.get("/second", ""));
        // It waits: nothing tells that from outside but the queue's own length.
        while edge.queued() != [1] {
            std::thread::yield_now();
        }
        let version = edge.membership.publish(at(new.address, Health::Up));
        taken(&edge.membership, version);
        old.go.send(()).unwrap();
        new.go.send(()).unwrap();
        first.join().unwrap();
        second.join().unwrap();
        assert!(new.heads.recv_timeout(PATIENCE).unwrap().starts_with("GET /second"));
    });
}

#[test]
fn a_request_under_way_to_an_endpoint_that_leaves_is_its_connections_last() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // Room for one connection that nobody has accepted: the edge's has to wait until we take that one.
    rustix::net::listen(&listener, 0).unwrap();
    let _before = TcpStream::connect(address).unwrap();
    let edge = common::edge(address, |snapshot| snapshot.pools[0].timeouts.connect = Duration::from_secs(20));
    let cell = edge.cells.of("app", &address.to_string());
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| edge.get("/", ""));
        while cell.open.load(Ordering::Relaxed) == 0 {
            std::thread::yield_now();
        }
        let version = edge.dials.publish(weight(0));
        taken(&edge.dials, version);
        let _before = listener.accept().unwrap();
        let (mut connection, _) = listener.accept().unwrap();
        let head = read_head(&mut connection).unwrap();
        assert!(head.ends_with("\r\nConnection: close\r\n\r\n"), "{head}");
        let answer = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\n1";
        connection.write_all(answer).unwrap();
        assert_eq!(served_by(&asking.join().unwrap()), "1");
        assert!(read_head(&mut connection).is_none(), "the edge closes it");
    });
}

/// Waits until the data thread has it.
fn taken<T>(published: &tentpole_runtime::Published<T>, version: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(PATIENCE, published.taken_by_all(version)).await.unwrap() });
}
