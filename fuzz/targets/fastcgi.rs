//! Bytes of an application: never a panic, the same however they are cut, and within the limits. And a path: no script
//! but what is a file below the root.

#![no_main]

mod common;
#[path = "../../wire/fastcgi/tests/drive/mod.rs"]
mod records;

use libfuzzer_sys::fuzz_target;
use tentpole_fastcgi::{Found, Limits, ScriptRules, has_plain_folders};
use tentpole_model::Method;

fuzz_target!(|input: &[u8]| {
    let (cuts, bytes) = common::cut(input);
    let method = if cuts.len() % 2 == 0 { Method::Get } else { Method::Head };
    let limits = Limits { head_bytes_max: 200, fields_max: 6, stderr_bytes_max: 20 };
    let answer = records::read(bytes, &[], method, limits);
    assert_eq!(records::read(bytes, &cuts, method, limits), answer);
    if let Some(head) = &answer.head {
        assert!((200..=999).contains(&head.status) && head.fields.len() <= limits.fields_max);
        let is_clean = |text: &[u8]| !text.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        assert!(is_clean(&head.reason));
        assert!(head.fields.iter().all(|(name, value)| is_clean(name) && is_clean(value)));
        assert!(method != Method::Head || answer.body.is_empty());
        if let (Some(length), Ok(_), false) = (head.content_length, answer.end, answer.body.is_empty()) {
            assert_eq!(answer.body.len() as u64, length);
        }
    }

    // The rest of the input again, as a path.
    if let Found::Script(script) = ScriptRules::default().find(bytes, has_plain_folders) {
        let segments = || script.name()[1..].split(|&byte| byte == b'/');
        assert!(script.name().starts_with(b"/") && has_plain_folders(script.name()));
        assert!(segments().all(|segment| !segment.is_empty() && !segment.starts_with(b"..")));
        assert!(!script.name().contains(&0) && !script.path_info().contains(&0));
    }
});
