//! Which objects of a shard carry a tag: for each tag a ring of links, each for one object, in the order in which they
//! came. Adding and removing an object takes a step a tag, whatever else carries it; caches without tags pay nothing.
//! Knows places, not objects.

use crate::Tag;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use std::hash::BuildHasher;

#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Tags are whatever applications write: whoever chooses them must not choose their place in the table.
    seed: RandomState,
    rings: HashTable<Ring>,
    links: Vec<Link>,
    free: Vec<u32>,
    /// The first link of the object at a place.
    first: Vec<u32>,
}

/// All that carries one tag.
#[derive(Debug)]
struct Ring {
    tag: Tag,
    /// The link that has been there longest.
    oldest: u32,
    count: u32,
}

/// That the object at a place carries a tag.
#[derive(Debug)]
struct Link {
    place: u32,
    /// In the tag's ring.
    newer: u32,
    older: u32,
    /// The same object's next tag.
    sibling: u32,
}

const NONE: u32 = u32::MAX;

impl Index {
    /// The object at a place carries these tags, each once.
    pub(crate) fn add(&mut self, place: u32, tags: impl Iterator<Item = Tag>) {
        let mut last = NONE;
        for tag in tags {
            let link = self.take(place);
            self.join(tag, link);
            match self.links.get_mut(last as usize) {
                Some(before) => before.sibling = link,
                None => self.set_first(place, link),
            }
            last = link;
        }
    }

    /// It no longer does: the same tags in the same order.
    pub(crate) fn remove(&mut self, place: u32, tags: impl Iterator<Item = Tag>) {
        let mut link = NONE;
        for (at, tag) in tags.enumerate() {
            if at == 0 {
                link = std::mem::replace(&mut self.first[place as usize], NONE);
            }
            let sibling = self.links[link as usize].sibling;
            self.leave(tag, link);
            self.free.push(link);
            link = sibling;
        }
    }

    /// How many objects carry a tag.
    pub(crate) fn count(&self, tag: Tag) -> u32 {
        self.rings.find(self.seed.hash_one(tag), |ring| ring.tag == tag).map_or(0, |ring| ring.count)
    }

    /// The place of the object that has carried a tag longest.
    pub(crate) fn oldest(&self, tag: Tag) -> Option<u32> {
        let ring = self.rings.find(self.seed.hash_one(tag), |ring| ring.tag == tag)?;
        Some(self.links[ring.oldest as usize].place)
    }

    /// Counts the oldest as the newest.
    pub(crate) fn turn(&mut self, tag: Tag) {
        if let Some(ring) = self.rings.find_mut(self.seed.hash_one(tag), |ring| ring.tag == tag) {
            ring.oldest = self.links[ring.oldest as usize].newer;
        }
    }

    fn take(&mut self, place: u32) -> u32 {
        let link = Link { place, newer: NONE, older: NONE, sibling: NONE };
        if let Some(index) = self.free.pop() {
            self.links[index as usize] = link;
            return index;
        }
        self.links.push(link);
        self.links.len() as u32 - 1
    }

    fn set_first(&mut self, place: u32, link: u32) {
        if self.first.len() <= place as usize {
            self.first.resize(place as usize + 1, NONE);
        }
        self.first[place as usize] = link;
    }

    /// Puts a link behind the newest of its tag.
    fn join(&mut self, tag: Tag, link: u32) {
        let (seed, hash) = (&self.seed, self.seed.hash_one(tag));
        let same = |ring: &Ring| ring.tag == tag;
        let (older, newer) = match self.rings.entry(hash, same, |ring| seed.hash_one(ring.tag)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Ring { tag, oldest: link, count: 1 });
                (link, link)
            }
            Entry::Occupied(mut occupied) => {
                let ring = occupied.get_mut();
                ring.count += 1;
                (self.links[ring.oldest as usize].older, ring.oldest)
            }
        };
        (self.links[link as usize].older, self.links[link as usize].newer) = (older, newer);
        self.links[older as usize].newer = link;
        self.links[newer as usize].older = link;
    }

    fn leave(&mut self, tag: Tag, link: u32) {
        let Link { newer, older, .. } = self.links[link as usize];
        self.links[older as usize].newer = newer;
        self.links[newer as usize].older = older;
        let hash = self.seed.hash_one(tag);
        let Ok(mut found) = self.rings.find_entry(hash, |ring| ring.tag == tag) else { return };
        let ring = found.get_mut();
        ring.count -= 1;
        if ring.oldest == link {
            ring.oldest = newer;
        }
        if ring.count == 0 {
            found.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;
    use tentpole_runtime::Random;

    /// All places of a tag, from the oldest.
    fn all(index: &mut Index, tag: Tag) -> Vec<u32> {
        let mut places = Vec::new();
        for _ in 0..index.count(tag) {
            places.extend(index.oldest(tag));
            index.turn(tag);
        }
        places
    }

    #[test]
    fn any_objects_come_and_go() {
        let tags: Vec<Tag> = (0..9).map(|number: u32| Tag::of(&number.to_le_bytes())).collect();
        let (mut index, mut held) = (Index::default(), HashMap::<u32, Vec<Tag>>::new());
        let mut order: Vec<u32> = Vec::new();
        let mut random = Random::from_seed(7);
        for _ in 0..20_000 {
            let place = random.next_u64() as u32 % 50;
            if let Some(tags) = held.remove(&place) {
                index.remove(place, tags.into_iter());
                order.retain(|&other| other != place);
            } else {
                let chosen = random.next_u64();
                let own: Vec<Tag> = (0..9).filter(|at| chosen >> at & 1 == 1).map(|at| tags[at]).collect();
                index.add(place, own.iter().copied());
                held.insert(place, own);
                order.push(place);
            }
            let tag = tags[random.next_u64() as usize % 9];
            let expected: Vec<u32> =
                order.iter().copied().filter(|place| held[place].contains(&tag)).collect();
            assert_eq!(all(&mut index, tag), expected);
        }
        for (place, tags) in held {
            index.remove(place, tags.into_iter());
        }
        assert!(index.rings.is_empty(), "what nobody carries is forgotten");
        assert_eq!(index.free.len(), index.links.len());
    }
}
