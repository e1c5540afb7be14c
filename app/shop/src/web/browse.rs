//! What anybody may look at and any cache may keep: home, categories, products, search, pictures.

use askama::Template as _;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Uri};
use serde::Deserialize;

use super::page::{
    Card, ColourChoice, Crumb, HomePage, ListPage, Page, Pager, ProductView, SizeChoice, Tile, category_path,
    colour_name, percent, picture_path, product_path,
};
use super::place::Place;
use super::reply::{self, HTML, Keep};
use super::{Answer, Shared, Trouble, path};
use crate::catalogue::ranges::CATEGORY;
use crate::catalogue::{CATEGORIES, PRODUCTS, fold, product as made};
use crate::draw;
use crate::market::Market;
use crate::store::{OfferRow, PAGE, ProductPage};

/// Characters of a search that are looked at.
const QUERY_CHARS_MAX: usize = 80;
/// Words of a search that are looked at.
const TERMS_MAX: usize = 6;
/// Cards in a row of related products, and of each row on the home page.
const RELATED: i64 = 4;
const ROW: i64 = 8;

/// The number of a page, from 1.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Paged {
    page: Option<String>,
}

impl Paged {
    /// The page asked for, if there are so many.
    fn of(&self, total: i64) -> Result<i64, Trouble> {
        let page = match &self.page {
            None => 1,
            Some(text) => text.parse().map_err(|_| Trouble::Missing)?,
        };
        if (1..=pages(total)).contains(&page) { Ok(page) } else { Err(Trouble::Missing) }
    }
}

fn pages(total: i64) -> i64 {
    ((total + PAGE - 1) / PAGE).max(1)
}

fn cards(market: &Market, offers: &[OfferRow]) -> Vec<Card> {
    offers.iter().map(|offer| Card::new(market, offer)).collect()
}

/// `page_path` with a page's number, the first without.
fn numbered(path: &str, page: i64) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    if page <= 1 { path.to_owned() } else { format!("{path}{joint}page={page}") }
}

fn pager(path: &str, page: i64, total: i64) -> Pager {
    let pages = pages(total);
    Pager {
        page,
        pages,
        previous: (page > 1).then(|| numbered(path, page - 1)),
        next: (page < pages).then(|| numbered(path, page + 1)),
    }
}

/// Tags of a list: what it is, and each product on it.
fn tags(first: &str, market: &Market, offers: &[OfferRow]) -> String {
    let mut tags = format!("{first},market-{}", market.key);
    for offer in offers {
        tags += &format!(",product-{}", offer.product);
    }
    tags
}

pub(super) async fn home(State(shop): Shared, place: Place, headers: HeaderMap) -> Answer {
    let market = place.market;
    let fresh = shop.store.fresh(market.index, ROW).await?;
    let sale = shop.store.on_sale(market.index, 0..ROW).await?;
    let at = market.language as usize;
    let shelves = shop.store.shelves(market.index);
    let tiles = shelves.iter().map(|shelf| Tile {
        href: category_path(market, shelf.category),
        name: CATEGORY[shelf.category].name[at],
        picture: picture_path(shelf.first, 0, 0),
    });
    let reduced = sale.get(1).map(|offer| Tile {
        href: "/sale".to_owned(),
        name: market.words.sale,
        picture: picture_path(offer.product, 0, 0),
    });
    // A coat, a bag and a dress: whatever leads their categories in this market.
    let hero =
        [9, 0, 14].iter().filter_map(|at| shelves.get(*at)).map(|shelf| picture_path(shelf.first, 0, 0));
    let everywhere = [const { None::<String> }; 3].map(|_| Some("/".to_owned()));
    let page =
        Page::new(&shop, place, market.words.title.to_owned()).at(place, &everywhere, |_| "/".to_owned());
    let tags = tags("home", market, &[&fresh[..], &sale[..]].concat());
    let html = HomePage {
        page,
        dresses: category_path(market, 0),
        hero: hero.collect(),
        tiles: tiles.chain(reduced).collect(),
        fresh: cards(market, &fresh),
        sale: cards(market, &sale),
    }
    .render()?;
    reply::public(&headers, HTML, html, Keep::Page, &tags)
}

