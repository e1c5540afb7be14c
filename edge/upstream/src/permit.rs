//! Permits: the right to use an endpoint now. Taking one is a compare-and-swap on the endpoint's cell. At the
//! limit requests wait in one queue for each pool (`queue.rs`); a permit given back calls who is next. Idle connections go
//! to those who wait, on whatever thread. Does not choose the endpoint.

use crate::connection::Connection;
use crate::idle::now_for;
use crate::parked::Parking;
use crate::queue::{Lines, Place, Told, Turn};
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;
use tentpole_idle::Need;
use tentpole_model::{Priority, QueueSettings};
use tentpole_runtime::Cell;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Deadline;

/// While nobody is refused, so many wait at most, however long that would take them; and each for so much longer: it ends
/// before (`decide/limit`: `HOLDS_MAX`).
const HELD_MAX: u32 = 20_000;
const HELD_FOR: Duration = Duration::from_secs(3_600);
const HELD_LONGER: Duration = Duration::from_secs(12);

/// The gates of all pools, by name: a gate outlives Snapshots.
#[derive(Debug, Default)]
pub struct Gates {
    by_pool: RwLock<HashMap<String, Arc<Gate>>>,
}

/// What stands before one pool.
#[derive(Debug, Default)]
pub struct Gate {
    /// How many wait, so that giving a permit back takes no lock while nobody does.
    length: AtomicU32,
    lines: Mutex<Lines>,
    /// Nobody is refused here: its endpoints only hold (`decide/limit`).
    refuses_nobody: AtomicBool,
    /// Visitors who left while they waited here.
    left: AtomicU64,
    parking: Parking,
    /// Requests that wait for a kept connection because there is no port for a new one.
    short_of_ports: AtomicU32,
    /// When one of them last looked whether there is one again, in milliseconds of the process's clock.
    port_tried: AtomicU64,
    /// What is left of the pool's copies of requests, as `decide/retry` packs it.
    pub budget: AtomicU64,
}

/// The right to have one more request in flight at an endpoint; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    cell: Arc<Cell>,
    gate: Arc<Gate>,
}

/// How somebody waits.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// What the pool says.
    pub settings: QueueSettings,
    /// His rank.
    pub priority: Priority,
    /// Not every endpoint or connection will do for him: he has tried some. Then what he is called for and cannot use goes to
    /// whoever is behind him.
    pub is_particular: bool,
}

/// Why nobody was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueueError {
    /// As many wait as may.
    Full,
    /// Waited as long as may be.
    TimedOut,
    /// Would have waited longer than may be.
    TooLong,
    /// Somebody of a better rank took the place.
    Outranked,
    /// Went away.
    Left,
}

impl Gates {
    /// The gate of a pool, made at the first call.
    pub fn of(&self, pool: &str) -> Arc<Gate> {
        let mut by_pool = self.by_pool.write().unwrap_or_else(PoisonError::into_inner);
        by_pool.entry(pool.to_owned()).or_default().clone()
    }

    /// Drops the gates of pools that are gone and before which nobody stands any more.
    pub fn forget_unused(&self) {
        let mut by_pool = self.by_pool.write().unwrap_or_else(PoisonError::into_inner);
        by_pool.retain(|_, gate| Arc::strong_count(gate) > 1);
    }
}

impl Gate {
    /// A permit for the endpoint of this cell, unless `requests_max` are in flight.
    pub fn try_permit(self: &Arc<Self>, cell: &Arc<Cell>, requests_max: Option<u32>) -> Option<Permit> {
        match requests_max {
            None => {
                cell.in_flight.fetch_add(1, SeqCst);
            }
            Some(max) => {
                let more = |now: u32| (now < max).then_some(now + 1);
                cell.in_flight.fetch_update(SeqCst, SeqCst, more).ok()?;
            }
        }
        Some(Permit { cell: cell.clone(), gate: self.clone() })
    }

    /// Requests waiting now.
    pub fn length(&self) -> u32 {
        self.length.load(SeqCst)
    }

    /// Requests waiting now, by rank.
    pub fn waiting(&self) -> [usize; Priority::COUNT] {
        self.lock().waiting()
    }

    /// After how long somebody of this rank who is sent away may come again; `random` is any number.
    pub fn retry_after(&self, priority: Priority, random: u64) -> Duration {
        self.lock().retry_after(priority, now(), random)
    }

