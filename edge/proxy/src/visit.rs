//! The way of a request, in order:
//!
//! accept → parse → route → look up or join a fill → (fetch) → deliver → record why
//!
//! One call a step; each may stop the request with a reason, and the reason is what the visitor, the log and the
//! metrics see. What happens at an endpoint is `fetch.rs`. Nothing here formats a response or touches a socket.

use crate::answer::{self, Manner};
use crate::deliver::{self, Reply, Sent};
use crate::exchange::{Exchange, NoResponse, Upload};
use crate::fetch::{Outgoing, fetch};
use crate::fill::{self, Led, Wanted};
use crate::forward::{self, Forward, Purpose};
use crate::thread::{Scratch, Thread, View};
use crate::tunnel::tunnel;
use std::io::IoSlice;
use std::rc::Rc;
use std::time::Duration;
use tentpole_cache::{Arrival, Judged, Lead, Looked, Release, Waiter};
use tentpole_freshness::{self as freshness, CacheControl, RequestFacts, StoredFacts, Use};
use tentpole_http1::{self as http1, Framing};
use tentpole_listener::{Next, RequestBody, Visitor};
use tentpole_message::{Name, RequestHead};
use tentpole_model::{
    Bypass, CacheOutcome, Canonical, Cause, End, Failure, Method, Phase, PoolId, Refused, RouteCache,
    RouteId, Side, SiteId, Why,
};
use tentpole_observe::Texts;
use tentpole_runtime::clock;
use tentpole_runtime::deadline::Deadline;

/// How often a request looks up again because the fill it joined was of another variant.
const LOOKS_MAX: usize = 3;

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum After {
    NextRequest,
    Close,
    /// Close, but read on for a moment so that our answer arrives.
    Linger,
}

/// Why a request goes no further.
enum Stop {
    /// The visitor left before asking anything.
    Gone,
    Refused(Refused),
    /// The canonical target is in the scratch.
    Redirect,
    Failed(Failure),
    /// The connection was a tunnel, which has closed.
    Tunnelled,
}

/// What a request's head means, beyond its fields.
#[derive(Clone, Copy)]
struct Asked {
    method: Method,
    framing: Framing,
    manner: Manner,
    upgrades: bool,
    facts: RequestFacts,
    now: u64,
}

/// What must be known of a request to answer it and to go on, however early it stops.
struct Begun {
    manner: Manner,
    /// Whether it has a body; true until the head was understood.
    has_body: bool,
    /// The body, once it may be read.
    body: Option<RequestBody>,
}

/// Where a request belongs.
#[derive(Clone, Copy)]
struct Place {
    pool: PoolId,
    cache: RouteCache,
    body_bytes_max: u64,
}

/// Serves one connection, request after request.
pub async fn serve(thread: Rc<Thread>, mut visitor: Visitor) {
    while visitor.awaits_request().await {
        let mut scratch = thread.scratch();
        let after = visit(&thread, &mut visitor, &mut scratch).await;
        thread.put_back(scratch);
        visitor.served = visitor.served.saturating_add(1);
        match after {
            After::NextRequest => {}
            After::Close => return,
            After::Linger => return visitor.linger().await,
        }
    }
}

/// Serves one request and records why it went as it did.
async fn visit(thread: &Rc<Thread>, visitor: &mut Visitor, scratch: &mut Scratch) -> After {
    let mut why = begin(thread, visitor);
    let mut begun = Begun::new();
    let stop = match steps(thread, visitor, scratch, &mut why, &mut begun).await {
        Ok(sent) => {
            why.status = sent.status;
            why.bytes_out = sent.bytes;
            why.head_us = micros(sent.head_at.since(visitor.arrived));
            why.end = End::Complete;
            begun.manner.keep_alive = sent.keep_alive;
            None
        }
        Err(stop) => Some(stop),
    };
    let (manner, body_read) = (begun.manner, begun.body_read());
    why.bytes_in = begun.body.as_ref().map_or(0, |body| body.bytes_seen);
    let after = match stop {
        None if manner.keep_alive && body_read => After::NextRequest,
        None if body_read => After::Close,
        None => After::Linger,
        Some(Stop::Gone) => return After::Close,
        Some(stop) => answer_stop(visitor, scratch, &mut why, stop, manner, body_read).await,
    };
    record(thread, scratch, &mut why, visitor);
    after
}

