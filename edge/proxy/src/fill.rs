//! Leads a fill: fetches an object that is wanted, and stores it while its readers already read. Runs as a task
//! of its own, so that no visitor's leaving ends a fetch that others wait for. Decides nothing about
//! cacheability: `decide/freshness` does.

use crate::choose::left_the_queue;
use crate::exchange::{Exchange, NoResponse};
use crate::fetch::{Attempts, Outgoing};
use crate::forms;
use crate::group::{may_share, puts_into_another_group};
use crate::head::{self, Keeping, Refreshed};
use crate::on_disk::ForDisk;
use crate::part::{Part, note_large};
use crate::place::Place;
use crate::tags::{names_tags, tags_of};
use crate::template::{fetch_readable, is_encoded, is_page};
use crate::thread::{Thread, View};
use bytes::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tentpole_cache::{Confirmed, FillReader, Filling, Lead, NewObject, Object, Presented, Release, Room};
use tentpole_freshness::{RequestFacts, ResponseFacts, Trouble, may_store};
use tentpole_http1::{self as http1, Framing, Piece};
use tentpole_key::SearchVariance;
use tentpole_message::{Fields, Name, ResponseHead, tokens};
use tentpole_model::{Bypass, Cause, Failure, Method, Phase, Retry};
use tentpole_runtime::clock;
use tentpole_runtime::deadline::{Deadline, Expired};
use tokio::sync::oneshot;

/// How long a URL that answered uncacheably is not waited for by others.
const HIT_FOR_MISS: Duration = Duration::from_secs(10);
/// The same after a status that is not stored: errors mostly, which pass.
const HIT_FOR_ERROR: Duration = Duration::from_secs(1);
/// Bytes of an error's body that are read for the sake of its connection.
const DRAINED_MAX: usize = 64 * 1024;
/// How long the slowest reader of what is not stored may take for half a window ([`WINDOW_BYTES`]) that others wait
/// for.
///
/// [`WINDOW_BYTES`]: tentpole_cache::WINDOW_BYTES
const SLOW_READER_MAX: Duration = Duration::from_secs(10);
/// How long a fill goes on that nobody reads.
const ALONE_MAX: Duration = Duration::from_secs(60);

/// What the visitor who leads gets.
pub enum Led {
    /// The object, as it arrives. With field lines that are this visitor's own.
    Reader(FillReader, Vec<u8>),
    /// What was stored still holds. With field lines of the 304 that are this visitor's own.
    Refreshed(Arc<Object>, Vec<u8>),
    /// The endpoint failed, and what is stored may be served in its place.
    Kept(Arc<Object>),
    /// It may not be shared: the response is this visitor's own.
    Own(Box<Own>),
    /// It is this visitor's own, and whole already.
    Collected(Arc<Object>, Bypass),
    /// It may not be shared, and he has to ask for his own.
    Pass(Bypass),
    /// No response.
    None(NoResponse),
}

/// A response for one visitor.
pub struct Own {
    /// Its body and connection.
    pub exchange: Box<Exchange>,
    /// Its head.
    pub response: ResponseHead,
    /// Why it is not shared.
    pub bypass: Bypass,
}

/// What a lead needs of the request; the visitor may go.
pub struct Wanted {
    /// Pinned until the endpoint is chosen.
    pub view: Rc<View>,
    /// Who answers, and how that is cached.
    pub place: Place,
    /// The key that it is wanted under.
    pub key: Vec<u8>,
    /// The part that is wanted of it, if not the whole.
    pub part: Option<Part>,
    /// The head that goes to the endpoint.
    pub head: Vec<u8>,
    /// What the endpoint is told of the visitor's fields, for Vary.
    pub fields: Fields,
    /// What the request allows.
    pub facts: RequestFacts,
    /// Its arrival, in seconds since 1970.
    pub now: u64,
    /// The endpoint that the visitor comes back to.
    pub stuck: Option<u64>,
}

/// Starts a lead's task on this thread; its first result comes over the channel.
pub fn start(thread: &Rc<Thread>, lead: Lead, wanted: Wanted) -> oneshot::Receiver<(Led, Attempts)> {
    let (answer, answered) = oneshot::channel();
    tokio::task::spawn_local(run(thread.clone(), lead, wanted, answer));
    answered
}

