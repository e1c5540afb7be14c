//! What filters say of requests, as sentences.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::cell::RefCell;
use std::net::IpAddr;
use std::time::Duration;
use tentpole_model::{
    Filter, FilterAction, FilterWhen, HostPattern, LimitBy, Network, Puzzle, RateLimit, RouteId,
};
use tentpole_screen::{Buckets, Condition, Facts, Found, Judge, Lines, Rate, Rules, Verdict};

struct Header<'a>(&'a [(&'a str, &'a str)]);

impl Lines for Header<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.iter().any(|(of, value)| of.eq_ignore_ascii_case(name) && test(value.as_bytes()))
    }
}

struct Bench {
    buckets: Buckets,
    now_ns: RefCell<u64>,
    solved: bool,
}

impl Judge for Bench {
    fn take(&self, key: u64, rate: Rate) -> Result<(), Duration> {
        self.buckets.take(key, rate, *self.now_ns.borrow())
    }

    fn has_solved(&self, _: Puzzle) -> bool {
        self.solved
    }
}

fn bench() -> Bench {
    Bench { buckets: Buckets::new(1_000), now_ns: RefCell::new(1_000_000_000), solved: false }
}

fn filter(name: &str, when: FilterWhen, action: FilterAction) -> Filter {
    Filter { name: name.to_owned(), report: false, when, action }
}

fn network(text: &str) -> Network {
    let (address, bits) = text.split_once('/').unwrap();
    Network { address: address.parse().unwrap(), bits: bits.parse().unwrap() }
}

fn rate(requests: u32, by: Vec<LimitBy>) -> FilterAction {
    FilterAction::Limit(RateLimit {
        requests,
        per: Duration::from_secs(60),
        burst: requests,
        by,
        ipv6_bits: 64,
    })
}

fn ask(rules: &Rules, bench: &Bench, from: &str, path: &str, fields: &[(&str, &str)]) -> Verdict {
    let header = Header(fields);
    let facts = Facts {
        address: from.parse::<IpAddr>().unwrap(),
        method: b"GET",
        host: b"Shop.example:8080",
        path: path.as_bytes(),
        route: Some(RouteId(3)),
        fields: &header,
    };
    rules.screen(&facts, bench, |_| {})
}

#[test]
fn the_first_filter_that_decides_has_the_last_word() {
    let office = FilterWhen { from: vec![network("192.0.2.0/24")], ..FilterWhen::default() };
    let rules = Rules::new(
        &[
            filter("office", office, FilterAction::Allow),
            filter("closed", FilterWhen::default(), FilterAction::Deny),
        ],
        &[],
        (1, 2),
    );
    let bench = bench();
    assert_eq!(ask(&rules, &bench, "192.0.2.9", "/", &[]), Verdict::Allow(0));
    assert_eq!(ask(&rules, &bench, "::ffff:192.0.2.9", "/", &[]), Verdict::Allow(0));
    assert_eq!(ask(&rules, &bench, "192.0.3.9", "/", &[]), Verdict::Deny(1));
}

#[test]
fn one_that_reports_is_told_and_refuses_nobody() {
    let mut closed = filter("closed", FilterWhen::default(), FilterAction::Deny);
    closed.report = true;
    let rules = Rules::new(&[closed], &[], (1, 2));
    let header = Header(&[]);
    let facts = Facts {
        address: "192.0.2.1".parse().unwrap(),
        method: b"GET",
        host: b"a",
        path: b"/",
        route: None,
        fields: &header,
    };
    let mut told = Vec::new();
    assert_eq!(rules.screen(&facts, &bench(), |step| told.push(step.found)), Verdict::Pass);
    assert_eq!(told, [Found::Deny]);
}

#[test]
fn each_condition_says_that_it_was_the_one() {
    let of = |when: FilterWhen| Rules::new(&[filter("a", when, FilterAction::Deny)], &[], (1, 2));
    let found = |when: FilterWhen, fields: &[(&str, &str)]| {
        let header = Header(fields);
        let facts = Facts {
            address: "192.0.2.1".parse().unwrap(),
            method: b"GET",
            host: b"Shop.example:8080",
            path: b"/wp/login.php",
            route: None,
            fields: &header,
        };
        let mut said = None;
        of(when).screen(&facts, &bench(), |step| said = Some(step.found));
        said.unwrap()
    };
    let list = |all: &[&str]| all.iter().map(|&one| one.to_owned()).collect::<Vec<_>>();
    let when = FilterWhen::default;
    let not = |condition| Found::Not(condition);

    assert_eq!(found(FilterWhen { methods: list(&["POST"]), ..when() }, &[]), not(Condition::Method));
    assert_eq!(found(FilterWhen { methods: list(&["POST", "GET"]), ..when() }, &[]), Found::Deny);
    for (path, takes) in
        [("/wp/*", true), ("/wp/login.php", true), ("/wp/login.php/*", true), ("/w/*", false), ("/wp", false)]
    {
        let expected = if takes { Found::Deny } else { not(Condition::Paths) };
        assert_eq!(found(FilterWhen { paths: list(&[path]), ..when() }, &[]), expected, "{path}");
    }
    assert_eq!(found(FilterWhen { paths: list(&["/a", "*.php"]), ..when() }, &[]), Found::Deny);
    for (host, takes) in [
        (HostPattern::Exact("shop.example".into()), true),
        (HostPattern::Below("example".into()), true),
        (HostPattern::Below("shop.example".into()), false),
        (HostPattern::Exact("example".into()), false),
    ] {
        let expected = if takes { Found::Deny } else { not(Condition::Hosts) };
        assert_eq!(found(FilterWhen { hosts: vec![host.clone()], ..when() }, &[]), expected, "{host:?}");
    }
    let here = vec![network("192.0.2.0/24")];
    assert_eq!(found(FilterWhen { from: vec![network("10.0.0.0/8")], ..when() }, &[]), not(Condition::From));
    assert_eq!(found(FilterWhen { not_from: here, ..when() }, &[]), not(Condition::NotFrom));
    let curl = FilterWhen { user_agents: list(&["curl", ""]), ..when() };
    assert_eq!(found(curl.clone(), &[("User-Agent", "CURL/8")]), Found::Deny);
    assert_eq!(found(curl.clone(), &[]), Found::Deny);
    assert_eq!(found(curl.clone(), &[("User-Agent", "")]), Found::Deny);
    assert_eq!(found(curl, &[("User-Agent", "Mozilla")]), not(Condition::UserAgent));
    let but = FilterWhen { not_user_agents: list(&["googlebot"]), ..when() };
    assert_eq!(found(but.clone(), &[("user-agent", "x Googlebot/2")]), not(Condition::NotUserAgent));
    assert_eq!(found(but, &[]), Found::Deny);
    let field =
        FilterWhen { fields: vec![("X-A".into(), list(&[])), ("X-B".into(), list(&["yes"]))], ..when() };
    assert_eq!(found(field.clone(), &[("x-a", ""), ("x-b", "Yes!")]), Found::Deny);
    assert_eq!(found(field, &[("x-a", ""), ("x-b", "no")]), not(Condition::Header));
}

