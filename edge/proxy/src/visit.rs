//! The way of a request, in order:
//!
//! accept → parse → route → look up or join a fill → (fetch) → deliver → record why
//!
//! One call a step; each may stop the request with a reason, and the reason is what the visitor, the log and the
//! metrics see. What a head means is `asked.rs`, where it belongs `place.rs`, what happens at an endpoint `fetch.rs`.
//! Nothing here formats a response or touches a socket.

use crate::answer::Manner;
use crate::asked::{Asked, understand};
use crate::deliver::{self, Reply, Sent};
use crate::exchange::{Exchange, Upload};
use crate::fetch::{Outgoing, fetch};
use crate::fill::{self, Led, Own, Wanted};
use crate::forward::{self, Forward, Purpose};
use crate::place::{Place, route};
use crate::purge::host_of;
use crate::stop::{After, Stop};
use crate::thread::{Scratch, Thread, View};
use crate::tunnel::tunnel;
use std::rc::Rc;
use std::time::Duration;
use tentpole_cache::{Arrival, FillReader, Judged, Lead, Looked, Object, Release, Waiter};
use tentpole_freshness::{self as freshness, StoredFacts, Use};
use tentpole_http1::{self as http1, Framing};
use tentpole_listener::{Next, RequestBody, Visitor};
use tentpole_message::Name;
use tentpole_model::{
    Bypass, CacheOutcome, Cause, End, Failure, Method, Phase, Refused, Retry, RouteCache, Side, Why,
};
use tentpole_observe::Texts;
use tentpole_runtime::clock;
use tentpole_runtime::deadline::Deadline;

/// How often a request looks up again because the fill it joined was of another variant.
const LOOKS_MAX: usize = 3;

/// One request on its way.
pub struct Visit<'a> {
    thread: &'a Rc<Thread>,
    pub(crate) visitor: &'a mut Visitor,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) why: Why,
    /// How the visitor is answered; closes until the head was understood.
    pub(crate) manner: Manner,
    body: RequestBody,
    /// There is a body, or there may be one, that `body` does not stand for yet.
    body_pending: bool,
}

/// Serves one connection, request after request.
pub async fn serve(thread: Rc<Thread>, mut visitor: Visitor) {
    while visitor.awaits_request().await {
        let mut scratch = thread.scratch();
        let after = Visit::new(&thread, &mut visitor, &mut scratch).run().await;
        thread.put_back(scratch);
        visitor.served = visitor.served.saturating_add(1);
        match after {
            After::NextRequest => {}
            After::Close => return,
            After::Linger => return visitor.linger().await,
        }
    }
}

impl<'a> Visit<'a> {
    fn new(thread: &'a Rc<Thread>, visitor: &'a mut Visitor, scratch: &'a mut Scratch) -> Self {
        let why = Why {
            arrived_unix_us: visitor.arrived.unix_us(),
            peer: visitor.peer.ip(),
            peer_port: visitor.peer.port(),
            connection_reused: visitor.served > 0,
            thread: thread.number as u8,
            ..Why::new()
        };
        let manner = Manner { head_only: false, keep_alive: false, minor_version: 1 };
        Self { thread, visitor, scratch, why, manner, body: RequestBody::none(), body_pending: true }
    }

    /// Serves the request and records why it went as it did.
    async fn run(mut self) -> After {
        let after = match self.steps().await {
            Ok(sent) => self.completed(sent),
            Err(Stop::Gone) => return After::Close,
            Err(stop) => self.stopped(stop).await,
        };
        // Beside what a tunnel has counted.
        self.why.bytes_in += self.body.bytes_seen;
        self.record();
        after
    }

    /// The steps, in order.
    async fn steps(&mut self) -> Result<Sent, Stop> {
        self.read_head().await?;
        let asked = self.understand()?;
        let view = self.thread.view();
        let place = route(&view, self.scratch, asked.method, &mut self.why)?;
        // Before the cache: a body that may not be sent must not cost a look-up.
        self.accept_body(asked, place)?;
        // What follows a hit is here, in the connection's own task; everything slower has memory of its own.
        match self.look_up(asked, place)? {
            Looked::Hit(object) => self.deliver_object(&object, b"", CacheOutcome::Hit, asked).await,
            looked => Box::pin(self.miss(view, asked, place, looked)).await,
        }
    }

