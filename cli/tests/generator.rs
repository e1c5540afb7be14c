//! What the generator could not do stands on the first line of the result, is no breaking point, and no answer of a search: too few
//! descriptors, too few ports, a machine that holds it up.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use tentpole_load::Run;
use tentpole_load::found::Ended;
use tentpole_load::result::Distrust;
use tentpole_testkit::Known;
use tentpole_testkit::known::Limit;

/// Set in a network namespace of its own.
const INSIDE: &str = "TENTPOLE_TEST_INSIDE";
/// So few that the program itself has room, and not every visitor.
const DESCRIPTORS: &str = "48";
/// 60 ports.
const PORTS: &str = "40000 40059";
const CLIMB: [&str; 8] =
    ["--visitors", "5..200", "--step-time", "500ms", "--ramp", "50ms", "--think", "20ms"];
const FIND: [&str; 9] =
    ["--find", "--find-time", "10s", "--visitors", "5..200", "--ramp", "50ms", "--think", "20ms"];
const PATIENT: [&str; 4] = ["--p50", "20s", "--p99", "25s"];
/// Late by 1 % of this is late.
const PUNCTUAL: [&str; 4] = ["--p50", "500ms", "--p99", "25s"];

fn server() -> Known {
    Known::start(Limit::Places { places: 1_000, work: Duration::from_millis(1) }).unwrap()
}

