//! What a room writes down of itself, and how many may come in before it has.
//!
//! Whoever comes in after something was written is forgotten by a crash. So what is written says how many that can be at most,
//! and no more come in until the next is written, however long that takes: after a crash all of them count as if they had.

use super::{Room, WRITTEN_AHEAD, WRITTEN_WITHIN_MS};

/// What a room keeps over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The event.
    pub round: u32,
    /// No number above was given.
    pub issued: u64,
    /// All numbers up to this one were.
    pub given: u64,
    /// The last number called.
    pub called: u64,
    /// The last number that has lost its place.
    pub base: u64,
    /// How many came before the doors opened.
    pub early: u64,
    /// Their numbers begin behind this one; `None` while the doors have not opened.
    pub early_from: Option<u64>,
    /// How many are inside.
    pub active: u32,
    /// Who came in within the last minute, by second since 1970.
    pub entries: Vec<(u64, u32)>,
    /// Whom an operator lets in beyond all limits.
    pub extra: u32,
    /// How many more can have come in before the next is written down: after a crash they count as if they had.
    pub unwritten: u32,
    /// Who came in since the process began; not for the next one.
    pub entered: u64,
}

impl Room {
    /// What is to be written down at this moment. Numbers are written ahead of those that are given: after a crash none is
    /// given twice.
    pub fn kept(&mut self, now_ms: u64) -> Kept {
        let now_ms = now_ms.max(self.now_ms);
        self.seats.sweep(self.rules.session_ms, now_ms);
        let some_wait = !self.line.is_quiet();
        // Brought up to this moment: what nobody took since the last visitor may come in, too.
        self.pace.allowed(now_ms, some_wait);
        let ahead = |given: u64| if given == 0 { 0 } else { (given / WRITTEN_AHEAD + 2) * WRITTEN_AHEAD };
        Kept {
            round: self.round,
            issued: ahead(self.line.issued),
            given: self.line.issued,
            called: self.line.called,
            base: self.line.base,
            // Once places are drawn, their number is part of the draw.
            early: if self.early_from.is_none() { ahead(self.early_count) } else { self.early_count },
            early_from: self.early_from,
            active: self.seats.active(),
            entries: self.pace.entries(),
            extra: self.extra,
            unwritten: self.pace.within(WRITTEN_WITHIN_MS).map_or(0, |by_rule| by_rule + self.extra),
            entered: self.entered,
        }
    }

    /// The same when it ends in order: nothing is given any more.
    pub fn kept_at_end(&mut self, now_ms: u64) -> Kept {
        Kept { issued: self.line.issued, early: self.early_count, unwritten: 0, ..self.kept(now_ms) }
    }

    /// A crash is to be survived: nobody comes in before something is written.
    pub fn is_to_be_written(&mut self) {
        self.unwritten = Some(0);
    }

    /// This is written now. As many may come in as it says, less those who did since.
    pub fn is_written(&mut self, kept: &Kept) {
        let since = u32::try_from(self.entered - kept.entered).unwrap_or(u32::MAX);
        // Without a rate nothing is kept to.
        self.unwritten = self.pace.per_second().map(|_| kept.unwritten.saturating_sub(since));
        self.held = 0;
    }

    /// It cannot be written: visitors come in all the same, and a crash forgets who did.
    pub fn cannot_be_written(&mut self) {
        self.unwritten = None;
        self.held = 0;
    }

    /// How many times somebody could have come in since the last was written, but for the next.
    pub fn held(&self) -> u32 {
        self.held
    }
}
