//! Filters at their work: which requests are let through, limited, refused, or asked to solve a puzzle first. What they mean is
//! `decide/screen`; here is what it needs: the request, the time, the buckets, and the words for who is refused.

mod no;
mod puzzle;

pub(crate) use no::No;

use crate::asked::Asked;
use crate::place::Place;
use crate::prepare::Prepared;
use crate::rank::Who;
use crate::sticky::OwnKey;
use crate::stop::Stop;
use crate::thread::{Scratch, View};
use crate::visit::Visit;
use puzzle::Solutions;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tentpole_http1 as http1;
use tentpole_message::{Fields, Name, RequestHead};
use tentpole_model::{
    FilterAction, FilterFigures, Puzzle, Refused, RefusedClient, Route, ScreenFigures, Snapshot,
};
use tentpole_runtime::clock::{self, Instant};
use tentpole_screen::{Buckets, Facts, Found, Heavy, Judge, Lines, Rate, Rules, Step, Verdict, client};

/// Addresses of IPv6 that are one client in the list of those who were refused most.
const CLIENT_BITS: u8 = 64;

/// The filters of a Snapshot, ready to be asked.
#[derive(Debug)]
pub(crate) struct Screen {
    rules: Rules,
    solutions: Option<Solutions>,
    keys: usize,
    memory: OnceLock<Memory>,
    counts: OnceLock<Box<[Arc<Counts>]>>,
}

/// What survives another Snapshot.
#[derive(Clone, Debug)]
struct Memory {
    /// Made when the first rate is asked.
    buckets: Arc<OnceLock<Buckets>>,
    heavy: Arc<Mutex<Heavy>>,
    /// By the name of the filter.
    counts: Arc<Mutex<HashMap<String, Arc<Counts>>>>,
}

/// What one filter did.
#[derive(Debug, Default)]
struct Counts {
    matched: AtomicU64,
    refused: AtomicU64,
    reported: AtomicU64,
}

/// The name of the cookie that holds a solved puzzle, where a filter asks for one.
pub(crate) fn cookie(snapshot: &Snapshot) -> Option<&'static str> {
    let mut actions = snapshot.filters.iter().map(|filter| &filter.action);
    actions.any(|action| matches!(action, FilterAction::Challenge(_))).then_some(puzzle::COOKIE)
}

impl Screen {
    /// Whether anything is asked of a request.
    pub(crate) fn asks(&self) -> bool {
        !self.rules.is_empty()
    }

    pub(crate) fn new(snapshot: &Snapshot, own_key: &OwnKey) -> Self {
        let (filters, front) = (&snapshot.filters, &snapshot.front);
        let secret = (!filters.is_empty()).then(|| own_key.derived("rates")).flatten().unwrap_or_default();
        let half = |at: usize| secret[at..at + 8].iter().fold(0, |all, &byte| all << 8 | u64::from(byte));
        let spared: Vec<_> = front.trusted.iter().chain(&front.shared).copied().collect();
        let solutions = cookie(snapshot).and_then(|_| own_key.derived("puzzles")).map(Solutions::new);
        Self {
            rules: Rules::new(filters, &spared, (half(0), half(8))),
            solutions,
            keys: snapshot.visitors.rate_keys_max,
            memory: OnceLock::new(),
            counts: OnceLock::new(),
        }
    }

    /// Takes over what an earlier one has counted, before it is asked itself.
    pub(crate) fn go_on_from(&self, before: &Self) {
        let memory = before.memory().clone();
        let buckets = if self.keys == before.keys { memory.buckets } else { Arc::default() };
        // Fails only when it has begun already, with its own.
        let _ = self.memory.set(Memory { buckets, ..memory });
    }

    /// What all filters did.
    pub(crate) fn figures(&self) -> ScreenFigures {
        let filters = self.counts().iter().enumerate().map(|(at, counts)| FilterFigures {
            name: self.rules.name(at as u16).to_owned(),
            matched: counts.matched.load(Ordering::Relaxed),
            refused: counts.refused.load(Ordering::Relaxed),
            reported: counts.reported.load(Ordering::Relaxed),
        });
        let mut heavy = self.memory().heavy.lock().unwrap_or_else(PoisonError::into_inner);
        let top = heavy.top(minute(clock::now())).into_iter().map(|one| RefusedClient {
            address: one.address,
            filter: self.rules.name(one.filter).to_owned(),
            refused: one.count,
            error: one.error,
        });
        ScreenFigures { filters: filters.collect(), top: top.collect(), connections_reported: 0 }
    }

