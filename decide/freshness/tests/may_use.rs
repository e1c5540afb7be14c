//! When what is stored may be used, one rule a test. Section numbers are RFC 9111's.

use tentpole_freshness::{CacheControl, RequestFacts, StoredFacts, Trouble, Use};

const NOW: u64 = 1_790_000_000;
const GET: RequestFacts = RequestFacts::PLAIN_GET;

/// Fresh for 60 s from `NOW` on.
const STORED: StoredFacts = StoredFacts {
    lifetime: 60,
    initial_age: 0,
    response_time: NOW,
    no_cache: false,
    must_revalidate: false,
    immutable: false,
    heuristic: false,
    learned: false,
    surrogate: false,
    validator: true,
    stale_while_revalidate: 0,
    stale_if_error: 0,
    stale_if_unreachable: 0,
};

/// A GET that asks for this.
fn asking(value: &str) -> RequestFacts {
    RequestFacts { cache_control: CacheControl::parse([value.as_bytes()].into_iter()), ..GET }
}

/// What a request that asks for `value` gets at this age.
fn at_age(stored: &StoredFacts, age: u64, value: &str) -> Use {
    stored.may_use(&asking(value), NOW + age)
}

#[test]
fn it_is_fresh_as_long_as_its_lifetime_is_greater_than_its_age_4_2() {
    assert_eq!(at_age(&STORED, 0, ""), Use::Fresh);
    assert_eq!(at_age(&STORED, 59, ""), Use::Fresh);
    assert_eq!(at_age(&STORED, 60, ""), Use::Revalidate);
}

#[test]
fn the_age_on_arrival_counts_4_2_3() {
    let stored = StoredFacts { initial_age: 50, ..STORED };
    assert_eq!(stored.age(NOW + 5), 55);
    assert_eq!(at_age(&stored, 9, ""), Use::Fresh);
    assert_eq!(at_age(&stored, 10, ""), Use::Revalidate);
}

#[test]
fn a_clock_that_was_set_back_makes_nothing_younger_than_on_arrival_4_2_3() {
    let stored = StoredFacts { initial_age: 50, ..STORED };
    assert_eq!(stored.age(NOW - 1_000), 50);
    assert_eq!(stored.age(u64::MAX), u64::MAX - NOW + 50);
}

#[test]
fn a_request_with_no_cache_wants_revalidation_5_2_1_4() {
    assert_eq!(at_age(&STORED, 0, "no-cache"), Use::Revalidate);
    assert_eq!(at_age(&STORED, 0, "no-cache, max-stale"), Use::Revalidate);
}

#[test]
fn a_response_with_no_cache_is_always_revalidated_5_2_2_4() {
    let stored = StoredFacts { no_cache: true, ..STORED };
    assert_eq!(at_age(&stored, 0, ""), Use::Revalidate);
    assert_eq!(at_age(&stored, 0, "max-stale"), Use::Revalidate);
}

#[test]
fn a_request_may_ask_for_a_younger_one_5_2_1_1() {
    assert_eq!(at_age(&STORED, 10, "max-age=10"), Use::Fresh);
    assert_eq!(at_age(&STORED, 11, "max-age=10"), Use::Revalidate);
    assert_eq!(at_age(&STORED, 0, "max-age=0"), Use::Fresh, "no older than 0 s");
    assert_eq!(at_age(&STORED, 1, "max-age=0"), Use::Revalidate);
    assert_eq!(
        at_age(&STORED, 70, "max-age=600"),
        Use::Revalidate,
        "it does not make the response live longer"
    );
}

#[test]
fn a_request_may_ask_for_one_that_stays_fresh_5_2_1_3() {
    assert_eq!(at_age(&STORED, 40, "min-fresh=20"), Use::Fresh);
    assert_eq!(at_age(&STORED, 41, "min-fresh=20"), Use::Revalidate);
    assert_eq!(at_age(&STORED, 70, "min-fresh=0, max-stale"), Use::Revalidate);
}

#[test]
fn a_request_may_accept_a_stale_one_5_2_1_2() {
    assert_eq!(at_age(&STORED, 59, "max-stale=10"), Use::Fresh);
    assert_eq!(at_age(&STORED, 70, "max-stale=10"), Use::StaleAccepted);
    assert_eq!(at_age(&STORED, 71, "max-stale=10"), Use::Revalidate);
    assert_eq!(at_age(&STORED, 1_000_000, "max-stale"), Use::StaleAccepted);
    assert_eq!(at_age(&STORED, u64::from(u32::MAX) * 2, "max-stale"), Use::StaleAccepted);
    assert_eq!(at_age(&STORED, 70, "max-stale=10, max-age=65"), Use::Revalidate);
    assert_eq!(at_age(&STORED, 70, "max-stale=10, max-age=70"), Use::StaleAccepted);
}

