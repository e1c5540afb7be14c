//! What a shared cache may store, one rule a test. Section numbers are RFC 9111's.

use std::time::Duration;
use tentpole_freshness::{
    Age, CacheControl, ERROR_LIFETIME_MAX, Expires, HEURISTIC_LIFETIME_MAX, RequestFacts, ResponseFacts,
    STALE_IF_UNREACHABLE, StoredFacts, heuristically_cacheable, invalidates, may_store,
};
use tentpole_model::{Bypass, Caching, Method};

const NOW: u64 = 1_790_000_000;
const DAY: u64 = 86_400;
const GET: RequestFacts = RequestFacts::PLAIN_GET;
const WITH_COOKIE: RequestFacts = RequestFacts { cookie: true, ..GET };
const WITH_AUTHORIZATION: RequestFacts = RequestFacts { authorization: true, ..GET };

fn cache_control(value: &str) -> CacheControl {
    CacheControl::parse([value.as_bytes()].into_iter())
}

/// A 200 that says this about caching.
fn saying(value: &str) -> ResponseFacts {
    ResponseFacts {
        cache_control: cache_control(value),
        has_cache_control: true,
        ..ResponseFacts::plain(200)
    }
}

fn store(request: &RequestFacts, response: &ResponseFacts) -> Result<StoredFacts, Bypass> {
    may_store(request, response, &Caching::default(), NOW, NOW)
}

/// On a route that says this about caching.
fn store_at(
    caching: &Caching,
    request: &RequestFacts,
    response: &ResponseFacts,
) -> Result<StoredFacts, Bypass> {
    may_store(request, response, caching, NOW, NOW)
}

#[track_caller]
fn lifetime(response: &ResponseFacts) -> u32 {
    store(&GET, response).expect("this response is stored").lifetime
}

#[test]
fn a_response_with_a_lifetime_is_stored_3() {
    let expected = StoredFacts {
        lifetime: 60,
        initial_age: 0,
        response_time: NOW,
        stale_if_unreachable: STALE_IF_UNREACHABLE,
        ..StoredFacts::default()
    };
    assert_eq!(store(&GET, &saying("max-age=60")), Ok(expected));
}

#[test]
fn only_get_is_stored_3() {
    for method in [Method::Head, Method::Post, Method::Put, Method::Options, Method::Other] {
        let request = RequestFacts { method, ..GET };
        assert_eq!(store(&request, &saying("max-age=60")), Err(Bypass::Method), "{method:?}");
    }
}

#[test]
fn a_request_with_no_store_is_not_stored_5_2_1_5() {
    let request = RequestFacts { cache_control: cache_control("no-store"), ..GET };
    assert_eq!(store(&request, &saying("max-age=60")), Err(Bypass::RequestNoStore));
}

#[test]
fn what_sets_a_cookie_is_never_stored_whatever_else_is_said_7_3() {
    let response = ResponseFacts { set_cookie: true, ..saying("public, max-age=60, s-maxage=60") };
    assert_eq!(store(&GET, &response), Err(Bypass::SetCookie));
}

#[test]
fn private_is_not_stored_by_a_shared_cache_5_2_2_7() {
    assert_eq!(store(&GET, &saying("private, max-age=60")), Err(Bypass::Private));
    assert_eq!(store(&GET, &saying("private=\"x-user\", s-maxage=60")), Err(Bypass::Private));
}

#[test]
fn no_store_is_not_stored_even_beside_must_understand_5_2_2_5() {
    assert_eq!(store(&GET, &saying("no-store, max-age=60")), Err(Bypass::NoStore));
    assert_eq!(store(&GET, &saying("must-understand, no-store, max-age=60")), Err(Bypass::NoStore));
}

#[test]
fn what_varies_by_everything_is_not_stored_4_1() {
    let response = ResponseFacts { vary_star: true, ..saying("max-age=60") };
    assert_eq!(store(&GET, &response), Err(Bypass::VaryStar));
}

