//! Which endpoint a request goes to, with the right to use it: chosen among those that get traffic and have room, or
//! waited for in the pool's queue. Never dials.

use crate::exchange::NoResponse;
use crate::fetch::Outgoing;
use crate::hashed;
use crate::limits::requests_max;
use crate::line::{Line, Wanted};
use crate::prepare::PreparedPool;
use crate::roster::{Roster, Tried};
use crate::thread::{Thread, View};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;
use tentpole_balance::{Candidate, Latency, ZoneLoad, stays_near};
use tentpole_fastcgi::Script;
use tentpole_listener::Visitor;
use tentpole_model::{
    Attempt, Balance, Cause, Detour, Failure, Member, Outcome, Phase, Pool, PoolId, Refused, Side,
};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Deadline;
use tentpole_upstream::{Permit, QueueError, Wish};

/// Where there was no port for a new connection, who waits for one that is open looks after this time whether there is one again.
const PORT_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// An endpoint that was chosen, with the right to use it.
pub(crate) struct Chosen {
    pub(crate) index: usize,
    pub(crate) permit: Permit,
    pub(crate) line: Line,
    pub(crate) queued_us: u32,
    /// It is another one than it should have been.
    pub(crate) detour: Option<Detour>,
}

/// A pool as of one View.
pub(crate) struct Choice<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) prepared: &'a PreparedPool,
    pub(crate) members: &'a [Member],
    /// What runs there, once that is known.
    pub(crate) script: Option<&'a Script>,
    weights: &'a [u32],
    roster: &'a Roster,
}

/// An endpoint that a request may go to, by its index in the pool.
pub(crate) type Listed = (usize, Candidate);

/// Chooses an endpoint that has room now, while nobody waits, and gets a permit for it.
pub(crate) fn choose_now(
    thread: &Thread,
    view: &View,
    outgoing: &Outgoing<'_>,
    (tried, wanted): (&Tried, Wanted),
) -> Option<Chosen> {
    let choice = Choice::of(view, outgoing.pool);
    if choice.prepared.gate.length() > 0 {
        return None;
    }
    choice.try_take(thread, tried, choice.key(outgoing.head), outgoing.stuck, wanted)
}

/// The same in the pool's queue, when all are at their limit. `view` becomes the one that the endpoint was chosen by.
pub(crate) async fn wait(
    thread: &Thread,
    view: &mut Rc<View>,
    outgoing: &Outgoing<'_>,
    (tried, wanted): (&Tried, Wanted),
    mut visitor: Option<&mut Visitor>,
    deadline: &Deadline,
) -> Result<Chosen, NoResponse> {
    let pool = outgoing.pool;
    let choice = Choice::of(view, pool);
    let (key, stuck) = (choice.key(outgoing.head), outgoing.stuck);
    let gate = choice.prepared.gate.clone();
    if !choice.has_untried(tried) {
        let none = Failure::internal(Phase::Choose, Cause::NoEndpoint);
        return Err(NoResponse::Failed(none));
    }
    let began = clock::coarse();
    let take = || {
        // Who waits sees what comes meanwhile, and is not sent to what has gone.
        let now = thread.newer(view);
        let choice = Choice::of(&now, pool);
        let chosen = choice.try_take(thread, tried, key, stuck, wanted).or_else(|| {
            let at = clock::coarse();
            let again = wanted.kept && at.since(began) >= PORT_AGAIN_AFTER && gate.may_try_port(at);
            again.then(|| choice.try_take(thread, tried, key, stuck, Wanted { kept: false, ..wanted }))?
        })?;
        Some((chosen, now))
    };
    // What stands idle on other threads may be what this waits for.
    let _short = wanted.kept.then(|| gate.short_of_ports());
    thread.asks_others(choice.pool, choice.prepared);
    // What has been tried, and what died under it, another request may use.
    let is_particular = !tried.is_empty() || wanted.fresh || wanted.kept;
    let wish = Wish { settings: choice.pool.queue, priority: outgoing.priority, is_particular };
    let left = |context: &mut Context<'_>| match (&mut visitor, outgoing.abandoned) {
        (Some(visitor), _) => visitor.poll_left(context),
        (None, Some(abandoned)) => abandoned(context),
        (None, None) => Poll::Pending,
    };
    match gate.wait(wish, deadline, take, left).await {
        Ok((chosen, now)) => {
            *view = now;
            Ok(Chosen { queued_us: micros(began, clock::coarse()), ..chosen })
        }
        Err(QueueError::Full) => Err(NoResponse::Refused(Refused::QueueFull)),
        Err(QueueError::TimedOut) => Err(NoResponse::Refused(Refused::QueueTimeout)),
        Err(QueueError::TooLong) => Err(NoResponse::Refused(Refused::QueueTooLong)),
        Err(QueueError::Outranked) => Err(NoResponse::Refused(Refused::Outranked)),
        Err(QueueError::Left) => Err(NoResponse::Failed(left_the_queue())),
    }
}

