//! What is made of a response's content on its way in: links that lead elsewhere, or words of ours in place of a store's
//! error. Whoever reads an exchange reads through this, and need not know.

use crate::exchange::Exchange;
use crate::store::Trouble;
use std::task::{Context, Poll, ready};
use tentpole_http1::{Framing, Piece};
use tentpole_message::Fields;
use tentpole_model::Failure;
use tentpole_rewrite::Rewriter;

/// Bytes of content that are read and dropped for the sake of the connection.
const DROPPED_MAX: u64 = 64 << 10;

/// Content that is not passed on as it comes.
pub struct Content {
    how: How,
    /// What can be read of it.
    out: Vec<u8>,
    has_ended: bool,
}

enum How {
    /// A page's links.
    Rewritten(Box<Rewriter>),
    /// Something else is said in its place.
    Replaced(Trouble, String),
}

impl Content {
    /// A page whose links are rewritten.
    pub fn rewritten(rewriter: Rewriter) -> Box<Self> {
        Self::new(How::Rewritten(Box::new(rewriter)))
    }

    /// These words, whatever comes.
    pub fn replaced(trouble: Trouble, words: String) -> Box<Self> {
        Self::new(How::Replaced(trouble, words))
    }

    fn new(how: How) -> Box<Self> {
        Box::new(Self { how, out: Vec::new(), has_ended: false })
    }

    fn feed(&mut self, piece: &[u8]) {
        match &mut self.how {
            How::Rewritten(rewriter) => rewriter.feed(piece, &mut self.out),
            How::Replaced(trouble, _) => trouble.feed(piece),
        }
    }

    fn end(&mut self) {
        self.has_ended = true;
        match &mut self.how {
            How::Rewritten(rewriter) => rewriter.finish(&mut self.out),
            How::Replaced(trouble, words) => {
                trouble.tell();
                self.out.extend_from_slice(words.as_bytes());
            }
        }
    }
}

impl Exchange {
    /// The next piece of the content, which [`Exchange::bytes`] holds until it is consumed.
    pub fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, Failure>> {
        let Self { source, body, content, .. } = self;
        let Some(content) = content else { return source.poll_piece(context, body) };
        loop {
            if !content.out.is_empty() {
                return Poll::Ready(Ok(Piece::Data { skip: 0, len: content.out.len() }));
            }
            if content.has_ended {
                return Poll::Ready(Ok(Piece::End));
            }
            match ready!(source.poll_piece(context, body)) {
                Ok(Piece::Data { skip, len }) => {
                    content.feed(&source.filled()[skip..skip + len]);
                    source.consume(skip + len);
                    if matches!(content.how, How::Replaced(..)) && body.bytes_seen > DROPPED_MAX {
                        // The connection ends with it.
                        content.end();
                    }
                }
                Ok(Piece::End) => content.end(),
                Err(failure) => return Poll::Ready(Err(failure)),
            }
        }
    }

    /// The bytes that a piece lies in.
    pub fn bytes(&self) -> &[u8] {
        match &self.content {
            Some(content) => &content.out,
            None => self.source.filled(),
        }
    }

    /// Takes bytes away that were read.
    pub fn consume(&mut self, count: usize) {
        match &mut self.content {
            Some(content) => drop(content.out.drain(..count)),
            None => self.source.consume(count),
        }
    }

    /// Whether the content was read to its end.
    pub fn is_done(&self) -> bool {
        match &self.content {
            Some(content) => content.has_ended && content.out.is_empty(),
            None => self.source.is_done(&self.body),
        }
    }

    /// Fields behind the content, for whoever reads it.
    pub fn trailers(&self) -> Option<&Fields> {
        // They may speak of the bytes that came.
        self.body.trailers().filter(|_| self.content.is_none())
    }

    /// From now on the content is what this makes of it, of this length if that is known. Nothing happens where there is
    /// none.
    pub fn make(&mut self, content: Box<Content>, length: Option<u64>) {
        if self.body.framing == Framing::None {
            return;
        }
        self.body.framing = length.map_or(Framing::Chunked, Framing::Length);
        self.content = Some(content);
    }
}
