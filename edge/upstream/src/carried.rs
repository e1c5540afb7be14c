//! What carries one request to an endpoint: a connection of its own, or one request's part of a connection of HTTP/2. Here is
//! only which of the two it is.

use crate::connection::{Connection as Line, ResponseBody};
use crate::http2::Stream;
use crate::send::{Framed, Part, Request};
use std::borrow::Cow;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use tentpole_http1::{Framing, Piece};
use tentpole_message::ResponseHead;
use tentpole_model::{Failure, Method};
use tentpole_runtime::Cell;
use tentpole_runtime::clock::Instant;
use tentpole_runtime::socket::Socket;

/// A request's way to its endpoint and back.
#[derive(Debug)]
pub enum Connection {
    /// Alone on a connection. In memory of its own, made once for all requests on it: what waits for an answer stays small.
    Line(Box<Line>),
    /// Among others on one.
    Stream(Box<Stream>),
}

impl Connection {
    /// Whose connection this is.
    pub fn cell(&self) -> &Arc<Cell> {
        match self {
            Self::Line(line) => line.cell(),
            Self::Stream(stream) => stream.cell(),
        }
    }

    /// Where it leads; `None` before that is known.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Line(line) => Some(line.address()),
            Self::Stream(stream) => stream.address(),
        }
    }

    /// The bytes at hand.
    pub fn filled(&self) -> &[u8] {
        match self {
            Self::Line(line) => line.filled(),
            Self::Stream(stream) => stream.filled(),
        }
    }

    /// Marks bytes at hand as used.
    pub fn consume(&mut self, count: usize) {
        match self {
            Self::Line(line) => line.consume(count),
            Self::Stream(stream) => stream.consume(count),
        }
    }

    /// Begins a request: what is to be written before its content, which may be the head as it is, or nothing.
    ///
    /// # Errors
    /// When its protocol cannot say it; nothing was sent then.
    pub fn begin<'a>(&mut self, request: &Request<'a>) -> Result<Cow<'a, [u8]>, Failure> {
        match self {
            Self::Line(line) => line.begin(request),
            Self::Stream(stream) => stream.begin(request).map(|()| Cow::Borrowed(&b""[..])),
        }
    }

    /// Writes once of what [`Connection::begin`] gave.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Line(line) => line.poll_write(context, parts),
            // There is nothing to write.
            Self::Stream(_) => Poll::Ready(Ok(0)),
        }
    }

    /// Whether the visitor waits to be asked for the content of the request that was begun, and the endpoint will not ask.
    pub fn wants_continue(&self) -> bool {
        match self {
            Self::Line(line) => line.wants_continue(),
            Self::Stream(_) => false,
        }
    }

    /// Begins a piece of the request's content, whose framing is that of [`Request::framing`].
    pub fn frame(&mut self, framed: &mut Framed, framing: Framing, part: Part<'_>) {
        match self {
            Self::Line(line) => line.frame(framed, framing, part),
            Self::Stream(stream) => {
                framed.clear();
                stream.frame(part);
            }
        }
    }

    /// Writes once of a piece that was begun and has something left; says how many bytes went out.
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        framed: &mut Framed,
        content: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Line(line) => line.poll_send(context, framed, content),
            Self::Stream(stream) => stream.poll_send(context, framed, content),
        }
    }

    /// Reads a response's head. Interim responses (1xx) are heads too; the caller asks again after one.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Failure>> {
        match self {
            Self::Line(line) => line.poll_head(context, head),
            Self::Stream(stream) => stream.poll_head(context, head),
        }
    }

    /// The body that belongs to a head which answers `method`.
    ///
    /// # Errors
    /// When two readers could disagree where it ends.
    pub fn body(&mut self, head: &ResponseHead, method: Method) -> Result<ResponseBody, Failure> {
        match self {
            Self::Line(line) => line.body(head, method),
            Self::Stream(stream) => stream.body(method),
        }
    }

    /// Whether it may be put aside for another request once this body was read: one among others need not be.
    pub fn keeps_alive(&self, head: &ResponseHead, body: &ResponseBody, method: Method) -> bool {
        match self {
            Self::Line(line) => line.keeps_alive(head, body, method),
            Self::Stream(_) => false,
        }
    }

    /// The next piece of a response's body. Its bytes lie in [`Connection::filled`]; consume skip and length
    /// together before the next call.
    pub fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        body: &mut ResponseBody,
    ) -> Poll<Result<Piece, Failure>> {
        match self {
            Self::Line(line) => line.poll_piece(context, body),
            Self::Stream(stream) => stream.poll_piece(context, body),
        }
    }

    /// A response's head came; `keep_alive` is its field of that name.
    pub fn answered(&mut self, now: Instant, keep_alive: Option<&[u8]>) {
        if let Self::Line(line) = self {
            line.answered(now, keep_alive);
        }
    }

    /// It died when it was used again.
    pub fn was_closed(&self) {
        if let Self::Line(line) = self {
            line.was_closed();
        }
    }

    /// The socket, for a tunnel; only a connection of one's own has one.
    pub fn socket(&mut self) -> Option<&mut Socket> {
        match self {
            Self::Line(line) => Some(line.socket()),
            Self::Stream(_) => None,
        }
    }
}
