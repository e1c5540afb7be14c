//! The URLs that are asked for: host and target, as visitors write them. The scheme says only which port is meant; the
//! edge is asked where the plan says.

use std::fmt;

/// Bytes of one URL: servers take hardly more (RFC 9110 section 4.1 recommends 8,000).
const URL_BYTES_MAX: usize = 8_000;

/// An absolute http URL, ready to be asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Url {
    /// `https`: the edge is told so, as by a balancer in front.
    pub is_https: bool,
    /// Host, with its port when it has one: the `Host` field.
    pub host: String,
    /// Path and query, beginning with `/`.
    pub target: String,
}

/// Why a text is not such a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Neither `http://` nor `https://`, or no host.
    NotHttp,
    /// It holds a space, a control character or something beyond ASCII: it must be percent-encoded.
    Character,
    /// It names a user; URLs with passwords are not warmed.
    User,
    /// Longer than 8,000 bytes.
    TooLong,
}

impl Url {
    /// Reads an absolute URL; a fragment is dropped.
    ///
    /// # Errors
    /// When it is none, or could not be written into a request.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(UrlError::NotHttp)?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err(UrlError::NotHttp);
        }
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, target) = rest.split_at(at);
        if host.is_empty() {
            return Err(UrlError::NotHttp);
        }
        if host.contains('@') {
            return Err(UrlError::User);
        }
        if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte)) {
            return Err(UrlError::Character);
        }
        let target = target_of(target)?;
        Ok(Self { is_https, host: host.to_ascii_lowercase(), target })
    }

    /// A path of the same host: what a list or a log writes without the host.
    ///
    /// # Errors
    /// When it does not begin with `/`, or could not be written into a request.
    pub fn with_target(&self, target: &str) -> Result<Self, UrlError> {
        // `//host/path` would be another host's.
        if !target.starts_with('/') || target.starts_with("//") {
            return Err(UrlError::NotHttp);
        }
        Ok(Self { target: target_of(target)?, ..self.clone() })
    }

    /// Bytes that it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.host.len() + self.target.len()
    }

    /// Host and port to connect to, when no other address is given.
    pub fn authority(&self) -> String {
        let has_port = self.host.rsplit_once(':').is_some_and(|(_, port)| !port.contains(']'));
        match (has_port, self.is_https) {
            (true, _) => self.host.clone(),
            (false, true) => format!("{}:443", self.host),
            (false, false) => format!("{}:80", self.host),
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", if self.is_https { "https" } else { "http" }, self.host, self.target)
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotHttp => "not an http URL: write it like http://shop.example/p/red-shoe",
            Self::Character => "it holds characters that a URL may not hold: percent-encode them",
            Self::User => "it names a user: leave that out",
            Self::TooLong => "longer than 8,000 bytes",
        })
    }
}

impl std::error::Error for UrlError {}

/// Path and query as they go into a request line.
fn target_of(text: &str) -> Result<String, UrlError> {
    let text = text.split('#').next().unwrap_or_default();
    if text.len() > URL_BYTES_MAX {
        return Err(UrlError::TooLong);
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(UrlError::Character);
    }
    Ok(if text.starts_with('/') { text.to_owned() } else { format!("/{text}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_what_a_visitor_writes() {
        let url = Url::parse("https://Shop.Example:8443/p/a?b=c#d").unwrap();
        assert_eq!(url.to_string(), "https://shop.example:8443/p/a?b=c");
        assert_eq!(url.authority(), "shop.example:8443");
        assert_eq!(Url::parse("http://shop.example").unwrap().target, "/");
        assert_eq!(Url::parse("http://shop.example?a").unwrap().target, "/?a");
        assert_eq!(Url::parse("http://[::1]").unwrap().authority(), "[::1]:80");
        assert_eq!(Url::parse("http://[::1]:8080/").unwrap().authority(), "[::1]:8080");
    }

    #[test]
    fn what_could_not_be_asked_for_says_why() {
        for (text, error) in [
            ("/p/a", UrlError::NotHttp),
            ("ftp://a/", UrlError::NotHttp),
            ("http:///a", UrlError::NotHttp),
            ("http://me:word@a/", UrlError::User),
            ("http://a/b c", UrlError::Character),
            ("http://a/\u{e4}", UrlError::Character),
            ("http://a\r\nX: y/", UrlError::Character),
        ] {
            assert_eq!(Url::parse(text), Err(error), "{text:?}");
        }
        assert_eq!(Url::parse(&format!("http://a/{}", "b".repeat(9_000))), Err(UrlError::TooLong));
    }

    #[test]
    fn a_target_stays_at_its_host() {
        let base = Url::parse("http://shop.example/ignored").unwrap();
        assert_eq!(base.with_target("/a?b").unwrap().to_string(), "http://shop.example/a?b");
        assert_eq!(base.with_target("//evil.example/a"), Err(UrlError::NotHttp));
        assert_eq!(base.with_target("a"), Err(UrlError::NotHttp));
    }
}
