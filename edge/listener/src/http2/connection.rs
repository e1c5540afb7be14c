//! A visitor's connection that speaks HTTP/2: gives its requests one by one, keeps what it may cost within limits, and
//! ends it in good order (RFC 9113 section 6.8).

use crate::accept::Open;
use crate::http2::account::{OUTGOING_BYTES_MAX, Piece, Shared};
use crate::http2::gather::Pipe;
use crate::http2::stream::Stream;
use crate::http2::wire::{TURN_BYTES_MAX, Wire};
use h2::Reason;
use h2::server::{Builder, SendResponse};
use http::Request;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tentpole_model::{Refused, VisitorLimits};
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::ledger::{Ledger, Pressure};
use tentpole_runtime::socket::Socket;

/// Content of requests that may lie here unused, over one connection.
const WINDOW_BYTES: u32 = 1 << 20;
/// The same for one request.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Requests that one turn begins; then others have theirs.
const BEGINS_PER_TURN: usize = 16;
/// How long a connection stays on which nothing is expected for a while.
const RESTS_TIME: Duration = Duration::from_secs(1);
/// How long a visitor may take to hear that the connection ends.
const FAREWELL_TIME: Duration = Duration::from_secs(2);
/// Long enough for a wait that is only there to be cut short when the thread drains.
const WHILE_BUSY: Duration = Duration::from_secs(86_400);

/// A connection that carries many requests.
#[derive(Debug)]
pub struct Connection {
    codec: Codec,
    pipe: Rc<Pipe>,
    shared: Rc<Shared>,
    limits: VisitorLimits,
    /// For waits between requests, which may be cut short; and while it ends.
    quiet: Deadline,
    phase: Phase,
    /// For a visitor who does not take what is written to him.
    stalled: Deadline,
    written_before: Option<u64>,
    /// Requests begun.
    begun: u64,
    /// Those of them that this turn has begun, and those that it refused.
    turn_begins: usize,
    /// It was ended for a fault of the visitor's.
    is_shut: bool,
    _open: Open,
}

enum Codec {
    Greeting(h2::server::Handshake<Wire, Piece>),
    Running(h2::server::Connection<Wire, Piece>),
}

/// What the connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The next request, since nothing is under way.
    Idle,
    /// Responses that are under way.
    Busy,
    /// Those too, and then its end: the visitor was told.
    Ending,
    /// Its end: nothing is under way.
    Farewell,
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Either side was done with it.
    Closed,
    /// The visitor's frames cost more than they may, or he took none of what was written.
    Refused(Refused),
}

