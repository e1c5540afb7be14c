//! One request on a connection that carries many, as a connection of its own: its head, its body piece by piece, and bytes
//! of a response written for HTTP/1.1, which become frames. Breaks off what was not said to be ended.

use crate::http2::account::{Piece, Shared};
use crate::http2::{request, response};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, StatusCode};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tentpole_http1::{Framing, Limits};
use tentpole_message::{Fields, RequestHead};
use tentpole_model::Refused;

/// Bytes of content in one frame at most, and so what is copied at once.
const PIECE_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a response's head at most: what an endpoint may send and what we add.
const HEAD_BYTES_MAX: usize = 1 << 20;

/// One request, and the way of its response.
#[derive(Debug)]
pub struct Stream {
    id: u32,
    shared: Rc<Shared>,
    /// Until its head was read.
    request: Option<Request<()>>,
    incoming: RecvStream,
    /// Content that was received and not yet used.
    piece: Bytes,
    /// It had no content when it came, nor may it have.
    came_ended: bool,
    tunnel: Tunnel,
    head_only: bool,
    outgoing: Outgoing,
    /// The response's head as far as it was written.
    lines: Vec<u8>,
    /// Content that is left of what the head announced.
    left: Option<u64>,
    trailers: Option<Fields>,
}

#[derive(Debug)]
enum Outgoing {
    /// Its head was not sent.
    Head(SendResponse<Piece>),
    /// Its content is being sent.
    Content(SendStream<Piece>),
    /// Nothing more is sent.
    Over,
}

/// Whether the request asks to become a tunnel (RFC 8441).
#[derive(Debug)]
enum Tunnel {
    No,
    /// The challenge that the endpoint must answer.
    Asked(String),
    Open,
}

/// What a body brought next.
#[derive(Debug)]
pub(crate) enum Came {
    /// Content: see [`Stream::filled`].
    Content,
    /// Its end.
    End(Option<Fields>),
    /// It broke off.
    Broken,
    /// Trailers that we refuse.
    Refused(Refused),
}

impl Stream {
    /// Nothing more comes on its connection for a while.
    pub(crate) fn rests(&self) {
        self.shared.rests.set(true);
    }

