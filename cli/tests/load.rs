//! `tentpole load` as people type it: what it says, how it exits, what it leaves, whom it refuses to load.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tentpole_testkit::{Origin, Response};

/// `tentpole load …` in a folder that is also its home.
fn load(folder: &Path, typed: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.arg("load").args(typed).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).env_remove("NO_COLOR");
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn loaded(folder: &Path, typed: &[&str]) -> Output {
    load(folder, typed).wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap()
}

/// A climb that takes a second or two, by visitors who come every 20 ms.
const QUICK: [&str; 6] = ["--step-time", "400ms", "--ramp", "100ms", "--think", "20ms"];

#[tokio::test]
async fn what_holds_exits_with_0_and_leaves_a_report() {
    let origin = Origin::start().await;
    origin.on("/page").respond(Response::ok("here"));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/page", origin.url());
    let output = loaded(folder.path(), &[&[&url, "--visitors", "2..8"][..], &QUICK].concat());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    assert!(out.contains("Holds 8 visitors: every objective held.\n"), "{out}");
    assert!(out.ends_with("Report: ./report.html\n"), "{out}");
    assert!(!out.contains('\u{1b}'), "no escapes into a pipe: {out:?}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let report = report(folder.path());
    assert_eq!((&report["url"], &report["highest_held"]), (&Value::from(url.as_str()), &Value::from(8.0)));
    assert_eq!(report["steps"].as_array().unwrap().len(), 3);
    assert!(report["command"].as_str().unwrap().starts_with("tentpole load http://127.0.0.1:"));
}

#[tokio::test]
async fn what_breaks_exits_with_99_and_says_where_and_by_what() {
    // Beyond 10 requests at once everybody gets an error page.
    let origin = Origin::start().await;
    let at_once = Arc::new(AtomicUsize::new(0));
    let seen = at_once.clone();
    origin.otherwise(move |seen_now| {
        // Connections stand for visitors: each has one.
        let visitor = usize::try_from(seen_now.connection).unwrap();
        seen.fetch_max(visitor, SeqCst);
        if seen.load(SeqCst) > 11 { Response::status(503) } else { Response::ok("here") }
    });
    let folder = tempfile::tempdir().unwrap();
    let output = loaded(
        folder.path(),
        &[&[&origin.url()[..], "--visitors", "5..100", "--out", "a/b"][..], &QUICK].concat(),
    );
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(99), "{out}{}", text(&output.stderr));
    assert!(out.contains("Breaks at 13 visitors: errors 100 % (wanted under 1 %). Holds 10."), "{out}");
    assert!(out.contains("now between the last load that held and the first that broke"), "{out}");
    assert!(out.contains("× status 5xx"), "{out}");
    let report = report(&folder.path().join("a/b"));
    assert_eq!(report["highest_held"], 10.0);
    assert_eq!(report["breaking_point"]["broke"]["objective"], "errors");
}

/// A server that works on one request at a time, 5 ms long, whoever else waits: 200 requests a second, no more.
fn one_at_a_time() -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let work = Arc::new(std::sync::Mutex::new(()));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, work) = (stream.unwrap(), work.clone());
            std::thread::spawn(move || {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|length| length > 0) {
                    let working = work.lock().unwrap();
                    std::thread::sleep(Duration::from_millis(5));
                    drop(working);
                    if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

/// S1.2: load time climbs with the number of visitors until it is too long.
#[test]
fn a_server_that_slows_beyond_some_visitors_breaks_by_its_load_times() {
    let folder = tempfile::tempdir().unwrap();
    let output = loaded(
        folder.path(),
        &[&[&one_at_a_time()[..], "--visitors", "2..", "--p50", "60ms"][..], &QUICK].concat(),
    );
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(99), "{out}{}", text(&output.stderr));
    assert!(out.contains(": median ") && out.contains("(wanted under 60 ms)"), "{out}");
    let report = report(folder.path());
    // 5 ms of work each and 20 ms to think: 4 visitors keep it busy, 16 wait 60 ms for one another.
    let broke = report["breaking_point"]["load"].as_f64().unwrap();
    let held = report["highest_held"].as_f64().unwrap();
    assert!((8.0..=32.0).contains(&broke) && held < broke && held >= 2.0, "{held} {broke}");
}

#[tokio::test]
async fn a_slow_answer_breaks_by_the_median() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    origin.delays(Duration::from_millis(60));
    let folder = tempfile::tempdir().unwrap();
    let typed = ["--visitors", "3", "--time", "500ms", "--ramp", "0", "--think", "20ms", "--p50", "50ms"];
    let output = loaded(folder.path(), &[&[&origin.url()[..]][..], &typed].concat());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(99), "{out}");
    assert!(out.contains("Breaks at 3 visitors: median 6"), "{out}");
    assert!(out.contains("(wanted under 50 ms). No load held."), "{out}");
}

