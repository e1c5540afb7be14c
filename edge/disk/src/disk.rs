//! The way in: what data threads call. Each call returns at once or is awaited; none of them touches a file on the
//! caller's thread.

use crate::append::Appender;
use crate::counts::{Stats, count};
use crate::directory::{self, BYTES_MIN, Manner, OpenError, Opened, Seed};
use crate::index::{Index, PLACE_COST};
use crate::meta::{Meta, PartAt};
use crate::purges::{Named, Purges, Standing, What, tag_of_site};
use crate::queue::Queue;
use crate::reader::{self, Job, Read};
use crate::record::PART_BYTES;
use crate::segment::Segment;
use crate::shared::Shared;
use crate::writer::Writer;
use crate::writing::{Job as Write, NewObject, Stream, Writing};
use bytes::Bytes;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle, Thread};
use tentpole_model::DiskSettings;
use tentpole_runtime::{Ledger, notice};
use tokio::sync::oneshot;

/// Threads that read.
const READERS: usize = 2;
/// Reads that wait.
const READS_MAX: usize = 4_096;
/// Writes that wait, and their bytes.
const WRITES_MAX: usize = 16_384;
const WRITE_BYTES_MAX: u64 = 32 << 20;
/// Memory for the index.
const INDEX_BYTES_MAX: u64 = 256 << 20;
const INDEX_BYTES_MIN: u64 = 1 << 20;

