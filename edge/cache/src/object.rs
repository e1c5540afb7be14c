//! A stored response. Immutable but for three things that others set: how often it was used, since when a soft purge
//! has made it stale, and the compressed forms that were made of it. A 304 makes a new one that shares the body. Its
//! bytes are on the Ledger for as long as anybody holds it, also after it was evicted or purged.

use crate::body::Body;
use crate::derived::{Coding, Derived, Forms};
use crate::span::Span;
use crate::{StoredFacts, Tag, Vary};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use tentpole_esi::{EsiError, Plan};
use tentpole_message::StoredHead;
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

/// What an object costs beside the bytes that it names: itself, its body's record, its slots in the shard's table and
/// queue (at worst half empty), its ghost and the allocator's rounding. Measured: `benches/scale.rs`.
const OBJECT_OVERHEAD: u64 = (size_of::<Object>() + size_of::<Body>()) as u64 + 112;

/// What a tag costs: itself, and its link and slot in the index (at worst half empty).
const TAG_BYTES: u64 = 64;

/// How long what a soft purge made stale may be served while it is fetched anew, in seconds, if the response did not
/// allow longer. What must be revalidated once it is stale (`must-revalidate`, `s-maxage`): not beyond its own lifetime;
/// `no-cache`: not at all.
pub const SOFT_WHILE_REVALIDATING: u32 = 60;
/// The same in place of an error.
pub const SOFT_IF_ERROR: u32 = 600;

/// Uses are counted up to this (S3-FIFO: two bits).
const USES_MAX: u8 = 3;

/// A complete stored response.
#[derive(Debug)]
pub struct Object {
    facts: StoredFacts,
    /// Key, lines of the head and tags, in one allocation: they live equally long, and a hit reads two of them.
    block: Box<[u8]>,
    key_end: u32,
    lines_end: u32,
    tags_start: u32,
    etag: Span,
    last_modified: Span,
    status: u16,
    /// Uses since it was stored or last passed over by eviction, 0 to [`USES_MAX`].
    uses: AtomicU8,
    /// When a soft purge came, in unix seconds (until 2106); 0 when none did.
    purged_at: AtomicU32,
    hash: u64,
    vary: Vary,
    body: Arc<Body>,
    pub(crate) forms: Forms,
}

impl Object {
    /// What freshness needs to know. After a soft purge: stale, whatever its lifetime was.
    #[inline]
    pub fn facts(&self) -> StoredFacts {
        match self.purged_at.load(Ordering::Relaxed) {
            0 => self.facts,
            purged_at => softly_purged(self.facts, u64::from(purged_at)),
        }
    }

    /// The same as though it had never been purged softly: what it said itself.
    pub fn own_facts(&self) -> StoredFacts {
        self.facts
    }

    /// Status line and fields, serialised, without the empty line at the end.
    #[inline]
    pub fn lines(&self) -> &[u8] {
        &self.block[self.key_end as usize..self.lines_end as usize]
    }

    /// The status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The entity tag, for conditions (RFC 9110 section 8.8.3).
    pub fn etag(&self) -> Option<&[u8]> {
        self.etag.of(&self.block)
    }

    /// The date of the last modification, as it came.
    pub fn last_modified(&self) -> Option<&[u8]> {
        self.last_modified.of(&self.block)
    }

    /// Where the content is kept, if not in memory: then there are no chunks.
    #[inline]
    pub fn place(&self) -> Option<&Arc<dyn std::any::Any + Send + Sync>> {
        self.body.place()
    }

    /// Whether it may be a page to be put together: see [`Object::plan`].
    pub fn assembles(&self) -> bool {
        self.body.assembles()
    }

    /// The content, in order; no chunk is empty.
    pub fn chunks(&self) -> &[Bytes] {
        self.body.chunks()
    }

    /// Bytes of content.
    pub fn body_bytes(&self) -> u64 {
        self.body.bytes()
    }

    /// Where its body may be a page to be put together (ESI): what it is made of. Found out by the first who asks, for
    /// all. Costs a load where there is nothing to do.
    #[inline]
    pub fn plan(&self) -> Option<&Result<Plan, EsiError>> {
        self.body.plan()
    }

    /// The key that it was stored under.
    #[inline]
    pub fn key(&self) -> &[u8] {
        &self.block[..self.key_end as usize]
    }

    /// What selects it among the variants of its key.
    pub fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Its tags, in order.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = Tag> + Clone {
        let (tags, _) = self.block[self.tags_start as usize..].as_chunks();
        tags.iter().map(|&bytes| Tag::from_bytes(bytes))
    }

    /// Whether a soft purge has made it stale.
    pub fn is_softly_purged(&self) -> bool {
        self.purged_at.load(Ordering::Relaxed) != 0
    }

    /// The form in a content coding, if it was made ([`Object::claim`]). Locks nothing.
    #[inline]
    pub fn derived(&self, coding: Coding) -> Option<&Arc<Derived>> {
        self.forms.get(coding)
    }

    /// Whether it has forms in a content coding, or may have some: otherwise no request need be asked what it accepts.
    #[inline]
    pub fn may_have_forms(&self) -> bool {
        self.forms.are_possible()
    }

    /// Whether somebody makes the form in this coding, has made it, or found that it is not worth it.
    #[inline]
    pub fn is_claimed(&self, coding: Coding) -> bool {
        self.forms.is_claimed(coding)
    }

    /// Bytes that it takes from the cache's limit, overhead and forms included.
    pub fn cost(&self) -> u64 {
        self.own_cost() + self.shared_cost()
    }

