//! The head of a request, borrowed from the bytes that hold it. Says how its body is delimited and whether the
//! connection goes on. Never reads a body itself.

use super::{Malformed, decimal, field, head_len, is_token, lines};

/// How a body is delimited (RFC 9112 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// This many bytes; 0 when there is no body.
    Length(u64),
    /// The chunked coding.
    Chunked,
    /// Everything until the connection is closed; answers only.
    UntilClose,
}

/// One request head.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The whole head as received, its empty line included.
    pub raw: &'a [u8],
    /// The method, as received.
    pub method: &'a [u8],
    /// The request target, as received.
    pub target: &'a [u8],
    /// 1 for HTTP/1.1, 0 for HTTP/1.0.
    pub minor: u8,
    /// How the body is delimited.
    pub framing: Framing,
    /// May another request follow on this connection?
    pub keep_alive: bool,
    /// Does the client wait for `100 Continue`?
    pub expects_continue: bool,
}

impl<'a> Head<'a> {
    /// Parses the head at the start of `bytes`; `None` while it is incomplete.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let Some(len) = head_len(bytes)? else { return Ok(None) };
        let raw = &bytes[..len];
        let line_len = memchr::memchr(b'\n', raw).ok_or(Malformed::RequestLine)?;
        let (method, target, minor) = request_line(&raw[..line_len])?;
        let mut head = Self {
            raw,
            method,
            target,
            minor,
            framing: Framing::Length(0),
            keep_alive: minor == 1,
            expects_continue: false,
        };
        head.read_fields(&raw[line_len + 1..])?;
        Ok(Some(head))
    }

    /// The field lines in their order, as received.
    pub fn fields(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        lines(self.raw).skip(1).filter_map(|line| field(line.ok()?).ok())
    }

    /// The path: the target without its query.
    pub fn path(&self) -> &'a [u8] {
        self.target.split(|byte| *byte == b'?').next().unwrap_or_default()
    }

    fn read_fields(&mut self, section: &[u8]) -> Result<(), Malformed> {
        let mut length = None;
        let mut chunked = false;
        for line in lines(section) {
            let (name, value) = field(line?)?;
            if name.eq_ignore_ascii_case(b"content-length") {
                let value = decimal(value).ok_or(Malformed::ContentLength)?;
                if length.is_some_and(|length| length != value) {
                    return Err(Malformed::ContentLength);
                }
                length = Some(value);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
                if chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Malformed::TransferEncoding);
                }
                chunked = true;
            } else if name.eq_ignore_ascii_case(b"connection") {
                for option in value.split(|byte| *byte == b',') {
                    self.keep_alive &= !option.trim_ascii().eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.trim_ascii().eq_ignore_ascii_case(b"keep-alive");
                }
            } else if name.eq_ignore_ascii_case(b"expect") {
                self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
            }
        }
        self.framing = match (length, chunked) {
            (Some(_), true) => return Err(Malformed::TwoLengths),
            (Some(length), false) => Framing::Length(length),
            (None, true) => Framing::Chunked,
            (None, false) => Framing::Length(0),
        };
        Ok(())
    }
}

fn request_line(line: &[u8]) -> Result<(&[u8], &[u8], u8), Malformed> {
    let line = line.strip_suffix(b"\r").ok_or(Malformed::LineEnd)?;
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Malformed::RequestLine);
    };
    let minor = match version {
        b"HTTP/1.1" => 1,
        b"HTTP/1.0" => 0,
        _ => return Err(Malformed::RequestLine),
    };
    let control = target.iter().any(|byte| *byte < 0x20 || *byte == 0x7f);
    if method.is_empty() || !method.iter().copied().all(is_token) || target.is_empty() || control {
        return Err(Malformed::RequestLine);
    }
    Ok((method, target, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(bytes: &[u8]) -> Result<Option<(Framing, bool)>, Malformed> {
        Ok(Head::parse(bytes)?.map(|head| (head.framing, head.keep_alive)))
    }

    #[test]
    fn a_request_is_read_with_its_fields_in_order() {
        let bytes = b"GET /a?b=1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\nrest";
        let head = Head::parse(bytes).expect("well formed").expect("complete");
        assert_eq!((head.method, head.target, head.path()), (&b"GET"[..], &b"/a?b=1"[..], &b"/a"[..]));
        let fields: Vec<_> = head.fields().collect();
        assert_eq!(fields, [(&b"Host"[..], &b"x"[..]), (&b"Accept"[..], &b"*/*"[..])]);
        assert_eq!(head.raw.len(), bytes.len() - 4);
    }

    #[test]
    fn lengths_and_connections_are_understood() {
        assert_eq!(parsed(b"GET / HTTP/1.1\r\n"), Ok(None));
        assert_eq!(parsed(b"GET / HTTP/1.1\r\n\r\n"), Ok(Some((Framing::Length(0), true))));
        assert_eq!(parsed(b"GET / HTTP/1.0\r\n\r\n"), Ok(Some((Framing::Length(0), false))));
        let close = b"POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 3\r\n\r\n";
        assert_eq!(parsed(close), Ok(Some((Framing::Length(3), false))));
        let chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(parsed(chunked), Ok(Some((Framing::Chunked, true))));
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        let refused = [
            (&b"GET  / HTTP/1.1\r\n\r\n"[..], Malformed::RequestLine),
            (b"GET / HTTP/2.0\r\n\r\n", Malformed::RequestLine),
            (b"GET / HTTP/1.1\r\nA: 1\nB: 2\r\n\r\n", Malformed::LineEnd),
            (b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Malformed::ContentLength),
            (
                b"GET / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Malformed::TwoLengths,
            ),
            (b"GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Malformed::TransferEncoding),
        ];
        for (bytes, why) in refused {
            assert_eq!(parsed(bytes), Err(why), "{}", bytes.escape_ascii());
        }
    }
}
