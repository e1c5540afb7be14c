//! A virtual user's WebSocket (RFC 6455, as a client): handshake, messages out and in, pings answered, an end that is said.
//! No extensions, no subprotocol. Knows no journey.

use crate::connection::{cause_of, cause_on};
use crate::result::FailureCause;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use tentpole_http1::{Limits, Parsed, parse_response};
use tentpole_message::ResponseHead;
use tentpole_runtime::Random;
use tentpole_runtime::deadline::{Deadline, Expired};
use tentpole_runtime::socket::Socket;

/// Bytes of a message at most.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of an answer to the handshake, and of a frame with its head.
const FILL_BYTES_MAX: usize = MESSAGE_BYTES_MAX + 64 * 1024;
/// What an answer is made of, beside the challenge (RFC 6455 section 1.3).
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The kinds of frames (RFC 6455 section 5.2).
mod opcode {
    pub const CONTINUATION: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// One, open.
#[derive(Debug)]
pub(crate) struct WebSocket {
    socket: Socket,
    random: Random,
    /// What waits to be sent: our messages, and answers to pings.
    out: Vec<u8>,
    written: usize,
    /// A message of which the end has not come.
    partial: Vec<u8>,
    is_partial: bool,
}

/// The lines of the handshake, behind the request's own: what makes it one.
pub(crate) fn handshake_lines(challenge: &str) -> String {
    format!(
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {challenge}\r\n"
    )
}

/// A challenge: 16 bytes that nobody has sent before (RFC 6455 section 4.1). No secret depends on it.
pub(crate) fn challenge(random: &mut Random) -> String {
    base64([random.next_u64().to_le_bytes(), random.next_u64().to_le_bytes()].as_flattened())
}

fn answer(challenge: &str) -> String {
    base64(digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{challenge}{MAGIC}").as_bytes()).as_ref())
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for group in bytes.chunks(3) {
        let bits =
            group.iter().chain([0, 0].iter()).take(3).fold(0, |bits, byte| bits << 8 | usize::from(*byte));
        for place in 0..4 {
            let digit = char::from(DIGITS[bits >> (18 - 6 * place) & 63]);
            text.push(if place <= group.len() { digit } else { '=' });
        }
    }
    text
}

impl WebSocket {
    /// Sends the handshake and reads its answer into `head`, so that its status is known either way.
    pub(crate) async fn open(
        mut socket: Socket,
        request: &[u8],
        challenge: &str,
        head: &mut ResponseHead,
        random: Random,
        deadline: &Deadline,
    ) -> Result<Self, FailureCause> {
        let mut written = 0;
        let step =
            |context: &mut Context<'_>| poll_handshake(&mut socket, context, request, &mut written, head);
        match deadline.guard(step).await {
            Ok(outcome) => outcome?,
            Err(Expired) => return Err(FailureCause::TimedOut),
        }
        let mut accepts = head.fields.find(b"sec-websocket-accept");
        let is_right = accepts.next() == Some(answer(challenge).as_bytes()) && accepts.next().is_none();
        match head.status {
            101 if is_right => {}
            400..=499 => return Err(FailureCause::Status4xx),
            500..=599 => return Err(FailureCause::Status5xx),
            _ => return Err(FailureCause::NoWebsocket),
        }
        Ok(Self { socket, random, out: Vec::new(), written: 0, partial: Vec::new(), is_partial: false })
    }

    /// Sends a text message.
    pub(crate) async fn say(&mut self, text: &str, deadline: &Deadline) -> Result<(), FailureCause> {
        self.put(opcode::TEXT, text.as_bytes());
        match deadline.guard(|context| self.poll_write(context)).await {
            Ok(outcome) => outcome,
            Err(Expired) => Err(FailureCause::TimedOut),
        }
    }

    /// Reads the next whole message; pings before it are answered.
    pub(crate) async fn hear(&mut self, deadline: &Deadline) -> Result<Vec<u8>, FailureCause> {
        let heard = deadline.guard(|context| self.poll_message(context)).await;
        self.socket.rest();
        heard.unwrap_or(Err(FailureCause::TimedOut))
    }

    /// Says that it is over, as far as that goes out at once; nobody waits for the answer.
    pub(crate) async fn close(mut self, deadline: &Deadline) {
        const GOING_AWAY: [u8; 2] = 1001_u16.to_be_bytes();
        self.put(opcode::CLOSE, &GOING_AWAY);
        let _ = deadline.guard(|context| self.poll_write(context)).await;
    }

    /// Lays a frame out, masked with numbers of its own as a client's must be (RFC 6455 section 5.3).
    fn put(&mut self, opcode: u8, content: &[u8]) {
        let mask = (self.random.next_u64() as u32).to_be_bytes();
        self.out.push(0x80 | opcode);
        match content.len() {
            length @ 0..=125 => self.out.push(0x80 | length as u8),
            length @ 126..=0xffff => {
                self.out.push(0x80 | 126);
                self.out.extend((length as u16).to_be_bytes());
            }
            length => {
                self.out.push(0x80 | 127);
                self.out.extend((length as u64).to_be_bytes());
            }
        }
        self.out.extend(mask);
        self.out.extend(content.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<Result<(), FailureCause>> {
        while self.written < self.out.len() {
            match ready!(self.socket.poll_write(context, &[IoSlice::new(&self.out[self.written..])])) {
                Ok(0) => return Poll::Ready(Err(FailureCause::ClosedEarly)),
                Ok(count) => self.written += count,
                Err(error) => return Poll::Ready(Err(cause_on(&self.socket, &error))),
            }
        }
        // Memory for messages only while there are some: idle visitors are many.
        (self.out, self.written) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, FailureCause>> {
        loop {
            let _ = self.poll_write(context)?;
            while let Some((first, length, head)) = frame(self.socket.filled())? {
                if self.socket.filled().len() < head + length {
                    break;
                }
                let content = self.socket.filled()[head..head + length].to_vec();
                self.socket.consume(head + length);
                if let Some(message) = self.take(first, content)? {
                    return Poll::Ready(Ok(message));
                }
                let _ = self.poll_write(context)?;
            }
            match ready!(self.socket.poll_fill(context, FILL_BYTES_MAX)) {
                Ok(0) => return Poll::Ready(Err(FailureCause::ClosedEarly)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    return Poll::Ready(Err(FailureCause::Malformed));
                }
                Err(error) => return Poll::Ready(Err(cause_on(&self.socket, &error))),
            }
        }
    }

    /// What a frame means: a whole message, or nothing yet.
    fn take(&mut self, first: u8, content: Vec<u8>) -> Result<Option<Vec<u8>>, FailureCause> {
        let is_last = first & 0x80 != 0;
        match first & 0x0f {
            opcode::PING if is_last => {
                self.put(opcode::PONG, &content);
                Ok(None)
            }
            opcode::PONG if is_last => Ok(None),
            opcode::CLOSE => Err(FailureCause::ClosedEarly),
            opcode::TEXT | opcode::BINARY if !self.is_partial && is_last => Ok(Some(content)),
            opcode::TEXT | opcode::BINARY if !self.is_partial => {
                (self.is_partial, self.partial) = (true, content);
                Ok(None)
            }
            opcode::CONTINUATION if self.is_partial => {
                if self.partial.len() + content.len() > MESSAGE_BYTES_MAX {
                    return Err(FailureCause::Malformed);
                }
                self.partial.extend(content);
                self.is_partial = !is_last;
                Ok(is_last.then(|| std::mem::take(&mut self.partial)))
            }
            _ => Err(FailureCause::Malformed),
        }
    }
}

/// The head of a server's frame: its first byte, the length of its content, and its own; `None` while more must come.
///
/// # Errors
/// When it is masked, uses an extension that nobody asked for, or is longer than is read; a control frame has at most 125
/// bytes (RFC 6455 sections 5.1, 5.2, 5.5).
fn frame(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, FailureCause> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    let wrong = first & 0x70 != 0 || second & 0x80 != 0;
    let (length, head) = match second & 0x7f {
        126 => match rest.first_chunk() {
            Some(length) => (u64::from(u16::from_be_bytes(*length)), 4),
            None => return if wrong { Err(FailureCause::Malformed) } else { Ok(None) },
        },
        127 => match rest.first_chunk() {
            Some(length) => (u64::from_be_bytes(*length), 10),
            None => return if wrong { Err(FailureCause::Malformed) } else { Ok(None) },
        },
        length => (u64::from(length), 2),
    };
    let is_control = first & 0x08 != 0;
    if wrong || length > MESSAGE_BYTES_MAX as u64 || (is_control && length > 125) {
        return Err(FailureCause::Malformed);
    }
    Ok(Some((*first, length as usize, head)))
}

fn poll_handshake(
    socket: &mut Socket,
    context: &mut Context<'_>,
    request: &[u8],
    written: &mut usize,
    head: &mut ResponseHead,
) -> Poll<Result<(), FailureCause>> {
    while *written < request.len() {
        match ready!(socket.poll_write(context, &[IoSlice::new(&request[*written..])])) {
            Ok(0) => return Poll::Ready(Err(FailureCause::ClosedEarly)),
            Ok(count) => *written += count,
            Err(error) => return Poll::Ready(Err(cause_of(&error))),
        }
    }
    loop {
        if !socket.filled().is_empty() {
            match parse_response(socket.filled(), &Limits::default(), head) {
                Ok(Parsed::Complete { head_bytes }) => {
                    socket.consume(head_bytes);
                    return Poll::Ready(Ok(()));
                }
                Ok(Parsed::Partial) => {}
                Err(_) => return Poll::Ready(Err(FailureCause::Malformed)),
            }
        }
        match ready!(socket.poll_fill(context, FILL_BYTES_MAX)) {
            Ok(0) => return Poll::Ready(Err(FailureCause::ClosedEarly)),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                return Poll::Ready(Err(FailureCause::Malformed));
            }
            Err(error) => return Poll::Ready(Err(cause_on(socket, &error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_answer_is_that_of_the_standard() {
        // RFC 6455 section 1.3.
        assert_eq!(answer("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(challenge(&mut Random::from_seed(1)).len(), 24);
        assert_eq!([base64(b"f"), base64(b"fo"), base64(b"foo")], ["Zg==", "Zm8=", "Zm9v"]);
    }

    #[test]
    fn heads_of_frames_are_read_and_what_no_server_sends_is_refused() {
        assert_eq!(frame(&[0x81]), Ok(None));
        assert_eq!(frame(&[0x81, 5, b'h']), Ok(Some((0x81, 5, 2))));
        assert_eq!(frame(&[0x82, 126, 1]), Ok(None));
        assert_eq!(frame(&[0x82, 126, 1, 0]), Ok(Some((0x82, 256, 4))));
        assert_eq!(frame(&[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]), Ok(Some((0x82, 65_536, 10))));
        for wrong in [&[0x81, 0x85][..], &[0xc1, 5], &[0x89, 126, 1, 0], &[0x82, 127, 1, 0, 0, 0, 0, 0, 0, 0]]
        {
            assert_eq!(frame(wrong), Err(FailureCause::Malformed), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_frame_longer_than_is_read(bytes: Vec<u8>) {
            if let Ok(Some((_, length, head))) = frame(&bytes) {
                prop_assert!(length <= MESSAGE_BYTES_MAX && head <= 10);
            }
        }
    }
}
