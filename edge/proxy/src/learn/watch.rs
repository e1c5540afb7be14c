//! Looks at one answer while it passes, and tells the learner. Keeps a hash and never a byte of it.

use super::head::{self, BODY_BYTES_MAX, Meaning};
use super::keys::Hasher;
use super::{OfThread, has_only_everybodys, is_comparable, is_plain};
use crate::asked::Asked;
use crate::prepare::Prepared;
use std::hash::Hasher as _;
use std::net::IpAddr;
use tentpole_learn::{Answer, Dims, Observation, Traits, Who};
use tentpole_message::{Fields, ResponseHead};
use tentpole_model::{Learn, RouteCache, RouteId};
use tentpole_runtime::clock::{self, Instant};

/// A request, as far as the learner hears of it.
#[derive(Clone, Copy)]
pub struct Told<'a> {
    /// Its fields.
    pub fields: &'a Fields,
    /// What it means.
    pub asked: &'a Asked,
    /// What is served.
    pub prepared: &'a Prepared,
    /// Its cache key.
    pub key: &'a [u8],
    /// The visitor's address.
    pub peer: IpAddr,
    /// Its route.
    pub route: RouteId,
    /// Whether that is cached at all.
    pub cache: RouteCache,
    /// Whether anything is learned there.
    pub learn: Learn,
    /// When it went to the endpoint.
    pub sent: Instant,
    /// The fields that the endpoint was told, when it was told nothing else.
    pub stripped: Option<Dims>,
    /// It was asked for what the key holds. What it answers to a longer query is not compared with what it answers to that.
    pub as_keyed: bool,
    /// Something hangs on the answer: it is looked at however little time there is.
    pub must: bool,
}

/// One answer that passes.
pub struct Watch {
    seen: Observation,
    hasher: Option<Hasher>,
    bytes: u64,
    page: bool,
    found: bool,
    needs: Dims,
}

impl Watch {
    /// Begins to look at an answer, if there is something to learn from it and time to do so.
    pub fn begin(
        of: &OfThread,
        told: &Told<'_>,
        response: &ResponseHead,
        length: Option<u64>,
    ) -> Option<Self> {
        let served = of.probe_served.take();
        let asked = told.asked;
        let is_looked_at = told.learn != Learn::Off && told.cache != RouteCache::Off;
        if !is_looked_at || !is_comparable(asked) || !is_plain(told.key) {
            return None;
        }
        // First of all: where there is no time, this costs next to nothing.
        if served == 0 && !told.must && !of.has_time() {
            of.skipped.set(of.skipped.get().saturating_add(1));
            return None;
        }
        let learning = &of.learning;
        let meaning = head::meaning(response, length, told.key);
        let fields = told.fields;
        let (needs, page) = match meaning {
            Meaning::Silent { page, needs } => (needs, page),
            // It speaks for itself, as most do: only news for a page that has a rule.
            Meaning::Speaks if !of.has_rule(told.key) => return None,
            _ => (Dims::NONE, false),
        };
        let url = learning.hash(told.key);
        of.samples.set(of.samples.get() + 1);
        let who = match asked.facts {
            _ if told.stripped.is_some() => Who::Nobody,
            facts if facts.authorization || !has_only_everybodys(fields, told.prepared) => Who::Somebody,
            facts if facts.cookie => Who::Cookies(head::cookies(fields)),
            _ => Who::Nobody,
        };
        let compares = told.as_keyed && matches!(meaning, Meaning::Silent { .. }) && who != Who::Somebody;
        let answer = match meaning {
            _ if !told.as_keyed => Answer::Unseen,
            Meaning::Silent { .. } | Meaning::Unseen => Answer::Unseen,
            Meaning::Speaks => Answer::Speaks,
            Meaning::Varies => Answer::Varies,
            Meaning::SetsCookies(names) => Answer::SetsCookies(names),
        };
        let seen = Observation {
            sent_ms: super::millis(told.sent),
            done_ms: 0,
            url,
            key: told.key.into(),
            route: told.route.0,
            apply: told.learn == Learn::Apply,
            visitor: head::visitor(learning, told.peer),
            who,
            traits: head::traits(learning, fields, told.stripped.unwrap_or(Dims::ALL)),
            stripped: told.stripped.is_some(),
            answer,
            took_us: 0,
            weight: of.skipped.take().saturating_add(served).saturating_add(1),
            served,
        };
        let hasher = compares.then(|| head::hasher(learning, response));
        let mut watch = Self { seen, hasher, bytes: 0, page, found: response.status == 200, needs };
        if compares {
            watch.seen.answer = watch.page_of(0, head::coding(response));
        }
        Some(watch)
    }

    /// A piece of the body passes.
    #[inline]
    pub fn take(&mut self, content: &[u8]) {
        self.bytes += content.len() as u64;
        // Of what is no page the head is enough: it must be the same whether the body was read or not.
        if let Some(hasher) = &mut self.hasher
            && self.page
            && self.bytes <= BODY_BYTES_MAX
        {
            hasher.write(content);
        }
    }

    /// Whether it could be stored, as far as its head says.
    pub fn is_page(&self) -> bool {
        self.page
    }

    /// The answer is whole: its hash, where it could be stored.
    pub fn page_hash(&self) -> Option<u64> {
        let whole = self.page && self.bytes <= BODY_BYTES_MAX;
        self.hasher.as_ref().filter(|_| whole).map(|hasher| hasher.finish())
    }

    /// The traits that it is compared by, and its coding.
    pub fn group(&self) -> (u8, &Traits) {
        let coding = if let Answer::Page { coding, .. } = self.seen.answer { coding } else { 0 };
        (coding, &self.seen.traits)
    }

    /// Fields that its `Vary` names.
    pub fn needs(&self) -> Dims {
        self.needs
    }

    /// The answer is whole; it took the endpoint so long.
    pub fn end(mut self, of: &OfThread, took_us: u32) {
        of.bytes.set(of.bytes.get() + self.bytes);
        self.page &= self.bytes <= BODY_BYTES_MAX;
        if let (Some(hasher), Answer::Page { coding, .. }) = (&self.hasher, &self.seen.answer) {
            self.seen.answer = self.page_of(hasher.finish(), *coding);
        }
        self.seen.took_us = took_us;
        // Read anew: what came before another request was sent must not look as if it had been under way then.
        self.seen.done_ms = super::millis(clock::now());
        of.tell(self.seen);
    }

    fn page_of(&self, hash: u64, coding: u8) -> Answer {
        Answer::Page { hash, coding, storable: self.page, found: self.found, needs: self.needs }
    }
}
