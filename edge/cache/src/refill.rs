//! Objects on their way from the cache of one process into that of the next: which go first, and what may enter. An
//! object that comes from elsewhere was stored before any purge that this cache has seen, so it is compared with all of
//! them: what was purged here is not brought back, however long it was on its way. Sends nothing and reads nothing.

use crate::body::Body;
use crate::brought::{Brought, Content};
use crate::derived::Forms;
use crate::object::Frame;
use crate::{Cache, Object, Selector, tag};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tentpole_runtime::clock;
use tentpole_runtime::ledger::Pressure;

/// Places that one critical section looks at.
const BATCH: u32 = 128;
/// Bytes that one batch holds on to, or one object more.
const BATCH_BYTES: u64 = 1 << 20;
/// The hottest: used as often as is counted.
const HOTTEST: u8 = 3;
/// Keys that are remembered as purged; with more, nothing comes in any more.
const KEYS_MAX: usize = 100_000;
/// Other purges that are remembered. Each object that comes in is compared with all of them.
const OTHERS_MAX: usize = 1_000;

/// What became of an object that came from another cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refilled {
    /// It is stored.
    Stored,
    /// What is known here is newer.
    Known,
    /// It was purged meanwhile.
    Purged,
    /// There is no room for it; what is stored does not give way.
    Full,
}

/// The purges since [`Cache::remember_purges`].
#[derive(Debug, Default)]
pub(crate) struct Memory {
    on: AtomicBool,
    /// Counts up with each purge, before that touches a shard.
    count: AtomicU64,
    purged: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// By hash: a key that shares it is only left out.
    keys: HashSet<u64>,
    others: Vec<Selector>,
    /// There were more than are remembered.
    all: bool,
}

impl Memory {
    /// Notes a purge; to be called before it touches a shard.
    #[inline]
    pub(crate) fn note(&self, note: impl FnOnce() -> Noted) {
        if self.on.load(Ordering::Acquire) {
            self.take(note());
        }
    }

    #[cold]
    fn take(&self, noted: Noted) {
        let mut purged = self.purged();
        match noted {
            Noted::Key(hash) if purged.keys.len() < KEYS_MAX => _ = purged.keys.insert(hash),
            Noted::Other(selector) if purged.others.len() < OTHERS_MAX => purged.others.push(selector),
            Noted::Key(_) | Noted::Other(_) => *purged = Remembered { all: true, ..Remembered::default() },
        }
        // Under its lock: who has read the number has compared with all that it counts.
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn purged(&self) -> MutexGuard<'_, Remembered> {
        self.purged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an object is of what was purged, and how many purges that was compared with.
    fn means(&self, object: &Object) -> (bool, u64) {
        let purged = self.purged();
        let means = purged.all
            || purged.keys.contains(&object.hash())
            || purged.others.iter().any(|other| other.selects(object.key(), object.tags()));
        (means, self.count.load(Ordering::Acquire))
    }
}

/// A purge as it is remembered.
pub(crate) enum Noted {
    /// Of one key, by its hash.
    Key(u64),
    /// Of anything else.
    Other(Selector),
}

impl Cache {
    /// From now on remembers what is purged, so that [`Cache::refill`] may be called. To be called before the first
    /// purge can come.
    pub fn remember_purges(&self) {
        self.memory.on.store(true, Ordering::Release);
    }

    /// Nothing comes from elsewhere any more: what was purged need not be remembered.
    pub fn forget_purges(&self) {
        self.memory.on.store(false, Ordering::Release);
        *self.memory.purged() = Remembered::default();
    }

    /// Notes a purge of what a selector names.
    pub(crate) fn note_purge(&self, selector: &Selector) {
        self.memory.note(|| match selector {
            Selector::Key(key) => Noted::Key(self.hash(key)),
            other => Noted::Other(other.clone()),
        });
    }

    /// Takes in an object that another process had stored under this key, used as often as is said. It enters if
    /// there is room beside what is stored, if nothing newer is known here, and if no purge since
    /// [`Cache::remember_purges`] was about it: a purge that comes at this very moment finds it, or keeps it out. `stored` gets
    /// it then.
    pub fn refill(
        &self,
        key: &[u8],
        brought: Brought<'_>,
        uses: u8,
        stored: impl FnOnce(&Arc<Object>),
    ) -> Refilled {
        let hash = self.hash(key);
        let Some(object) = self.made_of(key, hash, brought) else { return Refilled::Full };
        object.set_uses(uses.min(HOTTEST));
        let cost = object.cost();
        if !self.reserve_free(cost) {
            return Refilled::Full;
        }
        let refilled = self.put_refilled(&object);
        match refilled {
            Refilled::Stored => stored(&object),
            _ => _ = self.counts.bytes.fetch_sub(cost, Ordering::Relaxed),
        }
        refilled
    }