/// `tentpole load` after this line of a shell.
fn start(folder: &Path, before: &str, url: &str, typed: &[&str], objectives: [&str; 4]) -> Child {
    let mut command = Command::new("sh");
    command.args([
        "-c",
        &format!("{before} exec \"$0\" \"$@\""),
        env!("CARGO_BIN_EXE_tentpole"),
        "load",
        url,
    ]);
    command.args(typed).args(objectives).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).env("TMPDIR", folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(folder: &Path) -> Run {
    tentpole_report::read(&std::fs::read_to_string(folder.join("report.json")).unwrap()).unwrap()
}

/// What must be so whatever the generator could not do; the result in one line.
fn could_not(folder: &Path, output: &Output, code: i32) -> (Run, String) {
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let all = out.clone() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{all}");
    let run = run(folder);
    let (_, result) = out.split_once("\n\n").unwrap_or_else(|| panic!("no result: {all}"));
    assert!(result.starts_with("Do not trust these figures."), "{all}");
    assert!(!run.trusted && run.breaking_point.is_none(), "{all}");
    assert!(!out.contains("Breaks ") && !out.contains("to break"), "{all}");
    if let Some(found) = &run.found {
        assert_eq!((found.ended, found.breaks, found.estimate), (Ended::Distrusted, None, None), "{all}");
    }
    (run, all.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn has_no_port(run: &Run) -> bool {
    run.distrust.iter().any(|why| matches!(why, Distrust::NoPort { .. }))
}

#[test]
fn too_few_descriptors_stand_first_and_are_no_breaking_point() {
    let (folder, server) = (tempfile::tempdir().unwrap(), server());
    let before = format!("ulimit -n {DESCRIPTORS};");
    for (typed, code) in [(&CLIMB[..], 99), (&FIND[..], 1)] {
        let output = start(folder.path(), &before, &server.url(), typed, PATIENT).wait_with_output().unwrap();
        let (run, said) = could_not(folder.path(), &output, code);
        assert!(said.contains(&format!("the system allows {DESCRIPTORS} open files")), "before: {said}");
        // A machine that held it up as well may have ended the search before that.
        let is_late = run.distrust.iter().any(|why| matches!(why, Distrust::Lag { .. }));
        assert!(has_no_port(&run) || (run.found.is_some() && is_late), "{said}");
        if has_no_port(&run) {
            assert!(said.contains("had no local port or file descriptor left for"), "{said}");
            assert!(said.contains("ulimit -n"), "what to do: {said}");
        }
    }
}

/// Runs this test once more in a network namespace of its own; true inside it.
fn is_inside(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", PORTS).expect("the namespace is its own");
        return true;
    }
    let mut command = Command::new("unshare");
    let script = "ip link set lo up && exec \"$@\"";
    command.args(["--user", "--map-root-user", "--net", "sh", "-c", script, "sh"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", test, "--nocapture"]).env(INSIDE, "1");
    let status = command.status().expect("unshare is there (Debian's package `util-linux`)");
    assert!(status.success(), "it failed inside the namespace");
    false
}

/// Ports that a program had are not free at once, so that each of these has a namespace of its own.
fn too_few_ports(typed: &[&str], code: i32) {
    let (folder, server) = (tempfile::tempdir().unwrap(), server());
    let output = start(folder.path(), "", &server.url(), typed, PATIENT).wait_with_output().unwrap();
    let (run, said) = could_not(folder.path(), &output, code);
    assert!(said.contains("and 200 visitors may need one each"), "before: {said}");
    let is_late = run.distrust.iter().any(|why| matches!(why, Distrust::Lag { .. }));
    assert!(has_no_port(&run) || (run.found.is_some() && is_late), "{said}");
    if has_no_port(&run) {
        assert!(said.contains("net.ipv4.ip_local_port_range"), "what to do: {said}");
    }
}

#[test]
fn too_few_ports_stand_first_and_are_no_breaking_point() {
    if is_inside("too_few_ports_stand_first_and_are_no_breaking_point") {
        too_few_ports(&CLIMB, 99);
    }
}

#[test]
fn too_few_ports_end_a_search_without_an_answer() {
    if is_inside("too_few_ports_end_a_search_without_an_answer") {
        too_few_ports(&FIND, 1);
    }
}

#[test]
fn a_generator_that_can_do_no_more_says_first_what_its_threads_used() {
    let (folder, server) = (tempfile::tempdir().unwrap(), server());
    // More than one thread makes.
    let much = ["--visitors", "1000", "--think", "0", "--time", "1s", "--ramp", "0", "--threads", "1"];
    let output = start(folder.path(), "", &server.url(), &much, PUNCTUAL).wait_with_output().unwrap();
    let code = output.status.code().unwrap();
    let (run, said) = could_not(folder.path(), &output, code);
    assert!(run.distrust.iter().any(|why| matches!(why, Distrust::Lag { .. })), "{said}");
    let used = run.steps[0].generator_cpu_share;
    assert!(used > 0.0, "{said}");
    let rest = if used >= 0.9 { "which is all there is." } else { "and had to wait for the rest." };
    let share = tentpole_report::words::percent(used);
    assert!(said.contains(&format!("its 1 thread used {share} of a core each, {rest}")), "{said}");
}

#[test]
fn a_generator_that_is_held_up_says_so_first_and_finds_nothing() {
    let (folder, server) = (tempfile::tempdir().unwrap(), server());
    let constant = ["--visitors", "20", "--time", "2s", "--ramp", "0", "--think", "20ms"];
    for (typed, code) in [(&constant[..], 0), (&FIND[..], 1)] {
        let mut child = start(folder.path(), "", &server.url(), typed, PUNCTUAL);
        let pid = Pid::from_child(&child);
        // As a machine does whose processors are somebody else's half of the time.
        while child.try_wait().unwrap().is_none() {
            kill_process(pid, Signal::STOP).unwrap();
            std::thread::sleep(Duration::from_millis(20));
            kill_process(pid, Signal::CONT).unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().unwrap();
        let (run, said) = could_not(folder.path(), &output, code);
        assert!(matches!(run.distrust[0], Distrust::Lag { .. }), "{said}");
        assert!(said.contains("The generator was late itself: in step"), "{said}");
        if run.found.is_some() {
            assert!(said.contains("the generator was late itself; once more:"), "{said}");
            assert!(
                said.contains("Where it breaks cannot be said: the generator was late itself."),
                "{said}"
            );
        }
    }
}
