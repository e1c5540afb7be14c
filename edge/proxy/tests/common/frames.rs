//! A client of HTTP/2 for tests: one that behaves (the `h2` crate's), and one that sends whatever frames it is told to.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No test waits longer for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A whole response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub fields: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }
}

/// Runs `talk` with a connection to the edge.
pub fn connected<T, F: Future<Output = T>>(
    address: SocketAddr,
    talk: impl FnOnce(SendRequest<Bytes>) -> F,
) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        // Its end is what a test sees in its requests.
        tokio::spawn(async move { drop(connection.await) });
        tokio::time::timeout(PATIENCE, talk(client)).await.expect("the test to end in time")
    })
}

/// A request for a path of the shop.
pub fn get(path: &str) -> Request<()> {
    Request::builder().uri(format!("http://shop.example{path}")).body(()).unwrap()
}

/// Sends a request without a body and reads all of the response.
pub async fn ask(client: &mut SendRequest<Bytes>, request: Request<()>) -> Result<Answer, h2::Error> {
    let mut ready = client.clone().ready().await?;
    let (response, _) = ready.send_request(request, true)?;
    read(response).await
}

/// Sends a request with a body in these pieces, and trailers.
pub async fn send(
    client: &mut SendRequest<Bytes>,
    request: Request<()>,
    pieces: &[&[u8]],
    trailers: Option<HeaderMap>,
) -> Result<Answer, h2::Error> {
    let mut ready = client.clone().ready().await?;
    let (response, mut sending) = ready.send_request(request, false)?;
    for (number, piece) in pieces.iter().enumerate() {
        let is_end = trailers.is_none() && number + 1 == pieces.len();
        sending.send_data(Bytes::copy_from_slice(piece), is_end)?;
    }
    if let Some(trailers) = trailers {
        sending.send_trailers(trailers)?;
    }
    read(response).await
}

pub async fn read(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let (parts, mut incoming) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        incoming.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    let trailers = incoming.trailers().await?;
    Ok(Answer { status: parts.status.as_u16(), fields: parts.headers, body, trailers })
}

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// What the edge sent.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

/// A client that sends the frames it is told to.
pub struct Raw<S = TcpStream> {
    stream: S,
}

impl Raw {
    /// Has sent the preface and empty settings.
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::over(stream)
    }

    /// The same connection, to be read by another thread.
    pub fn other(&self) -> Self {
        Self { stream: self.stream.try_clone().unwrap() }
    }
}

impl<S: Read + Write> Raw<S> {
    /// The same over another stream.
    pub fn over(stream: S) -> Self {
        let mut raw = Self { stream };
        raw.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        raw.send(&frame(SETTINGS, 0, 0, b""));
        raw
    }

    /// Sends; false when the edge has closed.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).is_ok()
    }

    /// The next frame, `None` when the edge has closed.
    pub fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The first frame of this kind on this stream, as far as the edge sends one before it closes.
    pub fn first(&mut self, kind: u8, stream: u32) -> Option<Frame> {
        std::iter::from_fn(|| self.next()).find(|frame| frame.kind == kind && frame.stream == stream)
    }

    /// The error code with which the edge ends the connection; `None` when it closes without one.
    pub fn goodbye(&mut self) -> Option<u32> {
        let frame = self.first(GOAWAY, 0)?;
        Some(u32::from_be_bytes(frame.payload[4..8].try_into().unwrap()))
    }

    /// Whether the edge ends the connection in time, whatever it sends before.
    pub fn is_ended(&mut self) -> bool {
        let mut ignored = [0; 4096];
        loop {
            match self.stream.read(&mut ignored) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) => return !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
            }
        }
    }

    /// The error code with which the edge ends a stream.
    pub fn reset(&mut self, stream: u32) -> Option<u32> {
        let frame = self.first(RST_STREAM, stream)?;
        Some(u32::from_be_bytes(frame.payload[..4].try_into().unwrap()))
    }
}

/// One frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Fields as a block: literal, never indexed, not compressed (RFC 7541 section 6.2.3).
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0x10);
        for text in [name, value] {
            match text.len() {
                short @ ..127 => block.push(short as u8),
                long => {
                    block.push(127);
                    let mut rest = long - 127;
                    while rest >= 128 {
                        block.push((rest % 128) as u8 | 128);
                        rest /= 128;
                    }
                    block.push(rest as u8);
                }
            }
            block.extend_from_slice(text);
        }
    }
    block
}

/// The head of a request, with fields behind the usual ones.
pub fn request(stream: u32, flags: u8, method: &str, path: &str, more: &[(&[u8], &[u8])]) -> Vec<u8> {
    let usual: [(&[u8], &[u8]); 4] = [
        (b":method", method.as_bytes()),
        (b":scheme", b"http"),
        (b":path", path.as_bytes()),
        (b":authority", b"shop.example"),
    ];
    frame(HEADERS, flags | END_HEADERS, stream, &block(&[&usual[..], more].concat()))
}
