//! Purges by tag, by prefix and by test, hard and soft.

use crate::support::*;
use bytes::Bytes;
use tentpole_cache::{Arrival, Judged, Looked, NewObject, Release, Selector, TAGS_MAX, Tag, TagSet};
use tentpole_message::Fields;
use tentpole_model::{Bypass, Purged};

fn tags(names: &[&str]) -> Vec<Tag> {
    names.iter().map(|name| Tag::of(name.as_bytes())).collect()
}

fn purge(edge: &Edge, names: &[&str], soft: bool) -> Purged {
    edge.cache.purge_tags(&TagSet::new(&tags(names)), |_| true, soft)
}

fn tagged<'a>(request: &'a Fields, tags: &'a [Tag]) -> NewObject<'a> {
    NewObject { tags, ..new_object(request, &[], None) }
}

fn store(edge: &Edge, path: &str, names: &[&str]) {
    let (request, tags) = (Fields::new(), tags(names));
    let (mut filling, _) = edge.lead(path).start(tagged(&request, &tags)).unwrap();
    filling.append(Bytes::copy_from_slice(path.as_bytes()));
    filling.finish().stored();
}

fn is_there(edge: &Edge, path: &str) -> bool {
    matches!(edge.get(path), Looked::Hit(_))
}

#[test]
fn a_purge_removes_what_carries_one_of_its_tags_and_nothing_else() {
    let edge = Edge::new();
    store(&edge, "/1", &["post-1", "front"]);
    store(&edge, "/2", &["post-2"]);
    store(&edge, "/", &["post-1", "post-2", "front"]);
    store(&edge, "/about", &[]);
    assert_eq!(edge.cache.stats().tags, 6);
    assert_eq!(purge(&edge, &["post-1", "nobody's"], false), Purged { objects: 2, fills: 0 });
    assert_eq!(["/1", "/2", "/", "/about"].map(|path| is_there(&edge, path)), [false, true, false, true]);
    assert_eq!(purge(&edge, &["post-1", "front"], false), Purged::default());
    assert_eq!(edge.cache.stats().tags, 1);
    edge.assert_nothing_is_held();
}

#[test]
fn a_purge_within_a_site_leaves_the_same_tag_of_another_site() {
    let edge = Edge::new();
    for host in ["a", "b"] {
        (0..700).for_each(|number| store(&edge, &format!("{host}\0/{number}"), &["all"]));
    }
    let all = TagSet::new(&tags(&["all"]));
    let of_a = |key: &[u8]| key.starts_with(b"a\0");
    assert_eq!(edge.cache.purge_tags(&all, of_a, true).objects, 700, "in more than one go a shard");
    assert_eq!(edge.cache.purge_tags(&all, of_a, false).objects, 700);
    assert!((0..700).all(|number| is_there(&edge, &format!("b\0/{number}"))));
    assert_eq!(edge.cache.purge_tags(&all, |_| true, false).objects, 700);
}

#[test]
fn a_tag_that_a_response_names_twice_is_one() {
    let edge = Edge::new();
    store(&edge, "/", &["a", "b", "a"]);
    assert_eq!(edge.cache.stats().tags, 2);
    assert_eq!(purge(&edge, &["a", "a", "b"], false).objects, 1);
    edge.assert_nothing_is_held();
}

#[test]
fn a_response_with_more_tags_than_may_be_is_not_stored() {
    let edge = Edge::new();
    let many: Vec<Tag> = (0..=TAGS_MAX).map(|number| Tag::of(number.to_string().as_bytes())).collect();
    let request = Fields::new();
    let refused = edge.lead("/").start(tagged(&request, &many));
    assert_eq!(refused.err(), Some(Bypass::TooManyTags));
    let (filling, _) = edge.lead("/as many").start(tagged(&request, &many[1..])).unwrap();
    filling.finish().stored();
    assert_eq!(edge.cache.purge_tags(&TagSet::new(&many[5..9]), |_| true, false).objects, 1);
    edge.assert_nothing_is_held();
}

#[test]
fn a_fill_whose_tags_are_known_is_kept_out_by_a_purge_that_names_one() {
    let edge = Edge::new();
    let (request, own) = (Fields::new(), tags(&["post-1"]));
    let (filling, reader) = edge.lead("/").start(tagged(&request, &own)).unwrap();
    drop(reader);
    assert_eq!(purge(&edge, &["post-2"], false), Purged::default());
    let before = edge.get("/").joined();
    assert_eq!(purge(&edge, &["post-1"], true), Purged { objects: 0, fills: 1 });
    assert!(matches!(edge.get("/"), Looked::Lead(_)), "nobody joins it any more");
    assert_eq!(filling.finish().not_stored(), Bypass::Purged);
    drop(before);
    edge.assert_nothing_is_held();
}

