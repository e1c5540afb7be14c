//! Request heads: the request line, the target's form, `Host`. Refuses at the first byte that is wrong; does not
//! look at framing (`framing`) or normalise the path (the router does).

use crate::authority::split_authority;
use crate::head::{self, FieldRoom, Limits, Parsed};
use crate::{FIELDS_MAX, head::offset};
use httparse::{Error, Request, Status};
use std::mem::MaybeUninit;
use tentpole_message::{Name, RequestHead};
use tentpole_model::{Method, Refused};

/// Longest method; the longest registered one has 17 bytes.
const METHOD_BYTES_MAX: usize = 32;

/// What a request asks for (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// `http` or `https` in any case, when the target was absolute.
    pub scheme: Option<&'a [u8]>,
    /// `host[:port]`, when the target was absolute: then it counts and `Host` does not.
    pub authority: Option<&'a [u8]>,
    /// Starts with `/`, or is `*` (only for OPTIONS).
    pub path_and_query: &'a [u8],
}

/// Parses one request head at the start of `bytes`.
///
/// One empty line before it is skipped (RFC 9112 section 2.2) and counted in `head_bytes`. The head is filled when
/// the whole head was understood, so that a log can show it even when its `Host` is refused; otherwise it keeps
/// what it held.
///
/// # Errors
/// The refusal that answers the visitor; the connection must then be closed.
pub fn parse_request(bytes: &[u8], limits: &Limits, head: &mut RequestHead) -> Result<Parsed, Refused> {
    let window = head::window(bytes, limits);
    let is_full = window.len() == limits.head_bytes_max;
    let Some(skip) = leading_line(window)? else {
        return partial(is_full);
    };
    let text = &window[skip..];

    let mut room: FieldRoom<'_> = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let fields_max = limits.fields_max.min(FIELDS_MAX);
    let mut request = Request::new(&mut []);
    let status = request.parse_with_uninit_headers(text, &mut room[..fields_max]);
    check_line(&request, text, limits)?;
    let head_len = match status {
        Ok(Status::Complete(head_len)) => head_len,
        Ok(Status::Partial) if head::has_bare_lf(text) => return Err(Refused::Malformed),
        Ok(Status::Partial) => return partial(is_full),
        // The line before the fields and the one that was too much.
        Err(Error::TooManyHeaders) if head::has_bare_lf_in_lines(text, fields_max + 2) => {
            return Err(Refused::Malformed);
        }
        Err(error) => return Err(refusal(error)),
    };
    let text = &text[..head_len];
    if head::has_bare_lf(text) {
        return Err(Refused::Malformed);
    }

    let method = request.method.unwrap_or_default().as_bytes();
    let target = request.path.unwrap_or_default().as_bytes();
    let target_at = offset(text, target);
    head::load(&mut head.fields, text, request.headers);
    head.set_line(0..method.len(), target_at..target_at + target.len(), request.version.unwrap_or(1));
    check_host(head)?;
    Ok(Parsed::Complete { head_bytes: skip + head_len })
}

/// Holds a head that another codec has filled to the rules of this one: method, form of the target, `Host`.
///
/// # Errors
/// The refusal that answers the visitor.
pub fn check_request(head: &RequestHead, limits: &Limits) -> Result<(), Refused> {
    let (method, target) = (head.method_bytes(), head.target());
    if matches!(head.method, Method::Connect | Method::Trace) {
        return Err(Refused::Method);
    }
    if method.is_empty() || method.len() > METHOD_BYTES_MAX || !method.iter().all(|&b| head::is_token_byte(b))
    {
        return Err(Refused::RequestLine);
    }
    if target.len() > limits.target_bytes_max {
        return Err(Refused::TargetTooLong);
    }
    let is_visible = target.iter().all(u8::is_ascii_graphic);
    let is_origin = matches!(target.first(), Some(b'/' | b'*'));
    if !is_visible || !is_origin || split(target, head.method == Method::Options).is_none() {
        return Err(Refused::Target);
    }
    check_host(head)
}

/// Takes the head's target apart. On a head that [`parse_request`] has filled.
pub fn split_target(head: &RequestHead) -> Target<'_> {
    let target = head.target();
    let path = Target { scheme: None, authority: None, path_and_query: target };
    // Almost all; the parser has looked at the rest of it.
    if target.first() == Some(&b'/') {
        return path;
    }
    // The parser let no other through; a head from elsewhere is taken for a path.
    split(target, head.method == Method::Options).unwrap_or(path)
}

/// The host that the request is for: of an absolute target, else of `Host`; `host[:port]`.
pub fn host(head: &RequestHead) -> Option<&[u8]> {
    split_target(head).authority.or_else(|| head.fields.get(Name::Host))
}

