//! The line before each chunk: `size [;name[=value]]... CRLF` (RFC 9112 section 7.1), read byte by byte.
//! Extensions are checked and ignored. Takes none of the white space that the RFC lets recipients put up with.

use crate::ChunkError;
use crate::head::is_token_byte;

/// Most digits of a size: 64 bits.
const DIGITS_MAX: u8 = 16;

/// Where in the line the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    NameStart,
    Name,
    ValueStart,
    Value,
    Quoted,
    QuotedPair,
    AfterQuoted,
    LineFeed,
}

/// A size line that is read byte by byte.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SizeLine {
    at: At,
    digits: u8,
    size: u64,
}

impl SizeLine {
    pub(crate) const fn new() -> Self {
        Self { at: At::Size, digits: 0, size: 0 }
    }

    /// Whether the reader is behind the size, where bytes count as overhead.
    pub(crate) fn is_in_extension(&self) -> bool {
        !matches!(self.at, At::Size | At::LineFeed)
    }

    /// Takes one byte; the size when it was the line's last.
    pub(crate) fn push(&mut self, byte: u8) -> Result<Option<u64>, ChunkError> {
        self.at = match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => {
                if self.digits == DIGITS_MAX {
                    return Err(ChunkError::Size);
                }
                self.digits += 1;
                self.size = self.size << 4 | hex(byte);
                At::Size
            }
            (At::Size, b'\r') if self.digits > 0 => At::LineFeed,
            (At::Size, b';') if self.digits > 0 => At::NameStart,
            (At::Size, _) => return Err(ChunkError::Size),
            (At::LineFeed, b'\n') => return Ok(Some(self.size)),
            (At::LineFeed, _) => return Err(ChunkError::LineEnd),
            (At::NameStart | At::Name, _) if is_token_byte(byte) => At::Name,
            (At::Name, b'=') => At::ValueStart,
            (At::ValueStart, b'"') => At::Quoted,
            (At::ValueStart | At::Value, _) if is_token_byte(byte) => At::Value,
            (At::Quoted, b'"') => At::AfterQuoted,
            (At::Quoted, b'\\') => At::QuotedPair,
            (At::Quoted | At::QuotedPair, b'\t' | b' '..=b'~' | 0x80..) => At::Quoted,
            (At::Name | At::Value | At::AfterQuoted, b';') => At::NameStart,
            (At::Name | At::Value | At::AfterQuoted, b'\r') => At::LineFeed,
            _ => return Err(ChunkError::Extension),
        };
        Ok(None)
    }
}

fn hex(digit: u8) -> u64 {
    u64::from(match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &[u8]) -> Result<Option<u64>, ChunkError> {
        let mut reader = SizeLine::new();
        for (at, &byte) in line.iter().enumerate() {
            if let Some(size) = reader.push(byte)? {
                assert_eq!(at + 1, line.len(), "the line ends with its LF");
                return Ok(Some(size));
            }
        }
        Ok(None)
    }

    #[test]
    fn sizes_are_hexadecimal_and_extensions_are_ignored() {
        let cases: [(&[u8], u64); 7] = [
            (b"5\r\n", 5),
            (b"00\r\n", 0),
            (b"aF\r\n", 0xaf),
            (b"ffffffffffffffff\r\n", u64::MAX),
            (b"5;a\r\n", 5),
            (b"5;a=b;c\r\n", 5),
            (b"5;a=\"b;\\\" \t\";c=d\r\n", 5),
        ];
        for (line, size) in cases {
            assert_eq!(read(line), Ok(Some(size)), "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn lines_that_could_be_read_in_two_ways_are_refused() {
        let cases: [(&[u8], ChunkError); 22] = [
            (b"\r\n", ChunkError::Size),
            (b";a\r\n", ChunkError::Size),
            (b"00000000000000005\r\n", ChunkError::Size),
            (b"0x5\r\n", ChunkError::Size),
            (b"+5\r\n", ChunkError::Size),
            (b"-5\r\n", ChunkError::Size),
            (b" 5\r\n", ChunkError::Size),
            (b"5 \r\n", ChunkError::Size),
            (b"5\t;a\r\n", ChunkError::Size),
            (b"5_0\r\n", ChunkError::Size),
            (b"5\n", ChunkError::Size),
            (b"5\rX", ChunkError::LineEnd),
            (b"5\r\r\n", ChunkError::LineEnd),
            (b"5;\r\n", ChunkError::Extension),
            (b"5;;a\r\n", ChunkError::Extension),
            (b"5; a\r\n", ChunkError::Extension),
            (b"5;a\n", ChunkError::Extension),
            (b"5;a=\r\n", ChunkError::Extension),
            (b"5;a=\"\r\n", ChunkError::Extension),
            (b"5;a=\"\n\"\r\n", ChunkError::Extension),
            (b"5;a=\"b\"c\r\n", ChunkError::Extension),
            (b"5;a=b=c\r\n", ChunkError::Extension),
        ];
        for (line, error) in cases {
            assert_eq!(read(line), Err(error), "{:?}", String::from_utf8_lossy(line));
        }
    }
}