#[test]
fn a_status_that_speaks_of_who_asked_or_how_is_not_stored_3() {
    for status in [
        100, 199, 206, 304, 305, 399, 401, 403, 406, 407, 408, 412, 413, 416, 421, 425, 428, 429, 431, 511,
        600, 0, 999,
    ] {
        let response = ResponseFacts { status, has_etag: true, ..saying("public, max-age=60") };
        assert_eq!(store(&GET, &response), Err(Bypass::Status), "{status}");
    }
}

#[test]
fn a_status_that_lasts_is_stored_with_a_lifetime_3() {
    for status in [200, 201, 202, 203, 204, 299, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451, 501] {
        assert_eq!(lifetime(&ResponseFacts { status, ..saying("max-age=60") }), 60, "{status}");
    }
}

#[test]
fn an_error_of_a_moment_is_kept_for_a_moment_whatever_lifetime_it_has() {
    for status in [400, 402, 409, 422, 499, 500, 502, 503, 504, 599] {
        let dated = ResponseFacts { status, last_modified: Some(NOW - DAY), ..ResponseFacts::plain(status) };
        assert_eq!(store(&GET, &dated), Err(Bypass::Status), "{status}");
        for value in ["max-age=0", "no-store", "private"] {
            assert_eq!(
                store(&GET, &ResponseFacts { status, ..saying(value) }),
                Err(Bypass::Status),
                "{status}"
            );
        }
        let lasting = "max-age=600, stale-while-revalidate=60, stale-if-error=60";
        let response = ResponseFacts { status, has_etag: true, ..saying(lasting) };
        let stored = store(&GET, &response).unwrap();
        assert_eq!(stored.lifetime, ERROR_LIFETIME_MAX, "{status}");
        assert!(!stored.validator, "{status}: a 304 would make it last");
        let stale = (stored.stale_while_revalidate, stored.stale_if_error, stored.stale_if_unreachable);
        assert_eq!(stale, (0, 0, 0), "{status}");
        assert_eq!(lifetime(&ResponseFacts { status, ..saying("max-age=1") }), 1, "{status}");
        let aged = ResponseFacts { age: Some(Age::Seconds(100)), ..response };
        assert_eq!(lifetime(&aged), 100 + ERROR_LIFETIME_MAX, "{status}: from its arrival");
        for personal in [WITH_COOKIE, WITH_AUTHORIZATION] {
            let public = ResponseFacts { status, ..saying("public, max-age=60") };
            assert_eq!(store(&personal, &public), Err(Bypass::Status), "{status}");
        }
    }
}

#[test]
fn a_status_that_must_be_understood_and_is_not_is_not_stored_5_2_2_3() {
    for status in [299, 400, 500, 599] {
        let response = ResponseFacts { status, ..saying("must-understand, max-age=60") };
        assert_eq!(store(&GET, &response), Err(Bypass::Status), "{status}");
    }
    assert!(store(&GET, &saying("must-understand, max-age=60")).is_ok());
}

#[test]
fn what_is_not_there_is_kept_as_long_as_the_route_says() {
    let route = Caching { negative: Duration::from_secs(30), ..Caching::default() };
    for status in [404, 405, 410, 414, 501] {
        let response = ResponseFacts::plain(status);
        assert_eq!(store(&GET, &response), Err(Bypass::NoLifetime), "{status}");
        let stored = store_at(&route, &GET, &response).unwrap();
        assert_eq!((stored.lifetime, stored.heuristic), (30, true), "{status}");
        assert_eq!(store_at(&route, &WITH_COOKIE, &response), Err(Bypass::CookieWithoutLifetime), "{status}");
    }
    let speaks = ResponseFacts { status: 404, ..saying("max-age=5") };
    assert_eq!(store_at(&route, &GET, &speaks).unwrap().lifetime, 5);
    let speaks = ResponseFacts { status: 404, ..saying("must-revalidate") };
    assert_eq!(store_at(&route, &GET, &speaks), Err(Bypass::NoLifetime));
    assert_eq!(store_at(&route, &GET, &ResponseFacts::plain(200)), Err(Bypass::NoLifetime));
    assert_eq!(store_at(&route, &GET, &ResponseFacts::plain(503)), Err(Bypass::Status));
}