    fn memory(&self) -> &Memory {
        self.memory.get_or_init(|| Memory {
            buckets: Arc::default(),
            heavy: Arc::default(),
            counts: Arc::default(),
        })
    }

    /// Parallel to the filters.
    fn counts(&self) -> &[Arc<Counts>] {
        self.counts.get_or_init(|| {
            let mut all = self.memory().counts.lock().unwrap_or_else(PoisonError::into_inner);
            let names = (0..).map(|filter| self.rules.name(filter)).take_while(|name| !name.is_empty());
            names.map(|name| all.entry(name.to_owned()).or_default().clone()).collect()
        })
    }

    fn buckets(&self) -> &Buckets {
        self.memory().buckets.get_or_init(|| Buckets::new(self.keys))
    }

    /// Counts a refused client. Who finds another thread at it lets it be: a sketch bears that.
    fn count_refused(&self, address: IpAddr, filter: u16) {
        if let Ok(mut heavy) = self.memory().heavy.try_lock() {
            heavy.count(client(address, CLIENT_BITS), filter, minute(clock::coarse()));
        }
    }
}

fn minute(now: Instant) -> u64 {
    now.as_micros() / 60_000_000
}

impl Visit<'_> {
    /// Asks the filters, and keeps to the limits of the route.
    pub(crate) fn screen(&mut self, view: &View, asked: Asked, place: Place) -> Result<(), Stop> {
        let screen = &view.prepared.screen;
        // Who works here passes all of them.
        if !screen.rules.is_empty() && !self.who().is_staff(&view.prepared) {
            self.ask_filters(screen, asked, place)?;
        }
        match view.prepared.route(place.route) {
            Route { fields_bytes_max: None, url_bytes_max: None, .. } => Ok(()),
            route => keep_to_sizes(&self.scratch.request, route),
        }
    }

    fn ask_filters(&mut self, screen: &Screen, asked: Asked, place: Place) -> Result<(), Stop> {
        let sent = Sent(&self.scratch.request.fields);
        let facts = facts(self.scratch, &sent, self.came.address, place);
        let judge = Bench { screen, fields: sent.0, address: facts.address, now: asked.now, counts: true };
        let (counts, mut reported) = (screen.counts(), None);
        let verdict = screen.rules.screen(&facts, &judge, |step| {
            let refuses = match step.found {
                Found::Not(_) => return,
                Found::Deny | Found::Above(_) | Found::Unsolved => true,
                Found::Allow | Found::Within | Found::Spared | Found::Solved => false,
            };
            let Some(counts) = counts.get(usize::from(step.filter)) else { return };
            counts.matched.fetch_add(1, Ordering::Relaxed);
            if refuses && screen.rules.reports(step.filter) {
                counts.reported.fetch_add(1, Ordering::Relaxed);
                reported = reported.or(Some(step.filter));
            } else if refuses {
                counts.refused.fetch_add(1, Ordering::Relaxed);
            }
        });
        self.why.filter = reported.map(|filter| filter as u8);
        let (filter, no) = match verdict {
            Verdict::Pass | Verdict::Allow(_) => return Ok(()),
            Verdict::Deny(filter) => (filter, No::Denied),
            Verdict::Limit(filter, wait) => (filter, No::Limited { seconds: whole_seconds(wait) }),
            Verdict::Challenge(filter, puzzle) => {
                let token = screen.solutions.as_ref().map(|all| all.token(puzzle, facts.address, asked.now));
                (filter, No::Challenged { puzzle, token, method: asked.method })
            }
        };
        self.why.filter = Some(filter as u8);
        screen.count_refused(facts.address, filter);
        Err(Stop::Screened(Box::new(no)))
    }
}

/// Refuses what is larger than its route allows.
pub(crate) fn keep_to_sizes(request: &RequestHead, route: &Route) -> Result<(), Stop> {
    let url = http1::split_target(request).path_and_query.len() as u64;
    if route.url_bytes_max.is_some_and(|max| url > max) {
        let words = format!("the address is longer than {} bytes.", route.url_bytes_max.unwrap_or(0));
        return Err(Stop::Said(Refused::TargetTooLong, words));
    }
    let fields = || request.fields.iter().map(|field| field.name.len() + field.value.len()).sum::<usize>();
    if let Some(max) = route.fields_bytes_max
        && fields() as u64 > max
    {
        let words = format!("the request's header is larger than {max} bytes. Fewer cookies may help.");
        return Err(Stop::Said(Refused::HeadTooLarge, words));
    }
    Ok(())
}

