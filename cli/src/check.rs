//! `tentpole check`: everything that is wrong with a configuration, or that it is fine.

use crate::{args, certificates, meant, ports, say};
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
            let doubts = [doubts, ports::doubts(&loaded.snapshot)].concat();
            doubts.iter().for_each(|doubt| say::warning(doubt));
            let order = tentpole_timeouts::order(&loaded.snapshot, &[]);
            order.warnings.iter().for_each(|wrong| say::warning(&wrong.to_string()));
            if typed.timeouts || !order.warnings.is_empty() {
                say::out(&format!("{}\n", order.table()));
            }
            let doubts = doubts.len() + order.warnings.len();
            say::out(&format!("{}: {}\n", typed.file.display(), summary(&loaded, doubts)));
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
    let endpoints = snapshot.pools.iter().flat_map(|pool| &pool.endpoints);
    let endpoints = endpoints.filter(|endpoint| !endpoint.is_further()).count();
    let warnings = match loaded.warnings.diagnostics().len() + doubts {
        0 => String::new(),
        number => format!(", {}", count(number, "warning")),
    };
    let files = match snapshot.pools.iter().filter(|pool| pool.files.is_some()).count() {
        0 => String::new(),
        1 => " and 1 directory of files".to_owned(),
        number => format!(" and {number} directories of files"),
    };
    format!(
        "fine: {}, {}, {} with {}{files}{warnings}",
        count(snapshot.sites.len(), "site"),
        count(routes, "route"),
        count(snapshot.pools.len(), "pool"),
        count(endpoints, "endpoint"),
    )
}
