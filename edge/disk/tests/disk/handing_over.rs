//! One process gives the directory up and another one takes it, while both run.

use crate::common::*;
use tentpole_disk::{Disk, Purge};
use tentpole_runtime::Ledger;

fn next(directory: &std::path::Path) -> std::sync::Arc<Disk> {
    Disk::start(&settings(directory, 64 * MIB), &Ledger::new(1 << 32))
}

fn is_on(disk: &Disk) -> bool {
    disk.stats().on && disk.is_scanned()
}

#[test]
fn what_one_process_has_stored_the_next_one_finds_but_for_what_was_purged_at_either() {
    let directory = tempfile::tempdir().unwrap();
    let old = open(directory.path(), 64 * MIB);
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for (number, key) in keys.iter().enumerate() {
        assert!(put(&old, key, 1, [40, 9_000, 70_000, 400_000][number % 4]));
    }
    until("all is written", || old.stats().writes == 40);
    assert!(old.purge(&[Purge::Key(b"k0")], false).wait());
    let new = next(directory.path());
    assert!(!new.stats().on && look(&new, "k1").is_empty(), "it is another's");
    assert!(!put(&new, "k2", 2, 100), "it cannot be kept, and what lies there is older");
    // Answered at once, although it is the other one who can write it down.
    assert!(new.purge(&[Purge::Key(b"k1")], false).wait());
    assert!(new.purge(&[Purge::Prefix(b"k3")], false).wait());
    let sent = look(&old, "k7").pop().unwrap();
    let held = sent.body.hold().unwrap();
    assert!(put(&old, "late", 1, 30_000), "what waits is still written");
    old.hand_over();
    until("the next one has it", || is_on(&new));
    assert!(!old.stats().on && look(&old, "k5").is_empty(), "it has let go");
    let part = wait(old.read(&held, 0)).unwrap();
    assert!(content("k7", 1, 400_000).starts_with(&part), "what is being sent goes on");
    for key in keys.iter().map(String::as_str).chain(["late"]) {
        let gone = ["k0", "k1", "k2"].contains(&key) || key.starts_with("k3");
        assert_eq!(version(&new, key), (!gone).then_some(1), "{key}");
    }
    assert!(put(&new, "k1", 2, 9_000));
    until("it writes", || version(&new, "k1") == Some(2));
    // The old one says nothing against a purge, and touches nothing.
    assert!(old.purge(&[Purge::All], false).wait());
    drop(old);
    new.close();
    drop(new);
    // What was purged while it belonged to nobody is written down.
    let again = open(directory.path(), 64 * MIB);
    for (key, expected) in [("k0", None), ("k1", Some(2)), ("k2", None), ("k30", None), ("k4", Some(1))] {
        assert_eq!(version(&again, key), expected, "{key}");
    }
}

#[test]
fn a_process_that_dies_leaves_it_to_the_one_that_waits() {
    let directory = tempfile::tempdir().unwrap();
    let old = open(directory.path(), 64 * MIB);
    assert!(put(&old, "a", 1, 9_000));
    until("it is written", || old.stats().writes == 1);
    let (new, other) = (next(directory.path()), next(directory.path()));
    drop(old);
    until("one of them has it", || is_on(&new) || is_on(&other));
    let (first, second) = if is_on(&new) { (new, other) } else { (other, new) };
    assert!(!second.stats().on);
    assert_eq!(version(&first, "a"), Some(1));
    first.hand_over();
    until("the other one has it", || is_on(&second));
    assert_eq!(version(&second, "a"), Some(1));
    // One that is to give it up before it has it never takes it.
    let third = next(directory.path());
    third.hand_over();
    drop(second);
    assert!(third.purge(&[Purge::All], false).wait());
    let fourth = open(directory.path(), 64 * MIB);
    assert_eq!(version(&fourth, "a"), Some(1), "and purges nothing there");
}
