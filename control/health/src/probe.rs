//! Asks an endpoint whether it is well: over HTTP/1.1 (HTTP/2 is `http2.rs`), or only for a connection. Reads a bounded part of the answer,
//! within a bounded time; keeps no connection.

use crate::http2;
use crate::secure;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_model::{HealthCheck, PROBE_BODY_MAX};
use tentpole_runtime::secure::Session;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes in which the status line must end.
const STATUS_LINE_MAX: usize = 1_024;
/// Bytes of an answer's head, where its content is looked at.
const HEAD_MAX: usize = 32 << 10;
/// Bytes of the rest that are read, so that the endpoint can send them, before the connection is closed.
const REST_MAX: usize = 64 << 10;
/// How long that may take.
const REST_TIME: Duration = Duration::from_millis(250);

/// Why a probe was bad.
#[derive(Debug)]
pub(crate) enum Bad {
    /// No connection in time.
    NoConnection(Duration),
    /// The connection was refused, or there is no way there.
    Connect(io::Error),
    /// No answer in time.
    TimedOut(Duration),
    /// The connection broke.
    Io(io::Error),
    /// The connection ended before the status line did.
    Closed,
    /// The first line is not a status line of HTTP/1, or what came is not HTTP/2 where that is wanted.
    NotHttp,
    /// A status that does not pass.
    Status(u16),
    /// The content does not hold this.
    Lacks(String),
}

impl Bad {
    /// Whether there was not even a connection.
    pub(crate) fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoConnection(_) | Self::Connect(_))
    }
}

impl std::fmt::Display for Bad {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoConnection(after) => write!(out, "no connection within {after:?}"),
            Self::Connect(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                out.write_str("connection refused")
            }
            Self::Connect(error) => write!(out, "cannot connect: {error}"),
            Self::TimedOut(after) => write!(out, "timed out after {after:?}"),
            Self::Io(error) => write!(out, "{error}"),
            Self::Closed => write!(out, "closed before it answered"),
            Self::NotHttp => write!(out, "the answer is not HTTP as the pool says"),
            Self::Status(status) => write!(out, "status {status}"),
            Self::Lacks(wanted) => write!(out, "body lacks {wanted:?}"),
        }
    }
}

/// Asks as the check says, with these field lines. The connection goes to the first address that takes it; `authority`
/// is the host that is asked for unless the check names one.
pub(crate) async fn ask(
    addresses: &[SocketAddr],
    session: Option<Box<dyn Session>>,
    http2: bool,
    check: &HealthCheck,
    authority: &str,
    own_lines: &str,
) -> Result<(), Bad> {
    let addresses: Vec<SocketAddr> = addresses.iter().map(|address| at_port(*address, check.port)).collect();
    if check.connect_only {
        return connect(&addresses, session, check.timeout).await;
    }
    let mut connected = false;
    let asked = timeout(check.timeout, async {
        let stream = TcpStream::connect(&addresses[..]).await.map_err(Bad::Connect)?;
        connected = true;
        let https = session.is_some();
        let stream = secure::over(stream, session).await.map_err(Bad::Io)?;
        if http2 {
            return http2::converse(stream, https, check, authority, own_lines).await.map(|()| None);
        }
        converse(stream, check, authority, own_lines).await.map(Some)
    });
    let answered = asked.await;
    let late = if connected { Bad::TimedOut } else { Bad::NoConnection };
    if let Some(stream) = answered.unwrap_or_else(|_| Err(late(check.timeout)))? {
        read_the_rest(stream).await;
    }
    Ok(())
}

/// Connects, shakes hands where there is a session, and closes.
pub(crate) async fn connect(
    addresses: &[SocketAddr],
    session: Option<Box<dyn Session>>,
    time: Duration,
) -> Result<(), Bad> {
    let mut connected = false;
    let stands = timeout(time, async {
        let stream = TcpStream::connect(addresses).await.map_err(Bad::Connect)?;
        connected = true;
        secure::over(stream, session).await.map_err(Bad::Io)
    });
    let stands = stands.await;
    let late = if connected { Bad::TimedOut } else { Bad::NoConnection };
    stands.unwrap_or_else(|_| Err(late(time))).map(drop)
}

pub(crate) fn at_port(address: SocketAddr, port: Option<u16>) -> SocketAddr {
    SocketAddr::new(address.ip(), port.unwrap_or(address.port()))
}

