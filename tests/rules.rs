//! Holds the house's rules: who may depend on whom, and how the tree looks. Each rule is a pure function over a
//! description of the workspace, so that it is tried on made-up houses that break it before it is trusted with
//! the real one. Reads `cargo metadata` and the files; never builds, never asks the network.

#[path = "rules/graph.rs"]
mod graph;
#[path = "rules/licence.rs"]
mod licence;
#[path = "rules/made_up.rs"]
mod made_up;
#[path = "rules/tree.rs"]
mod tree;

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The root of the workspace: the directory above this package.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ has a parent").to_path_buf()
}

/// What `cargo` prints for `args`, run in the workspace's root. A failure ends the test with cargo's own words.
fn cargo(args: &[&str]) -> String {
    let output =
        Command::new(env!("CARGO")).args(args).current_dir(root()).output().expect("cargo can be started");
    assert!(output.status.success(), "cargo {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

/// The resolved dependency graph for this machine's platform, from the lock file and what is already downloaded.
fn metadata() -> Value {
    let version = cargo(&["-vV"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo names its host");
    let json =
        cargo(&["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host]);
    serde_json::from_str(&json).expect("cargo metadata prints JSON")
}

/// Fails with every fault at once, one paragraph each.
fn none<F: Display>(faults: &[F]) {
    let listed: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(faults.is_empty(), "{} broken:\n\n{}\n", faults.len(), listed.join("\n\n"));
}

#[test]
fn every_room_depends_only_on_what_it_may() {
    let rooms = graph::rooms(&metadata(), &root());
    none(&graph::breaches(&rooms));
}

#[test]
fn the_graph_is_read_with_its_kinds() {
    let rooms = graph::rooms(&metadata(), &root());
    let proxy = rooms.iter().find(|room| room.place == "edge/proxy").expect("edge/proxy is a room");
    assert!(proxy.uses.iter().any(|used| used.place == "edge/cache" && used.kind == graph::Kind::Normal));
    let route = rooms.iter().find(|room| room.place == "decide/route").expect("decide/route is a room");
    assert!(!route.outside.iter().any(|path| path.crate_name() == "proptest"), "dev-dependencies are apart");
    assert!(route.outside.iter().any(|path| path.crate_name() == "hashbrown"), "outside crates are seen");
    let runtime = rooms.iter().find(|room| room.place == "runtime").expect("runtime is a room");
    assert!(runtime.outside.iter().any(|path| path.crate_name() == "mio"), "and what they bring with them");
}

#[test]
fn every_directory_with_a_manifest_is_a_member_with_its_rooms_name() {
    let files = tree::files(&root());
    let rooms = graph::rooms(&metadata(), &root());
    none(&tree::manifest_faults(&files, &rooms));
}

#[test]
fn every_source_file_says_what_it_is_for_and_stays_small() {
    let files = tree::files(&root());
    assert!(files.len() > 20, "only {} files were found: is the walk broken?", files.len());
    none(&tree::source_faults(&files));
}

#[test]
fn only_crates_listed_with_a_reason_allow_unsafe_code() {
    none(&tree::unsafe_faults(&tree::files(&root()), tree::UNSAFE_ALLOWED));
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let root = root();
    none(&tree::path_faults(&tree::files(&root), &tree::private_paths(&root)));
}

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    let policy = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml is readable");
    let policy = licence::Policy::parse(&policy);
    none(&policy.faults(&metadata()));
}
