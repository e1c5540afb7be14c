//! One URL: its answers, its rule, and what ends it.

use crate::answers::{Answers, Contradiction, Evidence, Sample};
use crate::limits::Limits;
use crate::memory::Memory;
use crate::observation::Dims;
use crate::rules::Rule;
use crate::shape::Shape;

/// A provisional rule rests on one visitor's answer, which must not be older than this.
const PROVISIONAL_MS: u64 = 60_000;

/// Errors in a row for the edge's own requests, and as many answers for visitors without one, before the request is to
/// blame and not the moment.
const REFUSED_MIN: u8 = 10;

/// Why a URL has no rule any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Withdrawn {
    /// An answer came back after another one had taken its place: it depends on who asks, or on chance.
    Alternates,
    /// It is another one each time.
    Restless,
    /// It sets a cookie.
    SetsCookies,
    /// It says itself how it may be cached.
    Speaks,
    /// Its `Vary` names what no rule can keep.
    Varies,
    /// It cannot be stored now: another status, or too long.
    NotStorable,
    /// It turned out to depend on a field, and there is not enough evidence yet for those who are alike in that.
    Depends,
    /// Requests that say nothing about who asks are answered with errors, and those of visitors are not.
    Refuses,
    /// A page like it was contradicted, and it had not proved itself.
    Sibling,
    /// Not asked for any more.
    Forgotten,
}

impl Withdrawn {
    /// In words.
    pub fn label(self) -> &'static str {
        match self {
            Self::Alternates => "visitors got different answers at the same time",
            Self::Restless => "the answer differs on each fetch",
            Self::SetsCookies => "it sets a cookie",
            Self::Speaks => "it says itself how it may be cached",
            Self::Varies => "its Vary names what every visitor sends differently",
            Self::NotStorable => "its status is not for sharing, or it is too long",
            Self::Depends => "it depends on a field that has to be told apart first",
            Self::Refuses => "it is an error for whoever says nothing about his browser",
            Self::Sibling => "a page like it was contradicted",
            Self::Forgotten => "it is not asked for any more",
        }
    }

    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 10] = [
        Self::Alternates,
        Self::Restless,
        Self::SetsCookies,
        Self::Speaks,
        Self::Varies,
        Self::NotStorable,
        Self::Depends,
        Self::Refuses,
        Self::Sibling,
        Self::Forgotten,
    ];

    /// The word in metrics.
    pub fn word(self) -> &'static str {
        match self {
            Self::Alternates => "alternates",
            Self::Restless => "restless",
            Self::SetsCookies => "sets_cookies",
            Self::Speaks => "speaks",
            Self::Varies => "varies",
            Self::NotStorable => "not_storable",
            Self::Depends => "depends",
            Self::Refuses => "refuses",
            Self::Sibling => "sibling",
            Self::Forgotten => "forgotten",
        }
    }

    /// Whether it shows that the page was not to be shared, so that it must wait for a new rule.
    fn bars(self) -> bool {
        !matches!(self, Self::NotStorable | Self::Depends | Self::Sibling | Self::Forgotten)
    }
}

/// How long the contradiction after so many others bars.
pub(crate) fn bar_ms(strikes: u32, limits: &Limits) -> u64 {
    (limits.bar_first_ms << strikes.min(16)).min(limits.bar_max_ms)
}

/// One URL.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub key: Box<[u8]>,
    /// Where its shape is known.
    pub shape: (u32, String),
    pub answers: Answers,
    /// Fields that its answers are told apart by: all, but those that were seen not to matter.
    pub vary: Dims,
    /// Fields that mattered after all, and until when that is not to be questioned.
    pub pinned: (Dims, u64),
    pub ruled: Option<Ruled>,
    /// The rule that the edge was told.
    pub told: Option<Rule>,
    /// How often what is stored for it was purged: its content has changed.
    pub purges: u32,
    pub barred_until_ms: u64,
    pub strikes: u32,
    pub last_ms: u64,
    /// Errors that the edge's own requests were answered with, and whole answers that visitors got, since one of the former
    /// was no error or one of the latter was.
    refused: (u8, u8),
    /// Since it was last looked at for making room.
    pub touched: bool,
}

/// A page that may be shared.
#[derive(Clone, Debug)]
pub(crate) struct Ruled {
    /// Because of its own evidence, not only of its siblings'.
    pub full: bool,
    lifetime_s: u16,
    grown_ms: u64,
    evidence: Evidence,
}

