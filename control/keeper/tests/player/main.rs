//! The program that the keeper's tests run: a keeper of real processes, whose edge and control process only say what they
//! are told and do what a test wants of them. What it prints is what the tests look at.

use rustix::process::{Signal, set_parent_process_death_signal};
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;
use tentpole_keeper::{KeeperEnd, KeeperParts, Program};
use tentpole_model::link::{FromControl, FromEdge, LinkUp, ToControl, ToEdge};
use tentpole_model::{Pool, Snapshot, SnapshotFile, VisitorLimits};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tentpole_runtime::descriptors;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

/// Data threads, and so listening sockets.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let words: Vec<&str> = arguments.iter().filter_map(|argument| argument.to_str()).collect();
    match words.as_slice() {
        ["keeper", ..] => keeper(),
        ["part", "edge"] => play(edge),
        ["part", "control"] => play(control),
        ["part", "instance"] => tentpole_keeper::instance::run(&[]),
        ["part", "instance", "--", ..] => tentpole_keeper::instance::run(&arguments[3..]),
        _ => ExitCode::from(2),
    }
}

fn set_to(variable: &str) -> Option<String> {
    std::env::var(variable).ok()
}

fn milliseconds(variable: &str) -> Duration {
    Duration::from_millis(set_to(variable).map_or(5_000, |text| text.parse().expect("a number")))
}

fn keeper() -> ExitCode {
    let first = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = first.local_addr().expect("it is bound");
    let mut listeners = vec![vec![first]];
    // Not of one port, as a real edge's would be: the tests talk to each.
    listeners.extend((1..THREADS).map(|_| vec![TcpListener::bind("127.0.0.1:0").expect("a free port")]));
    for of_thread in listeners.iter().flatten() {
        of_thread.set_nonblocking(true).expect("it is a socket");
    }
    let other = listeners[1][0].local_addr().expect("it is bound");
    let admin = TcpListener::bind("127.0.0.1:0").expect("a free port");
    admin.set_nonblocking(true).expect("it is a socket");
    println!("listening {address} {other} {}", admin.local_addr().expect("it is bound"));
    let end = tentpole_keeper::run(KeeperParts {
        snapshot: snapshot(),
        state: set_to("PLAYER_STATE").map(Into::into),
        listeners,
        admin: Some(admin),
        program: Program::default(),
        open_files: set_to("PLAYER_OPEN_FILES").map_or(descriptors::limit(), |text| text.parse().ok()),
        reload: None,
        taken_over: None,
        tell: Box::new(|event| println!("event {event:?}")),
    });
    println!("end {end:?}");
    ExitCode::from(u8::from(matches!(end, KeeperEnd::Failed(_))))
}

fn snapshot() -> Snapshot {
    let launch = tentpole_model::Launch { run: vec!["true".into()], directory: None, env: Vec::new() };
    let second = Duration::from_secs(1);
    let fleet = tentpole_model::Fleet {
        launch,
        min: 1,
        max: 1,
        cpus: 1.0,
        cpu_target: 0.6,
        requests_target: None,
        scale_in_window: second,
        ready_path: "/".into(),
        start_time: second,
        slow_start: second,
        drain_time: second,
        stop_time: milliseconds("PLAYER_STOP_MS"),
    };
    let pool = Pool { name: "shop".into(), fleet: Some(fleet), failures_max: 5, ..Pool::default() };
    Snapshot {
        threads: Some(THREADS),
        pools: vec![pool],
        visitors: VisitorLimits { drain_time: milliseconds("PLAYER_DRAIN_MS"), ..VisitorLimits::default() },
        ..Snapshot::default()
    }
}