async fn run(thread: Rc<Thread>, lead: Lead, wanted: Wanted, answer: oneshot::Sender<(Led, Attempts)>) {
    let deadline = Deadline::new();
    let mut response = ResponseHead::new();
    let mut attempts = Attempts::default();
    let requested = clock::coarse().unix_seconds();
    let Wanted { view, place, key, part, head, fields, facts, now: arrived, stuck } = wanted;
    let prepared = view.prepared.clone();
    // Parts are kept in memory only.
    let mut for_disk = match part {
        None => ForDisk::begin(&thread.shared, &prepared, place.caching, lead.key()),
        Some(_) => None,
    };
    let caching = prepared.caching(place.caching);
    let keeping = Keeping { caching, sends_tags: thread.sends_tags() };
    let answer = RefCell::new(answer);
    let abandoned = |context: &mut Context<'_>| match answer.borrow_mut().poll_closed(context) {
        Poll::Ready(()) if lead.waiters() == 0 => Poll::Ready(()),
        _ => Poll::Pending,
    };
    let outgoing = Outgoing {
        head: &head,
        method: Method::Get,
        pool: place.pool,
        upgrades: false,
        priority: place.priority,
        abandoned: Some(&abandoned),
        stuck,
        content: None,
    };
    let fetched = fetch_readable(
        &thread,
        view,
        place.caching,
        &outgoing,
        None,
        &mut response,
        &mut attempts,
        &deadline,
    )
    .await;
    let answer = answer.into_inner();
    // The visitor may be gone: then nobody hears the answer, and the fill goes on.
    let exchange = match fetched {
        Ok(exchange) => exchange,
        // Who joined in that moment looks up again, and leads.
        Err(no) if no == NoResponse::Failed(left_the_queue()) => return,
        Err(no) => {
            let failure = failure_of(&no);
            let led = match stand_in(&lead, Trouble::Silence, &facts, arrived) {
                Some(stale) => match keep(lead, &stale, Release::Failed(failure), &facts, arrived) {
                    true => Led::Kept(stale),
                    false => Led::None(no),
                },
                None => {
                    lead.failed(failure);
                    Led::None(no)
                }
            };
            let _ = answer.send((led, attempts));
            return;
        }
    };
    let now = clock::coarse().unix_seconds();
    if response.status == 304
        && part.is_none()
        && let Some(stale) = lead.stale.clone()
    {
        let Refreshed { head: stored, facts, is_own } =
            head::refreshed(&stale, &response, &facts, keeping, requested, now);
        let named = names_tags(&response.fields).then(|| tags_of(&response, &key));
        let mut own = lines_of(&response, Name::SetCookie, b"Set-Cookie");
        if is_own {
            own.extend(head::beside(&stale, &response));
        }
        exchange.finish(&thread);
        let tags = named.as_deref();
        let (lines, status) = (stored.lines.clone(), stored.status);
        let new_head = |coding, _: &_| forms::renewed(&lines, status, coding);
        let confirmed = Confirmed { head: stored, facts, tags, new_head: &new_head };
        let object = lead.refreshed(&stale, confirmed);
        for_disk.into_iter().for_each(|for_disk| for_disk.confirmed(&object));
        let _ = answer.send((Led::Refreshed(object, own), attempts));
        return;
    }
    if is_error(response.status)
        && let Some(stale) = stand_in(&lead, Trouble::Error, &facts, arrived)
    {
        let bypass = Bypass::Status;
        if keep(lead, &stale, Release::Bypass(bypass), &facts, arrived) {
            let _ = answer.send((Led::Kept(stale), attempts));
            return drain(&thread, exchange, &deadline).await;
        }
        let _ = answer.send((Led::Own(Box::new(Own { exchange, response, bypass })), attempts));
        return;
    }
    let length = match exchange.body.framing {
        Framing::Length(length) => Some(length),
        Framing::None => Some(0),
        Framing::Chunked | Framing::UntilClose => None,
    };
    let started = match part {
        Some(_) if puts_into_another_group(&response, &fields, caching) => Err(Bypass::SetCookie),
        Some(part) => {
            let (framing, seen) = (exchange.body.framing, head::facts(&response, now));
            let stored = part.may_store(&thread.shared.cache, &key, &response, framing, |status| {
                may_store(&facts, &ResponseFacts { status, ..seen }, caching, requested, now)
            });
            stored.and_then(|facts| head::stored(&response, keeping, false, now).map(|head| (facts, head)))
        }
        None => may_share(&facts, &response, &fields, caching, requested, now).and_then(|facts| {
            let said = SearchVariance::parse(response.fields.find(b"no-vary-search"));
            thread.shared.searches.learn(&key, response.status, said)?;
            let has_forms = forms::may_have_forms(&response, caching, length);
            head::stored(&response, keeping, has_forms, now).map(|head| (facts, head))
        }),
    };
    let (facts, head) = match started {
        Ok(stored) => stored,
        Err(bypass) => {
            let is_personal = facts.cookie || facts.authorization;
            if !is_personal && bypass != Bypass::Status {
                // The endpoint no longer says what is stored: it must not be served in place of an error either.
                lead.stale.iter().for_each(|stale| thread.shared.cache.forget(stale));
                for_disk.into_iter().for_each(ForDisk::not_shared);
            }
            match bypass {
                // For a visitor who does not say who he is the response may be another, and one to share.
                _ if is_personal => lead.personal(HIT_FOR_MISS),
                // An error of a moment must not let everybody through to the endpoint for long.
                Bypass::Status => lead.uncacheable(bypass, HIT_FOR_ERROR),
                // It was learned meanwhile that it may be shared.
                _ if thread.learn.has_rule(lead.key()) => lead.uncacheable(bypass, Duration::ZERO),
                _ => lead.uncacheable(bypass, HIT_FOR_MISS),
            }
            let own = Own { exchange, response, bypass };
            let _ = answer.send((Led::Own(Box::new(own)), attempts));
            return;
        }
    };
    let vary: Vec<&[u8]> = response.fields.all(Name::Vary).flat_map(tokens).collect();
    let tags = tags_of(&response, &key);
    let is_template = part.is_none() && is_page(caching.esi, &response);
    let copy = |name| response.fields.get(name).map(Bytes::copy_from_slice);
    let new = NewObject {
        head,
        facts,
        vary: &vary,
        request: Presented::new(&fields, prepared.key_rules(place.caching), None),
        etag: copy(Name::Etag),
        last_modified: copy(Name::LastModified),
        tags: &tags,
        assembles: is_template && !is_encoded(&response.fields),
        length,
    };
    let cache = &thread.shared.cache;
    let through = for_disk
        .as_ref()
        .is_some_and(|for_disk| for_disk.takes_through(length, new.assembles, cache, &facts));
    let started = if through { lead.start_through(new) } else { lead.start(new) };
    match started {
        Ok((filling, reader)) => {
            for_disk.iter_mut().for_each(|for_disk| for_disk.begins(&reader, through));
            let mut own = lines_of(&response, Name::Age, b"Age");
            // Where a route stores despite a cookie, that is for this visitor alone.
            own.extend(lines_of(&response, Name::SetCookie, b"Set-Cookie"));
            let _ = answer.send((Led::Reader(reader, own), attempts));
            pump(&thread, exchange, filling, for_disk, &deadline).await;
        }
        Err(bypass) => {
            if bypass == Bypass::TooLarge && part.is_none() && !is_template {
                note_large(cache, &key, &response, &facts, length);
            }
            let own = Own { exchange, response, bypass };
            let _ = answer.send((Led::Own(Box::new(own)), attempts));
        }
    }
}

