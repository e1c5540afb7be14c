//! What a connection tells of its endpoint's patience: how long it stood idle, and whether it was open then. Decides
//! nothing: what follows from it is `decide/idle`.

use crate::connection::Connection;
use crate::idle::now_for;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_idle::{Lately, Limit, Need};
use tentpole_runtime::Cell;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::SWEEP_EVERY;

/// The endpoint is done with a request when it has written the answer, we when the visitor has taken it. Where these lie
/// further apart, how long it has waited is not known, and a closed connection tells nothing.
const UNKNOWN_MAX: Duration = Duration::from_millis(50);

/// Turns of a thread's loop follow each other as often as its deadlines are swept, at least. Where they do not it was held
/// up, by the machine or by work, and what it finds then may have come long ago.
const HELD_UP: Duration = Duration::from_micros(SWEEP_EVERY.as_micros() as u64 * 3 / 2);

/// When a connection was last used and looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Watch {
    /// The head of the last response came: not earlier the endpoint began to wait.
    answered: Instant,
    /// It was put aside: not later.
    idle_since: Instant,
    /// It was last seen open.
    open_at: Instant,
    /// The idle time that was last told.
    told: Duration,
}

impl Watch {
    /// The connection is put aside.
    pub(crate) fn rest(&mut self, now: Instant) {
        self.idle_since = now;
        self.open_at = now;
        self.told = Duration::ZERO;
    }

    /// The last of many requests on the connection is over.
    pub(crate) fn begin_idle(&mut self, now: Instant) {
        self.answered = came_after(now);
        self.rest(now);
    }

    /// A connection that carries many requests is open still, without one: tells that.
    pub(crate) fn survived(&mut self, cell: &Cell, now: Instant) {
        // Nobody has looked since the turn began.
        let now = clock::turn().unwrap_or(now).min(now);
        self.open_at = self.open_at.max(now);
        let idle = self.idle(now);
        if self.is_news(idle, limit(cell)) {
            self.told = idle;
            learn(cell, |known| known.survived(idle));
        }
    }

    /// It was closed while it had none: tells that.
    pub(crate) fn was_closed(&self, cell: &Cell) {
        learn_closed(cell, self.open_at.since(self.idle_since));
    }

    /// For how long nothing was asked: the endpoint has waited at least as long.
    pub(crate) fn idle(&self, now: Instant) -> Duration {
        now.since(self.idle_since)
    }

    /// The longest that it may have waited.
    pub(crate) fn idle_at_most(&self, now: Instant) -> Duration {
        now.since(self.answered)
    }

    /// Whether this idle time is worth telling: it grew by an eighth; doubled, where it contradicts what is known.
    fn is_news(&self, idle: Duration, known: Limit) -> bool {
        let contradicts = known.closed().is_some_and(|closed| idle > closed);
        let step = if contradicts { self.told } else { self.told / 8 };
        idle >= Duration::from_millis(1) && idle >= self.told + step
    }
}

/// Not later than this came what a thread finds now.
fn came_after(now: Instant) -> Instant {
    clock::turn_before().filter(|before| now.since(*before) > HELD_UP).unwrap_or(now)
}

/// What is known of the endpoint.
pub(crate) fn limit(cell: &Cell) -> Limit {
    Limit::from_bits(cell.idle.load(Relaxed))
}

/// A connection that was idle for less may be used for this; `None` is no limit.
pub(crate) fn usable_below(cell: &Cell, need: Need, now: Instant) -> Option<Duration> {
    let lately = || Lately::from_bits(cell.idle_lately.load(Relaxed)).earliest(since_start(now));
    let earliest = if need == Need::Fresh { lately() } else { None };
    limit(cell).usable_below_lately(need, earliest)
}

/// One was found closed that had been open after so long idle.
fn learn_closed(cell: &Cell, idle: Duration) {
    learn(cell, |known| known.closed_after(idle));
    let now = since_start(clock::coarse());
    let learned = |bits| {
        let after = Lately::from_bits(bits).closed_after(idle, now).bits();
        (after != bits).then_some(after)
    };
    let _ = cell.idle_lately.fetch_update(Relaxed, Relaxed, learned);
}

fn since_start(now: Instant) -> Duration {
    Duration::from_micros(now.as_micros())
}

fn learn(cell: &Cell, seen: impl Fn(Limit) -> Limit) {
    let learned = |bits| {
        let after = seen(Limit::from_bits(bits)).bits();
        // Nothing new is not written: the line stays shared between the threads.
        (after != bits).then_some(after)
    };
    // Refused only when there is nothing new.
    let _ = cell.idle.fetch_update(Relaxed, Relaxed, learned);
}

impl Connection {
    /// A response's head came; `keep_alive` is its field of that name.
    pub fn answered(&mut self, now: Instant, keep_alive: Option<&[u8]>) {
        self.watch.answered = came_after(now);
        if let Some(timeout) = keep_alive.and_then(tentpole_idle::announced) {
            learn(self.cell(), |known| known.announced(timeout));
        }
    }

    /// It was found closed, or died when it was used again.
    pub fn was_closed(&self) {
        let Watch { answered, idle_since, open_at, .. } = self.watch;
        if idle_since.since(answered) <= UNKNOWN_MAX {
            learn_closed(self.cell(), open_at.since(idle_since));
        }
    }

    /// After a whole exchange: it has served once more, and stands idle from now on. False when it has unread bytes.
    pub(crate) fn becomes_idle(&mut self) -> bool {
        self.rest();
        self.served = self.served.saturating_add(1);
        self.watch.rest(clock::coarse());
        self.filled().is_empty()
    }

    /// Whether it does for this need, by how long it has stood.
    pub(crate) fn does_for(&self, need: Need, now: Instant) -> bool {
        usable_below(self.cell(), need, now).is_none_or(|below| self.watch.idle_at_most(now) < below)
    }

    /// The same now; for what may not be sent twice the clock and the kernel are asked.
    pub fn is_fit(&self, need: Need) -> bool {
        self.does_for(need, now_for(need)) && (need == Need::Usable || self.is_quiet())
    }

    /// Looks whether an idle connection can be used, and tells what is seen.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        if !self.is_clean() {
            self.was_closed();
            return false;
        }
        // The reactor has not looked since the turn began.
        self.watch.open_at = self.watch.open_at.max(clock::turn().unwrap_or(now).min(now));
        let idle = self.watch.idle(now);
        let known = limit(self.cell());
        let teaches = || known.survived(idle) != known;
        // What is told of others must be true now: the kernel is asked after the clock was, and only where that is new.
        if self.watch.is_news(idle, known) && teaches() && self.is_quiet() {
            self.watch.open_at = now;
            self.watch.told = idle;
            learn(self.cell(), |known| known.survived(idle));
        }
        true
    }
}
