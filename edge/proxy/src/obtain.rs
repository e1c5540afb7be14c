//! Gets what a request asks for, once its place is known: looks up, joins a fill or leads one, or says that the
//! caller must go to an endpoint by itself. Serves requests of visitors and fragments of pages alike: knows no
//! socket, delivers nothing.

use crate::asked::Asked;
use crate::asking::Asking;
use crate::exchange::NoResponse;
use crate::fetch::Attempts;
use crate::fill::{self, Led, Own, Wanted, trouble_of};
use crate::forward::Purpose;
use crate::learn;
use crate::on_disk::{self, Revived};
use crate::place::Place;
use crate::template::is_page;
use crate::thread::{Thread, View};
use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::{Arrival, FillReader, Judged, Lead, Looked, Missed, Object, Presented, Release, Waiter};
use tentpole_freshness::{RequestFacts, StoredFacts, Trouble, Use};
use tentpole_http1::Framing;
use tentpole_message::RequestHead;
use tentpole_model::{Bypass, CacheOutcome, Cause, Failure, Method, Phase, Refused, RouteCache};
use tentpole_runtime::deadline::Deadline;
use tokio::sync::oneshot;

/// Why a request was forwarded (RFC 9211 section 2.2), where that is known beyond the reason of a [`Bypass`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forwarded {
    /// Nothing was stored for its URL.
    UriMiss,
    /// What was stored is for other requests (`Vary`).
    VaryMiss,
    /// What was stored was stale.
    Stale,
    /// What was stored was fresh, but the request wants the endpoint to be asked.
    Request,
}

/// How often a request looks up again because the fill it joined was of another variant, or what it wants has come
/// back from disk.
const LOOKS_MAX: usize = 4;

/// A request whose place is known, by whoever makes it.
pub struct Inquiry<'a> {
    /// The thread that it is on.
    pub thread: &'a Rc<Thread>,
    /// Pinned until its endpoint is chosen.
    pub view: &'a Rc<View>,
    /// The request.
    pub request: &'a RequestHead,
    /// Canonical path and query, as an endpoint is asked for one visitor.
    pub target: &'a [u8],
    /// The same with what counts of the query, as an endpoint is asked when its answer may be stored.
    pub shared_target: &'a [u8],
    /// What counts of the cookies, where that is not what came.
    pub cookies: Option<&'a [u8]>,
    /// The cache key.
    pub key: &'a [u8],
    /// What the request means.
    pub asked: &'a Asked,
    /// Where it belongs.
    pub place: &'a Place,
    /// The visitor's address.
    pub peer: IpAddr,
    /// The proxies that are believed between him and us, each behind a comma.
    pub via: &'a [u8],
    /// Bounds what it waits for.
    pub deadline: &'a Deadline,
    /// What was tried at endpoints on its behalf.
    pub attempts: &'a mut Attempts,
    /// Why an endpoint was asked, if one was.
    pub forwarded: &'a mut Option<Forwarded>,
}

/// What there is to deliver.
pub enum Got {
    /// A whole object.
    Object {
        /// It.
        object: Arc<Object>,
        /// Field lines for this request alone.
        own_lines: Vec<u8>,
        /// How it was got.
        outcome: CacheOutcome,
    },
    /// An object that is arriving.
    Reader {
        /// Its reader.
        reader: FillReader,
        /// Field lines for this request alone.
        own_lines: Vec<u8>,
        /// How it was got.
        outcome: CacheOutcome,
    },
    /// A response for this request alone.
    Own(Box<Own>),
    /// Nothing: the caller goes to an endpoint by itself, as only it has the body to upload.
    Pass(Bypass),
}

impl Got {
    fn object(object: Arc<Object>, outcome: CacheOutcome) -> Self {
        Self::Object { object, own_lines: Vec::new(), outcome }
    }
}

