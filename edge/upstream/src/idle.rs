//! The kept-alive connections of one data thread. Never shares them with another thread, never keeps one that has
//! unread bytes, has stood unused too long, or is about to be closed by its endpoint.

use crate::connection::Connection;
use crate::watch;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_idle::Need;
use tentpole_runtime::clock::{self, Instant};

/// Idle connections that one thread keeps for one endpoint.
const KEPT_MAX: usize = 1_024;

/// Idle connections by the slot of their endpoint's cell; the last one put aside is the first one reused.
#[derive(Debug, Default)]
pub struct Idle {
    by_slot: RefCell<Vec<Shelf>>,
}

#[derive(Debug, Default)]
struct Shelf {
    #[allow(
        clippy::vec_box,
        reason = "each keeps its memory when it is taken, and requests hold 8 bytes of it"
    )]
    connections: Vec<Box<Connection>>,
    keep_for: Duration,
}

impl Idle {
    /// A connection to the endpoint that does for this need, if one stands by. Broken ones are dropped on the way. When
    /// there is none, and more than one stands by, one of them goes: for the one that is made now.
    ///
    /// For what may not be sent twice the clock and the kernel are asked: the turn may have begun long ago, and the endpoint
    /// have closed since.
    pub fn take(&self, slot: u32, need: Need) -> Option<Box<Connection>> {
        let mut shelves = self.by_slot.borrow_mut();
        let connections = &mut shelves.get_mut(slot as usize)?.connections;
        connections.last()?;
        let now = now_for(need);
        loop {
            let last = connections.last_mut()?;
            if !last.look(now) {
                connections.pop();
                continue;
            }
            let below = watch::usable_below(last.cell(), need, now);
            if below.is_some_and(|below| last.watch.idle_at_most(now) >= below) {
                // The others stand longer still. The first stays: it shows how long the endpoint keeps one.
                if connections.len() > 1 {
                    connections.remove(1).frees_port();
                }
                return None;
            }
            if need == Need::Fresh && !last.is_quiet() {
                connections.pop();
                continue;
            }
            return connections.pop();
        }
    }

    /// Whether a connection to the endpoint stands by; it may turn out to be closed.
    pub fn has(&self, slot: u32) -> bool {
        self.by_slot.borrow().get(slot as usize).is_some_and(|shelf| !shelf.connections.is_empty())
    }

    /// Puts a connection aside after a whole exchange. One with unread bytes is dropped.
    pub fn put(&self, mut connection: Box<Connection>, keep_for: Duration) {
        if connection.becomes_idle() {
            self.put_back(connection, keep_for);
        }
    }

    /// Puts an idle connection back that was taken and not used, or that comes from another thread.
    pub fn put_back(&self, connection: Box<Connection>, keep_for: Duration) {
        let slot = connection.cell().slot as usize;
        let mut shelves = self.by_slot.borrow_mut();
        if shelves.len() <= slot {
            shelves.resize_with(slot + 1, Shelf::default);
        }
        let shelf = &mut shelves[slot];
        shelf.keep_for = keep_for;
        if shelf.connections.len() < KEPT_MAX {
            shelf.connections.push(connection);
        }
    }

    /// Drops what stood unused too long, what the endpoint has closed, and what it is about to close: all of those but
    /// one, which is not used again and shows whether the endpoint still closes when it did.
    pub fn sweep(&self, now: Instant) {
        for shelf in self.by_slot.borrow_mut().iter_mut() {
            let keep_for = shelf.keep_for;
            let mut watched = false;
            shelf.connections.retain_mut(|connection| {
                if !connection.look(now) || connection.watch.idle(now) >= keep_for {
                    return false;
                }
                let below = watch::usable_below(connection.cell(), Need::Usable, now);
                let usable = below.is_none_or(|below| connection.watch.idle_at_most(now) < below);
                usable || !std::mem::replace(&mut watched, true)
            });
        }
    }

    /// Drops the endpoint's idle connections that lead to none of these addresses: to another instance, or to one
    /// that leaves.
    pub fn keep_only(&self, slot: u32, addresses: &[SocketAddr]) {
        if let Some(shelf) = self.by_slot.borrow_mut().get_mut(slot as usize) {
            shelf.connections.retain(|connection| addresses.contains(&connection.address()));
        }
    }

    /// Drops the idle connections to endpoints that are no longer known.
    pub fn keep_those(&self, is_known: impl Fn(u32) -> bool) {
        for (slot, shelf) in self.by_slot.borrow_mut().iter_mut().enumerate() {
            if !shelf.connections.is_empty() && !is_known(slot as u32) {
                shelf.connections = Vec::new();
            }
        }
    }

    /// Takes an idle connection to the endpoint for another thread, if one stands by that is not about to close: the one
    /// that was used last.
    pub fn give(&self, slot: u32) -> Option<Box<Connection>> {
        let now = clock::coarse();
        let mut shelves = self.by_slot.borrow_mut();
        let connections = &mut shelves.get_mut(slot as usize)?.connections;
        while let Some(mut connection) = connections.pop() {
            if connection.look(now) {
                return Some(connection);
            }
        }
        None
    }

    /// Drops one idle connection to the endpoint, for one that does where this does not; returns whether there was one.
    pub fn drop_one(&self, slot: u32) -> bool {
        let mut shelves = self.by_slot.borrow_mut();
        shelves.get_mut(slot as usize).is_some_and(|shelf| {
            let some = !shelf.connections.is_empty();
            if some {
                shelf.connections.remove(0).frees_port();
            }
            some
        })
    }

    /// Drops all.
    pub fn clear(&self) {
        self.by_slot.borrow_mut().clear();
    }
}

/// The time by which a connection is judged: for what may not be sent twice the exact one.
pub(crate) fn now_for(need: Need) -> Instant {
    match need {
        Need::Usable => clock::coarse(),
        Need::Fresh => clock::renew(),
    }
}
