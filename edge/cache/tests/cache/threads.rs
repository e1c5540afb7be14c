//! All at once, on several threads.

use crate::support::*;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use tentpole_cache::{
    Arrival, Coding, FillReader, Judged, Lead, Looked, Made, NewObject, Object, Release, Tag, TagSet,
};
use tentpole_message::{BodyStream, Chunk, Fields};
use tentpole_model::CacheSettings;
use tentpole_runtime::Random;

const KEYS: usize = 12;

/// An endpoint whose content changes, and is purged when it does.
struct World {
    edge: Edge,
    /// The content's version now.
    current: [AtomicU64; KEYS],
    /// No look-up that begins now may find an older one.
    purged_up_to: [AtomicU64; KEYS],
    delivered: AtomicUsize,
}

/// Content that tells its key and version in each word, and whose length follows from both.
fn body(key: usize, version: u64) -> Vec<u8> {
    let words = (key as u64 * 7_919 + version * 104_729) % 2_500;
    (0..words + 2).flat_map(|at| ((key as u64) << 48 | version << 16 | (at & 0xFFFF)).to_le_bytes()).collect()
}

/// The version, once every byte is as it must be.
fn check(key: usize, seen: &[u8]) -> u64 {
    let first = u64::from_le_bytes(seen[..8].try_into().unwrap());
    let version = first >> 16 & 0xFFFF_FFFF;
    assert!(seen == body(key, version), "a torn body of key {key}, version {version}");
    version
}

impl World {
    fn new(memory_bytes_max: u64) -> Self {
        let edge = Edge::with(CacheSettings { memory_bytes_max, ..SETTINGS }, 1 << 30);
        let zeros = || std::array::from_fn(|_| AtomicU64::new(1));
        Self { edge, current: zeros(), purged_up_to: zeros(), delivered: AtomicUsize::new(0) }
    }