impl Inquiry<'_> {
    /// Looks for a stored response, joins the fill that is under way, or becomes the one who leads it. Allocates
    /// nothing for a hit.
    pub fn look_up(&self) -> Result<Looked, NoResponse> {
        let &Asked { facts, now, .. } = self.asked;
        if let Some(bypass) = goes_past(self.asked, self.place) {
            return Ok(Looked::Bypass(bypass));
        }
        if self.view.prepared.is_closed(self.place.route) {
            return Ok(Looked::Bypass(Bypass::Reload));
        }
        let cache = &self.thread.shared.cache;
        let key = cache.key(self.key);
        let presented = self.presented();
        if let Some(bypass) = only_looks(self.asked) {
            let found =
                cache.peek(&key, presented).filter(|object| self.refuses_learned(&object.facts()).is_none());
            match found.map(|object| (object.facts().may_use(&facts, now), object)) {
                Some((Use::Fresh | Use::StaleAccepted, object)) => return Ok(Looked::Hit(object)),
                _ if facts.cache_control.only_if_cached => {
                    return Err(NoResponse::Refused(Refused::OnlyIfCached));
                }
                // As for a GET: somebody must fetch it anew.
                Some((Use::Revalidate, object)) if object.facts().serves_while_revalidating(&facts, now) => {}
                _ => return Ok(Looked::Bypass(bypass)),
            }
        }
        let looked = cache.look_up(&key, presented, |object| match object.facts().may_use(&facts, now) {
            _ if let Some(bypass) = self.refuses_learned(&object.facts()) => Judged::Pass(bypass),
            Use::Fresh | Use::StaleAccepted => Judged::Use,
            Use::Revalidate if object.facts().serves_while_revalidating(&facts, now) => Judged::UseStale,
            Use::Revalidate | Use::OnlyIfCached => Judged::Revalidate,
            Use::Pass => Judged::Pass(for_whom(self.asked)),
        });
        // After the look-up: a hit need not ask this.
        let (Looked::Lead(_) | Looked::Joined(_) | Looked::Stale(_, Some(_))) = &looked else {
            return Ok(looked);
        };
        if !(facts.cookie || facts.authorization) || !cache.passes_personal(&key) {
            return Ok(looked);
        }
        Ok(match looked {
            // What this visitor would be answered is not for all: let another fetch it anew.
            Looked::Stale(object, _) => Looked::Stale(object, None),
            _ => Looked::Bypass(Bypass::HitForMiss),
        })
    }

    /// Everything after the look-up: leads or joins a fill until there is something to deliver.
    pub async fn obtain(&mut self, looked: Looked) -> Result<Got, NoResponse> {
        let mut looked = looked;
        for _ in 0..LOOKS_MAX {
            let arrival = match looked {
                Looked::Hit(object) => return Ok(Got::object(object, CacheOutcome::Hit)),
                Looked::Stale(object, lead) => {
                    if let Some(lead) = lead {
                        // Nobody waits for what comes of it.
                        drop(self.start(lead));
                    }
                    return Ok(Got::object(object, CacheOutcome::Stale));
                }
                Looked::Bypass(bypass) => return self.pass(bypass),
                // Others wait for the pool already: what is stored serves better than a place behind them. It is fetched anew
                // by whoever comes to his turn.
                Looked::Joined(_) if let Some(object) = self.stale_while_full() => {
                    return Ok(Got::object(object, CacheOutcome::StaleIfError));
                }
                Looked::Lead(lead) if let Some(object) = self.stale_while_full() => {
                    drop(self.start(lead));
                    return Ok(Got::object(object, CacheOutcome::StaleIfError));
                }
                Looked::Lead(lead) => {
                    if let Some(object) = self.stale_while_failing(&lead) {
                        return Ok(Got::object(object, CacheOutcome::StaleIfError));
                    }
                    let lead = match on_disk::revive(self, lead).await {
                        Revived::Nothing(lead) => lead,
                        Revived::Object(object) => return Ok(Got::object(object, CacheOutcome::HitDisk)),
                        Revived::Again => {
                            looked = self.look_up()?;
                            continue;
                        }
                    };
                    *self.forwarded = Some(self.why_forwarded(lead.missed, lead.stale.as_ref()));
                    if learn::is_only_witness(self) {
                        lead.uncacheable(Bypass::NoLifetime, Duration::ZERO);
                        return self.pass(Bypass::NoLifetime);
                    }
                    return self.lead(lead).await;
                }
                Looked::Joined(waiter) => {
                    *self.forwarded = Some(self.why_forwarded(waiter.missed, None));
                    self.join(waiter).await
                }
            };
            match arrival {
                // What must be asked for each time was asked for someone else: he may get another answer.
                Arrival::Object(object) if let Some(bypass) = self.refuses(&object.facts()) => {
                    return self.pass(bypass);
                }
                Arrival::Reader(reader) if let Some(bypass) = self.refuses(reader.facts()) => {
                    return self.pass(bypass);
                }
                Arrival::Object(object) => return Ok(Got::object(object, CacheOutcome::Joined)),
                Arrival::Reader(reader) => {
                    return Ok(Got::Reader { reader, own_lines: Vec::new(), outcome: CacheOutcome::Joined });
                }
                Arrival::Kept(object, release) if self.takes_on_error(trouble_of(&release), &object) => {
                    return Ok(Got::object(object, CacheOutcome::StaleIfError));
                }
                Arrival::Kept(_, release) | Arrival::GoYourself(release) => match release {
                    // The endpoint has just failed for someone else: asking it again would only add to its trouble.
                    Release::Failed(failure) => return Err(NoResponse::Failed(failure)),
                    Release::Bypass(bypass) => return self.pass(bypass),
                    Release::VaryMismatch | Release::Abandoned => looked = self.look_up()?,
                },
            }
        }
        self.pass(Bypass::TooManyWaiters)
    }

    /// The caller asks by itself; but where the endpoint is so slow that nobody more may wait for it, what is stale is
    /// better than a further request.
    fn pass(&mut self, bypass: Bypass) -> Result<Got, NoResponse> {
        Ok(match is_too_slow(bypass).then(|| self.stale_if_error(Trouble::Error)).flatten() {
            Some(object) => Got::object(object, CacheOutcome::StaleIfError),
            None => Got::Pass(bypass),
        })
    }

    /// What is stored, where it may be served in place of an endpoint's failure (RFC 5861 section 4).
    pub fn stale_if_error(&self, trouble: Trouble) -> Option<Arc<Object>> {
        self.stored().filter(|object| self.takes_on_error(trouble, object))
    }

    /// What is stored for the request, fresh or not.
    pub fn stored(&self) -> Option<Arc<Object>> {
        let cache = &self.thread.shared.cache;
        let looks =
            goes_past(self.asked, self.place).is_none() && !self.view.prepared.is_closed(self.place.route);
        looks
            .then(|| cache.peek(&cache.key(self.key), self.presented()))
            .flatten()
            .filter(|object| on_disk::is_there(object))
    }

    /// What is stored, if the endpoint has failed a moment ago: not every visitor need wait for that.
    fn stale_while_failing(&self, lead: &Lead) -> Option<Arc<Object>> {
        let cache = &self.thread.shared.cache;
        // It is remembered only of a failure in whose place this could be served: what it does not allow it was not.
        let stale = lead.stale.as_ref().filter(|stale| self.takes_on_error(Trouble::Silence, stale))?;
        cache.is_failing(&cache.key(self.key)).then(|| stale.clone())
    }

    /// What is stored, where requests wait for the pool and it may be served in place of an error: the first step of the ladder.
    fn stale_while_full(&self) -> Option<Arc<Object>> {
        let gate = &self.view.prepared.pools[usize::from(self.place.pool.0)].gate;
        if gate.length() == 0 {
            return None;
        }
        self.stale_if_error(Trouble::Error).filter(|object| object.place().is_none())
    }

    fn takes_on_error(&self, trouble: Trouble, object: &Object) -> bool {
        object.facts().serves_on_error(trouble, &self.asked.facts, self.asked.now)
    }

    fn why_forwarded(&self, missed: Missed, stored: Option<&Arc<Object>>) -> Forwarded {
        let is_fresh = |object: &&Arc<Object>| {
            object.facts().may_use(&RequestFacts::PLAIN_GET, self.asked.now) == Use::Fresh
        };
        match missed {
            Missed::Uri => Forwarded::UriMiss,
            Missed::Vary => Forwarded::VaryMiss,
            Missed::Stale if stored.is_some_and(|object| is_fresh(&object)) => Forwarded::Request,
            Missed::Stale => Forwarded::Stale,
        }
    }

    /// Why a response that another request has just fetched is not for this one.
    fn refuses(&self, facts: &StoredFacts) -> Option<Bypass> {
        if let Some(bypass) = self.refuses_learned(facts) {
            return Some(bypass);
        }
        match facts.may_use(&self.asked.facts, self.asked.now) {
            Use::Fresh | Use::StaleAccepted => None,
            Use::Pass => Some(for_whom(self.asked)),
            Use::Revalidate | Use::OnlyIfCached => Some(Bypass::AlreadyStale),
        }
    }

    /// Why what was learned to be shared is not for this request. Nothing for what says itself that it is.
    #[inline]
    fn refuses_learned(&self, facts: &StoredFacts) -> Option<Bypass> {
        let hash = || self.thread.shared.cache.hash(self.key);
        let (fields, prepared) = (&self.request.fields, &self.view.prepared);
        self.thread.learn.may_use(facts, hash, self.asked, fields, prepared)
    }

    /// Waits for the head of a fill that someone else leads.
    async fn join(&self, mut waiter: Waiter) -> Arrival {
        let presented = self.presented();
        self.deadline.set_in(self.view.prepared.snapshot.cache.wait_max);
        match self.deadline.guard(|context| waiter.poll_arrival(presented, context)).await {
            Ok(arrival) => arrival,
            Err(_) => Arrival::GoYourself(Release::Bypass(Bypass::WaitedTooLong)),
        }
    }

    /// Leads a fill: the fetch runs on without us if we leave.
    async fn lead(&mut self, lead: Lead) -> Result<Got, NoResponse> {
        let Ok((led, attempts)) = self.start(lead).await else {
            let aborted = Failure::internal(Phase::FirstByte, Cause::FillAborted);
            return Err(NoResponse::Failed(aborted));
        };
        *self.attempts = attempts;
        match led {
            Led::Reader(reader, own_lines) => {
                Ok(Got::Reader { reader, own_lines, outcome: CacheOutcome::Stored })
            }
            Led::Refreshed(object, own_lines) => {
                Ok(Got::Object { object, own_lines, outcome: CacheOutcome::Revalidated })
            }
            Led::Kept(object) => Ok(Got::object(object, CacheOutcome::StaleIfError)),
            Led::Own(own) if !self.suits(&own) => Ok(Got::Pass(own.bypass)),
            Led::Collected(object, bypass) => Ok(Got::object(object, CacheOutcome::Bypass(bypass))),
            Led::Own(own) => Ok(Got::Own(own)),
            Led::Pass(bypass) => Ok(Got::Pass(bypass)),
            Led::None(no) => Err(no),
        }
    }

    /// Whether the answer to a plain GET will do for this request alone. Who wants a part may not have to wait for all
    /// that comes before it, and who asks with HEAD must get no body.
    fn suits(&self, own: &Own) -> bool {
        let esi = self.view.prepared.caching(self.place.caching).esi;
        // Of a page that is put together there are no parts.
        let whole = matches!(own.response.status, 200 | 206 | 416) && !is_page(esi, &own.response);
        self.asked.method == Method::Get && !(self.asked.facts.range && whole)
    }

    /// Starts a fill in a task of its own.
    fn start(&self, lead: Lead) -> oneshot::Receiver<(Led, Attempts)> {
        let mut head = Vec::with_capacity(self.request.fields.bytes().len() + 256);
        let part = self.asked.part;
        // The endpoint knows a page whose links were rewritten by another tag.
        let assets = self.view.prepared.assets(self.place.caching);
        let etag = lead.stale.as_ref().and_then(|stale| stale.etag());
        let etag = etag.map(|etag| assets.map_or(Cow::Borrowed(etag), |assets| assets.unmarked(etag)));
        let purpose = part.map_or_else(|| purpose_of(&lead, etag.as_deref()), |part| part.purpose());
        let fields = self.asking().write_forward(&mut head, purpose, self.target).unwrap_or_default();
        let (view, place, key, now) = (self.view.clone(), *self.place, self.key.to_vec(), self.asked.now);
        // What is fetched is the whole, or a part that is an object of its own.
        let facts = RequestFacts { method: Method::Get, range: false, ..self.asked.facts };
        // Nothing is learned from a part.
        let plan = if part.is_none() { learn::Plan::of(self, &lead, &fields) } else { None };
        let stuck = self.stuck();
        let wanted = Wanted { view, place, key, part, head, fields, facts, now, stuck };
        match plan {
            Some(plan) => learn::start(self.thread, lead, wanted, plan),
            None => fill::start(self.thread, lead, wanted),
        }
    }

    /// The request without what the answer is waited for with.
    #[inline]
    pub fn asking(&self) -> Asking<'_> {
        let &Inquiry { request, target, shared_target, cookies, key, asked, place, peer, via, .. } = self;
        Asking { view: self.view, request, target, shared_target, cookies, key, asked, place, peer, via }
    }

    /// The endpoint that the visitor comes back to, by his cookie.
    pub fn stuck(&self) -> Option<u64> {
        self.asking().stuck()
    }

    /// The request as `Vary` compares it.
    #[inline]
    pub fn presented(&self) -> Presented<'_> {
        self.asking().presented()
    }
}

