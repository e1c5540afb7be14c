//! `tentpole load` against real servers, stock nginx and our own edge: TLS, HTTP/2, marks, and visitors who must not suffer.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tentpole_testkit::{Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::https::{Https, LINES};
use tentpole_tests::stock::Stock;
use tentpole_tests::{pool, until};

/// Runs `tentpole load` for a short time in this folder.
async fn load(folder: &Path, typed: &[&str]) -> Output {
    let mut command = Command::new(tentpole_testkit::process::binary("tentpole"));
    command.arg("load").args(typed).args([
        "--visitors",
        "4",
        "--time",
        "700ms",
        "--ramp",
        "0",
        "--think",
        "5ms",
    ]);
    command.args(["--p50", "off", "--p99", "off", "--plain"]).current_dir(folder).stdin(Stdio::null());
    command.env("XDG_STATE_HOME", folder).env("HOME", folder);
    end(command).await
}

/// Waits for its end beside what else the test runs.
async fn end(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn report(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("report.json")).unwrap()).unwrap()
}

fn step(folder: &Path) -> Value {
    report(folder)["steps"][0].clone()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A certificate that signed itself, for the address at which this process's servers listen, and its key, as openssl makes them.
fn certificate(folder: &Path) {
    let arguments = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=nginx \
         -addext subjectAltName=IP:{} -keyout key.pem -out cert.pem",
        tentpole_testkit::address::own().ip()
    );
    let made = std::process::Command::new("openssl")
        .args(arguments.split_ascii_whitespace())
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", said(&made));
}

#[tokio::test]
async fn nginx_is_loaded_over_tls_by_both_versions_of_http() {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path());
    let at = folder.path().display();
    let nginx = Stock::nginx(&format!(
        "server {{ listen {{listen}} ssl http2; ssl_certificate {at}/cert.pem; ssl_certificate_key {at}/key.pem; \
         keepalive_requests 20; location / {{ return 200 hello; }} }}"
    ))
    .await;
    let url = format!("https://{}/", nginx.address());
    for (flag, is_http2) in [(None, true), (Some("--http2"), true), (Some("--http1"), false)] {
        let output =
            load(folder.path(), &[&[&url[..], "--ca", "cert.pem"][..], flag.as_slice()].concat()).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let step = step(folder.path());
        assert_eq!(step["failed"], 0, "{step:#}");
        let requests = step["requests"].as_u64().unwrap();
        assert_eq!(step["http2"], if is_http2 { requests } else { 0 }, "{step:#}");
        assert!(step["handshake_time"]["count"].as_u64().unwrap() >= 4, "each visitor has his own: {step:#}");
    }
    let refused = load(folder.path(), &[&url]).await;
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    let why = said(&refused).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        why.contains("is signed by nobody whom this machine knows. --ca FILE names an authority"),
        "{why}"
    );
    let anybody = load(folder.path(), &[&url, "--insecure"]).await;
    assert_eq!(anybody.status.code(), Some(0), "{}", said(&anybody));
    assert!(said(&anybody).contains("whoever answers is believed"), "{}", said(&anybody));
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("were not verified"), "the report says so too");
}

#[tokio::test]
async fn our_own_edge_is_loaded_over_tls_by_both_versions_of_http() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("hello"));
    let edge = Https::start(&format!("{}{LINES}", pool(&[&origin], ""))).await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = edge.trusted().display().to_string();
    let url = format!("https://localhost:{}/", edge.address.port());
    for (flag, is_http2) in [("--http2", true), ("--http1", false)] {
        let output = load(folder.path(), &[&url, "--ca", &trusted, flag]).await;
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        let step = step(folder.path());
        assert_eq!(step["failed"], 0, "{step:#}");
        assert_eq!(step["http2"].as_u64().unwrap() > 0, is_http2, "{step:#}");
    }
}

#[tokio::test]
async fn a_plan_that_needs_more_ports_than_there_are_is_refused_before_the_run() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("hello"));
    let folder = tempfile::tempdir().unwrap();
    let profile = "stages = [{ visitors = 90000, time = \"1s\" }]";
    std::fs::write(folder.path().join("many.toml"), profile).unwrap();
    let mut command = Command::new(tentpole_testkit::process::binary("tentpole"));
    command
        .args(["load", &origin.url(), "--profile", "many.toml", "--from", "127.0.0.2"])
        .current_dir(folder.path());
    command.stdin(Stdio::null());
    let output = end(command).await;
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("from 1 address this machine can have"), "{}", said(&output));
    assert!(said(&output).contains("--from 127.0.0.2,127.0.0.3"), "{}", said(&output));
}

