//! What is wrong and where: problems with their places, collected while reading, shown all at once with the line
//! each stands in. Rendering is ours: a dozen lines for which a crate would cost more to compile than this room.

use crate::problem::{Problem, Severity};
use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Bytes of the file.
    Bytes(Range<usize>),
    /// A flag of the command, as typed: `--to htp://x`.
    Flag(String),
    /// The file as a whole.
    Whole,
}

/// One problem at its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    /// What is wrong.
    pub problem: Problem,
    /// Where.
    pub place: Place,
}

/// All problems of one configuration, in the order of the file; errors and warnings alike. `Display` shows them
/// plainly, one line a problem, [`Report::at_terminal`] for people.
#[derive(Clone, Debug, Default)]
pub struct Report {
    name: String,
    text: String,
    diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Every problem, in the order of the file.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.diagnostics.is_empty()
    }

    /// How many are errors.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|d| d.problem.severity() == Severity::Error).count()
    }

    /// Only the first problem.
    pub fn first(mut self) -> Self {
        self.diagnostics.truncate(1);
        self
    }

    /// The same for a terminal of so many columns: no word is broken. With colours, if wanted (ANSI escapes).
    pub fn at_terminal(&self, columns: usize, colours: bool) -> impl fmt::Display {
        Shown { report: self, paint: Paint { on: colours }, columns: Some(columns.max(COLUMNS_MIN)) }
    }

    pub(crate) fn one(name: &str, problem: Problem, place: Place) -> Self {
        Self { name: name.to_owned(), text: String::new(), diagnostics: vec![Diagnostic { problem, place }] }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { report: self, paint: Paint { on: false }, columns: None }.fmt(f)
    }
}

impl std::error::Error for Report {}

/// Where the rooms of this crate put what they find. Reading goes on after each.
#[derive(Debug)]
pub(crate) struct Problems<'t> {
    name: &'t str,
    text: &'t str,
    lines: Lines,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'t> Problems<'t> {
    /// Nothing found yet in the file `name`, which holds `text`.
    pub(crate) fn new(name: &'t str, text: &'t str) -> Self {
        Self { name, text, lines: Lines::of(text), found: RefCell::default() }
    }

    /// Notes one.
    pub(crate) fn add(&self, problem: Problem, place: &Place) {
        self.found.borrow_mut().push(Diagnostic { problem, place: place.clone() });
    }

    /// Whether an error was found (not only warnings).
    pub(crate) fn any_error(&self) -> bool {
        self.found.borrow().iter().any(|d| d.problem.severity() == Severity::Error)
    }

    /// `line 12`, or the flag: for a problem that points at an earlier place.
    pub(crate) fn whereabouts(&self, place: &Place) -> String {
        match place {
            Place::Bytes(bytes) => format!("line {}", self.lines.number(bytes.start)),
            Place::Flag(flag) => flag.clone(),
            Place::Whole => "by default".to_owned(),
        }
    }

    /// The line that a place begins in, from 1.
    pub(crate) fn line(&self, place: &Place) -> usize {
        if let Place::Bytes(bytes) = place { self.lines.number(bytes.start) } else { 1 }
    }

    /// All of them, in the order of the file.
    pub(crate) fn report(self) -> Report {
        let mut diagnostics = self.found.into_inner();
        diagnostics.sort_by_key(|d| match &d.place {
            Place::Bytes(bytes) => bytes.start,
            Place::Flag(_) | Place::Whole => 0,
        });
        Report { name: self.name.to_owned(), text: self.text.to_owned(), diagnostics }
    }
}

/// Where the lines of a text begin.
#[derive(Debug)]
struct Lines {
    starts: Vec<usize>,
}

/// One line of a text.
struct Line<'t> {
    number: usize,
    /// Byte at which it starts.
    start: usize,
    /// Without its end.
    content: &'t str,
}

impl Lines {
    fn of(text: &str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The number of the line that holds a byte, which may lie at or beyond the end.
    fn number(&self, byte: usize) -> usize {
        self.starts.partition_point(|start| *start <= byte)
    }

    fn line<'t>(&self, text: &'t str, byte: usize) -> Line<'t> {
        let number = self.number(byte);
        let start = self.starts[number - 1];
        let end = self.starts.get(number).map_or(text.len(), |next| next - 1);
        Line { number, start, content: text[start..end].trim_end_matches('\r') }
    }
}

/// Problems that are shown; who has more mends these first.
const TOLD_MAX: usize = 50;
/// Characters of a source line that are shown around a caret.
const SHOWN_MAX: usize = 100;
/// A terminal that is narrower is treated as though it had so many columns.
const COLUMNS_MIN: usize = 40;
/// Carets under one place.
const CARETS_MAX: usize = 60;

struct Shown<'r> {
    report: &'r Report,
    paint: Paint,
    /// How wide the terminal is, where lines are to end in time.
    columns: Option<usize>,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = Lines::of(&self.report.text);
        for diagnostic in self.report.diagnostics.iter().take(TOLD_MAX) {
            self.one(f, &lines, diagnostic)?;
        }
        match self.report.diagnostics.len().saturating_sub(TOLD_MAX) {
            0 => Ok(()),
            more => writeln!(f, "… and {more} more."),
        }
    }
}

