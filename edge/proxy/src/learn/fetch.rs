//! Leads a fill by a learned rule. Stores only what the endpoint gave twice: to a request that said nothing about who
//! asks, and to a visitor's own, seen by the learner or made here. Whoever leads gets what his own request was answered,
//! or something equal to it.

use super::head::{self, BODY_BYTES_MAX};
use super::stripped;
use super::watch::{Told, Watch};
use super::{OfThread, is_anonymous, is_comparable, is_plain};
use crate::asked::Asked;
use crate::exchange::{Exchange, NoResponse};
use crate::fetch::{Attempts, Outgoing};
use crate::fill::{Led, Own, Wanted, failure_of};
use crate::obtain::Inquiry;
use crate::place::Place;
use crate::prepare::Prepared;
use crate::purge::host_of;
use crate::tags::tags_of;
use crate::template::fetch_readable;
use crate::thread::{Thread, View};
use bytes::Bytes;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::{Lead, NewObject, Object, Presented, StoredFacts, Tag};
use tentpole_http1::{Framing, Piece};
use tentpole_learn::{Dims, Rule};
use tentpole_message::{Fields, Name, ResponseHead, StoredHead};
use tentpole_model::{Bypass, CachingId, Cause, Esi, Failure, Learn, Method, Phase, Retry, Side};
use tentpole_runtime::clock;
use tentpole_runtime::deadline::{Deadline, Expired};
use tentpole_runtime::ledger::Pressure;
use tokio::sync::oneshot;

/// How long nobody waits for a page that turned out to be no page for all. Not at all: the learner hears of it at once,
/// and somebody whose browser is answered otherwise must not be able to send everybody past the cache.
const NOT_SHARED: Duration = Duration::ZERO;
/// Seconds that it is shared that there is no page: it may be published at any moment.
const MISSING_SECONDS: u32 = 5;

/// See [`Plan::moment`].
const AFTER_ERROR: Duration = Duration::from_secs(1);

/// A fill by a rule.
pub struct Plan {
    prepared: Arc<Prepared>,
    caching: CachingId,
    rule: Rule,
    url: u64,
    key: Box<[u8]>,
    asked: Asked,
    peer: IpAddr,
    /// The visitor's fields, as they came.
    fields: Fields,
    /// The request that says nothing.
    head: Vec<u8>,
}

/// Whether a rule waits for somebody else to ask: nothing comes of a fetch for this visitor, and nobody is to go past the
/// cache for it.
pub fn is_only_witness(inquiry: &Inquiry<'_>) -> bool {
    if inquiry.view.prepared.caching(inquiry.place.caching).learn != Learn::Apply {
        return false;
    }
    let learning = &inquiry.thread.learn.learning;
    let rules = learning.rules.get();
    let seen_by = rules.of(learning.hash(inquiry.key)).and_then(|rule| rule.seen_by);
    seen_by.is_some_and(|visitor| visitor == head::visitor(learning, inquiry.peer))
}

/// What came of one fetch.
enum Gathered {
    /// No whole response.
    Failed(NoResponse),
    /// Its head says already that it is not to be compared; its body is still to come.
    Passing(Box<(Box<Exchange>, ResponseHead)>),
    /// It was longer than may be held.
    TooLong,
    /// It is whole.
    Page(Box<Page>),
}

#[derive(Clone)]
struct Page {
    head: StoredHead,
    etag: Option<Bytes>,
    last_modified: Option<Bytes>,
    chunks: Vec<Bytes>,
    tags: Vec<Tag>,
    hash: u64,
    /// The group whose answers it is compared with.
    group: u64,
    needs: Dims,
}

impl Plan {
    /// The plan for a request that would lead a fill; `None` when no rule holds for it.
    pub fn of(inquiry: &Inquiry<'_>, lead: &Lead, told: &Fields) -> Option<Self> {
        let Inquiry { thread, view, request, shared_target, key, asked, place, peer, .. } = inquiry;
        // What is stored speaks for itself, or did: the endpoint is asked whether it still does.
        let speaks = lead.stale.as_ref().is_some_and(|stale| !stale.facts().learned);
        let caching = view.prepared.caching(place.caching);
        // Pages that are put together are another matter: what is stored of them is a template.
        let applies = caching.learn == Learn::Apply && caching.esi != Esi::Always;
        if !is_comparable(asked)
            || speaks
            || !applies
            || !is_plain(key)
            || thread.shared.ledger.pressure() >= Pressure::PassFills
        {
            return None;
        }
        let learning = &thread.learn.learning;
        let url = learning.hash(key);
        let rule = learning.rule(url).filter(|_| is_anonymous(asked, &request.fields, &view.prepared))?;
        let mut head = Vec::with_capacity(512);
        let device = inquiry.presented().device();
        let send = view.prepared.pools[usize::from(place.pool.0)].send.lines();
        let identity = view.prepared.asks_for_identity(place.caching);
        let (target, host, https) = (*shared_target, host_of(key), asked.https);
        let how = stripped::How { target, host, https, send, device, identity };
        stripped::write_head(&mut head, told, &how, rule.vary);
        let (fields, prepared, caching) = (request.fields.clone(), view.prepared.clone(), place.caching);
        Some(Self {
            prepared,
            caching,
            rule,
            url,
            key: (*key).into(),
            asked: **asked,
            peer: *peer,
            fields,
            head,
        })
    }

