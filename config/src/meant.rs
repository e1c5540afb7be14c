//! From what was typed to what is meant: names become indices, what was left out gets its default, and what
//! contradicts itself across sections is told. The last step before a Snapshot.

use crate::address::collide;
use crate::problem::Problem;
use crate::report::{Place, Problems};
use crate::table::At;
use crate::top::Typed;
use crate::words::{Cure, Hint, any_of};
use crate::{caching, content_network, filter, host, path, pool, room, site, zones};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use tentpole_model::{
    Caching, CachingId, Endpoint, HostPattern, PoolId, Room, Route, RouteCache, Scheme, Site, SiteId,
    Snapshot, TlsSettings,
};
use tentpole_route::{CompileError, Table};

/// The name of the site that stands in for none.
const SITE_FOR_ALL: &str = "default";

/// Checks across sections and puts the Snapshot together; `None` when there is any error, now or before.
pub(crate) fn snapshot(typed: Typed, problems: &Problems<'_>) -> Option<Snapshot> {
    let listen: Vec<_> = typed.listen.iter().chain(&typed.tls.listen).cloned().collect();
    check_addresses(&listen, &typed.admin, problems);
    let by_https = !typed.tls.listen.is_empty();
    if let (false, Some(file)) = (by_https, &typed.front.require_certificate) {
        problems.add(Problem::CertificateWithoutTls {}, &file.place);
    }

    let mut pools = Pools::new(typed.pools);
    if pools.known && pools.typed.is_empty() {
        problems.add(Problem::NoPool {}, &Place::Whole);
    }
    check_endpoints(&pools.typed, &listen, problems);
    zones::check(typed.zone.as_ref(), &pools.typed, problems);

    let sites_told = typed.sites.is_none();
    let sites = match typed.sites {
        Some(sites) if sites.is_empty() => site_for_all(&pools, problems).into_iter().collect(),
        sites => sites.unwrap_or_default(),
    };
    check_hosts(&sites, problems);
    if !by_https && typed.front.front.trusted.is_empty() {
        for only in sites.iter().filter_map(|site| site.https_only.as_ref()) {
            problems.add(Problem::HttpsNowhere {}, &only.place);
        }
    }
    let local_names = local_names(&sites);
    let no_site = sites.is_empty();
    let places: HashMap<String, Place> =
        sites.iter().map(|site| (site.name.clone(), site.place.clone())).collect();
    let mut cachings = Cachings::new(typed.cache.caching.over(&Caching::default()));
    let sites: Vec<Site> =
        sites.into_iter().map(|site| meant_site(site, &mut pools, &mut cachings, problems)).collect();
    let rooms = typed.rooms.into_iter();
    let rooms = rooms.filter_map(|room| meant_room(room, &sites, &mut pools, problems)).collect();
    cachings.check(problems);
    check_sticky(&pools.typed, &cachings.all, problems);
    // Without sites every pool would be unused, which says nothing new.
    if !sites_told && !no_site {
        pools.tell_of_unused(problems);
    }

    let names = places.keys().map(String::as_str);
    let tell = |problem, place: &Place| problems.add(problem, place);
    let content_networks = content_network::meant(typed.content_networks, names, tell);

    if problems.any_error() {
        return None;
    }
    let snapshot = Snapshot {
        listen: typed.listen.into_iter().map(|at| at.value).collect(),
        tls: TlsSettings {
            client_authority: typed.front.require_certificate.map(|at| at.value),
            local_names,
            ..typed.tls.settings
        },
        admin: typed.admin.value,
        threads: typed.threads,
        zone: typed.zone.map(|at| at.value),
        sites,
        pools: pools.typed.into_iter().map(|typed| typed.pool).collect(),
        visitors: typed.visitors,
        front: typed.front.front,
        cache: typed.cache.settings,
        disk: typed.cache.disk,
        cachings: cachings.all,
        log: typed.log,
        staff: typed.staff,
        purging: typed.purge.meant(content_networks.len()),
        content_networks,
        rooms,
        names: typed.names,
        filters: typed.filters.into_iter().chain(typed.front.bots.and_then(filter::of_bots)).collect(),
    };
    check_router(&snapshot, &places, problems).then_some(snapshot)
}

/// The router has the last word, so that what is fine here starts there.
fn check_router(snapshot: &Snapshot, places: &HashMap<String, Place>, problems: &Problems<'_>) -> bool {
    let Err(error) = Table::compile(snapshot) else { return true };
    let (site, cure) = match &error {
        CompileError::TooAmbiguous { site, .. } => (
            Some(site),
            Cure::new("Replace some of the names in braces by fixed segments, or end earlier with `/*`."),
        ),
        _ => (None, Cure::none()),
    };
    let place = site.and_then(|site| places.get(site)).unwrap_or(&Place::Whole);
    problems.add(Problem::Routes { says: error.to_string(), cure }, place);
    false
}

