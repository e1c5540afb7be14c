//! A request's fields as HTTP/2 brings them, made the head that everything behind reads (RFC 9113 section 8.3). As strict
//! as HTTP/1.1's parser: what an endpoint could read in two ways must not reach it in either.

use h2::ext::Protocol;
use http::header::{COOKIE, HOST};
use http::{HeaderMap, Request};
use tentpole_http1::{self as http1, Framing, Limits};
use tentpole_message::{Fields, Name, RequestHead};
use tentpole_model::Refused;

/// Fields of a trailer section at most, as for HTTP/1.1.
const TRAILER_FIELDS_MAX: usize = 32;

/// Fills `head` with what the request asks for. `key` is the challenge of a WebSocket's handshake, which HTTP/2 does not
/// have and an endpoint of HTTP/1.1 wants (RFC 8441 section 5.1).
///
/// # Errors
/// The refusal that answers it; the connection goes on.
pub(crate) fn fill<T>(
    request: &Request<T>,
    key: Option<&str>,
    limits: &Limits,
    head: &mut RequestHead,
) -> Result<(), Refused> {
    let (uri, fields) = (request.uri(), request.headers());
    let method = if key.is_some() { "GET" } else { request.method().as_str() };
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    head.clear();
    head.fields.load(method.as_bytes());
    let method_at = 0..method.len();
    let target_at = head.fields.append(target.as_bytes());
    head.set_line(method_at, target_at, 1);
    if uri.scheme_str().is_some_and(|scheme| scheme != "http" && scheme != "https") {
        return Err(Refused::Target);
    }
    let of_handshake = if key.is_some() { 3 } else { 0 };
    // One for Host.
    if fields.len() + of_handshake + 1 > limits.fields_max.min(http1::FIELDS_MAX) {
        return Err(Refused::HeadTooLarge);
    }
    let host = host(uri.authority().map(|authority| authority.as_str()), fields)?;
    head.fields.push(b"host", host);
    for name in fields.keys().filter(|&name| name != HOST) {
        if name == COOKIE {
            // RFC 9113 section 8.2.3: cut for compression's sake, one field again for everybody else.
            let crumbs: Vec<&[u8]> = fields.get_all(name).iter().map(|value| value.as_bytes()).collect();
            push(&mut head.fields, name.as_str(), &crumbs.join(&b"; "[..]))?;
            continue;
        }
        for value in fields.get_all(name) {
            push(&mut head.fields, name.as_str(), value.as_bytes())?;
        }
    }
    if let Some(key) = key {
        head.fields.push(b"connection", b"Upgrade");
        head.fields.push(b"upgrade", b"websocket");
        head.fields.push(b"sec-websocket-key", key.as_bytes());
    }
    http1::check_request(head, limits)
}

/// Whether it asks for a WebSocket (RFC 8441): the one protocol that is tunnelled.
pub(crate) fn asks_for_websocket<T>(request: &Request<T>) -> bool {
    request.method() == http::Method::CONNECT
        && request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str() == "websocket")
}

/// How the body is framed towards an endpoint: as announced, else in chunks.
///
/// # Errors
/// When its announced length is not one.
pub(crate) fn framing(head: &RequestHead, is_tunnel: bool, is_over: bool) -> Result<Framing, Refused> {
    match http1::request_framing(head)? {
        Framing::Length(1..) if is_over => Err(Refused::ContentLength),
        Framing::None if is_tunnel || is_over => Ok(Framing::None),
        Framing::None => Ok(Framing::Chunked),
        stated => Ok(stated),
    }
}

/// The fields of a trailer section. What must not come late is left out where they are written.
pub(crate) fn trailers(map: &HeaderMap) -> Result<Fields, Refused> {
    let mut fields = Fields::new();
    if map.len() > TRAILER_FIELDS_MAX {
        return Err(Refused::HeadTooLarge);
    }
    for (name, value) in map {
        push(&mut fields, name.as_str(), value.as_bytes())?;
    }
    Ok(fields)
}

/// RFC 9113 section 8.3.1: `:authority` counts, and a `Host` beside it says the same.
fn host<'a>(authority: Option<&'a str>, fields: &'a HeaderMap) -> Result<&'a [u8], Refused> {
    let mut hosts = fields.get_all(HOST).iter().map(|value| value.as_bytes());
    match (authority.map(str::as_bytes), hosts.next(), hosts.next()) {
        (Some(authority), None, None) => Ok(authority),
        (Some(authority), Some(host), None) if host.eq_ignore_ascii_case(authority) => Ok(authority),
        (None, Some(host), None) => Ok(host),
        _ => Err(Refused::Host),
    }
}

