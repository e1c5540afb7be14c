//! One connection to an endpoint: dial, write, read a response's head and its body, in the protocol that is spoken on it.
//! Says of each failure whether the request may be sent again. Never retries by itself.

use crate::dial;
use crate::fastcgi::FastCgi;
use crate::http1::Http1;
use crate::local;
use crate::opening::Opening;
use crate::parked::Parked;
use crate::secure;
use crate::send::{Framed, Part, Request};
use crate::source::Sources;
use crate::watch::Watch;
use std::borrow::Cow;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tentpole_http1::{BodyDecoder, BodyLimits, Framing, Piece, keeps_alive_response, response_framing};
use tentpole_message::{Fields, ResponseHead};
use tentpole_model::{
    AT_UNIX_SOCKET, Cause, Endpoint, Failure, Method, Phase, Retry, Scheme, Side, TlsFault,
};
use tentpole_runtime::Cell;
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::secure::Session;
use tentpole_runtime::socket::Socket;
use tokio::net::TcpStream;

/// A connection to an endpoint.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    /// Counts it as open until it is dropped.
    opening: Opening,
    address: SocketAddr,
    /// Requests sent on it before the present one.
    pub served: u32,
    /// Since when it is idle, and what was seen of it.
    pub(crate) watch: Watch,
    wire: Wire,
}

/// What is spoken on it. Each protocol is a file of its own; here is only which one it is.
#[derive(Debug)]
enum Wire {
    Http1(Http1),
    FastCgi(Box<FastCgi>),
}

/// The body of a response on its way in.
#[derive(Debug)]
pub struct ResponseBody {
    reading: Reading,
    /// How it is framed, in HTTP/1.1's words: `None` is no body, `Chunked` one whose length is not known before its end.
    pub framing: Framing,
    /// Content seen so far, in bytes.
    pub bytes_seen: u64,
}

/// Where it ends, by the protocol that it comes over.
#[derive(Debug)]
enum Reading {
    Http1(BodyDecoder),
    /// The connection itself knows where it ends.
    Records {
        is_done: bool,
    },
    /// The codec of HTTP/2 knows where it ends.
    Stream {
        is_done: bool,
        trailers: Option<Box<Fields>>,
    },
}

impl Connection {
    /// Dials one of the endpoint's addresses from one of the sources, or its Unix socket, and takes the connection behind TLS
    /// where there is a session: within `timeout` for all of that.
    pub async fn dial(
        opening: Opening,
        (endpoint, addresses): (&Endpoint, &[SocketAddr]),
        (sources, session): (&Sources, Option<Box<dyn Session>>),
        timeout: Duration,
        deadline: &Deadline,
    ) -> Result<Self, Failure> {
        deadline.set_in(timeout);
        let (stream, address, opening) = match endpoint.unix_socket() {
            None => {
                let connect = |address| sources.connect(address);
                dial::first_of(addresses, opening, connect, deadline).await.map_err(not_connected)?
            }
            Some(path) => {
                let stream = local::connect(path, deadline).await.map_err(not_connected)?;
                (stream, AT_UNIX_SOCKET, opening)
            }
        };
        let mut socket = Socket::new(stream);
        if let Some(session) = session {
            secure::shake_hands(&mut socket, session, deadline).await.map_err(not_connected)?;
        }
        opening.cell().connects.fetch_add(1, Relaxed);
        Ok(Self {
            socket,
            opening,
            address,
            served: 0,
            watch: Watch::default(),
            wire: match endpoint.scheme {
                Scheme::Http | Scheme::Https => Wire::Http1(Http1::new()),
                Scheme::FastCgi => Wire::FastCgi(Box::new(FastCgi::new(endpoint.connections_max.is_some()))),
            },
        })
    }

    /// Takes the idle connection from its thread; it comes back when it cannot leave.
    #[allow(clippy::result_large_err, reason = "it is handed back, not an error that travels")]
    pub(crate) fn detached(self) -> Result<Parked, Self> {
        let Wire::Http1(_) = &self.wire else { return Err(self) };
        let Some(stream) = self.socket.to_std() else { return Err(self) };
        let Self { opening, address, served, watch, .. } = self;
        Ok(Parked { stream, opening, address, served, watch })
    }

