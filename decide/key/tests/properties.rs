//! What holds for every input: nothing panics, what is reduced stays as it is when it is reduced again, and nothing
//! that counts is lost.

use proptest::prelude::*;
use tentpole_key::{Codings, CookieRules, Device, Query, SearchVariance, lookup};
use tentpole_model::QueryRules;

/// Names that meet one another, and spellings of them.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(vec![
            "a", "b", "utm_x", "utm%5Fx", "%61", "", "a+b", "a%20b", "id", "a[]", "%", "é"
        ])
        .prop_map(str::to_owned),
        "[a-c%+;=]{0,4}",
    ]
}

fn query() -> impl Strategy<Value = String> {
    proptest::collection::vec((name(), "[0-2=%]{0,2}"), 0..12).prop_map(|parameters| {
        let all: Vec<String> = parameters.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if all.is_empty() { String::new() } else { format!("?{}", all.join("&")) }
    })
}

fn rules() -> impl Strategy<Value = QueryRules> {
    let names = || {
        proptest::collection::vec(proptest::sample::select(vec!["a", "b", "utm_*", "id", "a b", "*"]), 0..3)
    };
    let own = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    (proptest::option::of(names()), names(), any::<bool>()).prop_map(move |(keep, drop, sort)| QueryRules {
        keep: keep.map(own),
        drop: own(drop),
        sort,
    })
}

fn written(query: &Query, text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    query.write(text, &mut out);
    out
}

/// The parameters with their order left out.
fn parameters(query: &[u8]) -> Vec<Vec<u8>> {
    let query = query.strip_prefix(b"?").unwrap_or(query);
    let mut all: Vec<Vec<u8>> =
        query.split(|&byte| byte == b'&').filter(|one| !one.is_empty()).map(<[u8]>::to_vec).collect();
    all.sort();
    all
}

const FIELDS: &[&str] = &[
    "key-order",
    "params",
    "params=(\"a\" \"utm_x\")",
    "params, except=(\"id\")",
    "key-order, params=(\"b\")",
];

