//! Resolvers ask a real name server over UDP and TCP, keep what it says for its TTL, and say what is wrong when there is
//! nothing to keep.

use std::net::IpAddr;
use tentpole_resolvers::{Mix, Policy, Population, Resolvers, Settings, Trouble, first_look};
use tentpole_runtime::Instant;
use tentpole_testkit::names::{Fault, NameServer, Record};

const NAME: &str = "shop.test";

fn resolvers(server: &NameServer, count: u32, policy: Policy, stays_here: bool) -> Resolvers {
    let settings = Settings { resolvers: count, policies: Mix::all(policy), ..Settings::default() };
    Resolvers::new(Population::new(settings, 1), vec![server.address()], stays_here)
}

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1_000)
}

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

/// Where one visitor after the other is led, each at his moment.
async fn led(resolvers: &Resolvers, moments: &[u64]) -> Vec<Result<IpAddr, Trouble>> {
    let mut all = Vec::new();
    for moment in moments {
        let led = resolvers.lead(resolvers.newcomer(), 0, NAME, at(*moment)).await;
        all.push(led.map(|led| led.addresses[0]));
    }
    all
}

#[tokio::test]
async fn a_resolver_asks_once_a_ttl_and_everybody_behind_it_goes_where_it_was_led() {
    let server = NameServer::start();
    server.leads_in_turn(NAME, 60, &["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
    let resolvers = resolvers(&server, 1, Policy::First, true);
    let led = led(&resolvers, &[0, 1_000, 59_999, 60_000, 119_999, 120_000, 180_000]).await;
    let led: Vec<IpAddr> = led.into_iter().map(|led| led.expect("an address")).collect();
    assert_eq!(led, [1, 1, 1, 2, 2, 3, 1].map(ip));
    assert_eq!(server.questions(), 4);
    let spread = resolvers.spread(NAME);
    assert_eq!((spread.questions, spread.ttl_s, spread.answer_addresses), (4, Some(60), 1));
}

#[tokio::test]
async fn those_who_come_while_a_resolver_asks_wait_for_the_same_answer() {
    let server = NameServer::start();
    server.leads(NAME, 60, &["127.0.0.1"]);
    let resolvers = resolvers(&server, 1, Policy::First, true);
    let lead = |who| resolvers.lead(who, 0, NAME, at(0));
    let (one, two, three) = tokio::join!(lead(0), lead(1), lead(2));
    assert!([one, two, three].into_iter().all(|led| led.is_ok_and(|led| led.addresses == [ip(1)])));
    assert_eq!(server.questions(), 1);
}

#[tokio::test]
async fn each_of_several_resolvers_has_a_cache_of_its_own() {
    let server = NameServer::start();
    server.leads(NAME, 60, &["127.0.0.1", "127.0.0.2"]);
    let resolvers = resolvers(&server, 20, Policy::Rotate, true);
    led(&resolvers, &[0; 2_000]).await;
    assert_eq!(server.questions(), 20, "the smallest has 1 % of the visitors");
    let shares = resolvers.spread(NAME).shares();
    assert!((shares[0] - 0.5).abs() < 0.02, "each turns the answer for itself: {shares:?}");
}

#[tokio::test]
async fn what_does_not_fit_is_asked_for_by_tcp_and_made_up_answers_are_not_heard() {
    let server = NameServer::start();
    server.leads(NAME, 0, &["127.0.0.7"]);
    let resolvers = resolvers(&server, 1, Policy::First, true);
    server.misbehaves(Fault::Truncates);
    assert_eq!(led(&resolvers, &[0]).await, [Ok(ip(7))]);
    assert_eq!(server.by_tcp(), 1);
    server.misbehaves(Fault::Forged(3));
    assert_eq!(led(&resolvers, &[1]).await, [Ok(ip(7))]);
}

#[tokio::test]
async fn aliases_are_followed_and_a_name_of_ipv6_alone_is_found() {
    let server = NameServer::start();
    server.tell(NAME, 30, &[Record::Alias("edge.test".to_owned())]);
    server.leads("edge.test", 60, &["::1"]);
    let resolvers = resolvers(&server, 1, Policy::First, true);
    assert_eq!(led(&resolvers, &[0]).await, [Ok("::1".parse().expect("an address"))]);
    assert_eq!(resolvers.spread(NAME).ttl_s, Some(30), "the alias counts for less");
}

#[tokio::test]
async fn what_is_wrong_is_said_and_kept_for_a_while() {
    let server = NameServer::start();
    let resolvers = resolvers(&server, 1, Policy::First, true);
    let gone = Trouble::NoSuchName { negative_ttl_s: Some(1) };
    assert_eq!(led(&resolvers, &[0, 999]).await, [Err(gone.clone()), Err(gone)]);
    assert_eq!(server.questions(), 1, "that there is nothing is kept");
    server.tell(NAME, 60, &[]);
    let empty = &led(&resolvers, &[1_000]).await[0];
    assert!(matches!(empty, Err(Trouble::NoAddress { .. })), "{empty:?}");
    server.misbehaves(Fault::Fails);
    let failed = led(&resolvers, &[3_000]).await.remove(0).unwrap_err();
    assert!(
        matches!(failed, Trouble::Refused(_)) && failed.to_string().contains("Server Failure"),
        "{failed}"
    );
    server.misbehaves(Fault::None);
    server.leads(NAME, 60, &["127.0.0.1"]);
    assert_eq!(led(&resolvers, &[4_000]).await, [Ok(ip(1))]);
    let spread = resolvers.spread(NAME);
    assert_eq!(spread.look_ups_failed, 4);
    assert!(spread.trouble.is_some_and(|why| why.contains("no such name")));
}

#[tokio::test]
async fn a_run_that_begins_on_this_machine_stays_there() {
    let server = NameServer::start();
    server.leads(NAME, 1, &["127.0.0.1"]);
    let here = resolvers(&server, 1, Policy::First, true);
    assert_eq!(led(&here, &[0]).await, [Ok(ip(1))]);
    server.leads(NAME, 1, &["127.0.0.1", "192.0.2.1"]);
    assert_eq!(led(&here, &[1_000]).await, [Err(Trouble::Elsewhere)]);
    let anywhere = resolvers(&server, 1, Policy::First, false);
    assert_eq!(led(&anywhere, &[0]).await, [Ok(ip(1))]);
}

#[test]
fn before_a_run_a_dead_name_server_is_found() {
    let address = NameServer::start().address();
    let trouble = first_look(&[address], NAME).unwrap_err();
    assert!(matches!(trouble, Trouble::Io(_)) && trouble.mend().contains("--name-server"), "{trouble}");
    let server = NameServer::start();
    server.leads(NAME, 60, &["127.0.0.1", "127.0.0.2"]);
    assert_eq!(
        first_look(&[address, server.address()], NAME),
        Ok(vec![ip(1), ip(2)]),
        "the next one is asked"
    );
}
