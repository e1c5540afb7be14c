//! Caches of many small objects, for measurements that take the whole of one.

use bytes::Bytes;
use std::sync::Arc;
use tentpole_cache::{Cache, Judged, Looked, NewObject, StoredFacts, Tag};
use tentpole_message::{Fields, StoredHead};
use tentpole_model::CacheSettings;
use tentpole_runtime::Ledger;

pub const FACTS: StoredFacts = StoredFacts {
    lifetime: 3_600,
    initial_age: 0,
    response_time: 0,
    no_cache: false,
    must_revalidate: false,
    heuristic: false,
    learned: false,
    validator: true,
    stale_while_revalidate: 0,
    stale_if_error: 0,
    stale_if_unreachable: 0,
    immutable: false,
};

pub const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nETag: \"5f3a1b\"\r\n\
    Cache-Control: max-age=3600\r\nDate: Sat, 21 Nov 2026 08:00:00 GMT\r\n";
pub const BODY: &[u8] = &[b'x'; 64];

/// A cache that nothing is evicted from.
pub fn cache() -> Arc<Cache> {
    let memory_bytes_max = 16 << 30;
    let settings = CacheSettings { memory_bytes_max, ..CacheSettings::default() };
    Cache::new(settings, Ledger::new(64 << 30))
}

/// Writes the key of an article.
pub fn write_key(key: &mut Vec<u8>, number: usize) {
    use std::io::Write;
    key.clear();
    // Writing into a Vec cannot fail.
    let _ = write!(key, "shop.example\0/products/article-{number:08}");
}

pub fn store(cache: &Arc<Cache>, key: &[u8], request: &Fields, vary: &[&[u8]], tags: &[Tag]) {
    let Looked::Lead(lead) = cache.look_up(&cache.key(key), request, |_| Judged::Revalidate) else { return };
    let head = StoredHead { lines: Bytes::copy_from_slice(HEAD), status: 200 };
    let etag = Some(Bytes::from_static(b"\"5f3a1b\""));
    let (facts, last_modified, length) = (FACTS, None, Some(BODY.len() as u64));
    let new = NewObject { head, facts, vary, request, etag, last_modified, tags, length };
    if let Ok((mut filling, _)) = lead.start(new) {
        filling.append(Bytes::copy_from_slice(BODY));
        filling.finish();
    }
}

/// Whether it was there.
pub fn hit(cache: &Arc<Cache>, key: &[u8], request: &Fields) -> bool {
    let looked = cache.look_up(&cache.key(key), request, |object| {
        if object.facts().no_cache { Judged::Revalidate } else { Judged::Use }
    });
    matches!(looked, Looked::Hit(_))
}
