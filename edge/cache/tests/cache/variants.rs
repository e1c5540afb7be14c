//! `Vary`: nobody gets what was made for other requests.

use crate::support::*;
use bytes::Bytes;
use std::task::Poll;
use tentpole_cache::{Arrival, Judged, Looked, Release};
use tentpole_message::Fields;
use tentpole_model::Bypass;

const BY_MARKET: &[&[u8]] = &[b"X-Market"];

fn market(name: &str) -> Fields {
    fields(&[("X-Market", name)])
}

#[test]
fn each_request_gets_its_own_variant() {
    let edge = Edge::new();
    for name in ["de", "fr", "it"] {
        edge.store_for("/", name.as_bytes(), &market(name), BY_MARKET);
    }
    for name in ["de", "fr", "it"] {
        assert_eq!(body_of(&edge.get_as("/", &market(name), Judged::Use).hit()), name.as_bytes());
    }
    assert!(matches!(edge.get_as("/", &market("es"), Judged::Use), Looked::Lead(_)));
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
}

#[test]
fn variants_by_different_names_are_found_beside_one_another() {
    let edge = Edge::new();
    let request = |market: &str, theme: &str| fields(&[("X-Market", market), ("X-Theme", theme)]);
    edge.store_for("/", b"de", &request("de", "dark"), BY_MARKET);
    edge.store_for("/", b"fr dark", &request("fr", "dark"), &[b"X-Market", b"X-Theme"]);
    edge.store_for("/", b"it", &request("it", "dark"), BY_MARKET);
    edge.store_for("/", b"fr light", &request("fr", "light"), &[b"X-Market", b"X-Theme"]);
    // Enough that they are told apart by their signs.
    for number in 0..4 {
        edge.store_for("/", b"x", &request(&number.to_string(), "dark"), BY_MARKET);
    }
    let got = |market, theme| body_of(&edge.get_as("/", &request(market, theme), Judged::Use).hit());
    assert_eq!(got("de", "light"), b"de");
    assert_eq!(got("it", "dark"), b"it");
    assert_eq!(got("fr", "dark"), b"fr dark");
    assert_eq!(got("fr", "light"), b"fr light");
    assert!(matches!(edge.get_as("/", &request("fr", "red"), Judged::Use), Looked::Lead(_)));
}

#[test]
fn known_variants_are_fetched_side_by_side() {
    let edge = Edge::new();
    edge.store_for("/", b"de", &market("de"), BY_MARKET);
    let _french = edge.get_as("/", &market("fr"), Judged::Use).lead();
    let _italian = edge.get_as("/", &market("it"), Judged::Use).lead();
    edge.get_as("/", &market("fr"), Judged::Use).joined();
    edge.get_as("/", &market("it"), Judged::Use).joined();
}

#[test]
fn a_waiter_of_another_variant_looks_up_again() {
    let edge = Edge::new();
    let (german, french) = (market("de"), market("fr"));
    let lead = edge.get_as("/", &german, Judged::Use).lead();
    let mut same = edge.get_as("/", &german, Judged::Use).joined();
    let mut other = edge.get_as("/", &french, Judged::Use).joined();
    let (mut filling, _) = lead.start(new_object(&german, BY_MARKET, None)).unwrap();
    let arrived = now(once(|context| same.poll_arrival(&german, context)));
    assert!(matches!(arrived, Arrival::Reader(_)));
    let arrived = now(once(|context| other.poll_arrival(&french, context)));
    assert!(matches!(arrived, Arrival::GoYourself(Release::VaryMismatch)));
    // The names are known now, although nothing is stored yet.
    let _lead = edge.get_as("/", &french, Judged::Use).lead();
    assert!(matches!(edge.get_as("/", &french, Judged::Use), Looked::Joined(_)));
    filling.append(Bytes::from_static(b"de"));
    filling.finish().stored();
    assert_eq!(body_of(&edge.get_as("/", &german, Judged::Use).hit()), b"de");
}

#[test]
fn a_waiter_that_looks_late_is_compared_with_the_object() {
    let edge = Edge::new();
    let (german, french) = (market("de"), market("fr"));
    let lead = edge.get_as("/", &german, Judged::Use).lead();
    let mut other = edge.get_as("/", &french, Judged::Use).joined();
    let (filling, _) = lead.start(new_object(&german, BY_MARKET, None)).unwrap();
    filling.finish().stored();
    let arrived = once(|context| other.poll_arrival(&french, context));
    assert!(matches!(arrived, Poll::Ready(Arrival::GoYourself(Release::VaryMismatch))));
}

#[test]
fn variants_of_one_key_are_bounded_and_the_oldest_gives_way() {
    let edge = Edge::new();
    for number in 0..40 {
        edge.store_for("/", b"x", &market(&number.to_string()), BY_MARKET);
    }
    assert_eq!(edge.cache.stats().objects, 32);
    assert!(matches!(edge.get_as("/", &market("7"), Judged::Use), Looked::Lead(_)));
    edge.get_as("/", &market("8"), Judged::Use).hit();
    edge.get_as("/", &market("39"), Judged::Use).hit();
    edge.assert_nothing_is_held();
}

#[test]
fn variants_that_are_fetched_at_once_are_bounded() {
    let edge = Edge::new();
    edge.store_for("/", b"de", &market("de"), BY_MARKET);
    let leads: Vec<_> =
        (0..64).map(|number| edge.get_as("/", &market(&number.to_string()), Judged::Use).lead()).collect();
    assert_eq!(edge.get_as("/", &market("one more"), Judged::Use).bypass(), Bypass::TooManyWaiters);
    edge.get_as("/", &market("63"), Judged::Use).joined();
    drop(leads);
    edge.get_as("/", &market("one more"), Judged::Use).lead();
    edge.assert_nothing_is_held();
}

#[test]
fn what_varied_by_nothing_gives_way_to_what_varies() {
    let edge = Edge::new();
    edge.store("/", b"for all");
    edge.store_for("/", b"de", &market("de"), BY_MARKET);
    assert!(matches!(edge.get_as("/", &market("fr"), Judged::Use), Looked::Lead(_)));
    assert_eq!(edge.cache.stats().objects, 1);
}

#[test]
fn what_cannot_be_compared_is_not_stored() {
    let edge = Edge::new();
    let request = Fields::new();
    let refused = edge.lead("/").start(new_object(&request, &[b"Accept", b"*"], None));
    assert_eq!(refused.unwrap_err(), Bypass::VaryStar);
    assert_eq!(edge.get("/").bypass(), Bypass::HitForMiss);
}
