//! `http://host:port/path?query` (or `https://`), and what a link or a redirect in such a page leads to (RFC 3986 section 5.2, as far
//! as http needs it). Resolves no names.

use std::fmt;

/// A place to ask.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Url {
    /// Whether it is asked over TLS.
    pub https: bool,
    /// The host, in small letters; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query, as they are sent: ASCII without spaces, beginning with `/`.
    pub target: String,
}

/// What is wrong with a URL. Its text says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UrlError {
    /// Nothing before the host.
    Scheme(String),
    /// Neither `http://` nor `https://`.
    OtherScheme(String),
    /// A name and a password before the host; the rest of it.
    User(String),
    /// No host, or not one.
    Host(String),
    /// A port that is none.
    Port(String),
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme(url) => {
                write!(f, "\"{url}\" has no scheme; write \"{}\".", instead(url))
            }
            Self::OtherScheme(url) => write!(
                f,
                "\"{}://\" is not what websites speak; only http:// and https:// are loaded: write \"{}\".",
                url.split_once("://").map_or("", |(scheme, _)| scheme),
                instead(url)
            ),
            Self::User(url) => write!(
                f,
                "a URL has no name and password here; write \"{url}\". The steps of a journey can send them: \
                 headers = {{ Authorization = \"Basic \u{2026}\" }}, with what `printf NAME:PASSWORD | base64` says."
            ),
            Self::Host(url) => write!(f, "\"{url}\" names no host; write \"http://HOST:PORT/\"."),
            Self::Port(url) => write!(f, "\"{url}\" has a port that is not 1 to 65535."),
        }
    }
}

impl std::error::Error for UrlError {}

impl Url {
    /// Reads what was typed.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let scheme =
            |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let https = scheme("https://");
        if !https && !scheme("http://") {
            let text = text.to_owned();
            return Err(if text.contains("://") {
                UrlError::OtherScheme(text)
            } else {
                UrlError::Scheme(text)
            });
        }
        let rest = &text[if https { "https://".len() } else { "http://".len() }..];
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if let Some((_, host)) = authority.rsplit_once('@') {
            // Without the password: this is printed.
            return Err(UrlError::User(format!("{}://{host}{target}", self::scheme(https))));
        }
        let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or("?"))),
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b':');
        if host.is_empty() || host.len() > 253 || !host.bytes().all(is_host) {
            return Err(UrlError::Host(text.to_owned()));
        }
        let port = match port {
            None | Some("") => usual_port(https),
            Some(port) => match port.parse() {
                Ok(port) if port != 0 => port,
                _ => return Err(UrlError::Port(text.to_owned())),
            },
        };
        Ok(Self { https, host: host.to_ascii_lowercase(), port, target: clean_target(target) })
    }

    /// What `reference` means on this page.
    ///
    /// # Errors
    /// When it leads to no http URL.
    pub fn join(&self, reference: &str) -> Result<Self, UrlError> {
        let reference = reference.trim();
        let scheme_end = reference.find(':').filter(|&at| {
            reference[..at].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
                && reference.as_bytes().first().is_some_and(u8::is_ascii_alphabetic)
        });
        if scheme_end.is_some() {
            return Self::parse(reference);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme()));
        }
        let path = self.target.split('?').next().unwrap_or("/");
        let target = match reference.as_bytes().first() {
            None | Some(b'#') => self.target.clone(),
            Some(b'/') => reference.to_owned(),
            Some(b'?') => format!("{path}{reference}"),
            Some(_) => format!("{}{reference}", &path[..path.rfind('/').map_or(0, |at| at + 1)]),
        };
        Ok(Self { target: clean_target(&target), ..self.clone() })
    }

    /// What stands in `Host`.
    pub fn authority(&self) -> String {
        authority(self.https, &self.host, self.port)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        scheme(self.https)
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.target)
    }
}

