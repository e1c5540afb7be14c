//! What a journey takes from a response and what must be true of it. Finds plain text between plain text; knows no
//! HTML and no patterns.

use crate::arrivals::below;
use crate::result::FailureCause;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tentpole_message::{Fields, ResponseHead};
use tentpole_runtime::Random;

/// Bytes of a response's body that are looked into; what comes after is read and thrown away.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of a value at most; longer ones are no finds.
const VALUE_BYTES_MAX: usize = 4_096;
/// Finds among which one is drawn.
const FINDS_MAX: usize = 1_000;

/// One value that is taken from a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extract {
    /// The variable it goes into.
    pub variable: usize,
    /// Where it is looked for.
    pub from: From,
    /// The text before and after it; `None` takes everything.
    pub between: Option<(String, String)>,
    /// Which find is taken.
    pub pick: Pick,
    /// What it is when nothing is found; without it that is a failure.
    pub or: Option<String>,
}

/// Where a value is looked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum From {
    /// The body.
    Body,
    /// A field of this name.
    Header(String),
    /// The URL at which the response was found, after redirects.
    Url,
    /// The status.
    Status,
}

/// Which of several finds is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pick {
    /// The first.
    First,
    /// The last.
    Last,
    /// Any.
    Random,
}

/// What must be true of a response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Check {
    /// Its status is one of these.
    Status(Vec<u16>),
    /// Its body holds this text.
    Contains(String),
    /// Its body does not hold this text.
    Lacks(String),
    /// It was there within this time, from the moment it was asked for.
    Within(Duration),
    /// It has this field; with a text, one whose value holds it (any case).
    Header(String, Option<String>),
}

/// A response as journeys see it.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its head.
    pub head: &'a ResponseHead,
    /// Its body, as far as it is looked into.
    pub body: &'a [u8],
    /// Where it was found.
    pub url: &'a str,
    /// How long it took.
    pub took: Duration,
}

/// Why a response is a failure by itself or by its checks; `None` when it is as it must be.
pub fn failure(page: Page<'_>, checks: &[Check]) -> Option<FailureCause> {
    let status = page.head.status;
    let by_status = match status {
        400..=499 => Some(FailureCause::Status4xx),
        500.. => Some(FailureCause::Status5xx),
        _ => None,
    };
    let wants_status = checks.iter().any(|check| matches!(check, Check::Status(_)));
    if !wants_status && by_status.is_some() {
        return by_status;
    }
    let failed = checks.iter().find(|check| !check.holds(page))?;
    match failed {
        Check::Status(_) => by_status.or(Some(FailureCause::Check)),
        _ => Some(FailureCause::Check),
    }
}

impl Check {
    /// Whether the body is needed for it.
    pub fn wants_body(&self) -> bool {
        matches!(self, Self::Contains(_) | Self::Lacks(_))
    }

    fn holds(&self, page: Page<'_>) -> bool {
        match self {
            Self::Status(wanted) => wanted.contains(&page.head.status),
            Self::Contains(text) => find(page.body, text.as_bytes()).is_some(),
            Self::Lacks(text) => find(page.body, text.as_bytes()).is_none(),
            Self::Within(time) => page.took <= *time,
            Self::Header(name, None) => page.head.fields.find(name.as_bytes()).next().is_some(),
            Self::Header(name, Some(text)) => has_value(&page.head.fields, name, text),
        }
    }
}

fn has_value(fields: &Fields, name: &str, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    fields.find(name.as_bytes()).any(|value| find(&value.to_ascii_lowercase(), text.as_bytes()).is_some())
}

impl Extract {
    /// Whether the body is needed for it.
    pub fn wants_body(&self) -> bool {
        self.from == From::Body
    }

