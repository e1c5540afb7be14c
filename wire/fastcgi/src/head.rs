//! The head that a script sends (RFC 3875 section 6): lines, and what they mean as an HTTP response. Strict and
//! bounded; knows no records (`read`).
//!
//! Lines end with LF or CR LF. `Content-Type` may be missing, which RFC 3875 does not allow: PHP leaves it out when a
//! script asks it to.

use crate::Fault;
use std::ops::Range;
use tentpole_message::{Fields, Name, ResponseHead};

/// What an answer may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole head, with line ends and the empty line.
    pub head_bytes_max: usize,
    /// Number of fields; at most [`Fields::COUNT_MAX`].
    pub fields_max: usize,
    /// Bytes of error output that are kept; the rest is counted.
    pub stderr_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes_max: 32 * 1024, fields_max: 100, stderr_bytes_max: 4 * 1024 }
    }
}

/// A head that is collected line by line, so that it is refused at the end of the first wrong line.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    fields: Vec<(Range<usize>, Range<usize>)>,
    /// Where the line that is being read begins.
    line_start: usize,
}

impl Lines {
    /// Whether nothing came yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes bytes up to the head's end, and says how many that were and whether the head is whole.
    pub(crate) fn push(&mut self, bytes: &[u8], limits: &Limits) -> Result<(usize, bool), Fault> {
        let mut used = 0;
        while used < bytes.len() {
            let rest = &bytes[used..];
            let line_end = memchr::memchr(b'\n', rest);
            let part = &rest[..line_end.map_or(rest.len(), |at| at + 1)];
            if part.len() > limits.head_bytes_max - self.bytes.len().min(limits.head_bytes_max) {
                return Err(Fault::HeadTooLarge);
            }
            self.bytes.extend_from_slice(part);
            used += part.len();
            if line_end.is_some() && self.end_line(limits)? {
                return Ok((used, true));
            }
        }
        Ok((used, false))
    }

    /// Judges the line that has just ended; `true` when it is the empty one.
    fn end_line(&mut self, limits: &Limits) -> Result<bool, Fault> {
        let start = self.line_start;
        self.line_start = self.bytes.len();
        let line = &self.bytes[start..self.bytes.len() - 1];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Ok(true);
        }
        let (name, value) = field(line).ok_or(Fault::Head)?;
        if self.fields.len() >= limits.fields_max.min(Fields::COUNT_MAX) {
            return Err(Fault::HeadTooLarge);
        }
        self.fields.push((shifted(&name, start), shifted(&value, start)));
        Ok(false)
    }

    /// Fills `head` with what the lines mean: a status, and all fields that are meant for the visitor.
    pub(crate) fn finish(self, head: &mut ResponseHead) -> Result<Meaning, Fault> {
        head.fields.load(&self.bytes);
        let (mut status, mut location, mut has_type, mut length) = (None, None, false, None);
        for (name_at, value_at) in self.fields {
            let (name, value) = (&self.bytes[name_at.clone()], &self.bytes[value_at.clone()]);
            match Name::from_bytes(name) {
                Name::TransferEncoding => return Err(Fault::TransferEncoding),
                Name::ContentLength => {
                    let stated = number(value).ok_or(Fault::ContentLength)?;
                    if length.replace(stated).is_some() {
                        return Err(Fault::ContentLength);
                    }
                }
                Name::Location if location.replace(value_at.clone()).is_some() => {
                    return Err(Fault::Repeated);
                }
                Name::ContentType if std::mem::replace(&mut has_type, true) => return Err(Fault::Repeated),
                // Section 6.3.4: a script has no say in the connection, and many try.
                known if known.is_hop_by_hop() => continue,
                Name::Other if name.eq_ignore_ascii_case(b"status") => {
                    let stated = status_line(value).ok_or(Fault::Status)?;
                    if status.replace((stated, value_at)).is_some() {
                        return Err(Fault::Repeated);
                    }
                    continue;
                }
                Name::Other if is_send_file(name) => return Err(Fault::SendFile),
                _ => {}
            }
            head.fields.push_ranges(name_at, value_at);
        }
        let mut is_local = false;
        let (code, reason) = match (status, location) {
            (Some((code, at)), _) => (code, (at.start + 4).min(at.end)..at.end),
            (None, Some(at)) if is_absolute(&self.bytes[at.clone()]) => (302, 0..0),
            (None, Some(at)) if is_local_path(&self.bytes[at.clone()]) => {
                is_local = true;
                (302, 0..0)
            }
            (None, Some(_)) => return Err(Fault::LocalRedirect),
            (None, None) => (200, 0..0),
        };
        head.set_line(code, reason, 1);
        Ok(Meaning { content_length: length, is_local })
    }
}

