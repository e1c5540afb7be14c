//! A control process as a whole, over real sockets: the test is its keeper and its edge. It starts, sees an endpoint
//! die and come back, goes on from what is in force, and ends.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tentpole_control::Process;
use tentpole_model::link::{
    Answer, FromControl, LinkDown, LinkUp, PUBLISHED_FILE, Question, SNAPSHOT_FILE, ToControl,
};
use tentpole_model::{
    Dials, DownReason, EdgeReport, Endpoint, EndpointReport, Fleet, Health, Instance, LastPublished, Launch,
    Member, Membership, Pool, PoolMembers, Snapshot, SnapshotFile,
};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// An endpoint's socket on a loopback address that no other test binds: none can take its port when it died.
fn endpoint(test: u8) -> TcpListener {
    let [.., high, low] = std::process::id().to_be_bytes();
    TcpListener::bind((IpAddr::from([127, 77 + test, high, low.max(1)]), 0)).unwrap()
}

fn snapshot(endpoints: &[SocketAddr]) -> Snapshot {
    let endpoint = |address: &SocketAddr| Endpoint {
        host: address.ip().to_string(),
        port: address.port(),
        ..Endpoint::default()
    };
    let pool = Pool {
        name: "app".into(),
        endpoints: endpoints.iter().map(endpoint).collect(),
        failures_max: 2,
        ..Pool::default()
    };
    Snapshot { pools: vec![pool], ..Snapshot::default() }
}

/// A control process on a thread, and its keeper's end of the channel.
struct Control {
    sender: Sender,
    receiver: Receiver,
    thread: JoinHandle<std::io::Result<ExitCode>>,
    admin: Option<SocketAddr>,
}

impl Control {
    /// Starts it with a link to this edge, if there is one.
    async fn start(state: &TempDir, endpoints: &[SocketAddr], admin: bool, edge: Option<&mut Edge>) -> Self {
        Self::with(state, &snapshot(endpoints), admin, Vec::new(), edge).await
    }

    async fn with(
        state: &TempDir,
        snapshot: &Snapshot,
        admin: bool,
        instances: Vec<Instance>,
        edge: Option<&mut Edge>,
    ) -> Self {
        let file = SnapshotFile::first(snapshot.clone(), 0);
        Self::with_file(state, &file, admin, instances, edge).await
    }

    async fn with_file(
        state: &TempDir,
        file: &SnapshotFile,
        admin: bool,
        instances: Vec<Instance>,
        edge: Option<&mut Edge>,
    ) -> Self {
        let text = serde_json::to_vec(file).unwrap();
        std::fs::write(state.path().join(SNAPSHOT_FILE), text).unwrap();
        let (here, there) = channel::pair().unwrap();
        let thread = std::thread::spawn(move || tentpole_control::run(there, Process::default()));
        let (sender, receiver) = channel::open(here).unwrap();
        let listener = admin.then(|| TcpListener::bind("127.0.0.1:0").unwrap());
        let admin = listener.as_ref().map(|listener| listener.local_addr().unwrap());
        let start = ToControl::Start { state: state.path().into(), admin: admin.is_some(), instances };
        sender.send(&start, listener.as_ref().map(AsFd::as_fd)).await.unwrap();
        if let Some(edge) = edge {
            let link = edge.link();
            sender.send(&ToControl::Link, Some(link.as_fd())).await.unwrap();
        }
        Self { sender, receiver, thread, admin }
    }

    async fn says(&mut self) -> FromControl {
        timeout(PATIENCE, self.receiver.receive()).await.unwrap().unwrap().expect("it goes on")
    }

    async fn ends(self) {
        self.sender.send(&ToControl::End, None).await.unwrap();
        let code = tokio::task::spawn_blocking(|| self.thread.join().unwrap().unwrap()).await.unwrap();
        assert_eq!(code, ExitCode::SUCCESS);
    }
}

/// The edge's end of the link.
struct Edge {
    sender: Sender,
    receiver: Receiver,
    other: Option<std::os::unix::net::UnixStream>,
    published: LastPublished,
}

