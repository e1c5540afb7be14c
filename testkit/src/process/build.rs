//! Finds a program of this workspace beside the running test, or builds it. Cargo offers `CARGO_BIN_EXE_…` only within
//! a package, and the tests of the whole program are a package of their own.

use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

static KNOWN: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);

/// The program of this name: the file that `NAME_BIN` (`TENTPOLE_BIN`, `TENTPOLE_TESTKIT_BIN`) in the environment
/// names, or `target/<profile>/NAME` of the profile that the running test was built with. Under cargo it is built
/// first, at most once per process and one process at a time, so that a test never runs yesterday's program.
///
/// # Panics
/// When it is nowhere and cannot be built.
pub fn binary(name: &str) -> PathBuf {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    known.entry(name.to_owned()).or_insert_with(|| find(name)).clone()
}

fn find(name: &str) -> PathBuf {
    let variable = format!("{}_BIN", name.to_uppercase().replace('-', "_"));
    if let Some(path) = env::var_os(&variable) {
        let path = PathBuf::from(path);
        assert!(path.is_file(), "{variable} names {}, which is no file", path.display());
        return path;
    }
    let test = env::current_exe().expect("the running test has a path");
    let dir = profile_dir(&test);
    let path = dir.join(name);
    let cargo = env::var_os("CARGO");
    if cargo.is_some() || !path.is_file() {
        build(cargo.unwrap_or_else(|| "cargo".into()).as_ref(), name, dir);
    }
    assert!(path.is_file(), "cargo has built {name}, but not as {}", path.display());
    path
}

/// `target/<profile>` of a test at `target/<profile>/deps/NAME-HASH`, or of a program right in it.
fn profile_dir(test: &Path) -> &Path {
    let dir = test.parent().expect("a program lies in a directory");
    if dir.ends_with("deps") || dir.ends_with("examples") { dir.parent().expect("so does deps") } else { dir }
}

fn build(cargo: &Path, name: &str, dir: &Path) {
    let profile = dir.file_name().and_then(|name| name.to_str()).expect("a profile's directory has a name");
    let profile = if profile == "debug" { "dev" } else { profile };
    let target = dir.parent().expect("a profile's directory lies in the target directory");
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    fs::create_dir_all(dir).ok();
    // Several test programs at once would otherwise fill the terminal with "waiting for file lock".
    let lock = File::create(dir.join(".testkit-build.lock")).expect("the target directory is writable");
    lock.lock().expect("a file lock is to be had there");
    let done = Command::new(cargo)
        // With the features that all the programs of the workspace want of a crate, so that no two of them, and no other
        // build of all of them, compile it twice.
        .args(["build", "--quiet", "--workspace", "--bin", name, "--profile", profile])
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(target)
        .output()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", cargo.display()));
    assert!(done.status.success(), "cannot build {name}:\n{}", String::from_utf8_lossy(&done.stderr));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profile_is_where_the_test_lies() {
        assert_eq!(profile_dir(Path::new("/t/debug/deps/shop-1f")), Path::new("/t/debug"));
        assert_eq!(profile_dir(Path::new("/t/dist/shop")), Path::new("/t/dist"));
    }
}
