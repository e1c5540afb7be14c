//! One part of the cache under one lock: which objects and which fills a key has, and in what order objects go.
//! Every change of it is a short critical section; what is removed is handed out, to be dropped outside the lock.

use crate::entry::Entry;
use crate::fill::Fill;
use crate::miss::Markers;
use crate::places::Places;
use crate::{Coding, Derived, Key, Object, Tag};
use hashbrown::HashTable;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tentpole_runtime::Ledger;

#[derive(Debug)]
pub(crate) struct Shard {
    table: HashTable<Entry>,
    places: Places,
    /// All fills that newcomers may join: purges look at each.
    fills: Vec<Arc<Fill>>,
    pub markers: Markers,
}

/// What a purge does with an object that it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Manner {
    /// Removes it.
    Hard,
    /// Makes it stale, at this unix second.
    Soft(u32),
}

/// What a purge met in one shard.
#[derive(Debug, Default)]
pub(crate) struct Met {
    /// Objects that were removed, to be dropped outside the lock.
    pub removed: Vec<Arc<Object>>,
    /// How many were made stale.
    pub stale: u64,
}

impl Shard {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        let (table, places, fills) = (HashTable::new(), Places::default(), Vec::new());
        Self { table, places, fills, markers: Markers::new(ledger) }
    }

    /// What is known under a key.
    #[inline]
    pub(crate) fn find(&self, key: &Key<'_>) -> Option<&Entry> {
        self.table.find(key.hash, |entry| entry.hash() == key.hash && entry.key() == key.bytes)
    }

    /// Changes what is known under a key, and forgets the key when nothing is left.
    fn change<T>(
        &mut self,
        hash: u64,
        key: &[u8],
        change: impl FnOnce(&mut Entry, &mut Places) -> T,
    ) -> Option<T> {
        let same = |entry: &Entry| entry.hash() == hash && entry.key() == key;
        let mut found = self.table.find_entry(hash, same).ok()?;
        let changed = change(found.get_mut(), &mut self.places);
        if found.get().is_empty() {
            found.remove();
        }
        Some(changed)
    }

    /// Lets newcomers join a fill.
    pub(crate) fn attach(&mut self, fill: &Arc<Fill>) {
        fill.place.store(self.fills.len() as u32, Ordering::Relaxed);
        self.fills.push(fill.clone());
        let same = |entry: &Entry| entry.hash() == fill.hash && entry.key() == &*fill.key;
        match self.table.find_mut(fill.hash, same) {
            Some(entry) => entry.attach(fill.clone()),
            None => {
                self.table.insert_unique(fill.hash, Entry::of_fill(fill.clone()), Entry::hash);
            }
        }
    }

    /// Whether a fill may still be joined, which means that no purge came; now it may not.
    pub(crate) fn detach(&mut self, fill: &Arc<Fill>) -> bool {
        let detached = self.change(fill.hash, &fill.key, |entry, _| entry.detach(fill)) == Some(true);
        if detached {
            self.forget(fill);
        }
        detached
    }

    /// Takes a fill off the list of all.
    fn forget(&mut self, fill: &Fill) {
        let place = fill.place.load(Ordering::Relaxed);
        self.fills.swap_remove(place as usize);
        if let Some(moved) = self.fills.get(place as usize) {
            moved.place.store(place, Ordering::Relaxed);
        }
    }

    /// Stores an object, in the place of those that it supersedes; returns these.
    pub(crate) fn insert(
        &mut self,
        object: Arc<Object>,
        superseded: Option<&Arc<Object>>,
    ) -> Vec<Arc<Object>> {
        let same = |entry: &Entry| entry.hash() == object.hash() && entry.key() == object.key();
        match self.table.find_mut(object.hash(), same) {
            Some(entry) => entry.insert(&mut self.places, object, superseded),
            None => {
                let place = self.places.insert(object.clone());
                self.table.insert_unique(object.hash(), Entry::of_object(object, place), Entry::hash);
                Vec::new()
            }
        }
    }

    /// Puts an object into the place of another; false when that one is no longer there.
    pub(crate) fn replace(&mut self, old: &Arc<Object>, new: &Arc<Object>) -> bool {
        let replaced = self.change(old.hash(), old.key(), |entry, places| entry.replace(places, old, new));
        replaced == Some(true)
    }

    /// Puts a form into its object; false when that is no longer there, or has one already.
    pub(crate) fn derive(&mut self, object: &Arc<Object>, coding: Coding, derived: &Arc<Derived>) -> bool {
        let put = self.change(object.hash(), object.key(), |entry, places| {
            let Some(place) = entry.place_of(object) else { return false };
            let put = object.forms.put(coding, derived);
            if put {
                places.grow(place, derived.cost());
            }
            put
        });
        put == Some(true)
    }

    /// Removes the object that matters least.
    pub(crate) fn evict(&mut self) -> Option<Arc<Object>> {
        let (place, _) = self.places.victim()?;
        self.remove_at(place)
    }

    /// Removes an object; false when it is no longer there.
    pub(crate) fn remove(&mut self, object: &Arc<Object>) -> bool {
        let removed = self.change(object.hash(), object.key(), |entry, places| {
            let stored = entry.take(|stored| stored.is(object))?;
            places.remove(stored.place);
            Some(())
        });
        removed.flatten().is_some()
    }

    /// Removes the object at a place.
    fn remove_at(&mut self, place: u32) -> Option<Arc<Object>> {
        let hash = self.places.at(place)?.hash();
        // By place, not by key: the key's bytes lie elsewhere.
        let mut found = self.table.find_entry(hash, |entry| entry.holds(place)).ok()?;
        found.get_mut().take(|stored| stored.place == place);
        if found.get().is_empty() {
            found.remove();
        }
        self.places.remove(place)
    }

    // What purges do.

    /// Closes all fills that are meant; returns them.
    pub(crate) fn detach_all(&mut self, meant: impl Fn(&Fill) -> bool) -> Vec<Arc<Fill>> {
        let detached: Vec<_> = self.fills.iter().filter(|fill| meant(fill)).cloned().collect();
        for fill in &detached {
            self.detach(fill);
        }
        detached
    }

    /// All variants of a key.
    pub(crate) fn purge(&mut self, key: &Key<'_>, manner: Manner) -> (Met, Vec<Arc<Fill>>) {
        self.markers.clear(key.hash);
        let Some(entry) = self.find(key) else { return Default::default() };
        let (places, fills): (Vec<u32>, Vec<_>) = (entry.places().collect(), entry.fills().to_vec());
        let mut met = Met::default();
        places.into_iter().for_each(|place| self.purge_at(place, manner, &mut met));
        for fill in &fills {
            self.detach(fill);
        }
        (met, fills)
    }

    /// The objects at these places that are meant.
    pub(crate) fn purge_places(
        &mut self,
        places: impl Iterator<Item = u32>,
        meant: impl Fn(&[u8]) -> bool,
        manner: Manner,
        met: &mut Met,
    ) {
        for place in places {
            if self.places.at(place).is_some_and(|object| meant(object.key())) {
                self.purge_at(place, manner, met);
            }
        }
    }

    /// Of the objects with a tag, the `count` that have had it longest, as far as they are meant. They count as the
    /// newest afterwards.
    pub(crate) fn purge_tagged(
        &mut self,
        tag: Tag,
        count: u32,
        meant: impl Fn(&[u8]) -> bool,
        manner: Manner,
        met: &mut Met,
    ) {
        for _ in 0..count {
            let Some(place) = self.places.oldest_tagged(tag) else { return };
            let is_meant = self.places.at(place).is_some_and(|object| meant(object.key()));
            if !is_meant || matches!(manner, Manner::Soft(_)) {
                self.places.turn_tagged(tag);
            }
            if is_meant {
                self.purge_at(place, manner, met);
            }
        }
    }

    fn purge_at(&mut self, place: u32, manner: Manner, met: &mut Met) {
        match manner {
            Manner::Hard => met.removed.extend(self.remove_at(place)),
            Manner::Soft(now) => {
                let newly = self.places.at(place).is_some_and(|object| object.purge_softly(now));
                met.stale += u64::from(newly);
            }
        }
    }

    /// Whether something stored here answers for what an object would, or says that nothing under its key is stored.
    pub(crate) fn knows(&mut self, object: &Object) -> bool {
        let key = Key { hash: object.hash(), bytes: object.key() };
        self.markers.holds(key.hash)
            || self.find(&key).is_some_and(|entry| {
                let names = object.vary().sign().names;
                let answers =
                    |known: &Arc<Object>| known.vary() == object.vary() || known.vary().sign().names != names;
                entry.places().filter_map(|place| self.places.at(place)).any(answers)
            })
    }

    /// The object at a place, and how hot it is, 0 to 3: how often it was used, and at least once if it is in the main
    /// queue.
    pub(crate) fn heat_at(&self, place: u32) -> Option<(&Arc<Object>, u8)> {
        let object = self.places.at(place)?;
        Some((object, object.uses().max(u8::from(self.places.is_in_main(place)))))
    }

    /// How many objects carry a tag.
    pub(crate) fn tagged(&self, tag: Tag) -> u32 {
        self.places.tagged(tag)
    }

    /// All places are below this one.
    pub(crate) fn places_end(&self) -> u32 {
        self.places.end() as u32
    }

    /// Forgets everything in constant time under the lock.
    pub(crate) fn empty(&mut self, ledger: &Arc<Ledger>) -> Contents {
        let Self { table, places, fills, markers } = std::mem::replace(self, Self::new(ledger));
        Contents { places, fills, _dropped: (table, markers) }
    }
}

/// What a shard held.
pub(crate) struct Contents {
    pub places: Places,
    /// The fills that were under way.
    pub fills: Vec<Arc<Fill>>,
    /// Only to be dropped outside the lock.
    _dropped: (HashTable<Entry>, Markers),
}
