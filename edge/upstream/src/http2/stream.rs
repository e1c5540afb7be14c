//! One request on a connection of HTTP/2, as a connection of its own: its head and content go out, the response's come in.
//! Says of each failure whether the endpoint can have seen the request. Takes the request back when dropped before its end.

use crate::connection::{ResponseBody, never};
use crate::http2::account::Piece as Outgoing;
use crate::http2::carriers::Place;
use crate::http2::head;
use crate::send::{Framed, Part, Request};
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{Reason, RecvStream, SendStream};
use http::Response;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tentpole_http1::{Framing, Piece};
use tentpole_message::ResponseHead;
use tentpole_model::{Cause, Failure, Method, Phase, Retry};
use tentpole_runtime::Cell;
use tentpole_runtime::clock::{self, Instant};

/// Bytes of content that are copied at once: a frame.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// Without a byte for so long, a connection whose request was given up takes no other.
const SILENCE_MAX: Duration = Duration::from_secs(2);

/// One request.
#[derive(Debug)]
pub struct Stream {
    place: Place,
    id: u32,
    began: Instant,
    send: Option<h2::client::SendRequest<Outgoing>>,
    sending: Option<SendStream<Outgoing>>,
    response: Option<ResponseFuture>,
    /// The response's head, until its body is asked for.
    head: Option<Response<()>>,
    incoming: Option<RecvStream>,
    /// Content that came and was not used.
    piece: Bytes,
}

impl Stream {
    pub(crate) fn new(place: Place) -> Self {
        Self {
            place,
            id: 0,
            began: clock::coarse(),
            send: None,
            sending: None,
            response: None,
            head: None,
            incoming: None,
            piece: Bytes::new(),
        }
    }