pub(super) async fn category(
    State(shop): Shared,
    place: Place,
    Path(slug): Path<String>,
    Query(paged): Query<Paged>,
    headers: HeaderMap,
) -> Answer {
    let market = place.market;
    let at = market.language as usize;
    let category = CATEGORY.iter().position(|category| category.slug[at] == slug);
    let Some(category) = category else { return other_spelling(market, &slug) };
    let total = shop.store.shelves(market.index).get(category).map_or(0, |shelf| shelf.products);
    let page = paged.of(total)?;
    let offers = shop.store.on_shelf(market.index, category, (page - 1) * PAGE..page * PAGE).await?;
    let range = &CATEGORY[category];
    // Other markets may have fewer pages: only the first is everywhere.
    let paths = [0, 1, 2].map(|index| {
        let other = &crate::market::MARKETS[index];
        (index == market.index || page == 1).then(|| numbered(&category_path(other, category), page))
    });
    let html = ListPage {
        page: Page {
            description: range.intro[at],
            ..Page::new(&shop, place, titled(range.name[at], market, page))
                .at(place, &paths, |other| category_path(other, category))
                .within(category)
        },
        heading: range.name[at].to_owned(),
        intro: range.intro[at],
        total,
        cards: cards(market, &offers),
        pager: pager(&category_path(market, category), page, total),
        searching: false,
    }
    .render()?;
    let tags = tags(&format!("category-{}", category + 1), market, &offers);
    reply::public(&headers, HTML, html, Keep::Page, &tags)
}

fn titled(name: &str, market: &Market, page: i64) -> String {
    if page > 1 { format!("{name}, {} {page}", market.words.page) } else { name.to_owned() }
}

/// A category without its accents leads to it.
fn other_spelling(market: &Market, slug: &str) -> Answer {
    let folded = fold(slug);
    let at = market.language as usize;
    match CATEGORY.iter().position(|category| fold(category.slug[at]) == folded) {
        Some(category) => {
            let tags = format!("category-{},market-{}", category + 1, market.key);
            reply::moved(&category_path(market, category), &tags)
        }
        None => Err(Trouble::Missing),
    }
}

pub(super) async fn sale(
    State(shop): Shared,
    place: Place,
    Query(paged): Query<Paged>,
    headers: HeaderMap,
) -> Answer {
    let market = place.market;
    let total = shop.store.sale_size(market.index).await?;
    let page = paged.of(total)?;
    let offers = shop.store.on_sale(market.index, (page - 1) * PAGE..page * PAGE).await?;
    let paths = [0, 1, 2].map(|index| (index == market.index || page == 1).then(|| numbered("/sale", page)));
    let html = ListPage {
        page: Page {
            on_sale: true,
            description: market.words.sale_intro,
            ..Page::new(&shop, place, titled(market.words.sale, market, page))
                .at(place, &paths, |_| "/sale".to_owned())
        },
        heading: market.words.sale.to_owned(),
        intro: market.words.sale_intro,
        total,
        cards: cards(market, &offers),
        pager: pager("/sale", page, total),
        searching: false,
    }
    .render()?;
    reply::public(&headers, HTML, html, Keep::Page, &tags("sale", market, &offers))
}

