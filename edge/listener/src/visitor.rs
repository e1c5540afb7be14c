//! A visitor's connection, or one stream of it: requests to read, bodies to stream, bytes to write, each within its time.
//! Decides nothing about a request beyond whether it is one. Long because a connection and a stream are one thing to all
//! others, and differ in each step.

use crate::accept::{Open, Port};
use crate::discard;
use crate::http2::{self, Came, Stream};
use crate::pace::Pace;
use crate::proxy_protocol::{self, Parsed as Header, Source};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tentpole_http1::{
    self as http1, BodyDecoder, BodyLimits, Decoded, Framing, Limits, Parsed, Piece, parse_request,
};
use tentpole_message::{Fields, RequestHead};
use tentpole_model::{Cause, Failure, Phase, Refused, Tls, Version, VisitorLimits};
use tentpole_runtime::Ledger;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::socket::{Socket, advance};

/// Bytes that somebody may have sent who is looked after while he waits.
const LOOKED_AFTER_MAX: usize = 4096;

/// One visitor's connection, or one of the requests that it carries at once.
#[derive(Debug)]
pub struct Visitor {
    way: Way,
    /// One deadline for all waits of this connection: they never overlap.
    pub deadline: Deadline,
    /// Where the connection comes from.
    pub peer: SocketAddr,
    /// For whom it is: the peer himself, or whom he named by the PROXY protocol.
    pub source: SocketAddr,
    /// The peer speaks for somebody else.
    pub proxied: bool,
    /// The visitor asks by https: he speaks TLS here, or the peer was spoken to by TLS, and says so.
    pub https: bool,
    /// What is spoken on the socket that he came by.
    pub port: Port,
    /// What the TLS handshake came to.
    pub tls: Option<Tls>,
    /// He only listens from now on (server-sent events): when nothing more can come from him, he has left. Elsewhere who has
    /// said all may still wait for his answer (RFC 9112 section 9.6).
    pub listens: bool,
    limits: VisitorLimits,
    codec: Limits,
    /// Requests served before the present one.
    pub served: u32,
    /// When the present request's first byte was seen.
    pub arrived: Instant,
    /// Of a connection of its own; that of a stream is with its connection.
    open: Option<Open>,
    /// How the present request's body comes.
    sends: Pace,
    /// How its response is taken.
    takes: Pace,
}

/// By what a request comes and its response goes.
#[derive(Debug)]
enum Way {
    /// A connection, request after request.
    Http1(Socket),
    /// One stream of a connection that carries many.
    Http2(Box<Stream>),
}

/// What is known of a visitor before his first request, and the same for each.
#[derive(Clone, Copy, Debug)]
pub struct Guise {
    peer: SocketAddr,
    source: SocketAddr,
    proxied: bool,
    https: bool,
    port: Port,
    tls: Option<Tls>,
    limits: VisitorLimits,
}

/// What a visitor does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A request; its head was read.
    Request,
    /// Nothing more, and nothing to answer.
    Gone,
    /// HTTP/2: what was read is the beginning of it.
    Http2,
    /// Something that must be refused; the connection cannot go on.
    Refused(Refused),
}

/// The body of a request on its way in.
#[derive(Debug)]
pub struct RequestBody {
    decoder: BodyDecoder,
    /// How it is framed.
    pub framing: Framing,
    /// Content seen so far, in bytes.
    pub bytes_seen: u64,
    bytes_max: u64,
    /// Its end was handed out, so its last piece was used too: the decoder is done when it has seen that piece.
    ended: bool,
    /// What came behind it, in HTTP/2.
    late: Option<Box<Fields>>,
}

/// Why a body could not be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum BodyError {
    /// The visitor sent what we refuse.
    Refused(Refused),
    /// The connection failed.
    Failed(Failure),
}

impl Visitor {
    /// A connection that was just accepted.
    pub fn new(socket: Socket, port: Port, open: Open, limits: VisitorLimits) -> Self {
        let unknown = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let peer = socket.peer().unwrap_or(unknown);
        let guise = Guise { peer, source: peer, proxied: false, https: false, port, tls: None, limits };
        Self { open: Some(open), ..Self::of(Way::Http1(socket), guise) }
    }