    /// What is found; `None` when it is nothing.
    pub fn take(&self, page: Page<'_>, random: &mut Random) -> Option<String> {
        let found = match &self.from {
            From::Body => self.pick(self.finds(page.body), random).map(|value| unescaped(&value)),
            From::Header(name) => {
                let values = page.head.fields.find(name.as_bytes());
                self.pick(values.flat_map(|value| self.finds(value)), random)
            }
            From::Url => self.pick(self.finds(page.url.as_bytes()), random),
            From::Status => Some(page.head.status.to_string()),
        };
        found.or_else(|| self.or.clone())
    }

    fn finds<'a>(&'a self, text: &'a [u8]) -> Box<dyn Iterator<Item = &'a [u8]> + 'a> {
        match &self.between {
            None => Box::new(std::iter::once(text)),
            Some((before, after)) => {
                Box::new(Finds { rest: text, before: before.as_bytes(), after: after.as_bytes() })
            }
        }
    }

    fn pick<'a>(&self, finds: impl Iterator<Item = &'a [u8]>, random: &mut Random) -> Option<String> {
        let mut finds = finds
            .filter(|value| !value.is_empty() && value.len() <= VALUE_BYTES_MAX)
            .take(FINDS_MAX)
            .filter_map(|value| std::str::from_utf8(value).ok());
        let value = match self.pick {
            Pick::First => finds.next(),
            Pick::Last => finds.last(),
            Pick::Random => {
                let all: Vec<&str> = finds.collect();
                if all.is_empty() { None } else { Some(all[below(random, all.len())]) }
            }
        };
        value.map(str::to_owned)
    }
}

struct Finds<'a> {
    rest: &'a [u8],
    before: &'a [u8],
    after: &'a [u8],
}

impl<'a> Iterator for Finds<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = find(self.rest, self.before)? + self.before.len();
        let inside = &self.rest[start..];
        let end = find(inside, self.after)?;
        // The text after one find may be the text before the next.
        self.rest = &inside[end..];
        // The shortest text between: `value="1"> … value="2" checked` between `value="` and `" checked` is `2`.
        let inside = &inside[..end];
        let closer = memchr::memmem::rfind(inside, self.before).map_or(0, |at| at + self.before.len());
        Some(&inside[closer..])
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(text, wanted)
}

