//! Read buffers from a pool of the thread. A connection holds one only while it has bytes to read or a message
//! under way; an idle connection holds none. What the pool takes from the heap is charged to the Ledger.

use crate::ledger::{Account, Ledger};
use std::cell::RefCell;
use std::sync::Arc;

/// Bytes of a fresh buffer.
pub const BUFFER_BYTES: usize = 16 * 1024;
/// Buffers that a thread keeps for reuse.
const POOLED_MAX: usize = 512;
/// Those that it keeps although nobody needs them: the next visitors come in a moment.
const KEPT_MIN: usize = 8;

/// Bytes that were read and not yet used: `filled` is a window that moves forward.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

struct Pool {
    free: Vec<Vec<u8>>,
    /// How few of them there were at least since the last look: so many nobody needed.
    least: usize,
    ledger: Option<Arc<Ledger>>,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { free: Vec::new(), least: 0, ledger: None }) };
}

/// Tells this thread's pool which Ledger to charge. Called once, before the first buffer.
pub fn charge_to(ledger: Arc<Ledger>) {
    POOL.with_borrow_mut(|pool| pool.ledger = Some(ledger));
}

/// Gives back to the heap what this thread's pool has not needed since the last call, but for a few. Called now and then: what
/// a burst has taken must not be held for ever, nor be taken anew with each wave of it.
pub fn give_back_unneeded() {
    POOL.with_borrow_mut(|pool| {
        let kept = (pool.free.len() - pool.least).max(KEPT_MIN).min(pool.free.len());
        for bytes in pool.free.split_off(kept) {
            pool.release(bytes.len());
        }
        pool.least = pool.free.len();
    });
}

impl Buffer {
    /// An empty buffer of [`BUFFER_BYTES`], from the pool where it has one.
    pub fn take() -> Self {
        let bytes = POOL.with_borrow_mut(|pool| {
            let free = pool.free.pop();
            pool.least = pool.least.min(pool.free.len());
            free.unwrap_or_else(|| {
                pool.charge(BUFFER_BYTES);
                vec![0; BUFFER_BYTES]
            })
        });
        Self { bytes, start: 0, end: 0 }
    }

    /// What was read and not yet used.
    #[inline]
    pub fn filled(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Whether nothing is left to use.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first `count` filled bytes as used.
    ///
    /// # Panics
    /// When fewer are filled.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.end - self.start, "used bytes that were never read");
        self.start += count;
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Room to read into: everything behind what is filled. Moves the filled bytes to the front when the room
    /// behind them is short. Empty when the buffer is full: [`Buffer::grow`] it or use some.
    pub fn spare(&mut self) -> &mut [u8] {
        if self.bytes.len() - self.end < BUFFER_BYTES / 4 && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.bytes[self.end..]
    }

    /// Counts `count` bytes of the spare room as filled.
    pub fn fill(&mut self, count: usize) {
        assert!(count <= self.bytes.len() - self.end, "filled more than the room");
        self.end += count;
    }

    /// Whether no byte more can be read.
    pub fn is_full(&self) -> bool {
        self.end - self.start == self.bytes.len()
    }

    /// Doubles the buffer, up to `bytes_max`; returns whether it grew.
    pub fn grow(&mut self, bytes_max: usize) -> bool {
        let wanted = (self.bytes.len() * 2).min(bytes_max);
        let more = wanted.saturating_sub(self.bytes.len());
        if more == 0 {
            return false;
        }
        POOL.with_borrow_mut(|pool| pool.charge(more));
        self.bytes.resize(wanted, 0);
        true
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        // The pool is gone when the thread ends; its buffers then simply go with it.
        let _ = POOL.try_with(|pool| {
            if let Ok(mut pool) = pool.try_borrow_mut() {
                pool.put(bytes);
            }
        });
    }
}

/// Bytes of the heap that a connection holds beside its buffers: charged while this lives.
#[derive(Debug)]
pub(crate) struct Held(usize);

impl Held {
    pub(crate) fn new(bytes: usize) -> Self {
        POOL.with_borrow(|pool| pool.charge(bytes));
        Self(bytes)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Gone with the thread: so is its account.
        let _ = POOL.try_with(|pool| {
            if let Some(ledger) = pool.try_borrow().ok().and_then(|pool| pool.ledger.clone()) {
                ledger.release(Account::Buffers, self.0 as u64);
            }
        });
    }
}

impl Pool {
    fn charge(&self, bytes: usize) {
        if let Some(ledger) = &self.ledger {
            ledger.charge(Account::Buffers, bytes as u64);
        }
    }

    fn put(&mut self, bytes: Vec<u8>) {
        if bytes.len() == BUFFER_BYTES && self.free.len() < POOLED_MAX {
            self.free.push(bytes);
        } else {
            self.release(bytes.len());
        }
    }

    fn release(&self, bytes: usize) {
        if let Some(ledger) = &self.ledger {
            ledger.release(Account::Buffers, bytes as u64);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if let Some(ledger) = &self.ledger {
            ledger.release(Account::Buffers, (self.free.len() * BUFFER_BYTES) as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_moves_through_the_buffer_and_the_pool_takes_it_back() {
        let ledger = Ledger::new(1 << 20);
        charge_to(ledger.clone());
        let mut buffer = Buffer::take();
        buffer.spare()[..5].copy_from_slice(b"hello");
        buffer.fill(5);
        buffer.consume(2);
        assert_eq!(buffer.filled(), b"llo");
        buffer.consume(3);
        assert!(buffer.is_empty());
        assert_eq!(buffer.spare().len(), BUFFER_BYTES);
        drop(buffer);
        drop(Buffer::take());
        assert_eq!(ledger.held(Account::Buffers), BUFFER_BYTES as u64, "the pool gave the same one again");
    }

    #[test]
    fn what_a_burst_has_taken_is_given_back_once_nobody_needs_it() {
        let ledger = Ledger::new(1 << 30);
        charge_to(ledger.clone());
        let held = || ledger.held(Account::Buffers) / BUFFER_BYTES as u64;
        let take = |count: usize| drop((0..count).map(|_| Buffer::take()).collect::<Vec<_>>());
        take(100);
        give_back_unneeded();
        assert_eq!(held(), 100, "they were needed since the last look");
        take(40);
        give_back_unneeded();
        assert_eq!(held(), 40, "so many are needed at once");
        take(40);
        give_back_unneeded();
        assert_eq!(held(), 40);
        for _ in 0..2 {
            give_back_unneeded();
            assert_eq!(held(), KEPT_MIN as u64);
        }
        take(1);
        assert_eq!(held(), KEPT_MIN as u64);
    }

    #[test]
    fn a_full_buffer_grows_to_its_limit_and_no_further() {
        let mut buffer = Buffer::take();
        buffer.fill(BUFFER_BYTES);
        assert!(buffer.is_full());
        assert!(buffer.grow(BUFFER_BYTES + 10));
        assert!(!buffer.grow(BUFFER_BYTES + 10));
        assert_eq!(buffer.spare().len(), 10);
    }

    #[test]
    fn unused_bytes_move_to_the_front_when_room_gets_short() {
        let mut buffer = Buffer::take();
        buffer.fill(BUFFER_BYTES);
        buffer.consume(BUFFER_BYTES - 3);
        assert_eq!(buffer.spare().len(), BUFFER_BYTES - 3);
        assert_eq!(buffer.filled().len(), 3);
    }
}
