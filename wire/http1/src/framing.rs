//! How long a message's content is (RFC 9112 section 6). One way to say it, or a refusal: whatever two parties could
//! read differently is how requests are smuggled. Does not read content (`body`).

use crate::Malformed;
use tentpole_message::{Fields, Name, RequestHead, ResponseHead};
use tentpole_model::{Method, Refused};

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes; at most 2⁶³ − 1, which every other party can count too.
    Length(u64),
    /// Chunks, and perhaps trailers.
    Chunked,
    /// All that comes until the connection closes.
    UntilClose,
}

/// Why framing is not clear.
enum Unclear {
    ContentLength,
    TransferEncoding,
}

/// How the request's body is framed; never [`Framing::UntilClose`].
///
/// # Errors
/// [`Refused::ContentLength`] or [`Refused::TransferEncoding`]; the connection must then be closed.
pub fn request_framing(head: &RequestHead) -> Result<Framing, Refused> {
    match stated(&head.fields, head.minor_version) {
        Ok(framing) => Ok(framing.unwrap_or(Framing::None)),
        Err(Unclear::ContentLength) => Err(Refused::ContentLength),
        Err(Unclear::TransferEncoding) => Err(Refused::TransferEncoding),
    }
}

/// How the response's body is framed, given what was asked. What the head states must be clear even where no
/// content can follow (HEAD, 1xx, 204, 304), and 1xx may state none.
///
/// # Errors
/// [`Malformed::ContentLength`] or [`Malformed::TransferEncoding`]; the connection must then be closed.
pub fn response_framing(head: &ResponseHead, request_method: Method) -> Result<Framing, Malformed> {
    let stated = stated(&head.fields, head.minor_version).map_err(|unclear| match unclear {
        Unclear::ContentLength => Malformed::ContentLength,
        Unclear::TransferEncoding => Malformed::TransferEncoding,
    })?;
    match (head.status, stated) {
        (100..=199, Some(Framing::Chunked)) => Err(Malformed::TransferEncoding),
        (100..=199, Some(Framing::Length(1..))) => Err(Malformed::ContentLength),
        (100..=199 | 204 | 304, _) => Ok(Framing::None),
        _ if request_method == Method::Head => Ok(Framing::None),
        (200..=299, _) if request_method == Method::Connect => Ok(Framing::None),
        _ => Ok(stated.unwrap_or(Framing::UntilClose)),
    }
}

/// Whether the fields announce content, were it allowed.
pub(crate) fn says_content(fields: &Fields) -> bool {
    fields.has(Name::TransferEncoding)
        || fields.get(Name::ContentLength).is_some_and(|value| length(value) != Some(0))
}

/// What the fields say; `None` when nothing.
fn stated(fields: &Fields, minor_version: u8) -> Result<Option<Framing>, Unclear> {
    if fields.has(Name::TransferEncoding) {
        let mut codings = fields.all(Name::TransferEncoding);
        let is_chunked = codings.next().is_some_and(|value| value.eq_ignore_ascii_case(b"chunked"));
        let is_clear =
            is_chunked && codings.next().is_none() && minor_version == 1 && !fields.has(Name::ContentLength);
        return if is_clear { Ok(Some(Framing::Chunked)) } else { Err(Unclear::TransferEncoding) };
    }
    let mut lengths = fields.all(Name::ContentLength);
    match (lengths.next(), lengths.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match length(value) {
            Some(length) => Ok(Some(Framing::Length(length))),
            None => Err(Unclear::ContentLength),
        },
        (Some(_), Some(_)) => Err(Unclear::ContentLength),
    }
}

/// Digits only; no sign, no list, no space, no overflow.
fn length(value: &[u8]) -> Option<u64> {
    // 19 digits cannot overflow 64 bits.
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let length = value.iter().fold(0, |sum: u64, digit| sum * 10 + u64::from(digit - b'0'));
    (length <= i64::MAX as u64).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        lines.iter().for_each(|(name, value)| fields.push(name.as_bytes(), value.as_bytes()));
        fields
    }

    fn request(minor_version: u8, lines: &[(&str, &str)]) -> Result<Framing, Refused> {
        let mut head = RequestHead::new();
        head.fields = fields(lines);
        head.minor_version = minor_version;
        request_framing(&head)
    }

    fn response(status: u16, method: Method, lines: &[(&str, &str)]) -> Result<Framing, Malformed> {
        let mut head = ResponseHead::new();
        head.fields = fields(lines);
        head.status = status;
        response_framing(&head, method)
    }

    #[test]
    fn requests_say_their_length_in_one_way() {
        let (length, coding) = ("content-length", "transfer-encoding");
        assert_eq!(request(1, &[]), Ok(Framing::None));
        assert_eq!(request(1, &[(length, "0")]), Ok(Framing::Length(0)));
        assert_eq!(request(0, &[(length, "007")]), Ok(Framing::Length(7)));
        assert_eq!(request(1, &[(length, "9223372036854775807")]), Ok(Framing::Length(i64::MAX as u64)));
        assert_eq!(request(1, &[(coding, "Chunked")]), Ok(Framing::Chunked));
        for value in
            ["", "+5", "-5", "0x5", "5,5", "5 5", "5.0", "9223372036854775808", "99999999999999999999"]
        {
            assert_eq!(request(1, &[(length, value)]), Err(Refused::ContentLength), "{value}");
        }
        assert_eq!(request(1, &[(length, "5"), (length, "5")]), Err(Refused::ContentLength));
        for value in ["", "xchunked", "identity", "gzip", "chunked, identity", "gzip, chunked", "chunked;q=1"]
        {
            assert_eq!(request(1, &[(coding, value)]), Err(Refused::TransferEncoding), "{value}");
        }
        assert_eq!(request(0, &[(coding, "chunked")]), Err(Refused::TransferEncoding));
        assert_eq!(request(1, &[(coding, "chunked"), (coding, "chunked")]), Err(Refused::TransferEncoding));
        assert_eq!(request(1, &[(coding, "chunked"), (length, "5")]), Err(Refused::TransferEncoding));
    }

    #[test]
    fn responses_without_content_have_no_framing_whatever_they_state() {
        let length = [("content-length", "5")];
        assert_eq!(response(200, Method::Get, &length), Ok(Framing::Length(5)));
        assert_eq!(response(200, Method::Get, &[]), Ok(Framing::UntilClose));
        assert_eq!(response(200, Method::Head, &length), Ok(Framing::None));
        assert_eq!(response(304, Method::Get, &length), Ok(Framing::None));
        assert_eq!(response(204, Method::Get, &length), Ok(Framing::None));
        assert_eq!(response(101, Method::Get, &[]), Ok(Framing::None));
        assert_eq!(response(200, Method::Connect, &length), Ok(Framing::None));
        assert_eq!(response(500, Method::Connect, &length), Ok(Framing::Length(5)));
    }

    #[test]
    fn responses_that_contradict_themselves_are_malformed() {
        let both = [("content-length", "5"), ("transfer-encoding", "chunked")];
        assert_eq!(response(200, Method::Get, &both), Err(Malformed::TransferEncoding));
        assert_eq!(response(304, Method::Head, &both), Err(Malformed::TransferEncoding));
        assert_eq!(response(103, Method::Get, &both[..1]), Err(Malformed::ContentLength));
        assert_eq!(response(103, Method::Get, &both[1..]), Err(Malformed::TransferEncoding));
        assert_eq!(response(103, Method::Get, &[("content-length", "0")]), Ok(Framing::None));
    }
}
