//! `tentpole upgrade`: a running Tentpole hands over to a new program; says what came of it. `tentpole part check`: the new
//! program says whether it can.

use crate::admin_client::{self, AdminError};
use crate::args::{Command, Typed};
use crate::{args, say};
use clap::Parser;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

/// How long it may take until the new program serves: to be checked, to open its doors, to take over.
const UPGRADE_MAX: Duration = Duration::from_secs(75);

/// Asks, and waits until the new program serves.
pub fn run(typed: &args::Upgrade) -> ExitCode {
    let address = match admin_client::address(&typed.admin.address) {
        Ok(address) => address,
        Err(error) => {
            say::error(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let wish = match typed.program.as_ref().map(std::fs::canonicalize).transpose() {
        Ok(None) => json!({}),
        Ok(Some(program)) => json!({ "program": program }),
        Err(error) => {
            let program = typed.program.as_deref().unwrap_or_else(|| "".as_ref());
            say::error(&format!("cannot find the program {}: {error}", program.display()));
            return ExitCode::from(2);
        }
    };
    match admin_client::post_within(address, "/api/upgrade", &wish, UPGRADE_MAX) {
        Ok(answer) => {
            let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
            say::out(&format!("{}\n", answer["message"].as_str().unwrap_or("upgraded")));
            ExitCode::SUCCESS
        }
        Err(AdminError::Refused { error, .. }) => {
            say::error(&error);
            ExitCode::from(2)
        }
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Whether this program can take over: what would be handed over lies on standard input, and these are the arguments that
/// it would be started with. The keeper of the running program reads the answer.
pub fn check(arguments: Vec<OsString>) -> ExitCode {
    match checked(arguments) {
        Ok(()) => {
            say::out(&format!("can take over: tentpole {}\n", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Err(why) => {
            say::out(&format!("{why}\n"));
            ExitCode::FAILURE
        }
    }
}

fn checked(arguments: Vec<OsString>) -> Result<(), String> {
    let typed = Typed::try_parse_from(std::iter::once("tentpole".into()).chain(arguments));
    match typed.map(|typed| typed.command) {
        Ok(Command::Up(_)) => {}
        Ok(_) => return Err("these are not the arguments of `tentpole up`".into()),
        Err(error) => {
            return Err(format!("it does not know the arguments that Tentpole was started with: {error}"));
        }
    }
    let mut document = Vec::new();
    let read = std::io::stdin().lock().read_to_end(&mut document);
    read.map_err(|error| format!("nothing was handed over: {error}"))?;
    tentpole_keeper::check(&document).map(drop)
}
