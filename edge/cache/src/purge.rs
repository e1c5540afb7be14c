//! Purges. When one returns, no thread finds what it was about, or joins a fill of it; a soft one leaves it where it is
//! and makes it stale. Parts of what is too large for memory are not found after any purge that may be about them, soft or
//! not. No lock is held for longer than some hundred objects take, so visitors hardly notice.

use crate::doubts::TagPurge;
use crate::fill::Fill;
use crate::refill::Noted;
use crate::shard::{Manner, Met};
use crate::{Cache, Key, Selector, Tag, TagSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use tentpole_model::{Bypass, Purged};
use tentpole_runtime::clock;

/// Objects that one critical section purges or passes over.
const BATCH: u32 = 128;

impl Cache {
    /// All variants of a key. Fills of it are delivered to those who already wait and are not stored. When it returns,
    /// no thread finds what was stored or joins what was under way. Soft: the objects stay, stale from now on
    /// ([`Object::facts`](crate::Object::facts)).
    pub fn purge(&self, key: &Key<'_>, soft: bool) -> Purged {
        self.memory.note(|| Noted::Key(key.hash));
        self.purge_key(key, soft)
    }

    fn purge_key(&self, key: &Key<'_>, soft: bool) -> Purged {
        self.large.forget(key.hash);
        let (met, fills) = self.shard(key.hash).purge(key, manner(soft));
        let mut purged = Purged::default();
        self.refuse(&fills, &mut purged);
        self.settle_purge(met, &mut purged);
        purged
    }

    /// [`Cache::purge`] of every key that is meant: takes a look at each object, some 0.2 µs. `meant` is called under a
    /// shard's lock: it must be quick and must not call the cache. What was remembered as uncacheable stays so for its
    /// few seconds.
    pub fn purge_where(&self, meant: impl Fn(&[u8]) -> bool, soft: bool) -> Purged {
        let (manner, mut purged) = (manner(soft), Purged::default());
        self.large.renumber();
        for shard in &self.shards {
            let mut locked = shard.lock();
            // First: what is stored from here on was fetched after the purge.
            let fills = locked.detach_all(|fill| meant(&fill.key));
            let end = locked.places_end();
            drop(locked);
            self.refuse(&fills, &mut purged);
            for from in (0..end).step_by(BATCH as usize) {
                let mut met = Met::default();
                shard.lock().purge_places(from..end.min(from + BATCH), &meant, manner, &mut met);
                self.settle_purge(met, &mut purged);
            }
        }
        purged
    }

    /// [`Cache::purge`] of everything that carries one of these tags and whose key passes the test, which is called
    /// under a shard's lock as in [`Cache::purge_where`]. A fill whose tags are not known yet is kept from being stored
    /// if they turn out to be meant; those who joined it after this purge look up again.
    pub fn purge_tags(&self, tags: &TagSet, within: impl Fn(&[u8]) -> bool, soft: bool) -> Purged {
        let (manner, mut purged) = (manner(soft), Purged::default());
        let remembered = TagPurge::new(&self.ledger, tags);
        self.large.renumber();
        // Each turns the rings of its tags once; two at a time would hide objects from one another.
        let _one_at_a_time = self.purging.lock().unwrap_or_else(PoisonError::into_inner);
        for shard in &self.shards {
            let mut locked = shard.lock();
            let fills = locked.detach_all(|fill| within(&fill.key) && fill.doubt(&remembered));
            drop(locked);
            self.refuse(&fills, &mut purged);
            for some in tags.all().chunks(BATCH as usize) {
                // Those that are there now; newcomers are fetched after the purge, and stand behind them.
                let locked = shard.lock();
                let counted: Vec<(Tag, u32)> = some
                    .iter()
                    .map(|&tag| (tag, locked.tagged(tag)))
                    .filter(|(_, count)| *count > 0)
                    .collect();
                drop(locked);
                for (tag, mut left) in counted {
                    while left > 0 {
                        let (count, mut met) = (left.min(BATCH), Met::default());
                        shard.lock().purge_tagged(tag, count, &within, manner, &mut met);
                        self.settle_purge(met, &mut purged);
                        left -= count;
                    }
                }
            }
        }
        purged
    }

    /// [`Cache::purge`] of every key. Hard: holds each shard's lock for a constant time.
    pub fn purge_all(&self, soft: bool) -> Purged {
        if soft {
            return self.purge_where(|_| true, true);
        }
        let mut purged = Purged::default();
        self.large.forget_all();
        for shard in &self.shards {
            let contents = shard.lock().empty(&self.ledger);
            self.refuse(&contents.fills, &mut purged);
            purged.objects += self.counts.removed(contents.places.objects());
        }
        purged
    }

    /// What a selector names. This and [`Cache::purge`] are what [`Cache::refill`] heeds.
    pub fn purge_selected(&self, selector: &Selector, soft: bool) -> Purged {
        self.note_purge(selector);
        self.purge_noted(selector, soft)
    }

    fn purge_noted(&self, selector: &Selector, soft: bool) -> Purged {
        match selector {
            Selector::Key(key) => self.purge_key(&self.key(key), soft),
            Selector::Prefix(prefix) => self.purge_where(|key| key.starts_with(prefix), soft),
            Selector::Where(test) => self.purge_where(|key| test(key), soft),
            Selector::Tags { tags, within: Some(test) } => self.purge_tags(tags, |key| test(key), soft),
            Selector::Tags { tags, within: None } => self.purge_tags(tags, |_| true, soft),
            Selector::Any(each) => {
                let mut purged = Purged::default();
                for one in each.iter().map(|one| self.purge_noted(one, soft)) {
                    purged.objects += one.objects;
                    purged.fills += one.fills;
                }
                purged
            }
            Selector::All => self.purge_all(soft),
        }
    }

    fn refuse(&self, fills: &[Arc<Fill>], purged: &mut Purged) {
        fills.iter().for_each(|fill| fill.refuse(Bypass::Purged));
        purged.fills += fills.len() as u64;
    }

    /// Counts what was met, and drops it outside the lock.
    fn settle_purge(&self, met: Met, purged: &mut Purged) {
        let Met { removed, stale } = met;
        purged.objects += self.counts.removed(&removed) + stale;
        self.counts.softly_purged.fetch_add(stale, Ordering::Relaxed);
    }
}

fn manner(soft: bool) -> Manner {
    if !soft {
        return Manner::Hard;
    }
    Manner::Soft(u32::try_from(clock::now().unix_seconds()).unwrap_or(u32::MAX))
}
