//! HTTP/1.1 to an endpoint: heads are sent as they were written, content gets a frame around it where its length is not
//! known. Counts nothing, and decides nothing about a connection.

use crate::connection::never;
use crate::send::{Framed, Part};
use std::task::{Context, Poll, ready};
use tentpole_http1::{self as http1, BodyDecoder, Decoded, Framing, Limits, Parsed, Piece, parse_response};
use tentpole_message::ResponseHead;
use tentpole_model::{Cause, Failure, Phase, Retry};
use tentpole_runtime::socket::Socket;

/// Largest head of a response. Tags of a shop's large page alone may take 64 KiB.
pub(crate) const HEAD_BYTES_MAX: usize = 128 * 1024;

/// What a connection that speaks it has to know: only what it bears.
#[derive(Debug)]
pub(crate) struct Http1 {
    limits: Limits,
}

impl Http1 {
    pub(crate) fn new() -> Self {
        Self { limits: Limits { head_bytes_max: HEAD_BYTES_MAX, ..Limits::default() } }
    }

    pub(crate) fn frame(framed: &mut Framed, framing: Framing, part: Part<'_>) {
        if framing != Framing::Chunked {
            return;
        }
        match part {
            Part::Data(content) => {
                http1::write_chunk_start(&mut framed.before, content.len());
                framed.after = http1::CHUNK_END;
            }
            Part::End(trailers) => http1::write_last_chunk(&mut framed.before, trailers),
        }
    }

    pub(crate) fn poll_head(
        &self,
        context: &mut Context<'_>,
        socket: &mut Socket,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let filled = socket.filled();
            let began = !filled.is_empty();
            if began {
                match parse_response(filled, &self.limits, head) {
                    Ok(Parsed::Complete { head_bytes }) => {
                        socket.consume(head_bytes);
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Parsed::Partial) => {}
                    Err(_) => return Poll::Ready(Err(never(Phase::ReadHead, Cause::Malformed))),
                }
            }
            // Before the first byte the endpoint may not have seen the request at all.
            let (phase, retry) = match began {
                false => (Phase::FirstByte, Retry::IfSafe),
                true => (Phase::ReadHead, Retry::Never),
            };
            let failed = |source| Poll::Ready(Err(Failure::upstream(phase, retry, source)));
            match ready!(socket.poll_fill(context, HEAD_BYTES_MAX + 4096)) {
                Ok(0) => return failed(Cause::Closed),
                Ok(_) => {}
                Err(error) => return failed(Cause::from(&error)),
            }
        }
    }

    /// `bytes_seen` counts the content.
    pub(crate) fn poll_piece(
        context: &mut Context<'_>,
        socket: &mut Socket,
        decoder: &mut BodyDecoder,
        bytes_seen: &mut u64,
    ) -> Poll<Result<Piece, Failure>> {
        loop {
            match decoder.decode(socket.filled()) {
                Err(_) => return Poll::Ready(Err(never(Phase::ReadBody, Cause::Malformed))),
                Ok(Decoded::Done { used }) => {
                    socket.consume(used);
                    return Poll::Ready(Ok(Piece::End));
                }
                Ok(Decoded::Data { skip, len }) => {
                    *bytes_seen += len as u64;
                    return Poll::Ready(Ok(Piece::Data { skip, len }));
                }
                Ok(Decoded::NeedMore { used }) => socket.consume(used),
            }
            match ready!(socket.poll_fill(context, HEAD_BYTES_MAX)) {
                Ok(0) if decoder.end_of_input().is_ok() => return Poll::Ready(Ok(Piece::End)),
                Ok(0) => return Poll::Ready(Err(never(Phase::ReadBody, Cause::Closed))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(never(Phase::ReadBody, Cause::from(&error)))),
            }
        }
    }
}
