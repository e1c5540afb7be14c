//! What the edge itself says: refusals, failures, redirects. Short and kind to the visitor; the cause is in the
//! log. Never says which endpoint failed.

use std::io::Write;
use tentpole_http1 as http1;
use tentpole_model::{Cause, Failure, Phase, Purged, Refused, Version};
use tentpole_runtime::clock;

/// How an answer ends.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// Whether the visitor asked with HEAD.
    pub head_only: bool,
    /// Whether the connection goes on.
    pub keep_alive: bool,
    /// The version that the visitor speaks.
    pub version: Version,
    /// How long browsers shall ask this host by https only, in seconds; 0 says nothing of it.
    pub hsts_s: u32,
}

/// Seconds after which a visitor whom we could not serve may try again.
const RETRY_AFTER_S: u64 = 4;

/// Writes the answer to a refusal.
pub fn refusal(out: &mut Vec<u8>, refused: Refused, manner: Manner) {
    refusal_saying(out, refused, words(refused), manner);
}

/// The same in words for this request alone: one or two sentences.
pub fn refusal_saying(out: &mut Vec<u8>, refused: Refused, words: &str, manner: Manner) {
    let status = refused.status();
    let retry = (status == 503).then_some(RETRY_AFTER_S);
    let extra: &[u8] = match refused {
        Refused::ReadOnly => b"Allow: GET, HEAD\r\n",
        _ if status == 405 => b"Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n",
        _ => b"",
    };
    whole(out, status, words, retry, extra, refused.label(), manner);
}

/// Writes the answer to a purge request that was carried out.
pub fn purged(out: &mut Vec<u8>, purged: Purged, soft: bool, manner: Manner) {
    let Purged { objects, fills } = purged;
    let body = format!("{{\"objects\":{objects},\"fills\":{fills},\"soft\":{soft}}}\n");
    http1::write_status_line(out, 200, b"");
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(&clock::date_value());
    out.extend_from_slice(b"\r\nContent-Type: application/json\r\nCache-Control: no-store\r\n");
    // Writing into a Vec cannot fail.
    let _ = write!(out, "Content-Length: {}\r\n", body.len());
    connection(out, manner);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body.as_bytes());
}

/// Writes the answer to a failure; its status is returned too.
pub fn failure(out: &mut Vec<u8>, failure: &Failure, manner: Manner) -> u16 {
    let status = failure_status(failure);
    let words = match status {
        503 => "the application cannot be reached right now. Please try again in a moment.",
        504 => "the application takes too long to answer. Please try again in a moment.",
        _ => "the application did not answer properly. Please try again in a moment.",
    };
    let retry = (status == 503).then_some(RETRY_AFTER_S);
    // A token may hold a slash (RFC 8941 section 3.3.4).
    let detail = format!("{}/{}", failure.phase.label(), failure.source.label());
    whole(out, status, words, retry, b"", &detail, manner);
    status
}

/// The status that tells a visitor of a failure.
pub fn failure_status(failure: &Failure) -> u16 {
    match (failure.phase, failure.source) {
        (Phase::Choose | Phase::Permit, _) => 503,
        (_, Cause::TimedOut) => 504,
        _ => 502,
    }
}

/// Writes a permanent redirect that keeps the method (308, RFC 9110 section 15.4.9).
pub fn redirect(out: &mut Vec<u8>, location: &[u8], manner: Manner) {
    let mut extra = b"Location: ".to_vec();
    if location.starts_with(b"//") {
        // Read as a host otherwise (RFC 3986 section 4.2): the visitor would be sent elsewhere.
        extra.extend_from_slice(b"/.");
    }
    extra.extend_from_slice(location);
    extra.extend_from_slice(b"\r\n");
    whole(out, 308, "this page lives at its canonical address.", None, &extra, "canonical", manner);
}

