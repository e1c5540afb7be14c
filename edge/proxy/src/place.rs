//! Where a request belongs: site, route, and the target in the form in which it is forwarded and cached. Compiles
//! nothing and forwards nothing.

use crate::purge::write_key;
use crate::stop::Stop;
use crate::thread::{Scratch, View};
use tentpole_http1 as http1;
use tentpole_model::{
    CachingId, Canonical, Method, PoolId, Refused, Route, RouteCache, RouteId, SiteId, Why,
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
}

/// Finds it. Leaves the target that is forwarded, and the cache key, in the scratch.
pub fn route(view: &View, scratch: &mut Scratch, method: Method, why: &mut Why) -> Result<Place, Stop> {
    let Scratch { request, target, path, key, .. } = scratch;
    let prepared = &view.prepared;
    let host = http1::host(request).unwrap_or_default();
    let site = prepared.table.site(host).ok_or(Stop::Refused(Refused::NoSite))?;
    why.site = Some(site);
    let rules = prepared.site(site);

    let asked_for = http1::split_target(request).path_and_query;
    let query_at = asked_for.iter().position(|&byte| byte == b'?').unwrap_or(asked_for.len());
    let (raw_path, query) = asked_for.split_at(query_at);
    target.clear();
    if raw_path == b"*" {
        // OPTIONS of the server itself (RFC 9110 section 9.3.7): whoever serves the site's root answers.
        target.extend_from_slice(b"*");
        write_key(key, host, target);
        return find(view, site, b"/", why).map(|(place, _)| place);
    }
    let changed = tentpole_route::canonical_path(raw_path, rules.merge_slashes, path)
        .map_err(|_| Stop::Refused(Refused::Target))?;
    let canonical: &[u8] = if changed { path } else { raw_path };
    let (place, swallowed) = find(view, site, canonical, why)?;
    let kept = &canonical[..swallowed.unwrap_or(canonical.len())];

    let forwarded = if rules.canonical == Canonical::Forward { raw_path } else { kept };
    target.extend_from_slice(forwarded);
    target.extend_from_slice(query);
    let may_redirect = rules.canonical == Canonical::Redirect && matches!(method, Method::Get | Method::Head);
    if may_redirect && (changed || swallowed.is_some()) {
        return Err(Stop::Redirect);
    }
    write_key(key, host, target);
    Ok(place)
}

/// The route of a canonical path, and how much of the path it keeps.
fn find(view: &View, site: SiteId, path: &[u8], why: &mut Why) -> Result<(Place, Option<usize>), Stop> {
    let matched = view.prepared.table.route(site, path).ok_or(Stop::Refused(Refused::NoRoute))?;
    why.route = Some(matched.route);
    let route = view.prepared.route(matched.route);
    let &Route { pool, cache, caching, body_bytes_max, .. } = route;
    let route = matched.route;
    Ok((Place { pool, route, cache, caching, body_bytes_max }, matched.swallowed))
}
