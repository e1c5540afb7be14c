//! The record: eight bytes of header, content, padding (FastCGI 1.0 section 3.3). Judges nothing.

/// Bytes of a header.
pub(crate) const HEADER_BYTES: usize = 8;

/// The number of every request: one at a time on a connection.
pub(crate) const REQUEST_ID: u16 = 1;

/// Content is padded to a multiple of it, as section 3.3 recommends.
pub(crate) const ALIGNMENT: usize = 8;

/// Types (section 8).
pub(crate) mod kind {
    pub const BEGIN_REQUEST: u8 = 1;
    pub const END_REQUEST: u8 = 3;
    pub const PARAMS: u8 = 4;
    pub const STDIN: u8 = 5;
    pub const STDOUT: u8 = 6;
    pub const STDERR: u8 = 7;
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub version: u8,
    pub kind: u8,
    pub request_id: u16,
    pub content_bytes: u16,
    pub padding_bytes: u8,
}

impl Header {
    /// Of a record of ours.
    pub(crate) const fn ours(kind: u8, content_bytes: u16, padding_bytes: u8) -> Self {
        Self { version: 1, kind, request_id: REQUEST_ID, content_bytes, padding_bytes }
    }

    pub(crate) const fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let [id_high, id_low] = self.request_id.to_be_bytes();
        let [length_high, length_low] = self.content_bytes.to_be_bytes();
        [self.version, self.kind, id_high, id_low, length_high, length_low, self.padding_bytes, 0]
    }

    /// The last byte is reserved: whatever it says, it says nothing.
    pub(crate) const fn from_bytes(bytes: [u8; HEADER_BYTES]) -> Self {
        let [version, kind, id_high, id_low, length_high, length_low, padding_bytes, _] = bytes;
        Self {
            version,
            kind,
            request_id: u16::from_be_bytes([id_high, id_low]),
            content_bytes: u16::from_be_bytes([length_high, length_low]),
            padding_bytes,
        }
    }
}
