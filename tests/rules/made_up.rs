//! Made-up houses that break each rule of `graph` and `tree`, one at a time, to show that the rules can fail.
//! `dev:` before a place makes it a dev-dependency; `crate:` makes it a crate from outside.

use crate::graph::*;
use crate::tree::{self, File};

fn house(rooms: &[(&str, &[&str])]) -> Vec<Room> {
    rooms.iter().map(|(place, uses)| room(place, uses)).collect()
}

fn room(place: &str, uses: &[&str]) -> Room {
    let mut room =
        Room { place: place.into(), name: tree::package_name(place), uses: vec![], outside: vec![] };
    for used in uses {
        match used.split_once(':') {
            Some(("crate", way)) => room.outside.push(Outside(way.split('>').map(Into::into).collect())),
            Some(("dev", place)) => room.uses.push(Use { place: place.into(), kind: Kind::Dev }),
            Some(("build", place)) => room.uses.push(Use { place: place.into(), kind: Kind::Build }),
            _ => room.uses.push(Use { place: (*used).into(), kind: Kind::Normal }),
        }
    }
    room
}

/// One dependency each that must not be, and the rule that says so.
const FORBIDDEN: &[(&str, &str, &Rule)] = &[
    ("model", "runtime", &MODEL_AND_DECIDE_ARE_PURE),
    ("model", "decide/route", &MODEL_AND_DECIDE_ARE_PURE),
    ("model", "crate:tokio", &MODEL_AND_DECIDE_ARE_PURE),
    ("decide/route", "runtime", &MODEL_AND_DECIDE_ARE_PURE),
    ("decide/route", "decide/assign", &MODEL_AND_DECIDE_ARE_PURE),
    ("decide/ramp", "crate:hyper>tokio", &MODEL_AND_DECIDE_ARE_PURE),
    ("decide/balance", "crate:rand", &MODEL_AND_DECIDE_ARE_PURE),
    ("edge/cache", "edge/upstream", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
    ("edge/cache", "dev:edge/upstream", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
    ("edge/listener", "edge/proxy", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
    ("control/health", "control/fleet", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
    ("control/health", "control/run", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
    ("wire/http2", "wire/http1", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
    ("wire/fastcgi", "wire/http1", &ROOMS_OF_A_PLANE_ARE_STRANGERS),
    ("edge/proxy", "control/health", &EDGE_AND_CONTROL_NEVER_MEET),
    ("edge/proxy", "config", &EDGE_AND_CONTROL_NEVER_MEET),
    ("edge/cache", "proof/load", &EDGE_AND_CONTROL_NEVER_MEET),
    ("edge/cache", "console", &EDGE_AND_CONTROL_NEVER_MEET),
    ("edge/image", "app/kit", &EDGE_AND_CONTROL_NEVER_MEET),
    ("control/run", "edge/cache", &EDGE_AND_CONTROL_NEVER_MEET),
    ("proof/plan", "wire/http1", &PROOF_IS_AN_OUTSIDER),
    ("proof/load", "edge/cache", &PROOF_IS_AN_OUTSIDER),
    ("proof/diagnose", "control/admin", &PROOF_IS_AN_OUTSIDER),
    ("proof/load", "console/charts", &PROOF_IS_AN_OUTSIDER),
    ("proof/report", "console", &PROOF_IS_AN_OUTSIDER),
    ("console", "control/admin", &PROOF_IS_AN_OUTSIDER),
    ("app/shop", "config", &PROOF_IS_AN_OUTSIDER),
    ("bastion", "control/admin", &PROOF_IS_AN_OUTSIDER),
    ("control/run", "proof/load", &ONLY_CLI_KNOWS_ALL_PLANES),
    ("control/run", "console", &ONLY_CLI_KNOWS_ALL_PLANES),
    ("edge/proxy", "cli", &ONLY_CLI_KNOWS_ALL_PLANES),
    ("cli", "tests", &ONLY_CLI_KNOWS_ALL_PLANES),
    ("cli", "testkit", &ONLY_TESTS_USE_TESTKIT),
    ("edge/cache", "testkit", &ONLY_TESTS_USE_TESTKIT),
    ("edge/cache", "build:testkit", &ONLY_TESTS_USE_TESTKIT),
    ("runtime", "observe", &FOUNDATIONS_KNOW_NO_PLANE),
    ("observe", "edge/cache", &FOUNDATIONS_KNOW_NO_PLANE),
    ("wire/message", "observe", &FOUNDATIONS_KNOW_NO_PLANE),
    ("config", "control/admin", &FOUNDATIONS_KNOW_NO_PLANE),
    ("testkit", "edge/proxy", &FOUNDATIONS_KNOW_NO_PLANE),
    ("wire/http1", "crate:tokio", &WIRE_HAS_NO_SOCKETS),
    ("wire/http1", "crate:h2>tokio>socket2", &WIRE_HAS_NO_SOCKETS),
    ("misc", "model", &EVERY_PLANE_IS_KNOWN),
];

#[test]
fn each_forbidden_dependency_is_found_and_its_rule_named() {
    for (from, to, rule) in FORBIDDEN {
        let found = breaches(&house(&[(from, &[to])]));
        let rules: Vec<_> = found.iter().map(|breach| breach.rule).collect();
        assert_eq!(rules, [*rule], "{from} on {to}");
    }
}

#[test]
fn every_rule_has_a_house_that_breaks_it() {
    for rule in RULES {
        assert!(FORBIDDEN.iter().any(|(_, _, broken)| *broken == rule), "nothing breaks: {}", rule.text);
    }
}

#[test]
fn a_house_as_designed_breaks_nothing() {
    let found = breaches(&house(&[
        ("model", &[]),
        ("runtime", &["model", "crate:tokio"]),
        ("observe", &["model", "runtime"]),
        ("wire/message", &["model", "crate:bytes"]),
        ("wire/http1", &["model", "wire/message", "crate:httparse"]),
        ("wire/fastcgi", &["model", "wire/message", "crate:memchr"]),
        ("decide/route", &["model", "crate:hashbrown", "dev:testkit"]),
        ("config", &["model", "decide/calendar", "crate:toml"]),
        ("edge/cache", &["model", "runtime", "wire/message", "decide/freshness", "dev:testkit"]),
        ("edge/proxy", &["edge/cache", "edge/upstream", "observe", "wire/http1", "crate:tokio"]),
        ("control/health", &["model", "runtime", "decide/balance", "crate:tokio"]),
        ("control/run", &["control/health", "control/admin", "config"]),
        ("proof/load", &["model", "runtime", "wire/http1", "crate:tokio"]),
        ("proof/plan", &["model", "decide/capacity", "proof/load"]),
        ("proof/report", &["proof/load", "console/charts"]),
        ("app/shop", &["app/kit", "crate:axum"]),
        ("console/charts", &[]),
        ("console", &["model", "console/charts"]),
        ("cli", &["edge/proxy", "control/run", "config", "proof/load", "console", "dev:testkit"]),
        ("testkit", &["model", "wire/http1", "crate:tokio"]),
        ("tests", &["dev:testkit", "dev:edge/proxy", "dev:config"]),
        ("benches", &["testkit", "edge/cache"]),
    ]));
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn a_breach_says_who_what_and_why() {
    let found = breaches(&house(&[("decide/ramp", &["crate:hyper>tokio"])]));
    let said = found[0].to_string();
    assert!(
        said.starts_with("decide/ramp compiles in hyper, which brings tokio\n  breaks rule 1: "),
        "{said}"
    );
    assert!(said.contains("which exists because a plan simulates an event"), "{said}");
}

fn file(path: &str, text: &str) -> File {
    File { path: path.into(), text: text.into() }
}

const MANIFEST: &str = "[package]\n[lints]\nworkspace = true\n";

#[test]
fn a_manifest_outside_the_workspace_or_with_a_strangers_name_is_found() {
    let rooms = house(&[("edge/cache", &[])]);
    assert_eq!(tree::manifest_faults(&[file("edge/cache/Cargo.toml", MANIFEST)], &rooms), [""; 0]);
    let found = tree::manifest_faults(&[file("edge/image/Cargo.toml", MANIFEST)], &rooms);
    assert_eq!(found, ["edge/image has a Cargo.toml but is no member of the workspace: nothing checks it"]);

    let mut rooms = house(&[("edge/cache", &[])]);
    rooms[0].name = "cache".into();
    let found = tree::manifest_faults(&[file("edge/cache/Cargo.toml", MANIFEST)], &rooms);
    assert_eq!(found, ["edge/cache is the package cache; its name must be tentpole-cache"]);
}

#[test]
fn a_manifest_without_the_houses_lints_is_found() {
    let rooms = house(&[("edge/cache", &[])]);
    let found = tree::manifest_faults(&[file("edge/cache/Cargo.toml", "[package]\n")], &rooms);
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("[lints] workspace = true"), "{found:?}");
}

#[test]
fn a_source_file_without_its_opening_line_is_found() {
    assert_eq!(tree::source_faults(&[file("model/src/lib.rs", "//! What it is for.\n")]), [""; 0]);
    let found = tree::source_faults(&[file("model/src/lib.rs", "use std::fmt;\n")]);
    assert_eq!(found, ["model/src/lib.rs opens without a `//!` line that says what it is for"]);
}

#[test]
fn a_file_of_more_than_600_lines_must_say_why() {
    let long = "line\n".repeat(601);
    let found = tree::source_faults(&[file("model/src/lib.rs", &format!("//! Everything.\n{long}"))]);
    assert!(found[0].starts_with("model/src/lib.rs has 602 lines"), "{found:?}");
    let said = format!("//! The table of states. Long because it is one table.\n{long}");
    assert_eq!(tree::source_faults(&[file("model/src/lib.rs", &said)]), [""; 0]);
    assert_eq!(tree::source_faults(&[file("docs/long.md", &long)]), [""; 0], "prose may be long");
}

#[test]
fn unsafe_code_is_allowed_only_where_it_is_listed() {
    let allowing = concat!("//! Calls prctl.\n#[allow(", "unsafe_code, reason = \"…\")]\n");
    let files = [file("control/keeper/src/lib.rs", allowing)];
    let listed: &[(&str, &str)] = &[("control/keeper", "prctl has no safe wrapper")];
    assert_eq!(tree::unsafe_faults(&files, &[]).len(), 1);
    assert_eq!(tree::unsafe_faults(&files, listed), [""; 0]);
    assert_eq!(tree::unsafe_faults(&[], listed).len(), 1, "a licence nobody uses is taken back");
}

#[test]
fn paths_of_one_machine_are_found_where_a_path_begins() {
    let private = ["/somewhere/".to_owned()];
    let found = tree::path_faults(&[file("a.md", "ok\nsee /somewhere/else\n")], &private);
    assert_eq!(found, ["a.md:2 names /somewhere/, a path of one machine"]);
    let within = [file("a.md", "http://shop/somewhere/else and ./somewhere/ and /elsewhere/somewhere/")];
    assert_eq!(tree::path_faults(&within, &private), [""; 0]);
}
