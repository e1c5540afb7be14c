//! Any sequence of what may happen, against a map that never forgets by itself.

use crate::support::*;
use bytes::Bytes;
use proptest::option;
use proptest::prelude::*;
use std::collections::HashMap;
use std::task::Poll;
use std::time::Duration;
use tentpole_cache::{
    Arrival, Coding, Confirmed, FillReader, Filling, Judged, Lead, Looked, Made, NewObject, Object, Release,
    StoredFacts, Tag, TagSet, Waiter,
};
use tentpole_message::{Fields, StoredHead};
use tentpole_model::{Bypass, CacheSettings, Purged};

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
        tags: u8,
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
    /// A 304; of the tags that it names, if it does.
    Confirm {
        fill: usize,
        tags: Option<u8>,
    },
    /// Somebody makes the other form of what is stored.
    Derive {
        key: u8,
        variant: u8,
    },
    /// What is under way is seen by a waiter.
    Arrive {
        waiter: usize,
    },
    Purge {
        key: u8,
        soft: bool,
    },
    /// Keys whose number has this remainder by two.
    PurgeWhere {
        parity: u8,
        soft: bool,
    },
    /// Tags, of keys with this remainder only, if so.
    PurgeTags {
        tags: u8,
        parity: Option<u8>,
        soft: bool,
    },
    PurgeAll {
        soft: bool,
    },
    /// What is fetched turns out to be too large for memory.
    NoteLarge {
        key: u8,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (fill, tags) = (0..6usize, 0..1u8 << TAGS);
    let step = prop_oneof![
        24 => (0..4u8, 0..3u8, 0..3u8).prop_map(|(key, variant, judged)| Step::Look { key, variant, judged }),
        12 => (fill.clone(), tags.clone()).prop_map(|(fill, tags)| Step::Start { fill, tags }),
        8 => (fill.clone(), 0..30_000u16).prop_map(|(fill, bytes)| Step::Append { fill, bytes }),
        12 => fill.clone().prop_map(|fill| Step::Finish { fill }),
        1 => fill.clone().prop_map(|fill| Step::Drop { fill }),
        1 => (fill.clone(), any::<bool>()).prop_map(|(fill, remembered)| Step::Uncacheable { fill, remembered }),
        8 => (fill, option::of(tags.clone())).prop_map(|(fill, tags)| Step::Confirm { fill, tags }),
        6 => (0..4u8, 0..3u8).prop_map(|(key, variant)| Step::Derive { key, variant }),
        8 => (0..6usize).prop_map(|waiter| Step::Arrive { waiter }),
        1 => (0..4u8, any::<bool>()).prop_map(|(key, soft)| Step::Purge { key, soft }),
        1 => (0..2u8, any::<bool>()).prop_map(|(parity, soft)| Step::PurgeWhere { parity, soft }),
        2 => (tags, option::of(0..2u8), any::<bool>())
            .prop_map(|(tags, parity, soft)| Step::PurgeTags { tags, parity, soft }),
        1 => any::<bool>().prop_map(|soft| Step::PurgeAll { soft }),
        6 => (0..4u8).prop_map(|key| Step::NoteLarge { key }),
    ];
    proptest::collection::vec(step, 1..160)
}

/// Different tags; sets of them are bits.
const TAGS: u8 = 3;

fn tags_of(bits: u8) -> Vec<Tag> {
    (0..TAGS).filter(|at| bits >> at & 1 == 1).map(|at| Tag::of(&[b't', at])).collect()
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
    /// Known from the head on.
    tags: u8,
    /// Tags of purges that came before, and when.
    doubts: Vec<(u8, u64)>,
    /// What it revalidates, as it was.
    stale: Option<Stored>,
    at: At,
    bytes: usize,
}

enum At {
    Lead(Lead),
    Filling(Filling, FillReader),
    Over,
}

impl Fetch {
    fn is_lead(&self) -> bool {
        matches!(self.at, At::Lead(_))
    }
}