#[test]
fn nobody_there_exits_with_3_and_no_report() {
    let folder = tempfile::tempdir().unwrap();
    // Bound and not listening: nobody else gets the port meanwhile.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", taken.local_addr().unwrap());
    drop(taken);
    let output = loaded(folder.path(), &[&url]);
    assert_eq!(output.status.code(), Some(3));
    let err = text(&output.stderr);
    assert!(
        err.contains("does not answer: connection refused. Is it running, and is this its port?"),
        "{err}"
    );
    let output = loaded(folder.path(), &["http://no-such-host.invalid/"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no-such-host.invalid has no address"));
    assert!(!folder.path().join("report.json").exists());
}

#[tokio::test]
async fn a_redirect_to_another_host_is_told_before_anything_is_loaded() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::redirect("http://www.elsewhere.example/"));
    let folder = tempfile::tempdir().unwrap();
    let output = loaded(folder.path(), &[&origin.url()]);
    assert_eq!(output.status.code(), Some(3));
    let err = text(&output.stderr);
    assert!(err.contains("redirects to http://www.elsewhere.example/, which is another host"), "{err}");
    assert_eq!(origin.request_count(), 1);
}

#[test]
fn a_wrong_call_exits_with_2_and_says_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let broken =
        "[[journey]]\n[[journey.step]]\npath = \"page\"\n[[journey.step]]\npath = \"/{x}\"\ntink = \"1s\"\n";
    std::fs::write(folder.path().join("journey.toml"), broken).unwrap();
    for (typed, says) in [
        (&["localhost:8080"][..], "has no scheme; write \"http://localhost:8080\"."),
        (&["https://localhost"], "needs TLS"),
        (&["http://localhost", "--visitors", "10..5"], "goes down; write 5..10"),
        (&["http://localhost", "--visitors", "1.5"], "there are no parts of visitors"),
        (&["http://localhost", "--visitors", "200000"], "100000 at most"),
        (&["http://localhost", "--visitors", "5", "--rate", "5"], "cannot be used with"),
        (&["http://localhost", "--time", "1m"], "A climb has --step-time"),
        (&["http://localhost", "--think", "1"], "write 500ms, 10s"),
        (&["http://localhost", "--errors", "5"], "write 1% or 0.5%"),
        (&["http://localhost", "--timeout", "5m"], "up to 120 s"),
        (&["http://localhost", "--cpu", "3-1"], "write 2,3 or 4-7"),
        (&["http://localhost", "--journey", "shopping"], "there is no journey \"shopping\": write shop, or"),
        (&["http://localhost", "--profile", "no.toml"], "no.toml: this file cannot be read"),
        (&["http://localhost", "--journey", "journey.toml"], "journey.toml:3:8: `path` begins with /"),
        (
            &["http://localhost", "--journey", "journey.toml"],
            "journey.toml:5:8: nothing sets `{x}` before this step",
        ),
        (&["http://localhost", "--journey", "journey.toml"], "journey.toml:6:1: `tink` is not known here"),
    ] {
        let output = loaded(folder.path(), typed);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{typed:?}: {err}");
        assert!(err.starts_with("error: ") && err.contains(says), "{typed:?}: {err}");
    }
}

#[test]
fn a_host_that_is_not_this_machine_is_not_loaded_without_leave() {
    let folder = tempfile::tempdir().unwrap();
    let output = loaded(folder.path(), &["http://192.0.2.1:81/"]);
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("192.0.2.1 (192.0.2.1) is not this machine"), "{err}");
    assert!(err.contains("tentpole load http://192.0.2.1:81/ --i-may-load 192.0.2.1"), "{err}");
    let output = loaded(folder.path(), &["http://192.0.2.1:81/", "--i-may-load", "192.0.2.2"]);
    assert_eq!(output.status.code(), Some(2), "leave for another host is none");
}

