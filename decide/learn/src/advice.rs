//! What was learned, for people: rules with their evidence and what they save, and what only a person can decide.

use crate::learner::Learner;
use crate::observation::Dims;
use crate::proposals::{Seen, is_tracking, may_be_login};
use crate::shape::Shape;

/// Rows of each kind at most.
const ROWS_MAX: usize = 100;

/// What was learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advice {
    /// Answers looked at.
    pub observed: u64,
    /// One row for each shape of pages that says something, what saves most first.
    pub rules: Vec<RuleAdvice>,
    /// What needs a person's word.
    pub proposals: Vec<Proposal>,
}

/// What may be done with the pages of one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleAdvice {
    /// Host and shape: `shop.example/product/*`.
    pub pages: String,
    /// One of its pages, for looking at.
    pub example: String,
    /// URLs with a rule, and URLs seen lately.
    pub ruled: usize,
    /// URLs seen lately.
    pub seen: usize,
    /// Anonymous answers compared.
    pub samples: u64,
    /// Addresses that these went to.
    pub visitors: usize,
    /// Between the first and the last of them.
    pub milliseconds: u64,
    /// Share of the time that endpoints worked which these pages take, or would take without rules: 0 to 1.
    pub share: f64,
    /// Share that the rules save, or would save.
    pub saves: f64,
    /// Where it stands.
    pub state: State,
    /// Fields that the answer is kept apart by.
    pub vary: Dims,
}

/// Where a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// `learn = "apply"` would apply it.
    WouldApply,
    /// It is applied.
    Applied,
    /// It was withdrawn (words), and is looked at again after so many milliseconds.
    Withdrawn(&'static str, u64),
    /// Not enough evidence yet.
    Watching,
}

/// What a person may decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposal {
    /// What it is about.
    pub kind: ProposalKind,
    /// Name of the cookie or parameter.
    pub name: String,
    /// Requests with it that were answered like those without, or with other values.
    pub samples: u32,
    /// Pages and visitors of these; up to 64 are told apart.
    pub pages: usize,
    /// Visitors.
    pub visitors: usize,
    /// Different values.
    pub values: usize,
    /// Between the first and the last of them.
    pub milliseconds: u64,
    /// Share of the time that endpoints worked for such requests.
    pub share: f64,
}

/// What a proposal is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProposalKind {
    /// Requests with this cookie get the anonymous page: it could be ignored.
    IgnoreCookie,
    /// This query parameter changes nothing: it could be left out.
    DropParameter,
    /// The same, and advertising is known to put it on links.
    DropTrackingParameter,
    /// Anonymous pages set this cookie, which keeps them out of every cache.
    StopSettingCookie,
}

impl Learner {
    /// What was learned up to now. `origin_us` is the time that endpoints worked in all, in microseconds.
    pub fn advice(&self, origin_us: u64, now_ms: u64) -> Advice {
        let saved: u64 = self.shapes.values().map(|shape| shape.saved_us).sum();
        // What endpoints would have worked without any rule.
        let whole = (origin_us + saved).max(1) as f64;
        let mut rules: Vec<RuleAdvice> = self
            .shapes
            .iter()
            .filter(|(_, shape)| shape.samples > 0)
            .map(|((route, text), shape)| self.row(*route, text, shape, whole, now_ms))
            .collect();
        rules.sort_by(|one, two| {
            (two.saves, two.share).partial_cmp(&(one.saves, one.share)).unwrap_or(std::cmp::Ordering::Equal)
        });
        rules.truncate(ROWS_MAX);
        Advice { observed: self.observed, rules, proposals: self.proposed(whole) }
    }

    fn row(&self, route: u32, text: &str, shape: &Shape, whole: f64, now_ms: u64) -> RuleAdvice {
        let pages = || self.pages.values().filter(|page| page.shape.0 == route && page.shape.1 == text);
        let ruled = pages().filter(|page| page.ruled.is_some()).count();
        let rule = pages().find_map(|page| page.rule(0));
        let state = match (ruled, &shape.withdrawn) {
            (1.., _) if shape.apply => State::Applied,
            (1.., _) => State::WouldApply,
            (0, Some((why, at_ms))) => {
                let bars = pages().map(|page| page.barred_until_ms).max().unwrap_or(*at_ms);
                State::Withdrawn(why.label(), bars.saturating_sub(now_ms))
            }
            (0, None) => State::Watching,
        };
        let shareable = if ruled > 0 { shape.shareable_us } else { 0 };
        RuleAdvice {
            pages: text.to_owned(),
            example: pages().next().map(|page| text_of(&page.key)).unwrap_or_default(),
            ruled,
            seen: pages().count(),
            samples: shape.samples,
            visitors: shape.visitors(),
            milliseconds: shape.last_ms.saturating_sub(shape.first_ms),
            share: (shape.took_us + shape.saved_us) as f64 / whole,
            saves: if shape.apply && ruled > 0 { shape.saved_us } else { shareable } as f64 / whole,
            state,
            vary: rule.map_or(Dims::NONE, |rule| rule.vary),
        }
    }

    fn proposed(&self, whole: f64) -> Vec<Proposal> {
        let proposal = |kind, name: &str, seen: &Seen| Proposal {
            kind,
            name: name.to_owned(),
            samples: seen.same,
            pages: seen.pages(),
            visitors: seen.visitors(),
            values: seen.values(),
            milliseconds: seen.last_ms.saturating_sub(seen.first_ms),
            share: seen.took_us as f64 / whole,
        };
        let known = &self.proposals;
        let cookies = known
            .cookies
            .iter()
            .filter(|(name, seen)| seen.changes_nothing(&self.limits) && !may_be_login(name))
            .map(|(name, seen)| proposal(ProposalKind::IgnoreCookie, name, seen));
        let parameters = known
            .parameters
            .iter()
            .filter(|(_, seen)| {
                seen.changes_nothing(&self.limits) && seen.values() >= self.limits.proposal_pages_min
            })
            .map(|(name, seen)| match is_tracking(name) {
                true => proposal(ProposalKind::DropTrackingParameter, name, seen),
                false => proposal(ProposalKind::DropParameter, name, seen),
            });
        let set = known
            .set_cookies
            .iter()
            .filter(|(_, seen)| seen.same >= self.limits.proposal_samples_min)
            .map(|(name, seen)| proposal(ProposalKind::StopSettingCookie, name, seen));
        let mut all: Vec<Proposal> = cookies.chain(parameters).chain(set).collect();
        all.sort_by(|one, two| two.share.partial_cmp(&one.share).unwrap_or(std::cmp::Ordering::Equal));
        all.truncate(ROWS_MAX);
        all
    }
}

/// A key as people read it: host and path; values of a query may be secrets and stay out.
fn text_of(key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    let (host, target) = key.split_once('\0').unwrap_or((&key, ""));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let names: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.split_once('=') {
            Some((name, _)) => format!("{name}=…"),
            None => pair.to_owned(),
        })
        .collect();
    let query = if names.is_empty() { String::new() } else { format!("?{}", names.join("&")) };
    format!("{host}{path}{query}").chars().take(200).collect()
}