/// Asks over a connection; returns it once the answer is a good one.
pub(crate) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    check: &HealthCheck,
    authority: &str,
    own_lines: &str,
) -> Result<S, Bad> {
    let host = check.host.as_deref().unwrap_or(authority);
    let fields: String = check.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!(
        "{} {} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: tentpole-probe\r\nAccept: */*\r\n\
         {own_lines}{fields}Connection: close\r\n\r\n",
        check.method.as_str(),
        check.path
    );
    stream.write_all(request.as_bytes()).await.map_err(Bad::Io)?;
    let mut answer = Vec::with_capacity(STATUS_LINE_MAX);
    let status = read_status(&mut stream, &mut answer).await?;
    if !check.passes(status) {
        return Err(Bad::Status(status));
    }
    if let Some(wanted) = &check.body
        && !read_until_it_holds(&mut stream, &mut answer, wanted.as_bytes()).await?
    {
        return Err(Bad::Lacks(wanted.clone()));
    }
    Ok(stream)
}

async fn read_status(stream: &mut (impl AsyncRead + Unpin), answer: &mut Vec<u8>) -> Result<u16, Bad> {
    while !answer.contains(&b'\n') {
        if answer.len() >= STATUS_LINE_MAX {
            return Err(Bad::NotHttp);
        }
        if stream.read_buf(answer).await.map_err(Bad::Io)? == 0 {
            return Err(Bad::Closed);
        }
    }
    parse_status(answer).ok_or(Bad::NotHttp)
}

/// Reads on until the content holds `wanted`, or is over.
async fn read_until_it_holds(
    stream: &mut (impl AsyncRead + Unpin),
    answer: &mut Vec<u8>,
    wanted: &[u8],
) -> Result<bool, Bad> {
    loop {
        let (content, over) = content(answer);
        if holds(&content, wanted) {
            return Ok(true);
        }
        if over || content.len() >= PROBE_BODY_MAX || answer.len() >= HEAD_MAX + 2 * PROBE_BODY_MAX {
            return Ok(false);
        }
        match stream.read_buf(answer).await {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) => return Err(Bad::Io(error)),
        }
    }
}

/// What of the content has come, at most [`PROBE_BODY_MAX`] bytes, and whether that is all. A field that cannot be
/// understood counts as missing: then the end of the connection is the content's (RFC 9112 section 6.3).
fn content(answer: &[u8]) -> (Vec<u8>, bool) {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return (Vec::new(), answer.len() >= HEAD_MAX);
    };
    let (head, rest) = (String::from_utf8_lossy(&answer[..end]), &answer[end + 4..]);
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(':'));
        fields
            .filter(|(other, _)| other.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .next_back()
    };
    if field("transfer-encoding").is_some_and(|codings| codings.to_ascii_lowercase().ends_with("chunked")) {
        return without_chunks(rest);
    }
    let length = field("content-length").and_then(|digits| digits.parse::<usize>().ok());
    let kept = rest.len().min(length.unwrap_or(usize::MAX)).min(PROBE_BODY_MAX);
    (rest[..kept].to_vec(), length.is_some_and(|length| rest.len() >= length))
}

/// The content of the chunks that have come whole or in part (RFC 9112 section 7.1), and whether the last one has.
fn without_chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut content = Vec::new();
    while content.len() < PROBE_BODY_MAX {
        let Some(line) = rest.windows(2).position(|two| two == b"\r\n") else { return (content, false) };
        let digits = rest[..line].split(|&byte| byte == b';').next().unwrap_or_default();
        let size =
            std::str::from_utf8(digits).ok().and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
        let (Some(size @ 1..), data) = (size, &rest[line + 2..]) else { return (content, true) };
        content.extend_from_slice(&data[..size.min(data.len()).min(PROBE_BODY_MAX - content.len())]);
        let Some(next) = size.checked_add(2).and_then(|whole| data.get(whole..)) else {
            return (content, false);
        };
        rest = next;
    }
    (content, true)
}

/// Whether `wanted` is in the content; nothing is in all of them.
pub(crate) fn holds(content: &[u8], wanted: &[u8]) -> bool {
    wanted.is_empty() || content.windows(wanted.len()).any(|part| part == wanted)
}