    /// One request of a connection that carries many, which has begun `served` before it.
    pub fn of_stream(stream: Stream, guise: Guise, served: u64) -> Self {
        let served = u32::try_from(served).unwrap_or(u32::MAX);
        Self { served, ..Self::of(Way::Http2(Box::new(stream)), guise) }
    }

    fn of(way: Way, guise: Guise) -> Self {
        let Guise { peer, source, proxied, https, port, tls, limits } = guise;
        let codec = limits_of_heads(&limits);
        Self {
            way,
            deadline: Deadline::new(),
            peer,
            source,
            proxied,
            https,
            port,
            tls,
            listens: false,
            limits,
            codec,
            served: 0,
            arrived: clock::coarse(),
            open: None,
            sends: Pace::default(),
            takes: Pace::default(),
        }
    }

    /// The same connection, which speaks HTTP/2 from its first unread byte on, and what is known of the visitor. `None`
    /// for a stream.
    pub fn into_http2(self, ledger: Arc<Ledger>) -> Option<(http2::Connection, Guise)> {
        let Self { way, peer, source, proxied, https, port, tls, limits, open, .. } = self;
        let guise = Guise { peer, source, proxied, https, port, tls, limits };
        match (way, open) {
            (Way::Http1(socket), Some(open)) => {
                Some((http2::Connection::new(socket, open, limits, ledger), guise))
            }
            _ => None,
        }
    }

    /// What is spoken on it; HTTP/1.0 shows only in a request.
    pub fn version(&self) -> Version {
        match self.way {
            Way::Http1(_) => Version::Http11,
            Way::Http2(_) => Version::Http2,
        }
    }

    /// Waits until something of the next request is there; false when nothing comes any more. Holds no buffer
    /// while it waits. Ended early by `deadline::expire_idle`.
    pub async fn awaits_request(&mut self) -> bool {
        let Way::Http1(socket) = &mut self.way else { return self.served == 0 };
        if !socket.filled().is_empty() {
            self.arrived = clock::coarse();
            return true;
        }
        socket.rest();
        let first = self.served == 0;
        self.deadline.set_idle_in(if first { self.limits.head_time } else { self.limits.idle_time });
        let bytes_max = self.limits.head_bytes_max;
        let filled = self.deadline.guard(|context| socket.poll_fill(context, bytes_max)).await;
        self.arrived = clock::coarse();
        matches!(filled, Ok(Ok(count)) if count > 0)
    }

    /// Reads the PROXY protocol's header, with which a connection of a trusted peer must begin where that is said. Takes
    /// what it says of the visitor; false when the peer left before all of it was there.
    ///
    /// # Errors
    /// When it is another beginning, or takes longer than [`VisitorLimits::head_time`].
    pub async fn read_proxy_header(&mut self) -> Result<bool, Refused> {
        let Way::Http1(socket) = &mut self.way else { return Err(Refused::ProxyHeader) };
        // Once for the whole header: a byte now and then does not buy more time.
        self.deadline.set_in(self.limits.head_time);
        loop {
            let filled = socket.filled();
            match proxy_protocol::parse(filled) {
                Ok(Header::Whole { bytes, source, https }) => {
                    socket.consume(bytes);
                    self.https = https;
                    self.proxied = source != Source::Balancer;
                    if let Source::Address(address) = source {
                        self.source = SocketAddr::new(address.ip().to_canonical(), address.port());
                    }
                    return Ok(true);
                }
                Ok(Header::Partial) => {}
                Err(proxy_protocol::Malformed) => return Err(Refused::ProxyHeader),
            }
            let bytes_max = self.limits.head_bytes_max.max(proxy_protocol::V2_BYTES_MAX);
            match self.deadline.guard(|context| socket.poll_fill(context, bytes_max)).await {
                Ok(Ok(0)) | Ok(Err(_)) => return Ok(false),
                Ok(Ok(_)) => {}
                Err(_) => return Err(Refused::HeadTimeout),
            }
        }
    }

