//! An answer as a visitor gets it, and its head's strict parser. Refuses what RFC 9112 forbids a server to send,
//! and what two readers could understand differently.

use crate::http::request::Framing;
use crate::http::{Malformed, decimal, field, head_len, lines};

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub minor: u8,
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The fields in their order, names as received.
    pub headers: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// The fields after a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The interim answers (1xx) that came before.
    pub interim: Vec<Answer>,
    /// Has the other side closed the connection after it? (Seen, not only announced.)
    pub closed: bool,
}

impl Answer {
    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The values of all fields of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |other: &str| other.eq_ignore_ascii_case(name);
        self.headers.iter().filter(move |(other, _)| same(other)).map(|(_, value)| value.as_str())
    }

    /// The body as text, with replacement characters where it is none.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Did a cache on the way answer it? From the last member of `Cache-Status` (RFC 9211): the cache nearest to the
    /// visitor.
    pub fn is_hit(&self) -> bool {
        self.cache_parameters().any(|parameter| parameter == "hit")
    }

    /// Why the nearest cache forwarded the request (RFC 9211's `fwd`: `miss`, `stale`, `bypass`, …).
    pub fn forwarded_for(&self) -> Option<&str> {
        self.cache_parameters().find_map(|parameter| parameter.strip_prefix("fwd="))
    }

    /// Fails the test unless the status is this.
    ///
    /// # Panics
    /// With the whole answer, when the status is another one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}\nbody: {}", self.text());
        self
    }

    fn cache_parameters(&self) -> impl Iterator<Item = &str> {
        let last = self.all("cache-status").last().unwrap_or_default();
        let member = last.rsplit(',').next().unwrap_or_default();
        member.split(';').skip(1).map(str::trim)
    }
}

/// A parsed head: the answer without its body, how that is delimited, and whether the server will close after it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) answer: Answer,
    pub(super) framing: Framing,
    pub(super) will_close: bool,
    pub(super) len: usize,
}

impl Head {
    /// Parses the head at the start of `bytes` of an answer to `method`; `None` while it is incomplete.
    pub(super) fn parse(bytes: &[u8], method: &str) -> Result<Option<Self>, Malformed> {
        let Some(len) = head_len(bytes)? else { return Ok(None) };
        let line_end = memchr::memchr(b'\n', bytes).ok_or(Malformed::StatusLine)?;
        let line = bytes[..line_end].strip_suffix(b"\r").ok_or(Malformed::LineEnd)?;
        let mut answer = status_line(line)?;
        for line in lines(&bytes[line_end + 1..len]) {
            let (name, value) = field(line?)?;
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            answer.headers.push((text(name), text(value)));
        }
        let framing = framing(&answer, method)?;
        let options = || answer.all("connection").flat_map(|value| value.split(',')).map(str::trim);
        let keeps = options().any(|option| option.eq_ignore_ascii_case("keep-alive"));
        let closes = options().any(|option| option.eq_ignore_ascii_case("close"));
        let will_close = framing == Framing::UntilClose || closes || (answer.minor == 0 && !keeps);
        Ok(Some(Self { answer, framing, will_close, len }))
    }

    /// Is another answer to the same request to follow?
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.answer.status) && self.answer.status != 101
    }
}

fn status_line(line: &[u8]) -> Result<Answer, Malformed> {
    let minor = match line.get(..9) {
        Some(b"HTTP/1.1 ") => 1,
        Some(b"HTTP/1.0 ") => 0,
        _ => return Err(Malformed::StatusLine),
    };
    let (code, reason) = line[9..].split_at_checked(3).ok_or(Malformed::StatusLine)?;
    let status = decimal(code).and_then(|code| u16::try_from(code).ok()).ok_or(Malformed::StatusLine)?;
    let reason = reason.strip_prefix(b" ").ok_or(Malformed::StatusLine)?;
    let control = reason.iter().any(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7f);
    if status < 100 || control {
        return Err(Malformed::StatusLine);
    }
    let reason = String::from_utf8_lossy(reason).into_owned();
    Ok(Answer { minor, status, reason, ..Answer::default() })
}

/// RFC 9112 section 6.3, without its leniencies.
fn framing(answer: &Answer, method: &str) -> Result<Framing, Malformed> {
    let mut lengths = answer.all("content-length");
    let length = match (lengths.next(), lengths.next()) {
        (None, _) => None,
        (Some(value), None) => Some(decimal(value.as_bytes()).ok_or(Malformed::ContentLength)?),
        (Some(_), Some(_)) => return Err(Malformed::ContentLength),
    };
    let codings: Vec<_> = answer.all("transfer-encoding").collect();
    let chunked = match codings.as_slice() {
        [] => false,
        [one] if one.eq_ignore_ascii_case("chunked") => true,
        _ => return Err(Malformed::TransferEncoding),
    };
    let promises = length.is_some() || chunked;
    match (length, chunked) {
        (Some(_), true) => Err(Malformed::TwoLengths),
        _ if promises && (answer.status < 200 || answer.status == 204) => Err(Malformed::UnexpectedBody),
        _ if method == "HEAD" || answer.status < 200 || matches!(answer.status, 204 | 304) => {
            Ok(Framing::Length(0))
        }
        (Some(length), false) => Ok(Framing::Length(length)),
        (None, true) => Ok(Framing::Chunked),
        (None, false) => Ok(Framing::UntilClose),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8], method: &str) -> Result<(Framing, bool), Malformed> {
        Head::parse(bytes, method)
            .map(|head| head.map(|head| (head.framing, head.will_close)).expect("complete"))
    }

    #[test]
    fn how_a_body_ends_follows_the_rfc() {
        let length = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(parsed(length, "GET"), Ok((Framing::Length(3), false)));
        assert_eq!(parsed(length, "HEAD"), Ok((Framing::Length(0), false)));
        assert_eq!(
            parsed(b"HTTP/1.1 304 \r\nContent-Length: 3\r\n\r\n", "GET"),
            Ok((Framing::Length(0), false))
        );
        assert_eq!(parsed(b"HTTP/1.1 200 OK\r\n\r\n", "GET"), Ok((Framing::UntilClose, true)));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
        assert_eq!(parsed(chunked, "GET"), Ok((Framing::Chunked, true)));
        assert_eq!(
            parsed(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "GET"),
            Ok((Framing::Length(0), true))
        );
    }

    #[test]
    fn what_no_server_may_send_is_refused() {
        let refused = [
            (&b"HTTP/1.1 200\r\n\r\n"[..], Malformed::StatusLine),
            (b"HTTP/1.1 2x0 OK\r\n\r\n", Malformed::StatusLine),
            (b"HTTP/2 200 OK\r\n\r\n", Malformed::StatusLine),
            (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Malformed::FieldLine),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Malformed::FieldLine),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Malformed::ContentLength),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Malformed::TwoLengths,
            ),
            (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", Malformed::UnexpectedBody),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", Malformed::TransferEncoding),
        ];
        for (bytes, why) in refused {
            assert_eq!(parsed(bytes, "GET"), Err(why), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn the_nearest_cache_speaks_last() {
        let with = |value: &str| Answer {
            headers: vec![("Cache-Status".to_owned(), value.to_owned())],
            ..Answer::default()
        };
        assert!(with("far; fwd=miss, tentpole; hit; ttl=3").is_hit());
        let missed = with("far; hit, tentpole; fwd=stale; stored");
        assert!(!missed.is_hit());
        assert_eq!(missed.forwarded_for(), Some("stale"));
        assert!(!with("hit").is_hit());
    }
}
