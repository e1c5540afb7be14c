//! What would become of a request, found by the same functions and in the same order as in `visit.rs`, without sending
//! anything. Says what was decided, as values: words are its caller's. What only a running edge knows (health, what is
//! stored, what was learned, how much is under way) it leaves open.

use crate::asked::{Asked, understand};
use crate::asking::Asking;
use crate::came::{Came, heard};
use crate::files::PoolFiles;
use crate::forward::Purpose;
use crate::group::may_share;
use crate::hashed;
use crate::head::parsed;
use crate::limits::Limits;
use crate::lock::is_let_in;
use crate::obtain::{for_whom, goes_past, only_looks};
use crate::place::{Place, goes_to_https, route};
use crate::prepare::Prepared;
use crate::purging::is_purge;
use crate::rank::{self, Who};
use crate::room::Rooms;
use crate::screen::{keep_to_sizes, look};
use crate::search::Searches;
use crate::sticky::OwnKey;
use crate::stop::Stop;
use crate::thread::{Scratch, View};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use tentpole_balance::{Candidate, consistent_hash};
use tentpole_files::{Found, Name as FileName, find};
use tentpole_freshness::{StoredFacts, Use};
use tentpole_http1::{self as http1, Framing, Parsed, parse_request};
use tentpole_listener::{RequestBody, limits_of_heads};
use tentpole_message::Name;
use tentpole_model::{
    Balance, Bypass, Cause, Dials, Failure, Health, Hedge, Member, Membership, Method, Phase, PoolId,
    PoolMembers, Priority, Refused, Retry, RouteId, SiteId, Snapshot, SnapshotFile, Why,
};
use tentpole_retry::{After, Asked as Again, after_failure, may_hedge};
use tentpole_route::CompileError;
use tentpole_runtime::{Cells, InForce};
use tentpole_upstream::Gates;

pub use crate::screen::Trail;
pub use tentpole_screen::{Condition, Found as FilterFound, Step as FilterStep, Verdict};

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The head as it comes over the connection, with its empty line.
    pub head: &'a [u8],
    /// Who is connected.
    pub peer: IpAddr,
    /// The connection itself is TLS.
    pub tls: bool,
    /// The head that an endpoint would answer with, with its empty line: may it be shared?
    pub answer: Option<&'a [u8]>,
}

/// What was found out, as far as the request goes.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Its method, as far as it matters; `None` when not even that can be read.
    pub method: Option<Method>,
    /// Where it comes from, as far as that is believed.
    pub from: From,
    /// Whose it is.
    pub site: Option<SiteId>,
    /// Which route takes it.
    pub route: Option<RouteId>,
    /// The canonical path and the query as it came.
    pub target: String,
    /// What filters say of it, where there are some.
    pub trail: Option<Trail>,
    /// The waiting room before it, by its place in [`Snapshot::rooms`].
    pub room: Option<u16>,
    /// Whether somebody asks who works here: no filter and no room stops him.
    pub is_staff: bool,
    /// Whom it comes before where not all can be served.
    pub rank: Priority,
    /// How it is framed.
    pub framing: Option<Framing>,
    /// The rest, where it goes further than the route.
    pub way: Option<Way>,
    /// How it ends.
    pub end: Ends,
}

/// Where a request comes from.
#[derive(Clone, Copy, Debug)]
pub struct From {
    /// The visitor.
    pub address: IpAddr,
    /// A proxy in front spoke for him and is believed.
    pub proxied: bool,
    /// Whoever is connected is believed in what it says of visitors.
    pub trusted: bool,
    /// He asked by https.
    pub https: bool,
}

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ends {
    /// With an answer of the cache or of the pool.
    Answered,
    /// The edge says no.
    Refused(Refused),
    /// The visitor is sent to the canonical address.
    Redirect(String),
    /// The visitor is sent to https, at this port.
    ToHttps(u16),
    /// It is a purge, which has rules of its own.
    Purge,
}

