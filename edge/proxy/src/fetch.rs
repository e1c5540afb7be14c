//! The way of a request to an endpoint, in order:
//!
//! choose endpoint → acquire permit (queue) → connect or reuse → exchange → retry where that is safe
//!
//! What comes of it (append to the fill, commit or abort) is `fill.rs`; what a visitor sees of it is `deliver.rs`.
//! Never sends a request twice that may have had an effect.

use crate::exchange::{Exchange, NoResponse, Upload, exchange};
use crate::prepare::PreparedPool;
use crate::thread::{Thread, View, open_addresses};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use tentpole_balance::{Candidate, Latency};
use tentpole_message::ResponseHead;
use tentpole_model::{
    ATTEMPTS_MAX, Attempt, Balance, Cause, Endpoint, Failure, Member, Method, Outcome, Phase, Pool, PoolId,
    Refused, Retry, Side,
};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Deadline;
use tentpole_upstream::{Connection, Permit, QueueError, ResponseBody};

/// A request as it goes to an endpoint.
pub struct Outgoing<'a> {
    /// Its head, serialised.
    pub head: &'a [u8],
    /// Its method: says what may be sent twice.
    pub method: Method,
    /// Who answers.
    pub pool: PoolId,
    /// Whether it asks to change the protocol: only then may it be answered with 101.
    pub upgrades: bool,
}

/// Attempts of one request, in order.
pub type Attempts = [Option<Attempt>; ATTEMPTS_MAX];

/// An endpoint that was chosen, with the right to use it.
struct Chosen {
    index: usize,
    permit: Permit,
    queued_us: u32,
}

/// A pool as of one View.
struct Choice<'a> {
    pool: &'a Pool,
    prepared: &'a PreparedPool,
    members: &'a [Member],
    weights: &'a [u32],
}

/// Gets a response's head from one of the pool's endpoints. `response` holds it; the Exchange holds its body.
pub async fn fetch(
    thread: &Thread,
    view: Rc<View>,
    outgoing: &Outgoing<'_>,
    mut upload: Option<Upload<'_>>,
    response: &mut ResponseHead,
    attempts: &mut Attempts,
    deadline: &Deadline,
) -> Result<Box<Exchange>, NoResponse> {
    let mut view = view;
    let mut tried = 0u64;
    let mut fresh = false;
    let mut number = 0;
    loop {
        let chosen = choose(thread, &mut view, outgoing.pool, tried, deadline).await?;
        let choice = Choice::of(&view, outgoing.pool);
        let mut attempt = Attempt::new(choice.prepared.cells[chosen.index].slot, chosen.queued_us);
        let (index, began) = (chosen.index, clock::coarse());
        let tried_now = attempt_once(
            thread,
            &choice,
            chosen,
            outgoing,
            upload.as_mut(),
            response,
            &mut attempt,
            fresh,
            deadline,
        );
        let outcome = tried_now.await;
        attempt.outcome = match &outcome {
            Ok(_) => Outcome::Status(response.status),
            Err(NoResponse::Failed(failure)) => Outcome::Failed(*failure),
            Err(NoResponse::Refused(_)) => Outcome::Status(0),
        };
        let body_untouched = upload.as_ref().is_none_or(|upload| upload.body.bytes_seen == 0);
        // A visitor who sends slowly makes no endpoint slow.
        if body_untouched {
            choice.learn_latency(index, &attempt, began);
        }
        attempts[number] = Some(attempt);
        number += 1;
        let failure = match outcome {
            Ok(exchange) => return Ok(exchange),
            Err(NoResponse::Failed(failure)) => failure,
            Err(refused) => return Err(refused),
        };
        let again = number < ATTEMPTS_MAX && may_retry(&failure, outgoing.method, body_untouched);
        if !again {
            return Err(NoResponse::Failed(failure));
        }
        // Endpoints may have come and gone during the attempt.
        view = thread.newer(&view);
        if attempt.connection_reused {
            // A kept connection died: that says nothing about its endpoint. The next one is a new one.
            fresh = true;
        } else {
            tried |= 1u64 << (index % 64);
            if !Choice::of(&view, outgoing.pool).has_untried(tried) {
                return Err(NoResponse::Failed(failure));
            }
        }
    }
}

/// Whether the request may be sent again after this failure (RFC 9110 section 9.2.2).
fn may_retry(failure: &Failure, method: Method, body_untouched: bool) -> bool {
    match failure.retry {
        Retry::Unsent => body_untouched,
        // Not after a time-out: the endpoint is slow, and a second copy would make it slower.
        Retry::IfSafe => method.is_safe() && body_untouched && failure.source != Cause::TimedOut,
        Retry::Never => false,
    }
}

