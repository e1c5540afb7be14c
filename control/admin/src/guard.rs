//! What every request passes first. A web page open in somebody's browser can reach loopback too: it is told apart by
//! the `Host` it asked for, and by the origin that browsers send with whatever changes something.

use crate::error::ApiError;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN,
    REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Requests under way at most.
const REQUESTS_MAX: usize = 32;
/// How long one may take, its body included.
const REQUEST_TIME: Duration = Duration::from_secs(30);

/// For answers that are no pages: a browser that shows one loads nothing for it.
const NO_CONTENT: &str = "default-src 'none'; frame-ancestors 'none'";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Bounds how many requests are under way.
pub(crate) struct Gate {
    free: Semaphore,
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { free: Semaphore::new(REQUESTS_MAX) }
    }

    /// Lets a request in, or says why not.
    pub(crate) async fn pass(&self, request: Request, next: Next) -> Response {
        if let Err(error) = belongs_here(&request) {
            return finish(error.into_response());
        }
        let Ok(_permit) = self.free.try_acquire() else {
            let error = format!("{REQUESTS_MAX} requests are under way already");
            let refused = ApiError::new(StatusCode::SERVICE_UNAVAILABLE, error, "Ask again in a second.");
            return finish(refused.into_response());
        };
        let response = timeout(REQUEST_TIME, next.run(request)).await.unwrap_or_else(|_| {
            let error = format!("no answer within {} s", REQUEST_TIME.as_secs());
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, error, "Send the body at once, or ask again.")
                .into_response()
        });
        finish(response)
    }
}

/// No other page may embed what is answered here, and nothing may keep it; the console's own pages say themselves what
/// they need.
fn finish(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(NO_CONTENT));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
    response
}

fn belongs_here(request: &Request) -> Result<(), ApiError> {
    let host = only(request.headers(), &HOST).filter(|host| is_loopback(host));
    // The host of an absolute target counts instead of the field (RFC 9112 section 3.2.2): both must be ours.
    let target_is_ours = request.uri().authority().is_none_or(|authority| is_loopback(authority.as_str()));
    let Some(host) = host.filter(|_| target_is_ours) else {
        let cure =
            "Ask for http://localhost:<port> or http://127.0.0.1:<port>; other names do not lead here.";
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "the Host of this request is not a loopback name",
            cure,
        ));
    };
    let changes_nothing = matches!(*request.method(), Method::GET | Method::HEAD);
    if changes_nothing || is_from_here(request.headers(), host) {
        return Ok(());
    }
    let cure = "Send it from a script or from a page of this address; other sites may not change anything.";
    Err(ApiError::new(StatusCode::FORBIDDEN, "this request comes from another site", cure))
}

/// Whether no browser sent it, or one that shows a page of ours. Another port of this machine is another site: the
/// application behind Tentpole may run there.
fn is_from_here(headers: &HeaderMap, host: &str) -> bool {
    let origin_is_ours = match only(headers, &ORIGIN) {
        Some(origin) => {
            origin.strip_prefix("http://").is_some_and(|origin| origin.eq_ignore_ascii_case(host))
        }
        None => !headers.contains_key(ORIGIN),
    };
    let site_is_ours = match only(headers, &SEC_FETCH_SITE) {
        Some(site) => matches!(site, "same-origin" | "none"),
        None => !headers.contains_key(SEC_FETCH_SITE),
    };
    origin_is_ours && site_is_ours
}

/// The value of a field that is there exactly once and is text.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    if values.next().is_some() { None } else { first.to_str().ok() }
}

/// `localhost` or a loopback address, with or without a port.
fn is_loopback(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, "0"),
    };
    if port.parse::<u16>().is_err() {
        return false;
    }
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost")
        || address.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_and_addresses_are_ours() {
        for ours in ["localhost", "LOCALHOST:80", "127.0.0.1", "127.8.0.1:9000", "[::1]", "[::1]:9000"] {
            assert!(is_loopback(ours), "{ours}");
        }
        let foreign = [
            "",
            ":80",
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "0.0.0.0",
            "localhost:99999",
            "localhost:",
            "localhost:80:80",
            "user@localhost",
            "[::2]:80",
            "[::1]x:80",
        ];
        for foreign in foreign {
            assert!(!is_loopback(foreign), "{foreign}");
        }
    }
}