impl Edge {
    async fn new(published: Option<LastPublished>) -> Self {
        let (here, there) = channel::pair().unwrap();
        let (sender, receiver) = channel::open(here).unwrap();
        sender
            .send(&LinkUp::Hello { pid: 1, snapshot: 1, published: published.clone() }, None)
            .await
            .unwrap();
        Self { sender, receiver, other: Some(there), published: published.unwrap_or_default() }
    }

    fn link(&mut self) -> std::os::unix::net::UnixStream {
        self.other.take().unwrap()
    }

    async fn reports(&self, endpoint: SocketAddr, failures_in_a_row: u32) {
        let authority = endpoint.to_string();
        let endpoint =
            EndpointReport { pool: "app".into(), authority, failures_in_a_row, ..Default::default() };
        let report = EdgeReport { endpoints: vec![endpoint], ..Default::default() };
        self.sender.send(&LinkUp::Report(Box::new(report)), None).await.unwrap();
    }

    /// Takes what control publishes and answers what it asks, until it is so.
    async fn until(&mut self, what: &str, is_so: impl Fn(&LastPublished) -> bool) {
        while !is_so(&self.published) {
            let next = timeout(PATIENCE, self.receiver.receive::<LinkDown>()).await;
            let next = next.unwrap_or_else(|_| panic!("never: {what}; there is {:?}", self.published));
            match next.unwrap().expect("it goes on") {
                LinkDown::Snapshot { file, membership, dials } => {
                    self.published = LastPublished::of(&file.snapshot, membership, dials);
                    self.sender.send(&LinkUp::SnapshotTaken(file.version), None).await.unwrap();
                }
                LinkDown::Membership { value, .. } => self.published.membership = value,
                LinkDown::Dials { value, .. } => self.published.dials = value,
                LinkDown::Forgive { number, .. } => {
                    self.sender.send(&LinkUp::Forgiven(number), None).await.unwrap();
                }
                // Nobody serves beside it.
                LinkDown::Beside { .. } | LinkDown::Passed { .. } | LinkDown::Heard { .. } => {}
                LinkDown::Ask { id, question } => {
                    let answer = match question {
                        Question::Report => Answer::Reported,
                        _ => Answer::Text("answered 1\n".into()),
                    };
                    self.sender.send(&LinkUp::Answer { id, answer }, None).await.unwrap();
                }
            }
        }
    }
}

impl Edge {
    /// Answers what control asks while something else goes on.
    async fn meanwhile<T>(&mut self, goes_on: impl Future<Output = T>) -> T {
        tokio::select! {
            done = goes_on => done,
            () = self.until("the end of it", |_| false) => unreachable!("nothing ends this"),
        }
    }
}

/// One endpoint that nobody asks.
fn nobody() -> [SocketAddr; 1] {
    [([127, 0, 0, 1], 1).into()]
}

fn healths(published: &LastPublished) -> Vec<Health> {
    published.membership.pools.iter().flat_map(|pool| &pool.members).map(|member| member.health).collect()
}

async fn get(address: SocketAddr, path: &str) -> String {
    let path = path.to_owned();
    let asked = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    asked.await.unwrap()
}

