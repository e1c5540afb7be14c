//! A journey while it is made from another tool's file, and the text of its own. Every text in it is a template
//! already: `{name}` is a variable, `{{` a brace.

use crate::Note;
use crate::toml::{key, list, table, text};
use std::fmt::Write;
use std::time::Duration;

/// What a file becomes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    /// The journeys.
    pub journeys: Vec<Journey>,
}

/// One journey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Journey {
    /// Its name.
    pub name: String,
    /// Cookies last beyond its end.
    pub keeps_cookies: bool,
    /// Variables do.
    pub keeps_variables: bool,
    /// A failed step does not end it.
    pub goes_on: bool,
    /// Variables with a value at its beginning.
    pub set: Vec<(String, String)>,
    /// Files.
    pub data: Vec<Data>,
    /// Its own visitors.
    pub crew: Option<Crew>,
    /// Steps and blocks.
    pub items: Vec<Item>,
}

/// Visitors of a journey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Crew {
    /// How many.
    pub visitors: u32,
    /// How often each.
    pub times: Option<u32>,
    /// How long.
    pub time: Option<Duration>,
    /// Over which time they begin.
    pub ramp: Duration,
    /// When the first does.
    pub delay: Duration,
}

/// A file of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Data {
    /// Its path.
    pub file: String,
    /// Names of its columns; empty for those of its first line.
    pub columns: Vec<String>,
    /// Between two values.
    pub separator: String,
    /// Whether values may stand in quotes.
    pub has_quotes: bool,
    /// Each visitor begins with the first row.
    pub is_own: bool,
    /// The first row comes after the last.
    pub is_endless: bool,
}

/// A step, or several together.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// One.
    Step(Box<Step>),
    /// Several, with what is said of them: `repeat = 3`.
    Block(String, Vec<Item>),
}

/// One request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// GET, POST, …
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Fields.
    pub headers: Vec<(String, String)>,
    /// Fields of a form.
    pub form: Vec<(String, String)>,
    /// Other content.
    pub body: Option<String>,
    /// A value of `think`, as TOML.
    pub think: Option<String>,
    /// `follow` or `stop`.
    pub redirects: Option<&'static str>,
    /// Values that are drawn: a name and what from.
    pub choose: Vec<(String, Vec<String>)>,
    /// What is taken from the response.
    pub extract: Vec<Extract>,
    /// Checks, as TOML tables.
    pub checks: Vec<String>,
}

/// A value that is taken from a response.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extract {
    /// The variable.
    pub name: String,
    /// `header = "Location"` or `from = "url"`; nothing for the body.
    pub from: Option<String>,
    /// The text before and after.
    pub between: Option<(String, String)>,
    /// A pattern, and which of its groups; nothing for the first.
    pub pattern: Option<(String, Option<usize>)>,
    /// A path in JSON.
    pub json: Option<String>,
    /// Which find, as TOML: `"random"` or a number; nothing for the first.
    pub pick: Option<String>,
    /// What it is when nothing is found.
    pub or: Option<String>,
}

impl Draft {
    /// The text of the file, with what was not understood on top.
    pub fn write(&self, source: &str, url: Option<&str>, notes: &[Note]) -> String {
        let mut out = String::new();
        let url = url.unwrap_or("URL");
        let _ = writeln!(out, "# Made from {}. Walk it with:", one_line(source));
        let _ = writeln!(out, "#   tentpole load {} --profile FILE", one_line(url));
        if !notes.is_empty() {
            out.push_str("#\n# Not as in the original:\n");
        }
        for note in notes {
            let _ = writeln!(out, "#   {}", one_line(&note.to_string()));
        }
        for journey in &self.journeys {
            journey.write(&mut out);
        }
        out
    }
}