fn partial(is_full: bool) -> Result<Parsed, Refused> {
    if is_full { Err(Refused::HeadTooLarge) } else { Ok(Parsed::Partial) }
}

/// Length of the empty line before the head; `None` while that cannot be known.
fn leading_line(bytes: &[u8]) -> Result<Option<usize>, Refused> {
    let skip = match bytes {
        [] | [b'\r'] => return Ok(None),
        [b'\r', b'\n', ..] => 2,
        _ => 0,
    };
    match bytes.get(skip) {
        None => Ok(None),
        // A second empty line, or half of one.
        Some(b'\r' | b'\n') => Err(Refused::Malformed),
        Some(_) => Ok(Some(skip)),
    }
}

fn refusal(error: Error) -> Refused {
    match error {
        Error::Token | Error::Status => Refused::RequestLine,
        Error::Version => Refused::Version,
        Error::TooManyHeaders => Refused::HeadTooLarge,
        Error::HeaderName | Error::HeaderValue | Error::NewLine => Refused::Malformed,
    }
}

/// What `httparse` lets through in a request line, in the order of its bytes, so that the answer is the same
/// however many of them are there.
fn check_line(request: &Request<'_, '_>, text: &[u8], limits: &Limits) -> Result<(), Refused> {
    let Some(method) = request.method else {
        let token_len = text.iter().position(|&byte| !head::is_token_byte(byte)).unwrap_or(text.len());
        return if token_len > METHOD_BYTES_MAX { Err(Refused::RequestLine) } else { Ok(()) };
    };
    if method.len() > METHOD_BYTES_MAX {
        return Err(Refused::RequestLine);
    }
    let method_id = Method::from_bytes(method.as_bytes());
    if matches!(method_id, Method::Connect | Method::Trace) {
        return Err(Refused::Method);
    }
    let Some(target) = request.path else {
        let rest = &text[method.len() + 1..];
        let target_len = rest.iter().position(|&byte| byte <= b' ' || byte == 0x7f).unwrap_or(rest.len());
        return if target_len > limits.target_bytes_max { Err(Refused::TargetTooLong) } else { Ok(()) };
    };
    if target.len() > limits.target_bytes_max {
        return Err(Refused::TargetTooLong);
    }
    if request.version.is_none() {
        return check_version(&text[method.len() + target.len() + 2..]);
    }
    split(target.as_bytes(), method_id == Method::Options).map(|_| ()).ok_or(Refused::Target)
}

/// Tells another version of HTTP, which gets 505, from what is no version at all.
fn check_version(text: &[u8]) -> Result<(), Refused> {
    for (&byte, &expected) in text.iter().zip(b"HTTP/1.1") {
        match (expected, byte) {
            _ if byte == expected => {}
            (b'1', b'0'..=b'9') => return Err(Refused::Version),
            _ => return Err(Refused::RequestLine),
        }
    }
    Ok(())
}

/// The forms that a target may have, `None` for any other; authority-form is CONNECT's and is never let in.
fn split(target: &[u8], is_options: bool) -> Option<Target<'_>> {
    // Any visible ASCII but `#`: browsers leave `|`, `{` and the like as they are. The rest must be escaped
    // (RFC 3986 section 2), and a fragment is never sent.
    if !target.is_ascii() || memchr::memchr(b'#', target).is_some() {
        return None;
    }
    if target.first() == Some(&b'/') {
        return Some(Target { scheme: None, authority: None, path_and_query: target });
    }
    if target == b"*" {
        return is_options.then_some(Target { scheme: None, authority: None, path_and_query: target });
    }
    let colon = memchr::memchr(b':', target)?;
    let (scheme, rest) = target.split_at(colon);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let rest = rest.strip_prefix(b"://")?;
    let authority_len = memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
    let (authority, path_and_query) = rest.split_at(authority_len);
    split_authority(authority)?;
    let path_and_query = match path_and_query.first() {
        Some(b'/') => path_and_query,
        // Would need a slash that is not in the buffer; nobody sends it.
        Some(_) => return None,
        // RFC 9112 section 3.2.4: without a path, OPTIONS asks about the server.
        None if is_options => b"*",
        None => b"/",
    };
    Some(Target { scheme: Some(scheme), authority: Some(authority), path_and_query })
}

