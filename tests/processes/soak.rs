//! Everything that changes while visitors are served, one after the other and under load: reloads, upgrades, drains and a
//! rolling restart, with kept connections, HTTP/2 without TLS and with it, sessions of TLS that go on, a streaming body, uploads and a
//! WebSocket.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use tentpole_testkit::{Ask, Gate, Origin, Response, Step, Tentpole, Visitor, binary};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::https::{self, Https};
use tentpole_tests::secure_crowd::SecureCrowd;
use tentpole_tests::streams::Streams;
use tentpole_tests::{turn, until, until_within};

/// How long one rolling restart or upgrade may take on a busy machine.
const CHANGE_MAX: Duration = Duration::from_secs(90);
/// Bytes of one piece of the stream, and of an upload.
const PIECE: usize = 1_000;
const UPLOAD: usize = 200_000;

fn config(number: usize, one: &Origin, two: &Origin) -> String {
    let program = binary("tentpole-testkit");
    format!(
        "threads = 2\n[limits]\nhttp2_without_tls = true\nconnections = {}\n{}\
         [pool.app]\nendpoints = [\"{}\", \"{}\"]\n[pool.own]\n[pool.own.fleet]\n\
         run = \"{} origin --listen 127.0.0.1:{{port}}\"\nmin = 2\nmax = 2\nslow_start = \"300ms\"\n\
         [site.all]\n[[site.all.route]]\npath = \"/bytes/*\"\npool = \"own\"\ncache = \"off\"\n\
         [[site.all.route]]\npath = \"/*\"\npool = \"app\"\n",
        1_000 + number,
        https::LINES,
        one.url(),
        two.url(),
        program.display()
    )
}

async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.forgets_requests();
    origin.otherwise(|_| Response::ok("the whole answer").header("Cache-Control", "no-store"));
    origin.on("/ws").upgrades();
    origin
}

async fn json(tentpole: &Tentpole, path: &str) -> Value {
    let answer = tentpole.admin_visitor().await.get(path).await.expect(200);
    serde_json::from_slice(&answer.body).expect("it is JSON")
}

async fn api_answers(tentpole: &Tentpole) {
    until("the admin API to answer", async || match Visitor::try_connect(tentpole.admin()).await {
        Ok(mut visitor) => {
            visitor.try_ask(&Ask::get("/api/fleets")).await.is_ok_and(|answer| answer.status == 200)
        }
        Err(_) => false,
    })
    .await;
}

async fn uploads(address: std::net::SocketAddr, stop: Arc<AtomicBool>) -> u64 {
    let (mut good, mut kept) = (0, None);
    while !stop.load(Ordering::Relaxed) {
        let mut visitor = match kept.take() {
            Some(visitor) => visitor,
            None => Visitor::connect(address).await,
        };
        let piece = [b'u'; 10_000];
        let pieces = (0..UPLOAD / piece.len()).map(|_| piece);
        let answer = visitor.ask(&Ask::post("/upload", "").chunked(pieces)).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        good += 1;
        if !answer.closed {
            kept = Some(visitor);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    good
}

/// A visitor with a WebSocket and a streaming body, who sees at each turn that both are there.
struct Stayer<'a> {
    socket: Visitor,
    stream: tentpole_testkit::visitor::Reading<'a>,
    gate: Gate,
    turns: usize,
}

impl Stayer<'_> {
    async fn is_there(&mut self) {
        self.turns += 1;
        let word = format!("{:04}", self.turns);
        self.socket.send(&word).await;
        assert_eq!(self.socket.bytes(4).await, word.as_bytes());
        self.gate.release_one();
        self.stream.until(self.turns * PIECE).await;
    }
}

