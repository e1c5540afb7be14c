//! What is written is found: at once, after a restart, in variants, in parts, within its bounds.

use crate::common::*;
use bytes::Bytes;
use tentpole_disk::{Disk, Meta, NewObject, OpenError, PART_BYTES};
use tentpole_runtime::ledger::Account;
use tentpole_runtime::{Ledger, clock};

const LENGTHS: [usize; 6] = [0, 1, 5_000, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 77];

#[test]
fn objects_of_all_sizes_are_found_and_outlive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 64 * MIB);
    for (at, length) in LENGTHS.into_iter().enumerate() {
        assert!(put(&disk, &format!("key{at}"), at as u64, length));
    }
    written(&disk, LENGTHS.len() as u64);
    let all = |disk: &Disk| {
        for at in 0..LENGTHS.len() {
            assert_eq!(version(disk, &format!("key{at}")), Some(at as u64));
        }
        assert_eq!(version(disk, "key"), None);
        assert_eq!(disk.stats().objects, LENGTHS.len() as u64);
    };
    all(&disk);
    drop(disk);
    all(&open(directory.path(), 64 * MIB));
    // A smaller cache keeps what it has room for.
    all(&open(directory.path(), 32 * MIB));
}

#[test]
fn the_newest_version_is_found_before_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3 {
        let disk = open(directory.path(), 64 * MIB);
        for version in 0..40 {
            put(&disk, "key", round * 100 + version, 9_000);
        }
        written(&disk, 40);
        assert_eq!(version(&disk, "key"), Some(round * 100 + 39));
        assert_eq!(disk.stats().objects, 1);
    }
    assert_eq!(version(&open(directory.path(), 64 * MIB), "key"), Some(239));
}

#[test]
fn variants_lie_beside_one_another() {
    let directory = tempfile::tempdir().unwrap();
    let of = |language: &'static str, version| Meta {
        vary: vec![(Bytes::from_static(b"accept-language"), Some(Bytes::from_static(language.as_bytes())))],
        ..meta(version, 10)
    };
    let disk = open(directory.path(), 64 * MIB);
    put_as(&disk, "key", 1, 10, of("de", 1), 0);
    put_as(&disk, "key", 2, 10, of("en", 2), 0);
    put_as(&disk, "key", 3, 10, of("de", 3), 0);
    written(&disk, 3);
    for disk in [disk, open_again(directory.path())] {
        let found: Vec<_> = look(&disk, "key")
            .into_iter()
            .map(|found| (found.meta.vary[0].1.clone().unwrap(), found.meta.etag.clone().unwrap()))
            .collect();
        assert_eq!(found, [("de".into(), "3-10".into()), ("en".into(), "2-10".into())], "newest first");
        disk.close();
        drop(disk);
    }
}

fn open_again(directory: &std::path::Path) -> std::sync::Arc<Disk> {
    // The first one is closed by its drop at the end of the test; the files are what counts.
    let copy = tempfile::tempdir().unwrap().keep();
    for file in std::fs::read_dir(directory).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.join(file.file_name())).unwrap();
    }
    open(&copy, 64 * MIB)
}

#[test]
fn an_object_that_arrives_is_found_once_it_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 64 * MIB);
    let length = 5 * PART_BYTES + 123;
    let whole = content("key", 1, length);
    let object = || NewObject { key: Bytes::from_static(b"key"), meta: meta(1, length), sequence: 0 };
    let mut dropped = disk.begin();
    assert!(dropped.append(Bytes::copy_from_slice(&whole)));
    drop(dropped);
    let mut writing = disk.begin();
    for piece in whole.chunks(99_991) {
        assert!(writing.append(Bytes::copy_from_slice(piece)));
    }
    assert_eq!(version(&disk, "key"), None);
    assert!(writing.finish(object()));
    written(&disk, 1);
    assert_eq!(version(&disk, "key"), Some(1));
    drop(disk);
    assert_eq!(version(&open(directory.path(), 64 * MIB), "key"), Some(1));
}

#[test]
fn what_is_too_large_is_not_kept() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    assert_eq!(disk.object_bytes_max(), 8 * MIB);
    let mut writing = disk.begin();
    let piece = Bytes::from(vec![0; MIB as usize]);
    let kept = (0..9).take_while(|_| writing.append(piece.clone())).count();
    assert_eq!(kept, 8);
    let object = NewObject { key: Bytes::from_static(b"key"), meta: meta(1, 9), sequence: 0 };
    assert!(!writing.finish(object));
    assert!(!put(&disk, "key", 1, 8 * MIB as usize + 1));
}

