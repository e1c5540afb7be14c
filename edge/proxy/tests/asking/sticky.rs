//! Sticky sessions, seen from outside: each endpoint says who it is, and a browser keeps its cookies.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common::{self, Asked, Running};
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_model::{
    Detour, Dials, DownReason, Endpoint, Health, Member, Membership, Pool, PoolMembers, RouteCache, Sticky,
};
use tentpole_runtime::Published;

/// Three endpoints, each of which answers with its name and these fields.
struct House {
    edge: Running,
    addresses: Vec<SocketAddr>,
    asked: Vec<Asked>,
    /// Lets one request for `/slow` be answered.
    go: SyncSender<()>,
}

fn house(fields: &'static str, change: impl FnOnce(&mut Pool, &mut RouteCache)) -> House {
    let (go, gone_ahead) = sync_channel(1);
    let gone_ahead = Arc::new(Mutex::new(gone_ahead));
    let named = |name: usize| {
        let gone_ahead = gone_ahead.clone();
        common::endpoint(move |head: &str| {
            if head.contains("/slow") {
                gone_ahead.lock().unwrap().recv().unwrap();
            }
            format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 1\r\n\r\n{name}")
        })
    };
    let (addresses, asked): (Vec<_>, Vec<_>) = (0..3).map(named).unzip();
    let at = |address: &SocketAddr| Endpoint {
        host: address.ip().to_string(),
        port: address.port(),
        ..Endpoint::default()
    };
    let edge = common::edge(addresses[0], |snapshot| {
        let pool = &mut snapshot.pools[0];
        pool.endpoints = addresses.iter().map(at).collect();
        let lifetime = Duration::from_secs(3_600);
        pool.sticky = Some(Sticky { cookie: "backend".into(), key: None, lifetime });
        change(pool, &mut snapshot.sites[0].routes[0].cache);
    });
    let house = House { edge, addresses, asked, go };
    house.tell_health(|_| Health::Up);
    house
}

impl House {
    fn tell_health(&self, health: impl Fn(usize) -> Health) {
        let member = |(index, address): (usize, &SocketAddr)| Member {
            addresses: vec![*address],
            health: health(index),
            tier: 0,
        };
        let members = self.addresses.iter().enumerate().map(member).collect();
        in_force(&self.edge.membership, Membership { pools: vec![PoolMembers { members }] });
    }
}

fn in_force<T>(published: &Published<T>, value: T) {
    let version = published.publish(value);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let patience = Duration::from_secs(20);
    runtime
        .block_on(async { tokio::time::timeout(patience, published.taken_by_all(version)).await.unwrap() });
}

/// A visitor's browser: sends back what it was told.
#[derive(Default)]
struct Browser {
    cookie: RefCell<Option<String>>,
}

impl Browser {
    /// Who answered, and whether the browser was told a cookie.
    fn get(&self, house: &House, path: &str) -> (usize, bool) {
        let cookie =
            self.cookie.borrow().as_ref().map_or(String::new(), |cookie| format!("Cookie: {cookie}\r\n"));
        let answer = house.edge.get(path, &cookie);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let told = answer.lines().find_map(|line| line.strip_prefix("Set-Cookie: backend="));
        if let Some(told) = told {
            *self.cookie.borrow_mut() = Some(format!("backend={}", told.split(';').next().unwrap()));
        }
        (answer.split("\r\n\r\n").nth(1).unwrap().parse().unwrap(), told.is_some())
    }
}

const NO_STORE: &str = "Cache-Control: no-store\r\n";
const DOWN: Health = Health::Down(DownReason::Probe);

#[test]
fn each_visitor_comes_back_to_his_endpoint_and_new_ones_are_spread() {
    // Whether the cache looks at it, finds that it is for one visitor, or is never asked.
    for (fields, cache) in [
        (NO_STORE, RouteCache::Standard),
        ("Cache-Control: private\r\n", RouteCache::Standard),
        ("", RouteCache::Off),
    ] {
        let house = house(fields, |_, of_route| *of_route = cache);
        let mut seen = [0; 3];
        // By lot: so many that each gets more than two, for all practical purposes.
        for _ in 0..60 {
            let browser = Browser::default();
            let (first, told) = browser.get(&house, "/");
            assert!(told);
            seen[first] += 1;
            for page in 0..5 {
                assert_eq!(browser.get(&house, &format!("/{page}")), (first, false), "{fields:?}");
            }
        }
        assert!(seen.iter().all(|&visitors| visitors > 2), "{seen:?}");
    }
}

#[test]
fn without_the_setting_nobody_is_told_anything() {
    let house = house(NO_STORE, |pool, _| pool.sticky = None);
    assert!(!Browser::default().get(&house, "/").1);
}