#[test]
fn a_route_may_say_by_name_that_a_cookie_does_not_matter() {
    let route = Caching { despite_set_cookie: true, ..Caching::default() };
    let cookie = |response| ResponseFacts { set_cookie: true, ..response };
    assert!(store_at(&route, &GET, &cookie(saying("max-age=60"))).is_ok());
    assert_eq!(store_at(&route, &GET, &cookie(saying("private, max-age=60"))), Err(Bypass::Private));
    let dated = ResponseFacts { last_modified: Some(NOW - DAY), ..ResponseFacts::plain(200) };
    assert_eq!(store_at(&route, &GET, &cookie(dated)), Err(Bypass::SetCookie), "a guess is not enough");
}

#[test]
fn a_part_that_was_asked_for_is_not_stored_3_3() {
    let request = RequestFacts { range: true, ..GET };
    let part = ResponseFacts { status: 206, ..saying("max-age=60") };
    assert_eq!(store(&request, &part), Err(Bypass::Range));
    assert!(
        store(&request, &saying("max-age=60")).is_ok(),
        "the endpoint ignored the range and sent everything"
    );
}

#[test]
fn what_needed_authorization_is_stored_only_with_permission_3_5() {
    assert_eq!(store(&WITH_AUTHORIZATION, &saying("max-age=60")), Err(Bypass::Authorization));
    assert_eq!(
        store(&WITH_AUTHORIZATION, &saying("max-age=60, proxy-revalidate")),
        Err(Bypass::Authorization)
    );
    for permission in ["public, max-age=60", "s-maxage=60", "must-revalidate, max-age=60"] {
        assert!(store(&WITH_AUTHORIZATION, &saying(permission)).is_ok(), "{permission}");
    }
}

#[test]
fn s_maxage_wins_over_max_age_and_max_age_over_expires_4_2_1() {
    let expires = Some(Expires::At(NOW + 5));
    assert_eq!(lifetime(&ResponseFacts { expires, ..saying("max-age=60, s-maxage=600") }), 600);
    assert_eq!(lifetime(&ResponseFacts { expires, ..saying("max-age=60") }), 60);
    assert_eq!(lifetime(&ResponseFacts { expires, ..saying("public") }), 5);
}

#[test]
fn expires_counts_from_date_4_2_1() {
    let response = ResponseFacts {
        date: Some(NOW - 10),
        expires: Some(Expires::At(NOW + 50)),
        ..ResponseFacts::plain(200)
    };
    assert_eq!(lifetime(&response), 60);
    let far = ResponseFacts { expires: Some(Expires::At(u64::MAX)), ..ResponseFacts::plain(200) };
    assert_eq!(lifetime(&far), u32::MAX);
}

#[test]
fn a_missing_date_counts_as_the_time_of_the_response_6_6_1_of_rfc_9110() {
    let response = ResponseFacts { expires: Some(Expires::At(NOW + 50)), ..ResponseFacts::plain(200) };
    let stored = may_store(&GET, &response, &Caching::default(), NOW - 3, NOW).unwrap();
    assert_eq!((stored.lifetime, stored.initial_age), (50, 0));
}

#[test]
fn an_expires_that_is_no_date_or_has_passed_is_stale_5_3() {
    for expires in [Expires::Invalid, Expires::At(NOW - 1), Expires::At(NOW)] {
        let response = ResponseFacts { expires: Some(expires), ..ResponseFacts::plain(200) };
        assert_eq!(store(&GET, &response), Err(Bypass::AlreadyStale), "{expires:?}");
        // Not a reason to guess.
        let response = ResponseFacts { last_modified: Some(NOW - 100 * DAY), ..response };
        let stored = store(&GET, &response).unwrap();
        assert_eq!((stored.lifetime, stored.heuristic), (0, false), "{expires:?}");
    }
}

