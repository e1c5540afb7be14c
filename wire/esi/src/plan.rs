//! What a page is made of: ranges of its own bytes, and places for other responses. Holds none of the page's bytes
//! but the addresses, so that it can be kept beside a page that is stored.

use std::ops::Range;

/// A page's pieces, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    pub(crate) pieces: Box<[Piece]>,
    pub(crate) includes: usize,
    pub(crate) is_plain: bool,
}

/// One piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes of the page; never empty.
    Text(Range<u64>),
    /// Another response's body.
    Include(Box<Include>),
    /// The first, if all of its includes succeed; else the second.
    Try {
        /// What is tried.
        attempt: Box<[Piece]>,
        /// What takes its place.
        except: Box<[Piece]>,
    },
}

/// Where another response's body belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Include {
    /// Its address, absolute or relative to the page's; entities replaced. Empty when the tag has none: that fails
    /// like an address that nobody answers.
    pub src: Box<str>,
    /// The address that is tried when the first fails.
    pub alt: Option<Box<str>>,
    /// Nothing takes its place when both fail, and that is no failure (`onerror="continue"`).
    pub may_fail: bool,
}

impl Plan {
    /// Its pieces.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// Includes in it, on all levels.
    pub fn includes(&self) -> usize {
        self.includes
    }

    /// Whether the page is its own text unchanged: no ESI was in it.
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Bytes of memory that it takes.
    pub fn memory_bytes(&self) -> u64 {
        size_of::<Self>() as u64 + self.pieces.iter().map(Piece::memory_bytes).sum::<u64>()
    }
}

impl Piece {
    fn memory_bytes(&self) -> u64 {
        let held = match self {
            Self::Text(_) => 0,
            Self::Include(include) => {
                size_of::<Include>() as u64
                    + include.src.len() as u64
                    + include.alt.as_ref().map_or(0, |alt| alt.len() as u64)
            }
            Self::Try { attempt, except } => attempt.iter().chain(&**except).map(Self::memory_bytes).sum(),
        };
        size_of::<Self>() as u64 + held
    }
}
