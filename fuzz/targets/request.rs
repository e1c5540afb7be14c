//! Bytes of a visitor: never a panic, the same however they are cut, and what is forwarded is read as it was.

#![no_main]

mod common;

use common::drive::{End, Pieces, requests};
use libfuzzer_sys::fuzz_target;
use tentpole_http1::{Limits, write_field, write_request_line};

fuzz_target!(|input: &[u8]| {
    let (cuts, bytes) = common::cut(input);
    let limits = Limits { head_bytes_max: 400, target_bytes_max: 100, fields_max: 8 };
    let (messages, end) = requests(Pieces::new(bytes, &[]), &limits);
    assert_eq!(requests(Pieces::new(bytes, &cuts), &limits), (messages.clone(), end));

    for message in messages {
        let mut written = Vec::new();
        write_request_line(&mut written, &message.method, &message.target);
        let has_host = message.fields.iter().any(|(name, _)| name.eq_ignore_ascii_case(b"host"));
        if !has_host {
            // HTTP/1.0; it is forwarded as 1.1, which needs one.
            write_field(&mut written, b"Host", message.host.as_deref().unwrap_or(b"h"));
        }
        common::write_rest(&mut written, &message.fields, message.framing, &message.body, &message.trailers);
        let (again, end) = requests(Pieces::new(&written, &cuts), &Limits::default());
        assert_eq!((again.len(), end), (1, End::Clean), "{:?}", written.escape_ascii().to_string());
        assert_eq!(again[0].method, message.method);
        assert_eq!(again[0].target, message.target);
        assert_eq!(again[0].framing, message.framing);
        assert_eq!(again[0].body, message.body);
        assert_eq!(again[0].trailers, message.trailers);
        if has_host {
            assert_eq!(again[0].host, message.host);
            assert_eq!(common::forwarded(&again[0].fields), common::forwarded(&message.fields));
        }
    }
});