/// `http` or `https`.
pub fn scheme(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

fn usual_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// `host`, or `host:port` where the port is not the scheme's own.
pub fn authority(https: bool, host: &str, port: u16) -> String {
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port == usual_port(https) { host } else { format!("{host}:{port}") }
}

/// The same place by http, or by https where the other scheme is encrypted too; without name and password.
fn instead(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rsplit_once('@').map_or(&rest[..end], |(_, host)| host);
    format!("{}://{host}{}", self::scheme(scheme.eq_ignore_ascii_case("wss")), &rest[end..])
}

/// Path and query as they may be sent: without fragment and dot segments, and with nothing in them that would end
/// the request line.
fn clean_target(target: &str) -> String {
    let target = target.split('#').next().unwrap_or_default();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut out = String::with_capacity(target.len() + 1);
    push_sendable(&mut out, &without_dots(path));
    if let Some(query) = query {
        out.push('?');
        push_sendable(&mut out, query);
    }
    out
}

/// RFC 3986 section 5.2.4.
fn without_dots(path: &str) -> String {
    if !path.split('/').any(|segment| segment == "." || segment == "..") {
        return if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    }
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    for (at, segment) in segments.iter().enumerate() {
        match *segment {
            "." | ".." => {
                if *segment == ".." {
                    kept.pop();
                }
                if at + 1 == segments.len() {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Appends text of a URL; what cannot stand in a request line is percent-encoded, everything else is as it was.
pub fn push_sendable(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if (0x21..=0x7e).contains(&byte) && byte != b'#' {
            out.push(byte as char);
        } else {
            push_percent(out, byte);
        }
    }
}

/// Appends `text` as one part of a path or query: everything but unreserved characters is percent-encoded.
pub fn push_encoded(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            push_percent(out, byte);
        }
    }
}

fn push_percent(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(DIGITS[usize::from(byte >> 4)] as char);
    out.push(DIGITS[usize::from(byte & 15)] as char);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn a_url_is_read_and_written() {
        for (text, same) in [
            ("http://Shop.localhost:8080", "http://shop.localhost:8080/"),
            ("http://a/p?q=1#part", "http://a/p?q=1"),
            ("http://a:80/", "http://a/"),
            ("http://[::1]:9000/x", "http://[::1]:9000/x"),
            ("http://a?x", "http://a/?x"),
            ("HTTPS://a:443/x", "https://a/x"),
            ("https://a:80", "https://a:80/"),
            ("http://a/ü b", "http://a/%C3%BC%20b"),
        ] {
            assert_eq!(url(text).to_string(), same);
        }
    }

    #[test]
    fn a_wrong_url_says_what_to_write() {
        let says = |text| Url::parse(text).expect_err("wrong").to_string();
        assert_eq!(
            says("localhost:8080"),
            "\"localhost:8080\" has no scheme; write \"http://localhost:8080\"."
        );
        let ftp = says("ftp://ann:secret@a/");
        assert!(
            ftp.starts_with("\"ftp://\" is not what websites speak") && ftp.contains("\"http://a/\""),
            "{ftp}"
        );
        assert!(says("wss://a/live").contains("\"https://a/live\""));
        for url in ["http://ann:secret@a:8080/x", "http://ann@a:8080/x", "http://ann:p@ss@a:8080/x"] {
            let user = says(url);
            assert!(user.contains("write \"http://a:8080/x\".") && user.contains("Authorization"), "{user}");
            assert!(!user.contains("ann") && !user.contains("secret"), "{user}");
        }
        assert!(says("http://").contains("names no host"));
        assert!(says("http://a:0/").contains("1 to 65535"));
        assert!(says("http://a:x/").contains("1 to 65535"));
        assert!(says("http://[::1]8080/").contains("1 to 65535"));
    }

    #[test]
    fn links_lead_where_a_browser_would_go() {
        let page = url("http://a:8080/c/shoes?page=2");
        for (link, leads_to) in [
            ("/cart", "http://a:8080/cart"),
            ("red", "http://a:8080/c/red"),
            ("../p/1", "http://a:8080/p/1"),
            ("./", "http://a:8080/c/"),
            ("?page=3", "http://a:8080/c/shoes?page=3"),
            ("", "http://a:8080/c/shoes?page=2"),
            ("//b/x", "http://b/x"),
            ("http://c:1/y", "http://c:1/y"),
            ("/../../x", "http://a:8080/x"),
            ("/search?q=a:b", "http://a:8080/search?q=a:b"),
        ] {
            assert_eq!(page.join(link).expect("a link").to_string(), leads_to, "{link}");
        }
        let secure = url("https://a:8443/x");
        assert_eq!(secure.join("//b/y").expect("a link").to_string(), "https://b/y");
        assert_eq!(secure.join("/y").expect("a link").to_string(), "https://a:8443/y");
        assert!(page.join("mailto:someone").is_err());
        assert!(page.join("javascript:void(0)").is_err());
    }

    proptest! {
        #[test]
        fn whatever_a_page_links_to_can_stand_in_a_request_line(link in "\\PC*") {
            if let Ok(joined) = url("http://a/x").join(&link) {
                prop_assert!(joined.target.starts_with('/'));
                prop_assert!(joined.target.bytes().all(|byte| (0x21..=0x7e).contains(&byte)), "{}", joined.target);
                prop_assert_eq!(&url(&joined.to_string()), &joined);
            }
        }
    }
}
