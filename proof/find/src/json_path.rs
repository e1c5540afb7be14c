//! Where in a JSON text a value stands: JSONPath (RFC 9535) with names, indices, slices, `*` and `..`. Refuses filters and
//! functions, and says so. Work and finds are bounded, whatever a server answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// Parts of a path at most.
const PARTS_MAX: usize = 32;
/// Values that are looked at for one path at most; what comes after is not found.
const LOOKS_MAX: usize = 1_000_000;
/// Values that one part of a path keeps at most.
const KEPT_MAX: usize = 10_000;

/// A path, understood. Written and compared as its text.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonPath {
    text: String,
    parts: Vec<Part>,
}

/// A segment (RFC 9535 §2.5).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    /// Of the value and all that is inside it (`..`), and not of the value alone.
    is_deep: bool,
    select: Vec<Select>,
}

/// A selector (RFC 9535 §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
enum Select {
    Name(String),
    /// From the end when below 0.
    Index(i64),
    /// From, to (not with it), step.
    Slice(Option<i64>, Option<i64>, i64),
    All,
}

impl JsonPath {
    /// Understands a path such as `$.items[0].id`.
    ///
    /// # Errors
    /// What of it is not understood.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut reader = Reader { rest: text.trim() };
        if !reader.eat("$") {
            return Err(format!("a path in JSON begins with $: json = \"$.{text}\"."));
        }
        let mut parts = Vec::new();
        while !reader.rest.is_empty() {
            parts.push(reader.part()?);
            if parts.len() > PARTS_MAX {
                return Err(format!("this path in JSON has more than {PARTS_MAX} parts."));
            }
        }
        Ok(Self { text: text.to_owned(), parts })
    }

    /// The values at this path, in their order.
    pub fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut looks = LOOKS_MAX;
        self.parts.iter().fold(vec![root], |values, part| {
            let mut found = Vec::new();
            for value in values {
                match part.is_deep {
                    true => part.deep(value, &mut looks, &mut found),
                    false => part.select(value, &mut looks, &mut found),
                }
            }
            found
        })
    }
}

impl PartialEq for JsonPath {
    fn eq(&self, other: &Self) -> bool {
        self.parts == other.parts
    }
}

impl Eq for JsonPath {}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl TryFrom<String> for JsonPath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::new(&text)
    }
}

impl From<JsonPath> for String {
    fn from(path: JsonPath) -> Self {
        path.text
    }
}

impl Part {
    /// Of the value, and then of what is inside it. As deep as `serde_json` reads, which is 128 levels.
    fn deep<'a>(&self, value: &'a Value, looks: &mut usize, found: &mut Vec<&'a Value>) {
        self.select(value, looks, found);
        let inside: &mut dyn Iterator<Item = &'a Value> = match value {
            Value::Array(values) => &mut values.iter(),
            Value::Object(fields) => &mut fields.values(),
            _ => return,
        };
        for value in inside {
            if *looks == 0 || found.len() >= KEPT_MAX {
                return;
            }
            *looks -= 1;
            self.deep(value, looks, found);
        }
    }

    fn select<'a>(&self, value: &'a Value, looks: &mut usize, found: &mut Vec<&'a Value>) {
        let mut keep = |value: Option<&'a Value>| {
            if *looks > 0 && found.len() < KEPT_MAX {
                *looks -= 1;
                found.extend(value);
            }
        };
        for select in &self.select {
            match (select, value) {
                (Select::Name(name), Value::Object(fields)) => keep(fields.get(name)),
                (Select::Index(index), Value::Array(values)) => keep(values.get(place(*index, values.len()))),
                (Select::Slice(from, to, step), Value::Array(values)) => {
                    for index in slice(*from, *to, *step, values.len()).take(KEPT_MAX) {
                        keep(values.get(index));
                    }
                }
                (Select::All, Value::Array(values)) => {
                    values.iter().take(KEPT_MAX).for_each(|value| keep(Some(value)));
                }
                (Select::All, Value::Object(fields)) => {
                    fields.values().take(KEPT_MAX).for_each(|value| keep(Some(value)));
                }
                _ => {}
            }
        }
    }
}

/// Where an index stands; nowhere is past the end.
fn place(index: i64, length: usize) -> usize {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let from_start = if index < 0 { index.saturating_add(length) } else { index };
    usize::try_from(from_start).unwrap_or(usize::MAX)
}

