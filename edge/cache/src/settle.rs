//! How fills end and how room is made: what the cache does on behalf of those who fetch. A fill is taken from its
//! key and ended in one critical section, so nobody joins what has ended and nobody leads twice.

use crate::fill::Fill;
use crate::object::Frame;
use crate::{Cache, Claim, Confirmed, Derived, Made, Object, Release, tag};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tentpole_model::Bypass;
use tentpole_runtime::ledger::Pressure;

impl Cache {
    /// Gives objects up until the Ledger is below the pressure at which the cache shrinks, or as many as that would
    /// take if nobody were still sending them; returns the bytes that they cost.
    pub fn shrink(&self) -> u64 {
        if self.ledger.pressure() < Pressure::ShrinkCache {
            return 0;
        }
        let allowed = self.ledger.bytes_max() / 100 * 95;
        let excess = self.ledger.total().saturating_sub(allowed) + 1;
        let mut freed = 0;
        while freed < excess {
            let Some(bytes) = self.evict() else { break };
            freed += bytes;
        }
        freed
    }

    /// Bytes that an object may cost while it can still be stored.
    pub(crate) fn storable_max(&self) -> u64 {
        self.settings.object_bytes_max.min(self.settings.memory_bytes_max)
    }

    /// Ends a fill for everybody who waits; `marked` keeps later requests from waiting for the same.
    pub(crate) fn release(&self, fill: &Arc<Fill>, release: Release, marked: Option<Duration>) {
        let mut shard = self.shard(fill.hash);
        let attached = shard.detach(fill);
        if let Some(remember_for) = marked.filter(|_| attached) {
            shard.markers.mark(fill.hash, remember_for);
        }
        let ended = fill.end(Err(release));
        drop(shard);
        ended.tell();
    }

    /// Closes a fill to newcomers.
    pub(crate) fn close(&self, fill: &Arc<Fill>, marked: Option<Duration>) {
        let mut shard = self.shard(fill.hash);
        if shard.detach(fill)
            && let Some(remember_for) = marked
        {
            shard.markers.mark(fill.hash, remember_for);
        }
    }

    /// Ends a fill with its object, and stores this unless a purge came. `superseded` is what it replaces.
    pub(crate) fn store(
        &self,
        fill: &Arc<Fill>,
        object: &Arc<Object>,
        superseded: Option<&Arc<Object>>,
    ) -> Result<(), Bypass> {
        self.store_telling(fill, object, superseded, Ok(object.clone()))
    }

    /// [`Cache::store`], telling those who wait something else.
    pub(crate) fn store_telling(
        &self,
        fill: &Arc<Fill>,
        object: &Arc<Object>,
        superseded: Option<&Arc<Object>>,
        told: Result<Arc<Object>, Release>,
    ) -> Result<(), Bypass> {
        self.shrink();
        let reserved = self.reserve(object.cost());
        let mut shard = self.shard(fill.hash);
        let attached = shard.detach(fill);
        let stored = attached && reserved;
        let removed = if stored { shard.insert(object.clone(), superseded) } else { Vec::new() };
        if stored {
            // It is not too large any more.
            self.large.forget(fill.hash);
            // Under the lock: a purge right after it subtracts.
            self.counts.stored(object);
        }
        let ended = fill.end(told);
        drop(shard);
        ended.tell();
        if reserved && !stored {
            self.counts.bytes.fetch_sub(object.cost(), Ordering::Relaxed);
        }
        self.counts.removed(&removed);
        match (attached, reserved) {
            (true, true) => Ok(()),
            (false, _) => Err(Bypass::Purged),
            (true, false) => Err(Bypass::TooLarge),
        }
    }

    /// Ends a fill with an object that shares the contents of `old`, and puts it into its place if it is storable,
    /// unless a purge came or `old` has been evicted.
    pub(crate) fn refresh(&self, fill: &Arc<Fill>, old: &Arc<Object>, new: &Arc<Object>, storable: bool) {
        // The contents stay counted once.
        let own = new.cost() - new.shared_cost();
        let reserved = self.reserve(own);
        let mut shard = self.shard(fill.hash);
        let attached = shard.detach(fill);
        let ended = fill.end(Ok(new.clone()));
        let may_be_stored = attached && storable && reserved && !ended.purged;
        let replaced = may_be_stored && shard.replace(old, new);
        if replaced {
            self.counts.replaced(old, new);
        }
        drop(shard);
        ended.tell();
        if reserved && !replaced {
            self.counts.bytes.fetch_sub(own, Ordering::Relaxed);
        }
    }

    /// Puts a form that was made into its object. Refused when it is too large, when the Ledger is nearly full, and
    /// when the object has gone meanwhile; then nobody is asked to make it again until the object changes.
    pub fn derive(&self, claim: Claim, made: Made<'_>) -> Result<Arc<Derived>, Bypass> {
        let (object, coding, derived) = claim.settle(&self.ledger, made);
        let cost = derived.cost();
        if self.ledger.pressure() >= Pressure::PassFills {
            return Err(Bypass::MemoryPressure);
        }
        if cost > self.storable_max() || !self.reserve(cost) {
            return Err(Bypass::TooLarge);
        }
        // Under the lock: who removes the object subtracts what it costs then.
        let put = self.shard(object.hash()).derive(&object, coding, &derived);
        if put {
            self.counts.derived_bytes.fetch_add(cost, Ordering::Relaxed);
            Ok(derived)
        } else {
            self.counts.bytes.fetch_sub(cost, Ordering::Relaxed);
            Err(Bypass::Purged)
        }
    }

