//! `tentpole room`: shows waiting rooms, and turns them by hand.

use crate::admin_client::{self, AdminError};
use crate::{args, say};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;

/// Look at waiting rooms, or turn one by hand
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  tentpole room\n  tentpole room sale close\n  tentpole room sale limit --active 200 --per-minute 60\n  tentpole room sale let-in 50\n  tentpole room sale auto"
)]
pub struct Room {
    /// Its name in the configuration; without one all are shown
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    #[command(subcommand)]
    pub what: Option<What>,
    #[command(flatten)]
    pub admin: args::Admin,
}

#[derive(Subcommand, Debug)]
pub enum What {
    /// Open the doors, whatever `opens` and `closes` say
    Open,
    /// Let nobody new in; those who wait keep their places
    Close,
    /// Let everybody in, as if there were no room
    Off,
    /// Follow the configuration again, in all
    Auto,
    /// Set other limits
    Limit {
        /// Visitors inside at once
        #[arg(long, value_name = "N", required_unless_present = "per_minute")]
        active: Option<u32>,
        /// Visitors who come in within a minute
        #[arg(long, value_name = "N")]
        per_minute: Option<u32>,
    },
    /// Let so many in beyond all limits
    LetIn {
        /// How many
        count: u32,
    },
}

/// Shows them, after what is wanted is done.
pub fn run(typed: &Room) -> ExitCode {
    if let (None, Some(_)) = (&typed.name, &typed.what) {
        // Shown all the same, it would look as if it had been done.
        say::error("which room? Name it first, as in tentpole room sale close; tentpole room lists them");
        return ExitCode::from(2);
    }
    match shown(typed) {
        Ok(text) => {
            say::out(&text);
            ExitCode::SUCCESS
        }
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn shown(typed: &Room) -> Result<String, AdminError> {
    let address = admin_client::address(&typed.admin.address)?;
    let answer = match (&typed.name, &typed.what) {
        (Some(name), Some(what)) => admin_client::post(address, &path(name), &wish(what))?,
        _ => admin_client::get(address, "/api/rooms")?,
    };
    let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
    match answer["rooms"].as_array() {
        Some(rooms) => match &typed.name {
            Some(name) => one(rooms, name),
            None => Ok(table(rooms)),
        },
        None => Err(AdminError::NotTheApi { address, what: "its answer names no rooms" }),
    }
}

/// The one of this name.
fn one(rooms: &[Value], name: &str) -> Result<String, AdminError> {
    let room = rooms.iter().find(|room| room["room"] == name);
    room.map(|room| line(room) + "\n").ok_or_else(|| AdminError::Refused {
        error: format!("there is no waiting room {name}"),
        cure: Some("tentpole room lists them.".to_owned()),
        report: None,
    })
}

/// Where a room is turned. What is typed is one segment of a path, whatever it is (RFC 3986, section 2.1).
fn path(name: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    name.bytes().fold("/api/rooms/".to_owned(), |path, byte| match plain(&byte) {
        true => path + &char::from(byte).to_string(),
        false => path + &format!("%{byte:02X}"),
    })
}

fn wish(what: &What) -> Value {
    match what {
        What::Open => json!({ "doors": "open" }),
        What::Close => json!({ "doors": "close" }),
        What::Off => json!({ "doors": "off" }),
        What::Auto => json!({ "doors": "auto" }),
        What::Limit { active, per_minute } => {
            let both = [("active", active), ("entries_per_minute", per_minute)];
            both.into_iter().filter_map(|(key, value)| Some((key.to_owned(), json!((*value)?)))).collect()
        }
        What::LetIn { count } => json!({ "let_in": count }),
    }
}

fn table(rooms: &[Value]) -> String {
    if rooms.is_empty() {
        return "there is no waiting room; docs/waiting-room.md says how to make one\n".to_owned();
    }
    rooms.iter().map(|room| line(room) + "\n").collect()
}

/// How a room is.
pub(crate) fn line(room: &Value) -> String {
    let number = |value: &Value| value.as_u64().map_or("-".to_owned(), |number| number.to_string());
    let wait = match room["estimate_seconds"].as_u64() {
        None => "-".to_owned(),
        Some(seconds) => format!("{} min", seconds.div_ceil(60)),
    };
    let kept = match room["kept"].as_str() {
        Some("late") => "; nobody comes in until the state directory has taken what is written".to_owned(),
        Some("fails") => {
            format!("; cannot be written down: {}", room["kept_error"].as_str().unwrap_or_default())
        }
        _ => String::new(),
    };
    format!(
        "{}: doors {}, inside {} of {}, waiting {}, entries {} of {} a minute, wait {wait}{kept}",
        room["room"].as_str().unwrap_or_default(),
        room["doors"].as_str().unwrap_or_default(),
        number(&room["active"]),
        number(&room["active_max"]),
        number(&room["waiting"]),
        number(&room["entries_last_minute"]),
        number(&room["entries_per_minute"]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_a_line() {
        let mut room = json!({
            "room": "sale", "doors": "open", "active": 300, "active_max": 300, "waiting": 9700,
            "entries_last_minute": 58, "entries_per_minute": 60, "estimate_seconds": 9700,
        });
        assert_eq!(
            table(std::slice::from_ref(&room)),
            "sale: doors open, inside 300 of 300, waiting 9700, entries 58 of 60 a minute, wait 162 min\n"
        );
        room["kept"] = json!("fails");
        room["kept_error"] = json!("No space left on device");
        assert!(line(&room).ends_with("wait 162 min; cannot be written down: No space left on device"));
        let limits = What::Limit { active: None, per_minute: Some(60) };
        assert_eq!(wish(&limits), json!({ "entries_per_minute": 60 }));
    }
}
