//! The last answers of one URL, and what they prove together. A pure look at a short list: nothing is remembered
//! between two looks.

use crate::limits::Limits;
use crate::observation::{Dims, Trait, Traits};
use std::collections::VecDeque;

/// Answers kept of one URL.
pub(crate) const ANSWERS_MAX: usize = 24;
/// Groups that are told apart in a rule.
const GROUPS_MAX: usize = 8;
/// Equal answers of two sorts of visitors, each, before what tells them apart does not matter.
const ALIKE_MIN: usize = 2;

/// One answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub sent_ms: u64,
    pub done_ms: u64,
    pub hash: u64,
    pub visitor: u64,
    pub traits: Traits,
    pub coding: u8,
    pub stripped: bool,
    pub storable: bool,
    /// It is a page, not that there is none here.
    pub found: bool,
    /// Fields that its `Vary` names.
    pub needs: Dims,
    /// How often the page had been purged by then.
    pub purges: u32,
}

/// The last answers, in the order in which they were asked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers(VecDeque<Sample>);

/// What the answers prove.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Evidence {
    /// For each group whose present answer may be stored and went to a visitor, its hash.
    pub agreed: Vec<(u64, u64)>,
    /// The present answer of some group may be stored.
    pub storable: bool,
    /// Of the group with the most evidence: equal answers to whole requests, and visitors who got them.
    pub samples: usize,
    pub visitors: usize,
    /// That evidence is enough for a rule.
    pub enough: bool,
}

/// The answers contradict that they may be shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contradiction {
    /// An answer, another one, and the first again: they do not follow one another in time.
    Alternates,
    /// Each is another one.
    Restless,
}

/// Those that are compared with one another: alike in coding and in the fields that matter.
pub(crate) fn group_of(coding: u8, traits: &Traits, vary: Dims) -> u64 {
    let each = Dims::EACH.iter().zip(traits);
    each.fold(u64::from(coding) + 1, |group, (dim, value)| {
        let part = if vary.has(*dim) { u64::from(value.exact) + 1 } else { 0 };
        // Mixed like SplitMix64 does: values that differ give groups that differ.
        let mixed = (group ^ part).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed ^ mixed >> 29
    })
}

impl Answers {
    /// Adds one, at its place in time; forgets what is too old, and what proves least when there are too many.
    pub fn add(&mut self, sample: Sample, limits: &Limits) {
        let at = self.0.partition_point(|other| other.sent_ms <= sample.sent_ms);
        self.0.insert(at, sample);
        let oldest = sample.done_ms.saturating_sub(limits.answer_age_ms);
        while self.0.front().is_some_and(|first| first.done_ms < oldest) {
            self.0.pop_front();
        }
        // Twice as long as evidence must span; what came before that goes first, so that no quarrel of long ago fills the list.
        let enough = sample.done_ms.saturating_sub(2 * limits.span_ms);
        while self.0.len() > ANSWERS_MAX {
            let spans_enough = self.0.front().is_some_and(|first| first.done_ms < enough);
            let spare = if spans_enough { 0 } else { self.spare() };
            self.0.remove(spare);
        }
    }

    /// One that proves nothing which the others do not: it stands between equal ones, to visitors of its sort if there are
    /// such, with no other answer between. Of these the one whose visitor and sort are there most often. So what is kept of
    /// a page that is asked for a hundred times a second still spans long enough. Else the oldest.
    fn spare(&self) -> usize {
        let most = |alike: fn(&Sample, &Sample) -> bool| {
            let spare = (1..self.0.len()).filter(|&at| self.is_between_equals(at, alike));
            spare.max_by_key(|&at| {
                let like =
                    || self.0.iter().filter(|other| self.0[at].equals(other) && alike(&self.0[at], other));
                let own = like().filter(|other| other.visitor == self.0[at].visitor).count();
                // The latest are worth most.
                (own, like().count(), std::cmp::Reverse(at))
            })
        };
        most(Sample::is_of_sort).or_else(|| most(|_, _| true)).unwrap_or(0)
    }

