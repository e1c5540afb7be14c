//! Another program takes the place of the one that runs, while visitors are served by every kind of connection; programs
//! that cannot; and parts that hang or die meanwhile.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tentpole_testkit::process::{children, runs, signal};
use tentpole_testkit::{Answer, Ask, Gate, Origin, Response, Step, Tentpole, Up, Visitor, binary};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::streams::Streams;
use tentpole_tests::{pool, until, until_within};

/// Visitors at once.
const VISITORS: usize = 8;
/// Bytes of an upload, sent in pieces.
const UPLOAD: usize = 300_000;

/// An upgrade to this program, as `tentpole upgrade` asks for it.
pub async fn upgrade(tentpole: &Tentpole, program: Option<&PathBuf>) -> Answer {
    let wish = match program {
        Some(program) => format!("{{\"program\":\"{}\"}}", program.display()),
        None => "{}".to_owned(),
    };
    let ask = Ask::post("/api/upgrade", wish).header("Content-Type", "application/json");
    tentpole.admin_visitor().await.patience(Duration::from_secs(60)).ask(&ask).await
}

/// The same, and waits for the control process of the new program.
pub async fn upgraded(tentpole: &Tentpole) {
    let before = parts(tentpole, "control");
    upgrade(tentpole, None).await.expect(200);
    until("control to be replaced", async || {
        let now = parts(tentpole, "control");
        now.len() == 1 && now != before
    })
    .await;
    api_answers(tentpole).await;
}

/// The same program under another name.
pub fn another(tentpole: &Tentpole) -> PathBuf {
    let (program, here) = (binary("tentpole"), tentpole.dir().join("tentpole-2"));
    if fs::hard_link(&program, &here).is_err() {
        fs::copy(&program, &here).expect("there is room for a copy");
    }
    here
}

/// A program that does for each part what is said, and is Tentpole otherwise.
fn script(tentpole: &Tentpole, name: &str, cases: &str) -> PathBuf {
    let here = tentpole.dir().join(name);
    let text =
        format!("#!/bin/sh\ncase \"$2\" in\n{cases}\nesac\nexec {} \"$@\"\n", binary("tentpole").display());
    fs::write(&here, text).expect("the directory is writable");
    fs::set_permissions(&here, fs::Permissions::from_mode(0o755)).expect("it is ours");
    here
}

pub fn parts(tentpole: &Tentpole, name: &str) -> Vec<u32> {
    let is_it = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|&byte| byte == 0).skip(1).take(2).eq([b"part".as_slice(), name.as_bytes()])
    };
    children(tentpole.pid()).into_iter().filter(is_it).collect()
}

pub async fn api_answers(tentpole: &Tentpole) {
    until("the admin API to answer", async || match Visitor::try_connect(tentpole.admin()).await {
        Ok(mut visitor) => {
            visitor.try_ask(&Ask::get("/healthz")).await.is_ok_and(|answer| answer.status == 200)
        }
        Err(_) => false,
    })
    .await;
}

/// Waits until so many upgrades are told to have ended like this, and none otherwise.
async fn counted(tentpole: &Tentpole, how: &str, number: u64) {
    let told =
        |result: &str, number| format!("tentpole_program_upgrades_total{{result=\"{result}\"}} {number}\n");
    until("the upgrades to be counted", async || {
        let page = tentpole.admin_visitor().await.get("/metrics").await.text();
        let ways = ["done", "refused", "given_back"];
        ways.iter().all(|way| page.contains(&told(way, if *way == how { number } else { 0 })))
    })
    .await;
}

async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.forgets_requests();
    origin.otherwise(|_| Response::ok("the whole answer").header("Cache-Control", "no-store"));
    origin.on("/cached/*").respond(Response::ok("cached").header("Cache-Control", "max-age=60"));
    origin.on("/ws").upgrades();
    origin
}

