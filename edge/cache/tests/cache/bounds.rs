//! Every limit holds, and each refusal has its name.

use crate::support::*;
use bytes::Bytes;
use std::task::Poll;
use tentpole_cache::{Arrival, Judged, Looked, Release, Room};
use tentpole_message::Fields;
use tentpole_model::{Bypass, CacheSettings};
use tentpole_runtime::ledger::{Account, Pressure};

#[test]
fn a_cache_without_memory_is_switched_off() {
    let edge = Edge::with(CacheSettings { memory_bytes_max: 0, ..SETTINGS }, 1 << 30);
    assert_eq!(edge.get("/").bypass(), Bypass::SwitchedOff);
}

#[test]
fn no_more_wait_than_are_allowed_and_who_leaves_makes_room() {
    let edge = Edge::with(CacheSettings { waiters_max: 2, ..SETTINGS }, 1 << 30);
    let _lead = edge.lead("/");
    let first = edge.get("/").joined();
    let _second = edge.get("/").joined();
    assert_eq!(edge.get("/").bypass(), Bypass::TooManyWaiters);
    drop(first);
    edge.get("/").joined();
}

#[test]
fn an_object_announced_as_too_large_is_refused_at_once() {
    let edge = Edge::new();
    let lead = edge.lead("/film");
    let mut waiter = edge.get("/film").joined();
    let request = Fields::new();
    let refused = lead.start(new_object(&request, &[], Some(SETTINGS.object_bytes_max + 1)));
    assert_eq!(refused.unwrap_err(), Bypass::TooLarge);
    assert!(matches!(arrival(&mut waiter), Arrival::GoYourself(Release::Bypass(Bypass::TooLarge))));
    assert_eq!(edge.get("/film").bypass(), Bypass::HitForMiss);
}

#[test]
fn the_bytes_of_all_objects_stay_below_the_limit_at_every_moment() {
    let edge = Edge::with(CacheSettings { memory_bytes_max: 300_000, ..SETTINGS }, 1 << 30);
    for number in 0..500 {
        edge.store(&format!("/{number}"), &content(number * 7 % 9_000));
        let stats = edge.cache.stats();
        assert!(stats.bytes <= stats.bytes_max, "{stats:?}");
        assert_eq!(edge.ledger.held(Account::Cache), stats.bytes, "nobody reads, so both accounts agree");
    }
    let stats = edge.cache.stats();
    assert!(stats.evictions > 100 && stats.bytes > 250_000, "{stats:?}");
    assert_eq!(stats.evictions + stats.objects, 500);
    edge.assert_nothing_is_held();
}

#[test]
fn an_object_that_is_still_read_after_its_eviction_stays_on_the_ledger() {
    let edge = Edge::new();
    let object = edge.store("/", &content(10_000));
    edge.cache.purge_all(false);
    assert_eq!(edge.cache.stats().bytes, 0);
    assert_eq!(edge.ledger.held(Account::Cache), object.cost());
    drop(object);
    edge.assert_nothing_is_held();
}

#[test]
fn a_nearly_full_ledger_passes_fills_through() {
    let edge = Edge::with(SETTINGS, 1_000_000);
    edge.store("/known", b"x");
    let lead = edge.lead("/");
    let mut waiter = edge.get("/").joined();
    edge.ledger.charge(Account::Buffers, 900_000);
    let request = Fields::new();
    assert_eq!(lead.start(new_object(&request, &[], None)).unwrap_err(), Bypass::MemoryPressure);
    assert!(matches!(arrival(&mut waiter), Arrival::GoYourself(Release::Bypass(Bypass::MemoryPressure))));
    assert_eq!(edge.get("/").bypass(), Bypass::MemoryPressure);
    edge.get("/known").hit();
    let revalidating = edge.get_as("/known", &request, Judged::Revalidate);
    assert!(matches!(revalidating, Looked::Lead(_)), "a 304 needs no memory");
    edge.ledger.release(Account::Buffers, 900_000);
    assert!(matches!(edge.get("/"), Looked::Lead(_)));
}

#[test]
fn the_cache_shrinks_when_the_ledger_is_full() {
    let edge = Edge::with(SETTINGS, 1_000_000);
    for number in 0..30 {
        edge.store(&format!("/{number}"), &content(10_000));
    }
    edge.ledger.charge(Account::Buffers, 700_000);
    assert!(edge.ledger.pressure() >= Pressure::ShrinkCache);
    let before = edge.cache.stats().bytes;
    let freed = edge.cache.shrink();
    assert_eq!(edge.ledger.pressure(), Pressure::PassFills);
    assert_eq!(edge.cache.stats().bytes, before - freed);
    assert!(edge.cache.stats().objects > 15, "it gives up what is needed, not everything");
    assert_eq!(edge.cache.shrink(), 0);
}

#[test]
fn a_fill_under_way_takes_no_more_when_the_ledger_stays_full() {
    let edge = Edge::with(SETTINGS, 1_000_000);
    let request = Fields::new();
    let (mut filling, mut reader) = edge.lead("/").start(new_object(&request, &[], None)).unwrap();
    filling.append(Bytes::from(content(1_000)));
    edge.ledger.charge(Account::Buffers, 970_000);
    filling.append(Bytes::from(content(1_000)));
    assert!(matches!(edge.get("/"), Looked::Bypass(Bypass::MemoryPressure)), "no newcomers");
    assert_eq!(read(&mut reader).0.len(), 2_000);
    assert_eq!(room(&mut filling), Poll::Ready(Room::Ready));
    assert_eq!(filling.finish().not_stored(), Bypass::MemoryPressure);
    assert_eq!(read(&mut reader), (vec![], Poll::Ready(Ok(()))));
}

#[test]
fn markers_of_uncacheable_keys_are_bounded() {
    let edge = Edge::with(CacheSettings { memory_bytes_max: 1 << 20, ..SETTINGS }, 1 << 30);
    for number in 0..5_000 {
        edge.lead(&format!("/{number}")).uncacheable(Bypass::NoStore, std::time::Duration::from_secs(600));
    }
    assert!(matches!(edge.get("/0"), Looked::Lead(_)), "the oldest gave way");
    assert_eq!(edge.get("/4999").bypass(), Bypass::HitForMiss);
    assert!(edge.ledger.held(Account::Cache) < 100_000);
    edge.assert_nothing_is_held();
}