    /// Reads the request's head, of which something is there: within [`VisitorLimits::head_time`].
    pub async fn read_head(&mut self, head: &mut RequestHead) -> Next {
        (self.sends, self.takes) = (Pace::default(), Pace::default());
        let socket = match &mut self.way {
            Way::Http1(socket) => socket,
            Way::Http2(stream) => {
                return match stream.read_head(head, &self.codec) {
                    Ok(()) => Next::Request,
                    Err(refused) => Next::Refused(refused),
                };
            }
        };
        let mut waited = false;
        loop {
            match parse_request(socket.filled(), &self.codec, head) {
                Ok(Parsed::Complete { head_bytes }) => {
                    socket.consume(head_bytes);
                    return Next::Request;
                }
                Ok(Parsed::Partial) => {}
                // Only at the beginning: behind a request, a proxy in front could be made to send it.
                Err(_)
                    if self.served == 0
                        && self.tls.is_none()
                        && self.limits.http2_without_tls
                        && socket.filled().starts_with(http2::PREFACE_BEGINS) =>
                {
                    return Next::Http2;
                }
                Err(refused) => return Next::Refused(refused),
            }
            if !waited {
                waited = true;
                // Once for the whole head: a byte now and then does not buy more time.
                self.deadline.set_in(self.limits.head_time);
            }
            // Room for the largest head and for the body bytes that came with it.
            let bytes_max = self.limits.head_bytes_max + 4096;
            match self.deadline.guard(|context| socket.poll_fill(context, bytes_max)).await {
                Ok(Ok(0)) | Ok(Err(_)) => return Next::Gone,
                Ok(Ok(_)) => {}
                Err(_) => return Next::Refused(Refused::HeadTimeout),
            }
        }
    }

    /// How the body of the request is framed whose head was read.
    ///
    /// # Errors
    /// When that is not clear.
    pub fn framing(&self, head: &RequestHead) -> Result<Framing, Refused> {
        match &self.way {
            Way::Http1(_) => http1::request_framing(head),
            Way::Http2(stream) => stream.framing(head),
        }
    }

    /// The bytes at hand.
    pub fn filled(&self) -> &[u8] {
        match &self.way {
            Way::Http1(socket) => socket.filled(),
            Way::Http2(stream) => stream.filled(),
        }
    }

    /// Marks bytes at hand as used.
    pub fn consume(&mut self, count: usize) {
        match &mut self.way {
            Way::Http1(socket) => socket.consume(count),
            Way::Http2(stream) => stream.consume(count),
        }
    }

    /// Gives the read buffer back when it is empty.
    pub fn rest(&mut self) {
        if let Way::Http1(socket) = &mut self.way {
            socket.rest();
        }
    }

