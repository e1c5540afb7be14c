//! One request over HTTP/2 and what came of it: which response is one (RFC 9113 section 8), and which is not.

use super::hpack::{self, Malformed, Table};
use crate::connection::Broken;
use crate::result::FailureCause;
use tentpole_http1::FIELDS_MAX;
use tentpole_message::{Fields, Name, ResponseHead};
use tentpole_model::Method;
use tentpole_runtime::clock::{self, Instant};

/// Largest head of a response, as for HTTP/1.1.
pub(super) const HEAD_BYTES_MAX: usize = 64 * 1024;
/// What a field counts more than its bytes (RFC 9113 section 6.5.2).
const FIELD_BYTES: usize = 32;
/// Interim responses (1xx) before a final one.
const INTERIM_MAX: usize = 20;

/// One request under way.
pub(super) struct Asking<'a> {
    /// Its stream; 0 before it is sent.
    pub(super) stream: u32,
    /// Its head as it goes out.
    pub(super) lines: Vec<u8>,
    /// What of its content was not sent.
    pub(super) content: &'a [u8],
    /// Bytes of content that the host takes.
    pub(super) window: i64,
    /// Bytes that came since the host was told that it may send more.
    pub(super) taken: usize,
    pub(super) method: Method,
    pub(super) head: &'a mut ResponseHead,
    pub(super) body: &'a mut Vec<u8>,
    pub(super) body_max: usize,
    /// Bytes of the response's content.
    pub(super) bytes: u64,
    /// When its first head was there.
    pub(super) first_byte: Instant,
    pub(super) awaits: Awaits,
    pub(super) interim: usize,
    /// What the response says that its content has.
    pub(super) expected: Option<u64>,
}

/// What is to come of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaits {
    Head,
    Content,
    Nothing,
}

/// No response that could be read in one way only.
pub(super) fn malformed() -> Broken {
    Broken { cause: FailureCause::Malformed, answered: true }
}

impl Asking<'_> {
    /// Takes a head that came for it: an interim one, the final one, or the lines behind the content.
    pub(super) fn take_lines(&mut self, table: &mut Table, lines: &[u8], ends: bool) -> Result<(), Broken> {
        match self.awaits {
            Awaits::Head => {
                if self.interim == 0 {
                    self.first_byte = clock::coarse();
                }
                self.take_head(table, lines).map_err(|Malformed| malformed())?;
            }
            Awaits::Content if ends => {
                table.read(lines, |_, _| Ok(())).map_err(|Malformed| malformed())?;
            }
            Awaits::Content | Awaits::Nothing => return Err(malformed()),
        }
        if ends { self.end() } else { Ok(()) }
    }

    fn take_head(&mut self, table: &mut Table, lines: &[u8]) -> Result<(), Malformed> {
        let (mut status, mut bytes, mut is_behind) = (None, 0, false);
        let fields = &mut self.head.fields;
        fields.clear();
        table.read(lines, |name, value| {
            bytes += name.len() + value.len() + FIELD_BYTES;
            if bytes > HEAD_BYTES_MAX || fields.len() >= FIELDS_MAX.min(Fields::COUNT_MAX) {
                return Err(Malformed);
            }
            if name.first() == Some(&b':') {
                let is_first = name == b":status" && status.is_none() && !is_behind;
                status = is_first.then(|| status_of(value)).flatten();
                return status.map(|_| ()).ok_or(Malformed);
            }
            is_behind = true;
            if !is_name(name) || !is_value(value) {
                return Err(Malformed);
            }
            fields.push(name, value);
            Ok(())
        })?;
        let status = status.ok_or(Malformed)?;
        self.head.set_line(status, 0..0, 1);
        if status < 200 {
            self.interim += 1;
            return if status == 101 || self.interim > INTERIM_MAX { Err(Malformed) } else { Ok(()) };
        }
        self.awaits = Awaits::Content;
        if self.method != Method::Head && status != 204 && status != 304 {
            self.expected = length_of(&self.head.fields)?;
        }
        Ok(())
    }

    /// Takes content that came for it.
    pub(super) fn take_content(&mut self, piece: &[u8]) -> Result<(), Broken> {
        if self.awaits != Awaits::Content {
            return Err(malformed());
        }
        let room = self.body_max.saturating_sub(self.body.len()).min(piece.len());
        self.body.extend_from_slice(&piece[..room]);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    /// Nothing more comes for it.
    pub(super) fn end(&mut self) -> Result<(), Broken> {
        if self.awaits != Awaits::Content || self.expected.is_some_and(|expected| expected != self.bytes) {
            return Err(malformed());
        }
        self.awaits = Awaits::Nothing;
        Ok(())
    }
}

fn status_of(value: &[u8]) -> Option<u16> {
    let digits = value.iter().all(u8::is_ascii_digit) && value.len() == 3;
    let status = std::str::from_utf8(value).ok()?.parse::<u16>().ok()?;
    (digits && status >= 100).then_some(status)
}