#[test]
fn when_his_endpoint_is_down_or_drained_a_visitor_goes_elsewhere_without_an_error_and_stays_there() {
    let house = house(NO_STORE, |_, _| {});
    let browser = Browser::default();
    let (first, _) = browser.get(&house, "/");
    house.tell_health(|index| if index == first { DOWN } else { Health::Up });
    let (second, told) = browser.get(&house, "/");
    assert!(told && second != first);
    assert_eq!((house.edge.detours(Detour::StickyGone), house.edge.detours(Detour::StickyFull)), (1, 0));
    house.tell_health(|_| Health::Up);
    for _ in 0..10 {
        assert_eq!(browser.get(&house, "/"), (second, false), "he does not jump back");
    }
    let mut weights = vec![1; 3];
    weights[second] = 0;
    in_force(&house.edge.dials, Dials { weights: vec![weights] });
    let (third, told) = browser.get(&house, "/");
    assert!(told && third != second);
}

#[test]
fn while_his_endpoint_is_full_a_visitor_is_served_elsewhere_and_comes_back() {
    let limit = |pool: &mut Pool, _: &mut RouteCache| {
        pool.endpoints.iter_mut().for_each(|one| one.requests_max = Some(1))
    };
    let house = house(NO_STORE, limit);
    let browser = Browser::default();
    let (first, _) = browser.get(&house, "/");
    std::thread::scope(|scope| {
        let cookie = browser.cookie.borrow().clone();
        let (house, slow) = (&house, Browser { cookie: RefCell::new(cookie) });
        let busy = scope.spawn(move || slow.get(house, "/slow").0);
        let is_busy = || house.asked[first].lock().unwrap().iter().any(|head| head.contains("/slow"));
        while !is_busy() {
            std::thread::yield_now();
        }
        let (meanwhile, told) = browser.get(house, "/");
        house.go.send(()).unwrap();
        assert!(meanwhile != first && !told, "{meanwhile} and {first}");
        assert_eq!(house.edge.detours(Detour::StickyFull), 1);
        assert_eq!(busy.join().unwrap(), first);
    });
    assert_eq!(browser.get(&house, "/"), (first, false));
}

#[test]
fn what_is_for_all_is_stored_without_the_cookie_and_given_to_visitors_with_and_without_one() {
    let house = house("Cache-Control: max-age=60\r\n", |_, _| {});
    let answer = house.edge.get("/page", "Cookie: backend=00; other=1\r\n");
    assert!(!answer.contains("Set-Cookie"), "{answer}");
    let told = house.asked.iter().flat_map(|asked| asked.lock().unwrap().clone()).next().unwrap();
    assert!(!told.contains("backend=") && told.contains("other=1"), "{told}");
    let hit = house.edge.get("/page", "Cookie: backend=11; other=1\r\n");
    assert!(hit.contains("hit") && !hit.contains("Set-Cookie"), "{hit}");
    let hit = house.edge.get("/page", "");
    assert!(hit.contains("hit") && !hit.contains("Set-Cookie"), "{hit}");
}

#[test]
fn a_page_with_a_guessed_lifetime_is_shared_with_who_has_nothing_but_the_cookie() {
    // Other cookies would keep him from it.
    let house = house("Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n", |_, _| {});
    house.edge.get("/page", "");
    let hit = house.edge.get("/page", "Cookie: backend=11\r\n");
    assert!(hit.contains("hit"), "{hit}");
    let other = house.edge.get("/page", "Cookie: session=11\r\n");
    assert!(!other.contains("; hit"), "{other}");
}

#[test]
fn what_nobody_signed_is_no_cookie() {
    let house = house(NO_STORE, |_, _| {});
    for forged in ["", "00", &"0".repeat(56), &"f".repeat(20_000), "\u{e9}"] {
        let browser = Browser { cookie: RefCell::new(Some(format!("backend={forged}"))) };
        assert!(browser.get(&house, "/").1, "he is told another one");
    }
}

#[test]
fn an_endpoint_is_told_all_cookies_but_ours() {
    let house = house(NO_STORE, |_, of_route| *of_route = RouteCache::Off);
    for (lines, told) in [
        ("Cookie: backend=1\r\n", vec![]),
        ("Cookie: a=1; backend=2; b=3\r\n", vec!["Cookie: a=1; b=3"]),
        (
            "Cookie: backend=2;b=3\r\nCookie: backends=1;c=\"x\"\r\n",
            vec!["Cookie: b=3", "Cookie: backends=1;c=\"x\""],
        ),
        ("Cookie: a=backend=1\r\n", vec!["Cookie: a=backend=1"]),
    ] {
        assert!(house.edge.get("/", lines).starts_with("HTTP/1.1 200"));
        let asked = house.asked.iter().find_map(|asked| asked.lock().unwrap().pop()).unwrap();
        let cookies: Vec<_> = asked.lines().filter(|line| line.starts_with("Cookie")).collect();
        assert_eq!(cookies, told, "{lines}");
    }
}
