//! Leads a fill: fetches an object that is wanted, and stores it while its readers already read. Runs as a task
//! of its own, so that no visitor's leaving ends a fetch that others wait for. Decides nothing about
//! cacheability: `decide/freshness` does.

use crate::exchange::{Exchange, NoResponse};
use crate::fetch::{Attempts, Outgoing, fetch};
use crate::place::Place;
use crate::thread::{Thread, View};
use bytes::Bytes;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::{FillReader, Filling, Lead, NewObject, Object, Release, Room};
use tentpole_freshness::{
    CacheControl, Expires, RequestFacts, ResponseFacts, StoredFacts, may_store, parse_age, parse_date,
};
use tentpole_http1::{self as http1, Framing, Piece};
use tentpole_message::{Fields, Name, ResponseHead, StoredHead, tokens};
use tentpole_model::{Bypass, Caching, Cause, Failure, Method, Phase, Retry};
use tentpole_runtime::clock;
use tentpole_runtime::deadline::{Deadline, Expired};
use tokio::sync::oneshot;

/// How long a URL that answered uncacheably is not waited for by others.
const HIT_FOR_MISS: Duration = Duration::from_secs(10);
/// The same after a status that is not stored: errors mostly, which pass.
const HIT_FOR_ERROR: Duration = Duration::from_secs(1);
/// Bytes of an error's body that are read for the sake of its connection.
const DRAINED_MAX: usize = 64 * 1024;
/// Largest stored head.
const STORED_HEAD_MAX: usize = 32 * 1024;

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
    /// No response.
    None(NoResponse),
}

