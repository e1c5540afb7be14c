//! A TCP connection with the bytes read from it, in the clear or behind TLS: the thin boundary behind which the reactor
//! can be changed. Knows no message. Never reads more than its buffer holds, never writes what it was not given.

use crate::buffer::Buffer;
use crate::secure::{Secure, Session};
use rustix::net::{RecvFlags, SendFlags};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tentpole_model::{Cause, HandshakeFault, Tls, TlsFault};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::coop;

/// A connection and what was read from it and not yet used.
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
    /// `None` while nothing is to be read: an idle connection costs no buffer.
    buffer: Option<Buffer>,
    /// `None` in the clear, which costs nothing more than to ask.
    secure: Option<Box<Secure>>,
}

impl Socket {
    /// Takes over a connection; small writes go out at once (TCP_NODELAY).
    pub fn new(stream: TcpStream) -> Self {
        // Fails only on a connection that is already gone, which the next read tells.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: None, secure: None }
    }

    /// From here on everything goes through the session: also what was read and not yet used.
    pub fn secure(&mut self, session: Box<dyn Session>) {
        self.secure = Some(Box::new(Secure::new(session, self.buffer.take())));
    }

    /// Whether it goes through a session.
    pub fn is_secure(&self) -> bool {
        self.secure.is_some()
    }

    /// Ready when something can be read, without reading it: whoever waits needs no buffer.
    pub fn poll_arrival(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.secure {
            Some(secure) => secure.poll_arrival(&self.stream, context),
            None if !self.filled().is_empty() => Poll::Ready(Ok(())),
            None => self.stream.poll_read_ready(context),
        }
    }

    /// Takes one step of the handshake with what has arrived; ready with false at the end of input.
    ///
    /// # Errors
    /// When the handshake fails: [`Socket::fault`] says why, as far as it was the protocol.
    pub fn poll_step(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        match &mut self.secure {
            Some(secure) => secure.poll_step(&mut self.stream, context),
            None => Poll::Ready(Ok(true)),
        }
    }

