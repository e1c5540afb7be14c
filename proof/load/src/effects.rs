//! Which steps do something that cannot be taken back: order, pay, mail, reserve. They are refused before a run, unless their
//! journey names the test account as which it may. Guesses from method, path and name; sends nothing.

use crate::journey::{Effect, Journey, Journeys, Step, Verb};
use crate::mark::is_account;
use crate::toml_table::Table;

/// Words of a path or name, and what they mean. A word counts with its plural.
const WORDS: [(&str, Effect); 22] = [
    ("order", Effect::Order),
    ("checkout", Effect::Order),
    ("purchase", Effect::Order),
    ("buy", Effect::Order),
    ("bestellung", Effect::Order),
    ("kasse", Effect::Order),
    ("pay", Effect::Pay),
    ("payment", Effect::Pay),
    ("paypal", Effect::Pay),
    ("donate", Effect::Pay),
    ("donation", Effect::Pay),
    ("refund", Effect::Pay),
    ("mail", Effect::Mail),
    ("email", Effect::Mail),
    ("newsletter", Effect::Mail),
    ("subscribe", Effect::Mail),
    ("contact", Effect::Mail),
    ("reserve", Effect::Reserve),
    ("reservation", Effect::Reserve),
    ("book", Effect::Reserve),
    ("booking", Effect::Reserve),
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
        None => {
            guess(step).map(|(effect, word)| (effect, format!("\"{word}\" stands in its path or name")))?
        }
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

/// By its method, path and name. What only asks (RFC 9110 section 9.2.1) has no effect.
fn guess(step: &Step) -> Option<(Effect, &'static str)> {
    if matches!(step.method, Verb::Get | Verb::Head | Verb::Options) {
        return None;
    }
    let texts = step.path.words().chain([step.name.as_str()]);
    let words = texts.flat_map(|text| text.split(|c: char| !c.is_alphanumeric()));
    for word in words.map(str::to_lowercase) {
        let means = |known: &str| word == known || word.strip_suffix('s') == Some(known);
        if let Some((known, effect)) = WORDS.iter().find(|(known, _)| means(known)) {
            return Some((*effect, known));
        }
    }
    None
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
