//! What a request goes to its endpoint on: a connection that stands by on this thread, one that another thread gave away, or the
//! right to make one. Dials nothing, waits for nothing.

use crate::prepare::PreparedPool;
use crate::thread::Thread;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_idle::Need;
use tentpole_model::{Endpoint, Pool};
use tentpole_runtime::Cell;
use tentpole_upstream::{Gate, Line as Own, Opening, Stream};

/// A connection, or the right to make one.
pub(crate) enum Line {
    /// It has served before.
    Kept(Box<Own>),
    /// A place on one that carries many requests, and whether it has served before.
    Carried { stream: Box<Stream>, reused: bool },
    /// It is to be dialed, for HTTP/2 or for one request at a time.
    New { opening: Opening, http2: bool },
}

/// What a request asks of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// How fresh a kept connection must be.
    pub(crate) need: Need,
    /// No kept one: one has died under this request.
    pub(crate) fresh: bool,
    /// It is asked by HTTP/2.
    pub(crate) http2: bool,
    /// No new one but in the place of one that is kept: there is no other port for it.
    pub(crate) kept: bool,
}

impl Wanted {
    /// Whether there may be a line to the endpoint. Touches nothing.
    pub(crate) fn may_be(self, thread: &Thread, gate: &Gate, cell: &Cell, endpoint: &Endpoint) -> bool {
        let open = || cell.open.load(Relaxed);
        let below = !self.kept && endpoint.connections_max.is_none_or(|max| open() < max);
        if self.http2 {
            return below || thread.carriers.has(cell.slot);
        }
        below || thread.idle.has(cell.slot) || gate.is_given(cell.slot)
    }

    /// A line to the endpoint, if there is one.
    pub(crate) fn take(
        self,
        thread: &Thread,
        gate: &Gate,
        cell: &Arc<Cell>,
        endpoint: &Endpoint,
    ) -> Option<Line> {
        if self.http2 {
            return self.take_carried(thread, cell, endpoint);
        }
        let new = |opening| Line::New { opening, http2: false };
        if self.kept {
            return self.take_port(thread, gate, cell, endpoint);
        }
        if !self.fresh {
            let kept = thread.idle.take(cell.slot, self.need);
            if let Some(connection) = kept.or_else(|| gate.given(cell.slot, self.need)) {
                return Some(Line::Kept(connection));
            }
        }
        let max = endpoint.connections_max;
        // One that stands by and does not do makes room for the one that is made.
        let instead = || {
            let given =
                || gate.given(cell.slot, Need::Usable).map(|connection| connection.frees_port()).is_some();
            let dropped = thread.idle.drop_one(cell.slot) || given();
            dropped.then(|| Opening::reserve(cell, max)).flatten()
        };
        Opening::reserve(cell, max).or_else(instead).map(new)
    }

    /// One that stands by or, where it is not fresh enough, its port for a new one. None is closed in vain: its port would be
    /// gone for a minute.
    fn take_port(self, thread: &Thread, gate: &Gate, cell: &Arc<Cell>, endpoint: &Endpoint) -> Option<Line> {
        let stands = thread.idle.give(cell.slot);
        let stands = stands.or_else(|| gate.given(cell.slot, Need::Usable))?;
        if !self.fresh && stands.is_fit(self.need) {
            return Some(Line::Kept(stands));
        }
        stands.frees_port();
        let opening = Opening::reserve(cell, endpoint.connections_max)?;
        Some(Line::New { opening, http2: false })
    }

    /// The same by HTTP/2: requests share connections, and no thread gives one to another.
    fn take_carried(self, thread: &Thread, cell: &Arc<Cell>, endpoint: &Endpoint) -> Option<Line> {
        if !self.fresh
            && let Some((stream, reused)) = thread.carriers.take(cell.slot, self.need)
        {
            return Some(Line::Carried { stream: Box::new(stream), reused });
        }
        let opening = Opening::reserve(cell, endpoint.connections_max);
        if opening.is_none() {
            // It is closed in a moment; who waits is called then.
            thread.carriers.drop_one(cell.slot);
        }
        opening.map(|opening| Line::New { opening, http2: true })
    }
}

impl Line {
    /// It was not used after all.
    pub(crate) fn put_back(self, thread: &Thread, keep_for: Duration) {
        match self {
            Self::Kept(connection) => thread.idle.put_back(connection, keep_for),
            Self::Carried { .. } | Self::New { .. } => {}
        }
    }
}

impl Thread {
    /// Asks the other threads for connections that stand idle there, where all that may be are open.
    pub(crate) fn asks_others(&self, pool: &Pool, prepared: &PreparedPool) {
        let cells = pool.endpoints.iter().zip(&prepared.cells);
        let mut idle = cells.filter(|(endpoint, cell)| {
            let (open, in_flight) = (cell.open.load(Relaxed), cell.in_flight.load(Relaxed));
            let full = endpoint.connections_max.is_some_and(|max| open >= max);
            (full || prepared.gate.is_short_of_ports()) && open > in_flight
        });
        if idle.next().is_some() {
            self.shared.wanting.notify_waiters();
        }
    }

    /// Gives as often as it is asked.
    pub async fn gives(self: Rc<Self>) {
        loop {
            let mut asked = pin!(self.shared.wanting.notified());
            // From here on no call is missed.
            asked.as_mut().enable();
            self.make_room();
            asked.await;
        }
    }

    /// Gives idle connections to requests that wait for them on other threads, where the endpoint's are used up.
    pub fn make_room(&self) {
        let view = self.view();
        for (pool, prepared) in view.prepared.snapshot.pools.iter().zip(&view.prepared.pools) {
            let gate = &prepared.gate;
            if gate.length() == 0 {
                // Nobody came for what was given: it serves on this thread.
                while let Some(connection) = gate.left_over() {
                    self.idle.put_back(connection, pool.timeouts.idle);
                }
                continue;
            }
            for (endpoint, cell) in pool.endpoints.iter().zip(&prepared.cells) {
                let is_full = || {
                    let open = cell.open.load(Relaxed);
                    endpoint.connections_max.is_some_and(|max| open >= max) || gate.is_short_of_ports()
                };
                while is_full() && gate.wants_more() {
                    let Some(connection) = self.idle.give(cell.slot) else {
                        self.carriers.drop_one(cell.slot);
                        break;
                    };
                    if gate.give(connection).is_err() {
                        break;
                    }
                }
            }
            // A connection that was closed while it stood idle called nobody.
            gate.call_first();
        }
    }
}
