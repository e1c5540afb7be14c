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
/// plainly, [`Report::coloured`] for a terminal.
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

    /// The same with colours (ANSI escapes).
    pub fn coloured(&self) -> impl fmt::Display {
        Shown { report: self, paint: Paint { on: true } }
    }

    pub(crate) fn one(name: &str, problem: Problem, place: Place) -> Self {
        Self { name: name.to_owned(), text: String::new(), diagnostics: vec![Diagnostic { problem, place }] }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Shown { report: self, paint: Paint { on: false } }.fmt(f)
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
/// Carets under one place.
const CARETS_MAX: usize = 60;

struct Shown<'r> {
    report: &'r Report,
    paint: Paint,
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
        let place = self.paint.in_(BOLD, &clean(place));
        let label = self.paint.in_(colour_of(problem), label);
        writeln!(f, "{place}: {label}{}", clean(&problem.to_string()))
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
        let from = if column + carets > SHOWN_MAX { column.saturating_sub(SHOWN_MAX / 2) } else { 0 };
        // A tab is one column, like any other character; control characters never reach the terminal.
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let shown: String = line.content.chars().skip(from).take(SHOWN_MAX).map(clean).collect();
        let number = line.number.to_string();
        let carets = "^".repeat(carets.min(SHOWN_MAX));
        let indent = " ".repeat(column - 1 - from);
        let bar = self.paint.in_(DIM, "|");
        writeln!(f, " {} {bar} {}", self.paint.in_(DIM, &number), shown.trim_end())?;
        writeln!(f, " {} {bar} {indent}{}", " ".repeat(number.len()), self.paint.in_(colour, &carets))
    }
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
