//! May this response be stored by a shared cache, and for how long is it fresh (RFC 9111 sections 3, 4.2)? Says no
//! with the reason. Never stores what sets a cookie unless a route says so by name, and never guesses a lifetime for
//! what may be personal.

use crate::{Age, Expires, RequestFacts, ResponseFacts, StoredFacts};
use std::time::Duration;
use tentpole_model::{Bypass, Caching, Method};

/// The longest lifetime that is guessed, in seconds: one day, after which RFC 9111 section 4.2.2 used to ask for a
/// warning.
pub const HEURISTIC_LIFETIME_MAX: u32 = 86_400;

/// How long an error of a moment is fresh at most, in seconds from its arrival. Applications that put one lifetime on
/// all that they send mean their pages: an outage must not last as long.
pub const ERROR_LIFETIME_MAX: u32 = 10;

/// How long something may be served stale while no endpoint answers at all, in seconds after its lifetime, where
/// nothing is said about that. RFC 9111 section 4.2.4 allows it to a cache that is disconnected, and sets no limit.
pub const STALE_IF_UNREACHABLE: u32 = 600;

/// Whether the response to this request may be stored, and what has to be remembered of it.
///
/// `caching` is what the route says beyond the response. `request_time` is when the request was sent to the endpoint,
/// `response_time` when the response's head arrived.
///
/// Stricter than the RFC, because applications in the wild forget to say `private`:
/// - `Set-Cookie` is never stored, whatever else is said, unless the route says so; then only with a lifetime that was said;
/// - a lifetime is guessed only where the response does not speak of caching at all (or says `public`), and not
///   when the request carried a cookie;
/// - a response that may only be used after revalidation, to a request with a cookie, needs an `ETag`:
///   `Last-Modified` does not tell two visitors' pages apart;
/// - `no-store` holds even beside `must-understand`;
/// - errors of a moment (400, 5xx except 501, unknown ones) are stored only with a lifetime, not for visitors who say
///   who they are, and for [`ERROR_LIFETIME_MAX`] at most; what speaks of who asked, or of how (401, 403, 429), never.
///
/// # Errors
/// Why it may not be stored.
pub fn may_store(
    request: &RequestFacts,
    response: &ResponseFacts,
    caching: &Caching,
    request_time: u64,
    response_time: u64,
) -> Result<StoredFacts, Bypass> {
    let lasts = lasts(response.status);
    let stored = stored(request, response, caching, lasts, request_time, response_time);
    stored.map_err(|reason| match reason {
        Bypass::Method | Bypass::RequestNoStore | Bypass::Range => reason,
        // What an error says of caching is of less interest than that it is one: it will soon be over.
        _ if lasts == Lasts::Moment => Bypass::Status,
        _ => reason,
    })
}

