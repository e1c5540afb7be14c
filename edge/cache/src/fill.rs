//! An object on its way into the cache: what the fetch, its readers and those who wait share, behind one lock.
//! Everything here is a short critical section; wakers are woken after it. The lock may be taken while a shard's
//! is held, never the other way round.

use crate::charge::Charge;
use crate::chunks::Chunks;
use crate::doubts::{Doubts, TagPurge};
use crate::object::Frame;
use crate::seats::Seats;
use crate::waiter::{Arrival, Release};
use crate::{FillReader, Object, Presented, Tag, Vary, Waiter};
use bytes::Bytes;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tentpole_model::Bypass;
use tentpole_model::{Cause, Failure, Phase, Retry};
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

/// How far a fill that is not stored may run ahead of its slowest reader.
pub const WINDOW_BYTES: u64 = 1 << 20;

/// What a fill costs without seats and content.
const FILL_OVERHEAD: u64 = size_of::<Fill>() as u64 + 128;

#[derive(Debug)]
pub(crate) struct Fill {
    pub key: Arc<[u8]>,
    pub hash: u64,
    /// What selects the object, as far as it was known when the fetch began: only those join who would select it.
    expected: Option<Vary>,
    /// Where it stands among the fills of its shard, whose lock protects it.
    pub place: AtomicU32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Known once the endpoint has answered with something that is delivered through the fill.
    frame: Option<Arc<Frame>>,
    /// Bytes of content that the response's head announced.
    length: Option<u64>,
    chunks: Chunks,
    seats: Seats,
    /// Purges by tag that came before its own tags were known.
    doubts: Doubts,
    /// Why the object will not be stored, once that is so. Then nobody joins, and content that everybody has read
    /// is dropped.
    refused: Option<Bypass>,
    parked: Option<Parked>,
    charge: Charge,
}

/// The fetch, waiting until all readers have passed an offset.
#[derive(Debug)]
struct Parked {
    waker: Waker,
    until: u64,
    /// Readers that have not.
    behind: usize,
}

#[derive(Debug)]
enum Stage {
    /// The endpoint has not answered.
    Waiting,
    /// Its answer is arriving.
    Arriving,
    /// All of it arrived; it is not stored, and no longer held as a whole.
    Ended,
    /// All of it arrived, or a 304 confirmed what was stored.
    Whole(Arc<Object>),
    /// The fetch failed, and what is stored may do for some.
    Kept(Arc<Object>, Release),
    /// There is nothing to be had here.
    Released(Release),
}

/// Whether a request may wait for a fill.
pub(crate) enum Join {
    Joined(Waiter),
    /// As many as allowed do.
    Full,
    /// It is for other requests: these names select.
    Mismatch(Vary),
    /// It is no longer open.
    Closed,
}

/// Whether a fetch should send more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// There is room for the next piece.
    Ready,
    /// Nobody reads any more and it will not be stored: the fetch may end.
    NobodyReads,
}

/// What an append met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Appended {
    Kept,
    /// From here on it is not stored, and nobody joins.
    TooFull,
    /// The same, because of its length; with all that has arrived.
    TooLarge(Vec<Bytes>),
    /// There is more than the head announced.
    Overran,
}

impl Fill {
    pub(crate) fn new(ledger: &Arc<Ledger>, hash: u64, key: Arc<[u8]>, expected: Option<Vary>) -> Arc<Self> {
        let cost = FILL_OVERHEAD + key.len() as u64 + expected.as_ref().map_or(0, Vary::bytes);
        let state = State {
            stage: Stage::Waiting,
            frame: None,
            length: None,
            chunks: Chunks::default(),
            seats: Seats::default(),
            doubts: Doubts::default(),
            refused: None,
            parked: None,
            charge: Charge::new(ledger, Account::Fills, cost),
        };
        Arc::new(Self { key, hash, expected, place: AtomicU32::new(0), state: Mutex::new(state) })
    }

    /// A panic while the lock is held would be our bug; what it protects is counted anew by each operation.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the shard asks, under its lock.