    /// Goes through the whole handshake; ready once content can be sent.
    pub fn poll_handshake(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.poll_output(context))?;
            if !self.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if !ready!(self.poll_step(context))? {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Sends what the session has to say by itself.
    pub fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.secure {
            Some(secure) => secure.poll_output(&mut self.stream, context),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Whether content cannot be sent yet.
    pub fn is_handshaking(&self) -> bool {
        self.secure.as_ref().is_some_and(|secure| secure.session.is_handshaking())
    }

    /// The protocol that was chosen with the other side (ALPN); `None` in the clear, or when it offered none.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.secure.as_ref()?.session.alpn()
    }

    /// What was agreed on behind TLS.
    pub fn tls(&self) -> Option<Tls> {
        self.secure.as_ref()?.session.facts()
    }

    /// What an error of a connection to an endpoint means: TLS says it better than the system.
    pub fn cause(&self, error: &io::Error) -> Cause {
        self.endpoint_fault().map_or_else(|| Cause::from(error), Cause::Tls)
    }

    /// Why the session with an endpoint failed.
    pub fn endpoint_fault(&self) -> Option<TlsFault> {
        self.secure.as_ref()?.session.endpoint_fault()
    }

    /// Why the session with a visitor failed.
    pub fn fault(&self) -> Option<HandshakeFault> {
        self.secure.as_ref()?.session.fault()
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
    pub fn break_on_close(&mut self) {
        if let Some(secure) = &mut self.secure {
            secure.breaks = true;
        }
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
        if let Some(secure) = &mut self.secure {
            return secure.poll_fill(&mut self.stream, context, &mut self.buffer, bytes_max);
        }
        let progress = ready!(coop::poll_proceed(context));
        loop {
            let buffer = self.buffer.get_or_insert_with(Buffer::take);
            if buffer.is_full() && !buffer.grow(bytes_max) {
                return Poll::Ready(Err(io::ErrorKind::OutOfMemory.into()));
            }
            match read_now(&self.stream, buffer.spare()) {
                Ok(count) => {
                    buffer.fill(count);
                    progress.made_progress();
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            // Who waits holds no buffer.
            self.rest();
            ready!(self.stream.poll_read_ready(context))?;
        }
    }

    /// Writes once, as much as the kernel takes. After pending, the next call must begin with the same bytes: TLS may have
    /// taken them already.
    #[inline]
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(secure) = &mut self.secure {
            return secure.poll_write(&mut self.stream, context, parts);
        }
        let progress = ready!(coop::poll_proceed(context));
        loop {
            match write_now(&self.stream, parts) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                wrote => {
                    progress.made_progress();
                    return Poll::Ready(wrote);
                }
            }
            ready!(self.stream.poll_write_ready(context))?;
        }
    }

    /// Whether an idle connection can still be used: open, and nothing arrived that nobody asked for. Costs a
    /// system call only when the reactor has seen something on it.
    pub fn is_clean(&mut self) -> bool {
        if !self.filled().is_empty() {
            return false;
        }
        if let Some(secure) = &mut self.secure {
            return secure.is_clean(&self.stream);
        }
        let mut byte = [0];
        matches!(self.stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether nothing has arrived on an idle connection, not even its end, by what the kernel knows this moment: the reactor
    /// may not have looked for long. One system call.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0];
        let peeked = rustix::net::recv(&self.stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
        self.filled().is_empty() && matches!(peeked, Err(rustix::io::Errno::WOULDBLOCK))
    }

    /// Says that nothing more will be written.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(secure) = &mut self.secure {
            ready!(secure.poll_end(&mut self.stream, context))?;
        }
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    /// Throws away whatever has arrived, unread; ready with the bytes, 0 at the end of input.
    pub fn poll_discard(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut scrap = [0; 4096];
        let mut room = ReadBuf::new(&mut scrap);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut room))?;
        Poll::Ready(Ok(room.filled().len()))
    }

    /// The connection without its reactor, for another thread's; `None` behind TLS, whose session stays where it is, and
    /// where something was read and not yet used.
    pub fn to_std(&self) -> Option<std::net::TcpStream> {
        if self.secure.is_some() || !self.filled().is_empty() {
            return None;
        }
        Some(self.stream.as_fd().try_clone_to_owned().ok()?.into())
    }

    /// The other side's address.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(secure) = &mut self.secure {
            secure.say_end(&self.stream);
        }
    }
}

/// Reads once, if the reactor says that something is there.
fn read_now(stream: &TcpStream, room: &mut [u8]) -> io::Result<usize> {
    let len = room.len();
    now(stream, Interest::READABLE, len, || Ok(rustix::net::recv(stream, room, RecvFlags::empty())?.1))
}

/// Writes once, if the reactor says that there is room.
fn write_now(stream: &TcpStream, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let len = parts.iter().map(|part| part.len()).sum();
    now(stream, Interest::WRITABLE, len, || match parts {
        [one] => Ok(rustix::net::send(stream, one, SendFlags::NOSIGNAL)?),
        many => Ok(rustix::io::writev(stream, many)?),
    })
}

/// Asks the reactor once and moves at most `len` bytes, where `poll_read` behind `poll_read_ready` asks it twice.
///
/// Less than `len` means that there is no more now. Then the reactor is told so, as the next one would find nothing, at the
/// cost of a system call. (It numbers its reports: one that comes between is not lost.)
fn now(
    stream: &TcpStream,
    interest: Interest,
    len: usize,
    move_bytes: impl FnOnce() -> io::Result<usize>,
) -> io::Result<usize> {
    let mut moved = None;
    let tried = stream.try_io(interest, || {
        let count = move_bytes()?;
        moved = Some(count);
        if count > 0 && count < len { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    });
    match moved {
        Some(count) => Ok(count),
        None => Err(tried.err().unwrap_or_else(|| io::ErrorKind::WouldBlock.into())),
    }
}

/// Moves a list of slices forward by `count` written bytes; returns whether anything is left.
pub fn advance(parts: &mut &mut [IoSlice<'_>], count: usize) -> bool {
    IoSlice::advance_slices(parts, count);
    !parts.is_empty()
}
