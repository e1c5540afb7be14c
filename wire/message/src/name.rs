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

/// A name's bytes as numbers: the first eight and the last eight, or with fewer the first four and the last four, and so on;
/// and what lies between, of more than sixteen. Of names of one length they are equal exactly when the names are.
type Words = [u64; 3];

const fn words(bytes: &[u8]) -> Words {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        let between = match bytes.split_at(8).1.first_chunk() {
            Some(between) if bytes.len() > 16 => u64::from_le_bytes(*between),
            _ => 0,
        };
        return [u64::from_le_bytes(*first), u64::from_le_bytes(*last), between];
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return [u32::from_le_bytes(*first) as u64, u32::from_le_bytes(*last) as u64, 0];
    }
    match *bytes {
        [] => [0; 3],
        [first] => [first as u64, 0, 0],
        [first, .., last] => [first as u64, bytes[bytes.len() / 2] as u64, last as u64],
    }
}

/// A known name, made ready to be compared with. Case lies in one bit of a letter; of other bytes each bit counts.
#[derive(Clone, Copy)]
struct Known {
    text: Words,
    /// The bits that say of a letter whether it is large.
    case: Words,
    name: Name,
}

impl Known {
    const NONE: Self = Self { text: [u64::MAX; 3], case: [0; 3], name: Name::Other };

    const fn of(name: Name) -> Self {
        let text = Name::TEXTS[name as usize].as_bytes();
        let mut case = [0; LENGTH_MAX];
        let mut at = 0;
        while at < text.len() {
            case[at] = if text[at].is_ascii_lowercase() { 0x20 } else { 0 };
            at += 1;
        }
        let (case, _) = case.split_at(text.len());
        Self { text: words(text), case: words(case), name }
    }

    #[inline]
    fn is(&self, [a, b, c]: Words) -> bool {
        let ([x, y, z], [i, j, k]) = (self.text, self.case);
        (a | i) == x && (b | j) == y && (c | k) == z
    }
}

/// For each length, which names have it: most look-ups compare with one to four candidates.
const BY_LENGTH: [[Known; 8]; LENGTH_MAX + 1] = {
    let mut table = [[Known::NONE; 8]; LENGTH_MAX + 1];
    let mut free = [0; LENGTH_MAX + 1];
    let mut i = 0;
    while i < Name::COUNT {
        let length = Name::TEXTS[i].len();
        table[length][free[length]] = Known::of(Name::ALL[i]);
        free[length] += 1;
        i += 1;
    }
    table
};

impl Name {
    /// From its bytes, in any case. Each field of each head is asked for: no loop over bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        static KNOWN: [[Known; 8]; LENGTH_MAX + 1] = BY_LENGTH;
        let Some(candidates) = KNOWN.get(bytes.len()) else { return Self::Other };
        let words = words(bytes);
        for known in candidates {
            if known.name == Self::Other {
                break;
            }
            if known.is(words) {
                return known.name;
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
        // Each byte counts, and of no byte but a letter the bit that is its case.
        for (index, text) in Name::TEXTS.iter().enumerate() {
            for (at, bit) in (0..text.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
                let mut other = text.as_bytes().to_vec();
                other[at] ^= 1 << bit;
                let found = Name::from_bytes(&other);
                let same = other.eq_ignore_ascii_case(text.as_bytes());
                assert_eq!(found as usize == index, same, "{text}, byte {at}, bit {bit}");
            }
        }
    }
}
