//! What was meant by `tentpole up …`: a Snapshot, and how to get it again.

use crate::args::{FILE_USUAL, Up};
use crate::say;
use std::path::PathBuf;
use std::process::ExitCode;
use tentpole_config::{Flags, Loaded, Report};

/// Where the Snapshot came from; enough to read it again.
#[derive(Clone, Debug)]
pub struct HowStarted {
    /// File or endpoints.
    pub from: From,
    /// What was typed over it.
    pub flags: Flags,
}

/// Where a Snapshot comes from.
#[derive(Clone, Debug)]
pub enum From {
    /// This file.
    File(PathBuf),
    /// `--to`, with the path of `--health`.
    Endpoints { urls: Vec<String>, health: Option<String> },
}

impl HowStarted {
    /// Reads it (again): for the start and for a reload.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(&self) -> Result<Loaded, Report> {
        match &self.from {
            From::File(path) => tentpole_config::load_with(path, &self.flags),
            From::Endpoints { urls, health } => {
                tentpole_config::from_endpoints(urls, health.as_deref(), &self.flags)
            }
        }
    }
}

/// Finds out what was meant; says what is wrong and gives the exit code otherwise.
pub fn how_started(typed: Up) -> Result<(Loaded, HowStarted), ExitCode> {
    let flags = Flags {
        listen: typed.listen,
        admin: typed.admin,
        log: typed.log.map(Into::into),
        threads: typed.threads,
    };
    let from = match typed.file {
        Some(file) => From::File(file),
        None if !typed.to.is_empty() => From::Endpoints { urls: typed.to, health: typed.health },
        None if PathBuf::from(FILE_USUAL).exists() => From::File(FILE_USUAL.into()),
        None => {
            say::error(
                "there is no tentpole.toml in this folder. Say which application to stand in front of:\n  \
                 tentpole up --to http://127.0.0.1:3000\nor which file to read:\n  tentpole up FILE",
            );
            return Err(ExitCode::from(2));
        }
    };
    let how = HowStarted { from, flags };
    match how.load() {
        Ok(loaded) => {
            say::report(&loaded.warnings);
            Ok((loaded, how))
        }
        Err(report) => {
            say::report(&report);
            Err(ExitCode::from(2))
        }
    }
}