    fn visit(&self, key: usize, random: &mut Random) {
        let request = Fields::new();
        for _ in 0..20 {
            let oldest = self.purged_up_to[key].load(Ordering::SeqCst);
            let revalidate = random.next_u64().is_multiple_of(16);
            // What a soft purge has made stale may be old: only its revalidation may bring it back.
            let judge = |object: &Object| match revalidate || object.is_softly_purged() {
                true => Judged::Revalidate,
                false => Judged::Use,
            };
            let path = format!("/{key}");
            let version =
                match self.edge.cache.look_up(&self.edge.cache.key(path.as_bytes()), &request, judge) {
                    Looked::Hit(object) => {
                        self.derive(key, &object, random);
                        Some(version_of(key, &object))
                    }
                    Looked::Lead(lead) => self.fetch(key, lead, random),
                    Looked::Joined(mut waiter) => {
                        match block_on(|context| waiter.poll_arrival(&request, context)) {
                            Arrival::Object(object) => Some(check(key, &body_of(&object))),
                            Arrival::Reader(reader) => read_all(reader).map(|seen| check(key, &seen)),
                            Arrival::GoYourself(Release::Abandoned) => continue,
                            Arrival::GoYourself(_) | Arrival::Kept(..) => None,
                        }
                    }
                    other => panic!("{other:?}"),
                };
            if let Some(version) = version {
                assert!(version >= oldest, "version {version} of key {key}, purged up to {oldest}");
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
    }

    /// Returns the version that the lead's own visitor saw.
    fn fetch(&self, key: usize, lead: Lead, random: &mut Random) -> Option<u64> {
        let version = self.current[key].load(Ordering::SeqCst);
        std::thread::yield_now();
        let fate = random.next_u64() % 16;
        if fate == 0 {
            return None;
        }
        if let Some(stale) = lead.stale.clone()
            && version_of(key, &stale) == version
        {
            return Some(version_of(key, &lead.refreshed(&stale, confirmed(head(), FACTS))));
        }
        let (request, whole) = (Fields::new(), body(key, version));
        let length = fate.is_multiple_of(2).then_some(whole.len() as u64);
        let tags = [Tag::of(b"all"), group(key % 3), own(key)];
        let new = NewObject { tags: &tags, ..new_object(&request, &[], length) };
        let (mut filling, reader) = lead.start(new).unwrap();
        let mut rest = &whole[..];
        while !rest.is_empty() {
            let size = (1 + random.next_u64() as usize % 9_000).min(rest.len());
            filling.append(Bytes::copy_from_slice(&rest[..size]));
            rest = &rest[size..];
            if fate == 1 && rest.len() < whole.len() / 2 {
                drop(filling);
                assert!(read_all(reader).is_none(), "an aborted fill must not look whole");
                return None;
            }
            std::thread::yield_now();
        }
        let _ = filling.finish();
        read_all(reader).map(|seen| check(key, &seen))
    }

    /// Makes the other form, once, and finds in it what the object has.
    fn derive(&self, key: usize, object: &Arc<Object>, random: &mut Random) {
        if let Some(form) = object.derived(Coding::Zstd) {
            assert_eq!(check(key, &form.chunks().concat()), version_of(key, object));
        } else if random.next_u64().is_multiple_of(4)
            && let Some(claim) = object.claim(Coding::Zstd)
        {
            let chunks = vec![Bytes::from(body_of(object))];
            let _ = self.edge.cache.derive(claim, Made { head: head(), etag: None, chunks });
        }
    }

    /// The content of some keys changes, and then they are purged in one of the ways there are.
    fn change_and_purge(&self, key: usize, random: &mut Random) {
        let (soft, how) = (random.next_u64().is_multiple_of(2), random.next_u64() % 16);
        let changed = |other: &usize| match how {
            0 => true,
            1 | 2 => *other % 3 == key % 3,
            3 | 4 => other % 2 == key % 2,
            _ => *other == key,
        };
        let keys: Vec<usize> = (0..KEYS).filter(changed).collect();
        let change = |&key: &usize| self.current[key].fetch_add(1, Ordering::SeqCst) + 1;
        let versions: Vec<u64> = keys.iter().map(change).collect();
        let cache = &self.edge.cache;
        match how {
            0 if soft => cache.purge_tags(&TagSet::new(&[Tag::of(b"all")]), |_| true, false),
            0 => cache.purge_all(random.next_u64().is_multiple_of(2)),
            1 | 2 => cache.purge_tags(&TagSet::new(&[group(key % 3), Tag::of(b"other")]), |_| true, soft),
            3 | 4 => cache.purge_where(|path| number(path) % 2 == key % 2, soft),
            5..8 => cache.purge_tags(&TagSet::new(&[own(key)]), |_| true, soft),
            // A tag of all, for one of them.
            8 => cache.purge_tags(&TagSet::new(&[Tag::of(b"all")]), |path| number(path) == key, soft),
            _ => cache.purge(&cache.key(format!("/{key}").as_bytes()), soft),
        };
        for (key, version) in keys.into_iter().zip(versions) {
            self.purged_up_to[key].fetch_max(version, Ordering::SeqCst);
        }
    }
}

fn group(number: usize) -> Tag {
    Tag::of(format!("group-{number}").as_bytes())
}

fn own(key: usize) -> Tag {
    Tag::of(format!("key-{key}").as_bytes())
}

fn number(path: &[u8]) -> usize {
    std::str::from_utf8(&path[1..]).unwrap().parse().unwrap()
}

fn version_of(key: usize, object: &Object) -> u64 {
    check(key, &body_of(object))
}

fn read_all(mut reader: FillReader) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        match block_on(|context| reader.poll_chunk(context)) {
            Ok(Chunk::Data(data)) => out.extend_from_slice(&data),
            Ok(Chunk::End) => return Some(out),
            Err(_) => return None,
        }
    }
}

fn storm(memory_bytes_max: u64, seed: u64) {
    let world = World::new(memory_bytes_max);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let world = &world;
            scope.spawn(move || {
                let mut random = Random::from_seed(seed + thread);
                for _ in 0..4_000 {
                    let key = (random.next_u64() % KEYS as u64) as usize;
                    match random.next_u64() % 64 {
                        0..8 => world.change_and_purge(key, &mut random),
                        _ => world.visit(key, &mut random),
                    }
                    let stats = world.edge.cache.stats();
                    assert!(stats.bytes <= stats.bytes_max);
                }
            });
        }
    });
    assert!(world.delivered.load(Ordering::Relaxed) > 8_000);
    world.edge.assert_nothing_is_held();
}

#[test]
fn nobody_sees_a_torn_body_or_one_older_than_the_last_purge() {
    storm(8 << 20, 11);
}

#[test]
fn nor_when_everything_is_evicted_all_the_time() {
    storm(80_000, 23);
}

