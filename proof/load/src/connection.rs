//! One connection of a virtual user: dial, send a request, read its response. Says how a failure is to be counted and
//! whether the other side had answered anything. Never retries.

use crate::hosts::Host;
use crate::http2::Streams;
use crate::result::FailureCause;
use crate::transport::{Transport, Version};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tentpole_http1::{
    BodyDecoder, BodyLimits, Decoded, Framing, Limits, Parsed, keeps_alive_response, parse_response,
    response_framing,
};
use tentpole_message::ResponseHead;
use tentpole_model::Method;
use tentpole_model::TlsFault;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::{Deadline, Expired};
use tentpole_runtime::socket::Socket;

/// Largest head of a response.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Interim responses (1xx) before a final one.
const INTERIM_MAX: usize = 20;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    way: Way,
    /// Where it leads.
    pub to: SocketAddr,
    /// Responses that came on it.
    pub served: u32,
}

/// By which protocol.
#[derive(Debug)]
enum Way {
    Http1(Socket),
    /// Boxed: most visitors have none, and all would have room for it.
    Http2(Box<Streams>),
}

/// What it took to make a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialed {
    /// For TCP; more than nothing.
    pub connect: Duration,
    /// For TLS; nothing in the clear.
    pub handshake: Duration,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// How it is counted.
    pub cause: FailureCause,
    /// Whether a byte of the response had come.
    pub answered: bool,
}

/// What is known once a response was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Bytes of its body.
    pub bytes: u64,
    /// When its first byte was there, by the clock of the thread's turn.
    pub first_byte: Instant,
    /// Whether the connection can be used again.
    pub keeps_alive: bool,
}

impl Connection {
    /// Dials the host's addresses one after the other until `deadline`, which belongs to the caller, from the source
    /// that the visitor of this number has; then goes through the handshakes. When none answers, the first one's failure
    /// counts: with `localhost` the second is another protocol's, where often nobody is.
    pub async fn dial(
        transport: &Transport,
        version: Version,
        host: &Host,
        number: u64,
        deadline: &Deadline,
    ) -> Result<(Self, Dialed), FailureCause> {
        let mut first = None;
        for &address in &host.addresses {
            let begun = clock::now();
            let mut connecting = std::pin::pin!(transport.connect(address, number));
            match deadline.guard(|context| connecting.as_mut().poll(context)).await {
                Ok(Ok(stream)) => {
                    let connect = clock::now().since(begun).max(Duration::from_micros(1));
                    let (way, handshake) =
                        begin(transport, version, host, Socket::new(stream), deadline).await?;
                    return Ok((Self { way, to: address, served: 0 }, Dialed { connect, handshake }));
                }
                Ok(Err(error)) => first = first.or(Some(cause_of(&error))),
                Err(Expired) => return Err(FailureCause::ConnectTimedOut),
            }
        }
        Err(first.unwrap_or(FailureCause::Refused))
    }

    /// Whether it is HTTP/2.
    pub fn is_http2(&self) -> bool {
        matches!(self.way, Way::Http2(_))
    }

    /// The connection without its protocol, for another one; `None` over HTTP/2.
    pub fn into_socket(self) -> Option<Socket> {
        match self.way {
            Way::Http1(socket) => Some(socket),
            Way::Http2(_) => None,
        }
    }

    /// Whether a kept connection can still be used.
    pub fn is_clean(&mut self) -> bool {
        match &mut self.way {
            Way::Http1(socket) => socket.is_clean(),
            Way::Http2(streams) => streams.is_open(),
        }
    }

