//! What a journey takes from a response and what must be true of it: text between text, regular expressions, paths in JSON. Knows no
//! HTML but its escapes.

use crate::arrivals::below;
use crate::result::FailureCause;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::ops::ControlFlow;
use std::time::Duration;
use tentpole_find::{JsonPath, Pattern};
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
    /// What of it.
    pub find: Find,
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

/// What is taken of the text that is looked into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Find {
    /// All of it.
    All,
    /// What stands between this and that: the shortest that fits, with HTML's escapes undone in a body.
    Between(String, String),
    /// A group of what matches, as it stands there.
    Pattern(Pattern),
    /// Values of a JSON text: texts as they are meant, other values as JSON. `null` is no find.
    Json(JsonPath),
}

/// Which of several finds is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pick {
    /// The first.
    First,
    /// The second, third and so on; 1 is the first.
    Nth(usize),
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
    /// The pattern is found in its body.
    Matches(Pattern),
    /// The pattern is not found in its body.
    LacksPattern(Pattern),
    /// Its body is JSON with something at this path, even `null`; with a text, a value that is this.
    Json(JsonPath, Option<String>),
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
    /// The body as JSON, once somebody has asked for that; nothing when it is none.
    pub json: &'a OnceCell<Option<Value>>,
}

impl<'a> Page<'a> {
    fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.body)
    }

    fn at(&self, path: &JsonPath) -> Vec<&'a Value> {
        let parsed = self.json.get_or_init(|| serde_json::from_slice(self.body).ok());
        parsed.as_ref().map(|root| path.find(root)).unwrap_or_default()
    }
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
        matches!(
            self,
            Self::Contains(_) | Self::Lacks(_) | Self::Matches(_) | Self::LacksPattern(_) | Self::Json(..)
        )
    }

    fn holds(&self, page: Page<'_>) -> bool {
        match self {
            Self::Status(wanted) => wanted.contains(&page.head.status),
            Self::Contains(text) => find(page.body, text.as_bytes()).is_some(),
            Self::Lacks(text) => find(page.body, text.as_bytes()).is_none(),
            Self::Within(time) => page.took <= *time,
            Self::Header(name, None) => page.head.fields.find(name.as_bytes()).next().is_some(),
            Self::Header(name, Some(text)) => has_value(&page.head.fields, name, text),
            Self::Matches(pattern) => pattern.is_in(&page.text()),
            Self::LacksPattern(pattern) => !pattern.is_in(&page.text()),
            Self::Json(path, None) => !page.at(path).is_empty(),
            Self::Json(path, Some(text)) => page.at(path).into_iter().any(|value| shown(value) == *text),
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
        let mut picker = Picker { pick: self.pick, seen: 0, kept: Vec::new() };
        let _ = match &self.from {
            From::Body => match &self.find {
                Find::Json(path) => {
                    let values = page.at(path).into_iter().filter(|value| !value.is_null());
                    values.map(shown).try_for_each(|value| picker.offer(&value))
                }
                Find::Between(..) => self.find.each(page.body, |value| picker.offer(&unescaped(value))),
                Find::All | Find::Pattern(_) => self.find.each(page.body, |value| picker.offer(value)),
            },
            From::Header(name) => {
                let mut values = page.head.fields.find(name.as_bytes());
                values.try_for_each(|value| self.find.each(value, |value| picker.offer(value)))
            }
            From::Url => self.find.each(page.url.as_bytes(), |value| picker.offer(value)),
            From::Status => picker.offer(&page.head.status.to_string()),
        };
        picker.picked(random).or_else(|| self.or.clone())
    }
}

impl Find {
    /// Each find in the text, until no more is wanted. A path in JSON finds nothing in it.
    fn each(&self, text: &[u8], mut offer: impl FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        match self {
            Self::All => str::from_utf8(text).map_or(ControlFlow::Continue(()), offer),
            Self::Between(before, after) => {
                let finds = Finds { rest: text, before: before.as_bytes(), after: after.as_bytes() };
                finds.filter_map(|value| str::from_utf8(value).ok()).try_for_each(offer)
            }
            Self::Pattern(pattern) => {
                let text = String::from_utf8_lossy(text);
                pattern.finds(&text).try_for_each(&mut offer)
            }
            Self::Json(_) => ControlFlow::Continue(()),
        }
    }
}

/// Takes what is offered until it has what is wanted.
struct Picker {
    pick: Pick,
    seen: usize,
    kept: Vec<String>,
}