/// What filters say of a request that is not really there: nothing is counted, and each rate has room.
pub(crate) fn look(
    prepared: &Prepared,
    scratch: &Scratch,
    who: Who<'_>,
    asked: Asked,
    place: Place,
) -> Trail {
    let (screen, sent, address) = (&prepared.screen, Sent(&scratch.request.fields), who.address);
    if who.is_staff(prepared) {
        return Trail { is_staff: true, steps: Vec::new(), verdict: Verdict::Pass };
    }
    let facts = facts(scratch, &sent, address, place);
    let judge = Bench { screen, fields: sent.0, address, now: asked.now, counts: false };
    let mut steps = Vec::new();
    let verdict = screen.rules.screen(&facts, &judge, |step| steps.push(step));
    Trail { is_staff: false, steps, verdict }
}

/// Which filters were asked, and what they said. Their numbers are their places in [`Snapshot::filters`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trail {
    /// Somebody who works here asks: no filter does.
    pub is_staff: bool,
    /// Each that was asked, in order.
    pub steps: Vec<Step>,
    /// What becomes of it.
    pub verdict: Verdict,
}

fn facts<'a>(scratch: &'a Scratch, sent: &'a Sent<'a>, address: IpAddr, place: Place) -> Facts<'a> {
    let request = &scratch.request;
    let target = http1::split_target(request).path_and_query;
    let raw = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    Facts {
        address,
        method: request.method_bytes(),
        host: http1::host(request).unwrap_or_default(),
        path: if scratch.path.is_empty() { raw } else { &scratch.path },
        route: Some(place.route),
        fields: sent,
    }
}

/// Rounded up: who comes then may.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The fields of a request, as filters see them.
struct Sent<'a>(&'a Fields);

impl Lines for Sent<'_> {
    fn any(&self, name: &str, test: &mut dyn FnMut(&[u8]) -> bool) -> bool {
        self.0.find(name.as_bytes()).any(test)
    }
}

/// What a request has used up and solved, for those who judge it.
struct Bench<'a> {
    screen: &'a Screen,
    fields: &'a Fields,
    address: IpAddr,
    /// In seconds since 1970.
    now: u64,
    /// Whether it counts for rates.
    counts: bool,
}

impl Judge for Bench<'_> {
    fn take(&self, key: u64, rate: Rate) -> Result<(), Duration> {
        if !self.counts {
            return Ok(());
        }
        self.screen.buckets().take(key, rate, clock::coarse().as_micros().saturating_mul(1_000))
    }

    fn has_solved(&self, puzzle: Puzzle) -> bool {
        // Without a key nobody could solve it: then nobody is asked to.
        let Some(solutions) = &self.screen.solutions else { return true };
        solutions.are_in(self.fields.all(Name::Cookie), puzzle, self.address, self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{Filter, FilterWhen, LimitBy, RateLimit};

    fn snapshot(names: &[&str]) -> Snapshot {
        let action = FilterAction::Limit(RateLimit {
            requests: 1,
            per: Duration::from_secs(3_600),
            burst: 1,
            by: vec![LimitBy::Address],
            ipv6_bits: 64,
        });
        let filter = |name: &&str| Filter {
            name: (*name).to_owned(),
            report: false,
            when: FilterWhen::default(),
            action: action.clone(),
        };
        Snapshot { filters: names.iter().map(filter).collect(), ..Snapshot::default() }
    }

    fn passes(screen: &Screen) -> bool {
        let fields = Fields::new();
        let address = IpAddr::from([192, 0, 2, 1]);
        let sent = Sent(&fields);
        let facts = Facts { address, method: b"GET", host: b"a", path: b"/", route: None, fields: &sent };
        let judge = Bench { screen, fields: &fields, address, now: 0, counts: true };
        screen.rules.screen(&facts, &judge, |_| {}) == Verdict::Pass
    }

    #[test]
    fn what_was_counted_survives_a_reload_that_moves_filters_about() {
        let key = OwnKey::new(None);
        let before = Screen::new(&snapshot(&["login"]), &key);
        assert!(passes(&before) && !passes(&before));
        before.counts()[0].refused.fetch_add(1, Ordering::Relaxed);
        let after = Screen::new(&snapshot(&["new", "login"]), &key);
        after.go_on_from(&before);
        assert!(!passes(&after), "the second of them has had its request");
        let figures = after.figures();
        let counted: Vec<_> = figures.filters.iter().map(|one| (one.name.as_str(), one.refused)).collect();
        assert_eq!(counted, [("new", 0), ("login", 1)]);
    }
}
