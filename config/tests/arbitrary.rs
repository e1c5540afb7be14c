//! Whatever stands in the file, reading it ends with a Snapshot or with words, never with a panic.

use proptest::prelude::*;
use tentpole_config::{Flags, Place, Report, from_endpoints, from_run, parse};

/// What is said must be sayable: in both forms, with places that lie in the text.
fn holds(text: &str, report: &Report) {
    let said = report.to_string();
    assert!(!said.is_empty() || report.is_empty());
    let _ = report.at_terminal(80, true).to_string();
    for diagnostic in report.diagnostics() {
        if let Place::Bytes(bytes) = &diagnostic.place {
            assert!(bytes.start <= bytes.end && bytes.end <= text.len(), "{bytes:?} in {}", text.len());
        }
    }
}

fn read(text: &str) {
    match parse("tentpole.toml", text) {
        Ok(loaded) => holds(text, &loaded.warnings),
        Err(report) => {
            assert!(report.errors() > 0, "refused without an error:\n{text}");
            holds(text, &report);
        }
    }
}

const WHOLE: &str = include_str!("../../examples/tentpole.toml");

const FLEET: &str = include_str!("../../examples/fleet.toml");

/// Values that hardly fit anywhere.
const VALUES: &[&str] = &[
    "0",
    "-1",
    "18446744073709551616",
    "1.5",
    "nan",
    "true",
    "\"\"",
    "\"*\"",
    "\"/\"",
    "\"ä\"",
    "\"0s\"",
    "\"1h\"",
    "\"http://\"",
    "\"[\"",
    "\"%\"",
    "[]",
    "[[]]",
    "{}",
    "[{}]",
    "1979-05-27",
    "{ path = 3 }",
    "[1, \"x\"]",
    "\"99999999999999999999h\"",
    "\"18446744073709551615GiB\"",
    "0xffffffffffffffffffff",
    "\"\\u0000\"",
];

proptest! {
    #[test]
    fn any_text(text in any::<String>()) {
        read(&text);
    }

    #[test]
    fn a_whole_file_with_bytes_missing_or_inserted(from in 0..WHOLE.len(), length in 0..40usize, new in "[\\PC\n]{0,6}") {
        let (from, to) = (floor(from), floor((from + length).min(WHOLE.len())));
        read(&format!("{}{new}{}", &WHOLE[..from], &WHOLE[to..]));
    }

    #[test]
    fn a_whole_file_with_a_value_that_does_not_fit(
        line in 0..WHOLE.lines().count(),
        value in proptest::sample::select(VALUES),
    ) {
        let text: Vec<String> = WHOLE.lines().enumerate().map(|(at, text)| match text.split_once(" = ") {
            Some((key, _)) if at == line && !key.contains('#') => format!("{key} = {value}"),
            _ => text.to_owned(),
        }).collect();
        read(&text.join("\n"));
    }

    #[test]
    fn any_flags(to in any::<String>(), listen in any::<String>(), admin in any::<String>(), health in any::<String>()) {
        let flags = Flags { listen: vec![listen], admin: Some(admin), ..Flags::default() };
        if let Err(report) = from_endpoints(&[to.clone(), to], Some(&health), &flags) {
            holds("", &report);
        }
    }

    #[test]
    fn any_command(run in any::<String>(), min in any::<u64>(), max in any::<u64>(), health in any::<String>()) {
        match from_run(&run, Some(min), Some(max), Some(&health), &Flags::default()) {
            Ok(loaded) => holds("", &loaded.warnings),
            Err(report) => holds("", &report),
        }
    }

    #[test]
    fn a_fleet_with_a_value_that_does_not_fit(
        line in 0..FLEET.lines().count(),
        value in proptest::sample::select(VALUES),
    ) {
        let text: Vec<String> = FLEET.lines().enumerate().map(|(at, text)| match text.split_once(" = ") {
            Some((key, _)) if at == line && !key.contains('#') => format!("{key} = {value}"),
            _ => text.to_owned(),
        }).collect();
        read(&text.join("\n"));
    }
}

fn floor(mut at: usize) -> usize {
    while !WHOLE.is_char_boundary(at) {
        at -= 1;
    }
    at
}
