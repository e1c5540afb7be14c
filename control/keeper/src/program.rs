//! The program that the keeper starts its parts with: normally itself.

use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// This very program, even when its file was replaced or removed meanwhile.
const SELF: &str = "/proc/self/exe";

/// A program and the arguments in front of the name of a part (`edge`, `control`, `instance`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// The arguments before the part's name.
    pub arguments: Vec<String>,
}

impl Default for Program {
    /// This program, with the argument `part`.
    fn default() -> Self {
        Self { path: SELF.into(), arguments: vec!["part".into()] }
    }
}

impl Program {
    /// A command that starts this part.
    pub(crate) fn command(&self, part: &str) -> Command {
        let mut command =
            Command::new(if self.path == Path::new(SELF) { name_of_self() } else { self.path.clone() });
        command.args(&self.arguments).arg(part);
        command
    }
}

/// The file's real name while it is still the same file: process lists then show it instead of `exe`.
fn name_of_self() -> PathBuf {
    let same = |named: &Path| {
        let (running, named) = (fs::metadata(SELF).ok()?, fs::metadata(named).ok()?);
        Some((running.dev(), running.ino()) == (named.dev(), named.ino()))
    };
    std::env::current_exe().ok().filter(|named| same(named) == Some(true)).unwrap_or_else(|| SELF.into())
}
