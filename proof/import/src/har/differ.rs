//! What differs between two recordings of the same journey, and where it came from. A value is believed to come from an
//! earlier response when it stands there in both recordings with the same text around it, and when what stands between
//! those texts first is that value, in both: so a visitor will find it too.

use super::entry::{Recording, Request};
use crate::Notes;
use crate::draft::{Extract, Step, escaped, variable};
use crate::toml;
use std::collections::BTreeMap;

/// Shorter values are found everywhere.
const VALUE_MIN: usize = 2;
/// Longer ones are no values.
const VALUE_MAX: usize = 4_096;
/// Characters around a value that are looked at.
const AROUND_MAX: usize = 80;
/// The least text before a value that tells it from others.
const BEFORE_MIN: usize = 3;
/// Places in one response at which a value is tried.
const PLACES_MAX: usize = 50;

/// A value that is taken, once for all its uses.
struct Taken {
    name: String,
    /// From the response to the step at this place on.
    from: usize,
}

/// Finds what differs, and has the steps take it from where it came.
pub fn find(one: &Recording, two: &Recording, steps: &mut [Step], notes: &mut Notes) {
    let pairs = pair_up(one, two, notes);
    let mut taken: BTreeMap<(String, String), Taken> = BTreeMap::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (place, other) in pairs.iter().enumerate().filter_map(|(place, other)| Some((place, (*other)?))) {
        if place >= steps.len() {
            break;
        }
        let (here, there) = (&one.requests[place], &two.requests[other]);
        for (what, is_form, ours, theirs) in differences(here, there) {
            let key = (ours.clone(), theirs.clone());
            if !taken.contains_key(&key) {
                let Some((from, extract)) = origin(one, two, &pairs, place, &ours, &theirs) else {
                    let says = format!(
                        "{what} differs between the recordings (\"{}\", \"{}\") and stands in no response before; it is sent as in the first.",
                        short(&ours),
                        short(&theirs)
                    );
                    notes.say(here.place(), says);
                    continue;
                };
                let name = named(&what, &mut names);
                steps[from].extract.push(Extract { name: name.clone(), ..extract });
                taken.insert(key.clone(), Taken { name, from });
            }
            let Some(taken) = taken.get(&key).filter(|taken| taken.from < place) else { continue };
            let whole = is_form.then_some(what.as_str());
            replace(&mut steps[place], whole, &ours, &taken.name);
        }
    }
}

/// For each request of the first recording, its like in the second: same method and path without what may be an id,
/// in the same order.
fn pair_up(one: &Recording, two: &Recording, notes: &mut Notes) -> Vec<Option<usize>> {
    let mut next = 0;
    let mut pairs = Vec::new();
    for request in &one.requests {
        let like = |other: &Request| {
            other.method == request.method && shape(&other.target) == shape(&request.target)
        };
        let found = two.requests[next..].iter().position(like).map(|at| next + at);
        // Not over more than a few: what was left out of one recording must not lose all that follows.
        let found = found.filter(|at| at - next <= 20);
        match found {
            Some(at) => next = at + 1,
            None => notes
                .say(request.place(), "there is none like it in the second recording; it is taken as it is."),
        }
        pairs.push(found);
    }
    pairs
}

/// The path with each part that has a digit, or is long, as one like any other; and the names of the query.
fn shape(target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let part = |part: &str| {
        if part.len() > 24 || part.bytes().any(|byte| byte.is_ascii_digit()) {
            "*".to_owned()
        } else {
            part.to_owned()
        }
    };
    let path: Vec<String> = path.split('/').map(part).collect();
    let query: Vec<&str> = query.split('&').map(|pair| pair.split('=').next().unwrap_or("")).collect();
    format!("{}?{}", path.join("/"), query.join("&"))
}