    pub(crate) fn join(self: &Arc<Self>, request: &Presented<'_>, waiters_max: u32) -> Join {
        let mut state = self.lock();
        let open = state.refused.is_none() && matches!(state.stage, Stage::Waiting | Stage::Arriving);
        if !open {
            return Join::Closed;
        }
        let selected_by = state.frame.as_ref().map(|frame| &frame.vary).or(self.expected.as_ref());
        if let Some(vary) = selected_by.filter(|vary| !vary.matches(*request)) {
            return Join::Mismatch(vary.clone());
        }
        if state.seats.count() >= waiters_max as usize {
            return Join::Full;
        }
        let seat = state.seats.take();
        state.recharge(self);
        Join::Joined(Waiter::new(self.clone(), seat, state.doubts.count()))
    }

    /// A purge came: whoever has joined is served, nothing is stored.
    pub(crate) fn refuse(&self, bypass: Bypass) {
        self.lock().refused.get_or_insert(bypass);
    }

    /// A purge by tag came. Whether it is about this fill; where that is not known yet, it is remembered until it is.
    pub(crate) fn doubt(&self, purge: &Arc<TagPurge>) -> bool {
        let mut state = self.lock();
        let concerned = match &state.frame {
            Some(frame) => purge.is_about(frame.tags.iter().copied()),
            None => !state.doubts.remember(purge),
        };
        state.recharge(self);
        concerned
    }

    /// Ends it for all who wait.
    pub(crate) fn end(&self, object: Result<Arc<Object>, Release>) -> Ended {
        self.end_as(match object {
            Ok(object) => Stage::Whole(object),
            Err(release) => Stage::Released(release),
        })
    }

    /// Ends it with what is stored, for those who may have that.
    pub(crate) fn keep(&self, stale: Arc<Object>, otherwise: Release) -> Ended {
        self.end_as(Stage::Kept(stale, otherwise))
    }

    fn end_as(&self, stage: Stage) -> Ended {
        let mut state = self.lock();
        if let Stage::Whole(object) | Stage::Kept(object, _) = &stage {
            state.settle_doubts(object.tags());
        }
        let purged = state.refused.is_some();
        state.stage = stage;
        // Its content lives on in the object, or is of no use.
        let (content, parked) = (std::mem::take(&mut state.chunks), state.parked.take());
        state.recharge(self);
        Ended { purged, wakers: state.rouse(), _dropped: (content, parked) }
    }

    // What the fetch does.

    pub(crate) fn start(self: &Arc<Self>, frame: Frame, length: Option<u64>) -> FillReader {
        let mut state = self.lock();
        let frame = Arc::new(frame);
        state.settle_doubts(frame.tags.iter().copied());
        state.stage = Stage::Arriving;
        state.frame = Some(frame.clone());
        state.length = length;
        let seat = state.seats.take();
        state.recharge(self);
        let wakers = state.rouse();
        drop(state);
        wake(wakers);
        FillReader::new(self.clone(), seat, frame, length)
    }

    /// Whether it is delivered only.
    pub(crate) fn is_refused(&self) -> bool {
        self.lock().refused.is_some()
    }

    /// Adds a piece. `too_full` says why no more may be held, if so.
    pub(crate) fn append(&self, data: Bytes, storable_max: u64, too_full: Option<Bypass>) -> Appended {
        let mut state = self.lock();
        if state.length.is_some_and(|length| state.chunks.end() + data.len() as u64 > length) {
            return Appended::Overran;
        }
        state.chunks.push(data);
        let too_large = (state.chunks.cost() > storable_max).then_some(Bypass::TooLarge);
        let newly_refused = if state.refused.is_none() { too_large.or(too_full) } else { None };
        let appended = match newly_refused {
            None => Appended::Kept,
            Some(Bypass::TooLarge) => Appended::TooLarge(state.chunks.held()),
            Some(_) => Appended::TooFull,
        };
        if newly_refused.is_some() {
            state.refused = newly_refused;
        }
        if state.refused.is_some() {
            state.release_read();
        }
        state.recharge(self);
        let wakers = state.rouse();
        drop(state);
        wake(wakers);
        appended
    }