    /// Whether the next answers before and after one, of those that are alike, equal it.
    fn is_between_equals(&self, at: usize, alike: fn(&Sample, &Sample) -> bool) -> bool {
        let here = &self.0[at];
        let beside = |other: &&Sample| other.coding == here.coding && alike(here, other);
        let before = self.0.range(..at).rev().find(beside);
        let after = self.0.range(at + 1..).find(beside);
        before.is_some_and(|before| here.equals(before)) && after.is_some_and(|after| here.equals(after))
    }

    /// The last answer to a whole request that nobody but one visitor need have seen, not older than this.
    pub fn last_whole(&self, since_ms: u64) -> Option<&Sample> {
        self.0.iter().rev().find(|sample| !sample.stripped && sample.done_ms >= since_ms)
    }

    /// Fields that any of them names in its `Vary`.
    pub fn needs(&self) -> Dims {
        self.0.iter().fold(Dims::NONE, |needs, sample| needs.with(sample.needs))
    }

    /// What was answered last in a group.
    pub fn present(&self, group: u64, vary: Dims) -> Option<&Sample> {
        self.0.iter().rev().find(|sample| sample.group(vary) == group)
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All, in the order in which they were asked for.
    pub fn iter(&self) -> impl Iterator<Item = &Sample> {
        self.0.iter()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Weighs them, compared within the groups that are alike in `vary`.
    pub fn weigh(&self, vary: Dims, limits: &Limits) -> Result<Evidence, Contradiction> {
        let mut groups: Vec<(u64, Vec<&Sample>)> = Vec::new();
        for sample in &self.0 {
            let group = sample.group(vary);
            match groups.iter_mut().find(|(of, _)| *of == group) {
                Some((_, samples)) => samples.push(sample),
                None => groups.push((group, vec![sample])),
            }
        }
        let mut evidence = Evidence::default();
        // The latest last, so that they stay when there are too many.
        groups.sort_by_key(|(_, samples)| samples.last().map(|last| last.sent_ms));
        for (group, samples) in &groups {
            weigh_group(*group, samples, limits, &mut evidence)?;
        }
        let surplus = evidence.agreed.len().saturating_sub(GROUPS_MAX);
        evidence.agreed.drain(..surplus);
        evidence.agreed.sort_unstable();
        Ok(evidence)
    }

    /// The fewest fields beyond `vary` among which nothing contradicts: what has to be told apart after all.
    pub fn explained_by(&self, vary: Dims, limits: &Limits) -> Option<Dims> {
        let [language, agent, accept] = Dims::EACH;
        let pairs = [language.with(agent), language.with(accept), agent.with(accept), Dims::ALL];
        let tries = Dims::EACH.into_iter().chain(pairs).filter(|dims| !vary.has(*dims));
        tries.map(|dims| vary.with(dims)).find(|&dims| self.weigh(dims, limits).is_ok())
    }

    /// Fields of `vary` that do not matter: visitors who differ in them got the same, and nothing contradicts if they are
    /// not told apart. As many as possible at once, for most browsers differ in several.
    pub fn irrelevant(&self, vary: Dims, limits: &Limits) -> Dims {
        let [language, agent, accept] = Dims::EACH;
        let most = [Dims::ALL, language.with(agent), language.with(accept), agent.with(accept)];
        // Mostly there is nothing to find, and that is seen at once.
        let told_apart = Dims::EACH.into_iter().enumerate().filter(|(at, _)| self.has_sorts(*at));
        let told_apart = told_apart.fold(Dims::NONE, |all, (_, dim)| all.with(dim)).both(vary);
        let sets = most.into_iter().chain(Dims::EACH).filter(|dims| told_apart.has(*dims));
        let proven = |dims: &Dims| {
            let without = vary.without(*dims);
            let mut each = Dims::EACH.into_iter().enumerate().filter(|(_, dim)| dims.has(*dim));
            self.weigh(without, limits).is_ok() && each.all(|(at, _)| self.differ_alike(at, without))
        };
        sets.into_iter().find(proven).unwrap_or(Dims::NONE)
    }

    /// Whether visitors were of different sorts in one of their fields.
    fn has_sorts(&self, field: usize) -> bool {
        let mut sorts = self.0.iter().map(|sample| sort_of(sample, field));
        let first = sorts.next();
        sorts.any(|sort| Some(sort) != first)
    }

    /// Whether a group's present answer went to visitors of different sorts in one of their fields.
    fn differ_alike(&self, field: usize, vary: Dims) -> bool {
        self.0.iter().any(|sample| {
            let group = sample.group(vary);
            let Some(present) = self.present(group, vary).filter(|present| present.storable) else {
                return false;
            };
            let equal = || {
                let alike = move |other: &&Sample| other.group(vary) == group && other.hash == present.hash;
                self.0.iter().filter(alike).filter(|other| !other.stripped)
            };
            let sort = |sample: &Sample| sort_of(sample, field);
            let count = |of: (u16, u32)| equal().filter(|other| sort(other) == of).count();
            let others = equal().filter(|other| sort(other) != sort(sample)).count();
            count(sort(sample)) >= ALIKE_MIN && others >= ALIKE_MIN
        })
    }
}

/// The sort of visitor that asked. What has no sorts is told apart by its value.
fn sort_of(sample: &Sample, field: usize) -> (u16, u32) {
    match sample.traits[field] {
        Trait { class: 0, exact } => (0, exact),
        Trait { class, .. } => (class, 0),
    }
}

impl Sample {
    /// The same answer to the same kind of request.
    fn equals(&self, other: &Self) -> bool {
        (self.hash, self.coding, self.stripped) == (other.hash, other.coding, other.stripped)
    }

    /// To a visitor of the same sort in all his fields.
    fn is_of_sort(&self, other: &Self) -> bool {
        (0..self.traits.len()).all(|field| sort_of(self, field) == sort_of(other, field))
    }

    pub fn group(&self, vary: Dims) -> u64 {
        group_of(self.coding, &self.traits, vary)
    }
}

fn weigh_group(
    group: u64,
    samples: &[&Sample],
    limits: &Limits,
    evidence: &mut Evidence,
) -> Result<(), Contradiction> {
    if alternates(samples) {
        return Err(Contradiction::Alternates);
    }
    let tail = &samples[samples.len().saturating_sub(limits.restless)..];
    let all_differ =
        tail.iter().enumerate().all(|(at, one)| tail[..at].iter().all(|two| two.hash != one.hash));
    // Each may be what the application made of it by the purge before.
    let all_purged = tail.windows(2).all(|two| two[0].purges < two[1].purges);
    if tail.len() == limits.restless && all_differ && !all_purged {
        return Err(Contradiction::Restless);
    }
    let Some(present) = samples.last().filter(|last| last.storable) else { return Ok(()) };
    evidence.storable = true;
    let equal = || samples.iter().filter(|sample| sample.hash == present.hash && !sample.stripped);
    // What only the edge's own request was answered, no visitor has got yet.
    if equal().next().is_some() {
        evidence.agreed.push((group, present.hash));
    }
    let mut visitors: Vec<u64> = equal().map(|sample| sample.visitor).collect();
    visitors.sort_unstable();
    visitors.dedup();
    let count = equal().count();
    let first = equal().map(|sample| sample.sent_ms).min().unwrap_or(present.sent_ms);
    let last = equal().map(|sample| sample.sent_ms).max().unwrap_or(first);
    evidence.enough |= count >= limits.samples_min
        && visitors.len() >= limits.visitors_min
        && last - first >= limits.span_ms;
    if (count, visitors.len()) > (evidence.samples, evidence.visitors) {
        (evidence.samples, evidence.visitors) = (count, visitors.len());
    }
    Ok(())
}

/// Whether an answer came back after another one had taken its place. Answers that were under way at the same time are
/// in no order, and prove nothing; and what was purged twice meanwhile was changed, and changed back.
fn alternates(samples: &[&Sample]) -> bool {
    let before = |one: &Sample, two: &Sample| one.done_ms < two.sent_ms;
    let comes_back = |one: &Sample, again: &Sample| again.hash == one.hash && again.purges < one.purges + 2;
    samples.iter().enumerate().any(|(at, middle)| {
        let earlier = samples[..at].iter().filter(|one| one.hash != middle.hash && before(one, middle));
        earlier
            .into_iter()
            .any(|one| samples[at..].iter().any(|again| comes_back(one, again) && before(middle, again)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        samples_min: 6,
        visitors_min: 3,
        span_ms: 1_000,
        shape_pages_min: 5,
        answer_age_ms: 600_000,
        restless: 4,
        lifetime_first_s: 5,
        lifetime_max_s: 60,
        bar_first_ms: 600_000,
        bar_max_ms: 86_400_000,
        pages_max: 100,
        shapes_max: 100,
        proposal_samples_min: 20,
        proposal_visitors_min: 5,
        proposal_pages_min: 3,
    };

    /// At this second, with this answer, by this visitor.
    fn sample(second: u64, hash: u64, visitor: u64) -> Sample {
        let (sent_ms, done_ms) = (second * 1_000, second * 1_000 + 100);
        let (coding, stripped, storable) = (0, false, true);
        Sample {
            sent_ms,
            done_ms,
            hash,
            visitor,
            traits: Traits::default(),
            coding,
            stripped,
            storable,
            found: true,
            needs: Dims::NONE,
            purges: 0,
        }
    }

    fn speaking(language: u16, sample: Sample) -> Sample {
        let trait_ = Trait { exact: u32::from(language), class: language };
        Sample { traits: [trait_, Trait::default(), Trait::default()], ..sample }
    }

    fn answers(samples: impl IntoIterator<Item = Sample>) -> Answers {
        let mut answers = Answers::default();
        samples.into_iter().for_each(|sample| answers.add(sample, &LIMITS));
        answers
    }

    #[test]
    fn six_equal_answers_to_three_visitors_over_a_while_are_enough() {
        let alike = |count: u64, visitors: u64| answers((0..count).map(|n| sample(n, 7, n % visitors)));
        let enough = |answers: Answers| answers.weigh(Dims::NONE, &LIMITS).map(|evidence| evidence.enough);
        assert_eq!(enough(alike(6, 3)), Ok(true));
        assert_eq!(enough(alike(5, 3)), Ok(false));
        assert_eq!(enough(alike(20, 2)), Ok(false));
        let at_once = answers((0..20).map(|n| sample(3, 7, n)));
        assert_eq!(enough(at_once), Ok(false));
    }

    #[test]
    fn a_page_that_is_asked_for_a_hundred_times_a_second_is_seen_long_enough() {
        let limits = Limits { span_ms: 10_000, ..LIMITS };
        let busy = |hash: fn(u64) -> u64, language: fn(u64) -> u16| {
            let mut answers = Answers::default();
            for n in 0..1_200 {
                let (sent_ms, done_ms) = (n * 10, n * 10 + 8);
                let of_visitor = Sample { sent_ms, done_ms, ..sample(0, hash(n), n * 7 % 500) };
                answers.add(speaking(language(n), of_visitor), &limits);
            }
            answers
        };
        let alike = busy(|_| 7, |n| (n * 7 % 40) as u16);
        assert!(alike.weigh(Dims::NONE, &limits).unwrap().enough);
        assert_eq!(alike.0.len(), ANSWERS_MAX);
        let by_language = busy(|n| n % 2, |n| n as u16 % 2);
        assert!(by_language.weigh(Dims::LANGUAGE, &limits).unwrap().enough);
        assert!(by_language.weigh(Dims::NONE, &limits).is_err(), "what contradicts stays");
        let changed = busy(|n| u64::from(n > 600), |_| 1);
        assert!(changed.weigh(Dims::NONE, &limits).is_ok());
        let back = busy(|n| u64::from((600..610).contains(&n)), |_| 1);
        assert!(back.weigh(Dims::NONE, &limits).is_err(), "a short while is not forgotten");
    }

    #[test]
    fn one_visitor_cannot_push_the_others_out() {
        let limits = Limits { span_ms: 300_000, ..LIMITS };
        let mut answers = answers((0..12).map(|n| sample(n, 7, n % 4)));
        (12..500).for_each(|n| answers.add(sample(n, 7, 99), &limits));
        let visitors: std::collections::HashSet<u64> = answers.0.iter().map(|one| one.visitor).collect();
        assert_eq!(visitors.len(), 5);
    }

    #[test]
    fn content_may_change_for_all_but_not_back() {
        let changes = answers([sample(1, 7, 1), sample(2, 7, 2), sample(3, 8, 1), sample(4, 8, 2)]);
        assert!(changes.weigh(Dims::NONE, &LIMITS).is_ok());
        let back = answers([sample(1, 7, 1), sample(2, 8, 2), sample(3, 7, 1)]);
        assert_eq!(back.weigh(Dims::NONE, &LIMITS), Err(Contradiction::Alternates));
    }

    #[test]
    fn what_is_edited_and_restored_contradicts_nothing() {
        let by_then = |purges: u32, sample: Sample| Sample { purges, ..sample };
        let restored =
            [(0, sample(1, 7, 1)), (0, sample(2, 8, 2)), (1, sample(3, 8, 2)), (2, sample(4, 7, 3))];
        let restored = answers(restored.map(|(purges, sample)| by_then(purges, sample)));
        assert!(restored.weigh(Dims::NONE, &LIMITS).is_ok());
        let once = [(0, sample(1, 7, 1)), (1, sample(2, 8, 2)), (1, sample(3, 7, 3))];
        let once = answers(once.map(|(purges, sample)| by_then(purges, sample)));
        assert_eq!(once.weigh(Dims::NONE, &LIMITS), Err(Contradiction::Alternates));
        let edited = answers((0..4).map(|n| by_then(n as u32, sample(n, n, n))));
        assert!(edited.weigh(Dims::NONE, &LIMITS).is_ok());
    }

    #[test]
    fn answers_that_were_under_way_together_are_in_no_order() {
        let slow = Sample { done_ms: 2_500, ..sample(2, 8, 2) };
        let together = answers([sample(1, 7, 1), slow, Sample { sent_ms: 2_100, ..sample(2, 7, 3) }]);
        assert!(together.weigh(Dims::NONE, &LIMITS).is_ok());
    }

    #[test]
    fn what_differs_each_time_is_seen_before_it_comes_back() {
        let each = answers((0..4).map(|n| sample(n, n, n)));
        assert_eq!(each.weigh(Dims::NONE, &LIMITS), Err(Contradiction::Restless));
    }

    #[test]
    fn what_no_visitor_got_is_agreed_by_nobody() {
        let own = Sample { stripped: true, ..sample(9, 8, 0) };
        let before = (0..6).map(|n| sample(n, 7, n));
        assert!(answers(before.clone().chain([own])).weigh(Dims::NONE, &LIMITS).unwrap().agreed.is_empty());
        let given = answers(before.chain([own, sample(10, 8, 1)])).weigh(Dims::NONE, &LIMITS).unwrap();
        assert_eq!(given.agreed.iter().map(|(_, hash)| *hash).collect::<Vec<_>>(), [8]);
    }

    #[test]
    fn a_field_matters_when_answers_follow_it_and_not_when_they_do_not() {
        let by_language = answers((0..12).map(|n| speaking(1 + n as u16 % 2, sample(n, n % 2, n))));
        assert_eq!(by_language.explained_by(Dims::NONE, &LIMITS), Some(Dims::LANGUAGE));
        assert_eq!(by_language.irrelevant(Dims::LANGUAGE, &LIMITS), Dims::NONE);
        let alike = answers((0..12).map(|n| speaking(1 + n as u16 % 2, sample(n, 7, n))));
        assert_eq!(alike.irrelevant(Dims::LANGUAGE, &LIMITS), Dims::LANGUAGE);
        let one_language = answers((0..12).map(|n| speaking(1, sample(n, 7, n))));
        assert_eq!(one_language.irrelevant(Dims::LANGUAGE, &LIMITS), Dims::NONE);
    }
}