/// Small letters and what else a token may have (RFC 9113 section 8.2.1); none that means a connection.
fn is_name(name: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(byte);
    !name.is_empty() && name.iter().all(|byte| is_token(byte) && !byte.is_ascii_uppercase())
}

fn is_value(value: &[u8]) -> bool {
    !value.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n'))
}

fn length_of(fields: &Fields) -> Result<Option<u64>, Malformed> {
    let mut lengths = fields.all(Name::ContentLength);
    let Some(first) = lengths.next() else { return Ok(None) };
    let digits = first.iter().all(u8::is_ascii_digit) && lengths.next().is_none();
    let length = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok());
    length.filter(|_| digits).map(Some).ok_or(Malformed)
}

/// The head of a request that is written as HTTP/1.1 has it, without what is the connection's; `None` when it cannot be said.
pub(super) fn lines_of(request: &[u8], https: bool, out: &mut Vec<u8>) -> Option<()> {
    let mut lines = request.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next()?.split(|&byte| byte == b' ');
    hpack::write(out, b":method", words.next()?);
    hpack::write(out, b":scheme", if https { b"https" } else { b"http" });
    hpack::write(out, b":path", words.next()?);
    let fields = lines.take_while(|line| !line.is_empty()).map(|line| {
        let colon = memchr::memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    });
    let is_host = |name: &[u8]| Name::from_bytes(name) == Name::Host;
    let host = fields.clone().flatten().find(|(name, _)| is_host(name));
    hpack::write(out, b":authority", host?.1);
    for field in fields {
        let (name, value) = field?;
        if !is_host(name) && !Name::from_bytes(name).is_hop_by_hop() {
            hpack::write(out, name, value);
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_lines_become_a_request_without_what_is_the_connections() {
        let lines = b"POST /a?b=c HTTP/1.1\r\nHost: a:8443\r\nCookie: a=b\r\nConnection: close\r\n\
                      Content-Length: 3\r\n\r\n";
        let mut head = Vec::new();
        lines_of(lines, true, &mut head).expect("a request");
        let mut said = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let each = |name: &[u8], value: &[u8]| {
            said.push(format!("{}={}", text(name), text(value)));
            Ok(())
        };
        Table::default().read(&head, each).expect("a head");
        assert_eq!(
            said,
            [
                ":method=POST",
                ":scheme=https",
                ":path=/a?b=c",
                ":authority=a:8443",
                "cookie=a=b",
                "content-length=3"
            ]
        );
        assert!(lines_of(b"GET / HTTP/1.1\r\n\r\n", false, &mut Vec::new()).is_none(), "no host");
    }

    /// The head that these fields are, taken as the answer to a GET.
    fn taken(fields: &[(&str, &str)], content: &[u8]) -> Result<u16, Broken> {
        let mut lines = Vec::new();
        fields.iter().for_each(|(name, value)| {
            // As it is, not in small letters.
            lines.extend([0x00, name.len() as u8]);
            lines.extend(name.bytes());
            lines.push(value.len() as u8);
            lines.extend(value.bytes());
        });
        let (mut head, mut body) = (ResponseHead::default(), Vec::new());
        let mut asking = Asking {
            stream: 1,
            lines: Vec::new(),
            content: &[],
            window: 0,
            taken: 0,
            method: Method::Get,
            head: &mut head,
            body: &mut body,
            body_max: 3,
            bytes: 0,
            first_byte: clock::coarse(),
            awaits: Awaits::Head,
            interim: 0,
            expected: None,
        };
        asking.take_lines(&mut Table::default(), &lines, false)?;
        asking.take_content(content)?;
        asking.end()?;
        assert!(body.len() <= 3);
        Ok(head.status)
    }

    #[test]
    fn a_response_is_read_in_one_way_only() {
        assert_eq!(taken(&[(":status", "200"), ("content-length", "5")], b"hello"), Ok(200));
        assert_eq!(taken(&[(":status", "404"), ("x", "")], b""), Ok(404));
        let long: Vec<(&str, &str)> =
            [(":status", "200")].into_iter().chain([("a", "b")].repeat(FIELDS_MAX + 1)).collect();
        for (fields, why) in [
            (&[("content-length", "5")][..], "no status"),
            (&[("content-length", "5"), (":status", "200")], "a status behind a field"),
            (&[(":status", "200"), (":status", "200")], "two"),
            (&[(":status", "20")], "no status"),
            (&[(":status", "+20")], "no status"),
            (&[(":path", "/")], "what a request has"),
            (&[(":status", "200"), ("content-length", "4")], "another length"),
            (&[(":status", "200"), ("content-length", "5"), ("content-length", "5")], "two lengths"),
            (&[(":status", "200"), ("Server", "x")], "a large letter"),
            (&[(":status", "200"), ("server", "a\r\nb")], "a line's end"),
            (&[(":status", "101")], "another protocol"),
            (&[(":status", "103")], "content of an interim response"),
            (&long[..], "too many fields"),
        ] {
            assert_eq!(taken(fields, b"hello"), Err(malformed()), "{why}");
        }
    }
}
