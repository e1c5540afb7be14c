//! How far a rolling restart and an upgrade are, seen step by step in the status: each step is held until it was seen.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tentpole_testkit::process::runs;
use tentpole_testkit::{Ask, Gate, Origin, Response, Step, Tentpole, Up, binary};
use tentpole_tests::{pool, until_within};

/// How long a step may take on a busy machine.
const STEP_MAX: Duration = Duration::from_secs(60);

/// What a program waits for: a file that this test makes. Who removes it goes on, so each one lets one go on.
fn waits_for(go: &Path) -> String {
    format!("until rm {} 2>/dev/null; do sleep 0.05; done", go.display())
}

/// A program in the directory of a Tentpole.
fn script(at: &Path, text: &str) -> PathBuf {
    fs::write(at, format!("#!/bin/sh\n{text}\n")).expect("the directory is writable");
    fs::set_permissions(at, fs::Permissions::from_mode(0o755)).expect("it is ours");
    at.to_owned()
}

/// What `tentpole status` says, for programs or for people.
async fn said(tentpole: &Tentpole, flags: &[&str]) -> String {
    let mut command = Command::new(binary("tentpole"));
    command.arg("status").args(flags).args(["--admin", &tentpole.admin().to_string()]);
    let run = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
    String::from_utf8_lossy(&run.stdout).into_owned()
}

/// `Null` while a control process is replaced.
async fn status(tentpole: &Tentpole) -> Value {
    serde_json::from_str(&said(tentpole, &["--json"]).await).unwrap_or(Value::Null)
}

/// Looks until the status fits; returns it.
async fn until_status(tentpole: &Tentpole, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    until_within(STEP_MAX, what, async || {
        last = status(tentpole).await;
        fits(&last)
    })
    .await;
    last
}