/// The way of a request behind its route.
#[derive(Clone, Debug)]
pub struct Way {
    /// Who answers what is not in the cache.
    pub pool: PoolId,
    /// The cache key, with what separates its parts.
    pub key: Vec<u8>,
    /// Each query parameter as it came, and whether it counts.
    pub query: Vec<(String, bool)>,
    /// Each cookie's name, and what it counts for.
    pub cookies: Vec<(String, CookieCounts)>,
    /// Why the cache is not asked, if it is not.
    pub past: Option<Bypass>,
    /// The cache is asked, but nothing is stored for this request.
    pub only_looks: Option<Bypass>,
    /// The visitor wants what is stored or nothing: otherwise it is a 504.
    pub only_stored: bool,
    /// What becomes of a stored answer that names its lifetime and is fresh.
    pub stored_fresh: Use,
    /// The same where the lifetime is a guess; with the reason when it is not for this visitor.
    pub stored_guessed: (Use, Bypass),
    /// The same once it is stale.
    pub stored_stale: Use,
    /// What is found beneath the pool's root, where it has one.
    pub file: Option<FileFound>,
    /// The script, where the endpoints speak FastCGI.
    pub script: Option<Result<String, Refused>>,
    /// Endpoints that may be asked when all are well, by their tiers: index, and share of its tier in hundredths of a percent.
    pub tiers: Vec<Vec<(usize, u32)>>,
    /// The one that a hash, or the visitor's own cookie, says.
    pub chosen: Option<Chosen>,
    /// The head that the endpoint gets, with its empty line.
    pub told: Vec<u8>,
    /// Names of fields in it whose values are secrets.
    pub secrets: Vec<String>,
    /// Its answer may be stored for others.
    pub shared: bool,
    /// What follows when no connection comes about, when one breaks, and when the answer takes too long.
    pub again: [(Cause, After); 3],
    /// A second copy may go out while the first is under way.
    pub hedges: bool,
    /// Whether the answer that was given may be stored, and for how many seconds it is fresh then.
    pub answer: Option<Result<u32, Bypass>>,
}

/// What a cookie counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CookieCounts {
    /// Nothing.
    Ignored,
    /// Its value is part of the key.
    Keyed,
    /// It may say who the visitor is.
    Personal,
    /// It can be read in several ways.
    Unclear,
}

/// What lies beneath the pool's root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFound {
    /// A file, which is the answer.
    File,
    /// A folder: the visitor is sent to its slash.
    Folder,
    /// Nothing: an endpoint is asked.
    Nothing,
    /// Nothing, and there is no endpoint: 404.
    NothingAtAll,
    /// Files are not asked for this method.
    NotAsked,
    /// Nor is there anybody else.
    Refused(Refused),
    /// The system says no.
    Failed(std::io::ErrorKind),
}

/// Who says where the request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The hash, to the endpoint with this index.
    Hash(usize),
    /// The visitor's cookie.
    Sticky(usize),
}

/// Explains one request by one configuration. Reads the files that a Snapshot names (secrets, certificates of pools), as an
/// edge does when it takes it.
///
/// # Errors
/// When the routes cannot be compiled, which a checked configuration's can.
pub fn explain(snapshot: &Snapshot, question: Question<'_>) -> Result<Explained, CompileError> {
    let file = SnapshotFile::first(snapshot.clone(), 0);
    let (in_force, rooms) = (InForce::at_first(file), Rooms::new(None));
    let (own_key, limits) = (OwnKey::new(None), Limits::new(None));
    let prepared = Prepared::new(&in_force, &Cells::new(), &Gates::default(), &own_key, &rooms, &limits)?;
    let (membership, dials) = (all_well(snapshot), Dials::from_snapshot(snapshot));
    let view = Rc::new(View::new(Arc::new(prepared), Arc::new(membership), Arc::new(dials)));
    let mut walk = Walk::new(&view, question);
    let end = match walk.steps() {
        Ok(()) => Ends::Answered,
        Err(stop) => walk.ends(stop),
    };
    let (why, target) = (walk.why, lossy(&walk.scratch.target));
    Ok(Explained {
        method: walk.method,
        from: walk.from,
        site: why.site,
        route: why.route,
        target,
        trail: walk.trail,
        room: walk.room,
        is_staff: walk.is_staff,
        rank: walk.rank,
        framing: walk.framing,
        way: walk.way,
        end,
    })
}

/// Every endpoint has an address and is up; names have one address each.
fn all_well(snapshot: &Snapshot) -> Membership {
    let somewhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let members = |pool: &tentpole_model::Pool| {
        let member = |endpoint: &tentpole_model::Endpoint| Member {
            addresses: if endpoint.is_further() { Vec::new() } else { vec![somewhere] },
            health: Health::Up,
            tier: 0,
        };
        PoolMembers { members: pool.endpoints.iter().map(member).collect() }
    };
    Membership { pools: snapshot.pools.iter().map(members).collect() }
}