#[tokio::test]
async fn an_endpoint_that_fails_is_out_at_the_edge_and_in_the_status_until_it_answers() {
    let (first, second) = (endpoint(0), endpoint(0));
    let (address, other) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    let (state, mut edge) = (TempDir::new().unwrap(), Edge::new(None).await);
    let mut control = Control::start(&state, &[address, other], true, Some(&mut edge)).await;
    assert_eq!(control.says().await, FromControl::Ready);
    edge.until("up", |now| healths(now) == [Health::Up, Health::Up]).await;
    assert_eq!(edge.published.membership.pools[0].members[0].addresses, [address]);

    drop(first);
    edge.reports(address, 2).await;
    let down = Health::Down(DownReason::Failures);
    edge.until("out of traffic", |now| healths(now) == [down, Health::Up]).await;
    let admin = control.admin.unwrap();
    // It wants a report of this moment.
    let status = edge.meanwhile(get(admin, "/api/status")).await;
    assert!(status.contains(r#""health":"down","reason":"failures""#), "{status}");

    let _again = TcpListener::bind(address).unwrap();
    edge.until("back in traffic", |now| healths(now) == [Health::Up, Health::Up]).await;
    control.ends().await;
}

#[tokio::test]
async fn a_control_process_that_starts_again_changes_nothing_that_is_in_force() {
    let endpoints = [endpoint(1), endpoint(1), endpoint(1)];
    let addresses = endpoints.each_ref().map(|endpoint| endpoint.local_addr().unwrap());
    let member = |at: usize, health| Member { addresses: vec![addresses[at]], health, tier: 0 };
    let members =
        vec![member(0, Health::Up), member(1, Health::Down(DownReason::Failures)), member(2, Health::Up)];
    let published = LastPublished::of(
        &snapshot(&addresses),
        Membership { pools: vec![PoolMembers { members }] },
        Dials { weights: vec![vec![0, 1, 1]] },
    );
    let [_drained, died, _serves] = endpoints;
    drop(died);
    let (state, mut edge) = (TempDir::new().unwrap(), Edge::new(Some(published.clone())).await);
    let mut control = Control::start(&state, &addresses, false, Some(&mut edge)).await;
    assert_eq!(control.says().await, FromControl::Ready);
    let published_again = async {
        loop {
            match edge.receiver.receive::<LinkDown>().await.unwrap().unwrap() {
                LinkDown::Membership { value, .. } => assert_eq!(value, published.membership),
                LinkDown::Dials { value, .. } => assert_eq!(value, published.dials),
                // Says only how many other edges there are.
                LinkDown::Beside { others } => assert_eq!(others, 0),
                other => panic!("{other:?}"),
            }
        }
    };
    let _ = timeout(Duration::from_secs(1), published_again).await;
    control.ends().await;

    // The same with an edge that has left a file and is not there to say hello.
    let text = serde_json::to_vec(&published).unwrap();
    std::fs::write(state.path().join(PUBLISHED_FILE), text).unwrap();
    let mut control = Control::start(&state, &addresses, false, None).await;
    assert_eq!(control.says().await, FromControl::Ready);
    let mut edge = Edge::new(None).await;
    let link = edge.link();
    control.sender.send(&ToControl::Link, Some(link.as_fd())).await.unwrap();
    edge.until("the drain", |now| now.dials == published.dials).await;
    edge.until("who is down", |now| now.membership == published.membership).await;
    control.ends().await;
}

/// A pool of two slots, of which one instance is wanted.
fn fleet() -> Fleet {
    Fleet {
        launch: Launch { run: vec!["app".into(), "{port}".into()], directory: None, env: Vec::new() },
        min: 1,
        max: 2,
        cpus: 1.0,
        cpu_target: 0.7,
        requests_target: None,
        scale_in_window: Duration::from_secs(60),
        ready_path: "/".into(),
        start_time: PATIENCE,
        slow_start: Duration::ZERO,
        drain_time: Duration::from_secs(1),
        stop_time: Duration::from_secs(1),
    }
}

/// An instance as its program would be: answers everybody, for as long as the test runs.
fn serve(address: SocketAddr) {
    let listener = TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        }
    });
}

