//! Header soup: the cache's policy never panics, and never stores what must not be shared.

#![no_main]

#[path = "../../decide/freshness/tests/soup/mod.rs"]
mod soup;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| soup::judge(input));
