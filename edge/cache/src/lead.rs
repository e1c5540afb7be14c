//! The one request that fetches for all who want the same, first without an answer ([`Lead`]), then with one that
//! arrives ([`Filling`]). Both end well or are dropped, and whoever waits learns of it at once.

use crate::fill::{ABORTED, Appended, Completed, Fill};
use crate::object::Frame;
use crate::{
    Cache, FillReader, Missed, NewHead, Object, Presented, Release, Room, StoredFacts, Tag, Vary, tag,
};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tentpole_message::StoredHead;
use tentpole_model::Bypass;
use tentpole_model::Failure;
use tentpole_runtime::ledger::Pressure;

/// How long a key is remembered whose object was too large: nobody waits for its head in vain meanwhile.
const TOO_LARGE_REMEMBERED: Duration = Duration::from_secs(60);

/// The duty to fetch. Dropping it releases those who wait ([`Release::Abandoned`]).
#[derive(Debug)]
pub struct Lead {
    duty: Duty,
    /// What is stored but may not be used as it is: to be revalidated, or served if the endpoint fails.
    pub stale: Option<Arc<Object>>,
    /// Why nothing stored was used.
    pub missed: Missed,
}

/// A response as its head describes it. None of its bytes should lie in a much larger buffer: they are kept.
#[derive(Debug)]
pub struct NewObject<'a> {
    /// Status line and fields as they will be sent.
    pub head: StoredHead,
    /// From `may_store`.
    pub facts: StoredFacts,
    /// Names in `Vary`, in any case and order.
    pub vary: &'a [&'a [u8]],
    /// The request that it answers, for the values of those names.
    pub request: Presented<'a>,
    /// The entity tag.
    pub etag: Option<Bytes>,
    /// The date of the last modification.
    pub last_modified: Option<Bytes>,
    /// What it may be purged by; at most [`crate::TAGS_MAX`].
    pub tags: &'a [Tag],
    /// Its body may be a page to be put together (ESI).
    pub assembles: bool,
    /// Bytes of content, when announced.
    pub length: Option<u64>,
}

impl Cache {
    /// A response that is never found in the cache: for one who has it whole and gives it to one visitor.
    pub fn unstored(&self, new: NewObject<'_>, chunks: Vec<Bytes>) -> Arc<Object> {
        let NewObject { head, facts, etag, last_modified, .. } = new;
        let (vary, tags, key, hash) = (Vary::default(), Arc::default(), Arc::default(), 0);
        let assembles = false;
        let frame = Frame { facts, head, etag, last_modified, vary, tags, key, hash, assembles };
        Arc::new(frame.with_chunks(&self.ledger, chunks))
    }
}

/// What a 304 makes of a stored response.
pub struct Confirmed<'a> {
    /// Status line and fields as they will be sent.
    pub head: StoredHead,
    /// From `may_store`.
    pub facts: StoredFacts,
    /// The tags that the 304 names; `None` when it names none, and the stored ones stay.
    pub tags: Option<&'a [Tag]>,
    /// The heads of its other forms.
    pub new_head: &'a NewHead<'a>,
}

impl std::fmt::Debug for Confirmed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Confirmed")
            .field("head", &self.head)
            .field("facts", &self.facts)
            .finish_non_exhaustive()
    }
}

/// Drops what was derived: it is made anew when it is asked for.
pub fn no_new_head(_: crate::Coding, _: &crate::Derived) -> Option<(StoredHead, Option<Bytes>)> {
    None
}

/// A response on its way into the cache. May be kept in a task of its own after the first visitor has left.
/// Dropping it without [`Filling::finish`] aborts: readers get a `Failure` with `Cause::FillAborted`.
#[derive(Debug)]
pub struct Filling {
    duty: Duty,
    superseded: Option<Arc<Object>>,
    /// Neither stored nor joined any more.
    refused: bool,
}

/// How a filling ended.
#[derive(Debug)]
pub enum Finished {
    /// It is stored.
    Stored(Arc<Object>),
    /// It was delivered only, and why. `Bypass::Incomplete`: readers got a failure.
    NotStored(Bypass),
}

/// A fill that somebody must end. Dropped before, it ends with what it was told.
#[derive(Debug)]
struct Duty {
    cache: Arc<Cache>,
    fill: Arc<Fill>,
    /// What those who wait are told on drop; `None` once they know.
    release: Option<Release>,
}

