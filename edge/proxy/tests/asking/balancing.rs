//! Which of several endpoints is asked, seen from outside: each says who it is.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common::{self, Running};
use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tentpole_model::{
    Balance, Detour, DownReason, Endpoint, HashBy, Hashing, Health, Member, Membership, Pool, PoolMembers,
    Zones,
};
use tentpole_runtime::Published;
use tentpole_testkit::address::Nobody;

/// An endpoint that answers with its name, after a while.
fn named(name: usize, takes: Duration) -> SocketAddr {
    let answer = move |_: &str| {
        std::thread::sleep(takes);
        says(name)
    };
    common::endpoint(answer).0
}

fn says(name: usize) -> String {
    format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 1\r\n\r\n{name}")
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
    let member = |(index, address): (usize, &SocketAddr)| Member {
        addresses: vec![*address],
        health: health(index),
        tier: 0,
    };
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
    let shares = |balance, slow: Duration| {
        let takes = |name| if name == 2 { slow } else { Duration::ZERO };
        let addresses: Vec<SocketAddr> = (0..4).map(|name| named(name, takes(name))).collect();
        let edge = before(&addresses, |pool| pool.balance = balance);
        let mut got = [0; 4];
        for _ in 0..60 {
            got[who(&edge.get("/", ""))] += 1;
        }
        got
    };
    // One after the other: nothing is ever in flight when an endpoint is chosen.
    let by_requests = shares(Balance::LeastRequests, Duration::from_millis(10));
    assert!(by_requests[2] > 3, "{by_requests:?}");
    // So slow that no other one is taken for slower, because the machine held it up once.
    let by_latency = shares(Balance::PeakEwma, Duration::from_secs(2));
    assert!((1..5).contains(&by_latency[2]), "{by_latency:?}");
}

const DOWN: Health = Health::Down(DownReason::Probe);

fn at_once(count: usize) -> Vec<SocketAddr> {
    (0..count).map(at_once_by).collect()
}

