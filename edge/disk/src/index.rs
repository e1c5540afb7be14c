//! What lies where, in memory: found by the hash of a key, built anew from the segments after a restart. Knows neither
//! keys nor files; who reads a place compares the key. Each call holds one shard's lock for a moment.

use hashbrown::HashTable;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

const SHARDS: usize = 64;
/// Variants of one key; the oldest gives way.
pub(crate) const VARIANTS_MAX: usize = 32;
/// What one place costs in memory: tables are at worst half empty, and double when they grow.
pub(crate) const PLACE_COST: u64 = 2 * size_of::<Place>() as u64 + 2;
/// Uses are counted up to this.
const USES_MAX: u8 = 3;

/// Where an object lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub key_hash: u64,
    /// Which of the key's variants; 0 varies by nothing.
    pub variant: u32,
    pub segment: u32,
    /// Of its record in the segment.
    pub offset: u32,
    /// The oldest segment in which a part of it lies.
    pub oldest: u32,
    /// Bytes of head, key and meta.
    pub named_bytes: u32,
    /// Bytes of the body in the record.
    pub body_bytes: u32,
    /// Unix second after which it is of no use.
    pub useful_until: u32,
    /// Uses since it was written.
    pub uses: u8,
}

/// All places.
#[derive(Debug)]
pub(crate) struct Index {
    shards: Box<[Mutex<HashTable<Place>>]>,
    places_max: u64,
    ledger: Arc<Ledger>,
}

impl Place {
    /// What was written later is newer.
    fn position(&self) -> (u32, u32) {
        (self.segment, self.offset)
    }
}

impl Index {
    /// An empty one that charges the Ledger for at most `places_max`.
    pub(crate) fn new(places_max: u64, ledger: Arc<Ledger>) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), places_max, ledger }
    }

    fn shard(&self, key_hash: u64) -> MutexGuard<'_, HashTable<Place>> {
        // The table uses the lowest and highest bits.
        lock(&self.shards[(key_hash >> 32) as usize % SHARDS])
    }

    /// The variants of a key, newest first; empty when there is none that is still of use.
    pub(crate) fn find(&self, key_hash: u64, now: u64) -> Vec<Place> {
        let shard = self.shard(key_hash);
        let useful = |place: &&Place| place.key_hash == key_hash && u64::from(place.useful_until) > now;
        let mut places: Vec<Place> = shard.iter_hash(key_hash).filter(useful).copied().collect();
        drop(shard);
        places.sort_unstable_by_key(|place| std::cmp::Reverse(place.position()));
        places
    }

    /// Whether there is something under a key.
    pub(crate) fn holds(&self, key_hash: u64) -> bool {
        self.shard(key_hash).find(key_hash, |place| place.key_hash == key_hash).is_some()
    }

    /// Counts a use.
    pub(crate) fn used(&self, place: &Place) {
        let mut shard = self.shard(place.key_hash);
        if let Some(found) = shard.find_mut(place.key_hash, |other| other.position() == place.position()) {
            found.uses = found.uses.saturating_add(1).min(USES_MAX);
        }
    }

    /// Enters a place, unless something newer has taken it. Returns whether it was entered.
    pub(crate) fn insert(&self, place: Place) -> bool {
        let mut shard = self.shard(place.key_hash);
        let of_key = |other: &Place| other.key_hash == place.key_hash;
        let others: Vec<Place> =
            shard.iter_hash(place.key_hash).filter(|other| of_key(other)).copied().collect();
        // What varies by nothing answers for every variant, so it is superseded by any that is newer.
        let newer = |other: &&Place| {
            other.position() >= place.position() && (other.variant == place.variant || place.variant == 0)
        };
        if others.iter().any(|other| newer(&other)) {
            return false;
        }
        let mut removed = 0;
        let superseded = |other: &&Place| {
            other.position() < place.position() && (other.variant == place.variant || other.variant == 0)
        };
        for other in others.iter().filter(superseded) {
            removed += u64::from(remove(&mut shard, other));
        }
        let oldest = others.iter().filter(|other| !superseded(other)).min_by_key(|other| other.position());
        if others.len() - removed as usize >= VARIANTS_MAX
            && let Some(oldest) = oldest
        {
            removed += u64::from(remove(&mut shard, oldest));
        }
        shard.insert_unique(place.key_hash, place, |place| place.key_hash);
        drop(shard);
        self.ledger.charge(Account::Disk, PLACE_COST);
        self.ledger.release(Account::Disk, removed * PLACE_COST);
        true
    }

    /// Forgets a place that turned out to be nothing.
    pub(crate) fn remove(&self, place: &Place) {
        let removed = remove(&mut self.shard(place.key_hash), place);
        self.ledger.release(Account::Disk, u64::from(removed) * PLACE_COST);
    }

    /// Forgets a key.
    pub(crate) fn remove_key(&self, key_hash: u64) {
        for place in self.find(key_hash, 0) {
            self.remove(&place);
        }
    }

    /// Forgets what lies in segments before `first`, in part at least; returns how many, and those of it that were used.
    pub(crate) fn evict(&self, first: u32) -> (u64, Vec<Place>) {
        let (mut removed, mut used) = (0, Vec::new());
        for shard in &self.shards {
            lock(shard).retain(|place| {
                let stays = place.oldest >= first;
                if !stays {
                    removed += 1;
                    used.extend((place.uses > 0).then_some(*place));
                }
                stays
            });
        }
        self.ledger.release(Account::Disk, removed * PLACE_COST);
        (removed, used)
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let emptied = std::mem::take(&mut *lock(shard));
            self.ledger.release(Account::Disk, emptied.len() as u64 * PLACE_COST);
        }
    }

    /// Objects.
    pub(crate) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).len() as u64).sum()
    }

    /// Whether there are as many as may be.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= self.places_max
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.clear();
    }
}

