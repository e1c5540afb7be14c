//! Reads a chunked body (RFC 9112 section 7.1) as it arrives. Refuses every form that parsers disagree on: signs,
//! spaces and prefixes in sizes, bare line feeds, data that is longer than its chunk said.

use super::{Malformed, field};

/// The longest size line or trailer section, in bytes.
const LINE_BYTES_MAX: usize = 8 * 1024;

/// A decoder for one body.
#[derive(Debug, Default)]
pub struct Decoder {
    state: State,
    line: Vec<u8>,
    trailers: Vec<(String, String)>,
    trailer_bytes_seen: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

impl Decoder {
    /// Takes as much of `input` as belongs to this body and appends the data to `out`. Returns how many bytes were
    /// taken; what is left belongs to the next message.
    pub fn feed(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < input.len() && self.state != State::Done {
            at += match self.state {
                State::Data(left) => {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(input.len() - at);
                    out.extend_from_slice(&input[at..at + now]);
                    let left = left - now as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    now
                }
                _ => self.feed_line(&input[at..])?,
            };
        }
        Ok(at)
    }

    /// Has the last chunk been read, with its trailers?
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer fields in their order.
    pub fn into_trailers(self) -> Vec<(String, String)> {
        self.trailers
    }

    fn feed_line(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        let end = memchr::memchr(b'\n', input);
        let taken = end.map_or(input.len(), |end| end + 1);
        self.line.extend_from_slice(&input[..taken]);
        if self.line.len() > LINE_BYTES_MAX {
            return Err(Malformed::HeadTooLong);
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            self.take_line(line.strip_suffix(b"\r\n").ok_or(Malformed::LineEnd)?)?;
        }
        Ok(taken)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        self.state = match self.state {
            State::Size => match chunk_size(line)? {
                0 => State::Trailers,
                size => State::Data(size),
            },
            State::DataEnd if line.is_empty() => State::Size,
            State::DataEnd => return Err(Malformed::ChunkEnd),
            State::Trailers if line.is_empty() => State::Done,
            State::Trailers => {
                let (name, value) = field(line)?;
                self.trailer_bytes_seen += line.len();
                if self.trailer_bytes_seen > LINE_BYTES_MAX {
                    return Err(Malformed::HeadTooLong);
                }
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                self.trailers.push((text(name), text(value)));
                State::Trailers
            }
            state @ (State::Data(_) | State::Done) => state,
        };
        Ok(())
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Malformed> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
    if digits.is_empty() || digits.len() > 15 || line.contains(&b'\r') {
        return Err(Malformed::ChunkSize);
    }
    digits.iter().try_fold(0, |size, digit| {
        let value = char::from(*digit).to_digit(16).ok_or(Malformed::ChunkSize)?;
        Ok(size * 16 + u64::from(value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"5;note=x\r\nhello\r\n1\r\n!\r\n0\r\nDigest: abc\r\n\r\nNEXT";

    #[test]
    fn a_body_reads_the_same_however_it_is_cut() {
        for step in 1..BODY.len() {
            let mut decoder = Decoder::default();
            let mut out = Vec::new();
            let taken: usize =
                BODY.chunks(step).map(|piece| decoder.feed(piece, &mut out).expect("good")).sum();
            assert!(decoder.is_done());
            assert_eq!(out, b"hello!");
            assert_eq!(&BODY[taken..], b"NEXT");
            assert_eq!(decoder.into_trailers(), [("Digest".to_owned(), "abc".to_owned())]);
        }
    }

    #[test]
    fn ambiguous_chunks_are_refused() {
        let refused = [
            (&b"5 \r\nhello\r\n"[..], Malformed::ChunkSize),
            (b"0x5\r\nhello\r\n", Malformed::ChunkSize),
            (b"+5\r\nhello\r\n", Malformed::ChunkSize),
            (b"\r\n", Malformed::ChunkSize),
            (b"fffffffffffffffff\r\n", Malformed::ChunkSize),
            (b"5\nhello\r\n", Malformed::LineEnd),
            (b"5\r\nhello!\r\n", Malformed::ChunkEnd),
            (b"0\r\nbad trailer\r\n\r\n", Malformed::FieldLine),
        ];
        for (bytes, why) in refused {
            assert_eq!(Decoder::default().feed(bytes, &mut Vec::new()), Err(why), "{}", bytes.escape_ascii());
        }
    }
}
