//! A response's head as a cache keeps it: serialised once. What changes with each request (Age, Cache-Status,
//! Connection) is a tail that the sender appends.

use bytes::Bytes;

/// The stored part of a head: status line and fields, each line with its CRLF, without the empty line at the
/// end.
#[derive(Clone, Debug)]
pub struct StoredHead {
    /// For visitors of HTTP/1.1; the version in the status line is always 1.1 (RFC 9110 section 2.5).
    pub lines: Bytes,
    /// The status.
    pub status: u16,
}
