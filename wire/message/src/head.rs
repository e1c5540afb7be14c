//! The head of a request and of a response.

use crate::Fields;
use std::ops::Range;
use tentpole_model::Method;

/// A request's head. Reused from request to request; the codec fills it.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The fields; their buffer also holds the request line.
    pub fields: Fields,
    /// The method, as far as it matters.
    pub method: Method,
    /// 0 or 1.
    pub minor_version: u8,
    method_at: (u32, u32),
    target_at: (u32, u32),
}

/// A response's head. Reused; the codec fills it.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The fields; their buffer also holds the status line.
    pub fields: Fields,
    /// 100 to 999.
    pub status: u16,
    /// 0 or 1.
    pub minor_version: u8,
    reason_at: (u32, u32),
}

impl RequestHead {
    /// Empty, without a buffer.
    pub const fn new() -> Self {
        Self {
            fields: Fields::new(),
            method: Method::Other,
            minor_version: 1,
            method_at: (0, 0),
            target_at: (0, 0),
        }
    }

    /// Empties it and keeps its buffers.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.method = Method::Other;
        self.minor_version = 1;
        self.method_at = (0, 0);
        self.target_at = (0, 0);
    }

    /// Says where in the fields' buffer method and target lie.
    pub fn set_line(&mut self, method: Range<usize>, target: Range<usize>, minor_version: u8) {
        self.method = Method::from_bytes(&self.fields.bytes()[method.clone()]);
        self.method_at = (method.start as u32, method.end as u32);
        self.target_at = (target.start as u32, target.end as u32);
        self.minor_version = minor_version;
    }

    /// The method's bytes, for methods that are forwarded unknown.
    pub fn method_bytes(&self) -> &[u8] {
        &self.fields.bytes()[self.method_at.0 as usize..self.method_at.1 as usize]
    }

    /// The request target as it came (RFC 9112 section 3.2).
    pub fn target(&self) -> &[u8] {
        &self.fields.bytes()[self.target_at.0 as usize..self.target_at.1 as usize]
    }
}

impl ResponseHead {
    /// Empty, without a buffer.
    pub const fn new() -> Self {
        Self { fields: Fields::new(), status: 0, minor_version: 1, reason_at: (0, 0) }
    }

    /// Says what the status line says, and where in the fields' buffer the reason lies.
    pub fn set_line(&mut self, status: u16, reason: Range<usize>, minor_version: u8) {
        self.status = status;
        self.reason_at = (reason.start as u32, reason.end as u32);
        self.minor_version = minor_version;
    }

    /// The reason phrase as it came; may be empty.
    pub fn reason(&self) -> &[u8] {
        &self.fields.bytes()[self.reason_at.0 as usize..self.reason_at.1 as usize]
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}