#[test]
fn a_lifetime_of_zero_needs_something_to_revalidate_with_4_3() {
    assert_eq!(store(&GET, &saying("max-age=0")), Err(Bypass::AlreadyStale));
    assert_eq!(store(&GET, &saying("max-age=600, s-maxage=0")), Err(Bypass::AlreadyStale));
    let stored = store(&GET, &ResponseFacts { has_etag: true, ..saying("max-age=0") }).unwrap();
    assert_eq!((stored.lifetime, stored.validator), (0, true));
}

#[test]
fn no_cache_is_stored_when_it_can_be_revalidated_5_2_2_4() {
    assert_eq!(store(&GET, &saying("no-cache")), Err(Bypass::AlreadyStale));
    assert_eq!(store(&GET, &saying("no-cache, max-age=60")), Err(Bypass::AlreadyStale));
    let stored = store(&GET, &ResponseFacts { has_etag: true, ..saying("no-cache") }).unwrap();
    assert_eq!((stored.lifetime, stored.no_cache, stored.heuristic), (0, true, false));
    let stored =
        store(&GET, &ResponseFacts { last_modified: Some(NOW - DAY), ..saying("no-cache") }).unwrap();
    assert!(stored.no_cache && !stored.heuristic);
}

#[test]
fn what_is_always_revalidated_needs_an_etag_when_the_visitor_has_a_cookie() {
    for value in ["no-cache", "max-age=0"] {
        let dated = ResponseFacts { last_modified: Some(NOW - DAY), ..saying(value) };
        assert_eq!(store(&WITH_COOKIE, &dated), Err(Bypass::CookieWithoutLifetime), "{value}");
        assert!(store(&WITH_COOKIE, &ResponseFacts { has_etag: true, ..dated }).is_ok(), "{value}");
    }
}

#[test]
fn what_arrives_older_than_its_lifetime_needs_something_to_revalidate_with_4_2() {
    let response = ResponseFacts { age: Some(Age::Seconds(60)), ..saying("max-age=60") };
    assert_eq!(store(&GET, &response), Err(Bypass::AlreadyStale));
    assert!(store(&GET, &ResponseFacts { has_etag: true, ..response }).is_ok());
    assert!(store(&GET, &ResponseFacts { age: Some(Age::Seconds(59)), ..response }).is_ok());
}

#[test]
fn a_response_that_says_nothing_is_not_stored_4_2_2() {
    assert_eq!(store(&GET, &ResponseFacts::plain(200)), Err(Bypass::NoLifetime));
    assert_eq!(
        store(&GET, &ResponseFacts { has_etag: true, ..ResponseFacts::plain(200) }),
        Err(Bypass::NoLifetime)
    );
    assert_eq!(store(&GET, &saying("public")), Err(Bypass::NoLifetime));
}

#[test]
fn a_guessed_lifetime_is_a_tenth_of_what_it_has_lasted_and_a_day_at_most_4_2_2() {
    let modified = |ago| ResponseFacts { last_modified: Some(NOW - ago), ..ResponseFacts::plain(200) };
    let stored = store(&GET, &modified(1_000)).unwrap();
    assert_eq!((stored.lifetime, stored.heuristic), (100, true));
    assert_eq!(lifetime(&modified(1_000 * DAY)), HEURISTIC_LIFETIME_MAX);
    assert_eq!(lifetime(&modified(5)), 0);
    let since_date = ResponseFacts { date: Some(NOW - 500), ..modified(1_500) };
    assert_eq!(lifetime(&since_date), 100);
}

#[test]
fn nothing_is_guessed_from_the_future_4_2_2() {
    let response = ResponseFacts { last_modified: Some(NOW + 1), ..ResponseFacts::plain(200) };
    assert_eq!(store(&GET, &response), Err(Bypass::NoLifetime));
}

