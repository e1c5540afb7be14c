//! Where the objects of one shard are: their places in the queues of eviction, and in the index of tags, changed
//! together. Knows no keys and takes no locks.

use crate::eviction::Queues;
use crate::index::Index;
use crate::{Object, Tag};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Places {
    queues: Queues,
    index: Index,
}

impl Places {
    /// Takes a new object in and returns its place.
    pub(crate) fn insert(&mut self, object: Arc<Object>) -> u32 {
        let place = self.queues.insert(object.clone());
        self.index.add(place, object.tags());
        place
    }

    /// Puts an object into the place of its predecessor.
    pub(crate) fn replace(&mut self, place: u32, object: Arc<Object>) {
        if let Some(old) = self.queues.replace(place, object.clone())
            && !old.tags().eq(object.tags())
        {
            self.index.remove(place, old.tags());
            self.index.add(place, object.tags());
        }
    }

    /// Takes an object out.
    pub(crate) fn remove(&mut self, place: u32) -> Option<Arc<Object>> {
        let object = self.queues.remove(place)?;
        self.index.remove(place, object.tags());
        Some(object)
    }

    /// The object that goes next, with its place, where it still is.
    pub(crate) fn victim(&mut self) -> Option<(u32, Arc<Object>)> {
        self.queues.victim()
    }

    /// An object has grown by so much.
    pub(crate) fn grow(&mut self, place: u32, bytes: u64) {
        self.queues.grow(place, bytes);
    }

    /// Places up to this one have been used.
    pub(crate) fn end(&self) -> usize {
        self.queues.end()
    }

    /// Whether what is at a place has earned its stay.
    pub(crate) fn is_in_main(&self, place: u32) -> bool {
        self.queues.is_in_main(place)
    }

    /// What is at a place.
    pub(crate) fn at(&self, place: u32) -> Option<&Arc<Object>> {
        self.queues.at(place)
    }

    /// How many objects carry a tag.
    pub(crate) fn tagged(&self, tag: Tag) -> u32 {
        self.index.count(tag)
    }

    /// The place of the object that has carried a tag longest.
    pub(crate) fn oldest_tagged(&self, tag: Tag) -> Option<u32> {
        self.index.oldest(tag)
    }

    /// Counts it as the newest.
    pub(crate) fn turn_tagged(&mut self, tag: Tag) {
        self.index.turn(tag);
    }

    /// All objects.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.queues.objects()
    }
}
