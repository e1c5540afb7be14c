//! The shop over HTTP: which address is answered by what. The order of things for every request is in [`router`].

mod browse;
mod cart;
mod checkout;
mod page;
mod path;
mod place;
mod reply;
mod seo;
mod trouble;

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::catalogue::colours::COLOURS;
use crate::store::Store;
use place::Place;
use trouble::Trouble;

/// The largest form that is read.
const FORM_BYTES_MAX: usize = 8 * 1024;
/// Requests under way at the same time; one more is told to come again.
const REQUESTS_MAX: usize = 512;

const CSS: &str = include_str!("../../assets/shop.css");
const SCRIPT: &str = include_str!("../../assets/shop.js");
const ICON: &str = include_str!("../../assets/icon.svg");

/// What every request may use.
pub(crate) struct Shop {
    store: Store,
    /// The port that tells this instance from the others.
    port: u16,
    css: Asset,
    script: Asset,
    icon: Asset,
    permits: Semaphore,
}

/// A file with its contents' hash in its address, so that it may be kept for ever.
struct Asset {
    path: String,
    kind: &'static str,
    body: String,
}

impl Asset {
    fn new(name: &str, ending: &str, kind: &'static str, body: String) -> Self {
        Self { path: format!("/assets/{name}.{:016x}.{ending}", hash(body.as_bytes())), kind, body }
    }
}

type Shared = State<Arc<Shop>>;
type Answer = Result<Response, Trouble>;

/// A number that stands for these bytes; the same in every instance of one program.
fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Everything that the shop answers.
pub(crate) fn router(store: Store, port: u16) -> Router {
    let mut css = CSS.to_owned();
    for (nth, colour) in COLOURS.iter().enumerate() {
        let [r, g, b] = colour.rgb;
        css += &format!(".tone-{nth}{{background:#{r:02x}{g:02x}{b:02x}}}\n");
    }
    let shop = Arc::new(Shop {
        store,
        port,
        css: Asset::new("shop", "css", "text/css; charset=utf-8", css),
        script: Asset::new("shop", "js", "text/javascript; charset=utf-8", SCRIPT.to_owned()),
        icon: Asset::new("icon", "svg", "image/svg+xml", ICON.to_owned()),
        permits: Semaphore::new(REQUESTS_MAX),
    });
    Router::new()
        .route("/", get(browse::home))
        .route("/c/{slug}", get(browse::category))
        .route("/sale", get(browse::sale))
        .route("/p/{*slug}", get(browse::product))
        .route("/search", get(browse::search))
        .route("/img/{file}", get(browse::picture))
        .route("/assets/{file}", get(browse::asset))
        .route("/cart", get(cart::show).post(cart::add))
        .route("/cart/line", post(cart::change))
        .route("/cart/summary", get(cart::summary))
        .route("/checkout", get(checkout::show).post(checkout::place))
        .route("/order/{number}", get(checkout::thanks))
        .route("/robots.txt", get(seo::robots))
        .route("/sitemap.xml", get(seo::sitemap))
        .route("/health", get(health))
        .fallback(browse::elsewhere)
        .method_not_allowed_fallback(async || Trouble::Method)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(shop.clone(), each))
        .with_state(shop)
}

/// What is done for every request, in this order.
async fn each(State(shop): Shared, mut request: Request, next: Next) -> Response {
    let place = Place::of(request.headers());
    // A post from a strange site must not reach a handler.
    let refused = request.method() == axum::http::Method::POST && !place::is_same_site(request.headers());
    let asked = format!("{} {}", request.method(), request.uri().path());
    request.extensions_mut().insert(place);
    let mut response = match shop.permits.try_acquire() {
        Err(_) => Trouble::Busy.into_response(),
        Ok(_) if refused => Trouble::CrossSite.into_response(),
        Ok(_permit) => next.run(request).await,
    };
    // The framework's own words about an address that it cannot read are in no market's language.
    if response.status() == axum::http::StatusCode::BAD_REQUEST {
        response = Trouble::Address.into_response();
    }
    if let Some(trouble) = response.extensions_mut().remove::<Trouble>() {
        response = trouble.page(&shop, place, &asked);
    }
    let headers = response.headers_mut();
    // An answer that a cache may keep must not say who made it.
    let kept =
        headers.get(header::CACHE_CONTROL).is_some_and(|value| value.as_bytes().starts_with(b"public"));
    if !kept {
        headers.insert(HeaderName::from_static("x-served-by"), HeaderValue::from(shop.port));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether this instance can serve: the database answers.
async fn health(State(shop): Shared) -> Response {
    match shop.store.answers().await {
        Ok(()) => reply::private("text/plain; charset=utf-8", "ok\n".to_owned()),
        Err(error) => {
            eprintln!("shop: GET /health: {error}");
            (
                axum::http::StatusCode::SERVICE_UNAVAILABLE,
                [(header::CACHE_CONTROL, "private, no-store")],
                "database\n",
            )
                .into_response()
        }
    }
}
