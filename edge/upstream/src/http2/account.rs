//! What connections of HTTP/2 to endpoints hold in memory, charged to the Ledger: the connection, its requests, and content
//! that came and was not used or waits to be sent. Bounds nothing: the windows do.

use bytes::{Buf, Bytes};
use h2::FlowControl;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account as Of;

/// What a connection costs by itself: tables for header compression both ways, and buffers to read and write.
pub(crate) const CONNECTION_BYTES: u64 = 32 * 1024;
/// What a request under way costs beside its content: its head, its answer's, its place among the streams.
pub(crate) const STREAM_BYTES: u64 = 8 * 1024;

/// One connection's. Gives everything back when dropped.
#[derive(Debug)]
pub(crate) struct Account {
    ledger: Arc<Ledger>,
    charged: Cell<u64>,
    /// Bodies on their way in, by stream.
    incoming: RefCell<Vec<(u32, FlowControl)>>,
    incoming_bytes: Cell<u64>,
}

/// Content on its way out: counted until it was written.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    charged: u64,
    account: Option<Rc<Account>>,
}

impl Account {
    pub fn new(ledger: Arc<Ledger>) -> Rc<Self> {
        let account = Self {
            ledger,
            charged: Cell::new(0),
            incoming: RefCell::default(),
            incoming_bytes: Cell::new(0),
        };
        account.charge(CONNECTION_BYTES);
        Rc::new(account)
    }

    pub fn begin_stream(&self) {
        self.charge(STREAM_BYTES);
    }

    pub fn end_stream(&self) {
        self.release(STREAM_BYTES);
    }

    /// Counts what comes of this body from now on.
    pub fn receive(&self, stream: u32, body: FlowControl) {
        self.incoming.borrow_mut().push((stream, body));
    }

    /// The body is nobody's any more.
    pub fn forget(&self, stream: u32) {
        self.incoming.borrow_mut().retain(|(id, _)| *id != stream);
        self.count_incoming();
    }

    /// So much of what came was used.
    pub fn used(&self, bytes: u64) {
        let before = self.incoming_bytes.get();
        let after = before.saturating_sub(bytes);
        self.incoming_bytes.set(after);
        self.release(before - after);
    }

    /// Charges what has come and was not used, and no more than that.
    pub fn count_incoming(&self) {
        let bytes = self.incoming.borrow().iter().map(|(_, body)| body.used_capacity() as u64).sum();
        let before = self.incoming_bytes.replace(bytes);
        if bytes > before {
            self.charge(bytes - before);
        } else {
            self.release(before - bytes);
        }
    }

    fn charge(&self, bytes: u64) {
        self.charged.set(self.charged.get() + bytes);
        self.ledger.charge(Of::Buffers, bytes);
    }

    fn release(&self, bytes: u64) {
        self.charged.set(self.charged.get() - bytes);
        self.ledger.release(Of::Buffers, bytes);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.ledger.release(Of::Buffers, self.charged.get());
    }
}

impl Piece {
    pub fn copied(bytes: &[u8], account: &Rc<Account>) -> Self {
        let charged = bytes.len() as u64;
        account.charge(charged);
        Self { bytes: Bytes::copy_from_slice(bytes), charged, account: Some(account.clone()) }
    }

    /// The end of content.
    pub fn empty() -> Self {
        Self { bytes: Bytes::new(), charged: 0, account: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(account) = &self.account {
            account.release(self.charged);
        }
    }
}