/// What an answer means for its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing that anybody has to be told.
    Nothing,
    /// It has a rule, maybe a changed one.
    Ruled,
    /// The same, and what is stored is not what visitors get.
    Outdated,
    /// It has no rule any more.
    Ends(Withdrawn),
}

impl Page {
    pub fn new(key: Box<[u8]>, shape: (u32, String), now_ms: u64) -> Self {
        Self {
            key,
            shape,
            answers: Answers::default(),
            vary: Dims::ALL,
            pinned: (Dims::NONE, 0),
            ruled: None,
            told: None,
            purges: 0,
            barred_until_ms: 0,
            strikes: 0,
            last_ms: now_ms,
            refused: (0, 0),
            touched: true,
        }
    }

    pub fn is_barred(&self, now_ms: u64) -> bool {
        now_ms < self.barred_until_ms
    }

    /// Hash of what visitors who are alike got last, if that is not older than `age_ms`.
    pub fn present(&self, like: &Sample, age_ms: u64) -> Option<u64> {
        let present = self.answers.present(like.group(self.vary), self.vary)?;
        (present.done_ms + age_ms >= like.sent_ms).then_some(present.hash)
    }

    /// An anonymous request was answered with an error of the moment: that proves nothing, unless visitors have none.
    pub fn erred(&mut self, stripped: bool) {
        self.refused = if stripped { (self.refused.0.saturating_add(1), self.refused.1) } else { (0, 0) };
    }

    /// Takes one anonymous answer in.
    pub fn answered(&mut self, sample: Sample, shape: &mut Shape, limits: &Limits) -> Step {
        if self.is_barred(sample.done_ms) {
            return Step::Nothing;
        }
        self.refused = match self.refused {
            (errors @ 1.., answers) if !sample.stripped => (errors, answers.saturating_add(1)),
            _ => (0, 0),
        };
        if self.refused.0 >= REFUSED_MIN && self.refused.1 >= REFUSED_MIN {
            self.refused = (0, 0);
            return self.contradicted(Withdrawn::Refuses, sample.done_ms, shape, limits);
        }
        let before = self.answers.present(sample.group(self.vary), self.vary).map(|last| last.hash);
        self.answers.add(sample, limits);
        if !sample.needs.without(self.vary).is_none() {
            // It says so itself: that holds as long as any evidence does.
            self.tell_apart(self.vary.with(sample.needs), sample.done_ms, shape, limits);
        }
        let split = match self.answers.weigh(self.vary, limits) {
            Ok(_) => false,
            Err(contradiction) => match self.answers.explained_by(self.vary, limits) {
                Some(dims) => {
                    self.tell_apart(dims, sample.done_ms, shape, limits);
                    true
                }
                None => return self.contradicted(contradiction.into(), sample.done_ms, shape, limits),
            },
        };
        self.leave_out(sample.done_ms, shape, limits);
        let Ok(evidence) = self.answers.weigh(self.vary, limits) else { return Step::Nothing };
        if self.ruled.is_none() {
            return self.maybe_begin(evidence, &sample, shape, limits);
        }
        if split && !evidence.enough {
            return self.end(Withdrawn::Depends);
        }
        if !evidence.storable {
            return self.end(Withdrawn::NotStorable);
        }
        let changed = before.is_some_and(|hash| hash != sample.hash);
        let outdated = split || (changed && !sample.stripped);
        self.renew(evidence, &sample, changed, limits);
        if outdated { Step::Outdated } else { Step::Ruled }
    }

    /// Takes over what another process knew. The rule comes back if the answers still bear it; how long what is stored by it
    /// lives begins anew.
    pub fn recalled(&mut self, was: &Memory, samples: Vec<Sample>, now_ms: u64, limits: &Limits) -> Step {
        self.vary = was.vary;
        self.pinned = (was.pinned.0, now_ms.saturating_add(was.pinned.1.min(limits.bar_first_ms)));
        self.purges = samples.iter().map(|sample| sample.purges).max().unwrap_or(0);
        samples.into_iter().for_each(|sample| self.answers.add(sample, limits));
        let Some(full) = was.ruled.filter(|_| !self.is_barred(now_ms)) else { return Step::Nothing };
        let evidence = self.answers.weigh(self.vary, limits).ok().filter(|evidence| evidence.storable);
        let Some(evidence) = evidence else { return Step::Nothing };
        self.ruled = Some(Ruled { full, lifetime_s: limits.lifetime_first_s, grown_ms: now_ms, evidence });
        Step::Ruled
    }