fn at_once_by(name: usize) -> SocketAddr {
    named(name, Duration::ZERO)
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
fn a_higher_tier_can_be_left_alone_while_any_endpoint_of_a_lower_one_is_there() {
    let addresses = at_once(3);
    for balance in [Balance::LeastRequests, Balance::RoundRobin, Balance::PeakEwma, Balance::ConsistentHash] {
        let edge = before(&addresses, |pool| {
            pool.balance = balance;
            pool.hashing.load_percent = 10_000;
            pool.endpoints[2].tier = 1;
            pool.overprovisioning_percent = 100_000;
        });
        let asked = |health: fn(usize) -> Health| -> Vec<usize> {
            tell_health(&edge, &addresses, health);
            let mut names: Vec<usize> = (0..40).map(|page| who(&edge.get(&format!("/{page}"), ""))).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let of_the_lower_one = |names: Vec<usize>| match balance {
            // It sends nothing to one that was slow once, as either is on a busy machine.
            Balance::PeakEwma => assert!(!names.contains(&2) && !names.is_empty(), "{balance:?}: {names:?}"),
            _ => assert_eq!(names, [0, 1], "{balance:?}"),
        };
        of_the_lower_one(asked(|_| Health::Up));
        assert_eq!(asked(|index| if index == 0 { DOWN } else { Health::Up }), [1], "{balance:?}");
        assert_eq!(asked(|index| if index < 2 { DOWN } else { Health::Up }), [2], "{balance:?}");
        of_the_lower_one(asked(|_| Health::Up));
    }
}

#[test]
fn a_request_that_no_endpoint_of_a_tier_takes_goes_to_the_next() {
    // Nobody listens there any more, and nobody has noticed.
    let gone = Nobody::new();
    let edge = before(&[gone.address(), named(1, Duration::ZERO)], |pool| pool.endpoints[1].tier = 1);
    assert_eq!(who(&edge.get("/", "")), 1);
}

#[test]
fn when_a_tier_has_lost_too_many_the_next_one_carries_the_part_that_is_missing() {
    let addresses = at_once(3);
    let edge = before(&addresses, |pool| pool.endpoints[2].tier = 1);
    let shares = |health: fn(usize) -> Health| {
        tell_health(&edge, &addresses, health);
        let mut got = [0; 3];
        for _ in 0..200 {
            got[who(&edge.get("/", ""))] += 1;
        }
        got
    };
    assert_eq!(shares(|_| Health::Up)[2], 0);
    // The one that is left carries 140 % of what it did: 70 % of all.
    let half = shares(|index| if index == 0 { DOWN } else { Health::Up });
    assert!(half[0] == 0 && (30..90).contains(&half[2]), "{half:?}");
    assert_eq!(shares(|index| if index < 2 { DOWN } else { Health::Up }), [0, 0, 200]);
}

#[test]
fn a_pool_of_more_than_sixty_four_endpoints_is_tried_exactly() {
    // Nobody listens at any of them but the last, and nobody has noticed.
    let dead = Nobody::new();
    let mut addresses: Vec<SocketAddr> = vec![dead.address(); 65];
    addresses.push(named(7, Duration::ZERO));
    let edge = before(&addresses, |pool| {
        for (at, endpoint) in pool.endpoints.iter_mut().enumerate() {
            endpoint.host = format!("10.1.0.{at}");
        }
    });
    // The first two share a place in a set of 64.
    tell_health(&edge, &addresses, |index| if [0, 64, 65].contains(&index) { Health::Up } else { DOWN });
    for _ in 0..20 {
        assert_eq!(who(&edge.get("/", "")), 7);
    }
}

/// Endpoints of these zones, before an edge in zone `a` whose pool prefers them.
fn near(
    zones: &[&str],
    endpoint: impl Fn(usize) -> SocketAddr,
    change: impl FnOnce(&mut Pool),
) -> (Running, Vec<SocketAddr>) {
    let addresses: Vec<SocketAddr> = (0..zones.len()).map(endpoint).collect();
    let edge = common::edge(addresses[0], |snapshot| {
        snapshot.zone = Some("a".into());
        let pool = &mut snapshot.pools[0];
        let at = |(address, zone): (&SocketAddr, &&str)| Endpoint {
            host: address.ip().to_string(),
            port: address.port(),
            zone: Some((*zone).to_owned()),
            ..Endpoint::default()
        };
        pool.endpoints = addresses.iter().zip(zones).map(at).collect();
        pool.zones = Zones::Near;
        change(pool);
    });
    tell_health(&edge, &addresses, |_| Health::Up);
    (edge, addresses)
}

#[test]
fn with_little_to_do_all_is_near_and_without_anybody_near_all_is_elsewhere() {
    for balance in [Balance::LeastRequests, Balance::RoundRobin, Balance::PeakEwma, Balance::ConsistentHash] {
        let (edge, addresses) = near(&["b", "a", "c", "b"], at_once_by, |pool| pool.balance = balance);
        let got = |edge: &Running| -> Vec<usize> {
            (0..40).map(|page| who(&edge.get(&format!("/{page}"), ""))).collect()
        };
        assert!(got(&edge).iter().all(|&name| name == 1), "{balance:?}");
        assert_eq!(edge.detours(Detour::OtherZone), 0);
        tell_health(&edge, &addresses, |index| if index == 1 { DOWN } else { Health::Up });
        let without = got(&edge);
        assert!([0, 2, 3].iter().all(|name| without.contains(name)), "{balance:?}: {without:?}");
        assert_eq!(edge.detours(Detour::OtherZone), 40);
        tell_health(&edge, &addresses, |_| Health::Up);
        assert!(got(&edge).iter().all(|&name| name == 1), "{balance:?}");
    }
}

#[test]
fn a_zone_that_is_too_small_spills_over_before_anybody_waits() {
    // Who would have to wait is refused.
    let limit = |pool: &mut Pool| {
        pool.queue.length_max = 0;
        pool.endpoints.iter_mut().for_each(|one| one.requests_max = Some(4));
    };
    // Ten at once, of which the near one takes at most four: nobody is answered before all are there.
    let all = Arc::new(Barrier::new(10));
    let together = move |name: usize| {
        let all = all.clone();
        let answer = move |_: &str| {
            all.wait();
            says(name)
        };
        common::endpoint(answer).0
    };
    let (edge, _) = near(&["a", "b", "b", "b"], together, limit);
    let answers: Vec<usize> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..10).map(|_| scope.spawn(|| who(&edge.get("/", "")))).collect();
        asking.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let near = answers.iter().filter(|&&name| name == 0).count();
    assert!((1..=4).contains(&near), "{answers:?}");
    assert_eq!(edge.detours(Detour::OtherZone), 10 - near as u64);
}
