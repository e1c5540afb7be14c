//! Writes the request that goes to an endpoint. Framing is written from what was parsed, never copied; what
//! belongs to one connection stays behind; what a visitor may not claim about himself is replaced.

use crate::lock::Lock;
use crate::rank::Ranks;
use std::io::Write;
use std::net::IpAddr;
use tentpole_cache::DEVICE_FIELD;
use tentpole_http1::{self as http1, Framing};
use tentpole_message::{Fields, Name, RequestHead};

/// How a request is forwarded.
#[derive(Clone, Copy, Debug)]
pub struct Forward<'a> {
    /// The method.
    pub method: &'a [u8],
    /// Canonical path and query.
    pub target: &'a [u8],
    /// The visitor's fields, or what is told of them.
    pub fields: &'a Fields,
    /// What comes of it may be stored for others.
    pub shared: bool,
    /// The class of the visitor's device, where the route asks for it.
    pub device: Option<&'static str>,
    /// The authority the visitor asked for.
    pub host: &'a [u8],
    /// Framing of the body.
    pub framing: Framing,
    /// The visitor's address.
    pub peer: IpAddr,
    /// The proxies that are believed between him and us, each behind a comma.
    pub via: &'a [u8],
    /// He asked one of them by https.
    pub https: bool,
    /// The field in which they name his address.
    pub address_field: Option<&'a str>,
    /// By what the endpoint knows us.
    pub send: &'a Lock,
    /// By what we know who is in front.
    pub require: &'a Lock,
    /// By what we know who works here.
    pub ranks: &'a Ranks,
    /// What the cache wants of it.
    pub purpose: Purpose<'a>,
    /// Pages are put together here, and the endpoint is told.
    pub assembles: bool,
    /// The content is wanted as it is: it has to be read.
    pub identity: bool,
    /// The cookies that are ours: an endpoint is not told them.
    pub own_cookies: &'a [String],
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
    /// The same for one part of it, which no condition may turn into the whole.
    Part {
        /// Its first byte.
        first: u64,
        /// Its last byte, which counts.
        last: u64,
    },
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
    let secrets = || forward.send.names().chain(forward.require.names()).chain(forward.ranks.secret_names());
    // Asked once and not of each field: most have none.
    let has_secrets = secrets().next().is_some();
    let is_secret = |name: &[u8]| has_secrets && secrets().any(|ours| is_alike(name, ours.as_bytes()));
    let has_own_cookies = has_any(forward.fields, forward.own_cookies);
    http1::write_fields(out, forward.fields, |field| match field.id {
        _ if is_secret(field.name) => true,
        Name::Host | Name::Forwarded => true,
        Name::XForwardedFor | Name::XForwardedHost | Name::XForwardedProto => true,
        // It changes what an endpoint answers, and a visitor's browser is no surrogate.
        Name::SurrogateCapability => true,
        Name::AcceptEncoding => forward.identity,
        // For a proxy, and we ask for none (RFC 9110 section 11.7.2).
        Name::ProxyAuthorization => true,
        // Written below, without our own.
        Name::Cookie => has_own_cookies,
        Name::Via => forward.shared,
        Name::Other => {
            is_claim(field.name)
                || forward.address_field.is_some_and(|name| is_alike(field.name, name.as_bytes()))
                || (forward.shared && is_for_one(field.name))
                || (forward.device.is_some() && is_spelt(field.name, DEVICE_FIELD))
        }
        // From HTTP/1.0 it means nothing, and without a body it may not be sent (RFC 9110 section 10.1.1).
        Name::Expect => head.minor_version == 0 || forward.framing == Framing::None,
        Name::IfMatch | Name::IfNoneMatch | Name::IfModifiedSince | Name::IfUnmodifiedSince => for_cache,
        Name::IfRange | Name::Range => for_cache,
        _ => false,
    });
    if has_own_cookies {
        write_cookies(out, forward.fields, forward.own_cookies);
    }
    if let Purpose::Revalidate { etag, last_modified } = forward.purpose {
        if let Some(etag) = etag {
            http1::write_field(out, b"If-None-Match", etag);
        }
        if let Some(last_modified) = last_modified {
            http1::write_field(out, b"If-Modified-Since", last_modified);
        }
    }
    if let Purpose::Part { first, last } = forward.purpose {
        // Writing into a Vec cannot fail.
        let _ = write!(out, "Range: bytes={first}-{last}\r\n");
    }
    if let Some(device) = forward.device {
        http1::write_field(out, b"X-Device", device.as_bytes());
    }
    out.extend_from_slice(b"X-Forwarded-For: ");
    write_address(out, forward.peer);
    out.extend_from_slice(forward.via);
    let scheme: &[u8] = if forward.https { b"https" } else { b"http" };
    out.extend_from_slice(b"\r\n");
    http1::write_field(out, b"X-Forwarded-Proto", scheme);
    http1::write_field(out, b"X-Forwarded-Host", forward.host);
    out.extend_from_slice(forward.send.lines());
    out.extend_from_slice(b"Via: 1.1 tentpole\r\n");
    if forward.identity {
        out.extend_from_slice(b"Accept-Encoding: identity\r\n");
    }
    // Edge Architecture Specification 1.0, section 2.2: `Surrogate-Control` is understood here.
    let capabilities: &[u8] = match (for_cache, forward.assembles) {
        (true, true) => b"Surrogate-Capability: tentpole=\"Surrogate/1.0 ESI/1.0\"\r\n",
        (true, false) => b"Surrogate-Capability: tentpole=\"Surrogate/1.0\"\r\n",
        (false, true) => b"Surrogate-Capability: tentpole=\"ESI/1.0\"\r\n",
        (false, false) => b"",
    };
    out.extend_from_slice(capabilities);
    if let Some(protocol) = forward.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\n");
        http1::write_field(out, b"Upgrade", protocol);
    }
    http1::write_framing(out, forward.framing);
    out.extend_from_slice(b"\r\n");
}