/// A Tentpole that recognises marks, before this origin, and a crowd of real visitors who ask for `/real` 50 times a second
/// until the answer is dropped.
async fn live(origin: &Origin, folder: &Path) -> (Tentpole, tokio::task::JoinHandle<()>) {
    let log = folder.join("access.log");
    let text = format!(
        "{}[staff]\nload_key = \"env:LOAD_KEY\"\n[log]\naccess = \"json\"\nfile = \"{}\"\n",
        pool(&[origin], ""),
        log.display()
    );
    let tentpole = Up::config(&text).variable("LOAD_KEY", "agreed").start().await;
    let address = tentpole.address();
    let crowd = tokio::spawn(async move {
        let mut visitor = Visitor::connect(address).await;
        let mut turns = tokio::time::interval(Duration::from_millis(20));
        loop {
            turns.tick().await;
            visitor.get("/real").await;
        }
    });
    (tentpole, crowd)
}

/// How long all threads of this Tentpole were ready to run and had no core so far.
fn waited_for_cpu(tentpole: &Tentpole) -> Duration {
    let processes = tentpole.descendants().into_iter().chain([tentpole.pid()]);
    let threads =
        processes.filter_map(|pid| std::fs::read_dir(format!("/proc/{pid}/task")).ok()).flatten().flatten();
    let of = |text: String| text.split(' ').nth(1).and_then(|ns| ns.parse::<u64>().ok());
    let all = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("schedstat")).ok());
    Duration::from_nanos(all.filter_map(of).sum())
}

async fn rehearse(folder: &Path, tentpole: &Tentpole, key: &str, time: &str, by: &[&str]) -> Output {
    let mut command = Command::new(tentpole_testkit::process::binary("tentpole"));
    let (url, admin) = (format!("{}/load", tentpole.url()), format!("http://{}", tentpole.admin()));
    command.args([
        "load",
        &url,
        "--visitors",
        "2",
        "--time",
        time,
        "--ramp",
        "0",
        "--think",
        "20ms",
        "--plain",
    ]);
    command.args(["--key", "env:KEY", "--stop-when", &admin, "--p50", "off", "--p99", "off"]).args(by);
    command.env("KEY", key).env("XDG_STATE_HOME", folder).current_dir(folder).stdin(Stdio::null());
    end(command).await
}

#[tokio::test]
async fn a_run_ends_when_real_visitors_suffer_and_not_when_only_the_load_does() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.on("/real").respond(Response::ok("fine"));
    origin.on("/load").respond(Response::status(500));
    let (tentpole, crowd) = live(&origin, folder.path()).await;
    let output = rehearse(folder.path(), &tentpole, "agreed", "3s", &[]).await;
    let report = report(folder.path());
    assert_eq!(output.status.code(), Some(99), "{}", said(&output));
    assert_eq!((&report["stopped_for"], &report["interrupted"]), (&Value::Null, &Value::Bool(false)));

    let waited = waited_for_cpu(&tentpole);
    let asked = || origin.requests().iter().filter(|seen| seen.path() == "/load").count();
    let before = asked();
    let breaks = async {
        until("the second run has begun", async || asked() > before + 20).await;
        origin.on("/real").respond(Response::status(500));
    };
    let (output, ()) = tokio::join!(rehearse(folder.path(), &tentpole, "agreed", "60s", &[]), breaks);
    crowd.abort();
    let report = self::report(folder.path());
    let why = report["stopped_for"].as_str().unwrap_or_else(|| panic!("{}", said(&output)));
    assert!(why.contains("visitors' requests failed (wanted under 1 %)"), "{why}");
    assert!(said(&output).contains("Ended to spare real visitors"), "{}", said(&output));
    // From the last moment at which nobody suffered to the last request: 2 s, and what the scheduler kept from everybody who
    // takes part.
    let spared = |name: &str| report["spared"][name].as_f64().unwrap_or_else(|| panic!("{report:#}"));
    let lost = spared("waited_for_cpu_s") + (waited_for_cpu(&tentpole) - waited).as_secs_f64();
    let took = spared("last_request_s") - spared("held_s");
    assert!(took <= 2.0 + lost, "it took {took} s, of which {lost} s were the scheduler's: {report:#}");
    assert!(spared("held_s") <= spared("seen_s") && took > 0.0, "{report:#}");
    assert!(report["steps"][0]["requests"].as_u64().unwrap() > 0, "what was measured is kept: {report:#}");

    let seen = origin.requests().into_iter().find(|seen| seen.path() == "/load").unwrap();
    let mark = seen.header("tentpole-load").unwrap_or_default().to_owned();
    assert!(mark.starts_with("run=") && mark.contains("; sig="), "the application sees it: {mark}");
    until("the access log tells marked requests from others", async || {
        let log = std::fs::read_to_string(folder.path().join("access.log")).unwrap_or_default();
        let lines = |path: &str| {
            log.lines().filter(|line| line.contains(path)).map(str::to_owned).collect::<Vec<_>>()
        };
        let (load, real) = (lines("\"/load\""), lines("\"/real\""));
        !load.is_empty()
            && !real.is_empty()
            && load.iter().all(|line| line.contains("\"load\":true"))
            && !real.iter().any(|line| line.contains("\"load\":true"))
    })
    .await;
}

