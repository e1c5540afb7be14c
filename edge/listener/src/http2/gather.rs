//! What a connection writes, gathered until its task has nothing else to do: many small frames become one system call and
//! one record of TLS. Large ones are not copied.

use crate::http2::account::Shared;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use tentpole_runtime::buffer::{BUFFER_BYTES, Buffer};
use tentpole_runtime::socket::Socket;

/// Bytes that are worth a system call of their own: half of what a record of TLS holds.
const LARGE_BYTES: usize = BUFFER_BYTES / 2;

/// A connection's socket, with what it still has to write.
#[derive(Debug)]
pub(crate) struct Pipe {
    pub(crate) socket: RefCell<Socket>,
    /// Bytes that wait for more, or for the visitor.
    gathered: RefCell<Option<Buffer>>,
    shared: Rc<Shared>,
}

impl Pipe {
    pub(crate) fn new(socket: Socket, shared: Rc<Shared>) -> Rc<Self> {
        Rc::new(Self { socket: RefCell::new(socket), gathered: RefCell::default(), shared })
    }

    /// Takes bytes to write: gathered where they are few, and else written behind those that were.
    pub(crate) fn poll_gather(
        &self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        let room =
            self.gathered.borrow_mut().as_mut().map_or(BUFFER_BYTES, |gathered| gathered.spare().len());
        if total < LARGE_BYTES && total <= room {
            self.gather(parts);
            return Poll::Ready(Ok(total));
        }
        ready!(self.poll_send(context))?;
        if total < LARGE_BYTES {
            self.gather(parts);
            return Poll::Ready(Ok(total));
        }
        let wrote = self.socket.borrow_mut().poll_write(context, parts);
        self.wrote(&wrote);
        wrote
    }

    /// Sends all that was gathered; pending while the visitor does not take it.
    pub(crate) fn poll_send(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (mut place, mut socket) = (self.gathered.borrow_mut(), self.socket.borrow_mut());
        if let Some(gathered) = &mut *place {
            while !gathered.is_empty() {
                let wrote = socket.poll_write(context, &[IoSlice::new(gathered.filled())]);
                self.wrote(&wrote);
                match ready!(wrote)? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => gathered.consume(count),
                }
            }
            *place = None;
        }
        // What was written the kernel has; TLS may have something to say of its own.
        socket.poll_output(context)
    }

    fn gather(&self, parts: &[IoSlice<'_>]) {
        let mut place = self.gathered.borrow_mut();
        let gathered = place.get_or_insert_with(Buffer::take);
        for part in parts {
            gathered.spare()[..part.len()].copy_from_slice(part);
            gathered.fill(part.len());
        }
    }

    fn wrote(&self, wrote: &Poll<io::Result<usize>>) {
        match wrote {
            Poll::Ready(Ok(count)) => {
                self.shared.is_blocked.set(false);
                self.shared.written.set(self.shared.written.get() + *count as u64);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.shared.is_blocked.set(true),
        }
    }
}
