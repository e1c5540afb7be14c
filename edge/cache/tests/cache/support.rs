//! A cache under test, with short words for what visitors and endpoints do to it.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use tentpole_cache::{
    Arrival, Cache, Coding, Confirmed, Derived, FillReader, Filling, Finished, Judged, Lead, Looked,
    NewObject, Object, Room, StoredFacts, Waiter,
};
use tentpole_message::{BodyStream, Chunk, Fields, StoredHead};
use tentpole_model::{CacheSettings, Failure, Purged};
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

pub const SETTINGS: CacheSettings = CacheSettings {
    memory_bytes_max: 8 << 20,
    object_bytes_max: 2 << 20,
    waiters_max: 2_000,
    wait_max: std::time::Duration::from_secs(10),
};

pub struct Edge {
    pub cache: Arc<Cache>,
    pub ledger: Arc<Ledger>,
}

impl Edge {
    pub fn new() -> Self {
        Self::with(SETTINGS, 1 << 30)
    }

    pub fn with(settings: CacheSettings, ledger_bytes: u64) -> Self {
        let ledger = Ledger::new(ledger_bytes);
        Self { cache: Cache::new(settings, ledger.clone()), ledger }
    }

    pub fn get(&self, path: &str) -> Looked {
        self.get_as(path, &Fields::new(), Judged::Use)
    }

    pub fn get_as(&self, path: &str, request: &Fields, judged: Judged) -> Looked {
        self.cache.look_up(&self.cache.key(path.as_bytes()), request, |_| judged)
    }

    pub fn lead(&self, path: &str) -> Lead {
        self.get(path).lead()
    }

    pub fn store(&self, path: &str, body: &[u8]) -> Arc<Object> {
        self.store_for(path, body, &Fields::new(), &[])
    }

    pub fn store_for(&self, path: &str, body: &[u8], request: &Fields, vary: &[&[u8]]) -> Arc<Object> {
        let lead = self.get_as(path, request, Judged::Revalidate).lead();
        let (mut filling, _) = lead.start(new_object(request, vary, Some(body.len() as u64))).unwrap();
        filling.append(Bytes::copy_from_slice(body));
        filling.finish().stored()
    }

    pub fn purge(&self, path: &str) -> Purged {
        self.cache.purge(&self.cache.key(path.as_bytes()), false)
    }

    /// Everything is given back once nothing is stored and nobody reads.
    pub fn assert_nothing_is_held(&self) {
        self.cache.purge_all(false);
        let stats = self.cache.stats();
        assert_eq!((stats.objects, stats.bytes, stats.fills), (0, 0, 0));
        assert_eq!(self.ledger.held(Account::Fills), 0);
        assert_eq!(self.ledger.held(Account::Cache), 0);
    }
}

/// Insists on one outcome.
pub trait Insist {
    fn hit(self) -> Arc<Object>;
    fn lead(self) -> Lead;
    fn joined(self) -> Waiter;
    fn bypass(self) -> tentpole_model::Bypass;
}

impl Insist for Looked {
    fn hit(self) -> Arc<Object> {
        let Looked::Hit(object) = self else { panic!("not a hit: {self:?}") };
        object
    }

    fn lead(self) -> Lead {
        let Looked::Lead(lead) = self else { panic!("not a lead: {self:?}") };
        lead
    }

    fn joined(self) -> Waiter {
        let Looked::Joined(waiter) = self else { panic!("did not join: {self:?}") };
        waiter
    }

    fn bypass(self) -> tentpole_model::Bypass {
        let Looked::Bypass(bypass) = self else { panic!("not a bypass: {self:?}") };
        bypass
    }
}

pub trait InsistFinished {
    fn stored(self) -> Arc<Object>;
    fn not_stored(self) -> tentpole_model::Bypass;
}

impl InsistFinished for Finished {
    fn stored(self) -> Arc<Object> {
        let Finished::Stored(object) = self else { panic!("not stored: {self:?}") };
        object
    }

    fn not_stored(self) -> tentpole_model::Bypass {
        let Finished::NotStored(bypass) = self else { panic!("stored: {self:?}") };
        bypass
    }
}

pub const FACTS: StoredFacts = StoredFacts {
    lifetime: 60,
    initial_age: 0,
    response_time: 1_000,
    no_cache: false,
    must_revalidate: false,
    immutable: false,
    heuristic: false,
    learned: false,
    surrogate: false,
    validator: true,
    stale_while_revalidate: 0,
    stale_if_error: 0,
    stale_if_unreachable: 0,
};

pub fn head() -> StoredHead {
    StoredHead { lines: Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"), status: 200 }
}

pub fn new_object<'a>(request: &'a Fields, vary: &'a [&'a [u8]], length: Option<u64>) -> NewObject<'a> {
    let etag = Some(Bytes::from_static(b"\"1\""));
    NewObject {
        head: head(),
        facts: FACTS,
        vary,
        request: request.into(),
        etag,
        last_modified: None,
        tags: &[],
        assembles: false,
        length,
    }
}

/// A 304 that says nothing about tags; forms keep their heads.
pub fn confirmed(head: StoredHead, facts: StoredFacts) -> Confirmed<'static> {
    Confirmed { head, facts, tags: None, new_head: &same_head }
}

fn same_head(_: Coding, derived: &Derived) -> Option<(StoredHead, Option<Bytes>)> {
    let lines = Bytes::copy_from_slice(derived.lines());
    Some((StoredHead { lines, status: 200 }, derived.etag().map(Bytes::copy_from_slice)))
}

pub fn fields(list: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in list {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

pub fn body_of(object: &Object) -> Vec<u8> {
    object.chunks().concat()
}

/// Counts its wakes.
#[derive(Default)]
pub struct Wakes(AtomicUsize);

impl Wakes {
    pub fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

pub fn waking<T>(wakes: &Arc<Wakes>, poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    poll(&mut Context::from_waker(&Waker::from(wakes.clone())))
}

pub fn once<T>(poll: impl FnOnce(&mut Context<'_>) -> T) -> T {
    poll(&mut Context::from_waker(Waker::noop()))
}

pub fn now<T>(polled: Poll<T>) -> T {
    let Poll::Ready(value) = polled else { panic!("still pending") };
    value
}

pub fn arrival(waiter: &mut Waiter) -> Arrival {
    now(once(|context| waiter.poll_arrival(&Fields::new(), context)))
}

pub fn room(filling: &mut Filling) -> Poll<Room> {
    once(|context| filling.poll_room(context))
}

pub fn chunk(reader: &mut FillReader) -> Poll<Result<Chunk, Failure>> {
    once(|context| reader.poll_chunk(context))
}

/// Reads what is there; whether it was all, or why there will be no more.
pub fn read(reader: &mut FillReader) -> (Vec<u8>, Poll<Result<(), Failure>>) {
    let mut out = Vec::new();
    loop {
        match chunk(reader) {
            Poll::Ready(Ok(Chunk::Data(data))) => out.extend_from_slice(&data),
            Poll::Ready(Ok(Chunk::End)) => return (out, Poll::Ready(Ok(()))),
            Poll::Ready(Err(failure)) => return (out, Poll::Ready(Err(failure))),
            Poll::Pending => return (out, Poll::Pending),
        }
    }
}

/// Polls until ready, sleeping between wakes.
pub fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(value) = poll(&mut context) {
            return value;
        }
        std::thread::park();
    }
}

pub fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 131 % 251) as u8).collect()
}
