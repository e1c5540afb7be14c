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
    /// The line, or the number of the entry in a HAR; 0 for the whole file.
    pub at: usize,
    /// What and why.
    pub says: String,
}

/// Why a file cannot be read at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The line; 0 for the whole file.
    pub line: usize,
    /// What is wrong and how to mend it.
    pub says: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.at > 0 { write!(f, "{}: {}", self.at, self.says) } else { f.write_str(&self.says) }
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
        Self { line, says: says.into() }
    }
}

/// Notes while they are made: each once.
#[derive(Debug, Default)]
pub(crate) struct Notes(Vec<Note>);

impl Notes {
    pub(crate) fn say(&mut self, at: usize, says: impl Into<String>) {
        let says = says.into();
        if self.0.len() < NOTES_MAX && !self.0.iter().any(|note| note.says == says) {
            self.0.push(Note { at, says });
        }
    }

    pub(crate) fn done(mut self) -> Vec<Note> {
        self.0.sort_by_key(|note| note.at);
        self.0
    }
}
