//! The trailer section of a chunked body (RFC 9112 section 7.1.2): bounded, strict, and only what may come late.
//! Never lets a trailer change framing, routing or who asks (RFC 9110 section 6.5.1).

use crate::ChunkError;
use crate::body::BodyLimits;
use httparse::Error;
use tentpole_message::{Fields, Name};

/// A section that is read byte by byte.
#[derive(Debug, Default)]
pub(crate) struct Section {
    bytes: Vec<u8>,
    line_bytes: usize,
    is_after_cr: bool,
}

impl Section {
    /// Takes one byte; `true` when it was the section's last.
    pub(crate) fn push(&mut self, byte: u8, limits: &BodyLimits) -> Result<bool, ChunkError> {
        if self.is_after_cr != (byte == b'\n') {
            return Err(ChunkError::Trailer);
        }
        if self.bytes.len() >= limits.trailer_bytes_max {
            return Err(ChunkError::TrailerTooLarge);
        }
        self.bytes.push(byte);
        self.is_after_cr = byte == b'\r';
        match byte {
            b'\r' => {}
            b'\n' if self.line_bytes == 0 => return Ok(true),
            b'\n' => self.line_bytes = 0,
            _ => self.line_bytes += 1,
        }
        Ok(false)
    }

    /// The fields of a whole section that may be kept, or `None` when there is none.
    pub(crate) fn fields(&self, limits: &BodyLimits) -> Result<Option<Fields>, ChunkError> {
        if self.bytes.len() <= 2 {
            return Ok(None);
        }
        let fields_max = limits.trailer_fields_max.min(crate::FIELDS_MAX);
        let mut room = [httparse::EMPTY_HEADER; crate::FIELDS_MAX];
        let headers = match httparse::parse_headers(&self.bytes, &mut room[..fields_max]) {
            Ok(httparse::Status::Complete((_, headers))) => headers,
            Err(Error::TooManyHeaders) => return Err(ChunkError::TrailerTooLarge),
            Ok(httparse::Status::Partial) | Err(_) => return Err(ChunkError::Trailer),
        };
        let mut fields = Fields::new();
        for header in headers.iter().filter(|header| may_come_late(Name::from_bytes(header.name.as_bytes())))
        {
            fields.push(header.name.as_bytes(), header.value);
        }
        Ok((!fields.is_empty()).then_some(fields))
    }
}

/// Whether a field may stand in a trailer. The known names are those that decisions ask for, all of them before
/// the body: none but the entity tag may come after it.
pub(crate) fn may_come_late(name: Name) -> bool {
    matches!(name, Name::Other | Name::Etag)
}
