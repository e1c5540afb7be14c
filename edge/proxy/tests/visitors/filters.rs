//! Filters, seen from outside: who is let through, who is limited, who is refused, and what he and the log are told.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common::{self, Running, edge, endpoint};
use ring::digest::{SHA256, digest};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tentpole_model::{
    Filter, FilterAction, FilterWhen, Front, LimitBy, Network, Puzzle, RateLimit, Refused, Snapshot,
};
use tentpole_runtime::clock;

fn network(text: &str) -> Network {
    let (address, bits) = text.split_once('/').unwrap();
    Network { address: address.parse().unwrap(), bits: bits.parse().unwrap() }
}

fn filter(name: &str, when: FilterWhen, action: FilterAction) -> Filter {
    Filter { name: name.into(), report: false, when, action }
}

fn rate(requests: u32) -> FilterAction {
    let by = vec![LimitBy::Address];
    FilterAction::Limit(RateLimit {
        requests,
        per: Duration::from_secs(3_600),
        burst: requests,
        by,
        ipv6_bits: 64,
    })
}

/// An edge behind a proxy that names its visitors, before an endpoint whose pages are cached.
fn house(filters: Vec<Filter>, change: impl FnOnce(&mut Snapshot)) -> (Running, common::Asked) {
    let (address, asked) = endpoint(|_| {
        "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello".to_owned()
    });
    let edge = edge(address, |snapshot| {
        snapshot.filters = filters;
        snapshot.front = Front { trusted: vec![network("127.0.0.0/8")], ..Front::default() };
        change(snapshot);
    });
    (edge, asked)
}

