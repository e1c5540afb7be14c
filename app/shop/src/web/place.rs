//! Where a visitor is: which market, by which port and scheme. Also whether a form came from our own pages.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};

use super::trouble::Trouble;
use crate::market::{MARKETS, Market};

/// Where a visitor is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    /// The market of the host name.
    pub market: &'static Market,
    port: Option<u16>,
    /// Whether the visitor came over HTTPS.
    pub secure: bool,
}

impl<S: Sync> FromRequestParts<S> for Place {
    type Rejection = Trouble;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Trouble> {
        Ok(parts.extensions.get::<Self>().copied().unwrap_or_else(|| Self::of(&parts.headers)))
    }
}

impl Place {
    /// What the headers say: what an edge in front forwards, else what the visitor asked for.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (host, port) = authority(headers).map_or(("", None), split);
        Self { market: Market::of_host(host), port, secure: is_secure(headers) }
    }

    /// The address of `path` in `market`, by the visitor's own port and scheme. Nothing of the visitor's host name is
    /// repeated: what a cache keeps must not depend on what somebody made up.
    pub(super) fn address(&self, market: &Market, path: &str) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        match self.port {
            Some(port) => format!("{scheme}://{}:{port}{path}", market.host),
            None => format!("{scheme}://{}{path}", market.host),
        }
    }

    /// All markets, this one first in no way: always in the same order.
    pub(super) fn markets(&self) -> impl Iterator<Item = &'static Market> + use<> {
        MARKETS.iter()
    }
}

fn authority(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-forwarded-host").or_else(|| headers.get(header::HOST))?.to_str().ok()
}

/// What an edge in front says; who knows nothing says nothing.
fn is_secure(headers: &HeaderMap) -> bool {
    headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes() == b"https")
}

fn split(authority: &str) -> (&str, Option<u16>) {
    match authority.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()),
        None => (authority, None),
    }
}

/// Whether a request that changes something came from our own pages. A browser always says where from; a program that
/// says nothing has no visitor's cookies to abuse.
pub(super) fn is_same_site(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site")
        && !matches!(site.as_bytes(), b"same-origin" | b"none")
    {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, authority(headers)) {
        // A page that came over plain HTTP may have been written by anybody on the way.
        (Some((scheme, from)), Some(to)) => {
            from.eq_ignore_ascii_case(to) && (scheme == "https" || !is_secure(headers))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Place, is_same_site};
    use axum::http::HeaderMap;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_forwarded_host_comes_before_the_host() {
        let place =
            Place::of(&headers(&[("x-forwarded-host", "laden.localhost:8080"), ("host", "127.0.0.1:9")]));
        assert_eq!(place.market.key, "de");
        assert_eq!(place.address(place.market, "/cart"), "http://laden.localhost:8080/cart");
    }

    #[test]
    fn an_unknown_host_is_the_first_market_and_is_not_repeated() {
        let place = Place::of(&headers(&[("host", "evil.example\"><script>:80")]));
        assert_eq!(place.address(place.market, "/"), "http://shop.localhost:80/");
    }

    #[test]
    fn a_form_from_elsewhere_is_recognised() {
        assert!(is_same_site(&headers(&[
            ("host", "a:1"),
            ("origin", "http://a:1"),
            ("sec-fetch-site", "same-origin")
        ])));
        assert!(is_same_site(&headers(&[("host", "a:1")])));
        for wrong in [
            headers(&[("host", "a:1"), ("origin", "http://b:1")]),
            headers(&[("host", "a:1"), ("origin", "http://a:2")]),
            headers(&[("host", "a:1"), ("origin", "null")]),
            headers(&[("host", "a:1"), ("sec-fetch-site", "cross-site")]),
            headers(&[("host", "a:1"), ("sec-fetch-site", "same-site")]),
            headers(&[("host", "a:1"), ("x-forwarded-proto", "https"), ("origin", "http://a:1")]),
        ] {
            assert!(!is_same_site(&wrong), "{wrong:?}");
        }
    }
}
