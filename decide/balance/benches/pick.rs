//! What choosing an endpoint costs, by the number of endpoints. `cargo bench -p tentpole-balance`

use divan::{Bencher, black_box};
use std::sync::atomic::{AtomicU32, Ordering};
use tentpole_balance::{Candidate, least_requests, round_robin};

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

const COUNTS: [usize; 4] = [1, 3, 30, 300];

#[divan::bench(args = COUNTS)]
fn least(bencher: Bencher, count: usize) {
    let cells = Cells::new(count);
    let mut random = 0u64;
    bencher.bench_local(|| {
        random = random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        least_requests(count, |i| cells.candidate(i), 0, black_box(random))
    });
}

#[divan::bench(args = COUNTS)]
fn turns(bencher: Bencher, count: usize) {
    let cells = Cells::new(count);
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        round_robin(count, |i| cells.candidate(i), 0, black_box(turn))
    });
}
