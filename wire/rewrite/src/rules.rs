//! Which links lead elsewhere, and where to.

/// Paths whose links get another host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    host: Box<str>,
    paths: Box<[Path]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Path {
    Exact(Box<str>),
    /// All that begins so.
    Below(Box<str>),
}

impl Rules {
    /// `host` is a scheme and an authority without a slash at the end, of letters that mean nothing to HTML or CSS; `paths`
    /// begin with a slash, and one that ends in `*` stands for all that begin like it.
    pub fn new(host: &str, paths: &[String]) -> Self {
        let path = |path: &String| match path.strip_suffix('*') {
            Some(beginning) => Path::Below(beginning.into()),
            None => Path::Exact(path.as_str().into()),
        };
        Self { host: host.into(), paths: paths.iter().map(path).collect() }
    }

    /// The other host, with its scheme.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn names(&self, path: &[u8]) -> bool {
        self.paths.iter().any(|named| match named {
            Path::Exact(named) => path == named.as_bytes(),
            Path::Below(beginning) => path.starts_with(beginning.as_bytes()),
        })
    }
}

/// The rules for the links of one page.
pub(crate) struct OfPage<'a> {
    pub(crate) rules: &'a Rules,
    /// The page's own host, in lower case.
    pub(crate) host: &'a [u8],
    /// What begins with a slash is of another host.
    pub(crate) foreign_base: bool,
}

impl OfPage<'_> {
    /// Writes a link, leading elsewhere where it must; white space around it stays.
    pub(crate) fn write(&self, link: &[u8], out: &mut Vec<u8>) {
        let begin = link.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let (space, url) = link.split_at(begin);
        out.extend_from_slice(space);
        match self.path_at(url) {
            Some(at) => {
                out.extend_from_slice(self.rules.host.as_bytes());
                out.extend_from_slice(&url[at..]);
            }
            None => out.extend_from_slice(url),
        }
    }

    /// Where the path begins of a link that has to lead elsewhere.
    fn path_at(&self, url: &[u8]) -> Option<usize> {
        let at = match authority(url) {
            Some((default_port, begin)) => {
                let length = url[begin..].iter().take_while(|byte| !b"/?#\\".contains(byte)).count();
                let end = begin + length;
                let is_own = is_same(&url[begin..end], self.host, default_port);
                is_own.then_some(end)?
            }
            None if self.foreign_base => return None,
            None => 0,
        };
        let path = &url[at..];
        if path.first() != Some(&b'/') || path.get(1).is_some_and(|byte| b"/\\".contains(byte)) {
            return None;
        }
        let end = path.iter().position(|byte| b"?#".contains(byte)).unwrap_or(path.len());
        let path = path[..end].trim_ascii_end();
        (self.rules.names(path) && is_plain(path)).then_some(at)
    }

    /// Whether a `<base>` with this link makes what begins with a slash another host's.
    pub(crate) fn is_foreign(&self, base: &[u8]) -> bool {
        let base = base.trim_ascii_start();
        match authority(base) {
            Some((default_port, begin)) => {
                let length = base[begin..].iter().take_while(|byte| !b"/?#\\".contains(byte)).count();
                !is_same(&base[begin..begin + length], self.host, default_port)
            }
            // Another scheme, or a way of writing that is not ours to read.
            None => base.contains(&b':') || base.contains(&b'\\') || base.contains(&b'&'),
        }
    }
}

/// Where the authority begins of a link that has one, and which port is the usual one there.
fn authority(url: &[u8]) -> Option<(Option<&'static [u8]>, usize)> {
    let begins = |with: &[u8]| url.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
    if begins(b"https://") {
        Some((Some(b":443"), 8))
    } else if begins(b"http://") {
        Some((Some(b":80"), 7))
    } else if begins(b"//") {
        Some((None, 2))
    } else {
        None
    }
}

/// Whether an authority is the page's own host. The usual port may stand there or not.
fn is_same(authority: &[u8], host: &[u8], default_port: Option<&[u8]>) -> bool {
    let bare = default_port.and_then(|port| authority.strip_suffix(port)).unwrap_or(authority);
    !bare.is_empty() && (bare.eq_ignore_ascii_case(host) || authority.eq_ignore_ascii_case(host))
}

/// Whether a browser asks for the path as it stands there: no dot segment, nothing that it takes out or turns round.
fn is_plain(path: &[u8]) -> bool {
    let is_dots = |segment: &[u8]| {
        let lower = segment.to_ascii_lowercase();
        matches!(lower.as_slice(), b"." | b".." | b"%2e" | b"%2e." | b".%2e" | b"%2e%2e")
    };
    !path.iter().any(|&byte| byte < 0x20 || byte == b'\\')
        && !path
            .split(|&byte| byte == b'/')
            .any(|segment| segment.len() <= 6 && !segment.is_empty() && is_dots(segment))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(link: &str) -> String {
        let rules = Rules::new("https://assets.example", &["/static/*".into(), "/logo.svg".into()]);
        let page = OfPage { rules: &rules, host: b"shop.example", foreign_base: false };
        let mut out = Vec::new();
        page.write(link.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn links_to_the_named_paths_lead_to_the_asset_host() {
        for (link, expect) in [
            ("/static/a.css", "https://assets.example/static/a.css"),
            ("/static/a.css?v=1#x", "https://assets.example/static/a.css?v=1#x"),
            (" \n/static/a.css ", " \nhttps://assets.example/static/a.css "),
            ("/logo.svg", "https://assets.example/logo.svg"),
            ("/logo.svg?2", "https://assets.example/logo.svg?2"),
            ("//shop.example/static/a", "https://assets.example/static/a"),
            ("HTTP://Shop.Example:80/static/a", "https://assets.example/static/a"),
            ("https://shop.example:443/static/a", "https://assets.example/static/a"),
            ("/static/.well-known", "https://assets.example/static/.well-known"),
        ] {
            assert_eq!(written(link), expect, "{link}");
        }
    }

    #[test]
    fn other_links_stay() {
        for link in [
            "",
            "#top",
            "static/a.css",
            "../static/a.css",
            "/statics/a",
            "/static",
            "/logo.svg/x",
            "/static/../admin",
            "/static/%2E%2e/admin",
            "/static/./a",
            "/static/a\\b",
            "/static/a\nb",
            "//static/a",
            "/\\static/a",
            "//other.example/static/a",
            "http://shop.example:8080/static/a",
            "http://shop.example.other/static/a",
            "http://shop.example@other/static/a",
            "https://assets.example/static/a",
            "data:,/static/a",
            "http:/static/a",
            "https:///static/a",
        ] {
            assert_eq!(written(link), link, "{link}");
        }
    }

    #[test]
    fn a_base_elsewhere_is_known() {
        let rules = Rules::new("https://assets.example", &["/static/*".into()]);
        let page = |foreign_base| OfPage { rules: &rules, host: b"shop.example:8080", foreign_base };
        for (base, expect) in [
            ("/app/", false),
            ("app", false),
            ("http://shop.example:8080/a", false),
            ("//shop.example:8080", false),
            ("http://shop.example/a", true),
            ("https://cdn.example/", true),
            ("ftp:x", true),
        ] {
            assert_eq!(page(false).is_foreign(base.as_bytes()), expect, "{base}");
        }
        let mut out = Vec::new();
        page(true).write(b"/static/a", &mut out);
        page(true).write(b" http://shop.example:8080/static/a", &mut out);
        assert_eq!(out, b"/static/a https://assets.example/static/a");
    }
}
