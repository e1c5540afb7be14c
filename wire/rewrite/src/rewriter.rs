//! Goes through a page, piece by piece, and finds tags and styles in it (HTML, "Tokenization"). Holds no more of the page
//! than the tag or the `url(…)` that is under way.

use crate::css::{self, Search};
use crate::rules::{OfPage, Rules};
use crate::tag::{self, At, Attribute, is_space};
use crate::{TAG_BYTES_MAX, URL_BYTES_MAX};
use memchr::memchr;
use std::sync::Arc;

/// Elements whose content is text up to their end tag.
const RAW: [&[u8]; 8] =
    [b"script", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes", b"plaintext"];

/// Rewrites the links of one page.
#[derive(Debug)]
pub struct Rewriter {
    rules: Arc<Rules>,
    /// In lower case, without the port that is usual for http.
    host: Box<[u8]>,
    mode: Mode,
    /// What cannot be written yet.
    held: Vec<u8>,
    attributes: Vec<Attribute>,
    /// A `<base>` with a link has come: only the first counts.
    has_base: bool,
    foreign_base: bool,
}

/// Where in a page the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Text,
    /// Behind a `<`, which is held.
    Opened,
    /// Behind `<!`, held with one dash or none.
    Declared,
    /// In a start tag, held.
    Tag(At),
    /// In a tag that is passed on; after it, the content of an element may be text.
    Passing(At, Content),
    /// In what ends at the next `>`.
    Bogus,
    /// In a comment: dashes at its end so far, and letters of `esi` at its beginning.
    Comment {
        dashes: u8,
        esi: u8,
    },
    /// In text up to an end tag, of which some bytes are there.
    Raw(Raw),
    /// In a style.
    Style {
        end: Raw,
        search: Search,
        in_url: bool,
    },
}

/// What stands in an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Markup,
    Text(&'static [u8]),
    Style,
}

/// Looks for an end tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Raw {
    name: &'static [u8],
    /// Bytes of `</name` that are there.
    found: usize,
}

impl Raw {
    fn of(name: &'static [u8]) -> Self {
        Self { name, found: 0 }
    }

    /// Takes the next byte; true for the first one behind the name of the end tag.
    fn ends(&mut self, byte: u8) -> bool {
        if self.found == self.name.len() + 2 && (is_space(byte) || matches!(byte, b'/' | b'>')) {
            return true;
        }
        let wanted = match self.found {
            0 => Some(&b'<'),
            1 => Some(&b'/'),
            more => self.name.get(more - 2),
        };
        self.found = match wanted.is_some_and(|wanted| byte.eq_ignore_ascii_case(wanted)) {
            true => self.found + 1,
            false => usize::from(byte == b'<'),
        };
        false
    }
}

impl Rewriter {
    /// For a page of this host: the value of `Host`.
    pub fn new(rules: Arc<Rules>, host: &[u8]) -> Self {
        let host = host.strip_suffix(b":80").unwrap_or(host).to_ascii_lowercase();
        Self {
            rules,
            host: host.into(),
            mode: Mode::Text,
            held: Vec::new(),
            attributes: Vec::new(),
            has_base: false,
            foreign_base: false,
        }
    }

    /// Takes a piece of the page; appends what can be written of it to `out`.
    pub fn feed(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        let mut rest = piece;
        while !rest.is_empty() {
            let used = self.step(rest, out);
            rest = &rest[used..];
        }
    }

