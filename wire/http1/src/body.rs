//! Reading a body: says which of the bytes at hand are content. Never holds content back and never copies it; all
//! that it keeps is a trailer section, bounded.

use crate::Framing;
use crate::size_line::SizeLine;
use crate::trailer::Section;
use tentpole_message::Fields;
use tentpole_model::{Cause, Refused};

/// What a chunked body may cost beside its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of all chunk extensions of one body together.
    pub extension_bytes_max: usize,
    /// Bytes of the trailer section, with line ends.
    pub trailer_bytes_max: usize,
    /// Number of trailer fields; at most [`crate::FIELDS_MAX`].
    pub trailer_fields_max: usize,
}

impl Default for BodyLimits {
    fn default() -> Self {
        Self { extension_bytes_max: 4 * 1024, trailer_bytes_max: 8 * 1024, trailer_fields_max: 32 }
    }
}

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ChunkError {
    /// A chunk's size is not 1 to 16 hexadecimal digits.
    Size,
    /// A chunk extension is not one.
    Extension,
    /// There are more bytes of extensions than allowed.
    ExtensionsTooLarge,
    /// A chunk, or the line before it, does not end with CR LF.
    LineEnd,
    /// A trailer line is not one.
    Trailer,
    /// The trailer section has more bytes or fields than allowed.
    TrailerTooLarge,
    /// The input ended before the body.
    EarlyEnd,
}

/// What was found in the bytes at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decoded {
    /// Content is `bytes[skip..skip + len]`, never empty; `skip + len` bytes are used up.
    Data {
        /// Bytes before the content.
        skip: usize,
        /// Bytes of content.
        len: usize,
    },
    /// No content; all `used` bytes are used up and more are needed.
    NeedMore {
        /// Bytes used up.
        used: usize,
    },
    /// The body is over; what follows the `used` bytes belongs to the next message.
    Done {
        /// Bytes used up.
        used: usize,
    },
}

/// A piece of a body that lies in a connection's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Content: `len` bytes after `skip` bytes of framing, at the start of what was read and not yet used.
    Data {
        /// Framing before it.
        skip: usize,
        /// Content.
        len: usize,
    },
    /// All of it was read.
    End,
}

/// Reads one body.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    limits: BodyLimits,
    extension_bytes_seen: usize,
    section: Section,
    trailers: Option<Fields>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Length(u64),
    UntilClose,
    Size(SizeLine),
    Data(u64),
    DataCr,
    DataLf,
    Trailers,
    Done,
    Failed(ChunkError),
}

impl BodyDecoder {
    /// For a body that is framed so.
    pub fn new(framing: Framing, limits: BodyLimits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Size(SizeLine::new()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, limits, extension_bytes_seen: 0, section: Section::default(), trailers: None }
    }

    /// Looks at the bytes at hand, says what is content and how many are used up. Call it again with what follows.
    ///
    /// # Errors
    /// What is wrong with the chunks, now and on each later call; the connection must then be closed.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Decoded, ChunkError> {
        let decoded = self.step(bytes);
        if let Err(error) = decoded {
            self.state = State::Failed(error);
        }
        decoded
    }

    /// Says that no more bytes will come.
    ///
    /// # Errors
    /// [`ChunkError::EarlyEnd`], unless the body is over or lasts until the connection closes.
    pub fn end_of_input(&mut self) -> Result<(), ChunkError> {
        match self.state {
            State::Done | State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Failed(error) => Err(error),
            _ => {
                self.state = State::Failed(ChunkError::EarlyEnd);
                Err(ChunkError::EarlyEnd)
            }
        }
    }

    /// Whether the body is over. Known with the last content when its length was announced.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The trailer fields that may be forwarded, once the body is over; `None` when there are none. Fields that
    /// frame, route, authenticate or belong to one connection are left out.
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    fn step(&mut self, bytes: &[u8]) -> Result<Decoded, ChunkError> {
        let mut used = 0;
        loop {
            let rest = &bytes[used..];
            match &mut self.state {
                State::Done => return Ok(Decoded::Done { used }),
                State::Failed(error) => return Err(*error),
                _ if rest.is_empty() => return Ok(Decoded::NeedMore { used }),
                State::UntilClose => return Ok(Decoded::Data { skip: 0, len: rest.len() }),
                State::Length(left) => {
                    let len = take(left, rest);
                    if *left == 0 {
                        self.state = State::Done;
                    }
                    return Ok(Decoded::Data { skip: 0, len });
                }
                State::Data(left) => {
                    let len = take(left, rest);
                    if *left == 0 {
                        self.state = State::DataCr;
                    }
                    return Ok(Decoded::Data { skip: used, len });
                }
                State::Size(line) => {
                    let size = line.push(rest[0])?;
                    let is_in_extension = line.is_in_extension();
                    match size {
                        Some(0) => self.state = State::Trailers,
                        Some(size) => self.state = State::Data(size),
                        None if is_in_extension => self.count_extension()?,
                        None => {}
                    }
                }
                State::DataCr if rest[0] == b'\r' => self.state = State::DataLf,
                State::DataLf if rest[0] == b'\n' => self.state = State::Size(SizeLine::new()),
                State::DataCr | State::DataLf => return Err(ChunkError::LineEnd),
                State::Trailers => {
                    if self.section.push(rest[0], &self.limits)? {
                        self.trailers = self.section.fields(&self.limits)?;
                        self.state = State::Done;
                    }
                }
            }
            used += 1;
        }
    }

    fn count_extension(&mut self) -> Result<(), ChunkError> {
        self.extension_bytes_seen += 1;
        if self.extension_bytes_seen > self.limits.extension_bytes_max {
            return Err(ChunkError::ExtensionsTooLarge);
        }
        Ok(())
    }
}

