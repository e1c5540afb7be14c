//! What choosing an endpoint costs, by the number of endpoints. `cargo bench -p tentpole-balance`

use divan::{Bencher, black_box};
use std::sync::atomic::{AtomicU32, Ordering};
use tentpole_balance::{Candidate, Latency, consistent_hash, hash, least_requests, peak_ewma, round_robin};

fn main() {
    divan::main();
}

/// Read as the edge reads them: from atomics that other threads write.
struct Cells(Vec<(AtomicU32, AtomicU32)>);

impl Cells {
    fn new(count: usize) -> Self {
        let cell = |index| (AtomicU32::new(1 + index % 3), AtomicU32::new(index % 7));
        Self((0..count as u32).map(cell).collect())
    }

    fn candidate(&self, index: usize) -> Candidate {
        let (weight, in_flight) = &self.0[index];
        Candidate {
            usable: true,
            weight: weight.load(Ordering::Relaxed),
            in_flight: in_flight.load(Ordering::Relaxed),
        }
    }
}

const COUNTS: [usize; 3] = [3, 16, 256];

#[divan::bench(args = COUNTS)]
fn least(bencher: Bencher, count: usize) {
    let cells = Cells::new(count);
    let mut random = 0u64;
    bencher.bench_local(|| {
        random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        least_requests(count, |i| cells.candidate(i), black_box(random))
    });
}

#[divan::bench(args = COUNTS)]
fn turns(bencher: Bencher, count: usize) {
    let cells = Cells::new(count);
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        round_robin(count, |i| cells.candidate(i), black_box(turn))
    });
}

#[divan::bench(args = COUNTS)]
fn latency(bencher: Bencher, count: usize) {
    let cells = Cells::new(count);
    let latencies: Vec<u64> =
        (0..count as u32).map(|i| Latency::default().answered(5_000 + i % 7 * 1_000, 1_000).bits()).collect();
    let mut random = 0u64;
    bencher.bench_local(|| {
        random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let latency = |i: usize| Latency::from_bits(latencies[i]);
        peak_ewma(count, |i| cells.candidate(i), latency, 2_000, black_box(random))
    });
}

#[divan::bench(args = COUNTS)]
fn hashed(bencher: Bencher, count: usize) {
    let cells = Cells::new(count);
    let names: Vec<u64> = (0..count).map(|i| hash(format!("10.0.0.{i}:80").as_bytes())).collect();
    let mut key = 0u64;
    bencher.bench_local(|| {
        key += 1;
        consistent_hash(count, |i| cells.candidate(i), |i| names[i], black_box(key), 125)
    });
}