/// Objects on disk.
#[derive(Debug)]
pub struct Disk {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What a purge is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purge<'a> {
    /// All variants of a key.
    Key(&'a [u8]),
    /// All keys that begin so.
    Prefix(&'a [u8]),
    /// All that carry a tag, by the hash that [`Meta::tags`] holds.
    Tag(u64),
    /// All of a site that carry a tag.
    TagOfSite(u64, u64),
    /// All of a site, by the hash that [`Meta::site`] holds ([`Disk::name`]).
    Site(u64),
    /// All.
    All,
}

/// A purge that is in force, and not yet safe from a crash.
#[derive(Debug)]
#[must_use = "until it is safe, a crash can bring back what was purged"]
pub struct Purging(oneshot::Receiver<bool>);

/// A part of a body that is being read. `None` when it cannot be, or is not what was written.
#[derive(Debug)]
pub struct Reading(oneshot::Receiver<Bytes>);

/// An object that was found.
#[derive(Debug)]
pub struct Found {
    /// What is to be known of it.
    pub meta: Meta,
    /// A soft purge meant it: it is stale, whatever its facts say.
    pub purged_softly: bool,
    /// Its body.
    pub body: StoredBody,
    /// The purges that came before its fetch, for what is written again of it.
    pub sequence: u64,
    /// The whole body, when it is small enough to have been read with the rest.
    pub whole: Option<Bytes>,
}

/// Where a body lies. Keeps nothing alive: it may be given up at any time.
#[derive(Clone, Debug)]
pub struct StoredBody {
    parts: Arc<[PartAt]>,
    segments: Arc<[Weak<Segment>]>,
    bytes: u64,
}

/// A body that stays readable while this lives, even if the disk gives it up meanwhile.
#[derive(Clone, Debug)]
pub struct HeldBody {
    parts: Arc<[PartAt]>,
    segments: Arc<[Arc<Segment>]>,
    bytes: u64,
}

impl Disk {
    /// Opens what lies in the directory, or begins there. What was written before is looked through in the background:
    /// until then it is not found.
    ///
    /// # Errors
    /// When the directory cannot be made or written, another process holds it, or it may hold too little.
    pub fn open(settings: &DiskSettings, ledger: &Arc<Ledger>) -> Result<Arc<Self>, OpenError> {
        let opened = directory::open(settings, Manner::Any)?;
        Ok(Self::run(settings, ledger, Some(opened), false))
    }

    /// [`Disk::open`], and when that fails, says so and tries again later: an edge works without it.
    pub fn start(settings: &DiskSettings, ledger: &Arc<Ledger>) -> Arc<Self> {
        let opened = directory::open(settings, Manner::Any);
        let is_held = matches!(opened, Err(OpenError::Held { .. }));
        if let Err(error) = opened.as_ref()
            && !is_held
        {
            notice(format_args!("{error}; it is tried again, and until then nothing is kept on disk"));
        }
        Self::run(settings, ledger, opened.ok(), is_held)
    }

    /// Bytes of memory that it may charge to the Ledger.
    pub fn memory_bytes_max(settings: &DiskSettings) -> u64 {
        index_bytes_max(settings) + WRITE_BYTES_MAX
    }

    fn run(
        settings: &DiskSettings,
        ledger: &Arc<Ledger>,
        mut opened: Option<Opened>,
        is_held: bool,
    ) -> Arc<Self> {
        let seed = match &opened {
            Some(opened) => opened.directory.seed,
            // What is purged meanwhile is known by the names that it has there.
            None if is_held => directory::seed_of(&settings.directory).unwrap_or_else(Seed::random),
            None => Seed::random(),
        };
        let purges =
            opened.as_mut().map_or_else(Purges::default, |opened| std::mem::take(&mut opened.purges));
        if let Some(why) = opened.as_ref().and_then(|opened| opened.emptied) {
            let directory = settings.directory.display();
            notice(format_args!("what lay in the disk cache in {directory} was thrown away: {why}"));
        }
        let index = Index::new(index_bytes_max(settings) / PLACE_COST, ledger.clone());
        // Larger ones would push themselves out.
        let object_bytes_max = settings.object_bytes_max.min(settings.bytes_max.max(BYTES_MIN) / 2);
        let queues = (Queue::new(READS_MAX, u64::MAX), Queue::new(WRITES_MAX, WRITE_BYTES_MAX));
        let shared =
            Shared::new(settings.clone(), object_bytes_max, seed, purges, index, queues, ledger.clone());
        let shared = Arc::new(shared);
        let appender = opened.map(|opened| Appender::new(shared.clone(), opened));
        let (appender, segments) = appender.map_or((None, Vec::new()), |(one, other)| (Some(one), other));
        let (found, finding) = std::sync::mpsc::sync_channel(1);
        if !is_held {
            // It has room for one.
            let _ = found.send(segments);
        }
        let writer = Writer::new(shared.clone(), appender, is_held.then_some(found));
        let mut threads = vec![spawn("disk-write", move || writer.run())];
        for _ in 0..READERS {
            let shared = shared.clone();
            threads.push(spawn("disk-read", move || reader::run(&shared)));
        }
        let scanning = shared.clone();
        // Without a word there never was anything to be looked through.
        let scan = move || finding.recv().iter().for_each(|segments| reader::scan(&scanning, segments));
        threads.push(spawn("disk-scan", scan));
        Arc::new(Self { shared, threads: Mutex::new(threads.into_iter().flatten().collect()) })
    }

    /// The number that an object gets whose fetch begins now: purges from now on apply to it.
    pub fn sequence(&self) -> u64 {
        self.shared.ordered().purges.sequence()
    }

    /// Largest object that is kept.
    pub fn object_bytes_max(&self) -> u64 {
        self.shared.object_bytes_max
    }

    /// The variants of a key that may be of use, newest first; the caller chooses, and bounds how long it waits. At once
    /// when there is none.
    pub async fn look_up(&self, key: &[u8], now: u64) -> Vec<Found> {
        let counts = &self.shared.counts;
        if !self.shared.is_on() {
            return Vec::new();
        }
        let key_hash = self.shared.seed.hash(key);
        let places = self.shared.index.find(key_hash, now);
        if places.is_empty() {
            count(&counts.misses);
            return Vec::new();
        }
        let (answer, answered) = oneshot::channel();
        let asked = Overloaded(&self.shared);
        let job = Job::Look { key: Bytes::copy_from_slice(key), places, answer };
        if self.shared.reads.put(job, 0).is_err() {
            return Vec::new();
        }
        let Ok(read) = answered.await else { return Vec::new() };
        std::mem::forget(asked);
        // Now, not when it was read: a purge may have come.
        let found: Vec<Found> = read.into_iter().filter_map(|read| self.found(key, read)).collect();
        count(if found.is_empty() { &counts.misses } else { &counts.hits });
        found
    }

    fn found(&self, key: &[u8], read: Read) -> Option<Found> {
        let Read { place, sequence, meta, parts, segments, body } = read;
        let named = Named { sequence, key_hash: place.key_hash, key, tags: &meta.tags, site: meta.site };
        let purged_softly = match self.shared.standing(&named) {
            Standing::Gone => return None,
            Standing::Stale => true,
            Standing::Kept => false,
        };
        let bytes = parts.iter().map(|part| u64::from(part.bytes)).sum();
        let segments = segments.iter().map(Arc::downgrade).collect();
        let body_at = StoredBody { parts: parts.into(), segments, bytes };
        Some(Found { meta, purged_softly, body: body_at, sequence, whole: body })
    }

    /// What purges have left by now of something that was found.
    pub fn standing(&self, key: &[u8], found: &Found) -> Standing {
        let Meta { tags, site, .. } = &found.meta;
        let key_hash = self.shared.seed.hash(key);
        self.shared.standing(&Named { sequence: found.sequence, key_hash, key, tags, site: *site })
    }

    /// Begins to read a part of a body, at once: [`HeldBody::parts`] says how many there are.
    pub fn read(&self, body: &HeldBody, part: usize) -> Reading {
        let (answer, answered) = oneshot::channel();
        let found = body.parts.get(part).and_then(|part| {
            let segment = body.segments.iter().find(|segment| segment.number == part.segment)?;
            Some((segment.clone(), *part))
        });
        if let Some((segment, part)) = found {
            // What does not fit is dropped, and its reader told.
            let _ = self.shared.reads.put(Job::Part { segment, part, answer }, 0);
        }
        Reading(answered)
    }

    /// Writes an object that is whole; `body` are its pieces. Returns at once; false when it will not be written. What
    /// lies there under its key is forgotten then: it is older.
    pub fn write(&self, object: NewObject, body: Vec<Bytes>) -> bool {
        let bytes: u64 = body.iter().map(|piece| piece.len() as u64).sum();
        let key = object.key.clone();
        let put = bytes <= self.shared.object_bytes_max
            && self.shared.put(Write::Object(Box::new(object), body), bytes);
        if !put {
            self.forget(&key);
        }
        put
    }

    /// Writes anew what is to be known of an object whose body lies there already: a 304 said that it still holds.
    pub fn write_again(&self, object: NewObject, body: &StoredBody) -> bool {
        let stream = Stream::of(&body.parts);
        self.shared.put(Write::Commit(stream, Box::new(object)), 0)
    }

    /// The hash of a name, of a site say, that means the same after a restart.
    pub fn name(&self, name: &[u8]) -> u64 {
        self.shared.seed.hash(name)
    }

    /// Begins to write an object that arrives.
    pub fn begin(&self) -> Writing {
        Writing::new(self.shared.clone())
    }

    /// Something newer is known under a key and will not be written: what lies there is not used any more.
    pub fn forget(&self, key: &[u8]) {
        self.shared.forget(self.shared.seed.hash(key));
    }

    /// Purges, or makes stale with `soft`. In force on every thread when this returns; whoever answers an order of it
    /// waits for [`Purging`] first.
    pub fn purge(&self, what: &[Purge<'_>], soft: bool) -> Purging {
        let whats = what.iter().map(|what| match *what {
            Purge::Key(key) => What::Key(self.shared.seed.hash(key)),
            Purge::Prefix(prefix) => What::Prefix(prefix.into()),
            Purge::Tag(tag) => What::Tag(tag),
            Purge::TagOfSite(tag, site) => What::Tag(tag_of_site(tag, site)),
            Purge::Site(site) => What::Site(site),
            Purge::All => What::All,
        });
        let (safe, is_safe) = oneshot::channel();
        self.shared.order(whats.collect(), soft, Some(safe));
        Purging(is_safe)
    }

    /// How full it is and what it did.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Whether all that was there at the start has been looked through.
    pub fn is_scanned(&self) -> bool {
        self.shared.scanned.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Gives the directory up, for another process: writes what waits, for a second at most, closes everything and unlocks
    /// it. From then on nothing is found here; what is being sent from it goes on. Returns at once.
    pub fn hand_over(&self) {
        self.shared.leaving.store(true, std::sync::atomic::Ordering::Release);
        self.shared.writes.call();
    }

    /// Writes what was handed over, and ends. For the end of the process.
    pub fn close(&self) {
        self.shared.writes.close();
        self.shared.reads.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.close();
    }
}

/// Counts a look-up that is dropped before its answer came.
struct Overloaded<'a>(&'a Shared);

impl Drop for Overloaded<'_> {
    fn drop(&mut self) {
        count(&self.0.counts.overloaded);
    }
}

impl Purging {
    /// Resolves once no crash brings back what was purged. False when that is not certain: the directory can neither be
    /// written nor emptied.
    pub async fn done(self) -> bool {
        self.0.await.unwrap_or(false)
    }

    /// [`Purging::done`], standing still until then: not for data threads.
    pub fn wait(self) -> bool {
        struct Unpark(Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut done = pin!(self.done());
        loop {
            match done.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Ready(safe) => return safe,
                Poll::Pending => thread::park(),
            }
        }
    }
}

impl Future for Reading {
    type Output = Option<Bytes>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(Result::ok)
    }
}

impl StoredBody {
    /// Bytes of memory that it takes.
    pub fn cost(&self) -> u64 {
        let listed = size_of_val(&*self.parts) + size_of_val(&*self.segments);
        (size_of::<Self>() + listed + 64) as u64
    }

