//! `tentpole load` as people type it: what it says, how it exits, what it leaves, whom it refuses to load.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod servers;

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
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).env("TMPDIR", folder).env_remove("NO_COLOR");
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

fn run(folder: &Path) -> tentpole_load::Run {
    tentpole_report::read(&std::fs::read_to_string(folder.join("report.html")).unwrap()).unwrap()
}

/// A climb that takes a second or two, by visitors who come every 20 ms.
const QUICK: [&str; 6] = ["--step-time", "1s", "--ramp", "100ms", "--think", "20ms"];

#[tokio::test]
async fn what_holds_exits_with_0_and_leaves_a_report() {
    let origin = Origin::start().await;
    origin.on("/page").respond(Response::ok("here"));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/page", origin.url());
    let output = loaded(folder.path(), &[&[&url, "--visitors", "2..8"][..], &QUICK].concat());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    let said = one_line(&out);
    assert!(
        said.contains("Holds 8 visitors, the most that was tried. Every objective held: median"),
        "{out}"
    );
    assert!(said.contains(&tentpole_report::verdict(&run(folder.path()))), "as the page says: {out}");
    assert!(out.ends_with("Report: ./report.html\n"), "{out}");
    assert!(!out.contains('\u{1b}'), "no escapes into a pipe: {out:?}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let report = report(folder.path());
    assert_eq!((&report["url"], &report["highest_held"]), (&Value::from(url.as_str()), &Value::from(8.0)));
    assert_eq!(report["steps"].as_array().unwrap().len(), 3);
    assert!(report["command"].as_str().unwrap().starts_with("tentpole load http://127.0.0.1:"));
}

#[test]
fn what_breaks_exits_with_99_and_says_where_and_by_what() {
    // With more than 10 connections everybody gets an error page. Connections stand for visitors: each has one.
    let url = server(|connections| if connections > 10 { UNAVAILABLE } else { GOOD });
    let folder = tempfile::tempdir().unwrap();
    let output =
        loaded(folder.path(), &[&[&url[..], "--visitors", "5..100", "--out", "a/b"][..], &QUICK].concat());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(99), "{out}{}", text(&output.stderr));
    assert!(one_line(&out).contains("of the requests failed (wanted under 1 %)"), "{out}");
    assert!(out.contains("now between the last load that held and the first that broke"), "{out}");
    assert!(out.contains("× status 5xx"), "{out}");
    let report = report(&folder.path().join("a/b"));
    assert_eq!(report["highest_held"], 10.0);
    assert_eq!(first_broken(&report, &out), (13.0, "errors".to_owned()));
}

/// The lowest load that broke, and by what. A generator that had no core in time says so: then there is no breaking point.
fn first_broken(report: &Value, out: &str) -> (f64, String) {
    let steps = report["steps"].as_array().unwrap().iter().filter(|step| !step["broke"].is_null());
    let step =
        steps.min_by(|a, b| a["load"].as_f64().unwrap().total_cmp(&b["load"].as_f64().unwrap())).unwrap();
    let load = step["load"].as_f64().unwrap();
    if report["trusted"] == true {
        assert_eq!(report["breaking_point"]["load"], load);
        assert!(out.contains(&format!("Breaks at {load} visitors: ")), "{out}");
    } else {
        assert!(report["breaking_point"].is_null(), "{report}");
        assert!(one_line(out).contains(&format!("Seen at {load} visitors: ")), "{out}");
    }
    (load, step["broke"]["objective"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn what_the_generator_could_not_do_stands_first_and_is_no_breaking_point() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("slow"));
    origin.delays(Duration::from_millis(300));
    let folder = tempfile::tempdir().unwrap();
    let typed =
        ["--rate", "100", "--in-flight", "2", "--time", "1s", "--ramp", "0", "--out-prometheus", "m.prom"];
    let output = loaded(folder.path(), &[&[&origin.url()[..]][..], &typed].concat());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(99), "an objective did not hold: {out}{}", text(&output.stderr));
    let (table, result) = out.split_once("\n\n").unwrap();
    assert!(table.contains("✗ errors"), "{out}");
    assert!(result.starts_with("Do not trust these figures."), "{out}");
    assert!(one_line(result).contains("Where it breaks cannot be said: the generator was"), "{out}");
    assert!(!out.contains("Breaks at"), "{out}");
    let report = report(folder.path());
    assert_eq!((&report["trusted"], &report["breaking_point"]), (&Value::from(false), &Value::Null));
    let figures = std::fs::read_to_string(folder.path().join("m.prom")).unwrap();
    assert!(figures.contains("tentpole_load_trusted"), "{figures}");
    assert!(!figures.contains("tentpole_load_breaking_point"), "{figures}");
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(!page.contains("breaks at"), "nor is one drawn");
}

