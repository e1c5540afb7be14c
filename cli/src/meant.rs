//! What was meant by `tentpole up …`: a Snapshot.

use crate::args::{FILE_USUAL, Switch, Up};
use crate::{certificates, programs, say};
use std::path::PathBuf;
use std::process::ExitCode;
use tentpole_config::{Flags, Written, count};
use tentpole_keeper::{FIXED, Read};
use tentpole_model::{Refusal, Snapshot};

/// Where a Snapshot comes from.
enum From {
    /// This file.
    File(PathBuf),
    /// `--to`, with the path of `--health`.
    Endpoints { urls: Vec<String>, health: Option<String> },
    /// `--run`, with how many and the path of `--health`.
    Run { run: String, min: Option<u64>, max: Option<u64>, health: Option<String> },
    /// Nothing was named and nothing lies here: the demo.
    #[cfg(feature = "demo")]
    Demo { min: Option<u64>, max: Option<u64> },
}

/// How the configuration is had again.
pub struct Again {
    /// The file, if it is one.
    pub file: Option<PathBuf>,
    flags: Flags,
}

impl Again {
    /// Reads the file as at the start: whole, with the same flags.
    ///
    /// # Errors
    /// With everything that is wrong.
    pub fn read(&self) -> Result<Read, Refusal> {
        let refused = |why: String| Refusal { why, report: String::new() };
        let Some(file) = &self.file else {
            let why = "Tentpole was started without a file, so there is none to read again".to_owned();
            return Err(refused(why));
        };
        let loaded = tentpole_config::load_with(file, &self.flags).map_err(|report| {
            let errors = count(report.errors(), "error");
            Refusal { why: format!("{errors} in {}", file.display()), report: report.to_string() }
        })?;
        if let Some(why) = tentpole_control::cannot_tell(&loaded.snapshot) {
            return Err(refused(why));
        }
        programs::are_there(&loaded.snapshot).map_err(refused)?;
        let doubts = certificates::look(&loaded.snapshot).map_err(|errors| refused(errors.join("\n")))?;
        let mut notes = loaded.warnings.to_string();
        for doubt in doubts {
            notes.push_str(&format!("warning: {doubt}\n"));
        }
        for wrong in tentpole_timeouts::order(&loaded.snapshot, &[]).warnings {
            notes.push_str(&format!("warning: {wrong}\n"));
        }
        let written = Written::read(file);
        let place = |(name, way): &(&'static str, &[&str])| Some((*name, written.at(way)?));
        let places = FIXED.iter().filter_map(place).collect();
        Ok(Read { snapshot: loaded.snapshot, notes, places })
    }
}

/// How the configuration is had again by a program that takes over: with the same flags, from the same file.
pub fn again(mut typed: Up, file: Option<PathBuf>) -> Again {
    Again { file, flags: flags(&mut typed) }
}

fn flags(typed: &mut Up) -> Flags {
    Flags {
        listen: std::mem::take(&mut typed.listen),
        admin: typed.admin.take(),
        log: typed.log.map(Into::into),
        threads: typed.threads,
        cache: typed.cache.map(|cache| cache == Switch::On),
        learn: typed.learn.map(Into::into),
    }
}

/// Finds out what was meant; says what is wrong and gives the exit code otherwise.
pub fn load(mut typed: Up) -> Result<(Snapshot, Again), ExitCode> {
    let watch = typed.watch;
    let flags = flags(&mut typed);
    let from = match (typed.file, typed.run) {
        (Some(file), _) => From::File(file),
        (None, Some(run)) => {
            warn_of_unread_file("--run");
            From::Run { run, min: typed.min, max: typed.max, health: typed.health }
        }
        (None, None) if !typed.to.is_empty() => {
            warn_of_unread_file("--to");
            From::Endpoints { urls: typed.to, health: typed.health }
        }
        (None, None) if typed.health.is_some() => {
            say::error(
                "--health is about the endpoints of --to or --run; in a file, a pool has its own `health`.",
            );
            return Err(ExitCode::from(2));
        }
        (None, None) if PathBuf::from(FILE_USUAL).exists() => {
            if typed.min.or(typed.max).is_some() {
                say::error(
                    "--min and --max are about the instances of --run or of the demo; in tentpole.toml, a fleet has its \
                     own `min` and `max`.",
                );
                return Err(ExitCode::from(2));
            }
            From::File(FILE_USUAL.into())
        }
        #[cfg(feature = "demo")]
        (None, None) => From::Demo { min: typed.min, max: typed.max },
        #[cfg(not(feature = "demo"))]
        (None, None) => {
            say::error(
                "there is no tentpole.toml in this folder. Say which application to stand in front of:\n  \
                 tentpole up --to http://127.0.0.1:3000\nor which one to start:\n  tentpole up --run 'CMD --port \
                 {port}'\nor which file to read:\n  tentpole up FILE",
            );
            return Err(ExitCode::from(2));
        }
    };
    let loaded = match &from {
        From::File(path) => tentpole_config::load_with(path, &flags),
        From::Endpoints { urls, health } => tentpole_config::from_endpoints(urls, health.as_deref(), &flags),
        From::Run { run, min, max, health } => {
            tentpole_config::from_run(run, *min, *max, health.as_deref(), &flags)
        }
        #[cfg(feature = "demo")]
        From::Demo { min, max } => crate::demo::load(*min, *max, &flags)?,
    };
    match loaded {
        Ok(loaded) => {
            say::report(&loaded.warnings);
            can_tell(&loaded.snapshot)?;
            let file = if let From::File(path) = from { Some(path) } else { None };
            if watch && file.is_none() {
                say::error("--watch looks at a file, and there is none: name one, or leave --watch out.");
                return Err(ExitCode::from(2));
            }
            Ok((loaded.snapshot, Again { file, flags }))
        }
        Err(report) => {
            say::report(&report);
            Err(ExitCode::from(2))
        }
    }
}

/// Says so when this build cannot do what the configuration asks for.
pub fn can_tell(snapshot: &Snapshot) -> Result<(), ExitCode> {
    match tentpole_control::cannot_tell(snapshot) {
        None => Ok(()),
        Some(why) => {
            say::error(&why);
            Err(ExitCode::from(2))
        }
    }
}

fn warn_of_unread_file(flag: &str) {
    if PathBuf::from(FILE_USUAL).exists() {
        say::warning(&format!("{flag} was given, so the tentpole.toml in this folder is not read."));
    }
}
