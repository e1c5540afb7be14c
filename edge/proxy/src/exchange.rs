//! One request on one connection: sends head and body while listening for the response, so that an endpoint may
//! answer early, ask for the body (100) or refuse it. Never retries and chooses nothing.

use crate::content::Content;
use crate::forward;
use crate::held::CONTINUE;
use crate::source::Source;
use bytes::{Buf, Bytes};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Duration;
use tentpole_http1::{self as http1, Framing, Piece};
use tentpole_listener::{BodyError, RequestBody, Visitor};
use tentpole_message::ResponseHead;
use tentpole_model::{Cause, Failure, Phase, PoolId, Refused, Retry, UpstreamTimeouts};
use tentpole_runtime::deadline::{Deadline, Expired};
use tentpole_upstream::{Connection, Framed, Part, Permit, Request, ResponseBody};

/// Interim responses before a final one; each buys the endpoint its time anew.
const INTERIM_MAX: usize = 100;
/// Bytes of held content that are sent as one piece.
const PIECE_BYTES_MAX: usize = 32 << 10;

/// A request under way at an endpoint, whose response's head has been read.
pub struct Exchange {
    /// Where its content comes from.
    pub source: Source,
    /// The pool, and which of its endpoints this is.
    pub endpoint: (PoolId, usize),
    /// The response's body, as it comes.
    pub body: ResponseBody,
    /// What is made of it, where it does not pass as it comes.
    pub content: Option<Box<Content>>,
    /// Given back when the exchange ends; what needs no endpoint has none.
    pub permit: Option<Permit>,
    /// Whether the connection may serve again once the body was read.
    pub keeps_alive: bool,
    /// What is left to send, when the endpoint answered early.
    pub sending: Option<Box<Sending>>,
    /// The pool's time-outs.
    pub timeouts: UpstreamTimeouts,
}

/// The request's body on its way to the endpoint.
#[derive(Debug)]
pub struct Sending {
    /// What stands around the piece at hand, and how much of that was written.
    framed: Framed,
    piece: Option<Piece>,
    framing: Framing,
    /// What is left of content that was held; else the visitor sends it.
    held: Option<Bytes>,
    /// Content and framing written so far.
    pub bytes_sent: u64,
    done: bool,
}

/// The visitor's side of an exchange, where it has one.
pub struct Upload<'a> {
    /// Who sends the body, and hears of interim responses.
    pub visitor: &'a mut Visitor,
    /// The body; there is one without content too.
    pub body: &'a mut RequestBody,
    /// Whether the visitor understands interim responses: those of HTTP/1.0 do not.
    pub interim: bool,
}

/// Why there is no response.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NoResponse {
    /// The exchange failed.
    Failed(Failure),
    /// The visitor's body is one that we refuse.
    Refused(Refused),
}

/// Who keeps the exchange waiting.
#[derive(Clone, Copy, PartialEq)]
enum Waiting {
    Visitor,
    Endpoint,
    Response,
}

/// Sends the request and reads the response's head into `response`. Interim responses go to the visitor on the
/// way. `sending` is not done if the endpoint answered before it had the whole body.
pub async fn exchange(
    connection: &mut Connection,
    request: &Request<'_>,
    sending: &mut Sending,
    mut upload: Option<Upload<'_>>,
    response: &mut ResponseHead,
    timeouts: &UpstreamTimeouts,
    deadline: &Deadline,
) -> Result<(), NoResponse> {
    let head = connection.begin(request).map_err(NoResponse::Failed)?;
    send_head(connection, &head, timeouts.stall, deadline).await.map_err(NoResponse::Failed)?;
    sending.done = upload.is_none();
    if connection.wants_continue()
        && sending.held.is_none()
        && let Some(upload) = upload.as_mut().filter(|upload| upload.interim)
    {
        let asked = upload.visitor.write(&mut [IoSlice::new(CONTINUE)]).await;
        asked.map_err(NoResponse::Failed)?;
    }
    for _ in 0..INTERIM_MAX {
        read_head(connection, &mut upload, sending, response, timeouts, deadline).await?;
        if !matches!(response.status, 100..=199) || response.status == 101 {
            return Ok(());
        }
        if let Some(upload) = upload.as_mut().filter(|upload| upload.interim) {
            pass_interim(upload.visitor, response).await.map_err(NoResponse::Failed)?;
        }
    }
    Err(NoResponse::Failed(Failure::upstream(Phase::ReadHead, Retry::Never, Cause::TooLarge)))
}

