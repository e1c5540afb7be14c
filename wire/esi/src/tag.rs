//! One tag: its name, whether it opens or closes, its attributes. Forgiving in what is written around a value; an
//! address comes out as it must be asked for.

use crate::ADDRESS_BYTES_MAX;

/// A tag between `<` and `>`, both left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag<'a> {
    /// Behind `esi:`.
    pub name: &'a [u8],
    pub kind: Kind,
    attributes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Opening,
    Closing,
    /// Both at once: `<esi:comment/>`.
    Empty,
}

/// An address, read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Is(Box<str>),
    /// There is none, or none that could be asked for.
    None,
    TooLong,
}

impl<'a> Tag<'a> {
    /// Reads `esi:name …`, `/esi:name` or `esi:name …/`.
    pub(crate) fn read(inside: &'a [u8]) -> Self {
        let (closes, inside) = match inside.strip_prefix(b"/") {
            Some(inside) => (true, inside),
            None => (false, inside),
        };
        let (is_empty, inside) = match inside.strip_suffix(b"/") {
            Some(inside) => (true, inside),
            None => (false, inside),
        };
        let inside = inside.strip_prefix(b"esi:").unwrap_or(inside);
        let end = inside.iter().position(|&byte| is_space(byte)).unwrap_or(inside.len());
        let kind = match (closes, is_empty) {
            (true, _) => Kind::Closing,
            (false, true) => Kind::Empty,
            (false, false) => Kind::Opening,
        };
        Self { name: &inside[..end], kind, attributes: &inside[end..] }
    }

    /// The value of an attribute, as it is written; the first when it is there twice.
    pub(crate) fn attribute(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut rest = self.attributes;
        loop {
            rest = trim_start(rest);
            if rest.is_empty() {
                return None;
            }
            let end = rest.iter().position(|&byte| byte == b'=' || is_space(byte)).unwrap_or(rest.len());
            let (found, behind) = rest.split_at(end);
            let Some(value) = trim_start(behind).strip_prefix(b"=") else {
                // No value: what follows is the next attribute.
                rest = if end == 0 { &rest[1..] } else { behind };
                continue;
            };
            let (value, behind) = value_of(trim_start(value));
            if found == name {
                return Some(value);
            }
            rest = behind;
        }
    }

    /// The value of an attribute that is an address.
    pub(crate) fn address(&self, name: &[u8]) -> Address {
        let Some(value) = self.attribute(name) else { return Address::None };
        let mut out = Vec::with_capacity(value.len().min(ADDRESS_BYTES_MAX));
        write_without_entities(value.trim_ascii(), &mut out);
        if out.len() > ADDRESS_BYTES_MAX {
            return Address::TooLong;
        }
        // A blank or a control would end the request line of whoever asks for it.
        let could_be_asked =
            |text: &String| !text.is_empty() && text.bytes().all(|byte| byte > b' ' && byte != 0x7f);
        String::from_utf8(out)
            .ok()
            .filter(could_be_asked)
            .map_or(Address::None, |text| Address::Is(text.into()))
    }
}

/// The value at the beginning of `text`, without its quotes, and what follows it.
fn value_of(text: &[u8]) -> (&[u8], &[u8]) {
    if let Some((&quote @ (b'"' | b'\''), inside)) = text.split_first() {
        let end = inside.iter().position(|&byte| byte == quote).unwrap_or(inside.len());
        return (&inside[..end], inside.get(end + 1..).unwrap_or_default());
    }
    let end = text.iter().position(|&byte| is_space(byte)).unwrap_or(text.len());
    text.split_at(end)
}

/// Replaces the five entities of XML and numeric ones; leaves what it does not know as it is: in addresses a bare `&`
/// is what most people write.
fn write_without_entities(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'&', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        match entity(rest) {
            Some((character, length)) => {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
            }
            None => {
                out.push(b'&');
                rest = &rest[1..];
            }
        }
    }
    out.extend_from_slice(rest);
}

/// The character that an entity at the beginning of `text` stands for, and the entity's length.
fn entity(text: &[u8]) -> Option<(char, usize)> {
    // `&#1114111;` is the longest that means something.
    let end = text.iter().take(12).position(|&byte| byte == b';')?;
    let name = std::str::from_utf8(text.get(1..end)?).ok()?;
    let character = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) if hex.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(hex, 16),
                None if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse(),
                _ => return None,
            };
            char::from_u32(code.ok()?)?
        }
    };
    Some((character, end + 1))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0c)
}

fn trim_start(text: &[u8]) -> &[u8] {
    let from = text.iter().position(|&byte| !is_space(byte)).unwrap_or(text.len());
    &text[from..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn src(inside: &str) -> Address {
        Tag::read(inside.as_bytes()).address(b"src")
    }

    fn is(address: &str) -> Address {
        Address::Is(address.into())
    }

    #[test]
    fn a_value_may_stand_in_any_quotes_or_in_none() {
        for inside in [
            r#"esi:include src="/a?b""#,
            "esi:include src='/a?b'",
            "esi:include src=/a?b",
            "esi:include src = \"/a?b\" /",
            "esi:include\n\tsrc\n=\n'/a?b'\n/",
            r#"esi:include data-x src="/a?b" src="/c""#,
            r#"esi:include alt="src=/no" src=" /a?b ""#,
            r#"esi:include =x src="/a?b""#,
        ] {
            assert_eq!(src(inside), is("/a?b"), "{inside}");
        }
    }

    #[test]
    fn the_slash_that_closes_a_tag_is_not_part_of_a_bare_value() {
        assert_eq!(src("esi:include src=/a/"), is("/a"));
        assert_eq!(src("esi:include src=/a/ /"), is("/a/"));
    }

    #[test]
    fn entities_in_an_address_are_replaced_and_a_bare_ampersand_stays() {
        assert_eq!(src("esi:include src='/a?b=1&amp;c=2&d=3'"), is("/a?b=1&c=2&d=3"));
        assert_eq!(src("esi:include src='/&#47;&#x2F;&lt;&gt;&quot;&apos;'"), is("///<>\"'"));
        assert_eq!(src("esi:include src='/a?b&copy;&#;&#x;&#+1;&'"), is("/a?b&copy;&#;&#x;&#+1;&"));
    }

    #[test]
    fn an_address_that_would_break_a_request_line_is_none() {
        for inside in ["esi:include", "esi:include src", "esi:include src=''", "esi:include src='/a b'"] {
            assert_eq!(src(inside), Address::None, "{inside}");
        }
        assert_eq!(src("esi:include src='/a&#13;&#10;X: y'"), Address::None);
        assert_eq!(src("esi:include src='/a\0'"), Address::None);
        assert_eq!(src(&format!("esi:include src='/{}'", "a".repeat(ADDRESS_BYTES_MAX))), Address::TooLong);
    }

    #[test]
    fn a_tag_opens_or_closes_or_does_both() {
        let read = |inside: &'static str| {
            let tag = Tag::read(inside.as_bytes());
            (std::str::from_utf8(tag.name).unwrap_or_default(), tag.kind)
        };
        assert_eq!(read("esi:remove"), ("remove", Kind::Opening));
        assert_eq!(read("/esi:remove "), ("remove", Kind::Closing));
        assert_eq!(read("esi:comment text='a'/"), ("comment", Kind::Empty));
        assert_eq!(read("esi:comment/"), ("comment", Kind::Empty));
    }
}