    async fn read_head(&mut self) -> Result<(), Stop> {
        // It holds another visitor's request, which the log would show if this one cannot be understood.
        self.scratch.request.clear();
        match self.visitor.read_head(&mut self.scratch.request).await {
            Next::Request => Ok(()),
            Next::Gone => Err(Stop::Gone),
            Next::Refused(refused) => Err(Stop::Refused(refused)),
        }
    }

    fn understand(&mut self) -> Result<Asked, Stop> {
        let head = &self.scratch.request;
        self.why.method = head.method;
        self.why.minor_version = head.minor_version;
        self.manner.minor_version = head.minor_version;
        self.manner.head_only = head.method == Method::Head;
        let asked = understand(head).map_err(Stop::Refused)?;
        // From here on it is known where this request ends: the connection may go on.
        self.body_pending = asked.framing != Framing::None;
        self.manner.keep_alive = http1::keeps_alive_request(head);
        if matches!(head.method, Method::Connect | Method::Trace) {
            return Err(Stop::Refused(Refused::Method));
        }
        Ok(asked)
    }

    fn accept_body(&mut self, asked: Asked, place: Place) -> Result<(), Stop> {
        self.body = RequestBody::new(asked.framing, place.body_bytes_max).map_err(Stop::Refused)?;
        self.body_pending = false;
        Ok(())
    }

    /// Everything but a hit: leads or joins a fill, or goes to an endpoint for this visitor alone.
    async fn miss(
        &mut self,
        view: Rc<View>,
        asked: Asked,
        place: Place,
        looked: Looked,
    ) -> Result<Sent, Stop> {
        let mut looked = looked;
        // Others may need the buffer while this request waits.
        self.visitor.rest();
        for _ in 0..LOOKS_MAX {
            let arrival = match looked {
                Looked::Hit(object) | Looked::Stale(object, _) => Arrival::Object(object),
                Looked::Bypass(bypass) => return self.pass(view, asked, place, bypass).await,
                Looked::Lead(lead) => return self.lead(view, asked, place, lead).await,
                Looked::Joined(waiter) => self.join(waiter).await,
            };
            match arrival {
                // What must be asked for each time was asked for someone else: he may get another answer.
                Arrival::Object(object) if let Some(bypass) = refuses(asked, &object.facts) => {
                    return self.pass(view, asked, place, bypass).await;
                }
                Arrival::Reader(reader) if let Some(bypass) = refuses(asked, reader.facts()) => {
                    drop(reader);
                    return self.pass(view, asked, place, bypass).await;
                }
                Arrival::Object(object) => {
                    return self.deliver_object(&object, b"", CacheOutcome::Joined, asked).await;
                }
                Arrival::Reader(reader) => {
                    return self.deliver_reader(reader, CacheOutcome::Joined, asked).await;
                }
                // The endpoint has just failed for someone else: asking it again would only add to its trouble.
                Arrival::GoYourself(Release::Failed(failure)) => return Err(Stop::Failed(failure)),
                Arrival::GoYourself(Release::Bypass(bypass)) => {
                    return self.pass(view, asked, place, bypass).await;
                }
                Arrival::GoYourself(Release::VaryMismatch | Release::Abandoned) => {
                    looked = self.look_up(asked, place)?;
                }
            }
        }
        self.pass(view, asked, place, Bypass::TooManyWaiters).await
    }

    /// Looks for a stored response, joins the fill that is under way, or becomes the one who leads it.
    fn look_up(&self, asked: Asked, place: Place) -> Result<Looked, Stop> {
        let Asked { facts, now, .. } = asked;
        if let Some(bypass) = goes_past(asked, place) {
            return Ok(Looked::Bypass(bypass));
        }
        let cache = &self.thread.shared.cache;
        let key = cache.key(&self.scratch.key);
        let fields = &self.scratch.request.fields;
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
        let looked = cache.look_up(&key, fields, |object| match object.facts.may_use(&facts, now) {
            Use::Fresh | Use::StaleAccepted => Judged::Use,
            Use::Revalidate | Use::OnlyIfCached => Judged::Revalidate,
            Use::Pass => Judged::Pass(for_whom(asked)),
        });
        // After the look-up: a hit need not ask this.
        let fetches = matches!(looked, Looked::Lead(_) | Looked::Joined(_));
        if fetches && (facts.cookie || facts.authorization) && cache.passes_personal(&key) {
            return Ok(Looked::Bypass(Bypass::HitForMiss));
        }
        Ok(looked)
    }

