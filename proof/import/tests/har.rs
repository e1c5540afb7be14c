//! Recordings become journeys that the load generator reads; what differs between two is taken from where it came.

use proptest::prelude::*;
use tentpole_import::har::{Wanted, import};
use tentpole_import::{Imported, jmx};
use tentpole_load::extract::{Extract, Find, From};
use tentpole_load::journey::{Content, Journey};
use tentpole_load::read;

/// A journey through a shop, as somebody with this token and these ids saw it.
fn recording(token: &str, order: &str, session: &str, nobody_knows: &str) -> String {
    let entry = |at: &str, method: &str, path: &str, sent: &str, status: u16, fields: &str, body: &str| {
        let body = serde_json::to_string(body).expect("text");
        format!(
            r#"{{"startedDateTime":"2026-03-01T10:00:{at}Z","time":100,
            "request":{{"method":"{method}","url":"http://shop.example:8080{path}",
              "headers":[{{"name":"Accept","value":"text/html"}},{{"name":"Cookie","value":"a=b"}},
                {{"name":"sec-ch-ua","value":"x"}},{{"name":"Accept-Encoding","value":"gzip"}},{{"name":"X-Seen","value":"{nobody_knows}"}}]{sent}}},
            "response":{{"status":{status},"headers":[{fields}],"content":{{"mimeType":"text/html","text":{body}}},"redirectURL":""}}}}"#
        )
    };
    let form = format!(
        r#","postData":{{"mimeType":"application/x-www-form-urlencoded","text":"csrf={token}&size=L+%26+M"}}"#
    );
    let json = format!(
        r#","postData":{{"mimeType":"application/json","text":"{{\"order\":\"{order}\",\"n\":1}}"}}"#
    );
    let asset = entry("00.300", "GET", "/logo.png", "", 200, "", "")
        .replace("text/html\",\"text", "image/png\",\"text");
    let elsewhere =
        entry("00.400", "GET", "/count", "", 200, "", "").replace("shop.example:8080", "ads.example");
    let entries = [
        entry(
            "00.000",
            "GET",
            "/",
            "",
            200,
            "",
            &format!("<p>Hello {session}</p><input type=\"hidden\" name=\"csrf\" value=\"{token}\"><p>"),
        ),
        asset,
        elsewhere,
        entry("03.100", "POST", "/cart", &form, 302, r#"{"name":"Location","value":"/cart/view"}"#, ""),
        entry(
            "03.200",
            "GET",
            "/cart/view",
            "",
            200,
            "",
            &format!("<a href=\"/pay/{order}?s={session}\">pay</a>"),
        ),
        entry("07.300", "GET", &format!("/pay/{order}?s={session}"), "", 200, "", "<p>pay</p>"),
        entry("08.400", "POST", "/api/pay", &json, 201, "", "{}"),
        entry("08.600", "GET", "/gone", "", 404, "", ""),
    ];
    format!(r#"{{"log":{{"version":"1.2","entries":[{}]}}}}"#, entries.join(","))
}

fn journey(imported: &Imported) -> Journey {
    let read =
        read::read("j.toml", &imported.text).unwrap_or_else(|wrong| panic!("{wrong}\n{}", imported.text));
    read.journeys.expect("a journey").all.remove(0)
}

fn said(imported: &Imported) -> String {
    imported.notes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_recording_becomes_the_requests_of_its_site_with_the_pauses_between_them() {
    let har = recording("t-1", "4711", "s-ann", "x1");
    let imported = import(("shop.har", &har), None, &Wanted::default()).expect("a HAR");
    assert_eq!(imported.url.as_deref(), Some("http://shop.example:8080"));
    let journey = journey(&imported);
    let names: Vec<&str> = journey.steps.iter().map(|step| step.name.as_str()).collect();
    // The cart's page is what the form was answered with: the generator follows redirects by itself.
    assert_eq!(names, ["GET /", "POST /cart", "GET /pay/4711", "POST /api/pay", "GET /gone"]);
    assert!(
        imported.text.contains("think = \"3s\"") && imported.text.contains("think = \"4s\""),
        "{}",
        imported.text
    );
    let Content::Form(fields) = &journey.steps[1].body else { panic!("{:?}", journey.steps[1]) };
    assert_eq!(fields.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["csrf", "size"]);
    assert!(imported.text.contains("size = \"L & M\""), "{}", imported.text);
    let headers: Vec<&str> = journey.steps[0].headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(headers, ["Accept", "X-Seen"]);
    let said = said(&imported);
    assert!(
        said.contains("1 request for a picture, script, style or font is left out; --assets keeps it."),
        "{said}"
    );
    assert!(said.contains("1 request to ads.example is left out"), "{said}");
    assert!(said.contains("one recording cannot show what changes"), "{said}");
    let all = Wanted { hosts: vec!["shop.example".into(), "ads.example".into()], assets: true };
    let all = import(("shop.har", &har), None, &all).expect("a HAR");
    assert_eq!(all.text.matches("[[journey.step]]").count(), 7, "{}", all.text);
}

#[test]
fn what_differs_between_two_recordings_is_taken_from_the_response_before() {
    let (one, two) = (recording("t-1x", "4711", "s-ann", "x1"), recording("q-77", "92", "s-bob", "y2"));
    let imported = import(("a.har", &one), Some(("b.har", &two)), &Wanted::default()).expect("HARs");
    let journey = journey(&imported);
    let extracts = |step: usize| journey.steps[step].extract.as_slice();
    let [Extract { from: From::Body, find: Find::Between(before, after), .. }] = extracts(0) else {
        panic!("{}", imported.text)
    };
    assert_eq!((before.ends_with("value=\""), after.as_str()), (true, "\""), "{}", imported.text);
    assert_eq!(
        extracts(1).len(),
        2,
        "the order and the session, from the page behind the redirect\n{}",
        imported.text
    );
    assert!(imported.text.contains("csrf = \"{csrf}\""), "{}", imported.text);
    assert!(imported.text.contains("path = \"/pay/{id:raw}?s={id_2:raw}\""), "{}", imported.text);
    assert!(imported.text.contains(r#"body = "{{\"order\":\"{id}\",\"n\":1}}""#), "{}", imported.text);
    let said = said(&imported);
    assert!(said.contains("the field X-Seen differs between the recordings (\"x1\", \"y2\") and stands in no response before"), "{said}");
    assert!(!said.contains("one recording cannot"), "{said}");
    // What could be taken for a line of the file says that it is a request, and which.
    let note = imported.notes.iter().find(|note| note.says.contains("X-Seen")).expect("a note");
    assert!(note.of("a.har").starts_with("a.har, request 1 (GET /): the field X-Seen differs"), "{said}");
    assert!(note.says.ends_with("(requests 4, 6, 7, 8 too)"), "{said}");
    assert!(imported.text.contains("#   request 1 (GET /): the field X-Seen"), "{}", imported.text);
}

#[test]
fn of_two_files_the_wrong_one_is_told() {
    let good = recording("t", "1", "s", "x");
    let wrong = import(("a.har", &good), Some(("b.har", "{")), &Wanted::default()).expect_err("wrong");
    assert_eq!((wrong.file, wrong.line), (1, 1));
    let wrong = import(("a.har", "{"), Some(("b.har", &good)), &Wanted::default()).expect_err("wrong");
    assert_eq!(wrong.file, 0);
}

/// Found by fuzzing: a check for it, and a file that was then refused.
#[test]
fn a_status_that_is_none_is_not_checked() {
    for status in [-1, 0, 99, 2000, 70_000] {
        let recorded = format!(
            r#"{{"log":{{"entries":[{{"request":{{"method":"GET","url":"http://a/"}},"response":{{"status":{status}}}}}]}}}}"#
        );
        let imported = import(("a.har", &recorded), None, &Wanted::default()).expect("a recording");
        assert!(!imported.text.contains("check"), "{status}: {}", imported.text);
        assert!(read::read("j.toml", &imported.text).is_ok(), "{status}: {}", imported.text);
    }
}

#[test]
fn what_is_no_har_is_told_with_line_and_column() {
    let wrong =
        |text: &str| import(("x.har", text), None, &Wanted::default()).expect_err("wrong").to_string();
    assert!(
        wrong("{\n \"log\": [}").starts_with("2: column 10: this is not a HAR"),
        "{}",
        wrong("{\n \"log\": [}")
    );
    assert!(!wrong("{\n \"log\": [}").contains("at line"), "the place is told once");
    let cut_off = wrong("{\"log\":{\"entries\":[{\"request\":{\"method\":\"GE");
    assert!(cut_off.starts_with("1: column 43: the file ends here, in the middle"), "{cut_off}");
    assert!(wrong(" \n").starts_with("this file is empty."), "{}", wrong(" \n"));
    assert!(
        wrong("{\"a\":1}").contains("this is not a HAR: missing field `log`. Export"),
        "{}",
        wrong("{\"a\":1}")
    );
    assert!(wrong("{\"log\":{\"entries\":[]}}").contains("no request by http"));
    assert!(wrong(&format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))).contains("this is not a HAR"));
}

proptest! {
    #[test]
    fn whatever_was_recorded_becomes_a_journey_that_is_read(
        token in "[\\PC]{0,12}", other in "[a-z0-9{}\"\\\\%]{1,12}", body in "[\\PC]{0,30}", path in "[a-z0-9{}/?&=%]{0,12}"
    ) {
        let quote = |text: &str| serde_json::to_string(text).expect("text");
        let har = |token: &str| format!(
            r#"{{"log":{{"entries":[
            {{"request":{{"method":"GET","url":"http://a/"}},"response":{{"status":200,"content":{{"text":{}}}}}}},
            {{"request":{{"method":"POST","url":{},"postData":{{"mimeType":"text/plain","text":{}}}}}}}]}}}}"#,
            quote(&format!("<{body}={token}>")), quote(&format!("http://a/{path}{token}")), quote(token)
        );
        if let Ok(imported) = import(("a.har", &har(&token)), Some(("b.har", &har(&other))), &Wanted::default()) {
            let read = read::read("j.toml", &imported.text);
            prop_assert!(read.is_ok(), "{}\n{}", read.expect_err("wrong"), imported.text);
        }
    }

    #[test]
    fn no_text_stops_the_importers(text in "\\PC{0,60}", json in "[\\[\\]{}\":,a-z0-9]{0,60}") {
        for text in [&text, &json] {
            let _ = import(("a.har", text), None, &Wanted::default());
            let _ = jmx::import("a.jmx", text);
            let _ = jmx::import("a.jmx", &format!("<jmeterTestPlan><hashTree>{text}</hashTree></jmeterTestPlan>"));
        }
    }
}