fn push(fields: &mut Fields, name: &str, value: &[u8]) -> Result<(), Refused> {
    let id = Name::from_bytes(name.as_bytes());
    // RFC 9113 sections 8.2.1 and 8.2.2. That a name is a token, and that a value holds no line end, its type says.
    let is_of_connection = id.is_hop_by_hop() && id != Name::Te && id != Name::Trailer;
    let is_te = id == Name::Te && !value.eq_ignore_ascii_case(b"trailers");
    if is_of_connection || is_te || value.trim_ascii() != value || name.starts_with(':') {
        return Err(Refused::Malformed);
    }
    fields.push(name.as_bytes(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(request: http::request::Builder) -> Result<RequestHead, Refused> {
        let mut head = RequestHead::new();
        fill(&request.body(()).unwrap(), None, &Limits::default(), &mut head).map(|()| head)
    }

    fn get(uri: &str) -> http::request::Builder {
        Request::builder().uri(uri)
    }

    fn refused(request: http::request::Builder) -> Refused {
        filled(request).expect_err("to be refused")
    }

    #[test]
    fn a_request_reads_like_one_of_http_1() {
        let request = get("https://shop.example/a?b=c").header("cookie", "a=1").header("x-one", "1");
        let head = filled(request.header("cookie", "b=2").header("accept", "x")).unwrap();
        assert_eq!((head.method_bytes(), head.target()), (&b"GET"[..], &b"/a?b=c"[..]));
        let fields: Vec<_> = head.fields.iter().map(|field| (field.name, field.value)).collect();
        let expected: [(&[u8], &[u8]); 4] =
            [(b"host", b"shop.example"), (b"cookie", b"a=1; b=2"), (b"x-one", b"1"), (b"accept", b"x")];
        assert_eq!(fields, expected);
    }

    #[test]
    fn what_belongs_to_one_connection_is_refused() {
        for (name, value) in [
            ("connection", "close"),
            ("keep-alive", "5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("te", "gzip"),
            ("x-one", " 1"),
            ("x-one", "1\t"),
        ] {
            assert_eq!(refused(get("http://h/").header(name, value)), Refused::Malformed, "{name}: {value}");
        }
        assert!(filled(get("http://h/").header("te", "trailers")).is_ok());
    }

    #[test]
    fn the_host_is_clear_or_the_request_is_refused() {
        assert_eq!(refused(get("/")), Refused::Host);
        assert_eq!(refused(get("/").header("host", "a").header("host", "a")), Refused::Host);
        assert_eq!(refused(get("http://a/").header("host", "b")), Refused::Host);
        assert_eq!(refused(get("http://user@a/")), Refused::Host);
        assert_eq!(refused(get("http://a:0/")), Refused::Host);
        assert!(filled(get("http://a:80/").header("host", "A:80")).is_ok());
        assert!(filled(get("/").header("host", "a")).is_ok());
    }

    #[test]
    fn targets_and_methods_are_those_of_http_1() {
        assert_eq!(refused(get("http://h/").method("TRACE")), Refused::Method);
        assert_eq!(refused(get("http://h/").method("CONNECT")), Refused::Method);
        assert_eq!(refused(get("ftp://h/")), Refused::Target);
        assert_eq!(refused(get("http://h/\u{e9}")), Refused::Target);
        let star = http::uri::PathAndQuery::from_static("*");
        let mut parts = http::uri::Parts::default();
        parts.path_and_query = Some(star);
        let star = http::Uri::from_parts(parts).unwrap();
        assert_eq!(refused(Request::builder().uri(star.clone()).header("host", "h")), Refused::Target);
        assert!(filled(Request::builder().uri(star).method("OPTIONS").header("host", "h")).is_ok());
        let long = format!("http://h/{}", "a".repeat(Limits::default().target_bytes_max));
        assert_eq!(refused(get(&long)), Refused::TargetTooLong);
        let mut many = get("http://h/");
        for number in 0..http1::FIELDS_MAX {
            many = many.header(format!("x-{number}"), "1");
        }
        assert_eq!(refused(many), Refused::HeadTooLarge);
    }

    #[test]
    fn a_body_is_as_long_as_was_said_or_comes_in_chunks() {
        let of = |length: Option<&str>, is_over| {
            let request = get("http://h/");
            let request =
                if let Some(length) = length { request.header("content-length", length) } else { request };
            framing(&filled(request).unwrap(), false, is_over)
        };
        assert_eq!(of(None, true), Ok(Framing::None));
        assert_eq!(of(None, false), Ok(Framing::Chunked));
        assert_eq!(of(Some("5"), false), Ok(Framing::Length(5)));
        assert_eq!(of(Some("0"), true), Ok(Framing::Length(0)));
        assert_eq!(of(Some("5"), true), Err(Refused::ContentLength));
        assert_eq!(of(Some("+5"), false), Err(Refused::ContentLength));
    }
}
