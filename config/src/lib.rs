//! Reads `tentpole.toml` into a checked [`Snapshot`]: the only reader of configuration. Every error is told at
//! once, each with its place, cause and cure; whoever holds the Snapshot need not check again. Resolves no names,
//! opens no sockets, changes no files.

mod address;
mod assets;
mod balancing;
mod cache;
mod caching;
mod content_network;
mod disk;
mod endpoint;
mod endpoint_tls;
mod files;
mod filter;
mod flags;
mod fleet;
mod forms;
mod health;
mod host;
mod limit;
mod limits;
mod log;
mod meant;
mod names;
mod outliers;
mod path;
mod pool;
mod problem;
mod purge;
mod reference;
mod report;
mod resolving;
mod retrying;
mod room;
mod scripts;
mod setting;
mod site;
mod staff;
mod sticky;
mod store;
mod syntax;
mod table;
mod tls;
mod top;
mod visitors;
mod words;
mod written;
mod zones;

pub use flags::Flags;
pub use problem::{Problem, Severity};
pub use reference::reference;
pub use report::{Diagnostic, Place, Report};
pub use words::{count, show_duration, show_size};
pub use written::Written;

use report::Problems;
use std::io::Read;
use std::path::Path;
use tentpole_model::{Fleet, Launch, Snapshot};

/// The largest file that is read, in bytes.
pub const BYTES_MAX: u64 = 8 << 20;

/// A configuration that Tentpole can start with.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it means.
    pub snapshot: Snapshot,
    /// What was probably not meant; may be empty.
    pub warnings: Report,
}

/// Reads the file at `path`.
///
/// # Errors
/// Everything that is wrong with it, warnings included, or why it cannot be read.
pub fn load(path: &Path) -> Result<Loaded, Report> {
    load_with(path, &Flags::default())
}

/// Reads the file at `path` and puts the flags over it.
///
/// # Errors
/// As [`load`]; what is wrong with a flag stands at the flag.
pub fn load_with(path: &Path, flags: &Flags) -> Result<Loaded, Report> {
    let name = path.display().to_string();
    let refuse = |problem| Err(Report::one(&name, problem, Place::Whole));
    let bytes = match read_bounded(path) {
        Ok(bytes) => bytes,
        Err(cause) => return refuse(Problem::Unreadable { cause: cause.to_string() }),
    };
    if bytes.len() as u64 > BYTES_MAX {
        return refuse(Problem::TooLong { bytes_max: show_size(BYTES_MAX) });
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => parse_with(&name, text, flags),
        Err(error) => refuse(Problem::NotUtf8 { byte: error.valid_up_to() }),
    }
}

/// Reads `text` as the content of a file called `name`.
///
/// # Errors
/// Everything that is wrong with it, warnings included.
pub fn parse(name: &str, text: &str) -> Result<Loaded, Report> {
    parse_with(name, text, &Flags::default())
}

/// Reads `text` as the content of a file called `name`, and puts the flags over it.
///
/// # Errors
/// Everything that is wrong with it, warnings included; what is wrong with a flag stands at the flag.
pub fn parse_with(name: &str, text: &str, flags: &Flags) -> Result<Loaded, Report> {
    let problems = Problems::new(name, text);
    let snapshot = syntax::read(text, &problems).and_then(|file| {
        let mut typed = top::read(&file, &problems);
        flags::apply(flags, &mut typed, &problems);
        meant::snapshot(typed, &problems)
    });
    finish(snapshot, problems)
}

/// What a file with one pool of these endpoints would mean: one site for every host. `health` is the path of its
/// probes.
///
/// # Errors
/// Everything that is wrong with what was typed, each at its flag.
pub fn from_endpoints(urls: &[String], health: Option<&str>, flags: &Flags) -> Result<Loaded, Report> {
    let problems = Problems::new("tentpole up", "");
    let typed = flags::typed_from_endpoints(urls, health, &problems);
    from_typed(typed, flags, problems)
}

/// What a file with one pool of instances that run this command would mean: one site for every host. `run` is split
/// into words as a shell would; `min` and `max` are as usual when left out; `health` is the path of its probes.
///
/// # Errors
/// Everything that is wrong with what was typed, each at its flag.
pub fn from_run(
    run: &str,
    min: Option<u64>,
    max: Option<u64>,
    health: Option<&str>,
    flags: &Flags,
) -> Result<Loaded, Report> {
    let problems = Problems::new("tentpole up", "");
    let typed = flags::typed_from_run(run, min, max, health, &problems);
    from_typed(typed, flags, problems)
}

/// What a file with one pool of this name and this fleet would mean: one site for every host. For a program that starts
/// what it knows itself; begin with [`usual_fleet`]. Nothing about the fleet is checked.
///
/// # Errors
/// Everything that is wrong with `health` or the flags, each at its flag.
pub fn from_fleet(name: &str, fleet: Fleet, health: Option<&str>, flags: &Flags) -> Result<Loaded, Report> {
    let problems = Problems::new("tentpole up", "");
    let typed = flags::typed_from_fleet(name, fleet, health, &problems);
    from_typed(typed, flags, problems)
}

/// A fleet with the defaults for everything but what it runs.
pub fn usual_fleet(launch: Launch) -> Fleet {
    fleet::usual(launch)
}

fn from_typed(mut typed: top::Typed, flags: &Flags, problems: Problems<'_>) -> Result<Loaded, Report> {
    flags::apply(flags, &mut typed, &problems);
    let snapshot = meant::snapshot(typed, &problems);
    finish(snapshot, problems)
}

fn finish(snapshot: Option<Snapshot>, problems: Problems<'_>) -> Result<Loaded, Report> {
    match snapshot {
        Some(snapshot) => Ok(Loaded { snapshot, warnings: problems.report() }),
        None => Err(problems.report()),
    }
}

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
