//! Recordings of a browser, one or two: no panic, and what comes out is a journey that is read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tentpole_import::har::{Wanted, import};

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (one, two) = text.split_once('\0').map_or((text, None), |(one, two)| (one, Some(("b.har", two))));
    let wanted = Wanted { hosts: Vec::new(), assets: true };
    if let Ok(imported) = import(("a.har", one), two, &wanted) {
        assert!(tentpole_load::read::read("a.toml", &imported.text).is_ok(), "{}", imported.text);
    }
});