#[test]
fn leave_that_was_given_once_is_remembered() {
    // A name that has no address gets as far as the resolver, so an address that is not routed stands in.
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("tentpole")).unwrap();
    std::fs::write(folder.path().join("tentpole/confirmed-hosts"), "other\n0.0.0.0\n").unwrap();
    // 0.0.0.0 is no loopback address, and connects to this machine, where nobody listens at port 1.
    let output = loaded(folder.path(), &["http://0.0.0.0:1/"]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let other = tempfile::tempdir().unwrap();
    assert_eq!(loaded(other.path(), &["http://0.0.0.0:1/"]).status.code(), Some(2));
    let typed = ["http://0.0.0.0:1/", "--i-may-load", "0.0.0.0"];
    assert_eq!(loaded(other.path(), &typed).status.code(), Some(3));
}

#[tokio::test]
async fn the_generator_stays_on_the_cores_it_was_given_and_takes_no_others() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    let folder = tempfile::tempdir().unwrap();
    let typed = ["--visitors", "4", "--time", "200ms", "--ramp", "0", "--think", "5ms", "--cpu"];
    let output = loaded(folder.path(), &[&[&origin.url()[..]][..], &typed, &["0,1000"]].concat());
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stdout));
    assert!(
        text(&output.stderr).contains("--cpu: this machine has no such core"),
        "{}",
        text(&output.stderr)
    );
    let output = loaded(folder.path(), &[&[&origin.url()[..]][..], &typed, &["0"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let machine = &report(folder.path())["machine"];
    assert_eq!((&machine["pinned"], &machine["threads"]), (&serde_json::json!([0]), &1.into()));
}

#[tokio::test]
async fn ctrl_c_keeps_what_was_measured() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    let folder = tempfile::tempdir().unwrap();
    let typed = ["--visitors", "4", "--time", "10m", "--ramp", "0", "--think", "5ms"];
    let child = load(folder.path(), &[&[&origin.url()[..]][..], &typed].concat());
    origin.until_requests(100).await;
    let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "what was seen until then held: {out}");
    assert!(out.contains("Ended before its time"), "{out}");
    let report = report(folder.path());
    assert_eq!(report["interrupted"], true);
    let step = &report["steps"][0];
    assert!(step["requests"].as_u64().unwrap() >= 50 && step["took_s"].as_f64().unwrap() < 60.0, "{step}");
}

#[tokio::test]
async fn a_profile_has_stages_objectives_and_journeys() {
    let origin = Origin::start().await;
    origin.on("/a").respond(Response::ok("<b>x</b>"));
    origin.on("/b/x").respond(Response::ok(""));
    let folder = tempfile::tempdir().unwrap();
    let profile = "objectives = { p50 = \"300ms\", errors = \"50%\" }\n\
                   stages = [{ visitors = 3, time = \"300ms\" }, { visitors = 6, time = \"300ms\", ramp = \"100ms\" }]\n\
                   [[journey]]\nname = \"walk\"\n[[journey.step]]\npath = \"/a\"\n\
                   extract = [{ name = \"x\", between = [\"<b>\", \"</b>\"] }]\n\
                   [[journey.step]]\nname = \"b\"\npath = \"/b/{x}\"\nthink = \"1ms\"\n";
    std::fs::write(folder.path().join("p.toml"), profile).unwrap();
    let output = loaded(folder.path(), &[&origin.url(), "--profile", "p.toml", "--think", "10ms"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", text(&output.stdout), text(&output.stderr));
    let report = report(folder.path());
    let loads: Vec<f64> =
        report["steps"].as_array().unwrap().iter().map(|step| step["load"].as_f64().unwrap()).collect();
    assert_eq!(loads, [3.0, 6.0]);
    assert_eq!(report["journey"]["steps"], serde_json::json!(["/a", "b"]));
    assert_eq!(
        (&report["objectives"]["p50_ms"], &report["objectives"]["p99_ms"]),
        (&300.0.into(), &2000.0.into())
    );
}

#[tokio::test]
async fn the_shops_journey_is_read_and_asks_the_shops_markets() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("nothing"));
    let folder = tempfile::tempdir().unwrap();
    let typed = ["--journey", "shop", "--visitors", "6", "--time", "400ms", "--ramp", "0", "--think", "10ms"];
    let output = loaded(folder.path(), &[&[&origin.url()[..]][..], &typed].concat());
    assert_eq!(output.status.code(), Some(99), "{}", text(&output.stderr));
    assert!(report(folder.path())["steps"][0]["failures"]["extract"].as_u64().unwrap() > 0);
    let markets = origin
        .requests()
        .iter()
        .filter_map(|seen| seen.header("host").map(str::to_owned))
        .collect::<Vec<_>>();
    assert!(markets.iter().any(|host| host.starts_with("shop.localhost:")), "{markets:?}");
}
