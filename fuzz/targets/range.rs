//! `Range`: never a panic, never a byte outside of what is there, and a part is what was asked for.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tentpole_freshness::{Ranged, byte_range};

fuzz_target!(|input: &[u8]| {
    let (length, range) = input.split_at(input.len().min(8));
    let length = length.iter().fold(0, |sum: u64, &byte| sum << 8 | u64::from(byte));
    match byte_range(range, length) {
        Ranged::Part { start, end_exclusive } => {
            assert!(start < end_exclusive && end_exclusive <= length);
            let exact = format!("bytes={start}-{}", end_exclusive - 1);
            assert_eq!(byte_range(exact.as_bytes(), length), Ranged::Part { start, end_exclusive });
        }
        Ranged::Unsatisfiable => assert!(range.contains(&b'=') && range.contains(&b'-')),
        Ranged::Whole => {}
    }
});