/// Whether the endpoint is so slow that nobody more may wait for it.
pub fn is_too_slow(bypass: Bypass) -> bool {
    matches!(bypass, Bypass::TooManyWaiters | Bypass::WaitedTooLong)
}

/// Requests that have nothing to do with the cache.
pub fn goes_past(asked: &Asked, place: &Place) -> Option<Bypass> {
    match asked.method {
        _ if asked.upgrades => Some(Bypass::Upgrade),
        _ if place.cache == RouteCache::Off => Some(Bypass::SwitchedOff),
        Method::Get | Method::Head if place.keyless.is_some() => place.keyless,
        Method::Get | Method::Head if asked.framing == Framing::None => {
            asked.facts.cache_control.no_store.then_some(Bypass::RequestNoStore)
        }
        _ => Some(Bypass::Method),
    }
}

/// Requests that take what is stored, and never lead to something being stored: why they go to an endpoint otherwise.
#[inline]
pub fn only_looks(asked: &Asked) -> Option<Bypass> {
    match asked.method {
        Method::Head => Some(Bypass::Method),
        _ if asked.facts.cache_control.only_if_cached => Some(Bypass::SwitchedOff),
        _ => None,
    }
}

/// Why a response whose lifetime is a guess is not for a visitor who says who he is.
pub fn for_whom(asked: &Asked) -> Bypass {
    if asked.facts.cookie { Bypass::CookieWithoutLifetime } else { Bypass::Authorization }
}

fn purpose_of<'a>(lead: &'a Lead, etag: Option<&'a [u8]>) -> Purpose<'a> {
    match &lead.stale {
        Some(stale) if stale.facts().validator => {
            Purpose::Revalidate { etag, last_modified: stale.last_modified() }
        }
        _ => Purpose::Store,
    }
}
