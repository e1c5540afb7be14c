//! What a run leaves for other tools: JUnit, JMeter's lines, Prometheus, an OpenTelemetry collector. And what is imported
//! by the command.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod servers;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use servers::Secure;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;
use tentpole_testkit::{Origin, Response};

fn tentpole(folder: &Path, typed: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.arg("load").args(typed).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Good pages, and one that is not there.
async fn origin() -> Origin {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("0123456789"));
    origin.on("/gone").respond(Response::status(404));
    origin
}

const JOURNEY: &str = "[[journey]]\nvisitors = 3\ntimes = 10\nfailures = \"go on\"\n\
    [[journey.step]]\nname = \"home, <sweet>\"\npath = \"/\"\nthink = \"0\"\n[[journey.step]]\nname = \"gone\"\npath = \"/gone\"\nthink = \"0\"\n";

/// A collector that answers each POST with this status and hands on path and body.
fn collector(status: &'static str) -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (to, received) = sync_channel(100);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            stream.read_line(&mut line).unwrap();
            let path = line.split(' ').nth(1).unwrap().to_owned();
            while line.trim() != "" {
                line.clear();
                stream.read_line(&mut line).unwrap();
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream
                .get_mut()
                .write_all(format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}").as_bytes())
                .unwrap();
            if to.send((path, serde_json::from_slice(&body).unwrap())).is_err() {
                return;
            }
        }
    });
    (url, received)
}

#[tokio::test]
async fn a_run_leaves_what_other_tools_read() {
    let origin = origin().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("j.toml"), JOURNEY).unwrap();
    let (collector, received) = collector("200 OK");
    let url = origin.url();
    let typed = [
        &url,
        "--profile",
        "j.toml",
        "--errors",
        "10%",
        "--p50",
        "off",
        "--out-junit",
        "junit.xml",
        "--out-jtl",
        "run.jtl",
        "--out-prometheus",
        "run.prom",
        "--otlp",
        &collector,
    ];
    let output = tentpole(folder.path(), &typed);
    assert_eq!(
        output.status.code(),
        Some(99),
        "half of it fails: {}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    assert!(!text(&output.stderr).contains("warning"), "{}", text(&output.stderr));
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();

    let junit = read("junit.xml");
    assert!(junit.contains("<testcase name=\"p99 under 2000.0 ms\" classname=\"objectives\""), "{junit}");
    assert!(junit.contains("message=\"errors 50.00 %, wanted under 10.00 %\""), "{junit}");
    assert!(junit.contains("<testcase name=\"home, &lt;sweet&gt;\" classname=\"steps\""), "{junit}");
    assert!(junit.contains("30 of 30 failed (100.00 %)"), "{junit}");
    let failures = junit.matches("<failure ").count();
    assert!(junit.contains(&format!("failures=\"{failures}\"")) && !junit.contains("median"), "{junit}");

    let jtl = read("run.jtl");
    let lines: Vec<&str> = jtl.lines().collect();
    assert_eq!(lines.len(), 61, "{jtl}");
    assert_eq!(lines.iter().filter(|line| line.contains(",\"home, <sweet>\",200,OK,visitor ")).count(), 30);
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains(",gone,404,status 4xx,") && line.contains(",false,"))
            .count(),
        30
    );

    let prometheus = read("run.prom");
    let labels = format!("url=\"{url}/\",number=\"1\",load=\"3\"");
    for line in [
        format!("tentpole_load_requests_total{{{labels}}} 60"),
        format!("tentpole_load_failures_total{{{labels},cause=\"status 4xx\"}} 30"),
        format!("tentpole_load_response_seconds_count{{{labels}}} 30"),
        format!("tentpole_load_step_requests_total{{{labels},step=\"gone\",outcome=\"failed\"}} 30"),
    ] {
        assert!(prometheus.lines().any(|known| known == line), "{line}\n{prometheus}");
    }

    // 0.1 + 0.2 is not 0.30000000000000004 here.
    let is_short = |value: &str| value.bytes().filter(u8::is_ascii_digit).count() <= 16;
    let values =
        prometheus.lines().filter(|line| !line.starts_with('#')).map(|line| line.rsplit_once(' ').unwrap().1);
    assert!(values.clone().count() > 10 && values.clone().all(is_short), "{prometheus}");

    let (path, body) = received.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(path, "/v1/metrics");
    follows_the_schema(&body);
    let metrics =
        body.pointer("/resourceMetrics/0/scopeMetrics/0/metrics").and_then(Value::as_array).unwrap();
    let requests = metrics.iter().find(|metric| metric["name"] == "tentpole.load.requests").unwrap();
    assert_eq!(requests["sum"]["dataPoints"][0]["asInt"], "60");
    assert_eq!(requests["sum"]["aggregationTemporality"], 2);
    let times = metrics.iter().find(|metric| metric["name"] == "tentpole.load.response_time").unwrap();
    assert_eq!(times["summary"]["dataPoints"][0]["count"], "30");
}