impl Shown<'_> {
    fn one(&self, f: &mut fmt::Formatter<'_>, lines: &Lines, diagnostic: &Diagnostic) -> fmt::Result {
        let Report { name, text, .. } = self.report;
        let Diagnostic { problem, place } = diagnostic;
        let Place::Bytes(bytes) = place else {
            return self.sentence(f, if let Place::Flag(flag) = place { flag } else { name }, problem);
        };
        let line = lines.line(text, bytes.start);
        let before = bytes.start - line.start;
        let column = line.content.chars_until(before) + 1;
        let carets = line.content.get(before..).map_or(0, |rest| rest.chars_until(bytes.end - bytes.start));
        self.sentence(f, &format!("{name}:{}:{column}", line.number), problem)?;
        self.source(f, &line, column, carets.clamp(1, CARETS_MAX), colour_of(problem))
    }

    fn sentence(&self, f: &mut fmt::Formatter<'_>, place: &str, problem: &Problem) -> fmt::Result {
        let label = if problem.severity() == Severity::Warning { "warning: " } else { "" };
        // What was typed is part of the sentence; it must not steer the terminal. Our own texts have line breaks.
        let clean = |text: &str| text.replace(|c: char| c.is_control() && c != '\n', " ");
        let (place, said) = (clean(place), clean(&problem.to_string()));
        let said = match self.columns {
            None => said,
            Some(columns) => wrapped(&said, columns, place.chars().count() + 2 + label.len()),
        };
        let place = self.paint.in_(BOLD, &place);
        let label = self.paint.in_(colour_of(problem), label);
        writeln!(f, "{place}: {label}{said}")
    }

    /// The source line, cut around the column, and the carets below it.
    fn source(
        &self,
        f: &mut fmt::Formatter<'_>,
        line: &Line<'_>,
        column: usize,
        carets: usize,
        colour: &str,
    ) -> fmt::Result {
        let number = line.number.to_string();
        // Before the line stand its number, a bar and three blanks.
        let shown_max = self.columns.map_or(SHOWN_MAX, |columns| columns.saturating_sub(number.len() + 4));
        let shown_max = shown_max.clamp(COLUMNS_MIN / 2, SHOWN_MAX);
        let from = if column + carets > shown_max { column.saturating_sub(shown_max / 2) } else { 0 };
        // A tab is one column, like any other character; control characters never reach the terminal.
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = line.content.chars().skip(from).take(shown_max).map(clean).collect();
        // They end with the terminal, wherever the column is.
        let room = self.columns.map_or(SHOWN_MAX, |_| shown_max.saturating_sub(column - 1 - from));
        let carets = "^".repeat(carets.min(room.max(1)));
        let indent = " ".repeat(column - 1 - from);
        let bar = self.paint.in_(DIM, "|");
        writeln!(f, " {} {bar} {}", self.paint.in_(DIM, &number), shown.trim_end())?;
        writeln!(f, " {} {bar} {indent}{}", " ".repeat(number.len()), self.paint.in_(colour, &carets))
    }
}

/// A text in lines of so many columns at most, broken between words; the first line has `taken` columns less, the others are
/// set in. A word that is longer than a line stands by itself.
fn wrapped(text: &str, columns: usize, taken: usize) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut at = taken;
    for (nth, line) in text.split('\n').enumerate() {
        if nth > 0 {
            out.push('\n');
            at = 0;
        }
        for (nth, word) in line.split(' ').enumerate() {
            let width = word.chars().count();
            if nth > 0 && at + 1 + width > columns {
                out.push_str("\n  ");
                at = 2;
            } else if nth > 0 {
                out.push(' ');
                at += 1;
            }
            out.push_str(word);
            at += width;
        }
    }
    out
}

trait CharsUntil {
    /// How many characters begin before `byte`.
    fn chars_until(&self, byte: usize) -> usize;
}

impl CharsUntil for str {
    fn chars_until(&self, byte: usize) -> usize {
        self.char_indices().take_while(|(at, _)| *at < byte).count()
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const RED: &str = "1;31";
const YELLOW: &str = "1;33";

fn colour_of(problem: &Problem) -> &'static str {
    match problem.severity() {
        Severity::Error => RED,
        Severity::Warning => YELLOW,
    }
}

struct Paint {
    on: bool,
}

impl Paint {
    fn in_(&self, colour: &str, text: &str) -> String {
        if self.on && !text.is_empty() { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::Cure;

    #[test]
    fn at_a_terminal_lines_end_between_words() {
        assert_eq!(wrapped("one two three four", 12, 4), "one two\n  three four");
        assert_eq!(wrapped("one\n  two three", 8, 0), "one\n  two\n  three", "what is set in stays so");
        assert_eq!(wrapped("a-word-that-is-too-long b", 10, 3), "a-word-that-is-too-long\n  b");

        let text = format!("[pool.app]\n{}zebra = 1\n", " ".repeat(90));
        let problem = Problem::OpenPath {
            typed: "/a/*".into(),
            why: "it names several",
            cure: Cure::new("x ".repeat(80)),
        };
        let problems = Problems::new("tentpole.toml", &text);
        let zebra = text.find("zebra").unwrap_or(0);
        problems.add(problem, &Place::Bytes(zebra..zebra + 5));
        let report = problems.report();
        let shown = report.at_terminal(60, false).to_string();
        assert!(shown.lines().all(|line| line.chars().count() <= 60), "{shown}");
        assert!(shown.lines().count() > 4 && shown.contains("zebra") && shown.contains("^^^^^\n"), "{shown}");
        assert_eq!(report.to_string().lines().count(), 3, "plainly, one line a problem and two of the file");
    }
}