/// The steps, in order.
async fn steps(
    thread: &Rc<Thread>,
    visitor: &mut Visitor,
    scratch: &mut Scratch,
    why: &mut Why,
    begun: &mut Begun,
) -> Result<Sent, Stop> {
    read_head(visitor, scratch).await?;
    let asked = understand(thread, &scratch.request, why, begun)?;
    let view = thread.view();
    let place = route(&view, scratch, asked, why)?;
    // Before the cache: a body that may not be sent must not cost a look-up.
    let body = RequestBody::new(asked.framing, place.body_bytes_max).map_err(Stop::Refused)?;
    let body = begun.body.insert(body);
    // What follows a hit is here, in the connection's own task; everything slower has memory of its own.
    match look_up(thread, scratch, asked, place)? {
        Looked::Hit(object) => {
            why.cache = CacheOutcome::Hit;
            let reply = asked.reply(why);
            let Scratch { request, out, .. } = scratch;
            deliver::object(visitor, out, &object, request, reply).await.map_err(Stop::Failed)
        }
        looked => Box::pin(miss(thread, view, visitor, scratch, asked, place, looked, body, why)).await,
    }
}

/// Everything but a hit: leads or joins a fill, or goes to an endpoint for this visitor alone.
#[allow(clippy::too_many_arguments, reason = "the state of one request; a struct would only rename it")]
async fn miss(
    thread: &Rc<Thread>,
    view: Rc<View>,
    visitor: &mut Visitor,
    scratch: &mut Scratch,
    asked: Asked,
    place: Place,
    mut looked: Looked,
    body: &mut RequestBody,
    why: &mut Why,
) -> Result<Sent, Stop> {
    // Others may need the buffer while this request waits.
    visitor.rest();
    for _ in 0..LOOKS_MAX {
        let arrival = match looked {
            Looked::Hit(object) | Looked::Stale(object, _) => Arrival::Object(object),
            Looked::Bypass(bypass) => {
                return pass(thread, view, visitor, scratch, asked, place, bypass, body, why).await;
            }
            Looked::Lead(lead) => {
                return self::lead(thread, view, visitor, scratch, asked, place, lead, body, why).await;
            }
            Looked::Joined(waiter) => join(thread, visitor, &scratch.request, waiter).await,
        };
        why.cache = CacheOutcome::Joined;
        let reply = asked.reply(why);
        let Scratch { request, out, .. } = scratch;
        match arrival {
            // What must be asked for each time was asked for someone else: this visitor may get another answer.
            Arrival::Object(object) if let Some(bypass) = asked.refuses(&object.facts) => {
                return pass(thread, view, visitor, scratch, asked, place, bypass, body, why).await;
            }
            Arrival::Reader(reader) if let Some(bypass) = asked.refuses(reader.facts()) => {
                drop(reader);
                return pass(thread, view, visitor, scratch, asked, place, bypass, body, why).await;
            }
            Arrival::Object(object) => {
                return deliver::object(visitor, out, &object, request, reply).await.map_err(Stop::Failed);
            }
            Arrival::Reader(reader) => {
                return deliver::reader(visitor, out, reader, request, reply).await.map_err(Stop::Failed);
            }
            // The endpoint has just failed for someone else: asking it again would only add to its trouble.
            Arrival::GoYourself(Release::Failed(failure)) => return Err(Stop::Failed(failure)),
            Arrival::GoYourself(Release::Bypass(bypass)) => {
                return pass(thread, view, visitor, scratch, asked, place, bypass, body, why).await;
            }
            Arrival::GoYourself(Release::VaryMismatch | Release::Abandoned) => {
                looked = look_up(thread, scratch, asked, place)?;
            }
        }
    }
    pass(thread, view, visitor, scratch, asked, place, Bypass::TooManyWaiters, body, why).await
}

