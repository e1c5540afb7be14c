//! Takes observations in, one after the other, and says what changes. The same observations give the same changes.

use crate::answers::Sample;
use crate::limits::Limits;
use crate::observation::{Answer, Dims, Observation, Who};
use crate::page::{Page, Step, Withdrawn};
use crate::proposals::Proposals;
use crate::rules::Change;
use crate::shape::{Shape, shape_of};
use std::collections::{HashMap, VecDeque};

/// Keys longer than this are not learned about.
const KEY_BYTES_MAX: usize = 1_024;
/// Pages that are looked at for one that may be forgotten.
const LOOKS_MAX: usize = 8;
/// A shape that has proved something is kept for so long after it was last seen.
const PROVED_SHAPE_MS: u64 = 3_600_000;
/// The shape of all that have no room of their own.
const OTHERS: &str = "(others)";
/// An answer this old is no longer what visitors get: nothing is compared with it.
const PRESENT_MS: u64 = 60_000;

/// Everything that was learned.
#[derive(Clone, Debug)]
pub struct Learner {
    pub(crate) limits: Limits,
    pub(crate) pages: HashMap<u64, Page>,
    /// Every page once, those that were there first in front.
    pub(crate) order: VecDeque<u64>,
    pub(crate) shapes: HashMap<(u32, String), Shape>,
    /// Bars outlive their pages: end of the bar, and how often.
    pub(crate) bars: HashMap<u64, (u64, u32)>,
    pub(crate) proposals: Proposals,
    pub(crate) observed: u64,
    generation: u32,
}