/// What a head says about what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Meaning {
    pub content_length: Option<u64>,
    /// The answer is what another path of this server is answered (section 6.2.2).
    pub is_local: bool,
}

fn shifted(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

/// Where name and value lie in a line, when it is a field (RFC 9110 section 5).
fn field(line: &[u8]) -> Option<(Range<usize>, Range<usize>)> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_name = !name.is_empty() && name.iter().all(|&byte| is_token_byte(byte));
    if !is_name || value.iter().any(|&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        return None;
    }
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let before = value.iter().take_while(is_space).count();
    let after = value[before..].iter().rev().take_while(is_space).count();
    Some((0..colon, colon + 1 + before..line.len() - after))
}

/// Whether the byte may stand in a token (RFC 9110 section 5.6.2).
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `404` or `404 Not Found`. An interim status is none: what would follow it?
fn status_line(value: &[u8]) -> Option<u16> {
    let digits = value.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(value.get(3), None | Some(b' ')) {
        return None;
    }
    let code = digits.iter().fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    (code >= 200).then_some(code)
}

/// Digits only, and no more than every other party can count too.
fn number(value: &[u8]) -> Option<u64> {
    // 19 digits cannot overflow 64 bits.
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = value.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
    (number <= i64::MAX as u64).then_some(number)
}

/// Whether a reference starts with a scheme (RFC 3986 section 3.1).
fn is_absolute(reference: &[u8]) -> bool {
    let Some(colon) = memchr::memchr(b':', reference) else { return false };
    let [first, rest @ ..] = &reference[..colon] else { return false };
    first.is_ascii_alphabetic()
        && rest.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte))
}

/// Whether a reference is a path of this server, perhaps with a query, as a request could ask for it.
fn is_local_path(reference: &[u8]) -> bool {
    reference.starts_with(b"/")
        && !reference.starts_with(b"//")
        && reference.iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#')
}