/// An address as text. Those of IPv4 are most, and formatting costs more than all of the line.
fn write_address(out: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // Writing into a Vec cannot fail.
        let _ = write!(out, "{address}");
        return;
    };
    let mut text = [b'.'; 16];
    let mut len = 0;
    for octet in address.octets() {
        for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
            if octet >= least {
                text[len] = b'0' + digit;
                len += 1;
            }
        }
        // The dot is there already.
        len += 1;
    }
    out.extend_from_slice(&text[..len - 1]);
}

/// Whether a cookie's name is one of these.
fn is_one_of(pair: &[u8], names: &[String]) -> bool {
    let name = pair.split(|&byte| byte == b'=').next().unwrap_or_default();
    names.iter().any(|own| name.trim_ascii() == own.as_bytes())
}

/// Whether the visitor has a cookie with one of these names.
fn has_any(fields: &Fields, names: &[String]) -> bool {
    let mut pairs = fields.all(Name::Cookie).flat_map(|line| line.split(|&byte| byte == b';'));
    pairs.any(|pair| is_one_of(pair, names))
}

/// Writes the visitor's cookies but these, each line as it came where it holds none of them.
fn write_cookies(out: &mut Vec<u8>, fields: &Fields, own: &[String]) {
    let is_own = |pair: &[u8]| is_one_of(pair, own);
    for line in fields.all(Name::Cookie) {
        let pairs = || line.split(|&byte| byte == b';');
        if !pairs().any(is_own) {
            http1::write_field(out, b"Cookie", line);
            continue;
        }
        let mut begins = true;
        for pair in pairs().filter(|pair| !is_own(pair)) {
            out.extend_from_slice(if begins { b"Cookie: " } else { b"; " });
            out.extend_from_slice(pair.trim_ascii());
            begins = false;
        }
        if !begins {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Names by which proxies speak of the visitor and of what he asked for. An application that trusts us would believe
/// them, and what comes of it would be stored for others.
const CLAIMS: &[&[u8]] = &[
    // All that begin so: For, Host, Proto, Port, Prefix, Scheme, Server, Ssl, Path, Uri.
    b"x-forwarded-*",
    b"x-forwarded",
    b"x-original-forwarded-*",
    b"x-envoy-original-*",
    b"x-envoy-external-address",
    b"x-real-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-originating-ip",
    b"x-remote-ip",
    b"x-remote-addr",
    b"x-proxyuser-ip",
    b"client-ip",
    b"true-client-ip",
    b"cf-connecting-ip",
    b"fastly-client-ip",
    b"x-host",
    b"x-http-host-override",
    b"x-original-host",
    b"x-original-url",
    b"x-rewrite-url",
    b"x-scheme",
    b"x-url-scheme",
    b"front-end-https",
    b"x-original-remote-addr",
    // By which a proxy offers what it can do for the application.
    b"surrogate-capability",
    b"x-sendfile-type",
    b"x-accel-mapping",
    // It becomes the variable `HTTP_PROXY` (CVE-2016-5385).
    b"proxy",
];

/// Names that ask an application for something else than the URL does. Whoever sends them may get that, for himself.
const FOR_ONE: &[&[u8]] = &[
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-http-path-override",
    b"x-http-destinationurl",
    b"destination",
    b"base-url",
    // What Next.js says to itself (CVE-2025-29927, CVE-2024-46982).
    b"x-middleware-*",
    b"x-invoke-*",
    b"x-now-route-matches",
    b"x-nextjs-data",
];

/// What an endpoint is told of a request's trailers: there are endpoints that read them as fields of the head.
pub fn told_late(trailers: &Fields) -> Fields {
    let mut told = Fields::new();
    let unclaimed = trailers.iter().filter(|field| !is_claim(field.name));
    unclaimed.for_each(|field| told.push(field.name, field.value));
    told
}

fn is_claim(name: &[u8]) -> bool {
    CLAIMS.iter().any(|claim| is_spelt(name, claim))
}

fn is_for_one(name: &[u8]) -> bool {
    FOR_ONE.iter().any(|known| is_spelt(name, known))
}

/// [`is_spelt`] for a name in any case.
fn is_alike(name: &[u8], known: &[u8]) -> bool {
    let same = |(byte, wanted): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(wanted) || !(byte.is_ascii_alphanumeric() || wanted.is_ascii_alphanumeric())
    };
    name.len() == known.len() && name.iter().zip(known).all(same)
}

/// Whether an application may read the name so, however it is spelt: CGI and WSGI read `_` as `-`. A `*` at the end of
/// `known`, which is in lower case, stands for any rest.
fn is_spelt(name: &[u8], known: &[u8]) -> bool {
    let (known, whole) = match known {
        [beginning @ .., b'*'] => (beginning, false),
        known => (known, true),
    };
    let same = |(byte, wanted): (&u8, &u8)| {
        byte.eq_ignore_ascii_case(wanted) || (!byte.is_ascii_alphanumeric() && *wanted == b'-')
    };
    (if whole { name.len() == known.len() } else { name.len() >= known.len() })
        && name.iter().zip(known).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_everybody_writes_it() {
        let octets = [0, 1, 9, 10, 19, 99, 100, 101, 110, 199, 200, 255];
        let addresses = octets.iter().flat_map(|&a| octets.iter().map(move |&b| IpAddr::from([a, b, b, a])));
        for address in addresses.chain(["2001:db8::1".parse().unwrap(), "::ffff:192.0.2.1".parse().unwrap()])
        {
            let mut out = Vec::new();
            write_address(&mut out, address);
            assert_eq!(String::from_utf8_lossy(&out), address.to_string());
        }
    }
}
