//! Any sequence of what may happen, against a map that never forgets by itself.

use crate::support::*;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::HashMap;
use std::task::Poll;
use std::time::Duration;
use tentpole_cache::{Arrival, FillReader, Filling, Judged, Lead, Looked, Object, Release, Waiter};
use tentpole_message::Fields;
use tentpole_model::{Bypass, CacheSettings};

#[derive(Clone, Debug)]
enum Step {
    /// Look up; what may be done with what is stored.
    Look {
        key: u8,
        variant: u8,
        judged: u8,
    },
    /// What the fetch at hand does next.
    Start {
        fill: usize,
    },
    Append {
        fill: usize,
        bytes: u16,
    },
    Finish {
        fill: usize,
    },
    Drop {
        fill: usize,
    },
    Uncacheable {
        fill: usize,
        remembered: bool,
    },
    Confirm {
        fill: usize,
    },
    /// What is under way is seen by a waiter.
    Arrive {
        waiter: usize,
    },
    Purge {
        key: u8,
    },
    PurgeAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fill = 0..6usize;
    let step = prop_oneof![
        8 => (0..4u8, 0..3u8, 0..5u8).prop_map(|(key, variant, judged)| Step::Look { key, variant, judged }),
        4 => fill.clone().prop_map(|fill| Step::Start { fill }),
        4 => (fill.clone(), 0..30_000u16).prop_map(|(fill, bytes)| Step::Append { fill, bytes }),
        4 => fill.clone().prop_map(|fill| Step::Finish { fill }),
        1 => fill.clone().prop_map(|fill| Step::Drop { fill }),
        1 => (fill.clone(), any::<bool>()).prop_map(|(fill, remembered)| Step::Uncacheable { fill, remembered }),
        2 => fill.prop_map(|fill| Step::Confirm { fill }),
        4 => (0..6usize).prop_map(|waiter| Step::Arrive { waiter }),
        1 => (0..4u8).prop_map(|key| Step::Purge { key }),
        1 => Just(Step::PurgeAll),
    ];
    proptest::collection::vec(step, 1..120)
}

/// Always fits into either cache.
const BODY_MAX: usize = 40_000;

/// Keys 0 and 1 vary by nothing, the others by `X-V`.
fn vary(key: u8) -> &'static [&'static [u8]] {
    if key < 2 { &[] } else { &[b"X-V"] }
}

fn request(variant: u8) -> Fields {
    fields(&[("X-V", &variant.to_string())])
}

/// What selects among the variants of a key.
fn selected(key: u8, variant: u8) -> u8 {
    if key < 2 { 0 } else { variant }
}

/// The content says whose it is and which fetch brought it.
fn piece(key: u8, variant: u8, version: u64, bytes: usize) -> Vec<u8> {
    let word = format!("<{key}/{}/{version}>", selected(key, variant));
    let mut out = word.repeat(bytes / word.len() + 1).into_bytes();
    out.truncate(bytes);
    out
}

struct Fetch {
    key: u8,
    variant: u8,
    version: u64,
    /// Whether requests for another variant know that this is not theirs.
    names_known: bool,
    /// No purge came.
    attached: bool,
    at: At,
    bytes: usize,
}

enum At {
    Lead(Lead),
    Filling(Filling, FillReader),
}

struct World {
    edge: Edge,
    evicts: bool,
    /// Version and body of what should be there.
    stored: HashMap<(u8, u8), (u64, Vec<u8>)>,
    marked: [bool; 4],
    fetches: Vec<Fetch>,
    waiters: Vec<(u8, u8, Waiter)>,
    version: u64,
}

