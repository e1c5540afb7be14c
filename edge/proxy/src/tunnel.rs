//! A connection that stopped being HTTP (101): bytes both ways, each at the pace of the other, until one side
//! closes. Looks at nothing.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::task::{Context, Poll};
use std::time::Duration;
use tentpole_listener::Visitor;
use tentpole_runtime::buffer::BUFFER_BYTES;
use tentpole_runtime::socket::Socket;
use tentpole_upstream::Connection;

/// How long both sides may be silent. WebSockets that live longer send pings (RFC 6455 section 5.5.2).
const SILENCE_MAX: Duration = Duration::from_secs(3_600);

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
        let sockets = (visitor.socket(), endpoint.socket());
        let up = to_endpoint.poll(context, sockets.0, sockets.1);
        let down = to_visitor.poll(context, sockets.1, sockets.0);
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
    fn poll(&mut self, context: &mut Context<'_>, from: &mut Socket, to: &mut Socket) -> io::Result<()> {
        while !self.ended {
            if from.filled().is_empty() {
                match from.poll_fill(context, BUFFER_BYTES) {
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
            match to.poll_write(context, &[IoSlice::new(from.filled())]) {
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
