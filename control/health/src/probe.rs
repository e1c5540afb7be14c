//! Asks an endpoint whether it is there: `GET` over HTTP/1.1, or only a connection. Reads a bounded part of the
//! answer, within a bounded time; keeps no connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Bytes in which the status line must end.
const STATUS_LINE_MAX: usize = 1_024;
/// Bytes of the rest that are read, so that the endpoint can send them, before the connection is closed.
const REST_MAX: usize = 64 << 10;
/// How long that may take.
const REST_TIME: Duration = Duration::from_millis(250);

/// Why a probe was bad.
#[derive(Debug)]
pub(crate) enum Bad {
    /// No answer in time.
    TimedOut(Duration),
    /// The connection could not be made, or broke.
    Io(io::Error),
    /// The connection ended before the status line did.
    Closed,
    /// The first line is not a status line of HTTP/1.
    NotHttp,
    /// A status other than 2xx and 3xx.
    Status(u16),
}

impl std::fmt::Display for Bad {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TimedOut(after) => write!(out, "no answer within {after:?}"),
            Self::Io(error) => write!(out, "{error}"),
            Self::Closed => write!(out, "closed before it answered"),
            Self::NotHttp => write!(out, "the answer is not HTTP/1"),
            Self::Status(status) => write!(out, "status {status}"),
        }
    }
}

/// Asks for `path`, with these field lines, and expects a status of 200 to 399. The connection goes to the first address that takes it.
pub(crate) async fn get(
    addresses: &[SocketAddr],
    authority: &str,
    path: &str,
    own_lines: &str,
    time: Duration,
) -> Result<(), Bad> {
    let asked = timeout(time, async {
        let mut stream = TcpStream::connect(addresses).await.map_err(Bad::Io)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: tentpole-probe\r\nAccept: */*\r\n\
             {own_lines}Connection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.map_err(Bad::Io)?;
        let status = read_status(&mut stream).await?;
        Ok((stream, status))
    });
    let (stream, status) = asked.await.unwrap_or(Err(Bad::TimedOut(time)))?;
    read_the_rest(stream).await;
    if (200..400).contains(&status) { Ok(()) } else { Err(Bad::Status(status)) }
}

/// Connects and closes.
pub(crate) async fn connect(addresses: &[SocketAddr], time: Duration) -> Result<(), Bad> {
    match timeout(time, TcpStream::connect(addresses)).await {
        Ok(Ok(_stream)) => Ok(()),
        Ok(Err(error)) => Err(Bad::Io(error)),
        Err(_) => Err(Bad::TimedOut(time)),
    }
}

async fn read_status(stream: &mut TcpStream) -> Result<u16, Bad> {
    let mut line = [0; STATUS_LINE_MAX];
    let mut length = 0;
    while !line[..length].contains(&b'\n') {
        if length == STATUS_LINE_MAX {
            return Err(Bad::NotHttp);
        }
        match stream.read(&mut line[length..]).await {
            Ok(0) => return Err(Bad::Closed),
            Ok(more) => length += more,
            Err(error) => return Err(Bad::Io(error)),
        }
    }
    parse_status(&line[..length]).ok_or(Bad::NotHttp)
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
async fn read_the_rest(stream: TcpStream) {
    let mut rest = stream.take(REST_MAX as u64);
    let mut sink = tokio::io::sink();
    // Whatever comes of it, the verdict stands.
    let _ = timeout(REST_TIME, tokio::io::copy(&mut rest, &mut sink)).await;
}

#[cfg(test)]
mod tests {
    use super::*;
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

    async fn probe_of(answer: &'static [u8]) -> Result<(), Bad> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let endpoint = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        });
        let result =
            get(&[address], "shop.example:80", "/up?deep=1", "X-Key: a\r\n", Duration::from_secs(10)).await;
        let request = endpoint.await.unwrap();
        assert!(request.starts_with("GET /up?deep=1 HTTP/1.1\r\nHost: shop.example:80\r\n"), "{request}");
        assert!(request.contains("\r\nX-Key: a\r\n") && request.ends_with("\r\n\r\n"));
        result
    }

    #[tokio::test]
    async fn two_and_three_hundreds_are_good_and_everything_else_says_why_not() {
        probe_of(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        probe_of(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n").await.unwrap();
        assert!(matches!(probe_of(b"HTTP/1.1 500 Oh\r\n\r\n").await, Err(Bad::Status(500))));
        assert!(matches!(probe_of(b"HTTP/1.1 200").await, Err(Bad::Closed)));
        assert!(matches!(probe_of(b"hello\n").await, Err(Bad::NotHttp)));
        assert!(matches!(probe_of(&[b'x'; 5_000]).await, Err(Bad::NotHttp)));
    }

    #[tokio::test]
    async fn an_endpoint_that_says_nothing_is_bad_after_the_time_given() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let time = Duration::from_millis(20);
        assert!(matches!(get(&[address], "x", "/", "", time).await, Err(Bad::TimedOut(_))));
        connect(&[address], Duration::from_secs(10)).await.unwrap();
        drop(listener);
        assert!(matches!(connect(&[address], Duration::from_secs(10)).await, Err(Bad::Io(_))));
    }
}
