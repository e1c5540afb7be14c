//! The admin API over real sockets: each call, and everyone who does not belong there.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tentpole_admin::{Admin, AdminParts};
use tentpole_model::{
    AccessLog, Balance, CacheOutcome, CacheSettings, Canonical, Dials, DownReason, Endpoint, Health,
    HostPattern, LogSettings, Member, Membership, Pool, PoolId, PoolMembers, PurgeError, PurgePort, Purged,
    QueueSettings, Route, RouteCache, RouteId, Scheme, Site, SiteId, Snapshot, UpstreamTimeouts,
    VisitorLimits, Why,
};
use tentpole_observe::{Drain, Names, Observed, Texts};
use tentpole_runtime::{Cells, Ledger, Published};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Remembers what it was asked to purge.
#[derive(Default)]
struct Cache(Mutex<Vec<String>>);

impl PurgePort for Cache {
    fn purge_url(&self, url: &str) -> Result<Purged, PurgeError> {
        if !url.starts_with("http://") {
            return Err(PurgeError::NotAnUrl);
        }
        if !url.starts_with("http://shop.example/") {
            return Err(PurgeError::NoSuchSite);
        }
        self.0.lock().unwrap().push(url.into());
        Ok(Purged { objects: 2, fills: 1 })
    }

    fn purge_all(&self) -> Purged {
        self.0.lock().unwrap().push("all".into());
        Purged { objects: 40, fills: 0 }
    }
}

struct Desk {
    address: SocketAddr,
    parts: AdminParts,
    cache: Arc<Cache>,
    _serving: JoinSet<()>,
}

fn snapshot() -> Snapshot {
    let endpoint = |port, weight| Endpoint {
        scheme: Scheme::Http,
        host: "10.0.0.1".into(),
        port,
        weight,
        requests_max: None,
        connections_max: None,
    };
    Snapshot {
        listen: Vec::new(),
        admin: None,
        threads: None,
        sites: vec![Site {
            name: "shop".into(),
            hosts: vec![HostPattern::Exact("shop.example".into()), HostPattern::Below("shop.example".into())],
            canonical: Canonical::Redirect,
            merge_slashes: true,
            routes: vec![Route {
                path: "/*".into(),
                pool: PoolId(0),
                swallow_segments: false,
                cache: RouteCache::Standard,
                body_bytes_max: 1 << 20,
            }],
        }],
        pools: vec![Pool {
            name: "app".into(),
            endpoints: vec![endpoint(1, 3), endpoint(2, 1)],
            balance: Balance::RoundRobin,
            health: None,
            fleet: None,
            failures_max: 5,
            timeouts: UpstreamTimeouts::default(),
            queue: QueueSettings::default(),
        }],
        visitors: VisitorLimits::default(),
        cache: CacheSettings::default(),
        log: LogSettings { access: AccessLog::Off, file: None },
    }
}

fn members(health: [Health; 2]) -> Membership {
    let member = |health| Member { addresses: vec![SocketAddr::from(([10, 0, 0, 1], 1))], health };
    Membership { pools: vec![PoolMembers { members: health.map(member).into() }] }
}

impl Desk {
    async fn new() -> Self {
        let snapshot = Arc::new(snapshot());
        let cache = Arc::new(Cache::default());
        let parts = AdminParts {
            membership: Published::new(members([Health::Up, Health::Up])),
            dials: Published::new(Dials::from_snapshot(&snapshot)),
            cells: Cells::new(),
            observed: Observed::new(&snapshot.log),
            ledger: Ledger::new(1_000),
            purge: cache.clone(),
            snapshot,
        };
        let admin = Admin::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let address = admin.address();
        let mut serving = JoinSet::new();
        serving.spawn({
            let parts = parts.clone();
            async move { admin.serve(parts, std::future::pending()).await.unwrap() }
        });
        Self { address, parts, cache, _serving: serving }
    }