/// A response for one visitor.
pub struct Own {
    /// Its body and connection.
    pub exchange: Exchange,
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
    /// The head that goes to the endpoint.
    pub head: Vec<u8>,
    /// The visitor's fields, for Vary.
    pub fields: Fields,
    /// What the request allows.
    pub facts: RequestFacts,
    /// Its arrival, in seconds since 1970.
    pub now: u64,
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
    let Wanted { view, place, head, fields, facts, now: arrived } = wanted;
    let prepared = view.prepared.clone();
    let caching = prepared.caching(place.caching);
    let outgoing = Outgoing { head: &head, method: Method::Get, pool: place.pool, upgrades: false };
    let fetched = fetch(&thread, view, &outgoing, None, &mut response, &mut attempts, &deadline).await;
    // The visitor may be gone: then nobody hears the answer, and the fill goes on.
    let exchange = match fetched {
        Ok(exchange) => exchange,
        Err(no) => {
            let failure = failure_of(&no);
            let led = match stand_in(&lead, &facts, arrived) {
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
        && let Some(stale) = lead.stale.clone()
    {
        let (stored, facts) = refreshed(&stale, &response, &facts, caching, requested, now);
        let own = lines_of(&response, Name::SetCookie, b"Set-Cookie");
        exchange.finish(&thread);
        let object = lead.refreshed(&stale, stored, facts);
        let _ = answer.send((Led::Refreshed(object, own), attempts));
        return;
    }
    if is_error(response.status)
        && let Some(stale) = stand_in(&lead, &facts, arrived)
    {
        let bypass = Bypass::Status;
        if keep(lead, &stale, Release::Bypass(bypass), &facts, arrived) {
            let _ = answer.send((Led::Kept(stale), attempts));
            return drain(&thread, exchange, &deadline).await;
        }
        let _ = answer.send((Led::Own(Box::new(Own { exchange, response, bypass })), attempts));
        return;
    }
    let seen = response_facts(&response, now);
    let started = may_store(&facts, &seen, requested, now).and_then(|facts| {
        store_head(&response, now).map(|head| (with_defaults(facts, &seen, caching), head))
    });
    let (facts, head) = match started {
        Ok(stored) => stored,
        Err(bypass) => {
            let is_personal = facts.cookie || facts.authorization;
            if !is_personal
                && bypass != Bypass::Status
                && let Some(stale) = &lead.stale
            {
                // The endpoint no longer says what is stored: it must not be served in place of an error either.
                thread.shared.cache.forget(stale);
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
    let length = match exchange.body.framing {
        Framing::Length(length) => Some(length),
        Framing::None => Some(0),
        Framing::Chunked | Framing::UntilClose => None,
    };
    let copy = |name| response.fields.get(name).map(Bytes::copy_from_slice);
    let new = NewObject {
        head,
        facts,
        vary: &vary,
        request: &fields,
        etag: copy(Name::Etag),
        last_modified: copy(Name::LastModified),
        length,
    };
    match lead.start(new) {
        Ok((filling, reader)) => {
            let own = lines_of(&response, Name::Age, b"Age");
            let _ = answer.send((Led::Reader(reader, own), attempts));
            pump(&thread, exchange, filling, &deadline).await;
        }
        Err(bypass) => {
            let own = Own { exchange, response, bypass };
            let _ = answer.send((Led::Own(Box::new(own)), attempts));
        }
    }
}

/// What is stored, if it may be served in place of an error to anybody.
fn stand_in(lead: &Lead, facts: &RequestFacts, now: u64) -> Option<Arc<Object>> {
    let stale = lead.stale.as_ref()?;
    let serves = |facts| stale.facts.serves_on_error(facts, now);
    (serves(facts) || serves(&RequestFacts::PLAIN_GET)).then(|| stale.clone())
}

/// Ends a fill whose endpoint failed: what is stored is for all who wait and may have it then. Whether the one who leads
/// may.
fn keep(lead: Lead, stale: &Arc<Object>, otherwise: Release, facts: &RequestFacts, now: u64) -> bool {
    lead.kept(stale, otherwise, HIT_FOR_ERROR);
    stale.facts.serves_on_error(facts, now)
}

/// Statuses in whose place what is stale may be served (RFC 5861 section 4).
pub fn is_error(status: u16) -> bool {
    matches!(status, 500 | 502 | 503 | 504)
}

/// Reads what is left of a short body that nobody wants, so that its connection can serve again.
async fn drain(thread: &Thread, mut exchange: Exchange, deadline: &Deadline) {
    let mut left = DRAINED_MAX;
    deadline.set_in(exchange.timeouts.stall);
    loop {
        let Exchange { connection, body, .. } = &mut exchange;
        match deadline.guard(|context| connection.poll_piece(context, body)).await {
            Ok(Ok(Piece::Data { skip, len })) if len <= left => {
                left -= len;
                connection.consume(skip + len);
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
async fn pump(thread: &Thread, mut exchange: Exchange, mut filling: Filling, deadline: &Deadline) {
    loop {
        // A fill that is no longer storable goes at the pace of its slowest reader, whose own time is bounded.
        if std::future::poll_fn(|context| filling.poll_room(context)).await == Room::NobodyReads {
            return;
        }
        deadline.set_in(exchange.timeouts.stall);
        let piece = {
            let Exchange { connection, body, .. } = &mut exchange;
            deadline.guard(|context| connection.poll_piece(context, body)).await
        };
        match piece {
            Ok(Ok(Piece::Data { skip, len })) => {
                let connection = &mut exchange.connection;
                let chunk = Bytes::copy_from_slice(&connection.filled()[skip..skip + len]);
                connection.consume(skip + len);
                filling.append(chunk);
            }
            Ok(Ok(Piece::End)) => {
                filling.finish();
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
    exchange.connection.cell().failed();
    filling.failed(failure);
}

pub fn failure_of(no: &NoResponse) -> Failure {
    match no {
        NoResponse::Failed(failure) => *failure,
        NoResponse::Refused(_) => Failure::internal(Phase::Permit, Cause::QueueFull),
    }
}

/// What a response's head says about caching.
pub fn response_facts(response: &ResponseHead, now: u64) -> ResponseFacts {
    let fields = &response.fields;
    let date = |name| fields.get(name).and_then(|value| parse_date(value, now));
    ResponseFacts {
        status: response.status,
        cache_control: CacheControl::parse(fields.all(Name::CacheControl)),
        has_cache_control: fields.has(Name::CacheControl),
        date: date(Name::Date),
        expires: Expires::parse(fields.all(Name::Expires), now),
        age: fields.get(Name::Age).and_then(parse_age),
        last_modified: date(Name::LastModified),
        has_etag: fields.has(Name::Etag),
        set_cookie: fields.has(Name::SetCookie),
        vary_star: fields.all(Name::Vary).flat_map(tokens).any(|name| name == b"*"),
    }
}

/// What the route says about serving it stale, where the response does not.
fn with_defaults(facts: StoredFacts, seen: &ResponseFacts, caching: &Caching) -> StoredFacts {
    let said = &seen.cache_control;
    let seconds = |said: Option<u32>, default: Duration| {
        said.unwrap_or_else(|| u32::try_from(default.as_secs()).unwrap_or(u32::MAX))
    };
    StoredFacts {
        stale_while_revalidate: seconds(said.stale_while_revalidate, caching.stale_while_revalidate),
        stale_if_error: seconds(said.stale_if_error, caching.stale_if_error),
        ..facts
    }
}

/// Serialises the stored part of a head: all that does not change with the request.
fn store_head(response: &ResponseHead, now: u64) -> Result<StoredHead, Bypass> {
    let mut lines = Vec::with_capacity(response.fields.bytes().len() + 64);
    http1::write_status_line(&mut lines, response.status, response.reason());
    http1::write_fields(&mut lines, &response.fields, |field| field.id == Name::Age);
    if !response.fields.has(Name::Date) {
        http1::write_field(&mut lines, b"Date", &clock::http_date(now));
    }
    if lines.len() > STORED_HEAD_MAX {
        return Err(Bypass::HeadTooLarge);
    }
    Ok(StoredHead { lines: lines.into(), status: response.status })
}

/// A stored head after a 304: the fields of the 304 replace those of the same name (RFC 9111 section 3.2), except
/// those that describe the stored content, that select it, or that are for one visitor only.
pub fn refreshed(
    stale: &Object,
    response: &ResponseHead,
    request: &RequestFacts,
    caching: &Caching,
    requested: u64,
    now: u64,
) -> (StoredHead, StoredFacts) {
    // What was stored was written by us, so it parses; if it did not, the 304 alone still is a head.
    let limits =
        http1::Limits { head_bytes_max: usize::MAX, fields_max: http1::FIELDS_MAX, ..Default::default() };
    let mut merged = ResponseHead::new();
    let mut bytes = stale.head.lines.to_vec();
    bytes.extend_from_slice(b"\r\n");
    let _ = http1::parse_response(&bytes, &limits, &mut merged);
    let stays = |id| {
        use Name::{Age, ContentEncoding, ContentRange, ContentType, SetCookie, Vary};
        matches!(id, Age | ContentEncoding | ContentRange | ContentType | SetCookie | Vary)
    };
    let mut lines = Vec::with_capacity(bytes.len() + 64);
    http1::write_status_line(&mut lines, stale.head.status, merged.reason());
    let replaced = |name: &[u8]| response.fields.find(name).next().is_some();
    http1::write_fields(&mut lines, &merged.fields, |field| !stays(field.id) && replaced(field.name));
    http1::write_fields(&mut lines, &response.fields, |field| stays(field.id));
    if !response.fields.has(Name::Date) && !merged.fields.has(Name::Date) {
        http1::write_field(&mut lines, b"Date", &clock::http_date(now));
    }
    let mut updated = ResponseHead::new();
    lines.extend_from_slice(b"\r\n");
    let _ = http1::parse_response(&lines, &limits, &mut updated);
    lines.truncate(lines.len() - 2);
    // Set-Cookie and Vary stay out of what is stored, but not out of the decision.
    let set_cookie = response.fields.has(Name::SetCookie);
    let age = response.fields.get(Name::Age).and_then(parse_age);
    let status = stale.head.status;
    let seen = ResponseFacts { status, set_cookie, age, ..response_facts(&updated, now) };
    let names = |head: &ResponseHead| {
        let mut names: Vec<_> =
            head.fields.all(Name::Vary).flat_map(tokens).map(<[u8]>::to_ascii_lowercase).collect();
        names.sort_unstable();
        names
    };
    let selects_alike = !response.fields.has(Name::Vary) || names(response) == names(&merged);
    // The endpoint says that it must not be kept: then it is not served stale either.
    let never = StoredFacts { stale_while_revalidate: 0, stale_if_error: 0, ..stale.facts };
    let expired = StoredFacts { response_time: now, initial_age: 0, lifetime: 0, ..never };
    let facts = may_store(request, &seen, requested, now).ok().filter(|_| selects_alike);
    let facts = facts.map_or(expired, |facts| with_defaults(facts, &seen, caching));
    (StoredHead { lines: lines.into(), status }, facts)
}
