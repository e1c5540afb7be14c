//! A visitor: one connection to what is tested, that sends exactly what it is told and checks strictly what comes
//! back. Every wait has a limit and, when it is reached, says what was waited for. Never retries, never reconnects.
//!
//! The methods that tests use panic with the whole story when something goes wrong; their `try_` forms return it.

mod answer;
mod ask;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

pub use answer::Answer;
pub use ask::Ask;

use crate::gate::PATIENCE;
use crate::http::Malformed;
use crate::http::chunked::Decoder;
use crate::http::request::Framing;
use answer::Head;

/// What went wrong on a connection.
#[derive(Debug)]
pub enum Trouble {
    /// Connecting failed.
    Connect(SocketAddr, io::Error),
    /// Nothing came for too long.
    Silence {
        /// What was waited for.
        waited_for: String,
        /// How long.
        after: Duration,
        /// What had come and was not understood yet.
        so_far: String,
    },
    /// The other side closed in order, too early.
    Closed {
        /// What was waited for.
        waited_for: String,
        /// What had come and was not understood yet.
        so_far: String,
    },
    /// The connection broke.
    Broken {
        /// What was waited for.
        waited_for: String,
        /// The system's reason.
        source: io::Error,
    },
    /// What came is no proper answer.
    Malformed {
        /// What is wrong with it.
        why: Malformed,
        /// The bytes.
        bytes: String,
    },
    /// Bytes came where the end of the connection was announced.
    NotClosed(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(address, source) => write!(out, "cannot connect to {address}: {source}"),
            Self::Silence { waited_for, after, so_far } => {
                write!(out, "waited {after:?} for {waited_for}; so far came \"{so_far}\"")
            }
            Self::Closed { waited_for, so_far } => {
                write!(
                    out,
                    "the connection was closed while waiting for {waited_for}; so far came \"{so_far}\""
                )
            }
            Self::Broken { waited_for, source } => {
                write!(out, "the connection broke while waiting for {waited_for}: {source}")
            }
            Self::Malformed { why, bytes } => write!(out, "{why}: \"{bytes}\""),
            Self::NotClosed(bytes) => {
                write!(out, "the end of the connection was announced, but then came \"{bytes}\"")
            }
        }
    }
}

impl std::error::Error for Trouble {}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// In order (FIN).
    Closed,
    /// Broken (RST).
    Reset,
}

/// One connection.
#[derive(Debug)]
pub struct Visitor {
    stream: TcpStream,
    host: String,
    patience: Duration,
    input: Vec<u8>,
}