    /// Waits for a turn: ready when a permit was given back and it is his. The caller then tries again, with `take`; when
    /// that finds nothing the place is kept and the wait goes on. `left` is ready once nobody waits for this any more.
    pub async fn wait<T>(
        &self,
        wish: Wish,
        deadline: &Deadline,
        mut take: impl FnMut() -> Option<T>,
        mut left: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<T, QueueError> {
        let (settings, longer) = self.settings(wish.settings);
        let mut place = self.enter(Wish { settings, ..wish })?;
        deadline.set_in(wish.settings.wait_max + longer);
        // Someone may have given back a permit just before we stood in the queue: who is next looks at once.
        if self.lock().is_next(&place.turn)
            && let Some(taken) = take()
        {
            place.taken = true;
            return Ok(taken);
        }
        loop {
            let told = poll_fn(|context| match place.turn.poll_told(context) {
                Poll::Ready(Told::Called) => Poll::Ready(Ok(())),
                Poll::Ready(Told::Outranked) => Poll::Ready(Err(QueueError::Outranked)),
                Poll::Pending if left(context).is_ready() => Poll::Ready(Err(QueueError::Left)),
                Poll::Pending => deadline.poll_expired(context).map(|_| Err(QueueError::TimedOut)),
            });
            if let Err(error) = told.await {
                if error == QueueError::Left {
                    self.left.fetch_add(1, Relaxed);
                }
                if error == QueueError::TimedOut {
                    self.lock().pace.refused(now());
                }
                return Err(error);
            }
            if let Some(taken) = take() {
                place.taken = true;
                return Ok(taken);
            }
            if wish.is_particular {
                self.call(|lines| lines.behind(&place.turn));
            }
        }
    }

    /// From now on nobody is refused, or who must be.
    pub fn refuse_nobody(&self, so: bool) {
        // A load first: the line stays shared between the threads.
        if self.refuses_nobody.load(Relaxed) != so {
            self.refuses_nobody.store(so, Relaxed);
        }
    }

    /// Visitors who left while they waited here.
    pub fn left(&self) -> u64 {
        self.left.load(Relaxed)
    }

    /// By which somebody enters, and how much longer he may wait.
    fn settings(&self, usual: QueueSettings) -> (QueueSettings, Duration) {
        if !self.refuses_nobody.load(Relaxed) {
            return (usual, Duration::ZERO);
        }
        let held = QueueSettings { length_max: usual.length_max.max(HELD_MAX), wait_max: HELD_FOR };
        (held, HELD_LONGER)
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, wish: Wish) -> Result<Place<'_>, QueueError> {
        let turn = Arc::new(Turn::new(wish.priority, wish.is_particular));
        let mut lines = self.lock();
        let outranked = lines.enter(turn.clone(), wish.settings, now())?;
        self.length.store(lines.length(), SeqCst);
        drop(lines);
        if let Some(outranked) = outranked {
            outranked.tell(Told::Outranked);
        }
        Ok(Place { gate: self, turn, taken: false })
    }

    /// He stands there no more. There may be room for the next one too; and a call that he got and did not use must not be
    /// lost.
    pub(crate) fn leave(&self, turn: &Arc<Turn>, taken: bool) {
        let mut lines = self.lock();
        lines.leave(turn, taken);
        self.length.store(lines.length(), SeqCst);
        drop(lines);
        self.call_first();
    }

    /// Whether who is next is on another thread than this one.
    fn first_is_elsewhere(&self) -> bool {
        self.length() > 0 && self.lock().next().is_some_and(|next| next.thread != std::thread::current().id())
    }

    /// A connection to the endpoint of this slot that another thread has given away, and that does for this need. One that does not
    /// leaves its port to the one that is made instead.
    pub fn given(&self, slot: u32, need: Need) -> Option<Box<Connection>> {
        loop {
            let connection = self.parking.take(slot)?;
            if connection.does_for(need, now_for(need)) {
                return Some(Box::new(connection));
            }
            connection.frees_port();
        }
    }

    /// Whether there is one to that endpoint.
    pub fn is_given(&self, slot: u32) -> bool {
        self.parking.has(slot)
    }

    /// Gives an idle connection to whoever waits first, on another thread; it comes back when that cannot be.
    pub fn give(&self, connection: Box<Connection>) -> Result<(), Box<Connection>> {
        self.parking.put(*connection).map_err(Box::new)?;
        self.call_first();
        Ok(())
    }

    /// More wait than connections are on their way to them.
    pub fn wants_more(&self) -> bool {
        self.length() as usize > self.parking.count()
    }

