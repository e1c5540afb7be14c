//! When a purge returns, nobody gets what was there.

use crate::support::*;
use bytes::Bytes;
use std::task::Poll;
use tentpole_cache::{Arrival, Judged, Looked};
use tentpole_message::Fields;
use tentpole_model::{Bypass, Purged};

#[test]
fn a_purge_removes_all_variants_and_nothing_else() {
    let edge = Edge::new();
    let vary: &[&[u8]] = &[b"X-Market"];
    edge.store_for("/", b"de", &fields(&[("X-Market", "de")]), vary);
    edge.store_for("/", b"fr", &fields(&[("X-Market", "fr")]), vary);
    edge.store("/other", b"stays");
    assert_eq!(edge.purge("/"), Purged { objects: 2, fills: 0 });
    assert_eq!(edge.purge("/"), Purged { objects: 0, fills: 0 });
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
    assert_eq!(body_of(&edge.get("/other").hit()), b"stays");
    assert_eq!(edge.cache.purge_all(false), Purged { objects: 1, fills: 0 });
    assert!(matches!(edge.get("/other"), Looked::Lead(_)));
    edge.assert_nothing_is_held();
}

#[test]
fn a_fill_that_a_purge_meets_is_delivered_but_not_stored() {
    for all in [false, true] {
        let edge = Edge::new();
        let request = Fields::new();
        let (mut filling, mut reader) = edge.lead("/").start(new_object(&request, &[], None)).unwrap();
        let mut waiter = edge.get("/").joined();
        filling.append(Bytes::from_static(b"old "));
        let purged = if all { edge.cache.purge_all(false) } else { edge.purge("/") };
        assert_eq!(purged, Purged { objects: 0, fills: 1 });
        let (mut newer, _) = edge.lead("/").start(new_object(&request, &[], None)).unwrap();
        newer.append(Bytes::from_static(b"new"));
        newer.finish().stored();
        filling.append(Bytes::from_static(b"content"));
        assert_eq!(filling.finish().not_stored(), Bypass::Purged);
        assert_eq!(read(&mut reader), (b"old content".to_vec(), Poll::Ready(Ok(()))));
        let Arrival::Reader(mut second) = arrival(&mut waiter) else { panic!("it joined before the purge") };
        assert_eq!(read(&mut second), (b"old content".to_vec(), Poll::Ready(Ok(()))));
        assert_eq!(body_of(&edge.get("/").hit()), b"new");
        drop((reader, second, waiter));
        edge.assert_nothing_is_held();
    }
}

#[test]
fn a_lead_that_a_purge_meets_before_its_head_stores_nothing() {
    let edge = Edge::new();
    let lead = edge.lead("/");
    let mut waiter = edge.get("/").joined();
    edge.purge("/");
    let request = Fields::new();
    let (mut filling, _) = lead.start(new_object(&request, &[], None)).unwrap();
    filling.append(Bytes::from_static(b"old"));
    assert_eq!(filling.finish().not_stored(), Bypass::Purged);
    let Arrival::Reader(mut reader) = arrival(&mut waiter) else { panic!("it joined before the purge") };
    assert_eq!(read(&mut reader).0, b"old");
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
}

#[test]
fn a_revalidation_that_a_purge_meets_brings_nothing_back() {
    let edge = Edge::new();
    edge.store("/", b"old");
    let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
    let stale = lead.stale.clone().unwrap();
    edge.purge("/");
    let object = lead.refreshed(&stale, confirmed(head(), FACTS));
    assert_eq!(body_of(&object), b"old");
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
    drop((object, stale));
    edge.assert_nothing_is_held();
}

#[test]
fn an_uncacheable_answer_after_a_purge_leaves_no_marker() {
    let edge = Edge::new();
    let lead = edge.lead("/");
    edge.purge("/");
    lead.uncacheable(Bypass::NoStore, std::time::Duration::from_secs(600));
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
}
