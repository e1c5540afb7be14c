//! A connection behind TLS: puts what goes over it through a [`Session`]. Knows no cipher and no certificate; holds a
//! buffer only while part of a record waits for the rest, so that an idle connection costs what its session does.

use crate::buffer::{Buffer, Held};
use std::fmt::Debug;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tentpole_model::{HandshakeFault, Tls, TlsFault};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What a session holds on the heap while nothing is under way: measured with rustls 0.23 as what an idle connection costs
/// more than one in the clear.
const SESSION_BYTES: usize = 8 * 1024;

/// Turns the bytes of a connection into what they mean, and back. Does no input or output of its own.
pub trait Session: Debug + Send {
    /// Takes bytes that arrived; returns how many. Fewer than all when content has to be read first.
    ///
    /// # Errors
    /// When they are not what the protocol allows. What the other side is told of it waits in the output.
    fn take(&mut self, arrived: &[u8]) -> io::Result<usize>;
    /// Bytes of content that wait to be read.
    fn content(&self) -> usize;
    /// Moves content out; returns how much.
    ///
    /// # Errors
    /// When there is none.
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize>;
    /// The other side has said that nothing more comes (close_notify).
    fn has_ended(&self) -> bool;
    /// Takes content to send; returns how much. None while too much output waits.
    ///
    /// # Errors
    /// Once it has failed.
    fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Whether bytes wait to be sent.
    fn has_output(&self) -> bool;
    /// Writes them, once; returns how many went out.
    ///
    /// # Errors
    /// Those of `to`.
    fn put_out(&mut self, to: &mut dyn Write) -> io::Result<usize>;
    /// Says that nothing more is sent (close_notify).
    fn end(&mut self);
    /// Whether content cannot be sent yet.
    fn is_handshaking(&self) -> bool;
    /// The protocol that both sides chose (ALPN, RFC 7301).
    fn alpn(&self) -> Option<&[u8]>;
    /// What was agreed on, once it was.
    fn facts(&self) -> Option<Tls>;
    /// Why it failed, when it has, and we answer visitors.
    fn fault(&self) -> Option<HandshakeFault>;
    /// Why it failed, when it has, and we ask an endpoint.
    fn endpoint_fault(&self) -> Option<TlsFault>;
}

/// A session and the bytes on their way to it.
#[derive(Debug)]
pub(crate) struct Secure {
    pub(crate) session: Box<dyn Session>,
    /// What arrived and the session has not taken.
    arrived: Option<Buffer>,
    /// Bytes of content that the session took of the write under way.
    taken: usize,
    /// The other side shall see it broken off, not ended.
    pub(crate) breaks: bool,
    _held: Held,
}

impl Secure {
    /// A session whose first bytes are in `arrived`.
    pub(crate) fn new(session: Box<dyn Session>, arrived: Option<Buffer>) -> Self {
        let arrived = arrived.filter(|arrived| !arrived.is_empty());
        Self { session, arrived, taken: 0, breaks: false, _held: Held::new(SESSION_BYTES) }
    }

    /// Ready when bytes are there for [`Secure::poll_step`].
    pub(crate) fn poll_arrival(&self, stream: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.arrived.is_some() { Poll::Ready(Ok(())) } else { stream.poll_read_ready(context) }
    }