/// What is stored, if it may be served in place of an error to anybody.
fn stand_in(lead: &Lead, trouble: Trouble, facts: &RequestFacts, now: u64) -> Option<Arc<Object>> {
    let stale = lead.stale.as_ref()?;
    let serves = |facts| stale.facts().serves_on_error(trouble, facts, now);
    (serves(facts) || serves(&RequestFacts::PLAIN_GET)).then(|| stale.clone())
}

/// Ends a fill whose endpoint failed: what is stored is for all who wait and may have it then. Whether the one who leads
/// may.
fn keep(lead: Lead, stale: &Arc<Object>, otherwise: Release, facts: &RequestFacts, now: u64) -> bool {
    lead.kept(stale, otherwise, HIT_FOR_ERROR);
    stale.facts().serves_on_error(trouble_of(&otherwise), facts, now)
}

/// What was wrong, by what those are told who may not have what is stored.
pub fn trouble_of(release: &Release) -> Trouble {
    match release {
        Release::Bypass(_) => Trouble::Error,
        Release::Failed(_) | Release::VaryMismatch | Release::Abandoned => Trouble::Silence,
    }
}

/// Statuses in whose place what is stale may be served (RFC 5861 section 4).
pub fn is_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Reads what is left of a short body that nobody wants, so that its connection can serve again.
async fn drain(thread: &Thread, mut exchange: Box<Exchange>, deadline: &Deadline) {
    let mut left = DRAINED_MAX;
    deadline.set_in(exchange.timeouts.stall);
    loop {
        match deadline.guard(|context| exchange.poll_piece(context)).await {
            Ok(Ok(Piece::Data { skip, len })) if len <= left => {
                left -= len;
                exchange.consume(skip + len);
            }
            Ok(Ok(Piece::End)) => return exchange.finish(thread),
            _ => return,
        }
    }
}

