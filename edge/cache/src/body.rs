//! The content of a stored response, shared by an object and those that a 304 makes of it. On the Ledger for as long
//! as anybody holds it.

use crate::chunks::PIECE_OVERHEAD;
use bytes::Bytes;
use std::sync::Arc;
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

#[derive(Debug)]
pub(crate) struct Body {
    pieces: Pieces,
    ledger: Arc<Ledger>,
}

/// Most bodies are one piece: those spare a list and one pointer to follow.
#[derive(Debug)]
enum Pieces {
    One([Bytes; 1]),
    /// With the sum of their bytes.
    Any(Box<[Bytes]>, u64),
}

impl Body {
    /// Of pieces in order, none empty.
    pub(crate) fn new(ledger: &Arc<Ledger>, chunks: Vec<Bytes>) -> Self {
        let pieces = match <[Bytes; 1]>::try_from(chunks) {
            Ok(one) => Pieces::One(one),
            Err(chunks) => {
                let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
                Pieces::Any(chunks.into(), bytes)
            }
        };
        let body = Self { pieces, ledger: ledger.clone() };
        ledger.charge(Account::Cache, body.cost());
        body
    }

    #[inline]
    pub(crate) fn chunks(&self) -> &[Bytes] {
        match &self.pieces {
            Pieces::One(one) => one,
            Pieces::Any(chunks, _) => chunks,
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> u64 {
        match &self.pieces {
            Pieces::One([one]) => one.len() as u64,
            Pieces::Any(_, bytes) => *bytes,
        }
    }

    /// Bytes with what each piece costs beside its content.
    pub(crate) fn cost(&self) -> u64 {
        self.bytes() + self.chunks().len() as u64 * PIECE_OVERHEAD
    }

    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.ledger.release(Account::Cache, self.cost());
    }
}