fn stored(
    request: &RequestFacts,
    response: &ResponseFacts,
    caching: &Caching,
    lasts: Lasts,
    request_time: u64,
    response_time: u64,
) -> Result<StoredFacts, Bypass> {
    if let Some(reason) = forbidden(request, response, caching, lasts) {
        return Err(reason);
    }
    let said = &response.cache_control;
    let date = response.date.unwrap_or(response_time);
    let (mut lifetime, heuristic) = lifetime(request, response, caching, date)?;
    let initial_age = initial_age(response, date, request_time, response_time);
    if lasts == Lasts::Moment {
        lifetime = lifetime.min(initial_age.saturating_add(ERROR_LIFETIME_MAX));
    }
    let stored = StoredFacts {
        lifetime,
        initial_age,
        response_time,
        no_cache: said.no_cache,
        must_revalidate: must_revalidate(response) || said.s_maxage.is_some() || lasts == Lasts::Moment,
        immutable: said.immutable,
        heuristic,
        surrogate: response.surrogate,
        // A 304 could tell an error to live on that has long passed.
        validator: lasts != Lasts::Moment && (response.has_etag || response.last_modified.is_some()),
        ..StoredFacts::default()
    };
    let stored = with_stale_use(stored, response, caching, lasts);
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
fn forbidden(
    request: &RequestFacts,
    response: &ResponseFacts,
    caching: &Caching,
    lasts: Lasts,
) -> Option<Bypass> {
    let said = &response.cache_control;
    let authorized = said.public || said.must_revalidate || said.s_maxage.is_some();
    let may_last = match lasts {
        Lasts::Known => true,
        Lasts::Unknown => !said.must_understand,
        Lasts::Moment => !said.must_understand && !request.is_personal(),
        Lasts::Never => false,
    };
    let rules = [
        (request.method != Method::Get, Bypass::Method),
        (request.cache_control.no_store, Bypass::RequestNoStore),
        (response.set_cookie && !caching.despite_set_cookie, Bypass::SetCookie),
        (said.private, Bypass::Private),
        (said.no_store, Bypass::NoStore),
        (response.vary_star, Bypass::VaryStar),
        (response.status == 206 && request.range, Bypass::Range),
        (!may_last, Bypass::Status),
        (request.authorization && !authorized, Bypass::Authorization),
    ];
    rules.into_iter().find_map(|(forbids, reason)| forbids.then_some(reason))
}

/// Seconds of freshness, and whether they are a guess (section 4.2.1).
fn lifetime(
    request: &RequestFacts,
    response: &ResponseFacts,
    caching: &Caching,
    date: u64,
) -> Result<(u32, bool), Bypass> {
    let said = &response.cache_control;
    let spoken = said_lifetime(response, date);
    if spoken.is_some() && response.age == Some(Age::Unreadable) {
        return Ok((0, false));
    }
    if let Some(seconds) = spoken {
        return Ok((seconds, false));
    }
    if said.no_cache {
        return Ok((0, false));
    }
    let guessed = negative(response, caching).or_else(|| guess(response, date)).ok_or(Bypass::NoLifetime)?;
    if request.cookie {
        Err(Bypass::CookieWithoutLifetime)
    } else if response.set_cookie {
        Err(Bypass::SetCookie)
    } else if response.age == Some(Age::Unreadable) {
        Ok((0, true))
    } else {
        Ok((guessed, true))
    }
}

/// The lifetime that the response names itself.
fn said_lifetime(response: &ResponseFacts, date: u64) -> Option<u32> {
    let said = &response.cache_control;
    if let Some(seconds) = said.s_maxage.or(said.max_age) {
        return Some(seconds);
    }
    match response.expires.filter(|_| !response.targeted)? {
        Expires::At(expires) => Some(seconds(expires.saturating_sub(date))),
        Expires::Invalid => Some(0),
    }
}

/// The time that the route keeps what is not there, where the response does not speak of caching.
fn negative(response: &ResponseFacts, caching: &Caching) -> Option<u32> {
    let absent = matches!(response.status, 404 | 405 | 410 | 414 | 501);
    (absent && !response.has_cache_control && !caching.negative.is_zero())
        .then(|| seconds(caching.negative.as_secs()))
}

/// A tenth of the time that the representation has already lasted, where section 4.2.2 allows to guess.
fn guess(response: &ResponseFacts, date: u64) -> Option<u32> {
    let public = response.cache_control.public;
    let allowed = public || (heuristically_cacheable(response.status) && !response.has_cache_control);
    let lasted = date.checked_sub(response.last_modified?)?;
    allowed.then(|| seconds(lasted / 10).min(HEURISTIC_LIFETIME_MAX))
}

/// How old the response was on arrival (section 4.2.3). The time that it took to answer counts only for what comes out
/// of another cache, which says so by `Age`: what an application makes for this very request is as old as its `Date`
/// says. Counted there too, a page that lasts some seconds could not be stored just when its application is slow.
fn initial_age(response: &ResponseFacts, date: u64, request_time: u64, response_time: u64) -> u32 {
    let apparent_age = response_time.saturating_sub(date);
    let response_delay = response_time.saturating_sub(request_time);
    let corrected_age = match response.age {
        Some(Age::Seconds(seconds)) => seconds.saturating_add(response_delay),
        Some(Age::Unreadable) | None => 0,
    };
    seconds(apparent_age.max(corrected_age))
}

/// Adds how long it may be used stale, and when. Beside `s-maxage` what the application says itself counts, though the
/// RFC reads it as `proxy-revalidate`: whoever writes both means both. What is only configured does not count there.
fn with_stale_use(
    stored: StoredFacts,
    response: &ResponseFacts,
    caching: &Caching,
    lasts: Lasts,
) -> StoredFacts {
    if must_revalidate(response) || response.cache_control.no_cache || lasts == Lasts::Moment {
        return stored;
    }
    let configured = |time: Duration| if stored.must_revalidate { 0 } else { seconds(time.as_secs()) };
    let said = &response.cache_control;
    let stale_if_error = said.stale_if_error.unwrap_or(configured(caching.stale_if_error));
    // A lifetime of zero is an application's way to say "ask me every time".
    let silent = said.stale_if_error.is_none() && !stored.must_revalidate && stored.lifetime > 0;
    let unsaid = if silent { STALE_IF_UNREACHABLE } else { 0 };
    StoredFacts {
        stale_while_revalidate: said
            .stale_while_revalidate
            .unwrap_or(configured(caching.stale_while_revalidate)),
        stale_if_error,
        stale_if_unreachable: stale_if_error.max(unsaid),
        ..stored
    }
}

/// Whether the application forbids in so many words that it is used stale.
fn must_revalidate(response: &ResponseFacts) -> bool {
    response.cache_control.must_revalidate || response.cache_control.proxy_revalidate
}

fn seconds(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// What a status says about how long an answer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasts {
    /// It means something for a cache, which we know.
    Known,
    /// A success of a kind that we do not know.
    Unknown,
    /// An error, which may be over in a moment.
    Moment,
    /// It depends on who asked or how, or on what went before (RFC 6585 forbids 428, 429, 431 and 511 by name).
    Never,
}

fn lasts(status: u16) -> Lasts {
    match status {
        206 | 304 => Lasts::Never,
        302 | 303 | 307 | 451 => Lasts::Known,
        known if heuristically_cacheable(known) => Lasts::Known,
        200..=299 => Lasts::Unknown,
        401 | 403 | 406..=408 | 412 | 413 | 415..=417 | 421 | 425 | 426 | 428 | 429 | 431 | 511 => {
            Lasts::Never
        }
        400..=599 => Lasts::Moment,
        _ => Lasts::Never,
    }
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
