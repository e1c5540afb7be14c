//! What search engines read: which pages there are, and which to leave alone.

use axum::extract::State;
use axum::http::HeaderMap;

use super::page::{category_path, product_path};
use super::place::Place;
use super::reply::{self, Keep};
use super::{Answer, Shared};

pub(super) async fn robots(place: Place, headers: HeaderMap) -> Answer {
    let body = format!(
        "User-agent: *\nDisallow: /cart\nDisallow: /checkout\nDisallow: /order/\nDisallow: /search\n\nSitemap: {}\n",
        place.address(place.market, "/sitemap.xml")
    );
    reply::public(
        &headers,
        "text/plain; charset=utf-8",
        body,
        Keep::Page,
        &format!("market-{}", place.market.key),
    )
}

/// Every page of the market (https://www.sitemaps.org/protocol.html). Paths are percent-encoded, so nothing in them
/// needs escaping.
pub(super) async fn sitemap(State(shop): Shared, place: Place, headers: HeaderMap) -> Answer {
    let market = place.market;
    let slugs = shop.store.all_slugs(market.index).await?;
    let mut body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
                    <urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n"
        .to_owned();
    let shelves = shop.store.shelves(market.index).iter().map(|shelf| category_path(market, shelf.category));
    let paths = ["/".to_owned(), "/sale".to_owned()].into_iter().chain(shelves);
    for path in paths.chain(slugs.iter().map(|slug| product_path(slug))) {
        body += &format!("<url><loc>{}</loc></url>\n", place.address(market, &path));
    }
    body += "</urlset>\n";
    reply::public(&headers, "application/xml", body, Keep::Page, &format!("sitemap,market-{}", market.key))
}