/// He is gone before an endpoint heard of him.
pub(crate) fn left_the_queue() -> Failure {
    Failure::visitor(Phase::Permit, Cause::Closed)
}

impl<'a> Choice<'a> {
    pub(crate) fn of(view: &'a View, pool: PoolId) -> Self {
        let at = usize::from(pool.0);
        Self {
            pool: &view.prepared.snapshot.pools[at],
            prepared: &view.prepared.pools[at],
            members: view.members(at),
            script: None,
            weights: view.weights(at),
            roster: &view.rosters[at],
        }
    }

    /// The same where this script runs.
    pub(crate) fn running(self, script: Option<&'a Script>) -> Self {
        Self { script, ..self }
    }

    /// Takes an attempt into the endpoint's latency, where the pool is balanced by that, and into the pool's, where that says
    /// when a second copy goes out.
    pub(crate) fn learn_latency(&self, index: usize, attempt: &Attempt, began: Instant) {
        if let Some(slowest) = &self.prepared.slowest {
            match attempt.outcome {
                Outcome::Status(100..) => slowest.took(attempt.first_byte_us),
                // It would have taken longer still.
                Outcome::GivenUp => slowest.took(micros(began, clock::coarse())),
                Outcome::Status(_) | Outcome::Failed(_) => {}
            }
        }
        if self.pool.balance != Balance::PeakEwma {
            return;
        }
        let now = clock::coarse();
        let learn = |bits| {
            let (latency, now_ms) = (Latency::from_bits(bits), now.as_micros() / 1_000);
            let learned = match attempt.outcome {
                Outcome::Status(100..=499) => latency.answered(attempt.first_byte_us, now_ms),
                Outcome::Status(500..) => latency.failed(attempt.first_byte_us, now_ms),
                Outcome::Failed(failure) if failure.side == Side::Upstream => {
                    latency.failed(micros(began, now), now_ms)
                }
                // It would have taken longer still.
                Outcome::GivenUp => latency.answered(micros(began, now), now_ms),
                _ => latency,
            };
            (learned != latency).then(|| learned.bits())
        };
        let _ = self.prepared.cells[index].latency.fetch_update(Relaxed, Relaxed, learn);
    }

    pub(crate) fn has_untried(&self, tried: &Tried) -> bool {
        self.roster.open().any(|index| !tried.has(index))
    }

    /// What says where the request goes, where the pool is balanced by that and the request has it.
    pub(crate) fn key(&self, head: &[u8]) -> Option<u64> {
        let hashes = self.pool.balance == Balance::ConsistentHash;
        hashes.then(|| hashed::key(head, &self.pool.hashing.by)).flatten()
    }

    /// The endpoint as it can be chosen; `None` when it has no room.
    fn candidate(&self, thread: &Thread, wanted: Wanted, index: usize) -> Option<Candidate> {
        let (cell, endpoint) = (&self.prepared.cells[index], &self.pool.endpoints[index]);
        let in_flight = cell.in_flight.load(Relaxed);
        let room = requests_max(self.pool, self.prepared, index).is_none_or(|max| in_flight < max);
        let weight = self.weights.get(index).copied().unwrap_or(0);
        let may_be = || wanted.may_be(thread, &self.prepared.gate, cell, endpoint);
        (room && may_be()).then_some(Candidate { usable: true, weight, in_flight })
    }

    /// Lists whom the request may go to now: of one tier, and of one zone where near ones come first. Empty when all
    /// that are left are at their limit.
    fn list(&self, thread: &Thread, (tried, wanted): (&Tried, Wanted), random: u64, list: &mut Vec<Listed>) {
        list.clear();
        let mut any_untried = false;
        for (tier, is_reserve) in self.roster.in_order(random) {
            if is_reserve && any_untried {
                // Those at their limit are not away: they are waited for.
                return;
            }
            for index in tier.iter().map(|&index| usize::from(index)).filter(|&index| !tried.has(index)) {
                any_untried = true;
                list.extend(self.candidate(thread, wanted, index).map(|candidate| (index, candidate)));
            }
            if !list.is_empty() {
                self.keep_zone(list);
                return;
            }
        }
    }

    /// Leaves the near ones or the others, where that counts.
    fn keep_zone(&self, list: &mut Vec<Listed>) {
        let Some(is_near) = &self.prepared.near else { return };
        let (mut near, mut others) = (ZoneLoad::default(), ZoneLoad::default());
        for &(index, Candidate { weight, in_flight, .. }) in list.iter() {
            let of = if is_near[index] { &mut near } else { &mut others };
            of.add(weight, in_flight, requests_max(self.pool, self.prepared, index));
        }
        let stays = stays_near(&near, &others);
        list.retain(|(index, _)| is_near[*index] == stays);
    }

