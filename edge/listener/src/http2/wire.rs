//! The socket as the frame codec wants it, with an eye on what passes: frames are counted, and one turn reads so much
//! and no more, so that a connection that sends without end leaves room for others.

use crate::http2::account::Shared;
use crate::http2::frames::{Frames, Kind};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tentpole_runtime::buffer::BUFFER_BYTES;
use tentpole_runtime::clock;
use tentpole_runtime::socket::Socket;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that one turn reads.
pub(crate) const TURN_BYTES_MAX: usize = 64 * 1024;

/// A visitor's socket under a codec.
#[derive(Debug)]
pub(crate) struct Wire {
    socket: Socket,
    frames: Frames,
    shared: Rc<Shared>,
}

impl Wire {
    pub(crate) fn new(socket: Socket, shared: Rc<Shared>) -> Self {
        Self { socket, frames: Frames::new(), shared }
    }

    fn count(&mut self, length: usize) {
        let Self { socket, frames, shared } = self;
        let now = clock::coarse();
        let mut budget = shared.budget.borrow_mut();
        frames.read(&socket.filled()[..length], |kind| {
            if kind == Kind::Content {
                shared.content_came.set(true);
            }
            if !budget.takes(kind, now) {
                shared.flooded.set(true);
            }
        });
    }

    fn wrote(&self, wrote: &Poll<io::Result<usize>>) {
        match wrote {
            Poll::Ready(Ok(count)) => {
                self.shared.is_blocked.set(false);
                self.shared.written.set(self.shared.written.get() + *count as u64);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.shared.is_blocked.set(true),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.shared.flooded.get() {
            // The connection's own task says so and closes; until then nothing more is read.
            return Poll::Pending;
        }
        let left = this.shared.turn_bytes.get();
        if left == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.socket.filled().is_empty() && ready!(this.socket.poll_fill(context, BUFFER_BYTES))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let length = this.socket.filled().len().min(room.remaining()).min(left);
        this.count(length);
        room.put_slice(&this.socket.filled()[..length]);
        this.socket.consume(length);
        this.socket.rest();
        this.shared.turn_bytes.set(left - length);
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
        let this = self.get_mut();
        let wrote = this.socket.poll_write(context, parts);
        this.wrote(&wrote);
        wrote
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written the kernel has; TLS may have something to say of its own.
        self.get_mut().socket.poll_output(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().socket.poll_shutdown(context)
    }
}