    /// What it shares with the object that a 304 makes of it: the contents.
    pub(crate) fn shared_cost(&self) -> u64 {
        self.body.cost() + self.forms.shared_cost()
    }

    /// [`Object::cost`] without that.
    pub(crate) fn own_cost(&self) -> u64 {
        self.record_cost() + self.forms.own_cost()
    }

    fn record_cost(&self) -> u64 {
        let tags = self.tags().len() as u64;
        OBJECT_OVERHEAD + self.vary.bytes() + self.block.len() as u64 + tags * (TAG_BYTES - 8)
    }

    pub(crate) fn body(&self) -> &Arc<Body> {
        &self.body
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Makes it stale from now on; whether it was not so already.
    pub(crate) fn purge_softly(&self, now: u32) -> bool {
        let (set, order) = (now.max(1), Ordering::Relaxed);
        self.purged_at.compare_exchange(0, set, order, order).is_ok()
    }

    /// Is as stale as another one is, which nobody purges meanwhile.
    pub(crate) fn stay_stale_as(&self, other: &Self) {
        self.purged_at.store(other.purged_at.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Counts one use. All that a hit writes, and a hot object is not even written. Called under the shard's lock,
    /// so load and store lose nothing.
    #[inline]
    pub(crate) fn touch(&self) {
        let uses = self.uses.load(Ordering::Relaxed);
        if uses < USES_MAX {
            self.uses.store(uses + 1, Ordering::Relaxed);
        }
    }

    pub(crate) fn uses(&self) -> u8 {
        self.uses.load(Ordering::Relaxed)
    }

    pub(crate) fn set_uses(&self, uses: u8) {
        self.uses.store(uses, Ordering::Relaxed);
    }
}

impl Drop for Object {
    fn drop(&mut self) {
        self.body.ledger().release(Account::Cache, self.record_cost());
    }
}

/// Stale from the purge on, and for a while afterwards still good enough while somebody fetches it anew.
#[cold]
fn softly_purged(facts: StoredFacts, purged_at: u64) -> StoredFacts {
    let age = u32::try_from(facts.age(purged_at)).unwrap_or(u32::MAX);
    // All are counted from the end of the lifetime, which is now 0: stale at once, whatever the clock says.
    let until = |allowed: u32, at_least: u32| {
        let by_itself = if allowed > 0 { age.min(facts.lifetime).saturating_add(allowed) } else { 0 };
        let by_purge = age.saturating_add(at_least);
        // Past its own lifetime it must not be served; within it, it is only the purge that calls it stale.
        by_itself.max(if facts.must_revalidate { by_purge.min(facts.lifetime) } else { by_purge })
    };
    StoredFacts {
        lifetime: 0,
        stale_while_revalidate: until(facts.stale_while_revalidate, SOFT_WHILE_REVALIDATING),
        stale_if_error: until(facts.stale_if_error, SOFT_IF_ERROR),
        stale_if_unreachable: until(facts.stale_if_unreachable, SOFT_IF_ERROR),
        ..facts
    }
}

/// Everything but the body of an object that will be.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub facts: StoredFacts,
    pub head: StoredHead,
    pub etag: Option<Bytes>,
    pub last_modified: Option<Bytes>,
    pub assembles: bool,
    pub vary: Vary,
    /// Each once, in order.
    pub tags: Arc<[Tag]>,
    pub key: Arc<[u8]>,
    pub hash: u64,
}

impl Frame {
    /// With a body that arrived.
    pub(crate) fn with_chunks(&self, ledger: &Arc<Ledger>, chunks: Vec<Bytes>) -> Object {
        let body = Body::new(ledger, chunks, self.assembles);
        self.with_body(Arc::new(body), Forms::default())
    }

    /// With a body, and forms that were derived of it.
    pub(crate) fn with_body(&self, body: Arc<Body>, forms: Forms) -> Object {
        let mut block = Vec::with_capacity(self.block_bytes());
        block.extend_from_slice(&self.key);
        let key_end = block.len() as u32;
        block.extend_from_slice(&self.head.lines);
        let lines_end = block.len() as u32;
        // Nearly always in the lines; what is not stands behind them.
        let etag = Span::put(&mut block, key_end as usize, self.etag.as_deref());
        let last_modified = Span::put(&mut block, key_end as usize, self.last_modified.as_deref());
        let tags_start = block.len() as u32;
        self.tags.iter().for_each(|tag| block.extend_from_slice(&tag.to_bytes()));
        let object = Object {
            facts: self.facts,
            block: block.into(),
            key_end,
            lines_end,
            tags_start,
            etag,
            last_modified,
            status: self.head.status,
            uses: AtomicU8::new(0),
            purged_at: AtomicU32::new(0),
            hash: self.hash,
            vary: self.vary.clone(),
            body,
            forms,
        };
        object.body.ledger().charge(Account::Cache, object.record_cost());
        object
    }

    /// What the object costs without its body, at most.
    pub(crate) fn cost(&self) -> u64 {
        let tags = self.tags.len() as u64;
        OBJECT_OVERHEAD + self.vary.bytes() + self.block_bytes() as u64 + tags * (TAG_BYTES - 8)
    }

    /// Bytes that the block takes at most.
    fn block_bytes(&self) -> usize {
        let optional = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let named = optional(&self.etag) + optional(&self.last_modified);
        self.key.len() + self.head.lines.len() + named + size_of_val(&*self.tags)
    }
}
