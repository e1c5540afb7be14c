//! The way of a request, in order:
//!
//! accept → parse → route → look up or join a fill → (fetch) → deliver → record why
//!
//! One call a step; each may stop the request with a reason, and the reason is what the visitor, the log and the
//! metrics see. What a head means is `asked.rs`, where it belongs `place.rs`, how the cache answers `obtain.rs`,
//! what happens at an endpoint `fetch.rs`.
//! Nothing here formats a response or touches a socket.

use crate::answer::Manner;
use crate::asked::{Asked, understand};
use crate::came::{Came, came};
use crate::confirm;
use crate::deliver::{self, Reply, Sent};
use crate::exchange::{Exchange, Upload};
use crate::fetch::Outgoing;
use crate::fill::{Own, is_error};
use crate::from_disk::{self, Source};
use crate::head::Keeping;
use crate::invalidate;
use crate::learn;
use crate::lock::is_let_in;
use crate::obtain::{Forwarded, Got, Inquiry};
use crate::on_disk;
use crate::part;
use crate::place::{Place, route};
use crate::purging::is_purge;
use crate::stop::{After, Stop};
use crate::template::{fetch_readable, is_encoded, is_page, stored_plan};
use crate::thread::{Scratch, Thread, View};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::{FillReader, Looked, Object};
use tentpole_freshness::{self as freshness, Trouble};
use tentpole_http1::{self as http1, Framing};
use tentpole_listener::{Next, RequestBody, Visitor};
use tentpole_message::Name;
use tentpole_model::{
    AssemblyFault, Bypass, CacheOutcome, Cause, End, Esi, Failure, Method, Outcome, Phase, Refused, Retry,
    Side, Version, Why,
};
use tentpole_observe::Texts;
use tentpole_runtime::clock;
use tentpole_runtime::deadline::Deadline;

/// One request on its way.
pub struct Visit<'a> {
    pub(crate) thread: &'a Rc<Thread>,
    pub(crate) visitor: &'a mut Visitor,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) why: Why,
    /// Where it comes from.
    pub(crate) came: Came,
    /// How the visitor is answered; closes until the head was understood.
    pub(crate) manner: Manner,
    /// Why an endpoint was asked, if one was.
    forwarded: Option<Forwarded>,
    /// Its route serves compressed forms of what is stored.
    compresses: bool,
    pub(crate) body: RequestBody,
    /// Which responses are pages to be put together; known once it matters.
    esi: Esi,
    /// There is a body, or there may be one, that `body` does not stand for yet.
    body_pending: bool,
}

impl<'a> Visit<'a> {
    pub(crate) fn new(thread: &'a Rc<Thread>, visitor: &'a mut Visitor, scratch: &'a mut Scratch) -> Self {
        let why = Why {
            arrived_unix_us: visitor.arrived.unix_us(),
            peer: visitor.source.ip(),
            peer_port: visitor.source.port(),
            connection_reused: visitor.served > 0,
            version: visitor.version(),
            tls: visitor.tls,
            thread: thread.number as u8,
            ..Why::new()
        };
        let came = Came { address: visitor.source.ip(), https: visitor.https, proxied: visitor.proxied };
        let manner = Manner { head_only: false, keep_alive: false, version: visitor.version(), hsts_s: 0 };
        let body = RequestBody::none();
        Self {
            thread,
            visitor,
            scratch,
            why,
            came,
            manner,
            forwarded: None,
            compresses: false,
            body,
            esi: Esi::Off,
            body_pending: true,
        }
    }

    /// Answers a connection that does not begin as it must.
    pub(crate) async fn turn_away(mut self, refused: Refused) {
        // It holds another visitor's request.
        self.scratch.request.clear();
        self.stopped(Stop::Refused(refused)).await;
        self.record();
    }