    /// Until it is dropped, a request waits for a kept connection because there is no port for a new one.
    pub fn short_of_ports(&self) -> impl Drop + use<'_> {
        self.short_of_ports.fetch_add(1, SeqCst);
        Short(&self.short_of_ports)
    }

    /// Whether any does.
    pub fn is_short_of_ports(&self) -> bool {
        self.short_of_ports.load(SeqCst) > 0
    }

    /// Whether one of them may look whether there is a port again: one in a second, because looking through ports that are all taken
    /// costs the kernel time.
    pub fn may_try_port(&self, now: Instant) -> bool {
        let now_ms = now.as_micros() / 1_000;
        let is_time = |last: u64| (now_ms.saturating_sub(last) >= 1_000).then_some(now_ms);
        self.port_tried.fetch_update(SeqCst, SeqCst, is_time).is_ok()
    }

    /// What was given and is no longer wanted, from now on this thread's.
    pub fn left_over(&self) -> Option<Box<Connection>> {
        if self.length() > 0 {
            return None;
        }
        self.parking.take_any().map(Box::new)
    }

    /// Calls who is next. Stays cheap while nobody waits.
    pub fn call_first(&self) {
        if self.length() > 0 {
            self.call(Lines::next);
        }
    }

    /// A request is finished.
    fn gave_back(&self) {
        if self.length() > 0 {
            self.call(|lines| {
                lines.pace.finished(now());
                lines.next()
            });
        }
    }

    fn call(&self, whom: impl FnOnce(&mut Lines) -> Option<Arc<Turn>>) {
        // Not while the queue is locked: the call wakes a task, maybe of another thread.
        let turn = whom(&mut self.lock());
        if let Some(turn) = turn {
            turn.tell(Told::Called);
        }
    }
}

/// The time on the process's clock.
fn now() -> Duration {
    Duration::from_micros(clock::coarse().as_micros())
}

impl Permit {
    /// Gives a connection after a whole exchange to whoever waits for it on another thread. It comes back when nobody does,
    /// or when he may open one himself; `None` also when it cannot serve again.
    pub fn pass_on(&self, mut connection: Box<Connection>) -> Option<Box<Connection>> {
        if !connection.becomes_idle() {
            return None;
        }
        if !(connection.is_last() || self.gate.is_short_of_ports()) || !self.gate.first_is_elsewhere() {
            return Some(connection);
        }
        // The permit, given back after this, calls him.
        self.gate.parking.put(*connection).err().map(Box::new)
    }
}

struct Short<'a>(&'a AtomicU32);

