//! New instances in the place of old ones, one by one, under load: by command and API, by another command in the file, and
//! with one that does not come up.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tentpole_testkit::{Ask, Tentpole, Up, binary};
use tentpole_tests::crowd::{Crowd, Manner};
use tentpole_tests::until_within;

/// How long a restart of three instances may take on a busy machine.
const RESTART_MAX: Duration = Duration::from_secs(60);

fn config(run: &str) -> String {
    format!(
        "threads = 2\n[pool.app]\n[pool.app.fleet]\nrun = \"{run} origin --listen 127.0.0.1:{{port}}\"\nmin = 3\nmax = 3\n\
         slow_start = \"300ms\"\n[site.all]\n[[site.all.route]]\npath = \"/*\"\npool = \"app\"\ncache = \"off\"\n"
    )
}

async fn fleet(tentpole: &Tentpole) -> Value {
    let answer = tentpole.admin_visitor().await.get("/api/fleets").await.expect(200);
    let fleets: Value = serde_json::from_slice(&answer.body).expect("it is JSON");
    fleets["fleets"][0].clone()
}

fn ids(fleet: &Value) -> Vec<u64> {
    let all = fleet["instances"].as_array().into_iter().flatten();
    all.filter_map(|instance| instance["id"].as_u64()).collect()
}

async fn serving(tentpole: &Tentpole) -> Vec<u64> {
    until_within(RESTART_MAX, "three to serve", async || {
        let fleet = fleet(tentpole).await;
        let all = fleet["instances"].as_array().cloned().unwrap_or_default();
        all.len() == 3 && all.iter().all(|instance| instance["phase"] == "serving")
    })
    .await;
    ids(&fleet(tentpole).await)
}

#[tokio::test]
async fn a_rolling_restart_under_load_fails_no_request() {
    let program = binary("tentpole-testkit").display().to_string();
    let tentpole = Up::config(&config(&program)).start().await;
    let before = serving(&tentpole).await;
    let crowd = Crowd::start(tentpole.address(), 8, &Manner::asking("/bytes/1000"));
    let run = std::process::Command::new(binary("tentpole"))
        .args(["restart", "app", "--admin", &tentpole.admin().to_string()])
        .output();
    let run = tokio::task::spawn_blocking(move || run).await.expect("it runs").expect("it runs");
    let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(0), "{said}");
    assert!(said.contains("take the place of 3") && said.contains("all instances are new"), "{said}");
    let after = serving(&tentpole).await;
    assert!(after.iter().all(|id| !before.contains(id)), "{before:?} {after:?}");

    // Another command in the file: the same, by a reload.
    let new = config(&format!("env NEW=1 {program}"));
    fs::write(tentpole.dir().join("tentpole.toml"), new).expect("the directory is writable");
    tentpole.admin_visitor().await.ask(&Ask::post("/api/reload", "")).await.expect(200);
    until_within(RESTART_MAX, "all to be new", async || {
        let fleet = fleet(&tentpole).await;
        fleet["restart"].is_null() && ids(&fleet).iter().all(|id| !after.contains(id))
    })
    .await;
    let last = serving(&tentpole).await;

    // One that does not come up: the ones that there are stay.
    fs::write(tentpole.dir().join("tentpole.toml"), config("false")).expect("the directory is writable");
    tentpole.admin_visitor().await.ask(&Ask::post("/api/reload", "")).await.expect(200);
    until_within(RESTART_MAX, "it to stop", async || !fleet(&tentpole).await["restart"]["stopped"].is_null())
        .await;
    let stopped = fleet(&tentpole).await;
    assert_eq!(stopped["restart"]["old"], 3, "{stopped}");
    assert_eq!(serving(&tentpole).await, last);

    let met = crowd.ends().await;
    eprintln!("a rolling restart, and one by reload: {met:?}");
    assert_eq!((met.failed, met.reconnects), (0, 0), "{met:?}");
    assert!(met.good > 500, "{met:?}");
    let no_fleet = Ask::post("/api/fleets/nobody/restart", "");
    assert_eq!(tentpole.admin_visitor().await.ask(&no_fleet).await.status, 404);
    tentpole.ends().await;
}
