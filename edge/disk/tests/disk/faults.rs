//! A disk that is full, gone or lying costs hits and nothing else.

use crate::common::*;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use tentpole_disk::{PART_BYTES, Purge};

fn segments(directory: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("segment-")).collect()
}

#[test]
fn no_damaged_byte_is_ever_given_out() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    for number in 0..20 {
        put(&disk, &format!("key{number}"), 1, 10_000);
    }
    put(&disk, "large", 1, 3 * PART_BYTES);
    written(&disk, 21);
    drop(disk);
    let file = &segments(directory.path())[0];
    let whole = fs::read(file).unwrap();
    let mut lost = 0;
    for round in 0..200u64 {
        let mut bytes = whole.clone();
        let at = (round * 5_009 + 33) as usize % bytes.len();
        bytes[at] ^= 1 << (round % 8);
        fs::write(file, &bytes).unwrap();
        let disk = open(directory.path(), 16 * MIB);
        // `version` compares every byte.
        let found = (0..20).filter_map(|number| version(&disk, &format!("key{number}"))).count() as u64;
        lost += 20 - found + u64::from(version(&disk, "large").is_none());
    }
    assert!(lost >= 200, "each change damages something: {lost}");
}

#[test]
fn a_file_that_was_cut_off_gives_what_is_whole() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    for number in 0..20 {
        put(&disk, &format!("key{number}"), 1, 10_000);
    }
    written(&disk, 20);
    let file = segments(directory.path()).remove(0);
    let length = fs::metadata(&file).unwrap().len();
    // Under a disk that is open, and before the next start.
    fs::File::options().write(true).open(&file).unwrap().set_len(length - 5_000).unwrap();
    assert_eq!(version(&disk, "key19"), None);
    assert_eq!(version(&disk, "key3"), Some(1));
    drop(disk);
    let disk = open(directory.path(), 16 * MIB);
    assert_eq!((version(&disk, "key18"), version(&disk, "key19")), (Some(1), None));
    put(&disk, "key19", 2, 10_000);
    written(&disk, 1);
    assert_eq!(version(&disk, "key19"), Some(2));
}

#[test]
fn a_damaged_journal_makes_it_begin_anew() {
    for damage in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let disk = open(directory.path(), 16 * MIB);
        put(&disk, "key", 1, 10);
        put(&disk, "purged", 1, 10);
        written(&disk, 2);
        assert!(disk.purge(&[Purge::Key(b"purged")], false).wait());
        drop(disk);
        let journal = directory.path().join("purges");
        match damage {
            0 => fs::remove_file(&journal).unwrap(),
            1 => fs::OpenOptions::new().write(true).open(&journal).unwrap().write_all_at(b"x", 50).unwrap(),
            _ => fs::write(directory.path().join("store"), "another format").unwrap(),
        }
        let disk = open(directory.path(), 16 * MIB);
        assert_eq!((version(&disk, "key"), version(&disk, "purged")), (None, None), "{damage}");
        assert!(segments(directory.path()).is_empty());
        put(&disk, "key", 2, 10);
        written(&disk, 1);
        assert_eq!(version(&disk, "key"), Some(2));
    }
}

#[test]
fn a_directory_that_was_deleted_is_made_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("cache");
    let disk = open(&directory, 16 * MIB);
    put(&disk, "key", 1, 10);
    written(&disk, 1);
    fs::remove_dir_all(&directory).unwrap();
    let mut number = 0;
    until("a new segment is wanted and cannot be made", || {
        number += 1;
        put(&disk, &format!("other{number}"), 1, 200_000);
        written(&disk, number + 1);
        !disk.stats().on
    });
    assert_eq!(version(&disk, "key"), None);
    assert!(disk.stats().errors > 0);
    assert!(disk.purge(&[Purge::Key(b"key")], false).wait(), "there is nothing that could come back");
    until("it is used again", || disk.stats().on);
    assert!(put(&disk, "key", 2, 10));
    until("it is written", || version(&disk, "key") == Some(2));
    drop(disk);
    assert_eq!(version(&open(&directory, 16 * MIB), "key"), Some(2));
}

#[test]
fn a_directory_that_cannot_be_used_is_tried_again() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("cache");
    fs::write(&directory, "a file is in the way").unwrap();
    let disk =
        tentpole_disk::Disk::start(&settings(&directory, 16 * MIB), &tentpole_runtime::Ledger::new(1 << 30));
    assert!(!disk.stats().on);
    assert!(!put(&disk, "key", 1, 10));
    assert!(look(&disk, "key").is_empty());
    fs::remove_file(&directory).unwrap();
    until("it is used", || disk.stats().on);
    assert!(put(&disk, "key", 1, 10));
    until("it is written", || version(&disk, "key") == Some(1));
}

/// A file system of 12 MiB, when this process may make one.
struct Small(tempfile::TempDir);

