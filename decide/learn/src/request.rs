//! What a request's fields say about who asks. Values of cookies are the caller's to judge.

/// Fields that every browser and crawler sends, in lower case. None of them tells one visitor from another by itself,
/// and none of them reaches the endpoint when its answer may be stored (but for those that a rule varies by).
const EVERYBODYS: &[&str] = &[
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "connection",
    "device-memory",
    "dnt",
    "downlink",
    "dpr",
    "ect",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "pragma",
    "priority",
    "proxy-connection",
    "purpose",
    "range",
    "referer",
    "rtt",
    "save-data",
    "te",
    "tracestate",
    "traceparent",
    "upgrade-insecure-requests",
    "user-agent",
    "viewport-width",
    "width",
    // What a balancer or a content network in front of us adds about the connection, or for tracing. Exact names: others
    // of the same makers carry logins (`Cf-Access-Jwt-Assertion`). The address in them is a visitor's, so they stay behind
    // like the rest.
    "cdn-loop",
    "cf-connecting-ip",
    "cf-ipcountry",
    "cf-ray",
    "cf-visitor",
    "cloudfront-forwarded-proto",
    "cloudfront-is-desktop-viewer",
    "cloudfront-is-mobile-viewer",
    "cloudfront-is-smarttv-viewer",
    "cloudfront-is-tablet-viewer",
    "cloudfront-viewer-country",
    "fastly-client-ip",
    "fastly-ff",
    "fastly-ssl",
    "true-client-ip",
    "x-amz-cf-id",
    "x-amzn-trace-id",
    "x-client-ip",
    "x-cloud-trace-context",
    "x-correlation-id",
    "x-real-ip",
    "x-request-id",
    "x-varnish",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "forwarded",
    "via",
];

/// Whether a request with this field may still say nothing about who asks. What is not known may be a key, a token or
/// a name (`X-Api-Key`, `X-User`): it says who asks. `Cookie` is judged by its cookies, elsewhere.
pub fn says_nothing(name: &[u8]) -> bool {
    let starts =
        |prefix: &[u8]| name.len() > prefix.len() && name[..prefix.len()].eq_ignore_ascii_case(prefix);
    starts(b"sec-fetch-")
        || starts(b"sec-ch-")
        || name.eq_ignore_ascii_case(b"sec-gpc")
        || name.eq_ignore_ascii_case(b"sec-purpose")
        || EVERYBODYS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// The language that an `Accept-Language` begins with, without its region: `de` of `de-AT,de;q=0.9`. 0 is none.
pub fn language_class(value: &[u8]) -> u16 {
    let letters = value.trim_ascii_start().iter().take(2).filter(|byte| byte.is_ascii_alphabetic());
    letters.fold(0, |class, byte| class << 8 | u16::from(byte.to_ascii_lowercase()))
}

/// The kind of device that a `User-Agent` tells of: 1 phone, 2 tablet, 3 crawler, 4 anything else; 0 is none.
pub fn agent_class(value: &[u8]) -> u16 {
    let has = |word: &str| value.windows(word.len()).any(|at| at.eq_ignore_ascii_case(word.as_bytes()));
    match () {
        () if value.is_empty() => 0,
        () if has("bot") || has("crawl") || has("spider") => 3,
        () if has("ipad") || has("tablet") || (has("android") && !has("mobile")) => 2,
        () if has("mobile") || has("iphone") => 1,
        () => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_says_who_asks() {
        for name in ["Accept", "USER-AGENT", "Sec-Fetch-Mode", "sec-ch-ua", "If-None-Match", "Referer"] {
            assert!(says_nothing(name.as_bytes()), "{name}");
        }
        for name in [
            "X-Api-Key",
            "X-User",
            "Cookie",
            "Authorization",
            "Sec-",
            "Sec-Token",
            "X-Requested-With",
            "Cf-Access-Jwt-Assertion",
        ] {
            assert!(!says_nothing(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn spellings_of_one_language_and_device_are_one() {
        assert_eq!(language_class(b"de-AT,de;q=0.9"), language_class(b" DE"));
        assert_ne!(language_class(b"de"), language_class(b"fr"));
        assert_eq!([language_class(b""), language_class(b"*")], [0, 0]);
        let phone = b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148";
        let tablet = b"Mozilla/5.0 (Linux; Android 15; SM-X710) Safari/537.36";
        let desk = b"Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Firefox/145.0";
        let robot = b"Mozilla/5.0 (compatible; Googlebot/2.1)";
        assert_eq!([&phone[..], tablet, robot, desk, b""].map(agent_class), [1, 2, 3, 4, 0]);
    }
}
