//! What a person could say that would let more be shared: query parameters and cookies that change nothing, cookies that
//! are set on pages which would be the same for everybody. Proposes only; nothing of this is applied by itself.

use crate::answers::Sample;
use crate::limits::Limits;
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Names of cookies and parameters that are watched.
const NAMES_MAX: usize = 256;
/// Bytes of a name.
const NAME_BYTES_MAX: usize = 64;
/// Different pages, visitors and values that are told apart.
const TOLD_APART_MAX: usize = 64;
/// URLs without one of their parameters that are remembered.
const BASES_MAX: usize = 4_096;
/// Parameters of one URL that are looked at.
const PARAMETERS_MAX: usize = 8;
/// Two answers further apart may differ because the page changed.
const SAME_TIME_MS: u64 = 60_000;

/// Beginnings of names of parameters that advertising puts on links; no application shows another page for them.
const TRACKING: &[&str] = &[
    "utm_", "gclid", "gbraid", "wbraid", "fbclid", "msclkid", "dclid", "yclid", "twclid", "ttclid", "mc_cid",
    "mc_eid",
];
/// Parts of names of cookies that tell who is logged in.
const LOGINS: &[&str] = &[
    "sess", "auth", "token", "login", "logged", "user", "account", "jwt", "remember", "csrf", "xsrf", "sid",
    "sso", "id",
];

/// What was seen of one name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub same: u32,
    pub different: u32,
    pages: HashSet<u64>,
    visitors: HashSet<u64>,
    values: HashSet<u64>,
    pub first_ms: u64,
    pub last_ms: u64,
    pub took_us: u64,
}

/// All that is watched.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proposals {
    /// Cookies that requests carry.
    pub cookies: HashMap<Box<str>, Seen>,
    /// Query parameters.
    pub parameters: HashMap<Box<str>, Seen>,
    /// Cookies that anonymous pages set.
    pub set_cookies: HashMap<Box<str>, Seen>,
    /// The last answer for a URL without one of its parameters: the value that this had, and the answer.
    bases: HashMap<u64, (u64, u64, u64)>,
}

impl Proposals {
    /// A request that carried cookies was answered like one without, or otherwise.
    pub fn cookies(&mut self, names: &[Box<str>], page: u64, sample: &Sample, same: bool, took_us: u64) {
        for name in names {
            if let Some(seen) = entry(&mut self.cookies, name) {
                seen.note(page, sample, 0, same, took_us);
            }
        }
    }

    /// An anonymous answer sets cookies.
    pub fn sets(&mut self, names: &[Box<str>], page: u64, visitor: u64, now_ms: u64, took_us: u64) {
        for name in names {
            if let Some(seen) = entry(&mut self.set_cookies, name) {
                seen.count(page, visitor, 0, now_ms, took_us);
                seen.same = seen.same.saturating_add(1);
            }
        }
    }

    /// An anonymous page: compares it with the same URL with other values of its parameters.
    pub fn page(&mut self, path_and_query: &str, sample: &Sample, took_us: u64) {
        if self.bases.len() > BASES_MAX {
            self.bases.clear();
        }
        let now = sample.done_ms;
        let (path, query) = path_and_query.split_once('?').unwrap_or((path_and_query, ""));
        let pairs: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
        self.bases.insert(base(path, &pairs, None), (0, sample.hash, now));
        for (at, pair) in pairs.iter().enumerate().take(PARAMETERS_MAX) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (base, value) = (base(path, &pairs, Some(at)), hash(value).max(1));
            if let Some(&(other, answer, then)) = self.bases.get(&base)
                && other != value
                && then + SAME_TIME_MS >= now
                && let Some(seen) = entry(&mut self.parameters, name)
            {
                seen.note(base, sample, value, answer == sample.hash, took_us);
            }
            self.bases.insert(base, (value, sample.hash, now));
        }
    }
}

impl Seen {
    /// Whether it changed nothing, often enough.
    pub fn changes_nothing(&self, limits: &Limits) -> bool {
        self.different == 0
            && self.same >= limits.proposal_samples_min
            && self.visitors.len() >= limits.proposal_visitors_min
            && self.pages.len() >= limits.proposal_pages_min
    }

    /// Different values seen; up to a bound.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Pages it was seen on; up to a bound.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Visitors it was seen from; up to a bound.
    pub fn visitors(&self) -> usize {
        self.visitors.len()
    }

    /// How often it was seen.
    fn times(&self) -> u32 {
        self.same.saturating_add(self.different)
    }

    fn note(&mut self, page: u64, sample: &Sample, value: u64, same: bool, took_us: u64) {
        let count = if same { &mut self.same } else { &mut self.different };
        *count = count.saturating_add(1);
        self.count(page, sample.visitor, value, sample.done_ms, took_us);
    }

    fn count(&mut self, page: u64, visitor: u64, value: u64, now_ms: u64, took_us: u64) {
        for (set, one) in [(&mut self.pages, page), (&mut self.visitors, visitor), (&mut self.values, value)]
        {
            if set.len() < TOLD_APART_MAX {
                set.insert(one);
            }
        }
        if self.first_ms == 0 {
            self.first_ms = now_ms;
        }
        self.last_ms = now_ms;
        self.took_us = self.took_us.saturating_add(took_us);
    }
}

/// Whether advertising is known to put this parameter on links.
pub(crate) fn is_tracking(name: &str) -> bool {
    TRACKING.iter().any(|start| name.starts_with(start))
}

/// Whether a cookie of this name may tell who is logged in.
pub(crate) fn may_be_login(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    LOGINS.iter().any(|part| name.contains(part))
}

/// When there are too many, a new one takes the place of the one that was seen least: visitors choose the names that they
/// send, and whoever sends hundreds must not fill this for ever.
fn entry<'a>(all: &'a mut HashMap<Box<str>, Seen>, name: &str) -> Option<&'a mut Seen> {
    if !all.contains_key(name) {
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) {
            return None;
        }
        if all.len() >= NAMES_MAX {
            let least = all.iter().min_by_key(|(name, seen)| (seen.times(), seen.last_ms, *name));
            let least = least.map(|(name, _)| name.clone())?;
            all.remove(&least);
        }
        all.insert(name.into(), Seen::default());
    }
    all.get_mut(name)
}

/// A URL without the pair at `without`.
fn base(path: &str, pairs: &[&str], without: Option<usize>) -> u64 {
    let mut hasher = DefaultHasher::new();
    path.hash(&mut hasher);
    for (at, pair) in pairs.iter().enumerate() {
        if Some(at) != without {
            pair.hash(&mut hasher);
        }
    }
    hasher.finish()
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