    fn put_refilled(&self, object: &Arc<Object>) -> Refilled {
        loop {
            let (is_purged, count) = self.memory.means(object);
            if is_purged || !self.memory.on.load(Ordering::Acquire) {
                return Refilled::Purged;
            }
            let mut shard = self.shard(object.hash());
            // A purge is noted before it comes to this shard: one that is not counted yet comes after us.
            if self.memory.count.load(Ordering::Acquire) != count {
                continue;
            }
            if shard.knows(object) {
                return Refilled::Known;
            }
            let removed = shard.insert(object.clone(), None);
            // Under the lock: a purge right after it subtracts.
            self.counts.stored(object);
            drop(shard);
            self.counts.removed(&removed);
            return Refilled::Stored;
        }
    }

    /// The object; `None` when it is more than may be stored.
    fn made_of(&self, key: &[u8], hash: u64, brought: Brought<'_>) -> Option<Arc<Object>> {
        let Brought { head, facts, vary, etag, last_modified, tags, content, assembles, .. } = brought;
        let Content::Pieces(pieces) = content else { return None };
        let bytes: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if bytes > self.storable_max() || self.ledger.pressure() >= Pressure::PassFills {
            return None;
        }
        let tags = tag::sorted(tags)?;
        let frame =
            Frame { facts, head, etag, last_modified, assembles, vary, tags, key: Arc::from(key), hash };
        let body = Body::new(&self.ledger, pieces, assembles);
        let object = Arc::new(frame.with_body(Arc::new(body), Forms::default()));
        if brought.purged_softly {
            object.purge_softly(u32::try_from(clock::unix_seconds()).unwrap_or(u32::MAX));
        }
        Some(object)
    }

    /// Counts an object as there if that needs no other to give way.
    fn reserve_free(&self, cost: u64) -> bool {
        let max = self.settings.memory_bytes_max;
        let reserve = |held: u64| held.checked_add(cost).filter(|&all| all <= max);
        self.counts.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_ok()
    }

    /// A walk over all that is stored, from what eviction would take last to what it would take first.
    pub fn hottest(self: &Arc<Self>) -> Hottest {
        let seen = (0..self.shards.len()).map(|_| Vec::new()).collect();
        Hottest { cache: self.clone(), heat: HOTTEST, shard: 0, from: 0, seen }
    }
}

/// A walk over what is stored, hottest first. What changes meanwhile may be left out or come twice.
#[derive(Debug)]
pub struct Hottest {
    cache: Arc<Cache>,
    heat: u8,
    shard: usize,
    from: u32,
    /// Places of each shard that had their turn, a bit each.
    seen: Vec<Vec<u64>>,
}

impl Hottest {
    /// The next ones, each with how often it was used; none in a batch is usual. `None` when all had their turn. Holds
    /// one shard's lock while it looks at some hundred places.
    pub fn next_batch(&mut self) -> Option<Vec<(Arc<Object>, u8)>> {
        let Self { cache, heat, shard: at, from, seen } = self;
        let shard = cache.shards.get(*at)?.lock();
        let end = shard.places_end();
        let seen = &mut seen[*at];
        seen.resize((end as usize).div_ceil(64).max(seen.len()), 0);
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let last = end.min(from.saturating_add(BATCH));
        while *from < last && bytes < BATCH_BYTES {
            let (word, bit) = (*from as usize / 64, 1u64 << (*from % 64));
            let unseen = seen[word] & bit == 0;
            if let Some((object, of_this)) = shard.heat_at(*from).filter(|(_, now)| unseen && *now >= *heat) {
                seen[word] |= bit;
                bytes += object.cost();
                let uses = object.uses().max(of_this.min(1));
                batch.push((object.clone(), uses));
            }
            *from += 1;
        }
        let shard_is_over = *from >= end;
        drop(shard);
        if shard_is_over {
            (*from, *at) = (0, *at + 1);
            if *at == cache.shards.len() && *heat > 0 {
                (*at, *heat) = (0, *heat - 1);
            }
        }
        Some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Judged, Looked, StoredFacts, Tag, TagSet, Vary};
    use bytes::Bytes;
    use tentpole_message::{Fields, StoredHead};
    use tentpole_model::CacheSettings;
    use tentpole_runtime::Ledger;

    fn cache(bytes: u64) -> Arc<Cache> {
        let settings = CacheSettings { memory_bytes_max: bytes, ..CacheSettings::default() };
        Cache::new(settings, Ledger::new(1 << 30))
    }

    fn brought(tags: &[Tag]) -> Brought<'_> {
        Brought {
            head: StoredHead { lines: Bytes::from_static(b"HTTP/1.1 200 OK\r\n"), status: 200 },
            facts: StoredFacts { lifetime: 60, ..StoredFacts::default() },
            vary: Vary::default(),
            etag: None,
            last_modified: None,
            tags,
            content: Content::Pieces(vec![Bytes::from_static(b"content")]),
            assembles: false,
            purged_softly: false,
            for_all: false,
        }
    }

    fn is_hit(cache: &Arc<Cache>, key: &str) -> bool {
        let looked = cache.look_up(&cache.key(key.as_bytes()), &Fields::new(), |_| Judged::Use);
        matches!(looked, Looked::Hit(_))
    }

