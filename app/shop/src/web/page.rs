//! What the templates are given.

use askama::Template;

use super::place::Place;
use super::{Shop, path};
use crate::catalogue::colours::COLOURS;
use crate::catalogue::ranges::CATEGORY;
use crate::draw;
use crate::market::Market;
use crate::money::Money;
use crate::store::{OfferRow, Order};
use crate::words::Words;

/// What every page has around its content.
pub(super) struct Page<'a> {
    pub words: &'static Words,
    pub market: &'static Market,
    pub title: String,
    pub description: &'a str,
    /// The address that search engines shall know; none for pages that they shall not.
    pub canonical: Option<String>,
    pub alternates: Vec<Alternate>,
    pub markets: Vec<MarketLink>,
    pub nav: Vec<NavLink>,
    pub on_sale: bool,
    pub css: &'a str,
    pub script: &'a str,
    pub icon: &'a str,
    pub query: &'a str,
    pub free_from: Money,
}

/// The same page in another market, for search engines.
pub(super) struct Alternate {
    pub locale: &'static str,
    pub href: String,
}

/// The same page in another market, for people.
pub(super) struct MarketLink {
    pub label: &'static str,
    pub locale: &'static str,
    pub href: String,
    pub current: bool,
}

/// A category in the navigation.
pub(super) struct NavLink {
    pub name: &'static str,
    pub href: String,
    pub current: bool,
}

impl<'a> Page<'a> {
    /// A page that search engines pass over; its links to other markets lead to their home pages.
    pub(super) fn new(shop: &'a Shop, place: Place, title: String) -> Self {
        let market = place.market;
        let at = market.language as usize;
        let links = place.markets().map(|other| MarketLink {
            label: other.label,
            locale: other.locale,
            href: place.address(other, "/"),
            current: other.index == market.index,
        });
        let nav = shop.store.shelves(market.index).iter().map(|shelf| NavLink {
            name: CATEGORY[shelf.category].name[at],
            href: category_path(market, shelf.category),
            current: false,
        });
        Self {
            words: market.words,
            market,
            title,
            description: market.words.tagline,
            canonical: None,
            alternates: Vec::new(),
            markets: links.collect(),
            nav: nav.collect(),
            on_sale: false,
            css: &shop.css.path,
            script: &shop.script.path,
            icon: &shop.icon.path,
            query: "",
            free_from: market.money(market.free_from_minor),
        }
    }

    /// The page's own address in each market; where it has none (`None`) people are led to `or` instead, and search
    /// engines nowhere.
    pub(super) fn at(
        mut self,
        place: Place,
        paths: &[Option<String>; 3],
        or: impl Fn(&Market) -> String,
    ) -> Self {
        for (link, market) in self.markets.iter_mut().zip(place.markets()) {
            match &paths[market.index] {
                Some(path) => {
                    link.href = place.address(market, path);
                    self.alternates.push(Alternate { locale: market.locale, href: link.href.clone() });
                    if market.index == self.market.index {
                        self.canonical = Some(link.href.clone());
                    }
                }
                None => link.href = place.address(market, &or(market)),
            }
        }
        self
    }

    /// Marks a category as the one that is shown.
    pub(super) fn within(mut self, category: usize) -> Self {
        if let Some(link) = self.nav.get_mut(category) {
            link.current = true;
        }
        self
    }
}

/// The path of a category in a market.
pub(super) fn category_path(market: &Market, category: usize) -> String {
    format!("/c/{}", path::encode(CATEGORY[category].slug[market.language as usize]))
}

/// The path of a product.
pub(super) fn product_path(slug: &str) -> String {
    format!("/p/{}", path::encode(slug))
}

/// The path of a picture.
pub(super) fn picture_path(product: u32, colour: usize, view: usize) -> String {
    format!("/img/{product}-{colour}-{view}.v{}.svg", draw::VERSION)
}

/// A product in a grid.
pub(super) struct Card {
    pub href: String,
    pub name: String,
    pub picture: String,
    pub price: Money,
    pub was: Option<Money>,
    pub percent: i64,
    pub fresh: bool,
    /// The class of each colour's dot, where there is more than one.
    pub tones: Vec<usize>,
}

impl Card {
    pub(super) fn new(market: &Market, offer: &OfferRow) -> Self {
        Self {
            href: product_path(&offer.slug),
            name: offer.name.clone(),
            picture: picture_path(offer.product, 0, 0),
            price: market.money(offer.price),
            was: offer.was.map(|was| market.money(was)),
            percent: percent(offer),
            fresh: offer.fresh,
            tones: if offer.colours.len() > 1 { offer.colours.clone() } else { Vec::new() },
        }
    }
}