proptest! {
    #[test]
    fn a_reduced_query_stays_as_it_is(rules in rules(), text in query()) {
        let rules = Query::new(&rules);
        let once = written(&rules, text.as_bytes());
        prop_assert_eq!(written(&rules, &once), once);
    }

    #[test]
    fn nothing_is_invented(rules in rules(), text in query()) {
        let before = parameters(text.as_bytes());
        let after = written(&Query::new(&rules), text.as_bytes());
        prop_assert!(after.is_empty() || after[0] == b'?');
        let mut rest = before.clone();
        for parameter in parameters(&after) {
            let at = rest.iter().position(|one| *one == parameter);
            prop_assert!(at.is_some(), "{:?} is not in {:?}", parameter, before);
            rest.remove(at.unwrap_or_default());
        }
        // Sorting alone loses nothing.
        if rules.keep.is_none() && rules.drop.is_empty() {
            prop_assert!(rest.is_empty());
        }
    }

    #[test]
    fn the_order_counts_for_nothing_where_it_is_sorted(text in query(), seed in any::<u64>()) {
        let sort = Query::new(&QueryRules { sort: true, ..QueryRules::default() });
        let reversed_groups = swap_different_neighbours(text.as_bytes(), seed);
        prop_assert_eq!(written(&sort, text.as_bytes()), written(&sort, &reversed_groups));
    }

    #[test]
    fn any_bytes_are_a_query(rules in rules(), text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let rules = Query::new(&rules);
        let once = written(&rules, &text);
        prop_assert_eq!(written(&rules, &once), once);
    }

    #[test]
    fn what_does_not_matter_by_no_vary_search_does_not_matter_twice(
        field in proptest::sample::select(FIELDS),
        text in query(),
    ) {
        let variance = SearchVariance::parse([field.as_bytes()].into_iter()).expect("it says something");
        let (mut once, mut twice) = (Vec::new(), Vec::new());
        variance.write(text.as_bytes(), &mut once);
        variance.write(&once, &mut twice);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn any_bytes_are_a_no_vary_search(
        lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..3),
        text in query(),
    ) {
        if let Some(variance) = SearchVariance::parse(lines.iter().map(Vec::as_slice)) {
            variance.write(text.as_bytes(), &mut Vec::new());
        }
    }

    #[test]
    fn what_resembles_a_no_vary_search_never_panics(field in "[a-z\\-=()\"?01;, \\\\]{0,40}") {
        let _ = SearchVariance::parse([field.as_bytes()].into_iter());
    }

    #[test]
    fn cookies_that_are_reduced_stay_as_they_are(
        lines in proptest::collection::vec("(_ga|g|sid|x.y|g\\.|\"|;| |=|[a-c]){0,12}", 0..3),
    ) {
        let rules = CookieRules::new(&["_ga*".to_owned()], &["g".to_owned(), "c".to_owned()]);
        let (mut told, mut key) = (Vec::new(), Vec::new());
        if let Ok(cookies) = rules.sort(lines.iter().map(String::as_bytes), &mut told, &mut key)
            && cookies.reduced
        {
            let (mut told_again, mut key_again) = (Vec::new(), Vec::new());
            let again = rules.sort([&told[..]].into_iter(), &mut told_again, &mut key_again);
            let again = again.map(|again| (again.personal, if again.reduced { told_again } else { told.clone() }));
            prop_assert_eq!(again, Ok((cookies.personal, told.clone())));
            prop_assert_eq!(key_again, key, "an endpoint that is told this is told the group of the key");
        }
    }

    #[test]
    fn any_bytes_are_cookies(lines in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..3)) {
        let rules = CookieRules::new(&["_ga*".to_owned()], &["g".to_owned()]);
        let _ = rules.sort(lines.iter().map(Vec::as_slice), &mut Vec::new(), &mut Vec::new());
    }

    #[test]
    fn what_is_asked_for_in_one_language_is_found_in_it(
        lines in proptest::collection::vec("(de|en|fr|CH|-|,|;|q=|0|1|\\.|\\*| ){0,20}", 0..3),
    ) {
        let available = ["en", "de", "fr-CH"].map(str::to_owned);
        let found = lookup(&available, lines.iter().map(String::as_bytes)).expect("there is a default");
        prop_assert_eq!(lookup(&available, [found.as_bytes()].into_iter()), Some(found));
    }

    #[test]
    fn codings_that_are_reduced_stay_as_they_are(
        lines in proptest::collection::vec("(gzip|br|zstd|identity|x-gzip|,|;|q=|0|1|\\.|\\*| ){0,20}", 0..3),
    ) {
        let once = Codings::accepted(lines.iter().map(String::as_bytes));
        prop_assert_eq!(Codings::accepted([once.written().as_bytes()].into_iter()), once);
    }

    #[test]
    fn any_bytes_are_a_device_a_language_and_codings(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = (Device::of(&text), Codings::accepted([&text[..]].into_iter()));
        let _ = lookup(&["en".to_owned()], [&text[..]].into_iter());
    }
}

/// Swaps some neighbours whose names mean different things: what a form might as well have sent.
fn swap_different_neighbours(query: &[u8], mut seed: u64) -> Vec<u8> {
    let Some(query) = query.strip_prefix(b"?") else { return query.to_vec() };
    let mut all: Vec<&[u8]> = query.split(|&byte| byte == b'&').collect();
    let meaning = |parameter: &[u8]| {
        let name = parameter.split(|&byte| byte == b'=').next().unwrap_or_default();
        String::from_utf8_lossy(name)
            .replace("%61", "a")
            .replace("%5F", "_")
            .replace("%20", "+")
            .to_lowercase()
    };
    for at in 1..all.len() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        // What might be another spelling of the same name stays in its place.
        if seed >> 63 == 1 && meaning(all[at]) != meaning(all[at - 1]) && !meaning(all[at]).contains('%') {
            all.swap(at, at - 1);
        }
    }
    [b"?", &all.join(&b'&')[..]].concat()
}
