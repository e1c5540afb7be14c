//! From the cart to an order. Nothing is charged; a wrong field is said kindly, beside the field.

use askama::Template as _;
use axum::Form;
use axum::extract::rejection::FormRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::page::{CheckoutPage, Field, Page, ThanksPage};
use super::place::Place;
use super::reply::{self, HTML};
use super::{Answer, Shared, Trouble, cart};
use crate::market::Market;
use crate::store::{Address, random_bytes};

/// Characters of a field that are kept.
const FIELD_CHARS_MAX: usize = 100;

/// The form as it was sent.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(super) struct AddressForm {
    name: String,
    email: String,
    street: String,
    postcode: String,
    city: String,
}

/// What is wrong with each field, in the order of the form.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Wrong {
    name: bool,
    email: bool,
    street: bool,
    postcode: bool,
    city: bool,
}

impl AddressForm {
    fn tidied(self) -> Self {
        let tidy = |text: String| -> String {
            let words: Vec<&str> = text.split_whitespace().collect();
            words.join(" ").chars().filter(|c| !c.is_control()).take(FIELD_CHARS_MAX).collect()
        };
        Self {
            name: tidy(self.name),
            email: tidy(self.email),
            street: tidy(self.street),
            postcode: tidy(self.postcode),
            city: tidy(self.city),
        }
    }

    /// The address, if nothing is missing.
    fn address(&self, market: &Market) -> Result<Address, Wrong> {
        let wrong = Wrong {
            name: self.name.chars().count() < 2,
            email: !is_email(&self.email),
            street: self.street.chars().count() < 3,
            postcode: !market.is_postcode(&self.postcode),
            city: self.city.chars().count() < 2,
        };
        if wrong != Wrong::default() {
            return Err(wrong);
        }
        Ok(Address {
            name: self.name.clone(),
            email: self.email.clone(),
            street: self.street.clone(),
            postcode: self.postcode.clone(),
            city: self.city.clone(),
        })
    }
}

/// Something before an @, and a name with a dot behind it. Whether anybody reads it, only a letter would tell.
fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty()
            && !host.contains('@')
            && host.split('.').count() >= 2
            && host.split('.').all(|label| !label.is_empty())
            && !text.contains(char::is_whitespace)
    })
}

pub(super) async fn show(shop: Shared, place: Place, headers: HeaderMap) -> Answer {
    page(shop, place, &headers, &AddressForm::default(), None).await
}

async fn page(
    State(shop): Shared,
    place: Place,
    headers: &HeaderMap,
    form: &AddressForm,
    wrong: Option<Wrong>,
) -> Answer {
    let Some(session) = cart::session(headers) else { return Ok(reply::see("/cart")) };
    let market = place.market;
    let lines = shop.store.cart(session, market).await?;
    if lines.is_empty() {
        return Ok(reply::see("/cart"));
    }
    let (lines, sums) = cart::lines(market, &lines);
    let (contact, address) = fields(market, form, wrong.unwrap_or_default());
    let page = Page::new(&shop, place, market.words.checkout.to_owned());
    let html = CheckoutPage { page, lines, sums, contact, address, wrong: wrong.is_some() }.render()?;
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    Ok(reply::private_with(status, HTML, html))
}

fn fields(market: &Market, form: &AddressForm, wrong: Wrong) -> (Vec<Field>, Vec<Field>) {
    let words = market.words;
    let field = |name, label, autocomplete, value: &str, wrong: bool, text| Field {
        name,
        label,
        kind: if name == "email" { "email" } else { "text" },
        autocomplete,
        value: value.to_owned(),
        wrong: wrong.then_some(text),
        narrow: name == "postcode",
    };
    (
        vec![
            field("name", words.name, "name", &form.name, wrong.name, words.wrong_name),
            field("email", words.email, "email", &form.email, wrong.email, words.wrong_email),
        ],
        vec![
            field("street", words.street, "street-address", &form.street, wrong.street, words.wrong_street),
            field(
                "postcode",
                words.postcode,
                "postal-code",
                &form.postcode,
                wrong.postcode,
                words.wrong_postcode,
            ),
            field("city", words.city, "address-level2", &form.city, wrong.city, words.wrong_city),
        ],
    )
}

pub(super) async fn place(
    State(shop): Shared,
    place: Place,
    headers: HeaderMap,
    form: Result<Form<AddressForm>, FormRejection>,
) -> Answer {
    let Form(form) = form?;
    let form = form.tidied();
    let address = match form.address(place.market) {
        Ok(address) => address,
        Err(wrong) => return page(State(shop), place, &headers, &form, Some(wrong)).await,
    };
    let Some(session) = cart::session(&headers) else { return Ok(reply::see("/cart")) };
    let number = number().map_err(|error| Trouble::Failed(error.to_string()))?;
    match shop.store.order(session, place.market, &number, &address).await? {
        Some(()) => Ok(cart::remember(reply::see(&format!("/order/{number}")), place, session, 0)),
        None => Ok(reply::see("/cart")),
    }
}

/// `ML-` and ten characters that are not mistaken for one another on the telephone.
fn number() -> std::io::Result<String> {
    const SIGNS: &[u8; 32] = b"23456789ABCDEFGHJKLMNPQRSTUVWXYZ";
    let bytes = random_bytes()?;
    Ok(bytes[..10].iter().fold("ML-".to_owned(), |mut number, byte| {
        number.push(char::from(SIGNS[usize::from(byte % 32)]));
        number
    }))
}

pub(super) async fn thanks(
    State(shop): Shared,
    place: Place,
    Path(number): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let session = cart::session(&headers).ok_or(Trouble::Hidden)?;
    let order = shop.store.placed(session, &number).await?.ok_or(Trouble::Hidden)?;
    let page = Page::new(&shop, place, place.market.words.your_order.to_owned());
    let total = place.market.money(order.total);
    Ok(reply::private(HTML, ThanksPage { page, order, total }.render()?))
}

#[cfg(test)]
mod tests {
    use super::{is_email, number};

    #[test]
    fn addresses_of_people_are_accepted_and_slips_are_not() {
        for right in ["a@b.de", "zoé.müller+x@post.example.org"] {
            assert!(is_email(right), "{right}");
        }
        for wrong in ["", "a", "a@", "@b.de", "a@b", "a@b..de", "a b@c.de", "a@b@c.de"] {
            assert!(!is_email(wrong), "{wrong}");
        }
    }

    #[test]
    fn order_numbers_differ() {
        let one = number().unwrap();
        assert_eq!(one.len(), 13);
        assert_ne!(one, number().unwrap());
    }
}