#[test]
fn a_rate_counts_each_address_and_each_network_of_ipv6_by_itself() {
    let rules =
        Rules::new(&[filter("a", FilterWhen::default(), rate(2, vec![LimitBy::Address]))], &[], (1, 2));
    let bench = bench();
    let pass = |from| ask(&rules, &bench, from, "/", &[]) == Verdict::Pass;
    assert!(pass("192.0.2.1") && pass("192.0.2.1"));
    assert_eq!(ask(&rules, &bench, "192.0.2.1", "/", &[]), Verdict::Limit(0, Duration::from_secs(30)));
    assert!(!pass("::ffff:192.0.2.1") && pass("192.0.2.2"));
    assert!(pass("2001:db8::1") && pass("2001:db8::2:0:0:1") && !pass("2001:db8::9:9:9:9"));
    assert!(pass("2001:db8:0:1::1"), "another /64");
    *bench.now_ns.borrow_mut() += 30_000_000_000;
    assert!(pass("192.0.2.1") && !pass("192.0.2.1"));
}

#[test]
fn by_cookie_or_field_who_has_none_is_counted_by_address() {
    let by = vec![LimitBy::Cookie("session".into()), LimitBy::Host];
    let rules = Rules::new(&[filter("a", FilterWhen::default(), rate(1, by))], &[], (1, 2));
    let bench = bench();
    let pass = |from, cookie: &str| ask(&rules, &bench, from, "/", &[("Cookie", cookie)]) == Verdict::Pass;
    assert!(pass("192.0.2.1", "a=b; session=1") && !pass("192.0.2.9", "session=1"));
    assert!(pass("192.0.2.1", "session=2"));
    assert!(pass("192.0.2.1", "session=") && !pass("192.0.2.1", "x=y") && pass("192.0.2.2", ""));
}

#[test]
fn by_route_all_of_them_share_one_count_and_each_route_has_its_own() {
    let rules = Rules::new(&[filter("a", FilterWhen::default(), rate(2, vec![LimitBy::Route]))], &[], (1, 2));
    let (bench, header) = (bench(), Header(&[]));
    let pass = |from: &str, route: Option<u32>| {
        let facts = Facts {
            address: from.parse().unwrap(),
            method: b"GET",
            host: b"shop.example",
            path: b"/",
            route: route.map(RouteId),
            fields: &header,
        };
        rules.screen(&facts, &bench, |_| {}) == Verdict::Pass
    };
    assert!(pass("192.0.2.1", Some(0)) && pass("198.51.100.9", Some(0)) && !pass("203.0.113.5", Some(0)));
    assert!(pass("192.0.2.1", Some(1)) && pass("192.0.2.1", None));
}

#[test]
fn what_many_share_is_not_counted_as_one() {
    let by_address = filter("a", FilterWhen::default(), rate(1, vec![LimitBy::Address]));
    let by_cookie = filter("b", FilterWhen::default(), rate(1, vec![LimitBy::Cookie("s".into())]));
    let rules = Rules::new(&[by_address, by_cookie], &[network("100.64.0.0/10")], (1, 2));
    let bench = bench();
    for _ in 0..50 {
        assert_eq!(ask(&rules, &bench, "100.64.1.1", "/", &[]), Verdict::Pass);
    }
    assert_eq!(ask(&rules, &bench, "100.64.1.1", "/", &[("Cookie", "s=1")]), Verdict::Pass);
    let second = ask(&rules, &bench, "100.64.1.1", "/", &[("Cookie", "s=1")]);
    assert!(matches!(second, Verdict::Limit(1, _)), "a cookie is one visitor there too: {second:?}");
}

#[test]
fn a_puzzle_is_asked_of_who_has_not_solved_it() {
    let puzzle = Puzzle { bits: 8, lifetime: Duration::from_secs(60) };
    let rules = Rules::new(
        &[
            filter("puzzle", FilterWhen::default(), FilterAction::Challenge(puzzle)),
            filter("closed", FilterWhen::default(), FilterAction::Deny),
        ],
        &[],
        (1, 2),
    );
    assert_eq!(ask(&rules, &bench(), "192.0.2.1", "/", &[]), Verdict::Challenge(0, puzzle));
    let solved = Bench { solved: true, ..bench() };
    assert_eq!(
        ask(&rules, &solved, "192.0.2.1", "/", &[]),
        Verdict::Deny(1),
        "what is behind it still holds"
    );
}
