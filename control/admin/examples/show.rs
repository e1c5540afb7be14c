//! Shows the console before a made-up event: a load that rises and falls, a fleet that follows it, errors, and an edge
//! that is away for some seconds. For working on the pages: it reads them from the directories given.
//!
//! `cargo run -p tentpole-admin --example show -- 127.0.0.1:9900 console/src console/charts/src`

#![allow(clippy::unwrap_used, reason = "a program to look at things ends when something is not there")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_admin::{Admin, AdminParts, EventKind, Events, Page};
use tentpole_model::link::{Answer, Question};
use tentpole_model::{
    Canonical, Dials, DownReason, EdgeGone, EdgePort, EdgeReport, Endpoint, EndpointReport, Fleet,
    FleetDecision, FleetStatus, Health, InstanceId, InstancePhase, InstanceStatus, Launch, Member,
    Membership, Pool, PoolMembers, Purged, Route, Site, Snapshot,
};
use tentpole_runtime::{Published, clock};

/// Ticks of a second.
const TICKS: u64 = 5;
/// Seconds until everything begins again.
const CYCLE_S: f64 = 300.0;
/// Requests per second that an instance carries at a CPU share of 1.
const CARRIES: f64 = 260.0;
const SLOTS: u32 = 8;

struct Edge(Mutex<Option<Arc<EdgeReport>>>);

impl EdgePort for Edge {
    fn ask(&self, question: Question) -> Result<Answer, EdgeGone> {
        self.report().ok_or(EdgeGone)?;
        Ok(match question {
            Question::Metrics => Answer::Text("# made up\n".into()),
            Question::Requests { .. } => Answer::Text("{\"requests\":[]}".into()),
            Question::Report => Answer::Reported,
            Question::Rooms(_) => Answer::Text("{\"rooms\":[]}".into()),
            Question::CacheAdvice => Answer::Text("{\"rules\":[]}".into()),
            Question::Purge(_) | Question::PurgeBeside { .. } => {
                Answer::Purged(Ok(Purged { objects: 3, fills: 0 }))
            }
        })
    }

    fn report(&self) -> Option<Arc<EdgeReport>> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, directories @ ..] = arguments.as_slice() else {
        panic!("say where to listen and where the pages lie: 127.0.0.1:9900 console/src console/charts/src")
    };
    let admin = Admin::from_listener(TcpListener::bind(address).unwrap()).unwrap();
    let snapshot = Arc::new(snapshot());
    let edge = Arc::new(Edge(Mutex::new(None)));
    let parts = AdminParts {
        membership: Published::new(Membership::default()),
        dials: Published::new(Dials::from_snapshot(&snapshot)),
        health: Published::new(tentpole_model::HealthDetails::default()),
        edge: edge.clone(),
        fleets: Published::new(Vec::new()),
        events: Arc::new(Events::new()),
        version: (1, 1_700_000_000_000),
        reload: None,
        upgrade: None,
        restarts: None,
        relay: None,
        names: None,
        pages: directories.iter().flat_map(|directory| pages(Path::new(directory))).collect(),
        snapshot,
    };
    println!("http://{}/", admin.address());
    let story = Story::new(parts.clone());
    tokio::join!(story.go_on(edge), async {
        admin.serve(Published::new(parts), std::future::pending()).await.unwrap()
    });
}

/// The files of a directory that a browser knows, kept until the end.
fn pages(directory: &Path) -> Vec<Page> {
    let leak = |text: String| -> &'static str { Box::leak(text.into_boxed_str()) };
    let files = std::fs::read_dir(directory).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        let content_type = match path.extension()?.to_str()? {
            "html" => "text/html; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "js" => "text/javascript; charset=utf-8",
            _ => return None,
        };
        let name = path.file_name()?.to_str()?;
        let place = if name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let body: &'static [u8] = Box::leak(std::fs::read(&path).unwrap().into_boxed_slice());
        Some(Page { path: leak(place), content_type, body })
    });
    files.collect()
}

/// How it goes.
struct Story {
    parts: AdminParts,
    tick: u64,
    total: EdgeReport,
    fleet: FleetStatus,
    changed: u64,
}