/// RFC 9112 section 3.2: one valid `Host`; HTTP/1.0 may leave it out.
fn check_host(head: &RequestHead) -> Result<(), Refused> {
    let mut hosts = head.fields.all(Name::Host);
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if split_authority(host).is_some() => Ok(()),
        (None, None) if head.minor_version == 0 => Ok(()),
        _ => Err(Refused::Host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<(Parsed, RequestHead), Refused> {
        let mut head = RequestHead::new();
        parse_request(text.as_bytes(), &Limits::default(), &mut head).map(|parsed| (parsed, head))
    }

    fn target_of(line: &str) -> Result<(Option<String>, String), Refused> {
        let (_, head) = parse(&format!("{line} HTTP/1.1\r\nHost: h\r\n\r\n"))?;
        let target = split_target(&head);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Ok((target.authority.map(text), text(target.path_and_query)))
    }

    #[test]
    fn a_request_is_taken_apart() {
        let text = "\r\nGET /a?b=c HTTP/1.1\r\nHost:  shop.example \r\nX-Empty:\r\naccept:a\t\r\n\r\nbody";
        let (parsed, head) = parse(text).unwrap();
        assert_eq!(parsed, Parsed::Complete { head_bytes: text.len() - 4 });
        assert_eq!(head.method, Method::Get);
        assert_eq!(head.method_bytes(), b"GET");
        assert_eq!(head.target(), b"/a?b=c");
        assert_eq!(head.minor_version, 1);
        assert_eq!(host(&head), Some(&b"shop.example"[..]));
        let fields: Vec<_> = head.fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(fields, [(&b"Host"[..], &b"shop.example"[..]), (b"X-Empty", b""), (b"accept", b"a"),]);
    }

    #[test]
    fn targets_have_one_of_three_forms() {
        let some = |authority: &str, path: &str| Ok((Some(authority.to_string()), path.to_string()));
        assert_eq!(target_of("GET /a//b?c|{}"), Ok((None, "/a//b?c|{}".into())));
        assert_eq!(target_of("GET http://o.example:81/x?y"), some("o.example:81", "/x?y"));
        assert_eq!(target_of("GET HTTPS://o.example"), some("o.example", "/"));
        assert_eq!(target_of("OPTIONS http://o.example"), some("o.example", "*"));
        assert_eq!(target_of("OPTIONS *"), Ok((None, "*".into())));
        for bad in [
            "*",
            "a",
            "a/b",
            "o.example:80",
            "http:/x",
            "http://",
            "http:///x",
            "http://u@h/",
            "http://h?x",
            "ftp://h/",
            "http://h:x/",
            "/a#b",
            "/ä",
            "?x",
            "**",
        ] {
            assert_eq!(target_of(&format!("GET {bad}")), Err(Refused::Target), "{bad}");
        }
    }

    #[test]
    fn an_absolute_target_counts_more_than_host() {
        let (_, head) = parse("GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n").unwrap();
        assert_eq!(host(&head), Some(&b"a.example"[..]));
    }

    #[test]
    fn a_partial_head_is_refused_as_soon_as_it_is_wrong() {
        let long_target = format!("GET /{}", "a".repeat(16 * 1024));
        let long_method = "A".repeat(33);
        let cases: [(&str, Refused); 14] = [
            ("\x16\x03\x01", Refused::RequestLine),
            ("\n", Refused::Malformed),
            ("\r\n\r", Refused::Malformed),
            ("\rG", Refused::Malformed),
            ("GE\tT", Refused::RequestLine),
            (" GET", Refused::RequestLine),
            (&long_method, Refused::RequestLine),
            ("CONNECT ", Refused::Method),
            ("TRACE ", Refused::Method),
            (&long_target, Refused::TargetTooLong),
            ("GET / HTTP/2", Refused::Version),
            ("GET / X", Refused::RequestLine),
            ("GET / HTTP/1.1\n", Refused::Malformed),
            ("GET / HTTP/1.1\r\nA: b\n", Refused::Malformed),
        ];
        for (text, refused) in cases {
            assert_eq!(parse(text).map(|(parsed, _)| parsed), Err(refused), "{text:?}");
        }
    }

    #[test]
    fn a_head_may_be_as_large_as_the_limits_and_no_larger() {
        let text = b"GET /abc HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n";
        let fitting = Limits { head_bytes_max: text.len(), target_bytes_max: 4, fields_max: 2 };
        let parse = |limits: Limits| parse_request(text, &limits, &mut RequestHead::new());
        assert_eq!(parse(fitting), Ok(Parsed::Complete { head_bytes: text.len() }));
        assert_eq!(parse(Limits { head_bytes_max: text.len() - 1, ..fitting }), Err(Refused::HeadTooLarge));
        assert_eq!(parse(Limits { target_bytes_max: 3, ..fitting }), Err(Refused::TargetTooLong));
        assert_eq!(parse(Limits { fields_max: 1, ..fitting }), Err(Refused::HeadTooLarge));
    }
}
