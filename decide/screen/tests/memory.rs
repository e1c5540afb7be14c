//! What millions of keys cost: memory as the kernel counts it, in a process of its own, while twice as many addresses ask as there
//! is room for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::time::Duration;
use tentpole_screen::{Buckets, Rate};

/// Room that is asked for.
const KEYS: usize = 2_000_000;
/// What one key may cost, in bytes.
const BYTES_PER_KEY: usize = 16;
/// What else a process may have taken meanwhile.
const ELSE: usize = 1 << 20;

fn resident() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

/// splitmix64 (Steele, Lea and Flood 2014).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[test]
fn millions_of_keys_take_sixteen_bytes_each_and_twice_as_many_take_no_more() {
    let before = resident();
    let buckets = Buckets::new(KEYS);
    // A power of two of sets, so that which one is a key's is told by a few of its bits.
    assert_eq!(buckets.room(), KEYS.next_power_of_two());
    let rate = Rate::new(100, Duration::from_secs(1), 100);
    for key in 0..KEYS as u64 {
        assert_eq!(buckets.take(mixed(key), rate, 1), Ok(()));
    }
    let full = resident() - before;
    for key in KEYS as u64..2 * KEYS as u64 {
        assert_eq!(buckets.take(mixed(key), rate, 2), Ok(()), "a full table refuses nobody");
    }
    let overfull = resident() - before;
    println!("{KEYS} keys: {full} bytes, {:.1} each; twice as many: {overfull}", full as f64 / KEYS as f64);
    let most = buckets.room() * BYTES_PER_KEY;
    // It is really there: the figure is no reserved memory that nobody has touched.
    assert!(full > most / 2, "{full}");
    assert!(overfull <= most + ELSE, "{overfull} bytes, {most} allowed");
}