impl Story {
    fn new(parts: AdminParts) -> Self {
        let fleet = FleetStatus {
            pool: "shop".into(),
            min: 2,
            max: SLOTS,
            wanted: 2,
            cpu_target: 0.7,
            ..FleetStatus::default()
        };
        let mut story = Self { parts, tick: 0, total: EdgeReport::default(), fleet, changed: 0 };
        story.start_edge();
        story.resize(2, "two are the fewest");
        story
    }

    async fn go_on(mut self, edge: Arc<Edge>) {
        let mut each = tokio::time::interval(Duration::from_millis(1_000 / TICKS));
        loop {
            each.tick().await;
            self.tick += 1;
            let second = self.tick / TICKS % CYCLE_S as u64;
            let is_away = (205..211).contains(&second);
            if second == 205 && self.tick.is_multiple_of(TICKS) {
                self.parts.events.restarted("edge", "signal 9 (SIGKILL)");
                self.start_edge();
            }
            self.steer();
            if !is_away {
                self.serve();
                *edge.0.lock().unwrap() = Some(Arc::new(self.total.clone()));
            }
            self.publish(second);
        }
    }

    fn start_edge(&mut self) {
        self.total = EdgeReport { started_unix_ms: now_ms(), memory_max: 256 << 20, ..EdgeReport::default() };
        let endpoint = |pool: &str, authority: String| EndpointReport {
            pool: pool.into(),
            authority,
            ..EndpointReport::default()
        };
        let slots = (1..=SLOTS).map(|slot| endpoint("shop", format!("shop-{slot}")));
        let fixed = ["10.0.0.11:8000", "10.0.0.12:8000"].map(|name| endpoint("search", name.into()));
        self.total.endpoints = slots.chain(fixed).collect();
    }

    /// Seconds since the story began.
    fn time(&self) -> f64 {
        self.tick as f64 / TICKS as f64
    }

    fn demand(&self) -> f64 {
        let (t, whole) = (self.time() % CYCLE_S, self.time());
        let rise = 1.0 / (1.0 + (-(t - 70.0) / 8.0).exp()) - 1.0 / (1.0 + (-(t - 250.0) / 12.0).exp());
        let wiggle =
            1.0 + 0.05 * (whole * 1.7).sin() + 0.04 * (whole * 0.61).sin() + 0.03 * (whole * 5.3).cos();
        (420.0 + 2_600.0 * rise) * wiggle
    }

    fn serving(&self) -> usize {
        self.fleet.instances.iter().filter(|instance| instance.phase == InstancePhase::Serving).count()
    }

