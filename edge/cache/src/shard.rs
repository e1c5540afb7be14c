//! One part of the cache under one lock: which objects and which fills a key has, and in what order objects go.
//! Every change of it is a short critical section; what is removed is handed out, to be dropped outside the lock.

use crate::eviction::Queues;
use crate::fill::Fill;
use crate::miss::Markers;
use crate::{Key, Object};
use hashbrown::HashTable;
use std::sync::Arc;
use tentpole_message::Fields;
use tentpole_runtime::Ledger;

/// Variants of one key; the oldest gives way.
pub(crate) const VARIANTS_MAX: usize = 32;

#[derive(Debug)]
pub(crate) struct Shard {
    table: HashTable<Entry>,
    queues: Queues,
    pub markers: Markers,
}

/// All that is known under one key.
#[derive(Debug)]
pub(crate) struct Entry {
    hash: u64,
    pub key: Arc<[u8]>,
    /// Apart from the others: most keys have one variant, and a hit then follows one pointer less.
    newest: Option<Stored>,
    /// The newest last.
    older: Vec<Stored>,
    /// Fills that newcomers may join.
    pub fills: Vec<Arc<Fill>>,
}

#[derive(Debug)]
struct Stored {
    object: Arc<Object>,
    node: u32,
}

impl Shard {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        Self { table: HashTable::new(), queues: Queues::default(), markers: Markers::new(ledger) }
    }

    /// What is known under a key.
    #[inline]
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<&Entry> {
        self.table.find(key.hash, |entry| entry.hash == key.hash && *entry.key == *key.bytes)
    }

    /// The place of a key, made if need be.
    fn entry(&mut self, hash: u64, key: &Arc<[u8]>) -> &mut Entry {
        let same = |entry: &Entry| entry.hash == hash && *entry.key == **key;
        let vacant = || Entry { hash, key: key.clone(), newest: None, older: Vec::new(), fills: Vec::new() };
        self.table.entry(hash, same, |entry| entry.hash).or_insert_with(vacant).into_mut()
    }

    /// Changes what is known under a key, and forgets the key when nothing is left.
    fn change<T>(
        &mut self,
        hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut Entry, &mut Queues) -> T,
    ) -> Option<T> {
        let same = |entry: &Entry| entry.hash == hash && *entry.key == *key;
        let mut found = self.table.find_entry(hash, same).ok()?;
        let changed = change(found.get_mut(), &mut self.queues);
        if found.get().is_empty() {
            found.remove();
        }
        Some(changed)
    }

    /// Lets newcomers join a fill.
    pub(crate) fn attach(&mut self, fill: &Arc<Fill>) {
        self.entry(fill.hash, &fill.key).fills.push(fill.clone());
    }

    /// Whether a fill may still be joined, which means that no purge came; now it may not.
    pub(crate) fn detach(&mut self, fill: &Arc<Fill>) -> bool {
        let detached = self.change(fill.hash, &fill.key, |entry, _| {
            let at = entry.fills.iter().position(|other| Arc::ptr_eq(other, fill));
            at.map(|at| entry.fills.swap_remove(at)).is_some()
        });
        detached.unwrap_or(false)
    }

    /// Stores an object, in the place of those that it supersedes; returns these.
    pub(crate) fn insert(
        &mut self,
        object: Arc<Object>,
        superseded: Option<&Arc<Object>>,
    ) -> Vec<Arc<Object>> {
        let key = object.shared_key().clone();
        self.entry(object.hash(), &key);
        let insert =
            |entry: &mut Entry, queues: &mut Queues| entry.insert(queues, object.clone(), superseded);
        self.change(object.hash(), &key, insert).unwrap_or_default()
    }

    /// Puts an object into the place of another; false when that one is no longer there.
    pub(crate) fn replace(&mut self, old: &Arc<Object>, new: &Arc<Object>) -> bool {
        let replaced = self.change(old.hash(), old.key(), |entry, queues| {
            let stored = entry.all_mut().find(|stored| Arc::ptr_eq(&stored.object, old))?;
            queues.replace(stored.node, new.clone());
            stored.object = new.clone();
            Some(())
        });
        replaced.flatten().is_some()
    }

    /// Removes an object; false when it is no longer there.
    pub(crate) fn remove(&mut self, object: &Arc<Object>) -> bool {
        let removed = self.change(object.hash(), object.key(), |entry, queues| {
            let stored = entry.take(|stored| Arc::ptr_eq(&stored.object, object))?;
            queues.remove(stored.node);
            Some(())
        });
        removed.flatten().is_some()
    }

    /// Removes the object that matters least.
    pub(crate) fn evict(&mut self) -> Option<Arc<Object>> {
        let (node, object) = self.queues.victim()?;
        self.change(object.hash(), object.key(), |entry, _| entry.take(|stored| stored.node == node));
        self.queues.remove(node);
        Some(object)
    }

    /// Forgets a key: its objects and its fills.
    pub(crate) fn purge(&mut self, key: &Key<'_>) -> (Vec<Arc<Object>>, Vec<Arc<Fill>>) {
        self.markers.clear(key.hash);
        let purged = self.change(key.hash, key.bytes, |entry, queues| {
            let mut objects = Vec::new();
            while let Some(stored) = entry.take(|_| true) {
                queues.remove(stored.node);
                objects.push(stored.object);
            }
            (objects, std::mem::take(&mut entry.fills))
        });
        purged.unwrap_or_default()
    }

    /// Forgets everything in constant time under the lock.
    pub(crate) fn empty(&mut self, ledger: &Arc<Ledger>) -> Contents {
        let Self { table, queues, markers } = std::mem::replace(self, Self::new(ledger));
        Contents { table, queues, _markers: markers }
    }
}

