//! What the console needs, over real sockets: its pages, the newest second, the hour, fleets, events and metrics.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

mod desk;

use desk::Desk;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tentpole_admin::EventKind;
use tentpole_model::{
    EdgeLeaving, FleetDecision, FleetRestart, FleetStatus, InstanceId, InstancePhase, InstanceStatus,
    UpgradeProgress, UpgradeStep, UpgradeUnderWay,
};
use tentpole_runtime::clock;

fn fleet() -> FleetStatus {
    let instance = |slot: u64, phase| InstanceStatus {
        id: InstanceId(slot),
        name: format!("app-{slot}"),
        phase,
        address: SocketAddr::from(([127, 0, 0, 1], 9_000)),
        pid: Some(7),
        started_unix_ms: 1,
        cpu_share: Some(0.5),
        in_flight: 3,
        weight_share: 0.25,
    };
    let decision = |n| FleetDecision { at_unix_ms: n, from: 1, to: 2, why: format!("reason {n}") };
    FleetStatus {
        pool: "app".into(),
        min: 1,
        max: 20,
        wanted: 2,
        cpu_share: Some(0.75),
        cpu_target: 0.7,
        requests_target: None,
        instances: vec![instance(1, InstancePhase::Serving), instance(2, InstancePhase::WarmingUp)],
        restart: None,
        decisions: (0..40).map(decision).collect(),
    }
}

#[tokio::test]
async fn metrics_are_the_edges_and_controls_own_also_while_the_edge_is_away() {
    let desk = Desk::new().await;
    desk.parts.fleets.publish(vec![fleet()]);
    desk.parts.events.restarted("edge", "signal 9 (SIGKILL)");
    let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9\r\nConnection: close\r\n\r\n";
    for (is_away, up) in [(false, "tentpole_edge_up 1"), (true, "tentpole_edge_up 0")] {
        *desk.edge.is_away.lock().unwrap() = is_away;
        let (status, head, body) = desk.send(request).await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        for line in [
            up,
            "# TYPE tentpole_restarts_total counter",
            "tentpole_restarts_total{part=\"edge\"} 1",
            "tentpole_restarts_total{part=\"control\"} 0",
            "tentpole_fleet_instances{pool=\"app\",phase=\"serving\"} 1",
            "tentpole_fleet_instances{pool=\"app\",phase=\"warming_up\"} 1",
            "tentpole_fleet_instances{pool=\"app\",phase=\"draining\"} 0",
            "tentpole_fleet_wanted{pool=\"app\"} 2",
            "tentpole_fleet_cpu_share{pool=\"app\"} 0.75",
        ] {
            assert!(body.lines().any(|there| there == line), "{line} in {body}");
        }
        assert_eq!(body.lines().any(|there| there == "tentpole_uptime_seconds 5"), !is_away);
    }
}

#[tokio::test]
async fn live_shows_how_far_a_restart_and_an_upgrade_are() {
    let desk = Desk::new().await;
    let quiet = desk.get("/api/live").await;
    assert_eq!((&quiet["restarts"], &quiet["upgrade"]["under_way"]), (&json!([]), &Value::Null));
    let restart = FleetRestart { old: 1, new: 2, of: 3, since_unix_ms: 5, stopped: None };
    desk.parts.fleets.publish(vec![FleetStatus { restart: Some(restart), ..fleet() }]);
    let (step, program) = (UpgradeStep::Opening, "/usr/bin/tentpole".into());
    desk.parts.events.upgrading(UpgradeProgress {
        under_way: Some(UpgradeUnderWay { step, program, since_unix_ms: 6 }),
        leaving: vec![EdgeLeaving { pid: 7, since_unix_ms: 8, until_unix_ms: 9 }],
        ..UpgradeProgress::default()
    });
    let live = desk.get("/api/live").await;
    let restarts = json!([{"pool": "app", "new": 2, "of": 3, "since_unix_ms": 5, "stopped": null}]);
    assert_eq!(live["restarts"], restarts);
    let under_way = json!({"step": "opening", "program": "/usr/bin/tentpole", "since_unix_ms": 6});
    assert_eq!(live["upgrade"]["under_way"], under_way);
    assert_eq!(live["upgrade"]["leaving"][0]["pid"], 7);
}