struct Walk<'a> {
    view: Rc<View>,
    question: Question<'a>,
    scratch: Scratch,
    why: Why,
    from: From,
    method: Option<Method>,
    trail: Option<Trail>,
    room: Option<u16>,
    is_staff: bool,
    rank: Priority,
    framing: Option<Framing>,
    way: Option<Way>,
}

impl<'a> Walk<'a> {
    fn new(view: &Rc<View>, question: Question<'a>) -> Self {
        let trusted = view.prepared.snapshot.front.trusts(question.peer);
        Self {
            view: view.clone(),
            question,
            scratch: Scratch::default(),
            why: Why::new(),
            from: From { address: question.peer, proxied: false, trusted, https: question.tls },
            method: None,
            trail: None,
            room: None,
            is_staff: false,
            rank: Priority::Normal,
            framing: None,
            way: None,
        }
    }

    /// The steps of `visit.rs`, in its order.
    fn steps(&mut self) -> Result<(), Stop> {
        let view = self.view.clone();
        let snapshot = &view.prepared.snapshot;
        match parse_request(
            self.question.head,
            &limits_of_heads(&snapshot.visitors),
            &mut self.scratch.request,
        ) {
            Ok(Parsed::Complete { .. }) => {}
            Ok(Parsed::Partial) => return Err(Stop::Refused(Refused::Malformed)),
            Err(refused) => return Err(Stop::Refused(refused)),
        }
        let Scratch { request, via, .. } = &mut self.scratch;
        self.method = Some(request.method);
        let framing = http1::request_framing(request).map_err(Stop::Refused)?;
        self.framing = Some(framing);
        let mut asked = understand(request, framing).map_err(Stop::Refused)?;
        if matches!(request.method, Method::Connect | Method::Trace) {
            return Err(Stop::Refused(Refused::Method));
        }
        let known = Came { address: self.question.peer, https: self.question.tls, proxied: false };
        let came = heard(&snapshot.front, known, &request.fields, via);
        self.from = From { address: came.address, proxied: came.proxied, https: came.https, ..self.from };
        asked.https = came.https;
        if asked.method == Method::Other && is_purge(request.method_bytes()) {
            return Err(Stop::Gone);
        }
        if !is_let_in(&view.prepared, request, asked.method, self.question.tls) {
            return Err(Stop::Refused(Refused::NotThroughFront));
        }
        let searches = Searches::new();
        let place = route(&view, &searches, &mut self.scratch, &mut asked, &mut self.why)?;
        let site = self.why.site.map(|site| view.prepared.site(site));
        if site.is_some_and(|site| goes_to_https(site, asked.https)) {
            return Err(Stop::ToHttps(view.prepared.https_port));
        }
        let who =
            Who { fields: &self.scratch.request.fields, address: came.address, peer: self.question.peer };
        self.is_staff = who.is_staff(&view.prepared);
        self.rank = rank::of(&view.prepared, place.route, &self.scratch.target, who, &asked).priority;
        if view.prepared.screen.asks() {
            let trail = look(&view.prepared, &self.scratch, who, asked, place);
            let verdict = trail.verdict;
            self.trail = Some(trail);
            match verdict {
                Verdict::Pass | Verdict::Allow(_) => {}
                Verdict::Deny(_) => return Err(Stop::Refused(Refused::Denied)),
                Verdict::Limit(..) => return Err(Stop::Refused(Refused::RateLimited)),
                Verdict::Challenge(..) => return Err(Stop::Refused(Refused::Challenged)),
            }
        }
        keep_to_sizes(&self.scratch.request, view.prepared.route(place.route))?;
        self.room = place.room;
        RequestBody::new(asked.framing, place.body_bytes_max).map_err(Stop::Refused)?;
        let way = self.way(asked, place);
        let ended = way.refused();
        self.way = Some(way);
        ended.map_or(Ok(()), |refused| Err(Stop::Refused(refused)))
    }

    fn ends(&self, stop: Stop) -> Ends {
        match stop {
            Stop::Refused(refused) | Stop::Said(refused, _) => Ends::Refused(refused),
            Stop::Screened(no) => Ends::Refused(no.refused()),
            Stop::Redirect => Ends::Redirect(lossy(&self.scratch.target)),
            Stop::ToHttps(port) => Ends::ToHttps(port),
            // Of what else stops a request, only a purge comes up before anything is sent.
            Stop::Gone | Stop::Http2 | Stop::Tunnelled | Stop::Failed(_) | Stop::Room(_) => Ends::Purge,
        }
    }

