//! Visitors behind resolvers, by the command: what is said of where the load went, and of names that lead nowhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use tentpole_report::read;
use tentpole_testkit::{NameServer, Origin, Response};

fn tentpole(folder: &Path, typed: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole"));
    command.arg("load").args(typed).current_dir(folder).stdin(Stdio::null());
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn the_summary_and_the_report_say_where_resolvers_led() {
    let (server, origin) = (NameServer::start(), Origin::start().await);
    origin.on("/").respond(Response::ok(""));
    server.leads("shop.test", 60, &["127.0.0.1"]);
    let folder = tempfile::tempdir().unwrap();
    let port = origin.url().rsplit(':').next().unwrap().to_owned();
    let (url, at) = (format!("http://shop.test:{port}/"), server.address().to_string());
    let typed = [
        &url,
        "--rate",
        "100",
        "--time",
        "1s",
        "--ramp",
        "0s",
        "--plain",
        "--name-server",
        &at,
        "--resolvers",
        "7",
    ];
    let output = tentpole(folder.path(), &typed);
    let said = text(&output.stdout);
    assert!(
        said.contains("shop.test by 7 resolvers: all new sessions went to one address, 127.0.0.1."),
        "{said}"
    );
    assert!(said.contains("127.0.0.1 100 % of the sessions"), "{said}");
    let run = read(&std::fs::read_to_string(folder.path().join("report.json")).unwrap()).unwrap();
    let spread = run.spread.unwrap();
    assert_eq!(
        (spread.resolvers, spread.ttl_s, spread.policies.as_str()),
        (7, Some(60), "first:0.2,random:0.4,rotate:0.4")
    );
    assert_eq!(spread.questions, 7);
    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    assert!(page.contains("Load of each address") && page.contains("data-chart=\"spread-share\""));
}

#[tokio::test]
async fn names_that_lead_nowhere_are_said_with_what_mends_it() {
    let server = NameServer::start();
    server.tell("empty.test", 60, &[]);
    let folder = tempfile::tempdir().unwrap();
    let at = server.address().to_string();
    let dead = { NameServer::start().address().to_string() };
    for (code, typed, says) in [
        (3, vec!["http://gone.test/", "--name-server", &at], "there is no such name. Is the name right"),
        (3, vec!["http://empty.test/", "--name-server", &at], "neither IPv4 (A) nor IPv6 (AAAA). Give it"),
        (3, vec!["http://shop.test/", "--name-server", &dead], "Is it running, and is this its port?"),
        (2, vec!["http://127.0.0.1:1/", "--resolvers", "5"], "resolvers are asked for names"),
        (2, vec!["http://shop.localhost:1/", "--resolvers", "5"], "without asking anybody"),
        (2, vec!["http://shop.test/", "--client-policy", "rotate"], "has no turn"),
        (2, vec!["http://shop.test/", "--resolver-sizes", "pareto"], "zipf:1.1"),
    ] {
        let output = tentpole(folder.path(), &typed);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{typed:?}: {said}");
        assert!(said.contains(says), "{typed:?}: {said}");
    }
}
