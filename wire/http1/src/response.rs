//! Response heads, and all the reasons why an endpoint's response is not one. Never guesses what an endpoint meant.

use crate::FIELDS_MAX;
use crate::head::{self, FieldRoom, Limits, Parsed};
use httparse::{Error, Response, Status};
use std::mem::MaybeUninit;
use tentpole_message::ResponseHead;
use tentpole_model::Cause;

/// Where the status ends in `HTTP/1.1 200`.
const STATUS_END: usize = 12;

/// What is wrong with an endpoint's response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Malformed {
    /// Not HTTP/1.0 or HTTP/1.1.
    Version,
    /// The status is not 100 to 999, or the reason holds a control byte.
    StatusLine,
    /// A field line is not one: bare CR or LF, a folded line, a space before the colon, a control byte.
    Head,
    /// The head has more bytes or fields than allowed.
    HeadTooLarge,
    /// Content-Length is repeated or no number, or stands where no content can be.
    ContentLength,
    /// Transfer-Encoding with Content-Length, or not exactly `chunked`, or in HTTP/1.0 or an interim response.
    TransferEncoding,
}

impl Malformed {
    /// One word for logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::StatusLine => "status_line",
            Self::Head => "head",
            Self::HeadTooLarge => "head_too_large",
            Self::ContentLength => "content_length",
            Self::TransferEncoding => "transfer_encoding",
        }
    }
}

impl From<Malformed> for Cause {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::HeadTooLarge => Self::TooLarge,
            _ => Self::Malformed,
        }
    }
}

/// Parses one response head at the start of `bytes`; nothing is skipped before it. The head is filled only when
/// all of it was understood. Interim responses (1xx) are heads like any other: whoever reads goes on to the next.
///
/// # Errors
/// What is wrong; the connection to the endpoint must then be closed.
pub fn parse_response(bytes: &[u8], limits: &Limits, head: &mut ResponseHead) -> Result<Parsed, Malformed> {
    let window = head::window(bytes, limits);
    if matches!(window.first(), Some(b'\r' | b'\n')) {
        // The parser would skip empty lines; from an endpoint they are remains of the previous response.
        return Err(Malformed::Version);
    }
    let mut room: FieldRoom<'_> = [const { MaybeUninit::uninit() }; FIELDS_MAX];
    let fields_max = limits.fields_max.min(FIELDS_MAX);
    let mut response = Response::new(&mut []);
    let status = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        window,
        &mut room[..fields_max],
    );
    if response.code.is_some_and(|code| code < 100) {
        return Err(Malformed::StatusLine);
    }
    let head_bytes = match status {
        Ok(Status::Complete(head_bytes)) => head_bytes,
        Ok(Status::Partial) if head::has_bare_lf(window) => return Err(Malformed::Head),
        Ok(Status::Partial) if window.len() == limits.head_bytes_max => return Err(Malformed::HeadTooLarge),
        Ok(Status::Partial) => return Ok(Parsed::Partial),
        // The line before the fields and the one that was too much.
        Err(Error::TooManyHeaders) if head::has_bare_lf_in_lines(window, fields_max + 2) => {
            return Err(Malformed::Head);
        }
        Err(error) => return Err(reason(error)),
    };
    let text = &window[..head_bytes];
    if head::has_bare_lf(text) {
        return Err(Malformed::Head);
    }
    head::load(&mut head.fields, text, response.headers);
    // The parser forgets reasons that are not ASCII, so they are found here: after a space, up to the line's end.
    let line_end = memchr::memchr(b'\r', text).unwrap_or(STATUS_END);
    let reason_start = (STATUS_END + 1).min(line_end);
    head.set_line(response.code.unwrap_or(0), reason_start..line_end, response.version.unwrap_or(1));
    Ok(Parsed::Complete { head_bytes })
}

fn reason(error: Error) -> Malformed {
    match error {
        Error::Version => Malformed::Version,
        Error::Status | Error::Token => Malformed::StatusLine,
        Error::TooManyHeaders => Malformed::HeadTooLarge,
        Error::HeaderName | Error::HeaderValue | Error::NewLine => Malformed::Head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_message::Name;

    fn parse(text: &[u8]) -> Result<(Parsed, ResponseHead), Malformed> {
        let mut head = ResponseHead::new();
        parse_response(text, &Limits::default(), &mut head).map(|parsed| (parsed, head))
    }

    #[test]
    fn a_response_is_taken_apart() {
        let text = b"HTTP/1.0 404 Not  here\r\nServer: s\r\n\r\nbody";
        let (parsed, head) = parse(text).unwrap();
        assert_eq!(parsed, Parsed::Complete { head_bytes: text.len() - 4 });
        assert_eq!((head.status, head.minor_version), (404, 0));
        assert_eq!(head.reason(), b"Not  here");
        assert_eq!(head.fields.get(Name::Server), Some(&b"s"[..]));
    }

    #[test]
    fn a_reason_may_be_missing_empty_or_in_another_alphabet() {
        let reason_of = |line: &[u8]| {
            let text = [b"HTTP/1.1 ", line, b"\r\n\r\n"].concat();
            parse(&text).map(|(_, head)| head.reason().to_vec())
        };
        assert_eq!(reason_of(b"200"), Ok(vec![]));
        assert_eq!(reason_of(b"200 "), Ok(vec![]));
        assert_eq!(reason_of("200 Schön".as_bytes()), Ok("Schön".as_bytes().to_vec()));
        assert_eq!(reason_of(b"200 a\x00b"), Err(Malformed::StatusLine));
    }

    #[test]
    fn status_lines_that_are_none_are_refused_early() {
        let cases: [(&[u8], Malformed); 14] = [
            (b"\r\n", Malformed::Version),
            (b"<html>", Malformed::Version),
            (b"HTTP/2", Malformed::Version),
            (b"HTTP/1.1 099 x", Malformed::StatusLine),
            (b"HTTP/1.1 20x", Malformed::StatusLine),
            (b"HTTP/1.1 2000", Malformed::StatusLine),
            (b"HTTP/1.1  200", Malformed::StatusLine),
            (b"HTTP/1.1\t200", Malformed::Version),
            (b"HTTP/1.1 200 OK\n", Malformed::Head),
            (b"HTTP/1.1 200 OK\rX", Malformed::StatusLine),
            (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Malformed::Head),
            (b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", Malformed::Head),
            (b"HTTP/1.1 200 OK\r\nA: b\n\r\n", Malformed::Head),
            (b"HTTP/1.1 200 OK\r\nA: \0\r\n\r\n", Malformed::Head),
        ];
        for (text, malformed) in cases {
            let text_shown = String::from_utf8_lossy(text);
            assert_eq!(parse(text).map(|(parsed, _)| parsed), Err(malformed), "{text_shown:?}");
        }
    }

    #[test]
    fn a_head_may_be_as_large_as_the_limits_and_no_larger() {
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n";
        let fitting = Limits { head_bytes_max: text.len(), fields_max: 2, ..Limits::default() };
        let parse = |limits: Limits| parse_response(text, &limits, &mut ResponseHead::new());
        assert_eq!(parse(fitting), Ok(Parsed::Complete { head_bytes: text.len() }));
        assert_eq!(parse(Limits { head_bytes_max: text.len() - 1, ..fitting }), Err(Malformed::HeadTooLarge));
        assert_eq!(parse(Limits { fields_max: 1, ..fitting }), Err(Malformed::HeadTooLarge));
    }
}
