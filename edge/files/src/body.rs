//! A file's content, piece by piece: one piece at hand, and one being read while memory allows that. Holds no more of the
//! file, however large that is.

use crate::opened::Opened;
use crate::readers::{Asked, Readers, Seat};
use bytes::{Buf, Bytes};
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::{Account, Pressure};

/// Content on its way to whoever polls it.
#[derive(Debug)]
pub struct Body {
    source: Option<Source>,
    /// What is left to be asked for.
    range: Range<u64>,
    reading: Option<Asked<io::Result<Bytes>>>,
    at_hand: Bytes,
    charged: u64,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
struct Source {
    readers: Arc<Readers>,
    seat: Seat,
    opened: Arc<Opened>,
}

impl Body {
    /// Bytes that are read in one go.
    pub const PIECE_BYTES: usize = 128 << 10;

    /// These words.
    pub fn words(words: Bytes, ledger: &Arc<Ledger>) -> Self {
        Self { source: None, range: 0..0, reading: None, at_hand: words, charged: 0, ledger: ledger.clone() }
    }

    /// A range of a file's bytes, of which `first` has been read already.
    pub fn of(
        readers: &Arc<Readers>,
        seat: Seat,
        opened: Arc<Opened>,
        range: Range<u64>,
        first: Option<Bytes>,
        ledger: &Arc<Ledger>,
    ) -> Self {
        let mut body = Self::words(Bytes::new(), ledger);
        body.source = Some(Source { readers: readers.clone(), seat, opened });
        body.range = range;
        if let Some(first) = first {
            body.range.start += first.len() as u64;
            body.take(first);
        }
        body
    }

    /// Waits until there are bytes, or the content is over. Whoever calls has consumed those that were there.
    ///
    /// # Errors
    /// The file cannot be read any more, or has changed.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.at_hand.is_empty() && !self.is_done() {
            if self.reading.is_none() {
                self.read_on();
            }
            let Some(reading) = &mut self.reading else { break };
            let read = ready!(Pin::new(reading).poll(context));
            self.reading = None;
            let piece = read.unwrap_or_else(|_| Err(io::ErrorKind::Interrupted.into()))?;
            self.take(piece);
        }
        Poll::Ready(Ok(()))
    }

    /// The bytes that are there.
    pub fn filled(&self) -> &[u8] {
        &self.at_hand
    }

    /// Takes bytes away that were used.
    pub fn consume(&mut self, count: usize) {
        self.at_hand.advance(count);
        if self.at_hand.is_empty() {
            self.release();
        }
    }

    /// Whether all of it was used.
    pub fn is_done(&self) -> bool {
        self.at_hand.is_empty() && self.reading.is_none() && self.range.is_empty()
    }

    fn take(&mut self, piece: Bytes) {
        self.charged = piece.len() as u64;
        self.ledger.charge(Account::Disk, self.charged);
        self.at_hand = piece;
        if self.ledger.pressure() < Pressure::PassFills {
            self.read_on();
        }
    }

    fn read_on(&mut self) {
        let Some(Source { readers, seat, opened }) = &self.source else { return };
        if self.range.is_empty() {
            return;
        }
        let at = self.range.start;
        let bytes = (self.range.end - at).min(Self::PIECE_BYTES as u64);
        self.range.start += bytes;
        let opened = opened.clone();
        self.reading = Some(readers.ask(seat, move || opened.read(at, bytes as usize)));
    }

    fn release(&mut self) {
        self.ledger.release(Account::Disk, std::mem::take(&mut self.charged));
        self.at_hand = Bytes::new();
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.release();
    }
}