    /// The next piece of the request's body, no slower than [`VisitorLimits::pace_min`]. Its bytes lie in
    /// [`Visitor::filled`]; [`Visitor::consume`] skip and length together before the next call.
    pub fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        body: &mut RequestBody,
    ) -> Poll<Result<Piece, BodyError>> {
        let polled = self.poll_any_piece(context, body);
        match &polled {
            Poll::Pending => self.sends.waits(clock::coarse()),
            Poll::Ready(Ok(Piece::Data { len, .. }))
                if !self.sends.moved(*len as u64, clock::coarse(), &self.limits) =>
            {
                return Poll::Ready(Err(BodyError::Refused(Refused::BodyTooSlow)));
            }
            Poll::Ready(_) => {}
        }
        polled
    }

    fn poll_any_piece(
        &mut self,
        context: &mut Context<'_>,
        body: &mut RequestBody,
    ) -> Poll<Result<Piece, BodyError>> {
        let failed = |source| BodyError::Failed(Failure::visitor(Phase::SendBody, source));
        let socket = match &mut self.way {
            Way::Http1(socket) => socket,
            Way::Http2(stream) => return body.poll_stream(context, stream),
        };
        loop {
            match body.decoder.decode(socket.filled()) {
                Err(_) => return Poll::Ready(Err(BodyError::Refused(Refused::Chunk))),
                Ok(Decoded::Done { used }) => {
                    socket.consume(used);
                    body.ended = true;
                    return Poll::Ready(Ok(Piece::End));
                }
                Ok(Decoded::Data { skip, len }) => {
                    body.bytes_seen += len as u64;
                    if body.bytes_seen > body.bytes_max {
                        return Poll::Ready(Err(BodyError::Refused(Refused::BodyTooLarge)));
                    }
                    return Poll::Ready(Ok(Piece::Data { skip, len }));
                }
                Ok(Decoded::NeedMore { used }) => socket.consume(used),
            }
            match ready!(socket.poll_fill(context, self.limits.head_bytes_max)) {
                Ok(0) => return Poll::Ready(Err(failed(Cause::Closed))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(failed(Cause::from(&error)))),
            }
        }
    }

    /// Writes all parts; each pause is bounded by [`VisitorLimits::stall_time`], all of them together by
    /// [`VisitorLimits::pace_min`]. Returns the bytes written.
    pub async fn write(&mut self, parts: &mut [IoSlice<'_>]) -> Result<u64, Failure> {
        let mut parts = parts;
        let mut written = 0;
        let mut waited = false;
        let mut taken = 0;
        while !parts.is_empty() {
            // The first write hardly ever waits: no deadline is set for it.
            let step = std::future::poll_fn(|context| match self.way.poll_write(context, parts) {
                Poll::Ready(wrote) => Poll::Ready(Some(wrote)),
                Poll::Pending if waited => self.deadline.poll_expired(context).map(|_| None),
                Poll::Pending => {
                    waited = true;
                    self.takes.waits(clock::coarse());
                    taken = self.way.written();
                    self.deadline.set_in(self.limits.stall_time);
                    self.deadline.poll_expired(context).map(|_| None)
                }
            })
            .await;
            waited = false;
            match step {
                Some(Ok(0)) => return Err(self.lost(written, Cause::Closed)),
                Some(Ok(count)) => {
                    written += count as u64;
                    // Of many requests on one connection, each waits while the others are answered.
                    let moved = (count as u64).max(self.way.written().saturating_sub(taken));
                    if !self.takes.moved(moved, clock::coarse(), &self.limits) {
                        return Err(self.lost(written, Cause::TooSlow));
                    }
                    if !advance(&mut parts, count) {
                        break;
                    }
                }
                Some(Err(error)) => return Err(self.lost(written, Cause::from(&error))),
                None => return Err(self.lost(written, Cause::TimedOut)),
            }
        }
        Ok(written)
    }

    /// These fields follow the body, where the version has a place for them behind a body that is not chunked.
    pub fn set_trailers(&mut self, trailers: &Fields) {
        if let Way::Http2(stream) = &mut self.way {
            stream.set_trailers(trailers);
        }
    }

    /// The response was written to its end.
    #[inline]
    pub fn end(&mut self) {
        if let Way::Http2(stream) = &mut self.way {
            stream.end();
        }
    }

    /// Ready once it is known, without reading, that nobody wants the response any more.
    #[inline]
    pub fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.way {
            Way::Http1(socket) if self.listens && socket.filled().is_empty() => {
                match ready!(socket.poll_fill(context, self.limits.head_bytes_max)) {
                    Ok(0) | Err(_) => Poll::Ready(()),
                    // The next request: it has to wait.
                    Ok(_) => Poll::Pending,
                }
            }
            Way::Http1(_) => Poll::Pending,
            Way::Http2(stream) => stream.poll_gone(context),
        }
    }

    /// Ready once the visitor has left while he waits for an answer: he closed the connection, or his half of it as who will
    /// not read on does, or took the request back. Keeps what he sends meanwhile; who has sent more than a little is no longer
    /// looked after.
    pub fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let socket = match &mut self.way {
            Way::Http1(socket) => socket,
            Way::Http2(stream) => return stream.poll_gone(context),
        };
        while socket.filled().len() < LOOKED_AFTER_MAX {
            match ready!(socket.poll_fill(context, 64 << 10)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }

    /// The challenge that an endpoint must answer before this becomes a tunnel, where the handshake is ours.
    pub fn challenge(&self) -> Option<&str> {
        match &self.way {
            Way::Http1(_) => None,
            Way::Http2(stream) => stream.challenge(),
        }
    }

    /// It was answered.
    pub fn open_tunnel(&mut self) {
        if let Way::Http2(stream) = &mut self.way {
            stream.open_tunnel();
        }
    }

    /// When the connection is closed, the visitor shall see it broken and not ended. A stream always does that.
    pub fn break_on_close(&mut self) {
        if let Way::Http1(socket) = &mut self.way {
            socket.break_on_close();
        }
    }

    /// He asks nothing more for a while: a connection that carries many requests ends soon after this one, unless another comes.
    pub fn rests(&self) {
        if let Way::Http2(stream) = &self.way {
            stream.rests();
        }
    }

    /// After a refusal: says that nothing more comes and reads on for a moment, so that the refusal arrives
    /// instead of a reset.
    pub async fn linger(mut self) {
        self.deadline.set_in(discard::TIME);
        let Self { way: Way::Http1(socket), deadline, .. } = &mut self else { return };
        let _ = deadline.guard(|context| socket.poll_shutdown(context)).await;
        let mut left = discard::Left::all();
        while let Ok(Ok(count @ 1..)) = deadline.guard(|context| socket.poll_discard(context)).await
            && left.goes_on_after(count)
        {}
    }

    /// For a tunnel: reads what comes next; ready with 0 at its end.
    pub fn poll_fill(&mut self, context: &mut Context<'_>, bytes_max: usize) -> Poll<io::Result<usize>> {
        match &mut self.way {
            Way::Http1(socket) => socket.poll_fill(context, bytes_max),
            Way::Http2(stream) => stream.poll_fill(context),
        }
    }

    /// For a tunnel: writes once, as much as can be written now.
    pub fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.way.poll_write(context, parts)
    }

    /// For a tunnel: says that nothing more will be written.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.way {
            Way::Http1(socket) => socket.poll_shutdown(context),
            Way::Http2(stream) => {
                stream.end();
                Poll::Ready(Ok(()))
            }
        }
    }

    /// The socket, and the deadline of what is waited for on it; `None` for a stream.
    pub(crate) fn parts(&mut self) -> Option<(&mut Socket, &Deadline)> {
        match &mut self.way {
            Way::Http1(socket) => Some((socket, &self.deadline)),
            Way::Http2(_) => None,
        }
    }

    /// Whether HTTP/2 was agreed on with TLS (ALPN, RFC 9113 section 3.2).
    pub fn chose_http2(&self) -> bool {
        matches!(&self.way, Way::Http1(socket) if socket.alpn() == Some(b"h2"))
    }

    /// How long a handshake may take, as a head.
    pub(crate) fn head_time(&self) -> std::time::Duration {
        self.limits.head_time
    }

    /// How long this connection's peer may stand still.
    pub fn stall_time(&self) -> std::time::Duration {
        self.limits.stall_time
    }

    fn lost(&self, written: u64, source: Cause) -> Failure {
        Failure { bytes_sent: written, ..Failure::visitor(Phase::Deliver, source) }
    }
}