fn from(address: &str) -> String {
    format!("X-Forwarded-For: {address}\r\n")
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[test]
fn who_is_denied_gets_nothing_even_of_what_is_stored_and_the_log_names_the_filter() {
    let when = FilterWhen { from: vec![network("198.51.100.0/24")], ..FilterWhen::default() };
    let (edge, _) = house(vec![filter("scrapers", when, FilterAction::Deny)], |_| {});
    for _ in 0..2 {
        assert_eq!(status(&edge.get("/", &from("203.0.113.7"))), 200);
    }
    let answer = edge.get("/", &from("198.51.100.9"));
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert_eq!(field(&answer, "Cache-Status"), Some("tentpole; detail=denied"));
    assert!(!answer.contains("scrapers"), "who is refused is not told by what: {answer}");

    let screen = edge.observed.cache().unwrap().screen;
    let counted = &screen.filters[0];
    assert_eq!((counted.name.as_str(), counted.matched, counted.refused), ("scrapers", 1, 1));
    let top = &screen.top[0];
    assert_eq!(
        (top.address.to_string().as_str(), top.filter.as_str(), top.refused),
        ("198.51.100.9", "scrapers", 1)
    );
    let refused = edge.observed.metrics();
    let slot = Refused::Denied as usize;
    let sum: u64 = refused.iter().map(|t| t.refused[slot].load(std::sync::atomic::Ordering::Relaxed)).sum();
    assert_eq!(sum, 1);
}

#[test]
fn above_the_rate_it_is_said_when_to_come_again_and_others_are_served() {
    let (edge, asked) = house(vec![filter("rate", FilterWhen::default(), rate(3))], |_| {});
    let get = |address: &str| edge.get("/", &from(address));
    for _ in 0..3 {
        assert_eq!(status(&get("203.0.113.7")), 200);
    }
    let answer = get("203.0.113.7");
    assert_eq!(status(&answer), 429);
    let seconds: u64 = field(&answer, "Retry-After").unwrap().parse().unwrap();
    assert!((1_190..=1_200).contains(&seconds), "a third of an hour: {seconds}");
    assert_eq!(status(&get("203.0.113.8")), 200);
    assert_eq!(asked.lock().unwrap().len(), 1, "hits count too");
    // On one connection, the next request is heard.
    let both = edge.ask(&format!(
        "GET / HTTP/1.1\r\nHost: a\r\n{}\r\nGET / HTTP/1.1\r\nHost: a\r\n{}Connection: close\r\n\r\n",
        from("203.0.113.7"),
        from("203.0.113.9")
    ));
    assert!(both.starts_with("HTTP/1.1 429") && both.contains("HTTP/1.1 200"), "{both}");
}

#[test]
fn a_proxy_in_front_that_names_nobody_is_not_taken_for_one_visitor() {
    // Nobody has named carriers' networks: they are spared without.
    let (edge, _) = house(vec![filter("rate", FilterWhen::default(), rate(1))], |_| {});
    for _ in 0..5 {
        assert_eq!(status(&edge.get("/", "")), 200);
        assert_eq!(status(&edge.get("/", &from("100.64.9.9"))), 200, "behind a carrier's NAT");
    }
    let (edge, _) = house(vec![filter("rate", FilterWhen::default(), rate(1))], |snapshot| {
        snapshot.front.shared.clear();
    });
    let statuses = [(); 2].map(|()| status(&edge.get("/", &from("100.64.9.9"))));
    assert_eq!(statuses, [200, 429], "somebody wants them counted");
}

#[test]
fn one_that_only_reports_refuses_nobody_and_is_counted() {
    let mut closed = filter("closed", FilterWhen::default(), FilterAction::Deny);
    closed.report = true;
    let (edge, _) = house(vec![closed], |_| {});
    assert_eq!(status(&edge.get("/", &from("203.0.113.7"))), 200);
    let counted = edge.observed.cache().unwrap().screen.filters.remove(0);
    assert_eq!((counted.matched, counted.refused, counted.reported), (1, 0, 1));
}

#[test]
fn staff_pass_all_filters() {
    let (edge, _) = house(vec![filter("closed", FilterWhen::default(), FilterAction::Deny)], |snapshot| {
        snapshot.staff.from = vec![network("192.0.2.0/24")];
    });
    assert_eq!(status(&edge.get("/", &from("192.0.2.1"))), 200);
    assert_eq!(status(&edge.get("/", &from("192.0.3.1"))), 403);
}

#[test]
fn a_path_is_compared_in_canonical_form() {
    let when = FilterWhen { paths: vec!["/admin/*".into()], ..FilterWhen::default() };
    let (edge, _) = house(vec![filter("admin", when, FilterAction::Deny)], |snapshot| {
        snapshot.sites[0].canonical = tentpole_model::Canonical::Forward;
    });
    for path in ["/admin", "/admin/users", "/x/../admin/users?a=/", "/%61dmin/users", "/./admin"] {
        assert_eq!(status(&edge.get(path, "")), 403, "{path}");
    }
    for path in ["/administrator", "/shop/admin", "/?/admin"] {
        assert_eq!(status(&edge.get(path, "")), 200, "{path}");
    }
}

#[test]
fn a_browser_solves_the_puzzle_once_and_then_shares_what_is_stored() {
    let puzzle = Puzzle { bits: 10, lifetime: Duration::from_secs(600) };
    let (edge, asked) =
        house(vec![filter("rush", FilterWhen::default(), FilterAction::Challenge(puzzle))], |_| {});
    let fields = |more: &str| format!("{}Accept: text/html\r\n{more}", from("203.0.113.7"));
    let page = edge.get("/", &fields(""));
    assert_eq!((status(&page), field(&page, "Cache-Control")), (403, Some("no-store")));
    assert!(asked.lock().unwrap().is_empty(), "no endpoint hears of it");
    let token = page.split("const token = \"").nth(1).unwrap().split('"').next().unwrap();
    let solution = (0u32..)
        .map(|number| format!("{token}.{number}"))
        .find(|value| {
            let digest = digest(&SHA256, value.as_bytes());
            digest.as_ref()[0] == 0 && digest.as_ref()[1] < 0x40
        })
        .unwrap();
    let cookie = format!("Cookie: tentpole_pass={solution}\r\n");
    for _ in 0..3 {
        assert_eq!(status(&edge.get("/", &fields(&cookie))), 200);
    }
    assert_eq!(asked.lock().unwrap().len(), 1, "the cookie is no reason to keep a page from others");
    let elsewhere = edge.get("/", &format!("{}{cookie}", from("198.51.100.7")));
    assert_eq!(status(&elsewhere), 403, "it is for one network");
    let program = edge.get("/", &format!("{}Accept: application/json\r\n", from("203.0.113.7")));
    assert!(status(&program) == 403 && program.contains("\"reason\":\"challenged\""), "{program}");
}

#[test]
fn a_route_has_its_own_limits_of_address_and_header() {
    let (edge, _) = house(Vec::new(), |snapshot| {
        let route = &mut snapshot.sites[0].routes[0];
        (route.url_bytes_max, route.fields_bytes_max) = (Some(20), Some(300));
    });
    assert_eq!(status(&edge.get("/12345?7890123456789", "")), 200);
    let long = edge.get("/12345?78901234567890", "");
    assert!(status(&long) == 414 && long.contains("longer than 20 bytes"), "{long}");
    let large = edge.get("/", &format!("Cookie: a={}\r\n", "b".repeat(300)));
    assert!(status(&large) == 431 && large.contains("larger than 300 bytes"), "{large}");
}

#[test]
fn an_address_with_too_many_connections_is_met_at_the_door_where_that_is_wanted() {
    let limits = |refuses: bool| {
        move |snapshot: &mut Snapshot| {
            snapshot.front = Front::default();
            (snapshot.visitors.per_address_max, snapshot.visitors.per_address_refuses) = (2, refuses);
        }
    };
    let (edge, _) = house(Vec::new(), limits(true));
    let hold = || {
        let mut held = TcpStream::connect(edge.address).unwrap();
        held.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut some = [0; 4];
        held.read_exact(&mut some).unwrap();
        held
    };
    let inside = [hold(), hold()];
    let answer = edge.get("/", "");
    assert!(
        answer.starts_with("HTTP/1.1 429 ") && answer.contains("connections from your address"),
        "{answer}"
    );
    drop(inside);
    // The edge hears of their end a moment later.
    let began = clock::now();
    while status(&edge.get("/", "")) != 200 {
        assert!(clock::now().since(began) < Duration::from_secs(20), "places are not given back");
    }

    let (edge, _) = house(Vec::new(), limits(false));
    let _inside: Vec<_> = (0..4)
        .map(|_| {
            let mut held = TcpStream::connect(edge.address).unwrap();
            held.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut some = [0; 12];
            held.read_exact(&mut some).unwrap();
            assert_eq!(&some, b"HTTP/1.1 200");
            held
        })
        .collect();
    assert_eq!(edge.observed.cache().unwrap().screen.connections_reported, 2);
}