    /// Whether the rule is still the one that this was begun under. Asked while the fill is known to the cache: if the
    /// rule is withdrawn after this, the purge that follows reaches the fill.
    fn holds(&self, of: &OfThread) -> bool {
        let rules = of.learning.rules.get();
        rules.of(self.url).is_some_and(|now| now.generation == self.rule.generation)
    }

    /// How long nobody asks again for nobody after an error: an endpoint that has too much to do must not be asked twice
    /// for each visitor. What the error may be due to, a visitor must not have chosen.
    fn moment(&self) -> Duration {
        if self.rule.vary.is_none() { AFTER_ERROR } else { NOT_SHARED }
    }

    /// What the endpoint was told, as `Vary` compares it.
    fn presented<'a>(&'a self, told: &'a Fields) -> Presented<'a> {
        Presented::new(told, self.prepared.key_rules(self.caching), None)
    }

    /// Whether visitors got this answer already: others than this one, where only one has been seen.
    fn was_given(&self, of: &OfThread, page: &Page) -> bool {
        let visitor = head::visitor(&of.learning, self.peer);
        self.rule.agreed(page.group) == Some(page.hash) && self.rule.seen_by != Some(visitor)
    }
}

/// Starts the fill's task on this thread; its first result comes over the channel.
pub fn start(
    thread: &Rc<Thread>,
    lead: Lead,
    wanted: Wanted,
    plan: Plan,
) -> oneshot::Receiver<(Led, Attempts)> {
    let (answer, answered) = oneshot::channel();
    tokio::task::spawn_local(run(thread.clone(), lead, wanted, plan, answer));
    answered
}

async fn run(
    thread: Rc<Thread>,
    lead: Lead,
    wanted: Wanted,
    plan: Plan,
    answer: oneshot::Sender<(Led, Attempts)>,
) {
    let Wanted { view, place, head: own_head, fields, stuck, .. } = wanted;
    let mut fetcher = Fetcher {
        thread: &thread,
        view,
        place,
        fields: &fields,
        plan: &plan,
        attempts: Attempts::default(),
        stuck,
    };
    let first = fetcher.gather(&plan.head, Some(plan.rule.vary)).await;
    let page = match first {
        Gathered::Page(page) => page,
        // It may be the request that is to blame, which says less than browsers do: the visitor's own may be answered.
        Gathered::Failed(no) if broke_off_at_once(&no) => {
            return pass(lead, Bypass::Status, plan.moment(), fetcher.attempts, answer);
        }
        Gathered::Failed(no) => {
            lead.failed(failure_of(&no));
            let _ = answer.send((Led::None(no), fetcher.attempts));
            return;
        }
        Gathered::Passing(passing) if passing.1.status >= 500 || passing.1.status == 429 => {
            return pass(lead, Bypass::Status, plan.moment(), fetcher.attempts, answer);
        }
        Gathered::Passing(_) | Gathered::TooLong => {
            return pass(lead, Bypass::NoLifetime, NOT_SHARED, fetcher.attempts, answer);
        }
    };
    let of = &thread.learn;
    if !page.needs.without(plan.rule.vary).is_none() {
        return pass(lead, Bypass::NoLifetime, NOT_SHARED, fetcher.attempts, answer);
    }
    if plan.was_given(of, &page) && plan.holds(of) {
        let attempts = fetcher.attempts;
        return store(&thread, lead, &plan, *page, &fields, attempts, answer);
    }
    own_answer(lead, fetcher, &own_head, *page, answer).await;
}