/// The pools while sites refer to them.
struct Pools {
    typed: Vec<pool::Typed>,
    used: Vec<bool>,
    index: HashMap<String, u16>,
    /// False when the file's pools could not be read at all, so that no name can be called unknown.
    known: bool,
    /// Some name was wrong, so that nobody can say which pool is unused.
    mistaken: bool,
}

impl Pools {
    fn new(typed: Option<Vec<pool::Typed>>) -> Self {
        let known = typed.is_some();
        let typed = typed.unwrap_or_default();
        let index = typed.iter().zip(0..).map(|(typed, at)| (typed.pool.name.clone(), at)).collect();
        Self { used: vec![false; typed.len()], index, typed, known, mistaken: false }
    }

    fn names(&self) -> Vec<&str> {
        self.typed.iter().map(|typed| typed.pool.name.as_str()).collect()
    }

    /// The pool of this name; tells when there is none.
    fn named(&mut self, name: &At<String>, problems: &Problems<'_>) -> Option<PoolId> {
        if let Some(at) = self.index.get(&name.value) {
            self.used[usize::from(*at)] = true;
            return Some(PoolId(*at));
        }
        self.mistaken = true;
        if self.known && !self.typed.is_empty() {
            let names = self.names();
            let cure = Hint::near(&name.value, names.iter().copied())
                .or_else(|| format!("There is {}.", any_of(&names).replace(" or ", " and ")));
            problems.add(Problem::UnknownPool { name: name.value.clone(), cure }, &name.place);
        }
        None
    }

    /// The only pool; tells when there are several, of which `what` names none.
    fn only(&mut self, what: &str, place: &Place, problems: &Problems<'_>) -> Option<PoolId> {
        match self.typed.len() {
            0 => None,
            1 => {
                self.used[0] = true;
                Some(PoolId(0))
            }
            _ => {
                self.mistaken = true;
                let problem = Problem::WhichPool { of: what.to_owned(), pools: any_of(&self.names()) };
                problems.add(problem, place);
                None
            }
        }
    }

    fn tell_of_unused(&self, problems: &Problems<'_>) {
        if self.mistaken {
            return;
        }
        for (typed, _) in self.typed.iter().zip(&self.used).filter(|(_, used)| !**used) {
            problems.add(Problem::PoolUnused { name: typed.pool.name.clone() }, &typed.place);
        }
    }
}

/// The ways to cache, each once: routes that say the same share one.
struct Cachings {
    /// What `[cache]` says is the first.
    all: Vec<Caching>,
    index: HashMap<Caching, usize>,
}

impl Cachings {
    fn new(base: Caching) -> Self {
        Self { index: HashMap::from([(base.clone(), 0)]), all: vec![base] }
    }

    /// What is said here, and what `base` says for the rest.
    fn of(&mut self, said: Option<&caching::Typed>, base: CachingId) -> CachingId {
        let Some(said) = said else { return base };
        let caching = said.over(&self.all[usize::from(base.0)]);
        let at = *self.index.entry(caching).or_insert_with_key(|caching| {
            self.all.push(caching.clone());
            self.all.len() - 1
        });
        // `check` tells when there are too many.
        CachingId(u16::try_from(at).unwrap_or_default())
    }

    fn check(&self, problems: &Problems<'_>) {
        let (count, most) = (self.all.len(), usize::from(u16::MAX) + 1);
        if count > most {
            problems.add(
                Problem::TooMany { what: "routes that each cache in their own way", count, most },
                &Place::Whole,
            );
        }
    }
}

/// The site that stands in when the file has none.
fn site_for_all(pools: &Pools, problems: &Problems<'_>) -> Option<site::Typed> {
    match pools.typed.as_slice() {
        [] => None,
        [_] => Some(site::usual(SITE_FOR_ALL, Place::Whole)),
        [first, ..] => {
            let (first, names) = (first.pool.name.clone(), any_of(&pools.names()).replace(" or ", " and "));
            problems.add(Problem::NoSite { pools: names, first }, &Place::Whole);
            None
        }
    }
}

