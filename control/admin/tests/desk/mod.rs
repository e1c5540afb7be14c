//! A desk to sit at: the admin API on a real socket, before an edge that does what the test says.

use serde_json::{Value, json};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use tentpole_admin::{Admin, AdminParts, Events, Page};
use tentpole_model::link::{Answer, Question};
use tentpole_model::{
    Balance, CacheFigures, Canonical, CertificateEnd, Dials, EdgeGone, EdgePort, EdgeReport, Endpoint,
    EndpointReport, FilterFigures, Health, HostPattern, Member, Membership, MemoryFigures, Pool, PoolMembers,
    PurgeError, PurgeRecord, PurgeWhat, Purged, PurgedBy, Route, ScreenFigures, Site, Snapshot,
};
use tentpole_runtime::{Published, clock};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// An edge that remembers what it was asked to purge, and can be away.
#[derive(Default)]
pub struct Edge {
    pub purged: Mutex<Vec<String>>,
    pub report: Mutex<Option<Arc<EdgeReport>>>,
    pub is_away: Mutex<bool>,
}

impl EdgePort for Edge {
    fn ask(&self, question: Question) -> Result<Answer, EdgeGone> {
        if *self.is_away.lock().unwrap() {
            return Err(EdgeGone);
        }
        let purge = |what: &str, purged: Purged| {
            self.purged.lock().unwrap().push(what.into());
            Answer::Purged(Ok(purged))
        };
        Ok(match question {
            Question::Report => Answer::Reported,
            Question::Metrics => {
                Answer::Text("# TYPE tentpole_uptime_seconds gauge\ntentpole_uptime_seconds 5".into())
            }
            Question::Requests { limit } => Answer::Text(json!({"requests": [], "limit": limit}).to_string()),
            Question::Rooms(_) => Answer::Text("{\"rooms\":[]}".into()),
            Question::CacheAdvice => Answer::Text("{\"rules\":[]}".into()),
            Question::PurgeBeside { .. } => Answer::Purged(Ok(Purged::default())),
            Question::Purge(order) => match order.what {
                PurgeWhat::Url(url) if !url.starts_with("http://") => {
                    Answer::Purged(Err(PurgeError::NotAnUrl))
                }
                PurgeWhat::Url(url) if !url.starts_with("http://shop.example/") => {
                    Answer::Purged(Err(PurgeError::NoSuchSite))
                }
                PurgeWhat::Url(url) => purge(&url, Purged { objects: 2, fills: 1 }),
                PurgeWhat::All => purge("all", Purged { objects: 40, fills: 0 }),
                other => {
                    let how = if order.soft { "soft" } else { "hard" };
                    purge(&format!("{how} {other:?}"), Purged::default())
                }
            },
        })
    }

    fn report(&self) -> Option<Arc<EdgeReport>> {
        self.report.lock().unwrap().clone()
    }
}

impl Edge {
    /// Counts on: `requests` more, as a report made just now.
    pub fn counts(&self, started_unix_ms: u64, requests: u64) {
        let endpoint = EndpointReport {
            pool: "app".into(),
            authority: "10.0.0.1:2".into(),
            in_flight: 7,
            requests,
            failures: 1,
            ..EndpointReport::default()
        };
        let report = EdgeReport {
            started_unix_ms,
            at_unix_ms: clock::now().unix_us() / 1_000,
            requests,
            connections_open: 12,
            durations: vec![(1_280, requests)],
            queued: vec![3],
            endpoints: vec![endpoint],
            cache: vec![("hit".into(), requests / 2), ("stored".into(), 1), ("stale".into(), 0)],
            figures: CacheFigures {
                memory: MemoryFigures { objects: 9, bytes: 4_096, ..MemoryFigures::default() },
                screen: ScreenFigures {
                    filters: vec![FilterFigures {
                        name: "login".into(),
                        matched: 9,
                        refused: 4,
                        reported: 0,
                    }],
                    ..ScreenFigures::default()
                },
                purges_recent: vec![PurgeRecord {
                    at_unix_ms: started_unix_ms,
                    by: PurgedBy::Learning,
                    what: "shop.example/a".into(),
                    why: Some("it sets a cookie".into()),
                    soft: false,
                    objects: 2,
                }],
                ..CacheFigures::default()
            },
            certificates: vec![CertificateEnd {
                host: "shop.example".into(),
                file: "/shop.pem".into(),
                ends_unix_s: 7,
            }],
            ..EdgeReport::default()
        };
        *self.report.lock().unwrap() = Some(Arc::new(report));
    }
}