/// There is nothing that his answer could be compared with, or too much: he gets it as though there were no rule, as it
/// comes. So do all others for a while.
fn pass(
    lead: Lead,
    bypass: Bypass,
    others: Duration,
    attempts: Attempts,
    answer: oneshot::Sender<(Led, Attempts)>,
) {
    lead.uncacheable(bypass, others);
    let _ = answer.send((Led::Pass(bypass), attempts));
}

/// The endpoint ended the connection, or answered with what is no response: neither takes long, nor says that it has too
/// much to do.
fn broke_off_at_once(no: &NoResponse) -> bool {
    let NoResponse::Failed(failure) = no else { return false };
    let answered = matches!(failure.phase, Phase::FirstByte | Phase::ReadHead | Phase::ReadBody);
    failure.side == Side::Upstream && answered && failure.source != Cause::TimedOut
}

/// Asks once more, with the visitor's own request, for what he gets. If it equals what nobody's request was answered, it
/// is for all.
async fn own_answer(
    lead: Lead,
    mut fetcher: Fetcher<'_>,
    head: &[u8],
    nobodys: Page,
    answer: oneshot::Sender<(Led, Attempts)>,
) {
    if answer.is_closed() {
        return lead.uncacheable(Bypass::NoLifetime, NOT_SHARED);
    }
    let gathered = fetcher.gather(head, None).await;
    let Fetcher { thread, fields, plan, attempts, .. } = fetcher;
    let bypass = Bypass::NoLifetime;
    let led = match gathered {
        Gathered::Failed(no) => {
            lead.failed(failure_of(&no));
            Led::None(no)
        }
        Gathered::TooLong => return pass(lead, Bypass::TooLarge, NOT_SHARED, attempts, answer),
        Gathered::Passing(passing) => {
            lead.uncacheable(bypass, NOT_SHARED);
            let (exchange, response) = *passing;
            Led::Own(Box::new(Own { exchange, response, bypass }))
        }
        Gathered::Page(own) => {
            let is_for_all = nobodys.hash == own.hash && plan.rule.seen_by.is_none();
            if is_for_all && plan.holds(&thread.learn) {
                return store(thread, lead, plan, nobodys, fields, attempts, answer);
            }
            lead.uncacheable(bypass, NOT_SHARED);
            Led::Collected(alone(thread, *own, fields), bypass)
        }
    };
    let _ = answer.send((led, attempts));
}

/// Stores it and gives it to all who wait.
fn store(
    thread: &Thread,
    lead: Lead,
    plan: &Plan,
    page: Page,
    fields: &Fields,
    attempts: Attempts,
    answer: oneshot::Sender<(Led, Attempts)>,
) {
    let (vary, tags) = (stripped::selecting(plan.rule.vary), page.tags.clone());
    let lifetime = match page.head.status {
        404 | 410 => u32::from(plan.rule.lifetime_s).min(MISSING_SECONDS),
        _ => u32::from(plan.rule.lifetime_s),
    };
    let (new, chunks) = page.clone().new_object(&vary, &tags, plan.presented(fields), lifetime);
    match lead.start(new) {
        Ok((mut filling, reader)) => {
            let _ = answer.send((Led::Reader(reader, Vec::new()), attempts));
            for chunk in chunks {
                // It is too short to become too large, as its whole length was known.
                let _ = filling.append(chunk);
            }
            filling.finish();
        }
        // No room, or larger than an object may be.
        Err(bypass) => {
            let _ = answer.send((Led::Collected(alone(thread, page, fields), bypass), attempts));
        }
    }
}

/// For one visitor.
fn alone(thread: &Thread, page: Page, fields: &Fields) -> Arc<Object> {
    let (new, chunks) = page.new_object(&[], &[], fields.into(), 0);
    thread.shared.cache.unstored(new, chunks)
}

impl Page {
    fn new_object<'a>(
        self,
        vary: &'a [&'a [u8]],
        tags: &'a [Tag],
        request: Presented<'a>,
        lifetime: u32,
    ) -> (NewObject<'a>, Vec<Bytes>) {
        let facts = StoredFacts {
            lifetime,
            response_time: clock::coarse().unix_seconds(),
            // Never served stale, whatever a visitor would take.
            must_revalidate: true,
            heuristic: true,
            learned: true,
            // No validator: it is fetched whole each time, so that it can be compared.
            ..StoredFacts::default()
        };
        let Self { head, etag, last_modified, chunks, .. } = self;
        let length = Some(chunks.iter().map(|chunk| chunk.len() as u64).sum());
        (
            NewObject { head, facts, vary, request, etag, last_modified, tags, assembles: false, length },
            chunks,
        )
    }
}

