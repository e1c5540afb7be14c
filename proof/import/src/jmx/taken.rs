//! Assertions and extractors of a plan → checks and text between text. A pattern is understood where it is plain text
//! around one group; what is more than that is noted.

use super::named;
use super::props::{flag, list, number, text};
use super::words::Words;
use crate::Notes;
use crate::draft::{Extract, variable};
use crate::toml;
use crate::xml::Element;

const MATCH: u32 = 1;
const CONTAINS: u32 = 2;
const NOT: u32 = 4;
const EQUALS: u32 = 8;
const SUBSTRING: u32 = 16;

/// A Response Assertion, as checks.
pub fn assertion(one: &Element, words: &mut Words, notes: &mut Notes, checks: &mut Vec<String>) {
    let kind = number(one, "Assertion.test_type").trim().parse::<u32>().unwrap_or(CONTAINS);
    let field = text(one, "Assertion.test_field").trim_start_matches("Assertion.");
    // JMeter's own misspelling.
    let mut patterns: Vec<String> = Vec::new();
    for name in ["Asserion.test_strings", "Assertion.test_strings"] {
        for pattern in list(one, name) {
            patterns.push(words.fixed(&pattern.text, one.line, notes));
        }
    }
    let mut unknown = |why: &str| notes.say(one.line, format!("{}: {why}; it is left out.", named(one)));
    let is_pattern = kind & (EQUALS | SUBSTRING) == 0;
    let is_not = kind & NOT != 0;
    if kind & !(MATCH | CONTAINS | NOT | EQUALS | SUBSTRING) != 0 && patterns.len() > 1 {
        unknown("\"or\" between several texts is not understood");
        return;
    }
    if field == "response_code" {
        let codes: Option<Vec<u16>> = patterns
            .iter()
            .flat_map(|pattern| pattern.split('|'))
            .map(|code| code.trim().parse().ok())
            .collect();
        match codes.filter(|codes| !codes.is_empty() && codes.iter().all(|code| (100..=999).contains(code))) {
            Some(codes) if !is_not => {
                let codes: Vec<String> = codes.iter().map(u16::to_string).collect();
                checks.push(format!("{{ status = [{}] }}", codes.join(", ")));
            }
            _ => unknown("only status codes by their numbers are understood"),
        }
        return;
    }
    for pattern in &patterns {
        if pattern.contains("${") {
            unknown("a check has no variables");
            continue;
        }
        let plain = if is_pattern { plain(pattern) } else { Some(pattern.clone()) };
        let Some(plain) = plain.filter(|plain| !plain.is_empty()) else {
            unknown(&format!("the pattern {pattern} is not understood, only plain text"));
            continue;
        };
        match (field, is_not) {
            ("response_data", true) => checks.push(format!("{{ lacks = {} }}", toml::text(&plain))),
            ("response_data", false) if kind & (SUBSTRING | CONTAINS) != 0 => {
                checks.push(format!("{{ contains = {} }}", toml::text(&plain)));
            }
            ("response_headers", false) => match plain.split_once(':') {
                Some((name, value)) if !name.trim().is_empty() => {
                    let (name, value) = (toml::text(name.trim()), toml::text(value.trim()));
                    checks.push(format!("{{ header = {name}, contains = {value} }}"));
                }
                _ => unknown("a field is checked as \"Name: value\""),
            },
            _ => unknown(&format!("a check of {field} in this way is not understood")),
        }
    }
}

