//! Header soup: what must hold for every request and response, tried with values that are likely to mean something.

mod soup;

use proptest::prelude::*;

/// Members of lists, as applications write them.
const MEMBERS: &[&str] = &[
    "max-age=60",
    "max-age=60",
    "max-age=0",
    "max-age=3600",
    "s-maxage=60",
    "private",
    "Private=\"x\"",
    "no-store",
    "no-cache",
    "public",
    "public",
    "must-revalidate",
    "proxy-revalidate",
    "must-understand",
    "immutable",
    "stale-while-revalidate=60",
    "stale-if-error=60",
    "max-stale",
    "only-if-cached",
    "no-store=?0",
    "max-age=60;tentpole",
    "max-age=600+30",
    "content=\"ESI/1.0\"",
    "*",
];

/// What spoils them.
const JUNK: &[&str] = &["\"", "=", ";", ",", " ", "\\", "=\"", "max-age = 60", "max-age=", "-1", "\u{e4}"];

const DATES: &[&str] = &[
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "Wed, 01 Jan 2031 00:00:00 GMT",
    "Monday, 21-Sep-26 12:00:00 GMT",
    "0",
    "",
];

/// A line for one field: a list, mostly well written, or a value.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let text = |words: &'static [&'static str]| prop::sample::select(words).prop_map(str::to_owned);
    let member = prop_oneof![12 => text(MEMBERS), 1 => text(JUNK), 1 => (text(MEMBERS), text(JUNK)).prop_map(|(one, other)| one + &other)];
    let list = prop::collection::vec(member, 1..4).prop_map(|members| members.join(", "));
    let control = (prop::sample::select(b"ccccccds>".to_vec()), list);
    let date = (prop::sample::select(b"etl".to_vec()), text(DATES));
    let other = (prop::sample::select(b"agkvv".to_vec()), text(&["", "*", "5", "0, 0", "\"tag\"", "Cookie"]));
    prop_oneof![6 => control, 2 => date, 1 => other]
        .prop_map(|(letter, value)| [&[letter], value.as_bytes(), b"\n"].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn nothing_is_stored_that_must_not_be_shared(head in (0u8..40, any::<[u8; 3]>()), lines in prop::collection::vec(line(), 1..5)) {
        let (status, flags) = head;
        soup::judge(&[vec![status], flags.to_vec(), lines.concat()].concat());
    }

    #[test]
    fn any_bytes_are_decided_about(input in prop::collection::vec(any::<u8>(), 0..200)) {
        soup::judge(&input);
    }
}