/// What should be there.
#[derive(Clone)]
struct Stored {
    /// The fetch that brought or last confirmed it: told by the facts' time.
    fetched: u64,
    body: Vec<u8>,
    tags: u8,
    soft: bool,
    derived: bool,
}

struct World {
    edge: Edge,
    evicts: bool,
    stored: HashMap<(u8, u8), Stored>,
    marked: [bool; 4],
    /// What was noted of it as too large, and nothing has undone: at which step, and which numbers were used before its
    /// present one.
    large: [Option<(u64, u64)>; 4],
    /// The highest number that such a note ever had.
    large_number: u64,
    fetches: Vec<Fetch>,
    /// With the step at which they joined.
    waiters: Vec<(u8, u8, u64, Waiter)>,
    version: u64,
    /// Counts the steps.
    now: u64,
    /// When the first purge came that was about what a fetch brings.
    purged: HashMap<u64, u64>,
}

impl World {
    fn new(settings: CacheSettings, evicts: bool) -> Self {
        Self {
            edge: Edge::with(settings, 1 << 30),
            evicts,
            stored: HashMap::new(),
            marked: [false; 4],
            large: [None; 4],
            large_number: 0,
            fetches: Vec::new(),
            waiters: Vec::new(),
            version: 0,
            now: 0,
            purged: HashMap::new(),
        }
    }

    fn step(&mut self, step: &Step) {
        self.now += 1;
        let cache = self.edge.cache.clone();
        match *step {
            Step::Look { key, variant, judged } => self.look(key, variant, judged),
            Step::Start { fill, tags } => self.start(fill, tags),
            Step::Append { fill, bytes } => self.append(fill, usize::from(bytes)),
            Step::Finish { fill } => self.finish(fill),
            Step::Drop { fill } => drop(self.take(fill, |_| true)),
            Step::Uncacheable { fill, remembered } => self.uncacheable(fill, remembered),
            Step::Confirm { fill, tags } => self.confirm(fill, tags),
            Step::Derive { key, variant } => self.derive(key, variant),
            Step::Arrive { waiter } => self.arrive(waiter),
            Step::Purge { key, soft } => {
                let purged = cache.purge(&cache.key(key.to_string().as_bytes()), soft);
                self.check_purge(purged, soft, |other, _| other == key);
                self.marked[usize::from(key)] = false;
                self.large[usize::from(key)] = None;
            }
            Step::PurgeWhere { parity, soft } => {
                self.renumber_large();
                let purged = cache.purge_where(|key| key[0] % 2 == parity, soft);
                self.check_purge(purged, soft, |key, _| key % 2 == parity);
            }
            Step::PurgeTags { tags, parity, soft } => {
                self.renumber_large();
                let within = |key: u8| parity.is_none_or(|parity| key % 2 == parity);
                let set = TagSet::new(&tags_of(tags));
                let purged = cache.purge_tags(&set, |key| within(key[0]), soft);
                for fetch in self.fetches.iter_mut().filter(|fetch| fetch.attached && within(fetch.key)) {
                    if matches!(fetch.at, At::Lead(_)) {
                        fetch.doubts.push((tags, self.now));
                    }
                }
                self.check_purge(purged, soft, |key, own| {
                    within(key) && own.is_some_and(|own| own & tags != 0)
                });
            }
            Step::PurgeAll { soft } => {
                let purged = cache.purge_all(soft);
                self.check_purge(purged, soft, |_, _| true);
                self.renumber_large();
                if !soft {
                    self.large = [None; 4];
                }
                if !soft {
                    self.marked = [false; 4];
                }
            }
            Step::NoteLarge { .. } => {}
        }
        if let Step::NoteLarge { key } = *step {
            self.note_large(key);
        }
        self.check_large();
        let stats = self.edge.cache.stats();
        assert!(stats.bytes <= stats.bytes_max && stats.derived_bytes <= stats.bytes);
        assert_eq!(stats.fills as usize, self.fetches.len());
        self.check_count(stats.objects, self.stored.len());
        let tags: u32 = self.stored.values().map(|stored| stored.tags.count_ones()).sum();
        self.check_count(stats.tags, tags as usize);
    }