    /// Serves the request and records why it went as it did.
    pub(crate) async fn run(&mut self) -> After {
        let after = match self.steps().await {
            Ok(sent) => self.completed(sent),
            Err(Stop::Gone) => return After::Close,
            Err(Stop::Http2) => return After::Http2,
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
        let mut asked = self.understand()?;
        let view = self.thread.view();
        // Before the route: by https, what is stored is something else.
        asked.https = self.hear_of_visitor(&view);
        if asked.method == Method::Other && is_purge(self.scratch.request.method_bytes()) {
            // Before the route: its own fields say whom it is about.
            return Box::pin(self.purge(view, asked)).await;
        }
        // After purges, which have a right of their own.
        let by_https = self.visitor.tls.is_some();
        if !is_let_in(&view.prepared, &self.scratch.request, asked.method, by_https) {
            return Err(Stop::Refused(Refused::NotThroughFront));
        }
        let searches = &self.thread.shared.searches;
        let place = route(&view, searches, self.scratch, &mut asked, &mut self.why)?;
        self.keep_to_https(&view, asked)?;
        asked.part = part::choose(&self.thread.shared.cache, self.scratch, asked, place);
        self.compresses = view.prepared.caching(place.caching).compress;
        // Before the cache: a body that may not be sent must not cost a look-up.
        self.accept_body(asked, place)?;
        // What follows a hit is here, in the connection's own task; everything slower has memory of its own.
        match self.inquiry(&view, asked, place).look_up()? {
            Looked::Hit(object) if object.place().is_none() => {
                self.deliver_object(&object, b"", CacheOutcome::Hit, asked).await
            }
            looked => Box::pin(self.miss(view, asked, place, looked)).await,
        }
    }

    async fn read_head(&mut self) -> Result<(), Stop> {
        // It holds another visitor's request, which the log would show if this one cannot be understood.
        self.scratch.request.clear();
        self.scratch.via.clear();
        match self.visitor.read_head(&mut self.scratch.request).await {
            Next::Request => Ok(()),
            Next::Gone => Err(Stop::Gone),
            Next::Http2 => Err(Stop::Http2),
            Next::Refused(refused) => Err(Stop::Refused(refused)),
        }
    }

    fn understand(&mut self) -> Result<Asked, Stop> {
        let head = &self.scratch.request;
        self.why.method = head.method;
        if head.minor_version == 0 {
            self.manner.version = Version::Http10;
            self.why.version = Version::Http10;
        }
        self.manner.head_only = head.method == Method::Head;
        let framing = self.visitor.framing(head).map_err(Stop::Refused)?;
        let asked = understand(head, framing).map_err(Stop::Refused)?;
        // From here on it is known where this request ends: the connection may go on.
        self.body_pending = asked.framing != Framing::None;
        self.manner.keep_alive = http1::keeps_alive_request(head);
        if matches!(head.method, Method::Connect | Method::Trace) {
            return Err(Stop::Refused(Refused::Method));
        }
        Ok(asked)
    }

    /// Sends who asks in the clear to https, and lets browsers remember that, where the site says so.
    fn keep_to_https(&mut self, view: &View, asked: Asked) -> Result<(), Stop> {
        let Some(site) = self.why.site.map(|site| view.prepared.site(site)) else { return Ok(()) };
        if site.to_https && !asked.https {
            return Err(Stop::ToHttps(view.prepared.https_port));
        }
        self.manner.hsts_s = if asked.https { site.hsts_s } else { 0 };
        Ok(())
    }

    /// Takes the word of a proxy in front, if it is believed, for where the request comes from. True when it was asked
    /// by https.
    fn hear_of_visitor(&mut self, view: &View) -> bool {
        let Scratch { request, via, .. } = &mut *self.scratch;
        let front = &view.prepared.snapshot.front;
        let Some(came) = came(front, self.came.address, self.came.https, &request.fields, via) else {
            return self.came.https;
        };
        if came.address != self.came.address {
            self.why.peer = came.address;
            // Which port he has, nobody says.
            self.why.peer_port = 0;
        }
        self.came = Came { proxied: came.proxied || self.came.proxied, ..came };
        came.https
    }

    fn accept_body(&mut self, asked: Asked, place: Place) -> Result<(), Stop> {
        self.body = RequestBody::new(asked.framing, place.body_bytes_max).map_err(Stop::Refused)?;
        self.body_pending = false;
        Ok(())
    }

    /// Leaves a body unread: without one the connection goes on.
    pub(crate) fn ignore_body(&mut self, there_is_none: bool) {
        self.body_pending = !there_is_none;
    }

    /// Everything but a hit.
    async fn miss(
        &mut self,
        view: Rc<View>,
        asked: Asked,
        place: Place,
        looked: Looked,
    ) -> Result<Sent, Stop> {
        self.esi = view.prepared.caching(place.caching).esi;
        // Others may need the buffer while this request waits.
        self.visitor.rest();
        let mut got = self.inquiry(&view, asked, place).obtain(looked).await?;
        if let Got::Object { object, own_lines, outcome } = &got
            && object.place().is_some()
        {
            if let Some(sent) = self.deliver_from_disk(object, own_lines, *outcome, asked).await? {
                return Ok(sent);
            }
            // The disk has given it up: it is fetched as though it had never been there.
            on_disk::lost(&self.thread.shared, object);
            let looked = self.inquiry(&view, asked, place).look_up()?;
            got = self.inquiry(&view, asked, place).obtain(looked).await?;
        }
        match got {
            // Lost once more: somebody else had it brought back.
            Got::Object { object, .. } if object.place().is_some() => {
                self.pass(view, asked, place, Bypass::TooLarge).await
            }
            Got::Object { object, own_lines, outcome } => {
                self.deliver_object(&object, &own_lines, outcome, asked).await
            }
            Got::Reader { reader, own_lines, outcome } => {
                self.deliver_reader(reader, &own_lines, outcome, asked).await
            }
            Got::Own(own) => {
                let Own { exchange, response, bypass } = *own;
                self.why.cache = CacheOutcome::Bypass(bypass);
                self.scratch.response = response;
                self.deliver_exchange(&view, exchange, asked, place, true).await
            }
            Got::Pass(bypass) => self.pass(view, asked, place, bypass).await,
        }
    }

    /// What is asked for, without the connection that it came over.
    fn inquiry<'b>(&'b mut self, view: &'b Rc<View>, asked: Asked, place: Place) -> Inquiry<'b> {
        let Scratch { request, target, shared_target, key, cookies, via, .. } = &*self.scratch;
        let cookies = place.cookies.reduced.then_some(&cookies[..]);
        let (peer, deadline) = (self.came.address, &self.visitor.deadline);
        let (thread, attempts, forwarded) = (self.thread, &mut self.why.attempts, &mut self.forwarded);
        Inquiry {
            thread,
            view,
            request,
            target,
            shared_target,
            cookies,
            key,
            asked,
            place,
            peer,
            via,
            deadline,
            attempts,
            forwarded,
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
        let mut forward = std::mem::take(&mut self.scratch.forward);
        let inquiry = self.inquiry(&view, asked, place);
        let as_keyed = inquiry.asks_as_keyed(bypass);
        inquiry.write_own_forward(&mut forward, bypass);
        self.scratch.forward = forward;
        let Scratch { forward, response, .. } = &mut *self.scratch;
        let upgrades = asked.upgrades;
        let outgoing = Outgoing { head: forward, method: asked.method, pool: place.pool, upgrades };
        let requested = clock::coarse().unix_seconds();
        let deadline = Deadline::new();
        let interim = self.manner.version != Version::Http10;
        let upload = Some(Upload { visitor: self.visitor, body: &mut self.body, interim });
        let attempts = &mut self.why.attempts;
        let (thread, pinned) = (self.thread, view.clone());
        let fetched =
            fetch_readable(thread, pinned, place, &outgoing, upload, response, attempts, &deadline).await;
        let trouble = match &fetched {
            Ok(_) => is_error(response.status).then_some(Trouble::Error),
            Err(_) => Some(Trouble::Silence),
        };
        if let Some(trouble) = trouble
            && let Some(object) = self.inquiry(&view, asked, place).stale_if_error(trouble)
        {
            self.forwarded = Some(Forwarded::Stale);
            return self.deliver_object(&object, b"", CacheOutcome::StaleIfError, asked).await;
        }
        let exchange = fetched?;
        if self.scratch.response.status == 101 {
            return self.upgrade(exchange, asked).await;
        }
        if self.visitor.challenge().is_some() && matches!(self.scratch.response.status, 200..=299) {
            // There, success means that a tunnel is open (RFC 8441 section 5).
            return Err(Stop::Failed(Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed)));
        }
        if asked.method == Method::Head {
            self.update_by_head(&view, asked, place, requested);
        }
        if freshness::invalidates(asked.method, self.scratch.response.status) {
            let Scratch { key, shared_target, response, .. } = &*self.scratch;
            invalidate::after_change(&self.thread.shared, key, shared_target, response);
            let paths = &view.prepared.caching(place.caching).purges;
            if !paths.is_empty() {
                invalidate::by_route(self.thread, key, paths).await;
            }
        }
        self.deliver_exchange(&view, exchange, asked, place, as_keyed).await
    }

    /// What is stored for GET learns what a HEAD was answered.
    fn update_by_head(&mut self, view: &Rc<View>, asked: Asked, place: Place, requested: u64) {
        if let Some(stored) = self.inquiry(view, asked, place).stored() {
            let (cache, caching) = (&self.thread.shared.cache, view.prepared.caching(place.caching));
            let now = clock::coarse().unix_seconds();
            let keeping = Keeping { caching, sends_tags: self.thread.sends_tags() };
            confirm::update(cache, &stored, &self.scratch.response, &asked.facts, keeping, requested, now);
        }
    }

    pub(crate) async fn deliver_object(
        &mut self,
        object: &Arc<Object>,
        own: &[u8],
        cache: CacheOutcome,
        asked: Asked,
    ) -> Result<Sent, Stop> {
        if object.place().is_some() {
            // In memory of its own, as all that is slower than a hit.
            let sent = Box::pin(self.deliver_from_disk(object, own, cache, asked)).await?;
            let gone = || Stop::Failed(Failure::internal(Phase::ReadBody, Cause::FillAborted));
            return sent.ok_or_else(gone);
        }
        self.why.cache = cache;
        self.why.learned = object.facts().learned;
        self.why.status = object.status();
        match stored_plan(object) {
            Ok(None) => {}
            Ok(Some(plan)) => return Box::pin(self.assemble_object(object, plan, own, asked)).await,
            Err(fault) => self.why.assembly.fault = Some(fault),
        }
        let reply = self.reply(asked);
        let Scratch { request, out, .. } = &mut *self.scratch;
        let form = self.compresses.then(|| self.thread.shared.forms.of(object, request)).flatten();
        let sent = deliver::object(self.visitor, out, object, form, own, request, reply).await;
        sent.map_err(Stop::Failed)
    }

    /// Delivers an object whose content is on disk; `None` when it cannot be read, and nothing was sent.
    async fn deliver_from_disk(
        &mut self,
        object: &Arc<Object>,
        own: &[u8],
        cache: CacheOutcome,
        asked: Asked,
    ) -> Result<Option<Sent>, Stop> {
        let shared = &self.thread.shared;
        let (Some(disk), Some(body)) = (&shared.disk, on_disk::hold(object)) else { return Ok(None) };
        self.why.cache = if cache == CacheOutcome::Hit { CacheOutcome::HitDisk } else { cache };
        self.why.status = object.status();
        let reply = self.reply(asked);
        let source = Source { disk, body, ledger: &shared.ledger };
        let Scratch { request, out, .. } = &mut *self.scratch;
        let sent = from_disk::object(self.visitor, out, &source, object, own, request, reply).await;
        if let Err(failure) = &sent
            && failure.source == Cause::FillAborted
        {
            on_disk::lost(shared, object);
        }
        sent.map_err(Stop::Failed)
    }

    async fn deliver_reader(
        &mut self,
        reader: FillReader,
        own: &[u8],
        cache: CacheOutcome,
        asked: Asked,
    ) -> Result<Sent, Stop> {
        self.why.cache = cache;
        self.why.learned = reader.facts().learned;
        self.why.status = reader.head().status;
        if reader.assembles() {
            return Box::pin(self.assemble_reader(reader, own, cache, asked)).await;
        }
        let reply = self.reply(asked);
        let Scratch { request, out, .. } = &mut *self.scratch;
        deliver::reader(self.visitor, out, reader, own, request, reply).await.map_err(Stop::Failed)
    }

    /// Delivers the response whose head is in the scratch. `as_keyed` says that the endpoint was asked for what the key holds,
    /// and for no more of the query.
    async fn deliver_exchange(
        &mut self,
        view: &View,
        mut exchange: Box<Exchange>,
        asked: Asked,
        place: Place,
        as_keyed: bool,
    ) -> Result<Sent, Stop> {
        if is_page(self.esi, &self.scratch.response) {
            if !is_encoded(&self.scratch.response.fields) {
                return Box::pin(self.assemble_exchange(exchange, asked)).await;
            }
            self.why.assembly.fault = Some(AssemblyFault::PageEncoded);
        }
        let reply = self.reply(asked);
        let Scratch { request, key, response, out, .. } = &mut *self.scratch;
        let told = learn::Told {
            fields: &request.fields,
            asked: &asked,
            prepared: &view.prepared,
            key,
            peer: self.came.address,
            route: place.route,
            cache: place.cache,
            learn: view.prepared.caching(place.caching).learn,
            sent: self.visitor.arrived,
            stripped: None,
            as_keyed,
            must: false,
        };
        let length = if let Framing::Length(length) = exchange.body.framing { Some(length) } else { None };
        let mut watch = learn::Watch::begin(&self.thread.learn, &told, response, length);
        self.why.status = response.status;
        let (body, passing) = (&mut self.body, &mut watch);
        let sent = deliver::exchange(self.visitor, out, response, &mut exchange, body, passing, reply).await;
        match sent {
            Ok(sent) => {
                if let Some(watch) = watch {
                    watch.end(&self.thread.learn, learn::took_us(&self.why.attempts));
                }
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

    pub(crate) fn reply(&self, asked: Asked) -> Reply {
        let keep_alive = self.manner.keep_alive && !self.is_ending();
        let mut answered = self.why.attempts.iter().flatten().filter_map(|attempt| match attempt.outcome {
            Outcome::Status(status) => Some(status),
            Outcome::Failed(_) => None,
        });
        Reply {
            sends_tags: self.thread.sends_tags(),
            manner: Manner { keep_alive, ..self.manner },
            cache: self.why.cache,
            forwarded: self.forwarded,
            forward_status: answered.next_back(),
            learned: false,
            now: asked.now,
        }
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
        self.visitor.end();
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
        self.thread.learn.count_origin(&self.why.attempts);
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

pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