async fn send_head(
    connection: &mut Connection,
    head: &[u8],
    stall: Duration,
    deadline: &Deadline,
) -> Result<(), Failure> {
    let mut written = 0;
    let mut deadline_set = false;
    while written < head.len() {
        let left = [IoSlice::new(&head[written..])];
        // What the endpoint has of the request now: with nothing of it, any method may be sent again.
        let retry = if written == 0 { Retry::Unsent } else { Retry::IfSafe };
        let failed = |source| Failure {
            bytes_sent: written as u64,
            ..Failure::upstream(Phase::SendHead, retry, source)
        };
        let step = poll_fn(|context| match connection.poll_write(context, &left) {
            Poll::Ready(wrote) => Poll::Ready(Ok(wrote)),
            Poll::Pending => {
                if !deadline_set {
                    deadline_set = true;
                    deadline.set_in(stall);
                }
                deadline.poll_expired(context).map(Err)
            }
        });
        match step.await {
            Ok(Ok(0)) => return Err(failed(Cause::Closed)),
            Ok(Ok(count)) => written += count,
            Ok(Err(error)) => return Err(failed(Cause::from(&error))),
            Err(Expired) => return Err(failed(Cause::TimedOut)),
        }
    }
    Ok(())
}

/// Reads one head while sending what is there to send.
async fn read_head(
    connection: &mut Connection,
    upload: &mut Option<Upload<'_>>,
    sending: &mut Sending,
    response: &mut ResponseHead,
    timeouts: &UpstreamTimeouts,
    deadline: &Deadline,
) -> Result<(), NoResponse> {
    let mut waiting_for = None;
    let mut send_failed = None;
    poll_fn(|context| {
        let before = sending.bytes_sent;
        let mut waiting = Waiting::Response;
        if let Some(upload) = upload
            && !sending.done
            && send_failed.is_none()
        {
            match sending.poll(context, connection, upload) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(NoResponse::Failed(failure))) if failure.phase == Phase::SendBody => {
                    // The endpoint may have answered before it stopped listening: look for that first.
                    send_failed = Some(failure);
                }
                Poll::Ready(Err(no)) => return Poll::Ready(Err(no)),
                Poll::Pending if sending.has_piece() => waiting = Waiting::Endpoint,
                Poll::Pending => waiting = Waiting::Visitor,
            }
        }
        match connection.poll_head(context, response) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(failure)) => {
                let sent_body = Failure { retry: Retry::Never, ..failure };
                let failure = if sending.bytes_sent > 0 { sent_body } else { failure };
                return Poll::Ready(Err(NoResponse::Failed(send_failed.unwrap_or(failure))));
            }
            Poll::Pending => {}
        }
        // The deadline starts anew with each step forward and each change of who is waited for.
        if waiting_for != Some(waiting) || sending.bytes_sent != before {
            waiting_for = Some(waiting);
            deadline.set_in(if waiting == Waiting::Response { timeouts.first_byte } else { timeouts.stall });
        }
        deadline.poll_expired(context).map(|Expired| Err(timed_out(waiting, sending.bytes_sent)))
    })
    .await
}

fn timed_out(waiting: Waiting, bytes_sent: u64) -> NoResponse {
    let (phase, retry) = match waiting {
        Waiting::Visitor => return NoResponse::Refused(Refused::BodyTimeout),
        Waiting::Endpoint => (Phase::SendBody, Retry::Never),
        Waiting::Response => (Phase::FirstByte, Retry::IfSafe),
    };
    NoResponse::Failed(Failure { bytes_sent, ..Failure::upstream(phase, retry, Cause::TimedOut) })
}

/// Forwards a 1xx as it is (RFC 9110 section 15.2).
async fn pass_interim(visitor: &mut Visitor, response: &ResponseHead) -> Result<(), Failure> {
    let mut out = Vec::with_capacity(128);
    http1::write_status_line(&mut out, response.status, response.reason());
    http1::write_fields(&mut out, &response.fields, |_| false);
    out.extend_from_slice(b"\r\n");
    visitor.write(&mut [IoSlice::new(&out)]).await.map(drop)
}

impl Sending {
    /// Of a request whose content is framed so, and may have been held.
    pub fn of(framing: Framing, held: Option<&Bytes>) -> Self {
        let held = held.cloned();
        Self { framed: Framed::default(), piece: None, framing, held, bytes_sent: 0, done: false }
    }

