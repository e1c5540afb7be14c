//! The cache that all data threads share. A hit is one hash, one short lock of the key's shard, a comparison and
//! one more reference. Holds no more than its settings allow, and less when the Ledger is nearly full. Fetches
//! nothing, waits for nothing, decides nothing about freshness: it asks the caller's judge.

use crate::entry::Entry;
use crate::fill::{Fill, Join};
use crate::large::LargeOnes;
use crate::refill::{Memory, Noted};
use crate::shard::Shard;
use crate::{Key, Lead, Object, Presented, Waiter};
use foldhash::quality::RandomState;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tentpole_model::{Bypass, CacheSettings};
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Pressure;

/// Shards of a cache of the usual size: enough that threads on different keys seldom meet.
const SHARDS: u64 = 64;

/// Bytes that a shard should have at least, so that its queues hold enough objects to tell them apart.
const SHARD_BYTES_MIN: u64 = 1 << 20;

/// From this size on there are more shards, so that the table of one grows in a short time.
const SHARD_BYTES_MAX: u64 = 16 << 20;

/// Most shards that there are: a purge visits each.
const SHARDS_MAX: u64 = 256;

/// Fills of one key at a time, each for another variant: a look-up asks them all under the lock.
const FILLS_PER_KEY_MAX: usize = 64;
/// Tells the markers that hold only for requests which say who asks from those that hold for all.
const PERSONAL: u64 = 0x9e37_79b9_7f4a_7c15;
/// The same for those that say that a fetch failed.
const FAILING: u64 = 0xc2b2_ae3d_27d4_eb4f;

/// Objects in memory, and the fills that will become some.
#[derive(Debug)]
pub struct Cache {
    pub(crate) settings: CacheSettings,
    pub(crate) ledger: Arc<Ledger>,
    seed: RandomState,
    pub(crate) shards: Box<[Padded]>,
    /// The shard that gives up an object next: in turn, so that all grow old alike.
    pub(crate) hand: AtomicUsize,
    /// Held while a purge by tag goes on.
    pub(crate) purging: Mutex<()>,
    pub(crate) large: LargeOnes,
    /// What was purged, while objects come from another process.
    pub(crate) memory: Memory,
    pub(crate) counts: Counts,
}

/// A shard on cache lines of its own. A plain mutex: held for some 50 ns and by as many threads as there are cores,
/// it is hardly ever contended, a reader-writer lock would write the same line, and std's sleeps when it must.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Padded(Mutex<Shard>);

#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Bytes of stored objects, and those reserved for objects about to be.
    pub bytes: AtomicU64,
    pub objects: AtomicU64,
    /// Tags of stored objects, and bytes of the forms derived of them.
    pub tags: AtomicU64,
    pub derived_bytes: AtomicU64,
    pub softly_purged: AtomicU64,
    pub evictions: AtomicU64,
    pub fills: AtomicU64,
    fills_started: AtomicU64,
    joined: AtomicU64,
}

/// How full the cache is and what it did since the process began. Hits are counted by those who serve them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Objects stored.
    pub objects: u64,
    /// Bytes that they cost, overhead included.
    pub bytes: u64,
    /// Bytes that they may cost.
    pub bytes_max: u64,
    /// Links in the index of tags: one for each tag of each object.
    pub tags: u64,
    /// Of `bytes`: the compressed forms.
    pub derived_bytes: u64,
    /// Objects that soft purges made stale.
    pub softly_purged: u64,
    /// Objects that gave way to others.
    pub evictions: u64,
    /// Fills under way.
    pub fills: u64,
    /// Fills begun.
    pub fills_started: u64,
    /// Requests that joined the fill of another.
    pub joined: u64,
}

/// What the caller thinks of a stored object for the request at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    /// It may be served.
    Use,
    /// It may be served while somebody revalidates it (RFC 5861 section 3).
    UseStale,
    /// It must be revalidated first.
    Revalidate,
    /// This request has nothing to do with the cache.
    Pass(Bypass),
}

/// Why nothing stored was used (RFC 9211 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missed {
    /// Nothing is stored under the key.
    Uri,
    /// What is stored under the key is for other requests (`Vary`).
    Vary,
    /// What is stored must be revalidated.
    Stale,
}

/// What a look-up found.
#[derive(Debug)]
pub enum Looked {
    /// Serve this.
    Hit(Arc<Object>),
    /// Serve this; with a lead, also fetch a new one apart from this request. Without, another request does.
    Stale(Arc<Object>, Option<Lead>),
    /// Nothing usable, and nobody fetches it: you do.
    Lead(Lead),
    /// Another request fetches it.
    Joined(Waiter),
    /// Fetch it without the cache.
    Bypass(Bypass),
}

