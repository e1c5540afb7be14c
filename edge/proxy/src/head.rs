//! What a response's head says about caching, and what is kept of it: when it is stored, and when a 304 updates it.
//! Decides nothing about cacheability: `decide/freshness` does.

use crate::forms::{is_digest, varies_by_coding};
use crate::tags::is_for_caches;
use bytes::Bytes;
use tentpole_cache::Object;
use tentpole_freshness::{
    Age, Control, Expires, RequestFacts, ResponseFacts, StoredFacts, may_store, parse_date,
};
use tentpole_http1 as http1;
use tentpole_message::{Field, Fields, Name, ResponseHead, StoredHead, tokens};
use tentpole_model::{Bypass, Caching};
use tentpole_runtime::clock;

/// Largest stored head.
const STORED_HEAD_MAX: usize = 32 * 1024;
/// What tags may add to it, where they stay in it.
const TAGS_BYTES_MAX: usize = 96 * 1024;

/// How a head is kept.
#[derive(Clone, Copy)]
pub struct Keeping<'a> {
    /// What the route says.
    pub caching: &'a Caching,
    /// Tags stay in it.
    pub sends_tags: bool,
}

/// What it says about caching.
pub fn facts(response: &ResponseHead, now: u64) -> ResponseFacts {
    let fields = &response.fields;
    let date = |name| fields.get(name).and_then(|value| parse_date(value, now));
    let Control { cache_control, present, targeted, surrogate } = Control::parse(
        fields.all(Name::CdnCacheControl),
        fields.all(Name::SurrogateControl),
        fields.all(Name::CacheControl),
    );
    ResponseFacts {
        status: response.status,
        cache_control,
        has_cache_control: present,
        targeted,
        surrogate,
        date: date(Name::Date),
        expires: Expires::parse(fields.all(Name::Expires), now),
        age: Age::parse(fields.all(Name::Age)),
        last_modified: date(Name::LastModified),
        has_etag: fields.has(Name::Etag),
        set_cookie: fields.has(Name::SetCookie),
        vary_star: fields.all(Name::Vary).flat_map(tokens).any(|name| name == b"*"),
    }
}

/// Serialises the stored part of a head: all that does not change with the request, and is for everybody. What may get
/// forms in other codings (`has_forms`) says so from now on, also where it is sent as it came (RFC 9110 section 12.5.5).
pub fn stored(
    response: &ResponseHead,
    keeping: Keeping<'_>,
    has_forms: bool,
    now: u64,
) -> Result<StoredHead, Bypass> {
    let mut lines = Vec::with_capacity(response.fields.bytes().len() + 64);
    http1::write_status_line(&mut lines, response.status, response.reason());
    keeping.write(&mut lines, response);
    if !response.fields.has(Name::Date) {
        http1::write_field(&mut lines, b"Date", &clock::http_date(now));
    }
    if has_forms && !varies_by_coding(response) {
        http1::write_field(&mut lines, b"Vary", b"Accept-Encoding");
    }
    if lines.len() > STORED_HEAD_MAX + if keeping.sends_tags { TAGS_BYTES_MAX } else { 0 } {
        return Err(Bypass::HeadTooLarge);
    }
    Ok(StoredHead { lines: lines.into(), status: response.status })
}

impl Keeping<'_> {
    /// Writes the fields that are stored: the age is counted anew for each visitor, a cookie is for one of them, and what is
    /// for caches has been read by the one it is for.
    fn write(self, lines: &mut Vec<u8>, head: &ResponseHead) {
        let rewritten = !self.caching.visitors_keep;
        http1::write_fields(lines, &head.fields, |field| match field.id {
            Name::Age | Name::SetCookie => true,
            Name::CacheControl | Name::Expires | Name::Pragma => rewritten,
            _ => !self.sends_tags && is_for_caches(&field),
        });
        if rewritten {
            // A 304 that says nothing about caching then leaves it to be asked for each time, here too.
            lines.extend_from_slice(b"Cache-Control: max-age=0, must-revalidate, no-cache\r\n");
        }
    }
}

/// What a 304 makes of a stored head.
pub struct Refreshed {
    /// The head from now on.
    pub head: StoredHead,
    /// What has to be remembered of it.
    pub facts: StoredFacts,
    /// The fields of the 304 are not for others, and are not in the head.
    pub is_own: bool,
}

