//! Answers and what a cache may do with them. What is the same for everybody says how long and under which tags; what
//! is one visitor's says that nobody may keep it.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::Answer;

/// How long an answer may be kept.
#[derive(Debug, Clone, Copy)]
pub(super) enum Keep {
    /// Pages of the catalogue: a minute, and a little longer while a new one is made.
    Page,
    /// Search results: ten seconds.
    Search,
    /// What is not there: ten seconds.
    Missing,
    /// What has its version in its address: a year.
    Forever,
}

impl Keep {
    const fn control(self) -> &'static str {
        match self {
            Self::Page => "public, max-age=60, stale-while-revalidate=30, stale-if-error=600",
            Self::Search => "public, max-age=10, stale-while-revalidate=10",
            Self::Missing => "public, max-age=10",
            Self::Forever => "public, max-age=31536000, immutable",
        }
    }
}

/// The names of documents' types.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// The pages load nothing from elsewhere, and nobody may frame them.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// An answer that is the same for everybody. `asked` are the request's headers: who has it already gets a 304.
pub(super) fn public(asked: &HeaderMap, kind: &'static str, body: String, keep: Keep, tags: &str) -> Answer {
    let tag = format!("\"{:016x}\"", super::hash(body.as_bytes()));
    let has_it = asked.get(header::IF_NONE_MATCH).is_some_and(|value| names(value, &tag));
    let mut response =
        if has_it { StatusCode::NOT_MODIFIED.into_response() } else { typed(StatusCode::OK, kind, body) };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(keep.control()));
    // Both are made of digits, letters, commas, hyphens and quotes.
    if let (Ok(etag), Ok(tags)) = (HeaderValue::from_str(&tag), HeaderValue::from_str(tags)) {
        headers.insert(header::ETAG, etag);
        headers.insert("cache-tag", tags);
    }
    Ok(response)
}

/// An answer for one visitor.
pub(super) fn private(kind: &'static str, body: String) -> Response {
    private_with(StatusCode::OK, kind, body)
}

/// An answer for one visitor with this status.
pub(super) fn private_with(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = typed(status, kind, body);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

/// The page for what is not there. It may be kept for a moment, so that a wrong link that many follow stays cheap.
pub(super) fn missing(body: String, market: &str) -> Response {
    let mut response = typed(StatusCode::NOT_FOUND, HTML, body);
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(Keep::Missing.control()));
    if let Ok(tag) = HeaderValue::from_str(&format!("market-{market}")) {
        headers.insert("cache-tag", tag);
    }
    response
}

/// The page has another address for good; caches may know it for a minute, for products are renamed.
pub(super) fn moved(to: &str, tags: &str) -> Answer {
    let mut response = StatusCode::MOVED_PERMANENTLY.into_response();
    let headers = response.headers_mut();
    if let (Ok(to), Ok(tags)) = (HeaderValue::from_str(to), HeaderValue::from_str(tags)) {
        headers.insert(header::LOCATION, to);
        headers.insert("cache-tag", tags);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(Keep::Page.control()));
    Ok(response)
}

/// After a form: look there.
pub(super) fn see(to: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    if let Ok(to) = HeaderValue::from_str(to) {
        headers.insert(header::LOCATION, to);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

fn typed(status: StatusCode, kind: &'static str, body: String) -> Response {
    let mut response = (status, Body::from(body)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if kind == HTML {
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    }
    response
}

/// Whether an `If-None-Match` names `tag` (RFC 9110, 13.1.2: weak comparison).
fn names(value: &HeaderValue, tag: &str) -> bool {
    let Ok(value) = value.to_str() else { return false };
    value.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == tag)
}
