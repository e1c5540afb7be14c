//! JMeter plans: no panic, and what comes out is text that can be read or is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tentpole_import::jmx::import;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(imported) = import("a.jmx", text) {
        let _ = tentpole_load::read::read("a.toml", &imported.text);
    }
});
