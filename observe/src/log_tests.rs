//! Tests of the access log: what a person or a program reads there.

use super::*;
use crate::testing::{names, why_that_was_retried};
use proptest::prelude::*;
use serde_json::Value;
use tentpole_model::Refused;

fn json(record: &Record<'_>) -> Value {
    let mut out = Vec::new();
    write_line(&mut out, AccessLog::Json, record, &names());
    assert_eq!(out.pop(), Some(b'\n'));
    assert!(out.iter().all(|&byte| byte >= b' '), "one line, no control bytes");
    serde_json::from_slice(&out).expect("valid JSON")
}

fn combined(record: &Record<'_>) -> String {
    let mut out = Vec::new();
    write_line(&mut out, AccessLog::Combined, record, &names());
    assert_eq!(out.pop(), Some(b'\n'));
    String::from_utf8(out).expect("ASCII")
}

fn texts() -> Texts<'static> {
    Texts {
        method: b"GET",
        host: b"shop.example",
        target: b"/p/1?a=b",
        user_agent: b"curl/8",
        referer: b"",
        mark: b"",
    }
}

#[test]
fn a_json_line_tells_the_whole_story() {
    let read = json(&Record { why: why_that_was_retried(), texts: Some(texts()) });
    assert_eq!(read["time"], "2026-11-27T09:00:00.000001Z");
    assert_eq!(read["host"], "shop.example");
    assert_eq!(read["target"], "/p/1?a=b");
    assert_eq!(
        (&read["site"], &read["route"], &read["pool"]),
        (&"shop".into(), &"/p/{slug}".into(), &"app".into())
    );
    assert_eq!((&read["cache"], &read["bypass"]), (&"bypass".into(), &"set_cookie".into()));
    assert_eq!(
        (&read["end"], &read["status"], &read["took_us"]),
        (&"complete".into(), &200.into(), &4_200.into())
    );
    let first = &read["attempts"][0];
    assert_eq!((&first["endpoint"], &first["failure"]["phase"]), (&"10.0.0.1:80".into(), &"connect".into()));
    assert_eq!(
        (&first["failure"]["cause"], &first["failure"]["side"]),
        (&"refused".into(), &"upstream".into())
    );
    let second = &read["attempts"][1];
    assert_eq!((&second["endpoint"], &second["status"]), (&"10.0.0.2:80".into(), &200.into()));
    assert_eq!((&second["queued_us"], &second["first_byte_us"]), (&30.into(), &3_000.into()));
}

#[test]
fn a_combined_line_is_apaches_with_the_reasons_behind() {
    let line = combined(&Record { why: why_that_was_retried(), texts: Some(texts()) });
    assert_eq!(
        line,
        "192.0.2.7 - - [27/Nov/2026:09:00:00 +0000] \"GET /p/1?a=b HTTP/1.1\" 200 512 \"-\" \"curl/8\" \
         cache=bypass why=set_cookie upstream=10.0.0.1:80/connect/refused,10.0.0.2:80/200 took=4200us"
    );
}

#[test]
fn a_refusal_names_its_reason_in_both_forms() {
    let why = Why { end: End::Refused(Refused::QueueFull), status: 503, ..Why::new() };
    let record = Record { why, texts: None };
    assert_eq!(json(&record)["refused"], "queue_full");
    assert_eq!(json(&record)["answered_by"], "edge");
    let line = combined(&record);
    assert!(
        line.ends_with(
            "\"OTHER - HTTP/1.1\" 503 0 \"-\" \"-\" cache=none why=queue_full upstream=- took=0us"
        ),
        "{line}"
    );
}

#[test]
fn a_filter_is_named_whether_it_refuses_or_only_reports() {
    let refused = Why {
        filter: Some(0),
        end: End::Refused(Refused::RateLimited),
        status: 429,
        snapshot: why_that_was_retried().snapshot,
        ..Why::new()
    };
    let record = Record { why: refused, texts: None };
    assert_eq!((&json(&record)["filter"], &json(&record)["filter_reports"]), (&"login".into(), &Value::Null));
    assert!(combined(&record).ends_with("took=0us filter=login"), "{}", combined(&record));
    let record = Record { why: Why { end: End::Complete, ..refused }, texts: None };
    assert_eq!((&json(&record)["filter"], &json(&record)["filter_reports"]), (&Value::Null, &"login".into()));
    // What refused it is not the filter.
    let record = Record { why: Why { end: End::Refused(Refused::QueueFull), ..refused }, texts: None };
    assert_eq!(json(&record)["filter_reports"], "login");
}

#[test]
fn a_visitor_cannot_write_lines_of_their_own() {
    let evil =
        Texts { target: b"/\" 200 1\n10.0.0.9 - - \x1b[31m\xff\xc2\x85\\", user_agent: b"\r\n\"", ..texts() };
    let record = Record { why: Why::new(), texts: Some(evil) };
    let line = combined(&record);
    assert!(line.contains(r#""GET /\" 200 1\x0a10.0.0.9 - - \x1b[31m\xff\xc2\x85\\ HTTP/1.1""#), "{line}");
    assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    assert_eq!(json(&record)["target"], "/\" 200 1\n10.0.0.9 - - \u{1b}[31m\u{fffd}\u{85}\\");
}

#[test]
fn numbers_without_a_name_are_shown_as_unknown() {
    let mut why = why_that_was_retried();
    why.route = Some(RouteId(99));
    why.site = Some(SiteId(99));
    why.attempts[0].as_mut().unwrap().endpoint = 99;
    let read = json(&Record { why, texts: None });
    assert_eq!((&read["route"], &read["attempts"][0]["endpoint"]), (&"?".into(), &"?".into()));
    assert_eq!(read["site"], Value::Null);
}

proptest! {
    #[test]
    fn any_bytes_give_a_valid_json_text(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut out = Vec::new();
        write_json_text(&mut out, &bytes);
        let read: String = serde_json::from_slice(&out).unwrap();
        prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_bytes_give_one_combined_line(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let texts = Texts { method: &bytes, host: &bytes, target: &bytes, user_agent: &bytes, referer: &bytes, mark: &bytes };
        let line = combined(&Record { why: Why::new(), texts: Some(texts) });
        prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let unescaped = line.replace("\\\\", "").replace("\\\"", "");
        prop_assert_eq!(unescaped.matches('"').count(), 6, "three quoted texts");
    }
}
