//! `tentpole purge`: removes URLs from the cache of a running Tentpole.

use crate::admin_client::{self, AdminError};
use crate::{args, say};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::process::ExitCode;
use tentpole_config::count;

/// Purges each URL in turn and says what was removed. Goes on after one that the API refuses.
pub fn run(typed: &args::Purge) -> ExitCode {
    let address = match admin_client::address(&typed.admin.address) {
        Ok(address) => address,
        Err(error) => {
            say::error(&error.to_string());
            return ExitCode::from(2);
        }
    };
    if let Some(url) = typed.urls.iter().find(|url| !url.contains("://")) {
        say::error(&format!(
            "{url:?} is not a URL; write it as visitors see it, like http://shop.example/p/red-shoe"
        ));
        return ExitCode::from(2);
    }
    let mut code = ExitCode::SUCCESS;
    let everything = typed.all.then(|| ("everything".to_owned(), json!({ "all": true })));
    let urls = typed.urls.iter().map(|url| (url.clone(), json!({ "url": url })));
    for (what, body) in everything.into_iter().chain(urls) {
        match purge(address, &body) {
            Ok(removed) => {
                say::out(&format!("{what}: {removed}\n"));
            }
            Err(error) => {
                let refused = matches!(error, AdminError::Refused { .. });
                say::error(&if refused { format!("{what}: {error}") } else { error.to_string() });
                code = ExitCode::FAILURE;
                if !refused {
                    break;
                }
            }
        }
    }
    code
}

/// What was removed, in words.
fn purge(address: SocketAddr, body: &Value) -> Result<String, AdminError> {
    let answer = admin_client::post(address, "/api/purge", body)?;
    let answer: Value = serde_json::from_str(&answer).unwrap_or(Value::Null);
    let number = |name: &str| answer[name].as_u64().and_then(|number| usize::try_from(number).ok());
    let (Some(objects), Some(fills)) = (number("objects"), number("fills")) else {
        return Err(AdminError::NotTheApi { address, what: "its answer says nothing of a purge" });
    };
    Ok(match (objects, fills) {
        (0, 0) => "nothing was stored".to_owned(),
        (objects, 0) => format!("{} removed", count(objects, "stored response")),
        (objects, fills) => {
            format!("{} removed, {} under way will not be stored", count(objects, "stored response"), fills)
        }
    })
}
