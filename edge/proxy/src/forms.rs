//! Which form of a stored response a visitor gets: as it came, or in a content coding (RFC 9110 section 8.4). Forms are
//! made apart from any request, once for each object and coding; until one is there, visitors get what is.
//!
//! What may be compressed is decided when it is stored, and shows from then on by `Vary: Accept-Encoding` in its head:
//! whatever is stored without that never gets another form.

use crate::head::parsed;
use crate::template::is_page;
use bytes::Bytes;
use std::cmp::Reverse;
use std::sync::Arc;
use tentpole_cache::{Cache, Coding, Derived, Made, Object};
use tentpole_compress::{BYTES_MAX, BYTES_MIN, Job, Pool, Stats, is_text};
use tentpole_http1 as http1;
use tentpole_key::CodingWeights;
use tentpole_message::{Field, Name, RequestHead, ResponseHead, StoredHead, tokens};
use tentpole_model::Caching;
use tentpole_runtime::Ledger;

/// Of codings that a visitor likes equally the first counts: in this order they save the most.
const BY_SIZE: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// From so many cores on there is a second thread that compresses.
const CORES_FOR_TWO: usize = 8;

/// Who has forms made, and finds them.
#[derive(Debug)]
pub struct Forms {
    cache: Arc<Cache>,
    pool: Pool,
}

impl Forms {
    /// Of what this cache holds.
    pub fn new(cache: &Arc<Cache>, ledger: &Arc<Ledger>) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = if cores >= CORES_FOR_TWO { 2 } else { 1 };
        Self { cache: cache.clone(), pool: Pool::new(threads, ledger) }
    }

    /// How many were made.
    pub fn stats(&self) -> Stats {
        self.pool.stats()
    }

    /// The form that a request gets; `None` is the content as it came. Has the best one made if it is not there. Allocates
    /// nothing but for that.
    pub fn of<'a>(&self, object: &'a Arc<Object>, request: &RequestHead) -> Option<&'a Derived> {
        let fields = &request.fields;
        // A part is a part of the content as it came; and who wants nothing changed gets nothing changed (RFC 9111 section
        // 5.2.1.6).
        let may_be_coded = object.may_have_forms()
            && fields.has(Name::AcceptEncoding)
            && !fields.has(Name::Range)
            && !fields.has_token(Name::CacheControl, b"no-transform");
        if !may_be_coded {
            return None;
        }
        let liked = liked(CodingWeights::of(fields.all(Name::AcceptEncoding)));
        let best = liked.into_iter().flatten().next()?;
        if object.derived(best).is_none() && !object.is_claimed(best) {
            match self.pool.is_full() {
                false => self.make(object, best),
                true => self.pool.turned_away(),
            }
        }
        liked.into_iter().flatten().find_map(|coding| object.derived(coding)).map(|form| &**form)
    }

    /// Puts a form in that was made elsewhere, of the same content. Where there is no room for it nothing is lost.
    pub fn bring(&self, object: &Arc<Object>, coding: Coding, coded: Bytes) {
        let Some(claim) = object.claim(coding).filter(|_| has_forms(object)) else { return };
        let (head, etag) = head_of(object.lines(), object.status(), coding);
        let made = Made { head, etag: etag.as_deref(), chunks: vec![coded] };
        let _ = self.cache.derive(claim, made);
    }

    /// Has a form made, if nobody else has.
    #[cold]
    fn make(&self, object: &Arc<Object>, coding: Coding) {
        let Some(claim) = object.claim(coding) else { return };
        if !has_forms(object) {
            return claim.decline_all();
        }
        let cache = self.cache.clone();
        let then = move |coded: Result<Vec<u8>, _>| match coded {
            Ok(coded) => {
                let (head, etag) = head_of(claim.object().lines(), claim.object().status(), coding);
                let made = Made { head, etag: etag.as_deref(), chunks: vec![coded.into()] };
                // Where there is no room for it, or its object has gone, visitors get the content as it came.
                let _ = cache.derive(claim, made);
            }
            Err(_) => claim.decline(),
        };
        let (coding, chunks) = (of_pool(coding), object.chunks().to_vec());
        // Not taken, it is dropped with its claim, and a later visitor has it made.
        self.pool.offer(Job { coding, chunks, then: Box::new(then) });
    }
}

/// The codings that a visitor accepts and likes no less than content that is not coded; the one liked most first.
fn liked(weights: CodingWeights) -> [Option<Coding>; 3] {
    let CodingWeights { br, zstd, gzip, identity } = weights;
    let weight = |coding| match coding {
        Coding::Brotli => br,
        Coding::Zstd => zstd,
        Coding::Gzip => gzip,
    };
    let mut codings = BY_SIZE;
    // Stable.
    codings.sort_by_key(|&coding| Reverse(weight(coding)));
    codings.map(|coding| (weight(coding) > 0 && weight(coding) >= identity).then_some(coding))
}

fn of_pool(coding: Coding) -> tentpole_compress::Coding {
    match coding {
        Coding::Brotli => tentpole_compress::Coding::Brotli,
        Coding::Zstd => tentpole_compress::Coding::Zstd,
        Coding::Gzip => tentpole_compress::Coding::Gzip,
    }
}