    fn way(&self, asked: Asked, place: Place) -> Way {
        let (view, scratch) = (&self.view, &self.scratch);
        let (at, caching) = (usize::from(place.pool.0), view.prepared.caching(place.caching));
        let (pool, own) = (&view.prepared.snapshot.pools[at], &view.prepared.pools[at]);
        let past = goes_past(&asked, &place);
        let asking = Asking {
            view,
            request: &scratch.request,
            target: &scratch.target,
            shared_target: &scratch.shared_target,
            cookies: place.cookies.reduced.then_some(&scratch.cookies[..]),
            key: &scratch.key,
            asked: &asked,
            place: &place,
            peer: self.from.address,
            via: &scratch.via,
        };
        let mut told = Vec::new();
        let looks = only_looks(&asked);
        let shared = past.is_none() && looks.is_none();
        match past.or(looks) {
            None => _ = asking.write_forward(&mut told, Purpose::Store, &scratch.target),
            Some(bypass) => asking.write_own_forward(&mut told, asking.asks_as_keyed(bypass)),
        }
        let told_fields = if shared { asking.presented().told() } else { scratch.request.fields.clone() };
        let answer = self.question.answer.map(|answer| {
            let response = parsed(without_its_end(answer));
            match past.or(looks) {
                Some(bypass) => Err(bypass),
                None => may_share(&asked.facts, &response, &told_fields, caching, asked.now, asked.now)
                    .map(|facts| facts.lifetime),
            }
        });
        let whole = asked.framing == Framing::None;
        let again = |cause, phase, retry| {
            // Before there is a connection no body was read; behind one it was, and is sent only once.
            let whole = whole || phase == Phase::Connect;
            let asked = Again { method: asked.method, whole, kept_died: false };
            (cause, after_failure(&pool.retrying, &Failure::upstream(phase, retry, cause), asked))
        };
        let (tiers, chosen) = endpoints(view, &asking, &told, place.pool);
        Way {
            pool: place.pool,
            key: scratch.key.clone(),
            query: self.query(place),
            cookies: self.cookies(place),
            past,
            only_looks: looks,
            only_stored: past.is_none() && asked.facts.cache_control.only_if_cached,
            stored_fresh: StoredFacts { lifetime: 60, response_time: asked.now, ..StoredFacts::default() }
                .may_use(&asked.facts, asked.now),
            stored_guessed: (
                StoredFacts {
                    lifetime: 60,
                    response_time: asked.now,
                    heuristic: true,
                    ..StoredFacts::default()
                }
                .may_use(&asked.facts, asked.now),
                for_whom(&asked),
            ),
            stored_stale: StoredFacts {
                lifetime: 60,
                response_time: asked.now.saturating_sub(120),
                ..StoredFacts::default()
            }
            .may_use(&asked.facts, asked.now),
            file: own.files.as_ref().map(|files| self.file(files, asked, pool.endpoints.is_empty(), &told)),
            script: own
                .scripts
                .as_ref()
                .map(|scripts| scripts.find_now(&told).map(|script| lossy(script.name()))),
            tiers,
            chosen,
            secrets: own.send.names().map(str::to_owned).collect(),
            told,
            shared,
            again: [
                again(Cause::Closed, Phase::Connect, Retry::Unsent),
                again(Cause::Closed, Phase::FirstByte, Retry::IfSafe),
                again(Cause::TimedOut, Phase::FirstByte, Retry::IfSafe),
            ],
            hedges: pool.retrying.hedge != Hedge::Off
                && whole
                && !asked.upgrades
                && may_hedge(pool.retrying.methods, asked.method),
            answer,
        }
    }

    /// Each parameter, and whether the route's rules write it.
    fn query(&self, place: Place) -> Vec<(String, bool)> {
        let asked_for = http1::split_target(&self.scratch.request).path_and_query;
        let Some(at) = asked_for.iter().position(|&byte| byte == b'?') else { return Vec::new() };
        let rules = &self.view.prepared.key_rules(place.caching).query;
        let parameters = asked_for[at + 1..].split(|&byte| byte == b'&').filter(|one| !one.is_empty());
        let counts = |one: &[u8]| {
            let mut written = Vec::new();
            rules.write(&[b"?", one].concat(), &mut written);
            !written.is_empty()
        };
        parameters.map(|one| (lossy(one), counts(one))).collect()
    }

