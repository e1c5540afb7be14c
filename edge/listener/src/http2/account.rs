//! What a connection's streams share: how much of their content waits to be written, what they hold in memory, how many
//! there are. One connection cannot make us hold more than is said here, however many streams it opens.

use crate::http2::budget::Budget;
use crate::http2::wire::TURN_BYTES_MAX;
use bytes::{Buf, Bytes};
use h2::{FlowControl, Reason};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use tentpole_runtime::Ledger;
use tentpole_runtime::clock;
use tentpole_runtime::ledger::Account;

/// Bytes of responses that wait to be written, over all streams of a connection.
pub(crate) const OUTGOING_BYTES_MAX: usize = 256 * 1024;
/// What a connection costs by itself: tables for header compression both ways, and buffers to read and write.
const CONNECTION_BYTES: u64 = 32 * 1024;
/// What a request under way costs beside its content: its task, its head, its place among the streams.
const STREAM_BYTES: u64 = 8 * 1024;

/// What the streams of one connection share. Stays on its thread.
#[derive(Debug)]
pub(crate) struct Shared {
    ledger: Arc<Ledger>,
    charged: Cell<u64>,
    /// Requests under way: also those whose visitor has already taken them back.
    live: Cell<usize>,
    outgoing_bytes: Cell<usize>,
    /// Who waits for room among the outgoing bytes.
    waiting: RefCell<Vec<Waker>>,
    /// The connection's own task.
    driver: RefCell<Option<Waker>>,
    /// Bodies on their way in, by stream.
    incoming: RefCell<Vec<(u32, FlowControl)>>,
    incoming_bytes: Cell<u64>,
    /// What frames may still cost.
    pub(crate) budget: RefCell<Budget>,
    /// Frames cost more than they may.
    pub(crate) flooded: Cell<bool>,
    /// Nothing more is read: the connection is to end, with this reason.
    pub(crate) ends_for: Cell<Option<Reason>>,
    /// Content has arrived since it was last counted.
    pub(crate) content_came: Cell<bool>,
    /// Bytes that may still be read in this turn.
    pub(crate) turn_bytes: Cell<usize>,
    /// The visitor does not take what is written.
    pub(crate) is_blocked: Cell<bool>,
    /// Bytes written to him.
    pub(crate) written: Cell<u64>,
    /// Nothing more is expected for a while.
    pub(crate) rests: Cell<bool>,
    /// The connection is over: nobody reads or writes frames any more.
    pub(crate) is_over: Cell<bool>,
}

/// A piece of content on its way out: counted until it was written.
#[derive(Debug)]
pub(crate) struct Piece {
    bytes: Bytes,
    length: usize,
    shared: Rc<Shared>,
}

impl Shared {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Rc<Self> {
        let shared = Self {
            ledger,
            charged: Cell::new(0),
            live: Cell::new(0),
            outgoing_bytes: Cell::new(0),
            waiting: RefCell::default(),
            driver: RefCell::default(),
            incoming: RefCell::default(),
            incoming_bytes: Cell::new(0),
            budget: RefCell::new(Budget::new(clock::coarse())),
            flooded: Cell::new(false),
            ends_for: Cell::new(None),
            content_came: Cell::new(false),
            turn_bytes: Cell::new(TURN_BYTES_MAX),
            is_blocked: Cell::new(false),
            written: Cell::new(0),
            rests: Cell::new(false),
            is_over: Cell::new(false),
        };
        shared.charge(CONNECTION_BYTES);
        Rc::new(shared)
    }

    /// The account of bytes.
    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Requests under way.
    pub(crate) fn live(&self) -> usize {
        self.live.get()
    }

    pub(crate) fn begin(&self) {
        self.live.set(self.live.get() + 1);
        self.charge(STREAM_BYTES);
    }

    /// The connection is over: whoever waits for room finds out.
    pub(crate) fn end_all(&self) {
        self.is_over.set(true);
        self.wake_waiting();
    }

    /// A request is over, and with it its body.
    pub(crate) fn end(&self, stream: u32) {
        self.incoming.borrow_mut().retain(|(id, _)| *id != stream);
        self.live.set(self.live.get() - 1);
        self.release(STREAM_BYTES);
        self.count_incoming();
        // The connection may be idle now, or done.
        self.wake_driver();
    }

    /// Counts this body's bytes from now on.
    pub(crate) fn receive(&self, stream: u32, body: FlowControl) {
        self.incoming.borrow_mut().push((stream, body));
    }

    /// Charges what has arrived and was not used, and no more than that.
    pub(crate) fn count_incoming(&self) {
        let bytes = self.incoming.borrow().iter().map(|(_, body)| body.used_capacity() as u64).sum();
        let before = self.incoming_bytes.replace(bytes);
        if bytes > before {
            self.charge(bytes - before);
        } else {
            self.release(before - bytes);
        }
    }

    /// Room among the outgoing bytes; when there is none, the task is woken once there is.
    pub(crate) fn room(&self, context: &Context<'_>) -> usize {
        let room = OUTGOING_BYTES_MAX.saturating_sub(self.outgoing_bytes.get());
        if room == 0 {
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(context.waker())) {
                waiting.push(context.waker().clone());
            }
        }
        room
    }

    /// A piece to be sent.
    pub(crate) fn piece(self: &Rc<Self>, bytes: Bytes) -> Piece {
        let length = bytes.len();
        self.outgoing_bytes.set(self.outgoing_bytes.get() + length);
        self.charge(length as u64);
        self.budget.borrow_mut().sent();
        Piece { bytes, length, shared: self.clone() }
    }

    pub(crate) fn driven_by(&self, context: &Context<'_>) {
        let mut driver = self.driver.borrow_mut();
        if !driver.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            *driver = Some(context.waker().clone());
        }
    }

    fn wake_driver(&self) {
        if let Some(waker) = &*self.driver.borrow() {
            waker.wake_by_ref();
        }
    }

    fn sent(&self, length: usize) {
        let before = self.outgoing_bytes.get();
        self.outgoing_bytes.set(before - length);
        self.release(length as u64);
        // Not for each piece: whoever waits shall find room for some.
        if before - length <= OUTGOING_BYTES_MAX / 2 {
            self.wake_waiting();
        }
    }

    /// Wakes who waits for room: there is some, or there never will be.
    fn wake_waiting(&self) {
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
    }

    fn charge(&self, bytes: u64) {
        self.charged.set(self.charged.get() + bytes);
        self.ledger.charge(Account::Buffers, bytes);
    }

    fn release(&self, bytes: u64) {
        self.charged.set(self.charged.get() - bytes);
        self.ledger.release(Account::Buffers, bytes);
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.ledger.release(Account::Buffers, self.charged.get());
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
        self.shared.sent(self.length);
    }
}
