//! Writes the request that goes to an endpoint. Framing is written from what was parsed, never copied; what
//! belongs to one connection stays behind; what a visitor may not claim about himself is replaced.

use std::io::Write;
use std::net::IpAddr;
use tentpole_http1::{self as http1, Framing};
use tentpole_message::{Name, RequestHead};

/// How a request is forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// The method.
    pub method: &'a [u8],
    /// Canonical path and query.
    pub target: &'a [u8],
    /// The authority the visitor asked for.
    pub host: &'a [u8],
    /// Framing of the body.
    pub framing: Framing,
    /// The visitor's address.
    pub peer: IpAddr,
    /// What the cache wants of it.
    pub purpose: Purpose<'a>,
    /// The protocol to upgrade to.
    pub upgrade: Option<&'a [u8]>,
}

/// What a response is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// For this visitor alone: conditions and ranges go along.
    Visitor,
    /// For the cache: the whole response, so the visitor's conditions stay here.
    Store,
    /// For the cache, which has a copy that may still hold.
    Revalidate {
        /// Its entity tag.
        etag: Option<&'a [u8]>,
        /// Its Last-Modified.
        last_modified: Option<&'a [u8]>,
    },
}

/// Appends the head to `out`.
pub fn write_head(out: &mut Vec<u8>, head: &RequestHead, forward: &Forward<'_>) {
    http1::write_request_line(out, forward.method, forward.target);
    http1::write_field(out, b"Host", forward.host);
    let for_cache = forward.purpose != Purpose::Visitor;
    http1::write_fields(out, &head.fields, |field| match field.id {
        Name::Host | Name::Forwarded => true,
        Name::XForwardedFor | Name::XForwardedHost | Name::XForwardedProto => true,
        // It changes what an endpoint answers, and a visitor's browser is no surrogate.
        Name::SurrogateCapability => true,
        Name::Other => is_claim(field.name),
        // From HTTP/1.0 it means nothing, and without a body it may not be sent (RFC 9110 section 10.1.1).
        Name::Expect => head.minor_version == 0 || forward.framing == Framing::None,
        Name::IfMatch | Name::IfNoneMatch | Name::IfModifiedSince | Name::IfUnmodifiedSince => for_cache,
        Name::IfRange | Name::Range => for_cache,
        _ => false,
    });
    if let Purpose::Revalidate { etag, last_modified } = forward.purpose {
        if let Some(etag) = etag {
            http1::write_field(out, b"If-None-Match", etag);
        }
        if let Some(last_modified) = last_modified {
            http1::write_field(out, b"If-Modified-Since", last_modified);
        }
    }
    out.extend_from_slice(b"X-Forwarded-For: ");
    // Writing into a Vec cannot fail.
    let _ = write!(out, "{}", forward.peer);
    out.extend_from_slice(b"\r\nX-Forwarded-Proto: http\r\n");
    http1::write_field(out, b"X-Forwarded-Host", forward.host);
    out.extend_from_slice(b"Via: 1.1 tentpole\r\n");
    if for_cache {
        // Edge Architecture Specification 1.0, section 2.2: `Surrogate-Control` is understood here.
        out.extend_from_slice(b"Surrogate-Capability: tentpole=\"Surrogate/1.0\"\r\n");
    }
    if let Some(protocol) = forward.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        http1::write_field(out, b"Upgrade", protocol);
    }
    http1::write_framing(out, forward.framing);
    out.extend_from_slice(b"\r\n");
}

/// Whether the name is one by which proxies speak of the visitor, however an application spells it: CGI and WSGI
/// read `_` as `-`. One that trusts us would believe `X-Forwarded-Port`, and what comes of it would be stored for
/// others. `Proxy` becomes the variable `HTTP_PROXY` (CVE-2016-5385).
fn is_claim(name: &[u8]) -> bool {
    let starts = |prefix: &[u8]| {
        let same = |(byte, wanted): (&u8, &u8)| {
            byte.eq_ignore_ascii_case(wanted) || (*byte == b'_' && *wanted == b'-')
        };
        name.len() >= prefix.len() && name.iter().zip(prefix).all(same)
    };
    [&b"x-forwarded-"[..], b"x-real-ip", b"x-original-url", b"x-rewrite-url"]
        .iter()
        .any(|claim| starts(claim))
        || name.eq_ignore_ascii_case(b"proxy")
}