fn websocket() -> Ask {
    let upgrade = Ask::get("/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    upgrade.header("Sec-WebSocket-Version", "13").header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// Uploads one after the other over kept connections until told to stop; returns how many went well.
async fn uploads(address: std::net::SocketAddr, stop: std::sync::Arc<std::sync::atomic::AtomicBool>) -> u64 {
    let (mut good, mut kept) = (0, None);
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let mut visitor = match kept.take() {
            Some(visitor) => visitor,
            None => Visitor::connect(address).await,
        };
        let piece = [b'u'; 10_000];
        let answer =
            visitor.ask(&Ask::post("/upload", "").chunked((0..UPLOAD / piece.len()).map(|_| piece))).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        good += 1;
        if !answer.closed {
            kept = Some(visitor);
        }
    }
    good
}

#[tokio::test]
async fn upgrades_under_load_fail_no_request_and_close_no_websocket() {
    const UPGRADES: usize = 3;
    let origin = origin().await;
    let gate = Gate::new();
    let piece = [b'x'; 1_000];
    let steps = (0..UPGRADES).flat_map(|_| [Step::wait(&gate), Step::send(piece)]);
    let steps = steps.chain([Step::wait(&gate)]);
    origin.on("/stream").respond(Response::ok("").header("Cache-Control", "no-store").chunked(steps));
    let config = pool(&[&origin], "[limits]\nhttp2_without_tls = true").replace("threads = 1", "threads = 2");
    let tentpole = Up::config(&config).start().await;
    let program = another(&tentpole);
    let pid = tentpole.pid();
    let mut socket = tentpole.visitor().await;
    socket.ask(&websocket()).await.expect(101);
    let mut reader = tentpole.visitor().await;
    let mut stream = reader.begin(&Ask::get("/stream")).await;
    let mut crowd = Crowd::start(tentpole.address(), VISITORS, &Manner::asking("/"));
    crowd.join(tentpole.address(), 2, &Manner::asking("/cached/a"));
    // Longer between two requests than an upgrade takes: their connections are idle when it comes.
    crowd.join(tentpole.address(), 4, &Manner { pause: Duration::from_millis(300), ..Manner::asking("/") });
    let streams = Streams::start(tentpole.address(), 3, "/");
    let stop = std::sync::Arc::<std::sync::atomic::AtomicBool>::default();
    let uploading = tokio::spawn(uploads(tentpole.address(), stop.clone()));
    let mut edges = vec![tentpole.edge_pid()];
    for number in 1..=UPGRADES {
        let to = if number.is_multiple_of(2) { None } else { Some(&program) };
        let answer = upgrade(&tentpole, to).await;
        assert_eq!(answer.status, 200, "{number}: {}\n{}", answer.text(), tentpole.said());
        let (before, of_streams) = (crowd.good(), streams.good());
        until("visitors to be served", async || {
            crowd.good() > before + 100 && streams.good() > of_streams + 20
        })
        .await;
        socket.send(format!("{number:04}")).await;
        assert_eq!(socket.bytes(4).await, format!("{number:04}").as_bytes());
        gate.release_one();
        stream.until(number * piece.len()).await;
        let known = edges.clone();
        edges.extend(parts(&tentpole, "edge").into_iter().filter(|pid| !known.contains(pid)));
        api_answers(&tentpole).await;
        until("control to be replaced", async || parts(&tentpole, "control").len() == 1).await;
    }
    assert_eq!(edges.len(), UPGRADES + 1, "{edges:?}");
    assert!(runs(edges[0]), "the first edge has the open WebSocket");
    gate.release();
    assert_eq!(stream.rest().await.body.len(), UPGRADES * piece.len());
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    let uploaded = uploading.await.expect("no upload failed");
    let (met, of_streams) = (crowd.ends().await, streams.ends().await);
    eprintln!("{UPGRADES} upgrades: {met:?}; HTTP/2: {of_streams:?}; uploads: {uploaded}");
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    assert_eq!(of_streams.failed, 0, "{of_streams:?}");
    assert!(of_streams.reconnects > 0, "somebody was told to go on elsewhere: {of_streams:?}");
    assert!(uploaded > 3, "{uploaded}");
    assert_eq!(tentpole.pid(), pid);
    drop((socket, reader));
    until("earlier edges to end with their last connection", async || parts(&tentpole, "edge").len() == 1)
        .await;
    tentpole.ends().await;
}

#[tokio::test]
async fn a_program_that_cannot_changes_nothing_and_says_why() {
    let origin = origin().await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let crowd = Crowd::start(tentpole.address(), 4, &Manner::asking("/"));
    let (edge, control) = (tentpole.edge_pid(), tentpole.control_pid());
    let missing = tentpole.dir().join("missing");
    let silent = PathBuf::from("/bin/true");
    let crashes = script(&tentpole, "crashes", "check) kill -SEGV $$ ;;");
    let of_another_kind = script(&tentpole, "other", "check) echo it speaks protocol 9; exit 1 ;;");
    let edge_dies = script(&tentpole, "edge-dies", "edge) exit 3 ;;");
    for (program, why) in [
        (&missing, "cannot be run"),
        (&silent, "cannot take over (exit status 0)"),
        (&crashes, "SIGSEGV"),
        (&of_another_kind, "it speaks protocol 9"),
        (&edge_dies, "its edge does not come up: exit status 3"),
    ] {
        let answer = upgrade(&tentpole, Some(program)).await;
        let text = answer.text();
        assert_eq!(answer.status, 422, "{text}");
        assert!(text.contains("nothing has changed") && text.contains(why), "{text}");
        assert_eq!((tentpole.edge_pid(), tentpole.control_pid()), (edge, control));
        assert_eq!(parts(&tentpole, "edge"), [edge]);
    }
    let events = tentpole.admin_visitor().await.get("/api/events").await.text();
    assert!(events.contains("\"kind\":\"upgrade\""), "{events}");
    counted(&tentpole, "refused", 5).await;
    let met = crowd.ends().await;
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    // By command: the same words.
    let run = std::process::Command::new(binary("tentpole"))
        .args(["upgrade", "/bin/true", "--admin", &tentpole.admin().to_string()])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(2), "{said}");
    assert!(said.contains("cannot take over"), "{said}");
    tentpole.ends().await;
}

