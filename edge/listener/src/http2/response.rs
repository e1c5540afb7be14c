//! The lines of a head that was written for HTTP/1.1, made the fields of HTTP/2. They are our own lines, so they are taken
//! apart and not judged; what belongs to one connection stays behind (RFC 9113 section 8.2.2).

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::{HeaderMap, Response, StatusCode};
use tentpole_message::{Fields, Name};

/// Fields that most responses have at most.
const FIELDS_EXPECTED: usize = 16;
/// What ends a head.
const END: &[u8] = b"\r\n\r\n";

/// Where the head ends that begins at the start of `lines`, when its end is there. Looked for from `from`.
pub(crate) fn end(lines: &[u8], from: usize) -> Option<usize> {
    let from = from.saturating_sub(END.len() - 1);
    memchr::memmem::find(&lines[from..], END).map(|at| from + at + END.len())
}

/// The response that a whole head is; `None` when a line is not one.
pub(crate) fn read(lines: Bytes) -> Option<Response<()>> {
    let mut fields = HeaderMap::with_capacity(FIELDS_EXPECTED);
    let mut status = None;
    let mut begin = 0;
    for line_end in memchr::memchr_iter(b'\n', &lines) {
        let line = begin..line_end.checked_sub(1)?;
        begin = line_end + 1;
        if line.is_empty() {
            break;
        }
        if status.is_none() {
            let digits = lines[line].strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
            status = Some(StatusCode::from_bytes(digits).ok()?);
            continue;
        }
        let colon = line.start + memchr::memchr(b':', &lines[line.clone()])?;
        let id = Name::from_bytes(&lines[line.start..colon]);
        if id.is_hop_by_hop() && id != Name::Trailer {
            continue;
        }
        let name = HeaderName::from_bytes(&lines[line.start..colon]).ok()?;
        let value = lines[colon + 1..line.end].trim_ascii();
        let value = HeaderValue::from_maybe_shared(lines.slice_ref(value)).ok()?;
        fields.append(name, value);
    }
    let mut response = Response::new(());
    *response.status_mut() = status?;
    *response.headers_mut() = fields;
    Some(response)
}

/// The length that a head states.
pub(crate) fn length(response: &Response<()>) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Trailers as fields. What is none is left out.
pub(crate) fn trailers(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for field in fields.iter() {
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(field.name), HeaderValue::from_bytes(field.value))
        {
            map.append(name, value);
        }
    }
    map
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_lines_become_fields_without_those_of_the_connection() {
        let lines = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\
            Connection: close\r\nTransfer-Encoding: chunked\r\nX-Empty: \r\nContent-Length: 5\r\n\r\n";
        assert_eq!(end(lines, 0), Some(lines.len()));
        assert_eq!(end(&lines[..lines.len() - 1], 0), None);
        let response = read(Bytes::from_static(lines)).unwrap();
        assert_eq!((response.status().as_u16(), length(&response)), (200, Some(5)));
        let fields: Vec<_> =
            response.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected: [(&str, &[u8]); 5] = [
            ("content-type", b"text/html"),
            ("set-cookie", b"a=1"),
            ("set-cookie", b"b=2"),
            ("x-empty", b""),
            ("content-length", b"5"),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn the_end_is_found_across_two_pieces() {
        let lines = b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\nbody";
        for from in 0..lines.len() - 4 {
            assert_eq!(end(lines, from.min(lines.len() - 8)), Some(lines.len() - 4));
        }
    }

    #[test]
    fn what_is_no_head_is_none() {
        for lines in [&b"HTTP/1.1 20\r\n\r\n"[..], b"200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nno field\r\n\r\n"]
        {
            assert!(read(Bytes::copy_from_slice(lines)).is_none());
        }
    }
}
