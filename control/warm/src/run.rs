//! Asks for a plan's URLs in order, no faster than the rate and no more at once than allowed, and counts what came of
//! it. Stops when the edge cannot be reached or when half of the last answers were failures: a cache is filled to spare
//! the application, not to bring it down.

use crate::ask::{self, Came, Failed, Visitor};
use crate::{Listed, SitemapError, Url, from_sitemap};
use hyper::header::HeaderMap;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Results that are looked back on.
const LAST: usize = 20;
/// Bytes of a sitemap as it is sent.
const SITEMAP_BYTES_MAX: u64 = 52_428_800;
/// Sitemaps that one index may lead to.
const SITEMAPS_MAX: usize = 1_000;
/// Failures that are named.
const NAMED_MAX: usize = 5;
/// Reasons that are told apart; Tentpole has fewer.
const REASONS_MAX: usize = 100;

/// What to ask for, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// In this order.
    pub urls: Vec<Url>,
    /// The edge.
    pub at: SocketAddr,
    /// Requests a second at most.
    pub per_second: f64,
    /// Requests under way at most.
    pub at_once: usize,
    /// Time for one of them.
    pub time_max: Duration,
    /// Fields of each request; a variant's own of the same name take their place.
    pub always: Vec<(String, String)>,
    /// Each URL is asked for once with each of these sets of fields; one empty set is usual.
    pub variants: Vec<Vec<(String, String)>>,
}

/// How far it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Requests that the plan makes.
    pub total: usize,
    /// Answered or failed.
    pub done: usize,
    /// Were stored already.
    pub hits: usize,
    /// Are stored now.
    pub stored: usize,
    /// Redirects.
    pub redirects: usize,
    /// Answered and not stored, by the edge's word for why.
    pub not_stored: BTreeMap<String, usize>,
    /// Errors by status.
    pub errors: BTreeMap<u16, usize>,
    /// Without an answer.
    pub failed: usize,
    /// The first URLs that failed, and how.
    pub named: Vec<String>,
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was done.
    pub progress: Progress,
    /// Why not all of it was.
    pub stopped: Option<Stopped>,
    /// How long it took.
    pub took: Duration,
}

/// Why it stopped early.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The edge cannot be reached.
    Unreachable(String),
    /// Half of the last answers were errors.
    Struggles,
    /// A field of a variant cannot be sent.
    Field(String),
    /// It was asked to.
    Asked,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the edge cannot be reached: {why}"),
            Self::Struggles => write!(f, "half of the last {LAST} requests failed, so the rest was not sent"),
            Self::Field(why) => write!(f, "{why}"),
            Self::Asked => f.write_str("stopped before the end"),
        }
    }
}

/// Carries the plan out. `tell` hears of each result; `stop` ends it early.
pub async fn warm(plan: &Plan, mut tell: impl FnMut(&Progress), stop: impl Future<Output = ()>) -> Outcome {
    let began = Instant::now();
    let total = plan.urls.len() * plan.variants.len();
    let mut progress = Progress { total, ..Progress::default() };
    let variants: Result<Vec<HeaderMap>, String> =
        plan.variants.iter().map(|more| ask::fields(&[&plan.always[..], more].concat())).collect();
    let end = |progress, stopped| Outcome { progress, stopped, took: began.elapsed() };
    let variants = match variants {
        Ok(variants) => variants,
        Err(why) => return end(progress, Some(Stopped::Field(why))),
    };
    let mut free: Vec<Visitor> =
        (0..plan.at_once.max(1)).map(|_| Visitor::new(plan.at, plan.time_max)).collect();
    let (results, mut came) = mpsc::channel::<(Visitor, Url, Came)>(free.len());
    let mut orders = plan.urls.iter().flat_map(|url| variants.iter().map(move |fields| (url, fields)));
    let mut last = VecDeque::with_capacity(LAST);
    let (mut sent, mut pending) = (0u32, orders.next());
    let mut stop = std::pin::pin!(stop);
    while progress.done < progress.total {
        let due = began + Duration::from_secs_f64(f64::from(sent) / plan.per_second.max(0.001));
        tokio::select! {
            () = &mut stop => return end(progress, Some(Stopped::Asked)),
            () = sleep_until(due), if pending.is_some() && !free.is_empty() => {
                if let (Some((url, fields)), Some(mut visitor)) = (pending.take(), free.pop()) {
                    let (url, fields, results) = (url.clone(), fields.clone(), results.clone());
                    tokio::spawn(async move {
                        let (came, _) = visitor.ask(&url, &fields, 0).await;
                        // Nobody listens any more when it was stopped.
                        let _ = results.send((visitor, url, came)).await;
                    });
                    sent += 1;
                    pending = orders.next();
                }
            }
            Some((visitor, url, came)) = came.recv() => {
                free.push(visitor);
                let is_bad = matches!(&came, Came::Failed(_) | Came::Status(429 | 500..));
                if let Came::Failed(Failed::Connect(why)) = &came
                    && progress.done == progress.failed
                {
                    let stopped = Stopped::Unreachable(format!("{} ({why})", plan.at));
                    progress.count(&url, came.clone());
                    return end(progress, Some(stopped));
                }
                progress.count(&url, came);
                tell(&progress);
                if last.len() == LAST {
                    last.pop_front();
                }
                last.push_back(is_bad);
                if last.len() == LAST && last.iter().filter(|&&bad| bad).count() * 2 >= LAST {
                    return end(progress, Some(Stopped::Struggles));
                }
            }
        }
    }
    end(progress, None)
}