fn is_send_file(name: &[u8]) -> bool {
    [&b"x-accel-redirect"[..], b"x-sendfile", b"x-lighttpd-send-file", b"x-litespeed-location"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(text: &[u8], limits: &Limits) -> Result<(ResponseHead, Option<u64>, usize), Fault> {
        let mut lines = Lines::default();
        let (used, is_whole) = lines.push(text, limits)?;
        assert!(is_whole, "the head does not end: {:?}", text.escape_ascii().to_string());
        let mut head = ResponseHead::new();
        let meaning = lines.finish(&mut head)?;
        Ok((head, meaning.content_length, used))
    }

    fn read(text: &[u8]) -> Result<(ResponseHead, Option<u64>, usize), Fault> {
        read_with(text, &Limits::default())
    }

    #[test]
    fn a_head_is_taken_apart_whatever_its_line_ends() {
        for text in [
            &b"Status: 404 Not  here\r\nContent-type: text/html\r\nX-A:\t b c \r\n\r\nbody"[..],
            b"Status: 404 Not  here\nContent-type: text/html\nX-A:\t b c \n\nbody",
        ] {
            let (head, length, used) = read(text).unwrap();
            assert_eq!(&text[used..], b"body");
            assert_eq!((head.status, head.reason(), length), (404, &b"Not  here"[..], None));
            assert_eq!(head.fields.len(), 2, "Status is no field of HTTP");
            assert_eq!(head.fields.get(Name::ContentType), Some(&b"text/html"[..]));
            assert_eq!(head.fields.find(b"x-a").next(), Some(&b"b c"[..]));
        }
    }

    #[test]
    fn without_a_status_it_is_200_or_a_redirect() {
        let status = |text: &[u8]| read(text).map(|(head, ..)| head.status);
        assert_eq!(status(b"\n"), Ok(200));
        assert_eq!(status(b"Content-Type: a/b\n\n"), Ok(200));
        assert_eq!(status(b"Location: https://h/x\n\n"), Ok(302));
        assert_eq!(status(b"Status: 301\nLocation: /x\n\n"), Ok(301));
        assert_eq!(status(b"Location: /x?a=b\n\n"), Ok(302));
        for (text, is_local) in [
            (&b"Location: /x?a=b\n\n"[..], true),
            (b"Status: 302\nLocation: /x\n\n", false),
            (b"Location: https://h/x\n\n", false),
        ] {
            let mut lines = Lines::default();
            lines.push(text, &Limits::default()).unwrap();
            assert_eq!(lines.finish(&mut ResponseHead::new()).unwrap().is_local, is_local);
        }
        for local in ["//h/x", "x", "", "?a:b", "1a:b", "/a b", "/a#b", "/\u{e4}"] {
            let text = format!("Location: {local}\n\n");
            assert_eq!(status(text.as_bytes()), Err(Fault::LocalRedirect), "{local}");
        }
    }

    #[test]
    fn what_is_no_clear_head_is_refused() {
        let cases: [(&[u8], Fault); 24] = [
            (b"PHP Warning\n\n", Fault::Head),
            (b"HTTP/1.1 200 OK\r\n\r\n", Fault::Head),
            (b": a\n\n", Fault::Head),
            (b"A : b\n\n", Fault::Head),
            (b"A: b\n c\n\n", Fault::Head),
            (b"A: b\rC: d\n\n", Fault::Head),
            (b"A: \0\n\n", Fault::Head),
            (b"\r\r\n\n", Fault::Head),
            (b"Status: 99 x\n\n", Fault::Status),
            (b"Status: 100 Continue\n\n", Fault::Status),
            (b"Status: 2000\n\n", Fault::Status),
            (b"Status: OK\n\n", Fault::Status),
            (b"Status:\n\n", Fault::Status),
            (b"Status: 200\nstatus: 200\n\n", Fault::Repeated),
            (b"Content-Type: a/b\nContent-Type: a/b\n\n", Fault::Repeated),
            (b"Status: 302\nLocation: /a\nLocation: /b\n\n", Fault::Repeated),
            (b"Content-Length: 5\nContent-Length: 5\n\n", Fault::ContentLength),
            (b"Content-Length: 5,5\n\n", Fault::ContentLength),
            (b"Content-Length: -1\n\n", Fault::ContentLength),
            (b"Content-Length: 9223372036854775808\n\n", Fault::ContentLength),
            (b"Transfer-Encoding: chunked\n\n", Fault::TransferEncoding),
            (b"X-Accel-Redirect: /secret\n\n", Fault::SendFile),
            (b"X-SENDFILE: /etc/passwd\n\n", Fault::SendFile),
            (b"A: \x7f\n\n", Fault::Head),
        ];
        for (text, fault) in cases {
            let shown = text.escape_ascii().to_string();
            assert_eq!(read(text).map(|(head, ..)| head.status), Err(fault), "{shown}");
        }
    }

    #[test]
    fn fields_of_the_connection_stay_behind() {
        let (head, length, _) =
            read(b"Connection: close\nKeep-Alive: 5\nUpgrade: h2c\nContent-Length: 7\n\n").unwrap();
        assert_eq!((head.fields.len(), length), (1, Some(7)));
    }

    #[test]
    fn a_head_may_be_as_large_as_the_limits_and_no_larger() {
        let text = b"A: b\r\nC: d\r\n\r\n";
        let fitting = Limits { head_bytes_max: text.len(), fields_max: 2, ..Limits::default() };
        let count = |limits: Limits| read_with(text, &limits).map(|(head, ..)| head.fields.len());
        assert_eq!(count(fitting), Ok(2));
        assert_eq!(count(Limits { head_bytes_max: text.len() - 1, ..fitting }), Err(Fault::HeadTooLarge));
        assert_eq!(count(Limits { fields_max: 1, ..fitting }), Err(Fault::HeadTooLarge));
        let many = [b"A: b\n".repeat(300), b"\n".to_vec()].concat();
        let wide = Limits { fields_max: usize::MAX, ..Limits::default() };
        assert_eq!(read_with(&many, &wide).map(|_| ()), Err(Fault::HeadTooLarge));
    }
}
