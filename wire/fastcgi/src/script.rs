//! Which script a path means. A function of the path, the rules and what the caller knows of the files; reads none.
//!
//! PHP itself (`cgi.fix_pathinfo`) takes a script that is not there for a file above it: asked for
//! `/uploads/evil.jpg/x.php`, it runs the picture. So nothing is called a script here that the caller has not seen to be
//! a file.

/// Which paths are scripts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptRules {
    /// How a script's name ends, with its dot: `.php`. In any case, because a file system may think so too.
    pub endings: Vec<String>,
    /// Folders below which nothing runs, whatever its name, such as `/wp-content/uploads`; `/` is all of them. In any
    /// case, with or without a slash at either end.
    pub never_below: Vec<String>,
}

/// A script, and the path behind it; both as they are on disk, without escapes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    path: Vec<u8>,
    name_bytes: usize,
}

/// What a path means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This script runs.
    Script(Script),
    /// No script: a file, a folder, or what a front controller answers.
    Nothing,
    /// Neither script nor file may be looked for.
    Refused(BadScript),
}

/// Why nothing may be looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BadScript {
    /// It does not start with `/`, has an empty segment between others, or `.` or `..` as one.
    NotCanonical,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// An escaped slash, a backslash, or a control byte: a file system reads it otherwise than a URL's reader.
    Ambiguous,
    /// A segment starts with a dot (`/.git/config`). `.well-known` may.
    Hidden,
    /// A script where none may run.
    Forbidden,
}

impl Default for ScriptRules {
    fn default() -> Self {
        Self { endings: vec![".php".to_owned()], never_below: Vec::new() }
    }
}

impl ScriptRules {
    /// Which script `path` means; `path` is canonical and has no query. `is_file` is asked for names below the document
    /// root, such as `/shop/index.php`, and answers whether a regular file lies there; a folder is none.
    ///
    /// The first segment that ends like a script and is a file is the script, the rest its path info. Everything that
    /// leads to the script is judged; path info is only held to what every path is held to.
    pub fn find(&self, path: &[u8], mut is_file: impl FnMut(&[u8]) -> bool) -> Found {
        let path = match decoded(path) {
            Ok(path) => path,
            Err(bad) => return Found::Refused(bad),
        };
        let mut start = 1;
        loop {
            let end = memchr::memchr(b'/', &path[start..]).map_or(path.len(), |at| start + at);
            let segment = &path[start..end];
            let is_last = end == path.len();
            if (segment.is_empty() && !is_last) || matches!(segment, b"." | b"..") {
                return Found::Refused(BadScript::NotCanonical);
            }
            if segment.starts_with(b".") && segment != b".well-known" {
                return Found::Refused(BadScript::Hidden);
            }
            if self.is_script(segment) && is_file(&path[..end]) {
                if self.is_forbidden(&path[..end]) {
                    return Found::Refused(BadScript::Forbidden);
                }
                return Found::Script(Script { path, name_bytes: end });
            }
            if is_last {
                return Found::Nothing;
            }
            start = end + 1;
        }
    }

    /// Whether a file of this name is a script, and so its content must never be sent as it is.
    pub fn is_script(&self, name: &[u8]) -> bool {
        self.endings.iter().any(|ending| {
            let ending = ending.as_bytes();
            name.len() > ending.len() && name[name.len() - ending.len()..].eq_ignore_ascii_case(ending)
        })
    }

    fn is_forbidden(&self, name: &[u8]) -> bool {
        self.never_below.iter().any(|folder| {
            let folder = folder.trim_matches('/').as_bytes();
            let below = &name[1..];
            folder.is_empty()
                || (below.get(folder.len()) == Some(&b'/')
                    && below[..folder.len()].eq_ignore_ascii_case(folder))
        })
    }
}

impl Script {
    /// The script's path below the document root; starts with `/`.
    pub fn name(&self) -> &[u8] {
        &self.path[..self.name_bytes]
    }

    /// What follows it; empty, or starts with `/`.
    pub fn path_info(&self) -> &[u8] {
        &self.path[self.name_bytes..]
    }

    /// A script that the configuration names (an index, a front controller), without path info; `None` when `name` does
    /// not start with `/`.
    pub fn named(name: &str) -> Option<Self> {
        name.starts_with('/').then(|| Self { path: name.as_bytes().to_vec(), name_bytes: name.len() })
    }
}

/// For files that lie where the edge cannot see them: what a path may pass through if a picture must never be taken for
/// a folder. A name passes when no folder in it has a dot; give it to [`ScriptRules::find`] as `is_file`.
pub fn has_plain_folders(name: &[u8]) -> bool {
    let folders = memchr::memrchr(b'/', name).map_or(&[][..], |at| &name[..at]);
    !folders.contains(&b'.')
}