/// The lines of one field, for one visitor alone.
fn lines_of(response: &ResponseHead, name: Name, written: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    response.fields.all(name).for_each(|value| http1::write_field(&mut lines, written, value));
    lines
}

/// Moves the body into the fill. Dropping the filling before its end aborts it: nothing is stored.
async fn pump(
    thread: &Thread,
    mut exchange: Box<Exchange>,
    mut filling: Filling,
    mut for_disk: Option<ForDisk>,
    deadline: &Deadline,
) {
    let mut alone_since = None;
    loop {
        // A fill that is no longer storable goes at the pace of its slowest reader, as long as that is bearable.
        deadline.set_in(SLOW_READER_MAX);
        match deadline.guard(|context| filling.poll_room(context)).await {
            Ok(Room::Ready) => {}
            // What goes to the disk is worth it without them, for a while.
            Ok(Room::NobodyReads) if for_disk.as_ref().is_some_and(ForDisk::is_writing) => {}
            Ok(Room::NobodyReads) => return,
            Err(Expired) => {
                filling.leave_behind();
                continue;
            }
        }
        if filling.readers() > 0 {
            alone_since = None;
        } else if clock::coarse().since(*alone_since.get_or_insert_with(clock::coarse)) > ALONE_MAX {
            // It need not ever end, and an endpoint is busy with it.
            return;
        }
        deadline.set_in(exchange.timeouts.stall);
        match deadline.guard(|context| exchange.poll_piece(context)).await {
            Ok(Ok(Piece::Data { skip, len })) => {
                let chunk = Bytes::copy_from_slice(&exchange.bytes()[skip..skip + len]);
                exchange.consume(skip + len);
                let until_now = filling.append(chunk.clone());
                if let Some(for_disk) = &mut for_disk {
                    for_disk.arrived(&chunk, until_now);
                }
            }
            Ok(Ok(Piece::End)) => {
                let finished = filling.finish();
                let cache = &thread.shared.cache;
                for_disk.into_iter().for_each(|for_disk| for_disk.finished(&finished, cache));
                exchange.finish(thread);
                return;
            }
            Ok(Err(failure)) => return broke_off(&exchange, filling, failure),
            Err(Expired) => {
                let late = Failure::upstream(Phase::ReadBody, Retry::Never, Cause::TimedOut);
                return broke_off(&exchange, filling, late);
            }
        }
    }
}

/// A response that is not whole is the endpoint's failure, as it is where a visitor reads it directly.
fn broke_off(exchange: &Exchange, filling: Filling, failure: Failure) {
    exchange.source.failed();
    filling.failed(failure);
}

pub fn failure_of(no: &NoResponse) -> Failure {
    match no {
        NoResponse::Failed(failure) => *failure,
        NoResponse::Refused(_) => Failure::internal(Phase::Permit, Cause::QueueFull),
    }
}