/// Under load: so many reloads and upgrades, spread over one another, and after each tenth reload a drain, in the end a
/// rolling restart.
async fn changes(reloads: usize, upgrades: usize) {
    let (one, two) = (origin().await, origin().await);
    let gate = Gate::new();
    for origin in [&one, &two] {
        let steps = (0..reloads + upgrades + 1).flat_map(|_| [Step::wait(&gate), Step::send([b'x'; PIECE])]);
        let steps = steps.chain([Step::wait(&gate)]);
        origin.on("/stream").respond(Response::ok("").header("Cache-Control", "no-store").chunked(steps));
    }
    let https = Https::start(&config(0, &one, &two)).await;
    let tentpole = &https.tentpole;
    let mut socket = tentpole.visitor().await;
    let upgrade = Ask::get("/ws").header("Connection", "Upgrade").header("Upgrade", "websocket");
    let upgrade = upgrade.header("Sec-WebSocket-Version", "13");
    socket.ask(&upgrade.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")).await.expect(101);
    let mut reader = tentpole.visitor().await;
    let stream = reader.begin(&Ask::get("/stream")).await;
    let mut stayer = Stayer { socket, stream, gate, turns: 0 };
    let mut crowd = Crowd::start(tentpole.address(), 6, &Manner::asking("/"));
    crowd.join(tentpole.address(), 4, &Manner::asking("/bytes/2000"));
    crowd.join(tentpole.address(), 4, &Manner { pause: Duration::from_millis(250), ..Manner::asking("/") });
    let streams = Streams::start(tentpole.address(), 2, "/");
    let by_https = SecureCrowd::start(https.address, 3, "/", || https.client("http/1.1"));
    let secure_streams = Streams::start_secure(https.address, 2, "/", https.client("h2"));
    let stop = Arc::<AtomicBool>::default();
    let uploading = tokio::spawn(uploads(tentpole.address(), stop.clone()));
    for number in 1..=reloads {
        let new = tentpole.dir().join("tentpole.toml.new");
        fs::write(&new, config(number, &one, &two)).expect("the directory is writable");
        fs::rename(new, tentpole.dir().join("tentpole.toml")).expect("it is one file system");
        let answer = tentpole.admin_visitor().await.ask(&Ask::post("/api/reload", "")).await;
        assert_eq!(answer.status, 200, "{number}: {}", answer.text());
        stayer.is_there().await;
        if number * upgrades / reloads > (number - 1) * upgrades / reloads {
            let ask = Ask::post("/api/upgrade", "{}").header("Content-Type", "application/json");
            let answer = tentpole.admin_visitor().await.patience(CHANGE_MAX).ask(&ask).await;
            assert_eq!(answer.status, 200, "{number}: {}", answer.text());
            api_answers(tentpole).await;
            stayer.is_there().await;
        }
        if number.is_multiple_of(10) || number == reloads {
            turn(tentpole, &one, "drain").await.expect(200);
            let before = crowd.good();
            until("visitors to be served by the other", async || crowd.good() > before + 50).await;
            turn(tentpole, &one, "resume").await.expect(200);
        }
        let served = || [crowd.good(), streams.good(), by_https.good(), secure_streams.good()];
        let before = served();
        until("visitors to be served", async || {
            let more = served().into_iter().zip(before).map(|(now, before)| now - before);
            more.zip([30, 5, 10, 5]).all(|(more, wanted)| more > wanted)
        })
        .await;
    }
    let old = json(tentpole, "/api/fleets").await["fleets"][0]["instances"].clone();
    let restart = tentpole.admin_visitor().await.ask(&Ask::post("/api/fleets/own/restart", "")).await;
    assert_eq!(restart.status, 202, "{}", restart.text());
    until_within(CHANGE_MAX, "all instances to be new", async || {
        let fleet = json(tentpole, "/api/fleets").await["fleets"][0].clone();
        let is_old = |instance: &Value| {
            old.as_array().into_iter().flatten().any(|before| before["id"] == instance["id"])
        };
        let all = fleet["instances"].as_array().cloned().unwrap_or_default();
        fleet["restart"].is_null() && all.len() == 2 && !all.iter().any(is_old)
    })
    .await;
    stayer.is_there().await;
    let Stayer { socket, stream, gate, turns } = stayer;
    gate.release();
    assert_eq!(stream.rest().await.body.len(), turns * PIECE);
    drop(socket);
    stop.store(true, Ordering::Relaxed);
    let uploaded = uploading.await.expect("no upload failed");
    let (met, of_streams) = (crowd.ends().await, streams.ends().await);
    let (secure, of_secure_streams) = (by_https.ends().await, secure_streams.ends().await);
    eprintln!(
        "{reloads} reloads, {upgrades} upgrades, drains, a rolling restart: {met:?}; HTTP/2: {of_streams:?}; https: \
         {secure:?}; HTTP/2 by https: {of_secure_streams:?}; uploads: {uploaded}"
    );
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    assert_eq!(of_streams.failed, 0, "{of_streams:?}");
    assert_eq!(of_secure_streams.failed, 0, "{of_secure_streams:?}");
    // The first connection of each visitor; all others go on with a session, whichever edge answers.
    assert_eq!((secure.failed, secure.new), (0, 3), "{secure:?}");
    assert!(secure.resumed > upgrades as u64, "{secure:?}");
    assert!(uploaded > 0);
    https.tentpole.ends().await;
}

#[tokio::test]
async fn changes_of_every_kind_under_load_fail_no_request() {
    changes(10, 2).await;
}

/// `./check --soak`
#[tokio::test]
#[ignore = "takes minutes"]
async fn a_hundred_reloads_ten_upgrades_drains_and_a_restart_under_load_fail_no_request() {
    changes(100, 10).await;
}