/// A program that has passed every check and, become the keeper, gives all back as it came.
const GIVES_BACK: &str = r#"#!/usr/bin/env python3
import os, socket, sys
real = "PROGRAM"
if "--take-over" not in sys.argv:
    os.execv(real, [real] + sys.argv[1:])
came = socket.socket(fileno=os.dup(0))
descriptors, word = [], b"m"
while word == b"m":
    word, more, _, _ = socket.recv_fds(came, 1, 253)
    descriptors += more
os.dup2(descriptors[0], 0)
ours, theirs = socket.socketpair()
pieces = [descriptors[at:at + 64] for at in range(0, len(descriptors), 64)]
for piece in pieces:
    socket.send_fds(ours, [b"b" if piece is pieces[-1] else b"m"], piece)
os.dup2(theirs.fileno(), 0)
before = os.readlink(f"/proc/self/fd/{descriptors[2]}")
os.execv(before, [before] + sys.argv[1:])
"#;

#[tokio::test]
async fn a_program_that_gives_everything_back_leaves_visitors_as_they_were() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("hello").header("Cache-Control", "no-store"));
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let gives_back = tentpole.dir().join("gives-back");
    let text = GIVES_BACK.replace("PROGRAM", &binary("tentpole").display().to_string());
    fs::write(&gives_back, text).unwrap();
    fs::set_permissions(&gives_back, fs::Permissions::from_mode(0o755)).unwrap();
    let (keeper, edge) = (tentpole.pid(), tentpole.edge_pid());
    let crowd = Crowd::start(tentpole.address(), 4, &Manner::asking("/"));
    let answer = upgrade(&tentpole, Some(&gives_back)).await;
    assert_eq!(answer.status, 422, "{}", answer.text());
    let met = crowd.ends().await;
    assert_eq!(met.failed, 0, "{:?}", met.stories);
    until("the edge before to be the only one", async || parts(&tentpole, "edge") == [edge]).await;
    assert!(runs(keeper));
    counted(&tentpole, "given_back", 1).await;
    // Nothing is left of it: the next upgrade goes through.
    upgrade(&tentpole, None).await.expect(200);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_program_that_dies_when_it_cannot_go_back_leaves_no_process_behind() {
    let program = binary("tentpole-testkit");
    let run = format!("{} origin --listen 127.0.0.1:{{port}}", program.display());
    let mut tentpole = Up::run(&run).start().await;
    // It passes every check, its edge serves, and it dies when it has become the keeper.
    let dies = script(&tentpole, "dies", "part) ;;\n--*) [ \"$1\" = up ] && exit 9 ;;");
    let all = tentpole.descendants();
    assert!(all.len() >= 4, "{all:?}");
    let address = tentpole.admin();
    tokio::spawn(async move {
        let wish = format!("{{\"program\":\"{}\"}}", dies.display());
        let ask = Ask::post("/api/upgrade", wish).header("Content-Type", "application/json");
        let _ = Visitor::connect(address).await.try_ask(&ask).await;
    });
    assert_eq!(tentpole.until_ended().await.code(), Some(9));
    until("everybody to be gone", async || all.iter().all(|&pid| !runs(pid))).await;
}