    /// One of the list, by its place there.
    fn pick(&self, list: &[Listed], key: Option<u64>, random: u64) -> Option<usize> {
        let (len, candidate) = (list.len(), |at: usize| list[at].1);
        match (self.pool.balance, key) {
            (Balance::ConsistentHash, Some(key)) => {
                let name = |at: usize| self.prepared.names[list[at].0];
                let load_percent = self.pool.hashing.load_percent;
                tentpole_balance::consistent_hash(len, candidate, name, key, load_percent)
            }
            (Balance::LeastRequests | Balance::ConsistentHash, _) => {
                tentpole_balance::least_requests(len, candidate, random)
            }
            (Balance::RoundRobin, _) => {
                let turn = self.prepared.turn.fetch_add(1, Relaxed);
                tentpole_balance::round_robin(len, candidate, turn)
            }
            (Balance::PeakEwma, _) => {
                let latency =
                    |at: usize| Latency::from_bits(self.prepared.cells[list[at].0].latency.load(Relaxed));
                let now_ms = clock::coarse().as_micros() / 1_000;
                tentpole_balance::peak_ewma(len, candidate, latency, now_ms, random)
            }
        }
    }

    /// An endpoint that has room now, with what is needed to use it.
    pub(crate) fn try_take(
        &self,
        thread: &Thread,
        tried: &Tried,
        key: Option<u64>,
        stuck: Option<u64>,
        wanted: Wanted,
    ) -> Option<Chosen> {
        let past_own = match self.try_stuck(thread, tried, stuck, wanted) {
            Ok(own) => return Some(own),
            Err(why) => why,
        };
        if let Some(index) = self.roster.only().filter(|&index| !tried.has(index)) {
            // There is nothing to draw.
            self.candidate(thread, wanted, index)?;
            let chosen = self.try_one(thread, index, wanted)?;
            return Some(Chosen { detour: past_own.or_else(|| self.out_of_zone(index)), ..chosen });
        }
        let mut list = thread.choices.borrow_mut();
        // A few rounds: another thread may take the last permit between the look and the swap.
        for _ in 0..4 {
            let random = thread.random.borrow_mut().next_u64();
            self.list(thread, (tried, wanted), random, &mut list);
            // Another number, or the second draw would follow from the first.
            let random = thread.random.borrow_mut().next_u64();
            let index = list[self.pick(&list, key, random)?].0;
            if let Some(chosen) = self.try_one(thread, index, wanted) {
                return Some(Chosen { detour: past_own.or_else(|| self.out_of_zone(index)), ..chosen });
            }
        }
        None
    }

    /// Why it is another endpoint than one near by.
    fn out_of_zone(&self, index: usize) -> Option<Detour> {
        let is_far = self.prepared.near.as_ref().is_some_and(|is_near| !is_near[index]);
        is_far.then_some(Detour::OtherZone)
    }

    /// The endpoint that the visitor comes back to, while it gets traffic and has room; else why it is not that, if there is one.
    fn try_stuck(
        &self,
        thread: &Thread,
        tried: &Tried,
        stuck: Option<u64>,
        wanted: Wanted,
    ) -> Result<Chosen, Option<Detour>> {
        let (Some(sticky), Some(stuck)) = (&self.prepared.sticky, stuck) else { return Err(None) };
        let there = |index: &usize| !tried.has(*index) && self.roster.has(*index);
        let index = sticky.place_of(stuck).filter(there).ok_or(Some(Detour::StickyGone))?;
        let has_room = self.candidate(thread, wanted, index).is_some();
        let own = if has_room { self.try_one(thread, index, wanted) } else { None };
        own.ok_or(Some(Detour::StickyFull))
    }

    fn try_one(&self, thread: &Thread, index: usize, wanted: Wanted) -> Option<Chosen> {
        let (cell, endpoint) = (&self.prepared.cells[index], &self.pool.endpoints[index]);
        let gate = &self.prepared.gate;
        // The line first: a permit that is given back calls who waits, and that may be this request.
        let line = wanted.take(thread, gate, cell, endpoint)?;
        match gate.try_permit(cell, requests_max(self.pool, self.prepared, index)) {
            Some(permit) => Some(Chosen { index, permit, line, queued_us: 0, detour: None }),
            None => {
                line.put_back(thread, self.pool.timeouts.idle);
                None
            }
        }
    }
}

/// The time between, in microseconds.
pub(crate) fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.since(from).as_micros()).unwrap_or(u32::MAX)
}