impl Cache {
    /// An empty cache.
    pub fn new(settings: CacheSettings, ledger: Arc<Ledger>) -> Arc<Self> {
        let shards =
            (0..shards(settings.memory_bytes_max)).map(|_| Padded(Mutex::new(Shard::new(&ledger)))).collect();
        let (seed, hand, counts) = (RandomState::default(), AtomicUsize::new(0), Counts::default());
        let (purging, large, memory) = (Mutex::new(()), LargeOnes::default(), Memory::default());
        Arc::new(Self { settings, ledger, seed, shards, hand, purging, large, memory, counts })
    }

    /// The hash of a key's bytes. Its seed is random in each process.
    #[inline]
    pub fn hash(&self, bytes: &[u8]) -> u64 {
        self.seed.hash_one(bytes)
    }

    /// A key from its bytes.
    #[inline]
    pub fn key<'a>(&self, bytes: &'a [u8]) -> Key<'a> {
        Key { hash: self.hash(bytes), bytes }
    }

    /// Finds what is stored, or joins whoever fetches it, or makes the caller the one who does: one critical
    /// section, so that of any number of requests at once exactly one fetches. `judge` is called under the lock
    /// with the variant that the request selects: it must be quick and must not call the cache.
    pub fn look_up<'a>(
        self: &Arc<Self>,
        key: &Key<'_>,
        request: impl Into<Presented<'a>>,
        mut judge: impl FnMut(&Object) -> Judged,
    ) -> Looked {
        if self.settings.memory_bytes_max == 0 {
            return Looked::Bypass(Bypass::SwitchedOff);
        }
        let request = &request.into();
        let mut shard = self.shard(key.hash);
        let (mut stale, mut serve_stale) = (None, false);
        if let Some(object) = shard.find(key).and_then(|entry| entry.select(request)) {
            match judge(object) {
                Judged::Use => {
                    object.touch();
                    return Looked::Hit(object.clone());
                }
                Judged::UseStale => serve_stale = true,
                Judged::Revalidate => {}
                Judged::Pass(bypass) => return Looked::Bypass(bypass),
            }
            object.touch();
            stale = Some(object.clone());
        }
        let looked = self.look_for_fill(&mut shard, key, request, stale.clone(), serve_stale);
        drop(shard);
        match (stale, looked) {
            (Some(stale), Looked::Lead(lead)) if serve_stale => Looked::Stale(stale, Some(lead)),
            (Some(stale), Looked::Bypass(_)) if serve_stale => Looked::Stale(stale, None),
            (_, looked) => looked,
        }
    }

    /// The part of a look-up that finds nothing usable.
    fn look_for_fill(
        self: &Arc<Self>,
        shard: &mut Shard,
        key: &Key<'_>,
        request: &Presented<'_>,
        stale: Option<Arc<Object>>,
        serve_stale: bool,
    ) -> Looked {
        let entry = shard.find(key);
        let missed = match (&stale, entry.and_then(Entry::newest)) {
            (Some(_), _) => Missed::Stale,
            (None, Some(_)) => Missed::Vary,
            (None, None) => Missed::Uri,
        };
        let mut names = entry.and_then(Entry::newest).map(|object| object.vary().clone());
        let fills = entry.map_or(&[][..], Entry::fills);
        for fill in fills {
            // Who is served what is stale needs no seat: that somebody fetches is enough.
            let waiters_max = if serve_stale { 0 } else { self.settings.waiters_max };
            match fill.join(request, waiters_max) {
                Join::Joined(mut waiter) => {
                    waiter.missed = missed;
                    self.counts.joined.fetch_add(1, Ordering::Relaxed);
                    return Looked::Joined(waiter);
                }
                Join::Full => return Looked::Bypass(Bypass::TooManyWaiters),
                Join::Mismatch(vary) => names = Some(vary),
                Join::Closed => {}
            }
        }
        if fills.len() >= FILLS_PER_KEY_MAX {
            return Looked::Bypass(Bypass::TooManyWaiters);
        }
        if shard.markers.holds(key.hash) {
            return Looked::Bypass(Bypass::HitForMiss);
        }
        // Waiters would only be told to go when the head arrives. A 304 needs no memory.
        if stale.is_none() && self.ledger.pressure() >= Pressure::PassFills {
            return Looked::Bypass(Bypass::MemoryPressure);
        }
        let expected = names.filter(|names| !names.is_empty()).map(|names| names.like(*request));
        let fill = Fill::new(&self.ledger, key.hash, Arc::from(key.bytes), expected);
        shard.attach(&fill);
        self.counts.fills.fetch_add(1, Ordering::Relaxed);
        self.counts.fills_started.fetch_add(1, Ordering::Relaxed);
        Looked::Lead(Lead::new(self.clone(), fill, stale, missed))
    }

    /// What is stored for a request, fresh or not. Joins nothing and starts nothing: for ranges,
    /// `only-if-cached` and conditions.
    pub fn peek<'a>(&self, key: &Key<'_>, request: impl Into<Presented<'a>>) -> Option<Arc<Object>> {
        let request = &request.into();
        let shard = self.shard(key.hash);
        let object = shard.find(key)?.select(request)?;
        object.touch();
        Some(object.clone())
    }

    /// Bytes that an object may have at most.
    pub fn object_bytes_max(&self) -> u64 {
        self.storable_max()
    }

    /// Requests for this key may wait for one another again, and it may be stored: what kept it from that is over.
    pub fn clear_mark(&self, key: &Key<'_>) {
        self.shard(key.hash).markers.clear(key.hash);
    }

    /// Whether requests that say who asks (cookie, authorization) go past the cache here: see [`Lead::personal`].
    pub fn passes_personal(&self, key: &Key<'_>) -> bool {
        self.shard(key.hash).markers.holds(key.hash ^ PERSONAL)
    }

    /// Whether the fetch of this key failed a moment ago: see [`Lead::kept`].
    pub fn is_failing(&self, key: &Key<'_>) -> bool {
        self.shard(key.hash).markers.holds(key.hash ^ FAILING)
    }

    /// Removes one object, if it is still stored: an endpoint has said that it no longer holds.
    pub fn forget(&self, object: &Arc<Object>) {
        self.memory.note(|| Noted::Key(object.hash()));
        let removed = self.shard(object.hash()).remove(object);
        if removed {
            self.counts.removed([object]);
        }
    }

    pub(crate) fn mark_failing(&self, hash: u64, remember_for: Duration) {
        self.shard(hash).markers.mark(hash ^ FAILING, remember_for);
    }

    pub(crate) fn mark_personal(&self, hash: u64, remember_for: Duration) {
        self.shard(hash).markers.mark(hash ^ PERSONAL, remember_for);
    }

    /// How full it is and what it did.
    pub fn stats(&self) -> Stats {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        Stats {
            objects: read(&counts.objects),
            bytes: read(&counts.bytes),
            bytes_max: self.settings.memory_bytes_max,
            tags: read(&counts.tags),
            derived_bytes: read(&counts.derived_bytes),
            softly_purged: read(&counts.softly_purged),
            evictions: read(&counts.evictions),
            fills: read(&counts.fills),
            fills_started: read(&counts.fills_started),
            joined: read(&counts.joined),
        }
    }

    /// The table uses the hash's low and highest bits.
    #[inline]
    pub(crate) fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let index = (hash >> 40) as usize & (self.shards.len() - 1);
        self.shards[index].lock()
    }
}

