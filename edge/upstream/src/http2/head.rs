//! Heads between HTTP/1.1's lines, in which everything here is written, and HTTP/2's fields (RFC 9113 section 8.3). What
//! belongs to one connection stays behind.

use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, TE};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, Method as HttpMethod, Request, Response};
use tentpole_http1::{FIELDS_MAX, Framing};
use tentpole_message::{Fields, Name, ResponseHead};
use tentpole_model::Method;

/// Fields of a trailer section at most, as for HTTP/1.1.
const TRAILER_FIELDS_MAX: usize = 32;

/// The request that these lines are, and that we understand trailers, as gRPC wants to hear; `None` when they cannot be said in
/// HTTP/2.
pub(crate) fn request(lines: &[u8], https: bool) -> Option<Request<()>> {
    let mut lines = lines.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next()?.split(|&byte| byte == b' ');
    let (method, target) = (words.next()?, words.next()?);
    let mut fields = HeaderMap::with_capacity(16);
    let mut authority = None;
    for line in lines.take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        match Name::from_bytes(name) {
            Name::Host => authority = Some(Authority::try_from(value).ok()?),
            name if name.is_hop_by_hop() => {}
            _ => {
                fields.append(HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?);
            }
        }
    }
    fields.insert(TE, HeaderValue::from_static("trailers"));
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if https { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(authority?);
    uri.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    let mut request = Request::new(());
    *request.method_mut() = HttpMethod::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::from_parts(uri).ok()?;
    *request.headers_mut() = fields;
    Some(request)
}

/// Fills `head` with a response's; false when it has more fields than we take.
#[must_use]
pub(crate) fn fill(response: &Response<impl Sized>, head: &mut ResponseHead) -> bool {
    head.fields.clear();
    head.set_line(response.status().as_u16(), 0..0, 1);
    push(response.headers(), &mut head.fields, FIELDS_MAX)
}

/// A trailer section; `None` when it has more fields than we take.
pub(crate) fn trailers(map: &HeaderMap) -> Option<Fields> {
    let mut fields = Fields::new();
    push(map, &mut fields, TRAILER_FIELDS_MAX).then_some(fields)
}

fn push(map: &HeaderMap, fields: &mut Fields, most: usize) -> bool {
    if map.len() > most.min(Fields::COUNT_MAX) {
        return false;
    }
    map.iter().for_each(|(name, value)| fields.push(name.as_str().as_bytes(), value.as_bytes()));
    true
}

/// Trailers as fields. What is none is left out.
pub(crate) fn map(fields: &Fields) -> HeaderMap {
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

/// How HTTP/1.1 would say where the body ends; `None` for a length that is none, or two that differ.
pub(crate) fn framing(response: &Response<impl Sized>, method: Method, is_over: bool) -> Option<Framing> {
    let status = response.status().as_u16();
    if method == Method::Head || matches!(status, 204 | 304) {
        return Some(Framing::None);
    }
    let mut lengths = response.headers().get_all(CONTENT_LENGTH).iter();
    let length = match lengths.next() {
        None => None,
        Some(first) if lengths.all(|other| other == first) => {
            let digits = first.as_bytes();
            let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
            Some(std::str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()?)
        }
        Some(_) => return None,
    };
    match (length, is_over) {
        (Some(1..), true) => None,
        (Some(length), false) => Some(Framing::Length(length)),
        (_, true) => Some(Framing::Length(0)),
        (None, false) => Some(Framing::Chunked),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_lines_become_a_request_without_what_is_the_connections() {
        let lines =
            b"POST /a?b=c HTTP/1.1\r\nHost: shop.example:8080\r\nCookie: a=b\r\nConnection: close\r\n\
                      Transfer-Encoding: chunked\r\nTE: gzip\r\n\r\n";
        let request = request(lines, true).unwrap();
        assert_eq!(request.uri(), "https://shop.example:8080/a?b=c");
        assert_eq!(request.method(), "POST");
        let fields: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("cookie", &b"a=b"[..]), ("te", b"trailers")]);
        assert!(super::request(b"GET / HTTP/1.1\r\n\r\n", false).is_none(), "no host");
        assert!(super::request(b"GET /\x7f\x00 HTTP/1.1\r\nHost: a\r\n\r\n", false).is_none());
    }

    #[test]
    fn a_length_is_one_number_or_the_response_is_none() {
        let framed = |lengths: &[&'static str], method, over| {
            let mut response = Response::new(());
            for length in lengths {
                response.headers_mut().append(CONTENT_LENGTH, HeaderValue::from_static(length));
            }
            framing(&response, method, over)
        };
        assert_eq!(framed(&["5"], Method::Get, false), Some(Framing::Length(5)));
        assert_eq!(framed(&["5", "5"], Method::Get, false), Some(Framing::Length(5)));
        assert_eq!(framed(&[], Method::Get, false), Some(Framing::Chunked));
        assert_eq!(framed(&[], Method::Get, true), Some(Framing::Length(0)));
        assert_eq!(framed(&["5"], Method::Head, true), Some(Framing::None));
        for wrong in [&["5", "6"][..], &["+5"], &[""], &["5,5"], &["99999999999999999999"]] {
            assert_eq!(framed(wrong, Method::Get, false), None, "{wrong:?}");
        }
        assert_eq!(framed(&["5"], Method::Get, true), None, "it announced more than came");
    }
}
