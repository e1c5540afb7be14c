//! Which steps do something that cannot be taken back: order, pay, mail, reserve. They are refused before a run, unless their
//! journey names the test account as which it may. Guesses from method, path, name and what is filled into the path; sends nothing.

use crate::journey::{Effect, Journey, Journeys, Step, Verb};
use crate::mark::is_account;
use crate::toml_table::Table;

/// Words of a path or name, and what they mean. A word counts with its plural.
const WORDS: [(&str, Effect); 30] = [
    ("order", Effect::Order),
    ("checkout", Effect::Order),
    ("purchase", Effect::Order),
    ("buy", Effect::Order),
    ("bestellung", Effect::Order),
    ("bestellen", Effect::Order),
    ("kaufen", Effect::Order),
    ("kasse", Effect::Order),
    ("pay", Effect::Pay),
    ("payment", Effect::Pay),
    ("paypal", Effect::Pay),
    ("donate", Effect::Pay),
    ("donation", Effect::Pay),
    ("refund", Effect::Pay),
    ("bezahlen", Effect::Pay),
    ("zahlung", Effect::Pay),
    ("mail", Effect::Mail),
    ("email", Effect::Mail),
    ("sendmail", Effect::Mail),
    ("newsletter", Effect::Mail),
    ("subscribe", Effect::Mail),
    ("contact", Effect::Mail),
    ("reserve", Effect::Reserve),
    ("reservation", Effect::Reserve),
    ("book", Effect::Reserve),
    ("booking", Effect::Reserve),
    ("buchen", Effect::Reserve),
    ("buchung", Effect::Reserve),
    ("reservierung", Effect::Reserve),
    ("ticket", Effect::Reserve),
];

/// Every step that does such a thing in a journey without a test account, in words.
pub fn refused(journeys: &Journeys) -> Vec<String> {
    let without = journeys.all.iter().filter(|journey| journey.account.is_none());
    let steps = without.flat_map(|journey| journey.steps.iter().map(move |step| (journey, step)));
    steps.filter_map(|(journey, step)| says(journey, step)).collect()
}

/// The test account that a journey's table names.
pub(crate) fn account(table: &Table<'_>) -> Option<String> {
    let account = table.text("account")?;
    if !is_account(account.value) {
        table.tell(account.at, "`account` is up to 64 visible characters of ASCII without a semicolon.");
        return None;
    }
    Some(account.value.to_owned())
}

fn says(journey: &Journey, step: &Step) -> Option<String> {
    let (effect, why) = match step.extras.effect {
        Some(effect) => (effect, "as the file says".to_owned()),
        None => guess(journey, step)
            .map(|(effect, word)| (effect, format!("\"{word}\" stands in its path or name")))?,
    };
    let does = match effect {
        Effect::None => return None,
        Effect::Order => "orders",
        Effect::Pay => "pays",
        Effect::Mail => "sends mail",
        Effect::Reserve => "reserves",
    };
    Some(format!("step \"{}\" of journey \"{}\" {does} ({why})", step.name, journey.name))
}

/// What a single request would do, by its method and path.
pub fn of_request(method: Verb, path: &str) -> Option<Effect> {
    if only_asks(method) {
        return None;
    }
    word_in(path).map(|(_, effect)| effect)
}

/// What only asks has no effect (RFC 9110 section 9.2.1).
fn only_asks(method: Verb) -> bool {
    matches!(method, Verb::Get | Verb::Head | Verb::Options)
}

/// By its method, path and name, and by what is filled into its path, as far as that stands in the file.
fn guess(journey: &Journey, step: &Step) -> Option<(Effect, &'static str)> {
    if only_asks(step.method) {
        return None;
    }
    let own = step.path.words().chain([step.name.as_str()]).find_map(word_in);
    let filled = || step.path.variables().find_map(|(variable, raw)| filled_in(journey, variable, raw));
    own.or_else(filled).map(|(word, effect)| (effect, word))
}

/// Values of a variable: any word of what is filled in as it is, which may be a whole path; of another one the value as a whole,
/// because a book in a shop is no booking.
fn filled_in(journey: &Journey, variable: usize, raw: bool) -> Option<(&'static str, Effect)> {
    let set = journey.set.iter().filter(|(set, _)| *set == variable).map(|(_, value)| value);
    let chosen = journey.steps.iter().flat_map(|step| &step.choose);
    let chosen = chosen.filter(|(chosen, _)| *chosen == variable).flat_map(|(_, values)| values);
    let rows = journey.data.iter().flat_map(|data| {
        let column = data.variables.iter().position(|column| *column == variable);
        column.into_iter().flat_map(|column| data.rows.iter().filter_map(move |row| row.get(column)))
    });
    let means = |value: &String| {
        let joined: String = words(value).concat();
        if raw { word_in(value) } else { known(&joined) }
    };
    set.chain(chosen).chain(rows).find_map(means)
}

