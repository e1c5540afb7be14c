//! The cart: a session begins with the first thing that is put into it, never by looking.

use askama::Template as _;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use serde::Deserialize;

use super::page::{CartPage, LineView, Page, Sums, colour_name, picture_path, product_path};
use super::place::Place;
use super::reply::{self, HTML};
use super::{Answer, Shared, Trouble};
use crate::catalogue::ranges::CATEGORY;
use crate::market::Market;
use crate::store::{Added, CartLine, LineKey, QUANTITY_MAX, SESSION_SECONDS, SessionId};

const SESSION: &str = "shop_session";
/// What the pages' script may read: that there is a cart, so that it asks for it. Who has none asks nothing.
const HINT: &str = "shop_cart";

/// The session that the visitor's cookie names.
pub(super) fn session(headers: &HeaderMap) -> Option<SessionId> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == SESSION).and_then(|(_, value)| SessionId::parse(value))
}

/// Sets the session's cookie and the hint. Over HTTPS neither ever travels without it.
pub(super) fn remember(mut response: Response, place: Place, session: SessionId, pieces: i64) -> Response {
    let both = if place.secure { "SameSite=Lax; Secure" } else { "SameSite=Lax" };
    let secret = format!("{SESSION}={}; Path=/; Max-Age={SESSION_SECONDS}; HttpOnly; {both}", session.text());
    let hint = format!("{HINT}={pieces}; Path=/; Max-Age={SESSION_SECONDS}; {both}");
    for cookie in [secret, hint] {
        if let Ok(cookie) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// The lines of a cart as pages show them, and what they cost.
pub(super) fn lines(market: &Market, cart: &[CartLine]) -> (Vec<LineView>, Sums) {
    let views: Vec<LineView> = cart
        .iter()
        .map(|line| {
            let price = market.money(line.offer.price);
            let sizes = CATEGORY[line.offer.category].sizes.labels(market);
            LineView {
                href: product_path(&line.offer.slug),
                name: line.offer.name.clone(),
                picture: picture_path(line.key.product, usize::from(line.key.colour), 0),
                colour: colour_name(&line.offer, usize::from(line.key.colour), market),
                size: sizes.get(usize::from(line.key.size)).copied().unwrap_or(""),
                product: line.key.product,
                size_nth: line.key.size,
                colour_nth: line.key.colour,
                quantity: line.quantity,
                price,
                sum: price.times(line.quantity),
            }
        })
        .collect();
    let goods = market.money(views.iter().map(|view| view.sum.minor).sum());
    let delivery = market.delivery(goods);
    (views, Sums { goods, delivery, total: market.money(goods.minor + delivery.minor) })
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Shown {
    full: Option<String>,
}

pub(super) async fn show(
    State(shop): Shared,
    place: Place,
    Query(shown): Query<Shown>,
    headers: HeaderMap,
) -> Answer {
    let cart = match session(&headers) {
        Some(session) => shop.store.cart(session, place.market).await?,
        None => Vec::new(),
    };
    let (lines, sums) = lines(place.market, &cart);
    let page = Page::new(&shop, place, place.market.words.cart.to_owned());
    let page = page.at(place, &[const { None::<String> }; 3], |_| "/cart".to_owned());
    let html =
        CartPage { page, lines, sums, full: shown.full.is_some(), quantity_max: QUANTITY_MAX }.render()?;
    Ok(reply::private(HTML, html))
}

/// A line as forms name it.
#[derive(Debug, Deserialize)]
pub(super) struct LineForm {
    product: u32,
    #[serde(default)]
    size: u8,
    #[serde(default)]
    colour: u8,
    #[serde(default = "one")]
    quantity: u32,
}

fn one() -> u32 {
    1
}

impl LineForm {
    fn key(&self) -> LineKey {
        LineKey { product: self.product, size: self.size, colour: self.colour }
    }
}

pub(super) async fn add(
    State(shop): Shared,
    place: Place,
    headers: HeaderMap,
    form: Result<Form<LineForm>, FormRejection>,
) -> Answer {
    let Form(form) = form?;
    let market = place.market;
    if !(1..=QUANTITY_MAX).contains(&form.quantity) {
        return Err(Trouble::Form);
    }
    let offer = shop.store.offer(market.index, form.product).await?.ok_or(Trouble::Form)?;
    let sizes = CATEGORY[offer.category].sizes.labels(market).len();
    let sold_out = offer.sold_out.checked_shr(u32::from(form.size)).unwrap_or(0) & 1 == 1;
    if usize::from(form.size) >= sizes || usize::from(form.colour) >= offer.colours.len() || sold_out {
        return Err(Trouble::Form);
    }
    let session = match session(&headers) {
        Some(session) if shop.store.is_ours(session, market).await? => session,
        _ => SessionId::new().map_err(|error| Trouble::Failed(error.to_string()))?,
    };
    match shop.store.add(session, market, form.key(), form.quantity).await? {
        Added::Holds(pieces) => Ok(remember(reply::see("/cart"), place, session, pieces)),
        Added::Full => Ok(reply::see("/cart?full")),
    }
}

pub(super) async fn change(
    State(shop): Shared,
    place: Place,
    headers: HeaderMap,
    form: Result<Form<LineForm>, FormRejection>,
) -> Answer {
    let Form(form) = form?;
    if form.quantity > QUANTITY_MAX {
        return Err(Trouble::Form);
    }
    let Some(session) = session(&headers) else { return Ok(reply::see("/cart")) };
    if !shop.store.is_ours(session, place.market).await? {
        return Ok(reply::see("/cart"));
    }
    let pieces = shop.store.set(session, form.key(), form.quantity).await?;
    Ok(remember(reply::see("/cart"), place, session, pieces))
}

/// How many pieces, and what they cost, for the page's script.
pub(super) async fn summary(State(shop): Shared, place: Place, headers: HeaderMap) -> Answer {
    let cart = match session(&headers) {
        Some(session) => shop.store.cart(session, place.market).await?,
        None => Vec::new(),
    };
    let pieces: u32 = cart.iter().map(|line| line.quantity).sum();
    let (_, sums) = lines(place.market, &cart);
    let body = serde_json::json!({ "count": pieces, "total": sums.goods.to_string() }).to_string();
    Ok(reply::private("application/json", body))
}