    /// Whether it can still be read.
    pub fn is_there(&self) -> bool {
        self.segments.iter().all(|segment| segment.strong_count() > 0)
    }

    /// Bytes of content.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps it readable; `None` when the disk has given it up.
    pub fn hold(&self) -> Option<HeldBody> {
        let segments: Option<Arc<[_]>> = self.segments.iter().map(Weak::upgrade).collect();
        Some(HeldBody { parts: self.parts.clone(), segments: segments?, bytes: self.bytes })
    }
}

impl HeldBody {
    /// Bytes of content.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Parts that it is read in; all but the last have [`PART_BYTES`].
    pub fn parts(&self) -> usize {
        self.parts.len()
    }

    /// The part that holds an offset, and where in it.
    pub fn locate(&self, offset: u64) -> (usize, usize) {
        ((offset / PART_BYTES as u64) as usize, (offset % PART_BYTES as u64) as usize)
    }
}

fn index_bytes_max(settings: &DiskSettings) -> u64 {
    (settings.bytes_max / 64).clamp(INDEX_BYTES_MIN, INDEX_BYTES_MAX)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Option<JoinHandle<()>> {
    match thread::Builder::new().name(name.to_owned()).spawn(work) {
        Ok(thread) => Some(thread),
        Err(error) => {
            notice(format_args!("the disk cache has no thread {name}: {error}"));
            None
        }
    }
}