/// Writes a permanent redirect to the same target of the same host by https.
pub fn to_https(out: &mut Vec<u8>, host: &[u8], port: u16, target: &[u8], manner: Manner) {
    let mut extra = b"Location: https://".to_vec();
    extra.extend_from_slice(without_port(host));
    if port != 443 {
        // Writing into a Vec cannot fail.
        let _ = write!(extra, ":{port}");
    }
    extra.extend_from_slice(if target.starts_with(b"/") { target } else { b"/" });
    extra.extend_from_slice(b"\r\n");
    whole(out, 308, "this page is read by https.", None, &extra, "to_https", manner);
}

/// An IPv6 address has colons of its own, in brackets.
fn without_port(host: &[u8]) -> &[u8] {
    let behind_address = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    let colon = host[behind_address..].iter().position(|&byte| byte == b':');
    colon.map_or(host, |at| &host[..behind_address + at])
}

fn words(refused: Refused) -> &'static str {
    match refused {
        Refused::Denied => "this is not served to you.",
        Refused::RateLimited => "too many requests. Please slow down.",
        Refused::Challenged => "this page is for browsers right now.",
        Refused::ConnectionsOfAddress => "too many connections from your address.",
        Refused::Malformed | Refused::RequestLine => "the request is not valid HTTP.",
        Refused::Target => "the address is not valid.",
        Refused::Host => "the Host field is missing or not valid.",
        Refused::Version => "only HTTP/1.0, HTTP/1.1 and HTTP/2 are spoken here.",
        Refused::ContentLength | Refused::TransferEncoding | Refused::Chunk => {
            "the length of the request's body is not clear."
        }
        Refused::TargetTooLong => "the address is too long.",
        Refused::HeadTooLarge => "the request's header is too large.",
        Refused::BodyTooLarge => "what you sent is larger than allowed here.",
        Refused::HeadTimeout | Refused::BodyTimeout | Refused::BodyTooSlow => {
            "the request took too long to arrive."
        }
        Refused::Method => "this method is not served here.",
        Refused::ReadOnly => "there are only files here: GET and HEAD are served.",
        Refused::Expect => "only 100-continue can be expected.",
        Refused::NoSite => "no site of this name is served here.",
        Refused::LengthRequired => "please say how long what you send is.",
        Refused::NoRoute | Refused::NoScript => "nothing is served at this address.",
        Refused::TooManyConnections | Refused::MemoryFull | Refused::QueueFull | Refused::QueueTimeout => {
            "too many visitors right now. Please try again in 4 s."
        }
        Refused::QueueTooLong | Refused::Outranked => "too many visitors right now. Please try again in 4 s.",
        Refused::OnlyIfCached => "not in the cache, and only the cache was asked.",
        Refused::PurgeOff => {
            "nobody may purge over HTTP here. To allow it: [purge] from = [\"ADDRESS\"] in tentpole.toml."
        }
        Refused::PurgeDenied => "you may not purge here.",
        Refused::PurgeUnclear => "this purge is not understood.",
        Refused::PurgeBusy => "other purges are under way. Please try again in 4 s.",
        Refused::ProxyHeader => "this connection must begin with the PROXY protocol.",
        Refused::WaitingRoom => "many people are here right now. Please wait for your turn.",
        Refused::TicketBusy => "too many requests with one ticket. Please try again in a moment.",
        Refused::FrameFlood => "too many frames that bring nothing.",
        Refused::ClearOnTls => "this port speaks https. Please begin the address with https://.",
        Refused::NotThroughFront => "this address is not for visitors. Please use the site's own.",
    }
}

fn whole(
    out: &mut Vec<u8>,
    status: u16,
    words: &str,
    retry_after: Option<u64>,
    extra: &[u8],
    detail: &str,
    manner: Manner,
) {
    let body = format!("{status}: {words}\n");
    page(out, status, "text/plain; charset=utf-8", &body, retry_after, extra, detail, manner);
}