/// A server of threads that answers each request with what `answer` makes of the number of open connections.
fn server(answer: impl Fn(usize) -> &'static str + Send + Sync + 'static) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (open, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, open, answer) = (stream.unwrap(), open.clone(), answer.clone());
            open.fetch_add(1, SeqCst);
            std::thread::spawn(move || {
                let mut asked = [0; 4096];
                while stream.read(&mut asked).is_ok_and(|length| length > 0) {
                    if stream.write_all(answer(open.load(SeqCst)).as_bytes()).is_err() {
                        break;
                    }
                }
                open.fetch_sub(1, SeqCst);
            });
        }
    });
    url
}

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const UNAVAILABLE: &str = "HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno";

/// A server that works on one request at a time, 5 ms long, whoever else waits: 200 requests a second, no more.
fn one_at_a_time() -> String {
    let work = std::sync::Mutex::new(());
    server(move |_| {
        let working = work.lock().unwrap();
        std::thread::sleep(Duration::from_millis(5));
        drop(working);
        GOOD
    })
}

/// The lines of a terminal put together again.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
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
    let (broke, _) = first_broken(&report, &out);
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
    let report = report(folder.path());
    assert_eq!(first_broken(&report, &out), (3.0, "p50".to_owned()));
    let median = report["steps"][0]["broke"]["seen"].as_f64().unwrap();
    assert!(median >= 60.0, "{median}");
    assert!(one_line(&out).contains("(wanted under 50 ms)"), "{out}");
}

#[test]
fn nobody_there_exits_with_3_and_no_report() {
    let folder = tempfile::tempdir().unwrap();
    let nobody = tentpole_testkit::address::Nobody::new();
    let url = format!("http://{}", nobody.address());
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

#[test]
fn who_answers_something_else_than_http_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let output = loaded(folder.path(), &[&server(|_| "SSH-2.0-OpenSSH_9.9\r\n\r\n")]);
    assert_eq!(output.status.code(), Some(3));
    let err = text(&output.stderr);
    assert!(err.contains("does not answer as a web server does: response not understood"), "{err}");
}

#[test]
fn a_folder_that_takes_no_report_is_told_before_anything_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    for (out, says) in [("file/x", "this folder cannot be made"), ("/proc/self", "no file can be made")] {
        let output = loaded(folder.path(), &["http://127.0.0.1:1/", "--out", out]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert!(err.contains(&format!("--out {out}: {says}")), "{err}");
    }
}

#[test]
fn the_run_before_is_kept_and_both_can_be_compared() {
    let folder = tempfile::tempdir().unwrap();
    let url = server(|_| GOOD);
    let typed = |visitors| [&url[..], "--visitors", visitors, "--time", "200ms", "--ramp", "0"];
    let first = loaded(folder.path(), &typed("2"));
    assert!(!text(&first.stdout).contains("is kept"), "{}", text(&first.stdout));
    let second = loaded(folder.path(), &typed("3"));
    assert!(text(&second.stdout).contains("The run before is kept: ./report-before.json\n"));
    let load = |name: &str| {
        let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
        tentpole_report::read(&text).unwrap().steps[0].load
    };
    assert_eq!([load("report.json"), load("report.html")], [3.0, 3.0]);
    assert_eq!([load("report-before.json"), load("report-before.html")], [2.0, 2.0]);
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("report"))
        .collect();
    names.sort();
    assert_eq!(names.len(), 4, "nothing half-written is left: {names:?}");
}