impl Drop for Short<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.cell.in_flight.fetch_sub(1, SeqCst);
        self.gate.gave_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tentpole_runtime::{Cells, clock, deadline};

    fn wish(length_max: u32) -> Wish {
        ranked(length_max, Priority::Normal)
    }

    fn ranked(length_max: u32, priority: Priority) -> Wish {
        let settings = QueueSettings { length_max, wait_max: Duration::from_secs(5) };
        Wish { settings, priority, is_particular: false }
    }

    fn stays(_: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    #[test]
    fn a_permit_counts_while_it_lives() {
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let first = gate.try_permit(&cell, Some(1)).unwrap();
        assert!(gate.try_permit(&cell, Some(1)).is_none());
        drop(first);
        assert!(gate.try_permit(&cell, Some(1)).is_some());
        assert_eq!(cell.in_flight.load(SeqCst), 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn those_who_wait_are_served_in_order() {
        clock::renew();
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let held = gate.try_permit(&cell, Some(1)).unwrap();
        let order = std::cell::RefCell::new(Vec::new());
        let waiter = |number: u32| {
            let (cell, gate, order) = (&cell, &gate, &order);
            async move {
                let deadline = Deadline::new();
                let take = || gate.try_permit(cell, Some(1));
                let permit = gate.wait(wish(10), &deadline, take, stays).await.unwrap();
                order.borrow_mut().push(number);
                tokio::task::yield_now().await;
                drop(permit);
            }
        };
        tokio::join!(waiter(1), waiter(2), waiter(3), async { drop(held) });
        assert_eq!(*order.borrow(), [1, 2, 3]);
        assert_eq!((cell.in_flight.load(SeqCst), gate.length()), (0, 0));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_full_queue_refuses_and_a_long_wait_ends() {
        clock::renew();
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let _held = gate.try_permit(&cell, Some(1)).unwrap();
        let take = || gate.try_permit(&cell, Some(1));
        let (first, second) = (Deadline::new(), Deadline::new());
        let (waited, refused, ()) = tokio::join!(
            gate.wait(wish(1), &first, take, stays),
            gate.wait(wish(1), &second, take, stays),
            async { deadline::sweep(clock::now().after(Duration::from_secs(6))) }
        );
        assert_eq!(waited.unwrap_err(), QueueError::TimedOut);
        assert_eq!(refused.unwrap_err(), QueueError::Full);
        assert_eq!(gate.length(), 0);
    }

    /// Waits and notes its number when its turn has come; gives the permit back at once.
    async fn waits(
        gate: &Arc<Gate>,
        cell: &Arc<Cell>,
        wish: Wish,
        number: u32,
        order: &std::cell::RefCell<Vec<u32>>,
    ) -> Option<QueueError> {
        let deadline = Deadline::new();
        match gate.wait(wish, &deadline, || gate.try_permit(cell, Some(1)), stays).await {
            Ok(permit) => {
                order.borrow_mut().push(number);
                tokio::task::yield_now().await;
                drop(permit);
                None
            }
            Err(error) => Some(error),
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn better_ranks_come_first_and_each_rank_in_order() {
        clock::renew();
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let held = gate.try_permit(&cell, Some(1)).unwrap();
        let order = std::cell::RefCell::default();
        let one = |number, priority| waits(&gate, &cell, ranked(10, priority), number, &order);
        tokio::join!(
            one(1, Priority::Crawler),
            one(2, Priority::Normal),
            one(3, Priority::Checkout),
            one(4, Priority::Normal),
            one(5, Priority::Checkout),
            one(6, Priority::Staff),
            async { drop(held) }
        );
        assert_eq!(*order.borrow(), [6, 3, 5, 2, 4, 1]);
        assert_eq!((cell.in_flight.load(SeqCst), gate.length()), (0, 0));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_better_one_takes_the_place_of_the_youngest_of_the_worst() {
        clock::renew();
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let held = gate.try_permit(&cell, Some(1)).unwrap();
        let order = std::cell::RefCell::default();
        let one = |number, priority| waits(&gate, &cell, ranked(3, priority), number, &order);
        let (_, older, younger, _, refused, ()) = tokio::join!(
            one(1, Priority::Returning),
            one(2, Priority::Normal),
            one(3, Priority::Normal),
            one(4, Priority::Checkout),
            one(5, Priority::Normal),
            async { drop(held) }
        );
        assert_eq!((older, younger), (None, Some(QueueError::Outranked)));
        assert_eq!(refused, Some(QueueError::Full), "nobody there is worth less");
        assert_eq!(*order.borrow(), [4, 1, 2]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn who_leaves_the_queue_is_gone_at_once_and_the_next_one_is_called() {
        clock::renew();
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let held = gate.try_permit(&cell, Some(1)).unwrap();
        let order = std::cell::RefCell::default();
        let (goes, gone) = tokio::sync::oneshot::channel::<()>();
        let mut gone = std::pin::pin!(gone);
        let deadline = Deadline::new();
        let take = || gate.try_permit(&cell, Some(1));
        let leaves = gate.wait(wish(10), &deadline, take, |context| gone.as_mut().poll(context).map(drop));
        let (left, stayed, ()) = tokio::join!(leaves, waits(&gate, &cell, wish(10), 2, &order), async {
            assert_eq!(gate.length(), 2);
            goes.send(()).unwrap();
            while gate.length() > 1 {
                tokio::task::yield_now().await;
            }
            drop(held);
        });
        assert_eq!((left.unwrap_err(), stayed), (QueueError::Left, None));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn one_for_whom_what_is_free_does_not_do_keeps_nobody_behind_him_waiting() {
        clock::renew();
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let held = gate.try_permit(&cell, Some(1)).unwrap();
        let order = std::cell::RefCell::default();
        let deadline = Deadline::new();
        // He has tried this endpoint, and there is no other.
        let particular = Wish { is_particular: true, ..wish(10) };
        let never = gate.wait(particular, &deadline, || None::<Permit>, stays);
        let behind = async {
            assert_eq!(waits(&gate, &cell, wish(10), 2, &order).await, None);
            deadline::sweep(clock::now().after(Duration::from_secs(6)));
        };
        let (waited, (), ()) = tokio::join!(never, behind, async { drop(held) });
        assert_eq!(waited.unwrap_err(), QueueError::TimedOut);
        assert_eq!(*order.borrow(), [2]);
    }

    #[test]
    fn many_threads_never_exceed_the_limit_and_nobody_is_forgotten() {
        let (cells, gates) = (Cells::new(), Gates::default());
        let (cell, gate) = (cells.of("app", "a:1"), gates.of("app"));
        let served = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                    runtime.block_on(async {
                        clock::renew();
                        let deadline = Deadline::new();
                        for _ in 0..2_000 {
                            let take = || gate.try_permit(&cell, Some(2));
                            let permit = match gate.length() {
                                0 => take(),
                                _ => None,
                            };
                            let permit = match permit {
                                Some(permit) => permit,
                                None => gate.wait(wish(10), &deadline, take, stays).await.unwrap(),
                            };
                            assert!(cell.in_flight.load(SeqCst) <= 2);
                            drop(permit);
                            served.fetch_add(1, SeqCst);
                        }
                    });
                });
            }
        });
        assert_eq!(served.load(SeqCst), 8_000);
        assert_eq!((cell.in_flight.load(SeqCst), gate.length()), (0, 0));
    }
}