impl Way {
    /// Bytes written to a connection that carries many requests.
    #[inline]
    fn written(&self) -> u64 {
        match self {
            Self::Http1(_) => 0,
            Self::Http2(stream) => stream.connection_written(),
        }
    }

    #[inline]
    fn poll_write(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Self::Http1(socket) => socket.poll_write(context, parts),
            Self::Http2(stream) => stream.poll_write(context, parts),
        }
    }
}

/// What a visitor's head may have, as the codec wants it.
pub fn limits_of_heads(limits: &VisitorLimits) -> Limits {
    Limits { head_bytes_max: limits.head_bytes_max, fields_max: limits.fields_max, ..Limits::default() }
}

impl RequestBody {
    /// A body of this framing, of at most `bytes_max` of content.
    pub fn new(framing: Framing, bytes_max: u64) -> Result<Self, Refused> {
        if matches!(framing, Framing::Length(length) if length > bytes_max) {
            return Err(Refused::BodyTooLarge);
        }
        let decoder = BodyDecoder::new(framing, BodyLimits::default());
        let ended = decoder.is_done();
        Ok(Self { decoder, framing, bytes_seen: 0, bytes_max, ended, late: None })
    }

    /// No body.
    pub fn none() -> Self {
        let decoder = BodyDecoder::new(Framing::None, BodyLimits::default());
        Self { decoder, framing: Framing::None, bytes_seen: 0, bytes_max: 0, ended: true, late: None }
    }