    /// Makes a connection this thread's, unless it was closed on its way.
    pub(crate) fn attached(parked: Parked) -> Option<Self> {
        let Parked { stream, opening, address, served, watch } = parked;
        // The reactor of this thread has not looked at it yet.
        let is_open = matches!(stream.peek(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock);
        let stream = TcpStream::from_std(stream).ok().filter(|_| is_open)?;
        let (socket, wire) = (Socket::new(stream), Wire::Http1(Http1::new()));
        Some(Self { socket, opening, address, served, watch, wire })
    }

    /// Closes an idle connection so that its local port is free at once: without the minute that the kernel keeps it for
    /// what may still be on its way (TIME_WAIT, RFC 9293 section 3.6.1).
    pub fn frees_port(mut self) {
        self.socket.break_on_close();
    }

    /// Whether no other connection to the endpoint may be opened now.
    pub(crate) fn is_last(&self) -> bool {
        self.opening.is_last()
    }

    /// Whose connection this is.
    pub fn cell(&self) -> &Arc<Cell> {
        self.opening.cell()
    }

    /// Where it leads: the address that was dialed.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether it can be used for another request: open, and without a byte that nobody asked for.
    pub fn is_clean(&mut self) -> bool {
        self.socket.is_clean()
    }

    /// Whether nothing has arrived, not even its end, by what the kernel knows this moment. One system call.
    pub(crate) fn is_quiet(&self) -> bool {
        self.socket.is_quiet()
    }

    /// Writes once of what [`Connection::begin`] gave.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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

    /// Begins a request: what is to be written before its content, which may be the head as it is.
    ///
    /// # Errors
    /// When its protocol cannot say it; nothing was sent then.
    pub fn begin<'a>(&mut self, request: &Request<'a>) -> Result<Cow<'a, [u8]>, Failure> {
        match &mut self.wire {
            Wire::Http1(_) => Ok(Cow::Borrowed(request.head)),
            Wire::FastCgi(fastcgi) => fastcgi.begin(request).map(Cow::Owned),
        }
    }

    /// Whether the visitor waits to be asked for the content of the request that was begun, and the endpoint will not ask.
    pub fn wants_continue(&self) -> bool {
        match &self.wire {
            Wire::Http1(_) => false,
            Wire::FastCgi(fastcgi) => fastcgi.expects_continue,
        }
    }

    /// Begins a piece of the request's content, whose framing is that of [`Request::framing`].
    pub fn frame(&mut self, framed: &mut Framed, framing: Framing, part: Part<'_>) {
        framed.clear();
        match &mut self.wire {
            Wire::Http1(_) => Http1::frame(framed, framing, part),
            Wire::FastCgi(_) => FastCgi::frame(framed, framing, part),
        }
    }

    /// Writes once of a piece that was begun and has something left; says how many bytes went out.
    pub fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        framed: &mut Framed,
        content: &[u8],
    ) -> Poll<io::Result<usize>> {
        let (mut parts, written) = framed.parts(content);
        let mut left = &mut parts[..];
        IoSlice::advance_slices(&mut left, written);
        let wrote = ready!(self.socket.poll_write(context, left));
        if let Ok(count) = wrote {
            framed.wrote(count);
        }
        Poll::Ready(wrote)
    }

    /// Reads a response's head. Interim responses (1xx) are heads too; the caller asks again after one.
    pub fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Failure>> {
        match &mut self.wire {
            Wire::Http1(http1) => http1.poll_head(context, &mut self.socket, head),
            Wire::FastCgi(fastcgi) => fastcgi.poll_head(context, &mut self.socket, head),
        }
        .map_err(|failure| self.told(failure))
    }

    /// The body that belongs to a head which answers `method`.
    ///
    /// # Errors
    /// When two readers could disagree where it ends.
    pub fn body(&self, head: &ResponseHead, method: Method) -> Result<ResponseBody, Failure> {
        match &self.wire {
            Wire::Http1(_) => ResponseBody::of(head, method),
            Wire::FastCgi(fastcgi) => {
                let reading = Reading::Records { is_done: fastcgi.is_done() };
                Ok(ResponseBody { reading, framing: fastcgi.framing(head, method), bytes_seen: 0 })
            }
        }
    }

    /// Whether the answer whose head was read is what the path in its `Location` is answered, which a script may say (RFC 3875
    /// section 6.2.2).
    pub fn redirects_locally(&self) -> bool {
        matches!(&self.wire, Wire::FastCgi(fastcgi) if fastcgi.redirects_locally())
    }

    /// Whether it may serve again once this body was read.
    pub fn keeps_alive(&self, head: &ResponseHead, body: &ResponseBody, method: Method) -> bool {
        match &self.wire {
            Wire::Http1(_) => method != Method::Connect && keeps_alive_response(head, body.framing),
            Wire::FastCgi(fastcgi) => fastcgi.keeps_alive(),
        }
    }

    /// The next piece of a response's body. Its bytes lie in [`Connection::filled`]; consume skip and length
    /// together before the next call.
    pub fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        body: &mut ResponseBody,
    ) -> Poll<Result<Piece, Failure>> {
        match (&mut self.wire, &mut body.reading) {
            (Wire::Http1(_), Reading::Http1(decoder)) => {
                Http1::poll_piece(context, &mut self.socket, decoder, &mut body.bytes_seen)
            }
            (Wire::FastCgi(fastcgi), Reading::Records { is_done }) => {
                let piece = ready!(fastcgi.poll_piece(context, &mut self.socket, &mut body.bytes_seen));
                *is_done |= piece == Ok(Piece::End);
                Poll::Ready(piece)
            }
            // A body is of the connection that it was made by.
            _ => Poll::Ready(Err(never(Phase::ReadBody, Cause::Malformed))),
        }
        .map_err(|failure| self.told(failure))
    }

    /// A failure with what TLS says of it. With TLS 1.3 an endpoint refuses our certificate only after the first request
    /// went out, and has not read that then (RFC 8446 section 4.4.2.4).
    fn told(&self, failure: Failure) -> Failure {
        match self.socket.endpoint_fault() {
            None => failure,
            Some(fault @ TlsFault::ClientCertificate) if self.served == 0 => {
                Failure::upstream(Phase::Connect, Retry::Unsent, Cause::Tls(fault))
            }
            Some(fault) => Failure { source: Cause::Tls(fault), ..failure },
        }
    }

    /// Stays with a request whose answer nobody waits for any more until the endpoint is done with it, as far as that shows: it
    /// answers, or ends the connection. It is told by the end of what we send (FIN), which applications that look see as that
    /// of their visitor; but not for longer than `time`.
    pub async fn until_done(mut self, time: Duration) {
        let deadline = Deadline::new();
        deadline.set_in(time);
        let _ = deadline.guard(|context| self.socket.poll_shutdown(context)).await;
        let _ = deadline.guard(|context| self.socket.poll_discard(context)).await;
    }

    /// The socket, for a tunnel.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }
}