#[test]
fn a_lifetime_is_guessed_only_for_statuses_that_allow_it_or_what_is_public_4_2_2() {
    let moved = ResponseFacts { last_modified: Some(NOW - 1_000), ..ResponseFacts::plain(302) };
    assert_eq!(store(&GET, &moved), Err(Bypass::NoLifetime));
    let public = ResponseFacts { status: 302, last_modified: Some(NOW - 1_000), ..saying("public") };
    assert_eq!(lifetime(&public), 100);
}

#[test]
fn nothing_is_guessed_where_the_response_speaks_of_caching() {
    for value in ["", "must-revalidate", "nocache", "stale-if-error=60"] {
        let response = ResponseFacts { last_modified: Some(NOW - 1_000), ..saying(value) };
        assert_eq!(store(&GET, &response), Err(Bypass::NoLifetime), "{value}");
    }
}

#[test]
fn nothing_is_guessed_for_a_visitor_with_a_cookie() {
    let response = ResponseFacts { last_modified: Some(NOW - 1_000), ..ResponseFacts::plain(200) };
    assert_eq!(store(&WITH_COOKIE, &response), Err(Bypass::CookieWithoutLifetime));
    assert!(
        store(&WITH_COOKIE, &saying("max-age=60")).is_ok(),
        "a lifetime that was said counts for everybody"
    );
}

#[test]
fn must_revalidate_proxy_revalidate_and_s_maxage_forbid_serving_stale_5_2_2() {
    for value in ["max-age=60, must-revalidate", "max-age=60, proxy-revalidate", "s-maxage=60"] {
        assert!(store(&GET, &saying(value)).unwrap().must_revalidate, "{value}");
    }
    assert!(!store(&GET, &saying("max-age=60, immutable")).unwrap().must_revalidate);
}

/// Seconds of stale use: while revalidating, on an error, without any answer.
fn stale_use(caching: &Caching, value: &str) -> (u32, u32, u32) {
    let response = ResponseFacts { has_etag: true, ..saying(value) };
    let stored = store_at(caching, &GET, &response).expect("this response is stored");
    (stored.stale_while_revalidate, stored.stale_if_error, stored.stale_if_unreachable)
}

#[test]
fn windows_for_stale_use_are_remembered_rfc_5861() {
    let silent = Caching::default();
    assert_eq!(stale_use(&silent, "max-age=60, stale-while-revalidate=5, stale-if-error=900"), (5, 900, 900));
    assert_eq!(stale_use(&silent, "max-age=60, stale-if-error=5"), (0, 5, 5), "its own word is a limit too");
    assert_eq!(stale_use(&silent, "max-age=60"), (0, 0, STALE_IF_UNREACHABLE));
    assert_eq!(stale_use(&silent, "max-age=0"), (0, 0, 0), "it wants to be asked each time");
}

#[test]
fn a_route_says_for_how_long_stale_use_is_fine_where_the_response_does_not() {
    let route = Caching {
        stale_while_revalidate: Duration::from_secs(7),
        stale_if_error: Duration::from_secs(1_000),
        ..Caching::default()
    };
    assert_eq!(stale_use(&route, "max-age=60"), (7, 1_000, 1_000));
    assert_eq!(stale_use(&route, "max-age=60, stale-while-revalidate=5, stale-if-error=9"), (5, 9, 9));
    assert_eq!(stale_use(&route, "s-maxage=60"), (0, 0, 0));
}

#[test]
fn stale_use_is_forbidden_by_name_whatever_else_is_said_5_2_2_2() {
    for value in ["must-revalidate", "proxy-revalidate", "no-cache"] {
        let said = format!("max-age=60, stale-while-revalidate=5, stale-if-error=9, {value}");
        assert_eq!(stale_use(&Caching::default(), &said), (0, 0, 0), "{value}");
    }
    let both = "s-maxage=60, stale-while-revalidate=5, stale-if-error=9";
    assert_eq!(stale_use(&Caching::default(), both), (5, 9, 9), "said beside s-maxage, it is meant");
}

