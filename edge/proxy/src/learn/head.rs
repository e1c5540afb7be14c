//! What the head of a request and of its response mean for learning.

use super::Learning;
use crate::invalidate::same_origin;
use crate::purge::host_of;
use crate::tags::is_for_caches;
use std::hash::Hasher;
use std::net::IpAddr;
use tentpole_http1 as http1;
use tentpole_learn::{Dims, Trait, Traits, agent_class, language_class, says_nothing};
use tentpole_message::{Field, Fields, Name, ResponseHead, StoredHead, tokens};
use tentpole_runtime::clock;

/// Longest body that is compared, and stored by a rule.
pub const BODY_BYTES_MAX: u64 = 1 << 20;
/// Names of cookies that are told of one request.
const COOKIES_MAX: usize = 8;
/// Largest stored head.
const STORED_HEAD_MAX: usize = 32 * 1024;

/// Fields by which servers tell of themselves: another value each time, and nothing to anybody. They are neither compared
/// nor stored.
const OF_THE_MOMENT: &[&str] = &[
    "alt-svc",
    "cf-ray",
    "nel",
    "report-to",
    "server-timing",
    "traceparent",
    "traceresponse",
    "x-amz-cf-id",
    "x-amz-cf-pop",
    "x-amzn-requestid",
    "x-amzn-trace-id",
    "x-backend-server",
    "x-cache",
    "x-cache-hits",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-debug-token",
    "x-debug-token-link",
    "x-process-time",
    "x-request-id",
    "x-response-time",
    "x-runtime",
    "x-served-by",
    "x-timer",
    "x-trace-id",
    "x-varnish",
];

/// What a response's head is to a learner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It says how it may be cached.
    Speaks,
    /// It sets these cookies.
    SetsCookies(Vec<Box<str>>),
    /// Its `Vary` cannot be kept.
    Varies,
    /// An error of the moment, or something that cannot be compared.
    Unseen,
    /// To be compared. It could be stored if it is a `page`: one that ends, that there is none, or where it is for good.
    Silent {
        /// It could be stored.
        page: bool,
        /// Fields that its `Vary` names.
        needs: Dims,
    },
}

/// Reads it. `key` is that of the request: host, a zero byte, path and query.
pub fn meaning(response: &ResponseHead, length: Option<u64>, key: &[u8]) -> Meaning {
    let fields = &response.fields;
    if response.status >= 500 || matches!(response.status, 100..=199 | 206 | 304 | 408 | 425 | 429) {
        return Meaning::Unseen;
    }
    let speaks = [Name::CacheControl, Name::Expires, Name::Pragma].iter().any(|name| fields.has(*name))
        || ["cdn-cache-control", "surrogate-control", "x-accel-expires", "edge-control"]
            .iter()
            .any(|name| fields.find(name.as_bytes()).next().is_some());
    if fields.has(Name::SetCookie) {
        let names =
            fields.all(Name::SetCookie).filter_map(|cookie| cookie.split(|&byte| byte == b'=').next());
        return Meaning::SetsCookies(names.take(COOKIES_MAX).map(text).collect());
    }
    if speaks {
        return Meaning::Speaks;
    }
    let Some(needs) = needs(fields) else { return Meaning::Varies };
    let ends = length.is_none_or(|length| length <= BODY_BYTES_MAX);
    let is_stream = fields.get(Name::ContentType).is_some_and(|kind| kind.starts_with(b"text/event-stream"));
    let is_page = match response.status {
        200 | 404 | 410 => true,
        301 | 308 => leads_to_itself(fields, key),
        _ => false,
    };
    Meaning::Silent { page: is_page && ends && !is_stream, needs }
}

/// Whether a redirect stays on the host that was asked. Where an application sends visitors elsewhere by something that they
/// said, nobody else may follow.
fn leads_to_itself(fields: &Fields, key: &[u8]) -> bool {
    let mut named = fields.all(Name::Location);
    let (Some(location), None) = (named.next(), named.next()) else { return false };
    // Browsers read a backslash as a slash, and skip what is not printed: `/\evil.example` is another host to them.
    let plain = location.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'\\');
    let target = key.splitn(2, |&byte| byte == 0).nth(1).unwrap_or_default();
    let target = target.split(|&byte| byte == 0).next().unwrap_or_default();
    plain && same_origin(host_of(key), target, location).is_some()
}