#[test]
fn bytes_are_bounded_and_what_is_asked_for_stays_longest() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    put(&disk, "hot", 1, 20_000);
    for number in 0..2_000 {
        put(&disk, &format!("cold{number}"), 1, 20_000);
        written(&disk, number + 2);
        if number % 100 == 0 {
            assert_eq!(version(&disk, "hot"), Some(1), "after {number}");
        }
    }
    let held: u64 = std::fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum();
    let stats = disk.stats();
    assert!(held <= 16 * MIB && stats.bytes <= 16 * MIB, "{held} bytes in files, {stats:?}");
    assert!(held > 10 * MIB, "{held}");
    assert_eq!(version(&disk, "cold0"), None);
    assert_eq!(version(&disk, "cold1999"), Some(1));
    assert_eq!(stats.objects + stats.evictions, 2_001, "{stats:?}");
}

#[test]
fn what_is_being_read_stays_readable_when_it_is_given_up() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    put(&disk, "large", 1, 4 * PART_BYTES);
    written(&disk, 1);
    let found = look(&disk, "large").remove(0);
    let held = found.body.hold().unwrap();
    for number in 0..70 {
        put(&disk, &format!("other{number}"), 1, PART_BYTES);
        written(&disk, number + 2);
    }
    assert_eq!(version(&disk, "large"), None, "it was given up");
    let read: Vec<u8> = (0..4).flat_map(|part| wait(disk.read(&held, part)).unwrap()).collect();
    assert!(read == content("large", 1, 4 * PART_BYTES));
    drop(held);
    assert!(found.body.hold().is_none(), "nothing holds it any more");
}

#[test]
fn the_memory_that_it_takes_is_on_the_ledger() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = Ledger::new(1 << 30);
    let disk = Disk::open(&settings(directory.path(), 64 * MIB), &ledger).unwrap();
    for number in 0..100 {
        put(&disk, &format!("key{number}"), 1, 1_000);
    }
    written(&disk, 100);
    until("what was written is given back", || ledger.held(Account::Disk) < 100 * 100);
    assert!(ledger.held(Account::Disk) >= 100 * 40, "{}", ledger.held(Account::Disk));
    drop(disk);
    assert_eq!(ledger.held(Account::Disk), 0);
}

#[test]
fn a_directory_is_for_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let _disk = open(directory.path(), 16 * MIB);
    let again = Disk::open(&settings(directory.path(), 16 * MIB), &Ledger::new(1 << 30));
    let error = again.unwrap_err();
    assert!(matches!(&error, OpenError::Held { by: Some(by), .. } if *by == std::process::id()), "{error}");
    assert!(error.to_string().contains("is used by another process"), "{error}");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let error = |settings| Disk::open(&settings, &Ledger::new(1 << 30)).unwrap_err().to_string();
    let small = error(settings(directory.path(), MIB));
    assert_eq!(small, "cache.disk: size is 1048576 bytes; it must be 8 MiB at least");
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let said = error(settings(&file, 16 * MIB));
    assert!(said.starts_with("cache.disk: ") && said.contains("cannot be used"), "{said}");
}

#[test]
fn what_is_of_no_use_any_more_is_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    let mut old = meta(1, 10);
    old.facts.response_time -= 3_600 + 86_400 + 10;
    put_as(&disk, "old", 1, 10, old, 0);
    put(&disk, "new", 1, 10);
    written(&disk, 2);
    assert!(look(&disk, "old").is_empty());
    assert!(!look(&disk, "new").is_empty());
    assert!(wait(disk.look_up(b"new", clock::unix_seconds() + 100_000)).is_empty());
    drop(disk);
    assert_eq!(open(directory.path(), 16 * MIB).stats().objects, 1);
}

#[test]
fn many_readers_and_writers_at_once_never_see_other_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 24 * MIB);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let disk = &disk;
            scope.spawn(move || {
                for round in 0..150u64 {
                    let key = format!("key{}", (round * 7 + thread * 3) % 20);
                    // Two may write the same version: it has the same bytes.
                    put(disk, &key, round % 5, ((round % 5) * 70_000 + 10) as usize);
                    version(disk, &format!("key{}", round % 20));
                    if round % 17 == 0 {
                        disk.forget(key.as_bytes());
                    }
                }
            });
        }
    });
    let stats = disk.stats();
    assert!(stats.hits > 0 && stats.damaged == 0 && stats.errors == 0, "{stats:?}");
}