#[tokio::test]
async fn a_fleet_is_ready_with_its_first_instance_and_the_next_control_process_keeps_it() {
    let (state, mut edge) = (TempDir::new().unwrap(), Edge::new(None).await);
    let mut snapshot = snapshot(&[]);
    let slot = |number: u32| Endpoint { host: format!("app-{number}"), weight: 10, ..Endpoint::default() };
    snapshot.pools[0].endpoints = vec![slot(1), slot(2)];
    snapshot.pools[0].fleet = Some(fleet());
    let mut first = Control::with(&state, &snapshot, false, Vec::new(), Some(&mut edge)).await;
    let FromControl::StartInstance { instance, launch } = first.says().await else { panic!("no instance") };
    assert_eq!((instance.slot, &launch.run[1]), (0, &instance.address.port().to_string()));
    serve(instance.address);
    first.sender.send(&ToControl::Started { id: instance.id, pid: std::process::id() }, None).await.unwrap();
    let mut mark = String::new();
    loop {
        match first.says().await {
            FromControl::Mark { mark: word, .. } => mark = word,
            FromControl::Ready => break,
            other => panic!("{other:?}"),
        }
    }
    let stands = |now: &LastPublished| {
        let member = now.membership.pools.first().and_then(|pool| pool.members.first());
        member.is_some_and(|member| member.addresses == [instance.address] && member.health == Health::Up)
    };
    edge.until("where the instance stands", stands).await;
    edge.until("its weight", |now| now.dials.weights[0][0] == 10).await;
    while mark != "serving" {
        if let FromControl::Mark { mark: word, .. } = first.says().await {
            mark = word;
        }
    }
    first.ends().await;

    // The next one gets what the keeper kept, and what the edge has in force.
    let LastPublished { membership, dials, .. } = edge.published.clone();
    let published = LastPublished::of(&snapshot, membership, dials);
    let mut edge = Edge::new(Some(published.clone())).await;
    let kept = Instance { pid: Some(std::process::id()), mark, ..instance };
    let mut second = Control::with(&state, &snapshot, false, vec![kept], Some(&mut edge)).await;
    assert_eq!(second.says().await, FromControl::Ready, "no instance is started");
    let changes = async {
        loop {
            match edge.receiver.receive::<LinkDown>().await.unwrap().unwrap() {
                LinkDown::Membership { value, .. } => assert_eq!(value, published.membership),
                LinkDown::Dials { value, .. } => assert_eq!(value, published.dials),
                _ => {}
            }
        }
    };
    let _ = timeout(Duration::from_secs(2), changes).await;
    second.ends().await;
}

#[tokio::test]
async fn another_configuration_is_prepared_first_and_in_force_when_the_edge_has_it() {
    let endpoints = [endpoint(2), endpoint(2)];
    let [first, second] = endpoints.each_ref().map(|endpoint| endpoint.local_addr().unwrap());
    let (state, mut edge) = (TempDir::new().unwrap(), Edge::new(None).await);
    let mut control = Control::start(&state, &[first], true, Some(&mut edge)).await;
    assert_eq!(control.says().await, FromControl::Ready);
    assert_eq!(control.says().await, FromControl::InForce(1));
    edge.until("up", |now| healths(now) == [Health::Up]).await;

    let next = |version, endpoints: &[SocketAddr]| {
        Box::new(SnapshotFile { version, read_unix_ms: 0, snapshot: snapshot(endpoints) })
    };
    control.sender.send(&ToControl::Prepare(next(2, &[second])), None).await.unwrap();
    assert_eq!(control.says().await, FromControl::Prepared(2));
    // The keeper changed its mind, or was asked for yet another one.
    control.sender.send(&ToControl::Prepare(next(3, &[second, first])), None).await.unwrap();
    assert_eq!(control.says().await, FromControl::Prepared(3));
    assert!(timeout(Duration::from_millis(300), edge.until("", |now| now.names.len() == 9)).await.is_err());
    assert!(edge.published.names.is_empty(), "nothing was changed so far");

    control.sender.send(&ToControl::Commit(2), None).await.unwrap();
    control.sender.send(&ToControl::Prepare(next(4, &[second, first])), None).await.unwrap();
    assert_eq!(control.says().await, FromControl::Prepared(4), "what was not prepared last is not committed");
    control.sender.send(&ToControl::Commit(4), None).await.unwrap();
    edge.until("the new one", |now| healths(now) == [Health::Up, Health::Up]).await;
    assert_eq!(edge.published.membership.pools[0].members[0].addresses, [second]);
    assert_eq!(control.says().await, FromControl::InForce(4));
    let admin = control.admin.unwrap();
    let metrics = edge.meanwhile(get(admin, "/metrics")).await;
    assert!(metrics.contains("tentpole_snapshot_version 4"), "{metrics}");
    control.ends().await;
}