fn meant_site(
    typed: site::Typed,
    pools: &mut Pools,
    cachings: &mut Cachings,
    problems: &Problems<'_>,
) -> Site {
    let site_cache = typed.cache.cache.unwrap_or(RouteCache::Standard);
    let site_caching = cachings.of(typed.cache.caching.as_ref(), CachingId(0));
    let mut meant_route = |route: site::TypedRoute, pool| {
        let cache = route.cache.cache.unwrap_or(site_cache);
        let caching = cachings.of(route.cache.caching.as_ref(), site_caching);
        Route { cache, caching, ..meant_route(route, pool, problems) }
    };
    let mut routes = Vec::new();
    let mut seen: HashMap<String, (String, Place)> = HashMap::new();
    let site_pool = typed.pool.as_ref().map(|name| pools.named(name, problems));
    for route in typed.routes {
        match seen.get(&path::shape(&route.path.value)) {
            Some((first, earlier)) => {
                let (path, first) = (route.written.clone(), first.clone());
                let earlier = problems.whereabouts(earlier);
                problems.add(Problem::RouteTwice { path, first, earlier }, &route.path.place);
            }
            None => {
                let place = route.path.place.clone();
                seen.insert(path::shape(&route.path.value), (route.written.clone(), place));
            }
        }
        let pool = match (&route.pool, site_pool) {
            (Some(name), _) => pools.named(name, problems),
            (None, Some(site_pool)) => site_pool,
            (None, None) => pools.only(&format!("route {:?}", route.written), &route.place, problems),
        };
        routes.extend(pool.map(|pool| meant_route(route, pool)));
    }
    // The site's pool takes what no route takes; a site with routes and without a pool answers 404 there.
    if !seen.contains_key("/*") {
        let pool = match site_pool {
            Some(pool) => pool,
            None if seen.is_empty() => pools.only(&format!("[site.{}]", typed.name), &typed.place, problems),
            None => None,
        };
        routes.extend(pool.map(|pool| meant_route(site::usual_route(typed.place.clone()), pool)));
    }
    Site {
        name: typed.name,
        hosts: typed.hosts.unwrap_or_default().into_iter().map(|at| at.value).collect(),
        canonical: typed.canonical,
        merge_slashes: typed.merge_slashes,
        to_https: typed.https_only.is_some(),
        hsts_s: u32::try_from(typed.hsts.as_secs()).unwrap_or(u32::MAX),
        routes,
    }
}

/// A room with its site and its pool.
fn meant_room(
    typed: room::Typed,
    sites: &[Site],
    pools: &mut Pools,
    problems: &Problems<'_>,
) -> Option<Room> {
    let names = || sites.iter().map(|site| site.name.as_str());
    let at = match &typed.site {
        Some(name) => {
            let found = names().position(|known| known == name.value);
            if found.is_none() {
                let cure = Hint::near(&name.value, names());
                problems.add(Problem::UnknownSite { name: name.value.clone(), cure }, &name.place);
            }
            found?
        }
        None if sites.len() == 1 => 0,
        None => {
            let (room, sites) = (typed.room.name.clone(), any_of(&names().collect::<Vec<_>>()));
            if !names().collect::<Vec<_>>().is_empty() {
                problems.add(Problem::RoomBeforeWhichSite { room, sites }, &typed.place);
            }
            return None;
        }
    };
    let pool = match &typed.pool {
        Some(name) => pools.named(name, problems)?,
        None => sites[at].routes.first()?.pool,
    };
    Some(Room { site: SiteId(u16::try_from(at).ok()?), pool, ..typed.room })
}

/// All but how it is cached.
fn meant_route(typed: site::TypedRoute, pool: PoolId, problems: &Problems<'_>) -> Route {
    let path = typed.path.value;
    let swallow = typed.swallow_segments.filter(|swallow| swallow.value);
    if let Some(swallow) = &swallow
        && path.ends_with("/*")
    {
        problems.add(Problem::SwallowsNothing { path: path.clone() }, &swallow.place);
    }
    Route {
        path,
        pool,
        swallow_segments: swallow.is_some(),
        body_bytes_max: typed.body_bytes_max,
        fields_bytes_max: typed.fields_bytes_max,
        url_bytes_max: typed.url_bytes_max,
        priority: typed.priority,
        ..Route::default()
    }
}

/// Hosts that can only be this machine (RFC 6761 section 6.3).
fn local_names(sites: &[site::Typed]) -> Vec<String> {
    let patterns = sites.iter().flat_map(|site| site.hosts.iter().flatten());
    let local = |pattern: &At<HostPattern>| match &pattern.value {
        HostPattern::Exact(name) => {
            (name == "localhost" || name.ends_with(".localhost")).then(|| name.clone())
        }
        HostPattern::Below(name) if name == "localhost" => None,
        HostPattern::Below(name) => name.ends_with(".localhost").then(|| format!("*.{name}")),
    };
    patterns.filter_map(local).collect()
}