    /// Sends these bytes; returns status, header and body of the answer.
    async fn send(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.into())
    }

    async fn ask(&self, method: &str, path: &str, fields: &str, body: &str) -> (u16, Value) {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n\
             {fields}\r\n{body}"
        );
        let (status, head, body) = self.send(&request).await;
        assert!(head.contains("cache-control: no-store") && head.contains("nosniff"), "{head}");
        assert!(!head.contains("access-control"), "no CORS");
        let body: Value = serde_json::from_str(&body).expect(&body);
        if status >= 400 {
            for part in ["error", "cure"] {
                assert!(body[part].as_str().is_some_and(|text| !text.is_empty()), "{body}");
            }
        }
        (status, body)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "", "").await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.ask("POST", path, "", body).await
    }
}

#[tokio::test]
async fn the_list_names_every_call_and_each_is_there() {
    let desk = Desk::new().await;
    let calls = desk.get("/api").await["calls"].as_array().unwrap().clone();
    assert_eq!(calls.len(), 8);
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
    let cell = desk.parts.cells.of("app", "10.0.0.1:2");
    cell.failed();
    cell.in_flight.store(7, std::sync::atomic::Ordering::Relaxed);
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
}

#[tokio::test]
async fn the_last_requests_are_told_with_their_why() {
    let desk = Desk::new().await;
    let (_metrics, mut recorder) = desk.parts.observed.register();
    for n in 0..3 {
        let why = Why {
            arrived_unix_us: n,
            status: 200,
            cache: CacheOutcome::Hit,
            site: Some(SiteId(0)),
            route: Some(RouteId(0)),
            ..Why::new()
        };
        let target = format!("/{n}");
        recorder.record(&why, Some(&Texts { target: target.as_bytes(), ..Texts::default() }));
    }
    let names = Names::new(desk.parts.snapshot.clone(), desk.parts.cells.clone());
    Drain::start(desk.parts.observed.clone(), names).unwrap().stop();
    let requests = desk.get("/api/requests?limit=2").await["requests"].as_array().unwrap().clone();
    let targets: Vec<_> = requests.iter().map(|request| request["target"].as_str().unwrap()).collect();
    assert_eq!(targets, ["/2", "/1"]);
    assert_eq!((&requests[0]["cache"], &requests[0]["pool"]), (&json!("hit"), &json!("app")));
    assert_eq!(desk.get("/api/requests").await["requests"].as_array().unwrap().len(), 3);
    assert_eq!(desk.ask("GET", "/api/requests?limit=many", "", "").await.0, 400);
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
    ] {
        assert_eq!(desk.post("/api/purge", bad).await.0, 400, "{bad}");
    }
    assert_eq!(desk.post("/api/purge", r#"{"url":"/p/1"}"#).await.0, 400);
    assert_eq!(desk.post("/api/purge", r#"{"url":"http://other.example/"}"#).await.0, 404);
    let long = format!(r#"{{"url":"http://shop.example/{}"}}"#, "x".repeat(64 << 10));
    assert_eq!(desk.post("/api/purge", &long).await.0, 413);
    assert_eq!(*desk.cache.0.lock().unwrap(), ["http://shop.example/p/1", "all"]);
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
async fn metrics_come_as_prometheus_text() {
    let desk = Desk::new().await;
    let (metrics, _recorder) = desk.parts.observed.register();
    metrics.record(&Why { cache: CacheOutcome::Hit, status: 200, ..Why::new() });
    let request = "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:9\r\nConnection: close\r\n\r\n";
    let (status, head, body) = desk.send(request).await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
    for line in [
        "tentpole_requests_total{cache=\"hit\"} 1",
        "tentpole_endpoint_weight{pool=\"app\",endpoint=\"10.0.0.1:1\"} 3",
        "tentpole_memory_max_bytes 1000",
    ] {
        assert!(body.lines().any(|there| there == line), "{line}");
    }
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
    assert!(desk.cache.0.lock().unwrap().is_empty());
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

#[tokio::test]
async fn an_address_that_others_can_reach_is_not_bound() {
    let error = Admin::bind(SocketAddr::from(([0, 0, 0, 0], 0))).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("127.0.0.1"));
}
