//! One connection of the fast origin: reads requests, appends answers, writes them. One read and one write per turn
//! when all goes well. Never blocks, holds no buffer while idle.

use std::io::{self, ErrorKind, Read, Write};
use std::time::Duration;

use mio::net::TcpStream;

use super::answers::{Answers, PIECE_BYTES, Rest, filler};
use crate::http::chunked::Decoder;
use crate::http::request::{Framing, Head};

/// The longest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;
const INPUT_BYTES: usize = 64 * 1024;

/// What the loop has to do after a turn.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// Wait for the socket.
    Wait,
    /// Call [`Connection::resume`] after this time.
    Sleep(Duration),
    /// Drop the connection.
    Close,
}

/// What a thread's connections share: buffers that are used within one turn, and the answers.
#[derive(Debug)]
pub struct Shared {
    answers: Answers,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Shared {
    /// Empty buffers beside the answers.
    pub fn new(answers: Answers) -> Self {
        Self { answers, input: vec![0; INPUT_BYTES], output: Vec::new() }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    /// The socket, registered by the loop.
    pub stream: TcpStream,
    /// Tells it from the connections that had its place before.
    pub serial: u64,
    /// Received and not yet understood.
    input: Vec<u8>,
    /// Does `input` start with a request that had to wait for an answer to leave?
    stopped: bool,
    unsent: Vec<u8>,
    filler_left: u64,
    body: Option<Body>,
    /// An answer that must not leave before this much time has passed.
    held: Option<(Duration, Vec<u8>)>,
    /// The same, while the time passes.
    sleeping: Option<Vec<u8>>,
    closing: bool,
}

impl Connection {
    /// A new connection.
    pub fn new(stream: TcpStream, serial: u64) -> Self {
        Self {
            stream,
            serial,
            input: Vec::new(),
            stopped: false,
            unsent: Vec::new(),
            filler_left: 0,
            body: None,
            held: None,
            sleeping: None,
            closing: false,
        }
    }

    /// The socket is ready: reads, answers and writes until it would block. `ended` says that the peer has closed
    /// its side, so that the end must be read too.
    pub fn turn(&mut self, shared: &mut Shared, ended: bool) -> After {
        self.try_turn(shared, ended).unwrap_or(After::Close)
    }

    /// The time that [`After::Sleep`] asked for has passed.
    pub fn resume(&mut self, shared: &mut Shared) -> After {
        if let Some(answer) = self.sleeping.take() {
            self.unsent.extend_from_slice(&answer);
        }
        self.turn(shared, true)
    }

    fn try_turn(&mut self, shared: &mut Shared, ended: bool) -> io::Result<After> {
        loop {
            if self.sleeping.is_some() || !self.flush()? {
                return Ok(After::Wait);
            }
            if self.closing {
                return Ok(After::Close);
            }
            let mut drained = false;
            if self.stopped {
                let input = std::mem::take(&mut self.input);
                self.take_requests(&input, shared)?;
            } else {
                match self.receive(shared) {
                    Ok(0) => return Ok(After::Close),
                    // A short read has emptied the socket (epoll(7)): the next one would only say so.
                    Ok(len) => drained = len < INPUT_BYTES && !ended,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(After::Wait),
                    Err(error) => return Err(error),
                }
            }
            self.send(&mut shared.output)?;
            if let Some((time, answer)) = self.held.take() {
                self.sleeping = Some(answer);
                return Ok(After::Sleep(time));
            }
            let has_work = self.stopped || self.closing || self.filler_left > 0 || !self.unsent.is_empty();
            if drained && !has_work {
                return Ok(After::Wait);
            }
        }
    }

    /// Reads once and answers what has become whole. Returns the bytes read.
    fn receive(&mut self, shared: &mut Shared) -> io::Result<usize> {
        // The buffer is lent to this turn, so that idle connections hold none.
        let mut buffer = std::mem::take(&mut shared.input);
        let result = self.stream.read(&mut buffer).and_then(|len| {
            if self.input.is_empty() {
                self.take_requests(&buffer[..len], shared)?;
            } else {
                let mut input = std::mem::take(&mut self.input);
                input.extend_from_slice(&buffer[..len]);
                self.take_requests(&input, shared)?;
            }
            Ok(len)
        });
        shared.input = buffer;
        result
    }

    /// Answers every whole request in `input` up to one whose answer takes time; keeps what is left.
    fn take_requests(&mut self, input: &[u8], shared: &mut Shared) -> io::Result<()> {
        let mut at = 0;
        while at < input.len() && !self.is_busy() {
            if let Some(body) = &mut self.body {
                let (taken, done) = body.take(&input[at..])?;
                at += taken;
                if done && let Some(body) = self.body.take() {
                    let head = Head::parse(&body.head).map_err(io::Error::other)?;
                    head.iter().for_each(|head| self.answer(head, &body.bytes, shared));
                }
                continue;
            }
            let Some(head) = Head::parse(&input[at..]).map_err(io::Error::other)? else { break };
            at += head.raw.len();
            if head.framing == Framing::Length(0) {
                self.answer(&head, b"", shared);
                continue;
            }
            if head.expects_continue {
                shared.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            self.body = Some(Body::new(&head));
        }
        self.stopped = self.is_busy() && at < input.len();
        self.input = input[at..].to_vec();
        Ok(())
    }

    fn is_busy(&self) -> bool {
        self.filler_left > 0 || self.held.is_some() || self.closing
    }

    fn answer(&mut self, head: &Head<'_>, body: &[u8], shared: &mut Shared) {
        let before = shared.output.len();
        match shared.answers.write(head, body, &mut shared.output) {
            Rest::Nothing => {}
            Rest::Filler(len) => self.filler_left = len,
            Rest::Hold(time) => self.held = Some((time, shared.output.split_off(before))),
        }
        self.closing = !head.keep_alive;
    }

    /// Sends what this turn has written; keeps what the socket does not take.
    fn send(&mut self, output: &mut Vec<u8>) -> io::Result<()> {
        let sent = if self.unsent.is_empty() { write(&mut self.stream, output)? } else { 0 };
        self.unsent.extend_from_slice(&output[sent..]);
        output.clear();
        Ok(())
    }

    /// Sends what an earlier turn left over. Returns whether everything is gone.
    fn flush(&mut self) -> io::Result<bool> {
        loop {
            if self.unsent.is_empty() {
                if self.filler_left == 0 {
                    return Ok(true);
                }
                let now = self.filler_left.min(PIECE_BYTES);
                filler(now, &mut self.unsent);
                self.filler_left -= now;
            }
            let sent = write(&mut self.stream, &self.unsent)?;
            self.unsent.drain(..sent);
            if !self.unsent.is_empty() {
                return Ok(false);
            }
            self.unsent = Vec::new();
        }
    }
}

/// Writes until done or until the socket takes no more. Returns the bytes written.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(len) => sent += len,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// A request whose body is still arriving.
#[derive(Debug)]
struct Body {
    head: Vec<u8>,
    left: Left,
    bytes: Vec<u8>,
}

#[derive(Debug)]
enum Left {
    Bytes(u64),
    Chunks(Decoder),
}

impl Body {
    fn new(head: &Head<'_>) -> Self {
        let left = match head.framing {
            Framing::Length(len) => Left::Bytes(len),
            _ => Left::Chunks(Decoder::default()),
        };
        Self { head: head.raw.to_vec(), left, bytes: Vec::new() }
    }

    /// Takes what belongs to this body. Returns the bytes taken and whether it is complete.
    fn take(&mut self, input: &[u8]) -> io::Result<(usize, bool)> {
        let (taken, done) = match &mut self.left {
            Left::Bytes(left) => {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                self.bytes.extend_from_slice(&input[..now]);
                *left -= now as u64;
                (now, *left == 0)
            }
            Left::Chunks(decoder) => {
                let taken = decoder.feed(input, &mut self.bytes).map_err(io::Error::other)?;
                (taken, decoder.is_done())
            }
        };
        if self.bytes.len() > BODY_BYTES_MAX {
            return Err(io::Error::other("the body is too long"));
        }
        Ok((taken, done))
    }
}
