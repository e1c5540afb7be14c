//! The beginning of a connection behind TLS: bounded by the time for connecting, and in what it takes from those who are
//! served already. Knows no certificate; what a failure means the session says.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use tentpole_model::Cause;
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::secure::Session;
use tentpole_runtime::socket::Socket;
use tokio::sync::Semaphore;

/// Steps of handshakes that are computed in one turn of the thread, as towards visitors.
const STEPS_A_TURN: usize = 4;

thread_local! {
    static STEPS: Rc<Semaphore> = Rc::new(Semaphore::new(STEPS_A_TURN));
}

/// Takes the connection behind TLS; content can be sent when this returns.
///
/// # Errors
/// Why it failed; [`Cause::TimedOut`] when the deadline passes.
pub(crate) async fn shake_hands(
    socket: &mut Socket,
    session: Box<dyn Session>,
    deadline: &Deadline,
) -> Result<(), Cause> {
    socket.secure(session);
    let steps = STEPS.with(Rc::clone);
    loop {
        // All that we have to say is out before more is read; the last word too, or the endpoint would wait for it.
        match deadline.guard(|context| socket.poll_output(context)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(socket.cause(&error)),
            Err(_) => return Err(Cause::TimedOut),
        }
        if !socket.is_handshaking() {
            return Ok(());
        }
        match deadline.guard(|context| socket.poll_arrival(context)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(socket.cause(&error)),
            Err(_) => return Err(Cause::TimedOut),
        }
        let mut turn = pin!(steps.acquire());
        let turn = deadline.guard(|context| turn.as_mut().poll(context)).await;
        let turn = turn.map_err(|_| Cause::TimedOut)?;
        // Bytes that were said to be there and are not: back to waiting.
        let stepped = poll_fn(|context| Poll::Ready(socket.poll_step(context))).await;
        // Those who are served already come first.
        tokio::task::yield_now().await;
        drop(turn);
        match stepped {
            Poll::Ready(Ok(true)) | Poll::Pending => {}
            Poll::Ready(Ok(false)) => return Err(Cause::Closed),
            Poll::Ready(Err(error)) => return Err(socket.cause(&error)),
        }
    }
}