#[test]
fn what_must_be_revalidated_is_served_stale_only_as_the_application_said_5_2_2_2() {
    let stored = StoredFacts { must_revalidate: true, ..STORED };
    let asked = asking("stale-if-error=600");
    assert_eq!(at_age(&stored, 59, "max-stale"), Use::Fresh);
    assert_eq!(at_age(&stored, 60, "max-stale"), Use::Revalidate);
    assert!(!stored.serves_while_revalidating(&GET, NOW + 61));
    assert!(
        !stored.serves_on_error(Trouble::Error, &asked, NOW + 61)
            && !stored.serves_on_error(Trouble::Silence, &asked, NOW + 61)
    );
    let said = StoredFacts { stale_while_revalidate: 10, stale_if_error: 10, ..stored };
    assert!(
        said.serves_while_revalidating(&GET, NOW + 70)
            && said.serves_on_error(Trouble::Error, &GET, NOW + 70)
    );
    assert!(!said.serves_on_error(Trouble::Error, &asked, NOW + 71));
}

#[test]
fn what_does_not_change_is_not_revalidated_for_a_reload_rfc_8246_2_2() {
    let stored = StoredFacts { immutable: true, ..STORED };
    assert_eq!(at_age(&stored, 59, "max-age=0"), Use::Fresh);
    assert_eq!(at_age(&stored, 60, "max-age=0"), Use::Revalidate, "only while it is fresh");
    assert_eq!(at_age(&stored, 70, "max-age=0, max-stale"), Use::Revalidate);
    assert_eq!(at_age(&stored, 1, "no-cache"), Use::Revalidate, "a forced reload");
}

#[test]
fn a_lifetime_of_zero_is_always_revalidated() {
    let stored = StoredFacts { lifetime: 0, ..STORED };
    assert_eq!(at_age(&stored, 0, ""), Use::Revalidate);
    assert_eq!(at_age(&stored, 0, "max-stale"), Use::Revalidate);
}

#[test]
fn only_if_cached_is_answered_from_the_cache_or_refused_5_2_1_7() {
    assert_eq!(at_age(&STORED, 0, "only-if-cached"), Use::Fresh);
    assert_eq!(at_age(&STORED, 70, "only-if-cached, max-stale"), Use::StaleAccepted);
    assert_eq!(at_age(&STORED, 60, "only-if-cached"), Use::OnlyIfCached);
    assert_eq!(at_age(&STORED, 0, "only-if-cached, no-cache"), Use::OnlyIfCached);
    let guessed = StoredFacts { heuristic: true, ..STORED };
    let request = RequestFacts { cookie: true, ..asking("only-if-cached") };
    assert_eq!(guessed.may_use(&request, NOW), Use::OnlyIfCached);
}

#[test]
fn what_was_only_guessed_to_be_fresh_is_not_used_for_visitors_who_are_known() {
    let guessed = StoredFacts { heuristic: true, stale_if_error: 600, stale_while_revalidate: 600, ..STORED };
    assert_eq!(guessed.may_use(&GET, NOW), Use::Fresh);
    for request in [RequestFacts { cookie: true, ..GET }, RequestFacts { authorization: true, ..GET }] {
        assert_eq!(guessed.may_use(&request, NOW), Use::Pass);
        assert_eq!(
            STORED.may_use(&request, NOW),
            Use::Fresh,
            "a lifetime that was said counts for everybody"
        );
        assert!(!guessed.serves_on_error(Trouble::Error, &request, NOW + 61));
        assert!(!guessed.serves_while_revalidating(&request, NOW + 61));
    }
}

#[test]
fn it_is_served_while_somebody_revalidates_it_rfc_5861_3() {
    let stored = StoredFacts { stale_while_revalidate: 10, ..STORED };
    assert!(stored.serves_while_revalidating(&GET, NOW + 70));
    assert!(!stored.serves_while_revalidating(&GET, NOW + 71));
    assert!(!STORED.serves_while_revalidating(&GET, NOW + 61));
    for value in ["no-cache", "max-age=0", "min-fresh=5"] {
        assert!(!stored.serves_while_revalidating(&asking(value), NOW + 61), "{value}");
    }
}

#[test]
fn it_is_served_in_place_of_an_error_rfc_5861_4() {
    let stored = StoredFacts { stale_if_error: 10, ..STORED };
    assert!(stored.serves_on_error(Trouble::Error, &GET, NOW + 70));
    assert!(!stored.serves_on_error(Trouble::Error, &GET, NOW + 71));
    assert!(stored.serves_on_error(Trouble::Error, &asking("stale-if-error=20"), NOW + 80));
    assert!(!STORED.serves_on_error(Trouble::Error, &GET, NOW + 61));
    assert!(!stored.serves_on_error(Trouble::Error, &asking("no-cache"), NOW + 61));
}

#[test]
fn it_is_served_while_there_is_no_answer_at_all_4_2_4() {
    let stored = StoredFacts { stale_if_unreachable: 10, ..STORED };
    assert!(
        stored.serves_on_error(Trouble::Silence, &GET, NOW + 70)
            && !stored.serves_on_error(Trouble::Error, &GET, NOW + 70)
    );
    assert!(!stored.serves_on_error(Trouble::Silence, &GET, NOW + 71));
    assert!(stored.serves_on_error(Trouble::Silence, &asking("stale-if-error=20"), NOW + 80));
    assert!(!stored.serves_on_error(Trouble::Silence, &asking("no-cache"), NOW + 61));
    let guessed = StoredFacts { heuristic: true, ..stored };
    assert!(!guessed.serves_on_error(Trouble::Silence, &RequestFacts { cookie: true, ..GET }, NOW + 61));
}
