//! How the tree looks: manifests, the opening lines and lengths of source files, where unsafe code is allowed,
//! and that no file names a path of the machine it was written on. Looks at text only; `graph` looks at crates.

use std::fs;
use std::path::{Path, PathBuf};

use crate::graph::Room;

/// The longest source file that need not say why it is so long, in lines.
const LINES_MAX: usize = 600;
/// What a longer one says in its first lines, followed by the reason.
const LONG_BECAUSE: &str = "Long because";
/// Within how many lines it has to be said.
const OPENING_LINES: usize = 15;

/// Crates that may allow unsafe code, by directory, each with its reason.
pub const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("edge/proxy/tests", "hit_costs.rs counts allocations, and GlobalAlloc is an unsafe trait"),
    ("proof/load/tests", "size.rs counts memory, and GlobalAlloc is an unsafe trait"),
];

/// A text file of the project, its path relative to the root.
pub struct File {
    pub path: String,
    pub text: String,
}

/// Every text file that could be committed: build folders, git's own and installed packages are passed over.
pub fn files(root: &Path) -> Vec<File> {
    let mut found = Vec::new();
    let mut waiting: Vec<PathBuf> = vec![root.to_path_buf()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).expect("a directory of the project can be read") {
            let entry = entry.expect("a directory of the project can be listed");
            let kind = entry.file_type().expect("a file has a type");
            let path = entry.path();
            if kind.is_dir() && !is_passed_over(&path) {
                waiting.push(path);
            } else if kind.is_file() && path.file_name() != Some(".git".as_ref()) {
                let relative = path.strip_prefix(root).expect("it is under the root");
                let path_text = relative.to_string_lossy().into_owned();
                if let Ok(text) = fs::read_to_string(&path) {
                    found.push(File { path: path_text, text });
                }
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn is_passed_over(directory: &Path) -> bool {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let built = directory.join("CACHEDIR.TAG").exists(); // Cargo marks its build folders so.
    built || matches!(name, ".git" | "target" | "node_modules" | "__pycache__")
}

/// The name that the package in `place` has to have.
pub fn package_name(place: &str) -> String {
    match place {
        "cli" => "tentpole".to_owned(),                 // The command itself.
        "control/run" => "tentpole-control".to_owned(), // It stands for its whole plane.
        "edge/link" => "tentpole-uplink".to_owned(),    // The other end is control/link.
        _ => format!("tentpole-{}", place.rsplit('/').next().unwrap_or(place)),
    }
}

/// Manifests that no member of the workspace owns, that carry another's name or that left the house's lints.
pub fn manifest_faults(files: &[File], rooms: &[Room]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        let Some(place) = file.path.strip_suffix("/Cargo.toml") else { continue };
        if place == "fuzz" {
            continue; // Kept out of the workspace: cargo-fuzz builds it with flags of its own.
        }
        let Some(room) = rooms.iter().find(|room| room.place == place) else {
            faults.push(format!(
                "{place} has a Cargo.toml but is no member of the workspace: nothing checks it"
            ));
            continue;
        };
        let name = package_name(place);
        if room.name != name {
            faults.push(format!("{place} is the package {}; its name must be {name}", room.name));
        }
        if !file.text.contains("[lints]\nworkspace = true") {
            faults.push(format!(
                "{place}/Cargo.toml lacks `[lints] workspace = true`: unsafe code, unwrap and the \
                                 rest would pass there"
            ));
        }
    }
    faults
}

/// Source files that do not say what they are for, or are long without saying why.
pub fn source_faults(files: &[File]) -> Vec<String> {
    let mut faults = Vec::new();
    for File { path, text } in files {
        if path.ends_with(".rs") && !text.starts_with("//!") {
            faults.push(format!("{path} opens without a `//!` line that says what it is for"));
        }
        let lines = text.lines().count();
        let says_why = text.lines().take(OPENING_LINES).any(|line| line.contains(LONG_BECAUSE));
        if is_source(path) && lines > LINES_MAX && !says_why {
            faults.push(format!(
                "{path} has {lines} lines; over {LINES_MAX}, its first {OPENING_LINES} lines must say \
                 `{LONG_BECAUSE} …`, or it becomes two files"
            ));
        }
    }
    faults
}

fn is_source(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((_, extension)) => matches!(extension, "rs" | "sh" | "js" | "css" | "py" | "php"),
        None => matches!(name, "check" | "run"),
    }
}

/// Crates that allow unsafe code without being listed, and listed ones that no longer need it.
pub fn unsafe_faults(files: &[File], listed: &[(&str, &str)]) -> Vec<String> {
    let allows = |file: &File| {
        file.path.ends_with(".rs")
            && ["allow(", "expect("].iter().any(|way| file.text.contains(&format!("{way}unsafe_code")))
    };
    let belongs = |file: &File, place: &str| file.path.starts_with(&format!("{place}/"));
    let mut faults = Vec::new();
    for file in files.iter().filter(|file| allows(file)) {
        if !listed.iter().any(|(place, _)| belongs(file, place)) {
            let path = &file.path;
            faults.push(format!("{path} allows unsafe code; list its crate with a reason in UNSAFE_ALLOWED"));
        }
    }
    for (place, reason) in listed {
        if !files.iter().any(|file| allows(file) && belongs(file, place)) {
            faults.push(format!("{place} is listed for unsafe code ({reason}) but allows none: take it off"));
        }
    }
    faults
}

/// Beginnings of paths that exist on one machine only: this checkout's own and what lies beside it, and people's home
/// directories. The name of the first directory alone says nothing: a site may well have pages below it, too.
pub fn private_paths(root: &Path) -> Vec<String> {
    let mut paths = vec![format!("{}/", root.display())];
    // What lies in the first directory on the way here, unless every machine has one of that name.
    const COMMON: &[&str] =
        &["app", "builds", "code", "home", "mnt", "opt", "repo", "root", "srv", "src", "tmp", "usr", "var"];
    let first = root.components().nth(1).map(|part| part.as_os_str().to_string_lossy().into_owned());
    if let Some(first) = first.filter(|name| !COMMON.contains(&name.as_str())) {
        let there = std::fs::read_dir(format!("/{first}")).into_iter().flatten().flatten();
        paths.extend(there.map(|entry| entry.path().display().to_string()));
    }
    paths.extend(["home", "root", "Users"].map(|name| format!("/{name}/")));
    paths
}

/// Lines on which such a path begins.
pub fn path_faults(files: &[File], private: &[String]) -> Vec<String> {
    let mut faults = Vec::new();
    for file in files {
        for (number, line) in file.text.lines().enumerate() {
            for path in private.iter().filter(|path| names(line, path)) {
                faults.push(format!("{}:{} names {path}, a path of one machine", file.path, number + 1));
            }
        }
    }
    faults
}

/// Whether `path` begins somewhere in `line`: not as the middle of a longer path or of a URL.
fn names(line: &str, path: &str) -> bool {
    let before = |at: usize| line[..at].chars().next_back();
    let continues = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '}' | '*' | '~');
    line.match_indices(path).any(|(at, _)| !before(at).is_some_and(continues))
}