    /// Puts an object with another head and other facts, and the same contents, into the place of a stored one, if that
    /// is still stored (RFC 9111 section 4.3.5). What a soft purge has made stale stays so: it is not known which of the
    /// two was asked for first.
    pub fn update(&self, old: &Arc<Object>, confirmed: Confirmed<'_>) {
        let (new, storable) = self.renewed(old, confirmed);
        // The contents stay counted once.
        let own = new.cost() - new.shared_cost();
        if !storable || !self.reserve(own) {
            return;
        }
        let mut shard = self.shard(new.hash());
        new.stay_stale_as(old);
        let replaced = shard.replace(old, &new);
        if replaced {
            self.counts.replaced(old, &new);
        }
        drop(shard);
        if !replaced {
            self.counts.bytes.fetch_sub(own, Ordering::Relaxed);
        }
    }

    /// An object with another head and the same contents, and whether it may be stored: not with too many tags.
    pub(crate) fn renewed(&self, old: &Arc<Object>, confirmed: Confirmed<'_>) -> (Arc<Object>, bool) {
        let Confirmed { head, facts, tags, new_head } = confirmed;
        let tags = match tags {
            Some(tags) => tag::sorted(tags),
            None => Some(old.tags().collect()),
        };
        let storable = tags.is_some();
        let frame = Frame {
            facts,
            head,
            etag: old.etag().map(Bytes::copy_from_slice),
            last_modified: old.last_modified().map(Bytes::copy_from_slice),
            assembles: old.plan().is_some(),
            vary: old.vary().clone(),
            tags: tags.unwrap_or_default(),
            key: old.key().into(),
            hash: old.hash(),
        };
        (Arc::new(frame.with_body(old.body().clone(), old.forms.renewed(new_head))), storable)
    }

    /// Ends a fill with what is stored already, for those who may have it.
    pub(crate) fn keep(&self, fill: &Arc<Fill>, stale: &Arc<Object>, otherwise: Release) {
        let mut shard = self.shard(fill.hash);
        shard.detach(fill);
        let ended = fill.keep(stale.clone(), otherwise);
        drop(shard);
        ended.tell();
    }

    /// Whether a fill may hold no more: the Ledger stays nearly full although the cache has shrunk.
    pub(crate) fn is_too_full(&self) -> bool {
        self.ledger.pressure() >= Pressure::ShrinkCache && {
            self.shrink();
            self.ledger.pressure() >= Pressure::ShrinkCache
        }
    }

    /// Makes room for an object and counts it as there, so that the limit holds at every moment; false when even
    /// an empty cache is too small.
    fn reserve(&self, cost: u64) -> bool {
        let Some(held_max) = self.settings.memory_bytes_max.checked_sub(cost) else { return false };
        loop {
            let reserve = |held| (held <= held_max).then_some(held + cost);
            if self.counts.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve).is_ok() {
                return true;
            }
            // Nothing left to give up: others have reserved the rest.
            if self.evict().is_none() {
                return false;
            }
        }
    }

    /// Gives one object up; returns what it cost.
    fn evict(&self) -> Option<u64> {
        for _ in 0..self.shards.len() {
            let turn = self.hand.fetch_add(1, Ordering::Relaxed);
            let evicted = self.shards[turn % self.shards.len()].lock().evict();
            if let Some(object) = evicted {
                self.counts.evictions.fetch_add(1, Ordering::Relaxed);
                self.counts.removed([&object]);
                return Some(object.cost());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::Manner;
    use crate::{Finished, Judged, Looked, NewObject, StoredFacts};
    use bytes::Bytes;
    use tentpole_message::{Fields, StoredHead};
    use tentpole_model::CacheSettings;
    use tentpole_runtime::Ledger;

    #[test]
    fn a_purge_that_has_only_reached_the_shard_already_keeps_a_fill_from_being_stored() {
        let cache = Cache::new(CacheSettings::default(), Ledger::new(1 << 30));
        let (key, request) = (cache.key(b"/"), Fields::new());
        let Looked::Lead(lead) = cache.look_up(&key, &request, |_| Judged::Use) else {
            panic!("nothing is stored")
        };
        let head = StoredHead { lines: Bytes::new(), status: 200 };
        let (etag, last_modified, length) = (None, None, None);
        let (facts, request) = (StoredFacts { lifetime: 60, ..StoredFacts::default() }, &request);
        let new = NewObject {
            head,
            facts,
            vary: &[],
            request: request.into(),
            etag,
            last_modified,
            tags: &[],
            assembles: false,
            length,
        };
        let (filling, _) = lead.start(new).unwrap();
        // Between the two steps of `Cache::purge`: the fill does not know yet.
        let (_, fills) = cache.shard(key.hash).purge(&key, Manner::Hard);
        assert_eq!(fills.len(), 1);
        assert!(matches!(filling.finish(), Finished::NotStored(Bypass::Purged)));
        assert!(matches!(cache.look_up(&key, request, |_| Judged::Use), Looked::Lead(_)));
    }
}