    /// One tick of traffic.
    fn serve(&mut self) {
        let requests = self.demand() / TICKS as f64;
        let hits = requests * (0.62 + 0.08 * (self.time() / 40.0).sin());
        let load = (requests - hits) * TICKS as f64 / (self.serving().max(1) as f64 * CARRIES);
        let failing = ((load - 1.05) * 0.25).clamp(0.0, 0.4) + 0.0005;
        let queued = ((load - 0.95).max(0.0) * 300.0) as u32;
        let misses = requests - hits;
        let total = &mut self.total;
        total.at_unix_ms = now_ms();
        total.requests += requests as u64;
        let bad = misses * failing;
        total.classes[5] += bad.round() as u64;
        total.classes[4] += (requests * 0.01).round() as u64;
        total.classes[3] += (requests * 0.05).round() as u64;
        total.classes[2] += (requests * 0.94 - bad) as u64;
        add(&mut total.cache, "hit", hits as u64);
        add(&mut total.cache, "stale", (hits * 0.004 + bad) as u64);
        add(&mut total.cache, "stored", (misses * 0.3) as u64);
        add(&mut total.cache, "bypass", (misses * 0.7) as u64);
        add(&mut total.refused, "queue_full", (bad * 0.6) as u64);
        total.retries += (bad * 0.2).round() as u64;
        total.connections_open = (self.fleet.wanted as f64 * 40.0 + requests * 9.0) as u64;
        total.connections_accepted += (requests * 0.2) as u64;
        total.bytes_out += (requests * 14_000.0) as u64;
        total.cpu_us += (requests * 45.0) as u64;
        add(&mut total.refused, "queue_timeout", (bad * 0.2) as u64);
        add(&mut total.refused, "no_route", (requests * 0.01).round() as u64);
        total.queued = vec![queued, 0];
        total.waited += u64::from(queued) / 8;
        total.memory = vec![("cache".into(), 90 << 20), ("buffers".into(), (requests * 9_000.0) as u64)];
        let slow = 24_000.0 * (1.0 + 1.2 * load.min(1.6).powi(3));
        for (factor, part) in
            [(0.5, 0.1), (0.8, 0.25), (1.0, 0.3), (1.4, 0.2), (2.2, 0.1), (4.0, 0.04), (9.0, 0.01)]
        {
            count(&mut total.durations, slow * factor, (misses * part).round() as u64);
            count(&mut total.durations, 320.0 * factor, (hits * part).round() as u64);
        }
        for instance in &mut self.fleet.instances {
            let works = matches!(instance.phase, InstancePhase::Serving | InstancePhase::WarmingUp);
            let wiggle = 1.0 + 0.12 * (self.tick as f64 / 7.0 + instance.id.0 as f64).sin();
            let share = if works { instance.weight_share * load.min(1.1) * wiggle } else { 0.0 };
            instance.cpu_share = (instance.phase != InstancePhase::Starting).then_some(share.min(1.0));
            instance.in_flight = (share * 22.0) as u32;
            let Some(known) = total.endpoints.iter_mut().find(|known| known.authority == instance.name)
            else {
                continue;
            };
            known.requests += (share * CARRIES / TICKS as f64) as u64;
            known.errors_5xx += (share * failing * CARRIES / TICKS as f64) as u64;
            known.in_flight = instance.in_flight;
        }
        total.endpoints[SLOTS as usize].requests += 11;
        total.endpoints[SLOTS as usize].in_flight = 3;
        self.fleet.cpu_share = Some(load.min(1.0));
    }

    /// The fleet follows its CPU share; instances grow up and go.
    fn steer(&mut self) {
        for instance in &mut self.fleet.instances {
            let age = (now_ms() - instance.started_unix_ms) / 1_000;
            match instance.phase {
                InstancePhase::Starting if age > 4 => instance.phase = InstancePhase::WarmingUp,
                InstancePhase::WarmingUp if age > 14 => instance.phase = InstancePhase::Serving,
                _ => {}
            }
            instance.weight_share = match instance.phase {
                InstancePhase::Starting | InstancePhase::Draining | InstancePhase::Stopping => 0.0,
                InstancePhase::WarmingUp => (age - 4) as f64 / 10.0,
                InstancePhase::Serving => 1.0,
            };
        }
        let since = (self.tick - self.changed) / TICKS;
        let (share, wanted) = (self.fleet.cpu_share.unwrap_or(0.0), self.fleet.wanted);
        if since == 6 && self.tick.is_multiple_of(TICKS) {
            self.fleet.instances.retain(|instance| instance.phase != InstancePhase::Draining);
        }
        if share > 0.7 && since > 8 && wanted < SLOTS {
            let why = format!("CPU {:.0} % is above 70 %: two more", share * 100.0);
            self.resize((wanted + 2).min(SLOTS), &why);
        } else if share < 0.45 && since > 25 && wanted > self.fleet.min {
            let why = format!("CPU {:.0} % for 25 s: {} carry that below 70 %", share * 100.0, wanted - 1);
            self.resize(wanted - 1, &why);
        }
    }

    fn resize(&mut self, to: u32, why: &str) {
        let from = self.fleet.wanted;
        (self.fleet.wanted, self.changed) = (to, self.tick);
        let decision = FleetDecision { at_unix_ms: now_ms(), from, to, why: why.into() };
        self.fleet.decisions.push(decision);
        self.parts.events.add(EventKind::Fleet, format!("shop: {from} to {to} instances, {why}"));
        for slot in 1..=to {
            let name = format!("shop-{slot}");
            if self.fleet.instances.iter().all(|instance| instance.name != name) {
                self.fleet.instances.push(InstanceStatus {
                    id: InstanceId(u64::from(slot)),
                    name,
                    phase: InstancePhase::Starting,
                    address: SocketAddr::from(([127, 0, 0, 1], 31_000 + slot as u16)),
                    pid: Some(4_000 + slot),
                    started_unix_ms: now_ms(),
                    cpu_share: None,
                    in_flight: 0,
                    weight_share: 0.0,
                });
            }
        }
        for instance in self.fleet.instances.iter_mut().skip(to as usize) {
            instance.phase = InstancePhase::Draining;
        }
    }

