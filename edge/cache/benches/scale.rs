//! How cost grows with what is stored: `cargo bench -p tentpole-cache --bench scale -- 10000000`. Prints, for each number of
//! small objects up to that one, the memory that the system sees and that the cache counts, the CPU time to store and to
//! find one in random order, and what purges take; then hits by variants of a key. Ten million take 6 GiB and two
//! minutes.

mod common;

use common::{BODY, HEAD, cache, hit, store, thread_cpu, write_key};
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::{Cache, Tag, TagSet};
use tentpole_message::Fields;
use tentpole_runtime::Random;

const LOOK_UPS: usize = 2_000_000;

fn main() {
    let wanted = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    println!(
        "    objects  bytes each  counted  beyond     store      hit  2 threads  no tag  10,000 tagged     prefix"
    );
    for count in [10_000, 100_000, 1_000_000, 10_000_000].into_iter().filter(|&count| count <= wanted) {
        row(count);
    }
    println!("\n  variants    hit  of one key");
    for count in [1, 2, 4, 8, 16, 32] {
        println!("{count:>10} {:>3} ns      {:>3} ns", variants(10_000, count), variants(1, count));
    }
}

fn row(count: usize) {
    let (before, request, mut key) = (resident(), Fields::new(), Vec::new());
    let (cache, tag) = (cache(), Tag::of(b"some"));
    let every = (count / 10_000).max(1);
    let began = thread_cpu();
    for number in 0..count {
        write_key(&mut key, number);
        let tags: &[Tag] = if number % every == 0 { &[tag] } else { &[] };
        store(&cache, &key, &request, &[], tags);
    }
    let stored = each(thread_cpu() - began, count);
    let held = (resident() - before) / count as u64;
    let counted = cache.stats().bytes / count as u64;
    let content = (key.len() + HEAD.len() + BODY.len()) as u64;
    let alone = look_up(&cache, count, 1);
    let together = look_up(&cache, count, 2);
    let nobodys = TagSet::new(&[Tag::of(b"nobody's")]);
    let none =
        timed(|| (0..1_000).for_each(|_| assert_eq!(cache.purge_tags(&nobodys, |_| true, true).objects, 0)))
            / 1_000;
    let tagged = timed(|| cache.purge_tags(&TagSet::new(&[tag]), |_| true, false));
    let prefix = timed(|| cache.purge_where(|key| key.starts_with(b"other.example\0/"), false));
    println!(
        "{count:>11}  {held:>10}  {counted:>7}  {:>6}  {stored:>5} ns {alone:>5} ns   {together:>5} ns  {:>3} µs      {:>6.1} ms  {:>6.1} ms",
        held.saturating_sub(content),
        none.as_micros(),
        tagged.as_secs_f64() * 1e3,
        prefix.as_secs_f64() * 1e3,
    );
}

/// Nanoseconds for one hit in random order, on threads at once.
fn look_up(cache: &Arc<Cache>, count: usize, threads: usize) -> u64 {
    let took: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn(move || {
                    let (mut random, request) = (Random::from_seed(thread as u64), Fields::new());
                    let mut keys = vec![Vec::new(); LOOK_UPS / threads];
                    keys.iter_mut().for_each(|key| write_key(key, random.next_u64() as usize % count));
                    let began = thread_cpu();
                    assert!(keys.iter().all(|key| hit(cache, key, &request)), "nothing was evicted");
                    thread_cpu() - began
                })
            })
            .collect();
        running.into_iter().filter_map(|running| running.join().ok()).collect()
    });
    each(took.into_iter().max().unwrap_or_default(), LOOK_UPS / threads)
}

/// Nanoseconds for one hit of keys with so many variants each, in random order.
fn variants(keys: usize, count: usize) -> u64 {
    let (cache, mut key) = (cache(), Vec::new());
    let requests: Vec<Fields> = (0..count)
        .map(|number| {
            let mut request = Fields::new();
            request.push(b"Host", b"shop.example");
            request.push(b"Accept-Language", format!("l{number:02}").as_bytes());
            request
        })
        .collect();
    for number in 0..keys {
        write_key(&mut key, number);
        requests.iter().for_each(|request| store(&cache, &key, request, &[b"Accept-Language"], &[]));
    }
    let mut random = Random::from_seed(1);
    let mut wanted = vec![(Vec::new(), 0); LOOK_UPS / 4];
    for (key, variant) in &mut wanted {
        write_key(key, random.next_u64() as usize % keys);
        *variant = random.next_u64() as usize % count;
    }
    let began = thread_cpu();
    assert!(wanted.iter().all(|(key, variant)| hit(&cache, key, &requests[*variant])));
    each(thread_cpu() - began, wanted.len())
}

fn timed<T>(work: impl FnOnce() -> T) -> Duration {
    let began = thread_cpu();
    work();
    thread_cpu() - began
}

fn each(took: Duration, count: usize) -> u64 {
    (took.as_nanos() / count.max(1) as u128) as u64
}

/// Bytes of memory that the process has in use, pages of 4 KiB.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4_096
}