/// Runs a part on the channel that is its standard input.
fn play<F: Future<Output = io::Result<()>>>(part: impl FnOnce(Sender, Receiver) -> F) -> ExitCode {
    set_parent_process_death_signal(Some(Signal::KILL)).expect("it is a signal");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let played = runtime.expect("a runtime").block_on(async {
        let (sender, receiver) = open(io::stdin().as_fd().try_clone_to_owned()?)?;
        part(sender, receiver).await
    });
    if played.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// An edge: answers each connection with its process's id.
async fn edge(keeper: Sender, mut told: Receiver) -> io::Result<()> {
    let (pid, mood) = (std::process::id(), set_to("PLAYER_EDGE").unwrap_or_default());
    let mut link = None;
    let mut ends = 0;
    if mood == "dies" {
        return Err(io::Error::other("as wanted"));
    }
    while let Some(word) = told.receive::<ToEdge>().await? {
        match word {
            ToEdge::Listener { thread } => {
                let listener = TcpListener::from(told.descriptor()?);
                tokio::spawn(answer(tokio::net::TcpListener::from_std(listener)?, format!("{pid} {thread}")));
            }
            ToEdge::Listen(addresses) => println!("edge {pid} listens at {addresses:?}"),
            ToEdge::Start { state } => {
                let snapshot = std::fs::read(state.join(tentpole_model::link::SNAPSHOT_FILE))?;
                let SnapshotFile { snapshot, .. } = serde_json::from_slice(&snapshot)?;
                println!("edge {pid} started in {} with pool {}", state.display(), snapshot.pools[0].name);
                if mood == "fails" {
                    return keeper.send(&FromEdge::Failed("the roof leaks".into()), None).await;
                }
                keeper.send(&FromEdge::Open, None).await?;
            }
            ToEdge::Link => {
                let (sender, receiver) = open(told.descriptor()?)?;
                // The control process at its other end may have died: another link will come.
                let _ = sender.send(&LinkUp::Hello { pid, snapshot: 1, published: None }, None).await;
                link = Some((sender, receiver));
            }
            // It has nothing to give.
            ToEdge::Take | ToEdge::Give => drop(told.descriptor()?),
            ToEdge::Leave => println!("edge {pid} shall leave"),
            ToEdge::End => {
                ends += 1;
                println!("edge {pid} shall end");
                if mood == "hangs" {
                    continue;
                }
                // One of them goes each time it is asked.
                let connections = if mood == "busy" { 3 - ends } else { 0 };
                keeper.send(&FromEdge::Ending { connections }, None).await?;
                if mood != "busy" {
                    println!("edge {pid} ends");
                    return keeper.send(&FromEdge::Ended { cut: 0 }, None).await;
                }
            }
        }
    }
    drop(link);
    Ok(())
}

async fn answer(listener: tokio::net::TcpListener, with: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let with = with.clone();
        tokio::spawn(async move { stream.write_all(with.as_bytes()).await });
    }
}

/// A control process: says to the keeper what is written to it on the admin API's socket, one JSON document a line.
async fn control(keeper: Sender, mut told: Receiver) -> io::Result<()> {
    let pid = std::process::id();
    while let Some(word) = told.receive::<ToControl>().await? {
        match word {
            ToControl::Start { instances, .. } => {
                println!("control {pid} started {}", serde_json::to_string(&instances)?);
                let listener = tokio::net::TcpListener::from_std(told.descriptor()?.into())?;
                tokio::spawn(pass_on(listener, keeper.clone()));
                keeper.send(&FromControl::Ready, None).await?;
            }
            ToControl::Link => {
                let (sender, receiver) = open(told.descriptor()?)?;
                tokio::spawn(meet(sender, receiver));
            }
            ToControl::End => {
                println!("control {pid} ends");
                return Ok(());
            }
            word => println!("control {pid} told {}", serde_json::to_string(&word)?),
        }
    }
    Ok(())
}

async fn pass_on(listener: tokio::net::TcpListener, keeper: Sender) -> io::Result<()> {
    loop {
        let mut lines = BufReader::new(listener.accept().await?.0).lines();
        while let Some(line) = lines.next_line().await? {
            keeper.send(&serde_json::from_str::<FromControl>(&line)?, None).await?;
        }
    }
}

async fn meet(sender: Sender, mut receiver: Receiver) {
    while let Ok(Some(LinkUp::Hello { pid, .. })) = receiver.receive().await {
        println!("control {} linked to edge {pid}", std::process::id());
    }
    drop(sender);
}

fn open(descriptor: OwnedFd) -> io::Result<(Sender, Receiver)> {
    channel::open(UnixStream::from(descriptor))
}