/// Takes as much of `rest` as is left, and says how much.
fn take(left: &mut u64, rest: &[u8]) -> usize {
    let len = usize::try_from(*left).unwrap_or(usize::MAX).min(rest.len());
    *left -= len as u64;
    len
}

impl ChunkError {
    /// One word for logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Size => "chunk_size",
            Self::Extension => "chunk_extension",
            Self::ExtensionsTooLarge => "chunk_extensions_too_large",
            Self::LineEnd => "chunk_line_end",
            Self::Trailer => "trailer",
            Self::TrailerTooLarge => "trailer_too_large",
            Self::EarlyEnd => "early_end",
        }
    }
}

impl From<ChunkError> for Refused {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::TrailerTooLarge => Self::HeadTooLarge,
            _ => Self::Chunk,
        }
    }
}

impl From<ChunkError> for Cause {
    fn from(error: ChunkError) -> Self {
        match error {
            ChunkError::ExtensionsTooLarge | ChunkError::TrailerTooLarge => Self::TooLarge,
            ChunkError::EarlyEnd => Self::Closed,
            _ => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announced_length_is_done_with_its_last_byte() {
        let mut decoder = BodyDecoder::new(Framing::Length(3), BodyLimits::default());
        assert_eq!(decoder.decode(b""), Ok(Decoded::NeedMore { used: 0 }));
        assert_eq!(decoder.decode(b"a"), Ok(Decoded::Data { skip: 0, len: 1 }));
        assert!(!decoder.is_done());
        assert_eq!(decoder.decode(b"bcGET"), Ok(Decoded::Data { skip: 0, len: 2 }));
        assert!(decoder.is_done());
        assert_eq!(decoder.decode(b"GET"), Ok(Decoded::Done { used: 0 }));
        assert_eq!(decoder.end_of_input(), Ok(()));
    }

    #[test]
    fn content_of_chunks_is_shown_where_it_lies() {
        let mut decoder = BodyDecoder::new(Framing::Chunked, BodyLimits::default());
        assert_eq!(decoder.decode(b"5\r\nhel"), Ok(Decoded::Data { skip: 3, len: 3 }));
        assert_eq!(decoder.decode(b"lo\r\n1\r\n!"), Ok(Decoded::Data { skip: 0, len: 2 }));
        assert_eq!(decoder.decode(b"\r\n1\r\n!\r\n0\r\n\r"), Ok(Decoded::Data { skip: 5, len: 1 }));
        assert_eq!(decoder.decode(b"\r\n0\r\n\r"), Ok(Decoded::NeedMore { used: 6 }));
        assert_eq!(decoder.decode(b"\nGET"), Ok(Decoded::Done { used: 1 }));
        assert!(decoder.trailers().is_none());
    }

    #[test]
    fn the_end_of_input_ends_only_what_lasts_that_long() {
        let after = |framing, bytes: &[u8]| {
            let mut decoder = BodyDecoder::new(framing, BodyLimits::default());
            decoder.decode(bytes).and_then(|_| decoder.end_of_input()).map(|()| decoder.is_done())
        };
        assert_eq!(after(Framing::None, b""), Ok(true));
        assert_eq!(after(Framing::UntilClose, b"a"), Ok(true));
        assert_eq!(after(Framing::Length(2), b"a"), Err(ChunkError::EarlyEnd));
        assert_eq!(after(Framing::Chunked, b"0\r\n"), Err(ChunkError::EarlyEnd));
    }

    #[test]
    fn a_body_that_failed_stays_so() {
        let mut decoder = BodyDecoder::new(Framing::Chunked, BodyLimits::default());
        assert_eq!(decoder.decode(b"x"), Err(ChunkError::Size));
        assert_eq!(decoder.decode(b"0\r\n\r\n"), Err(ChunkError::Size));
        assert_eq!(decoder.end_of_input(), Err(ChunkError::Size));
        assert!(!decoder.is_done());
    }
}