/// Reads the request's head.
async fn read_head(visitor: &mut Visitor, scratch: &mut Scratch) -> Result<(), Stop> {
    match visitor.read_head(&mut scratch.request).await {
        Next::Request => Ok(()),
        Next::Gone => Err(Stop::Gone),
        Next::Refused(refused) => Err(Stop::Refused(refused)),
    }
}

/// What the head means; refuses what we do not serve.
fn understand(thread: &Thread, head: &RequestHead, why: &mut Why, begun: &mut Begun) -> Result<Asked, Stop> {
    let manner = &mut begun.manner;
    why.method = head.method;
    why.minor_version = head.minor_version;
    manner.minor_version = head.minor_version;
    manner.head_only = head.method == Method::Head;
    let framing = http1::request_framing(head).map_err(Stop::Refused)?;
    begun.has_body = framing != Framing::None;
    http1::expects_continue(head).map_err(Stop::Refused)?;
    manner.keep_alive = http1::keeps_alive_request(head) && !thread.draining.get();
    if matches!(head.method, Method::Connect | Method::Trace) {
        return Err(Stop::Refused(Refused::Method));
    }
    let fields = &head.fields;
    let facts = RequestFacts {
        method: head.method,
        authorization: fields.has(Name::Authorization),
        cookie: fields.has(Name::Cookie),
        range: fields.has(Name::Range),
        cache_control: cache_control(head),
    };
    let upgrades = fields.has(Name::Upgrade) && http1::upgrade(head).is_some_and(may_upgrade);
    let now = clock::coarse().unix_seconds();
    Ok(Asked { method: head.method, framing, manner: *manner, upgrades, facts, now })
}

/// Behind `h2c` a visitor would speak past every rule of ours; what is not known is not forwarded.
fn may_upgrade(protocol: &[u8]) -> bool {
    protocol.eq_ignore_ascii_case(b"websocket")
}

/// Where the request belongs. Leaves the target that is forwarded, and the cache key, in the scratch.
fn route(view: &View, scratch: &mut Scratch, asked: Asked, why: &mut Why) -> Result<Place, Stop> {
    let Scratch { request, target, path, key, .. } = scratch;
    let prepared = &view.prepared;
    let host = http1::host(request).unwrap_or_default();
    let site = prepared.table.site(host).ok_or(Stop::Refused(Refused::NoSite))?;
    why.site = Some(site);
    let rules = prepared.site(site);

    let asked_for = http1::split_target(request).path_and_query;
    let query_at = asked_for.iter().position(|&byte| byte == b'?').unwrap_or(asked_for.len());
    let (raw_path, query) = asked_for.split_at(query_at);
    target.clear();
    if raw_path == b"*" {
        target.extend_from_slice(b"*");
        crate::purge::write_key(key, host, target);
        return place_of(view, site, b"/", why).map(|(place, _)| place);
    }
    let changed = tentpole_route::canonical_path(raw_path, rules.merge_slashes, path)
        .map_err(|_| Stop::Refused(Refused::Target))?;
    let canonical: &[u8] = if changed { path } else { raw_path };
    let (place, swallowed) = place_of(view, site, canonical, why)?;
    let kept = &canonical[..swallowed.unwrap_or(canonical.len())];

    let forwarded = if rules.canonical == Canonical::Forward { raw_path } else { kept };
    target.extend_from_slice(forwarded);
    target.extend_from_slice(query);
    if rules.canonical == Canonical::Redirect
        && (changed || swallowed.is_some())
        && matches!(asked.method, Method::Get | Method::Head)
    {
        return Err(Stop::Redirect);
    }
    crate::purge::write_key(key, host, target);
    Ok(place)
}

fn place_of(view: &View, site: SiteId, path: &[u8], why: &mut Why) -> Result<(Place, Option<usize>), Stop> {
    let matched = view.prepared.table.route(site, path).ok_or(Stop::Refused(Refused::NoRoute))?;
    let id: RouteId = matched.route;
    why.route = Some(id);
    let route = view.prepared.route(id);
    let place = Place { pool: route.pool, cache: route.cache, body_bytes_max: route.body_bytes_max };
    Ok((place, matched.swallowed))
}

