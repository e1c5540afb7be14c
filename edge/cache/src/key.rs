//! The name of a stored thing: bytes and their hash. The caller writes the bytes into a buffer that it reuses;
//! nothing is copied until something is stored under them.

/// A key that is looked up. Its hash comes from [`Cache::hash`](crate::Cache::hash), once per request.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// Hash of `bytes` with the process's seed.
    pub hash: u64,
    /// Host, a zero byte, canonical path and query.
    pub bytes: &'a [u8],
}