/// The indices of a slice (RFC 9535 §2.3.4.2.2).
fn slice(from: Option<i64>, to: Option<i64>, step: i64, length: usize) -> impl Iterator<Item = usize> {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let normal = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let (from, to) = match step >= 0 {
        true => (from.unwrap_or(0), to.unwrap_or(length)),
        false => (from.unwrap_or(length - 1), to.unwrap_or(-length - 1)),
    };
    let (from, to) = match step >= 0 {
        true => (normal(from).clamp(0, length), normal(to).clamp(0, length)),
        false => (normal(from).clamp(-1, length - 1), normal(to).clamp(-1, length - 1)),
    };
    let is_inside = move |index: &i64| match step {
        0 => false,
        1.. => *index < to,
        _ => *index > to,
    };
    let first = Some(from).filter(is_inside);
    std::iter::successors(first, move |index| index.checked_add(step).filter(is_inside))
        .filter_map(|index| usize::try_from(index).ok())
}

/// What is left of a path's text.
struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    fn eat(&mut self, wanted: &str) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn part(&mut self) -> Result<Part, String> {
        let is_deep = self.eat("..");
        let is_bracketed = self.rest.starts_with('[');
        if !is_deep && !is_bracketed && !self.eat(".") {
            return Err(self.unknown());
        }
        let select = match is_bracketed {
            true => self.brackets()?,
            false if self.eat("*") => vec![Select::All],
            false => vec![Select::Name(self.short_name()?)],
        };
        Ok(Part { is_deep, select })
    }

    /// With `-` in it, which the RFC wants in brackets, and other tools take.
    fn short_name(&mut self) -> Result<String, String> {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-') || !c.is_ascii();
        let end = self.rest.find(|c| !is_of_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.is_empty() || rest.starts_with('(') {
            return Err(self.unknown());
        }
        self.rest = rest;
        Ok(name.to_owned())
    }

    fn brackets(&mut self) -> Result<Vec<Select>, String> {
        self.eat("[");
        let mut all = Vec::new();
        loop {
            self.skip_blanks();
            all.push(self.one()?);
            self.skip_blanks();
            if self.eat("]") {
                return Ok(all);
            }
            if !self.eat(",") || all.len() >= PARTS_MAX {
                return Err(self.unknown());
            }
        }
    }

    fn one(&mut self) -> Result<Select, String> {
        if self.eat("*") {
            return Ok(Select::All);
        }
        if let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            return self.quoted(quote).map(Select::Name);
        }
        let from = self.number()?;
        self.skip_blanks();
        if !self.eat(":") {
            return from.map(Select::Index).ok_or_else(|| self.unknown());
        }
        self.skip_blanks();
        let to = self.number()?;
        self.skip_blanks();
        let step = if self.eat(":") {
            self.skip_blanks();
            self.number()?
        } else {
            None
        };
        Ok(Select::Slice(from, to, step.unwrap_or(1)))
    }

    fn number(&mut self) -> Result<Option<i64>, String> {
        let sign = usize::from(self.rest.starts_with('-'));
        let digits = self.rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        let (number, rest) = self.rest.split_at(sign + digits);
        if number.is_empty() {
            return Ok(None);
        }
        let parsed = number.parse().map_err(|_| self.unknown())?;
        self.rest = rest;
        Ok(Some(parsed))
    }

    /// A name in quotes; `\` stands before a quote, `/` or another `\`.
    fn quoted(&mut self, quote: char) -> Result<String, String> {
        let mut name = String::new();
        let mut characters = self.rest.char_indices().skip(1);
        while let Some((at, c)) = characters.next() {
            match c {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(name);
                }
                '\\' => match characters.next() {
                    Some((_, c @ ('\'' | '"' | '\\' | '/'))) => name.push(c),
                    _ => break,
                },
                c => name.push(c),
            }
        }
        Err(self.unknown())
    }

    fn unknown(&self) -> String {
        let rest: String = self.rest.chars().take(40).collect();
        let what = match rest.as_str() {
            "" => "the end of this path in JSON is missing".to_owned(),
            rest if rest.starts_with('?') => {
                format!("`{rest}`: filters are not understood in a path in JSON")
            }
            rest => format!("`{rest}` is not understood in a path in JSON"),
        };
        format!("{what}; write json = \"$.items[0].id\", \"$.items[*].id\" or \"$..id\".")
    }
}

#[cfg(test)]
#[path = "json_path_tests.rs"]
mod tests;