/// Fields that `Vary` names and a rule can keep apart. What only those send who are not served by a rule (`Cookie`,
/// `Origin`) need not be kept apart; what everybody sends and no rule keeps apart cannot be shared: `None`.
fn needs(fields: &Fields) -> Option<Dims> {
    let mut needs = Dims::NONE;
    for name in fields.all(Name::Vary).flat_map(tokens) {
        needs = needs.with(match Name::from_bytes(name) {
            Name::AcceptEncoding => Dims::NONE,
            Name::AcceptLanguage => Dims::LANGUAGE,
            Name::UserAgent => Dims::AGENT,
            Name::Accept => Dims::ACCEPT,
            _ if name == b"*" || says_nothing(name) => return None,
            _ => Dims::NONE,
        });
    }
    Some(needs)
}

/// Its content coding, as a number.
pub fn coding(response: &ResponseHead) -> u8 {
    match response.fields.get(Name::ContentEncoding) {
        None | Some(b"identity") => 0,
        Some(b"gzip" | b"x-gzip") => 1,
        Some(b"br") => 2,
        Some(b"zstd") => 3,
        Some(b"deflate") => 4,
        Some(_) => 5,
    }
}

/// A hasher that has taken in what of a head is compared.
pub fn hasher(learning: &Learning, response: &ResponseHead) -> super::keys::Hasher {
    let mut hasher = learning.keys.hasher();
    hasher.write_u16(response.status);
    for field in response.fields.iter().filter(|field| is_lasting(*field)) {
        hasher.write(&field.name.to_ascii_lowercase());
        hasher.write_u8(b':');
        hasher.write(field.value);
        hasher.write_u8(b'\n');
    }
    hasher
}

/// What of a head is stored by a rule: what was compared, and the date.
pub fn stored(response: &ResponseHead, sends_tags: bool, now: u64) -> Option<StoredHead> {
    let mut lines = Vec::with_capacity(response.fields.bytes().len() + 64);
    http1::write_status_line(&mut lines, response.status, response.reason());
    http1::write_fields(&mut lines, &response.fields, |field| {
        !is_lasting(field) || (!sends_tags && is_for_caches(&field))
    });
    match response.fields.get(Name::Date) {
        Some(date) => http1::write_field(&mut lines, b"Date", date),
        None => http1::write_field(&mut lines, b"Date", &clock::http_date(now)),
    }
    (lines.len() <= STORED_HEAD_MAX).then(|| StoredHead { lines: lines.into(), status: response.status })
}

fn is_lasting(field: Field<'_>) -> bool {
    match field.id {
        Name::Date | Name::Age | Name::ContentLength | Name::CacheStatus | Name::Via | Name::SetCookie => {
            false
        }
        Name::Other => !OF_THE_MOMENT.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_bytes())),
        id => !id.is_hop_by_hop(),
    }
}

/// What a request says about what its visitor likes; of a stripped one, as far as it was left.
pub fn traits(learning: &Learning, fields: &Fields, left: Dims) -> Traits {
    let one = |name, class: fn(&[u8]) -> u16, dim| match fields.get(name).filter(|_| left.has(dim)) {
        None => Trait::default(),
        Some(value) => Trait { exact: learning.hash(value) as u32 | 1, class: class(value) },
    };
    [
        one(Name::AcceptLanguage, language_class, Dims::LANGUAGE),
        one(Name::UserAgent, agent_class, Dims::AGENT),
        one(Name::Accept, |_| 0, Dims::ACCEPT),
    ]
}

/// The names of a request's cookies.
pub fn cookies(fields: &Fields) -> Vec<Box<str>> {
    let pairs = fields.all(Name::Cookie).flat_map(|line| line.split(|&byte| byte == b';'));
    let names = pairs.filter_map(|pair| pair.split(|&byte| byte == b'=').next());
    names.take(COOKIES_MAX).map(text).collect()
}

