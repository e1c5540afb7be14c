//! A request to records (FastCGI 1.0 sections 3.3, 5.1 to 5.3). Frames what it is given; what the parameters say is
//! decided in `param`. There is no `ABORT_REQUEST`: whoever has enough closes the connection, which php-fpm minds.

use crate::record::{ALIGNMENT, Header, kind};

/// Most content that one record is given here: so much that its padding is none.
pub const CONTENT_BYTES_MAX: usize = 65_528;

/// `FCGI_RESPONDER`.
const RESPONDER: u16 = 1;

/// `FCGI_KEEP_CONN`.
const KEEP_CONNECTION: u8 = 1;

/// Begins a request. With `keep` the application leaves the connection open after it.
pub fn write_begin(out: &mut Vec<u8>, keep: bool) {
    let [role_high, role_low] = RESPONDER.to_be_bytes();
    let flags = if keep { KEEP_CONNECTION } else { 0 };
    write_record(out, kind::BEGIN_REQUEST, &[role_high, role_low, flags, 0, 0, 0, 0, 0]);
}

/// Writes name-value pairs, as [`Params`](crate::Params) holds them, and their end. A pair may lie in two records.
pub fn write_params(out: &mut Vec<u8>, pairs: &[u8]) {
    pairs.chunks(CONTENT_BYTES_MAX).for_each(|part| write_record(out, kind::PARAMS, part));
    write_record(out, kind::PARAMS, &[]);
}

/// Writes a piece of the request's content; none for an empty one, which would be the end.
pub fn write_stdin(out: &mut Vec<u8>, content: &[u8]) {
    content.chunks(CONTENT_BYTES_MAX).for_each(|part| write_record(out, kind::STDIN, part));
}

/// Writes the end of the request's content; needed after every request, with or without content.
pub fn write_stdin_end(out: &mut Vec<u8>) {
    write_record(out, kind::STDIN, &[]);
}

/// What goes before a piece of content that is written from where it lies, without padding: `None` when it is empty or
/// larger than [`CONTENT_BYTES_MAX`].
pub fn stdin_start(content_bytes: usize) -> Option<[u8; 8]> {
    let length = u16::try_from(content_bytes).ok()?;
    (1..=CONTENT_BYTES_MAX).contains(&content_bytes).then(|| Header::ours(kind::STDIN, length, 0).to_bytes())
}

/// `content` has at most [`CONTENT_BYTES_MAX`] bytes.
fn write_record(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let padding = content.len().next_multiple_of(ALIGNMENT) - content.len();
    out.extend_from_slice(&Header::ours(kind, content.len() as u16, padding as u8).to_bytes());
    out.extend_from_slice(content);
    out.extend_from_slice(&[0; ALIGNMENT][..padding]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_begun_as_the_specification_draws_it() {
        let mut out = Vec::new();
        write_begin(&mut out, true);
        assert_eq!(out, b"\x01\x01\x00\x01\x00\x08\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00");
        out.clear();
        write_begin(&mut out, false);
        assert_eq!(out[10], 0, "without the flag, the application closes");
    }

    #[test]
    fn records_are_padded_and_streams_end_with_an_empty_one() {
        let mut out = Vec::new();
        write_params(&mut out, b"\x01\x01ab\x01");
        assert_eq!(
            out,
            b"\x01\x04\x00\x01\x00\x05\x03\x00\x01\x01ab\x01\x00\x00\x00\x01\x04\x00\x01\x00\x00\x00\x00"
        );
        out.clear();
        write_stdin(&mut out, b"");
        assert!(out.is_empty(), "nothing is not the end");
        write_stdin_end(&mut out);
        assert_eq!(out, b"\x01\x05\x00\x01\x00\x00\x00\x00");
    }

    #[test]
    fn long_content_is_split_over_records() {
        let mut out = Vec::new();
        write_stdin(&mut out, &vec![b'x'; CONTENT_BYTES_MAX + 1]);
        assert_eq!(out[..8], *b"\x01\x05\x00\x01\xff\xf8\x00\x00");
        assert_eq!(
            out[8 + CONTENT_BYTES_MAX..],
            *b"\x01\x05\x00\x01\x00\x01\x07\x00x\x00\x00\x00\x00\x00\x00\x00"
        );
    }

    #[test]
    fn content_can_be_written_from_where_it_lies() {
        assert_eq!(stdin_start(5), Some(*b"\x01\x05\x00\x01\x00\x05\x00\x00"));
        assert_eq!(stdin_start(0), None);
        assert_eq!(stdin_start(CONTENT_BYTES_MAX + 1), None);
        assert_eq!(stdin_start(usize::MAX), None);
    }
}
