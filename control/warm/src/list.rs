//! URLs from a list: one a line, absolute or, with a base, paths of it. Empty lines and lines that begin with `#` are
//! left out. What cannot be read is counted and the first of it is named: nothing is lost silently.

use crate::{URLS_BYTES_MAX, URLS_MAX, Url};
use std::collections::HashSet;

/// What a source holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// What is asked for, in order, each once.
    pub urls: Vec<Url>,
    /// Lines or entries that are no URL to warm.
    pub skipped: usize,
    /// The first of them, and why.
    pub first_skipped: Option<String>,
    /// There were more than [`URLS_MAX`], or more bytes of them than are held; the rest was left out.
    pub is_cut: bool,
}

/// Reads a list.
pub fn from_list(text: &str, base: Option<&Url>) -> Listed {
    let mut gathered = Gathered::default();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let url = match base {
            Some(base) if line.starts_with('/') => base.with_target(line),
            _ => Url::parse(line),
        };
        match url {
            Ok(url) => gathered.add(url),
            Err(error) => gathered.skip(|| format!("line {}: {error}", number + 1)),
        }
    }
    gathered.listed
}

/// Puts a [`Listed`] together.
pub(crate) struct Gathered {
    seen: HashSet<Url>,
    /// Bytes that further URLs may take.
    room: usize,
    pub listed: Listed,
}

impl Default for Gathered {
    fn default() -> Self {
        Self { seen: HashSet::new(), room: URLS_BYTES_MAX, listed: Listed::default() }
    }
}

impl Gathered {
    pub(crate) fn add(&mut self, url: Url) {
        let bytes = url.bytes();
        if self.listed.urls.len() >= URLS_MAX || bytes > self.room {
            self.listed.is_cut = true;
        } else if self.seen.insert(url.clone()) {
            self.room -= bytes;
            self.listed.urls.push(url);
        }
    }

    pub(crate) fn skip(&mut self, why: impl FnOnce() -> String) {
        self.listed.skipped += 1;
        if self.listed.first_skipped.is_none() {
            self.listed.first_skipped = Some(why());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_urls_and_paths_each_once() {
        let base = Url::parse("http://shop.example").unwrap();
        let text = "# top pages\n/\n\n/p/a\nhttp://other.example/b\n/p/a\nno url\n";
        let listed = from_list(text, Some(&base));
        let urls: Vec<String> = listed.urls.iter().map(Url::to_string).collect();
        assert_eq!(urls, ["http://shop.example/", "http://shop.example/p/a", "http://other.example/b"]);
        assert_eq!(listed.skipped, 1);
        assert!(listed.first_skipped.unwrap().starts_with("line 7: not an http URL"));
    }

    #[test]
    fn a_heap_of_long_addresses_takes_bounded_memory() {
        let base = Url::parse("http://shop.example").unwrap();
        let mut gathered = Gathered { room: 100_000, ..Gathered::default() };
        let long = "x".repeat(7_900);
        for number in 0..20 {
            gathered.add(base.with_target(&format!("/{number}?{long}")).unwrap());
        }
        let bytes: usize = gathered.listed.urls.iter().map(Url::bytes).sum();
        assert!(gathered.listed.is_cut && (90_000..=100_000).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_path_without_a_base_is_named() {
        let listed = from_list("/a", None);
        assert_eq!((listed.urls.len(), listed.skipped), (0, 1));
    }
}