fn known(word: &str) -> Option<(&'static str, Effect)> {
    let is_it = |known: &str| word == known || word.strip_suffix('s') == Some(known);
    WORDS.into_iter().find(|(known, _)| is_it(known))
}

/// The first word that means something, also one that is written as two: `check-out`.
fn word_in(text: &str) -> Option<(&'static str, Effect)> {
    let words = words(text);
    let alone = words.iter().find_map(|word| known(word));
    alone.or_else(|| words.windows(2).find_map(|two| known(&two.concat())))
}

/// The words of a path or a name, in small letters: `placeOrder` is two, and `%6F` is a letter like any other.
fn words(text: &str) -> Vec<String> {
    let text = decoded(text);
    let mut words = vec![String::new()];
    let mut was_small = false;
    for c in text.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && was_small) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().into_iter().for_each(|word| word.extend(c.to_lowercase()));
        }
        was_small = c.is_lowercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Percent-encoding undone (RFC 3986 section 2.1); what is none stays.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()).filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read;

    fn refused_of(journeys: &str) -> Vec<String> {
        let read = read::read("j.toml", journeys).unwrap_or_else(|problems| panic!("{problems}"));
        refused(&read.journeys.expect("journeys"))
    }

    fn step(lines: &str) -> Vec<String> {
        refused_of(&format!("[[journey]]\nname = \"j\"\n[[journey.step]]\n{lines}"))
    }

    #[test]
    fn what_cannot_be_taken_back_is_refused() {
        assert_eq!(
            step("path = \"/api/orders\"\nbody = \"{{}}\""),
            ["step \"/api/orders\" of journey \"j\" orders (\"order\" stands in its path or name)"]
        );
        for lines in [
            "path = \"/cart/checkout\"\nform = { a = \"1\" }",
            "name = \"Pay now\"\npath = \"/x\"\nmethod = \"PUT\"",
            "path = \"/newsletter?x=1\"\nmethod = \"POST\"",
            "path = \"/seat-reservations\"\nmethod = \"POST\"",
            "path = \"/\"\neffect = \"reserve\"",
            "name = \"go\"\npath = \"/check-out\"\nmethod = \"POST\"",
            "name = \"go\"\npath = \"/check%6Fut\"\nmethod = \"POST\"",
            "name = \"go\"\npath = \"/api/placeOrder\"\nmethod = \"POST\"",
            "name = \"go\"\npath = \"/sendmail\"\nmethod = \"POST\"",
            "name = \"go\"\npath = \"/bezahlen\"\nmethod = \"POST\"",
            "name = \"go\"\npath = \"/{what}\"\nmethod = \"POST\"\nchoose = { what = [\"cart\", \"checkout\"] }",
            "name = \"go\"\npath = \"/{to:raw}\"\nmethod = \"POST\"\nchoose = { to = [\"api/orders/new\"] }",
        ] {
            assert_eq!(step(lines).len(), 1, "{lines}");
        }
    }

    #[test]
    fn what_only_asks_or_is_said_to_do_nothing_is_not() {
        for lines in [
            "path = \"/checkout\"",
            "path = \"/border/payload\"\nmethod = \"POST\"",
            "path = \"/cart\"\nform = { a = \"1\" }",
            "path = \"/order/preview\"\nmethod = \"POST\"\neffect = \"none\"",
            "path = \"/cart/{slug}\"\nmethod = \"POST\"\nchoose = { slug = [\"the-hobbit-book\"] }",
            "path = \"/100%/%zz/%e4\"\nmethod = \"POST\"",
        ] {
            assert_eq!(step(lines), Vec::<String>::new(), "{lines}");
        }
    }

    #[test]
    fn a_journey_with_a_test_account_may() {
        let journeys = "[[journey]]\naccount = \"load-test@shop.example\"\n[[journey.step]]\npath = \"/order\"\n\
                        method = \"POST\"\n[[journey]]\nname = \"other\"\n[[journey.step]]\npath = \"/order\"\n\
                        method = \"POST\"";
        let refused = refused_of(journeys);
        assert!(refused.len() == 1 && refused[0].contains("\"other\""), "{refused:?}");
    }

    #[test]
    fn visitors_of_the_demo_shop_do_nothing_of_the_kind() {
        assert_eq!(refused_of(crate::journey::SHOP), Vec::<String>::new());
    }
}