    fn publish(&self, second: u64) {
        self.parts.fleets.publish(vec![self.fleet.clone()]);
        let member = |address, health| Member { addresses: vec![address], health, tier: 0 };
        let mut slots =
            vec![
                Member { addresses: Vec::new(), health: Health::Down(DownReason::NoAddress), tier: 0 };
                SLOTS as usize
            ];
        for (slot, instance) in slots.iter_mut().zip(&self.fleet.instances) {
            *slot = member(instance.address, Health::Up);
        }
        let is_down = (120..160).contains(&second);
        if self.tick.is_multiple_of(TICKS) && [120, 160].contains(&second) {
            let how = if is_down { "is down: 3 probes failed" } else { "is up again" };
            self.parts.events.add(EventKind::Health, format!("search: 10.0.0.12:8000 {how}"));
        }
        let second_one = if is_down { Health::Down(DownReason::Probe) } else { Health::Up };
        let fixed = vec![
            member(SocketAddr::from(([10, 0, 0, 11], 8_000)), Health::Up),
            member(SocketAddr::from(([10, 0, 0, 12], 8_000)), second_one),
        ];
        let pools = vec![PoolMembers { members: slots }, PoolMembers { members: fixed }];
        self.parts.membership.publish(Membership { pools });
    }
}

fn now_ms() -> u64 {
    clock::now().unix_us() / 1_000
}

fn add(counts: &mut Vec<(String, u64)>, word: &str, more: u64) {
    match counts.iter_mut().find(|(known, _)| known == word) {
        Some((_, count)) => *count += more,
        None => counts.push((word.into(), more)),
    }
}

/// Counts values into the bucket that ends above them: four to each power of two.
fn count(durations: &mut Vec<(u64, u64)>, us: f64, more: u64) {
    let us = us as u64;
    let width = 1u64 << us.max(1).ilog2().saturating_sub(2);
    let upper = (us / width + 1) * width;
    match durations.binary_search_by_key(&upper, |(upper, _)| *upper) {
        Ok(at) => durations[at].1 += more,
        Err(at) => durations.insert(at, (upper, more)),
    }
}

fn snapshot() -> Snapshot {
    let endpoint = |host: &str, port| Endpoint { host: host.into(), port, ..Endpoint::default() };
    let pool = |name: &str, endpoints, fleet| Pool {
        name: name.into(),
        endpoints,
        fleet,
        failures_max: 5,
        ..Pool::default()
    };
    let fleet = Fleet {
        launch: Launch { run: vec!["shop".into()], directory: None, env: Vec::new() },
        min: 2,
        max: SLOTS,
        cpus: 1.0,
        cpu_target: 0.7,
        requests_target: None,
        scale_in_window: Duration::from_secs(25),
        ready_path: "/".into(),
        start_time: Duration::from_secs(30),
        slow_start: Duration::from_secs(10),
        drain_time: Duration::from_secs(6),
        stop_time: Duration::from_secs(5),
    };
    let slots = (1..=SLOTS).map(|slot| endpoint(&format!("shop-{slot}"), 0)).collect();
    let in_zone = |host: &str, zone: &str| Endpoint { zone: Some(zone.into()), ..endpoint(host, 8_000) };
    let fixed = vec![in_zone("10.0.0.11", "eu-central-1a"), in_zone("10.0.0.12", "eu-central-1b")];
    Snapshot {
        sites: vec![Site {
            name: "shop".into(),
            canonical: Canonical::Redirect,
            merge_slashes: true,
            routes: vec![Route { body_bytes_max: 1 << 20, ..Route::default() }],
            ..Site::default()
        }],
        pools: vec![pool("shop", slots, Some(fleet)), pool("search", fixed, None)],
        ..Snapshot::default()
    }
}