#[tokio::test]
async fn a_report_whose_folder_went_away_is_left_elsewhere() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    let folder = tempfile::tempdir().unwrap();
    let typed = ["--visitors", "2", "--time", "5s", "--ramp", "0", "--think", "10ms", "--out", "gone"];
    let child = load(folder.path(), &[&[&origin.url()[..]][..], &typed].concat());
    // The first request is the question whether anybody is there: the folder has been tried by then.
    origin.until_requests(5).await;
    std::fs::remove_dir(folder.path().join("gone")).unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(err.contains("warning: the report is not where it was wanted: gone/report.json:"), "{err}");
    let page = out.trim_end().rsplit_once("Report: ").unwrap().1;
    assert!(page.starts_with(folder.path().to_str().unwrap()), "where temporary files go: {page}");
    assert!(std::fs::read_to_string(page).unwrap().starts_with("<!doctype html>"));
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

/// Answers heads of HTTP, and waits for the end of whatever else it is sent, as small servers do.
fn waits_for_a_head() -> String {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            std::thread::spawn(move || {
                let mut line = Vec::new();
                while stream.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                    if line.ends_with(b"\r\n\r\n") && stream.get_mut().write_all(GOOD.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    place
}

#[test]
fn who_takes_the_wrong_scheme_is_told_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let secure = servers::Secure::start(folder.path());
    let at_once = server(|_| GOOD).strip_prefix("http://").unwrap().to_owned();
    for (typed, speaks, other) in [
        (
            format!("http://127.0.0.1:{}/p", secure.port),
            "speaks TLS",
            format!("https://127.0.0.1:{}/p", secure.port),
        ),
        (format!("https://{at_once}/p"), "does not speak TLS", format!("http://{at_once}/p")),
    ] {
        let output = loaded(folder.path(), &[&typed]);
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{err}");
        assert!(err.contains(&format!("{speaks}, and answers as {other}. Load that instead.")), "{err}");
    }
    // Here nothing comes back to what TLS begins with.
    let patient = waits_for_a_head();
    let output = loaded(folder.path(), &[&format!("https://{patient}/")]);
    let err = text(&output.stderr);
    assert!(err.contains(&format!("does not speak TLS, and answers as http://{patient}/")), "{err}");
    assert!(!err.contains("in time"), "{err}");
}

#[tokio::test]
async fn a_percentile_of_few_requests_holds_and_says_on_how_many_it_rests() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    let folder = tempfile::tempdir().unwrap();
    let url = origin.url();
    let typed = ["--visitors", "1", "--time", "300ms", "--ramp", "0", "--p50", "30s", "--p99", "30s"];
    let output = loaded(folder.path(), &[&[&*url][..], &typed].concat());
    let out = one_line(&text(&output.stdout));
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    assert!(out.contains("Holds 1 visitor, the most that was tried."), "{out}");
    let count = report(folder.path())["steps"][0]["response_time"]["count"].as_u64().unwrap();
    let requests = if count == 1 { "1 request".to_owned() } else { format!("{count} requests") };
    assert!(
        out.contains(&format!("The p99 at 1 visitor rests on {requests} only, and means little below 100")),
        "{out}"
    );
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("The p99 at 1 visitor rests on"), "the page says it too");
}

