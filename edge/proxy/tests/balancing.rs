//! Which of several endpoints is asked, seen from outside: each says who it is.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

mod common;

use common::Running;
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_model::{
    Balance, DownReason, Endpoint, HashBy, Hashing, Health, Member, Membership, Pool, PoolMembers,
};
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

const DOWN: Health = Health::Down(DownReason::Probe);

fn at_once(count: usize) -> Vec<SocketAddr> {
    (0..count).map(|name| named(name, Duration::ZERO)).collect()
}

/// A pool by hash, with so much room that what is in flight moves nothing.
fn by(what: HashBy) -> impl FnOnce(&mut Pool) {
    |pool| {
        pool.balance = Balance::ConsistentHash;
        pool.hashing = Hashing { by: what, load_percent: 10_000 };
    }
}

#[test]
fn by_hash_a_path_has_one_endpoint_and_moves_only_when_that_is_away() {
    let addresses = at_once(4);
    let edge = before(&addresses, by(HashBy::Path));
    let homes = |query: &str| -> Vec<usize> {
        (0..40).map(|page| who(&edge.get(&format!("/p/{page}{query}"), ""))).collect()
    };
    let first = homes("");
    assert_eq!(homes("?a=1"), first);
    assert!((0..4).all(|name| first.contains(&name)), "{first:?}");
    tell_health(&edge, &addresses, |index| if index == 1 { DOWN } else { Health::Up });
    let without = homes("");
    assert!(first.iter().zip(&without).all(|(was, is)| if *was == 1 { *is != 1 } else { was == is }));
    tell_health(&edge, &addresses, |_| Health::Up);
    assert_eq!(homes(""), first);
}

#[test]
fn by_hash_a_cookie_or_a_field_keeps_a_visitor_where_he_is() {
    let addresses = at_once(4);
    for (what, field) in
        [(HashBy::Cookie("cart".into()), "Cookie: a=1; cart="), (HashBy::Header("X-Cart".into()), "x-cart: ")]
    {
        let edge = before(&addresses, by(what));
        let post = |path: &str, cart: usize| {
            who(&edge.ask(&format!(
                "POST {path} HTTP/1.1\r\nHost: shop.example\r\n{field}{cart}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            )))
        };
        let homes: Vec<usize> = (0..30).map(|cart| post("/a", cart)).collect();
        assert_eq!((0..30).map(|cart| post("/b", cart)).collect::<Vec<_>>(), homes);
        assert!((0..4).all(|name| homes.contains(&name)), "{homes:?}");
    }
}

#[test]
fn by_the_visitors_address_all_of_one_visitor_goes_to_one_endpoint() {
    let edge = before(&at_once(4), by(HashBy::Address));
    // What he claims about himself moves him nowhere.
    let answers = (0..20).map(|n| who(&edge.get("/", &format!("X-Forwarded-For: 192.0.2.{n}\r\n"))));
    let homes: std::collections::BTreeSet<usize> = answers.collect();
    assert_eq!(homes.len(), 1, "{homes:?}");
}

#[test]
fn a_request_that_has_nothing_to_hash_goes_anywhere() {
    let edge = before(&at_once(2), by(HashBy::Cookie("cart".into())));
    let names: Vec<usize> = (0..40).map(|_| who(&edge.get("/", ""))).collect();
    assert!(names.contains(&0) && names.contains(&1));
}

#[test]
fn a_higher_tier_serves_only_while_no_endpoint_of_a_lower_one_does() {
    let addresses = at_once(3);
    for balance in [Balance::LeastRequests, Balance::RoundRobin, Balance::PeakEwma, Balance::ConsistentHash] {
        let edge = before(&addresses, |pool| {
            pool.balance = balance;
            pool.hashing.load_percent = 10_000;
            pool.endpoints[2].tier = 1;
        });
        let asked = |health: fn(usize) -> Health| -> Vec<usize> {
            tell_health(&edge, &addresses, health);
            let mut names: Vec<usize> = (0..40).map(|page| who(&edge.get(&format!("/{page}"), ""))).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        assert_eq!(asked(|_| Health::Up), [0, 1], "{balance:?}");
        assert_eq!(asked(|index| if index == 0 { DOWN } else { Health::Up }), [1], "{balance:?}");
        assert_eq!(asked(|index| if index < 2 { DOWN } else { Health::Up }), [2], "{balance:?}");
        assert_eq!(asked(|_| Health::Up), [0, 1], "{balance:?}");
    }
}

#[test]
fn a_request_that_no_endpoint_of_a_tier_takes_goes_to_the_next() {
    // Nobody listens there any more, and nobody has noticed.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let edge = before(&[gone, named(1, Duration::ZERO)], |pool| pool.endpoints[1].tier = 1);
    assert_eq!(who(&edge.get("/", "")), 1);
}
