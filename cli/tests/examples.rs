//! The loads of `examples/load` are what their README says, and the one with accounts is walked.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tentpole_load::read::{Profile, read};
use tentpole_load::result::Model;
use tentpole_testkit::{Origin, Response};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/load")
}

fn profile(name: &str) -> Profile {
    let path = folder().join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    read(path.to_str().unwrap(), &text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn each_is_the_load_that_it_is_called() {
    let readme = std::fs::read_to_string(folder().join("README.md")).unwrap();
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".toml") || readme.contains(&format!("`{name}`")), "{name}");
    }
    let (model, spike) = profile("spike.toml").stages.unwrap();
    let loads: Vec<f64> = spike.iter().map(|stage| stage.load).collect();
    assert_eq!((model, loads), (Model::Closed, vec![50.0, 500.0, 50.0]));
    let (model, doors) = profile("doors.toml").stages.unwrap();
    assert_eq!((model, doors.iter().filter(|stage| stage.burst.is_some()).count()), (Model::Open, 1));
    let (_, soak) = profile("soak.toml").stages.unwrap();
    assert_eq!(soak[0].time, Duration::from_secs(8 * 3_600));
}

#[tokio::test]
async fn one_visitor_in_five_signs_in_and_is_told_apart() {
    let origin = Origin::start().await;
    origin.on("/").respond(Response::ok("<a href=\"/p/coat\">"));
    origin.on("/p/coat").respond(Response::ok("a coat"));
    origin.on_method("GET", "/login").respond(Response::ok("<input name=\"token\" value=\"t1\">"));
    origin.on_method("POST", "/login").respond_with(|seen| match seen.text().contains("-secret&token=t1") {
        true => Response::redirect("/account").header("Set-Cookie", "session=1"),
        false => Response::status(403),
    });
    origin.on_method("GET", "/account").respond_with(|seen| match seen.cookie("session") {
        Some(_) => Response::ok("Welcome"),
        None => Response::status(403),
    });
    let home = tempfile::tempdir().unwrap();
    let file = folder().join("signed-in.toml");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.args(["load", &origin.url(), "--journey", file.to_str().unwrap(), "--visitors", "20"]);
    command.args(["--time", "3s", "--think", "10ms", "--ramp", "0", "--p50", "off", "--p99", "off"]);
    command.current_dir(home.path()).env("HOME", home.path()).env("XDG_STATE_HOME", home.path());
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let run =
        tentpole_report::read(&std::fs::read_to_string(home.path().join("report.json")).unwrap()).unwrap();
    let step = &run.steps[0];
    let count = |name: &str| {
        step.journey_steps
            .iter()
            .find(|one| one.name == name)
            .unwrap_or_else(|| panic!("{name}: {:?}", step.journey_steps))
            .count as f64
    };
    let share = count("signed in: sign in") / (count("signed in: sign in") + count("look around: product"));
    // Of at least a hundred: four standard deviations of a fifth.
    assert!(count("look around: product") > 80.0 && (0.05..0.36).contains(&share), "{share}: {said}");
    let tags: Vec<&str> = step.tags.iter().map(|tag| tag.name.as_str()).collect();
    assert_eq!((tags, step.failed), (vec!["anonymous", "signed in"], 0), "{said}");
}