#[allow(clippy::too_many_arguments, reason = "one call site; a struct for it would only rename them")]
async fn attempt_once(
    thread: &Thread,
    choice: &Choice<'_>,
    chosen: Chosen,
    outgoing: &Outgoing<'_>,
    upload: Option<&mut Upload<'_>>,
    response: &mut ResponseHead,
    attempt: &mut Attempt,
    fresh: bool,
    deadline: &Deadline,
) -> Result<Box<Exchange>, NoResponse> {
    let cell = &choice.prepared.cells[chosen.index];
    let timeouts = choice.pool.timeouts;
    cell.requests.fetch_add(1, Relaxed);
    let outcome = async {
        let reusable = if fresh { None } else { thread.idle.take(cell.slot) };
        attempt.connection_reused = reusable.is_some();
        let began = clock::coarse();
        let mut connection = match reusable {
            Some(connection) => connection,
            None => {
                let addresses = &choice.members[chosen.index].addresses;
                Connection::dial(cell, addresses, timeouts.connect, deadline)
                    .await
                    .map_err(NoResponse::Failed)?
            }
        };
        let sent = clock::coarse();
        attempt.connect_us = micros(began, sent);
        let upload =
            upload.map(|Upload { visitor, body, interim }| Upload { visitor, body, interim: *interim });
        // It may have been drained, or replaced, while we dialed: then this is the last request to it.
        let leaves = !thread.keeps(outgoing.pool, chosen.index, &connection);
        let head = if leaves { without_return(outgoing) } else { Cow::Borrowed(outgoing.head) };
        let store = choice.prepared.store.as_ref();
        let head = match store {
            Some(store) => {
                let (endpoint, own) = (&choice.pool.endpoints[chosen.index], choice.prepared.send.lines());
                Cow::Owned(store.write_head(&head, outgoing.method, endpoint, own, sent.unix_seconds())?)
            }
            None => head,
        };
        let sending = exchange(&mut connection, &head, upload, response, &timeouts, deadline).await?;
        attempt.first_byte_us = micros(sent, clock::coarse());
        if response.status == 101 && !outgoing.upgrades {
            // Nobody asked (RFC 9110 section 15.2.2): no visitor may be told that his connection changed.
            let unasked = Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed);
            return Err(NoResponse::Failed(unasked));
        }
        let body = ResponseBody::of(response, outgoing.method).map_err(NoResponse::Failed)?;
        let keeps_alive = Exchange::keeps_alive(response, &body, outgoing.method);
        let endpoint = (outgoing.pool, chosen.index);
        let permit = chosen.permit;
        let mut exchange = Exchange {
            connection,
            endpoint,
            body,
            content: None,
            _permit: permit,
            keeps_alive,
            sending,
            timeouts,
        };
        if let Some(store) = store {
            store.understand(response, &mut exchange);
        }
        Ok(Box::new(exchange))
    }
    .await;
    match &outcome {
        Ok(_) => cell.succeeded(response.status),
        // A visitor's failure is not the endpoint's, and neither is a kept connection that died.
        Err(NoResponse::Failed(failure))
            if failure.side == Side::Upstream && !(attempt.connection_reused && died_unused(failure)) =>
        {
            cell.failed();
        }
        Err(_) => {}
    }
    outcome
}

/// The request's head, with the wish to close the connection after it (RFC 9112 section 9.6). Upgrades stay as they
/// are: what they make of the connection ends it.
fn without_return<'a>(outgoing: &Outgoing<'a>) -> Cow<'a, [u8]> {
    match outgoing.head.strip_suffix(b"\r\n") {
        Some(fields) if !outgoing.upgrades => Cow::Owned([fields, b"Connection: close\r\n\r\n"].concat()),
        _ => Cow::Borrowed(outgoing.head),
    }
}

/// Whether this is what a kept connection shows that the endpoint had closed: silence and bad answers are not.
fn died_unused(failure: &Failure) -> bool {
    matches!(failure.phase, Phase::SendHead | Phase::SendBody | Phase::FirstByte)
        && failure.source != Cause::TimedOut
}

