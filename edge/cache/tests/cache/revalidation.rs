//! What is stale is confirmed, replaced or served meanwhile.

use crate::support::*;
use std::sync::Arc;
use std::time::Duration;
use tentpole_cache::{Arrival, Judged, Looked, Missed, Release, StoredFacts};
use tentpole_message::Fields;
use tentpole_model::Bypass;

#[test]
fn a_304_makes_a_new_object_that_shares_the_body() {
    let edge = Edge::new();
    let old = edge.store("/", &content(100_000));
    let request = Fields::new();
    let lead = edge.get_as("/", &request, Judged::Revalidate).lead();
    let mut waiter = edge.get_as("/", &request, Judged::Revalidate).joined();
    let stale = lead.stale.clone().unwrap();
    assert!(Arc::ptr_eq(&stale, &old));
    let before = edge.cache.stats().bytes;
    let new = lead.refreshed(&stale, confirmed(head(), StoredFacts { response_time: 2_000, ..FACTS }));
    assert_eq!(new.chunks()[0].as_ptr(), old.chunks()[0].as_ptr());
    assert_eq!(edge.get("/").hit().facts().response_time, 2_000);
    let Arrival::Object(arrived) = arrival(&mut waiter) else { panic!("refreshed") };
    assert!(Arc::ptr_eq(&arrived, &new));
    let stats = edge.cache.stats();
    assert_eq!((stats.bytes, stats.objects, stats.fills), (before, 1, 0));
    drop((old, stale, new, arrived, waiter));
    assert_eq!(edge.ledger.held(tentpole_runtime::ledger::Account::Cache), before);
    edge.assert_nothing_is_held();
}

#[test]
fn a_200_replaces_what_was_stale() {
    let edge = Edge::new();
    edge.store("/", b"old");
    edge.store("/", b"newer");
    assert_eq!(body_of(&edge.get("/").hit()), b"newer");
    assert_eq!(edge.cache.stats().objects, 1);
    edge.assert_nothing_is_held();
}

#[test]
fn a_confirmation_of_what_was_evicted_is_served_and_not_stored() {
    let edge = Edge::new();
    edge.store("/", b"old");
    let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
    let stale = lead.stale.clone().unwrap();
    // Full with another: the stale one has gone.
    edge.ledger.charge(tentpole_runtime::ledger::Account::Buffers, 1 << 30);
    edge.cache.shrink();
    edge.ledger.release(tentpole_runtime::ledger::Account::Buffers, 1 << 30);
    assert_eq!(edge.cache.stats().objects, 0);
    assert_eq!(body_of(&lead.refreshed(&stale, confirmed(head(), FACTS))), b"old");
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
    drop(stale);
    edge.assert_nothing_is_held();
}

#[test]
fn one_revalidates_while_everybody_is_served_what_is_stale() {
    let edge = Edge::new();
    edge.store("/", b"old");
    let request = Fields::new();
    let Looked::Stale(stale, Some(lead)) = edge.get_as("/", &request, Judged::UseStale) else {
        panic!("one leads")
    };
    for _ in 0..3 {
        let looked = edge.get_as("/", &request, Judged::UseStale);
        assert!(matches!(looked, Looked::Stale(served, None) if Arc::ptr_eq(&served, &stale)));
    }
    assert_eq!(lead.waiters(), 0);
    lead.refreshed(&stale, confirmed(head(), FACTS));
    edge.get("/").hit();
}

#[test]
fn a_stale_object_can_stand_in_for_a_failed_endpoint() {
    let edge = Edge::new();
    edge.store("/", b"old");
    let request = Fields::new();
    let lead = edge.get_as("/", &request, Judged::Revalidate).lead();
    let mut waiter = edge.get_as("/", &request, Judged::Revalidate).joined();
    let stale = lead.stale.clone().unwrap();
    let key = edge.cache.key(b"/");
    assert!(!edge.cache.is_failing(&key));
    lead.kept(&stale, Release::Bypass(Bypass::Status), Duration::from_secs(60));
    let Arrival::Kept(served, otherwise) = arrival(&mut waiter) else { panic!("may be served stale") };
    assert_eq!((body_of(&served), otherwise), (b"old".to_vec(), Release::Bypass(Bypass::Status)));
    assert!(edge.cache.is_failing(&key));
    assert_eq!(edge.get_as("/", &request, Judged::Revalidate).lead().stale.unwrap().body_bytes(), 3);
}

#[test]
fn what_an_endpoint_has_withdrawn_is_forgotten_and_nothing_else() {
    let edge = Edge::new();
    edge.store("/", b"old");
    edge.store("/other", b"other");
    let withdrawn = edge.get("/").hit();
    edge.cache.forget(&withdrawn);
    edge.cache.forget(&withdrawn);
    edge.get("/other").hit();
    assert_eq!(edge.cache.stats().objects, 1);
    edge.get("/").lead();
}

#[test]
fn a_miss_says_whether_anything_is_stored() {
    let edge = Edge::new();
    let lead = edge.get("/").lead();
    assert_eq!((lead.missed, edge.get("/").joined().missed), (Missed::Uri, Missed::Uri));
    drop(lead);
    edge.store("/", b"x");
    assert_eq!(edge.get_as("/", &Fields::new(), Judged::Revalidate).lead().missed, Missed::Stale);
}

#[test]
fn a_request_that_must_not_use_the_cache_passes() {
    let edge = Edge::new();
    edge.store("/", b"guessed");
    let looked = edge.get_as("/", &Fields::new(), Judged::Pass(Bypass::CookieWithoutLifetime));
    assert_eq!(looked.bypass(), Bypass::CookieWithoutLifetime);
}

#[test]
fn a_peek_starts_nothing() {
    let edge = Edge::new();
    let key = edge.cache.key(b"/");
    assert!(edge.cache.peek(&key, &Fields::new()).is_none());
    edge.store("/", b"x");
    assert_eq!(body_of(&edge.cache.peek(&key, &Fields::new()).unwrap()), b"x");
    assert_eq!(edge.cache.stats().fills_started, 1);
}
