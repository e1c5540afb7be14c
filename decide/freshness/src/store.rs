//! May this response be stored by a shared cache, and for how long is it fresh (RFC 9111 sections 3, 4.2)? Says no
//! with the reason. Never stores what sets a cookie, and never guesses a lifetime for what may be personal.

use crate::{Expires, RequestFacts, ResponseFacts, StoredFacts};
use tentpole_model::{Bypass, Method};

/// The longest lifetime that is guessed, in seconds: one day, after which RFC 9111 section 4.2.2 used to ask for a
/// warning.
pub const HEURISTIC_LIFETIME_MAX: u32 = 86_400;

/// Whether the response to this request may be stored, and what has to be remembered of it.
///
/// `request_time` is when the request was sent to the endpoint, `response_time` when the response's head arrived.
///
/// Stricter than the RFC, because applications in the wild forget to say `private`:
/// - `Set-Cookie` is never stored, whatever else is said;
/// - a lifetime is guessed only where the response does not speak of caching at all (or says `public`), and not
///   when the request carried a cookie;
/// - a response that may only be used after revalidation, to a request with a cookie, needs an `ETag`:
///   `Last-Modified` does not tell two visitors' pages apart;
/// - `no-store` holds even beside `must-understand`;
/// - errors of a moment (400, 403, 429, 5xx except 501) are not stored, even with a lifetime.
///
/// # Errors
/// Why it may not be stored.
pub fn may_store(
    request: &RequestFacts,
    response: &ResponseFacts,
    request_time: u64,
    response_time: u64,
) -> Result<StoredFacts, Bypass> {
    if let Some(reason) = forbidden(request, response) {
        return Err(reason);
    }
    let said = &response.cache_control;
    let date = response.date.unwrap_or(response_time);
    let (lifetime, heuristic) = lifetime(request, response, date)?;
    let stored = StoredFacts {
        lifetime,
        initial_age: initial_age(response, date, request_time, response_time),
        response_time,
        no_cache: said.no_cache,
        must_revalidate: said.must_revalidate || said.proxy_revalidate || said.s_maxage.is_some(),
        heuristic,
        learned: false,
        validator: response.has_etag || response.last_modified.is_some(),
        stale_while_revalidate: said.stale_while_revalidate.unwrap_or(0),
        stale_if_error: said.stale_if_error.unwrap_or(0),
    };
    let usable_at_once = !stored.no_cache && stored.lifetime > stored.initial_age;
    if !usable_at_once && !stored.validator {
        return Err(Bypass::AlreadyStale);
    }
    if !usable_at_once && request.cookie && !response.has_etag {
        return Err(Bypass::CookieWithoutLifetime);
    }
    Ok(stored)
}

/// The first rule of section 3 (or of ours) that forbids storing, lifetime aside.
fn forbidden(request: &RequestFacts, response: &ResponseFacts) -> Option<Bypass> {
    let said = &response.cache_control;
    let authorized = said.public || said.must_revalidate || said.s_maxage.is_some();
    let rules = [
        (request.method != Method::Get, Bypass::Method),
        (request.cache_control.no_store, Bypass::RequestNoStore),
        (response.set_cookie, Bypass::SetCookie),
        (said.private, Bypass::Private),
        (said.no_store, Bypass::NoStore),
        (response.vary_star, Bypass::VaryStar),
        (response.status == 206 && request.range, Bypass::Range),
        (!storable(response.status), Bypass::Status),
        (request.authorization && !authorized, Bypass::Authorization),
    ];
    rules.into_iter().find_map(|(forbids, reason)| forbids.then_some(reason))
}

/// Seconds of freshness, and whether they are a guess (section 4.2.1).
fn lifetime(request: &RequestFacts, response: &ResponseFacts, date: u64) -> Result<(u32, bool), Bypass> {
    let said = &response.cache_control;
    if let Some(seconds) = said.s_maxage.or(said.max_age) {
        return Ok((seconds, false));
    }
    match response.expires {
        Some(Expires::At(expires)) => return Ok((seconds(expires.saturating_sub(date)), false)),
        Some(Expires::Invalid) => return Ok((0, false)),
        None => {}
    }
    if said.no_cache {
        return Ok((0, false));
    }
    let guessed = guess(response, date).ok_or(Bypass::NoLifetime)?;
    if request.cookie { Err(Bypass::CookieWithoutLifetime) } else { Ok((guessed, true)) }
}

/// A tenth of the time that the representation has already lasted, where section 4.2.2 allows to guess.
fn guess(response: &ResponseFacts, date: u64) -> Option<u32> {
    let public = response.cache_control.public;
    let allowed = public || (heuristically_cacheable(response.status) && !response.has_cache_control);
    let lasted = date.checked_sub(response.last_modified?)?;
    allowed.then(|| seconds(lasted / 10).min(HEURISTIC_LIFETIME_MAX))
}

/// How old the response was on arrival (section 4.2.3).
fn initial_age(response: &ResponseFacts, date: u64, request_time: u64, response_time: u64) -> u32 {
    let apparent_age = response_time.saturating_sub(date);
    let response_delay = response_time.saturating_sub(request_time);
    let corrected_age = response.age.unwrap_or(0).saturating_add(response_delay);
    seconds(apparent_age.max(corrected_age))
}

fn seconds(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// Statuses that are stored when they have a lifetime: those whose meaning for a cache we know and that last.
fn storable(status: u16) -> bool {
    heuristically_cacheable(status) && status != 206 || matches!(status, 302 | 303 | 307 | 451)
}

/// Whether a lifetime may be guessed for this status (RFC 9110 section 15.1).
pub fn heuristically_cacheable(status: u16) -> bool {
    matches!(status, 200 | 203 | 204 | 206 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

/// Whether what is stored for the request's URL must go: the method may have changed it and the response is no
/// error (RFC 9111 section 4.4).
pub fn invalidates(method: Method, response_status: u16) -> bool {
    !method.is_safe() && (200..400).contains(&response_status)
}
