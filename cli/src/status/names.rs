//! The lines about names: how often they are looked up, where each leads, and what is wrong with it.

use crate::columns::plain;
use serde_json::Value;
use std::fmt::Write;

/// Addresses of one name that a line shows.
const SHOWN_MAX: usize = 8;

/// Nothing where no endpoint has a name.
pub(crate) fn lines(names: &Value) -> String {
    let all = names["names"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return String::new();
    }
    let failed = match names["failed"].as_u64() {
        Some(0) | None => String::new(),
        Some(failed) => format!(", {failed} failed since the start"),
    };
    let mut out = format!("\nnames: {} looked up in the last minute{failed}\n", plain(&names["last_minute"]));
    for name in all {
        let addresses = name["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut shown: Vec<String> = addresses.iter().take(SHOWN_MAX).map(plain).collect();
        if addresses.len() > SHOWN_MAX {
            shown.push(format!("and {} more", addresses.len() - SHOWN_MAX));
        }
        let leads_to = if shown.is_empty() { "nowhere".to_owned() } else { shown.join(", ") };
        let _ = write!(out, "  {}: {leads_to}", plain(&name["name"]));
        if let (Some(age), Some(ttl)) = (name["age_ms"].as_u64(), name["ttl_ms"].as_u64()) {
            let from = plain(&name["from"]);
            let _ = write!(out, " ({from}, {} s ago, counts {} s)", age / 1_000, ttl / 1_000);
        }
        out.push('\n');
        if let Some(trouble) = name["trouble"].as_str() {
            let _ = writeln!(out, "    {}", plain(&Value::from(trouble)));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_shown_with_where_it_leads_and_what_is_wrong() {
        let names = json!({
            "found": 9, "failed": 2, "last_minute": 4,
            "names": [
                { "name": "app.internal", "addresses": ["10.0.0.1", "10.0.0.2"], "from": "10.0.0.53:53",
                  "ttl_ms": 30_000, "age_ms": 61_500, "trouble": "name server 10.0.0.53:53: no answer within 5s" },
                { "name": "srv://_http._tcp.shop", "addresses": [], "from": null, "ttl_ms": 0, "age_ms": null,
                  "trouble": null },
            ],
        });
        assert_eq!(
            lines(&names),
            "\nnames: 4 looked up in the last minute, 2 failed since the start\n  \
             app.internal: 10.0.0.1, 10.0.0.2 (10.0.0.53:53, 61 s ago, counts 30 s)\n    \
             name server 10.0.0.53:53: no answer within 5s\n  \
             srv://_http._tcp.shop: nowhere\n"
        );
        assert_eq!(lines(&json!({ "names": [] })), "");
        assert_eq!(lines(&Value::Null), "");
    }
}
