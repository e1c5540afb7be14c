//! The way of a request, in order:
//!
//! accept → parse → route → (waiting room) → look up or join a fill → (fetch) → deliver → record why
//!
//! One call a step; each may stop the request with a reason, and the reason is what the visitor, the log and the
//! metrics see. What a head means is `asked.rs`, where it belongs `place.rs`, how the cache answers `obtain.rs`,
//! what happens at an endpoint `fetch.rs`.
//! Nothing here formats a response or touches a socket.

use crate::answer::Manner;
use crate::asked::{Asked, understand};
use crate::came::{Came, heard};
use crate::confirm;
use crate::deliver::{self, Reply, Sent};
use crate::exchange::{Exchange, NoResponse, Upload};
use crate::fetch::Outgoing;
use crate::fill::{Own, is_error};
use crate::from_disk::{self, Source};
use crate::head::Keeping;
use crate::held::Held;
use crate::inquire::{inquiry_of, while_there};
use crate::invalidate;
use crate::learn;
use crate::lock::is_let_in;
use crate::obtain::{Forwarded, Got, is_too_slow};
use crate::on_disk;
use crate::part;
use crate::place::{Place, goes_to_https, route};
use crate::purging::is_purge;
use crate::rank;
use crate::stop::{After, Stop};
use crate::template::{fetch_readable, is_encoded, is_page, stored_plan};
use crate::thread::{Scratch, Thread, View};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tentpole_admit::Rank;
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
    /// What it is worth where not all can be served; known once it is not answered from the cache.
    pub(crate) rank: Rank,
    /// How the visitor is answered; closes until the head was understood.
    pub(crate) manner: Manner,
    /// Why an endpoint was asked, if one was.
    pub(crate) forwarded: Option<Forwarded>,
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
            rank: rank::UNKNOWN,
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
        if let Some(marked) = &view.prepared.marked {
            self.why.load = marked.is(&self.scratch.request.fields, asked.now);
        }
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
        self.keep_to_https(&view, &asked)?;
        // Before the cache: a refused visitor must not cost a look-up.
        self.screen(&view, asked, place)?;
        if let Some(room) = place.room {
            // Before the cache: what stands behind a room is for those inside.
            let live = &view.prepared.rooms[usize::from(room)].live;
            if live.is_theirs() {
                // The edge before lets in until it leaves, in a moment.
                Box::pin(live.ours()).await;
            }
            self.pass_room(&view, room, asked)
                .inspect_err(|_| self.why.priority = Some(self.find_rank(&view.prepared, &asked).priority))?;
        }
        asked.part = part::choose(&self.thread.shared.cache, self.scratch, &asked, &place);
        self.compresses = view.prepared.caching(place.caching).compress;
        // Before the cache: a body that may not be sent must not cost a look-up.
        self.accept_body(asked.framing, place.body_bytes_max)?;
        // What follows a hit is here, in the connection's own task; everything slower has memory of its own.
        match self.inquiry(&view, &asked, &place).look_up()? {
            Looked::Hit(object) if object.place().is_none() => {
                self.deliver_object(&object, b"", CacheOutcome::Hit, &asked).await
            }
            // The same for what goes past the cache: most that cannot be stored do, and need no room for a fill.
            Looked::Bypass(bypass) if !is_too_slow(bypass) => {
                let place = self.leave_cache(&view, &asked, place);
                Box::pin(self.pass(&view, &asked, &place, bypass)).await
            }
            looked => Box::pin(self.miss(view, asked, place, looked)).await,
        }
    }

    async fn read_head(&mut self) -> Result<(), Stop> {
        // It holds another visitor's request, which the log would show if this one cannot be understood.
        self.scratch.request.clear();
        self.scratch.via.clear();
        self.scratch.ticket.clear();
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
    fn keep_to_https(&mut self, view: &View, asked: &Asked) -> Result<(), Stop> {
        let Some(site) = self.why.site.map(|site| view.prepared.site(site)) else { return Ok(()) };
        if goes_to_https(site, asked.https) {
            return Err(Stop::ToHttps(view.prepared.https_port));
        }
        self.manner.hsts_s = if asked.https { site.hsts_s } else { 0 };
        Ok(())
    }

    /// Takes the word of a proxy in front, if it is believed, for where the request comes from. True when it was asked
    /// by https.
    fn hear_of_visitor(&mut self, view: &View) -> bool {
        let Scratch { request, via, .. } = &mut *self.scratch;
        let came = heard(&view.prepared.snapshot.front, self.came, &request.fields, via);
        if came.address != self.came.address {
            self.why.peer = came.address;
            // Which port he has, nobody says.
            self.why.peer_port = 0;
        }
        self.came = came;
        came.https
    }

    fn accept_body(&mut self, framing: Framing, bytes_max: u64) -> Result<(), Stop> {
        self.body = RequestBody::new(framing, bytes_max).map_err(Stop::Refused)?;
        self.body_pending = false;
        Ok(())
    }

    /// Leaves a body unread: without one the connection goes on.
    pub(crate) fn ignore_body(&mut self, there_is_none: bool) {
        self.body_pending = !there_is_none;
    }

    /// What every request learns of itself that is no hit.
    fn leave_cache(&mut self, view: &View, asked: &Asked, place: Place) -> Place {
        self.esi = view.prepared.caching(place.caching).esi;
        self.rank = self.find_rank(&view.prepared, asked);
        self.why.priority = Some(self.rank.priority);
        // Others may need the buffer while this request waits.
        self.visitor.rest();
        Place { priority: self.rank.priority, ..place }
    }

    /// Everything but a hit.
    async fn miss(
        &mut self,
        view: Rc<View>,
        asked: Asked,
        place: Place,
        looked: Looked,
    ) -> Result<Sent, Stop> {
        let place = self.leave_cache(&view, &asked, place);
        let deadline = Deadline::new();
        let mut inquiry = inquiry_of(
            (self.thread, &*self.scratch, &deadline),
            (&mut self.why.attempts, &mut self.forwarded),
            (&view, &asked, &place),
            self.came.address,
        );
        let mut got = while_there(self.visitor, inquiry.obtain(looked), &view, place).await?;
        if let Got::Object { object, own_lines, outcome } = &got
            && object.place().is_some()
        {
            if let Some(sent) = self.deliver_from_disk(object, own_lines, *outcome, &asked).await? {
                return Ok(sent);
            }
            // The disk has given it up: it is fetched as though it had never been there.
            on_disk::lost(&self.thread.shared, object);
            let looked = self.inquiry(&view, &asked, &place).look_up()?;
            got = self.inquiry(&view, &asked, &place).obtain(looked).await?;
        }
        match got {
            // Lost once more: somebody else had it brought back.
            Got::Object { object, .. } if object.place().is_some() => {
                Box::pin(self.pass(&view, &asked, &place, Bypass::TooLarge)).await
            }
            Got::Object { object, own_lines, outcome } => {
                self.deliver_object(&object, &own_lines, outcome, &asked).await
            }
            Got::Reader { reader, own_lines, outcome } => {
                self.deliver_reader(reader, &own_lines, outcome, &asked).await
            }
            Got::Own(own) => {
                let Own { exchange, response, bypass } = *own;
                self.why.cache = CacheOutcome::Bypass(bypass);
                self.scratch.response = response;
                self.deliver_exchange(&view, exchange, &asked, &place, true).await
            }
            Got::Pass(bypass) => Box::pin(self.pass(&view, &asked, &place, bypass)).await,
        }
    }

    /// Goes to an endpoint for this visitor alone.
    async fn pass(
        &mut self,
        view: &Rc<View>,
        asked: &Asked,
        place: &Place,
        bypass: Bypass,
    ) -> Result<Sent, Stop> {
        self.why.cache = CacheOutcome::Bypass(bypass);
        // A script must be told how long its content is.
        let pool = usize::from(place.pool.0);
        let held = match asked.framing {
            Framing::Chunked if view.prepared.pools[pool].scripts.is_some() => {
                let stall = view.prepared.snapshot.pools[pool].timeouts.stall;
                Some(Box::pin(self.hold_content(stall)).await?)
            }
            _ => None,
        };
        let framed = held.as_ref().map(|held| Box::new(Asked { framing: held.framing(), ..*asked }));
        let asked = framed.as_deref().unwrap_or(asked);
        let mut forward = std::mem::take(&mut self.scratch.forward);
        let inquiry = self.inquiry(view, asked, place);
        let asking = inquiry.asking();
        let (as_keyed, stuck) = (asking.asks_as_keyed(bypass), asking.stuck());
        asking.write_own_forward(&mut forward, as_keyed);
        self.scratch.forward = forward;
        let Scratch { forward, response, .. } = &mut *self.scratch;
        let (upgrades, content) = (asked.upgrades, held.as_ref().map(Held::content));
        let (head, method, pool) = (&forward[..], asked.method, place.pool);
        let (priority, abandoned) = (place.priority, None);
        let outgoing = Outgoing { head, method, pool, upgrades, priority, abandoned, stuck, content };
        let requested = clock::coarse().unix_seconds();
        let deadline = Deadline::new();
        let interim = self.manner.version != Version::Http10;
        let upload = Some(Upload { visitor: self.visitor, body: &mut self.body, interim });
        let attempts = &mut self.why.attempts;
        let (thread, pinned) = (self.thread, view.clone());
        let fetched =
            fetch_readable(thread, pinned, place.caching, &outgoing, upload, response, attempts, &deadline)
                .await;
        let trouble = match &fetched {
            Ok(_) => is_error(response.status).then_some(Trouble::Error),
            // Nobody is there to read it.
            Err(NoResponse::Failed(failure)) if failure.side == Side::Visitor => None,
            Err(_) => Some(Trouble::Silence),
        };
        if let Some(trouble) = trouble
            && let Some(object) = self.inquiry(view, asked, place).stale_if_error(trouble)
        {
            self.forwarded = Some(Forwarded::Stale);
            return Box::pin(self.deliver_object(&object, b"", CacheOutcome::StaleIfError, asked)).await;
        }
        let exchange = fetched?;
        if self.scratch.response.status == 101 {
            return Box::pin(self.upgrade(exchange, *asked)).await;
        }
        if self.visitor.challenge().is_some() && matches!(self.scratch.response.status, 200..=299) {
            // There, success means that a tunnel is open (RFC 8441 section 5).
            return Err(Stop::Failed(Failure::upstream(Phase::ReadHead, Retry::Never, Cause::Malformed)));
        }
        if asked.method == Method::Head {
            self.update_by_head(view, asked, place, requested);
        }
        if freshness::invalidates(asked.method, self.scratch.response.status) {
            let Scratch { key, shared_target, response, .. } = &*self.scratch;
            let paths = &view.prepared.caching(place.caching).purges;
            Box::pin(invalidate::all(self.thread, key, shared_target, response, paths)).await;
        }
        self.deliver_exchange(view, exchange, asked, place, as_keyed).await
    }

    /// What is stored for GET learns what a HEAD was answered.
    fn update_by_head(&mut self, view: &Rc<View>, asked: &Asked, place: &Place, requested: u64) {
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
        asked: &Asked,
    ) -> Result<Sent, Stop> {
        if object.place().is_some() {
            // In memory of its own, as all that is slower than a hit.
            let sent = Box::pin(self.deliver_from_disk(object, own, cache, asked)).await?;
            let gone = || Stop::Failed(Failure::internal(Phase::ReadBody, Cause::FillAborted));
            return sent.ok_or_else(gone);
        }
        let own = self.own_lines(own, object.lines());
        self.why.cache = cache;
        self.why.learned = object.facts().learned;
        self.why.status = object.status();
        match stored_plan(object) {
            Ok(None) => {}
            Ok(Some(plan)) => return Box::pin(self.assemble_object(object, plan, &own, *asked)).await,
            Err(fault) => self.why.assembly.fault = Some(fault),
        }
        let reply = self.reply(asked.now);
        let Scratch { request, out, .. } = &mut *self.scratch;
        let form = self.compresses.then(|| self.thread.shared.forms.of(object, request)).flatten();
        let sent = deliver::object(self.visitor, out, object, form, &own, request, reply).await;
        sent.map_err(Stop::Failed)
    }

    /// Delivers an object whose content is on disk; `None` when it cannot be read, and nothing was sent.
    async fn deliver_from_disk(
        &mut self,
        object: &Arc<Object>,
        own: &[u8],
        cache: CacheOutcome,
        asked: &Asked,
    ) -> Result<Option<Sent>, Stop> {
        let shared = &self.thread.shared;
        let (Some(disk), Some(body)) = (&shared.disk, on_disk::hold(object)) else { return Ok(None) };
        self.why.cache = if cache == CacheOutcome::Hit { CacheOutcome::HitDisk } else { cache };
        self.why.status = object.status();
        let own = self.own_lines(own, object.lines());
        let reply = self.reply(asked.now);
        let source = Source { disk, body, ledger: &shared.ledger };
        let Scratch { request, out, .. } = &mut *self.scratch;
        let sent = from_disk::object(self.visitor, out, &source, object, &own, request, reply).await;
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
        asked: &Asked,
    ) -> Result<Sent, Stop> {
        self.why.cache = cache;
        self.why.learned = reader.facts().learned;
        self.why.status = reader.head().status;
        let own = self.own_lines(own, &reader.head().lines);
        if reader.assembles() {
            return Box::pin(self.assemble_reader(reader, &own, cache, *asked)).await;
        }
        let reply = self.reply(asked.now);
        let Scratch { request, out, .. } = &mut *self.scratch;
        deliver::reader(self.visitor, out, reader, &own, request, reply).await.map_err(Stop::Failed)
    }

    /// Delivers the response whose head is in the scratch. `as_keyed` says that the endpoint was asked for what the key holds,
    /// and for no more of the query.
    async fn deliver_exchange(
        &mut self,
        view: &View,
        mut exchange: Box<Exchange>,
        asked: &Asked,
        place: &Place,
        as_keyed: bool,
    ) -> Result<Sent, Stop> {
        if is_page(self.esi, &self.scratch.response) {
            if !is_encoded(&self.scratch.response.fields) {
                self.stick(view, &exchange, asked);
                return Box::pin(self.assemble_exchange(exchange, *asked)).await;
            }
            self.why.assembly.fault = Some(AssemblyFault::PageEncoded);
        }
        let reply = self.reply(asked.now);
        let Scratch { request, key, response, .. } = &mut *self.scratch;
        let told = learn::Told {
            fields: &request.fields,
            asked,
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
        let mut watch = learn::Watch::begin(&self.thread.learn, &told, response, length).map(Box::new);
        self.why.status = response.status;
        // After what is learned of it: the cookie is ours.
        self.stick(view, &exchange, asked);
        let Scratch { response, out, .. } = &mut *self.scratch;
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
                    exchange.source.failed();
                }
                Err(Stop::Failed(failure))
            }
        }
    }

    /// Gives the visitor the ticket of a waiting room, and tells him to come back to the endpoint that has answered him, where
    /// the pool is so. Only ever in a response
    /// for him alone: what is stored, or shared while it arrives, is delivered elsewhere.
    fn stick(&mut self, view: &View, exchange: &Exchange, asked: &Asked) {
        self.write_ticket();
        let (pool, served) = (usize::from(exchange.endpoint.0.0), exchange.endpoint.1);
        self.keep_rank(&view.prepared, pool, asked);
        let Some(sticky) = &view.prepared.pools[pool].sticky else { return };
        let Scratch { request, response, .. } = &mut *self.scratch;
        let known = sticky.stuck(request.fields.all(Name::Cookie), asked.now);
        if sticky.must_tell(known, served, |index| view.rosters[pool].has(index)) {
            sticky.write(response, served, asked.https, asked.now);
        }
    }

    pub(crate) fn reply(&self, now: u64) -> Reply {
        let keep_alive = self.manner.keep_alive && !self.is_ending();
        let mut answered = self.why.attempts.iter().flatten().filter_map(|attempt| match attempt.outcome {
            Outcome::Status(status) => Some(status),
            Outcome::Failed(_) | Outcome::GivenUp => None,
        });
        Reply {
            sends_tags: self.thread.sends_tags(),
            manner: Manner { keep_alive, ..self.manner },
            cache: self.why.cache,
            forwarded: self.forwarded,
            forward_status: answered.next_back(),
            learned: false,
            now,
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
            mark: if self.why.load { crate::marked::said(&head.fields) } else { &[] },
        });
        recorder.record(&self.why, texts.as_ref());
    }
}

pub(crate) fn micros(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros()).unwrap_or(u32::MAX)
}