    fn note_large(&mut self, key: u8) {
        let cache = &self.edge.cache;
        cache.note_large(&cache.key(key.to_string().as_bytes()), b"\"1\"", self.now);
        self.large[usize::from(key)] = Some((self.now, self.large_number));
    }

    /// Their parts are found by other numbers from now on.
    fn renumber_large(&mut self) {
        for (_, used) in self.large.iter_mut().flatten() {
            *used = self.large_number;
        }
    }

    /// What was noted is known, under a number that was not used before whatever has made its parts unknown.
    fn check_large(&mut self) {
        for (key, expected) in self.large.into_iter().enumerate() {
            let cache = &self.edge.cache;
            let known = cache.large(&cache.key(key.to_string().as_bytes()));
            assert_eq!(known.as_ref().map(|large| large.total), expected.map(|(noted, _)| noted));
            let (number, used) =
                (known.map_or(u64::MAX, |large| large.number()), expected.map_or(0, |(_, used)| used));
            assert!(number > used, "its old parts are still found");
            if number < u64::MAX {
                self.large_number = self.large_number.max(number);
            }
        }
    }

    /// What a purge says that it did, against what it should have. `meant` takes a key, and tags once they are known.
    fn check_purge(&mut self, purged: Purged, soft: bool, meant: impl Fn(u8, Option<u8>) -> bool) {
        let mut fills = 0;
        for fetch in self.fetches.iter_mut().filter(|fetch| fetch.attached) {
            let tags = matches!(fetch.at, At::Filling(..)).then_some(fetch.tags);
            if meant(fetch.key, tags) {
                fetch.attached = false;
                self.purged.entry(fetch.version).or_insert(self.now);
                fills += 1;
            }
        }
        assert_eq!(purged.fills, fills);
        let (mut objects, is_meant) = (0, |key: u8, stored: &Stored| meant(key, Some(stored.tags)));
        if soft {
            for (_, stored) in self.stored.iter_mut().filter(|(key, stored)| is_meant(key.0, stored)) {
                objects += usize::from(!std::mem::replace(&mut stored.soft, true));
            }
        } else {
            let before = self.stored.len();
            self.stored.retain(|key, stored| !is_meant(key.0, stored));
            objects = before - self.stored.len();
        }
        self.check_count(purged.objects, objects);
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
                self.check_object(&object, expected.expect("nothing should be there"));
            }
            Looked::Joined(waiter) => {
                assert!(self.fetches.iter().any(|fetch| open(&fetch)));
                assert!(self.evicts || joinable && (expected.is_none() || judged == Judged::Revalidate));
                self.waiters.push((key, variant, self.now, waiter));
            }
            Looked::Bypass(bypass) => {
                assert_eq!(bypass, Bypass::HitForMiss);
                assert!(self.marked[usize::from(key)]);
            }
            Looked::Lead(lead) => {
                assert!(!self.marked[usize::from(key)]);
                assert!(self.evicts || !joinable && (expected.is_none() || judged == Judged::Revalidate));
                let expected = expected.cloned();
                match (&lead.stale, &expected) {
                    (Some(stale), Some(expected)) => self.check_object(stale, expected),
                    (None, Some(_)) if self.evicts => {
                        drop(self.stored.remove(&(key, selected(key, variant))))
                    }
                    (stale, expected) => assert!(stale.is_none() && expected.is_none()),
                }
                self.version += 1;
                self.fetches.push(Fetch {
                    key,
                    variant,
                    version: self.version,
                    // The names follow from what is stored or under way.
                    names_known: known && key >= 2,
                    attached: true,
                    tags: 0,
                    doubts: Vec::new(),
                    stale: expected.filter(|_| lead.stale.is_some()),
                    at: At::Lead(lead),
                    bytes: 0,
                });
            }
            Looked::Stale(..) => panic!("nobody judged so"),
        }
    }

    fn start(&mut self, index: usize, tags: u8) {
        let Some(mut fetch) = self.take(index, Fetch::is_lead) else { return };
        let At::Lead(lead) = std::mem::replace(&mut fetch.at, At::Over) else { return };
        let (request, listed) = (request(fetch.variant), tags_of(tags));
        let facts = fetched(fetch.version);
        let new = NewObject { tags: &listed, facts, ..new_object(&request, vary(fetch.key), None) };
        let (filling, reader) = lead.start(new).unwrap();
        fetch.at = At::Filling(filling, reader);
        (fetch.names_known, fetch.tags) = (true, tags);
        self.settle_doubts(&mut fetch);
        self.fetches.push(fetch);
    }

    /// Its tags are known: which of the purges before was about it?
    fn settle_doubts(&mut self, fetch: &mut Fetch) {
        let came_true = fetch.doubts.iter().find(|(purged, _)| purged & fetch.tags != 0);
        if let Some((_, at)) = came_true {
            fetch.attached = false;
            let first = self.purged.entry(fetch.version).or_insert(*at);
            *first = (*first).min(*at);
        }
    }

    fn append(&mut self, index: usize, bytes: usize) {
        let Some(mut fetch) = self.take(index, |fetch| !fetch.is_lead()) else { return };
        let At::Filling(filling, _) = &mut fetch.at else { return };
        let bytes = bytes.min(BODY_MAX - fetch.bytes);
        let so_far = piece(fetch.key, fetch.variant, fetch.version, fetch.bytes + bytes);
        filling.append(Bytes::copy_from_slice(&so_far[fetch.bytes..]));
        fetch.bytes += bytes;
        self.fetches.push(fetch);
    }

    fn finish(&mut self, index: usize) {
        let Some(fetch) = self.take(index, |fetch| !fetch.is_lead()) else { return };
        let Fetch { key, variant, version, attached, tags, bytes, .. } = fetch;
        let At::Filling(filling, mut reader) = fetch.at else { return };
        let whole = piece(key, variant, version, bytes);
        match filling.finish() {
            tentpole_cache::Finished::Stored(object) => {
                assert!(attached);
                let body = whole.clone();
                let stored = Stored { fetched: version, body, tags, soft: false, derived: false };
                self.check_object(&object, &stored);
                self.stored.insert((key, selected(key, variant)), stored);
                self.large[usize::from(key)] = None;
            }
            tentpole_cache::Finished::NotStored(bypass) => {
                assert_eq!((attached, bypass), (false, Bypass::Purged))
            }
        }
        assert!(read(&mut reader) == (whole, Poll::Ready(Ok(()))), "the lead reads all of it");
    }

    fn uncacheable(&mut self, index: usize, remembered: bool) {
        let Some(fetch) = self.take(index, Fetch::is_lead) else { return };
        let At::Lead(lead) = fetch.at else { return };
        let remember_for = Duration::from_secs(if remembered { 3_600 } else { 0 });
        lead.uncacheable(Bypass::NoStore, remember_for);
        self.marked[usize::from(fetch.key)] |= remembered && fetch.attached;
    }

    fn confirm(&mut self, index: usize, tags: Option<u8>) {
        let revalidates = |fetch: &Fetch| fetch.is_lead() && fetch.stale.is_some();
        let Some(mut fetch) = self.take(index, revalidates) else { return };
        let Some(was) = fetch.stale.clone() else { return };
        let At::Lead(lead) = std::mem::replace(&mut fetch.at, At::Over) else { return };
        let (stale, listed) = (lead.stale.clone().unwrap(), tags.map(tags_of));
        let renewed = Confirmed { tags: listed.as_deref(), ..confirmed(head(), fetched(fetch.version)) };
        let object = lead.refreshed(&stale, renewed);
        assert_eq!(body_of(&object), body_of(&stale));
        fetch.tags = tags.unwrap_or(was.tags);
        self.settle_doubts(&mut fetch);
        let now = self.stored.get_mut(&(fetch.key, selected(fetch.key, fetch.variant)));
        if let Some(now) = now.filter(|now| fetch.attached && now.fetched == was.fetched) {
            (now.fetched, now.tags, now.soft) = (fetch.version, fetch.tags, false);
        }
    }

    fn derive(&mut self, key: u8, variant: u8) {
        let cache = &self.edge.cache;
        let found = cache.peek(&cache.key(key.to_string().as_bytes()), &request(variant));
        let Some(object) = found else { return };
        let Some(stored) = self.stored.get_mut(&(key, selected(key, variant))) else {
            panic!("it should be gone")
        };
        let claim = object.claim(Coding::Brotli);
        assert!(self.evicts || claim.is_some() != stored.derived);
        let Some(claim) = claim else { return };
        let (lines, status) = (Bytes::from_static(b"HTTP/1.1 200 OK\r\n"), 200);
        let chunks = vec![Bytes::from([b"br:", &body_of(&object)[..]].concat())];
        let made = cache.derive(claim, Made { head: StoredHead { lines, status }, etag: None, chunks });
        assert!(self.evicts || made.is_ok());
        stored.derived = made.is_ok();
    }

    fn arrive(&mut self, index: usize) {
        if index >= self.waiters.len() {
            return;
        }
        let (key, variant, joined, mut waiter) = self.waiters.swap_remove(index);
        let right = |body: &[u8], fetched: u64| {
            let word = body.split_inclusive(|&byte| byte == b'>').next().unwrap_or_default();
            let start = format!("<{key}/{}/", selected(key, variant));
            assert!(word.starts_with(&start.as_bytes()[..start.len().min(word.len())]), "another's content");
            let purged = self.purged.get(&fetched);
            assert!(
                purged.is_none_or(|&purged| joined < purged),
                "fetched before a purge, asked for after it"
            );
        };
        match once(|context| waiter.poll_arrival(&request(variant), context)) {
            Poll::Pending => self.waiters.push((key, variant, joined, waiter)),
            Poll::Ready(Arrival::Object(object)) => right(&body_of(&object), object.facts().response_time),
            Poll::Ready(Arrival::Reader(mut reader)) => {
                let fetched = reader.facts().response_time;
                right(&read(&mut reader).0, fetched);
            }
            Poll::Ready(Arrival::GoYourself(Release::VaryMismatch)) => assert!(key >= 2),
            Poll::Ready(Arrival::GoYourself(_) | Arrival::Kept(..)) => {}
        }
    }

    /// Takes one of those fetches that a step can be about, if there is one.
    fn take(&mut self, index: usize, which: impl Fn(&Fetch) -> bool) -> Option<Fetch> {
        let fit: Vec<usize> = (0..self.fetches.len()).filter(|&at| which(&self.fetches[at])).collect();
        let at = *fit.get(index % fit.len().max(1))?;
        Some(self.fetches.swap_remove(at))
    }

    fn check_object(&self, object: &Object, expected: &Stored) {
        let Stored { fetched, body, tags, soft, derived } = expected;
        assert!(body_of(object) == *body, "the content of fetch {fetched} should be there");
        assert_eq!((object.facts().response_time, object.is_softly_purged()), (*fetched, *soft));
        let mut listed = tags_of(*tags);
        listed.sort_unstable();
        assert!(object.tags().eq(listed));
        let form = object.derived(Coding::Brotli).map(|form| form.chunks().concat());
        assert_eq!(form.is_some(), *derived);
        assert!(form.is_none_or(|form| form == [b"br:", &body[..]].concat()), "the form of another content");
    }
}

/// Facts that tell which fetch brought them.
fn fetched(version: u64) -> StoredFacts {
    StoredFacts { response_time: version, ..FACTS }
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
