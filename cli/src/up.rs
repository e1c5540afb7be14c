//! `tentpole up`: not there yet; says so and ends.

use crate::meant::HowStarted;
use crate::say;
use std::process::ExitCode;
use tentpole_model::Snapshot;

/// Serves visitors until it is asked to end.
pub fn run(_snapshot: Snapshot, how: &HowStarted) -> ExitCode {
    say::error(&format!("serving is not built yet; the configuration is fine ({:?})", how.from));
    ExitCode::FAILURE
}
