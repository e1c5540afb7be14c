//! HTTP/1.1 in the plainest form that a test needs: request heads, answers, chunked bodies. Independent of the edge's
//! own codec on purpose, so that a mistake there cannot hide behind the same mistake here. Never fast for its own
//! sake, except that the request head is parsed without allocating.

pub mod chunked;
pub mod request;

use std::fmt;

/// The longest head that is read, in bytes.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;

/// What was wrong with received bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The head did not end within [`HEAD_BYTES_MAX`].
    HeadTooLong,
    /// Not `METHOD SP target SP HTTP/1.x`.
    RequestLine,
    /// Not `HTTP/1.x SP 3DIGIT SP reason`.
    StatusLine,
    /// A field line without a colon, with a name that is no token, folded, or with a control character inside.
    FieldLine,
    /// A line that ends in a bare line feed, or a carriage return without one.
    LineEnd,
    /// `Content-Length` that is no number, or two that differ.
    ContentLength,
    /// `Transfer-Encoding` other than `chunked` alone.
    TransferEncoding,
    /// `Content-Length` beside `Transfer-Encoding`.
    TwoLengths,
    /// A chunk size that is no hexadecimal number or does not fit.
    ChunkSize,
    /// A chunk that is not followed by CRLF.
    ChunkEnd,
    /// A body, or a length that promises one, where none may be (1xx, 204).
    UnexpectedBody,
}

impl fmt::Display for Malformed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::HeadTooLong => "the head is too long",
            Self::RequestLine => "bad request line",
            Self::StatusLine => "bad status line",
            Self::FieldLine => "bad field line",
            Self::LineEnd => "a line does not end in CRLF",
            Self::ContentLength => "bad Content-Length",
            Self::TransferEncoding => "bad Transfer-Encoding",
            Self::TwoLengths => "Content-Length beside Transfer-Encoding",
            Self::ChunkSize => "bad chunk size",
            Self::ChunkEnd => "a chunk does not end in CRLF",
            Self::UnexpectedBody => "a body where none may be",
        })
    }
}

impl std::error::Error for Malformed {}

/// The length of the head at the start of `bytes`, its empty line included; `None` while it is incomplete.
pub fn head_len(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    match memchr::memmem::find(bytes, b"\r\n\r\n") {
        Some(at) if at + 4 <= HEAD_BYTES_MAX => Ok(Some(at + 4)),
        None if bytes.len() <= HEAD_BYTES_MAX => Ok(None),
        _ => Err(Malformed::HeadTooLong),
    }
}

/// Is this a character of a token (RFC 9110 section 5.6.2)?
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// One field line without its line end, as name and trimmed value. Refuses folded lines, white space before the
/// colon and control characters (RFC 9112 section 5).
pub fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let colon = memchr::memchr(b':', line).ok_or(Malformed::FieldLine)?;
    let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
    let bad_value = |byte: &u8| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f;
    if name.is_empty() || !name.iter().copied().all(is_token) || value.iter().any(bad_value) {
        return Err(Malformed::FieldLine);
    }
    Ok((name, value))
}

/// The lines of a head or trailer section, each without its CRLF, up to the empty line.
pub fn lines(section: &[u8]) -> impl Iterator<Item = Result<&[u8], Malformed>> {
    let mut rest = section;
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', rest)?;
        let line = &rest[..end];
        rest = &rest[end + 1..];
        match line.strip_suffix(b"\r") {
            Some([]) => None,
            Some(line) => Some(Ok(line)),
            None => Some(Err(Malformed::LineEnd)),
        }
    })
}

/// A decimal number of at most 19 digits and nothing else.
pub fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(value.iter().fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_a_token_a_colon_and_a_trimmed_value() {
        assert_eq!(field(b"Host: \t a.example "), Ok((&b"Host"[..], &b"a.example"[..])));
        assert_eq!(field(b"X:"), Ok((&b"X"[..], &b""[..])));
        for bad in [&b"Host : a"[..], b" folded: a", b": a", b"no colon", b"a: \0", b"a: x\ry"] {
            assert_eq!(field(bad), Err(Malformed::FieldLine), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn a_bare_line_feed_is_no_line_end() {
        let all: Vec<_> = lines(b"A: 1\r\nB: 2\nC: 3\r\n\r\n").collect();
        assert_eq!(all, [Ok(&b"A: 1"[..]), Err(Malformed::LineEnd), Ok(&b"C: 3"[..])]);
    }

    #[test]
    fn numbers_have_digits_only() {
        assert_eq!(decimal(b"0012"), Some(12));
        for bad in [&b""[..], b"+1", b"1 ", b"0x1", b"99999999999999999999"] {
            assert_eq!(decimal(bad), None);
        }
    }
}
