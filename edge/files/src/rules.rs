//! What of a directory is shown, and as what: the files that stand for a folder, and those that are never sent. Looks at
//! names only.

use crate::kind::{extension, is_for_browsers};
use std::path::PathBuf;
use tentpole_model::Files;

/// Prepared from [`Files`].
#[derive(Debug)]
pub struct Rules {
    /// The directory.
    pub root: PathBuf,
    /// Names that stand for the folder they are in, the first that is there.
    pub index: Vec<String>,
    /// Seconds that browsers are told to keep a file; `None` tells them nothing.
    pub max_age_s: Option<u32>,
    denied: Vec<String>,
    immutable: Vec<String>,
}

impl Rules {
    /// Prepares.
    pub fn new(files: &Files) -> Self {
        let lower = |text: &String| text.trim_start_matches('.').to_ascii_lowercase();
        Self {
            root: files.root.clone(),
            index: files.index.clone(),
            max_age_s: files.max_age_s,
            denied: files.deny.iter().map(lower).collect(),
            immutable: files.immutable.clone(),
        }
    }

    /// Whether a file of this name is never sent: an editor's copy (`a~`, `#a#`), or one with an ending that is denied. What
    /// stands before the last ending counts too (`wp-config.php.old`, `dump.sql.gz`), but where a browser would take the
    /// file for what the last one says (`env.js`, `a.key.png`).
    pub fn denies(&self, path: &str) -> bool {
        let file = path.rsplit('/').next().unwrap_or(path);
        if file.ends_with('~') || file.starts_with('#') {
            return true;
        }
        let is_denied = |part: &str| self.denied.iter().any(|denied| part.eq_ignore_ascii_case(denied));
        let Some(last) = extension(file) else { return false };
        is_denied(last) || !is_for_browsers(last) && file.split('.').skip(1).any(is_denied)
    }

    /// Whether what is at this path, as it is in a URL, never changes, so that browsers need not ask for it again.
    pub fn is_immutable(&self, path: &[u8]) -> bool {
        self.immutable.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(folder) => path.starts_with(folder.as_bytes()),
            None => path == pattern.as_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules::new(&Files { immutable: vec!["/assets/*".into(), "/a/b.js".into()], ..Files::at("/srv") })
    }

    #[test]
    fn sources_secrets_and_copies_are_never_sent() {
        for name in [
            "index.php",
            "a/INDEX.PHP",
            "a.phtml",
            "a.inc",
            "wp-config.php~",
            "wp-config.php.bak",
            "wp-config.php.1",
            "wp-config.php.txt",
            "a.php.old",
            "#index.html#",
            "index.html~",
            "a.swp",
            "dump.sql",
            "dump.SQL.gz",
            "settings.py",
            "a.env",
            "key.pem",
            "app.sqlite3",
            "a.log",
            "a.log.1",
            "db.ini",
            "x.orig",
        ] {
            assert!(rules().denies(name), "{name}");
        }
    }

    #[test]
    fn what_a_site_is_made_of_is_sent() {
        for name in [
            "index.html",
            "a.css",
            "a.min.js",
            "env.js",
            "a.key.png",
            "README",
            "php",
            "robots.txt",
            "a.php.html",
            "fonts/a.woff2",
            "release-1.2.tar.gz",
            "a.sql.html",
            "php.d/a.png",
        ] {
            assert!(!rules().denies(name), "{name}");
        }
    }

    #[test]
    fn a_list_of_ones_own_takes_the_place_of_the_usual_one() {
        let rules = Rules::new(&Files { deny: vec![".Twig".into()], ..Files::at("/srv") });
        assert!(rules.denies("a.twig") && rules.denies("a.twig.1") && rules.denies("a.twig~"));
        assert!(!rules.denies("a.php") && !rules.denies("a.sql.gz"));
    }

    #[test]
    fn immutable_is_what_lies_below() {
        let is = |path: &str| rules().is_immutable(path.as_bytes());
        assert!(is("/assets/a.js") && is("/assets/b/c.css") && is("/a/b.js"));
        assert!(!is("/assets") && !is("/assets2/a.js") && !is("/a/b.js2") && !is("/x/assets/a.js"));
    }
}
