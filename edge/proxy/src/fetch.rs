//! The way of a request to an endpoint, in order:
//!
//! a file, where the pool has files → choose endpoint → acquire permit (queue) → connect or reuse → exchange → retry where that is safe
//!
//! What comes of it (append to the fill, commit or abort) is `fill.rs`; what a visitor sees of it is `deliver.rs`.
//! Never sends a request twice that may have had an effect.

use crate::again::Again;
use crate::attempt::{attempt_once, count, died_unused, has_body, need};
use crate::choose::{Choice, choose_now, wait};
use crate::exchange::{Exchange, NoResponse, Upload};
use crate::files;
use crate::hedge::{self, attempt_hedged};
use crate::line::Wanted;
use crate::local;
use crate::roster::Tried;
use crate::thread::{Thread, View};
use bytes::Bytes;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use tentpole_message::ResponseHead;
use tentpole_model::{ATTEMPTS_MAX, Attempt, Cause, Method, Outcome, PoolId, Priority};
use tentpole_retry::{Asked, pause};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Deadline;

/// Who leaves sooner says nothing about the endpoint.
const LEAVES_AFTER_US: u32 = 1_000_000;

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
    /// Its content, where that was held until its length was known.
    pub content: Option<&'a Bytes>,
    /// Whom it comes before where others wait.
    pub priority: Priority,
    /// Ready once nobody waits for its answer any more; asked while it waits for an endpoint.
    pub abandoned: Option<Abandoned<'a>>,
    /// The endpoint that the visitor comes back to, as his cookie names it (`sticky.rs`).
    pub stuck: Option<u64>,
}