    /// Whether all of it was read and used: what follows in the buffer is another request.
    pub fn is_done(&self) -> bool {
        self.ended
    }

    /// Its trailers, once done.
    pub fn trailers(&self) -> Option<&Fields> {
        self.late.as_deref().or_else(|| self.decoder.trailers())
    }

    /// The next piece of one that frames bring: as long as was announced, or it is none.
    fn poll_stream(
        &mut self,
        context: &mut Context<'_>,
        stream: &mut Stream,
    ) -> Poll<Result<Piece, BodyError>> {
        if self.ended {
            return Poll::Ready(Ok(Piece::End));
        }
        let announced = if let Framing::Length(length) = self.framing { Some(length) } else { None };
        Poll::Ready(match ready!(stream.poll_body(context)) {
            Came::Content => {
                let len = stream.filled().len();
                self.bytes_seen += len as u64;
                if self.bytes_seen > self.bytes_max {
                    Err(BodyError::Refused(Refused::BodyTooLarge))
                } else if announced.is_some_and(|length| self.bytes_seen > length) {
                    Err(BodyError::Refused(Refused::ContentLength))
                } else {
                    Ok(Piece::Data { skip: 0, len })
                }
            }
            Came::End(_) if announced.is_some_and(|length| self.bytes_seen < length) => {
                Err(BodyError::Refused(Refused::ContentLength))
            }
            Came::End(trailers) => {
                self.ended = true;
                self.late = trailers.map(Box::new);
                Ok(Piece::End)
            }
            Came::Broken => Err(BodyError::Failed(Failure::visitor(Phase::SendBody, Cause::Closed))),
            Came::Refused(refused) => Err(BodyError::Refused(refused)),
        })
    }
}

impl From<io::Error> for BodyError {
    fn from(error: io::Error) -> Self {
        Self::Failed(Failure::visitor(Phase::SendBody, Cause::from(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Doors;
    use std::future::poll_fn;
    use tentpole_runtime::Ledger;
    use tokio::io::AsyncWriteExt;

    #[tokio::test(flavor = "current_thread")]
    async fn a_body_is_not_done_before_its_last_piece_was_used() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let (doors, _handovers) = Doors::new(1, 1, Ledger::new(1 << 20));
        let open = doors.enter(0, IpAddr::V4(Ipv4Addr::LOCALHOST)).unwrap();
        let mut visitor = Visitor::new(Socket::new(stream), Port::Clear, open, VisitorLimits::default());
        let mut body = RequestBody::new(Framing::Length(5), 5).unwrap();
        client.write_all(b"helloGET / HTTP/1.1\r\n").await.unwrap();

        let piece = poll_fn(|context| visitor.poll_piece(context, &mut body)).await;
        assert_eq!(piece, Ok(Piece::Data { skip: 0, len: 5 }));
        // An exchange that fails now leaves these bytes behind: they are no request.
        assert!(!body.is_done());
        visitor.consume(5);
        let piece = poll_fn(|context| visitor.poll_piece(context, &mut body)).await;
        assert_eq!(piece, Ok(Piece::End));
        assert!(body.is_done() && visitor.filled().starts_with(b"GET"));
    }
}
