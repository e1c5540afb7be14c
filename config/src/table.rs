//! Reads the tables of the file by their sections: notes every problem and goes on, so that all of them are told
//! at once. What a value of the wrong kind stands for is its default; no Snapshot comes of it anyway.

use crate::problem::Problem;
use crate::report::{Place, Problems};
use crate::setting::{Form, Section, Setting, Wrong};
use crate::words::{Hint, any_of};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A value and where it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

impl<T> At<T> {
    pub(crate) fn new(value: T, place: Place) -> Self {
        Self { value, place }
    }
}

/// One table of the file while it is read.
pub(crate) struct Table<'t> {
    title: String,
    place: Place,
    entries: &'t DeTable<'t>,
    problems: &'t Problems<'t>,
}

impl<'t> Table<'t> {
    /// Opens `entries` as `section`, and tells of the keys that it does not have. `title` is what diagnostics call
    /// it: `[pool.app]`.
    pub(crate) fn open(
        section: &'static Section,
        title: String,
        place: Place,
        entries: &'t DeTable<'t>,
        problems: &'t Problems<'t>,
    ) -> Self {
        for key in entries.keys() {
            if section.names().any(|name| name == key.get_ref()) {
                continue;
            }
            let cure = Hint::near(key.get_ref(), section.names())
                .or_else(|| where_it_belongs(key.get_ref(), section));
            let problem =
                Problem::UnknownSetting { key: key.get_ref().to_string(), section: title.clone(), cure };
            problems.add(problem, &Place::Bytes(key.span()));
        }
        Self { title, place, entries, problems }
    }

    /// The setting's value, or its default when it is left out or wrong.
    ///
    /// # Panics
    /// When the setting has no default: a mistake of this crate, which its tests would meet.
    pub(crate) fn value<F: Form>(&self, setting: &Setting<F>) -> F::Value {
        self.optional(setting).map_or_else(|| setting.usual(), |read| read.value)
    }

    /// The setting's value when it is there and right.
    pub(crate) fn optional<F: Form>(&self, setting: &Setting<F>) -> Option<At<F::Value>> {
        let value = self.raw(setting)?;
        let place = Place::Bytes(value.span());
        match setting.form.read(setting.name, value) {
            Ok(read) => Some(At::new(read, place)),
            Err(Wrong::Type) => {
                self.wrong_type(setting, value);
                None
            }
            Err(Wrong::Value(problem)) => {
                self.problems.add(problem, &place);
                None
            }
        }
    }

    /// The setting's value; tells when it is missing.
    pub(crate) fn required<F: Form>(&self, setting: &Setting<F>) -> Option<At<F::Value>> {
        if self.raw(setting).is_none() {
            self.missing(setting);
        }
        self.optional(setting)
    }

    /// What was written for a setting that its room reads by itself.
    pub(crate) fn raw<F: Form>(&self, setting: &Setting<F>) -> Option<&'t Spanned<DeValue<'t>>> {
        self.entries.get(setting.name)
    }

    /// The texts of a setting that takes one or a list of them, each with its place; tells of what is no text and of
    /// more than `most`, and of none at all with this cure. `None` when it is not there.
    pub(crate) fn texts<F: Form>(
        &self,
        setting: &Setting<F>,
        most: usize,
        what: &'static str,
        when_empty: Option<&'static str>,
    ) -> Option<Vec<At<String>>> {
        let value = self.raw(setting)?;
        let place = Place::Bytes(value.span());
        let items = match value.get_ref() {
            DeValue::String(_) => std::slice::from_ref(value),
            DeValue::Array(items) => &items[..],
            _ => {
                self.wrong_type(setting, value);
                return Some(Vec::new());
            }
        };
        if let (true, Some(cure)) = (items.is_empty(), when_empty) {
            self.tell(Problem::Empty { name: setting.name, cure }, &place);
        }
        if items.len() > most {
            self.tell(Problem::TooMany { what, count: items.len(), most }, &place);
        }
        let mut texts = Vec::new();
        for item in items.iter().take(most) {
            match item.get_ref() {
                DeValue::String(text) => texts.push(At::new(text.to_string(), Place::Bytes(item.span()))),
                _ => self.wrong_item(setting, item),
            }
        }
        Some(texts)
    }

