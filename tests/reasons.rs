//! Holds docs/reasons.md, and the metrics in docs/admin-api.md, to the code: each word that the access log,
//! `Cache-Status`, the metrics and the API can say has a row there, and no row explains a word that is not said any
//! more. Never judges what a row says.

use std::collections::BTreeSet;
use std::path::Path;

use tentpole_model::{AssemblyFault, Bypass, Detour, HandshakeFault, NotAgain, Phase, Refused, Retry, Side};
use tentpole_observe::metrics::{AnsweredBy, CACHE_OUTCOMES, CAUSES};

fn page() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reasons.md");
    std::fs::read_to_string(&path).expect("docs/reasons.md can be read")
}

/// The page's text below the heading `title`, up to the next heading.
fn section<'a>(page: &'a str, title: &str) -> &'a str {
    let heading = format!("\n## {title}\n");
    let from = page.find(&heading).unwrap_or_else(|| panic!("the page has no heading {title:?}"));
    let rest = &page[from + heading.len()..];
    rest.split("\n## ").next().unwrap_or(rest)
}

/// The words that begin the rows of a section's tables.
fn explained(section: &str) -> BTreeSet<&str> {
    section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect()
}

/// Fails unless the section explains exactly these words.
fn explains(title: &str, said: impl IntoIterator<Item = &'static str>) {
    let page = page();
    assert_eq!(explained(section(&page, title)), said.into_iter().collect(), "in the section {title:?}");
}

#[test]
fn each_outcome_of_the_cache_is_explained() {
    explains("What the cache did", CACHE_OUTCOMES.iter().map(|outcome| outcome.label()));
}

#[test]
fn each_bypass_is_explained() {
    explains("Why it was not shared", Bypass::ALL.iter().map(|bypass| bypass.label()));
}

#[test]
fn each_reason_for_a_page_without_its_fragments_is_explained() {
    explains("Why a fragment is missing", AssemblyFault::ALL.iter().map(|fault| fault.label()));
}

#[test]
fn each_refusal_is_explained_with_its_status() {
    explains("Why it was refused", Refused::ALL.iter().map(|refused| refused.label()));
    let page = page();
    let section = section(&page, "Why it was refused");
    for refused in Refused::ALL {
        let row = format!("| `{}` | {} |", refused.label(), refused.status());
        assert!(section.contains(&row), "no row begins with {row}");
    }
}

#[test]
fn each_failure_of_a_handshake_is_explained() {
    explains("Why a handshake failed", HandshakeFault::ALL.iter().map(|fault| fault.label()));
}

#[test]
fn each_part_of_a_failure_is_explained() {
    let sides = Side::ALL.iter().map(|side| side.label());
    let phases = Phase::ALL.iter().map(|phase| phase.label());
    let retries = Retry::ALL.iter().map(|retry| retry.label());
    explains("What failed", sides.chain(phases).chain(retries).chain(CAUSES));
}

#[test]
fn each_reason_for_not_sending_again_is_explained() {
    explains("Why it went elsewhere", Detour::ALL.iter().map(|reason| reason.label()));
    explains("Why it was not sent again", NotAgain::ALL.iter().map(|reason| reason.label()));
}

#[test]
fn whoever_can_answer_is_named() {
    let page = page();
    let row = page.lines().find(|line| line.starts_with("| `answered_by`")).expect("answered_by has a row");
    for who in AnsweredBy::ALL {
        assert!(row.contains(&format!("`{}`", who.label())), "{} is missing in {row}", who.label());
    }
}

#[test]
fn each_key_of_the_example_is_explained() {
    let page = page();
    let json = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let line: serde_json::Value = serde_json::from_str(json).expect("the example is one JSON object");
    let (keys, attempts) = (section(&page, "A line of the log"), section(&page, "Attempts"));
    let mut known: BTreeSet<&str> = BTreeSet::new();
    // A row may explain several keys: those before its second bar.
    for row in keys.lines().chain(attempts.lines()).filter_map(|line| line.strip_prefix("| `")) {
        let cell = row.split('|').next().unwrap_or(row);
        known.extend(cell.split('`').filter(|word| !word.trim_matches([',', ' ']).is_empty()));
    }
    let attempts = line["attempts"].as_array().expect("the example has attempts");
    let objects = std::iter::once(&line).chain(attempts).filter_map(serde_json::Value::as_object);
    for key in objects.flat_map(|object| object.keys()) {
        assert!(known.contains(key.as_str()), "no row explains {key}");
    }
}

#[test]
fn each_metric_has_its_row_in_the_page_of_the_admin_api() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/admin-api.md");
    let page = std::fs::read_to_string(&path).expect("docs/admin-api.md can be read");
    let all = tentpole_observe::names::ALL.iter().chain(tentpole_admin::METRICS_OWN);
    let said = all.map(|metric| metric.name).collect();
    assert_eq!(explained(section(&page, "Metrics")), said);
}