/// A process that makes load for another, and where it listens; killed when dropped.
struct Agent(std::process::Child, String);

impl Agent {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(tentpole_testkit::process::binary("tentpole"));
        command.args([
            "load",
            "agent",
            "--listen",
            "127.0.0.1:0",
            "--key",
            "env:AGENTS",
            "--load-key",
            "env:KEY",
        ]);
        command.args(["--threads", "1"]).env("AGENTS", "what agents have in common").env("KEY", "agreed");
        let mut child =
            command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        let address = said.strip_prefix("Agent at ").unwrap().split(';').next().unwrap().to_owned();
        Self(child, address)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_run_of_agents_ends_when_real_visitors_suffer() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.on("/real").respond(Response::ok("fine"));
    origin.on("/load").respond(Response::status(500));
    let (tentpole, crowd) = live(&origin, folder.path()).await;
    let agents = [Agent::start(folder.path()), Agent::start(folder.path())];
    let list = format!("{},{}", agents[0].1, agents[1].1);
    std::fs::write(folder.path().join("common"), "what agents have in common").unwrap();
    let by = ["--agents", &list, "--agents-key", "file:common"];
    let waited = waited_for_cpu(&tentpole);
    let asked = || origin.requests().iter().filter(|seen| seen.path() == "/load").count();
    let breaks = async {
        until("the run has begun", async || asked() > 20).await;
        origin.on("/real").respond(Response::status(500));
    };
    let (output, ()) = tokio::join!(rehearse(folder.path(), &tentpole, "agreed", "60s", &by), breaks);
    crowd.abort();
    let report = report(folder.path());
    let why = report["stopped_for"].as_str().unwrap_or_else(|| panic!("{}", said(&output)));
    assert!(why.contains("visitors' requests failed (wanted under 1 %)"), "{why}");
    // The last request is an agent's, by the coordinator's clock; agents wait for cores too, and do not say how long.
    let spared = |name: &str| report["spared"][name].as_f64().unwrap_or_else(|| panic!("{report:#}"));
    let lost = spared("waited_for_cpu_s") + (waited_for_cpu(&tentpole) - waited).as_secs_f64();
    let took = spared("last_request_s") - spared("held_s");
    assert!(
        took > 0.0 && took <= 10.0 + lost,
        "it took {took} s, {lost} s of it the scheduler's: {report:#}"
    );
    let marked =
        |seen: &tentpole_testkit::Seen| seen.header("tentpole-load").unwrap_or_default().contains("; sig=");
    let load = origin.requests().into_iter().filter(|seen| seen.path() == "/load");
    assert!(load.into_iter().all(|seen| marked(&seen)), "agents sign each request");
}

#[tokio::test]
async fn a_run_does_not_begin_where_its_mark_is_not_recognised() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().unwrap());
    origin.on("/real").respond(Response::ok("fine"));
    origin.on("/load").respond(Response::ok("fine"));
    let (tentpole, crowd) = live(&origin, folder.path()).await;
    let output = rehearse(folder.path(), &tentpole, "another", "3s", &[]).await;
    crowd.abort();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("Give it the same key: load_key in [staff]"), "{}", said(&output));
}
