//! `tentpole cache advise`: what a running Tentpole has learned about pages that say nothing about caching, as a table
//! or as the API's JSON. Changes nothing.

use crate::admin_client::{self, AdminError};
use crate::columns::{plain, table};
use crate::{args, say};
use clap::Args;
use serde_json::Value;
use std::fmt::Write;
use std::process::ExitCode;

/// Tell what could be shared of the pages that say nothing about caching
#[derive(Args, Debug)]
#[command(
    after_help = "SAVES is the share of the time that your endpoints work. `would apply` becomes\n`applied` with `learn = \"apply\"` in the configuration. docs/learning.md tells\nwhat is compared, and why a wrong rule cannot give a visitor's page away."
)]
pub struct Advise {
    /// The API's JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub admin: args::Admin,
}

/// Asks and shows.
pub fn run(typed: &Advise) -> ExitCode {
    let address = match admin_client::address(&typed.admin.address) {
        Ok(address) => address,
        Err(error) => {
            say::error(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let shown = admin_client::get(address, "/api/cache/advice").and_then(|json| {
        let advice: Value = serde_json::from_str(&json).unwrap_or(Value::Null);
        match advice["rules"].as_array() {
            Some(_) if typed.json => Ok(format!("{}\n", json.trim_end())),
            Some(rules) => Ok(show(&advice, rules)),
            None => Err(AdminError::NotTheApi { address, what: "its answer is no advice" }),
        }
    });
    match shown {
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

const TITLES: [&str; 6] = ["PAGES", "STATE", "SAVES", "URLS", "VISITORS", "SAMPLES"];

fn show(advice: &Value, rules: &[Value]) -> String {
    let mut out = format!(
        "{} answers that say nothing about caching were compared; endpoints worked {} s in all\n",
        plain(&advice["observed"]),
        advice["origin_ms"].as_u64().unwrap_or(0) / 1_000,
    );
    let dropped = advice["dropped"].as_u64().unwrap_or(0);
    if dropped > 0 {
        let _ = writeln!(out, "{dropped} more were not, for want of time");
    }
    // What says nothing yet would hide what does.
    let (telling, watching): (Vec<&Value>, Vec<&Value>) =
        rules.iter().partition(|rule| rule["state"] != "watching");
    if !telling.is_empty() {
        let mut rows = vec![TITLES.map(str::to_owned)];
        rows.extend(telling.iter().map(|rule| row(rule)));
        let _ = write!(out, "\n{}", table(&rows));
        for rule in &telling {
            notes(&mut out, rule);
        }
    }
    if !watching.is_empty() {
        let _ = write!(out, "\nnot enough evidence yet, or no two visitors get the same:\n");
        for rule in watching {
            let share = percent(&rule["origin_share"]);
            let _ = writeln!(out, "  {}  {share} of the endpoints' time", plain(&rule["pages"]));
        }
    }
    let proposals = advice["proposals"].as_array().map(Vec::as_slice).unwrap_or_default();
    if !proposals.is_empty() {
        let _ = write!(out, "\nneeds your word:\n");
        for proposal in proposals {
            let _ = writeln!(out, "  {}", propose(proposal));
        }
    }
    if rules.is_empty() && proposals.is_empty() {
        out.push_str("\nnothing yet: it takes some visitors, and pages that say nothing about caching\n");
    }
    out
}

fn row(rule: &Value) -> [String; 6] {
    let urls = format!("{} of {}", plain(&rule["ruled"]), plain(&rule["seen"]));
    [
        plain(&rule["pages"]),
        plain(&rule["state"]),
        percent(&rule["saves_share"]),
        urls,
        plain(&rule["visitors"]),
        plain(&rule["samples"]),
    ]
}

fn notes(out: &mut String, rule: &Value) {
    let pages = plain(&rule["pages"]);
    if let Some(why) = rule["why"].as_str() {
        let minutes = rule["again_in_s"].as_u64().unwrap_or(0).div_ceil(60);
        let again = if minutes > 0 { format!("; looked at again in {minutes} min") } else { String::new() };
        let _ = writeln!(out, "  {pages}: {}{again}", plain(&Value::from(why)));
    }
    let fields: Vec<String> = rule["vary"].as_array().into_iter().flatten().map(plain).collect();
    if !fields.is_empty() {
        let _ = writeln!(out, "  {pages}: kept apart by {}", fields.join(", "));
    }
}

/// A proposal, what speaks for it, and what to check first.
fn propose(proposal: &Value) -> String {
    let (name, share) = (plain(&proposal["name"]), percent(&proposal["origin_share"]));
    let number = |field: &str| plain(&proposal[field]);
    let evidence =
        format!("{} answers, {} pages, {} visitors", number("samples"), number("pages"), number("visitors"));
    match proposal["kind"].as_str() {
        Some("ignore_cookie") => format!(
            "cookies_ignored = [\"{name}\"]: those who send it get the anonymous page ({evidence}; {share} of the \
             endpoints' time). Check that nobody is logged in by it, and that it chooses no language, currency or basket."
        ),
        Some("drop_tracking_parameter") => format!(
            "query drop \"{name}\": advertising puts it on links, and it changes nothing ({} values; {evidence}; {share}).",
            number("values")
        ),
        Some("drop_parameter") => format!(
            "query drop \"{name}\": its value changes nothing ({} values; {evidence}; {share}). Check that no page shows it.",
            number("values")
        ),
        Some("stop_setting_cookie") => format!(
            "the cookie {name} is set on pages for anonymous visitors, which keeps them out of every cache ({evidence}; \
             {share} of the endpoints' time). Set it only where a form or a basket needs it."
        ),
        _ => format!("{name}: {evidence}"),
    }
}

fn percent(share: &Value) -> String {
    format!("{:.1} %", share.as_f64().unwrap_or(0.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn advice_is_a_table_with_what_needs_a_persons_word_below() {
        let rule = |pages: &str, state: &str, why: Value| {
            json!({"pages": pages, "state": state, "why": why, "again_in_s": 540, "ruled": 12, "seen": 14,
                "samples": 300, "visitors": 41, "saves_share": 0.423, "origin_share": 0.5, "vary": ["Accept-Language"]})
        };
        let advice = json!({
            "observed": 412, "dropped": 0, "origin_ms": 93_400,
            "rules": [
                rule("shop.example/product/*", "would apply", Value::Null),
                rule("shop.example/*", "withdrawn", json!("it sets a cookie")),
                rule("shop.example/basket", "watching", Value::Null),
            ],
            "proposals": [
                {"kind": "stop_setting_cookie", "name": "csrf", "samples": 90, "pages": 7, "visitors": 30, "values": 1,
                    "origin_share": 0.34},
                {"kind": "drop_tracking_parameter", "name": "utm_source", "samples": 60, "pages": 5, "visitors": 20,
                    "values": 9, "origin_share": 0.05},
                {"kind": "ignore_cookie", "name": "tour\u{1b}", "samples": 60, "pages": 5, "visitors": 20, "values": 1,
                    "origin_share": 0.011},
            ],
        });
        insta::assert_snapshot!(show(&advice, advice["rules"].as_array().unwrap_or(&Vec::new())));
    }

    #[test]
    fn nothing_learned_says_what_it_takes() {
        let advice = json!({"observed": 0, "dropped": 0, "origin_ms": 0, "rules": [], "proposals": []});
        assert!(show(&advice, &[]).contains("it takes some visitors"));
    }
}