/// The five characters that HTML escapes in attributes.
fn unescaped(value: &str) -> String {
    if !value.contains('&') {
        return value.to_owned();
    }
    // `&amp;` last, so that `&amp;lt;` stays `&lt;`.
    let pairs =
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&amp;", "&")];
    pairs.iter().fold(value.to_owned(), |value, (escaped, plain)| value.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(status: u16) -> ResponseHead {
        let mut head = ResponseHead::new();
        head.set_line(status, 0..0, 1);
        head.fields.push(b"X-Token", b"id=abc; next");
        head.fields.push(b"Cache-Status", b"tentpole; HIT");
        head
    }

    fn extract(from: From, between: Option<(&str, &str)>, pick: Pick) -> Extract {
        let between = between.map(|(before, after)| (before.to_owned(), after.to_owned()));
        Extract { variable: 0, from, between, pick, or: None }
    }

    fn taken(extract: &Extract, body: &str, seed: u64) -> Option<String> {
        let page =
            Page { head: &head(200), body: body.as_bytes(), url: "http://a/p/red?x=1", took: Duration::ZERO };
        extract.take(page, &mut Random::from_seed(seed))
    }

    const LINKS: &str = r#"<a href="/p/red">..</a><a href="/p/blue?a=1&amp;b=2">..</a><a href="/p/green">"#;

    #[test]
    fn text_between_text_is_found_in_body_header_url_and_status() {
        let link = Some(("href=\"/p/", "\""));
        assert_eq!(taken(&extract(From::Body, link, Pick::First), LINKS, 1).as_deref(), Some("red"));
        assert_eq!(taken(&extract(From::Body, link, Pick::Last), LINKS, 1).as_deref(), Some("green"));
        let token = extract(From::Header("x-token".into()), Some(("id=", ";")), Pick::First);
        assert_eq!(taken(&token, "", 1).as_deref(), Some("abc"));
        assert_eq!(
            taken(&extract(From::Url, Some(("/p/", "?")), Pick::First), "", 1).as_deref(),
            Some("red")
        );
        assert_eq!(taken(&extract(From::Status, None, Pick::First), "", 1).as_deref(), Some("200"));
    }

    #[test]
    fn a_random_pick_finds_each_and_follows_from_its_seed() {
        let pick = extract(From::Body, Some(("href=\"/p/", "\"")), Pick::Random);
        let mut all: Vec<_> = (0..50).filter_map(|seed| taken(&pick, LINKS, seed)).collect();
        assert_eq!(taken(&pick, LINKS, 7), taken(&pick, LINKS, 7));
        all.sort();
        all.dedup();
        assert_eq!(all, ["blue?a=1&b=2", "green", "red"], "and HTML's escapes are undone");
    }

    #[test]
    fn the_shortest_text_between_is_found() {
        let sizes = r#"<input name="size" value="1"><input name="size" value="2" checked><input name="size" value="3">"#;
        let chosen = extract(From::Body, Some(("name=\"size\" value=\"", "\" checked")), Pick::First);
        assert_eq!(taken(&chosen, sizes, 1).as_deref(), Some("2"));
    }

    #[test]
    fn nothing_found_is_nothing_unless_there_is_something_else() {
        let mut missing = extract(From::Body, Some(("href=\"/c/", "\"")), Pick::Random);
        assert_eq!(taken(&missing, LINKS, 1), None);
        missing.or = Some("all".into());
        assert_eq!(taken(&missing, LINKS, 1).as_deref(), Some("all"));
    }

    #[test]
    fn a_status_fails_unless_it_is_the_one_wanted() {
        let judge = |status, checks: &[Check]| {
            failure(
                Page { head: &head(status), body: b"sold out", url: "", took: Duration::from_secs(2) },
                checks,
            )
        };
        assert_eq!(judge(200, &[]), None);
        assert_eq!(judge(304, &[]), None);
        assert_eq!(judge(404, &[]), Some(FailureCause::Status4xx));
        assert_eq!(judge(503, &[Check::Contains("sold".into())]), Some(FailureCause::Status5xx));
        assert_eq!(judge(404, &[Check::Status(vec![404])]), None);
        assert_eq!(judge(200, &[Check::Status(vec![404])]), Some(FailureCause::Check));
        assert_eq!(judge(502, &[Check::Status(vec![200])]), Some(FailureCause::Status5xx));
    }

    #[test]
    fn checks_look_into_body_and_fields() {
        let judge = |check| {
            failure(
                Page { head: &head(200), body: b"sold out", url: "", took: Duration::from_secs(2) },
                &[check],
            )
        };
        let failed = Some(FailureCause::Check);
        assert_eq!(judge(Check::Contains("sold".into())), None);
        assert_eq!(judge(Check::Contains("in stock".into())), failed);
        assert_eq!(judge(Check::Lacks("sold".into())), failed);
        assert_eq!(judge(Check::Within(Duration::from_secs(2))), None);
        assert_eq!(judge(Check::Within(Duration::from_millis(1_999))), failed);
        assert_eq!(judge(Check::Header("Cache-Status".into(), Some("hit".into()))), None);
        assert_eq!(judge(Check::Header("Cache-Status".into(), Some("miss".into()))), failed);
        assert_eq!(judge(Check::Header("X-None".into(), None)), failed);
    }

    proptest! {
        #[test]
        fn what_is_found_stood_between(body in "[ab<>]{0,60}", before in "[ab<>]{1,3}", after in "[ab<>]{1,3}") {
            let between = Some((before.as_str(), after.as_str()));
            if let Some(value) = taken(&extract(From::Body, between, Pick::Random), &body, 1) {
                let whole = format!("{before}{value}{after}");
                prop_assert!(body.contains(&whole));
            }
        }
    }
}