/// A visitor's address, hashed; of IPv6 the network, for the rest is his to choose.
pub fn visitor(learning: &Learning, peer: IpAddr) -> u64 {
    match peer.to_canonical() {
        IpAddr::V4(address) => learning.hash(&address.octets()),
        IpAddr::V6(address) => learning.hash(&address.octets()[..8]),
    }
}

fn text(name: &[u8]) -> Box<str> {
    String::from_utf8_lossy(name.trim_ascii()).into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn means(lines: &str) -> Meaning {
        let mut response = ResponseHead::new();
        let text = format!("HTTP/1.1 {lines}\r\n\r\n");
        http1::parse_response(text.as_bytes(), &http1::Limits::default(), &mut response).unwrap();
        meaning(&response, None, b"shop.example\0/a?b=1")
    }

    #[test]
    fn only_what_says_nothing_is_learned_from() {
        let page = Meaning::Silent { page: true, needs: Dims::NONE };
        assert_eq!(means("200 OK\r\nContent-Type: text/html"), page);
        assert_eq!(means("200 OK\r\nVary: Cookie, Accept-Encoding, Origin"), page);
        assert_eq!(means("200 OK\r\nETag: \"1\"\r\nLast-Modified: x"), page);
        for speaks in [
            "Cache-Control: x",
            "Expires: 0",
            "Pragma: no-cache",
            "CDN-Cache-Control: no-store",
            "Surrogate-Control: x",
        ] {
            assert_eq!(means(&format!("200 OK\r\n{speaks}")), Meaning::Speaks, "{speaks}");
        }
        assert_eq!(means("200 OK\r\nSet-Cookie: csrf=1; Path=/"), Meaning::SetsCookies(vec!["csrf".into()]));
        assert_eq!(means("200 OK\r\nVary: *"), Meaning::Varies);
        assert_eq!(means("200 OK\r\nVary: Referer"), Meaning::Varies);
        let by_language = Meaning::Silent { page: true, needs: Dims::LANGUAGE };
        assert_eq!(means("200 OK\r\nVary: accept-language"), by_language);
    }

    #[test]
    fn an_error_of_the_moment_proves_nothing_and_another_status_is_no_page() {
        assert_eq!([means("503 x"), means("429 x"), means("304 x")], [const { Meaning::Unseen }; 3]);
        let other = Meaning::Silent { page: false, needs: Dims::NONE };
        assert_eq!([means("302 x\r\nLocation: /login"), means("403 x")], [other.clone(), other.clone()]);
        assert_eq!(means("200 OK\r\nContent-Type: text/event-stream"), other);
    }

    #[test]
    fn that_there_is_no_page_or_that_it_has_moved_on_this_host_is_a_page() {
        let [page, other] = [true, false].map(|page| Meaning::Silent { page, needs: Dims::NONE });
        assert_eq!([means("404 x"), means("410 x")], [page.clone(), page.clone()]);
        for here in ["/new/", "new", "?page=2", "http://shop.example/a/", "https://Shop.example:443/a?b=1"] {
            assert_eq!(means(&format!("301 x\r\nLocation: {here}")), page, "{here}");
            assert_eq!(means(&format!("308 x\r\nLocation: {here}")), page, "{here}");
            assert_eq!(means(&format!("302 x\r\nLocation: {here}")), other, "{here}");
        }
        for elsewhere in [
            "http://evil.example/",
            "//evil.example/",
            "/\\evil.example/",
            "\\\\evil.example/",
            "http:\\\\evil.example",
            "https:/evil.example/",
            "http://shop.example.evil.example/",
            "http://shop.example@evil.example/",
            "http://shop.example:8080/",
            "javascript:x",
        ] {
            assert_eq!(means(&format!("301 x\r\nLocation: {elsewhere}")), other, "{elsewhere}");
        }
        assert_eq!(means("301 x"), other);
        assert_eq!(means("301 x\r\nLocation: /a\r\nLocation: //evil.example"), other);
    }
}