/// Writes a whole answer with this body, after whose `retry_after` in seconds the visitor may come again; `detail` is the word
/// for the reason.
#[allow(clippy::too_many_arguments, reason = "each is a line of the answer")]
pub fn page(
    out: &mut Vec<u8>,
    status: u16,
    media_type: &str,
    body: &str,
    retry_after: Option<u64>,
    extra: &[u8],
    detail: &str,
    manner: Manner,
) {
    http1::write_status_line(out, status, b"");
    out.extend_from_slice(b"Date: ");
    out.extend_from_slice(&clock::date_value());
    // Writing into a Vec cannot fail.
    let _ = write!(out, "\r\nContent-Type: {media_type}\r\nCache-Control: no-store\r\n");
    out.extend_from_slice(extra);
    if let Some(seconds) = retry_after {
        let _ = write!(out, "Retry-After: {seconds}\r\n");
    }
    let length = body.len();
    let _ = write!(out, "Content-Length: {length}\r\nCache-Status: tentpole; detail={detail}\r\n");
    connection(out, manner);
    out.extend_from_slice(b"\r\n");
    if !manner.head_only {
        out.extend_from_slice(body.as_bytes());
    }
}

/// Writes what the visitor must know about the connection.
pub fn connection(out: &mut Vec<u8>, manner: Manner) {
    if manner.hsts_s > 0 {
        // Behind the application's own, of which browsers read the first (RFC 6797 section 8.1). Writing into a Vec cannot
        // fail.
        let _ = write!(out, "Strict-Transport-Security: max-age={}\r\n", manner.hsts_s);
    }
    match (manner.keep_alive, manner.version) {
        // Whether the connection goes on is said in frames.
        (_, Version::Http2) => {}
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANNER: Manner =
        Manner { head_only: false, keep_alive: false, version: Version::Http11, hsts_s: 0 };

    #[test]
    fn every_refusal_is_a_whole_response_that_counts_its_length_right() {
        clock::renew();
        for &refused in Refused::ALL {
            let mut out = Vec::new();
            refusal(&mut out, refused, MANNER);
            let text = String::from_utf8(out).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with(&format!("HTTP/1.1 {} ", refused.status())), "{head}");
            assert!(head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())), "{head}");
            assert!(head.ends_with("Connection: close"), "{head}");
            assert!(body.starts_with(&format!("{}: ", refused.status())), "{body}");
            assert_eq!(head.contains("Retry-After"), refused.status() == 503, "{head}");
        }
    }

    #[test]
    fn a_head_request_gets_the_length_without_the_words() {
        let mut out = Vec::new();
        refusal(&mut out, Refused::NoRoute, Manner { head_only: true, ..MANNER });
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\r\n\r\n") && !text.contains("Content-Length: 0"), "{text}");
    }

    #[test]
    fn a_redirect_never_leads_to_another_host() {
        let mut out = Vec::new();
        redirect(&mut out, b"//evil.example/a", MANNER);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("\r\nLocation: /.//evil.example/a\r\n"), "{text}");
    }

    #[test]
    fn to_https_the_host_stays_and_the_port_does_not() {
        for (host, port, target, expected) in [
            ("shop.example", 443, "/a?b", "https://shop.example/a?b"),
            ("shop.example:8080", 443, "/a", "https://shop.example/a"),
            ("shop.example:8080", 8443, "//a", "https://shop.example:8443//a"),
            ("[::1]:80", 443, "*", "https://[::1]/"),
            ("[::1]", 8443, "/", "https://[::1]:8443/"),
        ] {
            let mut out = Vec::new();
            to_https(&mut out, host.as_bytes(), port, target.as_bytes(), MANNER);
            let text = String::from_utf8(out).unwrap();
            assert!(text.contains(&format!("\r\nLocation: {expected}\r\n")), "{text}");
        }
    }

    #[test]
    fn a_redirect_says_where() {
        let mut out = Vec::new();
        redirect(&mut out, b"/a?b", Manner { keep_alive: true, ..MANNER });
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("HTTP/1.1 308 Permanent Redirect\r\n"), "{text}");
        assert!(text.contains("\r\nLocation: /a?b\r\n") && !text.contains("Connection"), "{text}");
    }
}
