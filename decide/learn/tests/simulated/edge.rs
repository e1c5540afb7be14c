//! An edge in miniature: does with rules what `edge/proxy` does, and checks what each visitor gets.

use crate::apps::{App, Said, Told};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use tentpole_learn::{
    Answer, Change, Dims, Learner, Limits, Observation, Rules, Trait, Who, agent_class, language_class,
};

/// Whether what is fetched for the cache says nothing about who asks, as it must.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Strip {
    Yes,
    No,
}

#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    pub anonymous: usize,
    pub hits: usize,
    pub foreign: Vec<String>,
}

#[derive(Clone)]
struct Visitor {
    id: u64,
    session: Option<u64>,
    header: Option<u64>,
    language: Option<&'static str>,
    agent: Option<&'static str>,
}

struct Stored {
    said: Said,
    until_ms: u64,
}

pub struct Edge {
    app: App,
    strip: Strip,
    random: u64,
    now_ms: u64,
    learner: Learner,
    rules: Rules,
    /// By URL and the fields that select.
    objects: HashMap<(u64, Vec<&'static str>), (Dims, Stored)>,
    visitors: Vec<Visitor>,
    once: u64,
    once_seen: HashMap<String, u64>,
    pub outcome: Outcome,
}

const LANGUAGES: [&str; 3] = ["de-DE,de;q=0.9", "fr", "en-GB"];
const AGENTS: [&str; 3] = ["Desktop Chrome", "Phone Mobile Safari", "Googlebot/2.1"];
const URLS: u64 = 12;

impl Edge {
    pub fn new(app: App, seed: u64, strip: Strip) -> Self {
        let mut edge = Self {
            app,
            strip,
            random: seed,
            now_ms: 1_000,
            learner: Learner::new(Limits::default()),
            rules: Rules::default(),
            objects: HashMap::new(),
            visitors: Vec::new(),
            once: 0,
            once_seen: HashMap::new(),
            outcome: Outcome::default(),
        };
        for id in 1..=20 {
            let session = edge.chance(4).then_some(id);
            let header = edge.chance(8).then_some(id);
            let (language, agent) = (edge.pick(&LANGUAGES), edge.pick(&AGENTS));
            edge.visitors.push(Visitor { id, session, header, language: Some(language), agent: Some(agent) });
        }
        edge
    }

    /// One request.
    pub fn step(&mut self) {
        self.now_ms += 20 + self.next() % 280;
        let at = self.next() as usize % self.visitors.len();
        let visitor = self.visitors[at].clone();
        // Some pages are asked for more often than others.
        let url = (self.next() % URLS) * (self.next() % URLS) / URLS;
        let said = self.answer(&visitor, url);
        self.check(&visitor, url, &said);
    }

    fn answer(&mut self, visitor: &Visitor, url: u64) -> Said {
        if visitor.session.is_some() || visitor.header.is_some() {
            return self.whole(visitor, url);
        }
        self.outcome.anonymous += 1;
        let Some(rule) = self.rules.of(url).cloned() else { return self.whole(visitor, url) };
        let probes = self.next().is_multiple_of(20);
        let stored = self.objects.iter().find(|((of, selected), (vary, stored))| {
            *of == url && stored.until_ms > self.now_ms && *selected == selecting(visitor, *vary)
        });
        if let Some((_, (_, stored))) = stored {
            let said = stored.said.clone();
            if probes {
                return self.whole(visitor, url);
            }
            self.outcome.hits += 1;
            return said;
        }
        let told = Told {
            language: visitor.language.filter(|_| rule.vary.has(Dims::LANGUAGE)),
            agent: visitor.agent.filter(|_| rule.vary.has(Dims::AGENT)),
            ..Told::default()
        };
        let told = if self.strip == Strip::Yes { told } else { told_whole(visitor) };
        let (said, seen) = self.fetch(visitor, url, told, true);
        let Answer::Page { hash, storable: true, .. } = seen.answer else { return said };
        let agreed = rule.agreed(rule.group(0, &seen.traits));
        let still = |edge: &Self| edge.rules.of(url).is_some_and(|now| now.generation == rule.generation);
        if agreed == Some(hash) && rule.seen_by != Some(visitor.id) {
            if still(self) {
                self.store(visitor, url, rule.vary, &said, rule.lifetime_s);
            }
            return said;
        }
        let own = self.whole(visitor, url);
        if own == said && rule.seen_by.is_none() && still(self) {
            self.store(visitor, url, rule.vary, &said, rule.lifetime_s);
        }
        own
    }

