//! A second copy of a safe request to another endpoint, when the first has not been answered after a time: the first answer is
//! used, the other attempt ends with its connection. Paid from the budget of retries; never with a body, never to
//! the same endpoint, never waiting in the queue (Dean and Barroso, "The Tail at Scale", 2013).

use crate::again::Again;
use crate::attempt::attempt_counted;
use crate::choose::{Choice, Chosen};
use crate::exchange::{Exchange, NoResponse, Upload};
use crate::fetch::Outgoing;
use crate::line::Wanted;
use crate::roster::Tried;
use crate::thread::Thread;
use std::pin::pin;
use std::time::Duration;
use tentpole_http1::Framing;
use tentpole_message::ResponseHead;
use tentpole_model::{Attempt, Detour, Hedge, Outcome};
use tentpole_retry::{Slowest, may_hedge};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Deadline;

/// What an attempt came to; `None` while it is under way.
type Came = Option<Result<Box<Exchange>, NoResponse>>;

/// The second copy.
pub(crate) struct Copy {
    /// Where it went.
    pub(crate) index: usize,
    pub(crate) began: Instant,
    pub(crate) attempt: Attempt,
}

/// After what time a copy of this request goes out, if at all.
pub(crate) fn after(
    choice: &Choice<'_>,
    outgoing: &Outgoing<'_>,
    upload: Option<&Upload<'_>>,
) -> Option<Duration> {
    let retrying = &choice.pool.retrying;
    let after = match retrying.hedge {
        Hedge::Off => return None,
        Hedge::After(after) => after,
        Hedge::Slowest(_) => {
            let bound = choice.prepared.slowest.as_ref().and_then(Slowest::bound_us)?;
            Duration::from_micros(bound.into())
        }
    };
    let has_body =
        outgoing.content.is_some() || upload.is_some_and(|upload| upload.body.framing != Framing::None);
    let may = !has_body && !outgoing.upgrades && may_hedge(retrying.methods, outgoing.method);
    may.then_some(after)
}

/// Makes the attempt, and a second one elsewhere when it is not answered after this time. The outcomes of both
/// are noted; the one that was answered first, or the first one where none was, is returned.
#[allow(clippy::too_many_arguments, reason = "one call site; a struct for it would only rename them")]
pub(crate) async fn attempt_hedged(
    thread: &Thread,
    choice: &Choice<'_>,
    chosen: Chosen,
    outgoing: &Outgoing<'_>,
    upload: Option<&mut Upload<'_>>,
    response: &mut ResponseHead,
    attempt: &mut Attempt,
    (again, after): (&Again<'_>, Duration),
    (tried, wanted): (Tried, Wanted),
    deadline: &Deadline,
) -> (Result<Box<Exchange>, NoResponse>, Option<Copy>) {
    let mut other_response = ResponseHead::default();
    let other_deadline = Deadline::new();
    let (index, mut copy) = (chosen.index, None);
    let (mut one, mut two): (Came, Came) = (None, None);
    {
        let original = attempt_counted(thread, choice, chosen, outgoing, upload, response, attempt, deadline);
        let mut original = pin!(original);
        tokio::select! {
            biased;
            came = &mut original => one = Some(came),
            () = tokio::time::sleep(after) => {}
        }
        if one.is_none()
            && let Some(other) = elsewhere(thread, choice, outgoing, &tried.and(index), wanted, again)
        {
            let slot = choice.prepared.cells[other.index].slot;
            let attempt = Attempt {
                hedged: true,
                detour: other.detour.filter(|why| *why == Detour::OtherZone),
                ..Attempt::new(slot, 0)
            };
            let copy = copy.insert(Copy { index: other.index, began: clock::coarse(), attempt });
            let (response, attempt) = (&mut other_response, &mut copy.attempt);
            let second =
                attempt_counted(thread, choice, other, outgoing, None, response, attempt, &other_deadline);
            let mut second = pin!(second);
            let is_answered = |came: &Came| matches!(came, Some(Ok(_)));
            while !is_answered(&one) && !is_answered(&two) && (one.is_none() || two.is_none()) {
                tokio::select! {
                    biased;
                    came = &mut original, if one.is_none() => one = Some(came),
                    came = &mut second, if two.is_none() => two = Some(came),
                }
            }
        } else if one.is_none() {
            one = Some(original.await);
        }
        // Here ends the one that was not answered first, and its connection with it.
    }
    attempt.outcome = outcome(&one, response.status);
    if let Some(copy) = &mut copy {
        copy.attempt.outcome = outcome(&two, other_response.status);
    }
    let came = match (one, two) {
        (Some(Ok(exchange)), _) => Ok(exchange),
        (_, Some(Ok(exchange))) => {
            std::mem::swap(response, &mut other_response);
            Ok(exchange)
        }
        (Some(Err(no)), _) | (None, Some(Err(no))) => Err(no),
        (None, None) => unreachable!("one of them came to an end"),
    };
    (came, copy)
}

/// An endpoint for a second copy: another one that has room now, where the budget has a copy left.
fn elsewhere(
    thread: &Thread,
    choice: &Choice<'_>,
    outgoing: &Outgoing<'_>,
    tried: &Tried,
    wanted: Wanted,
    again: &Again<'_>,
) -> Option<Chosen> {
    if choice.prepared.gate.length() > 0 || !choice.has_untried(tried) || !again.has_copies() {
        return None;
    }
    let other = choice.try_take(thread, tried, choice.key(outgoing.head), None, wanted)?;
    if !again.spend() {
        other.line.put_back(thread, choice.pool.timeouts.idle);
        return None;
    }
    Some(other)
}

fn outcome(came: &Came, status: u16) -> Outcome {
    match came {
        None => Outcome::GivenUp,
        Some(Ok(_)) => Outcome::Status(status),
        Some(Err(NoResponse::Failed(failure))) => Outcome::Failed(*failure),
        Some(Err(NoResponse::Refused(_))) => Outcome::Status(0),
    }
}
