//! Reads tables of a TOML file and notes every problem with its line, so that all are told at once. Knows no
//! setting by name.

use crate::duration;
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Problems that are told; who has more mends these first.
const TOLD_MAX: usize = 20;

/// Everything that is wrong with a file. `Display` shows each as `file:line:column: what`, with its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    name: String,
    text: String,
    /// Where and what.
    all: Vec<(usize, String)>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, says) in self.all.iter().take(TOLD_MAX) {
            // Places are the parser's, so they lie between characters.
            let before = self.text.get(..*at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let start = before.rfind('\n').map_or(0, |at| at + 1);
            let column = before[start..].chars().count() + 1;
            let source = self.text[start..].lines().next().unwrap_or_default();
            let clean: String = source.chars().filter(|c| !c.is_control()).take(100).collect();
            writeln!(f, "{}:{line}:{column}: {says}\n {line} | {clean}", self.name)?;
        }
        match self.all.len().saturating_sub(TOLD_MAX) {
            0 => Ok(()),
            more => writeln!(f, "… and {more} more."),
        }
    }
}

impl std::error::Error for Problems {}

/// The file while it is read.
pub(crate) struct File<'t> {
    name: &'t str,
    text: &'t str,
    found: RefCell<Vec<(usize, String)>>,
}

/// One of its tables.
#[derive(Clone, Copy)]
pub(crate) struct Table<'t> {
    file: &'t File<'t>,
    entries: &'t DeTable<'t>,
    at: usize,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) at: usize,
}

impl<'t> File<'t> {
    pub(crate) fn new(name: &'t str, text: &'t str) -> Self {
        Self { name, text, found: RefCell::default() }
    }

    /// The whole file as a table; `None` when it is not TOML, which is told.
    pub(crate) fn parse(&self) -> Option<Spanned<DeTable<'t>>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                self.tell(at, format!("this is not TOML: {}.", error.message()));
                None
            }
        }
    }

    pub(crate) fn tell(&self, at: usize, says: impl Into<String>) {
        self.found.borrow_mut().push((at.min(self.text.len()), says.into()));
    }

    /// What was found wrong.
    pub(crate) fn problems(self) -> Problems {
        let mut all = self.found.into_inner();
        all.sort_by_key(|(at, _)| *at);
        Problems { name: self.name.to_owned(), text: self.text.to_owned(), all }
    }

    pub(crate) fn is_fine(&self) -> bool {
        self.found.borrow().is_empty()
    }
}

impl<'t> Table<'t> {
    /// Opens a table and tells of keys that it does not have.
    pub(crate) fn open(
        file: &'t File<'t>,
        entries: &'t DeTable<'t>,
        span: &Range<usize>,
        keys: &[&str],
    ) -> Self {
        for key in entries.keys() {
            if !keys.contains(&key.get_ref().as_ref()) {
                let says = format!("`{}` is not known here; known are {}.", key.get_ref(), keys.join(", "));
                file.tell(key.span().start, says);
            }
        }
        Self { file, entries, at: span.start }
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn tell(&self, at: usize, says: impl Into<String>) {
        self.file.tell(at, says);
    }

    pub(crate) fn get(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.entries.get(key)
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(crate) fn is_table(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::Table(_)))
    }

    pub(crate) fn is_text(&self, key: &str) -> bool {
        self.get(key).is_some_and(|value| matches!(value.get_ref(), DeValue::String(_)))
    }

