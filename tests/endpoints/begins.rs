//! A limit begins with what was found before: after an upgrade, after a crash of the edge and after a restart, and where an endpoint is
//! new; not with what is damaged, absurd, or older than the `start` that somebody has written since.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tentpole_runtime::clock;
use tentpole_testkit::{Ask, Tentpole, Up, Visitor, binary};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::workers::Workers;
use tentpole_tests::{until, until_within};

/// More at once than a pool begins with here, fewer than come.
const WORKERS: usize = 16;
const VISITORS: usize = 40;
/// What is configured where something is to be found: what is found is more.
const START: u32 = 2;
/// For how long a rehearsal may go on: on a busy machine what comes back says little, and it takes long until it is sure.
const REHEARSES_MAX: Duration = Duration::from_secs(240);

fn config(endpoints: &[&Workers], start: u32) -> String {
    let urls: Vec<String> = endpoints.iter().map(|app| app.url()).collect();
    format!(
        "threads = 1\n[pool.app]\nendpoints = {urls:?}\nlimit = {{ start = {start} }}\nqueue = {{ wait = \"60s\" }}\n"
    )
}

async fn start(config: &str, state: &Path) -> Tentpole {
    let state = state.to_str().expect("its name is text");
    Up::config(config).argument("--state").argument(state).start().await
}

/// What the admin API says of an endpoint: its limit, where it began and by whose word. Nothing while the edge has not reported, and
/// while one program goes and the next one comes.
async fn told(tentpole: &Tentpole, endpoint: usize) -> Option<(u64, u64, String)> {
    let mut asks = Visitor::try_connect(tentpole.admin()).await.ok()?;
    let status = asks.try_ask(&Ask::get("/api/status")).await.ok()?.expect(200);
    let status: Value = serde_json::from_slice(&status.body).expect("the status is JSON");
    let endpoint = &status["pools"][0]["endpoints"][endpoint];
    let start = &endpoint["limit_start"];
    let is_found = start["from"].as_str()?.starts_with("found");
    assert_eq!(start["found_unix_ms"].is_u64(), is_found, "it is said when, where it was found: {start}");
    Some((endpoint["limit"].as_u64()?, start["limit"].as_u64()?, start["from"].as_str()?.to_owned()))
}

async fn until_told(tentpole: &Tentpole, endpoint: usize, limit: u64, from: &str) {
    until(&format!("endpoint {endpoint} to begin with {limit}, {from}"), async || {
        told(tentpole, endpoint).await == Some((limit, limit, from.to_owned()))
    })
    .await;
}

/// Lets a crowd come until something is found, and written down; returns that.
async fn rehearse(tentpole: &Tentpole, state: &Path) -> u64 {
    let mut crowd = Crowd::start(tentpole.address(), 0, &Manner::asking("/"));
    for visitor in 0..VISITORS {
        // A page of his own: nobody waits for what another asked.
        crowd.join(tentpole.address(), 1, &Manner::asking(&format!("/page/{visitor}")));
    }
    until_within(REHEARSES_MAX, "something to be found", async || {
        told(tentpole, 0).await.is_some_and(|(limit, ..)| limit > u64::from(START))
    })
    .await;
    assert_eq!(crowd.ends().await.failed, 0);
    // Nobody waits any more, so it stays; what lies on disk is what is in force.
    let mut found = 0;
    until("it to be written down", async || {
        let text = fs::read(state.join("limits.json")).unwrap_or_default();
        let kept: Value = serde_json::from_slice(&text).unwrap_or_default();
        found = kept["found"][0]["limit"].as_u64().unwrap_or(0);
        told(tentpole, 0).await.is_some_and(|(limit, ..)| limit == found)
    })
    .await;
    found
}