fn remove(shard: &mut HashTable<Place>, place: &Place) -> bool {
    let same = |other: &Place| other.key_hash == place.key_hash && other.position() == place.position();
    shard.find_entry(place.key_hash, same).map(|found| found.remove()).is_ok()
}

/// Nothing that a panic could leave half done.
fn lock(shard: &Mutex<HashTable<Place>>) -> MutexGuard<'_, HashTable<Place>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(key_hash: u64, variant: u32, segment: u32, offset: u32) -> Place {
        let (named_bytes, body_bytes, useful_until) = (100, 10, 1_000);
        Place {
            key_hash,
            variant,
            segment,
            offset,
            oldest: segment,
            named_bytes,
            body_bytes,
            useful_until,
            uses: 0,
        }
    }

    fn index() -> Index {
        Index::new(1_000, Ledger::new(1 << 30))
    }

    #[test]
    fn the_newest_of_a_variant_is_found() {
        let index = index();
        for entered in [place(1, 7, 1, 0), place(1, 7, 2, 50), place(1, 8, 1, 90)] {
            assert!(index.insert(entered));
        }
        assert!(!index.insert(place(1, 7, 2, 10)), "an older one is no news");
        assert_eq!(index.find(1, 0), [place(1, 7, 2, 50), place(1, 8, 1, 90)]);
        assert!(index.find(1, 1_000).is_empty(), "they are of no use any more");
        assert!(index.find(2, 0).is_empty());
        assert_eq!(index.ledger.held(Account::Disk), 2 * PLACE_COST);
    }

    #[test]
    fn what_varies_by_nothing_is_superseded_by_any_variant() {
        let index = index();
        index.insert(place(1, 0, 1, 0));
        index.insert(place(1, 5, 1, 100));
        assert_eq!(index.find(1, 0), [place(1, 5, 1, 100)]);
        assert!(!index.insert(place(1, 0, 1, 0)));
        assert!(index.insert(place(1, 0, 2, 0)));
    }

    #[test]
    fn variants_are_bounded_and_the_oldest_goes() {
        let index = index();
        for variant in 1..=VARIANTS_MAX as u32 + 3 {
            index.insert(place(1, variant, 1, variant * 10));
        }
        let found = index.find(1, 0);
        assert_eq!((found.len(), found[VARIANTS_MAX - 1].variant), (VARIANTS_MAX, 4));
    }

    #[test]
    fn a_segment_goes_with_all_that_lies_in_it_and_says_what_was_used() {
        let index = index();
        index.insert(place(1, 0, 1, 0));
        index.insert(place(2, 0, 1, 100));
        index.insert(Place { oldest: 1, ..place(3, 0, 2, 0) });
        index.insert(place(4, 0, 2, 100));
        index.used(&place(2, 0, 1, 100));
        let (removed, used) = index.evict(2);
        assert_eq!((removed, used.len(), used[0].key_hash), (3, 1, 2));
        assert_eq!(index.len(), 1);
        drop(index);
    }

    proptest! {
        /// A restart reads the segments in another order than they were written in.
        #[test]
        fn the_order_of_entering_does_not_matter(
            entries in prop::collection::btree_map((0..4u32, 0..10u32), 0..3u32, 1..20).prop_shuffle_keys(),
        ) {
            let (sorted, shuffled) = entries;
            let (one, other) = (index(), index());
            for &((segment, offset), variant) in &sorted {
                one.insert(place(1, variant, segment, offset));
            }
            for &((segment, offset), variant) in &shuffled {
                other.insert(place(1, variant, segment, offset));
            }
            prop_assert_eq!(one.find(1, 0), other.find(1, 0));
        }
    }

    type Entered = Vec<((u32, u32), u32)>;

    trait Shuffled: Strategy + Sized {
        fn prop_shuffle_keys(self) -> BoxedStrategy<(Entered, Entered)>;
    }

    impl<S: Strategy<Value = std::collections::BTreeMap<(u32, u32), u32>> + 'static> Shuffled for S {
        fn prop_shuffle_keys(self) -> BoxedStrategy<(Entered, Entered)> {
            self.prop_map(|entries| entries.into_iter().collect::<Entered>())
                .prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle()))
                .boxed()
        }
    }
}