    /// Takes what has arrived and answers it; ready with false at the end of input.
    pub(crate) fn poll_step(
        &mut self,
        stream: &mut TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<bool>> {
        if self.arrived.is_none() {
            let mut arrived = Buffer::take();
            if ready!(read(stream, context, &mut arrived))? == 0 {
                return Poll::Ready(Ok(false));
            }
            self.arrived = Some(arrived);
        }
        let taken = self.take_arrived();
        if self.session.content() == 0 {
            // A refusal is told too; what does not go out now goes before the next wait. What comes before an answer to
            // this content goes out with the answer.
            let _ = self.poll_output(stream, context)?;
        }
        Poll::Ready(taken.map(|()| true))
    }

    /// Hands what arrived to the session, until there is content or nothing is left.
    fn take_arrived(&mut self) -> io::Result<()> {
        while let Some(arrived) = &mut self.arrived {
            let count = self.session.take(arrived.filled())?;
            arrived.consume(count);
            if arrived.is_empty() {
                self.arrived = None;
            } else if count == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if self.session.content() > 0 || self.session.has_ended() {
                break;
            }
        }
        Ok(())
    }

    /// Reads content into the buffer; ready with 0 when the other side has ended properly.
    pub(crate) fn poll_fill(
        &mut self,
        stream: &mut TcpStream,
        context: &mut Context<'_>,
        buffer: &mut Option<Buffer>,
        bytes_max: usize,
    ) -> Poll<io::Result<usize>> {
        loop {
            if self.session.content() > 0 {
                let buffer = buffer.get_or_insert_with(Buffer::take);
                if buffer.is_full() && !buffer.grow(bytes_max) {
                    return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
                }
                let count = self.session.read(buffer.spare())?;
                buffer.fill(count);
                return Poll::Ready(Ok(count));
            }
            if self.session.has_ended() {
                return Poll::Ready(Ok(0));
            }
            if self.arrived.is_none() {
                // Before waiting: the other side may wait for it. What a response follows goes out with that.
                let _ = self.poll_output(stream, context)?;
                ready!(stream.poll_read_ready(context))?;
            }
            if !ready!(self.poll_step(stream, context))? {
                // Not ended by the protocol: whoever needs to know whether all came must not take it for that.
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sends content; ready once all that was taken of it is with the kernel. After pending, the next call must begin
    /// with the same bytes.
    pub(crate) fn poll_write(
        &mut self,
        stream: &mut TcpStream,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let empty = parts.iter().all(|part| part.is_empty());
        loop {
            if self.taken == 0 && !empty {
                self.taken = self.session.write(parts)?;
            }
            ready!(self.poll_output(stream, context))?;
            if self.taken > 0 || empty {
                return Poll::Ready(Ok(std::mem::take(&mut self.taken)));
            }
        }
    }

    /// Sends all that waits to be sent.
    pub(crate) fn poll_output(
        &mut self,
        stream: &mut TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.session.has_output() {
            match self.session.put_out(&mut Out { stream, context }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Says that nothing more is sent, and sends it.
    pub(crate) fn poll_end(
        &mut self,
        stream: &mut TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.session.end();
        self.poll_output(stream, context)
    }

    /// Whether nothing arrived but what the session itself needs: a new ticket, for example. Never waits.
    pub(crate) fn is_clean(&mut self, stream: &TcpStream) -> bool {
        let mut scrap = [0; 4096];
        loop {
            if self.session.content() > 0 || self.session.has_ended() || self.arrived.is_some() {
                return false;
            }
            match stream.try_read(&mut scrap) {
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
                Ok(0) => return false,
                Ok(count) => {
                    if !matches!(self.session.take(&scrap[..count]), Ok(taken) if taken == count) {
                        return false;
                    }
                }
            }
        }
    }

    /// The last words, as far as they go out at once: without them the other side could not tell the end from a
    /// connection that was cut.
    pub(crate) fn say_end(&mut self, stream: &TcpStream) {
        if self.breaks || self.taken > 0 {
            return;
        }
        self.session.end();
        while self.session.has_output() && matches!(self.session.put_out(&mut Last(stream)), Ok(1..)) {}
    }
}

fn read(stream: &mut TcpStream, context: &mut Context<'_>, into: &mut Buffer) -> Poll<io::Result<usize>> {
    let mut room = ReadBuf::new(into.spare());
    ready!(Pin::new(stream).poll_read(context, &mut room))?;
    let count = room.filled().len();
    into.fill(count);
    Poll::Ready(Ok(count))
}

/// Writes to the kernel; what would wait is an error.
struct Out<'a, 'b> {
    stream: &'a mut TcpStream,
    context: &'a mut Context<'b>,
}

impl Write for Out<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write(self.context, bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.stream).poll_write_vectored(self.context, parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn now<T>(polled: Poll<io::Result<T>>) -> io::Result<T> {
    match polled {
        Poll::Ready(done) => done,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Writes what the kernel takes at once.
struct Last<'a>(&'a TcpStream);

impl Write for Last<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