/// Does what a woken task may do at once on the waking thread: looks the same key up, polls, leaves.
struct Reenters {
    edge: Arc<Edge>,
    reader: Mutex<Option<FillReader>>,
    woken: AtomicUsize,
}

impl Wake for Reenters {
    fn wake(self: Arc<Self>) {
        self.woken.fetch_add(1, Ordering::SeqCst);
        drop(self.edge.get("/"));
        let mut reader = self.reader.lock().unwrap().take();
        if let Some(reader) = &mut reader {
            let _ = once(|context| reader.poll_chunk(context));
        }
    }
}

#[test]
fn whoever_is_woken_may_use_the_cache_at_once() {
    let edge = Arc::new(Edge::new());
    let (request, piece) = (Fields::new(), Bytes::from(content(600_000)));
    let reenter = |reader| {
        Arc::new(Reenters { edge: edge.clone(), reader: Mutex::new(reader), woken: AtomicUsize::new(0) })
    };
    for ends_well in [true, false] {
        let lead = edge.lead("/");
        let (mut waiter, woken) = (edge.get("/").joined(), reenter(None));
        let waker = Waker::from(woken.clone());
        assert!(waiter.poll_arrival(&request, &mut Context::from_waker(&waker)).is_pending());
        let (mut filling, mut reader) = lead.start(new_object(&request, &[], None)).unwrap();
        assert_eq!(woken.woken.load(Ordering::SeqCst), 1);
        let mut second = match arrival(&mut waiter) {
            Arrival::Reader(reader) => reader,
            other => panic!("{other:?}"),
        };
        assert!(second.poll_chunk(&mut Context::from_waker(&waker)).is_pending());
        assert!(reader.poll_chunk(&mut Context::from_waker(&waker)).is_pending());
        *woken.reader.lock().unwrap() = Some(reader);
        filling.append(piece.clone());
        assert_eq!(woken.woken.load(Ordering::SeqCst), 3);
        assert_eq!(read(&mut second).0.len(), piece.len());
        assert!(second.poll_chunk(&mut Context::from_waker(&waker)).is_pending());
        if ends_well {
            drop(filling.finish())
        } else {
            drop(filling)
        }
        assert_eq!(woken.woken.load(Ordering::SeqCst), 4);
        edge.purge("/");
    }
    edge.assert_nothing_is_held();
}

#[test]
fn of_a_thousand_at_once_one_fetches() {
    let edge = Edge::new();
    let (leads, served, all_in) = (AtomicUsize::new(0), AtomicUsize::new(0), Barrier::new(4));
    let whole = content(200_000);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let request = Fields::new();
                let (mut waiters, mut lead) = (Vec::new(), None);
                for _ in 0..250 {
                    match edge.get("/doors-open") {
                        Looked::Lead(mine) => lead = Some(mine),
                        Looked::Joined(waiter) => waiters.push(waiter),
                        other => panic!("{other:?}"),
                    }
                }
                all_in.wait();
                if let Some(lead) = lead {
                    leads.fetch_add(1, Ordering::Relaxed);
                    assert_eq!(lead.waiters(), 999);
                    let (mut filling, reader) = lead.start(new_object(&request, &[], None)).unwrap();
                    drop(reader);
                    for piece in whole.chunks(1_000) {
                        filling.append(Bytes::copy_from_slice(piece));
                    }
                    filling.finish().stored();
                    served.fetch_add(1, Ordering::Relaxed);
                }
                let mut readers = Vec::new();
                block_on(|context| {
                    waiters.retain_mut(|waiter| match waiter.poll_arrival(&request, context) {
                        Poll::Pending => true,
                        Poll::Ready(Arrival::Reader(reader)) => {
                            readers.push(reader);
                            false
                        }
                        Poll::Ready(Arrival::Object(object)) => {
                            assert!(body_of(&object) == whole);
                            served.fetch_add(1, Ordering::Relaxed);
                            false
                        }
                        Poll::Ready(Arrival::GoYourself(release) | Arrival::Kept(_, release)) => {
                            panic!("{release:?}")
                        }
                    });
                    if waiters.is_empty() { Poll::Ready(()) } else { Poll::Pending }
                });
                for reader in readers {
                    assert!(read_all(reader).unwrap() == whole);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((leads.into_inner(), served.into_inner()), (1, 1_000));
    assert_eq!(edge.cache.stats().joined, 999);
    edge.assert_nothing_is_held();
}
