//! `tentpole restart`: new instances take the place of old ones, one by one; waits until all are new.

use crate::admin_client::{self, AdminError};
use crate::{args, say};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

/// Between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Asks, and waits until all are new.
pub fn run(typed: &args::Restart) -> ExitCode {
    let done = admin_client::address(&typed.admin.address).and_then(|address| restart(address, typed));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Whether all of them are new.
fn restart(address: SocketAddr, typed: &args::Restart) -> Result<bool, AdminError> {
    let pools = match &typed.pool {
        Some(pool) => vec![pool.clone()],
        None => {
            fleets(address)?.iter().filter_map(|fleet| Some(fleet["pool"].as_str()?.to_owned())).collect()
        }
    };
    if pools.is_empty() {
        say::error("there is no fleet: Tentpole started no instance here");
        return Ok(false);
    }
    for pool in &pools {
        let answer = admin_client::post(address, &format!("/api/fleets/{pool}/restart"), &json!({}))?;
        let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
        say::out(&format!("{}\n", answer["message"].as_str().unwrap_or_default()));
    }
    let mut all_new = true;
    for pool in &pools {
        all_new &= wait(address, pool)?;
    }
    Ok(all_new)
}

/// Waits for one fleet.
fn wait(address: SocketAddr, pool: &str) -> Result<bool, AdminError> {
    let mut said = 0;
    loop {
        sleep(LOOK_EVERY);
        let fleets = match fleets(address) {
            // The control process is being started again, and the next one goes on with it.
            Err(AdminError::Io { .. }) => continue,
            other => other?,
        };
        let fleet = fleets.into_iter().find(|fleet| fleet["pool"] == pool).unwrap_or_default();
        match (&fleet["restart"], fleet["restart"]["stopped"].as_str()) {
            (Value::Null, _) => {
                say::out(&format!("{pool}: all instances are new\n"));
                return Ok(true);
            }
            (restart, Some(why)) => {
                say::error(&format!("{pool}: stopped, old instances that stay: {}: {why}", restart["old"]));
                return Ok(false);
            }
            (restart, None) => {
                let number = |field: &str| restart[field].as_u64().unwrap_or(0);
                let (new, of) = (number("new"), number("of"));
                if new > said {
                    said = new;
                    say::out(&format!("{pool}: {new} of {of} instances are new\n"));
                }
            }
        }
    }
}

fn fleets(address: SocketAddr) -> Result<Vec<Value>, AdminError> {
    let answer = admin_client::get(address, "/api/fleets")?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
    let what = "its answer is not a list of fleets";
    answer["fleets"].as_array().cloned().ok_or(AdminError::NotTheApi { address, what })
}