    /// Each cookie by itself, as the route's rules sort it.
    fn cookies(&self, place: Place) -> Vec<(String, CookieCounts)> {
        let rules = &self.view.prepared.key_rules(place.caching).cookies;
        let lines = self.scratch.request.fields.all(Name::Cookie);
        let pairs = lines.flat_map(|line| line.split(|&byte| byte == b';')).map(<[u8]>::trim_ascii);
        let sorted = |pair: &[u8]| {
            let (mut told, mut key) = (Vec::new(), Vec::new());
            match rules.sort(std::iter::once(pair), &mut told, &mut key) {
                Err(_) => CookieCounts::Unclear,
                Ok(_) if !key.is_empty() => CookieCounts::Keyed,
                Ok(cookies) if cookies.personal => CookieCounts::Personal,
                Ok(_) => CookieCounts::Ignored,
            }
        };
        let name = |pair: &[u8]| lossy(pair.split(|&byte| byte == b'=').next().unwrap_or_default());
        pairs.filter(|pair| !pair.is_empty()).map(|pair| (name(pair), sorted(pair))).collect()
    }

    fn file(&self, files: &PoolFiles, asked: Asked, alone: bool, told: &[u8]) -> FileFound {
        match PoolFiles::are_asked(asked.method, asked.upgrades, alone) {
            Ok(true) => {}
            Ok(false) => return FileFound::NotAsked,
            Err(refused) => return FileFound::Refused(refused),
        }
        let path = hashed::path(told).unwrap_or_default();
        let nothing = if alone { FileFound::NothingAtAll } else { FileFound::Nothing };
        let Some(name) = FileName::read(path) else { return nothing };
        match find(files.rules(), &name, 0) {
            Found::File(..) => FileFound::File,
            Found::Folder => FileFound::Folder,
            Found::Script(_) | Found::Nothing => nothing,
            Found::Failed(_) if !alone => nothing,
            Found::Failed(kind) => FileFound::Failed(kind),
        }
    }
}

impl Way {
    /// Why nobody is asked in the end.
    fn refused(&self) -> Option<Refused> {
        match (self.script.clone(), self.file) {
            // A file is found first.
            (_, Some(FileFound::File | FileFound::Folder)) => None,
            (_, Some(FileFound::Refused(refused))) | (Some(Err(refused)), _) => Some(refused),
            _ => None,
        }
    }
}

/// Who of the pool may be asked, all being well, and who is where something says that.
fn endpoints(
    view: &View,
    asking: &Asking<'_>,
    told: &[u8],
    pool: PoolId,
) -> (Vec<Vec<(usize, u32)>>, Option<Chosen>) {
    let at = usize::from(pool.0);
    let (structure, own, weights) =
        (&view.prepared.snapshot.pools[at], &view.prepared.pools[at], view.weights(at));
    let weight = |index: usize| weights.get(index).copied().unwrap_or(0);
    let shares = |tier: &[u16]| {
        let all: u64 = tier.iter().map(|&index| u64::from(weight(usize::from(index)))).sum();
        let share = |&index: &u16| {
            let index = usize::from(index);
            (index, (u64::from(weight(index)) * 10_000 / all.max(1)) as u32)
        };
        tier.iter().map(share).collect::<Vec<_>>()
    };
    // The first tier carries all of it while its endpoints are well, so any number draws it.
    let tiers: Vec<_> = view.rosters[at].in_order(0).map(|(tier, _)| shares(tier)).collect();
    let stuck = asking.stuck().and_then(|stuck| own.sticky.as_ref()?.place_of(stuck)).map(Chosen::Sticky);
    let hashed = || {
        let key =
            (structure.balance == Balance::ConsistentHash).then(|| hashed::key(told, &structure.hashing.by));
        let (key, first) = (key.flatten()?, tiers.first()?);
        let candidate = |at: usize| Candidate { usable: true, weight: weight(first[at].0), in_flight: 0 };
        let name = |at: usize| own.names[first[at].0];
        let place = consistent_hash(first.len(), candidate, name, key, structure.hashing.load_percent)?;
        Some(Chosen::Hash(first[place].0))
    };
    (tiers.clone(), stuck.or_else(hashed))
}

/// A head without its empty line, as `parsed` wants it.
fn without_its_end(head: &[u8]) -> Vec<u8> {
    head.strip_suffix(b"\r\n").unwrap_or(head).to_vec()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
