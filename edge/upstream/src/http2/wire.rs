//! The socket as the frame codec wants it, with an eye on what an endpoint says of the connection as a whole: its first
//! SETTINGS, and up to which request it goes on (GOAWAY). One turn reads so much and no more, so that an endpoint that sends
//! without end leaves room for others.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tentpole_model::Cause;
use tentpole_runtime::buffer::BUFFER_BYTES;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::socket::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that one turn reads.
const TURN_BYTES_MAX: usize = 64 * 1024;
const HEAD_BYTES: usize = 9;
const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const ACK: u8 = 1;

/// What was seen on a connection.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The endpoint's first SETTINGS frame came: it speaks HTTP/2.
    pub greeted: Cell<bool>,
    /// The last request that it will look at, once it has said so.
    pub last_stream: Cell<Option<u32>>,
    /// When something came last, or the endpoint took what had stood before it.
    pub alive_at: Cell<Instant>,
    /// Bytes that came in all.
    pub bytes_read: Cell<u64>,
    /// Content came since that was last counted.
    pub content_came: Cell<bool>,
    /// The endpoint does not take what is written.
    is_blocked: Cell<bool>,
    /// Why the connection failed, where the codec does not know it as well.
    pub cause: Cell<Option<Cause>>,
    turn_left: Cell<usize>,
}

impl Seen {
    pub fn begin_turn(&self) {
        self.turn_left.set(TURN_BYTES_MAX);
    }

    fn wrote(&self, wrote: &Poll<io::Result<usize>>) {
        let was_blocked = self.is_blocked.replace(wrote.is_pending());
        if was_blocked && matches!(wrote, Poll::Ready(Ok(1..))) {
            self.alive_at.set(clock::coarse());
        }
    }
}

/// An endpoint's socket under a codec.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    seen: Rc<Seen>,
    frames: Frames,
}

impl Wire {
    pub fn new(socket: Socket, seen: Rc<Seen>) -> Self {
        Self { socket, seen, frames: Frames::default() }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { socket, seen, frames } = self.get_mut();
        let left = seen.turn_left.get();
        if left == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if socket.filled().is_empty() {
            match ready!(socket.poll_fill(context, BUFFER_BYTES)) {
                Ok(0) => {
                    seen.cause.set(Some(Cause::Closed));
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => {}
                Err(error) => {
                    seen.cause.set(Some(socket.cause(&error)));
                    return Poll::Ready(Err(error));
                }
            }
        }
        let length = socket.filled().len().min(room.remaining()).min(left);
        let bytes = &socket.filled()[..length];
        frames.read(bytes, seen);
        room.put_slice(bytes);
        socket.consume(length);
        socket.rest();
        seen.turn_left.set(left - length);
        seen.alive_at.set(clock::coarse());
        seen.bytes_read.set(seen.bytes_read.get() + length as u64);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, seen, .. } = self.get_mut();
        let wrote = socket.poll_write(context, parts);
        seen.wrote(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_output(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_shutdown(context)
    }
}

/// Reads frame heads (RFC 9113 section 4.1) out of a stream of bytes, however they are cut.
#[derive(Debug, Default)]
struct Frames {
    head: [u8; HEAD_BYTES],
    head_len: usize,
    /// Bytes until the next head, and of which kind of frame they are.
    skip: usize,
    kind: u8,
    /// Of a GOAWAY frame: the last stream that counts, as far as it has come.
    last_stream: Option<(u32, u8)>,
}

impl Frames {
    fn read(&mut self, bytes: &[u8], seen: &Seen) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (skipped, behind) = rest.split_at(self.skip.min(rest.len()));
            self.skip -= skipped.len();
            if self.kind == DATA && !skipped.is_empty() {
                seen.content_came.set(true);
            }
            self.look(skipped, seen);
            let (wanted, behind) = behind.split_at((HEAD_BYTES - self.head_len).min(behind.len()));
            self.head[self.head_len..self.head_len + wanted.len()].copy_from_slice(wanted);
            self.head_len += wanted.len();
            rest = behind;
            if self.head_len == HEAD_BYTES {
                self.head_len = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
                if kind == SETTINGS && flags & ACK == 0 {
                    seen.greeted.set(true);
                }
                self.kind = kind;
                self.last_stream = (kind == GOAWAY).then_some((0, 0));
            }
        }
    }

    fn look(&mut self, payload: &[u8], seen: &Seen) {
        let Some((mut last, mut count)) = self.last_stream else { return };
        for byte in payload.iter().take(4 - usize::from(count)) {
            last = last << 8 | u32::from(*byte);
            count += 1;
        }
        self.last_stream = (count < 4).then_some((last, count));
        if count == 4 {
            seen.last_stream.set(Some(last & 0x7fff_ffff));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_and_the_last_request_are_seen_however_they_are_cut() {
        let mut bytes = vec![0, 0, 6, SETTINGS, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 100];
        bytes.extend([0, 0, 3, 0, 0, 0, 0, 0, 1, GOAWAY, GOAWAY, GOAWAY]);
        bytes.extend([0, 0, 10, GOAWAY, 0, 0, 0, 0, 0, 0x80, 1, 2, 3, 0, 0, 0, 0, b'h', b'i']);
        bytes.extend([0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0]);
        for cut in 1..bytes.len() {
            let (mut frames, seen) = (Frames::default(), Seen::default());
            frames.read(&bytes[bytes.len() - 9..], &seen);
            assert!(!seen.greeted.get());
            bytes.chunks(cut).for_each(|part| frames.read(part, &seen));
            assert!(seen.greeted.get());
            assert_eq!(seen.last_stream.get(), Some(0x0001_0203), "cut to {cut}");
        }
    }
}
