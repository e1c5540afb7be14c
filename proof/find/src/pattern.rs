//! Regular expressions over responses: where a pattern begins with plain text, that is looked for first. Refuses what takes more than
//! linear time (looking around, referring back), and patterns that grow too large.

use regex_lite::{Captures, Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes that a compiled pattern may take.
const SIZE_MAX: usize = 1 << 20;
/// Groups within groups at most.
const NEST_MAX: u32 = 50;
/// Places that begin as the pattern does and are none, before it is looked for everywhere at once: each may cost a walk to the end.
const MISSES_MAX: u32 = 8;

/// A pattern, and which of its groups is meant. Written and compared as its text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "(String, Option<usize>)", into = "(String, Option<usize>)")]
pub struct Pattern {
    text: String,
    asked: Option<usize>,
    group: usize,
    /// Plain text with which each match begins; may be empty.
    prefix: String,
    /// Matches at the beginning alone.
    here: Regex,
    anywhere: Regex,
}

impl Pattern {
    /// Understands a pattern. The group is the first, or the whole match where there is none, unless it is said.
    ///
    /// # Errors
    /// What of it is not understood.
    pub fn new(text: &str, asked: Option<usize>) -> Result<Self, String> {
        let compiled = |text: &str| {
            let built = RegexBuilder::new(text).size_limit(SIZE_MAX).nest_limit(NEST_MAX).build();
            built.map_err(|error| format!("the pattern is not understood: {error}."))
        };
        let anywhere = compiled(text)?;
        let here = compiled(&format!("\\A(?:{text})"))?;
        let groups = anywhere.captures_len() - 1;
        let group = asked.unwrap_or(groups.min(1));
        if group > groups {
            return Err(format!("the pattern has no group {group}: {groups} stand in it."));
        }
        Ok(Self { text: text.to_owned(), asked, group, prefix: prefix(text), here, anywhere })
    }

    /// Whether it matches somewhere.
    pub fn is_in(&self, text: &str) -> bool {
        self.finds(text).next().is_some()
    }

    /// The group of each match, leftmost first; they do not overlap. A match in which the group has no part is empty.
    pub fn finds<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        let (mut at, mut misses) = (0, 0);
        std::iter::from_fn(move || {
            // Behind an empty match at the end there is nothing.
            if at > text.len() {
                return None;
            }
            let (found, begin) = match self.prefix.is_empty() {
                true => (self.anywhere.captures_at(text, at)?, 0),
                false => self.next(text, at, &mut misses)?,
            };
            let whole = found.get(0)?;
            let end = begin + whole.end();
            // An empty match is found once, and the next one behind it.
            at = match whole.is_empty() {
                true => end + text[end..].chars().next().map_or(1, char::len_utf8),
                false => end,
            };
            Some(found.get(self.group).map_or("", |group| group.as_str()))
        })
        .fuse()
    }

    /// The next match, and where the text that it counts from begins.
    fn next<'a>(&self, text: &'a str, mut at: usize, misses: &mut u32) -> Option<(Captures<'a>, usize)> {
        loop {
            let begin = at + memchr::memmem::find(&text.as_bytes()[at..], self.prefix.as_bytes())?;
            if *misses >= MISSES_MAX {
                return Some((self.anywhere.captures_at(text, begin)?, 0));
            }
            if let Some(found) = self.here.captures(&text[begin..]) {
                return Some((found, begin));
            }
            *misses += 1;
            at = begin + self.prefix.len();
        }
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.group) == (&other.text, other.group)
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<(String, Option<usize>)> for Pattern {
    type Error = String;

    fn try_from((text, group): (String, Option<usize>)) -> Result<Self, String> {
        Self::new(&text, group)
    }
}

impl From<Pattern> for (String, Option<usize>) {
    fn from(pattern: Pattern) -> Self {
        (pattern.text, pattern.asked)
    }
}

/// The pattern that matches this text and nothing else.
pub fn escape(text: &str) -> String {
    regex_lite::escape(text)
}

