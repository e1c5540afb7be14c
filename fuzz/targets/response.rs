//! Bytes of an endpoint: never a panic, the same however they are cut, and what is delivered is read as it was.

#![no_main]

mod common;

use common::drive::{Pieces, responses};
use libfuzzer_sys::fuzz_target;
use tentpole_http1::{Limits, write_status_line};
use tentpole_model::Method;

fuzz_target!(|input: &[u8]| {
    let (cuts, bytes) = common::cut(input);
    let method = if cuts.len() % 2 == 0 { Method::Get } else { Method::Head };
    let limits = Limits { head_bytes_max: 400, fields_max: 8, ..Limits::default() };
    let (messages, end) = responses(Pieces::new(bytes, &[]), &limits, method);
    assert_eq!(responses(Pieces::new(bytes, &cuts), &limits, method), (messages.clone(), end));

    for message in messages {
        let mut written = Vec::new();
        write_status_line(&mut written, message.status, &message.reason);
        common::write_rest(&mut written, &message.fields, message.framing, &message.body, &message.trailers);
        let (again, _) = responses(Pieces::new(&written, &cuts), &Limits::default(), method);
        assert_eq!(again.len(), 1, "{:?}", written.escape_ascii().to_string());
        assert_eq!(again[0].status, message.status);
        if !message.reason.is_empty() {
            assert_eq!(again[0].reason, message.reason);
        }
        assert_eq!(again[0].body, message.body);
        assert_eq!(again[0].trailers, message.trailers);
        assert_eq!(common::forwarded(&again[0].fields), common::forwarded(&message.fields));
    }
});
