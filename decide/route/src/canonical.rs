//! The canonical form of a path (RFC 3986 sections 6.2.2 and 6.2.3), so that routes and cache see one name for one
//! thing. Refuses what two readers could read differently; never decodes twice.

/// Whether the canonical path differs from the one that was given.
pub type Changed = bool;

/// Why a path has no canonical form. All of them are answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// It does not start with `/`.
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    Escape,
    /// `%00`: what follows it would be seen by some readers and not by others.
    Nul,
    /// A control character (below 0x20, or 0x7F) as it is.
    Control,
    /// `#`: a fragment is never sent, and servers disagree whether one that is belongs to the path.
    Fragment,
    /// `..` leads above the root.
    AboveRoot,
}

/// Writes the canonical form of `path` into `out`, which is emptied first, and says whether it differs.
///
/// - Escapes have upper-case digits; unreserved characters are not escaped (`%7e` is `~`).
/// - What may not stand in a path as it is gets escaped: spaces, quotes, braces, bytes beyond ASCII, a backslash.
/// - `.` and `..` segments are removed, also when they were escaped; a segment that was escaped twice stays as it is.
/// - `%2F` and `%5C` stay escaped and separate nothing.
/// - With `merge_slashes`, `//` becomes `/`. At the start of a path it always does: a redirect to `//host` would
///   lead elsewhere.
/// - From a `?` on, everything is copied as it is: `path` may carry its query.
///
/// Unicode is not normalised (NFC): bytes stay the bytes they are, only the way of escaping them is settled.
/// The canonical form of a canonical path is itself.
///
/// When nothing changes (`Ok(false)`), `path` is to be used, and `out` means nothing; for the usual path of plain
/// characters it has not even been touched.
///
/// # Errors
/// Why the path cannot be served; `out` then means nothing.
#[inline]
pub fn canonical_path(path: &[u8], merge_slashes: bool, out: &mut Vec<u8>) -> Result<Changed, BadPath> {
    if is_plain(path) {
        return Ok(false);
    }
    rewrite(path, merge_slashes, out)?;
    Ok(out != path)
}

/// Whether the path is canonical for certain: plain characters only, no empty segment, none that starts with a dot.
#[inline]
fn is_plain(path: &[u8]) -> bool {
    let [b'/', rest @ ..] = path else { return false };
    let mut after_slash = true;
    for &byte in rest {
        match CLASS[usize::from(byte)] {
            Class::Plain => after_slash = false,
            Class::Slash if !after_slash => after_slash = true,
            Class::Dot if !after_slash => {}
            Class::Query => return true,
            _ => return false,
        }
    }
    true
}

fn rewrite(path: &[u8], merge_slashes: bool, out: &mut Vec<u8>) -> Result<(), BadPath> {
    out.clear();
    let [b'/', rest @ ..] = path else { return Err(BadPath::NotAbsolute) };
    let (mut rest, query) = match rest.iter().position(|&byte| byte == b'?') {
        Some(at) => rest.split_at(at),
        None => (rest, &[][..]),
    };
    out.push(b'/');
    loop {
        // Here `out` ends with the slash before the segment.
        let end = rest.iter().position(|&byte| byte == b'/');
        let (segment, is_last) = match end {
            Some(at) => (&rest[..at], false),
            None => (rest, true),
        };
        let start = out.len();
        push_segment(segment, out)?;
        match &out[start..] {
            b"." => out.truncate(start),
            b".." => {
                let parent =
                    out[..start - 1].iter().rposition(|&byte| byte == b'/').ok_or(BadPath::AboveRoot)?;
                out.truncate(parent + 1);
            }
            b"" if merge_slashes || start == 1 => {}
            _ if is_last => {}
            _ => out.push(b'/'),
        }
        let Some(at) = end else { break };
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(query);
    Ok(())
}

/// Escapes a segment anew.
pub(crate) fn push_segment(segment: &[u8], out: &mut Vec<u8>) -> Result<(), BadPath> {
    let mut bytes = segment.iter();
    while let Some(&byte) = bytes.next() {
        match CLASS[usize::from(byte)] {
            Class::Plain | Class::Dot => out.push(byte),
            Class::Escape => {
                let (Some(high), Some(low)) = (hex(bytes.next()), hex(bytes.next())) else {
                    return Err(BadPath::Escape);
                };
                match high << 4 | low {
                    0 => return Err(BadPath::Nul),
                    decoded if is_unreserved(decoded) => out.push(decoded),
                    decoded => push_escaped(decoded, out),
                }
            }
            Class::Control => return Err(BadPath::Control),
            Class::Fragment => return Err(BadPath::Fragment),
            Class::Other | Class::Slash | Class::Query => push_escaped(byte, out),
        }
    }
    Ok(())
}

fn push_escaped(byte: u8, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.extend_from_slice(&[b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
}

fn hex(digit: Option<&u8>) -> Option<u8> {
    let value = char::from(*digit?).to_digit(16)?;
    Some(value as u8)
}

/// RFC 3986 section 2.3.
const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[derive(Clone, Copy)]
enum Class {
    /// May stand in a path as it is (`pchar`, RFC 3986 section 3.3), except the dot.
    Plain,
    Dot,
    Slash,
    Escape,
    Query,
    Fragment,
    Control,
    /// Has to be escaped.
    Other,
}

static CLASS: [Class; 256] = classes();

const fn classes() -> [Class; 256] {
    let mut classes = [Class::Other; 256];
    let mut byte = 0u8;
    loop {
        classes[byte as usize] = match byte {
            b'.' => Class::Dot,
            b'/' => Class::Slash,
            b'%' => Class::Escape,
            b'?' => Class::Query,
            b'#' => Class::Fragment,
            0..=0x1F | 0x7F => Class::Control,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => Class::Plain,
            b':' | b'@' => Class::Plain,
            _ if is_unreserved(byte) => Class::Plain,
            _ => Class::Other,
        };
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}