    fn store(&mut self, visitor: &Visitor, url: u64, vary: Dims, said: &Said, lifetime_s: u16) {
        let until_ms = self.now_ms + u64::from(lifetime_s) * 1_000;
        let stored = Stored { said: said.clone(), until_ms };
        self.objects.insert((url, selecting(visitor, vary)), (vary, stored));
    }

    fn whole(&mut self, visitor: &Visitor, url: u64) -> Said {
        self.fetch(visitor, url, told_whole(visitor), false).0
    }

    fn fetch(&mut self, visitor: &Visitor, url: u64, told: Told, stripped: bool) -> (Said, Observation) {
        self.once += 1;
        let told = Told { url, now_ms: self.now_ms, once: self.once * 7 + self.next() % 7, ..told };
        let said = (self.app)(&told);
        let sent_ms = self.now_ms;
        self.now_ms += 2 + self.next() % 40;
        let field =
            |value: Option<&str>, class: u16| Trait { exact: value.map_or(0, |v| hash(v) as u32 | 1), class };
        let who = match visitor {
            _ if stripped => Who::Nobody,
            Visitor { header: Some(_), .. } => Who::Somebody,
            Visitor { session: Some(_), .. } => Who::Cookies(vec!["session".into()]),
            _ => Who::Nobody,
        };
        let seen = Observation {
            sent_ms,
            done_ms: self.now_ms,
            url,
            key: format!("a\0/part/{url}").into_bytes().into(),
            route: 0,
            apply: true,
            visitor: visitor.id,
            who,
            traits: [
                field(told.language, told.language.map_or(0, |value| language_class(value.as_bytes()))),
                field(told.agent, told.agent.map_or(0, |value| agent_class(value.as_bytes()))),
                Trait::default(),
            ],
            stripped,
            answer: match &said {
                Said { speaks: true, .. } => Answer::Speaks,
                Said { sets_cookie: true, .. } => Answer::SetsCookies(vec!["token".into()]),
                said => Answer::Page {
                    hash: hash(&said.body),
                    coding: 0,
                    storable: said.status == 200,
                    found: said.status == 200,
                    needs: Dims::NONE,
                },
            },
            took_us: 1_000,
            weight: 1,
            served: 0,
        };
        for change in self.learner.observe(&seen) {
            self.rules.take(&change);
            if let Change::Withdraw { key, .. } | Change::Outdated { key } = &change {
                let text = String::from_utf8_lossy(key).into_owned();
                self.objects.retain(|(of, _), _| text != format!("a\0/part/{of}"));
            }
        }
        (said, seen)
    }

    /// What was made for somebody else, or may be had only once, must not be here.
    fn check(&mut self, visitor: &Visitor, url: u64, said: &Said) {
        for word in said.body.split(' ') {
            let foreign = match word.split_once('-') {
                Some(("marker", of)) => of != visitor.id.to_string(),
                Some(("once", _)) => self.once_seen.insert(word.to_owned(), visitor.id).is_some(),
                _ => false,
            };
            if foreign {
                self.outcome.foreign.push(format!("{word} for {} at {url}, {} ms", visitor.id, self.now_ms));
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn chance(&mut self, of: u64) -> bool {
        self.next().is_multiple_of(of)
    }

    fn pick(&mut self, all: &[&'static str; 3]) -> &'static str {
        all[(self.next() % 3) as usize]
    }
}

fn told_whole(visitor: &Visitor) -> Told {
    Told {
        address: Some(visitor.id),
        session: visitor.session,
        header: visitor.header,
        language: visitor.language,
        agent: visitor.agent,
        ..Told::default()
    }
}

fn selecting(visitor: &Visitor, vary: Dims) -> Vec<&'static str> {
    let language = visitor.language.filter(|_| vary.has(Dims::LANGUAGE));
    let agent = visitor.agent.filter(|_| vary.has(Dims::AGENT));
    vec![language.unwrap_or(""), agent.unwrap_or("")]
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
