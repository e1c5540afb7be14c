//! A connection, or a stream, that stopped being HTTP (101): bytes both ways, each at the pace of the other, until one side
//! closes. Looks at nothing.

use crate::asked::Asked;
use crate::deliver::{self, Sent};
use crate::exchange::Exchange;
use crate::stop::Stop;
use crate::thread::Scratch;
use crate::visit::Visit;
use crate::websocket;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Duration;
use tentpole_http1 as http1;
use tentpole_listener::Visitor;
use tentpole_model::{Cause, Failure, Phase, Retry};
use tentpole_runtime::buffer::BUFFER_BYTES;
use tentpole_upstream::Connection;

/// How long both sides may be silent. WebSockets that live longer send pings (RFC 6455 section 5.5.2).
const SILENCE_MAX: Duration = Duration::from_secs(3_600);

impl Visit<'_> {
    /// Turns the connection into a tunnel, if the endpoint changed to what the visitor asked for.
    pub(crate) async fn upgrade(&mut self, mut exchange: Box<Exchange>, asked: Asked) -> Result<Sent, Stop> {
        let Scratch { response, out, .. } = &mut *self.scratch;
        let Some(protocol) = http1::upgraded(response).filter(|_| asked.upgrades) else {
            let unasked = Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed);
            return Err(Stop::Failed(unasked));
        };
        if let Some(challenge) = self.visitor.challenge() {
            // It is ours, and nobody else looks at the answer (RFC 8441 section 5.1).
            if !websocket::answers(challenge, &response.fields) {
                let unanswered = Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed);
                return Err(Stop::Failed(unanswered));
            }
            self.visitor.open_tunnel();
        }
        let Some(connection) = exchange.source.connection() else {
            return Err(Stop::Failed(Failure::internal(Phase::ReadHead, Cause::Malformed)));
        };
        let told = deliver::switching(self.visitor, out, response, protocol, &mut self.why.status).await;
        self.why.bytes_out = told.map_err(Stop::Failed)?;
        let (up, down) = tunnel(self.visitor, connection).await;
        self.why.bytes_in = up;
        self.why.bytes_out += down;
        Err(Stop::Tunnelled)
    }
}

/// One direction.
#[derive(Default)]
struct Way {
    /// The source has ended, and the sink was told.
    ended: bool,
    bytes: u64,
}

/// Bytes to the endpoint and to the visitor, when both are done.
pub async fn tunnel(visitor: &mut Visitor, endpoint: &mut Connection) -> (u64, u64) {
    let (mut to_endpoint, mut to_visitor) = (Way::default(), Way::default());
    let mut moved_before = u64::MAX;
    poll_fn(|context| {
        let up = to_endpoint.poll(context, visitor, endpoint);
        let down = to_visitor.poll(context, endpoint, visitor);
        if up.is_err() || down.is_err() || (to_endpoint.ended && to_visitor.ended) {
            return Poll::Ready(());
        }
        let moved = to_endpoint.bytes + to_visitor.bytes;
        if moved != moved_before {
            moved_before = moved;
            visitor.deadline.set_in(SILENCE_MAX);
        }
        visitor.deadline.poll_expired(context).map(drop)
    })
    .await;
    (to_endpoint.bytes, to_visitor.bytes)
}

impl Way {
    /// Moves what can be moved now.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        from: &mut impl Side,
        to: &mut impl Side,
    ) -> io::Result<()> {
        while !self.ended {
            if from.filled().is_empty() {
                match from.poll_fill(context) {
                    Poll::Ready(Ok(0)) => {
                        // A half-closed connection: the other way may go on.
                        let Poll::Ready(told) = to.poll_shutdown(context) else { return Ok(()) };
                        self.ended = true;
                        return told;
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(error)) => return Err(error),
                    Poll::Pending => return Ok(()),
                }
            }
            match to.poll_write(context, from.filled()) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(count)) => {
                    from.consume(count);
                    self.bytes += count as u64;
                }
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => return Ok(()),
            }
        }
        Ok(())
    }
}

/// One side of a tunnel.
trait Side {
    fn filled(&self) -> &[u8];
    fn consume(&mut self, count: usize);
    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>>;
    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;
    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Side for Visitor {
    fn filled(&self) -> &[u8] {
        self.filled()
    }

    fn consume(&mut self, count: usize) {
        self.consume(count);
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.poll_fill(context, BUFFER_BYTES)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shutdown(context)
    }
}

impl Side for Connection {
    fn filled(&self) -> &[u8] {
        self.filled()
    }

    fn consume(&mut self, count: usize) {
        self.consume(count);
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(socket) = self.socket() else { return no_socket() };
        socket.poll_fill(context, BUFFER_BYTES)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Some(socket) = self.socket() else { return no_socket() };
        socket.poll_write(context, &[IoSlice::new(bytes)])
    }

    fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(socket) = self.socket() else { return no_socket() };
        socket.poll_shutdown(context)
    }
}

/// What changes its protocol is sent on a connection of its own.
fn no_socket<T>() -> Poll<io::Result<T>> {
    Poll::Ready(Err(io::ErrorKind::Unsupported.into()))
}