#[tokio::test]
async fn live_shows_endpoints_with_what_they_do_and_history_grows_by_the_second() {
    let desk = Desk::new().await;
    desk.edge.counts(1, 1_000);
    let live = desk.get("/api/live").await;
    assert_eq!((&live["edges"][0]["up"], &live["edges"][0]["connections_open"]), (&json!(true), &json!(12)));
    let pool = &live["pools"][0];
    assert_eq!((&pool["name"], &pool["queued"], &pool["fleet"]), (&json!("app"), &json!(3), &json!(false)));
    let endpoint = &pool["endpoints"][1];
    assert_eq!((&endpoint["name"], &endpoint["health"]), (&json!("10.0.0.1:2"), &json!("up")));
    assert_eq!((&endpoint["in_flight"], &endpoint["weight_share"]), (&json!(7), &json!(1)));
    assert_eq!(endpoint["phase"], Value::Null);
    // A first sample has nothing to compare with; the one after it has. Each takes a second of the wall clock.
    let mut requests = 1_000;
    let live = loop {
        requests += 500;
        desk.edge.counts(1, requests);
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        let live = desk.get("/api/live").await;
        if live["sample"]["requests_per_s"].as_f64().is_some_and(|rate| rate > 0.0) {
            break live;
        }
    };
    assert!(live["pools"][0]["endpoints"][1]["requests_per_s"].as_f64().unwrap() > 0.0);
    let history = desk.get("/api/history").await;
    let times = history["at_unix_ms"].as_array().unwrap();
    assert!(times.contains(&live["sample"]["at_unix_ms"]), "{times:?}");
    assert!(history["columns"]["p99_ms"].as_array().unwrap().len() == times.len());
    let since = times.last().unwrap();
    let later = desk.get(&format!("/api/history?since={since}&step=60")).await;
    assert!(later["at_unix_ms"].as_array().unwrap().len() <= 1);
}

#[tokio::test]
async fn a_history_goes_on_over_a_restart_of_the_edge_and_is_never_negative() {
    let desk = Desk::new().await;
    let started = clock::now().unix_us() / 1_000;
    let mut total = 1_000_000;
    let (mut edge_started, mut before) = (1, 0);
    loop {
        total += 100;
        desk.edge.counts(edge_started, total);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        let history = desk.get("/api/history").await;
        let rates = history["columns"]["requests_per_s"].as_array().unwrap().clone();
        let known: Vec<f64> = rates.iter().filter_map(Value::as_f64).collect();
        assert!(known.iter().all(|rate| (0.0..100_000.0).contains(rate)), "{rates:?}");
        if !known.is_empty() && edge_started == 1 {
            // Its totals begin anew.
            (edge_started, total, before) = (clock::now().unix_us() / 1_000, 0, known.len());
        }
        if edge_started > 1 && known.iter().skip(before).filter(|rate| **rate > 0.0).count() >= 2 {
            break;
        }
    }
    assert!(edge_started > started);
}

#[tokio::test]
async fn fleets_tell_their_decisions_and_live_the_last_of_them() {
    let desk = Desk::new().await;
    desk.parts.fleets.publish(vec![fleet()]);
    let fleets = desk.get("/api/fleets").await;
    assert_eq!(fleets["fleets"][0]["decisions"].as_array().unwrap().len(), 40);
    assert_eq!(fleets["fleets"][0]["instances"][1]["phase"], "warming_up");
    let live = desk.get("/api/live").await;
    let decisions = live["fleets"][0]["decisions"].as_array().unwrap();
    assert_eq!((decisions.len(), &decisions[29]["why"]), (30, &json!("reason 39")));
    let status = desk.get("/api/status").await;
    let fleet = json!({"min": 1, "max": 20, "wanted": 2, "cpu_share": 0.75});
    assert_eq!(status["pools"][0]["fleet"], fleet);
}

