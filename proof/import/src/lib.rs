//! Other tools' files → the text of a journey's file, and a list of what was not understood. Pure: text in, text out.
//! Knows no network, and nothing of how a journey is walked.

pub mod access_log;
pub mod draft;
pub mod har;
pub mod jmx;
mod toml;
mod xml;

use std::fmt;

/// Bytes of a HAR or a plan at most.
pub const FILE_BYTES_MAX: u64 = 512 << 20;
/// Notes that are kept; who has more sees that there are more.
const NOTES_MAX: usize = 1_000;
/// Requests that are named where many have the same note.
const ALIKE_MAX: usize = 8;

/// What came of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The journey's file.
    pub text: String,
    /// Where it goes: scheme, host and port as the file names them; `None` when it names none.
    pub url: Option<String>,
    /// What was not understood, or is done in another way here. Never silent about anything.
    pub notes: Vec<Note>,
}

/// Something of the file that the journey does not have, or has otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Where it stands there.
    pub at: Place,
    /// What and why.
    pub says: String,
}

/// Where in a file something stands. What belongs to all of it comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// All of it.
    File,
    /// The line.
    Line(usize),
    /// A recording's request of this number, from 1, and what it asks for: `GET /cart`.
    Request(usize, String),
}

/// Why a file cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Which of the files that were given, from 0.
    pub file: usize,
    /// The line; 0 for the whole file.
    pub line: usize,
    /// What is wrong and how to mend it.
    pub says: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.at {
            Place::File => f.write_str(&self.says),
            Place::Line(line) => write!(f, "{line}: {}", self.says),
            Place::Request(number, asked) => write!(f, "request {number} ({asked}): {}", self.says),
        }
    }
}

impl Note {
    /// With the name of its file before it: `plan.jmx:12: …`, `shop.har, request 6 (GET /cart): …`.
    pub fn of(&self, file: &str) -> String {
        match self.at {
            Place::File => self.says.clone(),
            Place::Line(_) => format!("{file}:{self}"),
            Place::Request(..) => format!("{file}, {self}"),
        }
    }
}

impl From<usize> for Place {
    /// A line; 0 is all of the file.
    fn from(line: usize) -> Self {
        if line > 0 { Self::Line(line) } else { Self::File }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 { write!(f, "{}: {}", self.line, self.says) } else { f.write_str(&self.says) }
    }
}

impl std::error::Error for Wrong {}

impl Wrong {
    pub(crate) fn at(line: usize, says: impl Into<String>) -> Self {
        Self { file: 0, line, says: says.into() }
    }
}

/// One of these words behind a number: `1 request is`, `2 requests are`.
pub(crate) fn several(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// Notes while they are made: each text once, with how often it would have been said.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    all: Vec<Told>,
    /// Those for which there was no room.
    beyond: usize,
}

/// A note, and others that say the same.
#[derive(Debug)]
struct Told {
    note: Note,
    more: usize,
    /// The requests that some of the others are about.
    requests: Vec<usize>,
}

impl Notes {
    pub(crate) fn say(&mut self, at: impl Into<Place>, says: impl Into<String>) {
        let (at, says) = (at.into(), says.into());
        if let Some(told) = self.all.iter_mut().find(|told| told.note.says == says) {
            told.more += 1;
            if let (Place::Request(number, _), true) = (at, told.requests.len() < ALIKE_MAX) {
                told.requests.push(number);
            }
        } else if self.all.len() < NOTES_MAX {
            self.all.push(Told { note: Note { at, says }, more: 0, requests: Vec::new() });
        } else {
            self.beyond += 1;
        }
    }

    pub(crate) fn done(mut self) -> Vec<Note> {
        self.all.sort_by(|one, two| one.note.at.cmp(&two.note.at));
        let told = |Told { mut note, more, requests }: Told| {
            let numbers: Vec<String> = requests.iter().map(ToString::to_string).collect();
            note.says += &match (more, numbers.as_slice()) {
                (0, _) => String::new(),
                (_, []) => format!(" ({more} more like this)"),
                (1, [one]) => format!(" (request {one} too)"),
                (_, some) if some.len() == more => format!(" (requests {} too)", some.join(", ")),
                (_, some) => format!(" (requests {}, \u{2026} too: {more} more)", some.join(", ")),
            };
            note
        };
        let mut notes: Vec<Note> = self.all.into_iter().map(told).collect();
        if self.beyond > 0 {
            notes.push(Note {
                at: Place::File,
                says: format!("{} no room here.", several(self.beyond, "more note has", "more notes have")),
            });
        }
        notes
    }
}