#[tokio::test]
async fn a_control_process_that_starts_with_a_newer_configuration_gives_it_to_the_edge() {
    let endpoints = [endpoint(3), endpoint(3)];
    let [first, second] = endpoints.each_ref().map(|endpoint| endpoint.local_addr().unwrap());
    let old = snapshot(&[first]);
    let member = Member { addresses: vec![first], health: Health::Up, tier: 0 };
    let membership = Membership { pools: vec![PoolMembers { members: vec![member] }] };
    // The edge has version 1, and a drain; the one that wrote version 2 died before it could give it on.
    let published = LastPublished::of(&old, membership, Dials { weights: vec![vec![0]] });
    let (state, mut edge) = (TempDir::new().unwrap(), Edge::new(Some(published)).await);
    let file = SnapshotFile { version: 2, read_unix_ms: 0, snapshot: snapshot(&[second, first]) };
    let mut control = Control::with_file(&state, &file, false, Vec::new(), Some(&mut edge)).await;
    assert_eq!(control.says().await, FromControl::Ready);
    edge.until("the new one", |now| healths(now) == [Health::Up, Health::Up]).await;
    assert_eq!(edge.published.dials.weights, [vec![1, 0]], "who was drained stays drained");
    assert_eq!(control.says().await, FromControl::InForce(2));
    control.ends().await;
}

#[tokio::test]
async fn without_an_edge_it_is_ready_all_the_same_and_its_api_says_that_there_is_none() {
    let state = TempDir::new().unwrap();
    let mut control = Control::start(&state, &nobody(), true, None).await;
    assert_eq!(control.says().await, FromControl::Ready);
    let admin = control.admin.unwrap();
    assert!(get(admin, "/healthz").await.contains("200 OK"));
    assert!(get(admin, "/metrics").await.contains("tentpole_edge_up 0"));
    assert!(get(admin, "/api/requests").await.contains("503 "));
    control.ends().await;
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_told_and_ends_it() {
    let state = TempDir::new().unwrap();
    let mut control = Control::start(&state, &nobody(), false, None).await;
    assert_eq!(control.says().await, FromControl::Ready);
    control.ends().await;

    let (here, there) = channel::pair().unwrap();
    let thread = std::thread::spawn(move || tentpole_control::run(there, Process::default()));
    let (sender, mut receiver) = channel::open(here).unwrap();
    let start = ToControl::Start { state: state.path().join("nowhere"), admin: false, instances: Vec::new() };
    sender.send(&start, None).await.unwrap();
    let said = timeout(PATIENCE, receiver.receive::<FromControl>()).await.unwrap().unwrap();
    assert!(matches!(said, Some(FromControl::Failed(why)) if why.contains("nowhere/snapshot.json")));
    assert_ne!(thread.join().unwrap().unwrap(), ExitCode::SUCCESS);
}

#[tokio::test]
async fn it_ends_at_once_when_the_keeper_is_gone_and_an_idle_connection_does_not_hold_up_its_end() {
    let state = TempDir::new().unwrap();
    let mut control = Control::start(&state, &nobody(), true, None).await;
    assert_eq!(control.says().await, FromControl::Ready);
    let _idle = TcpStream::connect(control.admin.unwrap()).unwrap();
    assert!(
        get(control.admin.unwrap(), "/healthz").await.contains("200 OK"),
        "the idle one is accepted by now"
    );
    let Control { sender, receiver, thread, .. } = control;
    drop((sender, receiver));
    tokio::task::spawn_blocking(|| thread.join().unwrap().unwrap()).await.unwrap();

    let mut control = Control::start(&state, &nobody(), true, None).await;
    assert_eq!(control.says().await, FromControl::Ready);
    let _idle = TcpStream::connect(control.admin.unwrap()).unwrap();
    assert!(get(control.admin.unwrap(), "/healthz").await.contains("200 OK"));
    timeout(PATIENCE, control.ends()).await.unwrap();
}