/// The path without escapes, once.
fn decoded(path: &[u8]) -> Result<Vec<u8>, BadScript> {
    if !path.starts_with(b"/") {
        return Err(BadScript::NotCanonical);
    }
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.iter();
    while let Some(&byte) = bytes.next() {
        let plain = match byte {
            b'%' => {
                let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
                let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                    return Err(BadScript::Escape);
                };
                match (high * 16 + low) as u8 {
                    b'/' => return Err(BadScript::Ambiguous),
                    plain => plain,
                }
            }
            byte => byte,
        };
        if plain < b' ' || matches!(plain, b'\\' | 0x7f) {
            return Err(BadScript::Ambiguous);
        }
        out.push(plain);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds `path` among these files.
    fn find(path: &str, files: &[&str]) -> Found {
        let rules =
            ScriptRules { never_below: vec!["/wp-content/uploads/".to_owned()], ..ScriptRules::default() };
        rules.find(path.as_bytes(), |name| files.iter().any(|file| file.as_bytes() == name))
    }

    fn script(path: &str, files: &[&str]) -> Option<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match find(path, files) {
            Found::Script(script) => Some((text(script.name()), text(script.path_info()))),
            _ => None,
        }
    }

    fn pair(name: &str, path_info: &str) -> Option<(String, String)> {
        Some((name.to_owned(), path_info.to_owned()))
    }

    #[test]
    fn the_first_file_that_ends_like_a_script_is_the_script() {
        assert_eq!(script("/x.php", &["/x.php"]), pair("/x.php", ""));
        assert_eq!(script("/x.php/", &["/x.php"]), pair("/x.php", "/"));
        assert_eq!(
            script("/x.php/a%20b/y.php", &["/x.php", "/x.php/a b/y.php"]),
            pair("/x.php", "/a b/y.php")
        );
        assert_eq!(
            script("/d.php/y.php", &["/d.php/y.php"]),
            pair("/d.php/y.php", ""),
            "a folder's name may end so"
        );
        assert_eq!(script("/v1.2/y.php", &["/v1.2/y.php"]), pair("/v1.2/y.php", ""));
        assert_eq!(
            script("/x.php//a", &["/x.php"]),
            pair("/x.php", "//a"),
            "path info is the script's own business"
        );
        assert_eq!(script("/X.PHP", &["/X.PHP"]), pair("/X.PHP", ""), "never sent as a file");
        assert_eq!(find("/", &[]), Found::Nothing);
        assert_eq!(find("/about/", &["/index.php"]), Found::Nothing);
        assert_eq!(find("/missing.php", &["/index.php"]), Found::Nothing);
        assert_eq!(find("/x.phps", &["/x.phps"]), Found::Nothing);
    }

    #[test]
    fn a_picture_never_runs() {
        let files = ["/uploads/evil.jpg", "/index.php"];
        for path in [
            "/uploads/evil.jpg/x.php",
            "/uploads/evil.jpg/.php",
            "/uploads/evil.jpg%20/x.php",
            "/uploads/evil.jpg",
            "/uploads/evil.jpg%00.php",
            "/uploads/evil.jpg/index.php",
            "/uploads/evil.jpg%2fx.php",
        ] {
            assert_eq!(script(path, &files), None, "{path}");
        }
        let rules = ScriptRules::default();
        assert_eq!(rules.find(b"/uploads/evil.jpg/x.php", has_plain_folders), Found::Nothing);
        assert!(matches!(rules.find(b"/uploads/x.php/evil.jpg", has_plain_folders), Found::Script(_)));
    }

    #[test]
    fn nothing_runs_below_a_folder_of_uploads() {
        let files = ["/wp-content/uploads/x.php", "/wp-content/uploads.php", "/WP-content/Uploads/y.php"];
        assert_eq!(find("/wp-content/uploads/x.php", &files), Found::Refused(BadScript::Forbidden));
        assert_eq!(find("/wp-content/uploads/x.php/z", &files), Found::Refused(BadScript::Forbidden));
        assert_eq!(find("/WP-content/Uploads/y.php", &files), Found::Refused(BadScript::Forbidden));
        assert!(script("/wp-content/uploads.php", &files).is_some());
        for (folder, is_below) in [
            ("a", true),
            ("/a", true),
            ("/a/", true),
            ("A/", true),
            ("/", true),
            ("", true),
            ("b", false),
            ("/a/x", false),
        ] {
            let rules = ScriptRules { never_below: vec![folder.to_owned()], ..ScriptRules::default() };
            let refused = rules.find(b"/a/x.php", |_| true) == Found::Refused(BadScript::Forbidden);
            assert_eq!(refused, is_below, "{folder:?}");
        }
    }

    #[test]
    fn what_a_file_system_reads_otherwise_is_refused() {
        for (path, bad) in [
            ("x.php", BadScript::NotCanonical),
            ("", BadScript::NotCanonical),
            ("/a//x.php", BadScript::NotCanonical),
            ("//x.php", BadScript::NotCanonical),
            ("/a/../x.php", BadScript::NotCanonical),
            ("/a/%2e%2E/x.php", BadScript::NotCanonical),
            ("/./x.php", BadScript::NotCanonical),
            ("/.git/config", BadScript::Hidden),
            ("/%2egit/config", BadScript::Hidden),
            ("/a/.env", BadScript::Hidden),
            ("/a/.php", BadScript::Hidden),
            ("/x.php%00", BadScript::Ambiguous),
            ("/a%2Fx.php", BadScript::Ambiguous),
            ("/a%5cx.php", BadScript::Ambiguous),
            ("/a\\x.php", BadScript::Ambiguous),
            ("/x.php\n", BadScript::Ambiguous),
            ("/x.php%0a", BadScript::Ambiguous),
            ("/x.php%7f", BadScript::Ambiguous),
            ("/%", BadScript::Escape),
            ("/%zz", BadScript::Escape),
            ("/%+1", BadScript::Escape),
        ] {
            assert_eq!(find(path, &["/x.php"]), Found::Refused(bad), "{path:?}");
        }
        assert_eq!(find("/.well-known/security.txt", &[]), Found::Nothing);
        assert_eq!(script("/x.php/.a/../b", &["/x.php"]), pair("/x.php", "/.a/../b"));
        assert_eq!(
            script("/%252e%252e/x.php", &["/%2e%2e/x.php"]),
            pair("/%2e%2e/x.php", ""),
            "decoded once"
        );
    }
}