    pub(crate) fn poll_room(&self, context: &Context<'_>) -> Poll<Room> {
        let mut state = self.lock();
        // What may be stored is held whole, and waits for nobody.
        if state.refused.is_none() {
            return Poll::Ready(Room::Ready);
        }
        let Some(slowest) = state.release_read() else { return Poll::Ready(Room::NobodyReads) };
        state.recharge(self);
        let end = state.chunks.end();
        if end - slowest < WINDOW_BYTES {
            return Poll::Ready(Room::Ready);
        }
        // Half a window at a time, not a wake for every piece that the slowest reads.
        let until = end - WINDOW_BYTES / 2;
        let parked = Parked { waker: context.waker().clone(), until, behind: state.seats.before(until) };
        let replaced = state.parked.replace(parked);
        drop(state);
        drop(replaced);
        Poll::Pending
    }

    /// The fetch has waited long enough for those who read too slowly: they lose, if others read faster. Returns
    /// whether somebody did.
    pub(crate) fn leave_behind(&self) -> bool {
        let mut state = self.lock();
        let Some(until) = state.parked.as_ref().map(|parked| parked.until) else { return false };
        let mut wakers = Vec::new();
        let lost = state.seats.lose_before(until, &mut wakers);
        if lost {
            state.release_read();
            state.recharge(self);
        }
        drop(state);
        wake(wakers);
        lost
    }

    /// The content and how it may be stored, taken out. `Err` when the response is not whole.
    pub(crate) fn complete(&self) -> Result<Completed, Bypass> {
        let mut state = self.lock();
        let end = state.chunks.end();
        if state.length.is_some_and(|length| length != end) {
            return Err(Bypass::Incomplete);
        }
        if let Some(bypass) = state.refused {
            state.stage = Stage::Ended;
            let wakers = state.rouse();
            drop(state);
            wake(wakers);
            return Ok(Completed::PassedThrough(bypass));
        }
        let Some(frame) = state.frame.clone() else { return Err(Bypass::Incomplete) };
        // Readers find the content again in the object, which is put in place before anybody can look: until then
        // `Stage::Arriving` with nothing at their offset makes them wait.
        let chunks = state.chunks.take();
        state.recharge(self);
        Ok(Completed::Storable(frame, chunks))
    }

    /// Everybody who waits or reads now.
    pub(crate) fn seats(&self) -> usize {
        self.lock().seats.count()
    }

    // What waiters and readers do.

    pub(crate) fn poll_arrival(
        self: &Arc<Self>,
        seat: &mut Option<u32>,
        doubts: usize,
        request: &Presented<'_>,
        context: &Context<'_>,
    ) -> Poll<Arrival> {
        let Some(index) = *seat else { return Poll::Ready(Arrival::GoYourself(Release::Abandoned)) };
        let mut state = self.lock();
        let arrival = match &state.stage {
            // It asked after a purge for what was fetched before it.
            _ if state.doubts.came_true_before(doubts) => Arrival::GoYourself(Release::Abandoned),
            Stage::Waiting => {
                let replaced = state.seats.sleep(index, context);
                drop(state);
                drop(replaced);
                return Poll::Pending;
            }
            Stage::Released(release) => Arrival::GoYourself(*release),
            Stage::Kept(object, otherwise) if object.vary().matches(*request) => {
                Arrival::Kept(object.clone(), *otherwise)
            }
            Stage::Kept(_, otherwise) => Arrival::GoYourself(*otherwise),
            Stage::Whole(object) if object.vary().matches(*request) => Arrival::Object(object.clone()),
            Stage::Arriving | Stage::Ended => match &state.frame {
                Some(frame) if frame.vary.matches(*request) => {
                    *seat = None;
                    Arrival::Reader(FillReader::new(self.clone(), index, frame.clone(), state.length))
                }
                _ => Arrival::GoYourself(Release::VaryMismatch),
            },
            Stage::Whole(_) => Arrival::GoYourself(Release::VaryMismatch),
        };
        drop(state);
        Poll::Ready(arrival)
    }