/// By how many percent an offer is reduced.
pub(super) fn percent(offer: &OfferRow) -> i64 {
    offer.was.map_or(0, |was| (was - offer.price) * 100 / was.max(1))
}

/// A category on the home page.
pub(super) struct Tile {
    pub href: String,
    pub name: &'static str,
    pub picture: String,
}

/// The links below a grid.
pub(super) struct Pager {
    pub page: i64,
    pub pages: i64,
    pub previous: Option<String>,
    pub next: Option<String>,
}

/// A colour that can be chosen.
pub(super) struct ColourChoice {
    pub nth: usize,
    pub name: &'static str,
    pub tone: usize,
    pub picture: String,
    pub close: [String; 2],
}

/// A size that can be chosen, or is sold out.
pub(super) struct SizeChoice {
    pub nth: usize,
    pub name: &'static str,
    pub sold_out: bool,
    pub chosen: bool,
}

/// Where a page stands.
pub(super) struct Crumb {
    pub href: String,
    pub name: &'static str,
}

/// A line of the cart.
pub(super) struct LineView {
    pub href: String,
    pub name: String,
    pub picture: String,
    pub colour: &'static str,
    pub size: &'static str,
    pub product: u32,
    pub size_nth: u8,
    pub colour_nth: u8,
    pub quantity: u32,
    pub price: Money,
    pub sum: Money,
}

/// What a cart costs.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    pub goods: Money,
    pub delivery: Money,
    pub total: Money,
}

/// A field of the checkout's form.
pub(super) struct Field {
    pub name: &'static str,
    pub label: &'static str,
    pub kind: &'static str,
    pub autocomplete: &'static str,
    pub value: String,
    pub wrong: Option<&'static str>,
    pub narrow: bool,
}

/// The name of a colour of an offer.
pub(super) fn colour_name(offer: &OfferRow, nth: usize, market: &Market) -> &'static str {
    let colour = offer.colours.get(nth).copied().unwrap_or(0) % COLOURS.len();
    COLOURS[colour].name[market.language as usize]
}

#[derive(Template)]
#[template(path = "home.html")]
pub(super) struct HomePage<'a> {
    pub page: Page<'a>,
    pub dresses: String,
    pub hero: Vec<String>,
    pub tiles: Vec<Tile>,
    pub fresh: Vec<Card>,
    pub sale: Vec<Card>,
}

#[derive(Template)]
#[template(path = "list.html")]
pub(super) struct ListPage<'a> {
    pub page: Page<'a>,
    pub heading: String,
    pub intro: &'static str,
    pub total: i64,
    pub cards: Vec<Card>,
    pub pager: Pager,
    pub searching: bool,
}

#[derive(Template)]
#[template(path = "product.html")]
pub(super) struct ProductView<'a> {
    pub page: Page<'a>,
    pub id: u32,
    pub name: String,
    pub price: Money,
    pub was: Option<Money>,
    pub percent: i64,
    pub fresh: bool,
    pub details: String,
    pub care: String,
    pub crumb: Crumb,
    pub colours: Vec<ColourChoice>,
    pub sizes: Vec<SizeChoice>,
    pub related: Vec<Card>,
    /// Structured data for search engines (schema.org), as JSON that is safe inside a script element.
    pub data: String,
}

#[derive(Template)]
#[template(path = "cart.html")]
pub(super) struct CartPage<'a> {
    pub page: Page<'a>,
    pub lines: Vec<LineView>,
    pub sums: Sums,
    pub full: bool,
    pub quantity_max: u32,
}

#[derive(Template)]
#[template(path = "checkout.html")]
pub(super) struct CheckoutPage<'a> {
    pub page: Page<'a>,
    pub lines: Vec<LineView>,
    pub sums: Sums,
    pub contact: Vec<Field>,
    pub address: Vec<Field>,
    pub wrong: bool,
}

#[derive(Template)]
#[template(path = "thanks.html")]
pub(super) struct ThanksPage<'a> {
    pub page: Page<'a>,
    pub order: Order,
    pub total: Money,
}

#[derive(Template)]
#[template(path = "message.html")]
pub(super) struct MessagePage<'a> {
    pub page: Page<'a>,
    pub text: &'static str,
}