impl Journey {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "\n[[journey]]\nname = {}", text(&self.name));
        if let Some(crew) = &self.crew {
            let _ = writeln!(out, "visitors = {}", crew.visitors);
            if let Some(times) = crew.times {
                let _ = writeln!(out, "times = {times}");
            }
            for (name, time) in [("time", crew.time), ("ramp", Some(crew.ramp)), ("delay", Some(crew.delay))]
            {
                if let Some(time) = time.filter(|time| !time.is_zero()) {
                    let _ = writeln!(out, "{name} = {}", shown(time));
                }
            }
        }
        for (is_said, line) in [
            (self.keeps_cookies, "cookies = \"keep\""),
            (self.keeps_variables, "variables = \"keep\""),
            (self.goes_on, "failures = \"go on\""),
        ] {
            if is_said {
                let _ = writeln!(out, "{line}");
            }
        }
        if !self.set.is_empty() {
            let _ = writeln!(out, "set = {}", table(&self.set));
        }
        for data in &self.data {
            let _ = writeln!(out, "\n[[journey.data]]\nfile = {}", text(&data.file));
            if !data.columns.is_empty() {
                let _ = writeln!(out, "columns = {}", list(&data.columns));
            }
            if data.separator != "," {
                let _ = writeln!(out, "separator = {}", text(&data.separator));
            }
            for (is_said, line) in [
                (!data.has_quotes, "quotes = \"none\""),
                (data.is_own, "take = \"own\""),
                (!data.is_endless, "end = \"leave\""),
            ] {
                if is_said {
                    let _ = writeln!(out, "{line}");
                }
            }
        }
        write_items(&self.items, "journey.step", out);
    }
}

fn write_items(items: &[Item], table: &str, out: &mut String) {
    for item in items {
        let _ = writeln!(out, "\n[[{table}]]");
        match item {
            Item::Step(step) => step.write(out),
            Item::Block(says, inside) => {
                let _ = writeln!(out, "{says}");
                write_items(inside, &format!("{table}.step"), out);
            }
        }
    }
}

impl Step {
    fn write(&self, out: &mut String) {
        let _ = writeln!(out, "name = {}", text(&self.name));
        let usual = if self.form.is_empty() && self.body.is_none() { "GET" } else { "POST" };
        if self.method != usual {
            let _ = writeln!(out, "method = {}", text(&self.method));
        }
        let _ = writeln!(out, "path = {}", text(&self.path));
        if let Some(think) = &self.think {
            let _ = writeln!(out, "think = {think}");
        }
        if let Some(redirects) = self.redirects {
            let _ = writeln!(out, "redirects = {}", text(redirects));
        }
        if !self.headers.is_empty() {
            let _ = writeln!(out, "headers = {}", table(&self.headers));
        }
        if !self.choose.is_empty() {
            let all: Vec<String> = self
                .choose
                .iter()
                .map(|(name, values)| format!("{} = {}", key(name), list(values)))
                .collect();
            let _ = writeln!(out, "choose = {{ {} }}", all.join(", "));
        }
        if !self.form.is_empty() {
            let _ = writeln!(out, "form = {}", table(&self.form));
        }
        if let Some(body) = &self.body {
            let _ = writeln!(out, "body = {}", text(body));
        }
        if !self.extract.is_empty() {
            out.push_str("extract = [\n");
            for extract in &self.extract {
                let _ = writeln!(out, "    {},", extract.shown());
            }
            out.push_str("]\n");
        }
        if !self.checks.is_empty() {
            let _ = writeln!(out, "check = [{}]", self.checks.join(", "));
        }
    }
}

impl Extract {
    fn shown(&self) -> String {
        let mut parts = vec![format!("name = {}", text(&self.name))];
        parts.extend(self.from.clone());
        if let Some((before, after)) = &self.between {
            parts.push(format!("between = {}", list(&[before, after])));
        }
        if let Some((pattern, group)) = &self.pattern {
            parts.push(format!("pattern = {}", text(pattern)));
            parts.extend(group.map(|group| format!("group = {group}")));
        }
        parts.extend(self.json.as_ref().map(|path| format!("json = {}", text(path))));
        parts.extend(self.pick.as_ref().map(|pick| format!("pick = {pick}")));
        parts.extend(self.or.as_ref().map(|or| format!("or = {}", text(or))));
        format!("{{ {} }}", parts.join(", "))
    }
}

/// A time as journeys have it, in quotes.
pub fn shown(time: Duration) -> String {
    match time.as_millis() {
        0 => text("0"),
        ms if ms % 1_000 == 0 => text(&format!("{}s", ms / 1_000)),
        ms => text(&format!("{ms}ms")),
    }
}

/// A text that stands for itself in a template.
pub fn escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

/// A name that a variable may have, made of another one.
pub fn variable(name: &str) -> String {
    let mut out: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(36).collect();
    if !out.starts_with(|c: char| c.is_ascii_alphabetic()) {
        out.insert_str(0, "v_");
    }
    out
}

/// What cannot end a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}
