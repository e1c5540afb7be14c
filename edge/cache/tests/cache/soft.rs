//! A soft purge removes nothing, and makes stale.

use crate::support::*;
use std::sync::Arc;
use tentpole_cache::{Judged, Looked, Object, SOFT_IF_ERROR, SOFT_WHILE_REVALIDATING, StoredFacts};
use tentpole_freshness::{RequestFacts, Trouble, Use};
use tentpole_message::Fields;
use tentpole_model::Purged;
use tentpole_runtime::clock;

fn stored(edge: &Edge, facts: StoredFacts) {
    let request = Fields::new();
    let lead = edge.get_as("/", &request, Judged::Revalidate).lead();
    let new = tentpole_cache::NewObject { facts, ..new_object(&request, &[], None) };
    lead.start(new).unwrap().0.finish().stored();
}

fn softly_purged(facts: StoredFacts) -> (Arc<Object>, u64) {
    let edge = Edge::new();
    let before = clock::now().unix_seconds();
    stored(&edge, StoredFacts { response_time: before - 10, ..facts });
    assert_eq!(edge.cache.purge(&edge.cache.key(b"/"), true), Purged { objects: 1, fills: 0 });
    (edge.get("/").hit(), clock::now().unix_seconds())
}

#[test]
fn it_is_stale_at_once_and_good_enough_for_a_while() {
    let (object, now) = softly_purged(StoredFacts { lifetime: 3_600, ..FACTS });
    let (facts, request) = (object.facts(), RequestFacts::PLAIN_GET);
    assert_eq!(facts.may_use(&request, now), Use::Revalidate);
    assert_eq!(facts.may_use(&request, 0), Use::Revalidate, "whatever the clock says");
    let soon = now + u64::from(SOFT_WHILE_REVALIDATING);
    assert!(facts.serves_while_revalidating(&request, soon - 5));
    assert!(!facts.serves_while_revalidating(&request, soon + 1));
    let later = now + u64::from(SOFT_IF_ERROR);
    for trouble in [Trouble::Error, Trouble::Silence] {
        assert!(facts.serves_on_error(trouble, &request, later - 5));
        assert!(!facts.serves_on_error(trouble, &request, later + 1));
    }
}

#[test]
fn what_the_response_allowed_counts_from_when_it_became_stale() {
    let allowed = StoredFacts { stale_while_revalidate: 500, ..FACTS };
    let request = RequestFacts::PLAIN_GET;
    let (object, now) = softly_purged(StoredFacts { lifetime: 3_600, ..allowed });
    assert!(object.facts().serves_while_revalidating(&request, now + 495));
    assert!(!object.facts().serves_while_revalidating(&request, now + 501));
    // Stale for 9 s already when the purge came.
    let (object, now) = softly_purged(StoredFacts { lifetime: 1, ..allowed });
    assert!(!object.facts().serves_while_revalidating(&request, now + 493));
    assert!(object.facts().serves_while_revalidating(&request, now + 485));
}

#[test]
fn what_must_be_revalidated_is_served_only_within_its_own_lifetime() {
    let request = RequestFacts::PLAIN_GET;
    // 10 s old when the purge comes.
    let (object, now) = softly_purged(StoredFacts { lifetime: 40, must_revalidate: true, ..FACTS });
    let facts = object.facts();
    assert_eq!(facts.may_use(&request, now), Use::Revalidate);
    assert!(facts.serves_while_revalidating(&request, now + 25));
    assert!(!facts.serves_while_revalidating(&request, now + 31));
    assert!(!facts.serves_on_error(Trouble::Error, &request, now + 31));
    assert!(!facts.serves_on_error(Trouble::Silence, &request, now + 31));
    let (object, now) = softly_purged(StoredFacts { lifetime: 5, must_revalidate: true, ..FACTS });
    assert!(!object.facts().serves_while_revalidating(&request, now), "it was stale already");
    let (object, now) = softly_purged(StoredFacts { lifetime: 40, no_cache: true, ..FACTS });
    assert!(!object.facts().serves_while_revalidating(&request, now));
}

#[test]
fn one_is_purged_once_until_it_was_fetched_anew() {
    let edge = Edge::new();
    stored(&edge, FACTS);
    let key = edge.cache.key(b"/");
    assert_eq!(edge.cache.purge(&key, true).objects, 1);
    assert_eq!(edge.cache.purge_all(true).objects, 0, "it is stale already");
    assert_eq!(edge.cache.stats().softly_purged, 1);
    // Its confirmation, asked for after the purge, makes it fresh.
    let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
    let stale = lead.stale.clone().unwrap();
    lead.refreshed(&stale, confirmed(head(), FACTS));
    assert!(!edge.get("/").hit().is_softly_purged());
    assert_eq!(edge.cache.purge_all(true).objects, 1);
    assert_eq!(edge.cache.purge(&key, false).objects, 1);
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
    drop(stale);
    edge.assert_nothing_is_held();
}

#[test]
fn a_head_does_not_make_fresh_what_a_soft_purge_made_stale() {
    let edge = Edge::new();
    stored(&edge, FACTS);
    let before = edge.get("/").hit();
    edge.cache.update(&before, confirmed(head(), StoredFacts { response_time: 2_000, ..FACTS }));
    let updated = edge.get("/").hit();
    assert_eq!(updated.facts().response_time, 2_000);
    edge.cache.purge(&edge.cache.key(b"/"), true);
    edge.cache.update(&updated, confirmed(head(), FACTS));
    let again = edge.get("/").hit();
    assert!(again.is_softly_purged() && !Arc::ptr_eq(&again, &updated));
    edge.cache.update(&before, confirmed(head(), FACTS));
    assert!(Arc::ptr_eq(&edge.get("/").hit(), &again), "what has gone is not updated");
    drop((before, updated, again));
    edge.assert_nothing_is_held();
}
