//! A stored response. Immutable: a 304 makes a new one that shares the body. Its bytes are on the Ledger for as
//! long as anybody holds it, also after it was evicted or purged.

use crate::charge::Charge;
use crate::chunks::PIECE_OVERHEAD;
use crate::{StoredFacts, Vary};
use bytes::Bytes;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use tentpole_esi::{EsiError, Parser, Plan};
use tentpole_message::StoredHead;
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

/// What an object costs beside the bytes that it names: itself, its slots in the shard's table and queue (tables
/// are at worst half empty), its ghost and the allocator's rounding.
const OBJECT_OVERHEAD: u64 = (size_of::<Object>() + size_of::<StoredBody>()) as u64 + 512;

/// A complete stored response.
#[derive(Debug)]
pub struct Object {
    /// What freshness needs to know.
    pub facts: StoredFacts,
    /// Status line and fields, serialised.
    pub head: StoredHead,
    /// The entity tag, for conditions (RFC 9110 section 8.8.3).
    pub etag: Option<Bytes>,
    /// The date of the last modification, as it came.
    pub last_modified: Option<Bytes>,
    /// Its body may be a page to be put together (ESI): see [`Object::plan`].
    pub assembles: bool,
    body: Arc<StoredBody>,
    vary: Vary,
    key: Arc<[u8]>,
    hash: u64,
    /// Uses since it was stored or last passed over by eviction, 0 to [`USES_MAX`].
    uses: AtomicU8,
    charge: Charge,
}

/// The content, shared by an object and those that a 304 makes of it.
#[derive(Debug)]
struct StoredBody {
    chunks: Box<[Bytes]>,
    bytes: u64,
    charge: Charge,
    /// Where it is a page to be put together: of what.
    plan: OnceLock<Planned>,
}

/// What its page is made of, on the Ledger.
#[derive(Debug)]
struct Planned {
    plan: Result<Plan, EsiError>,
    _charge: Charge,
}

/// Uses are counted up to this (S3-FIFO: two bits).
const USES_MAX: u8 = 3;

impl Object {
    /// The content, in order; no chunk is empty.
    pub fn chunks(&self) -> &[Bytes] {
        &self.body.chunks
    }

    /// Bytes of content.
    pub fn body_bytes(&self) -> u64 {
        self.body.bytes
    }

    /// What its page is made of: found out by the first who asks, for all. Holds nobody up: two who are first at the
    /// same time both find out.
    pub fn plan(&self) -> &Result<Plan, EsiError> {
        let body = &self.body;
        let planned = body.plan.get().unwrap_or_else(|| {
            let mut parser = Parser::new();
            let fed = body.chunks.iter().try_for_each(|chunk| parser.feed(chunk));
            let plan = fed.and_then(|()| parser.finish());
            let bytes = plan.as_ref().map_or(0, Plan::memory_bytes);
            let charge = Charge::new(body.charge.ledger(), Account::Cache, bytes);
            body.plan.get_or_init(|| Planned { plan, _charge: charge })
        });
        &planned.plan
    }

    /// The key that it was stored under.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// What selects it among the variants of its key.
    pub fn vary(&self) -> &Vary {
        &self.vary
    }

    /// Bytes that it takes from the cache's limit, overhead included.
    pub fn cost(&self) -> u64 {
        self.own_cost() + self.body.charge.bytes()
    }

    /// [`Object::cost`] without the body that it may share with its predecessor.
    pub(crate) fn own_cost(&self) -> u64 {
        self.charge.bytes()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    pub(crate) fn shared_key(&self) -> &Arc<[u8]> {
        &self.key
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

/// Everything but the body of an object that will be.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub facts: StoredFacts,
    pub head: StoredHead,
    pub etag: Option<Bytes>,
    pub last_modified: Option<Bytes>,
    pub assembles: bool,
    pub vary: Vary,
    pub key: Arc<[u8]>,
    pub hash: u64,
}

impl Frame {
    /// With a body that arrived.
    pub(crate) fn with_chunks(self, ledger: &Arc<Ledger>, chunks: Box<[Bytes]>) -> Object {
        let bytes = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let cost = bytes + chunks.len() as u64 * PIECE_OVERHEAD;
        let charge = Charge::new(ledger, Account::Cache, cost);
        self.with_body(ledger, Arc::new(StoredBody { chunks, bytes, charge, plan: OnceLock::new() }))
    }

    /// With the body of an object that a 304 said still holds.
    pub(crate) fn with_body_of(self, ledger: &Arc<Ledger>, object: &Object) -> Object {
        self.with_body(ledger, object.body.clone())
    }

    fn with_body(self, ledger: &Arc<Ledger>, body: Arc<StoredBody>) -> Object {
        let charge = Charge::new(ledger, Account::Cache, self.cost());
        let Self { facts, head, etag, last_modified, assembles, vary, key, hash } = self;
        let uses = AtomicU8::new(0);
        Object { facts, head, etag, last_modified, assembles, body, vary, key, hash, uses, charge }
    }

    /// What the object costs without its body.
    pub(crate) fn cost(&self) -> u64 {
        let optional = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
        let named =
            self.key.len() + self.head.lines.len() + optional(&self.etag) + optional(&self.last_modified);
        OBJECT_OVERHEAD + self.vary.bytes() + named as u64
    }
}