    pub(crate) fn text(&self, key: &str) -> Option<At<&'t str>> {
        self.as_text(key, self.get(key)?)
    }

    fn as_text(&self, key: &str, value: &'t Spanned<DeValue<'t>>) -> Option<At<&'t str>> {
        match value.get_ref() {
            DeValue::String(text) => Some(At { value: text.as_ref(), at: value.span().start }),
            _ => self.wrong(value, &format!("`{key}` takes a text in \"quotes\".")),
        }
    }

    /// A text or a list of texts.
    pub(crate) fn texts(&self, key: &str) -> Vec<At<&'t str>> {
        match self.get(key) {
            None => Vec::new(),
            Some(value) => match value.get_ref() {
                DeValue::Array(all) => all.iter().filter_map(|one| self.as_text(key, one)).collect(),
                _ => self.as_text(key, value).into_iter().collect(),
            },
        }
    }

    pub(crate) fn number(&self, key: &str, from: f64, to: f64) -> Option<At<f64>> {
        let value = self.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n as f64)
            }
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) if number >= from && number <= to => {
                Some(At { value: number, at: value.span().start })
            }
            _ => self.wrong(value, &format!("`{key}` takes a number from {from} to {to}.")),
        }
    }

    /// Whole numbers, one or a list.
    pub(crate) fn whole_numbers(&self, key: &str, from: i64, to: i64) -> Vec<i64> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let read = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let read = |value| match read(value).filter(|number| (from..=to).contains(number)) {
            Some(number) => Some(number),
            None => self.wrong(value, &format!("`{key}` takes whole numbers from {from} to {to}.")),
        };
        match value.get_ref() {
            DeValue::Array(all) => all.iter().filter_map(read).collect(),
            _ => read(value).into_iter().collect(),
        }
    }

    pub(crate) fn duration(&self, key: &str) -> Option<Duration> {
        let text = self.text(key)?;
        match duration::parse(text.value) {
            Ok(time) => Some(time),
            Err(says) => {
                self.tell(text.at, says);
                None
            }
        }
    }

    /// The table inside a setting.
    pub(crate) fn table(&self, key: &str, keys: &[&str]) -> Option<Table<'t>> {
        let value = self.get(key)?;
        match value.get_ref() {
            DeValue::Table(entries) => Some(Table::open(self.file, entries, &value.span(), keys)),
            _ => self.wrong(value, &format!("`{key}` takes a table: {key} = {{ … }}.")),
        }
    }

    /// A list of tables; one table stands for a list of one.
    pub(crate) fn tables(&self, key: &str, keys: &[&str]) -> Vec<Table<'t>> {
        let Some(value) = self.get(key) else { return Vec::new() };
        let open = |value: &'t Spanned<DeValue<'t>>| match value.get_ref() {
            DeValue::Table(entries) => Some(Table::open(self.file, entries, &value.span(), keys)),
            _ => self.wrong(value, &format!("`{key}` takes tables: {key} = [{{ … }}].")),
        };
        match value.get_ref() {
            DeValue::Array(all) => all.iter().filter_map(open).collect(),
            _ => open(value).into_iter().collect(),
        }
    }

    /// The entries of a table whose keys are free, as they were written: name, where it stands, value.
    pub(crate) fn entries(&self, key: &str) -> Vec<(At<&'t str>, &'t Spanned<DeValue<'t>>)> {
        let Some(value) = self.get(key) else { return Vec::new() };
        match value.get_ref() {
            DeValue::Table(entries) => {
                let mut all: Vec<_> = entries
                    .iter()
                    .map(|(name, value)| {
                        (At { value: name.get_ref().as_ref(), at: name.span().start }, value)
                    })
                    .collect();
                // The parser sorts them by name, but the fields of a form have an order.
                all.sort_by_key(|(name, _)| name.at);
                all
            }
            _ => self
                .wrong(value, &format!("`{key}` takes a table: {key} = {{ name = \"value\" }}."))
                .unwrap_or_default(),
        }
    }

    /// The text, or texts, of an entry.
    pub(crate) fn entry_texts(&self, name: &str, value: &'t Spanned<DeValue<'t>>) -> Vec<At<&'t str>> {
        match value.get_ref() {
            DeValue::Array(all) => all.iter().filter_map(|one| self.as_text(name, one)).collect(),
            _ => self.as_text(name, value).into_iter().collect(),
        }
    }

    fn wrong<T>(&self, value: &Spanned<DeValue<'_>>, says: &str) -> Option<T> {
        self.tell(value.span().start, says);
        None
    }
}