    /// Returns once the connection stands.
    ///
    /// # Errors
    /// Why it does not: nothing was sent.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        self.send = Some(poll_fn(|context| self.place.0.poll_open(context)).await?);
        Ok(())
    }

    pub(crate) fn cell(&self) -> &Arc<Cell> {
        &self.place.0.cell
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.place.0.address()
    }

    pub(crate) fn filled(&self) -> &[u8] {
        &self.piece
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.piece = self.piece.split_off(count);
        if let Some(incoming) = &mut self.incoming {
            // Fails only when more is given back than came.
            let _ = incoming.flow_control().release_capacity(count);
            self.place.0.account.used(count as u64);
        }
    }

    /// Sends the head.
    pub(crate) fn begin(&mut self, request: &Request<'_>) -> Result<(), Failure> {
        let inexpressible = Failure::internal(Phase::SendHead, Cause::Malformed);
        let (Some(send), https) = (&mut self.send, self.place.0.https) else { return Err(inexpressible) };
        let lines = head::request(request.head, https).ok_or(inexpressible)?;
        let is_over = request.framing == Framing::None;
        self.began = clock::coarse();
        let begun = send.send_request(lines, is_over);
        // A connection that ended meanwhile has seen nothing of this request.
        let (response, sending) =
            begun.map_err(|error| Failure::upstream(Phase::SendHead, Retry::Unsent, self.cause(&error)))?;
        self.id = response.stream_id().as_u32();
        self.response = Some(response);
        self.sending = (!is_over).then_some(sending);
        self.send = None;
        Ok(())
    }

    /// Begins a piece. The end needs no room, so it is sent at once.
    pub(crate) fn frame(&mut self, part: Part<'_>) {
        if let Part::End(trailers) = part
            && let Some(mut sending) = self.sending.take()
        {
            // Fails only on a request that is over; the response says so.
            let _ = match trailers.map(head::map).filter(|map| !map.is_empty()) {
                Some(trailers) => sending.send_trailers(trailers),
                None => sending.send_data(Outgoing::empty(), true),
            };
        }
    }

    pub(crate) fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        framed: &mut Framed,
        content: &[u8],
    ) -> Poll<io::Result<usize>> {
        let left = &content[content.len() - framed.left(content)..];
        let gone = || Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        let Some(sending) = &mut self.sending else { return gone() };
        let wanted = left.len().min(PIECE_BYTES_MAX);
        sending.reserve_capacity(wanted);
        while sending.capacity() == 0 {
            match ready!(sending.poll_capacity(context)) {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return gone(),
            }
        }
        let count = wanted.min(sending.capacity());
        let piece = Outgoing::copied(&left[..count], &self.place.0.account);
        if sending.send_data(piece, false).is_err() {
            return gone();
        }
        framed.wrote(count);
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), Failure>> {
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(never(Phase::ReadHead, Cause::Closed)));
        };
        let too_large = || Poll::Ready(Err(never(Phase::ReadHead, Cause::TooLarge)));
        if let Poll::Ready(Some(Ok(interim))) = response.poll_informational(context) {
            return if head::fill(&interim, head) { Poll::Ready(Ok(())) } else { too_large() };
        }
        let came = match ready!(Pin::new(response).poll(context)) {
            Ok(came) => came,
            Err(error) => {
                let failure = Failure::upstream(Phase::FirstByte, self.retry(&error), self.cause(&error));
                return Poll::Ready(Err(failure));
            }
        };
        self.response = None;
        let (parts, mut incoming) = came.into_parts();
        self.place.0.account.receive(self.id, incoming.flow_control().clone());
        let came = Response::from_parts(parts, ());
        self.incoming = Some(incoming);
        if !head::fill(&came, head) {
            return too_large();
        }
        self.head = Some(came);
        Poll::Ready(Ok(()))
    }

    pub(crate) fn body(&mut self, method: Method) -> Result<ResponseBody, Failure> {
        let is_over = self.incoming.as_ref().is_none_or(RecvStream::is_end_stream);
        let framing = self.head.take().and_then(|head| head::framing(&head, method, is_over));
        let framing = framing.ok_or_else(|| never(Phase::ReadHead, Cause::Malformed))?;
        Ok(ResponseBody::of_stream(framing, is_over || framing == Framing::None))
    }

    /// The next piece; the trailers go into the body.
    pub(crate) fn poll_piece(
        &mut self,
        context: &mut Context<'_>,
        body: &mut ResponseBody,
    ) -> Poll<Result<Piece, Failure>> {
        let Some(incoming) = self.incoming.as_mut().filter(|_| !body.is_done()) else {
            return Poll::Ready(Ok(Piece::End));
        };
        while self.piece.is_empty() {
            match ready!(incoming.poll_data(context)) {
                Some(Ok(piece)) => self.piece = piece,
                // After a whole response: the rest of the request is not wanted (RFC 9113 section 8.1).
                Some(Err(error)) if is_no_error(&error) && body.is_complete() => {
                    body.end_stream(None);
                    return Poll::Ready(Ok(Piece::End));
                }
                Some(Err(error)) => {
                    return Poll::Ready(Err(never(Phase::ReadBody, self.cause(&error))));
                }
                None => {
                    let trailers = match ready!(incoming.poll_trailers(context)) {
                        Ok(trailers) => trailers,
                        Err(error) => {
                            return Poll::Ready(Err(never(Phase::ReadBody, self.cause(&error))));
                        }
                    };
                    let trailers = match trailers.as_ref().map(head::trailers) {
                        Some(None) => return Poll::Ready(Err(never(Phase::ReadBody, Cause::TooLarge))),
                        trailers => trailers.flatten(),
                    };
                    body.end_stream(trailers);
                    return Poll::Ready(Ok(Piece::End));
                }
            }
        }
        let len = self.piece.len();
        body.bytes_seen += len as u64;
        Poll::Ready(Ok(Piece::Data { skip: 0, len }))
    }

    /// Whether the endpoint can have seen the request, when there is no response: not when it was refused, nor when the
    /// endpoint said that it looks at none from an earlier one on (RFC 9113 section 8.7).
    fn retry(&self, error: &h2::Error) -> Retry {
        let refused = error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM);
        let beyond = self.place.0.seen.last_stream.get().is_some_and(|last| self.id > last);
        if refused || beyond { Retry::Unsent } else { Retry::IfSafe }
    }

    fn cause(&self, error: &h2::Error) -> Cause {
        if let Some(cause) = self.place.0.seen.cause.get() {
            return cause;
        }
        match error.get_io() {
            Some(io) => Cause::from(io),
            None if error.is_go_away() && error.is_remote() => Cause::Closed,
            None if error.is_remote() => Cause::Io(io::ErrorKind::ConnectionReset),
            None => Cause::Malformed,
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let carrier = &self.place.0;
        // Nothing came for so long, on the whole connection: perhaps nothing ever will, and nobody else shall wait for it.
        let quiet_since = carrier.seen.alive_at.get().max(self.began);
        if self.response.is_some() && clock::coarse().since(quiet_since) >= SILENCE_MAX {
            carrier.retire();
        }
        // Before the body itself goes: who counts it must not be the last who holds it.
        carrier.account.forget(self.id);
        if let Some(sending) = &mut self.sending {
            sending.send_reset(Reason::CANCEL);
        }
    }
}

fn is_no_error(error: &h2::Error) -> bool {
    error.is_reset() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}