/// Whether a response that is about to be stored may get other forms: then its head has to say that it varies.
pub fn may_have_forms(response: &ResponseHead, caching: &Caching, length: Option<u64>) -> bool {
    // What is put together for each visitor is not what is stored.
    let page = is_page(caching.esi, response);
    let fits = length.is_none_or(|length| (BYTES_MIN..=BYTES_MAX).contains(&length));
    caching.compress && !page && fits && is_plain_text(response)
}

/// Whether a head is of text that nobody has coded yet, and that may be changed on its way (RFC 9111 section 5.2.2.6).
fn is_plain_text(head: &ResponseHead) -> bool {
    let fields = &head.fields;
    matches!(head.status, 200 | 203 | 404 | 410)
        && fields.get(Name::ContentType).is_some_and(is_text)
        && !fields.has(Name::ContentEncoding)
        && !fields.has(Name::ContentRange)
        && !fields.has_token(Name::CacheControl, b"no-transform")
}

/// Whether a head says that it varies by `Accept-Encoding`.
pub fn varies_by_coding(head: &ResponseHead) -> bool {
    let names = head.fields.all(Name::Vary).flat_map(tokens);
    names.into_iter().any(|name| name.eq_ignore_ascii_case(b"accept-encoding"))
}

/// Whether forms are made of a stored response.
fn has_forms(object: &Object) -> bool {
    let head = parsed(object.lines().to_vec());
    (BYTES_MIN..=BYTES_MAX).contains(&object.body_bytes()) && varies_by_coding(&head) && is_plain_text(&head)
}

/// The head of a form after that of its object was renewed, for [`tentpole_cache::Confirmed`].
pub fn renewed(lines: &Bytes, status: u16, coding: Coding) -> Option<(StoredHead, Option<Bytes>)> {
    is_plain_text(&parsed(lines.to_vec())).then(|| head_of(lines, status, coding))
}

/// The head of a form, with its entity tag. That becomes weak: the bytes are others, so that parts of the two must not
/// be put together, but what they mean is the same, so that either answers `If-None-Match` (RFC 9110 section 8.8.1).
fn head_of(lines: &[u8], status: u16, coding: Coding) -> (StoredHead, Option<Bytes>) {
    let known = parsed(lines.to_vec());
    let mut out = Vec::with_capacity(lines.len() + 32);
    http1::write_status_line(&mut out, status, known.reason());
    http1::write_fields(&mut out, &known.fields, |field| field.id == Name::Etag || is_digest(&field));
    let etag = known.fields.get(Name::Etag).map(|tag| match tag.starts_with(b"W/") {
        true => tag.to_vec(),
        false => [b"W/", tag].concat(),
    });
    if let Some(etag) = &etag {
        http1::write_field(&mut out, b"ETag", etag);
    }
    http1::write_field(&mut out, b"Content-Encoding", coding.name().as_bytes());
    (StoredHead { lines: out.into(), status }, etag.map(Bytes::from))
}

/// Fields with a checksum of the content as it came.
pub fn is_digest(field: &Field<'_>) -> bool {
    [&b"content-md5"[..], b"content-digest", b"repr-digest", b"digest"]
        .iter()
        .any(|digest| field.name.eq_ignore_ascii_case(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn best(br: u16, zstd: u16, gzip: u16, identity: u16) -> Option<Coding> {
        liked(CodingWeights { br, zstd, gzip, identity }).into_iter().flatten().next()
    }

    #[test]
    fn what_is_liked_most_comes_first_and_then_what_saves_most() {
        assert_eq!(best(1000, 1000, 1000, 0), Some(Coding::Brotli));
        assert_eq!(best(0, 1000, 1000, 0), Some(Coding::Zstd));
        assert_eq!(best(500, 100, 900, 0), Some(Coding::Gzip));
        assert_eq!(best(0, 0, 1, 0), Some(Coding::Gzip));
        assert_eq!(best(0, 0, 0, 0), None);
        assert_eq!(best(500, 500, 0, 1000), None, "not coded is liked more");
        assert_eq!(best(1000, 500, 0, 1000), Some(Coding::Brotli));
    }

    #[test]
    fn a_form_has_a_weak_tag_and_no_checksum_of_what_it_is_not() {
        let lines = b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-MD5: x\r\nRepr-Digest: y\r\nVary: Accept-Encoding\r\n";
        let (head, etag) = head_of(lines, 200, Coding::Zstd);
        assert_eq!(
            String::from_utf8_lossy(&head.lines),
            "HTTP/1.1 200 OK\r\nVary: Accept-Encoding\r\nETag: W/\"1\"\r\nContent-Encoding: zstd\r\n"
        );
        assert_eq!(etag.as_deref(), Some(&b"W/\"1\""[..]));
        let (_, etag) = head_of(b"HTTP/1.1 200 OK\r\nETag: W/\"1\"\r\n", 200, Coding::Gzip);
        assert_eq!(etag.as_deref(), Some(&b"W/\"1\""[..]));
    }
}