pub struct Desk {
    pub address: SocketAddr,
    pub parts: AdminParts,
    pub edge: Arc<Edge>,
    _serving: JoinSet<()>,
}

fn snapshot() -> Snapshot {
    let endpoint = |port, weight| Endpoint { host: "10.0.0.1".into(), port, weight, ..Endpoint::default() };
    Snapshot {
        sites: vec![Site {
            name: "shop".into(),
            hosts: vec![HostPattern::Exact("shop.example".into()), HostPattern::Below("shop.example".into())],
            canonical: Canonical::Redirect,
            merge_slashes: true,
            routes: vec![Route { body_bytes_max: 1 << 20, ..Route::default() }],
            ..Site::default()
        }],
        pools: vec![Pool {
            name: "app".into(),
            endpoints: vec![endpoint(1, 3), endpoint(2, 1)],
            balance: Balance::RoundRobin,
            failures_max: 5,
            ..Pool::default()
        }],
        ..Snapshot::default()
    }
}

pub fn members(health: [Health; 2]) -> Membership {
    let member = |health| Member { addresses: vec![SocketAddr::from(([10, 0, 0, 1], 1))], health, tier: 0 };
    Membership { pools: vec![PoolMembers { members: health.map(member).into() }] }
}

fn listener() -> TcpListener {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

impl Desk {
    pub async fn new() -> Self {
        let edge = Arc::new(Edge::default());
        Self::before(edge.clone(), edge).await
    }

    /// A desk before another edge than `edge`.
    pub async fn before(edge: Arc<Edge>, port: Arc<dyn EdgePort>) -> Self {
        let snapshot = Arc::new(snapshot());
        let page = |path, content_type, body| Page { path, content_type, body };
        let parts = AdminParts {
            membership: Published::new(members([Health::Up, Health::Up])),
            dials: Published::new(Dials::from_snapshot(&snapshot)),
            health: Published::new(tentpole_model::HealthDetails::default()),
            edge: port,
            fleets: Published::new(Vec::new()),
            events: Arc::new(Events::new()),
            version: (1, 1_700_000_000_000),
            reload: None,
            upgrade: None,
            restarts: None,
            relay: None,
            names: None,
            pages: vec![
                page("/", "text/html; charset=utf-8", b"<!doctype html>".as_slice()),
                page("/console.js", "text/javascript; charset=utf-8", b"'use strict'".as_slice()),
            ],
            snapshot,
        };
        let admin = Admin::from_listener(listener()).unwrap();
        let address = admin.address();
        let mut serving = JoinSet::new();
        serving.spawn({
            let parts = Published::new(parts.clone());
            async move { admin.serve(parts, std::future::pending()).await.unwrap() }
        });
        Self { address, parts, edge, _serving: serving }
    }

    /// Sends these bytes; returns status, header and body of the answer.
    pub async fn send(&self, request: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head[9..12].parse().unwrap(), head.to_ascii_lowercase(), body.into())
    }

    pub async fn ask(&self, method: &str, path: &str, fields: &str, body: &str) -> (u16, Value) {
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

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask("GET", path, "", "").await;
        assert_eq!(status, 200, "{body}");
        body
    }

    pub async fn post(&self, path: &str, body: &str) -> (u16, Value) {
        self.ask("POST", path, "", body).await
    }
}