#[test]
fn a_wrong_call_exits_with_2_and_says_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let broken =
        "[[journey]]\n[[journey.step]]\npath = \"page\"\n[[journey.step]]\npath = \"/{x}\"\ntink = \"1s\"\n";
    std::fs::write(folder.path().join("journey.toml"), broken).unwrap();
    let orders = "[[journey]]\n[[journey.step]]\npath = \"/order\"\nmethod = \"POST\"\n";
    std::fs::write(folder.path().join("orders.toml"), orders).unwrap();
    for (typed, says) in [
        (&["localhost:8080"][..], "has no scheme; write \"http://localhost:8080\"."),
        (
            &["ftp://localhost:8080/"],
            "only http:// and https:// are loaded: write \"http://localhost:8080/\".",
        ),
        (
            &["http://ann:secret@localhost:8080"],
            "no name and password here; write \"http://localhost:8080\".",
        ),
        (&["https://localhost", "--ca", "no.pem"], "no.pem: it cannot be read"),
        (&["http://localhost", "--insecure"], "for https:// only"),
        (&["http://localhost", "--from", "192.0.2.1"], "192.0.2.1 is no address of this machine"),
        (&["http://localhost", "--pause", "normal"], "is no distribution; write around, fixed"),
        (&["http://localhost", "--burst", "5"], "--burst has no effect here: it goes with --rate N."),
        (&["http://localhost", "--visitors", "2", "--burst", "5"], "--burst has no effect here"),
        (&["http://localhost", "--rate", "2", "--half-life", "5s"], "it goes with --burst"),
        (&["http://localhost", "--visitors", "2", "--speed", "3"], "it goes with --replay"),
        (&["http://localhost", "--all-methods"], "it goes with --replay"),
        (&["http://localhost", "--in-flight", "3"], "it goes with --rate or --replay"),
        (&["http://localhost", "--arrivals", "constant"], "it goes with --rate"),
        (&["http://localhost", "--find-time", "1m"], "it goes with --find"),
        (&["http://localhost", "--visitors", "1", "--step-time", "1s"], "it goes with a climb"),
        (&["http://localhost", "--visitors", "1..9", "--visitors-max", "5"], "a climb without an end"),
        (&["http://localhost", "--key", "secret"], "write env:NAME or file:PATH"),
        (&["http://localhost", "--key", "env:TENTPOLE_NO_SUCH_KEY"], "TENTPOLE_NO_SUCH_KEY is not set"),
        (&["http://localhost", "--stop-when", "http://localhost:1"], "--key"),
        (
            &["http://localhost", "--journey", "orders.toml"],
            "step \"/order\" of journey \"journey 1\" orders",
        ),
        (&["http://localhost", "--visitors", "10..5"], "goes down; write 5..10"),
        (&["http://localhost", "--visitors", "1.5"], "there are no parts of visitors"),
        (&["http://localhost", "--visitors", "2000000"], "1000000 at most"),
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
    let typed = ["--visitors", "4", "--time", "1s", "--ramp", "0", "--think", "5ms", "--cpu"];
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
    let said = "Holds 4 visitors. It was interrupted; this is what was measured until then.";
    assert!(one_line(&out).contains(said) && !out.contains("Ended before"), "{out}");
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
                   stages = [{ visitors = 3, time = \"1s\" }, { visitors = 6, time = \"1s\", ramp = \"100ms\" }]\n\
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
async fn where_steps_of_a_journey_fail_it_says_which() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    origin.on("/cart").respond(Response::ok(r#"{"state":"sold out"}"#));
    let folder = tempfile::tempdir().unwrap();
    let journey = "[[journey]]\nname = \"buy\"\n[[journey.step]]\nname = \"home\"\npath = \"/\"\n\
                   [[journey.step]]\nname = \"cart\"\npath = \"/cart\"\ncheck = [{ json = \"$.state\", is = \"added\" }]\n";
    std::fs::write(folder.path().join("buy.toml"), journey).unwrap();
    let typed =
        ["--journey", "buy.toml", "--visitors", "2", "--time", "1s", "--ramp", "0", "--think", "20ms"];
    let output = loaded(folder.path(), &[&[&origin.url()[..]], &typed[..]].concat());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(99), "{out}{}", text(&output.stderr));
    let report = report(folder.path());
    let cart = &report["steps"][0]["journey_steps"][1];
    assert_eq!(cart["count"], cart["failed"], "{cart}");
    assert!(out.contains("× check did not hold"), "{out}");
    assert!(one_line(&out).contains(&format!("Failed at cart ({0} of {0}).", cart["count"])), "{out}");
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

#[tokio::test]
async fn a_baseline_says_what_changed_and_may_lie_where_the_report_goes() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("here"));
    let folder = tempfile::tempdir().unwrap();
    let typed = ["--visitors", "3", "--time", "500ms", "--ramp", "0", "--think", "20ms"];
    let url = origin.url();
    let usual = [&[&url[..]][..], &typed].concat();
    loaded(folder.path(), &usual);
    let output = loaded(folder.path(), &[&usual[..], &["--baseline", "report.json"]].concat());
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    assert!(one_line(&out).contains("Since the run of "), "{out}");
    let run = run(folder.path());
    assert!(run.since.len() > 1, "{:?}", run.since);
    let output = loaded(folder.path(), &[&usual[..], &["--baseline", "nothing.json"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--baseline nothing.json: this file cannot be read"));
}
