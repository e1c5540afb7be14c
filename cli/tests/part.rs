//! The edge's process, with the test as its keeper and its control process: what it needs to open its doors, what it
//! does without them, and how it ends.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;
use tempfile::TempDir;
use tentpole_model::link::{FromEdge, LinkDown, LinkUp, SNAPSHOT_FILE, ToEdge};
use tentpole_model::{
    Canonical, Endpoint, Health, Member, Membership, Pool, PoolMembers, Route, RouteCache, Site, Snapshot,
    SnapshotFile,
};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// A running edge process; killed when dropped.
struct Edge {
    child: Child,
    sender: Sender,
    receiver: Receiver,
    /// Kept open as the keeper keeps it.
    listener: TcpListener,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Edge {
    /// Starts one on this listener, or on a new one, and gives it everything but a link.
    async fn start(state: &TempDir, endpoint: SocketAddr, listener: Option<TcpListener>) -> Self {
        let text = serde_json::to_vec(&SnapshotFile::first(snapshot(endpoint), 0)).unwrap();
        std::fs::write(state.path().join(SNAPSHOT_FILE), text).unwrap();
        let (here, there) = channel::pair().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_tentpole"))
            .args(["part", "edge"])
            .stdin(OwnedFd::from(there))
            .spawn()
            .unwrap();
        let (sender, receiver) = channel::open(here).unwrap();
        let listener = listener.unwrap_or_else(|| TcpListener::bind("127.0.0.1:0").unwrap());
        sender.send(&ToEdge::Listener { thread: 0 }, Some(listener.as_fd())).await.unwrap();
        sender.send(&ToEdge::Start { state: state.path().into() }, None).await.unwrap();
        Self { child, sender, receiver, listener }
    }

    async fn says(&mut self) -> FromEdge {
        timeout(PATIENCE, self.receiver.receive()).await.unwrap().unwrap().expect("it goes on")
    }

    /// A link; what the edge's hello says is checked by whoever wants to.
    async fn link(&self) -> (Sender, Receiver) {
        let (here, there) = channel::pair().unwrap();
        self.sender.send(&ToEdge::Link, Some(there.as_fd())).await.unwrap();
        drop(there);
        channel::open(here).unwrap()
    }

    async fn knows(&self, endpoint: SocketAddr) -> (Sender, Receiver) {
        let (sender, mut receiver) = self.link().await;
        sender.send(&LinkDown::Membership { of: 1, version: 2, value: up(endpoint) }, None).await.unwrap();
        loop {
            if let LinkUp::MembershipTaken { of: 1, version: 2 } = receiver.receive().await.unwrap().unwrap()
            {
                return (sender, receiver);
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    async fn get(&self) -> String {
        let mut stream = self.connect();
        tokio::task::spawn_blocking(move || {
            write!(stream, "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        })
        .await
        .unwrap()
    }

    async fn ended(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                match self.child.try_wait().unwrap() {
                    Some(status) => return status,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        timeout(PATIENCE, ended).await.expect("it ends")
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

/// An endpoint that says `hello` to everybody, on connections that it closes.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            if stream.read(&mut head).is_ok_and(|count| count > 0) {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello");
            }
        }
    });
    address
}

fn up(endpoint: SocketAddr) -> Membership {
    let member = Member { addresses: vec![endpoint], health: Health::Up, tier: 0 };
    Membership { pools: vec![PoolMembers { members: vec![member] }] }
}

fn snapshot(endpoint: SocketAddr) -> Snapshot {
    let route = Route { cache: RouteCache::Off, body_bytes_max: 1 << 20, ..Route::default() };
    let site =
        Site { name: "all".into(), canonical: Canonical::Redirect, routes: vec![route], ..Site::default() };
    let endpoint = Endpoint { host: endpoint.ip().to_string(), port: endpoint.port(), ..Endpoint::default() };
    let pool = Pool { name: "app".into(), endpoints: vec![endpoint], ..Pool::default() };
    Snapshot { threads: Some(1), sites: vec![site], pools: vec![pool], ..Snapshot::default() }
}

#[tokio::test]
async fn its_doors_open_when_it_knows_the_endpoints_and_another_one_starts_alone_on_the_same_socket() {
    let (state, endpoint) = (TempDir::new().unwrap(), endpoint());
    let mut edge = Edge::start(&state, endpoint, None).await;
    let (_control, mut link) = edge.link().await;
    let hello = timeout(PATIENCE, link.receive::<LinkUp>()).await.unwrap().unwrap().unwrap();
    assert_eq!(hello, LinkUp::Hello { pid: edge.child.id(), snapshot: 1, published: None });
    assert!(timeout(Duration::from_millis(300), edge.says()).await.is_err(), "nobody told it of an endpoint");
    let _control = edge.knows(endpoint).await;
    assert_eq!(edge.says().await, FromEdge::Open);
    assert!(edge.get().await.ends_with("hello"));

    edge.signal(rustix::process::Signal::KILL);
    edge.ended().await;
    // Between two edges: it waits, and is served.
    let mut early = edge.connect();
    write!(early, "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
    let listener = edge.listener.try_clone().unwrap();
    let mut next = Edge::start(&state, endpoint, Some(listener)).await;
    assert_eq!(next.says().await, FromEdge::Open, "without a control process");
    let mut answer = String::new();
    early.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn signals_are_not_for_it_and_it_drains_when_the_keeper_says_so() {
    let (state, endpoint) = (TempDir::new().unwrap(), endpoint());
    let mut edge = Edge::start(&state, endpoint, None).await;
    let _control = edge.knows(endpoint).await;
    assert_eq!(edge.says().await, FromEdge::Open);
    edge.signal(rustix::process::Signal::TERM);
    edge.signal(rustix::process::Signal::INT);
    edge.signal(rustix::process::Signal::HUP);
    let mut idle = edge.connect();
    write!(idle, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut byte = [0];
        idle.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }

    edge.sender.send(&ToEdge::End, None).await.unwrap();
    assert_eq!(edge.says().await, FromEdge::Ending { connections: 1 });
    assert_eq!(edge.says().await, FromEdge::Ended { cut: 0 });
    assert!(edge.ended().await.success());
    assert_eq!(idle.read(&mut [0]).unwrap(), 0, "an idle connection is closed");
}

#[tokio::test]
async fn told_again_to_end_it_says_how_many_connections_are_still_open() {
    let (state, silent) = (TempDir::new().unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
    let endpoint = silent.local_addr().unwrap();
    let mut edge = Edge::start(&state, endpoint, None).await;
    let _control = edge.knows(endpoint).await;
    assert_eq!(edge.says().await, FromEdge::Open);
    let mut asking = edge.connect();
    write!(asking, "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
    // In flight once it has come here.
    let (_held, _) = silent.accept().unwrap();
    for _ in 0..2 {
        edge.sender.send(&ToEdge::End, None).await.unwrap();
        assert_eq!(edge.says().await, FromEdge::Ending { connections: 1 });
    }
}

#[tokio::test]
async fn it_ends_with_its_keeper() {
    let (state, endpoint) = (TempDir::new().unwrap(), endpoint());
    let mut edge = Edge::start(&state, endpoint, None).await;
    let _control = edge.knows(endpoint).await;
    assert_eq!(edge.says().await, FromEdge::Open);
    let (here, there) = channel::pair().unwrap();
    drop(here);
    (edge.sender, edge.receiver) = channel::open(there).unwrap();
    assert!(!edge.ended().await.success());
}

#[tokio::test]
async fn a_state_that_it_cannot_read_is_told() {
    let state = TempDir::new().unwrap();
    let (here, there) = channel::pair().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tentpole"))
        .args(["part", "edge"])
        .stdin(OwnedFd::from(there))
        .spawn()
        .unwrap();
    let (sender, mut receiver) = channel::open(here).unwrap();
    sender.send(&ToEdge::Start { state: state.path().into() }, None).await.unwrap();
    let said = timeout(PATIENCE, receiver.receive::<FromEdge>()).await.unwrap().unwrap();
    assert!(matches!(&said, Some(FromEdge::Failed(why)) if why.contains(SNAPSHOT_FILE)), "{said:?}");
    assert!(!child.wait().unwrap().success());
}

#[tokio::test]
async fn a_control_process_that_stands_still_does_not_hold_up_visitors() {
    let (state, endpoint) = (TempDir::new().unwrap(), endpoint());
    let mut edge = Edge::start(&state, endpoint, None).await;
    let (control, stopped) = edge.knows(endpoint).await;
    assert_eq!(edge.says().await, FromEdge::Open);
    for id in 0..2_000 {
        control
            .send(&LinkDown::Ask { id, question: tentpole_model::link::Question::Metrics }, None)
            .await
            .unwrap();
    }
    for _ in 0..100 {
        assert!(edge.get().await.ends_with("hello"));
    }
    drop(stopped);
}

#[test]
fn typed_by_a_person_a_part_says_what_to_type() {
    let output = Command::new(env!("CARGO_BIN_EXE_tentpole"))
        .args(["part", "edge"])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("run `tentpole up`"));
}
