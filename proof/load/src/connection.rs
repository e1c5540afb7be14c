//! One connection of a virtual user: dial, send a request, read its response. Says how a failure is to be counted and
//! whether the other side had answered anything. Never retries.

use crate::result::FailureCause;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};
use tentpole_http1::{
    BodyDecoder, BodyLimits, Decoded, Framing, Limits, Parsed, keeps_alive_response, parse_response,
    response_framing,
};
use tentpole_message::ResponseHead;
use tentpole_model::Method;
use tentpole_runtime::deadline::{Deadline, Expired};
use tentpole_runtime::socket::Socket;
use tokio::net::TcpStream;

/// Largest head of a response.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Interim responses (1xx) before a final one.
const INTERIM_MAX: usize = 20;

/// A connection.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    /// Where it leads.
    pub to: SocketAddr,
    /// Responses that came on it.
    pub served: u32,
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
    /// Whether the connection can be used again.
    pub keeps_alive: bool,
}

impl Connection {
    /// Dials the addresses one after the other until `deadline`, which belongs to the caller. When none answers, the
    /// first one's failure counts: with `localhost` the second is another protocol's, where often nobody is.
    pub async fn dial(addresses: &[SocketAddr], deadline: &Deadline) -> Result<Self, FailureCause> {
        let mut first = None;
        for &address in addresses {
            let mut connecting = std::pin::pin!(TcpStream::connect(address));
            match deadline.guard(|context| connecting.as_mut().poll(context)).await {
                Ok(Ok(stream)) => return Ok(Self { socket: Socket::new(stream), to: address, served: 0 }),
                Ok(Err(error)) => first = first.or(Some(cause_of(&error))),
                Err(Expired) => return Err(FailureCause::ConnectTimedOut),
            }
        }
        Err(first.unwrap_or(FailureCause::Refused))
    }

    /// Whether a kept connection can still be used.
    pub fn is_clean(&mut self) -> bool {
        self.socket.is_clean()
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
        let mut exchange = Exchange {
            request,
            written: 0,
            cut_off: None,
            answered: false,
            interim: 0,
            decoder: None,
            bytes: 0,
        };
        let step = |context: &mut Context<'_>| {
            let outcome = ready!(exchange.poll(context, &mut self.socket, method, head, body, body_max));
            Poll::Ready(outcome.map_err(|cause| Broken { cause, answered: exchange.answered }))
        };
        let outcome = deadline.guard(step).await;
        // A response that waits in a buffer of its own would cost every idle visitor 16 KB.
        self.socket.rest();
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

struct Exchange<'a> {
    request: &'a [u8],
    written: usize,
    /// Why the rest of the request could not be sent.
    cut_off: Option<FailureCause>,
    answered: bool,
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
                Err(error) => return Poll::Ready(Err(cause_of(&error))),
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
                            return Poll::Ready(Ok(Finished { bytes: self.bytes, keeps_alive }));
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
                    let finished = Finished { bytes: self.bytes, keeps_alive: false };
                    return Poll::Ready(if ended { Ok(finished) } else { Err(FailureCause::ClosedEarly) });
                }
                Ok(_) => self.answered = true,
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    return Poll::Ready(Err(FailureCause::Malformed));
                }
                Err(error) => return Poll::Ready(Err(cause_of(&error))),
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

/// How an error of the system is counted.
fn cause_of(error: &io::Error) -> FailureCause {
    const TOO_MANY_FILES: [i32; 2] = [23, 24];
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FailureCause::Refused,
        io::ErrorKind::TimedOut => FailureCause::ConnectTimedOut,
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => FailureCause::NoPort,
        _ if error.raw_os_error().is_some_and(|code| TOO_MANY_FILES.contains(&code)) => FailureCause::NoPort,
        _ => FailureCause::Reset,
    }
}