    /// Sends a request and reads the response: its head into `head`, its body behind what `body` holds, up to
    /// `body_max` bytes; what is more is read and thrown away.
    pub async fn exchange(
        &mut self,
        request: &[u8],
        method: Method,
        head: &mut ResponseHead,
        body: &mut Vec<u8>,
        body_max: usize,
        deadline: &Deadline,
    ) -> Result<Finished, Broken> {
        let socket = match &mut self.way {
            Way::Http1(socket) => socket,
            Way::Http2(streams) => {
                // Boxed: its memory would be in every visitor for good.
                let outcome =
                    Box::pin(streams.exchange(request, method, head, body, body_max, deadline)).await;
                self.served += u32::from(outcome.is_ok());
                return outcome;
            }
        };
        let mut exchange = Exchange {
            request,
            written: 0,
            cut_off: None,
            answered: false,
            first_byte: clock::coarse(),
            interim: 0,
            decoder: None,
            bytes: 0,
        };
        let step = |context: &mut Context<'_>| {
            let outcome = ready!(exchange.poll(context, socket, method, head, body, body_max));
            Poll::Ready(outcome.map_err(|cause| Broken { cause, answered: exchange.answered }))
        };
        let outcome = deadline.guard(step).await;
        // A response that waits in a buffer of its own would cost every idle visitor 16 KB.
        socket.rest();
        match outcome {
            Ok(Ok(finished)) => {
                self.served += 1;
                Ok(finished)
            }
            Ok(Err(broken)) => Err(broken),
            Err(Expired) => Err(Broken { cause: FailureCause::TimedOut, answered: true }),
        }
    }
}

/// TLS, and HTTP/2 where that was agreed on.
async fn begin(
    transport: &Transport,
    version: Version,
    host: &Host,
    mut socket: Socket,
    deadline: &Deadline,
) -> Result<(Way, Duration), FailureCause> {
    let mut handshake = Duration::ZERO;
    let mut is_http2 = version == Version::Http2;
    if let Some(session) = transport.session(&host.name, version)? {
        let begun = clock::now();
        socket.secure(session);
        match deadline.guard(|context| socket.poll_handshake(context)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(handshake_cause(transport, &socket, &error)),
            Err(Expired) => return Err(FailureCause::ConnectTimedOut),
        }
        handshake = clock::now().since(begun).max(Duration::from_micros(1));
        let chosen = socket.alpn() == Some(b"h2");
        if is_http2 && !chosen {
            return Err(FailureCause::Tls);
        }
        is_http2 = chosen;
    }
    let way = match is_http2 {
        true => Way::Http2(Box::new(Streams::begin(socket, transport.tls.is_some()))),
        false => Way::Http1(socket),
    };
    Ok((way, handshake))
}

/// How a handshake that failed is counted.
fn handshake_cause(transport: &Transport, socket: &Socket, error: &io::Error) -> FailureCause {
    use TlsFault::{BadCertificate, Expired, NotYetValid, Untrusted, WrongName};
    match socket.endpoint_fault() {
        Some(fault @ (Untrusted | WrongName | Expired | NotYetValid | BadCertificate)) => {
            transport.disbelief.is(fault);
            FailureCause::Certificate
        }
        Some(_) => FailureCause::Tls,
        None if error.kind() == io::ErrorKind::UnexpectedEof => FailureCause::ClosedEarly,
        None => cause_of(error),
    }
}

struct Exchange<'a> {
    request: &'a [u8],
    written: usize,
    /// Why the rest of the request could not be sent.
    cut_off: Option<FailureCause>,
    answered: bool,
    first_byte: Instant,
    interim: usize,
    decoder: Option<(BodyDecoder, Framing)>,
    bytes: u64,
}

