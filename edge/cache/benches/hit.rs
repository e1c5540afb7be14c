//! What a hit costs: hash, lock, compare, one reference more and one less.

use bytes::Bytes;
use std::cell::Cell;
use std::sync::Arc;
use tentpole_cache::{Cache, Judged, Looked, NewObject, StoredFacts};
use tentpole_message::{Fields, StoredHead};
use tentpole_model::CacheSettings;
use tentpole_runtime::Ledger;

fn main() {
    divan::main();
}

thread_local! {
    static NEXT: Cell<usize> = const { Cell::new(0) };
}

const KEYS: usize = 10_000;

fn path(number: usize) -> Vec<u8> {
    format!("shop.example\0/products/some-article-{number:06}?color=red").into_bytes()
}

fn filled(request: &Fields, vary: &[&[u8]]) -> Arc<Cache> {
    let cache = Cache::new(CacheSettings::default(), Ledger::new(1 << 30));
    let facts = StoredFacts {
        lifetime: 60,
        initial_age: 0,
        response_time: 0,
        no_cache: false,
        must_revalidate: false,
        immutable: false,
        heuristic: false,
        learned: false,
        surrogate: false,
        validator: false,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        stale_if_unreachable: 0,
    };
    for number in 0..KEYS {
        let bytes = path(number);
        let Looked::Lead(lead) = cache.look_up(&cache.key(&bytes), request, |_| Judged::Use) else {
            continue;
        };
        let head = StoredHead { lines: Bytes::from_static(b"HTTP/1.1 200 OK\r\n"), status: 200 };
        let (etag, last_modified, length) = (None, None, None);
        let new = NewObject {
            head,
            facts,
            vary,
            request: request.into(),
            etag,
            last_modified,
            tags: &[],
            assembles: false,
            length,
        };
        if let Ok((mut filling, _)) = lead.start(new) {
            filling.append(Bytes::from_static(&[b'x'; 1024]));
            filling.finish();
        }
    }
    cache
}

fn hit(bencher: divan::Bencher<'_, '_>, request: &Fields, vary: &[&[u8]], step: usize) {
    let cache = filled(request, vary);
    let keys: Vec<Vec<u8>> = (0..KEYS).map(path).collect();
    bencher.bench(|| {
        let at = NEXT.replace((NEXT.get() + step) % KEYS);
        let looked = cache.look_up(&cache.key(&keys[at]), request, |object| {
            if object.facts().no_cache { Judged::Revalidate } else { Judged::Use }
        });
        assert!(matches!(looked, Looked::Hit(_)));
        looked
    });
}

#[divan::bench(threads = [1, 2], sample_size = 2_000)]
fn one_hot_object(bencher: divan::Bencher<'_, '_>) {
    hit(bencher, &Fields::new(), &[], 0);
}

#[divan::bench(threads = [1, 2], sample_size = 2_000)]
fn ten_thousand_objects(bencher: divan::Bencher<'_, '_>) {
    hit(bencher, &Fields::new(), &[], 7_919);
}

#[divan::bench(threads = [1, 2], sample_size = 2_000)]
fn ten_thousand_objects_that_vary_by_encoding(bencher: divan::Bencher<'_, '_>) {
    let mut request = Fields::new();
    request.push(b"Host", b"shop.example");
    request.push(b"Accept-Encoding", b"gzip, deflate, br, zstd");
    hit(bencher, &request, &[b"Accept-Encoding"], 7_919);
}
