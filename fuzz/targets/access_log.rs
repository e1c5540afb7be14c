//! Lines of access logs: no panic; what is read has a path.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tentpole_import::access_log::line;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    for text in text.lines() {
        if let Ok(logged) = line(text) {
            assert!(logged.target.starts_with('/'));
        }
    }
});
