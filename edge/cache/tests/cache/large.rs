//! What is remembered of responses that are too large for memory.

use crate::support::*;
use tentpole_cache::{LARGE_MAX, Tag, TagSet};

#[test]
fn what_is_noted_again_has_a_number_of_its_own() {
    let edge = Edge::new();
    let key = edge.cache.key(b"/film");
    assert!(edge.cache.large(&key).is_none());
    edge.cache.note_large(&key, b"\"1\"", 100);
    let first = edge.cache.large(&key).unwrap();
    assert_eq!((&*first.etag, first.total), (&b"\"1\""[..], 100));
    edge.purge("/film");
    assert!(edge.cache.large(&key).is_none());
    edge.cache.note_large(&key, b"\"1\"", 100);
    assert_ne!(edge.cache.large(&key).unwrap().number(), first.number());
    edge.cache.forget_large(&key);
    assert!(edge.cache.large(&key).is_none());
    drop(first);
    edge.assert_nothing_is_held();
}

#[test]
fn after_a_purge_that_may_be_about_it_its_parts_are_kept_under_another_number() {
    let edge = Edge::new();
    let key = edge.cache.key(b"/film");
    edge.cache.note_large(&key, b"\"1\"", 100);
    let large = edge.cache.large(&key).unwrap();
    let mut before = large.number();
    let purges: [&dyn Fn(); 3] = [
        &|| _ = edge.cache.purge_where(|_| false, false),
        &|| _ = edge.cache.purge_tags(&TagSet::new(&[Tag::of(b"a")]), |_| true, true),
        &|| _ = edge.cache.purge_all(true),
    ];
    for purge in purges {
        purge();
        let now = edge.cache.large(&key).unwrap().number();
        assert!(now > before);
        before = now;
    }
    drop(large);
    edge.assert_nothing_is_held();
}

#[test]
fn the_oldest_gives_way_and_a_long_tag_is_not_remembered() {
    let edge = Edge::new();
    let key = |number: usize| number.to_string();
    for number in 0..=LARGE_MAX {
        edge.cache.note_large(&edge.cache.key(key(number).as_bytes()), b"\"1\"", 100);
    }
    let known = |number: usize| edge.cache.large(&edge.cache.key(key(number).as_bytes())).is_some();
    assert!(!known(0) && known(1) && known(LARGE_MAX));
    edge.cache.note_large(&edge.cache.key(b"/long"), &[b'"'; 257], 100);
    assert!(edge.cache.large(&edge.cache.key(b"/long")).is_none());
    edge.assert_nothing_is_held();
}
