//! What a path may ask for: a name beneath the root, or nothing. A function of the path; looks at no file. Refuses
//! whatever two readers could read differently, and what is hidden.

/// Bytes of one segment: the longest name of a file on Linux (`NAME_MAX`).
const SEGMENT_BYTES_MAX: usize = 255;
/// Bytes of a name with all its folders: one less than `PATH_MAX`.
const NAME_BYTES_MAX: usize = 4_095;
/// The one hidden folder that is for everybody (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// A name beneath the root, as it is on disk: without escapes, without a slash at either end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    path: String,
    is_folder: bool,
}

impl Name {
    /// Reads the path of a URL, without its query. `None` for what may not be looked for: what does not begin with a
    /// slash, has an empty segment between others, `.` or `..`, a wrong escape, an escaped slash, a backslash, a control
    /// character, what is not UTF-8, what begins with a dot (`/.git/config`; but `/.well-known/` may), what is longer than
    /// a name can be. Escapes are read once: `%252e` is a name with a percent sign.
    pub fn read(path: &[u8]) -> Option<Self> {
        let decoded = decoded(path.strip_prefix(b"/")?)?;
        let mut path = String::from_utf8(decoded).ok()?;
        let is_root = path.is_empty();
        let is_folder = is_root || path.ends_with('/');
        if path.ends_with('/') {
            path.pop();
        }
        let name = Self { path, is_folder };
        let is_sound = is_root || name.path.split('/').enumerate().all(|(at, part)| is_shown(at, part));
        (is_sound && name.path.len() <= NAME_BYTES_MAX).then_some(name)
    }

    /// The name; empty for the root itself.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether it was asked for as a folder: with a slash at its end.
    pub fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The name of a file in it.
    pub fn with(&self, file: &str) -> String {
        if self.path.is_empty() { file.to_owned() } else { format!("{}/{file}", self.path) }
    }
}

fn is_shown(at: usize, segment: &str) -> bool {
    let hidden = segment.starts_with('.') && !(at == 0 && segment == WELL_KNOWN);
    !segment.is_empty() && !hidden && segment.len() <= SEGMENT_BYTES_MAX
}

/// Without escapes; `None` where one is wrong, or stands for what a file system reads otherwise than a URL's reader.
fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        let plain = if byte == b'%' {
            let mut digit = || bytes.next().and_then(|byte| char::from(byte).to_digit(16));
            let plain = (digit()? * 16 + digit()?) as u8;
            if plain == b'/' {
                return None;
            }
            plain
        } else {
            byte
        };
        if plain < 0x20 || plain == 0x7f || plain == b'\\' {
            return None;
        }
        out.push(plain);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(path: &str) -> Option<(String, bool)> {
        Name::read(path.as_bytes()).map(|name| (name.path, name.is_folder))
    }

    #[test]
    fn a_name_is_what_is_on_disk() {
        let file = |path: &str| Some((path.to_owned(), false));
        let folder = |path: &str| Some((path.to_owned(), true));
        assert_eq!(read("/"), folder(""));
        assert_eq!(read("/a/b.css"), file("a/b.css"));
        assert_eq!(read("/a/"), folder("a"));
        assert_eq!(read("/k%C3%A4se%20x.png"), file("käse x.png"));
        assert_eq!(read("/.well-known/acme-challenge/x"), file(".well-known/acme-challenge/x"));
        assert_eq!(read("/a..b/c."), file("a..b/c."));
        // Read once, and so a name like any other.
        assert_eq!(read("/%252e%252e/a"), file("%2e%2e/a"));
    }

    #[test]
    fn what_leads_elsewhere_or_is_hidden_is_no_name() {
        let long = format!("/{}", "a".repeat(256));
        let deep = "/abc".repeat(1_025);
        for path in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "/a//",
            "/..",
            "/../a",
            "/a/..",
            "/a/../b",
            "/./a",
            "/%2e%2e/a",
            "/%2E./a",
            "/a/%2e%2e/%2e%2e/etc/passwd",
            "/..%2fa",
            "/a%2fb",
            "/a%5cb",
            "/..\\a",
            "/a\\..\\b",
            "/a%00.png",
            "/a%0a",
            "/a\x7f",
            "/..;/a",
            "/;/../a",
            "/.git/config",
            "/.env",
            "/a/.htaccess",
            "/.well-known/.secret",
            "/a/.well-known/x",
            "/.WELL-KNOWN/x",
            "/%zz",
            "/a%",
            "/a%2",
            "/%c0%ae%c0%ae/etc/passwd",
            "/%ff",
            &long,
            &deep,
        ] {
            assert_eq!(read(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_above_the_root_or_to_what_is_hidden(path in "(/|\\.|%2[eEfF]|%5[cC]|%00|[a-c]|;|\\\\|%){0,24}") {
            if let Some(name) = Name::read(format!("/{path}").as_bytes()) {
                prop_assert!(!name.path.contains('\0') && !name.path.starts_with('/') && !name.path.contains("//"));
                prop_assert!(name.path.split('/').all(|part| !part.starts_with('.')), "{:?}", name);
            }
        }
    }
}
