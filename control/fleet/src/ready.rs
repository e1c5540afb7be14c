//! Asks an instance that is starting whether it answers: `GET` until a status below 500. Any such status shows that the
//! program is there; whether it is *well* is another question, and health asks it with other limits.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one question may take: the first answer of a program is often its slowest.
const ASK_TIME: Duration = Duration::from_secs(10);
/// Bytes that say the status: `HTTP/1.1 200` and what ends it.
const STATUS_LINE: usize = 13;
/// Bytes of the rest that are read, so that the instance can send them before the connection is closed.
const READ_MAX: u64 = 64 << 10;
/// How long that may take: some keep the connection all the same.
const REST_TIME: Duration = Duration::from_millis(250);

/// Why it is not ready.
#[derive(Debug)]
pub(crate) enum NotReady {
    /// No answer in time.
    TimedOut,
    /// The connection could not be made, or broke.
    Io(io::Error),
    /// What came is no status line of HTTP/1.
    NotHttp,
    /// It says itself that it is not.
    Status(u16),
}

impl fmt::Display for NotReady {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => write!(f, "no answer within {} s", ASK_TIME.as_secs()),
            Self::Io(error) => write!(f, "{error}"),
            Self::NotHttp => write!(f, "what came is not HTTP/1"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}

/// Asks once, with these field lines: an instance may be locked to all but us.
pub(crate) async fn ask(address: SocketAddr, path: &str, own_lines: &str) -> Result<(), NotReady> {
    match timeout(ASK_TIME, status(address, path, own_lines)).await {
        Ok(Ok(status)) if status < 500 => Ok(()),
        Ok(Ok(status)) => Err(NotReady::Status(status)),
        Ok(Err(not_ready)) => Err(not_ready),
        Err(_) => Err(NotReady::TimedOut),
    }
}

async fn status(address: SocketAddr, path: &str, own_lines: &str) -> Result<u16, NotReady> {
    let mut stream = TcpStream::connect(address).await.map_err(NotReady::Io)?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: tentpole-fleet\r\nAccept: */*\r\n\
         {own_lines}Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.map_err(NotReady::Io)?;
    let mut answer = Vec::with_capacity(STATUS_LINE);
    while answer.len() < STATUS_LINE && !answer.contains(&b'\n') {
        if stream.read_buf(&mut answer).await.map_err(NotReady::Io)? == 0 {
            break;
        }
    }
    let status = parse(&answer).ok_or(NotReady::NotHttp)?;
    // Closing with unread bytes resets the connection, and the instance's log would blame us. Whatever comes of it,
    // the answer stands.
    let _ = timeout(REST_TIME, tokio::io::copy(&mut stream.take(READ_MAX), &mut tokio::io::sink())).await;
    Ok(status)
}

/// `HTTP/1.x NNN` (RFC 9112 section 4).
fn parse(answer: &[u8]) -> Option<u16> {
    let [b'0'..=b'9', b' ', digits @ .., b' ' | b'\r' | b'\n'] =
        answer.strip_prefix(b"HTTP/1.")?.first_chunk::<6>()?
    else {
        return None;
    };
    digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    async fn asked(answer: &'static [u8]) -> Result<(), NotReady> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let instance = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let length = stream.read(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
            String::from_utf8(request[..length].to_vec()).unwrap()
        });
        let ready = ask(address, "/up?x=1", "X-Edge-Key: 1\r\n").await;
        let request = instance.await.unwrap();
        assert!(request.starts_with(&format!("GET /up?x=1 HTTP/1.1\r\nHost: {address}\r\n")), "{request}");
        assert!(request.contains("\r\nX-Edge-Key: 1\r\n"), "{request}");
        ready
    }

    #[tokio::test]
    async fn whoever_answers_below_500_is_there() {
        for answer in [
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".as_slice(),
            b"HTTP/1.0 404 No\r\n\r\n",
            b"HTTP/1.1 302\r\n",
        ] {
            asked(answer).await.unwrap();
        }
        let error = asked(b"HTTP/1.1 503 Loading\r\n\r\n").await.unwrap_err();
        assert_eq!(error.to_string(), "status 503");
        for answer in [b"SSH-2.0\r\n".as_slice(), b"", b"HTTP/1.1 2000 \r\n"] {
            assert!(matches!(asked(answer).await, Err(NotReady::NotHttp)));
        }
    }

    #[tokio::test]
    async fn whoever_keeps_the_connection_has_answered_all_the_same() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let instance = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
            stream
        });
        ask(address, "/", "").await.unwrap();
        instance.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_there_says_so() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        assert!(matches!(ask(address, "/", "").await, Err(NotReady::Io(_))));
    }
}
