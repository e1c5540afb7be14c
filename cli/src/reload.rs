//! `tentpole reload`: a running Tentpole reads its configuration again; says what came of it.

use crate::admin_client::{self, AdminError};
use crate::{args, say};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Asks, and waits until it is in force.
pub fn run(typed: &args::Reload) -> ExitCode {
    let address = match admin_client::address(&typed.admin.address) {
        Ok(address) => address,
        Err(error) => {
            say::error(&error.to_string());
            return ExitCode::from(2);
        }
    };
    match admin_client::post(address, "/api/reload", &json!({})) {
        Ok(answer) => {
            let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
            say::aside(answer["notes"].as_str().unwrap_or_default());
            say::out(&format!("{}\n", answer["message"].as_str().unwrap_or("reloaded")));
            ExitCode::SUCCESS
        }
        Err(AdminError::Refused { error, report: Some(report), .. }) => {
            say::aside(&report);
            say::error(&error);
            ExitCode::from(2)
        }
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
