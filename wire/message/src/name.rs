//! The field names that decisions ask for, as small numbers. Everything else is `Name::Other` and keeps its
//! bytes.

macro_rules! names {
    ($($variant:ident = $text:literal),+ $(,)?) => {
        /// A field name that some decision asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each is its own name")]
        pub enum Name { $($variant),+, Other }

        impl Name {
            /// How many names are known.
            pub const COUNT: usize = Self::Other as usize;

            const TEXTS: [&'static str; Self::COUNT] = [$($text),+];

            const ALL: [Self; Self::COUNT] = [$(Self::$variant),+];
        }
    };
}

names! {
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AcceptRanges = "accept-ranges",
    Age = "age",
    Authorization = "authorization",
    CacheControl = "cache-control",
    CacheStatus = "cache-status",
    CacheTag = "cache-tag",
    CdnCacheControl = "cdn-cache-control",
    Connection = "connection",
    ContentEncoding = "content-encoding",
    ContentLength = "content-length",
    ContentLocation = "content-location",
    ContentRange = "content-range",
    ContentType = "content-type",
    Cookie = "cookie",
    Date = "date",
    Etag = "etag",
    Expect = "expect",
    Expires = "expires",
    Forwarded = "forwarded",
    Host = "host",
    IfMatch = "if-match",
    IfModifiedSince = "if-modified-since",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    IfUnmodifiedSince = "if-unmodified-since",
    KeepAlive = "keep-alive",
    LastModified = "last-modified",
    Location = "location",
    Pragma = "pragma",
    ProxyAuthenticate = "proxy-authenticate",
    ProxyAuthorization = "proxy-authorization",
    ProxyConnection = "proxy-connection",
    Range = "range",
    Referer = "referer",
    Server = "server",
    SetCookie = "set-cookie",
    SurrogateCapability = "surrogate-capability",
    SurrogateControl = "surrogate-control",
    SurrogateKey = "surrogate-key",
    Te = "te",
    Trailer = "trailer",
    TransferEncoding = "transfer-encoding",
    Upgrade = "upgrade",
    UserAgent = "user-agent",
    Vary = "vary",
    Via = "via",
    XForwardedFor = "x-forwarded-for",
    XForwardedHost = "x-forwarded-host",
    XForwardedProto = "x-forwarded-proto",
    Xkey = "xkey",
    XMagentoTags = "x-magento-tags",
    XPool = "x-pool",
}

/// The longest known name.
const LENGTH_MAX: usize = 20;

/// For each length, which names have it: most look-ups compare with one to four candidates.
const BY_LENGTH: [[u8; 8]; LENGTH_MAX + 1] = {
    let mut table = [[u8::MAX; 8]; LENGTH_MAX + 1];
    let mut i = 0;
    while i < Name::COUNT {
        let length = Name::TEXTS[i].len();
        let mut free = 0;
        while table[length][free] != u8::MAX {
            free += 1;
        }
        table[length][free] = i as u8;
        i += 1;
    }
    table
};

impl Name {
    /// From its bytes, in any case.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let Some(candidates) = BY_LENGTH.get(bytes.len()) else { return Self::Other };
        for &index in candidates {
            let Some(text) = Self::TEXTS.get(usize::from(index)) else { break };
            if text.as_bytes().eq_ignore_ascii_case(bytes) {
                return Self::ALL[usize::from(index)];
            }
        }
        Self::Other
    }

    /// Lower case; empty for [`Name::Other`].
    pub fn text(self) -> &'static str {
        Self::TEXTS.get(self as usize).copied().unwrap_or("")
    }

    /// Fields that belong to one connection and are never forwarded (RFC 9110 section 7.6.1).
    pub fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for (index, text) in Name::TEXTS.iter().enumerate() {
            let name = Name::from_bytes(text.to_uppercase().as_bytes());
            assert_eq!(name as usize, index, "{text}");
            assert_eq!(name.text(), *text);
        }
        assert_eq!(Name::from_bytes(b"x-unknown"), Name::Other);
        assert_eq!(Name::from_bytes(b""), Name::Other);
        assert_eq!(Name::from_bytes(&[b'a'; 300]), Name::Other);
    }
}
