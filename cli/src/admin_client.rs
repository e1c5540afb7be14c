//! Asks the admin API of a running Tentpole: one request a connection over HTTP/1.1, everything bounded. Speaks as
//! much HTTP as that API answers with; not a client for anything else.

use serde_json::Value;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Time to connect: the API is on this machine.
const CONNECT_TIME: Duration = Duration::from_secs(2);
/// Time for one read or write; a purge waits until every data thread has taken it.
const IO_TIME: Duration = Duration::from_secs(30);
/// Bytes of status line and header together.
const HEAD_BYTES_MAX: u64 = 16 << 10;
/// Bytes of an answer; a status with thousands of endpoints fits.
const BODY_BYTES_MAX: u64 = 16 << 20;

/// Why there is no good answer.
#[derive(Debug)]
pub enum AdminError {
    /// The address is not one.
    Address { typed: String },
    /// Nobody listens there.
    Nobody { address: SocketAddr },
    /// The connection broke or stood still.
    Io { address: SocketAddr, source: io::Error },
    /// Something else than the admin API answers there.
    NotTheApi { address: SocketAddr, what: &'static str },
    /// The API says no.
    Refused { error: String, cure: Option<String>, report: Option<String> },
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { typed } => {
                write!(f, "--admin is {typed:?}; it takes an IP address and a port, like 127.0.0.1:9900")
            }
            Self::Nobody { address } => write!(
                f,
                "nobody listens at {address}. Is tentpole up? If its admin API is elsewhere, say where: --admin ADDR"
            ),
            Self::Io { address, source } if is_timeout(source) => {
                write!(f, "the admin API at {address} did not answer in time")
            }
            Self::Io { address, source } => write!(f, "the connection to {address} broke: {source}"),
            Self::NotTheApi { address, what } => write!(
                f,
                "what answers at {address} is not Tentpole's admin API ({what}). Say where it is: --admin ADDR"
            ),
            Self::Refused { error, cure: Some(cure), .. } => write!(f, "{error}. {cure}"),
            Self::Refused { error, cure: None, .. } => f.write_str(error),
        }
    }
}

/// Reads `--admin`.
pub fn address(typed: &str) -> Result<SocketAddr, AdminError> {
    let numeric = match typed.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => typed.to_owned(),
    };
    numeric.parse().map_err(|_| AdminError::Address { typed: typed.to_owned() })
}

/// GET `path`: the answer's JSON as it came.
pub fn get(address: SocketAddr, path: &str) -> Result<String, AdminError> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    ask(address, &request, IO_TIME)
}

/// POST `body` to `path`: the answer's JSON.
pub fn post(address: SocketAddr, path: &str, body: &Value) -> Result<String, AdminError> {
    post_within(address, path, body, IO_TIME)
}

/// The same for what may take longer.
pub fn post_within(
    address: SocketAddr,
    path: &str,
    body: &Value,
    time: Duration,
) -> Result<String, AdminError> {
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    ask(address, &(head + &body), time)
}

fn ask(address: SocketAddr, request: &str, time: Duration) -> Result<String, AdminError> {
    let io = |source| AdminError::Io { address, source };
    let not_api = |what| AdminError::NotTheApi { address, what };
    let stream = TcpStream::connect_timeout(&address, CONNECT_TIME).map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => AdminError::Nobody { address },
        _ => io(error),
    })?;
    stream.set_read_timeout(Some(time)).map_err(io)?;
    stream.set_write_timeout(Some(IO_TIME)).map_err(io)?;
    (&stream).write_all(request.as_bytes()).map_err(io)?;

    let mut reader = BufReader::new(&stream);
    let head = read_head(&mut reader).map_err(io)?.ok_or(not_api("its answer is not HTTP"))?;
    let body = match head.length {
        Length::Bytes(bytes) if bytes > BODY_BYTES_MAX => return Err(not_api("its answer is too long")),
        Length::Bytes(bytes) => read_exactly(&mut reader, bytes),
        Length::Chunked => read_chunks(&mut reader),
        Length::ToTheEnd => read_to_end(&mut reader),
    };
    let body = body.map_err(io)?.ok_or(not_api("its answer is cut off or too long"))?;
    let body = String::from_utf8(body).map_err(|_| not_api("its answer is not text"))?;
    if (200..300).contains(&head.status) { Ok(body) } else { Err(refusal(address, &body)) }
}

/// `{"error": …, "cure": …}`, or else it is not the API.
fn refusal(address: SocketAddr, body: &str) -> AdminError {
    let answer: Value = serde_json::from_str(body).unwrap_or(Value::Null);
    match answer["error"].as_str() {
        Some(error) => {
            let text = |field: &str| answer[field].as_str().map(str::to_owned);
            AdminError::Refused { error: error.to_owned(), cure: text("cure"), report: text("report") }
        }
        None => AdminError::NotTheApi { address, what: "it answers with an error of another kind" },
    }
}

struct Head {
    status: u16,
    length: Length,
}

/// How an answer's end is found (RFC 9112 section 6.3).
enum Length {
    Bytes(u64),
    Chunked,
    ToTheEnd,
}

/// `Ok(None)` when it is not HTTP/1 or longer than a head may be.
fn read_head(reader: &mut impl BufRead) -> io::Result<Option<Head>> {
    let mut reader = reader.take(HEAD_BYTES_MAX);
    let Some(status) = read_line(&mut reader)?.and_then(|line| status(&line)) else { return Ok(None) };
    let mut length = Length::ToTheEnd;
    loop {
        let Some(line) = read_line(&mut reader)? else { return Ok(None) };
        if line.is_empty() {
            return Ok(Some(Head { status, length }));
        }
        let Some((name, value)) = line.split_once(':') else { return Ok(None) };
        if name.eq_ignore_ascii_case("transfer-encoding") {
            length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("content-length") && !matches!(length, Length::Chunked) {
            let Ok(bytes) = value.trim().parse() else { return Ok(None) };
            length = Length::Bytes(bytes);
        }
    }
}

fn status(line: &str) -> Option<u16> {
    line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
}

/// One line without its end; `None` when there is no whole one.
fn read_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.take(HEAD_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Ok(None);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8(line).ok())
}

fn read_exactly(reader: &mut impl Read, bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    reader.take(bytes).read_to_end(&mut body)?;
    Ok((body.len() as u64 == bytes).then_some(body))
}

fn read_to_end(reader: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    reader.take(BODY_BYTES_MAX + 1).read_to_end(&mut body)?;
    Ok((body.len() as u64 <= BODY_BYTES_MAX).then_some(body))
}

fn read_chunks(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(line) = read_line(reader)? else { return Ok(None) };
        let size = line.split(';').next().unwrap_or_default().trim();
        let Ok(size) = u64::from_str_radix(size, 16) else { return Ok(None) };
        if size == 0 {
            return Ok(Some(body));
        }
        if size > BODY_BYTES_MAX - body.len() as u64 {
            return Ok(None);
        }
        let Some(chunk) = read_exactly(reader, size)? else { return Ok(None) };
        body.extend(chunk);
        if read_line(reader)?.is_none_or(|rest| !rest.is_empty()) {
            return Ok(None);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}