/// Looks for a stored response, joins the fill that is under way, or becomes the one who leads it.
fn look_up(thread: &Thread, scratch: &Scratch, asked: Asked, place: Place) -> Result<Looked, Stop> {
    let Asked { facts, now, .. } = asked;
    if let Some(bypass) = goes_past(asked, place) {
        return Ok(Looked::Bypass(bypass));
    }
    let cache = &thread.shared.cache;
    let key = cache.key(&scratch.key);
    let fields = &scratch.request.fields;
    let only_look = match asked.method {
        Method::Head => Some(Bypass::Method),
        _ if facts.range => Some(Bypass::Range),
        _ if facts.cache_control.only_if_cached => Some(Bypass::SwitchedOff),
        _ => None,
    };
    if let Some(bypass) = only_look {
        let found = cache.peek(&key, fields);
        return match found.map(|object| (object.facts.may_use(&facts, now), object)) {
            Some((Use::Fresh | Use::StaleAccepted, object)) => Ok(Looked::Hit(object)),
            _ if facts.cache_control.only_if_cached => Err(Stop::Refused(Refused::OnlyIfCached)),
            _ => Ok(Looked::Bypass(bypass)),
        };
    }
    Ok(cache.look_up(&key, fields, |object| match object.facts.may_use(&facts, now) {
        Use::Fresh | Use::StaleAccepted => Judged::Use,
        Use::Revalidate | Use::OnlyIfCached => Judged::Revalidate,
        Use::Pass => Judged::Pass(Bypass::CookieWithoutLifetime),
    }))
}

/// Requests that have nothing to do with the cache.
fn goes_past(asked: Asked, place: Place) -> Option<Bypass> {
    match asked.method {
        _ if asked.upgrades => Some(Bypass::Upgrade),
        _ if place.cache == RouteCache::Off => Some(Bypass::SwitchedOff),
        Method::Get | Method::Head if asked.framing == Framing::None => {
            asked.facts.cache_control.no_store.then_some(Bypass::RequestNoStore)
        }
        _ => Some(Bypass::Method),
    }
}

/// Waits for the head of a fill that someone else leads.
async fn join(thread: &Thread, visitor: &Visitor, request: &RequestHead, mut waiter: Waiter) -> Arrival {
    visitor.deadline.set_in(thread.shared.wait_max);
    match visitor.deadline.guard(|context| waiter.poll_arrival(&request.fields, context)).await {
        Ok(arrival) => arrival,
        Err(_) => Arrival::GoYourself(Release::Bypass(Bypass::WaitedTooLong)),
    }
}

/// Leads a fill: the fetch runs on without us if we leave.
#[allow(clippy::too_many_arguments, reason = "the state of one request; a struct would only rename it")]
async fn lead(
    thread: &Rc<Thread>,
    view: Rc<View>,
    visitor: &mut Visitor,
    scratch: &mut Scratch,
    asked: Asked,
    place: Place,
    lead: Lead,
    body: &mut RequestBody,
    why: &mut Why,
) -> Result<Sent, Stop> {
    let purpose = match &lead.stale {
        Some(stale) if stale.facts.validator => {
            Purpose::Revalidate { etag: stale.etag.as_deref(), last_modified: stale.last_modified.as_deref() }
        }
        _ => Purpose::Store,
    };
    write_forward(scratch, visitor, asked, purpose);
    let head = scratch.forward.clone();
    let fields = scratch.request.fields.clone();
    let wanted = Wanted { view, pool: place.pool, head, fields, facts: asked.facts };
    let answered = fill::start(thread, lead, wanted);
    let Ok((led, attempts)) = answered.await else {
        return Err(Stop::Failed(Failure::internal(Phase::FirstByte, Cause::FillAborted)));
    };
    why.attempts = attempts;
    let Scratch { request, out, .. } = scratch;
    let sent = match led {
        Led::Reader(reader) => {
            why.cache = CacheOutcome::Stored;
            deliver::reader(visitor, out, reader, request, asked.reply(why)).await
        }
        Led::Refreshed(object) => {
            why.cache = CacheOutcome::Revalidated;
            deliver::object(visitor, out, &object, request, asked.reply(why)).await
        }
        Led::Own(mut own) => {
            why.cache = CacheOutcome::Bypass(own.bypass);
            let reply = asked.reply(why);
            let sent = deliver::exchange(visitor, out, &own.response, &mut own.exchange, body, reply).await;
            if sent.is_ok() {
                own.exchange.finish(thread);
            }
            sent
        }
        Led::None(no) => return Err(no.into()),
    };
    sent.map_err(Stop::Failed)
}

