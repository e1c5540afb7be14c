//! Heads and chunks to bytes. Framing is always written anew from what was understood, never copied; what belongs to
//! one connection is left out. Writes nothing that could end a line early.

use crate::Framing;
use crate::trailer::may_come_late;
use tentpole_message::{Field, Fields, Name, tokens};

/// What follows the content of each chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// Names in `Connection` that are heeded; more are not, so that the work stays bounded.
const LISTED_MAX: usize = 16;

/// Writes `method target HTTP/1.1`.
///
/// # Panics
/// When method or target hold a space or a line end: then the caller did not take them from a parsed head.
pub fn write_request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    for part in [method, target] {
        assert!(
            !has_below(part, b' ' + 1) || memchr::memchr3(b' ', b'\r', b'\n', part).is_none(),
            "a request line must have three parts"
        );
    }
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes `HTTP/1.1 status reason`, with the standard reason when `reason` is empty.
///
/// # Panics
/// When the status is not 100 to 999, or the reason holds a line end.
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    assert!((100..=999).contains(&status), "a status has three digits");
    assert!(memchr::memchr2(b'\r', b'\n', reason).is_none(), "a reason is part of one line");
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(if reason.is_empty() { standard_reason(status).as_bytes() } else { reason });
    out.extend_from_slice(b"\r\n");
}

/// Writes one field line.
///
/// # Panics
/// When name or value hold CR, LF or NUL: then the caller lets somebody write lines of their own.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, value] {
        assert!(
            !has_below(part, b' ') || memchr::memchr3(b'\r', b'\n', b'\0', part).is_none(),
            "a field is one line"
        );
    }
    append_field(out, name, value);
}

