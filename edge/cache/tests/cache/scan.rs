//! A scan (a crawler, a backup, a sitemap check) must not wash out what visitors ask for.

use crate::support::*;
use std::collections::{BTreeMap, HashMap};
use tentpole_cache::Looked;
use tentpole_model::CacheSettings;
use tentpole_runtime::Random;

const PAGES: usize = 20_000;
const REQUESTS: usize = 60_000;
/// Requests of the scan for each visitor's.
const SCANNED_PER_REQUEST: usize = 2;
/// Objects that fit, about.
const FIT: u64 = 1_500;

/// Page numbers with probability 1/rank.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new() -> Self {
        let mut sum = 0.0;
        Self(
            (1..=PAGES)
                .map(|rank| {
                    sum += 1.0 / rank as f64;
                    sum
                })
                .collect(),
        )
    }

    fn next(&self, random: &mut Random) -> usize {
        let at = (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * self.0[PAGES - 1];
        self.0.partition_point(|&sum| sum < at)
    }
}

/// Who is asked; says whether it had it, and has it afterwards.
trait Policy {
    fn request(&mut self, key: &str) -> bool;
}

impl Policy for Edge {
    fn request(&mut self, key: &str) -> bool {
        match self.get(key) {
            Looked::Hit(_) => true,
            Looked::Lead(lead) => {
                let request = tentpole_message::Fields::new();
                let (mut filling, _) = lead.start(new_object(&request, &[], None)).unwrap();
                filling.append(bytes::Bytes::from_static(&[b'x'; 1_000]));
                filling.finish().stored();
                false
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Least recently used, with room for as many objects.
#[derive(Default)]
struct Lru {
    fits: usize,
    turn: u64,
    used: HashMap<String, u64>,
    order: BTreeMap<u64, String>,
}

impl Policy for Lru {
    fn request(&mut self, key: &str) -> bool {
        self.turn += 1;
        let before = self.used.insert(key.to_owned(), self.turn);
        before.and_then(|turn| self.order.remove(&turn));
        self.order.insert(self.turn, key.to_owned());
        if self.used.len() > self.fits {
            let (_, oldest) = self.order.pop_first().unwrap();
            self.used.remove(&oldest);
        }
        before.is_some()
    }
}

/// Of the visitors' requests during the second half, the share that hit.
fn hit_ratio(policy: &mut impl Policy, scanned_per_request: usize) -> f64 {
    let (zipf, mut random) = (Zipf::new(), Random::from_seed(7));
    let (mut hits, mut scanned) = (0, 0);
    for number in 0..REQUESTS {
        let hit = policy.request(&format!("/page/{:05}", zipf.next(&mut random)));
        if number >= REQUESTS / 2 {
            hits += usize::from(hit);
            for _ in 0..scanned_per_request {
                policy.request(&format!("/scan/{scanned:05}"));
                scanned += 1;
            }
        }
    }
    hits as f64 / (REQUESTS / 2) as f64
}

#[test]
fn a_scan_costs_few_hits_where_it_costs_lru_many() {
    let cost = Edge::new().store("/page/00000", &[b'x'; 1_000]).cost();
    let edge = || Edge::with(CacheSettings { memory_bytes_max: cost * FIT, ..SETTINGS }, 1 << 30);
    let lru = || Lru { fits: FIT as usize, ..Lru::default() };
    let (calm, calm_lru) = (hit_ratio(&mut edge(), 0), hit_ratio(&mut lru(), 0));
    let mut scanned_edge = edge();
    let scanned = hit_ratio(&mut scanned_edge, SCANNED_PER_REQUEST);
    let scanned_lru = hit_ratio(&mut lru(), SCANNED_PER_REQUEST);
    println!(
        "hit ratio: ours {calm:.3} (scanned {scanned:.3}), LRU {calm_lru:.3} (scanned {scanned_lru:.3})"
    );
    assert!(calm > calm_lru, "ours {calm:.3}, LRU {calm_lru:.3}");
    assert!(scanned > scanned_lru + 0.08, "ours {scanned:.3}, LRU {scanned_lru:.3}");
    assert!(calm - scanned < (calm_lru - scanned_lru) / 2.0, "the scan took {:.3}", calm - scanned);
    scanned_edge.assert_nothing_is_held();
}
