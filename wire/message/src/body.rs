//! A body on its way: nothing, bytes at hand, or a stream that is polled. Whoever streams bounds what it holds.

use bytes::Bytes;
use std::task::{Context, Poll};
use tentpole_model::Failure;

/// A message's content.
pub enum Body {
    /// None.
    Empty,
    /// All of it, at hand.
    Bytes(Bytes),
    /// What arrives while it is read: a fill that others read too, or an exchange's own body.
    Stream(Box<dyn BodyStream>),
}

/// One piece of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Content; never empty.
    Data(Bytes),
    /// The end.
    End,
}

/// A body that is polled piece by piece. Nothing is fetched that was not asked for, beyond a bounded window.
pub trait BodyStream {
    /// The next piece. After [`Chunk::End`] or an error it must not be polled again.
    fn poll_chunk(&mut self, context: &mut Context<'_>) -> Poll<Result<Chunk, Failure>>;
}
