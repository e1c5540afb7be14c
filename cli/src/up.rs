//! Stand-in.
use crate::say;
use std::process::ExitCode;
use tentpole_model::Snapshot;

/// Not yet.
pub fn run(_snapshot: Snapshot) -> ExitCode {
    let _ = say::out("");
    say::aside("");
    say::warning("");
    ExitCode::FAILURE
}
