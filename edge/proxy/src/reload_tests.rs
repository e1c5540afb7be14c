//! Which routes are closed and which stored responses go when another Snapshot comes.

use super::*;
use crate::limits::Limits;
use crate::room::Rooms;
use crate::sticky::OwnKey;
use tentpole_model::{Caching, HostPattern, Pool, QueryRules, Route};
use tentpole_runtime::InForce;

fn site(name: &str, host: &str, routes: &[(&str, u16)]) -> Site {
    let route = |&(path, caching): &(&str, u16)| Route {
        path: path.into(),
        caching: CachingId(caching),
        ..Route::default()
    };
    Site {
        name: name.into(),
        hosts: if host.is_empty() { Vec::new() } else { vec![HostPattern::Exact(host.into())] },
        routes: routes.iter().map(route).collect(),
        ..Site::default()
    }
}

/// Cachings: as usual; with a cookie in the key; as usual, but kept longer when stale.
fn prepared(sites: Vec<Site>) -> Arc<Prepared> {
    let keyed = Caching { cookies_keyed: vec!["group".into()], ..Caching::default() };
    let longer = Caching { stale_if_error: std::time::Duration::from_secs(60), ..Caching::default() };
    let snapshot = Snapshot {
        sites,
        pools: vec![Pool::default()],
        cachings: vec![Caching::default(), keyed, longer],
        ..Snapshot::default()
    };
    let file = tentpole_model::SnapshotFile::first(snapshot, 0);
    Arc::new(
        Prepared::new(
            &InForce::at_first(file),
            &Cells::new(),
            &Gates::default(),
            &OwnKey::new(None),
            &Rooms::new(None),
            &Limits::new(None),
        )
        .unwrap(),
    )
}

fn changes(before: &[Site], next: &[Site]) -> bool {
    Changes::between(&prepared(before.to_vec()), &prepared(next.to_vec())).any
}

#[test]
fn nothing_goes_where_all_is_cached_by_the_same_rules() {
    let before = [site("a", "a.example", &[("/*", 0)])];
    let next = [site("b", "", &[("/*", 0), ("/new/*", 0)]), site("c", "c.example", &[("/*", 2)])];
    assert!(!changes(&before, &before));
    assert!(!changes(&before, &next), "how long what is stale may serve is no rule of sharing");
    let mut slashes = before.clone();
    slashes[0].merge_slashes = true;
    assert!(changes(&before, &slashes), "another canonical form is another key");
}

#[test]
fn what_is_stored_by_other_rules_goes_and_nothing_else() {
    let old = [site("a", "a.example", &[("/*", 0), ("/shop/*", 0)]), site("b", "b.example", &[("/*", 1)])];
    let new = [site("a", "a.example", &[("/*", 0), ("/shop/*", 1)]), site("b", "b.example", &[("/*", 1)])];
    assert!(changes(&old, &new));
    let (before, next) = (prepared(old.to_vec()), prepared(new.to_vec()));
    let stays = |key: &[u8]| is_alike(&before, &next, key);
    assert!(stays(b"a.example\0/") && stays(b"a.example\0/x?shop=/shop/1") && stays(b"b.example\0/shop/1"));
    assert!(!stays(b"a.example\0/shop/1") && !stays(b"a.example\0/shop/1?a=2\0cgroup=vip"));
    assert!(!stays(b"unknown.example\0/"), "no route leads there");
    assert_eq!(sites_concerned(&before.snapshot, &next.snapshot), Some(vec!["a".to_owned()]));
}

#[test]
fn a_host_that_moves_may_take_anything_with_it() {
    let old = [site("all", "", &[("/*", 0)])];
    let new = [site("all", "", &[("/*", 0)]), site("b", "b.example", &[("/*", 1)])];
    let (before, next) = (prepared(old.to_vec()), prepared(new.to_vec()));
    assert!(changes(&old, &new) && sites_concerned(&before.snapshot, &next.snapshot).is_none());
    assert!(is_alike(&before, &next, b"a.example\0/") && !is_alike(&before, &next, b"b.example\0/"));
}

#[test]
fn a_route_that_is_closed_stays_so_until_all_are_opened() {
    let prepared = prepared(vec![site("a", "", &[("/*", 0), ("/b/*", 0)])]);
    prepared.close(&[RouteId(1), RouteId(9)]);
    assert!(!prepared.is_closed(RouteId(0)) && prepared.is_closed(RouteId(1)));
    prepared.open();
    assert!(!prepared.is_closed(RouteId(1)));
}

#[test]
fn the_query_that_counts_is_a_rule_of_sharing() {
    let mut snapshot = Snapshot::default();
    let rules = QueryRules { sort: true, ..QueryRules::default() };
    snapshot.cachings.push(Caching { query: rules, ..Caching::default() });
    assert_ne!(sharing(&snapshot, CachingId(0)), sharing(&snapshot, CachingId(1)));
}
