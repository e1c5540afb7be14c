//! Forms of an object in other codings: made once, counted with it, gone with it.

use crate::support::*;
use bytes::Bytes;
use std::sync::Arc;
use tentpole_cache::{Claim, Coding, Confirmed, Derived, Judged, Made, no_new_head};
use tentpole_message::{Fields, StoredHead};
use tentpole_model::{Bypass, CacheSettings};
use tentpole_runtime::ledger::Account;

fn made(bytes: usize) -> Made<'static> {
    let lines = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nETag: W/\"1\"\r\n");
    let (head, etag) = (StoredHead { lines, status: 200 }, Some(&b"W/\"1\""[..]));
    Made { head, etag, chunks: vec![Bytes::from(content(bytes))] }
}

fn derive(edge: &Edge, claim: Claim, bytes: usize) -> Result<Arc<Derived>, Bypass> {
    edge.cache.derive(claim, made(bytes))
}

#[test]
fn a_form_is_made_by_one_and_found_by_all() {
    let edge = Edge::new();
    let object = edge.store("/", b"plain");
    let before = edge.cache.stats().bytes;
    let claim = object.claim(Coding::Brotli).unwrap();
    assert!(object.claim(Coding::Brotli).is_none() && object.derived(Coding::Brotli).is_none());
    derive(&edge, claim, 1_000).unwrap();
    let hit = edge.get("/").hit();
    let form = hit.derived(Coding::Brotli).unwrap();
    assert_eq!((form.chunks().concat(), form.body_bytes()), (content(1_000), 1_000));
    assert_eq!(form.etag(), Some(&b"W/\"1\""[..]));
    assert!(form.lines().ends_with(b"ETag: W/\"1\"\r\n"));
    assert!(hit.derived(Coding::Gzip).is_none() && hit.claim(Coding::Gzip).is_some());
    assert_eq!(body_of(&hit), b"plain");
    let stats = edge.cache.stats();
    assert_eq!(stats.bytes - before, stats.derived_bytes);
    assert!(stats.derived_bytes > 1_000);
    drop((object, hit));
    edge.assert_nothing_is_held();
    assert_eq!(edge.cache.stats().derived_bytes, 0);
}

#[test]
fn a_claim_that_is_dropped_goes_to_another_and_one_that_is_declined_does_not() {
    let edge = Edge::new();
    let object = edge.store("/", b"plain");
    drop(object.claim(Coding::Zstd).unwrap());
    object.claim(Coding::Zstd).unwrap().decline();
    assert!(object.claim(Coding::Zstd).is_none());
    let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
    let confirmed = lead.refreshed(&object, confirmed(head(), FACTS));
    assert!(confirmed.claim(Coding::Zstd).is_none(), "the body is the same, and so is the verdict");
    assert!(confirmed.claim(Coding::Gzip).is_some());
}

#[test]
fn a_304_keeps_the_contents_and_renews_the_heads() {
    let edge = Edge::new();
    let object = edge.store("/", b"plain");
    derive(&edge, object.claim(Coding::Brotli).unwrap(), 1_000).unwrap();
    derive(&edge, object.claim(Coding::Gzip).unwrap(), 2_000).unwrap();
    let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
    let new_head = |coding, _: &Derived| {
        let lines = Bytes::from_static(b"HTTP/1.1 200 OK\r\nX: new\r\n");
        (coding == Coding::Brotli).then_some((StoredHead { lines, status: 200 }, None))
    };
    let renewed = lead.refreshed(&object, Confirmed { new_head: &new_head, ..confirmed(head(), FACTS) });
    let form = renewed.derived(Coding::Brotli).unwrap();
    assert!(form.lines().ends_with(b"X: new\r\n") && form.etag().is_none());
    assert_eq!(form.chunks()[0].as_ptr(), object.derived(Coding::Brotli).unwrap().chunks()[0].as_ptr());
    assert!(renewed.derived(Coding::Gzip).is_none(), "what got no head is made anew");
    assert!(renewed.claim(Coding::Gzip).is_some());
    drop(object);
    let stats = edge.cache.stats();
    assert_eq!(stats.bytes, renewed.cost());
    assert_eq!(edge.ledger.held(Account::Cache), stats.bytes);
    drop(renewed);
    edge.assert_nothing_is_held();
}

#[test]
fn a_form_that_comes_too_late_is_not_kept() {
    for removed in [true, false] {
        let edge = Edge::new();
        let object = edge.store("/", b"plain");
        let claim = object.claim(Coding::Brotli).unwrap();
        if removed {
            edge.purge("/");
        } else {
            let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
            lead.refreshed(&object, Confirmed { new_head: &no_new_head, ..confirmed(head(), FACTS) });
        }
        assert_eq!(derive(&edge, claim, 1_000).unwrap_err(), Bypass::Purged);
        assert!(object.derived(Coding::Brotli).is_none());
        drop(object);
        edge.assert_nothing_is_held();
    }
}

#[test]
fn forms_stay_within_the_limits() {
    let settings = CacheSettings { memory_bytes_max: 100_000, object_bytes_max: 60_000, ..SETTINGS };
    let edge = Edge::with(settings, 1 << 30);
    let object = edge.store("/", b"plain");
    let too_large = derive(&edge, object.claim(Coding::Gzip).unwrap(), 60_001);
    assert_eq!(too_large.unwrap_err(), Bypass::TooLarge);
    assert!(object.claim(Coding::Gzip).is_none(), "nobody tries again");
    drop(object);
    for number in 0..200 {
        let object = edge.store(&format!("/{number}"), b"plain");
        derive(&edge, object.claim(Coding::Brotli).unwrap(), 10_000).unwrap();
        let stats = edge.cache.stats();
        assert!(stats.bytes <= stats.bytes_max && stats.derived_bytes < stats.bytes, "{stats:?}");
    }
    assert!(edge.cache.stats().evictions > 150);
    edge.assert_nothing_is_held();
}

#[test]
fn nothing_is_derived_when_the_ledger_is_nearly_full() {
    let edge = Edge::with(SETTINGS, 100_000);
    let object = edge.store("/", b"plain");
    edge.ledger.charge(Account::Buffers, 90_000);
    let refused = derive(&edge, object.claim(Coding::Gzip).unwrap(), 10);
    assert_eq!(refused.unwrap_err(), Bypass::MemoryPressure);
}