impl Lead {
    pub(crate) fn new(
        cache: Arc<Cache>,
        fill: Arc<Fill>,
        stale: Option<Arc<Object>>,
        missed: Missed,
    ) -> Self {
        Self { duty: Duty { cache, fill, release: Some(Release::Abandoned) }, stale, missed }
    }

    pub(crate) fn cache(&self) -> &Arc<Cache> {
        &self.duty.cache
    }

    pub(crate) fn fill(&self) -> &Arc<Fill> {
        &self.duty.fill
    }

    /// The fill, which the caller ends at once.
    pub(crate) fn ended(mut self) -> Arc<Fill> {
        self.duty.release = None;
        self.duty.fill.clone()
    }

    /// What is to be fetched.
    pub fn key(&self) -> &[u8] {
        &self.duty.fill.key
    }

    /// Requests that wait now: whether it is worth going on when the visitor has left.
    pub fn waiters(&self) -> usize {
        self.duty.fill.seats()
    }

    /// The response is not shared. Those who wait go themselves, and so does everybody for a while: without that,
    /// requests for what is never cacheable would queue behind one another.
    pub fn uncacheable(self, bypass: Bypass, remember_for: Duration) {
        self.duty.end(Release::Bypass(bypass), Some(remember_for));
    }

    /// The response is not shared because of who asked. Only requests that say so too go themselves for a while
    /// ([`Cache::passes_personal`]): one of them must not keep an object out of the cache. Those who wait look up
    /// again ([`Release::Abandoned`]).
    pub fn personal(self, remember_for: Duration) {
        self.duty.cache.mark_personal(self.duty.fill.hash, remember_for);
    }

    /// There is no response.
    pub fn failed(self, failure: Failure) {
        self.duty.end(Release::Failed(failure), None);
    }

    /// There is no usable response, and the stored one may be served in its place (RFC 5861 section 4), to those who
    /// wait too: `otherwise` is for those who may not get it. It stays stored, as stale as it is. For a while
    /// [`Cache::is_failing`] says so.
    pub fn kept(mut self, stale: &Arc<Object>, otherwise: Release, remember_for: Duration) {
        let Duty { cache, fill, release } = &mut self.duty;
        *release = None;
        cache.mark_failing(fill.hash, remember_for);
        cache.keep(fill, stale, otherwise);
    }

    /// A 304 says that `stale` still holds (RFC 9111 section 4.3.4): it is stored anew with this head and these
    /// facts, sharing its body and the contents of its other forms. With more tags than may be, it is not.
    pub fn refreshed(mut self, stale: &Arc<Object>, confirmed: Confirmed<'_>) -> Arc<Object> {
        let Duty { cache, fill, release } = &mut self.duty;
        let (object, storable) = cache.renewed(stale, confirmed);
        *release = None;
        cache.refresh(fill, stale, &object, storable);
        object
    }

    /// A response begins that will be stored. Its reader is the lead's own way to the content; drop it when there
    /// is no visitor. Refused when its length is known to be too large, when the Ledger is nearly full, when it has
    /// too many tags or when `Vary` cannot be compared: then the caller streams by itself, and those who wait go
    /// themselves.
    pub fn start(self, new: NewObject<'_>) -> Result<(Filling, FillReader), Bypass> {
        self.start_in(new, false)
    }

    /// [`Lead::start`] for a response that is too large for memory, and that the caller keeps elsewhere while it goes
    /// through: all who wait read along, nobody joins.
    pub fn start_through(self, new: NewObject<'_>) -> Result<(Filling, FillReader), Bypass> {
        self.start_in(new, true)
    }