impl Visitor {
    /// Connects.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).await.unwrap_or_else(|trouble| panic!("{trouble}"))
    }

    /// Connects.
    pub async fn try_connect(address: SocketAddr) -> Result<Self, Trouble> {
        Self::try_connect_from(None, address).await
    }

    /// Connects, from this address of the machine. All of 127.0.0.0/8 is its own.
    pub async fn try_connect_from(from: Option<IpAddr>, address: SocketAddr) -> Result<Self, Trouble> {
        let connecting = async {
            let Some(from) = from else { return TcpStream::connect(address).await };
            let socket = if from.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
            socket.bind(SocketAddr::new(from, 0))?;
            socket.connect(address).await
        };
        let connect = tokio::time::timeout(PATIENCE, connecting).await;
        let stream = connect.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let stream = stream.map_err(|error| Trouble::Connect(address, error))?;
        stream.set_nodelay(true).ok();
        Ok(Self { stream, host: address.to_string(), patience: PATIENCE, input: Vec::new() })
    }

    /// Sends this as `Host` from now on; it is the address otherwise.
    pub fn host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// Waits at most this long for anything ([`PATIENCE`] otherwise).
    pub fn patience(mut self, time: Duration) -> Self {
        self.patience = time;
        self
    }

    /// The address of this side, as the other side sees it.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.stream.local_addr().ok()
    }

    // ---- Requests and answers.

    /// `GET`, and its whole answer.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.ask(&Ask::get(target)).await
    }

    /// Sends a request and reads its whole answer.
    ///
    /// # Panics
    /// When no proper answer comes in time.
    pub async fn ask(&mut self, ask: &Ask) -> Answer {
        self.try_ask(ask).await.unwrap_or_else(|trouble| panic!("{ask:?}: {trouble}"))
    }

    /// Sends a request and reads its whole answer.
    pub async fn try_ask(&mut self, ask: &Ask) -> Result<Answer, Trouble> {
        self.try_begin(ask).await?.try_rest().await
    }

    /// Sends a request and reads the head of its answer; the body is read from what is returned.
    ///
    /// # Panics
    /// When no proper head comes in time.
    pub async fn begin(&mut self, ask: &Ask) -> Reading<'_> {
        self.try_begin(ask).await.unwrap_or_else(|trouble| panic!("{ask:?}: {trouble}"))
    }

    /// Sends a request and reads the head of its answer; the body is read from what is returned.
    pub async fn try_begin(&mut self, ask: &Ask) -> Result<Reading<'_>, Trouble> {
        self.try_send(ask.bytes(&self.host)).await?;
        self.try_reading(&ask.method).await
    }

    /// Reads the whole answer to a request with this method that was sent before.
    ///
    /// # Panics
    /// When no proper answer comes in time.
    pub async fn answer(&mut self, method: &str) -> Answer {
        self.try_answer(method).await.unwrap_or_else(|trouble| panic!("{trouble}"))
    }

    /// Reads the whole answer to a request with this method that was sent before.
    pub async fn try_answer(&mut self, method: &str) -> Result<Answer, Trouble> {
        self.try_reading(method).await?.try_rest().await
    }

    /// Reads the head of the answer to a request with this method that was sent before.
    pub async fn try_reading(&mut self, method: &str) -> Result<Reading<'_>, Trouble> {
        let mut interim = Vec::new();
        loop {
            let head = Head::parse(&self.input, method);
            let head = head.map_err(|why| Trouble::Malformed { why, bytes: shown(&self.input) })?;
            let Some(mut head) = head else {
                self.must_read(&format!("the head of an answer to {method}")).await?;
                continue;
            };
            self.input.drain(..head.len);
            if head.is_interim() {
                interim.push(head.answer);
                continue;
            }
            head.answer.interim = interim;
            return Ok(Reading { visitor: self, head, decoder: Decoder::default(), done: false });
        }
    }

    // ---- Bytes.

    /// Sends these bytes.
    ///
    /// # Panics
    /// When the connection is broken.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.unwrap_or_else(|trouble| panic!("{trouble}"));
    }

    /// Sends these bytes.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), Trouble> {
        let waited_for = "the other side to take what was sent";
        let send = self.stream.write_all(bytes.as_ref());
        match tokio::time::timeout(self.patience, send).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(source)) => Err(Trouble::Broken { waited_for: waited_for.to_owned(), source }),
            Err(_) => Err(self.silence(waited_for)),
        }
    }

    /// Reads exactly this many bytes.
    ///
    /// # Panics
    /// When they do not come in time.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.input.len() < count {
            self.must_read(&format!("{count} bytes")).await.unwrap_or_else(|trouble| panic!("{trouble}"));
        }
        self.input.drain(..count).collect()
    }

    /// What has been read beyond the last answer.
    pub fn left_over(&self) -> &[u8] {
        &self.input
    }

    /// Says that nothing more will be sent (FIN), and still reads.
    pub async fn finishes(&mut self) {
        self.stream.shutdown().await.ok();
    }

    /// Breaks the connection (RST).
    pub fn resets(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).expect("a socket takes SO_LINGER");
    }

    /// Waits for the end of the connection and says how it came.
    ///
    /// # Panics
    /// When bytes come instead, or nothing.
    pub async fn end(&mut self) -> End {
        self.try_end().await.unwrap_or_else(|trouble| panic!("{trouble}"))
    }

    /// Waits for the end of the connection and says how it came.
    pub async fn try_end(&mut self) -> Result<End, Trouble> {
        if self.input.is_empty() {
            match self.read("the end of the connection").await {
                Ok(0) => return Ok(End::Closed),
                Ok(_) => {}
                Err(Trouble::Broken { source, .. }) if source.kind() == io::ErrorKind::ConnectionReset => {
                    return Ok(End::Reset);
                }
                Err(trouble) => return Err(trouble),
            }
        }
        Err(Trouble::NotClosed(shown(&self.input)))
    }

    /// Is the connection open with nothing to read, as far as this side knows now?
    pub fn is_open(&mut self) -> bool {
        let mut one = [0];
        let read = self.stream.try_read(&mut one);
        if read.as_ref().is_ok_and(|len| *len == 1) {
            self.input.push(one[0]);
        }
        read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    async fn must_read(&mut self, waited_for: &str) -> Result<(), Trouble> {
        match self.read(waited_for).await? {
            0 => Err(Trouble::Closed { waited_for: waited_for.to_owned(), so_far: shown(&self.input) }),
            _ => Ok(()),
        }
    }

    async fn read(&mut self, waited_for: &str) -> Result<usize, Trouble> {
        match tokio::time::timeout(self.patience, self.stream.read_buf(&mut self.input)).await {
            Ok(Ok(len)) => Ok(len),
            Ok(Err(source)) => Err(Trouble::Broken { waited_for: waited_for.to_owned(), source }),
            Err(_) => Err(self.silence(waited_for)),
        }
    }

    fn silence(&self, waited_for: &str) -> Trouble {
        Trouble::Silence {
            waited_for: waited_for.to_owned(),
            after: self.patience,
            so_far: shown(&self.input),
        }
    }
}

