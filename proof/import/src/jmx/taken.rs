//! Extractors of a plan → what a step takes from its response: patterns as they are, text between text, paths in JSON. What cannot be
//! taken so is noted.

use super::named;
use super::props::{flag, number, text};
use super::words::Words;
use crate::Notes;
use crate::draft::{Extract, variable};
use crate::toml;
use crate::xml::Element;
use tentpole_find::{JsonPath, Pattern};

/// A Regular Expression Extractor.
pub fn regex(one: &Element, words: &mut Words, notes: &mut Notes) -> Option<Extract> {
    let name = variable(text(one, "RegexExtractor.refname"));
    let pattern = words.fixed(text(one, "RegexExtractor.regex"), one.line, notes);
    let mut unknown = |why: &str| {
        notes.say(one.line, format!("{}: {why}; write an `extract` for {{{name}}} yourself.", named(one)));
        None::<Extract>
    };
    let template = text(one, "RegexExtractor.template").trim();
    let group = template.strip_prefix('$').and_then(|rest| rest.strip_suffix('$'));
    let Some(group) = group.and_then(|group| group.parse::<usize>().ok()) else {
        return unknown(&format!("the template {template} is not one group"));
    };
    let (from, pattern) = match text(one, "RegexExtractor.useHeaders").trim() {
        "" | "false" => (None, Some(pattern)),
        "URL" => (Some("from = \"url\"".to_owned()), Some(pattern)),
        "code" => (Some("from = \"status\"".to_owned()), None),
        // `Location: (.+)`: the field is in the pattern.
        "true" => match field(&pattern) {
            Some((field, rest)) => (Some(format!("header = {}", toml::text(field))), rest.map(str::to_owned)),
            None => return unknown("of fields, only a pattern that begins with \"Name:\" is understood"),
        },
        _ => return unknown("where it looks is not understood"),
    };
    if let Some(Err(why)) = pattern.as_ref().map(|pattern| Pattern::new(pattern, Some(group))) {
        return unknown(why.trim_end_matches('.'));
    }
    let pattern = pattern.map(|pattern| (pattern, (group != 1).then_some(group)));
    let extract = Extract { name, from, pattern, ..Extract::default() };
    picked(one, "RegexExtractor", extract, words, notes)
}

/// The name of the field with which a pattern begins, and the pattern for its value; none where the group takes all of it.
fn field(pattern: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = pattern.split_once(':')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(is_name) {
        return None;
    }
    let rest = rest.strip_prefix("\\s*").or_else(|| rest.strip_prefix(" *")).unwrap_or(rest).trim_start();
    Some((name, Some(rest).filter(|rest| !matches!(*rest, "(.+)" | "(.*)"))))
}

/// A Boundary Extractor.
pub fn boundary(one: &Element, words: &mut Words, notes: &mut Notes) -> Option<Extract> {
    let name = variable(text(one, "BoundaryExtractor.refname"));
    let side =
        |name: &str, words: &mut Words, notes: &mut Notes| words.fixed(text(one, name), one.line, notes);
    let (before, after) = (
        side("BoundaryExtractor.lboundary", words, notes),
        side("BoundaryExtractor.rboundary", words, notes),
    );
    let is_body = matches!(text(one, "BoundaryExtractor.useHeaders").trim(), "" | "false");
    if before.is_empty() || after.is_empty() || !is_body {
        let says = "it needs text on both sides, in the body";
        notes.say(one.line, format!("{}: {says}; write an `extract` for {{{name}}} yourself.", named(one)));
        return None;
    }
    let extract = Extract { name, between: Some((before, after)), ..Extract::default() };
    picked(one, "BoundaryExtractor", extract, words, notes)
}

/// A JSON Extractor: several values, each with its path, which find, and what it is when there is none.
pub fn json(one: &Element, words: &mut Words, notes: &mut Notes) -> Vec<Extract> {
    let mut parts = |name: &str, notes: &mut Notes| -> Vec<String> {
        let text = words.fixed(text(one, &format!("JSONPostProcessor.{name}")), one.line, notes);
        text.split(';').map(|part| part.trim().to_owned()).collect()
    };
    let names = parts("referenceNames", notes);
    let paths = parts("jsonPathExprs", notes);
    let (numbers, defaults) = (parts("match_numbers", notes), parts("defaultValues", notes));
    let mut all = Vec::new();
    for (at, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let name = variable(name);
        let path = path(paths.get(at).map_or("", String::as_str));
        if let Err(why) = JsonPath::new(&path) {
            let says = format!(
                "{}: {}; write an `extract` for {{{name}}} yourself.",
                named(one),
                why.trim_end_matches('.')
            );
            notes.say(one.line, says);
            continue;
        }
        let number = numbers.get(at).map_or("", String::as_str);
        // Nothing is 0 here, and 0 is any of them.
        let pick = which(one, if number.is_empty() { "0" } else { number }, notes);
        let or = defaults.get(at).filter(|default| !default.is_empty()).cloned();
        all.push(Extract { name, json: Some(path), pick, or, ..Extract::default() });
    }
    all
}

/// A path as JMeter's library reads it, which adds the beginning where it is missing.
pub fn path(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('$') { text.to_owned() } else { format!("$.{text}") }
}

/// Which match is taken, and what it is when there is none.
fn picked(
    one: &Element,
    kind: &str,
    mut extract: Extract,
    words: &mut Words,
    notes: &mut Notes,
) -> Option<Extract> {
    let number = words.fixed(number(one, &format!("{kind}.match_number")), one.line, notes);
    extract.pick = which(one, number.trim(), notes);
    let default = words.fixed(text(one, &format!("{kind}.default")), one.line, notes);
    let is_empty = flag(one, &format!("{kind}.default_empty_value"));
    extract.or = (!default.is_empty() || is_empty).then_some(default);
    Some(extract)
}

/// The number of a match as `pick` has it; nothing for the first.
fn which(one: &Element, number: &str, notes: &mut Notes) -> Option<String> {
    match number.parse::<i64>() {
        Ok(0) => Some(toml::text("random")),
        Ok(2..=1_000) => Some(number.to_owned()),
        Ok(1) => None,
        Err(_) if number.is_empty() => None,
        _ => {
            let says = format!("{}: match {number} is not understood; the first is taken.", named(one));
            notes.say(one.line, says);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_stands_before_its_pattern() {
        assert_eq!(field("Location: (.+)"), Some(("Location", None)));
        assert_eq!(field("Set-Cookie: sid=([^;]+)"), Some(("Set-Cookie", Some("sid=([^;]+)"))));
        assert_eq!(field("Location:\\s*.*id=(\\d+)"), Some(("Location", Some(".*id=(\\d+)"))));
        for not in ["(.+)", "Loc.*: (.+)", ": (.+)"] {
            assert_eq!(field(not), None, "{not}");
        }
    }

    #[test]
    fn a_path_begins_with_the_whole() {
        assert_eq!((path("items[0].id").as_str(), path(" $..id ").as_str()), ("$.items[0].id", "$..id"));
    }
}