/// A stored head after a 304, and what has to be remembered of it from now on: the fields of the 304 replace those of the
/// same name (RFC 9111 section 3.2), except those that describe the content, that select it, or that are for one visitor.
/// Where what it describes may not be stored, they are all for one visitor.
pub fn refreshed(
    stale: &Object,
    response: &ResponseHead,
    request: &RequestFacts,
    keeping: Keeping<'_>,
    requested: u64,
    now: u64,
) -> Refreshed {
    let known = parsed(stale.lines().to_vec());
    let mut lines = Vec::with_capacity(stale.lines().len() + response.fields.bytes().len() + 64);
    http1::write_status_line(&mut lines, stale.status(), known.reason());
    let keeps_type = media_type(&known) != media_type(response);
    let stays = |field: &Field<'_>| stays(field) || field.id == Name::ContentType && keeps_type;
    let replaced = |name: &[u8]| response.fields.find(name).next().is_some();
    http1::write_fields(&mut lines, &known.fields, |field| !stays(&field) && replaced(field.name));
    http1::write_fields(&mut lines, &response.fields, |field| stays(&field));
    if !response.fields.has(Name::Date) && !known.fields.has(Name::Date) {
        http1::write_field(&mut lines, b"Date", &clock::http_date(now));
    }
    let mut updated = parsed(lines);
    if let Some(said) = surrogate_of(stale)
        && !updated.fields.has(Name::SurrogateControl)
        && updated.fields.len() < Fields::COUNT_MAX
    {
        updated.fields.push(b"Surrogate-Control", said.as_bytes());
    }

    let status = stale.status();
    // A cookie and what selects stay out of what is stored, but not out of the decision.
    let set_cookie = response.fields.has(Name::SetCookie);
    let age = Age::parse(response.fields.all(Name::Age));
    let seen = ResponseFacts { status, set_cookie, age, ..facts(&updated, now) };
    // What is selected by more than the 304 names is still right for those who get it.
    let known_names = selecting(&known);
    let selects_alike =
        selecting(response).all(|name| known_names.clone().any(|known| known.eq_ignore_ascii_case(name)));
    let stored_anew =
        may_store(request, &seen, keeping.caching, requested, now).ok().filter(|_| selects_alike);
    let Some(facts) = stored_anew else {
        let head = StoredHead { lines: Bytes::copy_from_slice(stale.lines()), status };
        return Refreshed { head, facts: used_up(&stale.facts(), now), is_own: true };
    };

    let mut lines = Vec::with_capacity(updated.fields.bytes().len() + 64);
    http1::write_status_line(&mut lines, status, updated.reason());
    keeping.write(&mut lines, &updated);
    Refreshed { head: StoredHead { lines: lines.into(), status }, facts, is_own: false }
}

/// What the stored `Surrogate-Control` said of the lifetime, in other words: it is not in the stored head, and a 304 without
/// it leaves it in force like any other field (RFC 9111 section 3.2).
fn surrogate_of(stale: &Object) -> Option<String> {
    let StoredFacts { lifetime, stale_while_revalidate, surrogate, .. } = stale.own_facts();
    surrogate.then(|| match stale_while_revalidate {
        0 => format!("max-age={lifetime}"),
        more => format!("max-age={lifetime}+{more}"),
    })
}

/// The field lines of a 304 for its visitor alone, beside the stored head: those that this does not have, and what they
/// say about keeping it.
pub fn beside(stale: &Object, response: &ResponseHead) -> Vec<u8> {
    let known = parsed(stale.lines().to_vec());
    let mut lines = Vec::new();
    http1::write_fields(&mut lines, &response.fields, |field| match field.id {
        Name::CacheControl => false,
        Name::SetCookie | Name::Date => true,
        _ => stays(&field) || is_for_caches(&field) || known.fields.find(field.name).next().is_some(),
    });
    lines
}

/// Fields that a 304 does not change. Those of the content: its coding, its range and its digests are those of the bytes
/// that we hold. Its entity tag too: we asked whether that one still holds, and servers that compress answer with another
/// spelling of it. `Vary` has selected the object; cookies and ages are not stored.
fn stays(field: &Field<'_>) -> bool {
    use Name::{Age, ContentEncoding, ContentRange, Etag, SetCookie, Vary};
    matches!(field.id, Age | ContentEncoding | ContentRange | Etag | SetCookie | Vary) || is_digest(field)
}

/// `Content-Type` without its parameters, in lower case. A 304 may change the parameters only: what PHP puts on each 304 is
/// `text/html`, and an image must not become a page by that.
fn media_type(head: &ResponseHead) -> Option<Vec<u8>> {
    let value = head.fields.get(Name::ContentType)?;
    let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
    Some(value[..end].trim_ascii().to_ascii_lowercase())
}

/// Names in `Vary`.
fn selecting(head: &ResponseHead) -> impl Iterator<Item = &[u8]> + Clone {
    head.fields.all(Name::Vary).flat_map(tokens)
}

/// For what may not be stored as the 304 describes it: it answers whoever asked, and has to be asked for each time.
fn used_up(facts: &StoredFacts, now: u64) -> StoredFacts {
    StoredFacts {
        lifetime: 0,
        initial_age: 0,
        response_time: now,
        no_cache: true,
        must_revalidate: true,
        immutable: false,
        surrogate: false,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        stale_if_unreachable: 0,
        ..*facts
    }
}

/// A head of our own writing, without its last line. Such a head parses; if it did not, nothing would be known of it.
pub fn parsed(mut lines: Vec<u8>) -> ResponseHead {
    let limits =
        http1::Limits { head_bytes_max: usize::MAX, fields_max: http1::FIELDS_MAX, ..Default::default() };
    lines.extend_from_slice(b"\r\n");
    let mut head = ResponseHead::new();
    let _ = http1::parse_response(&lines, &limits, &mut head);
    head
}