/// Writes all end-to-end fields in order, except those that `skip` names.
///
/// Left out are fields that belong to one connection, Content-Length (see [`write_framing`]), and those that
/// `Connection` lists (RFC 9110 section 7.6.1). A listed name that decisions ask for is kept: a visitor must not
/// be able to take away `Host`, `Authorization`, `Cookie` or what a proxy in front has added.
///
/// The fields must come from a parser: they are not searched for line ends again.
pub fn write_fields(out: &mut Vec<u8>, fields: &Fields, skip: impl Fn(Field<'_>) -> bool) {
    let listed = Listed::of(fields);
    for field in fields.iter() {
        let is_left_out = match field.id {
            Name::Other => listed.as_ref().is_some_and(|listed| listed.has(field.name)),
            Name::ContentLength => true,
            id => id.is_hop_by_hop(),
        };
        if !is_left_out && !skip(field) {
            append_field(out, field.name, field.value);
        }
    }
}

/// Writes the field that frames the body; nothing when there is none or it lasts until the connection closes.
pub fn write_framing(out: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::None | Framing::UntilClose => {}
        Framing::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            write_decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

/// Writes the line before a chunk of `len` bytes; [`CHUNK_END`] follows them.
///
/// # Panics
/// When `len` is 0: that would end the body.
pub fn write_chunk_start(out: &mut Vec<u8>, len: usize) {
    assert!(len > 0, "an empty chunk ends the body");
    let digits = (usize::BITS - len.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[len >> (place * 4) & 0xf]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body: the last chunk, those of the trailers that may come late, the empty line.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.into_iter().flat_map(Fields::iter).filter(|field| may_come_late(field.id)) {
        append_field(out, field.name, field.value);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether some byte is below `limit`, which is at most 128. Eight at a time: names and values are short, and a search that sets
/// itself up for long texts costs five times as much (`benches/parse.rs`).
fn has_below(text: &[u8], limit: u8) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    let is_in = |word: &[u8; 8]| {
        let word = u64::from_ne_bytes(*word);
        word.wrapping_sub(EACH * u64::from(limit)) & !word & (EACH << 7) != 0
    };
    let (words, _) = text.as_chunks::<8>();
    match text.last_chunk::<8>() {
        // The last one may hold some of what the one before it held.
        Some(last) => words.iter().any(is_in) || is_in(last),
        None => text.iter().any(|&byte| byte < limit),
    }
}

fn append_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a number in digits.
pub fn write_decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// The names in `Connection` that may mean a field: all but those that everybody sends.
struct Listed<'a> {
    names: [&'a [u8]; LISTED_MAX],
    len: usize,
}

impl<'a> Listed<'a> {
    /// `None` where there are none, as in almost all requests.
    fn of(fields: &'a Fields) -> Option<Self> {
        if !fields.has(Name::Connection) {
            return None;
        }
        let mut unusual = fields.all(Name::Connection).flat_map(tokens).filter(|name| !is_usual(name));
        let mut listed = Self { names: [b""; LISTED_MAX], len: 1 };
        listed.names[0] = unusual.next()?;
        for (free, name) in listed.names[1..].iter_mut().zip(unusual) {
            *free = name;
            listed.len += 1;
        }
        Some(listed)
    }

    fn has(&self, name: &[u8]) -> bool {
        self.names[..self.len].iter().any(|listed| listed.eq_ignore_ascii_case(name))
    }
}

/// What everybody sends in `Connection`, and no field is called.
fn is_usual(name: &[u8]) -> bool {
    [&b"keep-alive"[..], b"close", b"upgrade"].iter().any(|usual| usual.eq_ignore_ascii_case(name))
}

/// The reason phrases of RFC 9110 section 15 and of the IANA registry, as far as they are met.
fn standard_reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_byte_below_the_limit_is_found_at_each_place_of_each_length() {
        for len in 0..40 {
            for limit in [b' ', b' ' + 1, 128] {
                let above = [limit, 0xff, 0x80].map(|byte| vec![byte.max(limit); len]);
                assert!(above.iter().all(|text| !has_below(text, limit)), "{len} {limit}");
                for (at, below) in (0..len).flat_map(|at| [0, 1, limit - 1].map(|below| (at, below))) {
                    for mut text in above.clone() {
                        text[at] = below;
                        assert!(has_below(&text, limit), "{len} {limit} {at} {below}");
                    }
                }
            }
        }
    }

    #[test]
    fn lines_are_written_as_they_are_read() {
        assert_eq!(written(|out| write_request_line(out, b"GET", b"/a")), "GET /a HTTP/1.1\r\n");
        assert_eq!(written(|out| write_status_line(out, 404, b"")), "HTTP/1.1 404 Not Found\r\n");
        assert_eq!(written(|out| write_status_line(out, 799, b"")), "HTTP/1.1 799 \r\n");
        assert_eq!(written(|out| write_status_line(out, 200, b"Yes")), "HTTP/1.1 200 Yes\r\n");
        assert_eq!(written(|out| write_framing(out, Framing::Length(0))), "Content-Length: 0\r\n");
        assert_eq!(
            written(|out| write_framing(out, Framing::Length(u64::MAX))),
            "Content-Length: 18446744073709551615\r\n"
        );
        assert_eq!(written(|out| write_framing(out, Framing::Chunked)), "Transfer-Encoding: chunked\r\n");
        assert_eq!(written(|out| write_framing(out, Framing::None)), "");
        for (len, line) in [(1, "1\r\n"), (15, "f\r\n"), (16, "10\r\n"), (65_536, "10000\r\n")] {
            assert_eq!(written(|out| write_chunk_start(out, len)), line);
        }
    }

    #[test]
    fn what_belongs_to_one_connection_is_not_forwarded() {
        let mut fields = Fields::new();
        for (name, value) in [
            ("Host", "h"),
            ("Connection", "close, X-Mine, Host, Authorization, x-forwarded-for, Content-Type"),
            ("Keep-Alive", "timeout=5"),
            ("TE", "trailers"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Length", "5"),
            ("Upgrade", "h2c"),
            ("x-mine", "1"),
            ("X-Other", "2"),
            ("Authorization", "a"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("Via", "v"),
        ] {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        assert_eq!(
            written(|out| write_fields(out, &fields, |field| field.id == Name::Via)),
            "Host: h\r\nX-Other: 2\r\nAuthorization: a\r\nX-Forwarded-For: 192.0.2.1\r\n"
        );
    }

    #[test]
    fn trailers_that_may_not_come_late_are_not_written() {
        let mut trailers = Fields::new();
        trailers.push(b"Digest", b"d");
        trailers.push(b"Content-Length", b"5");
        assert_eq!(written(|out| write_last_chunk(out, Some(&trailers))), "0\r\nDigest: d\r\n\r\n");
        assert_eq!(written(|out| write_last_chunk(out, None)), "0\r\n\r\n");
    }

    #[test]
    #[should_panic(expected = "a field is one line")]
    fn a_field_cannot_hold_two_lines() {
        write_field(&mut Vec::new(), b"X", b"a\r\nSet-Cookie: b");
    }

    #[test]
    #[should_panic(expected = "an empty chunk ends the body")]
    fn an_empty_chunk_cannot_be_written() {
        write_chunk_start(&mut Vec::new(), 0);
    }
}