/// What differs in a request: what it is called, whether it is a form's field, and both values.
fn differences(one: &Request, two: &Request) -> Vec<(String, bool, String, String)> {
    let mut all = Vec::new();
    let others = two.texts();
    for (what, ours) in one.texts() {
        let Some((_, theirs)) = others.iter().find(|(known, _)| *known == what) else { continue };
        if ours == *theirs {
            continue;
        }
        let is_form = what.starts_with("the form's ");
        let pieces = match what.as_str() {
            _ if is_form => vec![(ours.to_owned(), (*theirs).to_owned())],
            "its path" => target_pieces(ours, theirs),
            _ => text_pieces(ours, theirs),
        };
        let is_value = |(ours, theirs): &(String, String)| {
            [ours, theirs].iter().all(|value| (VALUE_MIN..=VALUE_MAX).contains(&value.len()))
                && ours != theirs
        };
        all.extend(
            pieces.into_iter().filter(is_value).map(|(ours, theirs)| (what.clone(), is_form, ours, theirs)),
        );
    }
    all
}

/// Parts of a path and values of a query that differ.
fn target_pieces(ours: &str, theirs: &str) -> Vec<(String, String)> {
    let pieces = |text: &str| -> Vec<String> {
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let values = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value));
        path.split('/').chain(values).map(ToOwned::to_owned).collect()
    };
    let (ours, theirs) = (pieces(ours), pieces(theirs));
    if ours.len() != theirs.len() {
        return Vec::new();
    }
    ours.into_iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).collect()
}

/// The words of a text (letters, digits and what tokens are made of) that differ, where all between is the same.
fn text_pieces(ours: &str, theirs: &str) -> Vec<(String, String)> {
    let is_word = |c: char| c.is_alphanumeric() || "_-.+/=~%".contains(c);
    let words = |text: &str| -> (Vec<String>, String) {
        let all =
            text.split(|c| !is_word(c)).filter(|word| !word.is_empty()).map(ToOwned::to_owned).collect();
        (all, text.chars().filter(|c| !is_word(*c)).collect())
    };
    let ((ours, one), (theirs, two)) = (words(ours), words(theirs));
    if ours.len() != theirs.len() || one != two {
        return Vec::new();
    }
    ours.into_iter().zip(theirs).filter(|(ours, theirs)| ours != theirs).collect()
}

/// The latest earlier response in which both values stand, with the same text around them.
fn origin(
    one: &Recording,
    two: &Recording,
    pairs: &[Option<usize>],
    place: usize,
    ours: &str,
    theirs: &str,
) -> Option<(usize, Extract)> {
    for from in (0..place).rev() {
        let Some(other) = pairs[from] else { continue };
        let (here, there) = (&one.requests[from], &two.requests[other]);
        if let Some(between) = around(&here.body, &there.body, ours, theirs) {
            return Some((from, Extract { between: Some(between), ..Extract::default() }));
        }
        for (name, value) in here.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("set-cookie")) {
            let Some((_, other)) = there.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))
            else {
                continue;
            };
            let from_header = Some(format!("header = {}", toml::text(name)));
            if value == ours && other == theirs {
                return Some((from, Extract { from: from_header, ..Extract::default() }));
            }
            if let Some(between) = around(value, other, ours, theirs) {
                return Some((
                    from,
                    Extract { from: from_header, between: Some(between), ..Extract::default() },
                ));
            }
        }
        if let Some(between) = around(&here.found_at, &there.found_at, ours, theirs) {
            let url = Some("from = \"url\"".to_owned());
            return Some((from, Extract { from: url, between: Some(between), ..Extract::default() }));
        }
    }
    None
}

