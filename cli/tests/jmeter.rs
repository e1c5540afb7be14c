//! A plan that JMeter made and JMeter runs makes the same requests as often when Tentpole has imported it. Needs
//! Debian's packages `jmeter` and `jmeter-http`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tentpole_testkit::{Origin, Response};

const HOME: &str = "/usr/share/jmeter";

/// Runs a script with JMeter's classes.
fn script(name: &str, properties: &[(&str, &str)]) {
    assert!(Path::new(HOME).join("bin/ApacheJMeter.jar").exists(), "apt-get install jmeter jmeter-http");
    let classes = format!("{HOME}/bin/ApacheJMeter.jar:{HOME}/lib/ext/*:{HOME}/lib/*:/usr/share/java/*");
    let mut java = Command::new("java");
    java.arg("-Djava.awt.headless=true").arg(format!("-Djmeter.home={HOME}"));
    java.args(properties.iter().map(|(name, value)| format!("-D{name}={value}")));
    java.arg("-cp").arg(classes).arg("bsh.Interpreter");
    java.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/jmeter").join(name));
    let output = java.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}{}", said(&output.stdout), said(&output.stderr));
}

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Method, path and query, content without the numbers of tokens → how often, without the first so many.
fn counts(origin: &Origin, passed: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for seen in origin.requests().into_iter().skip(passed) {
        let mut text = seen.text();
        if let Some(at) = text.find("token=") {
            let known = text[at..].trim_start_matches("token=").starts_with("t-");
            text.replace_range(at.., if known { "token=known" } else { "token=unknown" });
        }
        *counts.entry(format!("{} {} {text}", seen.method, seen.target).trim().to_owned()).or_default() += 1;
    }
    counts
}

async fn shop() -> Origin {
    let origin = Origin::start().await;
    for path in ["/terms", "/c/shoes", "/search", "/cart", "/never", "/new", "/first"] {
        origin.on(path).respond(Response::ok("here"));
    }
    origin.on("/").respond_with(|seen| {
        let page = format!("<input name=\"token\" value=\"t-{}\">", seen.target.len());
        Response::ok(page).header("Set-Cookie", "session=1")
    });
    origin.on_method("POST", "/login").respond_with(|seen| {
        // Signed in, and the cookie came back: a redirect and a page, as often as in JMeter.
        if seen.cookie("session").is_some() { Response::ok("Welcome") } else { Response::status(403) }
    });
    origin.on("/missing").respond(Response::status(404));
    origin.on("/old").respond(Response::redirect("/new"));
    origin
}

#[tokio::test]
async fn a_plan_made_by_jmeter_makes_the_same_requests_as_often_as_jmeter_does() {
    let origin = shop().await;
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.jmx").display().to_string();
    let users = folder.path().join("users.csv").display().to_string();
    std::fs::write(&users, "ann,one\nbob,two\ncid,three\n").unwrap();
    let port = origin.address().port().to_string();
    script("make.bsh", &[("plan", &plan), ("host", "127.0.0.1"), ("port", &port), ("users", &users)]);

    let path = |name: &str| folder.path().join(name).display().to_string();
    let (jtl, log) = (path("jmeter.jtl"), path("jmeter.log"));
    script("run.bsh", &[("plan", &plan), ("jtl", &jtl), ("log", &log)]);
    let log = || said(&std::fs::read(&log).unwrap_or_default());
    let by_jmeter = counts(&origin, 0);
    assert_eq!(by_jmeter.values().sum::<usize>(), 278, "{by_jmeter:#?}\n{}", log());

    let tentpole = |typed: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
        command.arg("load").args(typed).current_dir(folder.path()).stdin(Stdio::null());
        command.env("HOME", folder.path()).env("XDG_STATE_HOME", folder.path()).output().unwrap()
    };
    let imported = tentpole(&["import", "plan.jmx", "--out", "plan.toml"]);
    assert!(imported.status.success(), "{}", said(&imported.stderr));
    let notes = said(&imported.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(notes.contains("IfController \"Perhaps\" is not understood"), "{notes}");
    assert!(notes.contains("1 disabled elements are left out"), "{notes}");
    let url = origin.url();
    let out = said(&imported.stdout);
    assert!(out.contains(&format!("tentpole load {url} --profile plan.toml")), "{out}");

    // `--errors off`: a request of the plan is answered with 404 on purpose.
    let run = tentpole(&[
        &url,
        "--profile",
        "plan.toml",
        "--errors",
        "off",
        "--p50",
        "off",
        "--p99",
        "off",
        "--plain",
    ]);
    assert_eq!(run.status.code(), Some(0), "{}{}", said(&run.stdout), said(&run.stderr));
    let mut by_tentpole = counts(&origin, 278);
    // The first question, whether anybody is there.
    *by_tentpole.get_mut("GET /").unwrap() -= 1;
    let text = std::fs::read_to_string(folder.path().join("plan.toml")).unwrap();
    assert_eq!(by_tentpole, by_jmeter, "{text}");
}

#[tokio::test]
async fn jmeter_reads_the_lines_that_a_run_leaves() {
    let origin = shop().await;
    let folder = tempfile::tempdir().unwrap();
    let journey = "[[journey]]\nvisitors = 2\ntimes = 10\nfailures = \"go on\"\n\
                   [[journey.step]]\nname = \"home, \\\"sweet\\\"\"\npath = \"/\"\nthink = \"0\"\n\
                   [[journey.step]]\nname = \"gone\"\npath = \"/missing\"\nthink = \"0\"\n";
    std::fs::write(folder.path().join("j.toml"), journey).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.args(["load", &origin.url(), "--profile", "j.toml", "--plain", "--out-jtl", "run.jtl"]);
    command.current_dir(folder.path()).stdin(Stdio::null()).env("HOME", folder.path());
    let run = command.env("XDG_STATE_HOME", folder.path()).output().unwrap();
    assert_eq!(run.status.code(), Some(99), "half of it fails: {}", said(&run.stderr));
    let path = |name: &str| folder.path().join(name).display().to_string();
    script("read.bsh", &[("jtl", &path("run.jtl")), ("out", &path("answer"))]);
    let answer = std::fs::read_to_string(path("answer")).unwrap();
    let mut labels: Vec<&str> = answer.split_once("true ").unwrap().1.split_terminator(';').collect();
    labels.sort_unstable();
    assert!(answer.starts_with("40 20 true "), "{answer}");
    assert_eq!(labels, ["gone", "home, \"sweet\""]);
}
