//! Files beneath a directory, which the edge serves by itself.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What of a directory is shown, and what browsers are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// The directory; absolute.
    pub root: PathBuf,
    /// Names that stand for the folder they are in; the first that is there does.
    pub index: Vec<String>,
    /// Endings of names whose files are never sent, without the dot.
    pub deny: Vec<String>,
    /// Seconds that browsers are told to keep a file; `None` tells them nothing.
    pub max_age_s: Option<u32>,
    /// Paths at which a file never changes, with a `*` at the end for all that begin like it.
    pub immutable: Vec<String>,
}

/// Endings that are denied where nothing else is said: sources of programs, what holds secrets, and copies that editors,
/// people and databases leave behind.
pub const DENIED: &[&str] = &[
    "php", "php3", "php4", "php5", "php7", "php8", "phps", "pht", "phtml", "phar", "inc", "cgi", "fcgi",
    "pl", "py", "pyc", "rb", "sh", "asp", "aspx", "jsp", "ini", "conf", "cfg", "env", "key", "pem", "p12",
    "pfx", "sql", "sqlite", "sqlite3", "db", "log", "bak", "backup", "old", "orig", "save", "swp", "swo",
    "tmp",
];

impl Files {
    /// What they are called where endpoints are named by their addresses: in the log, the metrics and reports.
    pub const CALLED: &str = "files";

    /// Those beneath `root`, with the default for everything else.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            index: vec!["index.html".to_owned()],
            deny: DENIED.iter().map(|&ending| ending.to_owned()).collect(),
            max_age_s: None,
            immutable: Vec::new(),
        }
    }
}
