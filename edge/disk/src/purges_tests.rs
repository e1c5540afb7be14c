//! Tests of what was purged, against a list that keeps every order for ever.

use crate::purges::*;
use proptest::prelude::*;

fn named<'a>(sequence: u64, key: &'a [u8], tags: &'a [u64]) -> Named<'a> {
    Named { sequence, key_hash: u64::from(key[0]), key, tags, site: u64::from(key[1]) }
}

fn means(what: &What, named: &Named<'_>) -> bool {
    match what {
        What::Key(hash) => *hash == named.key_hash,
        What::Prefix(prefix) => named.key.starts_with(prefix),
        What::Tag(tag) => named.tags.contains(tag),
        What::Site(site) => *site == named.site,
        What::All => true,
    }
}

fn what() -> impl Strategy<Value = What> {
    prop_oneof![
        (0..4u64).prop_map(What::Key),
        prop::collection::vec(0..4u8, 0..3).prop_map(|prefix| What::Prefix(prefix.into())),
        (0..4u64).prop_map(What::Tag),
        (0..4u64).prop_map(What::Site),
        Just(What::All),
    ]
}

proptest! {
    #[test]
    fn an_object_stands_as_the_list_of_all_orders_says(
        orders in prop::collection::vec((what(), any::<bool>()), 0..40),
        objects in prop::collection::vec((0..40u64, prop::array::uniform2(0..4u8), prop::collection::vec(0..4u64, 0..3)), 1..20),
        restart_at in 0..40usize,
    ) {
        let (mut purges, mut all) = (Purges::default(), Vec::new());
        for (at, (what, soft)) in orders.into_iter().enumerate() {
            if at == restart_at {
                // What is written down says the same.
                let mut again = Purges::after(purges.sequence(), purges.floor());
                purges.orders().iter().for_each(|order| again.apply(order));
                prop_assert_eq!(again.len(), purges.len());
                purges = again;
            }
            all.push(purges.purge(what, soft));
        }
        prop_assert_eq!(purges.sequence(), all.len() as u64);
        for (sequence, key, tags) in &objects {
            let named = named(*sequence, key, tags);
            let meant = |soft| all.iter().any(|order| order.soft == soft && order.sequence > *sequence && means(&order.what, &named));
            let expected = if meant(false) { Standing::Gone } else if meant(true) { Standing::Stale } else { Standing::Kept };
            prop_assert_eq!(purges.standing(&named), expected);
        }
    }
}

#[test]
fn too_many_orders_purge_more_and_never_less() {
    let mut purges = Purges::default();
    let first = purges.purge(What::Key(0), false);
    for key in 1..2 * HALF_MAX as u64 + 10 {
        purges.purge(What::Key(key), false);
    }
    assert!(purges.len() <= 2 * HALF_MAX);
    let other = |sequence| named(sequence, &[200, 200], &[]);
    assert_eq!(purges.standing(&Named { key_hash: 0, ..other(first.sequence - 1) }), Standing::Gone);
    assert_eq!(purges.standing(&other(0)), Standing::Gone, "what the forgotten half may have meant");
    assert_eq!(purges.standing(&other(HALF_MAX as u64 - 1)), Standing::Gone);
    assert_eq!(purges.standing(&Named { key_hash: u64::MAX, ..other(HALF_MAX as u64) }), Standing::Kept);
    assert_eq!(purges.standing(&Named { key_hash: u64::MAX, ..other(purges.sequence()) }), Standing::Kept);
    let late = 2 * HALF_MAX as u64;
    assert_eq!(purges.standing(&Named { key_hash: late + 5, ..other(late) }), Standing::Gone);
    assert_eq!(purges.standing(&Named { key_hash: u64::MAX, ..other(late) }), Standing::Kept);
}

#[test]
fn too_many_prefixes_are_bounded_too() {
    let mut purges = Purges::default();
    for number in 0..3 * HALF_PREFIXES_MAX as u32 {
        purges.purge(What::Prefix(number.to_le_bytes().into()), false);
    }
    assert!(purges.len() <= 2 * HALF_PREFIXES_MAX);
    assert!(purges.floor() >= HALF_PREFIXES_MAX as u64);
}

#[test]
fn the_same_order_again_needs_no_more_memory() {
    let mut purges = Purges::default();
    (0..1_000).for_each(|_| {
        purges.purge(What::Tag(7), false);
    });
    assert_eq!(purges.len(), 1);
    assert_eq!(purges.standing(&named(999, &[1, 1], &[7])), Standing::Gone);
    assert_eq!(purges.standing(&named(1_000, &[1, 1], &[7])), Standing::Kept);
}

#[test]
fn a_long_prefix_purges_more_than_it_names() {
    let mut purges = Purges::default();
    let order = purges.purge(What::Prefix(vec![1; PREFIX_BYTES_MAX + 5].into()), false);
    assert_eq!(order.what, What::Prefix(vec![1; PREFIX_BYTES_MAX].into()));
}

#[test]
fn orders_that_nothing_on_disk_is_older_than_are_forgotten() {
    let mut purges = Purges::default();
    for key in 0..10 {
        purges.purge(What::Key(key), false);
    }
    purges.collapse(9);
    assert_eq!(purges.len(), 1, "the last one may still mean something");
    assert_eq!(purges.standing(&Named { key_hash: 9, ..named(9, &[3, 3], &[]) }), Standing::Gone);
    assert_eq!(purges.standing(&Named { key_hash: 8, ..named(9, &[3, 3], &[]) }), Standing::Kept);
    purges.collapse(10);
    assert_eq!((purges.len(), purges.floor(), purges.sequence()), (0, 10, 10));
    assert_eq!(purges.standing(&named(10, &[3, 3], &[])), Standing::Kept);
}
