//! The content of a request whose length nobody has said (chunks, HTTP/2), for endpoints that must be told it: FastCGI has
//! no other way. Held in memory, bounded and on account, until it is whole.

use crate::stop::Stop;
use crate::visit::Visit;
use bytes::Bytes;
use std::io::IoSlice;
use std::sync::Arc;
use std::time::Duration;
use tentpole_http1::{self as http1, Framing, Piece};
use tentpole_listener::BodyError;
use tentpole_model::{Failure, Phase, Refused, Version};
use tentpole_runtime::ledger::{Account, Ledger, Pressure};

/// Bytes of content that are held; whoever sends more must say how many.
const HELD_BYTES_MAX: usize = 1 << 20;

/// Content that is held, and on account as long as it is.
pub(crate) struct Held {
    content: Bytes,
    charged: u64,
    ledger: Arc<Ledger>,
}

impl Held {
    /// It.
    pub(crate) fn content(&self) -> &Bytes {
        &self.content
    }

    /// How a request with it is framed.
    pub(crate) fn framing(&self) -> Framing {
        Framing::Length(self.content.len() as u64)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.release(Account::Buffers, self.charged);
    }
}

impl Visit<'_> {
    /// Reads the whole content; each pause is bounded by `stall`.
    ///
    /// # Errors
    /// When there is more than may be held, or the visitor does not send it.
    pub(crate) async fn hold_content(&mut self, stall: Duration) -> Result<Held, Stop> {
        let interim = self.manner.version != Version::Http10;
        if interim && http1::expects_continue(&self.scratch.request).is_ok_and(|expects| expects) {
            self.visitor.write(&mut [IoSlice::new(CONTINUE)]).await.map_err(Stop::Failed)?;
        }
        let ledger = self.thread.shared.ledger.clone();
        let mut held = Held { content: Bytes::new(), charged: 0, ledger };
        let mut content = Vec::new();
        loop {
            self.visitor.deadline.set_in(stall);
            let piece = self.next_piece().await?;
            let Piece::Data { skip, len } = piece else { break };
            let is_full = held.ledger.pressure() >= Pressure::ShrinkCache;
            if content.len() + len > HELD_BYTES_MAX || is_full {
                return Err(Stop::Refused(Refused::LengthRequired));
            }
            held.ledger.charge(Account::Buffers, len as u64);
            held.charged += len as u64;
            content.extend_from_slice(&self.visitor.filled()[skip..skip + len]);
            self.visitor.consume(skip + len);
        }
        held.content = content.into();
        Ok(held)
    }

    async fn next_piece(&mut self) -> Result<Piece, Stop> {
        let Self { visitor, body, .. } = self;
        let piece = std::future::poll_fn(|context| {
            if let std::task::Poll::Ready(piece) = visitor.poll_piece(context, body) {
                return std::task::Poll::Ready(Ok(piece));
            }
            visitor.deadline.poll_expired(context).map(Err)
        });
        match piece.await {
            Ok(Ok(piece)) => Ok(piece),
            Ok(Err(BodyError::Refused(refused))) => Err(Stop::Refused(refused)),
            Ok(Err(BodyError::Failed(failure))) => {
                Err(Stop::Failed(Failure { phase: Phase::Deliver, ..failure }))
            }
            Err(_) => Err(Stop::Refused(Refused::BodyTimeout)),
        }
    }
}

/// What asks a visitor for the content that he waits with (RFC 9110 section 15.2.1).
pub(crate) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
