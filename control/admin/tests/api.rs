//! The admin API over real sockets: each call, and everyone who does not belong there.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

mod desk;

use desk::{Desk, members};
use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use tentpole_admin::Admin;
use tentpole_model::link::{Answer, Question};
use tentpole_model::{DownReason, EdgeGone, EdgePort, EdgeReport, Health};
use tokio::task::JoinSet;

#[tokio::test]
async fn the_list_names_every_call_and_each_is_there() {
    let desk = Desk::new().await;
    let calls = desk.get("/api").await["calls"].as_array().unwrap().clone();
    assert_eq!(calls.len(), 18);
    for call in calls {
        let path =
            call["path"].as_str().unwrap().replace("{pool}", "app").replace("{authority}", "10.0.0.1:1");
        let method = call["method"].as_str().unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let (status, ..) = desk.send(&request).await;
        assert!(status != 404 && status != 405, "{method} {path}: {status}");
    }
}

#[tokio::test]
async fn status_shows_sites_pools_and_how_endpoints_are() {
    let desk = Desk::new().await;
    desk.parts.membership.publish(members([Health::Up, Health::LastOne(DownReason::Failures)]));
    let before = desk.get("/api/status").await;
    assert_eq!(before["pools"][0]["endpoints"][1]["in_flight"], Value::Null, "nobody knows yet");
    desk.edge.counts(1, 100);
    let status = desk.get("/api/status").await;
    assert_eq!(status["sites"][0]["hosts"], json!(["shop.example", "*.shop.example"]));
    assert_eq!(status["sites"][0]["routes"][0], json!({"path": "/*", "pool": "app", "cache": "standard"}));
    let endpoints = &status["pools"][0]["endpoints"];
    assert_eq!(status["pools"][0]["name"], "app");
    assert_eq!((&endpoints[0]["health"], &endpoints[0]["reason"]), (&json!("up"), &Value::Null));
    assert_eq!((&endpoints[1]["health"], &endpoints[1]["reason"]), (&json!("last_one"), &json!("failures")));
    assert_eq!((&endpoints[0]["weight"], &endpoints[1]["in_flight"]), (&json!(3), &json!(7)));
    assert_eq!(endpoints[1]["failures"], 1);
    assert!(status["version"].is_string() && status["uptime_s"].is_u64());
    assert_eq!(before["cache"], Value::Null, "nobody knows yet");
    let cache = &status["cache"];
    assert_eq!((&cache["hit_share"], &cache["memory"]["objects"]), (&json!(0.5), &json!(9)));
    let outcomes = json!([{"outcome": "hit", "requests": 50}, {"outcome": "stored", "requests": 1}]);
    assert_eq!(cache["outcomes"], outcomes);
    let purge = json!({"at_unix_ms": 1, "by": "learning", "what": "shop.example/a", "why": "it sets a cookie",
        "soft": false, "objects": 2});
    let filter = json!({"name": "login", "matched": 9, "refused": 4, "reported": 0});
    assert_eq!((&status["screen"]["filters"][0], &status["screen"]["top"]), (&filter, &json!([])));
    assert_eq!((&cache["purges"][0], &cache["disk"]), (&purge, &Value::Null));
    assert_eq!(before["certificates"], json!([]), "nobody knows yet");
    let ends = json!([{"host": "shop.example", "file": "/shop.pem", "ends_unix_s": 7}]);
    assert_eq!(status["certificates"], ends);
    assert_eq!(desk.get("/api/live").await["certificates"], ends);
}

#[tokio::test]
async fn the_last_requests_come_from_the_edge_as_many_as_it_keeps() {
    let desk = Desk::new().await;
    for (query, limit) in [("", 50), ("?limit=2", 2), ("?limit=100000", 256)] {
        assert_eq!(desk.get(&format!("/api/requests{query}")).await["limit"], limit);
    }
    assert_eq!(desk.ask("GET", "/api/requests?limit=many", "", "").await.0, 400);
}

