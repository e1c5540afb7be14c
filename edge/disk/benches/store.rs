//! What the disk cache costs by itself: how fast it takes objects, how long a start takes until everything is found
//! again, what a look-up for nothing costs a data thread.

#![allow(clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/disk/common.rs"]
#[allow(dead_code, reason = "not every helper is needed here")]
mod common;

use common::{MIB, open, put, settings, until};
use divan::Bencher;
use tentpole_disk::Disk;
use tentpole_runtime::{Ledger, clock};

fn main() {
    divan::main();
}

#[divan::bench]
fn look_up_of_nothing(bencher: Bencher<'_, '_>) {
    let directory = tempfile::tempdir().unwrap();
    let disk = open(directory.path(), 64 * MIB);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let now = clock::unix_seconds();
    bencher.bench_local(|| runtime.block_on(disk.look_up(b"shop.example\0/nothing", now)).len());
}

fn fill(disk: &Disk, objects: u64, bytes: usize) {
    for number in 0..objects {
        while !put(disk, &format!("key{number}"), 1, bytes) {
            std::thread::yield_now();
        }
    }
    until("all is written", || disk.stats().writes >= objects);
}

/// 64 MiB each time, into an empty directory.
#[divan::bench(args = [4_096, 65_536, 1_048_576], sample_count = 5, sample_size = 1)]
fn write_64_mib(bencher: Bencher<'_, '_>, bytes: usize) {
    bencher
        .with_inputs(|| {
            let directory = tempfile::tempdir().unwrap();
            (open(directory.path(), 1024 * MIB), directory)
        })
        .bench_local_refs(|(disk, _)| fill(disk, 64 * MIB / bytes as u64, bytes));
}

#[divan::bench(args = [10_000, 100_000], sample_count = 5, sample_size = 1)]
fn start(bencher: Bencher<'_, '_>, objects: u64) {
    let directory = tempfile::tempdir().unwrap();
    fill(&open(directory.path(), 4096 * MIB), objects, 2_000);
    let settings = settings(directory.path(), 4096 * MIB);
    bencher.bench_local(|| {
        let disk = Disk::open(&settings, &Ledger::new(1 << 32)).unwrap();
        while !disk.is_scanned() {
            std::thread::yield_now();
        }
        assert_eq!(disk.stats().objects, objects);
    });
}
