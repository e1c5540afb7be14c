//! What the answer to a HEAD says of what is stored for GET (RFC 9111 section 4.3.5): it brings the stored fields up to
//! date, or makes the stored response stale. Decides nothing about cacheability.

use crate::forms;
use crate::head::{Keeping, Refreshed, refreshed};
use crate::tags::{names_tags, tags_of};
use bytes::Bytes;
use std::sync::Arc;
use tentpole_cache::{Cache, Confirmed, Object};
use tentpole_freshness::{RequestFacts, StoredFacts};
use tentpole_message::{Name, ResponseHead, StoredHead};
use tentpole_model::Method;

/// Applies a HEAD's 200 to what is stored for the request. Not for a visitor who says who he is: the fields may be
/// meant for him.
pub fn update(
    cache: &Cache,
    stored: &Arc<Object>,
    response: &ResponseHead,
    request: &RequestFacts,
    keeping: Keeping<'_>,
    requested: u64,
    now: u64,
) {
    // What was learned to be shared was fetched without saying who asks; this request may have said more.
    let applies = response.status == 200 && stored.status() == 200 && !stored.facts().learned;
    if !applies || request.cookie || request.authorization || request.cache_control.no_store {
        return;
    }
    let renew = |lines: &Bytes, coding| forms::renewed(lines, stored.status(), coding);
    if is_same(stored, response) {
        let as_get = RequestFacts { method: Method::Get, range: false, ..*request };
        let Refreshed { head, facts, .. } = refreshed(stored, response, &as_get, keeping, requested, now);
        let named = names_tags(&response.fields).then(|| tags_of(response, stored.key()));
        let tags = named.as_deref();
        let lines = head.lines.clone();
        cache.update(stored, Confirmed { head, facts, tags, new_head: &|coding, _| renew(&lines, coding) });
    } else {
        let head = StoredHead { lines: Bytes::copy_from_slice(stored.lines()), status: stored.status() };
        let facts = StoredFacts { lifetime: 0, ..stored.facts() };
        let lines = head.lines.clone();
        cache.update(
            stored,
            Confirmed { head, facts, tags: None, new_head: &|coding, _| renew(&lines, coding) },
        );
    }
}

/// Whether the validators that came agree with those that are stored, and the length too.
fn is_same(stored: &Object, response: &ResponseHead) -> bool {
    let fields = &response.fields;
    let agrees = |name, stored: Option<&[u8]>| fields.get(name).is_none_or(|value| stored == Some(value));
    let length = fields.get(Name::ContentLength);
    let same_length = length.is_none_or(|length| *length == *stored.body_bytes().to_string().as_bytes());
    agrees(Name::Etag, stored.etag()) && agrees(Name::LastModified, stored.last_modified()) && same_length
}