/// Goes to an endpoint for this visitor alone.
#[allow(clippy::too_many_arguments, reason = "the state of one request; a struct would only rename it")]
async fn pass(
    thread: &Rc<Thread>,
    view: Rc<View>,
    visitor: &mut Visitor,
    scratch: &mut Scratch,
    asked: Asked,
    place: Place,
    bypass: Bypass,
    body: &mut RequestBody,
    why: &mut Why,
) -> Result<Sent, Stop> {
    why.cache = CacheOutcome::Bypass(bypass);
    write_forward(scratch, visitor, asked, Purpose::Visitor);
    let Scratch { forward, response, out, key, .. } = scratch;
    let outgoing =
        Outgoing { head: forward, method: asked.method, pool: place.pool, upgrades: asked.upgrades };
    let own_deadline = Deadline::new();
    let interim = asked.manner.minor_version > 0;
    let upload = Some(Upload { visitor, body, interim });
    let fetched = fetch(thread, view, &outgoing, upload, response, &mut why.attempts, &own_deadline).await;
    let mut exchange = fetched?;
    if response.status == 101 {
        return upgrade(visitor, out, response, exchange, asked, why).await;
    }
    if freshness::invalidates(asked.method, response.status) {
        // A change was made: what is stored for the same URL no longer holds (RFC 9111 section 4.4).
        let cache = &thread.shared.cache;
        cache.purge(&cache.key(key));
    }
    let reply = asked.reply(why);
    let sent = deliver::exchange(visitor, out, response, &mut exchange, body, reply).await;
    let sent = sent.map_err(Stop::Failed)?;
    exchange.finish(thread);
    Ok(sent)
}

/// Turns the connection into a tunnel, if the endpoint changed to what the visitor asked for.
async fn upgrade(
    visitor: &mut Visitor,
    out: &mut Vec<u8>,
    response: &tentpole_message::ResponseHead,
    mut exchange: Exchange,
    asked: Asked,
    why: &mut Why,
) -> Result<Sent, Stop> {
    let protocol = http1::upgraded(response).filter(|_| asked.upgrades);
    let Some(protocol) = protocol else {
        let unasked = Failure::upstream(Phase::ReadHead, tentpole_model::Retry::Never, Cause::Malformed);
        return Err(Stop::Failed(unasked));
    };
    out.clear();
    http1::write_status_line(out, 101, response.reason());
    http1::write_fields(out, &response.fields, |_| false);
    out.extend_from_slice(b"Connection: Upgrade\r\n");
    http1::write_field(out, b"Upgrade", protocol);
    out.extend_from_slice(b"\r\n");
    why.status = 101;
    why.bytes_out = visitor.write(&mut [IoSlice::new(out)]).await.map_err(Stop::Failed)?;
    let (up, down) = tunnel(visitor, &mut exchange.connection).await;
    why.bytes_in = up;
    why.bytes_out += down;
    Err(Stop::Tunnelled)
}

fn write_forward(scratch: &mut Scratch, visitor: &Visitor, asked: Asked, purpose: Purpose<'_>) {
    let Scratch { request, target, forward, .. } = scratch;
    forward.clear();
    let forward_how = Forward {
        target,
        host: http1::host(request).unwrap_or_default(),
        framing: asked.framing,
        peer: visitor.peer.ip(),
        purpose,
        upgrade: http1::upgrade(request).filter(|_| asked.upgrades),
    };
    forward::write_head(forward, request, &forward_how);
}

