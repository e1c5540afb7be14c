//! The pages of the console: a few fixed files, held by the program. Knows nothing of what is in them; takes care that
//! a browser runs nothing else beside them.

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use axum::http::{Response, StatusCode};
use axum::routing::get;

/// Scripts, styles and data from this address alone; nothing inline, no frames around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// One file that the API serves beside its calls.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Where: `/` or `/console.js`; none of the API's own paths.
    pub path: &'static str,
    /// Its media type, with its charset.
    pub content_type: &'static str,
    /// What is in it.
    pub body: &'static [u8],
}

/// Adds the pages.
///
/// # Panics
/// When two pages have the same path, or one has a path of the API.
pub(crate) fn with_pages<S: Clone + Send + Sync + 'static>(router: Router<S>, pages: &[Page]) -> Router<S> {
    pages.iter().fold(router, |router, page| {
        let (page, tag) = (*page, tag(page.body));
        router.route(page.path, get(move |headers: HeaderMap| async move { answer(page, &tag, &headers) }))
    })
}

fn answer(page: Page, tag: &HeaderValue, asked: &HeaderMap) -> Response<Body> {
    let has_it = asked.get_all(IF_NONE_MATCH).iter().any(|known| names(known, tag));
    let mut response = Response::new(if has_it { Body::empty() } else { Body::from(page.body) });
    if has_it {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.content_type));
    headers.insert(ETAG, tag.clone());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    response
}

/// Whether a list of tags (RFC 9110 section 13.1.2) has this one, or any.
fn names(list: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(list), Ok(tag)) = (list.to_str(), tag.to_str()) else { return false };
    list.split(',').map(str::trim).any(|known| known == "*" || known.trim_start_matches("W/") == tag)
}

/// A tag that another content does not have by chance: its length and its FNV-1a hash (Fowler, Noll, Vo).
fn tag(body: &[u8]) -> HeaderValue {
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    // Digits and quotes always make a field's value.
    HeaderValue::try_from(format!("\"{:x}-{hash:x}\"", body.len()))
        .unwrap_or(HeaderValue::from_static("\"0\""))
}