/// Tells that nobody waits any more.
pub type Abandoned<'a> = &'a dyn Fn(&mut Context<'_>) -> Poll<()>;

/// Attempts of one request, in order.
pub type Attempts = [Option<Attempt>; ATTEMPTS_MAX];

/// Gets a response's head from one of the pool's endpoints. `response` holds it; the Exchange holds its body.
pub async fn fetch(
    thread: &Thread,
    view: Rc<View>,
    outgoing: &Outgoing<'_>,
    upload: Option<Upload<'_>>,
    response: &mut ResponseHead,
    attempts: &mut Attempts,
    deadline: &Deadline,
) -> Result<Box<Exchange>, NoResponse> {
    let exchange = fetch_once(thread, view.clone(), outgoing, upload, response, attempts, deadline).await?;
    if exchange.redirects_locally() {
        // In memory of its own: few scripts do that.
        let followed = local::follow(thread, view, outgoing, exchange, response, attempts, deadline);
        return Box::pin(followed).await;
    }
    Ok(exchange)
}

/// Whether nobody waits for the answer that has come.
async fn has_left(mut upload: Option<&mut Upload<'_>>, outgoing: &Outgoing<'_>) -> bool {
    poll_fn(|context| {
        let left = match (&mut upload, outgoing.abandoned) {
            (Some(upload), _) => upload.visitor.poll_left(context),
            (None, Some(abandoned)) => abandoned(context),
            (None, None) => Poll::Pending,
        };
        Poll::Ready(left.is_ready())
    })
    .await
}

/// The same for this path and no other.
pub(crate) async fn fetch_once(
    thread: &Thread,
    view: Rc<View>,
    outgoing: &Outgoing<'_>,
    mut upload: Option<Upload<'_>>,
    response: &mut ResponseHead,
    attempts: &mut Attempts,
    deadline: &Deadline,
) -> Result<Box<Exchange>, NoResponse> {
    let mut view = view;
    // Before an endpoint is chosen: what lies beneath the pool's root needs none.
    if let Some(files) = &view.prepared.pools[usize::from(outgoing.pool.0)].files {
        let answered =
            Box::pin(files::answer(thread, files, &view, outgoing, response, attempts, deadline)).await?;
        if let Some(exchange) = answered {
            return Ok(exchange);
        }
    }
    // Before an endpoint is chosen, too: nobody waits for a disk with a place at an endpoint.
    let script = match &view.prepared.pools[usize::from(outgoing.pool.0)].scripts {
        Some(scripts) => {
            let time = view.prepared.snapshot.pools[usize::from(outgoing.pool.0)].timeouts.first_byte;
            Some(Box::pin(scripts.find(&thread.shared.files, outgoing.head, time, deadline)).await?)
        }
        None => None,
    };
    // The structure stays; who serves there may change. (Of the thread's own: no counter that others write.)
    let pinned = view.clone();
    let structure = &pinned.prepared;
    let at = usize::from(outgoing.pool.0);
    let (pool, own) = (&structure.snapshot.pools[at], &structure.pools[at]);
    let again = Again::of(&pool.retrying, &own.gate);
    let mut tried = Tried::default();
    // A change of protocol needs a connection of its own.
    let http2 = pool.http2 && !outgoing.upgrades;
    let mut wanted =
        Wanted { need: need(outgoing.method, upload.as_ref()), http2, fresh: false, kept: false };
    let mut number = 0;
    // Since when there is no local port for it.
    let mut without_port: Option<Instant> = None;
    loop {
        let chosen = match choose_now(thread, &view, outgoing, (&tried, wanted)) {
            Some(chosen) => chosen,
            None => {
                let visitor = upload.as_mut().map(|upload| &mut *upload.visitor);
                // In memory of its own: most requests wait for nobody, and all would hold room for it.
                Box::pin(wait(thread, &mut view, outgoing, (&tried, wanted), visitor, deadline)).await?
            }
        };
        let choice = Choice::of(&view, outgoing.pool).running(script.as_ref());
        let mut attempt = Attempt::new(own.cells[chosen.index].slot, chosen.queued_us);
        attempt.detour = chosen.detour;
        let (index, began) = (chosen.index, clock::coarse());
        let hedges_after =
            hedge::after(&choice, outgoing, upload.as_ref()).filter(|_| again.has_attempts(number + 1));
        let attempt_of = (upload.as_mut(), &mut *response, &mut attempt);
        let (outcome, copy) = match hedges_after {
            None => {
                let (upload, response, attempt) = attempt_of;
                let with_body = has_body(upload.as_deref());
                let one =
                    attempt_once(thread, &choice, chosen, outgoing, upload, response, attempt, deadline);
                let outcome = one.await;
                count(&choice, index, with_body, &outcome, response.status, attempt);
                attempt.outcome = match &outcome {
                    Ok(_) => Outcome::Status(response.status),
                    Err(NoResponse::Failed(failure)) => Outcome::Failed(*failure),
                    Err(NoResponse::Refused(_)) => Outcome::Status(0),
                };
                (outcome, None)
            }
            Some(after) => {
                let (upload, response, attempt) = attempt_of;
                let (again, state) = ((&again, after), (tried, wanted));
                let both = attempt_hedged(
                    thread, &choice, chosen, outgoing, upload, response, attempt, again, state, deadline,
                );
                // In memory of its own: few pools hedge.
                Box::pin(both).await
            }
        };
        let is_held = outgoing.content.is_some();
        let whole = is_held || upload.as_ref().is_none_or(|upload| upload.body.bytes_seen == 0);
        // A visitor who sends slowly makes no endpoint slow.
        if whole {
            choice.learn_latency(index, &attempt, began);
        }
        // Asked only of who has waited for long: a look at his socket more, and not for every answer.
        if attempt.first_byte_us >= LEAVES_AFTER_US
            && whole
            && matches!(&outcome, Ok(exchange) if exchange.sending.is_none())
            && has_left(upload.as_mut(), outgoing).await
        {
            own.cells[index].left.fetch_add(1, Relaxed);
        }
        number += 1;
        attempts[number - 1] = Some(attempt);
        if let Some(copy) = copy {
            choice.learn_latency(copy.index, &copy.attempt, copy.began);
            tried.add(copy.index);
            number += 1;
            attempts[number - 1] = Some(copy.attempt);
        }
        let mut kept_died = false;
        let verdict = match &outcome {
            Ok(exchange) => {
                let asked =
                    Asked { method: outgoing.method, whole: whole && exchange.sending.is_none(), kept_died };
                // No status below is one after which a request is sent again.
                let may_be_told = response.status >= 400;
                let retry_after = may_be_told.then(|| response.fields.find(b"retry-after").next()).flatten();
                again.after_status(response.status, retry_after, asked, number)
            }
            Err(NoResponse::Failed(failure)) => {
                kept_died = attempt.connection_reused && died_unused(failure);
                let asked = Asked { method: outgoing.method, whole, kept_died };
                let after = tried.and(index);
                // Endpoints may have come and gone during the attempt.
                view = thread.newer(&view);
                let short_of_ports = failure.source == Cause::NoLocalPort;
                if short_of_ports {
                    // Others may be quicker again and again. Nothing was sent: beyond the first time that is no attempt, for as long
                    // as it may wait.
                    let again = without_port.is_some_and(|since| began.since(since) < pool.queue.wait_max);
                    number -= usize::from(again);
                    without_port.get_or_insert(began);
                }
                let elsewhere =
                    kept_died || short_of_ports || Choice::of(&view, outgoing.pool).has_untried(&after);
                again.after_failure(failure, asked, number, elsewhere)
            }
            Err(NoResponse::Refused(_)) => Err(None),
        };
        if let Err(not_again) = verdict {
            attempts[number - 1].iter_mut().for_each(|last| last.not_again = not_again);
            return outcome;
        }
        if kept_died {
            // That says nothing about its endpoint. The next one is a new one.
            wanted.fresh = true;
            continue;
        }
        tried.add(index);
        if let Ok(exchange) = outcome {
            exchange.discard(thread);
            view = thread.newer(&view);
        }
        if Choice::of(&view, outgoing.pool).has_untried(&tried) {
            continue;
        }
        tried = Tried::default();
        match attempt.outcome {
            // There is no port for a new connection to any of them: one that becomes idle will do.
            Outcome::Failed(_) => (wanted.kept, wanted.fresh) = (true, false),
            _ => {
                let random = thread.random.borrow_mut().next_u64();
                tokio::time::sleep(pause(number as u32 - 1, random)).await;
            }
        }
    }
}
