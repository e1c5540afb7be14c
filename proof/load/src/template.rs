//! Text with `{name}` in it, filled in for each request. What is filled in is encoded for the place it stands in,
//! so that no page can write a request of its own. Knows no request.

use crate::url::{push_encoded, push_sendable};
use serde::{Deserialize, Serialize};

/// A text and the variables in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    Text(String),
    /// A variable's number, and whether it is filled in as it is (`{name:raw}`).
    Variable {
        number: usize,
        raw: bool,
    },
}

/// Where a template stands, which decides how what is filled in is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A path or query: all but unreserved characters as `%XX`. Raw: only what cannot stand in a request line.
    Url,
    /// A header's value: line ends become spaces.
    Header,
    /// A body: as it is.
    Body,
    /// A field of a form: as in a URL.
    Form,
}

/// What is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// A `{` without its `}`.
    Open,
    /// A `}` without its `{`.
    Close,
    /// Not a name of letters, digits and `_`, with `:raw` or nothing behind it.
    Name(String),
    /// A variable that nobody sets.
    Unknown(String),
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Open => f.write_str("a `{` has no `}`; for the character itself write `{{`."),
            Self::Close => f.write_str("a `}` has no `{`; for the character itself write `}}`."),
            Self::Name(name) => {
                write!(
                    f,
                    "`{{{name}}}` is no variable; write {{name}}, or {{name:raw}} to fill it in as it is."
                )
            }
            Self::Unknown(name) => write!(
                f,
                "nothing sets `{{{name}}}` before this step; extract it in an earlier step that is always walked, \
                 or list its values in `choose`."
            ),
        }
    }
}

impl Template {
    /// Reads a text. `number` gives the number of a variable that is set, by its name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, number: impl Fn(&str) -> Option<usize>) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            literal.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                literal.push_str(brace);
                rest = after;
                continue;
            }
            if brace == "}" {
                return Err(TemplateError::Close);
            }
            let (inside, after) = rest.split_once('}').ok_or(TemplateError::Open)?;
            rest = after;
            let (name, raw) = match inside.strip_suffix(":raw") {
                Some(name) => (name, true),
                None => (inside, false),
            };
            if !is_name(name) {
                return Err(TemplateError::Name(inside.to_owned()));
            }
            let number = number(name).ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable { number, raw });
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Self { parts })
    }

    /// Text without variables.
    pub fn literal(text: &str) -> Self {
        Self { parts: vec![Part::Text(text.to_owned())] }
    }

    /// Appends the text, filled in. False when a variable has no value; then what was appended is of no use.
    pub fn write(&self, out: &mut String, place: Place, values: &[Option<String>]) -> bool {
        for part in &self.parts {
            let (text, raw) = match part {
                Part::Text(text) => (text, true),
                Part::Variable { number, raw } => match values.get(*number) {
                    Some(Some(value)) => (value, *raw),
                    _ => return false,
                },
            };
            match place {
                Place::Url if raw => push_sendable(out, text),
                Place::Url => push_encoded(out, text),
                Place::Form if matches!(part, Part::Variable { raw: true, .. }) => push_sendable(out, text),
                Place::Form => push_encoded(out, text),
                Place::Header => out.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c })),
                Place::Body => out.push_str(text),
            }
        }
        true
    }

    /// The text before the first variable.
    pub fn start(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Its own words, without what is filled in.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Variable { .. } => None,
        })
    }

    /// The variables that are filled in, by number, and whether as they are.
    pub fn variables(&self) -> impl Iterator<Item = (usize, bool)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable { number, raw, .. } => Some((*number, *raw)),
        })
    }

    /// Whether it begins with a variable that is filled in as it is: a whole link.
    pub fn starts_raw(&self) -> bool {
        matches!(self.parts.first(), Some(Part::Variable { raw: true, .. }))
    }
}

/// Letters, digits and `_`, beginning with a letter.
pub fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.len() <= 40
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(name: &str) -> Option<usize> {
        ["slug", "q"].iter().position(|known| *known == name)
    }

    fn filled(text: &str, place: Place, slug: &str) -> String {
        let template = Template::parse(text, number).expect("a template");
        let mut out = String::new();
        assert!(template.write(&mut out, place, &[Some(slug.to_owned()), None]));
        out
    }

    #[test]
    fn what_is_filled_in_is_encoded_for_its_place() {
        assert_eq!(filled("/p/{slug}?a=b", Place::Url, "a/b c?&ü"), "/p/a%2Fb%20c%3F%26%C3%BC?a=b");
        assert_eq!(filled("{slug:raw}", Place::Url, "/p/a b?c=d&e"), "/p/a%20b?c=d&e");
        assert_eq!(filled("x{slug}", Place::Header, "a\r\nEvil: 1"), "xa  Evil: 1");
        assert_eq!(filled("{{\"a\": \"{slug}\"}}", Place::Body, "b"), "{\"a\": \"b\"}");
        assert_eq!(filled("{slug}", Place::Form, "a b&c=d"), "a%20b%26c%3Dd");
        assert_eq!(filled("plain & simple", Place::Form, ""), "plain%20%26%20simple");
    }

    #[test]
    fn a_variable_without_a_value_is_told() {
        let template = Template::parse("/{q}", number).expect("a template");
        assert!(!template.write(&mut String::new(), Place::Url, &[Some("x".into()), None]));
        assert!(!template.write(&mut String::new(), Place::Url, &[]));
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        let wrong = |text| Template::parse(text, number).expect_err("wrong");
        assert_eq!(wrong("/{slug"), TemplateError::Open);
        assert_eq!(wrong("/slug}"), TemplateError::Close);
        assert_eq!(wrong("/{}"), TemplateError::Name(String::new()));
        assert_eq!(wrong("/{slug:json}"), TemplateError::Name("slug:json".into()));
        assert_eq!(wrong("/{other}"), TemplateError::Unknown("other".into()));
    }

    proptest! {
        #[test]
        fn nothing_filled_in_leaves_its_place(value in "\\PC*", control in "[\\x00-\\x1f]{0,4}") {
            let value = format!("{value}{control}");
            let url = filled("/a/{slug}/{slug:raw}", Place::Url, &value);
            prop_assert!(url.bytes().all(|byte| (0x21..=0x7e).contains(&byte)));
            let header = filled("{slug}", Place::Header, &value);
            prop_assert!(!header.contains(['\r', '\n', '\0']));
            let part = filled("{slug}", Place::Url, &value);
            prop_assert!(!part.contains(['/', '?', '&', '=', '#']));
        }

        #[test]
        fn any_text_is_read_or_refused_and_text_without_braces_is_itself(text in "\\PC*") {
            let read = Template::parse(&text, number);
            if !text.contains(['{', '}']) {
                let mut out = String::new();
                prop_assert!(read.expect("no braces").write(&mut out, Place::Body, &[]));
                prop_assert_eq!(out, text);
            }
        }
    }
}