impl World {
    fn new(settings: CacheSettings, evicts: bool) -> Self {
        let edge = Edge::with(settings, 1 << 30);
        let (fetches, waiters) = (Vec::new(), Vec::new());
        Self { edge, evicts, stored: HashMap::new(), marked: [false; 4], fetches, waiters, version: 0 }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Look { key, variant, judged } => self.look(key, variant, judged),
            Step::Start { fill } => self.start(fill),
            Step::Append { fill, bytes } => self.append(fill, usize::from(bytes)),
            Step::Finish { fill } => self.finish(fill),
            Step::Drop { fill } => drop(self.take(fill)),
            Step::Uncacheable { fill, remembered } => self.uncacheable(fill, remembered),
            Step::Confirm { fill } => self.confirm(fill),
            Step::Arrive { waiter } => self.arrive(waiter),
            Step::Purge { key } => {
                let purged = self.edge.purge(&key.to_string());
                assert_eq!(purged.fills as usize, self.detach(|fetch| fetch.key == key));
                let before = self.stored.len();
                self.stored.retain(|(other, _), _| *other != key);
                self.check_count(purged.objects, before - self.stored.len());
                self.marked[usize::from(key)] = false;
            }
            Step::PurgeAll => {
                let purged = self.edge.cache.purge_all();
                assert_eq!(purged.fills as usize, self.detach(|_| true));
                self.check_count(purged.objects, self.stored.len());
                self.stored.clear();
                self.marked = [false; 4];
            }
        }
        let stats = self.edge.cache.stats();
        assert!(stats.bytes <= stats.bytes_max);
        assert_eq!(stats.fills as usize, self.fetches.len());
        self.check_count(stats.objects, self.stored.len());
    }

    fn check_count(&self, objects: u64, expected: usize) {
        if self.evicts {
            assert!(objects as usize <= expected);
        } else {
            assert_eq!(objects as usize, expected);
        }
    }

    fn look(&mut self, key: u8, variant: u8, judged: u8) {
        let judged = if judged == 0 { Judged::Revalidate } else { Judged::Use };
        let expected = self.stored.get(&(key, selected(key, variant)));
        let open = |fetch: &&Fetch| fetch.attached && fetch.key == key;
        let known = self.stored.keys().any(|stored| stored.0 == key) || self.fetches.iter().any(|f| open(&f));
        let joinable = self
            .fetches
            .iter()
            .filter(open)
            .any(|fetch| !fetch.names_known || selected(key, fetch.variant) == selected(key, variant));
        match self.edge.get_as(&key.to_string(), &request(variant), judged) {
            Looked::Hit(object) => {
                assert_eq!(judged, Judged::Use);
                check_object(&object, expected.expect("nothing should be there"));
            }
            Looked::Joined(waiter) => {
                assert!(self.fetches.iter().any(|fetch| open(&fetch)));
                assert!(self.evicts || joinable && (expected.is_none() || judged == Judged::Revalidate));
                self.waiters.push((key, variant, waiter));
            }
            Looked::Bypass(bypass) => {
                assert_eq!(bypass, Bypass::HitForMiss);
                assert!(self.marked[usize::from(key)]);
            }
            Looked::Lead(lead) => {
                assert!(!self.marked[usize::from(key)]);
                assert!(self.evicts || !joinable && (expected.is_none() || judged == Judged::Revalidate));
                match (&lead.stale, expected) {
                    (Some(stale), Some(expected)) => check_object(stale, expected),
                    (None, Some(_)) if self.evicts => {
                        drop(self.stored.remove(&(key, selected(key, variant))))
                    }
                    (stale, expected) => assert!(stale.is_none() && expected.is_none()),
                }
                self.version += 1;
                let (version, at) = (self.version, At::Lead(lead));
                // The names follow from what is stored or under way.
                let names_known = known && key >= 2;
                self.fetches.push(Fetch { key, variant, version, names_known, attached: true, at, bytes: 0 });
            }
            Looked::Stale(..) => panic!("nobody judged so"),
        }
    }

    fn start(&mut self, index: usize) {
        let Some(fetch) = self.take(index) else { return };
        let Fetch { key, variant, at, .. } = fetch;
        let (at, names_known) = match at {
            At::Lead(lead) => {
                let (filling, reader) = lead.start(new_object(&request(variant), vary(key), None)).unwrap();
                (At::Filling(filling, reader), true)
            }
            At::Filling(..) => (at, fetch.names_known),
        };
        self.fetches.push(Fetch { at, names_known, ..fetch });
    }

    fn append(&mut self, index: usize, bytes: usize) {
        let Some(fetch) = self.fetches.get_mut(index) else { return };
        let At::Filling(filling, _) = &mut fetch.at else { return };
        let bytes = bytes.min(BODY_MAX - fetch.bytes);
        let so_far = piece(fetch.key, fetch.variant, fetch.version, fetch.bytes + bytes);
        filling.append(Bytes::copy_from_slice(&so_far[fetch.bytes..]));
        fetch.bytes += bytes;
    }

    fn finish(&mut self, index: usize) {
        let Some(fetch) = self.take(index) else { return };
        let Fetch { key, variant, version, attached, bytes, .. } = fetch;
        let At::Filling(filling, mut reader) = fetch.at else { return };
        let whole = piece(key, variant, version, bytes);
        match filling.finish() {
            tentpole_cache::Finished::Stored(object) => {
                assert!(attached);
                check_object(&object, &(version, whole.clone()));
                self.stored.insert((key, selected(key, variant)), (version, whole.clone()));
            }
            tentpole_cache::Finished::NotStored(bypass) => {
                assert_eq!((attached, bypass), (false, Bypass::Purged))
            }
        }
        assert!(read(&mut reader) == (whole, Poll::Ready(Ok(()))), "the lead reads all of it");
    }

    fn uncacheable(&mut self, index: usize, remembered: bool) {
        let Some(fetch) = self.take(index) else { return };
        let At::Lead(lead) = fetch.at else { return };
        let remember_for = Duration::from_secs(if remembered { 3_600 } else { 0 });
        lead.uncacheable(Bypass::NoStore, remember_for);
        self.marked[usize::from(fetch.key)] |= remembered && fetch.attached;
    }

    fn confirm(&mut self, index: usize) {
        let Some(fetch) = self.take(index) else { return };
        let At::Lead(lead) = fetch.at else { return };
        if let Some(stale) = lead.stale.clone() {
            let object = lead.refreshed(&stale, head(), FACTS);
            assert_eq!(body_of(&object), body_of(&stale));
        }
    }

    fn arrive(&mut self, index: usize) {
        if index >= self.waiters.len() {
            return;
        }
        let (key, variant, mut waiter) = self.waiters.swap_remove(index);
        let right = |body: &[u8]| {
            let word = body.split_inclusive(|&byte| byte == b'>').next().unwrap_or_default();
            let start = format!("<{key}/{}/", selected(key, variant));
            assert!(word.starts_with(&start.as_bytes()[..start.len().min(word.len())]), "another's content");
        };
        match once(|context| waiter.poll_arrival(&request(variant), context)) {
            Poll::Pending => self.waiters.push((key, variant, waiter)),
            Poll::Ready(Arrival::Object(object)) => right(&body_of(&object)),
            Poll::Ready(Arrival::Reader(mut reader)) => right(&read(&mut reader).0),
            Poll::Ready(Arrival::GoYourself(Release::VaryMismatch)) => assert!(key >= 2),
            Poll::Ready(Arrival::GoYourself(_) | Arrival::Kept(..)) => {}
        }
    }

    fn take(&mut self, index: usize) -> Option<Fetch> {
        (index < self.fetches.len()).then(|| self.fetches.swap_remove(index))
    }

    fn detach(&mut self, which: impl Fn(&Fetch) -> bool) -> usize {
        let hit = self.fetches.iter_mut().filter(|fetch| fetch.attached && which(fetch));
        hit.map(|fetch| fetch.attached = false).count()
    }
}

fn check_object(object: &Object, (version, body): &(u64, Vec<u8>)) {
    assert!(body_of(object) == *body, "version {version} should be there");
}

fn run(settings: CacheSettings, evicts: bool, steps: &[Step]) {
    let mut world = World::new(settings, evicts);
    for step in steps {
        world.step(step);
    }
    let World { edge, fetches, waiters, .. } = world;
    drop((fetches, waiters));
    edge.assert_nothing_is_held();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_room_for_all_the_cache_is_a_map(steps in steps()) {
        run(SETTINGS, false, &steps);
    }

    #[test]
    fn without_room_it_forgets_but_never_lies(steps in steps()) {
        run(CacheSettings { memory_bytes_max: 100_000, ..SETTINGS }, true, &steps);
    }
}
