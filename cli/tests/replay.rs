//! `tentpole load URL --replay access.log`: the log's requests, at its times, by its visitors.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use tentpole_testkit::{Origin, Response};

fn replayed(folder: &Path, url: &str, typed: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.args(["load", url, "--replay", "access.log", "--plain"]).args(typed).current_dir(folder);
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).stdin(Stdio::null()).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

const LOG: &str = r#"192.0.2.1 - - [10/Oct/2025:11:55:36 +0000] "GET /a HTTP/1.1" 200 5 "-" "Ann"
192.0.2.2 - - [10/Oct/2025:11:55:36 +0000] "GET /b?x=1 HTTP/1.1" 200 5 "-" "Bob"
192.0.2.1 - - [10/Oct/2025:11:55:38 +0000] "GET /a HTTP/1.1" 200 5 "-" "Ann"
nonsense
192.0.2.1 - - [10/Oct/2025:11:55:38 +0000] "POST /cart HTTP/1.1" 302 5 "-" "Ann"
192.0.2.2 - - [10/Oct/2025:11:55:40 +0000] "GET /gone HTTP/1.1" 404 5 "-" "Bob"
"#;

#[tokio::test]
async fn a_logs_requests_are_made_at_its_times_by_its_visitors() {
    let origin = Origin::start().await;
    for path in ["/", "/a", "/b", "/cart"] {
        origin.on(path).respond(Response::ok("here").header("Set-Cookie", "id=1"));
    }
    origin.on("/gone").respond(Response::status(404));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("access.log"), LOG).unwrap();
    let output = replayed(folder.path(), &origin.url(), &["--speed", "4"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}{}", text(&output.stdout));
    assert!(
        said.contains("1 line is not understood and left out: access.log:4: no address at its beginning"),
        "{said}"
    );
    assert!(said.contains("1 request is not made, because such methods may change something"), "{said}");
    // The first question is the generator's own.
    let seen: Vec<_> = origin.requests().into_iter().skip(1).collect();
    let told: Vec<String> = seen
        .iter()
        .map(|seen| {
            format!("{} {} {}", seen.header("user-agent").unwrap(), seen.target, seen.cookie("id").is_some())
        })
        .collect();
    assert_eq!(told, ["Ann /a false", "Bob /b?x=1 false", "Ann /a true", "Bob /gone true"]);
    let report: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!((&report["steps"][0]["requests"], &report["steps"][0]["failed"]), (&4.into(), &0.into()));
    // Four seconds of the log, four times as fast, and nothing sooner.
    let length = report["steps"][0]["took_s"].as_f64().unwrap();
    assert!(length >= 1.0, "{length}");

    let all = replayed(folder.path(), &origin.url(), &["--speed", "100", "--all-methods"]);
    assert_eq!(all.status.code(), Some(0), "{}", text(&all.stderr));
    assert_eq!(origin.requests_for("/cart").len(), 1);
}

#[tokio::test]
async fn what_a_log_orders_is_ordered_again_only_by_a_test_account() {
    let origin = Origin::start().await;
    for path in ["/", "/a", "/api/placeOrder"] {
        origin.on(path).respond(Response::ok("here"));
    }
    let folder = tempfile::tempdir().unwrap();
    let order =
        "192.0.2.1 - - [10/Oct/2025:11:55:38 +0000] \"POST /api/placeOrder HTTP/1.1\" 200 5 \"-\" \"Ann\"";
    let log = format!("{}\n{order}\n", LOG.lines().nth(2).unwrap());
    std::fs::write(folder.path().join("access.log"), log).unwrap();
    let all = ["--speed", "100", "--all-methods"];
    let without = text(&replayed(folder.path(), &origin.url(), &all).stderr);
    assert!(without.contains("1 request is not made, because such paths order"), "{without}");
    assert_eq!(origin.requests_for("/api/placeOrder").len(), 0);
    let with = replayed(folder.path(), &origin.url(), &[&all[..], &["--account", "test@shop"]].concat());
    assert_eq!(with.status.code(), Some(0), "{}", text(&with.stderr));
    assert_eq!(origin.requests_for("/api/placeOrder").len(), 1);
}

#[tokio::test]
async fn what_is_no_log_is_refused_before_anything_is_sent() {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("access.log"), format!("{}\n\u{0}\n", "x".repeat(200_000))).unwrap();
    let output = replayed(folder.path(), &origin.url(), &[]);
    assert_eq!((output.status.code(), origin.request_count()), (Some(2), 0));
    let said = text(&output.stderr);
    assert!(
        said.contains(
            "access.log: no request of this log can be made: access.log:1: longer than 65536 bytes"
        ),
        "{said}"
    );
    for (log, says) in [
        (
            "user,secret\nann,1\n",
            "access.log:1: no address at its beginning A line of an access log looks like this",
        ),
        ("", "there is no line in it. A line of an access log looks like this"),
        (LOG.lines().nth(4).unwrap(), "every request of this log is left out, by its method: --all-methods"),
    ] {
        std::fs::write(folder.path().join("access.log"), log).unwrap();
        let output = replayed(folder.path(), &origin.url(), &[]);
        assert_eq!((output.status.code(), origin.request_count()), (Some(2), 0));
        assert!(text(&output.stderr).contains(says), "{}", text(&output.stderr));
        let raw = String::from_utf8_lossy(&output.stderr);
        assert!(raw.lines().all(|line| line.trim_end() == line), "{raw:?}");
    }
}
