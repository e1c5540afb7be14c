//! Caches of many small objects, for measurements that take the whole of one.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::{Cache, Judged, Looked, NewObject, StoredFacts, Tag};
use tentpole_message::{Fields, StoredHead};
use tentpole_model::CacheSettings;
use tentpole_runtime::Ledger;

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
    let facts = StoredFacts { lifetime: 3_600, validator: true, ..StoredFacts::default() };
    let request = request.into();
    let (last_modified, length) = (None, Some(BODY.len() as u64));
    let new = NewObject { head, facts, vary, request, etag, last_modified, tags, assembles: false, length };
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

/// CPU time that this thread has used: the rest of what something takes is waiting for a core or for
/// a lock.
pub fn thread_cpu() -> Duration {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = statistics.split(' ').next().and_then(|nanoseconds| nanoseconds.parse().ok());
    Duration::from_nanos(nanoseconds.unwrap_or(0))
}
