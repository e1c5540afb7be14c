//! A TCP connection with the bytes read from it: the thin boundary behind which the reactor can be changed.
//! Knows no message. Never reads more than its buffer holds, never writes what it was not given.

use crate::buffer::Buffer;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection and what was read from it and not yet used.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// `None` while nothing is to be read: an idle connection costs no buffer.
    buffer: Option<Buffer>,
}

impl Socket {
    /// Takes over a connection; small writes go out at once (TCP_NODELAY).
    pub fn new(stream: TcpStream) -> Self {
        // Fails only on a connection that is already gone, which the next read tells.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: None }
    }

    /// What was read and not yet used.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        self.buffer.as_ref().map_or(&[], Buffer::filled)
    }

    /// Marks the first `count` bytes as used.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        if let Some(buffer) = &mut self.buffer {
            buffer.consume(count);
        }
    }

    /// When the connection is closed, the peer shall see it broken (RST) and not ended (FIN): for a body that lasts until
    /// the end of the connection, and broke off.
    pub fn break_on_close(&self) {
        // Fails only on a connection that is already gone.
        let _ = self.stream.set_zero_linger();
    }

    /// Gives an empty buffer back to the pool.
    #[inline]
    pub fn rest(&mut self) {
        if self.buffer.as_ref().is_some_and(Buffer::is_empty) {
            self.buffer = None;
        }
    }

    /// Reads once into the buffer; ready with 0 at the end of input. A full buffer first grows, up to
    /// `bytes_max`; beyond it the error is `OutOfMemory`.
    pub fn poll_fill(&mut self, context: &mut Context<'_>, bytes_max: usize) -> Poll<io::Result<usize>> {
        if self.buffer.is_none() {
            // A buffer only once there is something to read.
            ready!(self.stream.poll_read_ready(context))?;
        }
        let buffer = self.buffer.get_or_insert_with(Buffer::take);
        if buffer.is_full() && !buffer.grow(bytes_max) {
            return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
        }
        let mut room = ReadBuf::new(buffer.spare());
        let polled = Pin::new(&mut self.stream).poll_read(context, &mut room);
        let count = room.filled().len();
        match polled {
            Poll::Ready(Ok(())) => {
                buffer.fill(count);
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.rest();
                Poll::Pending
            }
        }
    }

    /// Writes once, as much as the kernel takes.
    #[inline]
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match parts {
            [one] => Pin::new(&mut self.stream).poll_write(context, one),
            many => Pin::new(&mut self.stream).poll_write_vectored(context, many),
        }
    }

    /// Whether an idle connection can still be used: open, and nothing arrived that nobody asked for. Costs a
    /// system call only when the reactor has seen something on it.
    pub fn is_clean(&mut self) -> bool {
        if !self.filled().is_empty() {
            return false;
        }
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// Throws away whatever has arrived; ready with false at the end of input.
    pub fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut scrap = [0; 4096];
        let mut room = ReadBuf::new(&mut scrap);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut room))?;
        Poll::Ready(Ok(!room.filled().is_empty()))
    }

    /// The other side's address.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

/// Moves a list of slices forward by `count` written bytes; returns whether anything is left.
pub fn advance(parts: &mut &mut [IoSlice<'_>], count: usize) -> bool {
    IoSlice::advance_slices(parts, count);
    !parts.is_empty()
}