    /// Whether all of it is out.
    pub fn is_done(&self) -> bool {
        self.done
    }

    fn has_piece(&self) -> bool {
        self.piece.is_some()
    }

    /// Sends what can be sent now; ready when the whole body is out.
    pub fn poll(
        &mut self,
        context: &mut Context<'_>,
        connection: &mut Connection,
        upload: &mut Upload<'_>,
    ) -> Poll<Result<(), NoResponse>> {
        while !self.done {
            let piece = match self.piece {
                Some(piece) => piece,
                None => match self.poll_piece(context, upload) {
                    Poll::Ready(Ok(piece)) => self.begin(piece, connection, upload),
                    Poll::Ready(Err(BodyError::Refused(refused))) => {
                        return Poll::Ready(Err(NoResponse::Refused(refused)));
                    }
                    Poll::Ready(Err(BodyError::Failed(failure))) => {
                        let failure = Failure { phase: Phase::Deliver, ..failure };
                        return Poll::Ready(Err(NoResponse::Failed(failure)));
                    }
                    Poll::Pending => return Poll::Pending,
                },
            };
            match self.poll_write(context, connection, upload, piece) {
                Poll::Ready(Ok(())) => self.end(piece, upload),
                Poll::Ready(Err(error)) => {
                    let cause = Cause::from(&error);
                    let failure = Failure::upstream(Phase::SendBody, Retry::Never, cause);
                    let failure = Failure { bytes_sent: self.bytes_sent, ..failure };
                    return Poll::Ready(Err(NoResponse::Failed(failure)));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_piece(
        &self,
        context: &mut Context<'_>,
        upload: &mut Upload<'_>,
    ) -> Poll<Result<Piece, BodyError>> {
        match &self.held {
            None => upload.visitor.poll_piece(context, upload.body),
            Some(held) if held.is_empty() => Poll::Ready(Ok(Piece::End)),
            Some(held) => Poll::Ready(Ok(Piece::Data { skip: 0, len: held.len().min(PIECE_BYTES_MAX) })),
        }
    }

    /// Frames a piece anew, as the endpoint's protocol wants it: the visitor's framing stays behind.
    fn begin(&mut self, piece: Piece, connection: &mut Connection, upload: &Upload<'_>) -> Piece {
        let Self { framed, framing, held, .. } = self;
        match piece {
            Piece::Data { .. } => {
                connection.frame(framed, *framing, Part::Data(content(held, upload, piece)));
            }
            Piece::End => {
                let told = upload.body.trailers().map(forward::told_late);
                connection.frame(framed, *framing, Part::End(told.as_ref()));
            }
        }
        self.piece = Some(piece);
        piece
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        connection: &mut Connection,
        upload: &Upload<'_>,
        piece: Piece,
    ) -> Poll<io::Result<()>> {
        let Self { framed, held, .. } = self;
        let content = content(held, upload, piece);
        while framed.left(content) > 0 {
            match connection.poll_send(context, framed, content) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => self.bytes_sent += count as u64,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self, piece: Piece, upload: &mut Upload<'_>) {
        match piece {
            Piece::Data { skip, len } => match &mut self.held {
                None => upload.visitor.consume(skip + len),
                Some(held) => held.advance(skip + len),
            },
            Piece::End => self.done = true,
        }
        self.piece = None;
    }
}

impl Exchange {
    /// Finishes: the connection is put aside for the next request if it can serve one.
    pub fn finish(self, thread: &crate::thread::Thread) {
        let clean = self.keeps_alive && self.body.is_done() && self.sending.is_none();
        let (pool, endpoint) = self.endpoint;
        if let (Source::Endpoint(connection), Some(permit)) = (self.source, &self.permit)
            && clean
            && !thread.draining.get()
            && thread.keeps(pool, endpoint, &connection)
            && let Connection::Line(line) = connection
        {
            // To whoever waits for it on another thread, else to this thread's own.
            if let Some(line) = permit.pass_on(line) {
                thread.idle.put_back(line, self.timeouts.idle);
            }
        }
    }
}

/// The bytes of a piece.
fn content<'a>(held: &'a Option<Bytes>, upload: &'a Upload<'_>, piece: Piece) -> &'a [u8] {
    match piece {
        Piece::Data { skip, len } => {
            let bytes = held.as_deref().unwrap_or_else(|| upload.visitor.filled());
            &bytes[skip..skip + len]
        }
        Piece::End => b"",
    }
}