/// How many shards a cache of this size has: a power of two.
fn shards(memory_bytes_max: u64) -> u64 {
    let few = (memory_bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS);
    few.max(memory_bytes_max / SHARD_BYTES_MAX).min(SHARDS_MAX).next_power_of_two()
}

impl Padded {
    /// A judge that panics leaves the shard as it was.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Shard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// An object is stored now; its bytes were reserved.
    pub(crate) fn stored(&self, object: &Object) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.tags.fetch_add(object.tags().len() as u64, Ordering::Relaxed);
        self.derived_bytes.fetch_add(object.forms.cost(), Ordering::Relaxed);
    }

    /// An object has taken the place of one whose contents it shares; its own bytes were reserved.
    pub(crate) fn replaced(&self, old: &Object, new: &Object) {
        // The old one may have got a form meanwhile that the new one has not: it goes with it.
        self.bytes.fetch_sub(old.cost() - new.shared_cost(), Ordering::Relaxed);
        self.tags.fetch_add(new.tags().len() as u64, Ordering::Relaxed);
        self.tags.fetch_sub(old.tags().len() as u64, Ordering::Relaxed);
        self.derived_bytes.fetch_add(new.forms.cost(), Ordering::Relaxed);
        self.derived_bytes.fetch_sub(old.forms.cost(), Ordering::Relaxed);
    }

    /// Objects are no longer stored; returns how many.
    pub(crate) fn removed<'a>(&self, objects: impl IntoIterator<Item = &'a Arc<Object>>) -> u64 {
        let [mut count, mut bytes, mut tags, mut derived] = [0; 4];
        for object in objects {
            count += 1;
            bytes += object.cost();
            tags += object.tags().len() as u64;
            derived += object.forms.cost();
        }
        if count > 0 {
            self.objects.fetch_sub(count, Ordering::Relaxed);
            self.bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.tags.fetch_sub(tags, Ordering::Relaxed);
            self.derived_bytes.fetch_sub(derived, Ordering::Relaxed);
        }
        count
    }
}
