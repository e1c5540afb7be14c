//! `tentpole load URL --compare NAME=URL`: two places in turns, with the same requests, each with its own verdict.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use tentpole_load::Run;
use tentpole_testkit::{Origin, Response};

const QUICK: [&str; 6] = ["--step-time", "500ms", "--ramp", "100ms", "--think", "20ms"];

fn loaded(folder: &Path, typed: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.arg("load").args(typed).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).env("TMPDIR", folder);
    command.output().unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn run(folder: &Path, name: &str) -> Run {
    tentpole_report::read(&std::fs::read_to_string(folder.join(name).join("report.json")).unwrap()).unwrap()
}

/// When each step began and ended, in Unix milliseconds.
fn times(run: &Run) -> Vec<(f64, f64)> {
    let began = |step: &tentpole_load::result::StepResult| run.started_unix_ms as f64 + step.began_s * 1e3;
    run.steps.iter().map(|step| (began(step), began(step) + step.took_s * 1e3)).collect()
}

#[tokio::test]
async fn two_places_get_the_same_requests_in_turns_and_each_has_its_own_verdict() {
    let (edge, direct) = (Origin::start().await, Origin::start().await);
    edge.on("/page").respond(Response::ok("here"));
    direct.on("/page").respond(Response::status(500));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/page", edge.url());
    let compare = format!("direct={}", direct.url());
    let typed = [&[&url, "--visitors", "2..8", "--compare", &compare][..], &QUICK].concat();
    let output = loaded(folder.path(), &typed);
    let out = said(&output);
    assert_eq!(output.status.code(), Some(0), "the first one's: {out}");
    let (first, other) = (run(folder.path(), "127.0.0.1"), run(folder.path(), "direct"));
    assert_eq!(first.steps.iter().map(|step| step.load).collect::<Vec<_>>(), [2.0, 4.0, 8.0]);
    assert_eq!(first.highest_held, Some(8.0));
    // It broke at once; lower loads than that broke too.
    assert_eq!((other.steps[0].load, other.highest_held), (2.0, None), "{out}");
    assert!(other.steps.iter().all(|step| step.load <= 2.0 && step.failed == step.requests), "{out}");

    let mut all = [times(&first), times(&other)].concat();
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(all.windows(2).all(|pair| pair[0].1 <= pair[1].0), "one after the other: {all:?}");
    let host = format!("127.0.0.1:{}", edge.address().port());
    let asked = direct.requests();
    assert!(!asked.is_empty());
    for seen in &asked {
        assert_eq!((seen.target.as_str(), seen.header("host")), ("/page", Some(host.as_str())));
    }
    let page = std::fs::read_to_string(folder.path().join("compared.html")).unwrap();
    assert!(page.contains("“direct”") && page.contains("“127.0.0.1”"));
    assert!(one_line(&out).contains("Compared: ./compared.html"), "{out}");
    let rows = |name: &str| out.lines().filter(|line| line.ends_with(&format!("  {name}"))).count();
    assert_eq!((rows("127.0.0.1"), rows("direct")), (first.steps.len(), other.steps.len()), "{out}");
    assert_eq!(page.matches("--compare").count(), 1, "one command made both");
}

#[tokio::test]
async fn what_differs_is_said_with_intervals_where_the_generator_is_believed() {
    let (near, far) = (Origin::start().await, Origin::start().await);
    near.otherwise(|_| Response::ok("here"));
    far.otherwise(|_| Response::ok("here"));
    far.delays(std::time::Duration::from_millis(200));
    let folder = tempfile::tempdir().unwrap();
    let compare = format!("far={}", far.url());
    let url = near.url();
    let output =
        loaded(folder.path(), &[&[&*url, "--visitors", "8..8", "--compare", &compare][..], &QUICK].concat());
    let out = one_line(&said(&output));
    let trusted = ["127.0.0.1", "far"].iter().all(|name| run(folder.path(), name).trusted);
    if trusted {
        assert!(out.contains("“far” at 8 visitors: median") && out.contains(" more"), "{out}");
    } else {
        assert!(out.contains("Do not trust the figures of") && !out.contains("“far” at 8 visitors"), "{out}");
        assert!(out.contains("Nothing is compared with") && !out.contains("which all hold"), "{out}");
    }
}

#[test]
fn a_call_that_cannot_be_meant_sends_nothing_and_says_what_to_type() {
    let folder = tempfile::tempdir().unwrap();
    let url = "http://127.0.0.1:9/";
    for (typed, says) in [
        (vec!["--compare", "http://127.0.0.1:9"], "write a name"),
        (vec!["--compare", "direct=http://127.0.0.1:9/page"], "leave out /page"),
        (
            vec!["--compare", "a=http://127.0.0.1:9", "--compare", "a=http://127.0.0.1:9"],
            "has that name already",
        ),
        (vec!["--compare", "direct=http://127.0.0.1:9", "--find"], "cannot be used with"),
        (vec!["--compare", "direct=http://127.0.0.1:9", "--ca", "x.pem"], "for https:// only"),
    ] {
        let output = loaded(folder.path(), &[&[url][..], &typed].concat());
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(says), "{}", said(&output));
    }
    // Nobody listens at this port.
    let output = loaded(folder.path(), &[url, "--compare", "direct=http://127.0.0.1:9"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing was left");
}
