//! Each decision as a line: what was decided, because of what, and which setting says so. In the order of the way of a
//! request.

use super::question::Asked;
use super::{Step, words};
use std::net::IpAddr;
use tentpole_config::{Written, count, show_duration, show_size};
use tentpole_freshness::Use;
use tentpole_http1::Framing;
use tentpole_model::{Balance, Canonical, Endpoint, Pool, RouteCache, Snapshot};
use tentpole_proxy::explain::{Chosen, CookieCounts, Ends, Explained, FilterStep, Verdict, Way};

/// All of them.
pub(crate) fn of(
    snapshot: &Snapshot,
    written: &Written,
    asked: &Asked,
    peer: IpAddr,
    explained: &Explained,
) -> Vec<Step> {
    let mut told = Telling { snapshot, written, explained, steps: Vec::new() };
    told.head(asked);
    told.visitor(peer);
    told.place();
    told.filters();
    told.room();
    if let Some(way) = &explained.way {
        told.body();
        told.key(way);
        told.cache(way);
        if !way.only_stored {
            told.pool(way);
            told.forwarded(way, asked);
            told.again(way);
            told.times(way);
            told.answer(way);
        }
    }
    told.end();
    told.steps
}

struct Telling<'a> {
    snapshot: &'a Snapshot,
    written: &'a Written,
    explained: &'a Explained,
    steps: Vec<Step>,
}

