//! What is as it comes is right; each rule is broken once, and says why.

use super::*;
use tentpole_model::{ContentNetwork, ContentService, Endpoint, Fleet, HealthCheck, Launch, Network, Secret};

const S: Duration = Duration::from_secs(1);

fn fleet() -> Fleet {
    Fleet {
        launch: Launch { run: vec!["app".into()], directory: None, env: Vec::new() },
        min: 1,
        max: 4,
        cpus: 1.0,
        cpu_target: 0.7,
        requests_target: None,
        scale_in_window: 60 * S,
        ready_path: "/".into(),
        start_time: 60 * S,
        slow_start: 10 * S,
        drain_time: 30 * S,
        stop_time: 10 * S,
    }
}

/// Everything that there can be, with the time-outs that it comes with.
fn usual() -> Snapshot {
    let endpoint =
        |port| Endpoint { host: "10.0.0.5".into(), port, requests_max: Some(9), ..Endpoint::default() };
    let pool = Pool {
        endpoints: (1..=5).map(endpoint).collect(),
        health: Some(HealthCheck::default()),
        fleet: Some(fleet()),
        ..Pool::default()
    };
    let mut snapshot = Snapshot { pools: vec![pool], ..Snapshot::default() };
    snapshot.front.trusted = vec![Network { address: "10.0.0.0".parse().unwrap(), bits: 8 }];
    snapshot
}

/// What is said after this change: one time-out may be in the wrong order with several.
fn after(change: impl FnOnce(&mut Snapshot)) -> String {
    let mut snapshot = usual();
    change(&mut snapshot);
    let warnings = order(&snapshot, &[]).warnings;
    assert!(!warnings.is_empty());
    warnings.iter().map(|wrong| format!("{wrong}\n")).collect()
}

#[test]
fn what_comes_by_itself_is_in_order() {
    assert_eq!(order(&usual(), &[]).warnings, []);
    assert_eq!(order(&Snapshot::default(), &[]).warnings, []);
}

#[test]
fn every_time_out_of_the_way_is_in_the_table() {
    let learned = [Learned { pool: "app".into(), authority: "10.0.0.5:1".into(), idle: 60 * S }];
    let order = order(&usual(), &learned);
    let names: Vec<&str> = order.rows.iter().map(|row| row.name).collect();
    let wanted = [
        "head_time",
        "idle_time",
        "stall_time",
        "drain_time",
        "wait",
        "queue.wait",
        "connect",
        "first_byte",
        "stall",
        "idle",
        "health.interval",
        "health.timeout",
        "fleet.start_time",
        "fleet.drain_time",
        "fleet.stop_time",
        "closes idle",
    ];
    assert_eq!(names, wanted);
    let table = order.table();
    assert_eq!(table.lines().count(), wanted.len());
    assert!(table.starts_with("visitors              head_time "), "{table}");
    assert!(table.contains("pool app, 10.0.0.5:1  closes idle       60 s  learned"), "{table}");
}

#[test]
fn each_wrong_order_is_told_with_its_reason() {
    let said = after(|it| it.pools[0].timeouts.first_byte = Duration::from_millis(500));
    assert!(said.contains("passes its probes while every visitor's answer is cut off"), "{said}");
    let said = after(|it| it.pools[0].health.as_mut().unwrap().timeout = 5 * S);
    assert!(said.contains("the next is due 2 s after it"), "{said}");
    let said = after(|it| it.visitors.idle_time = 60 * S);
    assert!(said.contains("closes an unused connection after 60 s"), "{said}");
    let said = after(|it| it.visitors.drain_time = 5 * S);
    assert!(said.starts_with("time-outs of pool app: an answer may take 60 s"), "{said}");
    let said = after(|it| it.cache.wait_max = 63 * S);
    assert!(said.contains("visitors wait up to 63 s for a page"), "{said}");
    let said = after(|it| it.pools[0].queue.wait_max = 240 * S);
    assert!(said.contains("browsers wait by default no longer than 5 min"), "{said}");
    let said = after(|it| it.pools[0].timeouts.connect = 6 * S);
    assert!(said.contains("up to 3 are tried: 18 s until he learns of it"), "{said}");
    let said = after(|it| it.pools[0].fleet.as_mut().unwrap().drain_time = S);
    assert!(said.contains("whenever the fleet shrinks"), "{said}");
    let said = after(|it| it.pools[0].fleet.as_mut().unwrap().stop_time = Duration::ZERO);
    assert!(said.contains("in the moment of their SIGTERM"), "{said}");
    let said = after(|it| {
        it.pools[0].timeouts =
            tentpole_model::UpstreamTimeouts { connect: 2 * S, first_byte: S, ..it.pools[0].timeouts }
    });
    assert!(said.contains("set connect below it"), "{said}");
}

#[test]
fn a_content_network_waits_for_less_than_browsers_do() {
    let secret = || Secret::Variable("TOKEN".into());
    let service = ContentService::Fastly { service: "a".into(), token: secret() };
    let network =
        ContentNetwork { name: "cdn".into(), service, sites: None, api: "https://api.fastly.com".into() };
    let said = after(|it| it.content_networks.push(network.clone()));
    assert!(said.contains("Fastly waits by default no longer than 15 s"), "{said}");
}

#[test]
fn what_was_learned_of_an_endpoint_is_laid_beside_ours() {
    let learned = |idle| [Learned { pool: "app".into(), authority: "10.0.0.5:1".into(), idle }];
    let warnings = order(&usual(), &learned(5 * S)).warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].text.starts_with("10.0.0.5:1 closes unused connections after 5 s"),
        "{}",
        warnings[0]
    );
    assert_eq!(order(&usual(), &learned(65 * S)).warnings, []);
    // One sentence for all of them, whose first is the first to close.
    let at =
        |last: u32| Learned { pool: "app".into(), authority: format!("10.0.0.{last}:1"), idle: last * S };
    let warnings = order(&usual(), &[at(7), at(5), at(90), at(6)]).warnings;
    assert_eq!(warnings.len(), 1);
    let text = &warnings[0].text;
    assert!(text.starts_with("10.0.0.5:1 closes unused connections after 5 s (2 others of"), "{text}");
}

#[test]
fn a_time_is_said_in_its_unit() {
    let said = |ms| words::said(Duration::from_millis(ms));
    let all = [250, 1_500, 75_000, 119_000, 300_000, 301_000].map(said);
    assert_eq!(all, ["250 ms", "1.5 s", "75 s", "119 s", "5 min", "301 s"]);
}
