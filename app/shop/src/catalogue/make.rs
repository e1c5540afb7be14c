//! Makes a product and its offers out of its number. The same number always gives the same goods.

use super::colours::COLOURS;
use super::materials::MATERIALS;
use super::names::NAMES;
use super::ranges::CATEGORY;
use super::{CATEGORIES, PER_CATEGORY, PRODUCTS, Product, Sizes, mixed, pick};
use crate::market::{Language, MARKETS, Market};

/// What one market says about a product, and what it asks for it.
#[derive(Debug)]
pub struct Offer {
    /// The product's name in the market's language.
    pub name: String,
    /// Its address, with the letters of the language as they are.
    pub slug: String,
    /// Addresses that it had under earlier names, oldest first.
    pub old_slugs: Vec<String>,
    /// A few sentences.
    pub details: String,
    /// How to care for it.
    pub care: &'static str,
    /// Words by which the search finds it beyond its name.
    pub keywords: String,
    /// The price in hundredths.
    pub price: i64,
    /// The price before the sale, in hundredths; above `price`.
    pub was: Option<i64>,
    /// Orders the category's pages; lower is earlier.
    pub order: u64,
    /// Orders the new arrivals, where it is one.
    pub fresh: Option<u64>,
}

/// Product `id`, 1 to [`PRODUCTS`].
///
/// # Panics
/// If `id` is not a product's number: callers take it from the catalogue.
#[must_use]
pub fn product(id: u32) -> Product {
    assert!((1..=PRODUCTS).contains(&id), "product {id} is not one of 1 to {PRODUCTS}");
    let (category, place) = split(id);
    let range = &CATEGORY[category];
    let material = range.materials[pick(id, 2, range.materials.len())];
    Product {
        id,
        category,
        garment: &range.garments[place as usize % range.garments.len()],
        material,
        colours: colours(id, range.colours),
        sold_out: if range.sizes == Sizes::One { 0 } else { sold_out(id) },
    }
}

/// What each market offers of `product`; `None` where it is not in the assortment.
#[must_use]
pub fn offers(product: &Product) -> [Option<Offer>; 3] {
    MARKETS.each_ref().map(|market| offered_in(product.id, market).then(|| offer(product, market)))
}

fn split(id: u32) -> (usize, u32) {
    // Neighbouring numbers lie in different categories, so that what is newest is not all of one kind.
    ((id - 1) as usize % CATEGORIES, (id - 1) / CATEGORIES as u32)
}

/// Each market leaves out a few products, and none is left out by all: 3 mod 16 is 3 mod 4, 5 mod 12 is 1 mod 4.
fn offered_in(id: u32, market: &Market) -> bool {
    let (_, place) = split(id);
    match market.index {
        0 => place % 16 != 3,
        1 => place % 12 != 5,
        _ => place % 9 != 4,
    }
}

fn colours(id: u32, allowed: &[usize]) -> Vec<usize> {
    let all: Vec<usize> = (0..COLOURS.len()).collect();
    let mut left = if allowed.is_empty() { all } else { allowed.to_vec() };
    let many = [1, 2, 2, 3, 3, 4][pick(id, 3, 6)];
    (0..many).map(|nth| left.remove(pick(id, 40 + nth, left.len()))).collect()
}

/// Up to two sizes, never the middle one.
fn sold_out(id: u32) -> u8 {
    let first = [0, 0, 1, 1 << 4, 1 << 1][pick(id, 4, 5)];
    let second = [0, 0, 0, 1 << 3][pick(id, 5, 4)];
    first | second
}

/// The `generation`-th name that the product has had; 0 is today's.
fn model(id: u32, generation: u32) -> &'static str {
    let (category, place) = split(id);
    // 17 of 97 names are free in each category, where at most three products have had at most three former names.
    let step = match generation {
        0 => place,
        _ => PER_CATEGORY + rename_step(id) / CATEGORIES as u32 * 3 + generation - 1,
    };
    NAMES[(step as usize * 31 + category * 13) % NAMES.len()]
}

fn named(product: &Product, language: Language, generation: u32) -> String {
    let model = model(product.id, generation);
    let at = language as usize;
    let (garment, material) = (product.garment.name[at], MATERIALS[product.material].name[at]);
    match language {
        Language::English => format!("{model} {material} {garment}"),
        Language::German if garment.contains(' ') => {
            format!("{garment} {model} aus {}", MATERIALS[product.material].alone[at])
        }
        Language::German => format!("{material}-{garment} {model}"),
        Language::French => format!("{garment} {material} {model}"),
    }
}

/// Letters and digits in small letters, everything else one hyphen.
fn slug(name: &str) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// One product of every 34 was renamed: which of these.
fn rename_step(id: u32) -> u32 {
    (id - 1) / (PRODUCTS / 40)
}

