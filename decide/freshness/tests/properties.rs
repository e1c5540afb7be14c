//! What holds for every request and every response, whatever their fields say.

use proptest::prelude::*;
use tentpole_freshness::{
    Age, CacheControl, Control, ERROR_LIFETIME_MAX, Expires, Ranged, RequestFacts, ResponseFacts,
    StoredFacts, Use, byte_range, may_store, not_modified, parse_date, range_applies,
};
use tentpole_model::{Caching, Method};

/// Field values made of what is likely to mean something, and of any bytes.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "max-age",
        "s-maxage",
        "private",
        "no-store",
        "no-cache",
        "public",
        "max-stale",
        "min-fresh",
        "must-revalidate",
        "=",
        "=",
        ",",
        ",",
        ";",
        "\"",
        "\\",
        " ",
        "\t",
        "0",
        "60",
        "-1",
        "99999999999999999999",
        "W/",
        "*",
        "bytes",
        "-",
        "\"a\"",
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 ",
        "Sun Nov  6 08:49:37 1994",
        ":",
    ]);
    let piece = prop_oneof![
        4 => word.prop_map(|word| word.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn seconds() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(prop_oneof![Just(0), 1u32..1_000, any::<u32>()])
}

fn age() -> impl Strategy<Value = Age> {
    prop_oneof![4 => (0u64..2_000).prop_map(Age::Seconds), 1 => Just(Age::Unreadable)]
}

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![8 => 1_000_000u64..1_010_000, 1 => any::<u64>()]
}

prop_compose! {
    fn cache_control()(
        flags in any::<[bool; 10]>(),
        rare in any::<u8>(),
        (max_age, s_maxage, min_fresh, max_stale) in (seconds(), seconds(), seconds(), seconds()),
        (stale_while_revalidate, stale_if_error) in (seconds(), seconds()),
    ) -> CacheControl {
        CacheControl {
            no_store: flags[0] && rare < 32,
            no_cache: flags[1] && rare < 128,
            private: flags[2] && rare.is_multiple_of(8),
            public: flags[3],
            must_revalidate: flags[4],
            proxy_revalidate: flags[5],
            no_transform: flags[6],
            must_understand: flags[7],
            immutable: flags[8],
            only_if_cached: flags[9],
            max_age, s_maxage, min_fresh, max_stale, stale_while_revalidate, stale_if_error,
        }
    }
}

prop_compose! {
    fn request()(flags in any::<[bool; 3]>(), cache_control in cache_control(), is_get in prop::bool::weighted(0.9)) -> RequestFacts {
        let method = if is_get { Method::Get } else { Method::Post };
        RequestFacts { method, authorization: flags[0], cookie: flags[1], range: flags[2], cache_control }
    }
}

prop_compose! {
    fn response()(
        status in prop_oneof![4 => Just(200u16), 1 => 100u16..600],
        cache_control in cache_control(),
        (has_cache_control, has_etag, targeted) in any::<(bool, bool, bool)>(),
        (set_cookie, vary_star) in (prop::bool::weighted(0.1), prop::bool::weighted(0.1)),
        (date, last_modified, age) in (prop::option::of(time()), prop::option::of(time()), prop::option::of(age())),
        expires in prop::option::of(prop_oneof![Just(Expires::Invalid), time().prop_map(Expires::At)]),
    ) -> ResponseFacts {
        let cache_control = if has_cache_control { cache_control } else { CacheControl::NONE };
        ResponseFacts {
            status, cache_control, has_cache_control, targeted, surrogate: false, date, expires, age, last_modified, has_etag, set_cookie, vary_star,
        }
    }
}