impl Telling<'_> {
    fn say(
        &mut self,
        step: &'static str,
        decision: impl Into<String>,
        because: impl Into<String>,
    ) -> &mut Step {
        let (decision, because) = (decision.into(), because.into());
        self.steps.push(Step { step, decision, because, setting: None, at: None, more: Vec::new() });
        let last = self.steps.len() - 1;
        &mut self.steps[last]
    }

    /// Names the setting that says what was said last: the first of these that is in the file, or else the first.
    fn by(&mut self, settings: &[Vec<String>]) {
        let at = |way: &Vec<String>| self.written.at(&way.iter().map(String::as_str).collect::<Vec<_>>());
        let found = settings.iter().find_map(|way| Some((way, at(way)?)));
        let (way, at) = match found {
            Some((way, at)) => (Some(way), Some(at)),
            None => (settings.first(), None),
        };
        if let Some(last) = self.steps.last_mut() {
            (last.setting, last.at) = (way.map(|way| way.join(".")), at);
        }
    }

    fn head(&mut self, asked: &Asked) {
        let visitors = self.snapshot.visitors;
        let because = format!(
            "at most {} and {} fields, whole within {}",
            show_size(visitors.head_bytes_max as u64),
            visitors.fields_max,
            show_duration(visitors.head_time)
        );
        self.say("head", format!("{} bytes", asked.head.len()), because);
        self.by(&[way(&["limits", "head_bytes"]), way(&["limits", "fields"]), way(&["limits", "head_time"])]);
    }

    fn visitor(&mut self, peer: IpAddr) {
        let from = self.explained.from;
        let scheme = if from.https { "https" } else { "http" };
        let because = match (from.trusted, from.proxied) {
            (false, _) => format!("{peer} is connected, and what it says of others is not believed"),
            (true, true) => format!("{peer} is connected, and is believed in what it says of visitors"),
            (true, false) => format!("{peer} is believed, and speaks for nobody else"),
        };
        self.say("visitor", format!("{}, by {scheme}", from.address), because);
        self.by(&[way(&["visitors", "trusted"])]);
    }

    fn site_way(&self, rest: &[&str]) -> Option<Vec<String>> {
        let site = &self.snapshot.sites[usize::from(self.explained.site?.0)];
        Some([&["site", &site.name], rest].concat().iter().map(|&part| part.to_owned()).collect())
    }

    /// A setting of caching: of the route, its site or all.
    fn caching_ways(&self, rest: &[&str]) -> Vec<Vec<String>> {
        let below = [&["cache"], rest].concat();
        let route = self.route_way(&below);
        let site = self.site_way(&below);
        route.into_iter().chain(site).chain([way(&below)]).collect()
    }

    /// The route's own place, where it is written and not the site's pool for all the rest.
    fn route_way(&self, rest: &[&str]) -> Option<Vec<String>> {
        let index = self.route_index()?.to_string();
        let way = self.site_way(&[&["route", &index], rest].concat())?;
        let as_text: Vec<&str> = way[..4].iter().map(String::as_str).collect();
        self.written.at(&as_text).map(|_| way)
    }

    fn route_index(&self) -> Option<usize> {
        let (site, route) = (self.explained.site?, self.explained.route?);
        let before: usize =
            self.snapshot.sites[..usize::from(site.0)].iter().map(|site| site.routes.len()).sum();
        (route.0 as usize).checked_sub(before)
    }

    fn place(&mut self) {
        let Some(site) = self.explained.site.map(|site| &self.snapshot.sites[usize::from(site.0)]) else {
            return;
        };
        let because = if site.hosts.is_empty() {
            "it takes every host that no other site claims"
        } else {
            "it takes this host"
        };
        let setting = self.site_way(&["hosts"]);
        self.say("site", site.name.clone(), because);
        self.by(&setting.into_iter().collect::<Vec<_>>());
        if self.explained.target.is_empty() {
            return;
        }
        let how = match site.canonical {
            Canonical::Forward => "it is forwarded as it came, and compared in its canonical form",
            Canonical::Rewrite => "it is served in its canonical form",
            Canonical::Redirect => "who asks for another form is sent to the canonical one",
        };
        let setting = self.site_way(&["canonical"]);
        self.say("path", self.explained.target.clone(), how);
        self.by(&setting.into_iter().collect::<Vec<_>>());
        let Some(route) = self.route_index().and_then(|index| site.routes.get(index)) else { return };
        let pool = &self.snapshot.pools[usize::from(route.pool.0)];
        let setting = self.route_way(&["path"]).or_else(|| self.site_way(&["pool"]));
        let because = if route.swallow_segments {
            "further segments are swallowed"
        } else {
            "the most specific path that matches"
        };
        self.say("route", format!("{} to pool {}", route.path, pool.name), because);
        self.by(&setting.into_iter().collect::<Vec<_>>());
    }

    /// Each filter that was asked, and what it said.
    fn filters(&mut self) {
        let Some(trail) = &self.explained.trail else { return };
        if trail.is_staff {
            self.say("filters", "none is asked", "who asks works here");
            self.by(&[way(&["staff"])]);
            return;
        }
        let filter = |number: u16| &self.snapshot.filters[usize::from(number)];
        let (decision, by) = match trail.verdict {
            Verdict::Pass => ("none says anything against it".to_owned(), None),
            Verdict::Allow(number) => (format!("{} lets it through", filter(number).name), Some(number)),
            Verdict::Deny(number) => (format!("{} refuses it", filter(number).name), Some(number)),
            Verdict::Limit(number, _) => {
                (format!("{} has counted too many", filter(number).name), Some(number))
            }
            Verdict::Challenge(number, _) => {
                (format!("{} asks for a solved puzzle", filter(number).name), Some(number))
            }
        };
        let line = |step: &FilterStep| {
            let FilterStep { filter: number, found } = *step;
            let report = if filter(number).report { " (report only)" } else { "" };
            format!("{}: {}{report}", filter(number).name, words::filter(found))
        };
        let more: Vec<String> = trail.steps.iter().map(line).collect();
        let setting = by.map(|number| way(&["filter", &filter(number).name]));
        self.say("filters", decision, "").more = more;
        self.by(&setting.into_iter().collect::<Vec<_>>());
    }

    /// The waiting room before it.
    fn room(&mut self) {
        let Some(room) = self.explained.room.and_then(|at| self.snapshot.rooms.get(usize::from(at))) else {
            return;
        };
        let (decision, because, setting) = match self.explained.is_staff {
            true => (format!("goes past {}", room.name), "who asks works here", way(&["staff"])),
            false => (
                format!("stands before {}", room.name),
                "who is inside, and who waits, only the running edge knows",
                way(&["room", &room.name]),
            ),
        };
        self.say("room", decision, because);
        self.by(&[setting]);
    }

    fn body(&mut self) {
        let body = match self.explained.framing {
            None | Some(Framing::None) => "none".to_owned(),
            Some(Framing::Length(bytes)) => show_size(bytes),
            Some(Framing::Chunked | Framing::UntilClose) => "of a length that is not said".to_owned(),
        };
        let site = self.explained.site.map(|site| &self.snapshot.sites[usize::from(site.0)]);
        let route = self.route_index().and_then(|index| site?.routes.get(index));
        let most = route.map_or(0, |route| route.body_bytes_max);
        let setting = self.route_way(&["body"]);
        self.say("body", body, format!("at most {}", show_size(most)));
        self.by(&setting.into_iter().chain([way(&["limits", "stall_time"])]).take(1).collect::<Vec<_>>());
    }

    fn key(&mut self, way: &Way) {
        self.say("key", readable(&way.key), "what is stored is found by it");
        let dropped: Vec<_> = way.query.iter().filter(|(_, counts)| !counts).map(|(one, _)| &**one).collect();
        if !way.query.is_empty() {
            let kept = way.query.len() - dropped.len();
            let decision = match dropped.len() {
                0 => format!("{} of {}", count(kept, "parameter"), way.query.len()),
                _ => format!(
                    "{} of {}; left out: {}",
                    count(kept, "parameter"),
                    way.query.len(),
                    dropped.join(", ")
                ),
            };
            let because =
                if dropped.is_empty() { "all count" } else { "what is left out tells no two requests apart" };
            let settings =
                [self.caching_ways(&["query", "drop"]), self.caching_ways(&["query", "keep"])].concat();
            self.say("query", decision, because);
            self.by(&settings);
        }
        if !way.cookies.is_empty() {
            let told: Vec<_> = way
                .cookies
                .iter()
                .map(|(name, counts)| format!("{name} {}", words::cookie(*counts)))
                .collect();
            let keyed = way.cookies.iter().any(|(_, counts)| *counts == CookieCounts::Keyed);
            let names = if keyed {
                ["cookies_keyed", "cookies_ignored"]
            } else {
                ["cookies_ignored", "cookies_keyed"]
            };
            let settings = names.map(|name| self.caching_ways(&[name])).concat();
            self.say("cookies", told.join(", "), "");
            self.by(&settings);
        }
    }

    fn cache(&mut self, way: &Way) {
        if let Some(past) = way.past {
            let site = self.explained.site.map(|site| &self.snapshot.sites[usize::from(site.0)]);
            let route = self.route_index().and_then(|index| site?.routes.get(index));
            let off = route.is_some_and(|route| route.cache == RouteCache::Off);
            self.say("cache", "not asked, and nothing is stored", words::bypass(past));
            if off {
                let settings: Vec<_> =
                    self.route_way(&["cache"]).into_iter().chain(self.site_way(&["cache"])).collect();
                self.by(&settings);
            }
            return;
        }
        let fresh = match way.stored_fresh {
            Use::Fresh | Use::StaleAccepted => "what is stored and fresh is the answer",
            Use::Revalidate => "what is stored is asked for again first, for the request wants that",
            Use::Pass => "what is stored is left alone",
            Use::OnlyIfCached => "without something stored: 504",
        };
        let settings = self.caching_ways(&["visitors_revalidate"]);
        self.say("cache", format!("asked: {fresh}"), "whether something is, only the running edge knows");
        if way.stored_fresh == Use::Revalidate {
            self.by(&settings);
        }
        let mut more = Vec::new();
        if way.stored_guessed.0 == Use::Pass {
            more.push(format!(
                "not what is stored without a lifetime of its own: {}",
                words::bypass(way.stored_guessed.1)
            ));
        }
        match way.only_looks {
            _ if way.only_stored => more.push("nothing else is: without it 504 (only_if_cached)".to_owned()),
            Some(bypass) => {
                more.push(format!("nothing is stored for this request: {}", words::bypass(bypass)))
            }
            None => {}
        }
        if let Some(last) = self.steps.last_mut() {
            last.more = more;
        }
    }

    fn pool(&mut self, way: &Way) {
        let pool = &self.snapshot.pools[usize::from(way.pool.0)];
        let of = |rest: &[&str]| vec![pool_way(pool, rest)];
        if let Some(found) = way.file {
            self.say("file", words::file(found), "looked for now, beneath the pool's root");
            self.by(&of(&["root"]));
        }
        if let Some(script) = &way.script {
            let decision =
                script.as_deref().map_or_else(|refused| words::refused(*refused).to_owned(), str::to_owned);
            self.say("script", decision, "");
            self.by(&of(&["scripts"]));
        }
        if pool.endpoints.is_empty() {
            return;
        }
        let shares: Vec<Vec<String>> = way
            .tiers
            .iter()
            .map(|tier| {
                tier.iter()
                    .map(|&(index, share)| {
                        format!("{} ({})", pool.endpoints[index].authority(), percent(share))
                    })
                    .collect()
            })
            .collect();
        let (decision, setting) = match way.chosen {
            Some(Chosen::Hash(index)) => (format!("{}, by hash", pool.endpoints[index].authority()), "hash"),
            Some(Chosen::Sticky(index)) => {
                (format!("{}, by the visitor's cookie", pool.endpoints[index].authority()), "sticky")
            }
            None => (one_of(way, pool), "balance"),
        };
        let because = match pool.balance {
            Balance::LeastRequests => "the one with fewer requests under way, of two drawn by weight",
            Balance::RoundRobin => "each in turn, by weight",
            Balance::PeakEwma => "the one that is likely to answer first, of two drawn by weight",
            Balance::ConsistentHash => "the same for requests that are alike, while it has room",
        };
        self.say("endpoint", decision, format!("{because}; who is well only the running edge knows"));
        self.by(&of(&[setting]));
        let tiers = shares.len();
        let more = shares.into_iter().enumerate().map(|(nth, tier)| match tiers {
            1 => tier.join(", "),
            _ => format!("tier {nth}: {}", tier.join(", ")),
        });
        if let Some(last) = self.steps.last_mut() {
            last.more = more.collect();
        }
        let has_limit = |endpoint: &Endpoint| endpoint.requests_max.or(endpoint.connections_max).is_some();
        if pool.adaptive.is_none() && !pool.endpoints.iter().any(has_limit) {
            let decision = match pool.guard {
                true => {
                    "waits for nobody, unless visitors leave or answers fail under too much: no endpoint has a limit"
                }
                false => "never waits: no endpoint has a limit",
            };
            self.say("queue", decision, "");
            self.by(&of(&["queue"]));
            return;
        }
        let decision = format!(
            "waits at most {} when all are at their limit, with at most {} others",
            show_duration(pool.queue.wait_max),
            pool.queue.length_max
        );
        let because = pool.adaptive.map_or(String::new(), |adaptive| {
            let start = adaptive.start;
            format!("each one's limit follows what it carries; it begins with what was found before, or else with {start}")
        });
        self.say("queue", decision, because);
        self.by(&of(&["queue"]));
        let rank = self.explained.rank;
        self.say("rank", rank.label(), words::rank(rank));
        let own = self.route_way(&["priority"]);
        self.by(&own.into_iter().collect::<Vec<_>>());
    }

    /// What the endpoint is told, and what of the request it is not.
    fn forwarded(&mut self, way: &Way, asked: &Asked) {
        let pool = &self.snapshot.pools[usize::from(way.pool.0)];
        if pool.endpoints.is_empty() {
            return;
        }
        let (came, told) = (Head::of(&asked.head), Head::of(&way.told));
        let because = match (pool.object_store.is_some(), way.shared) {
            (true, _) => "of it the object store gets path, range and conditions, signed",
            (false, true) => "its answer may be stored: it is told what the key holds, and no more",
            (false, false) => "its answer is for this visitor alone",
        };
        let mut more: Vec<String> = came.without(&told).map(|field| format!("- {field}")).collect();
        let is_secret = |field: &str| {
            let name = field.split(':').next().unwrap_or_default();
            way.secrets.iter().any(|secret| secret.eq_ignore_ascii_case(name)).then(|| name.to_owned())
        };
        more.extend(told.without(&came).map(|field| match is_secret(field) {
            Some(name) => format!("+ {name}: (secret)"),
            None => format!("+ {field}"),
        }));
        self.say("told", told.line.to_owned(), because).more = more;
    }

    fn again(&mut self, way: &Way) {
        let pool = &self.snapshot.pools[usize::from(way.pool.0)];
        if pool.endpoints.is_empty() {
            return;
        }
        let [connect, reset, timeout] = way.again.map(|(_, after)| words::again(after));
        let most = pool.retrying.attempts_max;
        let decision = format!(
            "no connection: {connect}; broken before an answer: {reset}; no answer in time: {timeout}"
        );
        let because = match way.hedges {
            true => format!("{most} attempts at most, a second copy may go out early"),
            false => format!("{most} attempts at most"),
        };
        self.say("again", decision, because);
        self.by(&[pool_way(pool, &["retry"])]);
    }

    fn times(&mut self, way: &Way) {
        let pool = &self.snapshot.pools[usize::from(way.pool.0)];
        if pool.endpoints.is_empty() {
            return;
        }
        let times = pool.timeouts;
        let decision = format!(
            "connect {}, first byte {}, between two pieces {}",
            show_duration(times.connect),
            show_duration(times.first_byte),
            show_duration(times.stall)
        );
        self.say("times", decision, "");
        self.by(&[pool_way(pool, &["timeouts"])]);
    }

    fn answer(&mut self, way: &Way) {
        match way.answer {
            None => {}
            Some(Ok(seconds)) => {
                let fresh = if seconds == 0 {
                    "asked for again each time".to_owned()
                } else {
                    format!("fresh for {seconds} s")
                };
                self.say("answer", format!("may be stored for others, {fresh}"), "");
            }
            Some(Err(bypass)) => _ = self.say("answer", "is not stored", words::bypass(bypass)),
        }
    }

    fn end(&mut self) {
        match &self.explained.end {
            Ends::Answered => {}
            Ends::Refused(refused) => {
                let decision = format!("{} by the edge: {}", refused.status(), refused.label());
                self.say("end", decision, words::refused(*refused));
            }
            Ends::Redirect(target) => {
                let setting = self.site_way(&["canonical"]);
                self.say("end", format!("308 to {target}"), "that is the canonical address");
                self.by(&setting.into_iter().collect::<Vec<_>>());
            }
            Ends::ToHttps(port) => {
                let setting = self.site_way(&["https_only"]);
                self.say("end", format!("308 to https at port {port}"), "it was asked in the clear");
                self.by(&setting.into_iter().collect::<Vec<_>>());
            }
            Ends::Purge => {
                self.say(
                    "end",
                    "it is a purge",
                    "who may purge says [purge]; nothing is purged by this command",
                );
                self.by(&[way(&["purge"])]);
            }
        }
    }
}

