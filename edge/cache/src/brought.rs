//! Objects that come back into memory from where an earlier process, or this one, has kept them. They come in through
//! the fill of whoever wanted them, so that all others who want them wait for that one, and so that a purge meanwhile
//! keeps them out. Reads nothing from anywhere.

use crate::body::{Body, Elsewhere};
use crate::derived::Forms;
use crate::object::Frame;
use crate::{Lead, Object, Release, StoredFacts, Tag, Vary, tag};
use bytes::Bytes;
use std::sync::Arc;
use tentpole_message::StoredHead;
use tentpole_runtime::clock;
use tentpole_runtime::ledger::Pressure;

/// A stored response as it was kept.
#[derive(Debug)]
pub struct Brought<'a> {
    /// Status line and fields.
    pub head: StoredHead,
    /// As they were when it was stored.
    pub facts: StoredFacts,
    /// What selects it.
    pub vary: Vary,
    /// The entity tag.
    pub etag: Option<Bytes>,
    /// The date of the last modification.
    pub last_modified: Option<Bytes>,
    /// What it may be purged by.
    pub tags: &'a [Tag],
    /// Its content.
    pub content: Content,
    /// It may be a page to be put together; only what is in memory can be one.
    pub assembles: bool,
    /// A soft purge has made it stale.
    pub purged_softly: bool,
    /// Those who wait get it. Otherwise they look up again, and find it stored: what is stale is for each to judge.
    pub for_all: bool,
}

/// The content of what is brought back.
#[derive(Debug)]
pub enum Content {
    /// In memory, in order; no piece is empty.
    Pieces(Vec<Bytes>),
    /// It stays where it is.
    Elsewhere(Elsewhere),
}

impl Lead {
    /// Ends the fill with what was kept elsewhere. Stored unless a purge came; the object is there all the same.
    ///
    /// # Errors
    /// Gives the lead back when there is no room: fetch, as though nothing had been kept.
    pub fn bring_back(self, brought: Brought<'_>) -> Result<Arc<Object>, Self> {
        let cache = self.cache().clone();
        let bytes = match &brought.content {
            Content::Pieces(pieces) => pieces.iter().map(|piece| piece.len() as u64).sum(),
            Content::Elsewhere(elsewhere) => elsewhere.cost,
        };
        let tags = tag::sorted(brought.tags).filter(|_| bytes <= cache.storable_max());
        let Some(tags) = tags.filter(|_| cache.ledger.pressure() < Pressure::PassFills) else {
            return Err(self);
        };
        let fill = self.fill();
        let Brought {
            head,
            facts,
            vary,
            etag,
            last_modified,
            content,
            assembles,
            purged_softly,
            for_all,
            ..
        } = brought;
        let frame = Frame {
            facts,
            head,
            etag,
            last_modified,
            assembles,
            vary,
            tags,
            key: fill.key.clone(),
            hash: fill.hash,
        };
        let body = match content {
            Content::Pieces(pieces) => Body::new(&cache.ledger, pieces, assembles),
            Content::Elsewhere(elsewhere) => Body::elsewhere(&cache.ledger, elsewhere),
        };
        let object = Arc::new(frame.with_body(Arc::new(body), Forms::default()));
        if purged_softly {
            // When it came is not known any more: the times in which it may be served stale begin now.
            object.purge_softly(u32::try_from(clock::unix_seconds()).unwrap_or(u32::MAX));
        }
        let told = if for_all { Ok(object.clone()) } else { Err(Release::Abandoned) };
        // Whoever may not have it stored may have it all the same.
        let _ = cache.store_telling(&self.ended(), &object, None, told);
        Ok(object)
    }
}