/// A product, by its latest address; every other way of writing it leads there in one step (S2.3).
pub(super) async fn product(State(shop): Shared, place: Place, uri: Uri, headers: HeaderMap) -> Answer {
    let market = place.market;
    // By hand, for the segments shall be split before they are decoded.
    let asked = path::segments(uri.path()).nth(1).and_then(path::decode).ok_or(Trouble::Missing)?;
    let mut found = shop.store.by_slug(market.index, &asked).await?;
    if found.is_none() {
        found = shop.store.by_slug(market.index, &fold(&asked)).await?;
    }
    let found = found.ok_or(Trouble::Missing)?;
    let canonical = product_path(&found.offer.slug);
    if asked != found.offer.slug || uri.path().matches('/').count() != 2 {
        let tags = format!("product-{},market-{}", found.offer.product, market.key);
        let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
        return reply::moved(&format!("{canonical}{query}"), &tags);
    }
    let offer = &found.offer;
    let total = shop.store.shelves(market.index).get(offer.category).map_or(0, |shelf| shelf.products);
    let from = offer.position + 1;
    let from = if from + RELATED > total { (offer.position - RELATED).max(0) } else { from };
    let related = shop.store.on_shelf(market.index, offer.category, from..from + RELATED).await?;
    let slugs = shop.store.slugs_of(offer.product).await?;
    let tags = tags(&format!("product-{},category-{}", offer.product, offer.category + 1), market, &related);
    let html = view(&shop, place, found, &related, slugs).render()?;
    reply::public(&headers, HTML, html, Keep::Page, &tags)
}