#[tokio::test]
async fn events_are_told_newest_first_and_what_this_api_did_is_among_them() {
    let desk = Desk::new().await;
    desk.parts.events.add(EventKind::Health, "app 10.0.0.1:2 is down");
    desk.post("/api/pools/app/endpoints/10.0.0.1:1/drain", "").await;
    desk.post("/api/pools/app/endpoints/10.0.0.1:1/drain", "").await;
    desk.post("/api/purge", r#"{"url":"http://shop.example/<b>"}"#).await;
    let events = desk.get("/api/events").await["events"].as_array().unwrap().clone();
    let kinds: Vec<_> = events.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["admin", "admin", "health"], "a drain that changes nothing is no event");
    assert!(events[0]["text"].as_str().unwrap().contains("http://shop.example/<b>"));
    assert!(events[0]["at_unix_ms"].as_u64() >= events[2]["at_unix_ms"].as_u64());
    assert_eq!(desk.get("/api/events?limit=1").await["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn wrong_questions_are_told_the_right_ones() {
    let desk = Desk::new().await;
    for path in [
        "/api/history?step=0",
        "/api/history?step=61",
        "/api/history?step=x",
        "/api/history?since=-1",
        "/api/history?form=1",
        "/api/events?limit=-1",
        "/api/events?last=3",
    ] {
        let (status, said) = desk.ask("GET", path, "", "").await;
        assert_eq!(status, 400, "{path}");
        assert!(said["cure"].as_str().unwrap().contains('?'), "{said}");
    }
    assert_eq!(desk.get("/api/history?since=18446744073709551615&step=60").await["at_unix_ms"], json!([]));
}

#[tokio::test]
async fn a_browser_gets_the_pages_by_both_names_and_may_run_nothing_else() {
    let desk = Desk::new().await;
    let get = |path: &str, fields: &str| format!("GET {path} HTTP/1.1\r\nConnection: close\r\n{fields}\r\n");
    // As a browser sends it when somebody types the address.
    let typed = "Sec-Fetch-Site: none\r\nSec-Fetch-Mode: navigate\r\nUpgrade-Insecure-Requests: 1\r\n";
    for host in ["127.0.0.1:9900", "localhost:9900", "[::1]:9900"] {
        let (status, head, body) = desk.send(&get("/", &format!("Host: {host}\r\n{typed}"))).await;
        assert_eq!((status, body.as_str()), (200, "<!doctype html>"));
        for field in [
            "content-type: text/html; charset=utf-8",
            "cache-control: no-cache",
            "x-content-type-options: nosniff",
            "x-frame-options: deny",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
        ] {
            assert!(head.contains(field), "{field} in {head}");
        }
        let policy = head.lines().find_map(|line| line.strip_prefix("content-security-policy: ")).unwrap();
        for rule in
            ["default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe"));
    }
    let (_, head, body) = desk.send(&get("/console.js", "Host: localhost\r\n")).await;
    assert!(head.contains("content-type: text/javascript; charset=utf-8") && body == "'use strict'");
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap();
    for (known, expected) in [(tag, 304), ("\"other\", *", 304), ("\"other\"", 200)] {
        let fields = format!("Host: localhost\r\nIf-None-Match: {known}\r\n");
        let (status, head, body) = desk.send(&get("/console.js", &fields)).await;
        assert_eq!((status, body.is_empty()), (expected, expected == 304), "{known}");
        assert!(head.contains(tag));
    }
    assert_eq!(desk.send(&get("/", "Host: evil.example\r\n")).await.0, 403);
    let (status, head, _) = desk.send(&get("/api/live", "Host: localhost\r\n")).await;
    assert!(status == 200 && head.contains("default-src 'none'") && head.contains("no-store"), "{head}");
}
