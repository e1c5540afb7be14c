//! Start tags: where one ends, which attributes it has (HTML, "Tokenization"), and which of them hold links.

use crate::css;
use crate::rules::OfPage;
use crate::srcset;
use std::ops::Range;

/// Where in a tag the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    TagName,
    Between,
    Name,
    AfterName,
    BeforeValue,
    Quoted(u8),
    Bare,
    End,
}

impl At {
    /// Where the one after `byte` stands.
    pub(crate) fn after(self, byte: u8) -> Self {
        let space = is_space(byte);
        match self {
            Self::Quoted(quote) if byte == quote => Self::Between,
            Self::Quoted(_) => self,
            _ if byte == b'>' => Self::End,
            Self::TagName if space || byte == b'/' => Self::Between,
            Self::TagName => self,
            Self::Between if space || byte == b'/' => self,
            // An `=` that nothing stands before begins a name.
            Self::Between => Self::Name,
            Self::Name | Self::AfterName => match byte {
                b'=' => Self::BeforeValue,
                b'/' => Self::Between,
                _ if space => Self::AfterName,
                _ => Self::Name,
            },
            Self::BeforeValue if space => self,
            Self::BeforeValue if matches!(byte, b'"' | b'\'') => Self::Quoted(byte),
            Self::BeforeValue => Self::Bare,
            Self::Bare if space => Self::Between,
            Self::Bare => self,
            Self::End => self,
        }
    }
}

pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')
}

/// What is between the element's name and the tag's end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Attribute {
    name: Range<usize>,
    value: Range<usize>,
}

/// The name of the element that a tag begins with.
pub(crate) fn name(tag: &[u8]) -> &[u8] {
    let end = tag.iter().position(|&byte| is_space(byte) || matches!(byte, b'/' | b'>')).unwrap_or(tag.len());
    tag.get(1..end).unwrap_or_default()
}

/// Finds the attributes of a whole tag, `<` and `>` included.
fn attributes(tag: &[u8], found: &mut Vec<Attribute>) {
    found.clear();
    let mut at = At::TagName;
    for (index, &byte) in tag.iter().enumerate().skip(1) {
        let after = at.after(byte);
        match (at, after) {
            (At::Between | At::AfterName, At::Name) => {
                found.push(Attribute { name: index..index + 1, value: 0..0 });
            }
            (_, At::Name) => {
                found.iter_mut().next_back().into_iter().for_each(|last| last.name.end = index + 1)
            }
            (At::BeforeValue, At::Quoted(_)) => value_at(found, index + 1),
            (At::BeforeValue, At::Bare) => {
                value_at(found, index);
                grow(found, index + 1);
            }
            (_, At::Quoted(_) | At::Bare) => grow(found, index + 1),
            _ => {}
        }
        at = after;
    }
}

fn value_at(found: &mut [Attribute], index: usize) {
    found.iter_mut().next_back().into_iter().for_each(|last| last.value = index..index);
}

fn grow(found: &mut [Attribute], end: usize) {
    found.iter_mut().next_back().into_iter().for_each(|last| last.value.end = end);
}

/// How the links in a value are written.
enum Holds {
    Link,
    Links,
    Style,
}

/// Writes a whole tag with its links rewritten; `found` is room for its attributes.
pub(crate) fn write(page: &OfPage<'_>, tag: &[u8], found: &mut Vec<Attribute>, out: &mut Vec<u8>) {
    attributes(tag, found);
    let element = name(tag);
    let has = |name: &[u8]| found.iter().any(|one| tag[one.name.clone()].eq_ignore_ascii_case(name));
    let is = |name: &[u8]| element.eq_ignore_ascii_case(name);
    let stays = is(b"base")
        || element.get(..4).is_some_and(|begin| begin.eq_ignore_ascii_case(b"esi:"))
        || (has(b"integrity") && !has(b"crossorigin"));
    if stays {
        return out.extend_from_slice(tag);
    }
    // Documents and parts of them, which mean something else on another host.
    let is_document = is(b"iframe") || is(b"frame") || is(b"use");
    let holds = |attribute: &[u8]| {
        let is = |name: &[u8]| attribute.eq_ignore_ascii_case(name);
        if is(b"style") {
            Some(Holds::Style)
        } else if is_document {
            None
        } else if is(b"srcset") || is(b"imagesrcset") {
            Some(Holds::Links)
        } else if is(b"src") || is(b"href") || is(b"poster") {
            Some(Holds::Link)
        } else {
            (is(b"xlink:href") && element.eq_ignore_ascii_case(b"image")).then_some(Holds::Link)
        }
    };
    let mut from = 0;
    for Attribute { name, value } in found.iter() {
        let Some(holds) = holds(&tag[name.clone()]).filter(|_| !value.is_empty()) else { continue };
        out.extend_from_slice(&tag[from..value.start]);
        let text = &tag[value.clone()];
        match holds {
            Holds::Link => page.write(text, out),
            Holds::Links => srcset::write(page, text, out),
            Holds::Style => css::write(page, text, out),
        }
        from = value.end;
    }
    out.extend_from_slice(&tag[from..]);
}

/// The value of a `<base>`'s link.
pub(crate) fn base<'a>(tag: &'a [u8], found: &mut Vec<Attribute>) -> Option<&'a [u8]> {
    attributes(tag, found);
    let href = found.iter().find(|one| tag[one.name.clone()].eq_ignore_ascii_case(b"href"))?;
    Some(&tag[href.value.clone()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_as_browsers_find_them() {
        let found = |tag: &str| {
            let mut found = Vec::new();
            attributes(tag.as_bytes(), &mut found);
            let show = |one: &Attribute| format!("{}={}", &tag[one.name.clone()], &tag[one.value.clone()]);
            found.iter().map(show).collect::<Vec<_>>().join("|")
        };
        for (tag, expect) in [
            ("<a>", ""),
            ("<a b>", "b="),
            ("<a b=1 c='2' d=\"3\">", "b=1|c=2|d=3"),
            ("<a b = 1/2 c>", "b=1/2|c="),
            ("<a b='x>y'c=2>", "b=x>y|c=2"),
            ("<a title=it's href=x>", "title=it's|href=x"),
            ("<a =x=1>", "=x=1"),
            ("<a b=>", "b="),
            ("<a b=''/>", "b="),
            ("<a/b/c=d/>", "b=|c=d/"),
            ("<a\nb\n=\nc>", "b=c"),
        ] {
            assert_eq!(found(tag), expect, "{tag}");
        }
    }
}