/// The text before and after a value that is the same in both, and finds it first in both.
fn around(one: &str, two: &str, ours: &str, theirs: &str) -> Option<(String, String)> {
    for at in places(one, ours) {
        for other in places(two, theirs) {
            let before = common_end(&one[..at], &two[..other]);
            let after = common_start(&one[at + ours.len()..], &two[other + theirs.len()..]);
            if before.chars().count() < BEFORE_MIN || after.is_empty() {
                continue;
            }
            // As little as tells it: what is far away changes first.
            let ends = closing(&after);
            for length in [12, 24, 48, AROUND_MAX] {
                let begin = tail(&before, length);
                if first_between(one, begin, &ends) == Some(ours)
                    && first_between(two, begin, &ends) == Some(theirs)
                {
                    return Some((begin.to_owned(), ends));
                }
            }
        }
    }
    None
}

fn places<'t>(text: &'t str, value: &'t str) -> impl Iterator<Item = usize> + 't {
    text.match_indices(value).map(|(at, _)| at).take(PLACES_MAX)
}

/// What a visitor finds first: the same rule as the generator's, the shortest text between.
fn first_between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let start = text.find(before)? + before.len();
    let inside = &text[start..];
    let inside = &inside[..inside.find(after)?];
    Some(inside.rfind(before).map_or(inside, |at| &inside[at + before.len()..]))
}

fn common_end(one: &str, two: &str) -> String {
    let same = one.chars().rev().zip(two.chars().rev()).take(AROUND_MAX).take_while(|(a, b)| a == b);
    let mut all: Vec<char> = same.map(|(c, _)| c).collect();
    all.reverse();
    all.into_iter().collect()
}

fn common_start(one: &str, two: &str) -> String {
    one.chars().zip(two.chars()).take(AROUND_MAX).take_while(|(a, b)| a == b).map(|(c, _)| c).collect()
}

/// The last characters, from where a line begins at the earliest.
fn tail(text: &str, length: usize) -> &str {
    let at = text.char_indices().rev().take(length).last().map_or(0, |(at, _)| at);
    &text[at..]
}

/// One character behind a value ends it, where that is a quote, a bracket or a space; else some more.
fn closing(after: &str) -> String {
    let is_end = |c: char| "\"'<>&;, \n\r)}]?/#|".contains(c);
    let end = after.find(is_end).map_or(after.len(), |at| at + 1);
    after.chars().take(after[..end.min(after.len())].chars().count().min(20)).collect()
}

/// A variable's name made of what it stands in: `the form's csrf_token` becomes `csrf_token`.
fn named(what: &str, names: &mut BTreeMap<String, usize>) -> String {
    let word = what.rsplit(' ').next().unwrap_or("value");
    let base = match word {
        "path" => "id".to_owned(),
        "content" => "value".to_owned(),
        word => variable(word),
    };
    let count = names.entry(base.clone()).or_default();
    *count += 1;
    if *count == 1 { base } else { format!("{base}_{count}") }
}

/// Puts the variable where the value stood.
fn replace(step: &mut Step, form: Option<&str>, value: &str, name: &str) {
    let value = escaped(value);
    if let Some(field) = form.and_then(|what| what.strip_prefix("the form's ")) {
        for (known, text) in &mut step.form {
            if known == field && *text == value {
                *text = format!("{{{name}}}");
            }
        }
        return;
    }
    // In a path a value stands as it was sent: encoded already.
    step.path = swapped(&step.path, &value, &format!("{{{name}:raw}}"));
    for (_, text) in &mut step.headers {
        *text = swapped(text, &value, &format!("{{{name}}}"));
    }
    if let Some(body) = &mut step.body {
        *body = swapped(body, &value, &format!("{{{name}}}"));
    }
}

/// The value replaced where it stands as a whole, not within a longer word.
fn swapped(text: &str, value: &str, with: &str) -> String {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let is_whole =
            !before.chars().next_back().is_some_and(is_word) && !after.chars().next().is_some_and(is_word);
        out.push_str(before);
        out.push_str(if is_whole { with } else { value });
        rest = after;
    }
    out.push_str(rest);
    out
}

fn short(text: &str) -> String {
    if text.chars().count() > 40 {
        format!("{}…", text.chars().take(40).collect::<String>())
    } else {
        text.to_owned()
    }
}