impl Learner {
    /// One that knows nothing.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            pages: HashMap::new(),
            order: VecDeque::new(),
            shapes: HashMap::new(),
            bars: HashMap::new(),
            proposals: Proposals::default(),
            observed: 0,
            generation: 0,
        }
    }

    /// Takes one observation in; returns what changes.
    pub fn observe(&mut self, seen: &Observation) -> Vec<Change> {
        self.observed += 1;
        let mut changes = Vec::new();
        if seen.key.len() > KEY_BYTES_MAX {
            return changes;
        }
        let Some(shape) = self.room_for(seen, &mut changes) else { return changes };
        self.count(seen, &shape);
        let Some(page) = self.pages.get_mut(&seen.url) else { return changes };
        let Some(of_shape) = self.shapes.get_mut(&shape) else { return changes };
        (page.touched, page.last_ms) = (true, seen.done_ms);
        let took_us = u64::from(seen.took_us) * u64::from(seen.weight);
        let sample = Sample { purges: page.purges, ..sample_of(seen) };
        let step = match (&seen.who, &seen.answer) {
            (Who::Nobody, Answer::Unseen) => {
                page.erred(seen.stripped);
                Step::Nothing
            }
            (Who::Somebody, _) | (_, Answer::Unseen) => Step::Nothing,
            (Who::Cookies(names), Answer::Page { hash, .. }) => {
                if let Some(present) = page.present(&sample, PRESENT_MS) {
                    self.proposals.cookies(names, seen.url, &sample, present == *hash, took_us);
                }
                Step::Nothing
            }
            (Who::Cookies(_), _) => Step::Nothing,
            (Who::Nobody, Answer::Page { storable, .. }) => {
                if *storable && !seen.stripped {
                    self.proposals.page(target_of(&seen.key), &sample, took_us);
                }
                page.answered(sample, of_shape, &self.limits)
            }
            (Who::Nobody, Answer::SetsCookies(names)) => {
                if !seen.stripped {
                    self.proposals.sets(names, seen.url, seen.visitor, seen.done_ms, took_us);
                }
                page.contradicted(Withdrawn::SetsCookies, seen.done_ms, of_shape, &self.limits)
            }
            (Who::Nobody, Answer::Speaks) => {
                page.contradicted(Withdrawn::Speaks, seen.done_ms, of_shape, &self.limits)
            }
            (Who::Nobody, Answer::Varies) => {
                page.contradicted(Withdrawn::Varies, seen.done_ms, of_shape, &self.limits)
            }
        };
        self.take_step(seen, &sample, &shape, step, &mut changes);
        changes
    }

    /// A URL was purged: it may have other content from now on, and again what it had before.
    pub fn purged(&mut self, url: u64) {
        if let Some(page) = self.pages.get_mut(&url) {
            page.purges = page.purges.saturating_add(1);
        }
    }

    /// The same for all URLs whose keys are selected.
    pub fn purged_where(&mut self, selects: impl Fn(&[u8]) -> bool) {
        for page in self.pages.values_mut().filter(|page| selects(&page.key)) {
            page.purges = page.purges.saturating_add(1);
        }
    }

    /// Carries one page's step out.
    pub(crate) fn take_step(
        &mut self,
        seen: &Observation,
        sample: &Sample,
        shape: &(u32, String),
        step: Step,
        changes: &mut Vec<Change>,
    ) {
        let Some(page) = self.pages.get_mut(&seen.url) else { return };
        let Some(of_shape) = self.shapes.get_mut(shape) else { return };
        if page.barred_until_ms > seen.done_ms {
            let (until, strikes) = (page.barred_until_ms, page.strikes);
            remember_bar(&mut self.bars, seen.url, until, strikes, seen.done_ms, self.limits.pages_max);
        }
        match step {
            Step::Nothing => {}
            Step::Ruled | Step::Outdated => {
                if sample.found && page.ruled.as_ref().is_some_and(|ruled| ruled.full) {
                    of_shape.prove(seen.url);
                }
                self.generation += 1;
                let rule = page.rule(self.generation);
                if seen.apply && step == Step::Outdated && page.told.is_some() {
                    changes.push(Change::Outdated { key: page.key.clone() });
                }
                if seen.apply && page.told != rule {
                    page.told.clone_from(&rule);
                    changes.extend(rule.map(|rule| Change::Set {
                        url: seen.url,
                        key: page.key.clone(),
                        rule,
                    }));
                }
            }
            Step::Ends(why) => {
                of_shape.withdrawn = Some((why, seen.done_ms));
                if page.told.take().is_some() {
                    changes.push(Change::Withdraw { url: seen.url, key: page.key.clone(), why });
                }
                if of_shape.is_barred(seen.done_ms) {
                    self.end_siblings(shape, changes);
                }
            }
        }
    }

    /// Those that have no rule because of their own evidence lose it.
    fn end_siblings(&mut self, shape: &(u32, String), changes: &mut Vec<Change>) {
        for (url, page) in self.pages.iter_mut().filter(|(_, page)| page.shape == *shape) {
            if page.ruled.as_ref().is_none_or(|ruled| ruled.full) {
                continue;
            }
            page.end(Withdrawn::Sibling);
            if page.told.take().is_some() {
                changes.push(Change::Withdraw { url: *url, key: page.key.clone(), why: Withdrawn::Sibling });
            }
        }
    }

    /// Makes sure that the page and its shape are known; returns the shape. `None` when everything is full of what is
    /// needed more, and for what is no page: whoever looks for holes asks for thousands that are not there.
    pub(crate) fn room_for(
        &mut self,
        seen: &Observation,
        changes: &mut Vec<Change>,
    ) -> Option<(u32, String)> {
        if let Some(page) = self.pages.get(&seen.url) {
            if self.shapes.contains_key(&page.shape) {
                return Some(page.shape.clone());
            }
            // Another took its place, and it is back.
            let shape = self.shape_for(seen);
            self.pages.get_mut(&seen.url)?.shape.clone_from(&shape);
            return Some(shape);
        }
        let is_page = match &seen.answer {
            Answer::Page { storable, .. } => *storable,
            Answer::Unseen => seen.who == Who::Somebody,
            Answer::SetsCookies(_) | Answer::Speaks | Answer::Varies => true,
        };
        if !is_page || (self.pages.len() >= self.limits.pages_max && !self.forget_one(seen.done_ms, changes))
        {
            return None;
        }
        let shape = self.shape_for(seen);
        let mut page = Page::new(seen.key.clone(), shape.clone(), seen.done_ms);
        if let Some(&(until, strikes)) = self.bars.get(&seen.url) {
            (page.barred_until_ms, page.strikes) = (until, strikes);
        }
        self.pages.insert(seen.url, page);
        self.order.push_back(seen.url);
        Some(shape)
    }

    /// The shape of a page, which is known from now on. When there are too many, it takes the place of the one that was
    /// not seen for longest and has proved nothing; where all have, it is one of the others.
    fn shape_for(&mut self, seen: &Observation) -> (u32, String) {
        let now_ms = seen.done_ms;
        let mut shape = (seen.route, shape_text(&seen.key));
        if !self.shapes.contains_key(&shape) && self.shapes.len() >= self.limits.shapes_max {
            let free = self.shapes.iter().filter(|(_, shape)| shape.may_go(now_ms, PROVED_SHAPE_MS));
            let oldest =
                free.min_by_key(|(name, shape)| (shape.last_ms, *name)).map(|(name, _)| name.clone());
            match oldest {
                Some(oldest) => drop(self.shapes.remove(&oldest)),
                None => shape = (u32::MAX, OTHERS.to_owned()),
            }
        }
        self.shapes.entry(shape.clone()).or_insert_with(|| Shape::new(now_ms, shape.1 == OTHERS));
        shape
    }

    /// Makes room: a page that was not asked for since it was last looked at. One with a rule only when it was not seen
    /// for long: nobody gets rid of a rule by asking for many other pages.
    fn forget_one(&mut self, now_ms: u64, changes: &mut Vec<Change>) -> bool {
        for look in 0..=LOOKS_MAX {
            let Some(url) = self.order.pop_front() else { return false };
            let Some(page) = self.pages.get_mut(&url) else { continue };
            let serves = page.ruled.is_some() && page.last_ms + self.limits.answer_age_ms > now_ms;
            if serves || (look < LOOKS_MAX && page.touched) {
                page.touched = false;
                self.order.push_back(url);
                continue;
            }
            if page.told.is_some() {
                let why = Withdrawn::Forgotten;
                changes.push(Change::Withdraw { url, key: page.key.clone(), why });
            }
            self.pages.remove(&url);
            return true;
        }
        false
    }

    fn count(&mut self, seen: &Observation, shape: &(u32, String)) {
        let Some(shape_seen) = self.shapes.get_mut(shape) else { return };
        let each = u64::from(seen.took_us);
        shape_seen.apply = seen.apply;
        shape_seen.last_ms = seen.done_ms;
        shape_seen.took_us += each * u64::from(seen.weight - seen.served.min(seen.weight));
        shape_seen.saved_us += each * u64::from(seen.served);
        if seen.who == Who::Nobody {
            shape_seen.shareable_us += each * u64::from(seen.weight);
            if matches!(seen.answer, Answer::Page { .. }) {
                shape_seen.samples += 1;
                shape_seen.seen_by(seen.visitor);
            }
        }
    }

    /// Pages that are remembered.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Whether a URL has a rule, told or not.
    pub fn has_rule(&self, url: u64) -> bool {
        self.pages.get(&url).is_some_and(|page| page.ruled.is_some())
    }
}

