//! What was purged does not come back: not from the disk, not from the queue, not after a restart.

use crate::common::*;
use bytes::Bytes;
use tentpole_disk::{Disk, Meta, NewObject, Purge, Standing};

fn tagged(version: u64, tags: &[u64], site: u64) -> Meta {
    Meta { tags: tags.to_vec(), site, ..meta(version, 10) }
}

/// Four objects, of which a purge means some; before and after a restart.
fn purged(what: Purge<'_>, gone: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    let objects = [
        ("shop\0/a", tagged(1, &[1, 2], 1)),
        ("shop\0/b", tagged(1, &[2], 1)),
        ("shop\0/b/c", tagged(1, &[], 1)),
        ("other\0/a", tagged(1, &[1], 2)),
    ];
    for (key, meta) in &objects {
        put_as(&disk, key, 1, 10, meta.clone(), disk.sequence());
    }
    written(&disk, 4);
    assert!(disk.purge(&[what], false).wait());
    let check = |disk: &Disk, when: &str| {
        for (key, _) in &objects {
            assert_eq!(version(disk, key).is_none(), gone.contains(key), "{key:?} {when} {what:?}");
        }
    };
    check(&disk, "after");
    put_as(&disk, "shop\0/a", 2, 10, tagged(2, &[1, 2], 1), disk.sequence());
    written(&disk, 5);
    assert_eq!(version(&disk, "shop\0/a"), Some(2), "what is fetched after a purge stays");
    drop(disk);
    let disk = open(directory.path(), 16 * MIB);
    assert_eq!(version(&disk, "shop\0/a"), Some(2));
    for (key, _) in &objects[1..] {
        assert_eq!(
            version(&disk, key).is_none(),
            gone.contains(key),
            "{key:?} after a restart after {what:?}"
        );
    }
}

#[test]
fn a_purge_means_what_it_names_and_nothing_else_also_after_a_restart() {
    purged(Purge::Key(b"shop\0/a"), &["shop\0/a"]);
    purged(Purge::Prefix(b"shop\0/b"), &["shop\0/b", "shop\0/b/c"]);
    purged(Purge::Tag(1), &["shop\0/a", "other\0/a"]);
    purged(Purge::TagOfSite(1, 1), &["shop\0/a"]);
    purged(Purge::TagOfSite(1, 2), &["other\0/a"]);
    purged(Purge::TagOfSite(2, 2), &[]);
    purged(Purge::Site(1), &["shop\0/a", "shop\0/b", "shop\0/b/c"]);
    purged(Purge::All, &["shop\0/a", "shop\0/b", "shop\0/b/c", "other\0/a"]);
}

#[test]
fn a_soft_purge_leaves_what_may_be_served_stale() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    put(&disk, "key", 1, 10);
    written(&disk, 1);
    assert!(!look(&disk, "key")[0].purged_softly);
    assert!(disk.purge(&[Purge::All], true).wait());
    assert!(look(&disk, "key")[0].purged_softly);
    drop(disk);
    let disk = open(directory.path(), 16 * MIB);
    assert!(look(&disk, "key")[0].purged_softly);
    assert!(disk.purge(&[Purge::Key(b"key")], false).wait());
    assert!(look(&disk, "key").is_empty());
}

#[test]
fn what_was_on_its_way_when_a_purge_came_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    let sequence = disk.sequence();
    let mut arriving = disk.begin();
    arriving.append(Bytes::from(content("large", 1, 600_000)));
    let purging = disk.purge(&[Purge::Key(b"key"), Purge::Prefix(b"lar")], false);
    put_as(&disk, "key", 1, 10, meta(1, 10), sequence);
    arriving.finish(NewObject { key: Bytes::from_static(b"large"), meta: meta(1, 600_000), sequence });
    assert!(purging.wait());
    written(&disk, 2);
    assert_eq!((version(&disk, "key"), version(&disk, "large")), (None, None));
    assert_eq!(disk.stats().writes_dropped, 2);
}

#[test]
fn what_was_found_before_a_purge_says_so_when_it_is_asked() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    put_as(&disk, "key", 1, 10, tagged(1, &[5], 1), 0);
    written(&disk, 1);
    let found = look(&disk, "key").remove(0);
    assert_eq!(disk.standing(b"key", &found), Standing::Kept);
    let purging = disk.purge(&[Purge::Tag(5)], false);
    assert_eq!(disk.standing(b"key", &found), Standing::Gone, "before it is safe it is in force");
    assert!(purging.wait());
}

#[test]
fn what_is_forgotten_because_something_newer_is_not_kept_stays_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    put(&disk, "key", 1, 10);
    put(&disk, "other", 1, 10);
    written(&disk, 2);
    disk.forget(b"key");
    disk.forget(b"never there");
    assert_eq!((version(&disk, "key"), disk.stats().purges), (None, 1));
    drop(disk);
    let disk = open(directory.path(), 16 * MIB);
    assert_eq!((version(&disk, "key"), version(&disk, "other")), (None, Some(1)));
}

#[test]
fn purges_that_nothing_on_disk_is_older_than_are_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    for number in 0..1_000 {
        drop(disk.purge(&[Purge::Tag(number)], false));
    }
    until("nothing is there, so no purge matters", || disk.stats().purges == 0);
    assert_eq!(disk.sequence(), 1_000);
    put(&disk, "key", 1, 10);
    written(&disk, 1);
    assert!(disk.purge(&[Purge::Tag(5)], false).wait());
    drop(disk);
    let disk = open(directory.path(), 16 * MIB);
    assert_eq!((version(&disk, "key"), disk.sequence()), (Some(1), 1_001));
    until("only the last purge came after what is there", || disk.stats().purges == 1);
}