/// No two sockets at one address.
fn check_addresses(listen: &[At<SocketAddr>], admin: &At<Option<SocketAddr>>, problems: &Problems<'_>) {
    let tell = |address: SocketAddr, earlier: &At<SocketAddr>, place: &Place| {
        let (address, earlier) = (address.to_string(), problems.whereabouts(&earlier.place));
        problems.add(Problem::AddressTwice { address, name: "listen", earlier }, place);
    };
    for (at, address) in listen.iter().enumerate() {
        if let Some(earlier) = listen[..at].iter().find(|earlier| collide(earlier.value, address.value)) {
            tell(address.value, earlier, &address.place);
        }
    }
    if let Some(address) = admin.value
        && let Some(earlier) = listen.iter().find(|earlier| collide(earlier.value, address))
    {
        // At the one that was written, when only one was.
        let place = if admin.place == Place::Whole { &earlier.place } else { &admin.place };
        tell(address, earlier, place);
    }
}

/// No endpoint is the edge itself.
fn check_endpoints(pools: &[pool::Typed], listen: &[At<SocketAddr>], problems: &Problems<'_>) {
    for typed in pools {
        check_scripts(typed, problems);
        for (endpoint, place) in typed.pool.endpoints.iter().zip(&typed.endpoint_places) {
            if listen.iter().any(|at| leads_to(endpoint, at.value)) {
                problems.add(Problem::EndpointIsEdge { authority: endpoint.authority() }, place);
            }
        }
    }
}

/// Whoever speaks FastCGI is told what to run, and is among his like.
fn check_scripts(typed: &pool::Typed, problems: &Problems<'_>) {
    let pool = &typed.pool;
    let is_fastcgi = |endpoint: &&Endpoint| endpoint.scheme == Scheme::FastCgi;
    let speaking = pool.endpoints.iter().filter(is_fastcgi).count();
    let at_socket = pool.endpoints.iter().any(|endpoint| endpoint.unix_socket().is_some());
    if pool.http2 && (speaking > 0 || at_socket) {
        problems.add(Problem::Http2NotThere {}, &typed.place);
    }
    if speaking == 0 {
        return;
    }
    if speaking < pool.endpoints.len() {
        problems.add(Problem::ScriptsMixed {}, &typed.place);
    }
    if pool.object_store.is_some() {
        problems.add(Problem::ScriptsAndStore {}, &typed.place);
    }
    if pool.scripts.is_none() {
        problems.add(Problem::ScriptsNowhere { pool: pool.name.clone() }, &typed.place);
    }
}

fn leads_to(endpoint: &Endpoint, listen: SocketAddr) -> bool {
    if endpoint.port != listen.port() {
        return false;
    }
    if endpoint.host == "localhost" {
        return listen.ip().is_loopback() || listen.ip().is_unspecified();
    }
    let Ok(ip) = endpoint.host.parse::<IpAddr>() else { return false };
    let here = ip.is_loopback() || ip.is_unspecified();
    ip.is_ipv4() == listen.is_ipv4()
        && (ip == listen.ip()
            || (here && listen.ip().is_unspecified())
            || (ip.is_unspecified() && listen.ip().is_loopback()))
}

/// Each sticky cookie belongs to one pool, and to no cache key.
fn check_sticky(pools: &[pool::Typed], cachings: &[Caching], problems: &Problems<'_>) {
    let cookie = |typed: &pool::Typed| typed.pool.sticky.as_ref().map(|sticky| sticky.cookie.clone());
    for (at, typed) in pools.iter().enumerate() {
        let Some(name) = cookie(typed) else { continue };
        if let Some(first) = pools[..at].iter().find(|earlier| cookie(earlier).as_ref() == Some(&name)) {
            let problem = Problem::StickyTwice { cookie: name.clone(), first: first.pool.name.clone() };
            problems.add(problem, &typed.place);
        }
        if cachings.iter().any(|caching| caching.cookies_keyed.contains(&name)) {
            problems.add(Problem::StickyKeyed { cookie: name }, &typed.place);
        }
    }
}

/// No host belongs to two sites, and at most one site takes all others.
fn check_hosts(sites: &[site::Typed], problems: &Problems<'_>) {
    let mut claimed: HashMap<&HostPattern, (&str, &Place)> = HashMap::new();
    let mut for_all: Option<(&str, &Place)> = None;
    for site in sites {
        let Some(hosts) = &site.hosts else {
            match for_all {
                Some((first, place)) => {
                    let (first, earlier) = (first.to_owned(), problems.whereabouts(place));
                    problems.add(Problem::TwoSitesForAll { site: first, earlier }, &site.place);
                }
                None => for_all = Some((&site.name, &site.place)),
            }
            continue;
        };
        for pattern in hosts {
            match claimed.get(&pattern.value) {
                Some((owner, place)) => {
                    let earlier = problems.whereabouts(place);
                    let host = host::show(&pattern.value);
                    let problem = Problem::HostTwice { host, site: (*owner).to_owned(), earlier };
                    problems.add(problem, &pattern.place);
                }
                None => {
                    claimed.insert(&pattern.value, (&site.name, &pattern.place));
                }
            }
        }
    }
}