    /// Waits for the head of a fill that someone else leads.
    async fn join(&mut self, mut waiter: Waiter) -> Arrival {
        let (deadline, fields) = (&self.visitor.deadline, &self.scratch.request.fields);
        deadline.set_in(self.thread.shared.wait_max);
        match deadline.guard(|context| waiter.poll_arrival(fields, context)).await {
            Ok(arrival) => arrival,
            Err(_) => Arrival::GoYourself(Release::Bypass(Bypass::WaitedTooLong)),
        }
    }

    /// Leads a fill: the fetch runs on without us if we leave.
    async fn lead(&mut self, view: Rc<View>, asked: Asked, place: Place, lead: Lead) -> Result<Sent, Stop> {
        self.write_forward(asked, purpose_of(&lead));
        let head = self.scratch.forward.clone();
        let fields = self.scratch.request.fields.clone();
        let wanted = Wanted { view, pool: place.pool, head, fields, facts: asked.facts };
        let Ok((led, attempts)) = fill::start(self.thread, lead, wanted).await else {
            return Err(Stop::Failed(Failure::internal(Phase::FirstByte, Cause::FillAborted)));
        };
        self.why.attempts = attempts;
        match led {
            Led::Reader(reader) => self.deliver_reader(reader, CacheOutcome::Stored, asked).await,
            Led::Refreshed(object, own) => {
                self.deliver_object(&object, &own, CacheOutcome::Revalidated, asked).await
            }
            Led::Own(own) => {
                let Own { exchange, response, bypass } = *own;
                self.why.cache = CacheOutcome::Bypass(bypass);
                self.scratch.response = response;
                self.deliver_exchange(exchange, asked).await
            }
            Led::None(no) => Err(no.into()),
        }
    }

    /// Goes to an endpoint for this visitor alone.
    async fn pass(
        &mut self,
        view: Rc<View>,
        asked: Asked,
        place: Place,
        bypass: Bypass,
    ) -> Result<Sent, Stop> {
        self.why.cache = CacheOutcome::Bypass(bypass);
        self.write_forward(asked, Purpose::Visitor);
        let Scratch { forward, response, .. } = &mut *self.scratch;
        let upgrades = asked.upgrades;
        let outgoing = Outgoing { head: forward, method: asked.method, pool: place.pool, upgrades };
        let deadline = Deadline::new();
        let interim = self.manner.minor_version > 0;
        let upload = Some(Upload { visitor: self.visitor, body: &mut self.body, interim });
        let attempts = &mut self.why.attempts;
        let fetched = fetch(self.thread, view, &outgoing, upload, response, attempts, &deadline).await;
        let exchange = fetched?;
        if self.scratch.response.status == 101 {
            return self.upgrade(exchange, asked).await;
        }
        if freshness::invalidates(asked.method, self.scratch.response.status) {
            // A change was made: what is stored for the same URL no longer holds (RFC 9111 section 4.4).
            let cache = &self.thread.shared.cache;
            cache.purge(&cache.key(&self.scratch.key));
        }
        self.deliver_exchange(exchange, asked).await
    }