/// A Regular Expression Extractor.
pub fn regex(one: &Element, words: &mut Words, notes: &mut Notes) -> Option<Extract> {
    let name = variable(text(one, "RegexExtractor.refname"));
    let pattern = words.fixed(text(one, "RegexExtractor.regex"), one.line, notes);
    let mut unknown = |why: &str| {
        notes.say(one.line, format!("{}: {why}; write an `extract` for {{{name}}} yourself.", named(one)));
        None::<Extract>
    };
    if text(one, "RegexExtractor.template").trim() != "$1$" {
        return unknown("only the template $1$ is understood");
    }
    let Some((before, after)) = around_group(&pattern) else {
        return unknown(&format!("the pattern {pattern} is not plain text around one group"));
    };
    let from = match text(one, "RegexExtractor.useHeaders").trim() {
        "" | "false" => None,
        "URL" => Some("from = \"url\"".to_owned()),
        "code" => Some("from = \"status\"".to_owned()),
        "true" => {
            // `Location: (.+)`: the field is in the pattern.
            let field = before
                .split_once(':')
                .map(|(name, rest)| (name.trim().to_owned(), rest.trim_start().to_owned()));
            let Some((field, rest)) = field.filter(|(name, _)| !name.is_empty()) else {
                return unknown("of fields, only a pattern that begins with \"Name:\" is understood");
            };
            let from = Some(format!("header = {}", toml::text(&field)));
            let between = (!rest.is_empty() && !after.is_empty()).then_some((rest.clone(), after.clone()));
            if between.is_none() && !rest.is_empty() {
                return unknown("within a field, there must be text before and after");
            }
            return picked(
                one,
                "RegexExtractor",
                Extract { name, from, between, ..Extract::default() },
                words,
                notes,
            );
        }
        _ => return unknown("where it looks is not understood"),
    };
    if before.is_empty() || after.is_empty() {
        return unknown("there must be text before and after the group");
    }
    let extract = Extract { name, from, between: Some((before, after)), ..Extract::default() };
    picked(one, "RegexExtractor", extract, words, notes)
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

/// Which match is taken, and what it is when there is none.
fn picked(
    one: &Element,
    kind: &str,
    mut extract: Extract,
    words: &mut Words,
    notes: &mut Notes,
) -> Option<Extract> {
    let which = words.fixed(number(one, &format!("{kind}.match_number")), one.line, notes);
    extract.pick = match which.trim() {
        "0" => Some("random"),
        "1" | "" => None,
        other => {
            notes.say(
                one.line,
                format!("{}: match {other} is not understood; the first is taken.", named(one)),
            );
            None
        }
    };
    let default = words.fixed(text(one, &format!("{kind}.default")), one.line, notes);
    let is_empty = flag(one, &format!("{kind}.default_empty_value"));
    extract.or = (!default.is_empty() || is_empty).then_some(default);
    Some(extract)
}

/// The text that a pattern stands for when it has nothing but plain and escaped characters.
fn plain(pattern: &str) -> Option<String> {
    let mut out = String::new();
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next()? {
                'n' => out.push('\n'),
                't' => out.push('\t'),
                'r' => out.push('\r'),
                c if c.is_ascii_alphanumeric() => return None,
                c => out.push(c),
            },
            '.' | '*' | '+' | '?' | '[' | ']' | '(' | ')' | '{' | '}' | '|' | '^' | '$' => return None,
            c => out.push(c),
        }
    }
    Some(out)
}

/// The text before and after the one group of a pattern. A `.` outside it is taken for the point that it mostly means.
fn around_group(pattern: &str) -> Option<(String, String)> {
    const GROUPS: [&str; 13] = [
        ".+?",
        ".*?",
        ".+",
        ".*",
        "\\d+",
        "\\w+",
        "\\S+",
        "[0-9]+",
        "[a-z0-9]+",
        "[A-Za-z0-9]+",
        "[a-zA-Z0-9]+",
        "[0-9a-f]+",
        "\\d+?",
    ];
    let open = unescaped(pattern, '(')?;
    let close = open + unescaped(&pattern[open..], ')')?;
    let loose = |text: &str| plain(&text.replace("\\.", ".").replace('.', "\\."));
    let (before, inside, after) =
        (loose(&pattern[..open])?, &pattern[open + 1..close], loose(&pattern[close + 1..])?);
    if GROUPS.contains(&inside) {
        return Some((before, after));
    }
    // `[^"]+`: what it may not hold ends it.
    let not = inside.strip_prefix("[^")?;
    let (characters, many) = not.split_at(unescaped(not, ']')?);
    if !matches!(many, "]+" | "]*" | "]+?" | "]*?") {
        return None;
    }
    let ends = plain(characters)?;
    match (after.is_empty(), ends.chars().count()) {
        (true, 1) => Some((before, ends)),
        (false, _) if after.starts_with(|c| ends.contains(c)) => Some((before, after)),
        _ => None,
    }
}

fn unescaped(text: &str, wanted: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == wanted => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_text_around_a_group() {
        let around = |pattern: &str| around_group(pattern);
        let pair = |before: &str, after: &str| Some((before.to_owned(), after.to_owned()));
        assert_eq!(around("name=\"token\" value=\"(.+?)\""), pair("name=\"token\" value=\"", "\""));
        assert_eq!(around("show.cgi\\?id=([^\"]+?)\""), pair("show.cgi?id=", "\""));
        assert_eq!(around("id=([^&]+)"), pair("id=", "&"));
        assert_eq!(around("Location: (.+)"), pair("Location: ", ""));
        for not in ["a|b(.+)", "(a)(b)", "x[ab](.+?)y", "id=(a|b)c", "no group", "a(", "(", "\\d(.+?)x"] {
            assert_eq!(around(not), None, "{not}");
        }
    }

    #[test]
    fn plain_patterns_are_their_text() {
        assert_eq!(plain("in stock\\?").as_deref(), Some("in stock?"));
        assert_eq!(plain("in.*stock"), None);
        assert_eq!(plain("\\d"), None);
    }
}
