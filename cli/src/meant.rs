//! What was meant by `tentpole up …`: a Snapshot.

use crate::args::{FILE_USUAL, Up};
use crate::say;
use std::path::PathBuf;
use std::process::ExitCode;
use tentpole_config::Flags;
use tentpole_model::Snapshot;

/// Where a Snapshot comes from.
enum From {
    /// This file.
    File(PathBuf),
    /// `--to`, with the path of `--health`.
    Endpoints { urls: Vec<String>, health: Option<String> },
}

/// Finds out what was meant; says what is wrong and gives the exit code otherwise.
pub fn load(typed: Up) -> Result<Snapshot, ExitCode> {
    let flags = Flags {
        listen: typed.listen,
        admin: typed.admin,
        log: typed.log.map(Into::into),
        threads: typed.threads,
    };
    let from = match typed.file {
        Some(file) => From::File(file),
        None if !typed.to.is_empty() => {
            if PathBuf::from(FILE_USUAL).exists() {
                say::warning("--to was given, so the tentpole.toml in this folder is not read.");
            }
            From::Endpoints { urls: typed.to, health: typed.health }
        }
        None if PathBuf::from(FILE_USUAL).exists() => From::File(FILE_USUAL.into()),
        None => {
            say::error(
                "there is no tentpole.toml in this folder. Say which application to stand in front of:\n  \
                 tentpole up --to http://127.0.0.1:3000\nor which file to read:\n  tentpole up FILE",
            );
            return Err(ExitCode::from(2));
        }
    };
    let loaded = match &from {
        From::File(path) => tentpole_config::load_with(path, &flags),
        From::Endpoints { urls, health } => tentpole_config::from_endpoints(urls, health.as_deref(), &flags),
    };
    match loaded {
        Ok(loaded) => {
            say::report(&loaded.warnings);
            Ok(loaded.snapshot)
        }
        Err(report) => {
            say::report(&report);
            Err(ExitCode::from(2))
        }
    }
}
