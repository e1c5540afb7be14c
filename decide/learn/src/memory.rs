//! What a learner knows, on its way to the one of the process that follows: for each page the answers themselves, and
//! what followed from them. Whoever takes it over weighs the answers anew, so that nothing becomes a rule that they
//! contradict; what a page was barred for stays barred. Advice is not in it: it is counted anew.

use crate::answers::Sample;
use crate::learner::{Learner, remember_bar};
use crate::observation::{Answer, Dims, Observation, Who};
use crate::rules::Change;

/// What is known of one page. Times are ages: the next process has another clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// The cache's key.
    pub key: Box<[u8]>,
    /// The route it belongs to.
    pub route: u32,
    /// Whether rules are applied there.
    pub apply: bool,
    /// For how many milliseconds it gets no rule, and how often it was contradicted.
    pub barred: (u64, u32),
    /// Fields that its answers are told apart by.
    pub vary: Dims,
    /// Fields that mattered after all, and for how many milliseconds that is not to be questioned.
    pub pinned: (Dims, u64),
    /// Whether it has a rule, and if so, whether by its own evidence.
    pub ruled: Option<bool>,
    /// Its last answers, in the order in which they were asked for.
    pub answers: Vec<Past>,
}

/// One answer of before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// Milliseconds since the request went to the endpoint.
    pub sent_ago_ms: u64,
    /// Milliseconds since the answer was whole.
    pub done_ago_ms: u64,
    /// Its hash.
    pub hash: u64,
    /// The visitor's address, hashed.
    pub visitor: u64,
    /// What the request said about what he likes.
    pub traits: crate::Traits,
    /// Its content coding.
    pub coding: u8,
    /// The request was the edge's own.
    pub stripped: bool,
    /// It could be stored if it is shared.
    pub storable: bool,
    /// It is a page, not that there is none.
    pub found: bool,
    /// Fields that its `Vary` names.
    pub needs: Dims,
    /// How often the page had been purged by then, less what all of them have in common.
    pub purges: u32,
}

/// What is known of all pages of one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShapeBar {
    /// The route.
    pub route: u32,
    /// The shape.
    pub shape: String,
    /// For how many milliseconds its pages prove nothing for one another.
    pub barred_ms: u64,
    /// How often it was contradicted.
    pub strikes: u32,
}

impl Learner {
    /// What is known of pages, the one that is known longest first.
    pub fn memories(&self, now_ms: u64) -> Vec<Memory> {
        let each = self.order.iter().filter_map(|url| self.pages.get(url));
        each.filter(|page| !page.answers.is_empty() || page.is_barred(now_ms))
            .map(|page| {
                let answers = || page.answers.iter();
                let purges = answers().map(|sample| sample.purges).min().unwrap_or(0);
                Memory {
                    key: page.key.clone(),
                    route: page.shape.0,
                    apply: self.shapes.get(&page.shape).is_some_and(|shape| shape.apply),
                    barred: (page.barred_until_ms.saturating_sub(now_ms), page.strikes),
                    vary: page.vary,
                    pinned: (page.pinned.0, page.pinned.1.saturating_sub(now_ms)),
                    ruled: page.ruled.as_ref().map(|ruled| ruled.full),
                    answers: answers().map(|sample| past(sample, purges, now_ms)).collect(),
                }
            })
            .collect()
    }

    /// Shapes that were contradicted.
    pub fn shape_bars(&self, now_ms: u64) -> Vec<ShapeBar> {
        let barred = self.shapes.iter().filter(|(_, shape)| shape.is_barred(now_ms));
        barred
            .map(|((route, name), shape)| ShapeBar {
                route: *route,
                shape: name.clone(),
                barred_ms: shape.barred_until_ms - now_ms,
                strikes: shape.strikes,
            })
            .collect()
    }

    /// Knows of a shape's bar. To be told before its pages.
    pub fn knows_bar(&mut self, bar: &ShapeBar, now_ms: u64) {
        let name = (bar.route, bar.shape.clone());
        if self.shapes.len() < self.limits.shapes_max || self.shapes.contains_key(&name) {
            let shape = self.shapes.entry(name).or_insert_with(|| crate::shape::Shape::new(now_ms, false));
            shape.barred_until_ms = now_ms.saturating_add(bar.barred_ms.min(self.limits.bar_max_ms));
            shape.strikes = bar.strikes;
        }
    }

    /// Knows of a page what was known before, unless it was seen here already; `url` is the hash of its key. The clock must
    /// reach back as far as the answers.
    pub fn recalls(&mut self, memory: &Memory, url: u64, now_ms: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        let barred_until_ms = now_ms.saturating_add(memory.barred.0.min(self.limits.bar_max_ms));
        if memory.barred.0 > 0 {
            let most = self.limits.pages_max;
            remember_bar(&mut self.bars, url, barred_until_ms, memory.barred.1, now_ms, most);
        }
        let samples: Vec<Sample> = memory.answers.iter().map(|past| sample(past, now_ms)).collect();
        let Some(last) = samples.last().copied().filter(|_| !self.pages.contains_key(&url)) else {
            return changes;
        };
        let seen = observation(memory, &last, url);
        let Some(shape) = self.room_for(&seen, &mut changes) else { return changes };
        let (Some(page), Some(of_shape)) = (self.pages.get_mut(&url), self.shapes.get_mut(&shape)) else {
            return changes;
        };
        of_shape.apply = memory.apply;
        let step = page.recalled(memory, samples, now_ms, &self.limits);
        self.take_step(&seen, &last, &shape, step, &mut changes);
        changes
    }
}

fn past(sample: &Sample, purges: u32, now_ms: u64) -> Past {
    let Sample { hash, visitor, traits, coding, stripped, storable, found, needs, .. } = *sample;
    Past {
        sent_ago_ms: now_ms.saturating_sub(sample.sent_ms),
        done_ago_ms: now_ms.saturating_sub(sample.done_ms),
        purges: sample.purges - purges,
        hash,
        visitor,
        traits,
        coding,
        stripped,
        storable,
        found,
        needs,
    }
}

fn sample(past: &Past, now_ms: u64) -> Sample {
    let Past { hash, visitor, traits, coding, stripped, storable, found, needs, purges, .. } = *past;
    let sent_ms = now_ms.saturating_sub(past.sent_ago_ms);
    let done_ms = now_ms.saturating_sub(past.done_ago_ms).max(sent_ms);
    Sample { sent_ms, done_ms, hash, visitor, traits, coding, stripped, storable, found, needs, purges }
}

fn observation(memory: &Memory, last: &Sample, url: u64) -> Observation {
    Observation {
        sent_ms: last.sent_ms,
        done_ms: last.done_ms,
        url,
        key: memory.key.clone(),
        route: memory.route,
        apply: memory.apply,
        visitor: last.visitor,
        who: Who::Nobody,
        traits: last.traits,
        stripped: last.stripped,
        answer: Answer::Page {
            hash: last.hash,
            coding: last.coding,
            storable: last.storable,
            found: last.found,
            needs: last.needs,
        },
        took_us: 0,
        weight: 1,
        served: 0,
    }
}
