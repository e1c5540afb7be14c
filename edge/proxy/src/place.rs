//! Where a request belongs: site, route, and the target in the form in which it is forwarded and cached. Compiles
//! nothing and forwards nothing.

use crate::asked::Asked;
use crate::key::{GROUP, HTTPS};
use crate::purge::write_key;
use crate::search::Searches;
use crate::stop::Stop;
use crate::thread::{Scratch, View};
use tentpole_freshness::CacheControl;
use tentpole_http1 as http1;
use tentpole_key::{Cookies, KeyRules};
use tentpole_message::Name;
use tentpole_model::{
    Bypass, CachingId, Canonical, Method, PoolId, Priority, Refused, Route, RouteCache, RouteId, Site,
    SiteId, Why,
};

/// Where a request belongs.
#[derive(Clone, Copy)]
pub struct Place {
    /// Who answers.
    pub pool: PoolId,
    /// Its route.
    pub route: RouteId,
    /// Whether it may be cached.
    pub cache: RouteCache,
    /// How it is cached: [`Prepared::caching`](crate::Prepared::caching).
    pub caching: CachingId,
    /// Largest body, in bytes.
    pub body_bytes_max: u64,
    /// The waiting room before it.
    pub room: Option<u16>,
    /// What its cookies come to.
    pub cookies: Cookies,
    /// Its rank, once that matters.
    pub priority: Priority,
    /// Why it goes past the cache, where nobody can say under which key it belongs.
    pub keyless: Option<Bypass>,
}

/// Finds it. Leaves in the scratch the targets that are forwarded, the cache key and what counts of the cookies; and in
/// `asked` what the request still says about caching by the rules of its route.
pub fn route(
    view: &View,
    searches: &Searches,
    scratch: &mut Scratch,
    asked: &mut Asked,
    why: &mut Why,
) -> Result<Place, Stop> {
    let Scratch { request, target, shared_target, path, key, cookies, .. } = scratch;
    let prepared = &view.prepared;
    let host = http1::host(request).unwrap_or_default();
    let site = prepared.table.site(host).ok_or(Stop::Refused(Refused::NoSite))?;
    why.site = Some(site);
    why.snapshot = prepared.version as u8;
    let rules = prepared.site(site);

    let asked_for = http1::split_target(request).path_and_query;
    let query_at = asked_for.iter().position(|&byte| byte == b'?').unwrap_or(asked_for.len());
    let (raw_path, query) = asked_for.split_at(query_at);
    target.clear();
    let mut place = if raw_path == b"*" {
        // OPTIONS of the server itself (RFC 9110 section 9.3.7): whoever serves the site's root answers.
        target.extend_from_slice(b"*");
        path.clear();
        find(view, site, b"/", why)?.0
    } else {
        let changed = tentpole_route::canonical_path(raw_path, rules.merge_slashes, path)
            .map_err(|_| Stop::Refused(Refused::Target))?;
        if !changed {
            path.clear();
        }
        let canonical: &[u8] = if changed { path } else { raw_path };
        let (place, swallowed) = find(view, site, canonical, why)?;
        let kept = &canonical[..swallowed.unwrap_or(canonical.len())];

        let forwarded = if rules.canonical == Canonical::Forward { raw_path } else { kept };
        target.extend_from_slice(forwarded);
        let may_redirect =
            rules.canonical == Canonical::Redirect && matches!(asked.method, Method::Get | Method::Head);
        if may_redirect && (changed || swallowed.is_some()) {
            target.extend_from_slice(query);
            return Err(Stop::Redirect);
        }
        if prepared.rooms.is_empty() {
            place
        } else {
            let room = prepared.room_before(site, canonical).or_else(|| prepared.room_before(site, kept));
            Place { room, ..place }
        }
    };
    // Before the cache and the body: nobody changes what is in a store from here.
    let of_store = prepared.pools[usize::from(place.pool.0)].store.is_some();
    if of_store && !matches!(asked.method, Method::Get | Method::Head) {
        return Err(Stop::Refused(Refused::Method));
    }
    let counts = prepared.key_rules(place.caching);
    shared_target.clear();
    shared_target.extend_from_slice(target);
    counts.query.write(query, shared_target);
    write_key(key, host, target);
    searches.write_query(&shared_target[target.len()..], key);
    target.extend_from_slice(query);
    if asked.https {
        key.extend_from_slice(HTTPS);
    }

    cookies.clear();
    match group(counts, request.fields.all(Name::Cookie), cookies, key) {
        Ok(sorted) => {
            asked.facts.cookie = sorted.personal;
            place.cookies = sorted;
        }
        Err(bypass) => place.keyless = Some(bypass),
    }
    if !prepared.caching(place.caching).visitors_revalidate {
        let said = &mut asked.facts.cache_control;
        *said = CacheControl { no_cache: false, max_age: None, min_fresh: None, ..*said };
    }
    Ok(place)
}

/// Whether who asks is sent to https first.
pub fn goes_to_https(site: &Site, https: bool) -> bool {
    site.to_https && !https
}

/// Sorts the cookies, and adds the visitor's group to the key.
fn group<'a>(
    counts: &KeyRules,
    lines: impl Iterator<Item = &'a [u8]> + Clone,
    told: &mut Vec<u8>,
    key: &mut Vec<u8>,
) -> Result<Cookies, Bypass> {
    if lines.clone().next().is_none() {
        return Ok(Cookies::default());
    }
    let end = key.len();
    key.extend_from_slice(GROUP);
    let sorted = counts.cookies.sort(lines, told, key);
    if sorted.is_err() || key.len() == end + GROUP.len() {
        key.truncate(end);
    }
    sorted.map_err(|_| Bypass::KeyedCookies)
}

/// The route of a canonical path, and how much of the path it keeps.
fn find(view: &View, site: SiteId, path: &[u8], why: &mut Why) -> Result<(Place, Option<usize>), Stop> {
    let matched = view.prepared.table.route(site, path).ok_or(Stop::Refused(Refused::NoRoute))?;
    why.route = Some(matched.route);
    let route = view.prepared.route(matched.route);
    let &Route { pool, cache, caching, body_bytes_max, .. } = route;
    let (cookies, keyless) = (Cookies::default(), None);
    let (route, priority, room) = (matched.route, Priority::Normal, None);
    let place = Place { pool, route, cache, caching, body_bytes_max, room, cookies, priority, keyless };
    Ok((place, matched.swallowed))
}
