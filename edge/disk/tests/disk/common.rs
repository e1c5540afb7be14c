//! What the tests share: objects whose every byte follows from key, version and length, so that a wrong or torn one is
//! seen at once.

use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use tentpole_disk::{Disk, Found, Meta, NewObject};
use tentpole_freshness::StoredFacts;
use tentpole_model::DiskSettings;
use tentpole_runtime::{Ledger, clock};

pub const MIB: u64 = 1 << 20;

pub fn settings(directory: &Path, bytes_max: u64) -> DiskSettings {
    DiskSettings { directory: directory.to_path_buf(), bytes_max, object_bytes_max: bytes_max }
}

/// Opens and waits until what is there can be found.
pub fn open(directory: &Path, bytes_max: u64) -> Arc<Disk> {
    let disk = Disk::open(&settings(directory, bytes_max), &Ledger::new(1 << 32)).unwrap();
    until("everything is looked through", || disk.is_scanned());
    disk
}

/// Waits for something that another thread does; fails when it takes ten seconds.
pub fn until(what: &str, mut done: impl FnMut() -> bool) {
    let late = clock::now().after(std::time::Duration::from_secs(30));
    while !done() {
        assert!(clock::now() < late, "not in half a minute: {what}");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

pub fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// The bytes of a body.
pub fn content(key: &str, version: u64, length: usize) -> Vec<u8> {
    let mut state = key.bytes().fold(version ^ 0x9e37_79b9_7f4a_7c15, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(length);
    out
}

pub fn meta(version: u64, length: usize) -> Meta {
    let facts = StoredFacts {
        lifetime: 3_600,
        initial_age: 0,
        response_time: clock::unix_seconds(),
        no_cache: false,
        must_revalidate: false,
        heuristic: false,
        learned: false,
        surrogate: false,
        validator: true,
        stale_while_revalidate: 0,
        stale_if_error: 0,
        stale_if_unreachable: 0,
        immutable: false,
    };
    Meta {
        facts,
        status: 200,
        head: Bytes::from(format!("HTTP/1.1 200 OK\r\nX-Version: {version}\r\n")),
        etag: Some(Bytes::from(format!("{version}-{length}"))),
        last_modified: None,
        vary: vec![],
        tags: vec![],
        site: 0,
        rules: 0,
        assembles: false,
    }
}

/// Hands an object over, in pieces of an odd size.
pub fn put(disk: &Disk, key: &str, version: u64, length: usize) -> bool {
    put_as(disk, key, version, length, meta(version, length), disk.sequence())
}

pub fn put_as(disk: &Disk, key: &str, version: u64, length: usize, meta: Meta, sequence: u64) -> bool {
    let body = content(key, version, length).chunks(30_011).map(Bytes::copy_from_slice).collect();
    disk.write(NewObject { key: Bytes::copy_from_slice(key.as_bytes()), meta, sequence }, body)
}

pub fn look(disk: &Disk, key: &str) -> Vec<Found> {
    wait(disk.look_up(key.as_bytes(), clock::unix_seconds()))
}

/// Reads what was found, whole; `None` when it cannot be.
pub fn body(disk: &Disk, found: &Found) -> Option<Vec<u8>> {
    let held = found.body.hold()?;
    let mut read = Vec::new();
    for part in 0..held.parts() {
        read.extend_from_slice(&wait(disk.read(&held, part))?);
    }
    assert!(
        found.whole.as_ref().is_none_or(|whole| **whole == *read),
        "read at once and by parts is the same"
    );
    Some(read)
}

/// The version of what is found under a key; fails when it is not that version's bytes.
pub fn version(disk: &Disk, key: &str) -> Option<u64> {
    let found = look(disk, key);
    let first = found.first()?;
    let etag = String::from_utf8(first.meta.etag.clone()?.to_vec()).unwrap();
    let (version, length) = etag.split_once('-').unwrap();
    let (version, length) = (version.parse().unwrap(), length.parse().unwrap());
    let read = body(disk, first)?;
    assert!(read == content(key, version, length), "{key} version {version}: other bytes were read");
    Some(version)
}

/// Waits until what was handed over is written.
pub fn written(disk: &Disk, count: u64) {
    until("it is written", || disk.stats().writes + disk.stats().writes_dropped >= count);
}