impl ResponseBody {
    /// One that comes over HTTP/2.
    pub(crate) fn of_stream(framing: Framing, is_done: bool) -> Self {
        Self { reading: Reading::Stream { is_done, trailers: None }, framing, bytes_seen: 0 }
    }

    /// All of that came.
    pub(crate) fn end_stream(&mut self, came: Option<Fields>) {
        self.reading = Reading::Stream { is_done: true, trailers: came.map(Box::new) };
    }

    /// Whether as much came as was announced, if anything was.
    pub(crate) fn is_complete(&self) -> bool {
        !matches!(self.framing, Framing::Length(length) if length != self.bytes_seen)
    }

    /// One that comes over no connection, of a head that is ours and answers `method`: it says how it is framed, and no more.
    ///
    /// # Errors
    /// When two readers could disagree where it ends.
    pub fn of_ours(head: &ResponseHead, method: Method) -> Result<Self, Failure> {
        Self::of(head, method)
    }

    /// The body that belongs to a head of HTTP/1.1 which answers `method`.
    ///
    /// # Errors
    /// When two readers could disagree where it ends.
    fn of(head: &ResponseHead, method: Method) -> Result<Self, Failure> {
        let framing = response_framing(head, method).map_err(|_| never(Phase::ReadHead, Cause::Malformed))?;
        let reading = Reading::Http1(BodyDecoder::new(framing, BodyLimits::default()));
        Ok(Self { reading, framing, bytes_seen: 0 })
    }

    /// Whether all of it was read.
    pub fn is_done(&self) -> bool {
        match &self.reading {
            Reading::Stream { is_done, .. } => *is_done,
            Reading::Http1(decoder) => decoder.is_done(),
            Reading::Records { is_done } => *is_done,
        }
    }

    /// Its trailers, once done.
    pub fn trailers(&self) -> Option<&Fields> {
        match &self.reading {
            Reading::Stream { trailers, .. } => trailers.as_deref(),
            Reading::Http1(decoder) => decoder.trailers(),
            Reading::Records { .. } => None,
        }
    }
}

pub(crate) fn never(phase: Phase, source: Cause) -> Failure {
    Failure::upstream(phase, Retry::Never, source)
}

/// Nothing was sent. That this machine has no port left is not the endpoint's fault.
pub(crate) fn not_connected(source: Cause) -> Failure {
    let side = if source == Cause::NoLocalPort { Side::Internal } else { Side::Upstream };
    Failure { side, ..Failure::upstream(Phase::Connect, Retry::Unsent, source) }
}