    /// The table inside a setting, opened; `None` when it is not there or not a table.
    pub(crate) fn table<F: Form>(&self, setting: &Setting<F>) -> Option<Table<'t>> {
        let value = self.raw(setting)?;
        let section = setting.form.inside()?;
        let DeValue::Table(entries) = value.get_ref() else {
            self.wrong_type(setting, value);
            return None;
        };
        let title = match self.title.strip_suffix(']') {
            Some(outer) => format!("{outer}.{}]", setting.name),
            None if self.place == Place::Whole => format!("[{}]", setting.name),
            None => format!("`{}` of {}", setting.name, self.title),
        };
        Some(Table::open(section, title, Place::Bytes(value.span()), entries, self.problems))
    }

    /// Tells that a value is of another type than its setting takes.
    pub(crate) fn wrong_type<F: Form>(&self, setting: &Setting<F>, value: &Spanned<DeValue<'_>>) {
        self.tell_wrong_type(setting, value, format!("`{}`", setting.name));
    }

    /// Tells that an item of a list is of another type than its setting takes.
    pub(crate) fn wrong_item<F: Form>(&self, setting: &Setting<F>, item: &Spanned<DeValue<'_>>) {
        self.tell_wrong_type(setting, item, format!("an item of `{}`", setting.name));
    }

    /// Tells that something inside a setting is no text.
    pub(crate) fn no_text<F: Form>(&self, setting: &Setting<F>, name: String, value: &Spanned<DeValue<'_>>) {
        let (found, wanted) = (type_name(value.get_ref()), "a text in quotes".to_owned());
        let problem = Problem::WrongType { name, found, wanted, example: example_line(setting) };
        self.problems.add(problem, &Place::Bytes(value.span()));
    }

    fn tell_wrong_type<F: Form>(&self, setting: &Setting<F>, value: &Spanned<DeValue<'_>>, name: String) {
        let problem = Problem::WrongType {
            name,
            found: type_name(value.get_ref()),
            wanted: setting.form.words(),
            example: example_line(setting),
        };
        self.problems.add(problem, &Place::Bytes(value.span()));
    }

    /// Tells that a setting is not there.
    pub(crate) fn missing<F: Form>(&self, setting: &Setting<F>) {
        let problem = Problem::Missing {
            section: self.title.clone(),
            name: setting.name,
            example: example_line(setting),
        };
        self.problems.add(problem, &self.place);
    }

    /// Notes a problem.
    pub(crate) fn tell(&self, problem: Problem, place: &Place) {
        self.problems.add(problem, place);
    }

    /// What diagnostics call it.
    pub(crate) fn title(&self) -> &str {
        &self.title
    }

    /// Where the table begins.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Where problems go.
    pub(crate) fn problems(&self) -> &'t Problems<'t> {
        self.problems
    }
}

fn example_line<F: Form>(setting: &Setting<F>) -> String {
    format!("{} = {}", setting.name, setting.example)
}

/// `memory` is a setting of `[cache]`; or, when it is nowhere, what there is here.
fn where_it_belongs(key: &str, section: &Section) -> String {
    let elsewhere = crate::top::sections().into_iter().find(|other| other.names().any(|name| name == key));
    match elsewhere {
        Some(other) => format!("It belongs in {}.", other.header),
        None => format!("It has {}.", any_of(&section.names().collect::<Vec<_>>()).replace(" or ", " and ")),
    }
}

fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a point",
        DeValue::Boolean(true) => "true",
        DeValue::Boolean(false) => "false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