/// What both fetches have in common.
struct Fetcher<'a> {
    thread: &'a Rc<Thread>,
    view: Rc<View>,
    place: Place,
    fields: &'a Fields,
    plan: &'a Plan,
    attempts: Attempts,
    /// The endpoint that the visitor comes back to.
    stuck: Option<u64>,
}

impl Fetcher<'_> {
    /// Fetches, reads the whole answer and tells the learner of it. `stripped` names the fields that were told.
    async fn gather(&mut self, head: &[u8], stripped: Option<Dims>) -> Gathered {
        let deadline = Deadline::new();
        let mut response = ResponseHead::new();
        let sent = clock::coarse();
        // Nobody's request comes back to nobody.
        let (pool, stuck) = (self.place.pool, self.stuck.filter(|_| stripped.is_none()));
        let outgoing = Outgoing {
            head,
            method: Method::Get,
            pool,
            upgrades: false,
            priority: self.place.priority,
            abandoned: None,
            stuck,
            content: None,
        };
        self.attempts = Attempts::default();
        let attempts = &mut self.attempts;
        let (thread, view, caching) = (self.thread, self.view.clone(), self.place.caching);
        let fetched =
            fetch_readable(thread, view, caching, &outgoing, None, &mut response, attempts, &deadline).await;
        let exchange = match fetched {
            Ok(exchange) => exchange,
            Err(no) => return Gathered::Failed(no),
        };
        let told = Told {
            fields: &self.plan.fields,
            asked: &self.plan.asked,
            prepared: &self.plan.prepared,
            key: &self.plan.key,
            peer: self.plan.peer,
            route: self.place.route,
            cache: self.place.cache,
            learn: Learn::Apply,
            sent,
            stripped,
            as_keyed: true,
            must: true,
        };
        let length = if let Framing::Length(length) = exchange.body.framing { Some(length) } else { None };
        let Some(watch) = Watch::begin(&self.thread.learn, &told, &response, length) else {
            return Gathered::Passing(Box::new((exchange, response)));
        };
        if !watch.is_page() {
            // The visitor's own is looked at when he gets it.
            if stripped.is_some() {
                watch.end(&self.thread.learn, self.took_us());
            }
            return Gathered::Passing(Box::new((exchange, response)));
        }
        self.read(exchange, &response, watch, &deadline).await
    }

    async fn read(
        &self,
        mut exchange: Box<Exchange>,
        response: &ResponseHead,
        mut watch: Watch,
        deadline: &Deadline,
    ) -> Gathered {
        let (mut chunks, mut bytes) = (Vec::new(), 0);
        loop {
            deadline.set_in(exchange.timeouts.stall);
            match deadline.guard(|context| exchange.poll_piece(context)).await {
                Ok(Ok(Piece::Data { skip, len })) => {
                    let content = &exchange.bytes()[skip..skip + len];
                    watch.take(content);
                    bytes += len as u64;
                    if bytes > BODY_BYTES_MAX {
                        watch.end(&self.thread.learn, self.took_us());
                        return Gathered::TooLong;
                    }
                    chunks.push(Bytes::copy_from_slice(content));
                    exchange.consume(skip + len);
                }
                Ok(Ok(Piece::End)) => break,
                Ok(Err(failure)) => return self.broke_off(&exchange, failure),
                Err(Expired) => {
                    let late = Failure::upstream(Phase::ReadBody, Retry::Never, Cause::TimedOut);
                    return self.broke_off(&exchange, late);
                }
            }
        }
        exchange.finish(self.thread);
        let (coding, traits) = watch.group();
        let (group, needs) = (self.plan.rule.group(coding, traits), watch.needs());
        let hash = watch.page_hash();
        watch.end(&self.thread.learn, self.took_us());
        let sends_tags = self.thread.sends_tags();
        let head = head::stored(response, sends_tags, clock::coarse().unix_seconds());
        let tags = tags_of(response, &self.plan.key);
        let (Some(hash), Some(head)) = (hash, head) else { return Gathered::TooLong };
        let copy = |name| response.fields.get(name).map(Bytes::copy_from_slice);
        let (etag, last_modified) = (copy(Name::Etag), copy(Name::LastModified));
        Gathered::Page(Box::new(Page { head, etag, last_modified, chunks, tags, hash, group, needs }))
    }

    /// A response that is not whole is the endpoint's failure.
    fn broke_off(&self, exchange: &Exchange, failure: Failure) -> Gathered {
        exchange.source.failed();
        Gathered::Failed(NoResponse::Failed(failure))
    }

    fn took_us(&self) -> u32 {
        super::took_us(&self.attempts)
    }
}
