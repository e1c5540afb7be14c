//! How a search ends that does not end well: a site that goes away, one that never breaks, one that never holds. Each ends with an honest
//! sentence and the exit code of the documentation.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tentpole_load::Run;
use tentpole_load::found::Ended;
use tentpole_testkit::Known;
use tentpole_testkit::known::Limit;

/// What is not typed otherwise: trials of a tenth of a second, and times that a machine which is held up keeps, too.
const USUAL: [(&str, &str); 5] =
    [("--find-time", "6s"), ("--think", "20ms"), ("--ramp", "50ms"), ("--p50", "20s"), ("--p99", "25s")];

fn start(folder: &Path, url: &str, typed: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.args(["load", url, "--find"]).args(typed).current_dir(folder).stdin(Stdio::null());
    let usual = USUAL.into_iter().filter(|(flag, _)| !typed.contains(flag));
    command.args(usual.flat_map(|(flag, value)| [flag, value]));
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).env("TMPDIR", folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// In one line.
fn said(output: &Output) -> String {
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn run(folder: &Path) -> Run {
    tentpole_report::read(&std::fs::read_to_string(folder.join("report.json")).unwrap()).unwrap()
}

fn places(places: usize) -> Known {
    Known::start(Limit::Places { places, work: Duration::from_millis(1) }).unwrap()
}

/// A generator that was held up ends the search, whatever the site does, and says so.
fn was_held_up(run: &Run, output: &Output) -> bool {
    let is_held_up = run.found.as_ref().is_some_and(|found| found.ended == Ended::Distrusted);
    if is_held_up {
        assert_eq!(output.status.code(), Some(1), "{}", said(output));
        assert!(said(output).contains("Do not trust these figures."), "{}", said(output));
    }
    is_held_up
}

#[test]
fn a_site_that_never_breaks_holds_the_most_that_was_tried() {
    let (folder, server) = (tempfile::tempdir().unwrap(), places(1_000));
    let child = start(folder.path(), &server.url(), &["--visitors", "5..20"]);
    let output = child.wait_with_output().unwrap();
    let (run, said) = (run(folder.path()), said(&output));
    assert!(said.contains("Searching from 5 to 20 visitors: at most 6 s of trials;"), "{said}");
    assert!(said.contains("trial 1: 5 visitors for 0.1 s, until it breaks; at most 6 s left"), "{said}");
    if was_held_up(&run, &output) {
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("Holds 20 visitors, the most that was tried."), "{said}");
    assert!(said.contains("to be sure that it holds"), "{said}");
    assert!(!said.contains("Breaks") && !said.contains("to break"), "{said}");
}

#[test]
fn a_site_that_never_holds_is_tried_down_to_one_visitor() {
    let (folder, server) = (tempfile::tempdir().unwrap(), places(0));
    let child = start(folder.path(), &server.url(), &["--visitors", "4..20"]);
    let output = child.wait_with_output().unwrap();
    let (run, said) = (run(folder.path()), said(&output));
    if was_held_up(&run, &output) {
        return;
    }
    assert_eq!(output.status.code(), Some(99), "{said}");
    // It answers with errors without any load, too: that ends the search after the first trial.
    assert!(said.contains("answers with 503"), "{said}");
    assert!(said.contains("It stayed down when the load was gone, so the search ended there."), "{said}");
    assert!(
        said.contains("Seems to break below 4 visitors; first to go is the share of failures."),
        "{said}"
    );
    assert!(!said.contains("--find-time)"), "more time would not help: {said}");
}

#[test]
fn too_much_for_one_visitor_is_said() {
    let (folder, server) = (tempfile::tempdir().unwrap(), places(1_000));
    // Each answer takes 1 ms: no load holds, and the site answers all the time.
    let child = start(folder.path(), &server.url(), &["--visitors", "4..20", "--p50", "0.5ms"]);
    let output = child.wait_with_output().unwrap();
    let (run, said) = (run(folder.path()), said(&output));
    if was_held_up(&run, &output) {
        return;
    }
    assert_eq!(output.status.code(), Some(99), "{said}");
    assert!(said.contains("until it holds"), "{said}");
    assert!(said.contains("Breaks at a single visitor; first to go is the median."), "{said}");
}

#[test]
fn time_for_too_few_trials_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = start(folder.path(), "http://127.0.0.1:9", &["--think", "5s"]).wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(
        said(&output).contains("--find-time is at least 40 s where visitors think for 5 s."),
        "{}",
        said(&output)
    );
}

#[test]
fn a_site_that_goes_away_in_the_middle_ends_the_search() {
    let (folder, server) = (tempfile::tempdir().unwrap(), places(1_000));
    let mut child = start(folder.path(), &server.url(), &["--visitors", "2..10000", "--find-time", "1m"]);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains("trial 2: ") {
        assert!(out.read_line(&mut text).unwrap() > 0, "{text}");
    }
    drop(server);
    out.read_to_string(&mut text).unwrap();
    let mut output = child.wait_with_output().unwrap();
    output.stdout = text.into_bytes();
    let (run, text) = (run(folder.path()), said(&output));
    assert!(run.found.as_ref().unwrap().breaks.is_none() && run.breaking_point.is_none(), "{text}");
    if was_held_up(&run, &output) {
        return;
    }
    assert_eq!((output.status.code(), run.stays_down), (Some(99), true), "{text}");
    assert!(text.contains("It stayed down when the load was gone, so the search ended there."), "{text}");
    assert!(text.contains("Nothing is sure.") && text.contains("connection refused"), "{text}");
    assert!(!text.contains("--find-time)"), "more time would not help: {text}");
}