#[tokio::test]
async fn a_rolling_restart_is_seen_step_by_step() {
    let scratch = tempfile::tempdir().expect("there is room");
    let go = scratch.path().join("go");
    let origin = format!("exec {} origin --listen 127.0.0.1:\"$1\"", binary("tentpole-testkit").display());
    let run = script(&scratch.path().join("run"), &format!("{}\n{origin}", waits_for(&go)));
    let config = format!(
        "threads = 1\n[pool.app]\n[pool.app.fleet]\nrun = \"{} {{port}}\"\nmin = 3\nmax = 3\nslow_start = \"300ms\"\n\
         [site.all]\n[[site.all.route]]\npath = \"/*\"\npool = \"app\"\n",
        run.display()
    );
    let all_go = tokio::spawn({
        let go = go.clone();
        async move {
            loop {
                fs::write(&go, "").expect("the directory is writable");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    });
    let tentpole = Up::config(&config).start().await;
    until_within(STEP_MAX, "three to serve", async || {
        let answer = tentpole.admin_visitor().await.get("/api/fleets").await.text();
        answer.matches("\"phase\":\"serving\"").count() == 3
    })
    .await;
    all_go.abort();
    assert!(all_go.await.is_err_and(|end| end.is_cancelled()));
    // What nobody took.
    let _ = fs::remove_file(&go);
    assert_eq!(status(&tentpole).await["restarts"], json!([]));

    let mut command = Command::new(binary("tentpole"));
    command.args(["restart", "app", "--admin", &tentpole.admin().to_string()]).stdout(Stdio::piped());
    let mut command = command.spawn().expect("it runs");
    let mut lines = BufReader::new(command.stdout.take().expect("it is piped")).lines();
    let mut next_line = || lines.next().expect("it says more").expect("it can be read");
    assert!(next_line().contains("take the place of 3"));
    let mut since = None;
    for step in 0..3_u64 {
        let now = until_status(&tentpole, "a step", |now| now["restarts"][0]["new"] == step).await;
        let restart = now["restarts"][0].clone();
        let began = *since.get_or_insert(restart["since_unix_ms"].as_u64().expect("it is told"));
        assert!(began > 0);
        let all = json!({ "pool": "app", "new": step, "of": 3, "since_unix_ms": began, "stopped": null });
        assert_eq!(restart, all);
        let text = said(&tentpole, &[]).await;
        let line = text.lines().find(|line| line.starts_with("restart of app for ")).unwrap_or_default();
        assert!(line.ends_with(&format!(": {step} of 3 instances are new")), "{text}");
        if step > 0 {
            assert_eq!(next_line(), format!("app: {step} of 3 instances are new"));
        }
        // The next one may start.
        fs::write(&go, "").expect("the directory is writable");
    }
    until_status(&tentpole, "all to be new", |now| now["restarts"] == json!([])).await;
    assert!(!said(&tentpole, &[]).await.contains("restart of"));
    assert!(command.wait().expect("it ends").success());
    tentpole.ends().await;
}

#[tokio::test]
async fn an_upgrade_is_seen_step_by_step_and_then_what_its_old_edge_still_has() {
    let origin = Origin::start().await;
    let gate = Gate::new();
    let steps = [Step::send("begun"), Step::wait(&gate)];
    origin.on("/slow").respond(Response::ok("").header("Cache-Control", "no-store").chunked(steps));
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let (check, edge) = (tentpole.dir().join("go-check"), tentpole.dir().join("go-edge"));
    let program = script(
        &tentpole.dir().join("held"),
        &format!(
            "case \"$2\" in\ncheck) {} ;;\nedge) {} ;;\nesac\nexec {} \"$@\"",
            waits_for(&check),
            waits_for(&edge),
            binary("tentpole").display()
        ),
    );
    let mut reader = tentpole.visitor().await;
    let mut slow = reader.begin(&Ask::get("/slow")).await;
    slow.until(5).await;
    let old = tentpole.edge_pid();
    let quiet = json!({ "under_way": null, "leaving": [], "done": 0, "refused": 0, "given_back": 0 });
    until_status(&tentpole, "nothing under way", |now| now["upgrade"] == quiet).await;

    let wish = format!("{{\"program\":\"{}\"}}", program.display());
    let ask = Ask::post("/api/upgrade", wish).header("Content-Type", "application/json");
    let mut asking = tentpole.admin_visitor().await.patience(STEP_MAX);
    let asked = tokio::spawn(async move { asking.ask(&ask).await });
    let mut since = None;
    for (step, words, go) in [
        ("checking", "the new program is asked whether it can", &check),
        ("opening", "its edge starts and takes the hottest objects", &edge),
    ] {
        let now =
            until_status(&tentpole, step, |now| now["upgrade"]["under_way"]["step"].as_str() == Some(step))
                .await;
        let under_way = &now["upgrade"]["under_way"];
        assert_eq!(under_way["program"], program.display().to_string(), "{now}");
        let began = *since.get_or_insert(under_way["since_unix_ms"].as_u64().expect("it is told"));
        assert_eq!(under_way["since_unix_ms"], began, "{now}");
        let text = said(&tentpole, &[]).await;
        assert!(text.contains(&format!("upgrade to {}, for ", program.display())), "{text}");
        assert!(text.contains(words), "{text}");
        fs::write(go, "").expect("the directory is writable");
    }
    asked.await.expect("it is answered").expect(200);

    // One connection is open at the edge before, and its end is told.
    let now = until_status(&tentpole, "the open connection", |now| {
        now["upgrade"]["leaving"][0]["connections"] == 1
    })
    .await;
    let upgrade = &now["upgrade"];
    assert_eq!((&upgrade["under_way"], &upgrade["done"]), (&Value::Null, &json!(1)), "{now}");
    assert_eq!(upgrade["leaving"][0]["pid"], old, "{now}");
    let moment = |field: &str| upgrade["leaving"][0][field].as_u64().expect("it is told");
    assert!(moment("since_unix_ms") >= since.expect("it was told"), "{now}");
    assert!(moment("until_unix_ms") > moment("since_unix_ms"), "{now}");
    let text = said(&tentpole, &[]).await;
    assert!(
        text.contains("an edge before an upgrade leaves for ") && text.contains(": 1 connection"),
        "{text}"
    );
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.text();
    assert!(metrics.contains("tentpole_program_upgrades_total{result=\"done\"} 1\n"), "{metrics}");
    assert!(metrics.contains("tentpole_leaving_edge_connections 1\n"), "{metrics}");

    gate.release();
    assert_eq!(slow.rest().await.status, 200);
    drop(reader);
    until_within(STEP_MAX, "the edge before to end", async || !runs(old)).await;
    until_status(&tentpole, "nobody to be leaving", |now| now["upgrade"]["leaving"] == json!([])).await;
    tentpole.ends().await;
}