/// What a shard held.
pub(crate) struct Contents {
    table: HashTable<Entry>,
    queues: Queues,
    /// Only to be dropped outside the lock.
    _markers: Markers,
}

impl Entry {
    /// The newest variant that a request selects (RFC 9111 section 4.1: the most recent of several).
    #[inline]
    pub(crate) fn select(&self, request: &Fields) -> Option<&Arc<Object>> {
        let mut all = self.newest.iter().chain(self.older.iter().rev());
        all.find(|stored| stored.object.vary().matches(request)).map(|stored| &stored.object)
    }

    /// The newest variant, whatever selects it.
    pub(crate) fn newest(&self) -> Option<&Arc<Object>> {
        self.newest.as_ref().map(|stored| &stored.object)
    }

    fn insert(
        &mut self,
        queues: &mut Queues,
        object: Arc<Object>,
        superseded: Option<&Arc<Object>>,
    ) -> Vec<Arc<Object>> {
        let gives_way = |stored: &Stored| {
            let other = &stored.object;
            // One that varied by nothing would answer for every variant.
            other.vary() == object.vary()
                || other.vary().is_empty()
                || superseded.is_some_and(|superseded| Arc::ptr_eq(superseded, other))
        };
        let (mut removed, mut place) = (Vec::new(), None);
        while let Some(stored) = self.take(gives_way) {
            if let Some(second) = place.replace(stored.node) {
                queues.remove(second);
            }
            removed.push(stored.object);
        }
        if self.older.len() + 2 > VARIANTS_MAX {
            let oldest = self.older.remove(0);
            queues.remove(oldest.node);
            removed.push(oldest.object);
        }
        let node = match place {
            Some(node) => {
                queues.replace(node, object.clone());
                node
            }
            None => queues.insert(object.clone()),
        };
        self.older.extend(self.newest.replace(Stored { object, node }));
        removed
    }

    /// Takes one variant out.
    fn take(&mut self, which: impl Fn(&Stored) -> bool) -> Option<Stored> {
        if self.newest.as_ref().is_some_and(&which) {
            return std::mem::replace(&mut self.newest, self.older.pop());
        }
        let at = self.older.iter().position(which)?;
        Some(self.older.remove(at))
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut Stored> {
        self.newest.iter_mut().chain(&mut self.older)
    }

    fn is_empty(&self) -> bool {
        self.newest.is_none() && self.fills.is_empty()
    }
}

impl Contents {
    /// How many objects, and how many bytes they cost.
    pub(crate) fn objects(&self) -> (u64, u64) {
        (self.queues.len() as u64, self.queues.bytes())
    }

    /// The fills that were under way.
    pub(crate) fn fills(&self) -> impl Iterator<Item = &Arc<Fill>> {
        self.table.iter().flat_map(|entry| &entry.fills)
    }
}
