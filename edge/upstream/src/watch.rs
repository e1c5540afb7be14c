//! What a connection tells of its endpoint's patience: how long it stood idle, and whether it was open then. Decides
//! nothing: what follows from it is `decide/idle`.

use crate::connection::Connection;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tentpole_idle::Limit;
use tentpole_runtime::Cell;
use tentpole_runtime::clock::Instant;

/// The endpoint is done with a request when it has written the answer, we when the visitor has taken it. Where these lie
/// further apart, how long it has waited is not known, and a closed connection tells nothing.
const UNKNOWN_MAX: Duration = Duration::from_millis(50);

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

/// What is known of the endpoint.
pub(crate) fn limit(cell: &Cell) -> Limit {
    Limit::from_bits(cell.idle.load(Relaxed))
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
        self.watch.answered = now;
        if let Some(timeout) = keep_alive.and_then(tentpole_idle::announced) {
            learn(self.cell(), |known| known.announced(timeout));
        }
    }

    /// It was found closed, or died when it was used again.
    pub fn was_closed(&self) {
        let Watch { answered, idle_since, open_at, .. } = self.watch;
        if idle_since.since(answered) <= UNKNOWN_MAX {
            learn(self.cell(), |known| known.closed_after(open_at.since(idle_since)));
        }
    }

    /// Looks whether an idle connection can be used, and tells what is seen.
    pub(crate) fn look(&mut self, now: Instant) -> bool {
        if !self.is_clean() {
            self.was_closed();
            return false;
        }
        self.watch.open_at = now;
        let idle = self.watch.idle(now);
        if self.watch.is_news(idle, limit(self.cell())) {
            self.watch.told = idle;
            learn(self.cell(), |known| known.survived(idle));
        }
        true
    }
}
