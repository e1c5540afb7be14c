//! Assertions of a plan → checks. What is more than a check can say is noted.

use super::named;
use super::props::{flag, list, number, text};
use super::taken::path;
use super::words::Words;
use crate::Notes;
use crate::toml;
use crate::xml::Element;
use tentpole_find::{JsonPath, Pattern, escape};

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
        if field == "response_data" {
            match content(pattern, plain, kind) {
                Ok(check) => checks.push(check),
                Err(why) => unknown(&why),
            }
            continue;
        }
        let Some(plain) = plain.filter(|plain| !plain.is_empty()) else {
            unknown(&format!("the pattern {pattern} is not understood for a field, only plain text"));
            continue;
        };
        match (field, is_not) {
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

/// A check of the body: for plain text by that, for others by a pattern.
fn content(pattern: &str, plain: Option<String>, kind: u32) -> Result<String, String> {
    let is_not = kind & NOT != 0;
    let is_whole = kind & (SUBSTRING | CONTAINS) == 0;
    if let Some(plain) = plain.as_ref().filter(|plain| !plain.is_empty() && !is_whole) {
        let key = if is_not { "lacks" } else { "contains" };
        return Ok(format!("{{ {key} = {} }}", toml::text(plain)));
    }
    let pattern = match (kind & (EQUALS | SUBSTRING) != 0, is_whole) {
        (true, _) => format!("\\A{}\\z", escape(pattern)),
        (false, true) => format!("\\A(?:{pattern})\\z"),
        (false, false) => pattern.to_owned(),
    };
    if pattern.is_empty() {
        return Err("there is nothing to look for".into());
    }
    Pattern::new(&pattern, None)?;
    let key = if is_not { "lacks_pattern" } else { "pattern" };
    Ok(format!("{{ {key} = {} }}", toml::text(&pattern)))
}

/// A JSON Assertion.
pub fn json(one: &Element, words: &mut Words, notes: &mut Notes) -> Option<String> {
    let mut word = |name: &str, notes: &mut Notes| words.fixed(text(one, name), one.line, notes);
    let (path, wanted) = (path(&word("JSON_PATH", notes)), word("EXPECTED_VALUE", notes));
    let unknown = |why: &str, notes: &mut Notes| {
        notes.say(one.line, format!("{}: {why}; it is left out.", named(one)));
        None
    };
    if flag(one, "INVERT") || flag(one, "EXPECT_NULL") {
        return unknown("that something is not so is not understood", notes);
    }
    if let Err(why) = JsonPath::new(&path) {
        return unknown(why.trim_end_matches('.'), notes);
    }
    if !flag(one, "JSONVALIDATION") {
        return Some(format!("{{ json = {} }}", toml::text(&path)));
    }
    let is_pattern = text(one, "ISREGEX").trim() != "false";
    match if is_pattern { plain(&wanted) } else { Some(wanted.clone()) } {
        Some(wanted) => Some(format!("{{ json = {}, is = {} }}", toml::text(&path), toml::text(&wanted))),
        None => {
            unknown(&format!("the pattern {wanted} is not understood for a value, only plain text"), notes)
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_patterns_are_their_text() {
        assert_eq!(plain("in stock\\?").as_deref(), Some("in stock?"));
        assert_eq!(plain("in.*stock"), None);
        assert_eq!(plain("\\d"), None);
    }

    #[test]
    fn what_is_looked_for_is_plain_text_or_a_pattern() {
        let check = |pattern: &str, kind: u32| {
            content(
                pattern,
                if kind & (EQUALS | SUBSTRING) == 0 { plain(pattern) } else { Some(pattern.into()) },
                kind,
            )
        };
        let is = |text: &str| Ok(text.to_owned());
        assert_eq!(check("in stock\\?", CONTAINS), is("{ contains = \"in stock?\" }"));
        assert_eq!(check("a.c", SUBSTRING | NOT), is("{ lacks = \"a.c\" }"));
        assert_eq!(check("[0-9]+ left", CONTAINS), is("{ pattern = \"[0-9]+ left\" }"));
        assert_eq!(check("Error \\d", CONTAINS | NOT), is("{ lacks_pattern = \"Error \\\\d\" }"));
        assert_eq!(check("ok|fine", MATCH), is("{ pattern = \"\\\\A(?:ok|fine)\\\\z\" }"));
        assert_eq!(check("a.c", EQUALS), is("{ pattern = \"\\\\Aa\\\\.c\\\\z\" }"));
        assert!(check("(?!no)", CONTAINS).is_err_and(|why| why.contains("look-around")));
        assert!(check("", CONTAINS).is_err());
    }
}
