//! Which object goes when room is needed: S3-FIFO (Yang et al., "FIFO queues are all you need for cache eviction",
//! SOSP 2023). New objects pass a small queue; those used again there move to the main one; the hashes of those
//! that leave it are remembered, so that they enter the main queue when they return. A scan washes through the
//! small queue only. Knows no keys and takes no locks.

use crate::Object;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::collections::VecDeque;
use std::sync::Arc;

/// The small queue's share of the bytes, in hundredths (section 4.1 of the paper).
const SMALL_PARTS: u64 = 10;

/// Uses in the small queue that earn a place in the main one (algorithm 1: more than one).
const PROMOTED_FROM_USES: u8 = 2;

/// Objects that one eviction may pass over before it takes the next whatever its uses: bounds the time under the
/// shard's lock.
const PASSED_OVER_MAX: usize = 256;

/// Ghosts that are kept even when few objects are.
const GHOSTS_MIN: usize = 64;

/// No node.
const NONE: u32 = IN_MAIN - 1;

/// The bit beside an index that says: in the main queue.
const IN_MAIN: u32 = 1 << 31;

/// The two queues of one shard, and its ghosts.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    nodes: Vec<Node>,
    free: Vec<u32>,
    small: List,
    main: List,
    ghosts: Ghosts,
}

/// A place in a queue: 16 bytes.
#[derive(Debug)]
struct Node {
    object: Option<Arc<Object>>,
    /// Towards the queue's head, where objects enter.
    newer: u32,
    /// Towards its tail, where they leave; [`IN_MAIN`] says which queue it is.
    older_in: u32,
}

#[derive(Debug)]
struct List {
    newest: u32,
    oldest: u32,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Ghosts {
    order: VecDeque<u64>,
    known: HashTable<u64>,
}

impl Queues {
    /// Takes a new object in and returns its node.
    pub(crate) fn insert(&mut self, object: Arc<Object>) -> u32 {
        let in_main = self.ghosts.forget(object.hash());
        let node = Node { object: Some(object), newer: NONE, older_in: NONE }.moved(in_main);
        let index = match self.free.pop() {
            Some(index) => {
                self.nodes[index as usize] = node;
                index
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        self.link(index);
        index
    }

    /// Puts an object into the place of its predecessor, with its uses: a refreshed object is as hot as it was.
    pub(crate) fn replace(&mut self, index: u32, object: Arc<Object>) -> Option<Arc<Object>> {
        self.grow(index, object.cost());
        let old = self.nodes[index as usize].object.replace(object.clone());
        if let Some(old) = &old {
            self.list(index).bytes -= old.cost();
            object.set_uses(old.uses());
        }
        old
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, index: u32) -> Option<Arc<Object>> {
        self.unlink(index);
        self.free.push(index);
        self.nodes[index as usize].object.take()
    }

    /// An object costs so much more than it did.
    pub(crate) fn grow(&mut self, index: u32, bytes: u64) {
        self.list(index).bytes += bytes;
    }

    /// The object that goes next, with its node. It is still in its queue: the caller removes it.
    pub(crate) fn victim(&mut self) -> Option<(u32, Arc<Object>)> {
        let mut passed_over = 0;
        loop {
            let from_small = self.main.oldest == NONE || self.small.bytes * 100 >= self.bytes() * SMALL_PARTS;
            let index =
                if from_small && self.small.oldest != NONE { self.small.oldest } else { self.main.oldest };
            let node = self.nodes.get(index as usize)?;
            let object = node.object.clone()?;
            let (in_main, uses) = (node.in_main(), object.uses());
            let kept = if in_main { uses > 0 } else { uses >= PROMOTED_FROM_USES };
            if !kept || passed_over == PASSED_OVER_MAX {
                if !in_main {
                    let ghosts_max = (self.nodes.len() - self.free.len()).max(GHOSTS_MIN);
                    self.ghosts.remember(object.hash(), ghosts_max);
                }
                return Some((index, object));
            }
            passed_over += 1;
            object.set_uses(if in_main { uses - 1 } else { 0 });
            self.unlink(index);
            self.nodes[index as usize].older_in |= IN_MAIN;
            self.link(index);
        }
    }

    /// Bytes in both queues.
    pub(crate) fn bytes(&self) -> u64 {
        self.small.bytes + self.main.bytes
    }

    /// Nodes up to here have been used.
    pub(crate) fn end(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a node is in the main queue.
    pub(crate) fn is_in_main(&self, index: u32) -> bool {
        self.nodes.get(index as usize).is_some_and(Node::in_main)
    }

    /// The object of a node.
    pub(crate) fn at(&self, index: u32) -> Option<&Arc<Object>> {
        self.nodes.get(index as usize)?.object.as_ref()
    }

    /// All objects.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.nodes.iter().filter_map(|node| node.object.as_ref())
    }

    fn list(&mut self, index: u32) -> &mut List {
        if self.nodes[index as usize].in_main() { &mut self.main } else { &mut self.small }
    }

    fn cost(&self, index: u32) -> u64 {
        self.at(index).map_or(0, |object| object.cost())
    }

    fn link(&mut self, index: u32) {
        let bytes = self.cost(index);
        let list = self.list(index);
        let second = list.newest;
        list.newest = index;
        list.bytes += bytes;
        if second == NONE {
            list.oldest = index;
        } else {
            self.nodes[second as usize].newer = index;
        }
        let node = &mut self.nodes[index as usize];
        node.newer = NONE;
        node.set_older(second);
    }

    fn unlink(&mut self, index: u32) {
        let node = &self.nodes[index as usize];
        let (newer, older) = (node.newer, node.older());
        let bytes = self.cost(index);
        let list = self.list(index);
        list.bytes -= bytes;
        if newer == NONE {
            list.newest = older;
        }
        if older == NONE {
            list.oldest = newer;
        }
        if let Some(node) = self.nodes.get_mut(newer as usize) {
            node.set_older(older);
        }
        if let Some(node) = self.nodes.get_mut(older as usize) {
            node.newer = newer;
        }
    }
}

impl Node {
    fn in_main(&self) -> bool {
        self.older_in & IN_MAIN != 0
    }

    fn older(&self) -> u32 {
        self.older_in & !IN_MAIN
    }

    fn set_older(&mut self, older: u32) {
        self.older_in = older | self.older_in & IN_MAIN;
    }

    fn moved(mut self, in_main: bool) -> Self {
        self.older_in |= if in_main { IN_MAIN } else { 0 };
        self
    }
}

impl Default for List {
    fn default() -> Self {
        Self { newest: NONE, oldest: NONE, bytes: 0 }
    }
}

impl Ghosts {
    /// Notes a hash, and forgets the oldest ones beyond `count_max`.
    fn remember(&mut self, hash: u64, count_max: usize) {
        if let Entry::Vacant(vacant) = self.known.entry(hash, |&known| known == hash, |&known| known) {
            vacant.insert(hash);
            self.order.push_back(hash);
        }
        while self.order.len() > count_max {
            if let Some(oldest) = self.order.pop_front() {
                self.forget(oldest);
            }
        }
    }

    /// Whether a hash was known; it no longer is. Its place in the order stays until its turn comes.
    fn forget(&mut self, hash: u64) -> bool {
        self.known.find_entry(hash, |&known| known == hash).map(|found| found.remove()).is_ok()
    }
}