    /// Turns the connection into a tunnel, if the endpoint changed to what the visitor asked for.
    async fn upgrade(&mut self, mut exchange: Exchange, asked: Asked) -> Result<Sent, Stop> {
        let Scratch { response, out, .. } = &mut *self.scratch;
        let Some(protocol) = http1::upgraded(response).filter(|_| asked.upgrades) else {
            let unasked = Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed);
            return Err(Stop::Failed(unasked));
        };
        self.why.status = 101;
        let told = deliver::switching(self.visitor, out, response, protocol).await;
        self.why.bytes_out = told.map_err(Stop::Failed)?;
        let (up, down) = tunnel(self.visitor, &mut exchange.connection).await;
        self.why.bytes_in = up;
        self.why.bytes_out += down;
        Err(Stop::Tunnelled)
    }

    /// Leaves the head that goes to the endpoint in the scratch.
    fn write_forward(&mut self, asked: Asked, purpose: Purpose<'_>) {
        let Scratch { request, target, key, forward, .. } = &mut *self.scratch;
        forward.clear();
        let how = Forward {
            target,
            host: host_of(key),
            framing: asked.framing,
            peer: self.visitor.peer.ip(),
            purpose,
            upgrade: http1::upgrade(request).filter(|_| asked.upgrades),
        };
        forward::write_head(forward, request, &how);
    }

    async fn deliver_object(
        &mut self,
        object: &Object,
        own: &[u8],
        cache: CacheOutcome,
        asked: Asked,
    ) -> Result<Sent, Stop> {
        self.why.cache = cache;
        self.why.status = object.head.status;
        let reply = self.reply(asked);
        let Scratch { request, out, .. } = &mut *self.scratch;
        deliver::object(self.visitor, out, object, own, request, reply).await.map_err(Stop::Failed)
    }

    async fn deliver_reader(
        &mut self,
        reader: FillReader,
        cache: CacheOutcome,
        asked: Asked,
    ) -> Result<Sent, Stop> {
        self.why.cache = cache;
        self.why.status = reader.head().status;
        let reply = self.reply(asked);
        let Scratch { request, out, .. } = &mut *self.scratch;
        deliver::reader(self.visitor, out, reader, request, reply).await.map_err(Stop::Failed)
    }

    /// Delivers the response whose head is in the scratch.
    async fn deliver_exchange(&mut self, mut exchange: Exchange, asked: Asked) -> Result<Sent, Stop> {
        let reply = self.reply(asked);
        let Scratch { response, out, .. } = &mut *self.scratch;
        self.why.status = response.status;
        let sent = deliver::exchange(self.visitor, out, response, &mut exchange, &mut self.body, reply).await;
        match sent {
            Ok(sent) => {
                exchange.finish(self.thread);
                Ok(sent)
            }
            Err(failure) => {
                if failure.side == Side::Upstream {
                    exchange.connection.cell().failed();
                }
                Err(Stop::Failed(failure))
            }
        }
    }

    fn reply(&self, asked: Asked) -> Reply {
        let keep_alive = self.manner.keep_alive && !self.is_ending();
        Reply { manner: Manner { keep_alive, ..self.manner }, cache: self.why.cache, now: asked.now }
    }

    /// Whether the edge ends: asked when the answer is written, as it may have begun to while the request waited.
    pub(crate) fn is_ending(&self) -> bool {
        self.thread.draining.get()
    }

    /// Whether the next bytes are another request.
    pub(crate) fn body_read(&self) -> bool {
        !self.body_pending && self.body.is_done()
    }

    fn completed(&mut self, sent: Sent) -> After {
        if self.why.cache == CacheOutcome::Hit && sent.status != self.why.status {
            self.why.cache = CacheOutcome::HitPartial;
        }
        self.why.status = sent.status;
        self.why.bytes_out = sent.bytes;
        self.why.head_us = micros(sent.head_at.since(self.visitor.arrived));
        self.why.end = End::Complete;
        match (sent.keep_alive, self.body_read()) {
            (true, true) => After::NextRequest,
            (false, true) => After::Close,
            (_, false) => After::Linger,
        }
    }

    fn record(&mut self) {
        // One read of the clock a request: without it, all that happens within one turn takes no time.
        self.why.took_us = micros(clock::renew().since(self.visitor.arrived));
        self.thread.metrics.record(&self.why);
        let mut recorder = self.thread.recorder.borrow_mut();
        let head = &self.scratch.request;
        let texts = recorder.wants_texts(&self.why).then(|| Texts {
            method: head.method_bytes(),
            host: http1::host(head).unwrap_or_default(),
            target: head.target(),
            user_agent: head.fields.get(Name::UserAgent).unwrap_or_default(),
            referer: head.fields.get(Name::Referer).unwrap_or_default(),
        });
        recorder.record(&self.why, texts.as_ref());
    }
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

/// Why a response that another request has just fetched is not for this one.
fn refuses(asked: Asked, facts: &StoredFacts) -> Option<Bypass> {
    match facts.may_use(&asked.facts, asked.now) {
        Use::Fresh | Use::StaleAccepted => None,
        Use::Pass => Some(for_whom(asked)),
        Use::Revalidate | Use::OnlyIfCached => Some(Bypass::AlreadyStale),
    }
}

/// Why a response whose lifetime is a guess is not for a visitor who says who he is.
fn for_whom(asked: Asked) -> Bypass {
    if asked.facts.cookie { Bypass::CookieWithoutLifetime } else { Bypass::Authorization }
}

fn purpose_of(lead: &Lead) -> Purpose<'_> {
    match &lead.stale {
        Some(stale) if stale.facts.validator => {
            Purpose::Revalidate { etag: stale.etag.as_deref(), last_modified: stale.last_modified.as_deref() }
        }
        _ => Purpose::Store,
    }
}

pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
