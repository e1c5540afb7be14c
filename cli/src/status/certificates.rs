//! Certificates that have ended or end soon, a line each.

use super::span;
use crate::columns::plain;
use serde_json::Value;
use std::fmt::Write;
use std::time::Duration;

/// The lines; empty while all hold long enough. `now_unix_ms` is the present.
pub fn lines(certificates: &Value, now_unix_ms: u64) -> String {
    let mut out = String::new();
    for one in certificates.as_array().map(Vec::as_slice).unwrap_or_default() {
        let Some(ends_s) = one["ends_unix_s"].as_u64() else { continue };
        let (file, host) = (plain(&one["file"]), plain(&one["host"]));
        let of = if host.is_empty() { file } else { format!("{host} ({file})") };
        let now_s = now_unix_ms / 1_000;
        let _ = match ends_s.checked_sub(now_s).filter(|left| *left > 0) {
            Some(left) => {
                writeln!(out, "\ncertificate of {of} ends in {}: renew it", span(Duration::from_secs(left)))
            }
            None => writeln!(
                out,
                "\ncertificate of {of} ended {} ago and browsers refuse it: renew it",
                span(Duration::from_secs(now_s - ends_s))
            ),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_ends_soon_or_has_ended_is_a_line() {
        assert_eq!(lines(&Value::Null, 0), "");
        assert_eq!(lines(&json!([]), 0), "");
        let now_s = 100 * 86_400;
        let told = lines(
            &json!([
                {"host": "old.example", "file": "/old.pem", "ends_unix_s": now_s - 3 * 3_600},
                {"host": "", "file": "/none.pem", "ends_unix_s": now_s},
                {"host": "shop.example\u{1b}[2J", "file": "/shop.pem", "ends_unix_s": now_s + 3 * 86_400},
            ]),
            now_s * 1_000,
        );
        for line in [
            "certificate of old.example (/old.pem) ended 3h 0m ago and browsers refuse it: renew it\n",
            "certificate of /none.pem ended 0s ago and browsers refuse it: renew it\n",
            "(/shop.pem) ends in 3d 0h: renew it\n",
        ] {
            assert!(told.contains(line), "{line}\n{told}");
        }
        assert!(!told.contains('\u{1b}'), "what somebody wrote into a certificate moves no cursor");
    }
}
