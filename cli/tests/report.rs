//! `tentpole report` as people type it: pages of kept runs, and what it says to what is none.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use tentpole_testkit::{Origin, Response};

fn tentpole(folder: &Path, typed: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.args(typed).current_dir(folder).env("XDG_STATE_HOME", folder).env_remove("NO_COLOR");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A folder in which `before` and `after` hold the reports of two short runs.
async fn two_runs() -> tempfile::TempDir {
    let origin = Origin::start().await;
    origin.on("/page").respond(Response::ok("here"));
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/page", origin.url());
    for (out, visitors) in [("before", "2..4"), ("after", "2..8")] {
        let typed = ["load", &url, "--visitors", visitors, "--out", out];
        let quick = ["--step-time", "200ms", "--ramp", "50ms", "--think", "10ms"];
        let (at, typed) = (folder.path().to_owned(), [&typed[..], &quick].concat().join(" "));
        let run = move || tentpole(&at, &typed.split(' ').collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(run).await.unwrap();
        let said = text(&output.stdout);
        assert!(said.ends_with(&format!("Report: {out}/report.html\n")), "{said}");
    }
    folder
}

#[tokio::test]
async fn two_kept_runs_become_one_page() {
    let folder = two_runs().await;
    let output = tentpole(folder.path(), &["report", "before", "after/report.html"]);
    let out = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{out}{}", text(&output.stderr));
    assert!(out.starts_with("before: "), "{out}");
    assert!(out.contains("\nafter: ") && out.ends_with("\nReport: compared.html\n"), "{out}");
    let page = fs::read_to_string(folder.path().join("compared.html")).unwrap();
    assert!(page.contains("<h1>\u{201c}before\u{201d} "), "the headline names them");

    let typed = ["report", "before", "after", "--label", "1 server", "--label", "<b>", "--out", "x.html"];
    assert_eq!(tentpole(folder.path(), &typed).status.code(), Some(0));
    let page = fs::read_to_string(folder.path().join("x.html")).unwrap();
    assert!(page.contains("1 server") && page.contains("&lt;b&gt;") && !page.contains("<b>\u{201d}"));
}

#[tokio::test]
async fn one_kept_run_becomes_its_page_again() {
    let folder = two_runs().await;
    let made = fs::read_to_string(folder.path().join("before/report.html")).unwrap();
    let output = tentpole(folder.path(), &["report", "before/report.json"]);
    assert!(text(&output.stdout).ends_with("\nReport: report.html\n"), "{}", text(&output.stderr));
    assert!(fs::read_to_string(folder.path().join("report.html")).unwrap() == made, "the same as at first");

    let output = tentpole(folder.path(), &["report", "report.html"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "error: --out report.html: this is one of the reports that are read. Name another file.\n"
    );
}

#[test]
fn what_is_no_report_is_named_with_the_cure() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("a.csv", "url,p99\n"),
        ("a.json", "{\"hits\":3}"),
        ("new.json", "{\"format\":2}"),
        ("a.html", "<p>hello"),
    ] {
        fs::write(folder.path().join(name), content).unwrap();
    }
    fs::create_dir(folder.path().join("empty")).unwrap();
    for (typed, says) in [
        (&["a.csv"][..], "error: a.csv: this is not JSON ("),
        (&["a.json"], "error: a.json: this is JSON, but not the report of a run (missing field `format`"),
        (
            &["new.json"],
            "error: new.json: this report has form 2; this Tentpole (0.1.0) reads form 1. Read it with",
        ),
        (&["a.html"], "error: a.html: this is a web page, but not the report of a run. Give the JSON"),
        (&["empty"], "error: empty/report.json: this file cannot be read: No such file"),
        (
            &["a.json", "--label", "x", "--label", "y"],
            "error: 2 labels for 1 file: each --label names one file",
        ),
        (&["1", "2", "3", "4", "5", "6", "7"], "error: 7 runs are too many for one chart; name 6 at most."),
        (&[], "error: the following required arguments were not provided:\n  <FILE>..."),
    ] {
        let output = tentpole(folder.path(), &[&["report"][..], typed].concat());
        let err = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{typed:?}: {err}");
        assert!(err.starts_with(says), "{typed:?}: {err}");
        assert!(fs::read_dir(folder.path()).unwrap().count() == 5, "nothing is written");
    }
}