prop_compose! {
    fn stored()(
        (lifetime, initial_age) in (0u32..2_000, 0u32..2_000),
        response_time in time(),
        flags in any::<[bool; 5]>(),
        (stale_while_revalidate, stale_if_error, stale_if_unreachable) in (0u32..1_000, 0u32..1_000, 0u32..1_000),
    ) -> StoredFacts {
        let [no_cache, must_revalidate, immutable, heuristic, validator] = flags;
        StoredFacts {
            lifetime, initial_age, response_time, no_cache, must_revalidate, immutable, heuristic, learned: false, surrogate: false, validator,
            stale_while_revalidate, stale_if_error, stale_if_unreachable,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn whatever_fields_say_nothing_panics(values in prop::collection::vec(soup(), 0..4), one in soup(), now in time(), length: u64) {
        let each = || values.iter().map(Vec::as_slice);
        CacheControl::parse(each());
        Expires::parse(each(), now);
        Age::parse(each());
        Control::parse(each(), each(), each());
        parse_date(&one, now);
        not_modified(each(), Some(&one), Some(&one), Some(&one), now);
        range_applies(&one, Some(&one), Some(&one), Some(&one), now);
        if let Ranged::Part { start, end_exclusive } = byte_range(&one, length) {
            prop_assert!(start < end_exclusive && end_exclusive <= length);
        }
    }

    #[test]
    fn private_and_no_store_are_found_in_any_list(before in soup(), after in soup(), name in prop::sample::select(vec!["private", "PRIVATE", "no-store", "No-Store"])) {
        // In front stands what may open a quotation; a quotation that is open swallows what follows, if it ends.
        prop_assume!(!before.contains(&b'"'));
        let value = [&before[..], b",", name.as_bytes(), b",", &after[..]].concat();
        let said = CacheControl::parse([value.as_slice()].into_iter());
        let found = if name.eq_ignore_ascii_case("private") { said.private } else { said.no_store };
        prop_assert!(found);
    }

    #[test]
    fn what_is_not_to_be_shared_is_never_stored(request in request(), response in response(), sent in time(), took in 0u64..100) {
        if let Ok(stored) = may_store(&request, &response, &Caching::default(), sent, sent.saturating_add(took)) {
            let said = response.cache_control;
            prop_assert_eq!(request.method, Method::Get);
            prop_assert!(!request.cache_control.no_store);
            prop_assert!(!response.set_cookie && !said.private && !said.no_store && !response.vary_star);
            prop_assert!(response.status != 206 && response.status != 304);
            prop_assert!(!request.authorization || said.public || said.must_revalidate || said.s_maxage.is_some());
            prop_assert!(!stored.heuristic || !request.cookie);
            prop_assert!(!stored.heuristic || stored.lifetime <= 86_400);
            let usable = !stored.no_cache && stored.lifetime > stored.initial_age;
            prop_assert!(usable || stored.validator);
            let error = (400..600).contains(&response.status) && !matches!(response.status, 404 | 405 | 410 | 414 | 451 | 501);
            let lasts = u64::from(stored.lifetime.saturating_sub(stored.initial_age));
            prop_assert!(!error || lasts <= u64::from(ERROR_LIFETIME_MAX) && !request.cookie && !request.authorization);
            let stale = stored.stale_while_revalidate.max(stored.stale_if_error).max(stored.stale_if_unreachable);
            prop_assert!(stale == 0 || !(said.must_revalidate || said.proxy_revalidate || said.no_cache));
            prop_assert!(stored.stale_if_error <= stored.stale_if_unreachable);
        }
    }

    #[test]
    fn age_never_falls(stored in stored(), now in time(), later in 0u64..100_000) {
        prop_assert!(stored.age(now) <= stored.age(now.saturating_add(later)));
        prop_assert!(stored.age(now) >= u64::from(stored.initial_age));
    }

    #[test]
    fn what_is_served_as_fresh_is_fresh_for_this_request(stored in stored(), request in request(), now in time()) {
        let (age, lifetime) = (stored.age(now), u64::from(stored.lifetime));
        let wanted = request.cache_control;
        let answer = stored.may_use(&request, now);
        if matches!(answer, Use::Fresh | Use::StaleAccepted) {
            prop_assert!(!stored.no_cache && !wanted.no_cache);
            prop_assert!(!stored.heuristic || (!request.cookie && !request.authorization));
            let unchanged = stored.immutable && age < lifetime;
            prop_assert!(unchanged || wanted.max_age.is_none_or(|max_age| age <= u64::from(max_age)));
        }
        match answer {
            Use::Fresh => {
                prop_assert!(age < lifetime);
                prop_assert!(wanted.min_fresh.is_none_or(|min_fresh| age + u64::from(min_fresh) <= lifetime));
            }
            Use::StaleAccepted => prop_assert!(age >= lifetime && !stored.must_revalidate && wanted.max_stale.is_some()),
            Use::OnlyIfCached => prop_assert!(wanted.only_if_cached),
            Use::Revalidate | Use::Pass => prop_assert!(!wanted.only_if_cached),
        }
    }

    #[test]
    fn what_has_become_stale_stays_so(stored in stored(), now in time(), later in 0u64..100_000) {
        let request = RequestFacts::PLAIN_GET;
        if stored.may_use(&request, now) == Use::Revalidate {
            prop_assert_eq!(stored.may_use(&request, now.saturating_add(later)), Use::Revalidate);
        }
    }

    #[test]
    fn an_endpoints_own_copy_always_holds(tag in "[!#-~]{0,12}", weak: bool, others in prop::collection::vec("\"[a-z,]{0,5}\"", 0..4)) {
        let etag = format!("{}\"{tag}\"", if weak { "W/" } else { "" });
        let list = [others.join(", "), format!("\"{tag}\"")].join(" , ");
        prop_assert!(not_modified([list.as_bytes()].into_iter(), None, Some(etag.as_bytes()), None, 0));
    }

    #[test]
    fn every_second_is_read_back_from_its_fixdate(unix in 0u64..253_402_300_800) {
        let date = fixdate(unix);
        prop_assert_eq!(parse_date(date.as_bytes(), 0), Some(unix), "{}", date);
    }
}

/// Counts the calendar in the plainest way: year by year, month by month.
fn fixdate(unix: u64) -> String {
    let is_leap =
        |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut days, seconds) = (unix / 86_400, unix % 86_400);
    let weekday = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"][(days % 7) as usize];
    let mut year = 1970;
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let name = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"][month];
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{weekday}, {:02} {name} {year:04} {hour:02}:{minute:02}:{second:02} GMT", days + 1)
}