#[tokio::test]
async fn an_event_begins_with_the_limits_that_a_rehearsal_found() {
    let (app, other) =
        (Workers::start(WORKERS, Duration::from_millis(100)).await, Workers::start(1, Duration::ZERO).await);
    let state = tempfile::tempdir().expect("there is room");
    let tentpole = start(&config(&[&app], START), state.path()).await;
    until_told(&tentpole, 0, START.into(), "configured").await;
    let found = rehearse(&tentpole, state.path()).await;
    println!("found {found}");
    let (_, began, from) = told(&tentpole, 0).await.expect("it has a limit");
    assert_eq!((began, &*from), (START.into(), "configured"), "it still says where it began");

    let upgrade = Ask::post("/api/upgrade", "{}").header("Content-Type", "application/json");
    tentpole.admin_visitor().await.patience(Duration::from_secs(60)).ask(&upgrade).await.expect(200);
    until_told(&tentpole, 0, found, "found").await;
    // An edge that crashes has no time to write anything.
    let edge = tentpole.edge_pid();
    let pid = Pid::from_raw(i32::try_from(edge).expect("it is a process")).expect("it is a process");
    kill_process(pid, Signal::KILL).expect("it is ours");
    until("another edge", async || tentpole.part("edge").is_some_and(|now| now != edge)).await;
    until_told(&tentpole, 0, found, "found").await;
    tentpole.ends().await;

    // A restart, with one more endpoint.
    let tentpole = start(&config(&[&app, &other], START), state.path()).await;
    until_told(&tentpole, 0, found, "found").await;
    until_told(&tentpole, 1, found, "found_in_pool").await;
    let said = std::process::Command::new(binary("tentpole"))
        .args(["status", "--admin", &tentpole.admin().to_string()])
        .output()
        .expect("the program starts");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let line = format!(
        "{}: at most {found} at once (start); it began with {found}, which was found here",
        app.address()
    );
    assert!(said.contains(&line), "{said}");
    assert!(
        said.contains(&format!("it began with {found}, which was found at others of its pool")),
        "{said}"
    );
    tentpole.ends().await;

    // What somebody has written since is newer.
    let tentpole = start(&config(&[&app], 3), state.path()).await;
    until_told(&tentpole, 0, 3, "configured").await;
    tentpole.ends().await;
}

#[tokio::test]
async fn a_limit_that_cannot_have_been_found_harms_nobody() {
    let app = Workers::start(WORKERS, Duration::from_millis(1)).await;
    let state = tempfile::tempdir().expect("there is room");
    let file = state.path().join("limits.json");
    let found = |limit: u64, found_unix_s: u64| {
        json!({ "found": [{
            "pool": "app", "endpoint": app.address().to_string(), "limit": limit, "start": 4, "found_unix_s": found_unix_s,
        }]})
        .to_string()
    };
    let now = clock::now().unix_us() / 1_000_000;
    let absurd = format!(
        "10000000 requests at once for {} in app, which must be 1 to 1000000; that is left out",
        app.address()
    );
    let year_ago = now - 365 * 86_400;
    let cases = [
        (
            "{\"found\":[{".to_owned(),
            "is damaged; limits begin without what was found before",
            (4, "configured"),
        ),
        (found(10_000_000, now), &*absurd, (4, "configured")),
        (found(60, year_ago), "", (4, "configured")),
        // As far as limits go where nothing is said: 1,000.
        (found(900_000, now), "", (1_000, "found")),
        (found(60, now), "", (60, "found")),
    ];
    for (text, warning, (limit, from)) in cases {
        fs::write(&file, &text).expect("there is room");
        let mut tentpole = start(&config(&[&app], 4), state.path()).await;
        until_told(&tentpole, 0, limit, from).await;
        if !warning.is_empty() {
            tentpole.says(warning).await;
        }
        let said = tentpole.said();
        assert_eq!(said.contains("limits.json"), !warning.is_empty(), "{text}: {said}");
        tentpole.visitor().await.get("/").await.expect(200);
        tentpole.ends().await;
    }
}