    fn start_in(mut self, new: NewObject<'_>, through: bool) -> Result<(Filling, FillReader), Bypass> {
        let cache = self.duty.cache.clone();
        let fill = self.duty.fill.clone();
        let refused = match (Vary::of(new.vary, new.request), tag::sorted(new.tags)) {
            (None, _) => Bypass::VaryStar,
            (_, None) => Bypass::TooManyTags,
            _ if cache.ledger.pressure() >= Pressure::PassFills => Bypass::MemoryPressure,
            _ if !through && new.length.is_some_and(|length| length > cache.storable_max()) => {
                Bypass::TooLarge
            }
            (Some(vary), Some(tags)) => {
                let NewObject { head, facts, etag, last_modified, assembles, length, .. } = new;
                let (key, hash) = (fill.key.clone(), fill.hash);
                let frame = Frame { facts, head, etag, last_modified, assembles, vary, tags, key, hash };
                let reader = fill.start(frame, length);
                self.duty.release = Some(Release::Failed(ABORTED));
                // A purge that came before its tags were known was about it.
                let refused = fill.is_refused() || through;
                if through {
                    fill.refuse(Bypass::TooLarge);
                }
                if refused {
                    cache.close(&fill, through.then_some(TOO_LARGE_REMEMBERED));
                }
                let filling = Filling { duty: self.duty, superseded: self.stale, refused };
                return Ok((filling, reader));
            }
        };
        let marked = (refused != Bypass::MemoryPressure).then_some(TOO_LARGE_REMEMBERED);
        self.duty.end(Release::Bypass(refused), marked);
        Err(refused)
    }
}

impl Filling {
    /// Adds a piece of content; readers are woken. Pieces below 16 KiB are copied and joined; larger ones are kept
    /// as they are, so they should not be slices of buffers that are much larger still.
    ///
    /// Returns all that has arrived, once: when it has just become too large for memory.
    pub fn append(&mut self, data: Bytes) -> Option<Vec<Bytes>> {
        if data.is_empty() || self.duty.release.is_none() {
            return None;
        }
        let Duty { cache, fill, .. } = &self.duty;
        let too_full = (!self.refused && cache.is_too_full()).then_some(Bypass::MemoryPressure);
        match fill.append(data, cache.storable_max(), too_full) {
            Appended::Kept => {}
            Appended::TooFull => {
                self.refused = true;
                cache.close(fill, None);
            }
            Appended::TooLarge(arrived) => {
                self.refused = true;
                cache.close(fill, Some(TOO_LARGE_REMEMBERED));
                return Some(arrived);
            }
            Appended::Overran => self.duty.tell(Release::Failed(ABORTED), None),
        }
        None
    }

    /// Ready when the next piece may be appended: at once while it may be stored, within a window before the
    /// slowest reader once it may not.
    pub fn poll_room(&mut self, context: &mut Context<'_>) -> Poll<Room> {
        if self.duty.release.is_none() {
            return Poll::Ready(Room::NobodyReads);
        }
        self.duty.fill.poll_room(context)
    }

    /// To be called when [`Filling::poll_room`] has not been ready for longer than a reader may hold up the others:
    /// those who are behind get a `Failure` (their own side, timed out). Nobody loses who has nobody to hold up.
    /// Returns whether somebody did.
    pub fn leave_behind(&mut self) -> bool {
        self.duty.fill.leave_behind()
    }

    /// All those who read or still wait.
    pub fn readers(&self) -> usize {
        self.duty.fill.seats()
    }

    /// The response is whole.
    pub fn finish(mut self) -> Finished {
        if self.duty.release.is_none() {
            return Finished::NotStored(Bypass::Incomplete);
        }
        let Duty { cache, fill, .. } = &self.duty;
        let (frame, chunks) = match fill.complete() {
            Ok(Completed::Storable(frame, chunks)) => (frame, chunks),
            Ok(Completed::PassedThrough(bypass)) => {
                self.duty.release = None;
                return Finished::NotStored(bypass);
            }
            // Dropping it tells the readers.
            Err(bypass) => return Finished::NotStored(bypass),
        };
        let object = Arc::new(frame.with_chunks(&cache.ledger, chunks));
        let stored = cache.store(fill, &object, self.superseded.as_ref());
        self.duty.release = None;
        match stored {
            Ok(()) => Finished::Stored(object),
            Err(bypass) => Finished::NotStored(bypass),
        }
    }

    /// The response broke off: readers get this failure.
    pub fn failed(mut self, failure: Failure) {
        self.duty.tell(Release::Failed(failure), None);
    }
}

impl Duty {
    fn end(mut self, release: Release, marked: Option<Duration>) {
        self.tell(release, marked);
    }

    fn tell(&mut self, release: Release, marked: Option<Duration>) {
        if self.release.take().is_some() {
            self.cache.release(&self.fill, release, marked);
        }
    }
}

impl Drop for Duty {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            self.tell(release, None);
        }
        self.cache.counts.fills.fetch_sub(1, Ordering::Relaxed);
    }
}