    /// The page has ended: what is not whole stays as it came.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
    }

    /// Takes the beginning of `rest`, which is not empty; says how much.
    fn step(&mut self, rest: &[u8], out: &mut Vec<u8>) -> usize {
        match self.mode {
            Mode::Text => {
                let before = memchr(b'<', rest).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..before]);
                if before == rest.len() {
                    return before;
                }
                self.held.push(b'<');
                self.mode = Mode::Opened;
                before + 1
            }
            Mode::Opened => self.opened(rest[0], out),
            Mode::Declared => self.declared(rest[0], out),
            Mode::Tag(at) => self.tag(at, rest, out),
            Mode::Passing(at, content) => {
                let mut at = at;
                let end = rest.iter().position(|&byte| {
                    at = at.after(byte);
                    at == At::End
                });
                let used = end.map_or(rest.len(), |end| end + 1);
                out.extend_from_slice(&rest[..used]);
                self.mode = if end.is_some() { inside(content) } else { Mode::Passing(at, content) };
                used
            }
            Mode::Bogus => {
                let end = memchr(b'>', rest);
                let used = end.map_or(rest.len(), |end| end + 1);
                out.extend_from_slice(&rest[..used]);
                if end.is_some() {
                    self.mode = Mode::Text;
                }
                used
            }
            Mode::Comment { dashes, esi } => self.comment(dashes, esi, rest, out),
            Mode::Raw(raw) => {
                let mut raw = raw;
                let end = rest.iter().position(|&byte| raw.ends(byte));
                let used = end.unwrap_or(rest.len());
                out.extend_from_slice(&rest[..used]);
                // The byte behind the name belongs to the end tag.
                self.mode = if end.is_some() { END_TAG } else { Mode::Raw(raw) };
                used
            }
            Mode::Style { end, search, in_url } => self.style(end, search, in_url, rest, out),
        }
    }

    fn opened(&mut self, byte: u8, out: &mut Vec<u8>) -> usize {
        let mode = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {
                self.mode = Mode::Tag(At::TagName);
                return 0;
            }
            b'!' => {
                self.held.push(byte);
                self.mode = Mode::Declared;
                return 1;
            }
            b'/' => END_TAG,
            b'?' => Mode::Bogus,
            // It begins nothing; this byte may.
            _ => Mode::Text,
        };
        out.append(&mut self.held);
        self.mode = mode;
        0
    }

    fn declared(&mut self, byte: u8, out: &mut Vec<u8>) -> usize {
        let is_dash = byte == b'-';
        if is_dash && self.held.len() == 2 {
            self.held.push(byte);
            return 1;
        }
        out.append(&mut self.held);
        if !is_dash {
            self.mode = Mode::Bogus;
            return 0;
        }
        out.push(byte);
        // `<!-->` is a comment too.
        self.mode = Mode::Comment { dashes: 2, esi: 0 };
        1
    }

    fn comment(&mut self, dashes: u8, esi: u8, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let (mut dashes, mut esi) = (dashes, esi);
        for (at, &byte) in rest.iter().enumerate() {
            let ends = byte == b'>' && dashes >= 2;
            dashes = match byte {
                b'-' => (dashes + 1).min(2),
                // `--!>` ends one too.
                b'!' if dashes == 2 => 3,
                _ => 0,
            };
            esi = match esi {
                0..=2 if byte == b"esi"[usize::from(esi)] => esi + 1,
                _ => u8::MAX,
            };
            // What stands in `<!--esi … -->` is part of the page.
            if ends || esi == 3 {
                out.extend_from_slice(&rest[..=at]);
                self.mode = Mode::Text;
                return at + 1;
            }
        }
        out.extend_from_slice(rest);
        self.mode = Mode::Comment { dashes, esi };
        rest.len()
    }

    fn tag(&mut self, at: At, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let mut at = at;
        for (index, &byte) in rest.iter().enumerate() {
            at = at.after(byte);
            if at == At::End {
                self.held.extend_from_slice(&rest[..=index]);
                self.whole_tag(out);
                return index + 1;
            }
            if self.held.len() + index + 1 == TAG_BYTES_MAX {
                self.held.extend_from_slice(&rest[..=index]);
                self.mode = Mode::Passing(at, content_of(tag::name(&self.held)));
                out.append(&mut self.held);
                return index + 1;
            }
        }
        self.held.extend_from_slice(rest);
        self.mode = Mode::Tag(at);
        rest.len()
    }

    fn whole_tag(&mut self, out: &mut Vec<u8>) {
        let Self { rules, host, held, attributes, has_base, foreign_base, .. } = self;
        let page = OfPage { rules, host, foreign_base: *foreign_base };
        tag::write(&page, held, attributes, out);
        let name = tag::name(held);
        self.mode = inside(content_of(name));
        if !*has_base
            && name.eq_ignore_ascii_case(b"base")
            && let Some(link) = tag::base(held, attributes)
        {
            *has_base = true;
            *foreign_base = page.is_foreign(link);
        }
        self.held.clear();
    }

    fn style(&mut self, end: Raw, search: Search, in_url: bool, rest: &[u8], out: &mut Vec<u8>) -> usize {
        let (mut end, mut search) = (end, search);
        for (at, &byte) in rest.iter().enumerate() {
            if in_url {
                // An end tag ends a style wherever it stands.
                let is_long = self.held.len() + at == URL_BYTES_MAX;
                if byte == b')' || byte == b'<' || is_long {
                    self.held.extend_from_slice(&rest[..at]);
                    let Self { rules, host, held, foreign_base, .. } = self;
                    if byte == b')' {
                        css::write_inner(&OfPage { rules, host, foreign_base: *foreign_base }, held, out);
                    } else {
                        out.extend_from_slice(held);
                    }
                    held.clear();
                    self.mode = Mode::Style { end, search, in_url: false };
                    return at;
                }
                continue;
            }
            if end.ends(byte) {
                out.extend_from_slice(&rest[..at]);
                self.mode = END_TAG;
                return at;
            }
            if search.opens(byte) {
                out.extend_from_slice(&rest[..=at]);
                self.mode = Mode::Style { end, search, in_url: true };
                return at + 1;
            }
        }
        if in_url { &mut self.held } else { out }.extend_from_slice(rest);
        self.mode = Mode::Style { end, search, in_url };
        rest.len()
    }
}

/// In an end tag, with its name behind or before.
const END_TAG: Mode = Mode::Passing(At::TagName, Content::Markup);

fn inside(content: Content) -> Mode {
    match content {
        Content::Markup => Mode::Text,
        Content::Text(name) => Mode::Raw(Raw::of(name)),
        Content::Style => Mode::Style { end: Raw::of(b"style"), search: Search::default(), in_url: false },
    }
}

fn content_of(element: &[u8]) -> Content {
    if element.eq_ignore_ascii_case(b"style") {
        return Content::Style;
    }
    let raw = RAW.into_iter().find(|name| element.eq_ignore_ascii_case(name));
    raw.map_or(Content::Markup, Content::Text)
}