impl Connection {
    /// Takes over a socket whose next bytes are the preface.
    pub fn new(socket: Socket, open: Open, limits: VisitorLimits, ledger: Arc<Ledger>) -> Self {
        let shared = Shared::new(ledger);
        let pipe = Pipe::new(socket, shared.clone());
        let wire = Wire::new(pipe.clone(), shared.clone());
        let mut builder = Builder::new();
        let head_bytes_max = u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX);
        builder
            .initial_connection_window_size(WINDOW_BYTES)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .max_concurrent_streams(limits.streams_max)
            .max_header_list_size(head_bytes_max)
            .max_send_buffer_size(OUTGOING_BYTES_MAX)
            // Those that were taken back before we saw them.
            .max_pending_accept_reset_streams(limits.streams_max as usize)
            .enable_connect_protocol();
        Self {
            codec: Codec::Greeting(builder.handshake(wire)),
            pipe,
            shared,
            limits,
            quiet: Deadline::new(),
            phase: Phase::Idle,
            stalled: Deadline::new(),
            written_before: None,
            begun: 0,
            turn_begins: 0,
            is_shut: false,
            _open: open,
        }
    }

    /// The next request. `is_draining` is asked whether the connection should end soon: then the visitor is told, and
    /// what is under way goes on. `key` makes the challenge of a WebSocket's handshake.
    pub async fn next(
        &mut self,
        is_draining: impl Fn() -> bool,
        key: impl Fn() -> String,
    ) -> Result<Stream, Ended> {
        self.wait_idle();
        if self.turn_begins >= BEGINS_PER_TURN {
            tokio::task::yield_now().await;
            self.begin_turn();
        }
        let mut is_new_turn = false;
        let next = poll_fn(|context| {
            self.shared.driven_by(context);
            if std::mem::replace(&mut is_new_turn, true) {
                self.begin_turn();
            }
            loop {
                let accepted = self.poll_codec(context);
                if self.shared.content_came.replace(false) {
                    self.shared.count_incoming();
                }
                match accepted {
                    Poll::Ready(Some((request, respond))) => {
                        if let Some(stream) = self.begin(request, respond, &key) {
                            return Poll::Ready(Ok(stream));
                        }
                        if self.turn_begins >= BEGINS_PER_TURN {
                            context.waker().wake_by_ref();
                            return Poll::Pending;
                        }
                    }
                    Poll::Ready(None) => return Poll::Ready(Err(self.ended())),
                    Poll::Pending => break,
                }
            }
            // Nothing more is to be done now, so what was written goes out; an error ends the codec as well.
            if let Poll::Ready(Err(_)) = self.pipe.poll_send(context) {
                return Poll::Ready(Err(self.ended()));
            }
            if let Some(reason) = self.shared.ends_for.get()
                && !self.is_shut
            {
                self.shut(reason);
                // To write it.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.keep_time(context, &is_draining).map(Err)
        });
        let next = next.await;
        if next.is_err() {
            self.shared.end_all();
        }
        next
    }

    fn poll_codec(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<(Request<h2::RecvStream>, SendResponse<Piece>)>> {
        loop {
            match &mut self.codec {
                Codec::Greeting(greeting) => match std::pin::Pin::new(greeting).poll(context) {
                    Poll::Ready(Ok(connection)) => self.codec = Codec::Running(connection),
                    Poll::Ready(Err(_)) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                },
                Codec::Running(connection) => {
                    return connection.poll_accept(context).map(|accepted| accepted?.ok());
                }
            }
        }
    }

    /// Begins a request, or refuses it so that the visitor may send it again (RFC 9113 section 8.7).
    fn begin(
        &mut self,
        request: Request<h2::RecvStream>,
        mut respond: SendResponse<Piece>,
        key: impl FnOnce() -> String,
    ) -> Option<Stream> {
        self.turn_begins += 1;
        // The codec still gives what came before a fault of the visitor's: nobody would hear an answer.
        if self.shared.is_over.get() || self.shared.ends_for.get().is_some() {
            return None;
        }
        // Those that were taken back and are still under way count: they cost as much.
        let is_full = self.shared.live() >= self.limits.streams_max as usize;
        if is_full || self.shared.ledger().pressure() == Pressure::RefuseConnections {
            respond.send_reset(Reason::REFUSED_STREAM);
            return None;
        }
        self.begun += 1;
        self.shared.rests.set(false);
        match self.phase {
            Phase::Idle => {
                self.phase = Phase::Busy;
                self.quiet.set_told_in(WHILE_BUSY);
            }
            // It was on its way when the visitor was told.
            Phase::Farewell => {
                self.phase = Phase::Ending;
                self.quiet.set_in(WHILE_BUSY);
            }
            Phase::Busy | Phase::Ending => {}
        }
        Some(Stream::new(request, respond, self.shared.clone(), key))
    }

    fn begin_turn(&mut self) {
        self.turn_begins = 0;
        self.shared.turn_bytes.set(TURN_BYTES_MAX);
    }

    /// Requests begun on this connection.
    pub fn begun(&self) -> u64 {
        self.begun
    }

    /// Keeps the times of a wait: for requests, for the visitor to take what is written, for the end.
    fn keep_time(&mut self, context: &mut Context<'_>, is_draining: &impl Fn() -> bool) -> Poll<Ended> {
        if self.shared.is_blocked.get() {
            let written = self.shared.written.get();
            if self.written_before != Some(written) {
                self.written_before = Some(written);
                self.stalled.set_in(self.limits.stall_time);
            }
            if self.stalled.poll_expired(context).is_ready() {
                return Poll::Ready(Ended::Closed);
            }
        } else {
            self.written_before = None;
            self.stalled.clear();
        }
        if self.shared.live() == 0 {
            match self.phase {
                Phase::Busy => {
                    self.phase = Phase::Idle;
                    self.wait_idle();
                }
                Phase::Ending => {
                    self.phase = Phase::Farewell;
                    self.quiet.set_in(FAREWELL_TIME);
                }
                Phase::Idle | Phase::Farewell => {}
            }
        }
        if self.quiet.poll_expired(context).is_pending() {
            return Poll::Pending;
        }
        match (self.phase, &mut self.codec) {
            (Phase::Farewell, _) | (_, Codec::Greeting(_)) => return Poll::Ready(self.ended()),
            // Cut short for nothing.
            (Phase::Busy | Phase::Ending, _) if !is_draining() => self.quiet.set_told_in(WHILE_BUSY),
            (Phase::Ending, _) => self.quiet.set_in(WHILE_BUSY),
            (phase, Codec::Running(connection)) => {
                connection.graceful_shutdown();
                self.phase = if phase == Phase::Idle { Phase::Farewell } else { Phase::Ending };
                self.quiet.set_in(if phase == Phase::Idle { FAREWELL_TIME } else { WHILE_BUSY });
            }
        }
        // Once more, for the codec to write and the deadline to be heard.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Ends it at once, with a reason.
    fn shut(&mut self, reason: Reason) {
        if let Codec::Running(connection) = &mut self.codec {
            connection.abrupt_shutdown(reason);
        }
        self.is_shut = true;
        self.phase = Phase::Farewell;
        self.quiet.set_in(FAREWELL_TIME);
    }

    fn wait_idle(&mut self) {
        if self.phase == Phase::Idle {
            let time = match self.begun {
                0 => self.limits.head_time,
                _ if self.shared.rests.get() => self.limits.idle_time.min(RESTS_TIME),
                _ => self.limits.idle_time,
            };
            match self.codec {
                // Nobody can be told yet.
                Codec::Greeting(_) => self.quiet.set_idle_in(time),
                Codec::Running(_) => self.quiet.set_told_in(time),
            }
        }
    }

    fn ended(&self) -> Ended {
        if self.shared.flooded.get() { Ended::Refused(Refused::FrameFlood) } else { Ended::Closed }
    }
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Greeting(_) => "Greeting",
            Self::Running(_) => "Running",
        })
    }
}
