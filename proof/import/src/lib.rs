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

/// Notes while they are made: each text once, with how often it would have been said.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    /// Each with how many more there are like it.
    all: Vec<(Note, usize)>,
    /// Those for which there was no room.
    beyond: usize,
}

impl Notes {
    pub(crate) fn say(&mut self, at: usize, says: impl Into<String>) {
        let says = says.into();
        if let Some((_, more)) = self.all.iter_mut().find(|(note, _)| note.says == says) {
            *more += 1;
        } else if self.all.len() < NOTES_MAX {
            self.all.push((Note { at, says }, 0));
        } else {
            self.beyond += 1;
        }
    }

    pub(crate) fn done(mut self) -> Vec<Note> {
        self.all.sort_by_key(|(note, _)| note.at);
        let told = |(mut note, more): (Note, usize)| {
            if more > 0 {
                note.says += &format!(" ({more} more like this)");
            }
            note
        };
        let mut notes: Vec<Note> = self.all.into_iter().map(told).collect();
        if self.beyond > 0 {
            notes.push(Note { at: 0, says: format!("{} more notes have no room here.", self.beyond) });
        }
        notes
    }
}