impl Picker {
    /// Ends when no more is wanted. What is empty or too long is no find.
    fn offer(&mut self, value: &str) -> ControlFlow<()> {
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            return ControlFlow::Continue(());
        }
        self.seen += 1;
        let is_last = match self.pick {
            Pick::First => true,
            Pick::Nth(number) => self.seen == number,
            Pick::Last | Pick::Random => self.seen == FINDS_MAX,
        };
        match self.pick {
            Pick::Nth(_) if !is_last => {}
            Pick::Last if !self.kept.is_empty() => self.kept[0] = value.to_owned(),
            _ => self.kept.push(value.to_owned()),
        }
        if is_last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn picked(mut self, random: &mut Random) -> Option<String> {
        match (self.kept.len(), self.pick) {
            (0, _) => None,
            (many, Pick::Random) => Some(self.kept.swap_remove(below(random, many))),
            _ => self.kept.pop(),
        }
    }
}

/// A value of a JSON text, as it is sent.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
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
        let find = between.map_or(Find::All, |(before, after)| Find::Between(before.into(), after.into()));
        Extract { variable: 0, from, find, pick, or: None }
    }

    fn pattern(text: &str, pick: Pick) -> Extract {
        let find = Find::Pattern(Pattern::new(text, None).unwrap());
        Extract { variable: 0, from: From::Body, find, pick, or: None }
    }

    fn json(path: &str, pick: Pick) -> Extract {
        let find = Find::Json(JsonPath::new(path).unwrap());
        Extract { variable: 0, from: From::Body, find, pick, or: None }
    }

    fn taken(extract: &Extract, body: &str, seed: u64) -> Option<String> {
        let page = Page {
            head: &head(200),
            body: body.as_bytes(),
            url: "http://a/p/red?x=1",
            took: Duration::ZERO,
            json: &OnceCell::new(),
        };
        extract.take(page, &mut Random::from_seed(seed))
    }

    fn judged(status: u16, body: &str, checks: &[Check]) -> Option<FailureCause> {
        let (head, json, took) = (head(status), OnceCell::new(), Duration::from_secs(2));
        failure(Page { head: &head, body: body.as_bytes(), url: "", took, json: &json }, checks)
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
        let judge = |status, checks: &[Check]| judged(status, "sold out", checks);
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
        let judge = |check| judged(200, "sold out", &[check]);
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

    #[test]
    fn patterns_and_paths_in_json_are_found_and_picked() {
        let body = r#"{"token":"a\u0026b","items":[{"id":7},{"id":8},{"id":null},{"id":12345678901234567890}],"cart":{}}"#;
        let first = |path| taken(&json(path, Pick::First), body, 1);
        assert_eq!(first("$.token").as_deref(), Some("a&b"));
        assert_eq!(first("$.items[1].id").as_deref(), Some("8"));
        assert_eq!((first("$.items[2].id"), first("$.none")), (None, None), "null is no find");
        assert_eq!(first("$.cart").as_deref(), Some("{}"));
        assert_eq!(taken(&json("$..id", Pick::Last), body, 1).as_deref(), Some("12345678901234567890"));
        assert_eq!(taken(&json("$..id", Pick::Nth(2)), body, 1).as_deref(), Some("8"));
        assert_eq!(taken(&json("$..id", Pick::Nth(4)), body, 1), None);
        assert_eq!(taken(&json("$.token", Pick::First), "no json", 1), None);

        let links = |pick| taken(&pattern("href=.(/p/\\w+)", pick), LINKS, 1);
        assert_eq!(links(Pick::First).as_deref(), Some("/p/red"));
        assert_eq!(links(Pick::Nth(2)).as_deref(), Some("/p/blue"));
        assert_eq!(links(Pick::Last).as_deref(), Some("/p/green"));
        assert!(
            (0..9)
                .filter_map(|seed| taken(&pattern("/p/(\\w+)", Pick::Random), LINKS, seed))
                .any(|one| one == "blue")
        );
        assert_eq!(taken(&pattern("href=(\\d+)", Pick::First), LINKS, 1), None);
    }

    #[test]
    fn checks_look_for_patterns_and_values_of_json() {
        let judge = |check| judged(200, r#"{"state":"sold out","left":[0,1],"note":null}"#, &[check]);
        let path = |path: &str, text: Option<&str>| {
            Check::Json(JsonPath::new(path).unwrap(), text.map(str::to_owned))
        };
        let pattern = |text: &str| Pattern::new(text, None).unwrap();
        let failed = Some(FailureCause::Check);
        assert_eq!(judge(Check::Matches(pattern("sold (out|in)"))), None);
        assert_eq!(judge(Check::Matches(pattern("left \\d"))), failed);
        assert_eq!(judge(Check::LacksPattern(pattern("left \\d"))), None);
        assert_eq!(judge(Check::LacksPattern(pattern("sold"))), failed);
        assert_eq!(judge(path("$.state", None)), None);
        assert_eq!(judge(path("$.note", None)), None, "there, though it is null");
        assert_eq!(judge(path("$.price", None)), failed);
        assert_eq!(judge(path("$.left[*]", Some("1"))), None);
        assert_eq!(judge(path("$.state", Some("in stock"))), failed);
        assert_eq!(judged(200, "<html>", &[path("$.state", None)]), failed);
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