#[tokio::test]
async fn instances_go_on_and_belong_to_the_new_program() {
    let program = binary("tentpole-testkit");
    let run = format!("{} origin --listen 127.0.0.1:{{port}}", program.display());
    let mut tentpole = Up::run(&run).start().await;
    let shims = parts(&tentpole, "instance");
    let applications: Vec<u32> = shims.iter().flat_map(|&shim| children(shim)).collect();
    assert_eq!((shims.len(), applications.len()), (1, 1));
    for _ in 0..2 {
        let answer = upgrade(&tentpole, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        api_answers(&tentpole).await;
        assert_eq!(parts(&tentpole, "instance"), shims);
        tentpole.visitor().await.get("/").await.expect(404);
    }
    // The new keeper replaces one that dies.
    signal(applications[0], Signal::KILL);
    until("another instance", async || {
        let now = parts(&tentpole, "instance");
        now.len() == 1 && now != shims && tentpole.visitor().await.get("/").await.status == 404
    })
    .await;
    let mut all = tentpole.descendants();
    tentpole.signal(Signal::KILL);
    tentpole.until_ended().await;
    until("everybody to be gone", async || {
        all.retain(|&pid| runs(pid));
        all.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_purge_holds_at_the_edge_that_leaves_too_and_its_idle_visitors_are_answered() {
    let origin = origin().await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut stays = tentpole.visitor().await;
    stays.get("/cached/a").await.expect(200);
    assert!(stays.get("/cached/a").await.is_hit());
    let mut other = tentpole.visitor().await;
    assert!(other.get("/cached/a").await.is_hit());
    let old = tentpole.edge_pid();
    upgraded(&tentpole).await;
    // Still at the edge before, which still has it.
    let answer = other.get("/cached/a").await.expect(200);
    assert!(answer.is_hit() && answer.closed, "{answer:?}");
    let purge = Ask::post("/api/purge", "{\"all\":true}").header("Content-Type", "application/json");
    tentpole.admin_visitor().await.ask(&purge).await.expect(200);
    let answer = stays.get("/cached/a").await.expect(200);
    assert!(!answer.is_hit() && answer.closed, "{answer:?}");
    until("the edge before to end", async || !runs(old)).await;
    tentpole.ends().await;
}

#[tokio::test]
async fn an_edge_that_hangs_does_not_hold_up_an_upgrade() {
    let origin = origin().await;
    let mut tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let old = tentpole.edge_pid();
    signal(old, Signal::STOP);
    let answer = upgrade(&tentpole, None).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    for _ in 0..10 {
        tentpole.visitor().await.get("/").await.expect(200);
    }
    until_within(Duration::from_secs(20), "the edge that hangs to be ended", async || !runs(old)).await;
    // The keeper says it once it has seen that it is over.
    tentpole.says("the edge before the upgrade hung").await;
    tentpole.ends().await;
}

#[tokio::test]
async fn of_two_upgrades_at_once_one_is_refused() {
    let origin = origin().await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let gate = tentpole.dir().join("go");
    let waits = script(
        &tentpole,
        "waits",
        &format!("check) while [ ! -e {} ]; do sleep 0.02; done ;;", gate.display()),
    );
    let crowd = Crowd::start(tentpole.address(), 4, &Manner::asking("/"));
    let first = upgrade(&tentpole, Some(&waits));
    let second = async {
        let is_checked = || {
            children(tentpole.pid()).iter().any(|pid| {
                fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.split(|byte| *byte == 0).any(|word| word == b"check"))
            })
        };
        until("the first to be under way", async || is_checked()).await;
        let answer = upgrade(&tentpole, None).await;
        fs::write(&gate, "").expect("the directory is writable");
        answer
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status, 200, "{}", first.text());
    assert_eq!(second.status, 422, "{}", second.text());
    assert!(second.text().contains("another upgrade is under way"), "{}", second.text());
    let met = crowd.ends().await;
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_control_process_that_dies_during_an_upgrade_stops_nothing() {
    let origin = origin().await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let crowd = Crowd::start(tentpole.address(), 4, &Manner::asking("/"));
    for _ in 0..3 {
        let (edge, control) = (tentpole.edge_pid(), tentpole.control_pid());
        let address = tentpole.admin();
        let asked = tokio::spawn(async move {
            let ask = Ask::post("/api/upgrade", "{}").header("Content-Type", "application/json");
            let _ = Visitor::connect(address).await.try_ask(&ask).await;
        });
        until("a second edge", async || parts(&tentpole, "edge").iter().any(|&pid| pid != edge)).await;
        signal(control, Signal::KILL);
        let _ = asked.await;
        until("the edge before to be gone", async || !runs(edge)).await;
        until("one of each", async || {
            parts(&tentpole, "edge").len() == 1 && parts(&tentpole, "control").len() == 1
        })
        .await;
        api_answers(&tentpole).await;
        let status = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
        let status: Value = serde_json::from_slice(&status.body).expect("it is JSON");
        assert_eq!(status["pools"][0]["endpoints"][0]["health"], "up", "{status}");
    }
    let met = crowd.ends().await;
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_signal_starts_an_upgrade_to_the_program_that_lies_where_this_one_did() {
    let origin = origin().await;
    let mut tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let crowd = Crowd::start(tentpole.address(), 4, &Manner::asking("/"));
    for number in 1..=2 {
        let (keeper, edge) = (tentpole.pid(), tentpole.edge_pid());
        tentpole.signal(Signal::USR2);
        until("another edge alone", async || {
            let now = parts(&tentpole, "edge");
            now.len() == 1 && now != [edge]
        })
        .await;
        assert_eq!(tentpole.pid(), keeper);
        assert!(runs(keeper));
        until("it to be said", async || tentpole.said().matches("upgraded from").count() == number).await;
        api_answers(&tentpole).await;
    }
    let met = crowd.ends().await;
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn signals_in_the_middle_of_an_upgrade_are_neither_lost_nor_the_end() {
    let origin = origin().await;
    let mut tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let keeper = tentpole.pid();
    for round in 0..3 {
        let edge = tentpole.edge_pid();
        let address = tentpole.admin();
        let asked = tokio::spawn(async move {
            let ask = Ask::post("/api/upgrade", "{}").header("Content-Type", "application/json");
            let _ = Visitor::connect(address).await.patience(Duration::from_secs(60)).try_ask(&ask).await;
        });
        // All the time, so that some meet the moment in which one program becomes the other.
        let mut sent = 0;
        while parts(&tentpole, "edge").contains(&edge) {
            signal(keeper, Signal::HUP);
            sent += 1;
            tokio::time::sleep(Duration::from_millis(1)).await;
            assert!(runs(keeper), "round {round}: the keeper was ended by a signal");
        }
        let _ = asked.await;
        eprintln!("round {round}: {sent} signals");
        api_answers(&tentpole).await;
        tentpole.visitor().await.get("/").await.expect(200);
    }
    assert!(tentpole.said().contains("upgraded from"), "{}", tentpole.said());
    // One more reload than before: it still listens.
    let reloads = tentpole.said().matches("nothing to reload").count();
    signal(keeper, Signal::HUP);
    until("one more reload", async || tentpole.said().matches("nothing to reload").count() > reloads).await;
    // One that is to end it ends it in order, wherever it meets it.
    let address = tentpole.admin();
    tokio::spawn(async move {
        let ask = Ask::post("/api/upgrade", "{}").header("Content-Type", "application/json");
        let _ = Visitor::connect(address).await.try_ask(&ask).await;
    });
    until("a second edge", async || parts(&tentpole, "edge").len() > 1).await;
    signal(keeper, Signal::TERM);
    assert_eq!(tentpole.until_ended().await.code(), Some(0), "{}", tentpole.said());
}