    pub(crate) fn poll_read(&self, seat: u32, offset: u64, context: &Context<'_>) -> Poll<Read> {
        let mut state = self.lock();
        if state.seats.is_lost(seat) {
            return Poll::Ready(Read::Failed(TOO_SLOW));
        }
        let read = match &state.stage {
            Stage::Whole(object) => Read::Whole(object.clone()),
            Stage::Released(Release::Failed(failure)) => Read::Failed(*failure),
            // Nobody reads what never began to arrive.
            Stage::Kept(..) | Stage::Released(_) => Read::Failed(ABORTED),
            Stage::Waiting | Stage::Arriving | Stage::Ended => match state.chunks.at(offset) {
                Some(data) => {
                    let waker = state.passed(offset, offset + data.len() as u64);
                    state.seats.move_to(seat, offset + data.len() as u64);
                    drop(state);
                    wake(waker);
                    return Poll::Ready(Read::Data(data));
                }
                None if matches!(state.stage, Stage::Ended) => Read::End,
                None => {
                    let replaced = state.seats.sleep(seat, context);
                    drop(state);
                    drop(replaced);
                    return Poll::Pending;
                }
            },
        };
        drop(state);
        Poll::Ready(read)
    }

    pub(crate) fn leave(&self, seat: u32) {
        let mut state = self.lock();
        let left = state.seats.leave(seat);
        let offset = left.as_ref().map_or(u64::MAX, |(offset, _)| *offset);
        let waker = state.passed(offset, u64::MAX);
        drop(state);
        drop(left);
        wake(waker);
    }
}

/// What is left of a fill that has ended, to be told and dropped outside all locks.
pub(crate) struct Ended {
    /// A purge came in between: the object must not be stored.
    pub purged: bool,
    wakers: Vec<Waker>,
    _dropped: (Chunks, Option<Parked>),
}

impl Ended {
    /// Wakes all who wait.
    pub(crate) fn tell(self) {
        wake(self.wakers);
    }
}

/// What a reader found.
pub(crate) enum Read {
    Data(Bytes),
    End,
    Whole(Arc<Object>),
    Failed(Failure),
}

/// A fill's response, all of it arrived.
pub(crate) enum Completed {
    Storable(Arc<Frame>, Vec<Bytes>),
    PassedThrough(Bypass),
}

/// The fetch was dropped before its response was whole.
pub(crate) const ABORTED: Failure = Failure {
    side: tentpole_model::Side::Upstream,
    phase: Phase::ReadBody,
    retry: Retry::Never,
    bytes_sent: 0,
    source: Cause::FillAborted,
};

/// The reader kept all others waiting.
pub(crate) const TOO_SLOW: Failure = Failure {
    side: tentpole_model::Side::Visitor,
    phase: Phase::Deliver,
    retry: Retry::Never,
    bytes_sent: 0,
    source: Cause::TimedOut,
};

fn wake(wakers: impl IntoIterator<Item = Waker>) {
    for waker in wakers {
        waker.wake();
    }
}

impl State {
    fn rouse(&mut self) -> Vec<Waker> {
        // Nobody asleep costs no allocation.
        let mut wakers = Vec::new();
        self.seats.rouse(&mut wakers);
        wakers
    }

    /// The fill's tags are known, and so whether a purge was about it.
    fn settle_doubts(&mut self, tags: impl Iterator<Item = Tag> + Clone) {
        if self.doubts.settle(tags) {
            self.refused.get_or_insert(Bypass::Purged);
        }
    }

    /// A reader went from one offset to another; returns the fetch's waker when it was the last that it waited for.
    fn passed(&mut self, from: u64, to: u64) -> Option<Waker> {
        let parked = self.parked.as_mut()?;
        if from < parked.until && to >= parked.until {
            parked.behind = parked.behind.saturating_sub(1);
        }
        if parked.behind > 0 {
            return None;
        }
        self.parked.take().map(|parked| parked.waker)
    }

    /// Drops what everybody has read; returns where the slowest is, `None` when nobody reads.
    fn release_read(&mut self) -> Option<u64> {
        let slowest = self.seats.slowest();
        self.chunks.release_before(slowest.unwrap_or(u64::MAX));
        slowest
    }

    fn recharge(&mut self, fill: &Fill) {
        let frame = self.frame.as_ref().map_or(0, |frame| frame.cost());
        let expected = fill.expected.as_ref().map_or(0, Vary::bytes);
        let fixed = FILL_OVERHEAD + fill.key.len() as u64 + expected + frame;
        self.charge.set(fixed + self.seats.cost() + self.chunks.cost() + self.doubts.cost());
    }
}