impl Exchange<'_> {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        socket: &mut Socket,
        method: Method,
        head: &mut ResponseHead,
        body: &mut Vec<u8>,
        body_max: usize,
    ) -> Poll<Result<Finished, FailureCause>> {
        while self.written < self.request.len() && self.cut_off.is_none() {
            match ready!(socket.poll_write(context, &[IoSlice::new(&self.request[self.written..])])) {
                Ok(0) => return Poll::Ready(Err(FailureCause::ClosedEarly)),
                Ok(count) => self.written += count,
                // Who answers early may close before he has read everything: the answer is there to be read.
                Err(error) if is_closed(&error) => {
                    self.cut_off = Some(cause_of(&error));
                    break;
                }
                Err(error) => return Poll::Ready(Err(cause_on(socket, &error))),
            }
        }
        loop {
            let used_up = match &mut self.decoder {
                None => self.parse_head(socket, method, head),
                Some((decoder, framing)) => {
                    let framing = *framing;
                    match decoder.decode(socket.filled()) {
                        Err(_) => Err(FailureCause::Malformed),
                        Ok(Decoded::Done { used }) => {
                            socket.consume(used);
                            let keeps_alive = keeps_alive_response(head, framing)
                                && socket.filled().is_empty()
                                && self.cut_off.is_none();
                            return Poll::Ready(Ok(Finished {
                                bytes: self.bytes,
                                first_byte: self.first_byte,
                                keeps_alive,
                            }));
                        }
                        Ok(Decoded::Data { skip, len }) => {
                            let room = body_max.saturating_sub(body.len()).min(len);
                            body.extend_from_slice(&socket.filled()[skip..skip + room]);
                            socket.consume(skip + len);
                            self.bytes += len as u64;
                            Ok(false)
                        }
                        Ok(Decoded::NeedMore { used }) => {
                            socket.consume(used);
                            Ok(true)
                        }
                    }
                }
            };
            match used_up {
                Err(cause) => return Poll::Ready(Err(cause)),
                Ok(false) => continue,
                Ok(true) => {}
            }
            match ready!(socket.poll_fill(context, HEAD_BYTES_MAX + 4_096)) {
                Ok(0) => {
                    let ended =
                        self.decoder.as_mut().is_some_and(|(decoder, _)| decoder.end_of_input().is_ok());
                    let finished =
                        Finished { bytes: self.bytes, first_byte: self.first_byte, keeps_alive: false };
                    return Poll::Ready(if ended { Ok(finished) } else { Err(FailureCause::ClosedEarly) });
                }
                Ok(_) => {
                    if !self.answered {
                        self.first_byte = clock::coarse();
                    }
                    self.answered = true;
                }
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    return Poll::Ready(Err(FailureCause::Malformed));
                }
                Err(error) => return Poll::Ready(Err(cause_on(socket, &error))),
            }
        }
    }

    /// Whether more bytes are needed.
    fn parse_head(
        &mut self,
        socket: &mut Socket,
        method: Method,
        head: &mut ResponseHead,
    ) -> Result<bool, FailureCause> {
        if socket.filled().is_empty() {
            return Ok(true);
        }
        let limits = Limits { head_bytes_max: HEAD_BYTES_MAX, ..Limits::default() };
        match parse_response(socket.filled(), &limits, head) {
            Ok(Parsed::Partial) => Ok(true),
            Ok(Parsed::Complete { head_bytes }) => {
                socket.consume(head_bytes);
                match head.status {
                    101 => Err(FailureCause::Malformed),
                    100..=199 => {
                        self.interim += 1;
                        if self.interim > INTERIM_MAX { Err(FailureCause::Malformed) } else { Ok(false) }
                    }
                    _ => {
                        let framing = response_framing(head, method).map_err(|_| FailureCause::Malformed)?;
                        self.decoder = Some((BodyDecoder::new(framing, BodyLimits::default()), framing));
                        Ok(false)
                    }
                }
            }
            Err(_) => Err(FailureCause::Malformed),
        }
    }
}

/// Whether the other side reads no more.
fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// How an error on a connection is counted.
pub(crate) fn cause_on(socket: &Socket, error: &io::Error) -> FailureCause {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => FailureCause::ClosedEarly,
        _ if socket.endpoint_fault().is_some() => FailureCause::Tls,
        _ => cause_of(error),
    }
}

/// How an error of the system is counted.
pub(crate) fn cause_of(error: &io::Error) -> FailureCause {
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureCause::Refused,
        io::ErrorKind::TimedOut => FailureCause::ConnectTimedOut,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => FailureCause::NoPort,
        _ if error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)) => FailureCause::NoPort,
        _ => FailureCause::Reset,
    }
}