/// Chooses an endpoint and gets a permit for it; waits in the pool's queue when all are at their limit.
/// `view` becomes the one that the endpoint was chosen by.
async fn choose(
    thread: &Thread,
    view: &mut Rc<View>,
    pool: PoolId,
    tried: u64,
    deadline: &Deadline,
) -> Result<Chosen, NoResponse> {
    let choice = Choice::of(view, pool);
    let gate = &choice.prepared.gate;
    if gate.length() == 0
        && let Some((index, permit)) = choice.try_take(thread, tried)
    {
        return Ok(Chosen { index, permit, queued_us: 0 });
    }
    if !choice.has_untried(tried) {
        let none = Failure::internal(Phase::Choose, Cause::NoEndpoint);
        return Err(NoResponse::Failed(none));
    }
    let began = clock::coarse();
    let take = || {
        // Who waits sees what comes meanwhile, and is not sent to what has gone.
        let now = thread.newer(view);
        let (index, permit) = Choice::of(&now, pool).try_take(thread, tried)?;
        Some((index, permit, now))
    };
    match gate.wait(choice.pool.queue, deadline, take).await {
        Ok((index, permit, now)) => {
            *view = now;
            Ok(Chosen { index, permit, queued_us: micros(began, clock::coarse()) })
        }
        Err(QueueError::Full) => Err(NoResponse::Refused(Refused::QueueFull)),
        Err(QueueError::TimedOut) => Err(NoResponse::Refused(Refused::QueueTimeout)),
    }
}

impl<'a> Choice<'a> {
    fn of(view: &'a View, pool: PoolId) -> Self {
        let at = usize::from(pool.0);
        let (members, weights) = (view.members(at), view.weights(at));
        Self { pool: &view.prepared.snapshot.pools[at], prepared: &view.prepared.pools[at], members, weights }
    }

    /// Takes an attempt into the endpoint's latency, where the pool is balanced by that.
    fn learn_latency(&self, index: usize, attempt: &Attempt, began: Instant) {
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
                _ => latency,
            };
            (learned != latency).then(|| learned.bits())
        };
        let _ = self.prepared.cells[index].latency.fetch_update(Relaxed, Relaxed, learn);
    }

    /// Whether the endpoint gets traffic at all.
    fn is_open(&self, index: usize) -> bool {
        !open_addresses(self.members, self.weights, index).is_empty()
    }

    fn has_untried(&self, tried: u64) -> bool {
        (0..self.pool.endpoints.len()).any(|index| tried & (1 << (index % 64)) == 0 && self.is_open(index))
    }

    fn candidate(&self, thread: &Thread, index: usize) -> Candidate {
        let (cell, endpoint) = (&self.prepared.cells[index], &self.pool.endpoints[index]);
        let in_flight = cell.in_flight.load(Relaxed);
        let room = endpoint.requests_max.is_none_or(|max| in_flight < max);
        let usable = self.is_open(index) && room && may_connect(thread, cell, endpoint);
        Candidate { usable, weight: self.weights.get(index).copied().unwrap_or(0), in_flight }
    }

    fn try_take(&self, thread: &Thread, tried: u64) -> Option<(usize, Permit)> {
        let count = self.pool.endpoints.len();
        // A few rounds: another thread may take the last permit between the look and the swap.
        for _ in 0..4 {
            let candidate = |index| self.candidate(thread, index);
            let index = match self.pool.balance {
                Balance::LeastRequests => {
                    let random = thread.random.borrow_mut().next_u64();
                    tentpole_balance::least_requests(count, candidate, tried, random)
                }
                Balance::RoundRobin => {
                    let turn = self.prepared.turn.fetch_add(1, Relaxed);
                    tentpole_balance::round_robin(count, candidate, tried, turn)
                }
                Balance::PeakEwma => {
                    let random = thread.random.borrow_mut().next_u64();
                    let latency =
                        |index: usize| Latency::from_bits(self.prepared.cells[index].latency.load(Relaxed));
                    let now_ms = clock::coarse().as_micros() / 1_000;
                    tentpole_balance::peak_ewma(count, candidate, latency, now_ms, tried, random)
                }
            }?;
            let (cell, limit) = (&self.prepared.cells[index], self.pool.endpoints[index].requests_max);
            if let Some(permit) = self.prepared.gate.try_permit(cell, limit) {
                return Some((index, permit));
            }
        }
        None
    }
}

/// Whether this thread has a connection to the endpoint or may make one.
fn may_connect(thread: &Thread, cell: &tentpole_runtime::Cell, endpoint: &Endpoint) -> bool {
    let below = endpoint.connections_max.is_none_or(|max| cell.open.load(Relaxed) < max);
    below || thread.idle.has(cell.slot)
}

fn micros(from: Instant, to: Instant) -> u32 {
    u32::try_from(to.since(from).as_micros()).unwrap_or(u32::MAX)
}