/// The JSON form of `ExportMetricsServiceRequest`, as far as it is used: names of fields, 64-bit numbers as texts.
fn follows_the_schema(body: &Value) {
    let whole = |value: &Value| value.as_str().is_some_and(|text| text.parse::<u64>().is_ok());
    for resource in body["resourceMetrics"].as_array().unwrap() {
        for attribute in resource["resource"]["attributes"].as_array().unwrap() {
            assert!(
                attribute["key"].is_string() && attribute["value"]["stringValue"].is_string(),
                "{attribute}"
            );
        }
        for scope in resource["scopeMetrics"].as_array().unwrap() {
            assert!(scope["scope"]["name"].is_string());
            for metric in scope["metrics"].as_array().unwrap() {
                let kinds: Vec<&str> = ["gauge", "sum", "summary"]
                    .into_iter()
                    .filter(|kind| metric.get(kind).is_some())
                    .collect();
                assert!(
                    metric["name"].is_string() && metric["unit"].is_string() && kinds.len() == 1,
                    "{metric}"
                );
                let points = metric[kinds[0]]["dataPoints"].as_array().unwrap();
                assert!(!points.is_empty(), "{metric}");
                for point in points {
                    assert!(whole(&point["timeUnixNano"]) && point["attributes"].is_array(), "{point}");
                    let value = match kinds[0] {
                        "summary" => {
                            whole(&point["count"])
                                && point["sum"].is_f64()
                                && point["quantileValues"].is_array()
                        }
                        _ => point["asDouble"].is_number() || whole(&point["asInt"]),
                    };
                    assert!(value, "{point}");
                }
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_left_is_said_and_costs_nothing_else() {
    let origin = origin().await;
    let folder = tempfile::tempdir().unwrap();
    let url = origin.url();
    let before = tentpole(folder.path(), &[&url, "--out-junit", "no/folder.xml"]);
    assert_eq!(before.status.code(), Some(2));
    assert!(
        text(&before.stderr).contains("no/folder.xml: no file can be made there"),
        "{}",
        text(&before.stderr)
    );
    let same = tentpole(folder.path(), &[&url, "--out-junit", "x", "--out-jtl", "./x"]);
    assert_eq!(same.status.code(), Some(2));
    assert!(
        text(&same.stderr).contains("--out-junit and --out-jtl would be one file"),
        "{}",
        text(&same.stderr)
    );
    let report = tentpole(folder.path(), &[&url, "--out-jtl", "report.json"]);
    assert!(
        text(&report.stderr).contains("--out-jtl and its data would be one file"),
        "{}",
        text(&report.stderr)
    );
    assert_eq!(origin.request_count(), 0, "it is known before anything is sent");
    let (collector, _received) = collector("503 No");
    let after = tentpole(
        folder.path(),
        &[&url, "--visitors", "1", "--time", "200ms", "--ramp", "0", "--otlp", &collector],
    );
    assert_eq!(after.status.code(), Some(0), "{}", text(&after.stderr));
    assert!(
        text(&after.stderr).contains("--otlp: 127.0.0.1:")
            && text(&after.stderr).contains("answers with 503")
    );
}

#[tokio::test]
async fn a_recording_is_imported_and_walked_also_directly() {
    let origin = Origin::start().await;
    origin.on("/").respond_with(|seen| {
        Response::ok(format!(
            "<input name=\"csrf\" value=\"t{}\">",
            seen.header("x-user").map_or(0, str::len)
        ))
    });
    origin.on_method("POST", "/cart").respond_with(|seen| {
        if seen.text() == "csrf=t0" { Response::ok("in it") } else { Response::status(403) }
    });
    let url = origin.url();
    let har = |token: &str| {
        let entry = |method: &str, path: &str, sent: &str, body: &str| {
            format!(
                r#"{{"startedDateTime":"2026-03-01T10:00:00Z","time":1,"request":{{"method":"{method}","url":"{url}{path}","headers":[]{sent}}},
                "response":{{"status":200,"headers":[],"content":{{"mimeType":"text/html","text":{}}},"redirectURL":""}}}}"#,
                serde_json::to_string(body).unwrap()
            )
        };
        let form = format!(
            r#","postData":{{"mimeType":"application/x-www-form-urlencoded","text":"csrf={token}"}}"#
        );
        format!(
            r#"{{"log":{{"entries":[{},{}]}}}}"#,
            entry("GET", "/", "", &format!("<input name=\"csrf\" value=\"{token}\">")),
            entry("POST", "/cart", &form, "in it")
        )
    };
    let folder = tempfile::tempdir().unwrap();
    for (name, token) in [("a.har", "abc"), ("b.har", "xyz1")] {
        std::fs::write(folder.path().join(name), har(token)).unwrap();
    }
    let load = |journey: &str| {
        let typed = [
            "--journey",
            journey,
            "--visitors",
            "1",
            "--time",
            "300ms",
            "--ramp",
            "0",
            "--think",
            "10ms",
            "--plain",
        ];
        tentpole(folder.path(), &[&[&url[..]][..], &typed].concat())
    };
    let imported = tentpole(folder.path(), &["import", "a.har", "b.har", "--out", "shop.toml"]);
    assert!(imported.status.success(), "{}", text(&imported.stderr));
    assert!(text(&imported.stdout).contains(&format!("Walk it: tentpole load {url} --profile shop.toml")));
    let walked = load("shop.toml");
    assert_eq!(walked.status.code(), Some(0), "the token of each page is used: {}", text(&walked.stdout));
    // One recording knows no better than to send its token, which is somebody else's.
    let direct = load("a.har");
    assert_eq!(direct.status.code(), Some(99), "{}{}", text(&direct.stdout), text(&direct.stderr));
    assert!(
        text(&direct.stderr).contains("one recording cannot show what changes"),
        "{}",
        text(&direct.stderr)
    );
    std::fs::write(folder.path().join("bad.har"), "{\"log\": 1}").unwrap();
    let bad = tentpole(folder.path(), &["import", "bad.har"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(text(&bad.stderr).contains("bad.har:1: column 9: this is not a HAR"), "{}", text(&bad.stderr));
}

#[tokio::test]
async fn a_collector_over_tls_is_told_and_one_that_nobody_vouches_for_is_not() {
    let (folder, origin) = (tempfile::tempdir().unwrap(), origin().await);
    let collector = Secure::start(folder.path());
    let (url, at) = (origin.url(), format!("https://localhost:{}", collector.port));
    let load = [
        &url,
        "--visitors",
        "2",
        "--time",
        "300ms",
        "--ramp",
        "0s",
        "--plain",
        "--p50",
        "off",
        "--p99",
        "off",
    ];
    let output = tentpole(folder.path(), &[&load[..], &["--otlp", &at, "--otlp-ca", "ca.pem"]].concat());
    let said = text(&output.stderr);
    assert!(output.status.success() && !said.contains("--otlp"), "{said}");
    let told = collector.seen();
    assert!(
        !told.is_empty() && told.iter().all(|asked| asked.head.starts_with("POST /v1/metrics HTTP/1.1\r\n")),
        "{told:?}"
    );
    let last: Value = serde_json::from_str(&told[told.len() - 1].body).unwrap();
    assert!(last["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].is_array(), "{last}");

    let output = tentpole(folder.path(), &[&load[..], &["--otlp", &at]].concat());
    let said = text(&output.stderr);
    let why = format!("--otlp: localhost:{} does not take it: ", collector.port);
    assert!(output.status.success() && said.contains(&why) && said.contains("certificate"), "{said}");
    assert_eq!(collector.seen().len(), told.len(), "nothing was told to it");
    for (typed, says) in [
        (
            ["--otlp", "http://localhost:1", "--otlp-ca", "ca.pem"],
            "--otlp-ca is for a collector at https:// only",
        ),
        (["--otlp", &at, "--otlp-ca", "gone.pem"], "gone.pem"),
        (["--otlp", "localhost", "--out", "."], "write http://HOST:4318 or https://HOST:4318"),
    ] {
        let output = tentpole(folder.path(), &[&load[..], &typed].concat());
        assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
    }
}

/// What is at this place, whole; nothing from one who says nothing.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut answer = String::new();
    // Who is sent away sees an end, or a reset.
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
        .and_then(|()| stream.read_to_string(&mut answer));
    answer
}

#[tokio::test]
async fn figures_are_served_while_it_runs_and_who_is_slow_keeps_nobody_from_them() {
    let (folder, origin) = (tempfile::tempdir().unwrap(), origin().await);
    let url = origin.url();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.args([
        "load",
        &url,
        "--visitors",
        "2",
        "--time",
        "120s",
        "--ramp",
        "0s",
        "--plain",
        "--metrics",
        "127.0.0.1:0",
    ]);
    command.current_dir(folder.path()).env("HOME", folder.path()).env("XDG_STATE_HOME", folder.path());
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let at = lines
        .find_map(|line| Some(line.strip_prefix("Figures at http://")?.split('/').next()?.to_owned()))
        .unwrap();
    let asking = tokio::task::spawn_blocking(move || {
        // As many as are answered at once, who ask nothing: they are sent away after a second.
        let idle: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(&at).unwrap()).collect();
        let mut answer = String::new();
        while !answer.contains("tentpole_load_") {
            std::thread::sleep(Duration::from_millis(50));
            answer = get(&at, "/metrics");
        }
        let mut wrong = String::new();
        while wrong.is_empty() {
            wrong = get(&at, "/");
        }
        drop(idle);
        (answer, wrong)
    });
    let (answer, wrong) = asking.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{answer}");
    assert!(answer.contains(&format!("url=\"{url}/\"")), "{answer}");
    assert!(wrong.starts_with("HTTP/1.1 404 ") && wrong.contains("/metrics"), "{wrong}");
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
    let rest = lines.collect::<Vec<_>>().join("\n");
    assert!(child.wait().unwrap().code().is_some() && rest.contains("Report: "), "{rest}");

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let there = taken.local_addr().unwrap().to_string();
    let output = tentpole(folder.path(), &[&url, "--metrics", &there]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("Is something else there?"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_run_that_was_interrupted_is_no_green_build() {
    let origin = origin().await;
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tentpole"))
        .args([
            "load",
            &origin.url(),
            "--visitors",
            "2",
            "--time",
            "5m",
            "--ramp",
            "0",
            "--think",
            "10ms",
            "--plain",
        ])
        .args(["--out-junit", "junit.xml"])
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while origin.request_count() < 50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kill_process(Pid::from_raw(child.id() as i32).unwrap(), Signal::INT).unwrap();
    tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).unwrap();
    let case = "<testcase name=\"the run went to its end\" classname=\"run\"";
    let after = junit.split(case).nth(1).unwrap();
    assert!(
        after.split("</testcase>").next().unwrap().contains("<failure message=\"interrupted after "),
        "{junit}"
    );
}
