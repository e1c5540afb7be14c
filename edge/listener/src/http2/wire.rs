//! The socket as the frame codec wants it, with an eye on what passes: frames are counted, and one turn reads so much
//! and no more, so that a connection that sends without end leaves room for others. At the end it reads on for a moment,
//! so that the last words arrive.
//!
//! What is written is gathered: the codec flushes behind each frame of content, and a system call and a record of TLS for
//! each would cost more than the frames. The connection's task sends what was gathered before it waits ([`Pipe::poll_send`]).

use crate::discard;
use crate::http2::account::Shared;
use crate::http2::frames::{Frames, Kind};
use crate::http2::gather::Pipe;
use h2::Reason;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tentpole_runtime::buffer::BUFFER_BYTES;
use tentpole_runtime::clock;
use tentpole_runtime::deadline::Deadline;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that one turn reads.
pub(crate) const TURN_BYTES_MAX: usize = 64 * 1024;

/// A visitor's socket under a codec.
#[derive(Debug)]
pub(crate) struct Wire {
    pipe: Rc<Pipe>,
    frames: Frames,
    shared: Rc<Shared>,
    /// Once everything was said: until when, and how much, what still comes is thrown away.
    discard: Option<(Deadline, discard::Left)>,
}

impl Wire {
    pub(crate) fn new(pipe: Rc<Pipe>, shared: Rc<Shared>) -> Self {
        Self { pipe, frames: Frames::new(), shared, discard: None }
    }

    /// Counts the frames in the next bytes; returns how many of these may be read.
    fn count(&mut self, bytes: &[u8]) -> usize {
        let Self { frames, shared, .. } = self;
        let now = clock::coarse();
        let mut budget = shared.budget.borrow_mut();
        let read = frames.read(bytes, |kind| {
            if kind == Kind::Content {
                shared.content_came.set(true);
            }
            if !budget.takes(kind, now) {
                shared.flooded.set(true);
            }
        });
        if shared.flooded.get() {
            shared.ends_for.set(Some(Reason::ENHANCE_YOUR_CALM));
        }
        read.map_or_else(
            |wrong| {
                shared.ends_for.set(shared.ends_for.get().or(Some(wrong.reason)));
                wrong.before
            },
            |()| bytes.len(),
        )
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.shared.ends_for.get().is_some() {
            // The connection's own task says so and closes; until then nothing more is read.
            return Poll::Pending;
        }
        let left = this.shared.turn_bytes.get();
        if left == 0 {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let pipe = this.pipe.clone();
        let socket = &mut *pipe.socket.borrow_mut();
        if socket.filled().is_empty() && ready!(socket.poll_fill(context, BUFFER_BYTES))? == 0 {
            return Poll::Ready(Ok(()));
        }
        let length = socket.filled().len().min(room.remaining()).min(left);
        let good = this.count(&socket.filled()[..length]);
        room.put_slice(&socket.filled()[..good]);
        socket.consume(length);
        socket.rest();
        this.shared.turn_bytes.set(left - length);
        if good == 0 {
            // To be asked once more, and not to look like the end.
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
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
        self.get_mut().pipe.poll_gather(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.discard.is_none() {
            ready!(this.pipe.poll_send(context))?;
            this.shared.end_all();
            ready!(this.pipe.socket.borrow_mut().poll_shutdown(context))?;
            let deadline = Deadline::new();
            deadline.set_in(discard::TIME);
            this.discard = Some((deadline, discard::Left::all()));
        }
        let Some((deadline, left)) = &mut this.discard else { return Poll::Ready(Ok(())) };
        while deadline.poll_expired(context).is_pending() {
            match ready!(this.pipe.socket.borrow_mut().poll_discard(context)) {
                Ok(count @ 1..) if left.goes_on_after(count) => {}
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
