//! What a purge of 100,000 objects under one tag takes among as many others, while two threads hit those others, and what
//! they feel of it: `cargo bench -p tentpole-cache --bench purge`.

mod common;

use common::{cache, hit, store, thread_cpu, write_key};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tentpole_cache::{Cache, Tag, TagSet};
use tentpole_message::Fields;
use tentpole_runtime::{Random, clock};

const TAGGED: usize = 100_000;

fn main() {
    println!("hitting  purge             objects     took  its CPU    hits/s  longest hit");
    for threads in [0, 2] {
        let (cache, tags) = (filled(), TagSet::new(&[Tag::of(b"all")]));
        while_hit(&cache, threads, "none, 0.5 s", || {
            std::thread::sleep(Duration::from_millis(500));
            0
        });
        while_hit(&cache, threads, "soft, by tag", || cache.purge_tags(&tags, |_| true, true).objects);
        let others = |key: &[u8]| key.starts_with(b"other.example");
        while_hit(&cache, threads, "soft, by prefix", || cache.purge_where(others, true).objects);
        while_hit(&cache, threads, "hard, by tag", || cache.purge_tags(&tags, |_| true, false).objects);
        while_hit(&cache, threads, "hard, all", || cache.purge_all(false).objects);
    }
}

fn filled() -> Arc<Cache> {
    let (cache, request, mut key) = (cache(), Fields::new(), Vec::new());
    for number in 0..2 * TAGGED {
        write_key(&mut key, number);
        // A shop's page carries a few tags of its own.
        let own = [Tag::of(b"all"), Tag::of(&key), Tag::of(format!("category-{}", number % 500).as_bytes())];
        store(&cache, &key, &request, &[], &own[usize::from(number % 2 == 1)..]);
    }
    cache
}

fn while_hit(cache: &Arc<Cache>, threads: usize, name: &str, purge: impl FnOnce() -> u64) {
    let (over, longest, hits) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let (over, longest, hits) = (&over, &longest, &hits);
    let (objects, took, cpu) = std::thread::scope(|scope| {
        for seed in 0..threads {
            scope.spawn(move || {
                let (mut random, request, mut key) =
                    (Random::from_seed(seed as u64), Fields::new(), Vec::new());
                let mut count = 0;
                while !over.load(Ordering::Relaxed) {
                    // Odd numbers do not carry the tag.
                    write_key(&mut key, random.next_u64() as usize % TAGGED * 2 + 1);
                    let at = clock::now();
                    hit(cache, &key, &request);
                    longest.fetch_max(clock::now().since(at).as_micros() as u64, Ordering::Relaxed);
                    count += 1;
                }
                hits.fetch_add(count, Ordering::Relaxed);
            });
        }
        let (began, cpu) = (clock::now(), thread_cpu());
        let objects = purge();
        let (took, cpu) = (clock::now().since(began), thread_cpu().saturating_sub(cpu));
        over.store(true, Ordering::Relaxed);
        (objects, took, cpu)
    });
    let seconds = took.as_secs_f64();
    println!(
        "{threads:>7}  {name:<16} {objects:>8} {:>5.1} ms {:>5.1} ms {:>9.0} {:>9} µs",
        seconds * 1e3,
        cpu.as_secs_f64() * 1e3,
        hits.load(Ordering::Relaxed) as f64 / seconds,
        longest.load(Ordering::Relaxed),
    );
}