impl Small {
    fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "none"])
            .arg(directory.path())
            .stderr(std::process::Stdio::null())
            .status();
        mount.is_ok_and(|status| status.success()).then_some(Self(directory))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_costs_writes_and_no_purge() {
    let Some(small) = Small::mount() else {
        eprintln!("not tried: this user may not mount a small file system");
        return;
    };
    let directory = small.0.path();
    let disk = open(directory, 64 * MIB);
    let mut number = 0;
    until("the disk is full", || {
        put(&disk, &format!("key{number}"), 1, 200_000);
        number += 1;
        written(&disk, number);
        disk.stats().errors > 0
    });
    let stats = disk.stats();
    assert!(stats.on, "what lies there can be read: {stats:?}");
    assert_eq!(version(&disk, "key0"), Some(1));
    assert_eq!(version(&disk, "key9"), Some(1));
    assert!(
        !put(&disk, "key0", 2, 200_000) || {
            written(&disk, number + 1);
            true
        }
    );
    assert_eq!(
        version(&disk, "key0"),
        None,
        "what is newer was not written, so what is older must not be used"
    );
    for number in 0..500 {
        assert!(disk.purge(&[Purge::Tag(number)], false).wait());
    }
    assert!(disk.purge(&[Purge::Key(b"key9")], false).wait());
    assert!(disk.stats().on, "there was room for purges");
    drop(disk);
    let disk = open(directory, 64 * MIB);
    assert_eq!(
        (version(&disk, "key0"), version(&disk, "key9"), version(&disk, "key8")),
        (None, None, Some(1))
    );
    // Room is made: it writes again.
    fs::remove_file(segments(directory).remove(0)).unwrap();
    drop(disk);
    let disk = open(directory, 64 * MIB);
    put(&disk, "new", 3, 10_000);
    until("it is written", || version(&disk, "new") == Some(3));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn nobody_else_reads_or_writes_what_lies_there() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("var/cache");
    let disk = open(&directory, 16 * MIB);
    put(&disk, "key", 1, 10);
    written(&disk, 1);
    assert_eq!(mode(&directory), 0o700);
    for file in fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn what_somebody_else_has_put_there_is_not_read() {
    let parent = tempfile::tempdir().unwrap();
    let open_in = |directory: &Path| {
        tentpole_disk::Disk::open(&settings(directory, 16 * MIB), &tentpole_runtime::Ledger::new(1 << 30))
    };
    for name in ["segment-0000000001", "store", "purges", "lock"] {
        let directory = parent.path().join(format!("cache-with-{name}"));
        let disk = open(&directory, 16 * MIB);
        put(&disk, "key", 1, 10);
        written(&disk, 1);
        drop(disk);
        if std::os::unix::fs::chown(directory.join(name), Some(54_321), None).is_err() {
            eprintln!("not tried: this user may not give files away");
            return;
        }
        match open_in(&directory) {
            Ok(disk) => {
                assert_eq!(name, "segment-0000000001");
                until("it is looked through", || disk.is_scanned());
                assert_eq!(version(&disk, "key"), None);
                assert!(!directory.join(name).exists());
            }
            Err(error) => {
                let error = error.to_string();
                assert!(error.contains(&format!("{name} is no file of the user")), "{error}");
                assert!(error.contains("54321"), "{error}");
            }
        }
    }
}

#[test]
fn a_pipe_in_the_place_of_a_file_holds_nothing_up() {
    let parent = tempfile::tempdir().unwrap();
    for name in ["lock", "store", "purges", "segment-0000000001"] {
        let directory = parent.path().join(format!("cache-with-{name}"));
        drop(open(&directory, 16 * MIB));
        let path = directory.join(name);
        let _ = fs::remove_file(&path);
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let disk = tentpole_disk::Disk::start(
            &settings(&directory, 16 * MIB),
            &tentpole_runtime::Ledger::new(1 << 30),
        );
        assert_eq!(disk.stats().on, name == "segment-0000000001", "{name}");
    }
}

#[test]
fn a_link_in_the_place_of_a_file_leads_nowhere() {
    let parent = tempfile::tempdir().unwrap();
    let precious = parent.path().join("precious");
    fs::write(&precious, "do not touch").unwrap();
    for name in ["lock", "store", "purges", "purges.new", "segment-0000000001"] {
        let directory = parent.path().join(format!("cache-of-{name}"));
        fs::create_dir(&directory).unwrap();
        std::os::unix::fs::symlink(&precious, directory.join(name)).unwrap();
        let disk = tentpole_disk::Disk::start(
            &settings(&directory, 16 * MIB),
            &tentpole_runtime::Ledger::new(1 << 30),
        );
        put(&disk, "key", 1, 10);
        drop(disk);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "do not touch", "{name}");
    }
}

#[test]
fn files_of_another_store_or_in_another_place_are_not_read() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (directory, version) in [(&one, 1), (&other, 2)] {
        let disk = open(directory.path(), 16 * MIB);
        put(&disk, "key", version, 10_000);
        written(&disk, 1);
        // A second segment.
        drop(disk);
        let disk = open(directory.path(), 16 * MIB);
        put(&disk, "late", version, 10_000);
        written(&disk, 1);
    }
    let segment = |directory: &Path, number: u32| directory.join(format!("segment-{number:010}"));
    // Another store's, under the right name; this store's, under each other's names and a third.
    fs::copy(segment(other.path(), 1), segment(one.path(), 3)).unwrap();
    let (first, second) = (segment(one.path(), 1), segment(one.path(), 2));
    let saved = fs::read(&first).unwrap();
    fs::rename(&second, &first).unwrap();
    fs::write(&second, saved).unwrap();
    let disk = open(one.path(), 16 * MIB);
    assert_eq!((version(&disk, "key"), version(&disk, "late")), (None, None));
    put(&disk, "key", 3, 10);
    until("it is written", || version(&disk, "key") == Some(3));
}

#[test]
fn a_file_that_grew_beyond_all_measure_costs_no_memory() {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 16 * MIB);
    put(&disk, "key", 1, 10_000);
    written(&disk, 1);
    drop(disk);
    let file = segments(directory.path()).remove(0);
    // A hole: it takes no space.
    fs::File::options().write(true).open(&file).unwrap().set_len(1 << 42).unwrap();
    let disk = open(directory.path(), 16 * MIB);
    put(&disk, "key", 2, 10_000);
    until("it is written", || version(&disk, "key") == Some(2));
    until("it was given up", || disk.stats().bytes <= 16 * MIB);
}