impl Progress {
    fn count(&mut self, url: &Url, came: Came) {
        self.done += 1;
        let bad = match came {
            Came::Hit => {
                self.hits += 1;
                return;
            }
            Came::Stored => {
                self.stored += 1;
                return;
            }
            Came::Redirect => {
                self.redirects += 1;
                return;
            }
            Came::NotStored(why) => {
                let is_known = self.not_stored.contains_key(&why) || self.not_stored.len() < REASONS_MAX;
                let why = if is_known { why } else { "other reasons".to_owned() };
                *self.not_stored.entry(why).or_default() += 1;
                return;
            }
            Came::Status(status) => {
                *self.errors.entry(status).or_default() += 1;
                format!("{url}: status {status}")
            }
            Came::Failed(failed) => {
                self.failed += 1;
                match failed {
                    Failed::Connect(why) => format!("{url}: cannot connect: {why}"),
                    Failed::TimedOut => format!("{url}: took too long"),
                    Failed::Broke(why) => format!("{url}: {why}"),
                }
            }
        };
        if self.named.len() < NAMED_MAX {
            self.named.push(bad);
        }
    }
}

/// Why a sitemap was not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRead {
    /// It was not answered with a sitemap: which URL, and how.
    Came(Url, Came),
    /// What came is none.
    Sitemap(Url, SitemapError),
    /// A field cannot be sent.
    Field(String),
    /// The index leads to more than 1,000 sitemaps.
    TooMany,
}

impl fmt::Display for NotRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Came(url, Came::Redirect) => {
                write!(f, "{url} redirects: name the sitemap that it leads to")
            }
            Self::Came(url, Came::Status(status)) => write!(f, "{url} was answered with status {status}"),
            Self::Came(url, Came::Failed(Failed::Connect(why))) => {
                write!(f, "{url} cannot be fetched: the edge cannot be reached ({why})")
            }
            Self::Came(url, Came::Failed(Failed::TimedOut)) => write!(f, "{url} took too long"),
            Self::Came(url, Came::Failed(Failed::Broke(why))) => write!(f, "{url} cannot be fetched: {why}"),
            Self::Came(url, Came::Hit | Came::Stored | Came::NotStored(_)) => {
                write!(f, "{url} is no sitemap")
            }
            Self::Field(why) => f.write_str(why),
            Self::Sitemap(url, error) => write!(f, "{url} is {error}"),
            Self::TooMany => write!(f, "the sitemap leads to more than {SITEMAPS_MAX} others"),
        }
    }
}

impl std::error::Error for NotRead {}

/// Fetches a sitemap through the edge, and all that it leads to at the same host; returns their pages at that host.
///
/// # Errors
/// When one of them cannot be fetched or is none.
pub async fn read_sitemap(
    at: SocketAddr,
    url: &Url,
    always: &[(String, String)],
    time_max: Duration,
) -> Result<Listed, NotRead> {
    let mut visitor = Visitor::new(at, time_max);
    let mut fields = ask::fields(always).map_err(NotRead::Field)?;
    fields.remove("accept-encoding");
    let (mut waiting, mut known) = (VecDeque::from([url.clone()]), HashSet::from([url.clone()]));
    let mut all = crate::list::Gathered::default();
    while let Some(next) = waiting.pop_front() {
        let (came, body) = visitor.ask(&next, &fields, SITEMAP_BYTES_MAX + 1).await;
        if !matches!(came, Came::Hit | Came::Stored | Came::NotStored(_)) {
            return Err(NotRead::Came(next, came));
        }
        let (pages, maps) = from_sitemap(&body).map_err(|error| NotRead::Sitemap(next.clone(), error))?;
        all.listed.skipped += pages.skipped;
        all.listed.first_skipped = all.listed.first_skipped.take().or(pages.first_skipped);
        all.listed.is_cut |= pages.is_cut;
        // What belongs to another host is not this site's to name, nor ours to ask for.
        for page in pages.urls {
            match page.host == url.host {
                true => all.add(page),
                false => all.skip(|| format!("{page}: a page of another host")),
            }
        }
        if all.listed.is_cut {
            break;
        }
        for map in maps {
            if map.host != url.host {
                all.skip(|| format!("{map}: a sitemap of another host"));
            } else if known.insert(map.clone()) {
                if known.len() > SITEMAPS_MAX {
                    return Err(NotRead::TooMany);
                }
                waiting.push_back(map);
            }
        }
    }
    Ok(all.listed)
}
