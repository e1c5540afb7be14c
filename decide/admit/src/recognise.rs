//! Who asks, as far as a request shows it without any configuration. Whatever a stranger can write himself raises him to
//! [`Priority::Checkout`] at most; what lies above, somebody else has to say of him.

use tentpole_model::{Method, Priority};

/// What a request shows.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its method.
    pub method: Method,
    /// Its path in canonical form, without the query.
    pub path: &'a [u8],
    /// What its program calls itself.
    pub user_agent: &'a [u8],
    /// It carries a cookie of the application's own, or says who asks.
    pub is_known: bool,
    /// Somebody who works here.
    pub is_staff: bool,
    /// A probe of what stands in front.
    pub is_probe: bool,
    /// He was in a checkout lately, and that is proven.
    pub was_in_checkout: bool,
    /// What its route says.
    pub route: Option<Priority>,
}

/// What a request is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Its place.
    pub priority: Priority,
    /// Once he was served, the visitor is in a checkout.
    pub enters_checkout: bool,
}

/// Names of a segment that only a checkout has: in the languages of Europe's markets, and of the interfaces of common shops.
/// Whole segments only: `/p/law-and-order` is a product.
const CHECKOUT: &[&str] = &[
    "cart",
    "carts",
    "guest-carts",
    "my-cart",
    "shopping-cart",
    "shoppingcart",
    "basket",
    "shopping-basket",
    "bag",
    "checkout",
    "checkouts",
    "onepage",
    "order",
    "orders",
    "place-order",
    "payment",
    "payments",
    "pay",
    "purchase",
    // German
    "warenkorb",
    "kasse",
    "bestellung",
    "bestellen",
    "zahlung",
    "bezahlen",
    // French
    "panier",
    "paiement",
    "commande",
    "caisse",
    // Italian
    "carrello",
    "cassa",
    "pagamento",
    "ordine",
    // Spanish and Portuguese
    "carrito",
    "cesta",
    "pago",
    "pedido",
    "finalizar-compra",
    "carrinho",
    "encomenda",
    // Dutch
    "winkelwagen",
    "winkelmand",
    "afrekenen",
    "betalen",
    "bestelling",
    // Polish and Czech
    "koszyk",
    "zamowienie",
    "platnosc",
    "kosik",
    "pokladna",
    "objednavka",
    // Swedish, Norwegian, Danish, Finnish
    "varukorg",
    "kundvagn",
    "kassa",
    "handlekurv",
    "handlevogn",
    "kurv",
    "betaling",
    "ostoskori",
    "tilaus",
    // Turkish
    "sepet",
    "odeme",
];

/// Parts of names by which programs call themselves that read all pages.
const CRAWLERS: &[&[u8]] =
    &[b"bot", b"crawler", b"spider", b"crawl/", b"slurp", b"archiver", b"facebookexternalhit", b"scrapy"];
/// Telephones whose maker's name ends like a program's.
const NO_CRAWLERS: &[&[u8]] = &[b"cubot"];

/// Says what a request is worth.
pub fn recognise(seen: &Seen<'_>) -> Rank {
    let is_crawler = !seen.is_known && is_crawler(seen.user_agent);
    let in_checkout = match seen.route {
        Some(said) => said == Priority::Checkout,
        None => is_checkout(seen.path),
    };
    let priority = match seen.route {
        _ if seen.is_probe => Priority::Health,
        _ if seen.is_staff => Priority::Staff,
        _ if seen.was_in_checkout => Priority::Checkout,
        // Whatever it asks for: it can come again.
        _ if is_crawler => Priority::Crawler,
        Some(said) => said.max(Priority::Checkout),
        // Who sends something has been here for a while, and loses it when it is refused.
        None if in_checkout || !seen.method.is_safe() => Priority::Checkout,
        None if seen.is_known => Priority::Returning,
        None => Priority::Normal,
    };
    Rank { priority, enters_checkout: in_checkout && !is_crawler }
}

fn is_checkout(path: &[u8]) -> bool {
    path.split(|&byte| byte == b'/').any(|segment| {
        // Most segments begin or end otherwise than all of the words: one look says so, and each request that is not a hit
        // pays it.
        let Some(lengths) = segment.first().map(|&first| CHECKOUT_LENGTHS[usize::from(first)]) else {
            return false;
        };
        if lengths == 0 {
            return false;
        }
        // `/cart.php`, `/cart.js`
        let name = segment.split(|&byte| byte == b'.').next().unwrap_or_default();
        let known = name.len() < 32 && lengths & 1 << name.len() != 0;
        known && CHECKOUT.iter().any(|word| name.eq_ignore_ascii_case(word.as_bytes()))
    })
}

fn is_crawler(user_agent: &[u8]) -> bool {
    has_any(user_agent, CRAWLERS) && !has_any(user_agent, NO_CRAWLERS)
}

fn has_any(text: &[u8], parts: &[&[u8]]) -> bool {
    let begins = |rest: &[u8], part: &[u8]| {
        rest.get(..part.len()).is_some_and(|there| there.eq_ignore_ascii_case(part))
    };
    let is_first = |byte: u8| FIRST_OF_CRAWLERS[usize::from(byte)];
    let mut places = text.iter().enumerate().filter(|&(_, &byte)| is_first(byte));
    places.any(|(at, _)| parts.iter().any(|part| begins(&text[at..], part)))
}