/// The plain text with which each match begins: letters, digits and what has no meaning, until something has one. None where
/// there are alternatives.
fn prefix(pattern: &str) -> String {
    if pattern.contains('|') {
        return String::new();
    }
    let mut prefix = String::new();
    let mut characters = pattern.chars().peekable();
    while let Some(c) = characters.next() {
        let plain = match c {
            '\\' => characters.next().filter(|c| c.is_ascii_punctuation() && !matches!(c, '<' | '>')),
            '.' | '*' | '+' | '?' | '[' | ']' | '(' | ')' | '{' | '}' | '^' | '$' => None,
            c => Some(c),
        };
        let Some(plain) = plain else { break };
        // Zero of it may be a match too.
        if matches!(characters.peek(), Some('*' | '?' | '{')) {
            break;
        }
        prefix.push(plain);
    }
    prefix
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn finds(pattern: &str, group: Option<usize>, text: &str) -> Vec<String> {
        let pattern = Pattern::new(pattern, group).unwrap();
        pattern.finds(text).map(str::to_owned).collect()
    }

    #[test]
    fn the_first_group_is_found_or_the_whole_or_the_one_asked_for() {
        let page = "<a href=\"/p/12\">hat</a> <a href='/p/7'>shoe</a> <a href=\"/p/\">";
        assert_eq!(finds("href=[\"']/p/(\\d+)", None, page), ["12", "7"]);
        assert_eq!(finds("/p/\\d+", None, page), ["/p/12", "/p/7"]);
        assert_eq!(finds("/p/(\\d+).>(\\w+)", Some(2), page), ["hat", "shoe"]);
        assert_eq!(finds("/p/(\\d+).>(\\w+)", Some(0), page), ["/p/12\">hat", "/p/7'>shoe"]);
        assert_eq!(finds("(?i)HREF", None, page).len(), 3);
        assert_eq!(finds("\\bshoe\\b", None, page), ["shoe"]);
        assert_eq!(finds("x*", None, "axé"), ["", "x", "", ""]);
        assert_eq!(finds("p(x)?", None, "pxp"), ["x", ""]);
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (pattern, group, says) in [
            ("a(?=b)", None, "look-around is not supported"),
            ("(a", None, "the pattern is not understood"),
            ("(a)\\1", None, "backreferences are not supported"),
            ("(a)", Some(2), "has no group 2: 1 stand in it"),
            ("(((a{99}){99}){99}){99}", None, "the pattern is not understood"),
        ] {
            let error = Pattern::new(pattern, group).expect_err(pattern);
            assert!(error.contains(says), "{pattern}: {error}");
        }
    }

    #[test]
    fn plain_text_before_the_first_sign_is_the_prefix() {
        for (pattern, wanted) in [
            ("name=\"token\" value=\"(.+?)\"", "name=\"token\" value=\""),
            ("show\\.cgi\\?id=(\\d+)", "show.cgi?id="),
            ("ab?c", "a"),
            ("ab*c", "a"),
            ("ab{0,2}c", "a"),
            ("ab+c", "ab"),
            ("ab|cd", ""),
            ("(?i)ab", ""),
            ("^ab", ""),
            ("\\dab", ""),
            ("ab\\b", "ab"),
        ] {
            assert_eq!(prefix(pattern), wanted, "{pattern}");
        }
    }

    proptest! {
        /// With its prefix and without it, however often that misleads.
        #[test]
        fn the_prefix_changes_nothing(
            pattern in "[ab]{0,3}(\\\\b|a|\\(b\\*\\)|\\.\\*|\\[ab\\]\\+|b\\?|\\(a\\|b\\)|\\$|c\\{1,2\\}){0,3}",
            text in "[abc\n é]{0,60}"
        ) {
            let Ok(pattern) = Pattern::new(&pattern, Some(0)) else { return Ok(()) };
            let plain: Vec<&str> = pattern.anywhere.find_iter(&text).map(|found| found.as_str()).collect();
            // An empty match right behind another is counted by some and not by others.
            let not_empty = |all: Vec<&str>| all.into_iter().filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(not_empty(pattern.finds(&text).collect()), not_empty(plain));
        }
    }
}