#[tokio::test]
async fn while_the_edge_is_away_questions_are_told_to_come_again_and_the_rest_answers() {
    let desk = Desk::new().await;
    *desk.edge.is_away.lock().unwrap() = true;
    for (method, path, body) in [("GET", "/api/requests", ""), ("POST", "/api/purge", r#"{"all":true}"#)] {
        let (status, said) = desk.ask(method, path, "", body).await;
        assert_eq!(status, 503, "{path}");
        assert!(said["cure"].as_str().unwrap().contains("ask again in a second"), "{said}");
    }
    let request = "GET /api/requests HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!(desk.send(request).await.1.contains("retry-after: 1"));
    for path in ["/api/status", "/api/live", "/api/history", "/api/fleets", "/api/events"] {
        desk.get(path).await;
    }
    assert_eq!(desk.get("/api/live").await["edges"][0]["up"], false);
    assert_eq!(desk.get("/api/events").await["events"], json!([]), "a purge that was not done is no event");
}

#[tokio::test]
async fn a_few_hung_questions_do_not_hold_up_the_rest() {
    struct Hung(Mutex<std::sync::mpsc::Receiver<()>>);
    impl EdgePort for Hung {
        fn ask(&self, _: Question) -> Result<Answer, EdgeGone> {
            let _ = self.0.lock().unwrap().recv();
            Err(EdgeGone)
        }
        fn report(&self) -> Option<Arc<EdgeReport>> {
            None
        }
    }
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let hung = Arc::new(Hung(Mutex::new(released)));
    let desk = Arc::new(Desk::before(Arc::default(), hung).await);
    let mut asking = JoinSet::new();
    for _ in 0..12 {
        let desk = desk.clone();
        asking.spawn(async move { desk.ask("GET", "/api/requests", "", "").await.0 });
    }
    assert!(desk.get("/api/live").await["now_unix_ms"].is_u64());
    drop(release);
    assert!(asking.join_all().await.into_iter().all(|status| status == 503));
}

#[tokio::test]
async fn purges_go_through_the_port_and_wrong_bodies_change_nothing() {
    let desk = Desk::new().await;
    let one = desk.post("/api/purge", r#"{"url":"http://shop.example/p/1"}"#).await;
    assert_eq!(one, (200, json!({"objects": 2, "fills": 1})));
    let all = desk.post("/api/purge", r#"{"all":true}"#).await;
    assert_eq!(all, (200, json!({"objects": 40, "fills": 0})));
    for bad in [
        "",
        "{",
        "{}",
        "[]",
        r#"{"all":false}"#,
        r#"{"urls":"x"}"#,
        r#"{"url":"http://shop.example/","all":true}"#,
        r#"{"prefix":"http://shop.example/","tags":["a"]}"#,
        r#"{"site":"shop","all":true}"#,
        r#"{"site":"shop","url":"http://shop.example/"}"#,
        r#"{"tags":"a"}"#,
        r#"{"soft":true}"#,
    ] {
        assert_eq!(desk.post("/api/purge", bad).await.0, 400, "{bad}");
    }
    assert_eq!(desk.post("/api/purge", r#"{"url":"/p/1"}"#).await.0, 400);
    assert_eq!(desk.post("/api/purge", r#"{"url":"http://other.example/"}"#).await.0, 404);
    let long = format!(r#"{{"url":"http://shop.example/{}"}}"#, "x".repeat(64 << 10));
    assert_eq!(desk.post("/api/purge", &long).await.0, 413);
    assert_eq!(*desk.edge.purged.lock().unwrap(), ["http://shop.example/p/1", "all"]);
}

#[tokio::test]
async fn prefixes_tags_sites_and_soft_purges_reach_the_edge_as_they_were_meant() {
    let desk = Desk::new().await;
    for (body, order) in [
        (r#"{"prefix":"http://shop.example/p/"}"#, r#"hard Prefix("http://shop.example/p/")"#),
        (r#"{"tags":["a","b c"],"soft":true}"#, r#"soft Tags { site: None, tags: ["a", "b c"] }"#),
        (r#"{"tags":["a"],"site":"shop"}"#, r#"hard Tags { site: Some("shop"), tags: ["a"] }"#),
        (r#"{"site":"shop","soft":true}"#, r#"soft Site("shop")"#),
    ] {
        assert_eq!(desk.post("/api/purge", body).await.0, 200, "{body}");
        assert_eq!(desk.edge.purged.lock().unwrap().pop().as_deref(), Some(order));
    }
    let events = desk.get("/api/events?limit=1").await;
    assert_eq!(events["events"][0]["text"], "made stale 0 stored responses: everything of shop");
}

#[tokio::test]
async fn draining_sets_the_weight_to_zero_and_resuming_to_the_configured_one() {
    let desk = Desk::new().await;
    let weights = || desk.parts.dials.get().weights.clone();
    let drained = desk.post("/api/pools/app/endpoints/10.0.0.1:1/drain", "").await;
    assert_eq!(
        drained,
        (200, json!({"pool": "app", "endpoint": "10.0.0.1:1", "weight": 0, "in_force": true}))
    );
    assert_eq!(weights(), [[0, 1]]);
    let (status, refused) = desk.post("/api/pools/app/endpoints/10.0.0.1:2/drain", "").await;
    assert_eq!(status, 409);
    assert!(refused["cure"].as_str().unwrap().contains("force=true"));
    assert_eq!(weights(), [[0, 1]]);
    assert_eq!(desk.post("/api/pools/app/endpoints/10.0.0.1:2/drain?force=true", "").await.0, 200);
    assert_eq!(weights(), [[0, 0]]);
    assert_eq!(desk.post("/api/pools/app/endpoints/10.0.0.1%3A1/resume", "").await.1["weight"], 3);
    assert_eq!(weights(), [[3, 0]]);
    assert_eq!(desk.post("/api/pools/app/endpoints/10.0.0.1:9/drain", "").await.0, 404);
    assert_eq!(desk.post("/api/pools/nope/endpoints/10.0.0.1:1/resume", "").await.0, 404);
    assert_eq!(desk.post("/api/pools/app/endpoints/10.0.0.1:1/drain?force=1", "").await.0, 400);
    assert_eq!(desk.post("/api/pools/app/endpoints/%ff/drain", "").await.0, 400);
}

#[tokio::test]
async fn the_only_healthy_endpoint_is_not_drained_because_a_dead_one_has_weight() {
    let desk = Desk::new().await;
    desk.parts.membership.publish(members([Health::Up, Health::Down(DownReason::Probe)]));
    assert_eq!(desk.post("/api/pools/app/endpoints/10.0.0.1:1/drain", "").await.0, 409);
    assert_eq!(desk.post("/api/pools/app/endpoints/10.0.0.1:2/drain", "").await.0, 200);
}

#[tokio::test]
async fn a_name_that_leads_here_from_elsewhere_is_refused() {
    let desk = Desk::new().await;
    for fields in ["Host: evil.example\r\n", "Host: localhost.evil.example\r\n", "", "Host: 10.0.0.1\r\n"] {
        // HTTP/1.0, for there a missing Host is no error of the codec's.
        let (status, _, body) = desk.send(&format!("GET /api/status HTTP/1.0\r\n{fields}\r\n")).await;
        assert_eq!(status, 403, "{fields}");
        assert!(body.contains("cure") && !body.contains("shop.example"));
    }
    let absolute = "GET http://evil.example/api HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(desk.send(absolute).await.0, 403);
    let twice = "GET /api HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert!([400, 403].contains(&desk.send(twice).await.0));
}

#[tokio::test]
async fn another_site_changes_nothing_not_even_one_of_this_machine() {
    let desk = Desk::new().await;
    let everything = r#"{"all":true}"#;
    let foreign = [
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
        "Origin: http://localhost:3000\r\n",
        "Origin: https://localhost\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
        "Origin: http://localhost\r\nSec-Fetch-Site: cross-site\r\n",
        "Origin: http://localhost\r\nOrigin: http://evil.example\r\n",
    ];
    for fields in foreign {
        assert_eq!(desk.ask("POST", "/api/purge", fields, everything).await.0, 403, "{fields}");
    }
    assert!(desk.edge.purged.lock().unwrap().is_empty());
    for fields in ["Origin: http://localhost\r\nSec-Fetch-Site: same-origin\r\n", "Sec-Fetch-Site: none\r\n"]
    {
        assert_eq!(desk.ask("POST", "/api/purge", fields, everything).await.0, 200, "{fields}");
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_what_there_is() {
    let desk = Desk::new().await;
    assert_eq!(desk.ask("GET", "/nothing", "", "").await.0, 404);
    assert_eq!(desk.ask("DELETE", "/api/purge", "", "").await.0, 405);
    assert_eq!(desk.ask("GET", "/api/purge", "", "").await.0, 405);
}

#[test]
fn a_socket_that_others_can_reach_is_not_taken() {
    let open_to_all = TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], 0))).unwrap();
    let error = Admin::from_listener(open_to_all).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("127.0.0.1"));
}
