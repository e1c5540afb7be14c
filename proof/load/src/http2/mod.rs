//! A connection of HTTP/2 (RFC 9113) of one virtual user: one request after the other, each a stream. Ours and not the `h2`
//! crate's, whose buffers take 20 KiB of each connection for as long as it lives: 300,000 visitors who think would be 6 GB.
//! A task answers what the host says while its visitor thinks, as a browser does.

mod asking;
mod frames;
mod hpack;
mod huffman;
mod line;

use crate::connection::{Broken, Finished};
use crate::result::FailureCause;
use asking::{Asking, Awaits, lines_of, malformed};
use line::Line;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use tentpole_message::ResponseHead;
use tentpole_model::Method;
use tentpole_runtime::clock;
use tentpole_runtime::deadline::{Deadline, Expired};
use tentpole_runtime::socket::Socket;
use tokio::task::AbortHandle;

/// A connection.
#[derive(Debug)]
pub(crate) struct Streams {
    shared: Rc<Shared>,
    https: bool,
    /// Of the task that answers while nothing is asked.
    task: AbortHandle,
}

/// What the visitor and that task share.
#[derive(Debug)]
struct Shared {
    line: RefCell<Line>,
    /// Somebody asks: he reads then, and answers.
    is_asked: Cell<bool>,
    is_over: Cell<bool>,
    /// Of the task, while somebody asks.
    waiting: RefCell<Option<Waker>>,
}

impl Streams {
    /// Nothing is said before the first request.
    pub(crate) fn begin(socket: Socket, https: bool) -> Self {
        let shared = Rc::new(Shared {
            line: RefCell::new(Line::new(socket)),
            is_asked: Cell::new(false),
            is_over: Cell::new(false),
            waiting: RefCell::default(),
        });
        let idle = shared.clone();
        let task = tokio::task::spawn_local(poll_fn(move |context| idle.poll_idle(context)));
        Self { shared, https, task: task.abort_handle() }
    }

    /// Whether another request may begin on it.
    pub(crate) fn is_open(&self) -> bool {
        !self.shared.is_over.get() && self.shared.line.borrow().is_open()
    }

    /// As [`crate::connection::Connection::exchange`]; the request is written as HTTP/1.1 has it.
    pub(crate) async fn exchange(
        &mut self,
        request: &[u8],
        method: Method,
        head: &mut ResponseHead,
        body: &mut Vec<u8>,
        body_max: usize,
        deadline: &Deadline,
    ) -> Result<Finished, Broken> {
        let end = memchr::memmem::find(request, b"\r\n\r\n").map_or(request.len(), |at| at + 4);
        let (written, content) = request.split_at(end);
        let mut lines = Vec::with_capacity(written.len());
        lines_of(written, self.https, &mut lines).ok_or_else(malformed)?;
        let mut asking = Asking {
            stream: 0,
            lines,
            content,
            window: 0,
            taken: 0,
            method,
            head,
            body,
            body_max,
            bytes: 0,
            first_byte: clock::coarse(),
            awaits: Awaits::Head,
            interim: 0,
            expected: None,
        };
        let asked = Asked::new(&self.shared);
        let exchange =
            |context: &mut Context<'_>| self.shared.line.borrow_mut().poll_exchange(context, &mut asking);
        let outcome = deadline.guard(exchange).await;
        drop(asked);
        match outcome {
            Ok(Ok(())) => {
                let Asking { bytes, first_byte, .. } = asking;
                Ok(Finished { bytes, first_byte, keeps_alive: self.is_open() })
            }
            Ok(Err(broken)) => Err(broken),
            Err(Expired) => Err(Broken { cause: FailureCause::TimedOut, answered: true }),
        }
    }
}

impl Drop for Streams {
    fn drop(&mut self) {
        if let Ok(mut line) = self.shared.line.try_borrow_mut() {
            line.say_end();
        }
        self.task.abort();
    }
}

impl Shared {
    fn poll_idle(&self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_asked.get() {
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            return Poll::Pending;
        }
        let over = self.line.borrow_mut().poll_idle(context);
        over.map(|_| self.is_over.set(true))
    }
}

/// While this lives the task leaves the connection to who asks.
struct Asked<'a>(&'a Shared);

impl<'a> Asked<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.is_asked.set(true);
        Self(shared)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.is_asked.set(false);
        // What comes next wakes who was asked last, so the task has to look once itself.
        if let Some(task) = self.0.waiting.take() {
            task.wake();
        }
    }
}