/// How long the words of [`CHECKOUT`] are that begin with this letter, large or small: bit `n` for `n` bytes.
const CHECKOUT_LENGTHS: [u32; 256] = {
    let mut lengths = [0; 256];
    let mut at = 0;
    while at < CHECKOUT.len() {
        let word = CHECKOUT[at].as_bytes();
        assert!(word.len() < 32, "longer than there are bits");
        lengths[word[0] as usize] |= 1 << word.len();
        lengths[word[0].to_ascii_uppercase() as usize] |= 1 << word.len();
        at += 1;
    }
    lengths
};

/// With which letters the parts of names begin that are looked for, large or small.
const FIRST_OF_CRAWLERS: [bool; 256] = {
    let mut first = [false; 256];
    let mut at = 0;
    while at < CRAWLERS.len() + NO_CRAWLERS.len() {
        let part = if at < CRAWLERS.len() { CRAWLERS[at] } else { NO_CRAWLERS[at - CRAWLERS.len()] };
        first[part[0] as usize] = true;
        first[part[0].to_ascii_uppercase() as usize] = true;
        at += 1;
    }
    first
};

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Seen<'_> = Seen {
        method: Method::Get,
        path: b"/",
        user_agent: b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
        is_known: false,
        is_staff: false,
        is_probe: false,
        was_in_checkout: false,
        route: None,
    };

    fn at(path: &str) -> Priority {
        recognise(&Seen { path: path.as_bytes(), ..SEEN }).priority
    }

    #[test]
    fn a_checkout_is_recognised_in_the_languages_of_the_markets() {
        for path in [
            "/cart",
            "/Cart/add",
            "/cart.js",
            "/de/warenkorb",
            "/kasse/",
            "/fr/panier",
            "/checkout/cart/",
            "/checkout/onepage/success",
            "/rest/V1/guest-carts/abc/items",
            "/it/carrello",
            "/nl/afrekenen",
            "/koszyk.html",
        ] {
            assert_eq!(at(path), Priority::Checkout, "{path}");
        }
        for path in
            ["/", "/p/law-and-order", "/basketball", "/cartoons/2", "/blog/bagels", "/p/cart-for-dogs"]
        {
            assert_eq!(at(path), Priority::Normal, "{path}");
        }
    }

    #[test]
    fn every_word_is_found_in_any_case_and_wherever_it_stands() {
        for word in CHECKOUT {
            assert_eq!(at(&format!("/x/{}/y", word.to_uppercase())), Priority::Checkout, "{word}");
            assert_eq!(at(&format!("/{word}.php")), Priority::Checkout, "{word}");
            assert_eq!(at(&format!("/{word}x")), Priority::Normal, "{word}");
        }
        for part in CRAWLERS {
            for text in [part.to_vec(), part.to_ascii_uppercase(), [b"bo cra ", *part].concat()] {
                assert!(is_crawler(&text), "{}", text.escape_ascii());
                assert!(!is_crawler(&text[..text.len() - 1]), "{}", text.escape_ascii());
            }
        }
    }

    #[test]
    fn who_sends_something_comes_with_the_checkouts_but_is_not_in_one() {
        let rank = recognise(&Seen { method: Method::Post, path: b"/login", ..SEEN });
        assert_eq!(rank, Rank { priority: Priority::Checkout, enters_checkout: false });
    }

    #[test]
    fn a_visitor_whom_the_application_knows_comes_before_one_whom_it_does_not() {
        assert_eq!(recognise(&Seen { is_known: true, ..SEEN }).priority, Priority::Returning);
    }

    #[test]
    fn who_was_in_a_checkout_keeps_his_rank_everywhere() {
        let seen = Seen { was_in_checkout: true, route: Some(Priority::Crawler), ..SEEN };
        assert_eq!(recognise(&seen).priority, Priority::Checkout);
    }

    #[test]
    fn crawlers_come_last_whatever_they_ask_for_and_telephones_are_none() {
        let crawler = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
        let seen = Seen { user_agent: crawler.as_bytes(), path: b"/cart", ..SEEN };
        assert_eq!(recognise(&seen), Rank { priority: Priority::Crawler, enters_checkout: false });
        // A browser that says so to be let in, with the cookies of one.
        assert_eq!(recognise(&Seen { is_known: true, ..seen }).priority, Priority::Checkout);
        let phone = Seen { user_agent: b"Mozilla/5.0 (Linux; Android 13; CUBOT P80)", ..SEEN };
        assert_eq!(recognise(&phone).priority, Priority::Normal);
    }

    #[test]
    fn a_route_says_what_it_is_worth_and_nothing_beyond_a_checkout() {
        let normal = Seen { path: b"/cart", route: Some(Priority::Normal), is_known: true, ..SEEN };
        assert_eq!(recognise(&normal), Rank { priority: Priority::Normal, enters_checkout: false });
        let most = Seen { route: Some(Priority::Health), ..SEEN };
        assert_eq!(recognise(&most).priority, Priority::Checkout);
    }

    #[test]
    fn nothing_that_a_stranger_writes_raises_him_beyond_a_checkout() {
        for method in Method::ALL {
            for path in ["/", "/cart", "/health", "/staff"] {
                for user_agent in ["", "health", "kube-probe/1.30", "ELB-HealthChecker/2.0", "Googlebot"] {
                    for (is_known, was_in_checkout) in [(false, false), (true, false), (true, true)] {
                        let (path, user_agent) = (path.as_bytes(), user_agent.as_bytes());
                        let seen = Seen { method, path, user_agent, is_known, was_in_checkout, ..SEEN };
                        assert!(recognise(&seen).priority >= Priority::Checkout, "{seen:?}");
                    }
                }
            }
        }
    }
}
