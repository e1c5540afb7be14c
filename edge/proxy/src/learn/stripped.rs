//! The request that is sent when its answer may be stored by a learned rule. Made from nothing, not cut out of the
//! visitor's: what is not written here cannot have changed the answer.

use std::borrow::Cow;
use tentpole_http1 as http1;
use tentpole_learn::Dims;
use tentpole_message::{Fields, Name};

/// What an application is told of the browser where that was seen not to matter.
const ANY_AGENT: &[u8] = b"Mozilla/5.0 (compatible; Tentpole)";

/// What is not the visitor's.
pub struct How<'a> {
    /// Path, and what counts of the query.
    pub target: &'a [u8],
    /// The authority that was asked for.
    pub host: &'a [u8],
    /// It was asked for by https, which the key says too.
    pub https: bool,
    /// Lines by which the endpoint knows us.
    pub send: &'a [u8],
    /// The class of the device, where that is all that is compared.
    pub device: Option<&'a str>,
    /// The content is wanted as it is: it has to be read.
    pub identity: bool,
}

/// Appends the head. Of the visitor's fields only `Accept-Encoding` and those that `vary` names go along, as they are
/// compared (`cache::Presented`): the stored answer is selected by them. Where only the class of a device is compared, it
/// alone is told.
pub fn write_head(out: &mut Vec<u8>, fields: &Fields, how: &How<'_>, vary: Dims) {
    let &How { target, host, https, send, device, identity } = how;
    http1::write_request_line(out, b"GET", target);
    http1::write_field(out, b"Host", host);
    let own = |out: &mut Vec<u8>, id, name: &[u8]| {
        if let Some(value) = joined(fields, id) {
            http1::write_field(out, name, &value);
        }
    };
    match vary.has(Dims::ACCEPT) {
        true => own(out, Name::Accept, b"Accept"),
        false => http1::write_field(out, b"Accept", b"*/*"),
    }
    match identity {
        true => http1::write_field(out, b"Accept-Encoding", b"identity"),
        false => own(out, Name::AcceptEncoding, b"Accept-Encoding"),
    }
    if vary.has(Dims::LANGUAGE) {
        own(out, Name::AcceptLanguage, b"Accept-Language");
    }
    match device {
        None if vary.has(Dims::AGENT) => own(out, Name::UserAgent, b"User-Agent"),
        _ => http1::write_field(out, b"User-Agent", ANY_AGENT),
    }
    if let Some(device) = device.filter(|_| vary.has(Dims::AGENT)) {
        http1::write_field(out, b"X-Device", device.as_bytes());
    }
    http1::write_field(out, b"X-Forwarded-Proto", if https { b"https" } else { b"http" });
    http1::write_field(out, b"X-Forwarded-Host", host);
    out.extend_from_slice(send);
    out.extend_from_slice(b"Via: 1.1 tentpole\r\n\r\n");
}

/// The names by which the stored answer is selected.
pub fn selecting(vary: Dims) -> Vec<&'static [u8]> {
    std::iter::once("Accept-Encoding").chain(vary.names()).map(str::as_bytes).collect()
}

/// The value of a field, of several lines as a list.
fn joined(fields: &Fields, name: Name) -> Option<Cow<'_, [u8]>> {
    let mut lines = fields.all(name);
    let first = lines.next()?;
    let rest: Vec<&[u8]> = lines.collect();
    match rest.is_empty() {
        true => Some(Cow::Borrowed(first)),
        false => Some(Cow::Owned([&[first], &rest[..]].concat().join(&b", "[..]))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn written(vary: Dims, device: Option<&str>) -> String {
        let mut fields = Fields::new();
        for (name, value) in [
            ("Host", "a"),
            ("Cookie", "_ga=me"),
            ("Referer", "http://me"),
            ("X-Forwarded-For", "10.0.0.9"),
            ("Accept-Language", "de-me"),
            ("User-Agent", "Browser/me"),
            ("Accept", "text/me"),
            ("Accept-Encoding", "gzip"),
            ("Accept-Encoding", "br"),
            ("If-None-Match", "\"me\""),
            ("Sec-CH-UA", "me"),
            ("traceparent", "00-me"),
        ] {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        let mut out = Vec::new();
        let how = How {
            target: b"/p?q=1",
            host: b"shop.example",
            https: false,
            send: b"X-Origin-Key: k\r\n",
            device,
            identity: false,
        };
        write_head(&mut out, &fields, &how, vary);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn nothing_of_the_visitor_is_left_but_what_selects_the_answer() {
        assert_eq!(
            written(Dims::NONE, None),
            "GET /p?q=1 HTTP/1.1\r\nHost: shop.example\r\nAccept: */*\r\nAccept-Encoding: gzip, br\r\n\
             User-Agent: Mozilla/5.0 (compatible; Tentpole)\r\nX-Forwarded-Proto: http\r\n\
             X-Forwarded-Host: shop.example\r\nX-Origin-Key: k\r\nVia: 1.1 tentpole\r\n\r\n"
        );
        assert_eq!(selecting(Dims::NONE), [b"Accept-Encoding"]);
    }

    #[test]
    fn what_selects_the_answer_goes_along_as_it_came() {
        let all = written(Dims::ALL, None);
        for line in ["Accept: text/me", "Accept-Language: de-me", "User-Agent: Browser/me"] {
            assert!(all.contains(&format!("\r\n{line}\r\n")), "{all}");
        }
        assert_eq!(all.matches("me").count(), 3 + "Tentpole.example".matches("me").count());
        assert_eq!(selecting(Dims::ALL).len(), 4);
        let by_device = written(Dims::ALL, Some("phone"));
        assert!(by_device.contains("X-Device: phone\r\n") && !by_device.contains("Browser"), "{by_device}");
    }
}