    pub(crate) fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Piece>,
        shared: Rc<Shared>,
        key: impl FnOnce() -> String,
    ) -> Self {
        let (parts, mut incoming) = request.into_parts();
        let request = Request::from_parts(parts, ());
        let tunnel = if request::asks_for_websocket(&request) { Tunnel::Asked(key()) } else { Tunnel::No };
        let (id, came_ended) = (respond.stream_id().as_u32(), incoming.is_end_stream());
        shared.begin();
        if !came_ended {
            shared.receive(id, incoming.flow_control().clone());
        }
        let outgoing = Outgoing::Head(respond);
        Self {
            id,
            shared,
            request: Some(request),
            incoming,
            piece: Bytes::new(),
            came_ended,
            tunnel,
            head_only: false,
            outgoing,
            lines: Vec::new(),
            left: None,
            trailers: None,
        }
    }

    /// Fills `head`, as strictly as HTTP/1.1's parser.
    pub(crate) fn read_head(&mut self, head: &mut RequestHead, limits: &Limits) -> Result<(), Refused> {
        let request = self.request.take().ok_or(Refused::Malformed)?;
        self.head_only = request.method() == http::Method::HEAD;
        request::fill(&request, self.challenge(), limits, head)
    }

    /// How the body is framed towards an endpoint.
    pub(crate) fn framing(&self, head: &RequestHead) -> Result<Framing, Refused> {
        request::framing(head, !matches!(self.tunnel, Tunnel::No), self.came_ended)
    }

    /// The challenge of a WebSocket's handshake, when this is one: an endpoint's 101 must answer it.
    pub(crate) fn challenge(&self) -> Option<&str> {
        match &self.tunnel {
            Tunnel::Asked(key) => Some(key),
            Tunnel::No | Tunnel::Open => None,
        }
    }

    /// The challenge was answered: a response that says success opens the tunnel.
    pub(crate) fn open_tunnel(&mut self) {
        self.tunnel = Tunnel::Open;
    }

    /// Content at hand.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.piece
    }

    /// Marks content as used, and lets as much more come.
    pub(crate) fn consume(&mut self, count: usize) {
        self.piece = self.piece.split_off(count);
        // Fails only when more is given back than came.
        let _ = self.incoming.flow_control().release_capacity(count);
    }

    /// What the body brings next, once what came before was used.
    pub(crate) fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Came> {
        loop {
            if !self.piece.is_empty() {
                return Poll::Ready(Came::Content);
            }
            match ready!(self.incoming.poll_data(context)) {
                Some(Ok(piece)) => self.piece = piece,
                Some(Err(_)) => return Poll::Ready(Came::Broken),
                None => break,
            }
        }
        Poll::Ready(match ready!(self.incoming.poll_trailers(context)) {
            Ok(None) => Came::End(None),
            Ok(Some(map)) => match request::trailers(&map) {
                Ok(fields) => Came::End(Some(fields)),
                Err(refused) => Came::Refused(refused),
            },
            Err(_) => Came::Broken,
        })
    }

    /// For a tunnel: the next content; ready with 0 at its end.
    pub(crate) fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match ready!(self.poll_body(context)) {
            Came::Content => Poll::Ready(Ok(self.piece.len())),
            Came::End(_) => Poll::Ready(Ok(0)),
            Came::Broken | Came::Refused(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    /// Writes some of `parts`: lines of a head until it ends, then content.
    pub(crate) fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &self.outgoing {
            Outgoing::Head(_) => Poll::Ready(self.write_lines(parts)),
            Outgoing::Content(_) => self.poll_write_content(context, parts),
            Outgoing::Over if self.left == Some(0) => Poll::Ready(Err(io::ErrorKind::InvalidInput.into())),
            Outgoing::Over => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    /// Bytes written to the visitor, over all requests of the connection.
    pub(crate) fn connection_written(&self) -> u64 {
        self.shared.written.get()
    }

    /// These follow the content.
    pub(crate) fn set_trailers(&mut self, trailers: &Fields) {
        self.trailers = Some(trailers.clone());
    }

    /// All was written that there is. What the head announced and did not come breaks the response off.
    pub(crate) fn end(&mut self) {
        if matches!(self.left, None | Some(0))
            && let Outgoing::Content(sending) = &mut self.outgoing
        {
            // Fails only on a stream that is already gone.
            let _ = match &self.trailers {
                Some(trailers) => sending.send_trailers(response::trailers(trailers)),
                None => sending.send_data(self.shared.piece(Bytes::new()), true),
            };
            self.outgoing = Outgoing::Over;
            self.shared.budget.borrow_mut().answered();
        }
    }

    /// Ready once the visitor takes his request back, or the connection is gone.
    pub(crate) fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.outgoing {
            Outgoing::Head(respond) => respond.poll_reset(context).map(drop),
            Outgoing::Content(sending) => sending.poll_reset(context).map(drop),
            Outgoing::Over => Poll::Pending,
        }
    }

    fn write_lines(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut used = 0;
        for part in parts {
            let before = self.lines.len();
            self.lines.extend_from_slice(part);
            if let Some(end) = response::end(&self.lines, before) {
                used += end - before;
                self.lines.truncate(end);
                self.send_head()?;
                return Ok(used);
            }
            used += part.len();
            if self.lines.len() > HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(used)
    }

    fn send_head(&mut self) -> io::Result<()> {
        let lines = Bytes::from(std::mem::take(&mut self.lines));
        let response = response::read(lines).ok_or(io::ErrorKind::InvalidData)?;
        let status = response.status();
        let Outgoing::Head(respond) = &mut self.outgoing else { return Ok(()) };
        if status.is_informational() {
            return respond.send_informational(response).map_err(gone);
        }
        // It would open a tunnel to somebody who knows of none.
        if status.is_success() && self.challenge().is_some() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let is_empty = self.head_only || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.left = if is_empty { Some(0) } else { response::length(&response) };
        let is_end = self.left == Some(0);
        let Outgoing::Head(respond) = &mut self.outgoing else { return Ok(()) };
        let sending = respond.send_response(response, is_end).map_err(gone)?;
        self.outgoing = if is_end { Outgoing::Over } else { Outgoing::Content(sending) };
        if is_end {
            self.shared.budget.borrow_mut().answered();
        }
        Ok(())
    }

    fn poll_write_content(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Outgoing::Content(sending) = &mut self.outgoing else { return Poll::Pending };
        let total: usize = parts.iter().map(|part| part.len()).sum();
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.left.is_some_and(|left| (total as u64) > left) {
            // More than the head announced: a fault of ours, and no visitor shall see where it leads.
            sending.send_reset(Reason::INTERNAL_ERROR);
            self.outgoing = Outgoing::Over;
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if self.shared.is_over.get() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let room = self.shared.room(context);
        if room == 0 {
            // To hear of a reset too.
            return match sending.poll_reset(context) {
                Poll::Ready(_) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                Poll::Pending => Poll::Pending,
            };
        }
        let wanted = total.min(room).min(PIECE_BYTES_MAX);
        sending.reserve_capacity(wanted);
        let mut capacity = sending.capacity();
        while capacity == 0 {
            match ready!(sending.poll_capacity(context)) {
                Some(Ok(_)) => capacity = sending.capacity(),
                Some(Err(error)) => return Poll::Ready(Err(gone(error))),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
        let count = wanted.min(capacity);
        let piece = self.shared.piece(copied(parts, count));
        let left = self.left.map(|left| left - count as u64);
        let is_end = left == Some(0);
        sending.send_data(piece, is_end).map_err(gone)?;
        self.left = left;
        if is_end {
            self.outgoing = Outgoing::Over;
            self.shared.budget.borrow_mut().answered();
        }
        Poll::Ready(Ok(count))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        match &mut self.outgoing {
            Outgoing::Head(respond) => respond.send_reset(Reason::INTERNAL_ERROR),
            Outgoing::Content(sending) => sending.send_reset(Reason::INTERNAL_ERROR),
            Outgoing::Over => {}
        }
        self.shared.end(self.id);
    }
}

/// The first `count` bytes of all parts.
fn copied(parts: &[IoSlice<'_>], count: usize) -> Bytes {
    let mut bytes = Vec::with_capacity(count);
    for part in parts {
        let left = count - bytes.len();
        bytes.extend_from_slice(&part[..left.min(part.len())]);
    }
    bytes.into()
}

fn gone(error: h2::Error) -> io::Error {
    if error.is_io()
        && let Some(kind) = error.get_io().map(io::Error::kind)
    {
        return kind.into();
    }
    io::ErrorKind::ConnectionReset.into()
}
