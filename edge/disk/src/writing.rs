//! What is handed over to be written: a whole object, or one that arrives piece by piece. Never waits for the disk: when
//! the queue is full, the object is not written, and that is counted.

use crate::meta::{Meta, PartAt};
use crate::record::PART_BYTES;
use crate::shared::Shared;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// An object to be written.
#[derive(Debug)]
pub struct NewObject {
    /// The key that it is found by.
    pub key: Bytes,
    /// What is to be known of it.
    pub meta: Meta,
    /// [`Disk::sequence`](crate::Disk::sequence) when its fetch began.
    pub sequence: u64,
}

/// What the writing thread is told.
#[derive(Debug)]
pub(crate) enum Job {
    /// Write this whole.
    Object(Box<NewObject>, Vec<Bytes>),
    /// Write a piece of an object that arrives.
    Part(Arc<Stream>, Vec<Bytes>),
    /// All its pieces were handed over.
    Commit(Arc<Stream>, Box<NewObject>),
}

/// An object that arrives piece by piece, and what was written of it.
#[derive(Debug)]
pub(crate) struct Stream {
    parts: Mutex<Vec<PartAt>>,
    broken: AtomicBool,
}

impl Stream {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { parts: Mutex::default(), broken: AtomicBool::new(false) })
    }

    /// One whose parts are all written.
    pub(crate) fn of(parts: &[PartAt]) -> Arc<Self> {
        Arc::new(Self { parts: Mutex::new(parts.to_vec()), broken: AtomicBool::new(false) })
    }

    /// A piece of it was lost: it will never be whole.
    pub(crate) fn breaks(&self) {
        self.broken.store(true, Ordering::Release);
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    pub(crate) fn wrote(&self, part: PartAt) {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).push(part);
    }

    pub(crate) fn take(&self) -> Vec<PartAt> {
        std::mem::take(&mut self.parts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Writes an object that arrives. Dropped before [`Writing::finish`], nothing of it is ever found.
#[derive(Debug)]
pub struct Writing {
    shared: Arc<Shared>,
    stream: Arc<Stream>,
    /// Pieces that do not fill a part yet.
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    bytes: u64,
}

impl Writing {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, stream: Stream::new(), gathered: Vec::new(), gathered_bytes: 0, bytes: 0 }
    }

    /// Adds a piece. False when it will not be kept: the disk cannot follow, or it is too large.
    pub fn append(&mut self, mut piece: Bytes) -> bool {
        self.bytes += piece.len() as u64;
        if self.bytes > self.shared.object_bytes_max {
            self.stream.breaks();
        }
        while !self.stream.is_broken() && !piece.is_empty() {
            let taken = piece.split_to(piece.len().min(PART_BYTES - self.gathered_bytes));
            self.gathered_bytes += taken.len();
            self.gathered.push(taken);
            if self.gathered_bytes == PART_BYTES {
                self.hand_over();
            }
        }
        !self.stream.is_broken()
    }

    /// It is whole: from now on it may be found. False when it is not kept.
    pub fn finish(mut self, object: NewObject) -> bool {
        if self.gathered_bytes > 0 {
            self.hand_over();
        }
        !self.stream.is_broken() && self.shared.put(Job::Commit(self.stream.clone(), Box::new(object)), 0)
    }

    fn hand_over(&mut self) {
        let bytes = std::mem::take(&mut self.gathered_bytes) as u64;
        let pieces = std::mem::take(&mut self.gathered);
        if !self.shared.put(Job::Part(self.stream.clone(), pieces), bytes) {
            self.stream.breaks();
        }
    }
}