fn view<'a>(
    shop: &'a super::Shop,
    place: Place,
    found: ProductPage,
    related: &[OfferRow],
    slugs: [Option<String>; 3],
) -> ProductView<'a> {
    let market = place.market;
    let ProductPage { offer, care, details } = found;
    let range = &CATEGORY[offer.category];
    let at = market.language as usize;
    let paths = slugs.map(|slug| slug.map(|slug| product_path(&slug)));
    let category = offer.category;
    let page = Page::new(shop, place, offer.name.clone())
        .at(place, &paths, |other| category_path(other, category))
        .within(category);
    let colours = offer.colours.iter().enumerate().map(|(nth, tone)| ColourChoice {
        nth,
        name: colour_name(&offer, nth, market),
        tone: *tone,
        picture: picture_path(offer.product, nth, 0),
        close: [1, 2].map(|view| picture_path(offer.product, nth, view)),
    });
    // A middle size is likelier to be right than the smallest.
    let many = range.sizes.labels(market).len();
    let in_stock = |nth: &usize| offer.sold_out & (1 << nth) == 0;
    let first = (many / 2..many).chain(0..many / 2).find(in_stock).unwrap_or(0);
    let sizes = range.sizes.labels(market).iter().enumerate().map(|(nth, name)| SizeChoice {
        nth,
        name,
        sold_out: offer.sold_out & (1 << nth) != 0,
        chosen: nth == first,
    });
    let price = market.money(offer.price);
    let data = serde_json::json!({
        "@context": "https://schema.org",
        "@type": "Product",
        "name": offer.name,
        "description": details,
        "sku": offer.product.to_string(),
        "category": range.name[at],
        "image": place.address(market, &picture_path(offer.product, 0, 0)),
        "offers": {
            "@type": "Offer",
            "price": price.plain(),
            "priceCurrency": market.currency.code(),
            "availability": "https://schema.org/InStock",
            "url": page.canonical,
        },
    });
    ProductView {
        id: offer.product,
        price,
        was: offer.was.map(|was| market.money(was)),
        percent: percent(&offer),
        fresh: offer.fresh,
        care,
        crumb: Crumb { href: category_path(market, category), name: range.name[at] },
        colours: colours.collect(),
        sizes: sizes.collect(),
        related: cards(market, related),
        // Inside a script element only `<` could end it early.
        data: data.to_string().replace('<', "\\u003c"),
        name: offer.name,
        details,
        page,
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Asked {
    q: Option<String>,
    page: Option<String>,
}

pub(super) async fn search(
    State(shop): Shared,
    place: Place,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Answer {
    let market = place.market;
    let text: String = asked.q.unwrap_or_default().trim().chars().take(QUERY_CHARS_MAX).collect();
    let terms: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|term| !term.is_empty())
        .take(TERMS_MAX)
        .map(str::to_lowercase)
        .collect();
    let paged = Paged { page: asked.page };
    // The highest number that a search can count to; what is really there is known only after it.
    let page = paged.of(PAGE * 10)?;
    let found = shop.store.search(market.index, &terms, page).await?;
    paged.of(found.total)?;
    let path = format!("/search?q={}", path::encode(&text));
    let everywhere = [const { None::<String> }; 3];
    let words = market.words;
    let [open, close] = words.quotes;
    let heading = match text.as_str() {
        "" => words.search_hint.to_owned(),
        text => format!("{} {open}{text}{close}", words.search_for),
    };
    let html = ListPage {
        page: Page {
            query: &text,
            ..Page::new(&shop, place, format!("{} {text}", words.search))
                .at(place, &everywhere, |_| path.clone())
        },
        heading,
        intro: if found.total == 0 && !text.is_empty() { words.search_none } else { "" },
        total: found.total,
        cards: cards(market, &found.offers),
        pager: pager(&path, page, found.total),
        searching: true,
    }
    .render()?;
    reply::public(&headers, HTML, html, Keep::Search, &format!("search,market-{}", market.key))
}

/// A picture: `<product>-<colour>-<view>.v<version>.svg`.
pub(super) async fn picture(Path(file): Path<String>, headers: HeaderMap) -> Answer {
    let parts = file.strip_suffix(".svg").and_then(|name| name.split_once(".v")).ok_or(Trouble::Missing)?;
    let numbers: Vec<u32> = parts.0.split('-').filter_map(|part| part.parse().ok()).collect();
    let [id, colour, view] = numbers[..] else { return Err(Trouble::Missing) };
    if !(1..=PRODUCTS).contains(&id) || parts.1 != draw::VERSION || view as usize >= draw::VIEWS {
        return Err(Trouble::Missing);
    }
    let product = made(id);
    if colour as usize >= product.colours.len() {
        return Err(Trouble::Missing);
    }
    let svg = product.look(colour as usize).svg(view as usize);
    reply::public(&headers, "image/svg+xml", svg, Keep::Forever, &format!("picture,product-{id}"))
}

/// The style sheet, the script, the icon.
pub(super) async fn asset(State(shop): Shared, uri: Uri, headers: HeaderMap) -> Answer {
    let asset = [&shop.css, &shop.script, &shop.icon].into_iter().find(|asset| asset.path == uri.path());
    let asset = asset.ok_or(Trouble::Missing)?;
    reply::public(&headers, asset.kind, asset.body.clone(), Keep::Forever, "assets")
}

/// Any other path: if only its slashes are wrong, to the right one; a product's whatever follows it.
pub(super) async fn elsewhere(
    shop: Shared,
    place: Place,
    method: axum::http::Method,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    if !matches!(method, axum::http::Method::GET | axum::http::Method::HEAD) {
        return Err(Trouble::Method);
    }
    let mut segments = path::segments(uri.path());
    let first = segments.next();
    if first == Some("p") {
        return product(shop, place, uri.clone(), headers).await;
    }
    let tidy = format!("/{}", path::segments(uri.path()).collect::<Vec<_>>().join("/"));
    let known = match first {
        None => true,
        Some("c" | "img" | "assets" | "order") => segments.count() == 1,
        Some("sale" | "search" | "checkout" | "health" | "robots.txt" | "sitemap.xml") => {
            segments.count() == 0
        }
        Some("cart") => segments.count() <= 1,
        Some(_) => false,
    };
    if !known || tidy == uri.path() {
        return Err(Trouble::Missing);
    }
    let query = uri.query().map_or(String::new(), |query| format!("?{query}"));
    reply::moved(&format!("{tidy}{query}"), &format!("market-{}", place.market.key))
}

const _: () = assert!(CATEGORIES == CATEGORY.len());
