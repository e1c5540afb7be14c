//! Which of several endpoints is asked, seen from outside: each says who it is.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

mod common;

use common::Running;
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_model::{Balance, Endpoint, Health, Member, Membership, Pool, PoolMembers};
use tentpole_runtime::Published;

/// An endpoint that answers with its name, after a while.
fn named(name: usize, takes: Duration) -> SocketAddr {
    let answer = move |_: &str| {
        std::thread::sleep(takes);
        format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\n{name}")
    };
    common::endpoint(answer).0
}

/// An edge before these endpoints, in a pool that `change` may alter.
fn before(addresses: &[SocketAddr], change: impl FnOnce(&mut Pool)) -> Running {
    let at = |address: &SocketAddr| Endpoint {
        host: address.ip().to_string(),
        port: address.port(),
        ..Endpoint::default()
    };
    let edge = common::edge(addresses[0], |snapshot| {
        snapshot.pools[0].endpoints = addresses.iter().map(at).collect();
        change(&mut snapshot.pools[0]);
    });
    tell_health(&edge, addresses, |_| Health::Up);
    edge
}

/// Publishes how the endpoints are, and returns when that is in force.
fn tell_health(edge: &Running, addresses: &[SocketAddr], health: impl Fn(usize) -> Health) {
    let member =
        |(index, address): (usize, &SocketAddr)| Member { addresses: vec![*address], health: health(index) };
    let members = addresses.iter().enumerate().map(member).collect();
    in_force(&edge.membership, Membership { pools: vec![PoolMembers { members }] });
}

fn in_force<T>(published: &Published<T>, value: T) {
    let version = published.publish(value);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let patience = Duration::from_secs(20);
    runtime
        .block_on(async { tokio::time::timeout(patience, published.taken_by_all(version)).await.unwrap() });
}

/// Who answered.
fn who(answer: &str) -> usize {
    answer.split("\r\n\r\n").nth(1).unwrap().parse().unwrap()
}

#[test]
fn by_latency_a_slow_endpoint_gets_next_to_nothing_however_idle_it_is() {
    let addresses: Vec<SocketAddr> =
        (0..4).map(|name| named(name, Duration::from_millis(if name == 2 { 100 } else { 0 }))).collect();
    let shares = |balance| {
        let edge = before(&addresses, |pool| pool.balance = balance);
        let mut got = [0; 4];
        for _ in 0..60 {
            got[who(&edge.get("/", ""))] += 1;
        }
        got
    };
    // One after the other: nothing is ever in flight when an endpoint is chosen.
    let by_requests = shares(Balance::LeastRequests);
    assert!(by_requests[2] > 3, "{by_requests:?}");
    let by_latency = shares(Balance::PeakEwma);
    assert!((1..5).contains(&by_latency[2]), "{by_latency:?}");
}