    #[test]
    fn what_was_purged_while_it_was_on_its_way_stays_out_however_it_was_named() {
        let (tag, other) = (Tag::of(b"sale"), Tag::of(b"other"));
        let of_tag = Selector::Tags { tags: TagSet::new(&[tag]), within: None };
        let ends_with_x: crate::KeyTest = Arc::new(|key| key.ends_with(b"/x"));
        for purge in [
            Selector::Key(b"a\0/x"[..].into()),
            Selector::Prefix(b"a\0"[..].into()),
            Selector::Where(ends_with_x),
            of_tag,
            Selector::Any(Arc::new([Selector::Key(b"q"[..].into()), Selector::Prefix(b"a"[..].into())])),
            Selector::All,
        ] {
            for soft in [false, true] {
                let cache = cache(1 << 20);
                cache.remember_purges();
                cache.purge_selected(&purge, soft);
                assert_eq!(cache.refill(b"a\0/x", brought(&[tag]), 1, |_| {}), Refilled::Purged, "{purge:?}");
                assert!(!is_hit(&cache, "a\0/x"));
                if !matches!(purge, Selector::All) {
                    assert_eq!(
                        cache.refill(b"b\0/y", brought(&[other]), 1, |_| {}),
                        Refilled::Stored,
                        "{purge:?}"
                    );
                    assert!(is_hit(&cache, "b\0/y"));
                }
            }
        }
    }

    #[test]
    fn a_purge_after_it_came_in_takes_it_out() {
        let cache = cache(1 << 20);
        cache.remember_purges();
        assert_eq!(cache.refill(b"x", brought(&[]), 1, |_| {}), Refilled::Stored);
        cache.purge(&cache.key(b"x"), false);
        assert!(!is_hit(&cache, "x"));
        assert_eq!(cache.refill(b"x", brought(&[]), 1, |_| {}), Refilled::Purged, "a second time");
        assert_eq!(cache.stats().bytes, 0);
    }

    #[test]
    fn more_purges_than_are_remembered_keep_everything_out() {
        let cache = cache(1 << 20);
        cache.remember_purges();
        for number in 0..=OTHERS_MAX {
            cache.purge_selected(&Selector::Prefix(format!("p{number}\0").into_bytes().into()), false);
        }
        assert_eq!(cache.refill(b"x", brought(&[]), 1, |_| {}), Refilled::Purged);
        cache.forget_purges();
        assert_eq!(
            cache.refill(b"x", brought(&[]), 1, |_| {}),
            Refilled::Purged,
            "and nobody remembers: not at all"
        );
    }

    #[test]
    fn what_is_there_is_newer_and_what_does_not_fit_takes_nothing_away() {
        let cache = cache(4_096);
        cache.remember_purges();
        assert_eq!(cache.refill(b"x", brought(&[]), 1, |_| {}), Refilled::Stored);
        assert_eq!(cache.refill(b"x", brought(&[]), 1, |_| {}), Refilled::Known);
        let mut count = 1;
        while cache.refill(format!("x{count}").as_bytes(), brought(&[]), 1, |_| {}) == Refilled::Stored {
            count += 1;
        }
        assert!(count > 3, "{count}");
        let stats = cache.stats();
        assert_eq!((stats.objects, stats.evictions), (count, 0));
        assert!(stats.bytes <= 4_096);
        assert!((1..count).all(|number| is_hit(&cache, &format!("x{number}"))));
    }

    #[test]
    fn the_walk_gives_each_once_and_the_hottest_first() {
        const OBJECTS: usize = 2_000;
        let cache = cache(1 << 30);
        cache.remember_purges();
        for number in 0..OBJECTS {
            let uses = (number % 4) as u8;
            assert_eq!(
                cache.refill(number.to_string().as_bytes(), brought(&[]), uses, |_| {}),
                Refilled::Stored
            );
        }
        let mut walk = cache.hottest();
        let mut all = Vec::new();
        while let Some(batch) = walk.next_batch() {
            assert!(batch.len() <= BATCH as usize);
            all.extend(batch);
        }
        let uses: Vec<u8> = all.iter().map(|(_, uses)| *uses).collect();
        assert!(uses.is_sorted_by(|one, other| one >= other));
        let keys: HashSet<&[u8]> = all.iter().map(|(object, _)| object.key()).collect();
        assert_eq!((keys.len(), all.len()), (OBJECTS, OBJECTS));
    }

    #[test]
    fn purges_and_what_comes_in_meet_on_many_threads_and_the_purge_wins() {
        const KEYS: usize = 200;
        let cache = cache(1 << 24);
        cache.remember_purges();
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for number in (0..KEYS).cycle().take(4_000) {
                        let _ = cache.refill(format!("a{number}").as_bytes(), brought(&[]), 1, |_| {});
                    }
                });
            }
            scope.spawn(|| {
                for number in 0..KEYS {
                    cache.purge(&cache.key(format!("a{number}").as_bytes()), false);
                    assert!(!is_hit(&cache, &format!("a{number}")), "a{number}");
                }
            });
        });
        assert_eq!(cache.stats().objects, 0);
    }
}