/// `HTTP/1.x NNN`, then a space or the end of the line (RFC 9112 section 4).
fn parse_status(line: &[u8]) -> Option<u16> {
    let rest = line.strip_prefix(b"HTTP/1.")?;
    let [b'0'..=b'9', b' ', digits @ .., after] = rest.first_chunk::<6>()? else { return None };
    if !digits.iter().all(u8::is_ascii_digit) || !matches!(after, b' ' | b'\r' | b'\n') {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Closing with unread bytes resets the connection, and the endpoint's log would blame us for it.
pub(crate) async fn read_the_rest(stream: impl AsyncRead + Unpin) {
    let mut rest = stream.take(REST_MAX as u64);
    let mut sink = tokio::io::sink();
    // Whatever comes of it, the verdict stands.
    let _ = timeout(REST_TIME, tokio::io::copy(&mut rest, &mut sink)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::ProbeMethod;
    use tokio::net::TcpListener;

    #[test]
    fn only_a_status_line_of_http_1_has_a_status() {
        assert_eq!(parse_status(b"HTTP/1.1 200 OK\r\n"), Some(200));
        assert_eq!(parse_status(b"HTTP/1.0 503\r\n"), Some(503));
        for bad in
            [b"HTTP/2 200 OK\r\n".as_slice(), b"HTTP/1.1 20\r\n", b"HTTP/1.1 2000 \r\n", b"SSH-2.0\r\n", b""]
        {
            assert_eq!(parse_status(bad), None);
        }
    }

    fn check() -> HealthCheck {
        HealthCheck {
            path: "/up?deep=1".into(),
            fields: vec![("X-Probe".into(), "b".into())],
            timeout: Duration::from_secs(10),
            ..HealthCheck::default()
        }
    }

    async fn probe_of(check: HealthCheck, answer: &'static [u8]) -> (Result<(), Bad>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        });
        let result = ask(&[address], None, false, &check, "shop.example:80", "X-Key: a\r\n").await;
        (result, endpoint.await.unwrap())
    }

    #[tokio::test]
    async fn two_and_three_hundreds_are_good_and_everything_else_says_why_not() {
        let of = async |answer| probe_of(check(), answer).await.0;
        of(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        of(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n").await.unwrap();
        assert!(matches!(of(b"HTTP/1.1 500 Oh\r\n\r\n").await, Err(Bad::Status(500))));
        assert!(matches!(of(b"HTTP/1.1 200").await, Err(Bad::Closed)));
        assert!(matches!(of(b"hello\n").await, Err(Bad::NotHttp)));
        assert!(matches!(of(&[b'x'; 5_000]).await, Err(Bad::NotHttp)));
    }

    #[tokio::test]
    async fn a_question_is_asked_as_the_check_says() {
        let (_, request) = probe_of(check(), b"HTTP/1.1 200 OK\r\n\r\n").await;
        assert!(request.starts_with("GET /up?deep=1 HTTP/1.1\r\nHost: shop.example:80\r\n"), "{request}");
        assert!(request.contains("\r\nX-Key: a\r\nX-Probe: b\r\n") && request.ends_with("\r\n\r\n"));
        let head = HealthCheck {
            method: ProbeMethod::Head,
            host: Some("other.example".into()),
            statuses: vec![(401, 401)],
            ..check()
        };
        let (result, request) = probe_of(head, b"HTTP/1.1 401 Who\r\n\r\n").await;
        result.unwrap();
        assert!(request.starts_with("HEAD /up?deep=1 HTTP/1.1\r\nHost: other.example\r\n"), "{request}");
    }

    #[tokio::test]
    async fn content_must_hold_what_is_wanted_however_it_is_framed() {
        let wanted = || HealthCheck { body: Some("\"ok\"".into()), ..check() };
        for good in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"db\": \"ok\"}".as_slice(),
            b"HTTP/1.1 200 OK\r\n\r\n{\"db\": \"ok\"}",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\"o\r\n2;x=y\r\nk\"\r\n0\r\n\r\n",
        ] {
            probe_of(wanted(), good).await.0.unwrap();
        }
        for bad in [
            b"HTTP/1.1 200 OK\r\nX: \"ok\"\r\nContent-Length: 2\r\n\r\n{}\"ok\"".as_slice(),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n\r\n",
        ] {
            let bad = probe_of(wanted(), bad).await.0.unwrap_err();
            assert_eq!(bad.to_string(), r#"body lacks "\"ok\"""#);
        }
    }

    #[test]
    fn of_much_content_a_bounded_part_is_looked_at() {
        let long = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &vec![b'x'; 3 * PROBE_BODY_MAX]].concat();
        assert_eq!(content(&long).0.len(), PROBE_BODY_MAX);
        let chunk = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", usize::MAX);
        let long = [chunk.as_bytes(), &vec![b'x'; 3 * PROBE_BODY_MAX]].concat();
        assert_eq!(content(&long).0.len(), PROBE_BODY_MAX);
    }

    #[tokio::test]
    async fn another_port_is_asked_where_the_check_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
        let there = HealthCheck { connect_only: true, port: Some(port), ..check() };
        ask(&[nobody], None, false, &there, "x", "").await.unwrap();
    }

    #[tokio::test]
    async fn an_endpoint_that_says_nothing_is_bad_after_the_time_given() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let short = HealthCheck { timeout: Duration::from_millis(20), ..check() };
        let bad = ask(&[address], None, false, &short, "x", "").await.unwrap_err();
        assert_eq!((bad.to_string().as_str(), bad.is_unreachable()), ("timed out after 20ms", false));
        connect(&[address], None, Duration::from_secs(10)).await.unwrap();
        drop(listener);
        let bad = ask(&[address], None, false, &check(), "x", "").await.unwrap_err();
        assert_eq!((bad.to_string().as_str(), bad.is_unreachable()), ("connection refused", true));
        assert!(matches!(connect(&[address], None, Duration::from_secs(10)).await, Err(Bad::Connect(_))));
    }
}