/// How many former names a product has: 40 products have one to three.
fn renamed(id: u32) -> u32 {
    let (step, place) = (rename_step(id), (id - 1) % (PRODUCTS / 40));
    if place == step * 5 % CATEGORIES as u32 { 1 + step % 3 } else { 0 }
}

fn offer(product: &Product, market: &Market) -> Offer {
    let (id, at) = (product.id, market.language as usize);
    let name = named(product, market.language, 0);
    let latest = slug(&name);
    let mut old_slugs: Vec<String> = (1..=renamed(id))
        .rev()
        .map(|generation| slug(&named(product, market.language, generation)))
        .collect();
    // Who types without accents means the same product.
    let folded = fold(&latest);
    if folded != latest {
        old_slugs.push(folded);
    }
    let (price, was) = price(product, market);
    let material = &MATERIALS[product.material];
    let range = &CATEGORY[product.category];
    let words = market.words;
    let colours: Vec<&str> = product.colours.iter().map(|colour| COLOURS[*colour].name[at]).collect();
    Offer {
        details: format!(
            "{} {} {}",
            material.feel[at],
            words.fits[pick(id, 6, words.fits.len())],
            words.origins[pick(id, 7, words.origins.len())],
        ),
        care: material.care[at],
        keywords: format!("{} {} {}", range.name[at], material.alone[at], colours.join(" ")),
        slug: latest,
        name,
        old_slugs,
        price,
        was,
        order: mixed(id, 20 + market.index as u32),
        fresh: pick(id, 8, 12).eq(&0).then(|| mixed(id, 24 + market.index as u32)),
    }
}

/// A market's price is its own: a level, a nudge that differs per market, and the next price point.
fn price(product: &Product, market: &Market) -> (i64, Option<i64>) {
    let (id, salt) = (product.id, market.index as u32);
    let (low, high) = CATEGORY[product.category].price;
    let base = low * 100 + (high - low) * pick(id, 9, 101) as i64;
    let level = [88, 100, 118][market.index] - 4 + pick(id, 10 + salt, 9) as i64;
    let full = market.price_point(base * level / 100);
    if pick(id, 30 + salt, 6) != 0 {
        return (full, None);
    }
    let share = [50, 60, 70, 80][pick(id, 34 + salt, 4)];
    let reduced = market.price_point(full * share / 100);
    if reduced < full { (reduced, Some(full)) } else { (full, None) }
}

/// `slug` in ASCII, the way somebody without the keyboard for it types it.
#[must_use]
pub fn fold(slug: &str) -> String {
    let mut out = String::with_capacity(slug.len());
    for letter in slug.chars().flat_map(char::to_lowercase) {
        match letter {
            'à' | 'â' | 'á' => out.push('a'),
            'ä' => out.push_str("ae"),
            'ç' => out.push('c'),
            'è' | 'é' | 'ê' | 'ë' => out.push('e'),
            'î' | 'ï' => out.push('i'),
            'ô' => out.push('o'),
            'ö' => out.push_str("oe"),
            'û' | 'ù' => out.push('u'),
            'ü' => out.push_str("ue"),
            'ß' => out.push_str("ss"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{PRODUCTS, fold, offers, product, renamed, slug};
    use std::collections::HashSet;

    #[test]
    fn no_address_is_taken_twice_in_a_market_and_every_product_is_sold_somewhere() {
        let mut taken = HashSet::new();
        for id in 1..=PRODUCTS {
            let offers = offers(&product(id));
            assert!(offers.iter().any(Option::is_some), "product {id} is sold nowhere");
            for (market, offer) in offers.iter().enumerate() {
                for slug in offer.iter().flat_map(|offer| offer.old_slugs.iter().chain([&offer.slug])) {
                    assert!(taken.insert((market, slug.clone())), "market {market} has {slug} twice");
                }
            }
        }
    }

    #[test]
    fn forty_products_have_had_one_to_three_other_names() {
        let all: Vec<u32> = (1..=PRODUCTS).map(renamed).filter(|many| *many > 0).collect();
        assert_eq!(all.len(), 40);
        assert!(all.contains(&1) && all.contains(&2) && all.contains(&3));
    }

    #[test]
    fn a_sale_price_is_below_the_price_before() {
        for offer in (1..=PRODUCTS).flat_map(|id| offers(&product(id)).into_iter().flatten()) {
            assert!(offer.price > 0);
            assert!(offer.was.is_none_or(|was| was > offer.price), "{}", offer.name);
        }
    }

    #[test]
    fn slugs_keep_their_letters_and_fold_to_ascii() {
        assert_eq!(slug("Woll-Röcke  Weiß (Zoé)"), "woll-röcke-weiß-zoé");
        assert_eq!(fold("woll-röcke-weiß-zoé"), "woll-roecke-weiss-zoe");
    }
}
