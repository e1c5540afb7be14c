//! One connection to an endpoint: dial, write, read a response's head and its body. Says of each failure whether
//! the request may be sent again. Never retries by itself.

use crate::dial;
use crate::watch::Watch;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tentpole_http1::{
    BodyDecoder, BodyLimits, Decoded, Framing, Limits, Parsed, Piece, parse_response, response_framing,
};
use tentpole_message::{Fields, ResponseHead};
use tentpole_model::{Cause, Failure, Method, Phase, Retry};
use tentpole_runtime::Cell;
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::socket::Socket;

/// Largest head of a response. Tags of a shop's large page alone may take 64 KiB.
const HEAD_BYTES_MAX: usize = 128 * 1024;

/// A connection to an endpoint. Counts as open in the endpoint's cell until it is dropped.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    cell: Arc<Cell>,
    address: SocketAddr,
    /// Requests sent on it before the present one.
    pub served: u32,
    /// Since when it is idle, and what was seen of it.
    pub(crate) watch: Watch,
    limits: Limits,
}

/// The body of a response on its way in.
#[derive(Debug)]
pub struct ResponseBody {
    decoder: BodyDecoder,
    /// How it is framed.
    pub framing: Framing,
    /// Content seen so far, in bytes.
    pub bytes_seen: u64,
}

impl Connection {
    /// Dials one of the addresses, within `timeout` for all of them.
    pub async fn dial(
        cell: &Arc<Cell>,
        addresses: &[SocketAddr],
        timeout: Duration,
        deadline: &Deadline,
    ) -> Result<Self, Failure> {
        let opening = Opening::new(cell);
        deadline.set_in(timeout);
        let (stream, address) = dial::first_of(addresses, deadline)
            .await
            .map_err(|source| Failure::upstream(Phase::Connect, Retry::Unsent, source))?;
        cell.connects.fetch_add(1, Relaxed);
        opening.done();
        Ok(Self {
            socket: Socket::new(stream),
            cell: cell.clone(),
            address,
            served: 0,
            watch: Watch::default(),
            limits: Limits { head_bytes_max: HEAD_BYTES_MAX, ..Limits::default() },
        })
    }

    /// Whose connection this is.
    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// Where it leads: the address that was dialed.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it can be used for another request: open, and without a byte that nobody asked for.
    pub fn is_clean(&mut self) -> bool {
        self.socket.is_clean()
    }

    /// Writes once.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        self.socket.poll_write(context, parts)
    }

    /// The bytes at hand.
    pub fn filled(&self) -> &[u8] {
        self.socket.filled()
    }

    /// Marks bytes at hand as used.
    pub fn consume(&mut self, count: usize) {
        self.socket.consume(count);
    }

    /// Gives the buffer back when it is empty.
    pub fn rest(&mut self) {
        self.socket.rest();
    }

    /// Reads a response's head. Interim responses (1xx) are heads too; the caller asks again after one.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Failure>> {
        loop {
            let filled = self.socket.filled();
            let began = !filled.is_empty();
            if began {
                match parse_response(filled, &self.limits, head) {
                    Ok(Parsed::Complete { head_bytes }) => {
                        self.socket.consume(head_bytes);
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
            match ready!(self.socket.poll_fill(context, HEAD_BYTES_MAX + 4096)) {
                Ok(0) => return failed(Cause::Closed),
                Ok(_) => {}
                Err(error) => return failed(Cause::from(&error)),
            }
        }
    }

    /// The next piece of a response's body. Its bytes lie in [`Connection::filled`]; consume skip and length
    /// together before the next call.
    pub fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        body: &mut ResponseBody,
    ) -> Poll<Result<Piece, Failure>> {
        loop {
            match body.decoder.decode(self.socket.filled()) {
                Err(_) => return Poll::Ready(Err(never(Phase::ReadBody, Cause::Malformed))),
                Ok(Decoded::Done { used }) => {
                    self.socket.consume(used);
                    return Poll::Ready(Ok(Piece::End));
                }
                Ok(Decoded::Data { skip, len }) => {
                    body.bytes_seen += len as u64;
                    return Poll::Ready(Ok(Piece::Data { skip, len }));
                }
                Ok(Decoded::NeedMore { used }) => self.socket.consume(used),
            }
            match ready!(self.socket.poll_fill(context, HEAD_BYTES_MAX)) {
                Ok(0) if body.decoder.end_of_input().is_ok() => return Poll::Ready(Ok(Piece::End)),
                Ok(0) => return Poll::Ready(Err(never(Phase::ReadBody, Cause::Closed))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(never(Phase::ReadBody, Cause::from(&error)))),
            }
        }
    }

    /// The socket, for a tunnel.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.cell.open.fetch_sub(1, Relaxed);
    }
}

impl ResponseBody {
    /// The body that belongs to a head which answers `method`.
    pub fn of(head: &ResponseHead, method: Method) -> Result<Self, Failure> {
        let framing = response_framing(head, method).map_err(|_| never(Phase::ReadHead, Cause::Malformed))?;
        Ok(Self { decoder: BodyDecoder::new(framing, BodyLimits::default()), framing, bytes_seen: 0 })
    }

    /// Whether all of it was read.
    pub fn is_done(&self) -> bool {
        self.decoder.is_done()
    }

    /// Its trailers, once done.
    pub fn trailers(&self) -> Option<&Fields> {
        self.decoder.trailers()
    }
}

fn never(phase: Phase, source: Cause) -> Failure {
    Failure::upstream(phase, Retry::Never, source)
}

/// Counts a connection as open from the first packet on, so that `connections_max` holds while dialing.
struct Opening<'a>(Option<&'a Cell>);

impl<'a> Opening<'a> {
    fn new(cell: &'a Cell) -> Self {
        cell.open.fetch_add(1, Relaxed);
        Self(Some(cell))
    }

    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Some(cell) = self.0 {
            cell.open.fetch_sub(1, Relaxed);
        }
    }
}