fn sample_of(seen: &Observation) -> Sample {
    let (hash, coding, storable, found, needs) = match seen.answer {
        Answer::Page { hash, coding, storable, found, needs } => (hash, coding, storable, found, needs),
        _ => (0, 0, false, false, Dims::NONE),
    };
    Sample {
        sent_ms: seen.sent_ms,
        done_ms: seen.done_ms.max(seen.sent_ms),
        hash,
        visitor: seen.visitor,
        traits: seen.traits,
        coding,
        stripped: seen.stripped,
        storable,
        found,
        needs,
        purges: 0,
    }
}

/// Bounded: what has passed goes first, and then whichever.
pub(crate) fn remember_bar(
    bars: &mut HashMap<u64, (u64, u32)>,
    url: u64,
    until: u64,
    strikes: u32,
    now_ms: u64,
    most: usize,
) {
    if bars.len() >= most && !bars.contains_key(&url) {
        bars.retain(|_, (end, _)| *end > now_ms);
        if bars.len() >= most
            && let Some(any) = bars.keys().next().copied()
        {
            bars.remove(&any);
        }
    }
    bars.insert(url, (until, strikes));
}

fn target_of(key: &[u8]) -> &str {
    let at = key.iter().position(|&byte| byte == 0).map_or(key.len(), |at| at + 1);
    std::str::from_utf8(&key[at..]).unwrap_or("")
}

fn shape_text(key: &[u8]) -> String {
    let host = key.split(|&byte| byte == 0).next().unwrap_or_default();
    format!("{}{}", String::from_utf8_lossy(host), shape_of(target_of(key)))
}