/// A head as lines.
struct Head<'a> {
    line: &'a str,
    fields: Vec<&'a str>,
}

impl<'a> Head<'a> {
    fn of(head: &'a [u8]) -> Self {
        let text = std::str::from_utf8(head).unwrap_or_default();
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        Self { line: lines.next().unwrap_or_default(), fields: lines.collect() }
    }

    /// Fields that the other one has not, or not so.
    fn without(&self, other: &'a Self) -> impl Iterator<Item = &'a str> {
        let alike = |one: &str, other: &str| match (one.split_once(':'), other.split_once(':')) {
            (Some((name, value)), Some((name2, value2))) => {
                name.eq_ignore_ascii_case(name2) && value.trim() == value2.trim()
            }
            _ => false,
        };
        self.fields.iter().copied().filter(move |field| !other.fields.iter().any(|other| alike(field, other)))
    }
}

fn way(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|&part| part.to_owned()).collect()
}

fn pool_way(pool: &Pool, rest: &[&str]) -> Vec<String> {
    way(&[&["pool", &*pool.name], rest].concat())
}

/// A key in words: its parts stand behind a NUL each.
fn readable(key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    key.replace("\0c\0https", ", by https").replace("\0c", ", cookies ").replace('\0', "")
}

/// The only one, or how many there are.
fn one_of(way: &Way, pool: &Pool) -> String {
    match way.tiers.first().map(Vec::as_slice) {
        Some(&[(index, _)]) => pool.endpoints[index].authority(),
        first => format!("one of {}", first.map_or(0, <[_]>::len)),
    }
}

/// Hundredths of a percent.
fn percent(share: u32) -> String {
    if share.is_multiple_of(100) {
        format!("{} %", share / 100)
    } else {
        format!("{:.1} %", f64::from(share) / 100.0)
    }
}