/// An answer whose head has been read and whose body arrives.
#[derive(Debug)]
pub struct Reading<'a> {
    visitor: &'a mut Visitor,
    head: Head,
    decoder: Decoder,
    done: bool,
}

impl Reading<'_> {
    /// The answer so far.
    pub fn so_far(&self) -> &Answer {
        &self.head.answer
    }

    /// Waits until the body holds at least this many bytes.
    ///
    /// # Panics
    /// When they do not come in time.
    pub async fn until(&mut self, body_bytes: usize) -> &[u8] {
        while self.head.answer.body.len() < body_bytes {
            let more = self.try_more().await.unwrap_or_else(|trouble| panic!("{trouble}"));
            assert!(more, "the body ended before byte {body_bytes}: {:?}", self.head.answer);
        }
        &self.head.answer.body
    }

    /// Reads the rest.
    ///
    /// # Panics
    /// When it does not come whole and in time.
    pub async fn rest(self) -> Answer {
        self.try_rest().await.unwrap_or_else(|trouble| panic!("{trouble}"))
    }

    /// Reads the rest.
    pub async fn try_rest(mut self) -> Result<Answer, Trouble> {
        while self.try_more().await? {}
        if self.head.will_close && !self.head.answer.closed {
            self.visitor.try_end().await?;
            self.head.answer.closed = true;
        }
        self.head.answer.trailers = self.decoder.into_trailers();
        Ok(self.head.answer)
    }

    /// Takes what has arrived of the body, or waits for some. Returns whether there may be more.
    pub async fn try_more(&mut self) -> Result<bool, Trouble> {
        let Self { visitor, head, decoder, done } = self;
        let body = &mut head.answer.body;
        let before = body.len();
        loop {
            match head.framing {
                Framing::Length(len) => {
                    let wanted = usize::try_from(len).unwrap_or(usize::MAX) - body.len();
                    let now = wanted.min(visitor.input.len());
                    body.extend(visitor.input.drain(..now));
                    *done = now == wanted;
                }
                Framing::Chunked => {
                    let taken = decoder.feed(&visitor.input, body);
                    let taken =
                        taken.map_err(|why| Trouble::Malformed { why, bytes: shown(&visitor.input) })?;
                    visitor.input.drain(..taken);
                    *done = decoder.is_done();
                }
                Framing::UntilClose => body.append(&mut visitor.input),
            }
            if *done || body.len() > before {
                return Ok(!*done);
            }
            let waited_for = format!("the body, of which {} bytes came", body.len());
            if head.framing != Framing::UntilClose {
                visitor.must_read(&waited_for).await?;
            } else if visitor.read(&waited_for).await? == 0 {
                *done = true;
                head.answer.closed = true;
                return Ok(false);
            }
        }
    }
}

/// Bytes as text for a message, cut where they are many.
fn shown(bytes: &[u8]) -> String {
    const MAX: usize = 400;
    let cut = if bytes.len() > MAX { "…" } else { "" };
    format!("{}{cut}", bytes[..bytes.len().min(MAX)].escape_ascii())
}