#[test]
fn expires_does_not_count_beside_a_field_for_caches_rfc_9213_2_2() {
    let expires = Some(Expires::At(NOW + 60));
    let response = ResponseFacts { targeted: true, expires, ..saying("") };
    assert_eq!(store(&GET, &response), Err(Bypass::NoLifetime));
    assert_eq!(
        lifetime(&ResponseFacts { targeted: true, expires: Some(Expires::Invalid), ..saying("max-age=5") }),
        5
    );
}

#[test]
fn an_age_that_nobody_can_read_makes_it_stale_on_arrival_5_1() {
    let response = ResponseFacts { age: Some(Age::Unreadable), ..saying("max-age=60") };
    assert_eq!(store(&GET, &response), Err(Bypass::AlreadyStale));
    let stored = store(&GET, &ResponseFacts { has_etag: true, ..response }).unwrap();
    assert_eq!((stored.lifetime, stored.initial_age), (0, 0));
    let guessed = ResponseFacts {
        age: Some(Age::Unreadable),
        last_modified: Some(NOW - DAY),
        ..ResponseFacts::plain(200)
    };
    assert_eq!(lifetime(&guessed), 0);
    assert_eq!(
        store(&GET, &ResponseFacts { age: Some(Age::Unreadable), ..ResponseFacts::plain(200) }),
        Err(Bypass::NoLifetime)
    );
}

#[test]
fn age_on_arrival_is_the_larger_of_apparent_and_corrected_age_4_2_3() {
    let initial_age = |date: u64, age: Option<u64>, request_time, response_time| {
        let response =
            ResponseFacts { date: Some(date), age: age.map(Age::Seconds), ..saying("max-age=100000") };
        may_store(&GET, &response, &Caching::default(), request_time, response_time).unwrap().initial_age
    };
    assert_eq!(initial_age(NOW, None, NOW, NOW), 0);
    assert_eq!(initial_age(NOW - 7, None, NOW, NOW), 7, "apparent age");
    assert_eq!(initial_age(NOW - 7, Some(20), NOW, NOW), 20, "Age is larger");
    assert_eq!(initial_age(NOW - 30, Some(20), NOW, NOW), 30, "Age is smaller");
    assert_eq!(initial_age(NOW, Some(20), NOW, NOW + 3), 23, "and the response took three seconds");
    assert_eq!(initial_age(NOW + 3, None, NOW, NOW + 3), 0, "what was made for this request is new");
    assert_eq!(
        initial_age(NOW + 50, None, NOW, NOW),
        0,
        "a clock that is ahead makes nothing younger than new"
    );
    assert_eq!(initial_age(NOW, None, NOW, NOW - 5), 0, "a clock that was set back does no harm");
}

#[test]
fn an_age_beyond_all_numbers_saturates_4_2_3() {
    let response =
        ResponseFacts { age: Some(Age::Seconds(u64::MAX)), has_etag: true, ..saying("max-age=60") };
    assert_eq!(may_store(&GET, &response, &Caching::default(), 0, u64::MAX).unwrap().initial_age, u32::MAX);
}

#[test]
fn statuses_that_allow_a_guess_are_those_of_rfc_9110_15_1() {
    let allowed: Vec<u16> = (0..1000).filter(|&status| heuristically_cacheable(status)).collect();
    assert_eq!(allowed, [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501]);
}

#[test]
fn an_unsafe_request_that_succeeded_invalidates_4_4() {
    for method in [Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Other] {
        assert!(invalidates(method, 200) && invalidates(method, 303), "{method:?}");
        assert!(
            !invalidates(method, 100) && !invalidates(method, 404) && !invalidates(method, 500),
            "{method:?}"
        );
    }
    for method in [Method::Get, Method::Head, Method::Options, Method::Trace] {
        assert!(!invalidates(method, 200), "{method:?}");
    }
}