/// Answers a request that goes no further.
async fn answer_stop(
    visitor: &mut Visitor,
    scratch: &mut Scratch,
    why: &mut Why,
    stop: Stop,
    manner: Manner,
    body_read: bool,
) -> After {
    let manner = Manner { keep_alive: manner.keep_alive && body_read, ..manner };
    let out = &mut scratch.out;
    out.clear();
    match stop {
        Stop::Gone => return After::Close,
        Stop::Tunnelled => {
            why.end = End::Tunnelled;
            return After::Close;
        }
        Stop::Redirect => {
            why.end = End::Complete;
            why.status = 308;
            answer::redirect(out, &scratch.target, manner);
        }
        Stop::Refused(refused) => {
            why.end = End::Refused(refused);
            why.status = refused.status();
            answer::refusal(out, refused, manner);
        }
        Stop::Failed(failure) => {
            why.end = End::Failed(failure);
            // Part of a response is out, or nobody is there to read one.
            if failure.side == Side::Visitor || (failure.phase == Phase::ReadBody && failure.bytes_sent > 0) {
                why.bytes_out = failure.bytes_sent;
                return After::Close;
            }
            why.status = answer::failure(out, &failure, manner);
        }
    }
    match visitor.write(&mut [IoSlice::new(&scratch.out)]).await {
        Ok(bytes) => {
            why.bytes_out = bytes;
            why.head_us = micros(clock::coarse().since(visitor.arrived));
        }
        Err(_) => return After::Close,
    }
    match (manner.keep_alive, body_read && visitor.filled().is_empty()) {
        (true, _) => After::NextRequest,
        // Nothing unread can come in the way of the answer: but a refused head may still be arriving.
        (false, true) if !matches!(why.end, End::Refused(_)) => After::Close,
        (false, _) => After::Linger,
    }
}

fn begin(thread: &Thread, visitor: &Visitor) -> Why {
    Why {
        arrived_unix_us: visitor.arrived.unix_us(),
        peer: visitor.peer.ip(),
        peer_port: visitor.peer.port(),
        connection_reused: visitor.served > 0,
        thread: thread.number as u8,
        ..Why::new()
    }
}

fn record(thread: &Thread, scratch: &Scratch, why: &mut Why, visitor: &Visitor) {
    why.took_us = micros(clock::coarse().since(visitor.arrived));
    thread.metrics.record(why);
    let mut recorder = thread.recorder.borrow_mut();
    let head = &scratch.request;
    let texts = recorder.wants_texts(why).then(|| Texts {
        method: head.method_bytes(),
        host: http1::host(head).unwrap_or_default(),
        target: head.target(),
        user_agent: head.fields.get(Name::UserAgent).unwrap_or_default(),
        referer: head.fields.get(Name::Referer).unwrap_or_default(),
    });
    recorder.record(why, texts.as_ref());
}

fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}

fn cache_control(head: &RequestHead) -> CacheControl {
    let fields = &head.fields;
    if fields.has(Name::CacheControl) {
        return CacheControl::parse(fields.all(Name::CacheControl));
    }
    // RFC 9111 section 5.4: only where there is no Cache-Control.
    let no_cache = fields.has_token(Name::Pragma, b"no-cache");
    CacheControl { no_cache, ..CacheControl::default() }
}

impl Begun {
    fn new() -> Self {
        let manner = Manner { head_only: false, keep_alive: false, minor_version: 1 };
        Self { manner, has_body: true, body: None }
    }

    /// Whether the next bytes are another request.
    fn body_read(&self) -> bool {
        self.body.as_ref().map_or(!self.has_body, RequestBody::is_done)
    }
}

impl Asked {
    /// Why a response that another request has just fetched is not for this one.
    fn refuses(&self, facts: &StoredFacts) -> Option<Bypass> {
        match facts.may_use(&self.facts, self.now) {
            Use::Fresh | Use::StaleAccepted => None,
            Use::Pass => Some(Bypass::CookieWithoutLifetime),
            Use::Revalidate | Use::OnlyIfCached => Some(Bypass::AlreadyStale),
        }
    }

    fn reply(&self, why: &Why) -> Reply {
        Reply { manner: self.manner, cache: why.cache, now: self.now }
    }
}

impl From<NoResponse> for Stop {
    fn from(no: NoResponse) -> Self {
        match no {
            NoResponse::Failed(failure) => Self::Failed(failure),
            NoResponse::Refused(refused) => Self::Refused(refused),
        }
    }
}
