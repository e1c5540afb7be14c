//! `tentpole check`: everything that is wrong with a configuration, or that it is fine.

use crate::{args, certificates, meant, say};
use std::process::ExitCode;
use tentpole_config::{Loaded, count};

/// Reads the file and says how it is.
pub fn run(typed: &args::Check) -> ExitCode {
    match tentpole_config::load(&typed.file) {
        Ok(loaded) => {
            say::report(&loaded.warnings);
            if let Err(code) = meant::can_tell(&loaded.snapshot) {
                return code;
            }
            let doubts = match certificates::look(&loaded.snapshot) {
                Ok(doubts) => doubts,
                Err(errors) => {
                    errors.iter().for_each(|error| say::error(error));
                    return ExitCode::from(2);
                }
            };
            doubts.iter().for_each(|doubt| say::warning(doubt));
            say::out(&format!("{}: {}\n", typed.file.display(), summary(&loaded, doubts.len())));
            ExitCode::SUCCESS
        }
        Err(report) => {
            say::report(&report);
            ExitCode::from(2)
        }
    }
}

/// `fine: 2 sites, 5 routes, 2 pools with 3 endpoints`.
fn summary(loaded: &Loaded, doubts: usize) -> String {
    let snapshot = &loaded.snapshot;
    let routes = snapshot.sites.iter().map(|site| site.routes.len()).sum();
    let endpoints = snapshot.pools.iter().map(|pool| pool.endpoints.len()).sum();
    let warnings = match loaded.warnings.diagnostics().len() + doubts {
        0 => String::new(),
        number => format!(", {}", count(number, "warning")),
    };
    format!(
        "fine: {}, {}, {} with {}{warnings}",
        count(snapshot.sites.len(), "site"),
        count(routes, "route"),
        count(snapshot.pools.len(), "pool"),
        count(endpoints, "endpoint"),
    )
}
