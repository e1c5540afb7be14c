//! Every example configuration can be started with, without a warning but the one that a shop must bear.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::{Path, PathBuf};

/// `examples/*.toml` and `examples/*/tentpole.toml`.
fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let inside = |folder: &Path| -> Vec<PathBuf> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let (folders, files): (Vec<_>, Vec<_>) = inside(&folder).into_iter().partition(|path| path.is_dir());
    let nested = folders.into_iter().map(|folder| folder.join("tentpole.toml")).filter(|path| path.exists());
    files.into_iter().filter(|path| path.extension().is_some_and(|it| it == "toml")).chain(nested).collect()
}

#[test]
fn every_example_can_be_started_with() {
    let examples = examples();
    assert!(examples.len() >= 2, "{examples:?}");
    for path in examples {
        match tentpole_config::load(&path) {
            Ok(loaded) => {
                // A root is there only where the site is; and where an application starts a session on each page, a route must say that it may be stored all the same.
                let mut others = loaded.warnings.diagnostics().iter().map(|warning| warning.problem.name());
                assert!(
                    others.all(|name| matches!(name, "DespiteSetCookie" | "RootNotThere")),
                    "{}",
                    loaded.warnings
                );
            }
            Err(report) => panic!("{report}"),
        }
    }
}
