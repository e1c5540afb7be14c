//! Looks at one answer: is everything in it for the one who asked? Searches the fields, the body and the trailers.

use std::collections::{HashMap, HashSet};

use memchr::memmem;

use super::mix::{Errand, Manner};
use super::report::{Leak, Report};
use super::{Isolation, Person};
use crate::site::{ANONYMOUS, ANYONE};
use crate::visitor::Answer;

/// Notes everything about one answer in `report`. `tokens` has the one-time tokens seen so far, with who got them.
pub(super) fn answer(
    isolation: &Isolation,
    person: &Person,
    errand: &Errand,
    answer: &Answer,
    tokens: &mut HashMap<String, String>,
    report: &mut Report,
) {
    let asked = format!("{:?} {}", errand.manner, errand.target);
    let bytes = everything(answer);
    report.answers += 1;
    *report.statuses.entry(answer.status).or_default() += 1;
    report.hits += u64::from(answer.is_hit());
    let says_learned = answer.all("cache-status").any(|status| status.contains("detail=learned"));
    let is_learned = answer.is_hit() && says_learned;
    report.learned += u64::from(is_learned);
    if person.marker.is_none() {
        report.anonymous += 1;
        report.anonymous_hits += u64::from(answer.is_hit());
    } else {
        report.members_learned += u64::from(is_learned);
    }
    // The site is never too busy; a real application may be.
    if !isolation.is_site && answer.status == 503 && answer.header("retry-after").is_some() {
        report.refused += 1;
    } else if answer.status >= 500 {
        report.add_error(format!("error: {} asked {asked} and got {}", person.name, answer.status));
    }
    let own = person.marker.as_deref();
    report.own_markers += u64::from(own.is_some_and(|own| contains(&bytes, own)));
    let foreign = foreign_marker(isolation, own, &bytes);
    let leaked = foreign.is_some();
    if let Some(marker) = foreign {
        report.add_leak(Leak {
            asked_by: person.name.clone(),
            asked: asked.clone(),
            marker,
            status: answer.status,
            headers: answer.headers.clone(),
        });
    }
    if !isolation.is_site {
        return;
    }
    // A leak is wrong in other ways too: one finding is enough.
    if let Some(why) = mistake(person, errand, answer).filter(|_| !leaked) {
        report.wrong += 1;
        report
            .add_detail(format!("wrong: {} asked {asked} and got {why}; {:?}", person.name, answer.headers));
    }
    for token in words(&bytes, "once-") {
        let me = format!("{} with {asked}", person.name);
        if let Some(first) = tokens.insert(token.clone(), me.clone()) {
            report.repeated_tokens += 1;
            report.add_detail(format!(
                "repeated: {token} went to {first} and then to {me}; {:?}",
                answer.headers
            ));
        }
    }
}

/// A marker that is not this person's: one of the others', or anything that looks like one.
fn foreign_marker(isolation: &Isolation, own: Option<&str>, bytes: &[u8]) -> Option<String> {
    let others = isolation.people.iter().filter_map(|person| person.marker.as_deref());
    let known = others.filter(|other| Some(*other) != own).find(|other| contains(bytes, other));
    let unknown = || words(bytes, "marker-").into_iter().find(|marker| Some(marker.as_str()) != own);
    known.map(str::to_owned).or_else(unknown)
}

/// What the site says about the answer that does not fit what was asked.
fn mistake(person: &Person, errand: &Errand, answer: &Answer) -> Option<String> {
    let owner = answer.header("x-for").unwrap_or("nobody: X-For is missing");
    // Without its Authorization, the site does not know a person whose cookie it was not sent.
    let is_own = owner == person.name || owner == ANYONE || (person.marker.is_none() && owner == ANONYMOUS);
    if answer.status < 500 && answer.status != 304 && !is_own {
        return Some(format!("what was made for {owner}"));
    }
    if answer.status == 304 && errand.manner != Manner::Conditional {
        return Some("304 without having asked for it".to_owned());
    }
    let language = answer.header("content-language");
    if language.is_some_and(|language| language != errand.language) {
        return Some(format!("language {language:?} instead of {}", errand.language));
    }
    if answer.header("content-encoding") == Some("gzip") && !errand.takes_gzip {
        return Some("gzip without having asked for it".to_owned());
    }
    let page = format!("page {} for ", errand.target);
    let has_page = memmem::find(&answer.body, b"page /").is_some();
    if has_page && !contains(&answer.body, &page) {
        return Some("another page".to_owned());
    }
    if answer.status == 200 && errand.manner == Manner::Get && !has_page {
        return Some("no page at all".to_owned());
    }
    None
}

fn everything(answer: &Answer) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in answer.headers.iter().chain(&answer.trailers) {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b' ');
        bytes.extend_from_slice(value.as_bytes());
        bytes.push(b'\n');
    }
    bytes.extend_from_slice(&answer.body);
    bytes
}

/// Every different word that starts like this, up to the first byte that is no letter, digit, `-` or `_`.
fn words(bytes: &[u8], start: &str) -> HashSet<String> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'-' || *byte == b'_';
    memmem::find_iter(bytes, start)
        .map(|at| bytes[at..].iter().copied().take_while(is_part).map(char::from).collect())
        .collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    memmem::find(bytes, text.as_bytes()).is_some()
}