#[test]
fn a_fill_whose_head_comes_after_the_purge_is_kept_out_if_it_was_meant() {
    for (name, meant) in [("post-1", true), ("post-2", false)] {
        let edge = Edge::new();
        let (request, own) = (Fields::new(), tags(&["front", name]));
        let lead = edge.lead("/");
        let mut before = edge.get("/").joined();
        assert_eq!(purge(&edge, &["post-1"], false), Purged::default(), "it is not known yet");
        let mut after = edge.get("/").joined();
        let (filling, _) = lead.start(tagged(&request, &own)).unwrap();
        assert!(matches!(arrival(&mut before), Arrival::Reader(_)));
        match arrival(&mut after) {
            Arrival::GoYourself(Release::Abandoned) => assert!(meant, "it asked after the purge"),
            other => assert!(!meant && matches!(other, Arrival::Reader(_))),
        }
        assert_eq!(matches!(edge.get("/"), Looked::Lead(_)), meant);
        match filling.finish() {
            tentpole_cache::Finished::Stored(_) => assert!(!meant),
            tentpole_cache::Finished::NotStored(bypass) => {
                assert_eq!((meant, bypass), (true, Bypass::Purged))
            }
        }
        drop((before, after));
        edge.assert_nothing_is_held();
    }
}

#[test]
fn a_fill_that_is_in_doubt_about_too_many_purges_is_not_stored() {
    let edge = Edge::new();
    let lead = edge.lead("/");
    for number in 0..256 {
        assert_eq!(purge(&edge, &[&format!("other-{number}")], false).fills, 0);
    }
    assert_eq!(purge(&edge, &["one more"], false).fills, 1);
    let request = Fields::new();
    let (filling, _) = lead.start(tagged(&request, &[])).unwrap();
    assert_eq!(filling.finish().not_stored(), Bypass::Purged);
    edge.assert_nothing_is_held();
}

#[test]
fn a_304_that_was_asked_for_before_a_soft_purge_makes_nothing_fresh() {
    let edge = Edge::new();
    store(&edge, "/", &["post-1"]);
    let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
    assert_eq!(purge(&edge, &["post-1"], true).objects, 1);
    let mut after = edge.get_as("/", &Fields::new(), Judged::Revalidate).joined();
    let stale = lead.stale.clone().unwrap();
    let confirmed = lead.refreshed(&stale, confirmed(head(), FACTS));
    assert!(!confirmed.is_softly_purged(), "whoever asked before it gets it");
    assert!(matches!(arrival(&mut after), Arrival::GoYourself(Release::Abandoned)));
    assert!(edge.get("/").hit().is_softly_purged(), "what is stored stays stale");
    drop((after, confirmed, stale));
    edge.assert_nothing_is_held();
}

#[test]
fn a_304_may_name_other_tags() {
    let edge = Edge::new();
    store(&edge, "/", &["old"]);
    let lead = edge.get_as("/", &Fields::new(), Judged::Revalidate).lead();
    let (stale, new) = (lead.stale.clone().unwrap(), tags(&["new", "newer"]));
    lead.refreshed(&stale, tentpole_cache::Confirmed { tags: Some(&new), ..confirmed(head(), FACTS) });
    drop(stale);
    assert_eq!(edge.cache.stats().tags, 2);
    assert_eq!(purge(&edge, &["old"], false).objects, 0);
    assert_eq!(purge(&edge, &["newer"], false).objects, 1);
    edge.assert_nothing_is_held();
}

#[test]
fn a_purge_by_prefix_meets_objects_variants_and_fills() {
    let edge = Edge::new();
    let vary: &[&[u8]] = &[b"X-Market"];
    edge.store_for("h\0/p/1", b"de", &fields(&[("X-Market", "de")]), vary);
    edge.store_for("h\0/p/1", b"fr", &fields(&[("X-Market", "fr")]), vary);
    (0..500).for_each(|number| drop(edge.store(&format!("h\0/p/2?{number}"), b"")));
    edge.store("h\0/q", b"stays");
    let request = Fields::new();
    let (filling, _) = edge.lead("h\0/p/3").start(new_object(&request, &[], None)).unwrap();
    let other = edge.lead("h\0/r");
    let prefix = Selector::Prefix(b"h\0/p/".as_slice().into());
    assert_eq!(edge.cache.purge_selected(&prefix, false), Purged { objects: 502, fills: 1 });
    assert_eq!(filling.finish().not_stored(), Bypass::Purged);
    assert_eq!(body_of(&edge.get("h\0/q").hit()), b"stays");
    let (filling, _) = other.start(new_object(&request, &[], None)).unwrap();
    filling.finish().stored();
    edge.assert_nothing_is_held();
}

#[test]
fn evicted_and_superseded_objects_leave_the_index() {
    let settings = tentpole_model::CacheSettings { memory_bytes_max: 100_000, ..SETTINGS };
    let edge = Edge::with(settings, 1 << 30);
    for number in 0..1_000 {
        store(&edge, &format!("/{number}"), &["all", &format!("{number}")]);
    }
    let stats = edge.cache.stats();
    assert!(stats.evictions > 800 && stats.tags == 2 * stats.objects, "{stats:?}");
    edge.get_as("/999", &Fields::new(), Judged::Revalidate)
        .lead()
        .start(new_object(&Fields::new(), &[], None))
        .unwrap()
        .0
        .finish();
    let left = edge.cache.stats().objects;
    assert_eq!(purge(&edge, &["all"], false).objects, left - 1, "the newest has no tags any more");
    edge.assert_nothing_is_held();
}
