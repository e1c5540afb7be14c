//! `tentpole check`: everything that is wrong with a configuration, or that it is fine.

use crate::{args, meant, say};
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
            say::out(&format!("{}: {}\n", typed.file.display(), summary(&loaded)));
            ExitCode::SUCCESS
        }
        Err(report) => {
            say::report(&report);
            ExitCode::from(2)
        }
    }
}

/// `fine: 2 sites, 5 routes, 2 pools with 3 endpoints`.
fn summary(loaded: &Loaded) -> String {
    let snapshot = &loaded.snapshot;
    let routes = snapshot.sites.iter().map(|site| site.routes.len()).sum();
    let endpoints = snapshot.pools.iter().map(|pool| pool.endpoints.len()).sum();
    let warnings = match loaded.warnings.diagnostics().len() {
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
