//! The kept-alive connections of one data thread. Never shares them with another thread, never keeps one that has
//! unread bytes or has stood unused too long.

use crate::connection::Connection;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::time::Duration;
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
    connections: Vec<Connection>,
    keep_for: Duration,
}

impl Idle {
    /// A usable connection to the endpoint, if one stands by. Broken ones are dropped on the way.
    pub fn take(&self, slot: u32) -> Option<Connection> {
        let mut shelves = self.by_slot.borrow_mut();
        let connections = &mut shelves.get_mut(slot as usize)?.connections;
        while let Some(mut connection) = connections.pop() {
            if connection.is_clean() {
                return Some(connection);
            }
        }
        None
    }

    /// Whether a connection to the endpoint stands by; it may turn out to be closed.
    pub fn has(&self, slot: u32) -> bool {
        self.by_slot.borrow().get(slot as usize).is_some_and(|shelf| !shelf.connections.is_empty())
    }

    /// Puts a connection aside after a whole exchange. One with unread bytes is dropped.
    pub fn put(&self, mut connection: Connection, keep_for: Duration) {
        connection.rest();
        if !connection.filled().is_empty() {
            return;
        }
        connection.served = connection.served.saturating_add(1);
        connection.idle_since = clock::coarse();
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

    /// Drops what stood unused too long and what the endpoint has closed.
    pub fn sweep(&self, now: Instant) {
        for shelf in self.by_slot.borrow_mut().iter_mut() {
            let keep_for = shelf.keep_for;
            shelf.connections.retain_mut(|connection| {
                now.since(connection.idle_since) < keep_for && connection.is_clean()
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

    /// Drops one idle connection to the endpoint, for another thread that wants to open one; returns whether
    /// there was one.
    pub fn drop_one(&self, slot: u32) -> bool {
        let mut shelves = self.by_slot.borrow_mut();
        shelves.get_mut(slot as usize).is_some_and(|shelf| {
            let some = !shelf.connections.is_empty();
            if some {
                shelf.connections.remove(0);
            }
            some
        })
    }

    /// Drops all.
    pub fn clear(&self) {
        self.by_slot.borrow_mut().clear();
    }
}
