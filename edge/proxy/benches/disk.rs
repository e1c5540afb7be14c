//! One request after the other over one connection: out of memory, from disk, from an endpoint. What lies on disk is in
//! the system's page cache, as it is for a site that is asked for; a slower disk adds its own time.

#![allow(clippy::unwrap_used, reason = "a benchmark")]

#[path = "../tests/common/mod.rs"]
mod common;

use common::{Running, edge, endpoint};
use divan::Bencher;
use std::cell::Cell;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use tentpole_model::DiskSettings;

const MIB: u64 = 1 << 20;
/// Objects that are asked for in turn; far more bytes than memory has for them below.
const OBJECTS: u64 = 2_000;

fn main() {
    divan::main();
}

struct Client(TcpStream, Vec<u8>);

impl Client {
    /// One GET; returns the bytes of its body.
    fn get(&mut self, path: u64) -> usize {
        let Self(connection, buffer) = self;
        write!(connection, "GET /{path} HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
        buffer.clear();
        let mut chunk = [0; 256 * 1024];
        loop {
            let read = connection.read(&mut chunk).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(buffer));
            buffer.extend_from_slice(&chunk[..read]);
            let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&buffer[..end]).unwrap();
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).unwrap();
            let length: usize = length.parse().unwrap();
            if buffer.len() == end + 4 + length {
                return length;
            }
        }
    }

    fn said(&self, what: &str) -> bool {
        String::from_utf8_lossy(&self.1[..400.min(self.1.len())]).contains(what)
    }
}

fn run(bencher: Bencher<'_, '_>, bytes: usize, memory: u64, fields: &'static str, says: &str, objects: u64) {
    let directory = tempfile::tempdir().unwrap();
    let body = "x".repeat(bytes);
    let (address, _) =
        endpoint(move |_| format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len()));
    let path = directory.path().to_path_buf();
    let running: Running = edge(address, |snapshot| {
        snapshot.cache.memory_bytes_max = memory;
        snapshot.cache.object_bytes_max = 1 << 20;
        snapshot.disk =
            Some(DiskSettings { directory: path, bytes_max: 4096 * MIB, object_bytes_max: 1024 * MIB });
    });
    let mut client = Client(TcpStream::connect(running.address).unwrap(), Vec::new());
    client.0.set_nodelay(true).unwrap();
    client.0.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let disk = running.disk.clone().unwrap();
    for path in 0..objects {
        client.get(path);
        while says.contains("disk") && disk.stats().writes < path + 1 {
            std::thread::yield_now();
        }
    }
    let (next, wrong) = (Cell::new(0u64), Cell::new(0));
    let asked = Cell::new(0);
    bencher.bench_local(|| {
        next.set((next.get() + 1) % objects);
        let length = client.get(next.get());
        asked.set(asked.get() + 1);
        wrong.set(wrong.get() + u64::from(!client.said(says)));
        length
    });
    assert!(wrong.get() * 20 <= asked.get(), "{} of {} answers did not say {says}", wrong.get(), asked.get());
}

const STORED: &str = "Cache-Control: max-age=6000\r\n";

#[divan::bench(args = [1_024, 16_384])]
fn from_memory(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, bytes, 256 * MIB, STORED, "; hit; ttl", OBJECTS);
}

#[divan::bench(args = [1_024, 16_384])]
fn from_disk(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, bytes, MIB, STORED, "; hit; detail=disk", OBJECTS);
}

#[divan::bench(args = [1_024, 16_384])]
fn from_an_endpoint(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, bytes, 256 * MIB, "Cache-Control: private\r\n", "detail=", 1);
}

#[divan::bench(args = [8 << 20], sample_count = 20)]
fn large_from_disk(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, bytes, 16 * MIB, STORED, "; hit; detail=disk", 4);
}

#[divan::bench(args = [8 << 20], sample_count = 20)]
fn large_from_an_endpoint(bencher: Bencher<'_, '_>, bytes: usize) {
    run(bencher, bytes, 16 * MIB, "Cache-Control: private\r\n", "detail=", 1);
}