    /// Something about it shows that it must not be shared.
    pub fn contradicted(&mut self, why: Withdrawn, now_ms: u64, shape: &mut Shape, limits: &Limits) -> Step {
        let ruled = self.ruled.is_some();
        if self.is_barred(now_ms) {
            return Step::Nothing;
        }
        self.barred_until_ms = now_ms + bar_ms(self.strikes, limits);
        self.strikes += 1;
        self.answers.clear();
        self.vary = Dims::ALL;
        // Before there was a rule it contradicts nothing that its siblings have in common with it.
        if ruled {
            shape.contradicted(now_ms, limits);
        }
        self.end(why)
    }

    /// Takes its rule away.
    pub fn end(&mut self, why: Withdrawn) -> Step {
        debug_assert!(!why.bars() || self.barred_until_ms > 0);
        if self.ruled.take().is_some() { Step::Ends(why) } else { Step::Nothing }
    }

    /// The rule as the edge is to know it, with a new generation if it is another one than it knows.
    pub fn rule(&self, generation: u32) -> Option<Rule> {
        let ruled = self.ruled.as_ref()?;
        let seen_by = self.answers.last_whole(0).filter(|_| !ruled.full).map(|sample| sample.visitor);
        let rule = Rule {
            generation: self.told.as_ref().map_or(generation, |told| told.generation),
            lifetime_s: ruled.lifetime_s,
            vary: self.vary,
            agreed: ruled.evidence.agreed.clone().into(),
            seen_by,
        };
        match &self.told {
            Some(told) if *told == rule => Some(rule),
            // What was begun under the old one compares by other fields, or tells the endpoint others.
            Some(told) if told.vary == rule.vary => Some(rule),
            _ => Some(Rule { generation, ..rule }),
        }
    }

    fn maybe_begin(&mut self, evidence: Evidence, sample: &Sample, shape: &Shape, limits: &Limits) -> Step {
        let now_ms = sample.done_ms;
        let whole = self.answers.last_whole(now_ms.saturating_sub(PROVISIONAL_MS));
        let provisional =
            shape.is_proven(now_ms, limits) && whole.is_some_and(|whole| whole.storable && whole.found);
        if !evidence.enough && !provisional {
            return Step::Nothing;
        }
        let full = evidence.enough;
        self.ruled = Some(Ruled { full, lifetime_s: limits.lifetime_first_s, grown_ms: now_ms, evidence });
        Step::Ruled
    }

    fn renew(&mut self, evidence: Evidence, sample: &Sample, changed: bool, limits: &Limits) {
        let Some(ruled) = &mut self.ruled else { return };
        ruled.full |= evidence.enough;
        if changed {
            ruled.lifetime_s = limits.lifetime_first_s;
            ruled.grown_ms = sample.done_ms;
        } else if sample.stripped && sample.done_ms >= ruled.grown_ms + u64::from(ruled.lifetime_s) * 1_000 {
            // A fetch for the cache agreed with what was stored.
            ruled.lifetime_s = (ruled.lifetime_s + ruled.lifetime_s / 2 + 1).min(limits.lifetime_max_s);
            ruled.grown_ms = sample.done_ms;
        }
        ruled.evidence = evidence;
    }

    /// Fields matter after all.
    fn tell_apart(&mut self, dims: Dims, now_ms: u64, shape: &mut Shape, limits: &Limits) {
        let pinned = self.pinned_now(now_ms).with(dims.without(self.vary));
        self.pinned = (pinned, now_ms + limits.bar_first_ms);
        shape.matters(pinned);
        self.vary = dims;
    }

    /// Fields do not matter, as far as is seen here, or on its siblings.
    fn leave_out(&mut self, now_ms: u64, shape: &mut Shape, limits: &Limits) {
        let needs = self.answers.needs();
        let pinned = self.pinned_now(now_ms).with(needs);
        let known = self.vary.without(shape.irrelevant()).with(self.vary.both(pinned));
        if self.answers.weigh(known, limits).is_ok() {
            self.vary = known;
        }
        let found = self.answers.irrelevant(self.vary, limits).without(pinned);
        if found != Dims::NONE && self.answers.weigh(self.vary.without(found), limits).is_ok() {
            self.vary = self.vary.without(found);
            shape.note_irrelevant(found);
        }
    }

    fn pinned_now(&self, now_ms: u64) -> Dims {
        if now_ms < self.pinned.1 { self.pinned.0 } else { Dims::NONE }
    }
}

impl From<Contradiction> for Withdrawn {
    fn from(contradiction: Contradiction) -> Self {
        match contradiction {
            Contradiction::Alternates => Self::Alternates,
            Contradiction::Restless => Self::Restless,
        }
    }
}
