//! Parts of what is too large for memory. Whatever can be held is fetched whole, also for who asks for a part of it;
//! of the rest, single ranges are kept as objects of their own and served to who asks for the same. A part is bound to
//! the strong entity tag and the length of the whole; what disagrees with these in anything is not stored.

use crate::asked::Asked;
use crate::forward::Purpose;
use crate::obtain::goes_past;
use crate::place::Place;
use crate::thread::Scratch;
use std::io::Write;
use tentpole_cache::{Cache, Key};
use tentpole_freshness::{self as freshness, ContentRange, Ranged, StoredFacts};
use tentpole_http1::Framing;
use tentpole_message::{Name, ResponseHead};
use tentpole_model::{Bypass, Method};

/// One range of a whole that is too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    range: ContentRange,
    /// Of the whole as it was when the request came.
    number: u64,
    /// Bytes of the whole's key, which the part's begins with.
    whole_key_bytes: usize,
}

/// Whether the request is for a part that is or may be kept. If so, its key is from now on that of the part. Costs a
/// request without `Range` nothing.
pub fn choose(cache: &Cache, scratch: &mut Scratch, asked: &Asked, place: &Place) -> Option<Part> {
    if !asked.facts.range || asked.method != Method::Get || goes_past(asked, place).is_some() {
        return None;
    }
    let large = cache.large(&cache.key(&scratch.key))?;
    let fields = &scratch.request.fields;
    // What these ask is the endpoint's to answer.
    let conditions = [Name::IfMatch, Name::IfNoneMatch, Name::IfModifiedSince, Name::IfUnmodifiedSince];
    if conditions.into_iter().any(|name| fields.has(name)) {
        return None;
    }
    let holds = |wanted| freshness::range_applies(wanted, Some(&large.etag), None, None, asked.now);
    if !fields.all(Name::IfRange).all(holds) || fields.all(Name::Range).count() != 1 {
        return None;
    }
    let ranged = freshness::byte_range(fields.get(Name::Range)?, large.total);
    let Ranged::Part { start, end_exclusive } = ranged else { return None };
    if end_exclusive - start > cache.object_bytes_max() {
        return None;
    }
    let range = ContentRange { first: start, last: end_exclusive - 1, total: large.total };
    let key = &mut scratch.key;
    let part = Part { range, number: large.number(), whole_key_bytes: key.len() };
    // Writing into a Vec cannot fail.
    let _ = write!(key, "\0p{} {}-{}", part.number, range.first, range.last);
    Some(part)
}

impl Part {
    /// What an endpoint is asked for.
    pub fn purpose(&self) -> Purpose<'static> {
        Purpose::Part { first: self.range.first, last: self.range.last }
    }

    /// Whether what came is this part, and may be stored. `as_whole` decides about the rest as for a whole response of
    /// this status.
    ///
    /// # Errors
    /// Why not. When it is no part of what was known, all parts of that are unknown from now on.
    pub fn may_store(
        &self,
        cache: &Cache,
        key: &[u8],
        response: &ResponseHead,
        framing: Framing,
        as_whole: impl FnOnce(u16) -> Result<StoredFacts, Bypass>,
    ) -> Result<StoredFacts, Bypass> {
        if response.status >= 500 {
            return Err(Bypass::Status);
        }
        let whole = cache.key(key.get(..self.whole_key_bytes).unwrap_or_default());
        let known = cache.large(&whole).filter(|large| large.number() == self.number);
        let is_it = self.is_brought_by(response, framing)
            && known.as_ref().is_some_and(|large| version_of(response) == Some(&large.etag));
        if !is_it {
            // Unless somebody else has noticed before.
            if let Some(known) = known {
                cache.forget_large(&whole);
                note_changed(cache, &whole, &known.etag, response);
            }
            return Err(Bypass::Range);
        }
        let facts = as_whole(200)?;
        if facts.heuristic {
            return Err(Bypass::NoLifetime);
        }
        if !is_fresh_at_once(&facts) {
            return Err(Bypass::AlreadyStale);
        }
        // A stale part is fetched anew: a 304 would say nothing of the range.
        Ok(StoredFacts { validator: false, ..facts })
    }

    /// Whether the head announces these very bytes (RFC 9110 section 15.3.7.1).
    fn is_brought_by(&self, response: &ResponseHead, framing: Framing) -> bool {
        let fields = &response.fields;
        let mut said = fields.all(Name::ContentRange).map(freshness::content_range);
        let bytes = self.range.last - self.range.first + 1;
        response.status == 206
            && (said.next(), said.next()) == (Some(Some(self.range)), None)
            && matches!(framing, Framing::Length(length) if length == bytes)
    }
}

/// Remembers a response that is too large for memory, if parts of it may be kept: it must be the same for everybody, be
/// fresh for a time that it names itself, and have a strong entity tag to tell it from what it was and will be.
pub fn note_large(
    cache: &Cache,
    key: &[u8],
    response: &ResponseHead,
    facts: &StoredFacts,
    length: Option<u64>,
) {
    let may_be = response.status == 200 && !facts.heuristic && is_fresh_at_once(facts);
    if let (true, Some(etag), Some(length)) = (may_be, version_of(response), length) {
        cache.note_large(&cache.key(key), etag, length);
    }
}

/// Remembers another version of the whole than the known one, if a part has shown one. Each part is looked at by itself
/// before it is stored.
fn note_changed(cache: &Cache, whole: &Key<'_>, known: &[u8], response: &ResponseHead) {
    let said = response.fields.get(Name::ContentRange).and_then(freshness::content_range);
    if let (206, Some(said), Some(etag)) = (response.status, said, version_of(response))
        // What is the same, and yet not, is wrong in some way.
        && etag != known
        && said.total > cache.object_bytes_max()
    {
        cache.note_large(whole, etag, said.total);
    }
}

/// The tag that tells one version of what is the same for everybody from all others.
fn version_of(response: &ResponseHead) -> Option<&[u8]> {
    let fields = &response.fields;
    let etag = fields.get(Name::Etag).filter(|etag| is_strong(etag))?;
    (fields.all(Name::Etag).count() == 1 && !fields.has(Name::Vary)).then_some(etag)
}

fn is_fresh_at_once(facts: &StoredFacts) -> bool {
    !facts.no_cache && facts.lifetime > facts.initial_age
}

/// RFC 9110 section 8.8.3.
fn is_strong(etag: &[u8]) -> bool {
    etag.len() > 2 && etag.starts_with(b"\"") && etag.ends_with(b"\"")
}
